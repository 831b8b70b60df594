//! Frames that no client of ours sends. A mistake is answered; what cannot be a mistake ends the connection.

use serde_json::json;
use streamz_tests::{Heard, Raw, Server, Topology, User, scenarios};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::support::{assert_delivered, assert_error, text};

scenarios![
    what_is_no_frame_is_answered,
    what_is_no_payload_is_answered,
    deep_nesting_is_answered,
    what_is_unknown_is_ignored_or_answered,
    a_binary_frame_ends_the_connection,
    a_frame_of_many_megabytes_ends_the_connection,
    invalid_utf8_ends_the_connection,
    what_is_no_websocket_ends_the_connection,
    a_message_in_fragments_is_one_message,
    fragments_are_bounded_as_a_whole,
    frames_that_come_with_the_upgrade_are_read_after_the_welcome,
    nothing_is_read_after_a_violation,
];

async fn phone(server: &Server) -> (User, Raw) {
    let user = User::new(server).await;
    let phone = user.raw("phone").await;
    (user, phone)
}

async fn what_is_no_frame_is_answered(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (_user, mut phone) = phone(&server).await;
    for wrong in [
        "",
        " ",
        "nonsense",
        "null",
        "5",
        "\"ping\"",
        "[]",
        "[\"ping\", {}]",
        "{",
        "{}",
        "{\"type\": 5}",
        "{\"type\": null}",
        "{\"type\": \"ping\"} {}",
        "{\"type\": \"ping\", \"id\": 5}",
        "{\"type\": \"ping\", \"id\": {}}",
        "{\"type\": \"ping\", \"id\": \"\\ud800\"}",
        "{\"type\": \"ping\", \"type\": \"ack\"}",
        "{\"type\": \"ping\", \"payload\": {}, \"payload\": {}}",
        "\u{feff}{\"type\": \"ping\"}",
    ] {
        phone.say_text(wrong).await;
        let error = phone.frame().await;
        assert_error(&error, "malformed_frame");
        assert!(error.get("seq").is_none() && error.get("id").is_none(), "{wrong}: {error}");
    }
    phone.hears_nothing().await;
}

async fn what_is_no_payload_is_answered(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (_user, mut phone) = phone(&server).await;
    let long = "x".repeat(256);
    let wrong = [
        ("ping", json!([])),
        ("ping", json!("text")),
        ("ping", json!(5)),
        ("ack", json!([1])),
        ("auth", json!(["token"])),
        ("stream_accept", json!([])),
        ("sdp_offer", json!(null)),
        ("sdp_offer", json!([])),
        ("sdp_offer", json!("text")),
        ("sdp_offer", json!({})),
        ("sdp_offer", json!({"sdp": null})),
        ("sdp_offer", json!({"sdp": {"type": "offer"}})),
        ("sdp_offer", json!({"sdp": ["v=0"]})),
        ("sdp_offer", json!({"sdp": "v=0", "to_device_id": 5})),
        ("sdp_offer", json!({"sdp": "v=0", "to_device_id": ""})),
        ("sdp_offer", json!({"sdp": "v=0", "to_device_id": long})),
        ("sdp_offer", json!({"sdp": "v=0", "stream_id": "nonsense"})),
        ("ice_candidate", json!({"candidate": 5})),
        ("ice_candidate", json!({"candidate": "c", "sdp_mline_index": -1})),
        ("ice_candidate", json!({"candidate": "c", "sdp_mline_index": 65_536})),
        ("ice_candidate", json!({"candidate": "c", "sdp_mid": 0})),
        ("stream_start", json!({})),
        ("stream_start", json!({"stream_type": "hologram"})),
        ("stream_start", json!({"stream_type": {"video": null}})),
        ("stream_start", json!({"stream_type": 1})),
        ("stream_accept", json!({"stream_id": 5})),
        ("stream_end", json!({"stream_id": "00000000-0000-0000-0000-000000000000", "reason": 5})),
        ("ack", json!({})),
        ("ack", json!({"seq": -1})),
        ("ack", json!({"seq": "1"})),
        ("ack", json!({"seq": 1.5})),
        ("ack", json!({"seq": 1e300})),
        ("auth", json!({})),
        ("auth", json!({"token": 5})),
    ];
    for (number, (kind, payload)) in wrong.into_iter().enumerate() {
        let id = format!("m-{number}");
        phone.say(json!({"type": kind, "payload": payload, "id": id})).await;
        let error = phone.frame().await;
        assert_error(&error, "invalid_payload");
        assert_eq!(error["id"], *id, "{kind} {payload}");
        // The field that is wrong is named.
        let sentence = error["payload"]["message"].as_str().unwrap();
        let fields: Vec<&String> = payload.as_object().into_iter().flat_map(|fields| fields.keys()).collect();
        let named = fields.is_empty() || fields.iter().any(|field| sentence.contains(*field));
        assert!(named, "{kind} {payload}: {error}");
    }
    phone.hears_nothing().await;
}

async fn deep_nesting_is_answered(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (_user, mut phone) = phone(&server).await;
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(10_000), close.repeat(10_000));
    for nested in [deep("[", "]"), deep("{\"a\":", "1}").replace("1}", "}").replacen("{\"a\":}", "{}", 1)] {
        for frame in [
            nested.clone(),
            format!("{{\"type\":\"ping\",\"payload\":{nested}}}"),
            format!("{{\"type\":{nested}}}"),
            format!("{{\"type\":\"sdp_offer\",\"payload\":{{\"sdp\":{nested}}}}}"),
        ] {
            phone.say_text(&frame[..frame.len().min(64 * 1024)]).await;
            let answer = phone.frame().await;
            assert!(["error", "pong"].iter().any(|kind| answer["type"] == *kind), "{answer}");
        }
    }
    phone.hears_nothing().await;
}

async fn what_is_unknown_is_ignored_or_answered(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (_user, mut phone) = phone(&server).await;
    phone
        .say(json!({"type": "ping", "payload": {"more": [1, {"x": null}]}, "more": {"seq": 1}, "id": "m-1"}))
        .await;
    phone.expect("pong").await;
    assert_delivered(&phone.outcome("m-1").await);
    for kind in ["nonsense", "", "welcome", "delivered", "device_online", "PING", "ping ", "error"] {
        phone.say(json!({"type": kind, "payload": {}})).await;
        assert_error(&phone.frame().await, "unknown_type");
    }
    phone.hears_nothing().await;
}

async fn a_binary_frame_ends_the_connection(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (_user, mut phone) = phone(&server).await;
    phone.write(Message::binary(b"{\"type\":\"ping\"}".to_vec())).await;
    assert_error(&phone.frame().await, "malformed_frame");
    assert_eq!(phone.hear().await, Heard::Close(4503));
}

async fn a_frame_of_many_megabytes_ends_the_connection(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (_user, mut phone) = phone(&server).await;
    // The whole of it may not even be taken from the network.
    phone.try_write(Message::text(text(8 << 20))).await;
    assert_error(&phone.frame().await, "frame_too_large");
    assert_eq!(phone.hear().await, Heard::Close(4503));
}

async fn invalid_utf8_ends_the_connection(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    for bytes in [&b"{\"type\":\"\xff\"}"[..], b"\xc3", b"\xed\xa0\x80"] {
        let (_user, mut phone) = phone(&server).await;
        phone.fragment(Frame::message(bytes.to_vec(), OpCode::Data(Data::Text), true)).await;
        let error = phone.frame().await;
        assert_error(&error, "malformed_frame");
        assert_eq!(error["payload"]["message"], "A text frame must be valid UTF-8.");
        assert_eq!(phone.hear().await, Heard::Close(4503));
    }
}

async fn what_is_no_websocket_ends_the_connection(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let long_ping = [&b"\x89\xfe\x00\x7e\0\0\0\0"[..], &[0; 126]].concat();
    for (bytes, word) in [
        (&b"\x81\x02{}"[..], "mask"),
        (b"\xc1\x82\0\0\0\0{}", "reserved bits"),
        (b"\x83\x82\0\0\0\0{}", "opcode"),
        (b"\x8b\x80\0\0\0\0", "opcode"),
        (b"\x09\x80\0\0\0\0", "must not be fragmented"),
        (&long_ping, "at most 125 bytes"),
        (b"\x80\x80\0\0\0\0", "continuation"),
        (b"\x01\x81\0\0\0\0{\x01\x81\0\0\0\0{", "before the last one had ended"),
    ] {
        let (_user, mut phone) = phone(&server).await;
        phone.write_bytes(bytes).await;
        let error = phone.frame().await;
        assert_error(&error, "malformed_frame");
        let sentence = error["payload"]["message"].as_str().unwrap();
        assert!(sentence.contains(word), "{bytes:?}: {sentence}");
        phone.closes(4503).await;
    }
    // A close frame of one byte.
    let (_user, mut other) = phone(&server).await;
    other.write_bytes(b"\x88\x81\0\0\0\0x").await;
    assert!(!matches!(other.end().await, Heard::Frame(_)));
    let (_user, mut phone) = phone(&server).await;
    phone.hears_nothing().await;
}

async fn a_message_in_fragments_is_one_message(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (_user, mut phone) = phone(&server).await;
    let message = json!({"type": "ping", "id": "fragments-é"}).to_string().into_bytes();
    // One byte a frame, so that even a character is cut; pings may come in between (RFC 6455 §5.4).
    for (at, byte) in message.iter().enumerate() {
        let code = if at == 0 { Data::Text } else { Data::Continue };
        phone.fragment(Frame::message(vec![*byte], OpCode::Data(code), at + 1 == message.len())).await;
        if at % 8 == 0 {
            phone.fragment(Frame::ping(b"x".to_vec())).await;
        }
    }
    phone.expect("pong").await;
    assert_delivered(&phone.outcome("fragments-é").await);
}

async fn fragments_are_bounded_as_a_whole(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (_user, mut phone) = phone(&server).await;
    for at in 0..5 {
        let code = if at == 0 { Data::Text } else { Data::Continue };
        let frame = Frame::message(text(16 * 1024).into_bytes(), OpCode::Data(code), false);
        phone.try_write(Message::Frame(frame)).await;
    }
    assert_error(&phone.frame().await, "frame_too_large");
    assert_eq!(phone.hear().await, Heard::Close(4503));
}

async fn frames_that_come_with_the_upgrade_are_read_after_the_welcome(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.dial("phone").pipelined(&[json!({"type": "ping"}), json!({"type": "ping"})]).await;
    assert_eq!(phone.frame().await["type"], "welcome");
    phone.expect("pong").await;
    phone.expect("pong").await;
    phone.hears_nothing().await;
}

async fn nothing_is_read_after_a_violation(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut tv = user.raw("tv").await;
    let mut phone = user.raw("phone").await;
    tv.until("device_online").await;
    phone.feed(Message::binary(vec![1])).await;
    phone.feed(Message::text(json!({"type": "sdp_offer", "payload": {"sdp": "v=0"}}).to_string())).await;
    phone.flush().await;
    phone.closes(4503).await;
    tv.hears_nothing().await;
}
