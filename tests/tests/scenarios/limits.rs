//! The limits of a WebSocket (section 6 of the design), each at the limit and one past it.

use serde_json::{Value, json};
use streamz_protocol::DeviceId;
use streamz_tests::{Heard, Refused, Server, Topology, User, message, scenarios};

use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::support::{about, assert_delivered, assert_error, ring, start, tell, text};

scenarios![
    a_frame_of_the_limit_is_taken_and_one_byte_more_is_not,
    a_burst_of_the_limit_is_taken_and_one_more_is_not,
    whoever_goes_on_above_the_rate_is_closed,
    control_frames_and_fragments_weigh_an_eighth_of_a_message,
    whoever_goes_on_with_control_frames_is_closed,
    answers_to_pings_cost_nothing,
    acks_do_not_count_against_the_rate,
    thirty_two_devices_are_online_and_not_one_more,
    as_many_devices_are_registered_as_is_allowed,
    a_user_has_as_many_streams_as_is_allowed,
    an_id_of_the_limit_is_taken_and_one_byte_more_is_not,
    a_reason_of_the_limit_is_taken_and_one_character_more_is_not,
];

/// A ping of exactly this many bytes.
fn ping(id: &str, bytes: usize) -> String {
    let empty = json!({"type": "ping", "id": id, "padding": ""}).to_string();
    json!({"type": "ping", "id": id, "padding": text(bytes - empty.len())}).to_string()
}

async fn a_frame_of_the_limit_is_taken_and_one_byte_more_is_not(topology: Topology) {
    let server = Server::start(topology, &[("OFFLINE_GRACE", "60s")]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    phone.say_text(&ping("m-1", 64 * 1024)).await;
    assert_delivered(&phone.outcome("m-1").await);
    phone.say_text(&ping("m-2", 64 * 1024 + 1)).await;
    assert_error(&phone.frame().await, "frame_too_large");
    assert_eq!(phone.hear().await, Heard::Close(4503));
    // The client is at fault, its session is whole.
    let again = user.dial("phone").resume(&phone.session(), 0).welcomed().await;
    assert_eq!(again.welcome["resumed"], true);
}

const SLOW: [(&str, &str); 2] = [("MESSAGES_PER_SECOND", "1"), ("MESSAGE_BURST", "200")];

async fn a_burst_of_the_limit_is_taken_and_one_more_is_not(topology: Topology) {
    let server = Server::start(topology, &SLOW).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    for number in 0..202 {
        phone.feed(message(&json!({"type": "ping", "id": format!("m-{number}")}))).await;
    }
    phone.flush().await;
    let mut waiting: std::collections::BTreeSet<String> =
        (0..202).map(|number| format!("m-{number}")).collect();
    let mut refused = 0;
    while !waiting.is_empty() {
        let frame = phone.frame().await;
        let id = frame["id"].as_str().unwrap();
        match frame["type"].as_str() {
            Some("pong") => continue,
            Some("delivered") => {}
            // A second may have passed meanwhile, and let one more in.
            _ => {
                assert_error(&frame, "rate_limited");
                assert!(["m-200", "m-201"].contains(&id), "{frame}");
                refused += 1;
            }
        }
        assert!(waiting.remove(id), "{frame}");
    }
    assert!(refused >= 1);
    // Its rate comes back, and the id is free: the message was not taken.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_delivered(&tell(&mut phone, json!({"type": "ping", "id": "m-201"})).await);
}

async fn whoever_goes_on_above_the_rate_is_closed(topology: Topology) {
    let server = Server::start(topology, &SLOW).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    // Past the burst 200 refusals in a row are borne, and not the next.
    for _ in 0..600 {
        if !phone.try_write(message(&json!({"type": "ping"}))).await {
            break;
        }
    }
    let (mut taken, mut refused) = (0, 0);
    let end = loop {
        match phone.hear().await {
            Heard::Frame(frame) if frame["type"] == "pong" => taken += 1,
            Heard::Frame(frame) => {
                assert_error(&frame, "rate_limited");
                refused += 1;
            }
            end => break end,
        }
    };
    assert_eq!(end, Heard::Close(4004));
    assert!((200..220).contains(&taken), "{taken}");
    assert!(refused >= 200, "{refused}");
    let again = user.dial("phone").resume(&phone.session(), 0).welcomed().await;
    assert_eq!(again.welcome["resumed"], true, "it may come back");
}

async fn control_frames_and_fragments_weigh_an_eighth_of_a_message(topology: Topology) {
    let server = Server::start(topology, &[("MESSAGES_PER_SECOND", "1"), ("MESSAGE_BURST", "20")]).await;
    let user = User::new(&server).await;
    let ping = || Frame::ping(Vec::new());
    let pong = || Frame::pong(Vec::new());
    let piece = |code| Frame::message(Vec::new(), OpCode::Data(code), false);
    for kind in ["pings", "pongs", "fragments"] {
        let mut phone = user.raw("phone").await;
        for number in 0..200 {
            let frame = match kind {
                "pings" => ping(),
                "pongs" => pong(),
                _ => piece(if number == 0 { Data::Text } else { Data::Continue }),
            };
            phone.feed(Message::Frame(frame)).await;
            if number == 159 {
                // 160 weigh as much as 20 messages: those are taken.
                phone.flush().await;
                let quiet = tokio::time::timeout(std::time::Duration::from_millis(200), phone.hear()).await;
                assert!(quiet.is_err(), "{kind}: {quiet:?}");
            }
        }
        phone.flush().await;
        assert_error(&phone.frame().await, "rate_limited");
        phone.vanish();
    }
}

async fn whoever_goes_on_with_control_frames_is_closed(topology: Topology) {
    let server = Server::start(topology, &SLOW).await;
    let user = User::new(&server).await;
    for first in [&b"\x89\x80\0\0\0\0"[..], b"\x8a\x80\0\0\0\0", b"\x00\x80\0\0\0\0"] {
        let mut phone = user.raw("phone").await;
        if first[0] == 0 {
            phone.write_bytes(b"\x01\x80\0\0\0\0").await;
        }
        // It is closed long before all is read.
        phone.try_write_bytes(&first.repeat(300_000)).await;
        phone.closes(4004).await;
    }
}

/// A device that answers every ping may send as much as any other.
async fn answers_to_pings_cost_nothing(topology: Topology) {
    let times = [
        ("HEARTBEAT_INTERVAL", "100ms"),
        ("HEARTBEATS_MISSED", "10"),
        ("MESSAGES_PER_SECOND", "1"),
        ("MESSAGE_BURST", "1"),
    ];
    let server = Server::start(topology, &times).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    // The answers would weigh more than the rate allows.
    let quiet = tokio::time::timeout(std::time::Duration::from_secs(11), phone.hear()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

async fn acks_do_not_count_against_the_rate(topology: Topology) {
    let variables = [("MESSAGES_PER_SECOND", "1"), ("MESSAGE_BURST", "100")];
    let server = Server::start(topology, &variables).await;
    let user = User::new(&server).await;
    let mut tv = user.raw("tv").await;
    let senders = ["a", "b", "c", "d"];
    for name in senders {
        let mut device = user.raw(name).await;
        for number in 0..60 {
            device.say(crate::support::offer(&format!("m-{number}"), "tv", "v=0")).await;
            // Each is confirmed for itself: many more than the tv may send.
            tv.until("sdp_offer").await;
            tv.ack().await;
            assert_delivered(&device.outcome(&format!("m-{number}")).await);
        }
    }
    tv.barrier().await;
}

async fn thirty_two_devices_are_online_and_not_one_more(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut online = Vec::new();
    for number in 0..32 {
        online.push(user.raw(&format!("device-{number}")).await);
    }
    user.dial("one-more").refused(4505).await;
    let refused = user.dial_simple("one-more").open().await.unwrap_err();
    assert_eq!(refused, Refused { status: 422, code: "too_many_devices".into() });
    // One of them may come anew, and a place that was left may be taken.
    let again = user.raw("device-7").await;
    online[7].closes(4501).await;
    again.close().await;
    online[0].until("device_offline").await;
    user.raw("one-more").await.close().await;
    let other = User::new(&server).await;
    other.raw("phone").await.close().await;
}

async fn as_many_devices_are_registered_as_is_allowed(topology: Topology) {
    let variables = [("REGISTERED_DEVICES_PER_USER", "3"), ("DEVICES_PER_USER", "3")];
    let server = Server::start(topology, &variables).await;
    let user = User::new(&server).await;
    let token = &user.signed_in.access_token;
    user.raw("one").await.close().await;
    user.api.add_device(token, &DeviceId::new("two").unwrap(), "Two", None).await.unwrap();
    user.raw("three").await.close().await;
    let refused =
        user.api.add_device(token, &DeviceId::new("four").unwrap(), "Four", None).await.unwrap_err();
    assert_eq!((refused.status(), refused.code()), (Some(422), Some("too_many_devices")));
    user.dial("four").refused(4505).await;
    user.raw("two").await.close().await;
    user.api.remove_device(token, &DeviceId::new("one").unwrap()).await.unwrap();
    user.raw("four").await.close().await;
}

async fn a_user_has_as_many_streams_as_is_allowed(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.dial("phone").query("max_streams=64").welcomed().await;
    let mut tv = user.dial("tv").query("max_streams=64").welcomed().await;
    phone.barrier().await;
    let mut streams = Vec::new();
    for number in 0..64 {
        streams.push(ring(&mut phone, start(&format!("s-{number}"), "tv")).await);
    }
    assert_error(&tell(&mut tv, start("s-64", "phone")).await, "too_many_streams");
    assert_delivered(&tell(&mut phone, about("stream_end", "e-1", &streams[0])).await);
    assert_delivered(&tell(&mut tv, start("s-65", "phone")).await);
}

async fn an_id_of_the_limit_is_taken_and_one_byte_more_is_not(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    assert_delivered(&tell(&mut phone, json!({"type": "ping", "id": "é".repeat(64)})).await);
    for id in ["é".repeat(64) + "x", String::new()] {
        phone.say(json!({"type": "ping", "id": id})).await;
        let error = phone.frame().await;
        assert_error(&error, "malformed_frame");
        assert_eq!(error.get("id"), None, "{error}");
    }
}

async fn a_reason_of_the_limit_is_taken_and_one_character_more_is_not(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    phone.barrier().await;
    let stream = ring(&mut phone, start("s-1", "tv")).await;
    tv.expect("stream_start").await;
    let end = |id: &str, reason: &str| -> Value {
        json!({"type": "stream_end", "payload": {"stream_id": stream, "reason": reason}, "id": id})
    };
    assert_error(&tell(&mut phone, end("e-1", &"é".repeat(33))).await, "invalid_payload");
    assert_delivered(&tell(&mut phone, end("e-2", &"é".repeat(32))).await);
    assert_eq!(tv.expect("stream_end").await["reason"], "é".repeat(32));
}
