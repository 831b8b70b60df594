//! The HTTP API: one file per resource, and what they share.
//!
//! | file | one reason |
//! |---|---|
//! | `auth`, `sign_in`, `known` | accounts and sign-ins; who may try a password |
//! | `devices`, `streams`, `ice_servers`, `public_keys` | one resource each |
//! | `account` | what people do with an account that they have |
//! | `operations` | liveness, readiness, figures, status |
//! | `openapi`, `responses` | the API's description |
//! | `console` | the page that people use |
//! | `body`, `uri`, `fields`, `client` | what a request says, checked |
//! | `observe` | around every request: id, span, figures, the form of errors |
//! | `shed` | requests beyond what may be under way |
//!
//! The layers, from the outside: `observe`, CORS, the check of the percent-encoding, shedding, the time limit, panics.

mod account;
mod auth;
mod body;
mod client;
mod console;
mod devices;
pub mod fields;
mod ice_servers;
mod known;
mod observe;
mod openapi;
mod operations;
mod public_keys;
mod responses;
mod shed;
mod sign_in;
mod streams;
mod uri;

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::MethodRouter;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

pub use client::ClientAddress;
pub(crate) use known::{KnownClients, network};
pub use observe::{REQUEST_ID, RequestId};
pub(crate) use uri::is_well_formed;

use crate::state::{AppState, Settings};

/// Where devices connect.
pub(crate) const WS_PATH: &str = "/ws";

/// How long a browser remembers what CORS allows.
const CORS_MAX_AGE: Duration = Duration::from_secs(600);

/// Everything that is served on the main port; `ws` handles `/ws`.
///
/// Without [`Settings::operations_elsewhere`] the operators' routes are among it; with it they are
/// [`operations()`] alone.
pub fn router(state: AppState, ws: MethodRouter<AppState>) -> Router {
    let document = document();
    let (mut routes, _) = api().split_for_parts();
    if !state.settings().operations_elsewhere {
        let (operations, _) = operations::routes_beside(state.clone()).split_for_parts();
        routes = routes.merge(operations);
    }
    let routes = routes.route(WS_PATH, ws).merge(openapi::routes(&document)).merge(console::routes());
    with_layers(routes, state)
}

pub use operations::{Operations, operations_alone};

/// The operators' routes, for a listener of their own.
pub fn operations(state: AppState) -> Router {
    let (routes, _) = operations::routes::<AppState>().merge(operations::ping_route()).split_for_parts();
    with_layers(routes, state)
}

/// The OpenAPI document: of all routes, wherever they are served.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    let described = OpenApiRouter::with_openapi(openapi::Api::openapi());
    described.merge(api()).merge(operations::routes::<AppState>()).into_openapi()
}

fn api() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(auth::routes())
        .merge(account::routes())
        .merge(devices::routes())
        .merge(streams::routes())
        .merge(ice_servers::routes())
        .merge(public_keys::routes())
        .merge(operations::ping_route())
}

fn with_layers(routes: Router<AppState>, state: AppState) -> Router {
    let settings = state.settings();
    routes
        .layer(CatchPanicLayer::custom(observe::panicked))
        .layer(DefaultBodyLimit::max(settings.http.body_bytes))
        .layer(from_fn_with_state(state.clone(), observe::within))
        .layer(from_fn_with_state(state.clone(), shed::shed))
        .layer(from_fn(uri::check))
        .layer(cors(settings))
        .layer(from_fn(observe::observe))
        .with_state(state)
}

/// Bearer tokens are sent by scripts on purpose, never by a browser on its own, so there are no credentials to
/// allow.
fn cors(settings: &Settings) -> CorsLayer {
    let origins = settings.origins.clone();
    let allowed = move |origin: &HeaderValue, parts: &Parts| {
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
        origin.to_str().is_ok_and(|origin| origins.allows(origin, host))
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, REQUEST_ID])
        .expose_headers([REQUEST_ID, RETRY_AFTER, WWW_AUTHENTICATE])
        .max_age(CORS_MAX_AGE)
}
