//! Who is online, and what the others hear of it.

use serde_json::json;
use streamz_tests::{Server, Topology, User, eventually, scenarios};

use crate::support::{assert_delivered, offer, tell};

scenarios![
    devices_hear_of_each_other,
    a_clean_close_is_heard_at_once,
    a_lost_device_is_offline_after_the_grace,
    a_quick_return_is_not_heard_by_anybody,
    a_quick_return_with_a_new_session_is_not_heard_either,
    presence_is_the_same_over_http,
];

async fn devices_hear_of_each_other(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.dial("tv").query("device_name=Living%20room&device_type=tv").welcomed().await;
    let online = phone.frame().await;
    let expected = json!({"device_id": "tv", "device_name": "Living room", "device_type": "tv"});
    assert_eq!(online, json!({"seq": 1, "type": "device_online", "payload": expected}));
    tv.hears_nothing().await;
    let mut other = User::new(&server).await.raw("other").await;
    other.hears_nothing().await;
    phone.hears_nothing().await;
}

async fn a_clean_close_is_heard_at_once(topology: Topology) {
    // With a grace this long, only the close can be what is heard.
    let server = Server::start(topology, &[("OFFLINE_GRACE", "60s")]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    user.raw("tv").await.close().await;
    user.simple("radio").await.close().await;
    for device in ["tv", "radio"] {
        assert_eq!(phone.until("device_offline").await["payload"], json!({"device_id": device}));
    }
    assert_eq!(user.is_online("tv").await, Some(false));
}

async fn a_lost_device_is_offline_after_the_grace(topology: Topology) {
    let server = Server::start(topology, &[("OFFLINE_GRACE", "700ms")]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let tv = user.raw("tv").await;
    assert_eq!(phone.expect("device_online").await["device_id"], "tv");
    let lost = std::time::Instant::now();
    tv.vanish();
    assert_eq!(phone.expect("device_offline").await["device_id"], "tv");
    let heard_after = lost.elapsed();
    assert!(heard_after.as_millis() >= 700, "{heard_after:?}");
    assert!(heard_after.as_millis() < 5000, "{heard_after:?}");
    assert_eq!(user.is_online("tv").await, Some(false));
}

async fn a_quick_return_is_not_heard_by_anybody(topology: Topology) {
    let server = Server::start(topology, &[("OFFLINE_GRACE", "60s")]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    assert_eq!(phone.expect("device_online").await["device_id"], "tv");
    for _ in 0..5 {
        let dial = user.dial("tv").resume(&tv.session(), tv.last_seq);
        tv.vanish();
        tv = dial.welcomed().await;
        assert_eq!(tv.welcome["resumed"], true);
    }
    phone.hears_nothing().await;
    assert_eq!(user.is_online("tv").await, Some(true));
}

async fn a_quick_return_with_a_new_session_is_not_heard_either(topology: Topology) {
    let server = Server::start(topology, &[("OFFLINE_GRACE", "60s")]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    user.raw("tv").await.vanish();
    assert_eq!(phone.expect("device_online").await["device_id"], "tv");
    let mut tv = user.raw("tv").await;
    assert_eq!(tv.welcome["resumed"], false);
    phone.hears_nothing().await;
    tv.say(offer("m-1", "phone", "v=0")).await;
    assert_eq!(phone.expect("sdp_offer").await["from_device_id"], "tv");
    phone.ack().await;
    assert_delivered(&tv.outcome("m-1").await);
    let gone = tell(&mut tv, offer("m-2", "nobody", "v=0")).await;
    assert_eq!(gone["payload"]["reason"], "unknown_device");
}

async fn presence_is_the_same_over_http(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    assert_eq!(user.is_online("tv").await, None);
    let tv = user.raw("tv").await;
    assert_eq!(user.is_online("tv").await, Some(true));
    tv.close().await;
    eventually(|| async { user.is_online("tv").await.filter(|online| !online) }).await;
    let listed = user.get("/api/devices").await.json();
    assert!(listed["devices"][0]["last_seen"].is_string(), "{listed}");
}
