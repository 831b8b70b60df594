//! Clients of the first Streamz: `{type, payload}` and nothing else (§4.2).

use serde_json::json;
use streamz_client::{Builder, Dialect, Outgoing};
use streamz_tests::{Device, Heard, Raw, Server, Topology, User, scenarios};

use crate::support::{assert_delivered, assert_not_delivered, offer, offer_to_all, tell};

scenarios![
    two_simple_clients_signal_without_a_stream,
    a_message_to_a_simple_client_counts_when_its_socket_took_it,
    a_simple_client_reaches_a_native_one,
    a_simple_client_cannot_resume,
    a_simple_client_takes_a_ring,
    the_open_messages_of_a_simple_client_end_with_its_socket,
    a_simple_client_may_ask_for_outcomes,
];

async fn two_simple_clients_signal_without_a_stream(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.simple("phone").await;
    let mut tv = user.simple("tv").await;
    assert_eq!(phone.expect("device_online").await["device_id"], "tv");
    async fn pass(from: &mut Raw, to: &mut Raw, kind: &str, field: &str) {
        from.say(json!({"type": kind, "payload": {field: "text"}})).await;
        assert_eq!(to.expect(kind).await[field], "text");
    }
    pass(&mut phone, &mut tv, "sdp_offer", "sdp").await;
    pass(&mut tv, &mut phone, "sdp_answer", "sdp").await;
    pass(&mut phone, &mut tv, "ice_candidate", "candidate").await;
    pass(&mut tv, &mut phone, "ice_candidate", "candidate").await;
    phone.say(json!({"type": "ping", "payload": {}})).await;
    assert_eq!(phone.frame().await, json!({"type": "pong", "payload": {}}));
    phone.say(json!({"type": "ping"})).await;
    phone.expect("pong").await;
    tv.close().await;
    assert_eq!(phone.expect("device_offline").await["device_id"], "tv");
}

async fn a_message_to_a_simple_client_counts_when_its_socket_took_it(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.simple("tv").await;
    assert_delivered(&tell(&mut phone, offer("m-1", "tv", "v=0")).await);
    assert_eq!(tv.expect("sdp_offer").await["sdp"], "v=0");
    let mut radio = user.simple("radio").await;
    tv.until("device_online").await;
    assert_delivered(&tell(&mut phone, offer_to_all("m-2", "v=1")).await);
    for device in [&mut tv, &mut radio] {
        assert_eq!(device.expect("sdp_offer").await["sdp"], "v=1");
    }
}

async fn a_simple_client_reaches_a_native_one(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut tv = user.device("tv").await;
    let mut phone = user.simple("phone").await;
    phone.say(json!({"type": "sdp_offer", "payload": {"to_device_id": "tv", "sdp": "v=0"}})).await;
    assert_eq!(tv.offer().await, "v=0");
    tv.client.send(Outgoing::answer("v=1")).await.unwrap();
    assert_eq!(phone.until("sdp_answer").await["payload"]["from_device_id"], "tv");
    let simple: Builder = user.client("laptop").dialect(Dialect::Simple);
    let mut laptop = Device::connect(simple).await;
    laptop.client.send_unconfirmed(Outgoing::offer("v=2")).unwrap();
    assert_eq!(tv.offer().await, "v=2");
    tv.client.send(Outgoing::offer("v=3")).await.unwrap();
    assert_eq!(laptop.offer().await, "v=3");
}

async fn a_simple_client_cannot_resume(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let phone = user.simple("phone").await;
    assert_eq!(phone.welcome["resume_window_ms"], 0);
    let dial = user.dial_simple("phone").resume(&phone.session(), 0);
    let as_v1 = user.dial("phone").resume(&phone.session(), 0);
    phone.vanish();
    let again = dial.welcomed().await;
    assert_eq!(again.welcome["resumed"], false);
    again.vanish();
    assert_eq!(as_v1.welcomed().await.welcome["resumed"], false);
}

async fn a_simple_client_takes_a_ring(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.simple("phone").await;
    let mut tv = user.simple("tv").await;
    phone.until("device_online").await;
    phone.say(json!({"type": "stream_start", "payload": {"stream_type": "video"}})).await;
    let ringing = phone.expect("stream_ringing").await;
    assert_eq!(ringing["to"], json!(["tv"]));
    let rung = tv.expect("stream_start").await;
    assert_eq!(rung["stream_id"], ringing["stream_id"]);
    assert_eq!((&rung["from_device_id"], &rung["source_device_id"]), (&json!("phone"), &json!("phone")));
    tv.say(json!({"type": "stream_accept", "payload": {"stream_id": rung["stream_id"]}})).await;
    assert_eq!(phone.expect("stream_accept").await["from_device_id"], "tv");
    tv.close().await;
    // A simple client's session ends with its socket, and so does its stream.
    assert_eq!(phone.until("stream_end").await["payload"]["reason"], "device_lost");
}

async fn the_open_messages_of_a_simple_client_end_with_its_socket(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let tv = user.simple("tv").await;
    phone.until("device_online").await;
    tv.vanish();
    // Its socket took it, or there is no session any more: nothing waits.
    let outcome = tell(&mut phone, offer("m-1", "tv", "v=0")).await;
    if outcome["type"] != "delivered" {
        let reason = outcome["payload"]["reason"].as_str().unwrap();
        assert!(["offline", "expired"].contains(&reason), "{outcome}");
    }
}

async fn a_simple_client_may_ask_for_outcomes(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.simple("phone").await;
    assert_not_delivered(&tell(&mut phone, offer("m-1", "none", "v=0")).await, "unknown_device");
    let mut tv = user.raw("tv").await;
    phone.say(offer("m-2", "tv", "v=0")).await;
    tv.until("sdp_offer").await;
    tv.ack().await;
    assert_delivered(&phone.outcome("m-2").await);
    phone.say(json!({"type": "ack", "payload": {"seq": 1}})).await;
    assert_ne!(phone.barrier().await.first().map(|frame| frame["type"].clone()), Some(json!("error")));
    phone.write(tokio_tungstenite::tungstenite::Message::Close(None)).await;
    assert!(matches!(phone.end().await, Heard::Close(_) | Heard::Gone));
}
