//! More than a process can do is told to come again, and what must be answered is.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::Method;
use axum::http::header::CONTENT_TYPE;
use futures_util::stream;
use serde_json::json;

use crate::fixture::{Api, request};

/// Who sends a head and then nothing of the body.
fn silent(address: &str) -> axum::http::Request<Body> {
    let peer: std::net::SocketAddr = address.parse().unwrap();
    let never = stream::pending::<Result<Bytes, std::io::Error>>();
    request(Method::POST, "/api/auth/login", "")
        .extension(ConnectInfo(peer))
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from_stream(never))
        .unwrap()
}

async fn narrow() -> Api {
    Api::with(|parts| {
        parts.settings.http.requests = NonZeroU32::new(3).unwrap();
        parts.settings.http.requests_per_address = NonZeroU32::new(2).unwrap();
        parts.settings.http.body_timeout = Duration::from_millis(300);
    })
    .await
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let api = narrow().await;
    let began = std::time::Instant::now();
    let answer = api.send(silent("192.0.2.1:1")).await;
    answer.problem(408, "timeout");
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test]
async fn slow_clients_take_no_more_places_than_theirs() {
    let api = narrow().await;
    let ask = |address: &str, path: &str| {
        let peer: std::net::SocketAddr = address.parse().unwrap();
        request(Method::GET, path, "").extension(ConnectInfo(peer)).body(Body::empty()).unwrap()
    };
    let mut slow: Vec<_> = ["[2001:db8::1]:1", "[2001:db8::2]:1"]
        .into_iter()
        .map(|address| Box::pin(api.send(silent(address))))
        .collect();
    for one in &mut slow {
        assert!(futures_util::poll!(one).is_pending());
    }
    // The whole /64 is one client; others are let in.
    let refused = api.send(ask("[2001:db8::3]:1", "/api/auth/me")).await;
    refused.problem(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), Some("1"));
    api.send(ask("192.0.2.1:1", "/api/auth/me")).await.problem(401, "invalid_token");
    // With a third place taken there is none for anybody,
    let mut third = Box::pin(api.send(silent("192.0.2.2:1")));
    assert!(futures_util::poll!(&mut third).is_pending());
    let refused = api.send(ask("192.0.2.1:1", "/api/auth/me")).await;
    refused.problem(503, "busy");
    assert_eq!(refused.header("x-content-type-options"), Some("nosniff"));
    // but for those who look after the process.
    for path in ["/ping", "/health", "/ready", "/metrics"] {
        api.send(ask("192.0.2.1:1", path)).await.ok_text(200);
    }
    for one in slow {
        one.await.problem(408, "timeout");
    }
    third.await.problem(408, "timeout");
    let body = json!({"email": "nobody@example.org", "password": "x"});
    api.post_from("[2001:db8::9]:1", "/api/auth/login", body).await.problem(401, "invalid_credentials");
}
