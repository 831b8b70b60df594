//! What stands in a request's path and query.

use axum::extract::{FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use streamz_protocol::DeviceId;
use uuid::Uuid;

use crate::problem::{Code, FieldError, Problem};

/// Refuses a path or query whose percent-encoding is none, or does not say UTF-8. Decoders are lenient: they would
/// take `%zz` for itself and put U+FFFD where bytes make no character, and so find the wrong device.
pub(super) async fn check(request: Request, next: Next) -> Response {
    // A WebSocket client may have to learn of it by a close code.
    if request.uri().path() == super::WS_PATH {
        return next.run(request).await;
    }
    let uri = request.uri();
    let problem = if !is_well_formed(uri.path()) {
        malformed_path("Percent-encode the path as UTF-8 (RFC 3986 section 2.5).")
    } else if !uri.query().is_none_or(is_well_formed) {
        Problem::new(Code::MalformedQuery, "Percent-encode the query as UTF-8 (RFC 3986 section 2.5).")
    } else {
        return next.run(request).await;
    };
    problem.into_response()
}

fn malformed_path(detail: &'static str) -> Problem {
    Problem::new(Code::MalformedPath, detail)
}

/// Whether every percent-encoding is one, and all of them say UTF-8.
pub(crate) fn is_well_formed(text: &str) -> bool {
    let hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    let encoded = (0..bytes.len())
        .filter(|&i| bytes[i] == b'%')
        .all(|i| hex(bytes.get(i + 1)) && hex(bytes.get(i + 2)));
    encoded && percent_decode_str(text).decode_utf8().is_ok()
}

/// The `{device_id}` of a path, decoded.
pub(super) struct DevicePath(pub(super) DeviceId);

impl<S: Send + Sync> FromRequestParts<S> for DevicePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = one_segment(parts, state).await?;
        // An id that no device can have is the id of no device.
        DeviceId::new(&id).map(Self).map_err(|_| super::devices::not_found())
    }
}

/// The `{id}` of a path.
pub(super) struct IdPath(pub(super) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for IdPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = one_segment(parts, state).await?;
        Uuid::parse_str(&id).map(Self).map_err(|_| malformed_path("The id in the path must be a UUID."))
    }
}

async fn one_segment<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, Problem> {
    let segment = Path::<String>::from_request_parts(parts, state).await;
    segment
        .map(|Path(segment)| segment)
        .map_err(|_| malformed_path("Percent-encode the id in the path as UTF-8."))
}

/// The query as a `T` of optional texts; unknown parameters are ignored, a known one must not come twice.
pub(super) struct QueryOf<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|rejection| {
            let text = rejection.body_text();
            let twice = text.split_once("duplicate field `").and_then(|(_, rest)| rest.split('`').next());
            Problem::query(vec![match twice {
                Some(field) => FieldError::new(field.to_owned(), "is given twice"),
                None => FieldError::new("", "the query cannot be read"),
            }])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_checked_to_the_last_byte() {
        for good in ["", "/a", "/api/devices/a%2Fb", "a=%C3%A4&b=+", "%25"] {
            assert!(is_well_formed(good), "{good}");
        }
        for bad in ["%", "%2", "%zz", "/a%2", "%ff", "%C3", "a%%20"] {
            assert!(!is_well_formed(bad), "{bad}");
        }
    }
}
