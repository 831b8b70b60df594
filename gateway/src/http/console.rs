//! The console: the page at `/`, its parts under `/console/`, the JavaScript client that it is made with beside them.
//!
//! Everything is in the binary, so that a page and the server that it talks to are always of one version. Nothing here
//! asks who is there: the page signs in through the API like any other client.

use std::borrow::Cow;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::state::AppState;

/// The page.
#[derive(RustEmbed)]
#[folder = "../console/src"]
struct Page;

/// The modules of the client, as it is published.
#[derive(RustEmbed)]
#[folder = "../clients/js/src"]
struct Client;

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
/// What the page streams, it may capture; nothing else of the device is its business.
const PERMISSIONS: HeaderValue = HeaderValue::from_static(
    "camera=(self), microphone=(self), display-capture=(self), fullscreen=(self), geolocation=(), payment=(), usb=()",
);
/// A browser asks each time whether its copy is still right: a deployment is seen at the next reload.
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// `/` and `/console/…`.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(page))
        .route("/console/client/{*path}", get(client))
        .route("/console/{*path}", get(part))
}

async fn page(headers: HeaderMap) -> Response {
    serve(Page::get("index.html"), "index.html", &headers)
}

async fn part(Path(path): Path<String>, headers: HeaderMap) -> Response {
    serve(Page::get(&path), &path, &headers)
}

async fn client(Path(path): Path<String>, headers: HeaderMap) -> Response {
    serve(Client::get(&path), &path, &headers)
}

fn serve(file: Option<EmbeddedFile>, path: &str, asked: &HeaderMap) -> Response {
    // It is made a problem like every other error.
    let (Some(file), Some(content_type)) = (file, content_type(path)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Ok(tag) = HeaderValue::from_str(&etag(&file.metadata.sha256_hash())) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let unchanged = asked.get_all(IF_NONE_MATCH).iter().any(|tags| names(tags, &tag));
    let headers = [
        (CACHE_CONTROL, REVALIDATE),
        (CONTENT_SECURITY_POLICY, policy(asked.get(HOST))),
        (PERMISSIONS_POLICY, PERMISSIONS),
        (ETAG, tag),
    ];
    if unchanged {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let body = match file.data {
        Cow::Borrowed(bytes) => Body::from(Bytes::from_static(bytes)),
        Cow::Owned(bytes) => Body::from(bytes),
    };
    (headers, [(CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response()
}

/// What of the folder is served: a file of another kind is not for browsers.
fn content_type(path: &str) -> Option<&'static str> {
    Some(match path.rsplit_once('.')?.1 {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => return None,
    })
}

/// Half of the hash is enough to tell one version of a file from another.
fn etag(hash: &[u8; 32]) -> String {
    let hex: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

/// Whether an `If-None-Match` names this tag (RFC 9110 section 13.1.2: the comparison is the weak one).
fn names(tags: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(tags), Ok(tag)) = (tags.to_str(), tag.to_str()) else { return false };
    tags.split(',').map(str::trim).any(|each| each == "*" || each.strip_prefix("W/").unwrap_or(each) == tag)
}

/// Everything comes from here and goes nowhere else. Not every browser reads the WebSocket of the same host into
/// `'self'`, so it is named, by the host that the browser itself asked for.
fn policy(host: Option<&HeaderValue>) -> HeaderValue {
    let sane = |host: &&str| {
        !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b'-' | b'[' | b']'))
    };
    let host = host.and_then(|host| host.to_str().ok()).filter(sane);
    let sockets = host.map(|host| format!(" ws://{host} wss://{host}")).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; \
         media-src 'self' blob:; connect-src 'self'{sockets}; frame-ancestors 'none'; base-uri 'none'; \
         form-action 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_none_gets_no_sockets() {
        let of = |host: &'static str| {
            let value = HeaderValue::from_static(host);
            policy(Some(&value)).to_str().map(ToOwned::to_owned).unwrap_or_default()
        };
        assert!(of("[::1]:8080").contains("connect-src 'self' ws://[::1]:8080 wss://[::1]:8080;"));
        for host in ["", "a; script-src *", "a b", "*", "a'b"] {
            assert!(of(host).contains("connect-src 'self';"), "{host}");
        }
    }

    #[test]
    fn every_part_has_a_type() {
        for path in Page::iter().chain(Client::iter()) {
            assert!(content_type(&path).is_some(), "{path}");
        }
    }
}
