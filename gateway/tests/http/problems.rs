//! Every kind of problem, and that nothing else comes.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::routing::get;
use serde_json::json;
use streamz_gateway::http::router;

use crate::fixture::{Api, answer, json as with_json, request};

fn login(content_type: Option<&str>, body: impl Into<Body>) -> axum::http::Request<Body> {
    let request = request(Method::POST, "/api/auth/login", "");
    let request = match content_type {
        Some(value) => request.header(CONTENT_TYPE, value),
        None => request,
    };
    request.body(body.into()).unwrap()
}

#[tokio::test]
async fn an_unknown_path_or_method_is_a_problem() {
    let api = Api::new().await;
    for path in [
        "/api",
        "/console",
        "/console/",
        "/console/nothing.js",
        "/console/client/nothing.js",
        "/api/nothing",
        "/api/devices/a/b",
        "/docs/nothing.js",
        "/API/devices",
    ] {
        api.get(path, "").await.problem(404, "not_found");
    }
    for (method, path, allow) in [
        (Method::DELETE, "/api/auth/login", "POST"),
        (Method::PATCH, "/api/devices/tv", "DELETE,PUT"),
        (Method::PUT, "/api/devices", "GET,HEAD,POST"),
        (Method::POST, "/ping", "GET,HEAD"),
        (Method::POST, "/api/openapi.json", "GET,HEAD"),
        (Method::POST, "/docs", "GET,HEAD"),
        (Method::DELETE, "/ws", "GET,HEAD"),
    ] {
        let answer = api.send(request(method, path, "").body(Body::empty()).unwrap()).await;
        answer.problem(405, "method_not_allowed");
        let mut methods: Vec<_> = answer.header("allow").unwrap().split(',').collect();
        methods.sort_unstable();
        assert_eq!(methods.join(","), allow, "{path}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_declared_as_json_is_not_read() {
    let api = Api::new().await;
    for content_type in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("json")] {
        api.send(login(content_type, "{}")).await.problem(415, "unsupported_media_type");
    }
    for content_type in ["application/json; charset=utf-8", "application/vnd.api+json"] {
        api.send(login(Some(content_type), "{}")).await.problem(422, "invalid_fields");
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_is_malformed() {
    let api = Api::new().await;
    for body in ["", "{", "{\"email\":}", "nonsense", "{\"email\":\"a\"}{}"] {
        api.send(login(Some("application/json"), body)).await.problem(400, "malformed_json");
    }
    let bytes = Bytes::from_static(b"{\"email\": \"\xff\"}");
    api.send(login(Some("application/json"), bytes)).await.problem(400, "malformed_json");
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
    let answer = api.send(login(Some("application/json"), deep)).await;
    assert!(answer.status.is_client_error(), "{answer:?}");
}

#[tokio::test]
async fn a_body_is_bounded_whether_its_length_is_declared_or_not() {
    let api = Api::new().await;
    let body = |length: usize| {
        let json = json!({"email": "a@example.org", "pad": ""}).to_string();
        json.replacen("\"\"", &format!("\"{}\"", "x".repeat(length - json.len())), 1)
    };
    assert_eq!(body(65_536).len(), 65_536);
    let chunked = |text: String| {
        let chunks: Vec<_> = text.into_bytes().chunks(1000).map(Bytes::copy_from_slice).collect();
        Body::from_stream(futures_util::stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>)))
    };
    api.send(login(Some("application/json"), body(65_536))).await.problem(422, "invalid_fields");
    api.send(login(Some("application/json"), chunked(body(65_536)))).await.problem(422, "invalid_fields");
    api.send(login(Some("application/json"), body(65_537))).await.problem(413, "body_too_large");
    api.send(login(Some("application/json"), chunked(body(65_537)))).await.problem(413, "body_too_large");
    let mut declared = login(Some("application/json"), "{}");
    declared.headers_mut().insert("content-length", "1000000000000".parse().unwrap());
    api.send(declared).await.problem(413, "body_too_large");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_problem() {
    let api = Api::new().await;
    let broken = [Ok(Bytes::from_static(b"{\"email\":")), Err(std::io::Error::other("reset"))];
    let body = Body::from_stream(futures_util::stream::iter(broken));
    api.send(login(Some("application/json"), body)).await.problem(400, "bad_request");
}

#[tokio::test]
async fn a_malformed_path_is_a_problem() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    for path in ["/api/devices/%ff", "/api/devices/%zz", "/api/devices/a%2", "/nothing/%C3"] {
        api.delete(path, &ada.token).await.problem(400, "malformed_path");
    }
    for path in ["/api/streams/1", "/api/streams/%20", "/api/streams/00000000-0000-0000-0000-00000000000g"] {
        api.get(path, &ada.token).await.problem(400, "malformed_path");
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_worth_waiting_for() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    api.state.store().close().await;
    let token = &ada.token;
    let device = json!({"device_id": "tv", "device_name": "TV"});
    let password = json!({"email": "a@example.org", "password": "correct horse"});
    let refresh = json!({"refresh_token": ada.refresh_token});
    let answers = [
        api.post("/api/auth/register", "", password.clone()).await,
        api.post("/api/auth/login", "", password).await,
        api.post("/api/auth/refresh", "", refresh).await,
        api.post("/api/auth/logout", token, json!(null)).await,
        api.get("/api/auth/me", token).await,
        api.get("/api/devices", token).await,
        api.post("/api/devices", token, device.clone()).await,
        api.put("/api/devices/tv", token, device).await,
        api.delete("/api/devices/tv", token).await,
        api.get("/api/streams", token).await,
        api.get("/api/streams/00000000-0000-0000-0000-000000000001", token).await,
    ];
    for answer in answers {
        answer.problem(503, "unavailable");
        assert!(!answer.text.contains("pool") && !answer.text.contains("sqlite"), "{answer:?}");
    }
    // A sign-out that was not noted has not happened: the client tries again.
    assert_eq!(api.told(), []);
    assert!(api.state.revoked().is_empty());
}

async fn fails() -> StatusCode {
    panic!("the password is hunter2")
}

#[tokio::test]
async fn a_defect_shows_nothing_of_the_inside() {
    let api = Api::new().await;
    let failing = router(api.state.clone(), get(fails));
    let failed = answer(&failing, request(Method::GET, "/ws", "").body(Body::empty()).unwrap()).await;
    failed.problem(500, "internal");
    assert!(!failed.text.contains("hunter2"));
    // Whatever body an error answer has, a client sees a problem.
    let leaking = router(api.state.clone(), get(|| async { (StatusCode::BAD_GATEWAY, "secret at line 5") }));
    let leaked = answer(&leaking, request(Method::GET, "/ws", "").body(Body::empty()).unwrap()).await;
    assert_eq!(leaked.problem(502, "internal")["status"], 502);
    assert!(!leaked.text.contains("secret"));
    api.get("/ws", "").await.problem(426, "upgrade_required");
}

#[tokio::test]
async fn a_request_that_takes_too_long_ends() {
    let api = Api::with(|parts| parts.settings.request_timeout = Duration::from_millis(50)).await;
    let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    let answer = api.send(login(Some("application/json"), never)).await;
    answer.problem(408, "timeout");
    assert_eq!(answer.header("connection"), Some("close"));
}

#[tokio::test]
async fn a_json_body_must_be_an_object() {
    let api = Api::new().await;
    for body in [json!([]), json!(["a@example.org", "correct horse"]), json!("x"), json!(null), json!(1)] {
        let request = with_json(request(Method::POST, "/api/auth/login", ""), &body);
        let problem = api.send(request).await.problem(422, "invalid_fields");
        assert_eq!(problem["errors"][0]["field"], "");
    }
}
