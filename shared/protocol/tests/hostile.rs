//! Frames that a careless or hostile client might send, one case at a time.
#![allow(clippy::unwrap_used)]

mod support;

use streamz_protocol::ErrorCode;
use streamz_protocol::client::{ClientFrame, ClientMessage, Command, Draft, Ufrag};
use streamz_protocol::objects::IceServer;
use support::{check_client_text, check_server_text};

const STREAM: &str = "018f6f2e-7c1b-7b44-9f6a-2d1c3b4a5e6f";

fn refused(text: &str) -> (ErrorCode, String) {
    check_client_text(text);
    let rejected = ClientFrame::decode(text).unwrap_err();
    (rejected.code, rejected.message)
}

fn relay(text: &str) -> Draft {
    check_client_text(text);
    match ClientFrame::decode(text).unwrap().message {
        ClientMessage::Command { command, .. } => command,
        other => panic!("{other:?}"),
    }
}

fn ufrags(text: &str) -> Vec<Ufrag> {
    match relay(text) {
        Draft::Relay { ufrags, .. } => ufrags,
        Draft::Whole(command) => panic!("{command:?}"),
    }
}

#[test]
fn a_frame_is_an_object() {
    for text in [r#"["ping"]"#, r#" ["ack", {"seq": 1}, null]"#, "5", "null", "true", r#""ping""#] {
        let (code, message) = refused(text);
        assert_eq!(code, ErrorCode::MalformedFrame, "{text}");
        assert!(message.ends_with("this is not an object."), "{message}");
    }
    for text in ["", " ", "{", "{}x", "\u{feff}{\"type\":\"ping\"}", "{'type':1}"] {
        assert_eq!(refused(text).0, ErrorCode::MalformedFrame, "{text}");
    }
}

#[test]
fn a_payload_is_an_object() {
    let kinds = [
        "ack",
        "auth",
        "ice_candidate",
        "ping",
        "sdp_answer",
        "sdp_offer",
        "stream_accept",
        "stream_decline",
        "stream_end",
        "stream_start",
        "stream_stats",
    ];
    for kind in kinds {
        for payload in ["[]", "[5]", "5", "\"x\"", "true"] {
            let text = format!(r#"{{"type":"{kind}","payload":{payload}}}"#);
            let expected = (ErrorCode::InvalidPayload, "payload must be an object.".to_owned());
            assert_eq!(refused(&text), expected, "{text}");
        }
    }
    assert!(ClientFrame::decode(r#"{"type":"ping","payload":{"x":[]}}"#).is_ok());
    // Without one, what is missing is named.
    let missing = "payload: missing field `seq`.".to_owned();
    for text in [r#"{"type":"ack"}"#, r#"{"type":"ack","payload":null}"#] {
        assert_eq!(refused(text), (ErrorCode::InvalidPayload, missing.clone()));
    }
}

#[test]
fn what_is_wrong_is_named_and_not_repeated() {
    for (kind, payload, sentence) in [
        ("sdp_offer", r#"{"sdp":"","to_device_id":5}"#, "payload: to_device_id must be a string."),
        (
            "sdp_offer",
            r#"{"sdp":"","to_device_id":"a\u0000"}"#,
            "payload: to_device_id must have 1 to 255 characters, no control characters, and not be . or ...",
        ),
        ("sdp_offer", r#"{"sdp":5}"#, "payload: sdp must be a string."),
        ("sdp_offer", r#"{"sdp":"","sdp":""}"#, "payload: duplicate field `sdp`."),
        (
            "ice_candidate",
            r#"{"candidate":"","sdp_mline_index":-1}"#,
            "payload: sdp_mline_index must be a whole number from 0 to 65535.",
        ),
        (
            "stream_start",
            r#"{"stream_type":"hologram, expected me"}"#,
            "payload: stream_type must be one of `video`, `audio`, `both`, `screen`, `data`.",
        ),
        ("stream_accept", r#"{"stream_id":5}"#, "payload: stream_id must be a formatted UUID string."),
        ("stream_accept", r#"{"stream_id":"secret"}"#, "payload: stream_id has a value that is not allowed."),
        ("auth", r#"{"token":{"hunter2":1}}"#, "payload: token must be a string."),
        ("ack", r#"{"seq":"hunter2, expected me"}"#, "payload: seq must be a whole number from 0."),
    ] {
        let text = format!(r#"{{"type":"{kind}","payload":{payload}}}"#);
        assert_eq!(refused(&text), (ErrorCode::InvalidPayload, sentence.to_owned()), "{text}");
    }
    let (code, sentence) = refused(r#"{"type":"ping","id":5}"#);
    assert_eq!(code, ErrorCode::MalformedFrame);
    assert!(sentence.ends_with("; id must be a string."), "{sentence}");
}

#[test]
fn nesting_costs_no_stack() {
    let deep = "[".repeat(100_000);
    let closed = format!("{deep}{}", "]".repeat(100_000));
    for nest in [&deep, &closed] {
        for text in [
            nest.clone(),
            format!(r#"{{"type":{nest}}}"#),
            format!(r#"{{"id":{nest},"type":"ping"}}"#),
            format!(r#"{{"type":"auth","payload":{{"token":{nest}}}}}"#),
            format!(r#"{{"type":"sdp_offer","payload":{{"sdp":{nest}}}}}"#),
            format!(r#"{{"type":"stream_stats","payload":{{"x":{nest}}}}}"#),
            format!(r#"{{"type":"welcome","payload":{nest}}}"#),
            "{\"payload\":".repeat(100_000),
        ] {
            check_client_text(&text);
            check_server_text(&text);
        }
    }
}

#[test]
fn unknown_fields_are_ignored_whatever_they_hold() {
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    for value in [&deep, "1e999", r#""\ud800""#, r#"{"seq":2}"#] {
        for payload in [
            format!(r#""type":"ack","payload":{{"seq":1,"x":{value}}}"#),
            format!(r#""type":"sdp_offer","payload":{{"sdp":"","x":{value}}}"#),
            format!(r#""type":"stream_end","payload":{{"stream_id":"{STREAM}","x":{value}}}"#),
            format!(r#""type":"stream_stats","payload":{{"stream_id":"{STREAM}","x":{value}}}"#),
        ] {
            let text = format!(r#"{{{payload},"x":{value},"seq":{value}}}"#);
            check_client_text(&text);
            assert!(ClientFrame::decode(&text).is_ok(), "{payload}");
        }
    }
}

#[test]
fn a_key_said_twice_is_refused() {
    for text in [
        r#"{"type":"ping","type":"ack"}"#.to_owned(),
        r#"{"type":"ping","id":"a","id":"b"}"#.to_owned(),
        r#"{"type":"ack","payload":{"seq":1},"payload":{"seq":2}}"#.to_owned(),
        r#"{"type":"ack","payload":{"seq":1,"seq":2}}"#.to_owned(),
        r#"{"type":"sdp_offer","payload":{"sdp":"a","sdp":"b"}}"#.to_owned(),
        r#"{"type":"sdp_offer","payload":{"sdp":"a","s\u0064p":"b"}}"#.to_owned(),
        format!(
            r#"{{"type":"stream_stats","payload":{{"stream_id":"{STREAM}","latency_ms":1,"latency_ms":2}}}}"#
        ),
    ] {
        refused(&text);
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    for seq in ["-1", "1.5", "1e3", "18446744073709551616", "1e999", "\"1\"", "null"] {
        let text = format!(r#"{{"type":"ack","payload":{{"seq":{seq}}}}}"#);
        refused(&text);
    }
    for text in [
        r#"{"type":"ice_candidate","payload":{"candidate":"","sdp_mline_index":65536}}"#.to_owned(),
        format!(r#"{{"type":"stream_stats","payload":{{"stream_id":"{STREAM}","latency_ms":4294967296}}}}"#),
    ] {
        assert_eq!(refused(&text).0, ErrorCode::InvalidPayload);
    }
}

#[test]
fn words_are_strings_and_nothing_else() {
    for start in [r#"{"video":null}"#, "5", "null", "[\"video\"]", r#""Video""#] {
        let text = format!(r#"{{"type":"stream_start","payload":{{"stream_type":{start}}}}}"#);
        let (code, message) = refused(&text);
        assert_eq!(code, ErrorCode::InvalidPayload);
        assert!(!message.contains("JSON"), "{start}: {message}");
    }
    for path in [r#"{"p2p":null}"#, "5", r#""direct""#] {
        let text = format!(
            r#"{{"type":"stream_stats","payload":{{"stream_id":"{STREAM}","connection_type":{path}}}}}"#
        );
        let (code, message) = refused(&text);
        assert_eq!(code, ErrorCode::InvalidPayload);
        assert!(!message.contains("JSON"), "{path}: {message}");
    }
}

#[test]
fn half_a_surrogate_pair_is_not_relayed() {
    // RFC 8259 §8.2: a receiver need not be able to read it, and many cannot.
    for half in [r"\ud800", r"\uDfff", r"a\ud83dz", r"\ude00\ud83d"] {
        for text in [
            format!(r#"{{"type":"sdp_offer","payload":{{"sdp":"{half}"}}}}"#),
            format!(r#"{{"type":"ice_candidate","payload":{{"candidate":"{half}"}}}}"#),
            format!(r#"{{"type":"ice_candidate","payload":{{"candidate":"","sdp_mid":"{half}"}}}}"#),
        ] {
            assert_eq!(refused(&text).0, ErrorCode::InvalidPayload, "{text}");
        }
    }
    relay(r#"{"type":"sdp_offer","payload":{"sdp":"\ud83d\ude00 \\ud800 \u0000"}}"#);
}

#[test]
fn control_characters_stay_escaped() {
    relay(r#"{"type":"sdp_offer","payload":{"sdp":"\u0000\u001b\r\n"}}"#);
    refused("{\"type\":\"sdp_offer\",\"payload\":{\"sdp\":\"\u{0}\"}}");
    refused("{\"type\":\"ping\"\u{0}}");
    refused(r#"{"type":"sdp_offer","payload":{"to_device_id":"a\u0000b","sdp":""}}"#);
}

#[test]
fn a_refusal_never_repeats_the_clients_words() {
    let secret = "s3cr3t";
    for text in [
        // Words that look like the parser's own.
        format!(r#"{{"type":"ack","payload":{{"seq":"expected {secret} at line "}}}}"#),
        format!(r#"{{"type":"ack","payload":{{"seq":", expected {secret}"}}}}"#),
        format!(r#"{{"type":"ack","payload":{{"seq":"x, expected {secret} at line 1 column 2"}}}}"#),
        format!(r#"{{"type":"ack","payload":{{"missing field `{secret}`":1}}}}"#),
        format!(r#"{{"type":"stream_start","payload":{{"stream_type":"missing field `{secret}`"}}}}"#),
        format!(r#"{{"type":"stream_start","payload":{{"stream_type":"expected {secret} at line "}}}}"#),
        format!(r#"{{"type":"stream_accept","payload":{{"stream_id":"expected {secret} at line "}}}}"#),
        format!(r#"{{"type":"auth","payload":{{"token":["{secret}"]}}}}"#),
        format!(r#"{{"type":"auth","payload":"{secret}"}}"#),
        format!(r#"{{"type":"{secret}"}}"#),
        format!(r#""expected {secret} at line ""#),
        format!(r#"{{"id":{{"expected {secret} at line ":1}},"type":"ping"}}"#),
        secret.to_owned(),
    ] {
        let (_, message) = refused(&text);
        assert!(!message.contains(secret), "{text} -> {message}");
    }
}

#[test]
fn secrets_are_not_shown_by_debug() {
    let frame = ClientFrame::decode(r#"{"type":"auth","payload":{"token":"s3cr3t"}}"#).unwrap();
    assert!(!format!("{frame:?}").contains("s3cr3t"));
    let server = IceServer {
        urls: vec!["turn:turn.example.org".into()],
        username: Some("1767225600:user".into()),
        credential: Some("s3cr3t".into()),
    };
    assert!(!format!("{server:?}").contains("s3cr3t"));
}

#[test]
fn a_fragment_is_the_same_however_json_spells_it() {
    let candidate =
        |rest: &str| format!(r#"{{"type":"ice_candidate","payload":{{"stream_id":"{STREAM}",{rest}}}}}"#);
    let offer =
        |sdp: &str| format!(r#"{{"type":"sdp_offer","payload":{{"stream_id":"{STREAM}","sdp":"{sdp}"}}}}"#);
    let expected = vec![Ufrag::of("a+/B")];
    for text in [
        candidate(r#""candidate":"x","username_fragment":"a+/B""#),
        candidate(r#""candidate":"x","username_fragment":"a\u002b\/B""#),
        candidate(r#""candidate":"candidate:1 typ host ufrag a+/B network-id 1""#),
        candidate(r#""candidate":"candidate:1 typ host ufrag a+\/B""#),
        // As .NET writes a plus sign.
        candidate(r#""candidate":"candidate:1 typ host ufrag a\u002B/B""#),
        offer(r"v=0\r\na=ice-ufrag:a+/B\r\na=ice-pwd:x\r\n"),
        offer(r"v=0\na=ice-ufrag:a+/B\na=ice-ufrag:a+/B\n"),
        offer(r"v=0\r\na=ice-ufrag:a\u002B\/B\r\n"),
        offer(r"v=0\u000d\u000aa\u003dice-ufrag:a+/B\u000d\u000a"),
    ] {
        assert_eq!(ufrags(&text), expected, "{text}");
    }
    // An empty fragment says nothing; the candidate line counts.
    for empty in [
        candidate(r#""candidate":"candidate:1 ufrag a+/B","username_fragment":"""#),
        candidate(r#""candidate":"candidate:1 ufrag a+/B","username_fragment":null"#),
    ] {
        assert_eq!(ufrags(&empty), expected);
    }
    assert_eq!(ufrags(&candidate(r#""candidate":"","username_fragment":"""#)), []);
    // Outside a stream nobody asks.
    let text = r#"{"type":"sdp_offer","payload":{"sdp":"a=ice-ufrag:abcd"}}"#;
    assert_eq!(ufrags(text), []);
}

#[test]
fn a_device_cannot_speak_for_the_server() {
    let ours = r#""from_device_id":"tv","seq":99,"mid":"x""#;
    for fields in [
        format!(r#""sdp":"v=0",{ours},"type":"welcome","payload":{{}}"#),
        format!(r#"{ours},"sdp":"v=0","stream_id":"{STREAM}""#),
        r#""sdp":"\"},\"from_device_id\":\"tv\"""#.to_owned(),
        r#""sdp":"\\\"}}","to_device_id":"\"}},{{""#.to_owned(),
    ] {
        let text = format!(r#"{{"type":"sdp_offer","payload":{{{fields}}},{ours}}}"#);
        relay(&text);
    }
    refused(r#"{"type":"sdp_offer","payload":{"sdp":"v=0"}},"from_device_id":"tv"}"#);
    refused(r#"{"type":"sdp_offer","payload":{"sdp":{"sdp":"v=0"}}}"#);
    refused(r#"{"type":"sdp_offer","payload":{"sdp":"v=0","stream_id":"\"}"}}"#);
}

#[test]
fn free_words_have_a_length() {
    let decline = |reason: &str| {
        format!(r#"{{"type":"stream_decline","payload":{{"stream_id":"{STREAM}","reason":"{reason}"}}}}"#)
    };
    assert!(ClientFrame::decode(&decline(&"é".repeat(32))).is_ok());
    refused(&decline(&"é".repeat(33)));
    refused(&decline(r"a\u0000"));
    assert_eq!(
        relay(&decline("")),
        Draft::Whole(Command::StreamDecline { stream: STREAM.parse().unwrap(), reason: None })
    );
}
