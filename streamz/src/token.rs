//! `streamz token`: an access token of an account that exists, as a sign-in would give it.

use chrono::Utc;
use streamz_auth::{Email, Keys, RefreshToken, TokenIssuer};
use streamz_platform::config::Role;
use streamz_platform::{Config, ConfigArgs};

use crate::cli::TokenArgs;
use crate::exit::Failure;
use crate::store;

pub(crate) async fn run(args: ConfigArgs, wanted: &TokenArgs) -> Result<(), Failure> {
    let config = Config::load(Role::Embedded, args)?;
    let email = Email::parse(&wanted.email).map_err(|error| Failure::unable(format!("--email: {error}")))?;
    let keys = Keys::new(config.signing.load().map_err(Failure::unable)?);
    let store = store::open(&config.database, 1).await?;
    store::prepare(&store, &config.database).await?;
    let account = store.user_by_email(email.as_str()).await.map_err(Failure::unable)?;
    let account =
        account.ok_or_else(|| Failure::unable("--email: there is no such account; register it first."))?;
    // A sign-in of its own, so that it can be revoked like any other. Its refresh token is thrown away.
    let now = Utc::now();
    let refresh = RefreshToken::generate();
    let family = store
        .create_family(account.user.id, &refresh.hash(), now, now + config.tokens.access)
        .await
        .map_err(Failure::unable)?;
    store.close().await;
    let token = TokenIssuer::new(&keys, config.tokens.access).issue(
        streamz_protocol::UserId(account.user.id),
        family,
        now,
    );
    println!("{}", token.expose());
    Ok(())
}
