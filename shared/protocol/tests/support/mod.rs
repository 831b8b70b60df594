//! What must hold for any text at all: shared by the property tests and by the fuzz targets.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use streamz_protocol::client::{ClientFrame, ClientMessage, Command, Draft, RelayKind, WORD_MAX_CHARS};
use streamz_protocol::server::{Body, ServerFrame, ServerMessage};
use streamz_protocol::{DeviceId, Mid, SessionId};
use uuid::Uuid;

/// A sender whose name tries to break out of its string.
pub(crate) const NASTY_DEVICE: &str = "\"},\"from_device_id\":\"x\\\",\"mid\":\"}{\u{2028}";

/// Checks one text as if a device had sent it.
///
/// # Panics
/// If the decoder breaks one of its promises.
pub(crate) fn check_client_text(text: &str) {
    match ClientFrame::decode(text) {
        Err(rejected) => assert!(
            is_our_own_sentence(&rejected.message),
            "not one of our sentences: {:?}",
            rejected.message
        ),
        Ok(frame) => {
            assert_eq!(ClientFrame::decode(text).as_ref(), Ok(&frame));
            if let ClientMessage::Command { to, command } = frame.message {
                let digest = command.digest(to.as_ref());
                assert_eq!(digest, command.clone().digest(to.as_ref()));
                check_relay(command, &DeviceId::new(NASTY_DEVICE).unwrap());
            }
        }
    }
}

/// Checks what a receiver would get of a relayed frame, if it is one.
///
/// # Panics
/// If the frame says anything that the server did not mean it to say.
pub(crate) fn check_relay(draft: Draft, from: &DeviceId) {
    let mid = Mid { session: SessionId(Uuid::from_u128(7)), number: 42 };
    let Command::Relay { kind, stream, body, .. } = draft.finish(from, mid) else {
        return;
    };
    let text = body.render(Some(9));
    let frame = Object::read(&text);
    assert_eq!(frame.keys(), ["seq", "type", "payload", "mid"], "{text}");
    let payload = Object::read(frame.get("payload"));
    let mut expected = vec!["from_device_id"];
    if stream.is_some() {
        expected.push("stream_id");
    }
    if kind == RelayKind::IceCandidate {
        expected.extend(["candidate", "sdp_mline_index", "sdp_mid"]);
        if payload.keys().contains(&"username_fragment") {
            expected.push("username_fragment");
        }
    } else {
        expected.push("sdp");
    }
    assert_eq!(payload.keys(), expected, "{text}");

    let frame: ServerFrame = serde_json::from_str(&text).expect("clients can read what is relayed");
    assert_eq!((frame.seq, frame.mid, frame.id), (Some(9), Some(mid), None));
    let (sender, of) = match &frame.message {
        ServerMessage::SdpOffer(sdp) if kind == RelayKind::SdpOffer => (&sdp.from_device_id, sdp.stream_id),
        ServerMessage::SdpAnswer(sdp) if kind == RelayKind::SdpAnswer => (&sdp.from_device_id, sdp.stream_id),
        ServerMessage::IceCandidate { from_device_id, stream_id, .. } if kind == RelayKind::IceCandidate => {
            (from_device_id, *stream_id)
        }
        other => panic!("{kind:?} became {other:?}"),
    };
    assert_eq!((sender, of), (from, stream));
}

/// Checks one text as if the server had sent it: what a client understands survives being written again.
///
/// # Panics
/// If it does not.
pub(crate) fn check_server_text(text: &str) {
    if let Ok(frame) = serde_json::from_str::<ServerFrame>(text) {
        let again = Body::with(&frame.message, frame.id.as_ref(), frame.mid).render(frame.seq);
        assert_eq!(serde_json::from_str::<ServerFrame>(&again).unwrap(), frame);
    }
}

/// An object's keys and values in the order of the text, duplicates included.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Object<'a> {
    fn read(text: &'a str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(key, _)| key.as_str()).collect()
    }

    fn get(&self, key: &str) -> &'a str {
        let (_, value) = self.0.iter().find(|(name, _)| name == key).unwrap();
        value.get()
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Object(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// The sentences of a refusal are a closed set: nothing of the client's text can be among them.
fn is_our_own_sentence(message: &str) -> bool {
    const FRAME: &str = "A frame is JSON text: {\"type\": string, \"payload\": object, \"id\"?: string}; ";
    const UNKNOWN_TYPE: &str = "A device sends stream_start, stream_accept, stream_decline, stream_end, stream_stats, \
         sdp_offer, sdp_answer, ice_candidate, ack, ping or auth.";
    const FIELDS: [&str; 18] = [
        "type",
        "payload",
        "id",
        "to_device_id",
        "source_device_id",
        "sdp",
        "candidate",
        "sdp_mline_index",
        "sdp_mid",
        "username_fragment",
        "stream_id",
        "stream_type",
        "reason",
        "connection_type",
        "quality",
        "latency_ms",
        "seq",
        "token",
    ];
    const RULES: [&str; 8] = [
        "must be a string",
        "must be a whole number from 0",
        "must be a whole number from 0 to 65535",
        "must be a UUID string",
        "must be a formatted UUID string",
        "must be one of `video`, `audio`, `both`, `screen`, `data`",
        "must be `p2p` or `relay`",
        "must have 1 to 255 characters, no control characters, and not be . or ..",
    ];
    if let Some(what) = message
        .strip_prefix(FRAME)
        .or_else(|| message.strip_prefix("payload: "))
        .and_then(|rest| rest.strip_suffix('.'))
    {
        let word = |name: &str| {
            format!("{name} must have at most {WORD_MAX_CHARS} characters and no control characters")
        };
        return [
            "this is not valid JSON",
            "this is not an object",
            "sdp must be a string",
            "candidate must be a string",
            "sdp has an escape that is not a character",
            "candidate has an escape that is not a character",
        ]
        .contains(&what)
            || what == word("reason")
            || what == word("quality")
            || FIELDS.iter().any(|field| {
                what == format!("missing field `{field}`")
                    || what == format!("duplicate field `{field}`")
                    || what == format!("{field} has a value that is not allowed")
                    || RULES.iter().any(|rule| what == format!("{field} {rule}"))
            });
    }
    message == "payload must be an object."
        || message == "id must be a string of 1 to 128 bytes."
        || message == UNKNOWN_TYPE
}
