//! `/api/ice-servers`: how two devices find a way to each other.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use serde::Serialize;
use streamz_auth::IceServer;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::gone;
use super::responses::{Any, NeedsToken};
use crate::authenticate::Identity;
use crate::problem::Problem;
use crate::state::AppState;
use crate::ws::host;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(ice_servers))
}

/// For `new RTCPeerConnection({iceServers})`.
#[derive(Serialize, ToSchema)]
struct IceServersResponse {
    /// The servers; empty if none is configured.
    ice_servers: Vec<IceServer>,
    /// When the credentials lapse; null if there are none.
    #[serde(serialize_with = "streamz_store::json::optional_time")]
    expires_at: Option<DateTime<Utc>>,
}

/// STUN and TURN servers, with credentials that lapse by themselves.
///
/// The username is `expiry:user`, the credential the HMAC-SHA1 over it, as coturn's `use-auth-secret` wants it.
#[utoipa::path(
    get, path = "/api/ice-servers", tag = "streams", security(("bearer" = [])),
    responses((status = 200, description = "The servers", body = IceServersResponse), NeedsToken, Any),
)]
async fn ice_servers(
    State(state): State<AppState>,
    identity: Identity,
    headers: HeaderMap,
) -> Result<Json<IceServersResponse>, Problem> {
    // A deleted user gets no relay. While the store is away the token alone counts: devices that are connected
    // stream on.
    match state.store().user(identity.user.0).await {
        Ok(None) => return Err(gone(&state, identity.user)),
        Err(error) if !error.is_unavailable() => return Err(error.into()),
        Ok(Some(_)) | Err(_) => {}
    }
    let now = state.now();
    let ice_servers = state.ice().at(&identity.user.to_string(), host(&headers), now);
    let lapse = ice_servers.iter().any(|server| server.credential.is_some());
    // The second that stands in the username.
    let expiry = now.timestamp().saturating_add_unsigned(state.ice().ttl().as_secs());
    let expires_at = DateTime::from_timestamp(expiry, 0).filter(|_| lapse);
    Ok(Json(IceServersResponse { ice_servers, expires_at }))
}
