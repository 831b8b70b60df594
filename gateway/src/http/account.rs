//! What people do with an account that they have: another password, the list of sign-ins, the end of one or of everything.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use streamz_auth::{Email, NewPassword, Verdict};
use streamz_store::{Credentials, SignIn, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::{end_families, gone};
use super::body::{JsonBody, secret};
use super::client::ClientAddress;
use super::fields::Fields;
use super::responses::{Any, ChecksPassword, NamesSession, NeedsStore, NeedsToken, TakesBody};
use super::sign_in;
use super::uri::IdPath;
use crate::audit::About;
use crate::authenticate::Identity;
use crate::problem::{Code, Problem, ProblemBody};
use crate::state::AppState;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(change_password))
        .routes(routes!(sessions))
        .routes(routes!(end_session))
}

/// Who wants another password.
#[derive(Deserialize, ToSchema)]
struct PasswordRequest {
    /// The one that the account has.
    #[serde(default, deserialize_with = "secret")]
    #[schema(value_type = String, required = true, format = Password)]
    current_password: Option<SecretString>,
    /// The one that it shall have: any 8 to 128 characters.
    #[serde(default, deserialize_with = "secret")]
    #[schema(value_type = String, required = true, format = Password, min_length = 8, max_length = 128)]
    new_password: Option<SecretString>,
}

/// Change the password.
///
/// Ends every other sign-in of the account: their tokens are void and their sockets close with 4502. This one goes on. The
/// current password is asked for, and counted, as at a sign-in.
#[utoipa::path(
    put, path = "/api/auth/password", tag = "auth", request_body = PasswordRequest, security(("bearer" = [])),
    responses(
        (status = 204, description = "The account has the new password"),
        (status = 403, description = "`wrong_password`: the current one is another", body = ProblemBody,
            content_type = "application/problem+json"),
        NeedsToken, TakesBody, ChecksPassword, Any,
    ),
)]
async fn change_password(
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    identity: Identity,
    JsonBody(body): JsonBody<PasswordRequest>,
) -> Result<StatusCode, Problem> {
    let mut fields = Fields::default();
    let current =
        fields.required("current_password", body.current_password, Ok::<_, std::convert::Infallible>);
    let new = fields.required("new_password", body.new_password, NewPassword::new);
    let (Some(current), Some(new)) = (current, new) else {
        return Err(fields.into_problem());
    };
    let about = about_own(identity, address);
    let old = owner(&state, identity, address, &current, "password.refused").await?;
    let hash = state.passwords().hash(new).await?;
    let hashes = (old.password_hash.expose_secret(), hash.as_str());
    let Some(ended) =
        state.store().change_password(identity.user.0, hashes, identity.family, state.now()).await?
    else {
        // Somebody else was faster: what was proved is not the password any more.
        state.audit().refused("password.refused", About { reason: Some("wrong_password"), ..about });
        return Err(wrong_password());
    };
    state.audit().done("password.changed", about);
    end_families(&state, identity.user, &ended, "password_changed", Some(address));
    Ok(StatusCode::NO_CONTENT)
}

/// Whoever has a token has not shown that they know the password: they may have found the device unlocked. Tries are
/// counted as at a sign-in, for the address and for the account.
async fn owner(
    state: &AppState,
    identity: Identity,
    address: std::net::IpAddr,
    password: &SecretString,
    refusal: &'static str,
) -> Result<Credentials, Problem> {
    sign_in::admit_address(state, address, refusal).await?;
    let credentials = state.store().credentials(identity.user.0).await?;
    let credentials = credentials.ok_or_else(|| gone(state, identity.user))?;
    // Whatever was stored was an address once.
    let email = Email::parse(&credentials.user.email).map_err(|error| Problem::internal(&error))?;
    let counted = sign_in::admit_account(state, &email, address, refusal).await?;
    match state.passwords().verify(credentials.password_hash.expose_secret(), password).await? {
        Verdict::Correct { .. } => {
            sign_in::succeeded(state, &email, address, &counted).await;
            Ok(credentials)
        }
        Verdict::Wrong => {
            let reason = Some("wrong_password");
            state.audit().refused(refusal, About { reason, ..about_own(identity, address) });
            Err(wrong_password())
        }
    }
}

/// What people do with the account of their own token.
fn about_own(identity: Identity, address: std::net::IpAddr) -> About {
    About {
        user: Some(identity.user),
        session: Some(identity.family),
        client: Some(address),
        ..About::default()
    }
}

/// Not a 401: the token is good, and another one would not help.
fn wrong_password() -> Problem {
    Problem::new(Code::WrongPassword, "This is not the password of the account; check it.")
}

/// One sign-in.
#[derive(Serialize, ToSchema)]
struct Session {
    /// Its id.
    id: Uuid,
    /// When it began.
    #[serde(serialize_with = "json::time")]
    created_at: DateTime<Utc>,
    /// When it was last refreshed.
    #[serde(serialize_with = "json::time")]
    last_used_at: DateTime<Utc>,
    /// When it ends by itself, unless it is refreshed.
    #[serde(serialize_with = "json::time")]
    expires_at: DateTime<Utc>,
    /// What the client called itself, for people to recognise; null if it did not.
    user_agent: Option<String>,
    /// Whether it is the one that asks.
    current: bool,
}

/// The sign-ins of an account.
#[derive(Serialize, ToSchema)]
struct SessionsResponse {
    /// The one that was used last first; a hundred at most.
    sessions: Vec<Session>,
}

/// List your sign-ins.
#[utoipa::path(
    get, path = "/api/auth/sessions", tag = "auth", security(("bearer" = [])),
    responses((status = 200, description = "Those that go on", body = SessionsResponse), NeedsToken, NeedsStore, Any),
)]
async fn sessions(
    State(state): State<AppState>,
    identity: Identity,
) -> Result<Json<SessionsResponse>, Problem> {
    let listed = state.store().sign_ins(identity.user.0, state.now()).await?;
    if listed.is_empty() {
        super::auth::must_exist(&state, identity.user).await?;
    }
    let of = |SignIn { id, created_at, last_used_at, expires_at, user_agent }| Session {
        id,
        created_at,
        last_used_at,
        expires_at,
        user_agent,
        current: id == identity.family,
    };
    Ok(Json(SessionsResponse { sessions: listed.into_iter().map(of).collect() }))
}

/// End a sign-in.
///
/// Its tokens are void and its sockets close with 4502. The own one may be ended too: that is a logout.
#[utoipa::path(
    delete, path = "/api/auth/sessions/{id}", tag = "auth", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "Of the list")),
    responses((status = 204, description = "It has ended"), NamesSession, NeedsToken, NeedsStore, Any),
)]
async fn end_session(
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    identity: Identity,
    IdPath(session): IdPath,
) -> Result<StatusCode, Problem> {
    if !state.store().end_sign_in(identity.user.0, session, "ended", state.now()).await? {
        super::auth::must_exist(&state, identity.user).await?;
        return Err(Problem::new(Code::SessionNotFound, "The account has no such sign-in, or it has ended."));
    }
    end_families(&state, identity.user, &[session], "ended", Some(address));
    Ok(StatusCode::NO_CONTENT)
}

/// Whose account shall end.
#[derive(Deserialize, ToSchema)]
pub(super) struct DeleteAccountRequest {
    /// Its password.
    #[serde(default, deserialize_with = "secret")]
    #[schema(value_type = String, required = true, format = Password)]
    password: Option<SecretString>,
}

/// Delete the account.
///
/// Everything of it goes: devices, stream records, sign-ins. Its sockets close with 4502, its live streams end. Nothing
/// brings it back; the address may be registered anew.
#[utoipa::path(
    delete, path = "/api/auth/me", tag = "auth", request_body = DeleteAccountRequest, security(("bearer" = [])),
    responses(
        (status = 204, description = "It is gone"),
        (status = 403, description = "`wrong_password`", body = ProblemBody, content_type = "application/problem+json"),
        NeedsToken, TakesBody, ChecksPassword, Any,
    ),
)]
pub(super) async fn delete_account(
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    identity: Identity,
    JsonBody(body): JsonBody<DeleteAccountRequest>,
) -> Result<StatusCode, Problem> {
    let mut fields = Fields::default();
    let Some(password) = fields.required("password", body.password, Ok::<_, std::convert::Infallible>) else {
        return Err(fields.into_problem());
    };
    let about = about_own(identity, address);
    owner(&state, identity, address, &password, "deletion.refused").await?;
    let Some(ended) = state.store().delete_user(identity.user.0, state.now()).await? else {
        return Err(gone(&state, identity.user));
    };
    state.audit().done("account.deleted", about);
    end_families(&state, identity.user, &ended, "account_deleted", Some(address));
    // What hubs know of it besides sessions; after those have ended, so that they hear why.
    state.hubs().user_gone(identity.user);
    Ok(StatusCode::NO_CONTENT)
}
