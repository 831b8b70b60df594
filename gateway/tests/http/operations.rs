//! What operators ask.

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, StatusCode};
use axum::routing::get;
use serde_json::json;
use streamz_gateway::http;
use streamz_gateway::readiness::Readiness;

use crate::fixture::{Api, answer, request};

#[tokio::test]
async fn ping_and_health_ask_nobody() {
    let api = Api::new().await;
    api.state.store().close().await;
    let ping = api.get("/ping", "").await;
    assert_eq!((ping.status, ping.text.as_str()), (StatusCode::OK, "pong"));
    assert_eq!(api.get("/health", "").await.ok(200)["status"], "ok");
}

#[tokio::test]
async fn ready_shows_each_dependency() {
    let api = Api::new().await;
    let ready = api.get("/ready", "").await.ok(200);
    let store = json!({"name": "store", "ready": true, "state": "answers"});
    assert_eq!(ready, json!({"state": "ready", "checks": [store]}));

    api.state.start_draining();
    let problem = api.get("/ready", "").await.problem(503, "not_ready");
    assert_eq!((&problem["state"], &problem["checks"]), (&json!("draining"), &json!([store])));
    assert_eq!(api.get("/health", "").await.ok(200)["status"], "ok", "draining is no reason to be killed");
}

#[tokio::test]
async fn a_missing_dependency_is_named() {
    let api = Api::with(|parts| {
        parts.readiness =
            Readiness::new().with_store(parts.store.clone()).with("hubs", || async { Ok("in this process") });
    })
    .await;
    api.state.store().close().await;
    // It has never been ready.
    let problem = api.get("/ready", "").await.problem(503, "not_ready");
    assert_eq!(problem["state"], "not_ready");
    assert_eq!(
        problem["checks"],
        json!([
            {"name": "store", "ready": false, "state": "does not answer"},
            {"name": "hubs", "ready": true, "state": "in this process"},
        ])
    );
}

/// Every process shares the store: if it is away, all would be taken out of service together, and with them what works.
#[tokio::test]
async fn a_store_that_is_away_degrades_a_process_that_was_ready_and_nothing_else_does() {
    use std::sync::atomic::{AtomicBool, Ordering};
    static BUS: AtomicBool = AtomicBool::new(true);
    let api = Api::with(|parts| {
        parts.readiness = Readiness::new().with_store(parts.store.clone()).with("bus", || async {
            if BUS.load(Ordering::Relaxed) { Ok("answers") } else { Err("does not answer") }
        });
    })
    .await;
    // An answer is good for a second.
    let becomes = async |state: &str| {
        let asking = async {
            loop {
                let answer = api.get("/ready", "").await;
                if answer.json()["state"] == state {
                    return answer;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), asking).await.unwrap()
    };
    becomes("ready").await.ok(200);
    api.state.store().close().await;
    let degraded = becomes("degraded").await.ok(200);
    assert_eq!(degraded["checks"][0], json!({"name": "store", "ready": false, "state": "does not answer"}));
    BUS.store(false, Ordering::Relaxed);
    becomes("not_ready").await.problem(503, "not_ready");
    BUS.store(true, Ordering::Relaxed);
    becomes("degraded").await.ok(200);
    api.state.start_draining();
    becomes("draining").await.problem(503, "not_ready");
}

#[tokio::test]
async fn requests_are_counted_by_template() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    api.get("/api/streams/00000000-0000-0000-0000-00000000cafe", &ada.token)
        .await
        .problem(404, "stream_not_found");
    api.get("/nothing/at/all", "").await.problem(404, "not_found");
    let strange = Method::from_bytes(b"BREW").unwrap();
    api.send(request(strange, "/ping", "").body(Body::empty()).unwrap())
        .await
        .problem(405, "method_not_allowed");
    let metrics = api.get("/metrics", "").await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        "streamz_http_requests_total{method=\"GET\",route=\"/api/streams/{id}\",status=\"404\"} ",
        "streamz_http_requests_total{method=\"GET\",route=\"unmatched\",status=\"404\"} ",
        "streamz_http_requests_total{method=\"other\",route=\"/ping\",status=\"405\"} ",
        "streamz_http_request_seconds_bucket{method=\"GET\",route=\"/api/streams/{id}\",le=\"0.01\"} ",
    ] {
        assert!(metrics.text.contains(line), "{line} is not in {}", metrics.text);
    }
    assert!(
        !metrics.text.contains("cafe") && !metrics.text.contains("nothing") && !metrics.text.contains("BREW")
    );
}

#[tokio::test]
async fn operations_can_have_a_listener_of_their_own() {
    let api = Api::with(|parts| parts.settings.operations_elsewhere = true).await;
    let own = http::operations(api.state.clone());
    for path in ["/health", "/ready", "/metrics", "/status"] {
        api.get(path, "").await.problem(404, "not_found");
        let there = answer(&own, request(Method::GET, path, "").body(Body::empty()).unwrap()).await;
        assert_eq!(there.status, StatusCode::OK, "{path}");
    }
    api.get("/api/auth/me", "").await.problem(401, "invalid_token");
    let there = answer(&own, request(Method::GET, "/api/auth/me", "").body(Body::empty()).unwrap()).await;
    there.problem(404, "not_found");
    // Whatever is served where, a router can be made.
    let _ = http::router(api.state.clone(), get(|| async {}));
}

#[tokio::test]
async fn beside_the_api_the_status_is_for_programs_on_this_machine_alone() {
    let api = Api::new().await;
    let ask = |peer: &str, host: &str| {
        let peer: std::net::SocketAddr = peer.parse().unwrap();
        request(Method::GET, "/status", "")
            .extension(ConnectInfo(peer))
            .header("host", host)
            .body(Body::empty())
            .unwrap()
    };
    let report = api.send(ask("127.0.0.1:4711", "localhost:8080")).await;
    assert_eq!(report.header("cache-control"), Some("no-store"));
    assert_eq!(report.ok(200)["asked"]["draining"], false);
    // A proxy that is trusted, a stranger, and a page that has led its browser here.
    for (peer, host) in
        [("10.0.0.1:4711", "localhost"), ("192.0.2.1:1", "localhost"), ("127.0.0.1:1", "evil.example")]
    {
        api.send(ask(peer, host)).await.problem(404, "not_found");
    }
    api.get("/status", "").await.problem(404, "not_found");
    api.state.start_draining();
    let report = api.send(ask("127.0.0.1:4711", "localhost:8080")).await.ok(200);
    assert_eq!(report["asked"]["draining"], true, "as it is now");
}
