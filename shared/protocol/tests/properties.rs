//! What must hold for every value and for every text.
#![allow(clippy::unwrap_used)]

#[path = "support/arbitrary.rs"]
mod arbitrary;
mod support;

use arbitrary::{device_id, message_id, mid, payload, server_message, text};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use streamz_protocol::MessageId;
use streamz_protocol::client::{ClientFrame, ClientMessage, Command, Draft};
use streamz_protocol::server::{Body, ServerFrame};
use support::{check_client_text, check_relay, check_server_text};

/// The same frame as JSON text: fields in their order, or turned round and spread over lines.
fn write(kind: &str, fields: &[(&str, Value)], id: Option<&MessageId>, spread: bool) -> String {
    let (gap, mut fields) = (if spread { " \r\n\t" } else { "" }, fields.to_vec());
    if spread {
        fields.reverse();
        fields.push(("not_for_us", json!([{"deep": [1e300]}])));
    }
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{gap}{}{gap}:{gap}{value}{gap}", json!(name))).collect();
    let payload = format!("{{{}}}", fields.join(","));
    let (kind, id) = (json!(kind), json!(id));
    if spread {
        format!("{gap}{{{gap}\"id\":{id},\"x\":null,\"payload\"{gap}:{gap}{payload},\"type\":{kind}}}{gap}")
    } else {
        format!("{{\"type\":{kind},\"payload\":{payload},\"id\":{id}}}")
    }
}

fn digest(frame: &ClientFrame) -> Option<u64> {
    match &frame.message {
        ClientMessage::Command { to, command } => Some(command.digest(to.as_ref())),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_server_frame_survives_the_wire(
        message in server_message(),
        seq in option::of(any::<u64>()),
        id in option::of(message_id()),
        mid in option::of(mid()),
    ) {
        let text = Body::with(&message, id.as_ref(), mid).render(seq);
        let frame: ServerFrame = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&frame, &ServerFrame { seq, mid, id, message });
        // A client in Rust that writes it with serde alone is understood as well.
        let again = serde_json::to_string(&frame).unwrap();
        prop_assert_eq!(serde_json::from_str::<ServerFrame>(&again).unwrap(), frame);
    }

    #[test]
    fn a_server_frame_takes_fields_that_come_later(message in server_message(), seq in any::<u64>()) {
        let text = Body::of(&message).render(Some(seq));
        let mut value: Map<String, Value> = serde_json::from_str(&text).unwrap();
        value.insert("later".into(), json!({"a": [1, null]}));
        if let Some(Value::Object(payload)) = value.get_mut("payload") {
            payload.insert("later".into(), json!("x"));
        }
        let frame: ServerFrame = serde_json::from_value(Value::Object(value)).unwrap();
        prop_assert_eq!(frame.message, message);
    }

    #[test]
    fn a_valid_client_frame_is_taken((kind, fields) in payload(), id in option::of(message_id())) {
        let text = write(kind, &fields, id.as_ref(), false);
        check_client_text(&text);
        let frame = ClientFrame::decode(&text).unwrap();
        prop_assert_eq!(&frame.id, &id);
        let spread = write(kind, &fields, id.as_ref(), true);
        let same = ClientFrame::decode(&spread).unwrap();
        prop_assert_eq!(&same, &frame);
        prop_assert_eq!(digest(&same), digest(&frame));
    }

    #[test]
    fn a_receiver_gets_what_was_meant((kind, fields) in payload(), from in device_id(), mid in mid()) {
        let frame = ClientFrame::decode(&write(kind, &fields, None, false)).unwrap();
        let ClientMessage::Command { command, .. } = frame.message else { return Ok(()) };
        check_relay(command.clone(), &from);
        let Command::Relay { body, .. } = command.finish(&from, mid) else { return Ok(()) };
        let sent: Value = serde_json::from_str(&body.render(None)).unwrap();
        prop_assert_eq!(&sent["mid"], &json!(mid));
        prop_assert_eq!(&sent["payload"]["from_device_id"], &json!(from));
        prop_assert_eq!(&sent["payload"]["to_device_id"], &Value::Null);
        for (name, value) in fields.iter().filter(|(name, _)| *name != "to_device_id") {
            prop_assert_eq!(&sent["payload"][*name], value, "{}", name);
        }
    }

    #[test]
    fn a_digest_tells_contents_apart(a in payload(), b in payload(), change in any::<prop::sample::Index>()) {
        let decode = |kind: &str, fields: &[_]| ClientFrame::decode(&write(kind, fields, None, false)).unwrap();
        let (one, two) = (decode(a.0, &a.1), decode(b.0, &b.1));
        if digest(&one).is_some() {
            prop_assert_eq!(digest(&one) == digest(&two), one.message == two.message);
        }
        // One field of the same message taken from another message of its type.
        if a.0 == b.0 && !a.1.is_empty() {
            let (mut changed, at) = (a.1.clone(), change.index(a.1.len()));
            changed[at] = b.1[at].clone();
            let changed = decode(a.0, &changed);
            prop_assert_eq!(digest(&one) == digest(&changed) , digest(&one).is_none() || one.message == changed.message);
        }
    }

    #[test]
    fn any_text_is_answered(text in text()) {
        check_client_text(&text);
        check_server_text(&text);
    }

    #[test]
    fn any_bytes_are_answered(bytes in vec(any::<u8>(), 0..300)) {
        check_client_text(&String::from_utf8_lossy(&bytes));
        check_server_text(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_json_in_a_field_is_answered(
        (kind, mut fields) in payload(),
        at in any::<prop::sample::Index>(),
        odd in prop::sample::select(vec![
            "null", "true", "-1", "1e999", "1.5", "18446744073709551616", "[]", "{}", "\"\"", "\"\\ud800\"",
            "\"\\u0000\"", "{\"video\":null}", "[[[[{}]]]]", "\"\\\"}}\"",
        ]),
    ) {
        if !fields.is_empty() {
            let at = at.index(fields.len());
            fields[at].1 = json!("HERE");
            check_client_text(&write(kind, &fields, None, false).replace("\"HERE\"", odd));
        }
    }

    #[test]
    fn a_damaged_frame_is_answered(
        (kind, fields) in payload(),
        message in server_message(),
        cuts in vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..4),
    ) {
        let frames = [write(kind, &fields, None, false), Body::of(&message).render(Some(1))];
        for text in frames {
            let mut bytes = text.into_bytes();
            for (at, byte, how) in &cuts {
                let at = at.index(bytes.len().max(1)).min(bytes.len());
                match how {
                    0 => bytes.truncate(at),
                    1 => bytes.insert(at, *byte),
                    2 => bytes.extend_from_within(at..),
                    _ => bytes.splice(at..(at + 1).min(bytes.len()), [*byte]).for_each(drop),
                }
            }
            check_client_text(&String::from_utf8_lossy(&bytes));
            check_server_text(&String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn a_refusal_is_silent_about_the_content(
        (kind, fields) in payload(),
        mark in "[A-Z]{12}",
        before in prop::sample::select(vec!["", "expected ", ", expected ", "missing field `", " at line "]),
        after in prop::sample::select(vec!["", " at line ", "`", ", expected ", " at line 1 column 1"]),
    ) {
        let secret = format!("{before}{mark}{after}");
        for at in 0..fields.len() {
            let mut broken = fields.clone();
            for value in [json!(secret), json!({ secret.as_str(): secret }), json!([secret])] {
                broken[at].1 = value;
                if let Err(rejected) = ClientFrame::decode(&write(kind, &broken, None, false)) {
                    prop_assert!(!rejected.message.contains(&mark), "{}", rejected.message);
                }
            }
        }
        for text in [write(&secret, &fields, None, false), format!("{{{secret}"), json!(secret).to_string()] {
            let rejected = ClientFrame::decode(&text).unwrap_err();
            prop_assert!(!rejected.message.contains(&mark), "{}", rejected.message);
        }
    }
}

/// Beside the generators: the three kinds of relayed frames carry nothing that was not read.
#[test]
fn a_draft_keeps_only_what_it_read() {
    let text = r#"{"type":"sdp_offer","payload":{"x":"y","sdp":"v=0","from_device_id":"tv"}}"#;
    let ClientMessage::Command { command, .. } = ClientFrame::decode(text).unwrap().message else {
        panic!("an offer is a command");
    };
    let Draft::Relay { fields, .. } = command else { panic!("an offer is relayed") };
    assert_eq!(fields, r#""sdp":"v=0""#);
}
