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
use streamz_store::{CreateFamilyError, Credentials, LoginDecision, LoginKey, NewFamily, User};
use utoipa::ToSchema;
use uuid::Uuid;

use super::client::Client;
use super::known::network;
use crate::audit::About;
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

/// The audit event of a sign-in that does not happen.
pub(super) const REFUSED: &str = "sign_in.refused";

/// Counts an attempt from this address; `refusal` is the audit event if it is one too many.
pub(super) async fn admit_address(
    state: &AppState,
    address: IpAddr,
    refusal: &'static str,
) -> Result<(), Problem> {
    let about = About { client: Some(address), reason: Some("address_limited"), ..About::default() };
    admit(state, LoginKey::Address(address), "address", refusal, about).await
}

/// Counts an attempt for this account, whether it exists or not, and returns what to clear if it succeeds.
pub(super) async fn admit_account(
    state: &AppState,
    email: &Email,
    address: IpAddr,
    refusal: &'static str,
) -> Result<Counted, Problem> {
    let counted = Counted::of(state, email, address);
    let about = About {
        // Not looked up: whether it exists is not known here.
        account: Some(state.audit().hash(email)),
        client: Some(address),
        reason: Some("account_limited"),
        ..About::default()
    };
    admit(state, LoginKey::Account(&counted.0), "account", refusal, about).await?;
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

async fn admit(
    state: &AppState,
    key: LoginKey<'_>,
    kind: &'static str,
    refusal: &'static str,
    about: About,
) -> Result<(), Problem> {
    let limit = state.settings().http.logins_per_minute.get();
    match state.store().login_attempt(key, limit, state.now()).await? {
        LoginDecision::Allowed => Ok(()),
        LoginDecision::RetryAfter { seconds } => {
            metrics::counter!("streamz_sign_ins_refused_total", "by" => kind).increment(1);
            state.audit().refused(refusal, about);
            let detail = format!("Too many attempts: come again in {seconds} s.");
            Err(Problem::new(Code::RateLimited, detail).retry_after(seconds))
        }
    }
}

/// The account of this address and its password hash, if the password is its own. Takes the same steps if there is no such
/// account.
pub(super) async fn check(
    state: &AppState,
    email: &Email,
    password: &SecretString,
    address: IpAddr,
) -> Result<(User, String), Problem> {
    let about = About { client: Some(address), ..About::default() };
    let Some(Credentials { user, password_hash }) = state.store().user_by_email(email.as_str()).await? else {
        metrics::counter!("streamz_password_checks_total", "account" => "unknown").increment(1);
        state.passwords().verify_dummy(password).await?;
        let account = Some(state.audit().hash(email));
        state.audit().refused(REFUSED, About { account, reason: Some("unknown_account"), ..about });
        return Err(refused());
    };
    metrics::counter!("streamz_password_checks_total", "account" => "known").increment(1);
    let stored = password_hash.expose_secret();
    match state.passwords().verify(stored, password).await? {
        Verdict::Wrong => {
            let user = Some(UserId(user.id));
            state.audit().refused(REFUSED, About { user, reason: Some("wrong_password"), ..about });
            Err(refused())
        }
        Verdict::Correct { rehash_needed } => {
            let new = if rehash_needed { replace_hash(state, &user, stored, password).await } else { None };
            let hash = new.unwrap_or_else(|| stored.to_owned());
            Ok((user, hash))
        }
    }
}

/// Replaces a hash of the first Streamz, unless the password was changed meanwhile, and returns the new one. The next
/// sign-in tries again if it fails.
async fn replace_hash(state: &AppState, user: &User, old: &str, password: &SecretString) -> Option<String> {
    let new = match state.passwords().rehash(password).await {
        Ok(new) => new,
        Err(error) => {
            tracing::warn!(user = %user.id, %error, "an old password hash could not be replaced yet");
            return None;
        }
    };
    match state.store().replace_password_hash(user.id, old, &new, state.now()).await {
        Ok(replaced) => {
            tracing::info!(user = %user.id, replaced, "an old password hash was replaced");
            replaced.then_some(new)
        }
        Err(error) => {
            tracing::warn!(user = %user.id, %error, "an old password hash could not be replaced yet");
            None
        }
    }
}

/// Starts a sign-in of this user, whose password had this hash when it was checked; `None` if the account is gone, or has
/// another one by now.
pub(super) async fn begin(
    state: &AppState,
    user: User,
    password_hash: &str,
    client: Client,
) -> Result<Option<TokenResponse>, Problem> {
    let refresh = RefreshToken::generate();
    let now = state.now();
    let new = NewFamily {
        user_id: user.id,
        password_hash: Some(password_hash),
        token_hash: &refresh.hash(),
        user_agent: client.agent.as_deref(),
        expires_at: now + state.settings().tokens.refresh,
    };
    match state.store().begin_family(new, now).await {
        Ok(family) => {
            let about = About {
                user: Some(UserId(user.id)),
                session: Some(family),
                client: Some(client.address),
                ..About::default()
            };
            state.audit().done("sign_in.succeeded", about);
            Ok(Some(TokenResponse::new(state, user, family, &refresh)))
        }
        Err(CreateFamilyError::UnknownUser) => {
            let user = Some(UserId(user.id));
            let about = About {
                user,
                client: Some(client.address),
                reason: Some("changed_meanwhile"),
                ..About::default()
            };
            state.audit().refused(REFUSED, about);
            Ok(None)
        }
        Err(CreateFamilyError::Store(error)) => Err(error.into()),
    }
}
