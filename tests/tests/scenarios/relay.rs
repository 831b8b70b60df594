//! Messages from device to device, and their outcomes.

use serde_json::{Value, json};
use streamz_client::protocol::Reason;
use streamz_client::{Outcome, Outgoing};
use streamz_protocol::DeviceId;
use streamz_tests::{Server, Topology, User, scenarios};

use crate::support::{assert_delivered, assert_error, assert_not_delivered, offer, offer_to_all, tell};

scenarios![
    an_addressed_message_reaches_one_device,
    a_message_to_all_reaches_all_others,
    a_message_to_all_names_whom_it_did_not_reach,
    what_cannot_be_delivered_says_why,
    a_message_without_an_id_has_no_outcome,
    the_server_says_who_sent_it,
    every_relayed_frame_has_a_mid,
    sdp_and_candidates_arrive_as_they_were_sent,
    messages_arrive_in_order,
    the_native_client_sends_and_hears,
];

async fn an_addressed_message_reaches_one_device(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    let mut laptop = user.raw("laptop").await;
    laptop.barrier().await;
    phone.say(offer("m-1", "tv", "v=0")).await;
    let heard = tv.until("sdp_offer").await;
    assert_eq!(heard["payload"], json!({"from_device_id": "phone", "sdp": "v=0"}));
    let before: Vec<Value> = phone.barrier().await;
    assert!(before.iter().all(|frame| frame["id"] != "m-1"), "not before it is confirmed: {before:?}");
    tv.ack().await;
    assert_delivered(&phone.outcome("m-1").await);
    laptop.hears_nothing().await;
}

async fn a_message_to_all_reaches_all_others(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    let mut laptop = user.raw("laptop").await;
    phone.barrier().await;
    phone.say(offer_to_all("m-1", "v=0")).await;
    tv.until("sdp_offer").await;
    tv.ack().await;
    laptop.until("sdp_offer").await;
    phone.hears_nothing().await;
    laptop.ack().await;
    assert_delivered(&phone.frame().await);
}

async fn a_message_to_all_names_whom_it_did_not_reach(topology: Topology) {
    let server = Server::start(topology, &[("DELIVERY_TIMEOUT", "3s")]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    let _silent = user.raw("laptop").await;
    phone.say(offer_to_all("m-1", "v=0")).await;
    tv.until("sdp_offer").await;
    tv.ack().await;
    let outcome = phone.outcome("m-1").await;
    assert_not_delivered(&outcome, "expired");
    assert_eq!(outcome["payload"]["failed"], json!([{"device_id": "laptop", "reason": "expired"}]));
}

async fn what_cannot_be_delivered_says_why(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    assert_not_delivered(&tell(&mut phone, offer_to_all("m-1", "v=0")).await, "offline");
    assert_not_delivered(&tell(&mut phone, offer("m-2", "tv", "v=0")).await, "unknown_device");
    let token = &user.signed_in.access_token;
    user.api.add_device(token, &DeviceId::new("tv").unwrap(), "TV", None).await.unwrap();
    phone.until("device_updated").await;
    assert_not_delivered(&tell(&mut phone, offer("m-3", "tv", "v=0")).await, "offline");
    assert_error(&tell(&mut phone, offer("m-4", "phone", "v=0")).await, "invalid_payload");
    user.simple("radio").await.close().await;
    phone.until("device_offline").await;
    assert_not_delivered(&tell(&mut phone, offer("m-5", "radio", "v=0")).await, "offline");
}

async fn a_message_without_an_id_has_no_outcome(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    phone.barrier().await;
    phone.say(json!({"type": "sdp_answer", "payload": {"to_device_id": "tv", "sdp": "v=0"}})).await;
    phone.say(json!({"type": "sdp_answer", "payload": {"to_device_id": "none", "sdp": "v=0"}})).await;
    tv.until("sdp_answer").await;
    tv.ack().await;
    tv.barrier().await;
    phone.hears_nothing().await;
}

async fn the_server_says_who_sent_it(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    let payload =
        json!({"to_device_id": "tv", "sdp": "v=0", "from_device_id": "laptop", "seq": 99, "mid": "x:1"});
    phone.say(json!({"type": "sdp_offer", "payload": payload, "id": "m-1", "seq": 77, "mid": "y:2"})).await;
    let heard = tv.until("sdp_offer").await;
    assert_eq!(heard["payload"], json!({"from_device_id": "phone", "sdp": "v=0"}));
    assert_eq!(heard["seq"], 1);
    assert_eq!(heard["mid"], format!("{}:1", phone.session()));
    assert_eq!(heard.get("id"), None);
}

async fn every_relayed_frame_has_a_mid(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    let candidate = json!({"type": "ice_candidate", "payload": {"to_device_id": "tv", "candidate": "c"}});
    phone.say(candidate).await;
    let relayed = tv.frame().await;
    phone
        .say(json!({"type": "stream_start", "payload": {"to_device_id": "tv", "stream_type": "data"}}))
        .await;
    let rung = tv.frame().await;
    let stream = rung["payload"]["stream_id"].clone();
    tv.say(json!({"type": "stream_accept", "payload": {"stream_id": stream}})).await;
    let accepted = phone.until("stream_accept").await;
    tv.say(
        json!({"type": "sdp_answer", "payload": {"stream_id": stream, "to_device_id": "phone", "sdp": "a"}}),
    )
    .await;
    let answered = phone.until("sdp_answer").await;
    for (frame, sender) in [(relayed, &phone), (rung, &phone), (accepted, &tv), (answered, &tv)] {
        let mid = frame["mid"].as_str().unwrap_or_else(|| panic!("no mid: {frame}"));
        assert_eq!(mid.split_once(':').unwrap().0, sender.session(), "{frame}");
    }
}

async fn sdp_and_candidates_arrive_as_they_were_sent(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    let sdp = "v=0\r\no=- \u{1F600} \"quoted\" \\ / \u{0} \u{2028}\r\n";
    phone
        .say_text(r#"{"type":"sdp_offer","payload":{"to_device_id":"tv","sdp":"\u0041\/\ud83d\ude00 "}}"#)
        .await;
    assert_eq!(tv.expect("sdp_offer").await["sdp"], "A/\u{1F600} ");
    phone.say(json!({"type": "sdp_answer", "payload": {"to_device_id": "tv", "sdp": sdp}})).await;
    assert_eq!(tv.expect("sdp_answer").await["sdp"], sdp);
    let payload =
        json!({"to_device_id": "tv", "candidate": "", "sdp_mline_index": 0, "sdp_mid": "0", "more": 1});
    phone.say(json!({"type": "ice_candidate", "payload": payload})).await;
    let expected = json!({"from_device_id": "phone", "candidate": "", "sdp_mline_index": 0, "sdp_mid": "0"});
    assert_eq!(tv.expect("ice_candidate").await, expected);
}

async fn messages_arrive_in_order(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    for number in 0..100 {
        let frame = if number % 2 == 0 {
            offer(&format!("m-{number}"), "tv", &number.to_string())
        } else {
            offer_to_all(&format!("m-{number}"), &number.to_string())
        };
        phone.feed(streamz_tests::message(&frame)).await;
    }
    phone.flush().await;
    for number in 0..100 {
        assert_eq!(tv.until("sdp_offer").await["payload"]["sdp"], number.to_string());
    }
    tv.ack().await;
    for number in 0..100 {
        assert_delivered(&phone.outcome(&format!("m-{number}")).await);
    }
}

async fn the_native_client_sends_and_hears(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let phone = user.device("phone").await;
    let mut tv = user.device("tv").await;
    let sent = phone.client.send(Outgoing::offer("v=0").to(DeviceId::new("tv").unwrap())).await;
    assert_eq!(sent, Ok(Outcome::Delivered));
    assert_eq!(tv.offer().await, "v=0");
    let sent = phone.client.send(Outgoing::offer("v=0").to(DeviceId::new("none").unwrap())).await.unwrap();
    assert_eq!(sent, Outcome::NotDelivered { reason: Reason::UnknownDevice, failed: Vec::new() });
    phone.client.close().await;
    tv.client.close().await;
}
