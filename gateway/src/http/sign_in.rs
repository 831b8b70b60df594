//! Who may try a password, whether it is right, and what a sign-in gets.
//!
//! # What holds an attacker off, and not the owner
//! Attempts are counted before a password is looked at: for the client's address first, then for the account, in
//! the store, so that the whole fleet counts together. The sixth attempt in a minute closes the key for a minute, the
//! next excess for two, then four, eight, at most fifteen. An unknown account counts as any other. While a key is
//! closed an attempt is refused and changes nothing: nobody makes the wait longer by going on. A sign-in that
//! succeeds clears its account's counter, and a quarter of an hour without attempts clears every other.
//!
//! Whoever uses up an account's attempts minute after minute would still keep its owner out. Therefore a network from
//! which this account's password was right before has a counter of its own for it: the owner at home does not
//! notice. (Each gateway knows that of itself, since its start.) Devices that are signed in do not notice either:
//! refreshing does not count.

use std::net::IpAddr;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use streamz_auth::{Email, RefreshToken, Verdict};
use streamz_protocol::UserId;
use streamz_store::{CreateFamilyError, Credentials, LoginDecision, LoginKey, User};
use utoipa::ToSchema;
use uuid::Uuid;

use super::known::network;
use crate::problem::{Code, Problem};
use crate::state::AppState;

/// What a sign-in gets.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenResponse {
    /// The account.
    user: User,
    /// For `Authorization: Bearer …`; short-lived.
    access_token: String,
    /// For one `POST /api/auth/refresh`; keep it secret.
    refresh_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds until the access token expires.
    #[schema(example = 900)]
    expires_in: u64,
}

impl TokenResponse {
    pub(super) fn new(state: &AppState, user: User, family: Uuid, refresh: &RefreshToken) -> Self {
        let access = state.issuer().issue(UserId(user.id), family, state.now());
        Self {
            user,
            access_token: access.expose().to_owned(),
            refresh_token: refresh.expose().to_owned(),
            token_type: "Bearer",
            expires_in: access.lifetime.as_secs(),
        }
    }
}

/// The same for a wrong password and for an account that does not exist.
pub(super) fn refused() -> Problem {
    Problem::new(Code::InvalidCredentials, "No account has this address with this password; check both.")
}

/// Counts an attempt from this address.
pub(super) async fn admit_address(state: &AppState, address: IpAddr) -> Result<(), Problem> {
    admit(state, LoginKey::Address(address), "address").await
}

/// Counts an attempt for this account, whether it exists or not, and returns what to clear if it succeeds.
pub(super) async fn admit_account(
    state: &AppState,
    email: &Email,
    address: IpAddr,
) -> Result<Counted, Problem> {
    let counted = Counted::of(state, email, address);
    admit(state, LoginKey::Account(&counted.0), "account").await?;
    Ok(counted)
}

/// What an attempt was counted for: the account, or the account from a network that it knows.
pub(super) struct Counted(String);

impl Counted {
    fn of(state: &AppState, email: &Email, address: IpAddr) -> Self {
        if state.known().knows(email, address) {
            // No address of an account has a space in it.
            Self(format!("{email} {}", network(address)))
        } else {
            Self(email.to_string())
        }
    }
}

/// The password was right: the counters begin anew, and this network is known from now on.
pub(super) async fn succeeded(state: &AppState, email: &Email, address: IpAddr, counted: &Counted) {
    state.known().remember(email, address);
    if let Err(error) = state.store().login_succeeded(&counted.0).await {
        // The account stays a little closer to its limit; that is no reason to refuse its owner.
        tracing::warn!(%error, "a sign-in counter could not be cleared");
    }
}

async fn admit(state: &AppState, key: LoginKey<'_>, kind: &'static str) -> Result<(), Problem> {
    let limit = state.settings().http.logins_per_minute.get();
    match state.store().login_attempt(key, limit, state.now()).await? {
        LoginDecision::Allowed => Ok(()),
        LoginDecision::RetryAfter { seconds } => {
            metrics::counter!("streamz_sign_ins_refused_total", "by" => kind).increment(1);
            let detail = format!("Too many attempts: come again in {seconds} s.");
            Err(Problem::new(Code::RateLimited, detail).retry_after(seconds))
        }
    }
}

/// The account of this address, if the password is its own. Takes the same steps if there is no such account.
pub(super) async fn check(state: &AppState, email: &Email, password: &SecretString) -> Result<User, Problem> {
    let Some(Credentials { user, password_hash }) = state.store().user_by_email(email.as_str()).await? else {
        metrics::counter!("streamz_password_checks_total", "account" => "unknown").increment(1);
        state.passwords().verify_dummy(password).await?;
        return Err(refused());
    };
    metrics::counter!("streamz_password_checks_total", "account" => "known").increment(1);
    let stored = password_hash.expose_secret();
    match state.passwords().verify(stored, password).await? {
        Verdict::Wrong => Err(refused()),
        Verdict::Correct { rehash_needed } => {
            if rehash_needed {
                replace_hash(state, &user, stored, password).await;
            }
            Ok(user)
        }
    }
}

/// Replaces a hash of the first Streamz, unless the password was changed meanwhile. The next sign-in tries again if it
/// fails.
async fn replace_hash(state: &AppState, user: &User, old: &str, password: &SecretString) {
    let new = match state.passwords().rehash(password).await {
        Ok(new) => new,
        Err(error) => {
            tracing::warn!(user = %user.id, %error, "an old password hash could not be replaced yet");
            return;
        }
    };
    match state.store().replace_password_hash(user.id, old, &new, state.now()).await {
        Ok(replaced) => tracing::info!(user = %user.id, replaced, "an old password hash was replaced"),
        Err(error) => {
            tracing::warn!(user = %user.id, %error, "an old password hash could not be replaced yet")
        }
    }
}

/// Starts a sign-in of this user; `None` if the account is gone.
pub(super) async fn begin(state: &AppState, user: User) -> Result<Option<TokenResponse>, Problem> {
    let refresh = RefreshToken::generate();
    let now = state.now();
    let family = state
        .store()
        .create_family(user.id, &refresh.hash(), now, now + state.settings().tokens.refresh)
        .await;
    match family {
        Ok(family) => Ok(Some(TokenResponse::new(state, user, family, &refresh))),
        Err(CreateFamilyError::UnknownUser) => Ok(None),
        Err(CreateFamilyError::Store(error)) => Err(error.into()),
    }
}
