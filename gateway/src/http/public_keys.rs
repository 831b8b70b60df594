//! `/.well-known/jwks.json`: with what others can check our access tokens.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::responses::Any;
use crate::state::AppState;

/// A rotation shows a key for longer than this before it signs.
const FRESH: HeaderValue = HeaderValue::from_static("public, max-age=300");

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(public_keys))
}

/// The public keys of access tokens, as a JWK set (RFC 7517).
///
/// A token names its key in its header (`kid`); `alg` stands with the key. The set is empty if a secret signs. A service
/// that checks tokens by them checks `exp` and `iss` (`streamz`), too, and does not hear of revocations.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "auth",
    responses((status = 200, description = "`{keys: […]}`", body = Object), Any),
)]
async fn public_keys(State(state): State<AppState>) -> impl IntoResponse {
    ([(CACHE_CONTROL, FRESH)], Json(state.verifier().public_keys()))
}
