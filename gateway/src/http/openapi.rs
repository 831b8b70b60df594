//! The API's own description: `/api/openapi.json`, generated from the handlers, and `/docs`, a page that shows it.

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::problem::{Code, FieldError, ProblemBody};
use crate::state::AppState;

/// Where the document is.
const DOCUMENT_PATH: &str = "/api/openapi.json";
/// Everything comes from here; the page sets styles from its script.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);

/// What no handler says by itself.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Streamz",
        description = "Accounts, devices, presence and signaling for WebRTC streams between a person's devices.\n\n\
            Errors are `application/problem+json` (RFC 9457) with a stable `code`. Ids are UUIDs, times RFC 3339 in \
            UTC. Unknown fields in a request are ignored. Send an `x-request-id` of up to 64 letters, digits, `-`, \
            `_` and `.` to find your request in the logs; every answer carries one.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
        contact(),
    ),
    tags(
        (name = "auth", description = "Accounts and sign-ins"),
        (name = "devices", description = "What an account has registered"),
        (name = "streams", description = "Records of streams; servers for ICE"),
        (name = "signaling", description = "The WebSocket"),
        (name = "operations", description = "For operators and this documentation"),
    ),
    paths(web_socket, document, page),
    components(schemas(ProblemBody, Code, FieldError)),
    modifiers(&Security),
)]
pub(super) struct Api;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut Document) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("The `access_token` of a sign-in."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

/// Connect a device.
///
/// A browser authenticates with the subprotocols `streamz.v1, bearer.JWT`, anything else may use `Authorization`. A
/// token in the query string is refused. A device seen for the first time is registered. A client that offered
/// `streamz.v1` learns a refusal by a close code, any other by the HTTP status. docs/protocol.md has the frames.
#[utoipa::path(
    get, path = "/ws", operation_id = "connect", tag = "signaling", security(("bearer" = []), ()),
    params(
        ("device_id" = String, Query, description = "Your name for the device: 1 to 255 characters"),
        ("device_name" = Option<String>, Query, description = "What people call it, for its registration"),
        ("device_type" = Option<String>, Query, description = "Its type, for its registration"),
        ("max_streams" = Option<u16>, Query, description = "How many streams it takes at a time; 1"),
        ("traceparent" = Option<String>, Query, description = "W3C trace context, where the header cannot be set"),
        ("session_id" = Option<uuid::Uuid>, Query, description = "The session to resume"),
        ("last_seq" = Option<u64>, Query, description = "The last `seq` that arrived, to resume"),
        ("Sec-WebSocket-Protocol" = Option<String>, Header,
            description = "`streamz.v1`, and `bearer.` with the access token", example = "streamz.v1, bearer.eyJ…"),
    ),
    responses(
        (status = 101, description = "A WebSocket; its first frame is `welcome`"),
        (status = 400, description = "`malformed_query` or `bad_request`", body = ProblemBody,
            content_type = "application/problem+json"),
        super::responses::NeedsToken,
        (status = 403, description = "`forbidden_origin`", body = ProblemBody,
            content_type = "application/problem+json"),
        super::responses::Any,
    ),
)]
#[expect(dead_code, reason = "the handler is the WebSocket's own; this describes it")]
fn web_socket() {}

/// This document.
#[utoipa::path(
    get, path = "/api/openapi.json", tag = "operations",
    responses((status = 200, description = "OpenAPI", body = Object)),
)]
#[expect(dead_code, reason = "it is served by a closure that holds the text")]
fn document() {}

/// This document as a page. Loads nothing from elsewhere.
#[utoipa::path(
    get, path = "/docs", tag = "operations",
    responses((status = 303, description = "To `/docs/`, the page")),
)]
#[expect(dead_code, reason = "it is served by the page's own router")]
fn page() {}

/// The document and its page.
pub(super) fn routes(document: &Document) -> Router<AppState> {
    let json = Bytes::from(document.to_json().expect("the document has string keys only"));
    let serve = move || async move {
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            // It changes with a deployment.
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        ];
        (headers, json).into_response()
    };
    // The validator that the page would ask is on the internet.
    let config = Config::new([DOCUMENT_PATH]).validator_url("none").persist_authorization(false);
    let page =
        Router::from(SwaggerUi::new("/docs").config(config)).route_layer(map_response(set_page_policy));
    Router::new().route(DOCUMENT_PATH, get(serve)).merge(page)
}

async fn set_page_policy(mut response: Response) -> Response {
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, PAGE_POLICY);
    response
}
