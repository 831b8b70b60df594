//! What operators and their machines ask: is it alive, is it ready, what does it count, what is wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{FromRef, State};
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Json, Router};
use serde::Serialize;
use streamz_platform::metrics::MetricsHandle;
use streamz_status::Report;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::problem::{Code, Problem, ProblemBody};
use crate::readiness::{CheckReport, Readiness, Verdict};
use crate::state::AppState;
use crate::status::{StatusSource, only_from_here};

/// What operators ask about.
#[derive(Clone)]
pub struct Operations {
    readiness: Readiness,
    metrics: MetricsHandle,
    status: StatusSource,
    draining: Arc<AtomicBool>,
}

impl Operations {
    /// Of a process that is not ending.
    #[must_use]
    pub fn new(readiness: Readiness, metrics: MetricsHandle, status: StatusSource) -> Self {
        Self { readiness, metrics, status, draining: Arc::default() }
    }

    /// From now on the process is not ready.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the process is ending.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

impl FromRef<AppState> for Operations {
    fn from_ref(state: &AppState) -> Self {
        state.operations().clone()
    }
}

/// The operators' routes of a process that has no API.
pub fn operations_alone(operations: Operations) -> Router {
    let (routes, _) = routes::<Operations>().merge(ping_route()).split_for_parts();
    routes
        .layer(CatchPanicLayer::custom(super::observe::panicked))
        .layer(from_fn(super::uri::check))
        .layer(from_fn(super::observe::observe))
        .with_state(operations)
}

/// `/ping`: beside the API always.
pub(super) fn ping_route<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::new().routes(routes!(ping))
}

/// The others, on a listener of their own.
pub(super) fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Operations: FromRef<S>,
{
    open_routes().routes(routes!(status))
}

/// The others, beside the API: the status not for everybody.
pub(super) fn routes_beside(state: AppState) -> OpenApiRouter<AppState> {
    let only_from_here = from_fn_with_state(state, only_from_here);
    open_routes().merge(OpenApiRouter::new().routes(routes!(status)).route_layer(only_from_here))
}

fn open_routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Operations: FromRef<S>,
{
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
    /// `ready`; or `degraded`: the store is away, and devices that are connected go on without it.
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
async fn ready(State(state): State<Operations>) -> Result<Json<Ready>, Problem> {
    let (verdict, checks) = state.readiness.verdict().await;
    let (word, detail) = match verdict {
        _ if state.is_draining() => ("draining", "This process is ending; use another one."),
        Verdict::Ready => return Ok(Json(Ready { state: "ready", checks })),
        Verdict::Degraded => return Ok(Json(Ready { state: "degraded", checks })),
        Verdict::NotReady => ("not_ready", "Wait until every one of `checks` is ready."),
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
async fn metrics(State(state): State<Operations>) -> ([(HeaderName, &'static str); 1], String) {
    // Parts of the process are asked, and may hold a lock: not where everybody else works. An error: one of them panicked.
    let text = tokio::task::spawn_blocking(move || state.metrics.render()).await.unwrap_or_default();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

/// What this process does, how its fleet looks from here, and what is wrong.
#[utoipa::path(
    get, path = "/status", tag = "operations",
    responses(
        (status = 200, description = "Well or not; `streamz status` shows it to people", body = Report),
        (status = 404, description = "Beside the API it is for programs on the same machine alone",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn status(State(state): State<Operations>) -> ([(HeaderName, &'static str); 1], Json<Report>) {
    let mut status = state.status.status().await;
    status.draining = state.is_draining();
    ([(CACHE_CONTROL, "no-store")], Json(Report::of(status, Vec::new())))
}
