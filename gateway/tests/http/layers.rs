//! What is around every request: ids, headers, CORS.

use axum::body::Body;
use axum::http::Method;
use uuid::Uuid;

use crate::fixture::{Answer, Api, request};

async fn with_header(api: &Api, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = headers
        .iter()
        .fold(request(method, path, ""), |request, (name, value)| request.header(*name, *value));
    api.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn every_answer_has_the_requests_id() {
    let api = Api::new().await;
    for path in ["/ping", "/nothing", "/api/auth/me"] {
        let kept = with_header(&api, Method::GET, path, &[("x-request-id", "trace-1_2.3")]).await;
        assert_eq!(kept.header("x-request-id"), Some("trace-1_2.3"));
        for odd in ["a b", "<script>", &"x".repeat(65)] {
            let made = with_header(&api, Method::GET, path, &[("x-request-id", odd)]).await;
            assert!(Uuid::parse_str(made.header("x-request-id").unwrap()).is_ok());
        }
    }
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let api = Api::new().await;
    for path in ["/ping", "/nothing", "/api/auth/me", "/api/openapi.json", "/docs/", "/metrics"] {
        let answer = api.get(path, "").await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(policy.contains("default-src 'self'"), path.starts_with("/docs"), "{path}");
    }
    assert_eq!(api.get("/api/auth/me", "").await.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn pages_of_listed_origins_may_call() {
    let api = Api::new().await;
    let preflight = async |origin: &'static str| {
        let headers = [
            ("origin", origin),
            ("host", "streamz.example.org"),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "authorization,content-type"),
        ];
        with_header(&api, Method::OPTIONS, "/api/devices/tv", &headers).await
    };
    for origin in ["https://app.example.org", "https://streamz.example.org"] {
        let allowed = preflight(origin).await;
        assert_eq!(allowed.status, 200, "{allowed:?}");
        assert_eq!(allowed.header("access-control-allow-origin"), Some(origin));
        assert!(allowed.header("access-control-allow-methods").unwrap().contains("PUT"));
        assert!(allowed.header("access-control-allow-headers").unwrap().contains("authorization"));
        assert_eq!(allowed.header("access-control-allow-credentials"), None);
    }
    for origin in ["https://evil.example.org", "http://app.example.org", "null"] {
        assert_eq!(preflight(origin).await.header("access-control-allow-origin"), None, "{origin}");
    }
    // A page must be able to read errors, and when to come again.
    let headers = [("origin", "https://app.example.org")];
    let error = with_header(&api, Method::GET, "/api/auth/me", &headers).await;
    error.problem(401, "invalid_token");
    assert_eq!(error.header("access-control-allow-origin"), Some("https://app.example.org"));
    assert!(error.header("access-control-expose-headers").unwrap().contains("retry-after"));
    assert!(error.headers.get_all("vary").iter().any(|vary| vary.to_str().unwrap().contains("origin")));
}
