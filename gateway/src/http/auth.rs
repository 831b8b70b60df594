//! `/api/auth`: accounts and sign-ins.

use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;
use streamz_auth::{Email, NewPassword, RefreshToken};
use streamz_protocol::UserId;
use streamz_store::{CreateUserError, NewUser, Rotation, User};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::body::{JsonBody, secret};
use super::client::{Client, ClientAddress, UserAgent};
use super::fields::{Fields, person_name};
use super::responses::{Any, ChecksPassword, NeedsStore, NeedsToken, TakesBody};
use super::sign_in::{self, TokenResponse};
use crate::audit::About;
use crate::authenticate::{AuthFailure, Identity};
use crate::problem::{Code, Problem, ProblemBody};
use crate::state::AppState;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(register))
        .routes(routes!(login))
        .routes(routes!(refresh))
        .routes(routes!(logout))
        .routes(routes!(me, super::account::delete_account))
}

/// Who wants an account.
#[derive(Deserialize, ToSchema)]
struct RegisterRequest {
    /// The address to sign in with; upper and lower case are the same.
    #[schema(value_type = String, example = "ada@example.org", max_length = 254)]
    email: Option<String>,
    /// Any 8 to 128 characters.
    #[serde(default, deserialize_with = "secret")]
    #[schema(value_type = String, required = true, format = Password, min_length = 8, max_length = 128)]
    password: Option<SecretString>,
    /// The given name.
    #[schema(example = "Ada", max_length = 255)]
    first_name: Option<String>,
    /// The family name.
    #[schema(example = "Lovelace", max_length = 255)]
    last_name: Option<String>,
}

/// Make an account and sign in.
#[utoipa::path(
    post, path = "/api/auth/register", tag = "auth", request_body = RegisterRequest,
    responses(
        (status = 201, description = "The account, signed in", body = TokenResponse),
        (status = 409, description = "`email_taken`", body = ProblemBody, content_type = "application/problem+json"),
        TakesBody, ChecksPassword, Any,
    ),
)]
async fn register(
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    UserAgent(agent): UserAgent,
    JsonBody(body): JsonBody<RegisterRequest>,
) -> Result<(StatusCode, Json<TokenResponse>), Problem> {
    let mut fields = Fields::default();
    let email = fields.required("email", body.email, |text| Email::parse(&text));
    let password = fields.required("password", body.password, NewPassword::new);
    let first_name = fields.optional("first_name", body.first_name, person_name).flatten();
    let last_name = fields.optional("last_name", body.last_name, person_name).flatten();
    let (Some(email), Some(password), true) = (email, password, fields.good()) else {
        return Err(fields.into_problem());
    };
    let client = Client { address, agent };
    // A hash costs as much as a sign-in: both count together for an address.
    sign_in::admit_address(&state, address, "sign_up.refused").await?;
    let password_hash = state.passwords().hash(password).await?;
    let new = NewUser {
        email: email.as_str(),
        password_hash: &password_hash,
        first_name: first_name.as_deref(),
        last_name: last_name.as_deref(),
    };
    let user = match state.store().create_user(new, state.now()).await {
        Ok(user) => user,
        Err(CreateUserError::EmailTaken) => {
            let detail = "There is an account with this address: sign in, or use another one.";
            return Err(Problem::new(Code::EmailTaken, detail));
        }
        Err(CreateUserError::Store(error)) => return Err(error.into()),
    };
    let about = About { user: Some(UserId(user.id)), client: Some(address), ..About::default() };
    state.audit().done("account.created", about);
    state.known().remember(&email, address);
    let tokens =
        sign_in::begin(&state, user, &password_hash, client).await?.ok_or_else(Problem::user_gone)?;
    Ok((StatusCode::CREATED, Json(tokens)))
}

/// Who signs in.
#[derive(Deserialize, ToSchema)]
struct LoginRequest {
    /// The account's address.
    #[schema(value_type = String, example = "ada@example.org")]
    email: Option<String>,
    /// Its password.
    #[serde(default, deserialize_with = "secret")]
    #[schema(value_type = String, required = true, format = Password)]
    password: Option<SecretString>,
}

/// Sign in.
///
/// The answer is the same, and takes the same steps, for a wrong password and for an account that does not exist.
#[utoipa::path(
    post, path = "/api/auth/login", tag = "auth", request_body = LoginRequest,
    responses(
        (status = 200, description = "Signed in", body = TokenResponse),
        (status = 401, description = "`invalid_credentials`", body = ProblemBody,
            content_type = "application/problem+json"),
        TakesBody, ChecksPassword, Any,
    ),
)]
async fn login(
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    UserAgent(agent): UserAgent,
    JsonBody(body): JsonBody<LoginRequest>,
) -> Result<Json<TokenResponse>, Problem> {
    let mut fields = Fields::default();
    let email = fields.required("email", body.email, |text| Email::parse(&text));
    // The rules for new passwords do not apply: this one is right or wrong.
    let password = fields.required("password", body.password, Ok::<_, std::convert::Infallible>);
    let (Some(email), Some(password)) = (email, password) else {
        return Err(fields.into_problem());
    };
    let client = Client { address, agent };
    sign_in::admit_address(&state, address, sign_in::REFUSED).await?;
    let counted = sign_in::admit_account(&state, &email, address, sign_in::REFUSED).await?;
    let (user, hash) = sign_in::check(&state, &email, &password, address).await?;
    sign_in::succeeded(&state, &email, address, &counted).await;
    sign_in::begin(&state, user, &hash, client).await?.map(Json).ok_or_else(sign_in::refused)
}

/// A refresh token.
#[derive(Deserialize, ToSchema)]
struct RefreshRequest {
    /// The newest one of the sign-in.
    #[serde(default, deserialize_with = "secret")]
    #[schema(value_type = String, required = true)]
    refresh_token: Option<SecretString>,
    /// The one that is to take its place, if the client chooses it: `srt_` and 32 random bytes in base64url without
    /// padding. The same request may then be made again if it had no answer.
    #[serde(default, deserialize_with = "secret")]
    #[schema(value_type = Option<String>)]
    new_refresh_token: Option<SecretString>,
}

/// Get new tokens.
///
/// The refresh token is spent by it. If it comes again, other than in the same request, somebody has copied it: the whole
/// sign-in is revoked then and its sockets close.
#[utoipa::path(
    post, path = "/api/auth/refresh", tag = "auth", request_body = RefreshRequest,
    responses(
        (status = 200, description = "New tokens of the same sign-in", body = TokenResponse),
        (status = 401, description = "`invalid_refresh_token`, `refresh_token_reused` or `revoked`: sign in again",
            body = ProblemBody, content_type = "application/problem+json"),
        TakesBody, NeedsStore, Any,
    ),
)]
async fn refresh(
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    JsonBody(body): JsonBody<RefreshRequest>,
) -> Result<Json<TokenResponse>, Problem> {
    let mut fields = Fields::default();
    let old = fields.required("refresh_token", body.refresh_token, Ok::<_, std::convert::Infallible>);
    let new = fields.optional("new_refresh_token", body.new_refresh_token, |new| {
        RefreshToken::parse(secrecy::ExposeSecret::expose_secret(&new))
            .map_err(|_| "must be srt_ and 32 random bytes in base64url without padding")
    });
    let (Some(old), true) = (old, fields.good()) else { return Err(fields.into_problem()) };
    let new = new.unwrap_or_else(RefreshToken::generate);
    let refused = |reason| {
        let about = About { reason: Some(reason), client: Some(address), ..About::default() };
        state.audit().refused("refresh.refused", about);
        Problem::new(Code::InvalidRefreshToken, "The refresh token is unknown or too old: sign in again.")
    };
    let old =
        RefreshToken::parse(secrecy::ExposeSecret::expose_secret(&old)).map_err(|_| refused("unknown"))?;
    let now = state.now();
    let expires_at = now + state.settings().tokens.refresh;
    match state.store().rotate_refresh_token(&old.hash(), &new.hash(), now, expires_at).await? {
        Rotation::Rotated { user, family_id } => Ok(Json(TokenResponse::new(&state, user, family_id, &new))),
        Rotation::Reused { user_id, family_id } => {
            let user = UserId(user_id);
            let about = About {
                user: Some(user),
                session: Some(family_id),
                client: Some(address),
                reason: Some("reused"),
                ..About::default()
            };
            state.audit().refused("refresh.refused", about);
            end_families(&state, user, &[family_id], "reused", Some(address));
            let detail = "This refresh token had been used before, so its sign-in was ended: sign in again.";
            Err(Problem::new(Code::RefreshTokenReused, detail))
        }
        Rotation::Revoked => {
            let _ = refused("revoked");
            Err(AuthFailure::Revoked.into())
        }
        Rotation::Expired => Err(refused("expired")),
        Rotation::Unknown => Err(refused("unknown")),
    }
}

/// Sign-ins of which other gateways are told one by one. The list in the store, which they read every second, has the
/// rest.
const TOLD_AT_ONCE: usize = 256;

/// What follows when the store has noted that sign-ins ended.
pub(super) fn end_families(
    state: &AppState,
    user: UserId,
    families: &[Uuid],
    by: &'static str,
    client: Option<IpAddr>,
) {
    let now = state.now();
    for (number, family) in families.iter().enumerate() {
        state.revoked().insert(*family, now, now);
        if number < TOLD_AT_ONCE {
            state.hubs().revoke(user, *family);
        }
        let about =
            About { user: Some(user), session: Some(*family), client, reason: Some(by), ..About::default() };
        state.audit().done("session.revoked", about);
    }
}

/// Sign out.
///
/// Ends the sign-in that the access token belongs to: its tokens are void and its sockets close.
#[utoipa::path(
    post, path = "/api/auth/logout", tag = "auth", security(("bearer" = [])),
    responses((status = 204, description = "Signed out"), NeedsToken, NeedsStore, Any),
)]
async fn logout(
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    identity: Identity,
) -> Result<StatusCode, Problem> {
    let Identity { user, family, .. } = identity;
    let was_live = state.store().revoke_family(family, "logout", state.now()).await?;
    if !was_live {
        // A deleted account's tokens are not revoked but void: whoever shows one is told so, here and at every door.
        must_exist(&state, user).await?;
    }
    // Also if it was not live: its end may have been noted by a process that died before it told anybody.
    end_families(&state, user, &[family], "logout", Some(address));
    Ok(StatusCode::NO_CONTENT)
}

/// Who is signed in.
#[utoipa::path(
    get, path = "/api/auth/me", tag = "auth", security(("bearer" = [])),
    responses((status = 200, description = "The account", body = User), NeedsToken, NeedsStore, Any),
)]
async fn me(State(state): State<AppState>, identity: Identity) -> Result<Json<User>, Problem> {
    must_exist(&state, identity.user).await.map(Json)
}

/// The user of a valid token, who may have been deleted since it was issued.
pub(super) async fn must_exist(state: &AppState, user: UserId) -> Result<User, Problem> {
    state.store().user(user.0).await?.ok_or_else(|| gone(state, user))
}

/// The answer to a token whose user the store does not have, and the end of that user's sockets.
pub(super) fn gone(state: &AppState, user: UserId) -> Problem {
    state.hubs().user_gone(user);
    Problem::user_gone()
}
