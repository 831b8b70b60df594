//! A device that does not read, and one that has fallen silent.

use serde_json::json;
use streamz_tests::{Http, Raw, Server, Topology, User, eventually, message, scenarios};

use crate::support::{assert_delivered, offer, text};

scenarios![
    a_device_that_does_not_read_is_closed_and_may_resume,
    a_simple_client_that_does_not_read_is_closed,
    a_device_that_answers_no_pings_is_closed,
    a_device_that_says_anything_is_alive,
];

const FAST: [(&str, &str); 5] = [
    ("MESSAGES_PER_SECOND", "100000"),
    ("MESSAGE_BURST", "100000"),
    ("UNSETTLED_MESSAGES", "10000"),
    ("UNSETTLED_BYTES", "32MiB"),
    ("OFFLINE_GRACE", "60s"),
];

/// Whether a device was closed with this code, by any gateway.
async fn closed(server: &Server, code: &str) -> bool {
    let label = format!("\"{code}\"");
    for gateway in &server.gateways {
        let metrics = Http::new(gateway.url()).get("/metrics").await.text;
        let counts = |line: &str| line.starts_with("streamz_closes_total") && line.contains(&label);
        if metrics.lines().any(counts) {
            return true;
        }
    }
    false
}

/// Sends until the server has closed the other one.
async fn flood(phone: &mut Raw, tv_session_is_open: impl AsyncFn() -> bool) -> usize {
    let mut sent = 0;
    while tv_session_is_open().await {
        assert!(sent < 2000, "nothing was bounded");
        for _ in 0..16 {
            phone.feed(message(&offer(&format!("m-{sent}"), "tv", &text(32 * 1024)))).await;
            sent += 1;
        }
        phone.flush().await;
        // Outcomes of messages that were given up come meanwhile.
        phone.barrier().await;
    }
    sent
}

async fn a_device_that_does_not_read_is_closed_and_may_resume(topology: Topology) {
    let server = Server::start(topology, &FAST).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    phone.until("device_online").await;
    flood(&mut phone, async || !closed(&server, "slow_consumer").await).await;
    // What the network held comes first, then the reason.
    tv.closes(4002).await;
    let (session, last_seq) = (tv.session(), tv.last_seq);
    let mut tv = user.dial("tv").resume(&session, last_seq).welcomed().await;
    assert_eq!(tv.welcome["resumed"], true, "only messages fell out, and they were settled");
    tv.barrier().await;
    tv.ack().await;
    phone.barrier().await;
    phone.say(offer("last", "tv", "v=0")).await;
    assert_eq!(tv.until("sdp_offer").await["payload"]["sdp"], "v=0");
    tv.ack().await;
    assert_delivered(&phone.outcome("last").await);
}

async fn a_simple_client_that_does_not_read_is_closed(topology: Topology) {
    let server = Server::start(topology, &FAST).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.simple("tv").await;
    phone.until("device_online").await;
    let sent = flood(&mut phone, async || !closed(&server, "slow_consumer").await).await;
    tv.closes(4002).await;
    // None of them is claimed to have been delivered that could not be.
    phone.say(offer("last", "tv", "v=0")).await;
    let outcome = phone.outcome("last").await;
    assert_eq!(outcome["payload"]["reason"], "offline", "{outcome}");
    assert!(sent > 0);
}

async fn a_device_that_answers_no_pings_is_closed(topology: Topology) {
    let variables = [("HEARTBEAT_INTERVAL", "200ms"), ("OFFLINE_GRACE", "60s")];
    let server = Server::start(topology, &variables).await;
    let user = User::new(&server).await;
    // A WebSocket that is not read answers no pings.
    let opened = std::time::Instant::now();
    let mut silent = user.raw("tv").await;
    eventually(|| async { closed(&server, "no_heartbeat").await.then_some(()) }).await;
    let after = opened.elapsed().as_millis();
    assert!((600..5000).contains(&after), "after the third interval, not {after} ms");
    silent.closes(4003).await;
    let dial = user.dial("tv").resume(&silent.session(), 0);
    assert_eq!(dial.welcomed().await.welcome["resumed"], true);
}

async fn a_device_that_says_anything_is_alive(topology: Topology) {
    let server = Server::start(topology, &[("HEARTBEAT_INTERVAL", "500ms")]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    let began = std::time::Instant::now();
    // The phone does not read, so it answers no ping, but it talks.
    while began.elapsed().as_millis() < 2500 {
        phone.say(json!({"type": "ping"})).await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        // The television is read, so it answers.
        tv.barrier().await;
    }
    assert!(!closed(&server, "no_heartbeat").await);
    phone.barrier().await;
}
