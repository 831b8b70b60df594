//! Around every request: its id, its span, its figures, and the last word on how errors look.

use std::any::Any;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;
use uuid::Uuid;

use crate::problem::{Code, PROBLEM_JSON, Problem};
use crate::state::AppState;

/// The header that carries a request's id, both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken over from a client.
const REQUEST_ID_MAX: usize = 64;
/// What pages may do with an answer of the API: nothing.
const API_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// What a request is found by in logs and traces; an extension of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The client's own, if it can stand in a log as it is, or a new one.
    fn of(headers: &HeaderMap) -> Self {
        let sane = |text: &&str| {
            (1..=REQUEST_ID_MAX).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        };
        let theirs = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(sane);
        Self(theirs.map_or_else(|| Uuid::new_v4().to_string(), ToOwned::to_owned))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The outermost layer.
pub(super) async fn observe(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = RequestId::of(request.headers());
    let method = method_word(request.method());
    let personal = request.uri().path().starts_with("/api/");
    // The template, never the path: the number of different ones is bounded, and ids stay out of the figures.
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or_else(|| "unmatched".to_owned(), |route| route.as_str().to_owned());
    request.extensions_mut().insert(id.clone());
    let span = tracing::info_span!(
        "request",
        method,
        route = route.as_str(),
        request_id = id.as_str(),
        status = tracing::field::Empty
    );
    let mut response = next.run(request).instrument(span.clone()).await;
    if response.status().is_client_error() || response.status().is_server_error() {
        response = as_problem(response, &id);
    }
    add_headers(&mut response, &id, personal);
    let status = response.status();
    span.record("status", status.as_u16());
    span.in_scope(|| record(method, route, status, started));
    response
}

fn record(method: &'static str, route: String, status: StatusCode, started: Instant) {
    let took = started.elapsed();
    if status.is_server_error() {
        tracing::warn!(?took, "answered");
    } else {
        tracing::debug!(?took, "answered");
    }
    let word = status.as_str().to_owned();
    metrics::counter!(
        "streamz_http_requests_total", "method" => method, "route" => route.clone(), "status" => word
    )
    .increment(1);
    metrics::histogram!("streamz_http_request_seconds", "method" => method, "route" => route).record(took);
}

/// A method as a label: a client cannot invent new ones.
fn method_word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Gives an error answer the form of a problem with the request's id, whoever made it.
fn as_problem(mut response: Response, id: &RequestId) -> Response {
    let problem = response.extensions_mut().remove::<Problem>();
    let problem = problem.unwrap_or_else(|| Problem::for_status(response.status()));
    let json = problem.to_json(Some(id.as_str()));
    // Other headers stay: Allow, Retry-After, WWW-Authenticate, those for CORS.
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    response.headers_mut().remove(CONTENT_LENGTH);
    response.map(|_| Body::from(json))
}

fn add_headers(response: &mut Response, id: &RequestId, personal: bool) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(API_POLICY);
    if personal {
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
}

/// Ends a request that takes too long: a body that trickles in, or a dependency that hangs.
pub(super) async fn within(State(state): State<AppState>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(state.settings().request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let problem =
                Problem::new(Code::Timeout, "Send the whole request at once; if you did, try again later.");
            let mut response = problem.into_response();
            // The rest of the body may still be on its way.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }
    }
}

/// A handler panicked: that is a defect, but of this request alone.
pub(super) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Problem::internal(&format!("a handler panicked: {}", text.unwrap_or("(no text)"))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_request_id_is_kept_and_any_other_replaced() {
        let of = |text: &'static str| {
            RequestId::of(&HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static(text))]))
        };
        let longest: &'static str = "0123456789012345678901234567890123456789012345678901234567890123";
        for sane in ["a", "trace-1_2.3", longest] {
            assert_eq!(of(sane).as_str(), sane);
        }
        for other in
            ["", "a b", "a\"b", "{}", "01234567890123456789012345678901234567890123456789012345678901234"]
        {
            assert!(Uuid::parse_str(of(other).as_str()).is_ok(), "{other}");
        }
        assert_ne!(RequestId::of(&HeaderMap::new()), RequestId::of(&HeaderMap::new()));
    }
}
