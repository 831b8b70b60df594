//! What operators and their machines ask: is it alive, is it ready, what does it count.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::problem::{Code, Problem, ProblemBody};
use crate::readiness::CheckReport;
use crate::state::AppState;

/// `/ping`: beside the API always.
pub(super) fn ping_route() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(ping))
}

/// The others: beside the API or on a listener of their own.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(ready)).routes(routes!(metrics))
}

/// Say `pong`. Touches nothing.
#[utoipa::path(
    get, path = "/ping", tag = "operations",
    responses((status = 200, description = "`pong`", body = String, content_type = "text/plain")),
)]
async fn ping() -> &'static str {
    "pong"
}

/// Liveness.
#[derive(Serialize, ToSchema)]
struct Health {
    /// Always `ok`: a process that is not does not answer.
    #[schema(example = "ok")]
    status: &'static str,
    /// The version of Streamz.
    version: &'static str,
}

/// Whether this process is alive. Asks nobody else, so that an outage elsewhere never restarts it.
#[utoipa::path(
    get, path = "/health", tag = "operations",
    responses((status = 200, description = "It is", body = Health)),
)]
async fn health() -> Json<Health> {
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// Readiness.
#[derive(Serialize, ToSchema)]
struct Ready {
    /// `ready`, `not_ready` or `draining`.
    #[schema(example = "ready")]
    state: &'static str,
    /// Each dependency.
    checks: Vec<CheckReport>,
}

/// Whether this process should get traffic, with the state of each dependency.
#[utoipa::path(
    get, path = "/ready", tag = "operations",
    responses(
        (status = 200, description = "It should", body = Ready),
        (status = 503, description = "`not_ready`, with `state` and `checks` beside the members of every problem",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn ready(State(state): State<AppState>) -> Result<Json<Ready>, Problem> {
    let checks = state.readiness().report().await;
    let (word, detail) = if state.is_draining() {
        ("draining", "This process is ending; use another one.")
    } else if checks.iter().all(|check| check.ready) {
        return Ok(Json(Ready { state: "ready", checks }));
    } else {
        ("not_ready", "Wait until every one of `checks` is ready.")
    };
    let checks = serde_json::to_value(checks).map_err(|error| Problem::internal(&error))?;
    Err(Problem::new(Code::NotReady, detail).with("state", word).with("checks", checks).retry_after(1))
}

/// What was counted, for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses((status = 200, description = "Prometheus' text format 0.0.4", body = String,
        content_type = "text/plain")),
)]
async fn metrics(State(state): State<AppState>) -> ([(HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], state.metrics().render())
}
