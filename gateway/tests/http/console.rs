//! The page that people use, and its parts.

use axum::body::Body;
use axum::http::header::{HOST, IF_NONE_MATCH};
use axum::http::{Method, StatusCode};

use crate::fixture::{Answer, Api, request};

async fn get(api: &Api, path: &str, tag: &str) -> Answer {
    let request = request(Method::GET, path, "").header(HOST, "streamz.example.org:8443");
    let request = if tag.is_empty() { request } else { request.header(IF_NONE_MATCH, tag) };
    api.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn the_page_and_its_parts_are_served_to_anybody() {
    let api = Api::new().await;
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/console/js/main.js", "text/javascript; charset=utf-8"),
        ("/console/css/base.css", "text/css; charset=utf-8"),
        ("/console/icon.svg", "image/svg+xml"),
        ("/console/fonts/inter.woff2", "font/woff2"),
        ("/console/client/index.js", "text/javascript; charset=utf-8"),
        ("/console/client/call/call.js", "text/javascript; charset=utf-8"),
    ] {
        let answer = get(&api, path, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.header("content-type"), Some(content_type), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-cache"), "{path}");
    }
}

#[tokio::test]
async fn the_page_may_load_from_here_alone_and_talk_to_its_host_alone() {
    let api = Api::new().await;
    let page = get(&api, "/", "").await;
    let policy = page.header("content-security-policy").unwrap();
    for part in [
        "default-src 'none';",
        "script-src 'self';",
        "style-src 'self';",
        "connect-src 'self' ws://streamz.example.org:8443 wss://streamz.example.org:8443;",
        "frame-ancestors 'none';",
        "base-uri 'none';",
        "form-action 'none'",
    ] {
        assert!(policy.contains(part), "{part} is not in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    let permissions = page.header("permissions-policy").unwrap();
    for name in ["camera", "microphone", "display-capture"] {
        assert!(permissions.contains(&format!("{name}=(self)")), "{permissions}");
    }
    // What the policy forbids, the page does not have.
    for inline in ["style=\"", "<style", "onclick", "javascript:", "http://", "https://"] {
        assert!(!page.text.contains(inline), "{inline}");
    }
}

#[tokio::test]
async fn what_a_browser_has_is_not_sent_again() {
    let api = Api::new().await;
    for path in ["/", "/console/js/main.js", "/console/client/index.js"] {
        let tag = get(&api, path, "").await.header("etag").unwrap().to_owned();
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let again = get(&api, path, &known).await;
            assert_eq!((again.status, again.text.as_str()), (StatusCode::NOT_MODIFIED, ""), "{path} {known}");
            assert_eq!(again.header("etag"), Some(tag.as_str()));
            assert!(again.header("content-security-policy").unwrap().contains("script-src 'self'"));
        }
        assert_eq!(get(&api, path, "\"other\"").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let api = Api::new().await;
    for path in ["/console/nothing.js", "/console/client/nothing.js", "/console/js", "/console/../Cargo.toml"]
    {
        get(&api, path, "").await.problem(404, "not_found");
    }
    let head = api.send(request(Method::HEAD, "/", "").body(Body::empty()).unwrap()).await;
    assert_eq!((head.status, head.text.as_str()), (StatusCode::OK, ""));
    let post = api.send(request(Method::POST, "/", "").body(Body::empty()).unwrap()).await;
    post.problem(405, "method_not_allowed");
}
