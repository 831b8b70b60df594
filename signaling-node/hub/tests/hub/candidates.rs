//! Candidates of a stream: ahead of their offer, with it, after a newer one.

use serde_json::json;
use streamz_protocol::Limits;

use crate::support::*;

/// A stream from the TV (1) to the phone (2) that was accepted.
fn streaming(limits: Limits) -> (Bench, String) {
    let mut bench = Bench::online_with(limits, &["tv", "phone"]);
    let start = json!({"type": "stream_start", "payload": {"stream_type": "video", "to_device_id": "phone"}});
    let seen = bench.say(1, start);
    let stream = seen.frames(1)[0]["payload"]["stream_id"].as_str().unwrap().to_owned();
    bench.say(2, json!({"type": "stream_accept", "payload": {"stream_id": stream}}));
    (bench, stream)
}

fn offer(bench: &mut Bench, stream: &str, ufrag: &str) -> Seen {
    let sdp = format!("v=0\r\na=ice-ufrag:{ufrag}\r\n");
    let payload = json!({"stream_id": stream, "to_device_id": "phone", "sdp": sdp});
    bench.say(1, json!({"type": "sdp_offer", "payload": payload}))
}

fn candidate(bench: &mut Bench, stream: &str, name: &str, ufrag: &str) -> Seen {
    let payload = json!({"stream_id": stream, "to_device_id": "phone", "candidate": name,
        "username_fragment": ufrag});
    bench.say(1, json!({"type": "ice_candidate", "payload": payload, "id": name}))
}

fn sent(seen: &Seen) -> Vec<String> {
    let brief = |word: &String| word.split(['\r', '\n']).next().unwrap().to_owned();
    seen.heard(2).iter().map(brief).collect()
}

#[test]
fn those_ahead_of_their_offer_follow_it_in_order() {
    let (mut bench, stream) = streaming(Limits::default());
    for name in ["c1", "c2"] {
        assert!(candidate(&mut bench, &stream, name, "one").heard(2).is_empty());
    }
    let seen = offer(&mut bench, &stream, "one");
    assert_eq!(sent(&seen), ["sdp_offer tv v=0", "ice_candidate tv c1", "ice_candidate tv c2"]);
    assert_eq!(sent(&candidate(&mut bench, &stream, "c3", "one")), ["ice_candidate tv c3"]);
}

#[test]
fn those_of_the_next_generation_wait_for_the_next_offer() {
    let (mut bench, stream) = streaming(Limits::default());
    offer(&mut bench, &stream, "one");
    assert!(candidate(&mut bench, &stream, "c", "two").0.is_empty());
    assert_eq!(sent(&offer(&mut bench, &stream, "two")).len(), 2);
    let old = candidate(&mut bench, &stream, "old", "one");
    assert_eq!(old.heard(1), ["error old stale_candidate"]);
    assert!(old.heard(2).is_empty());
}

#[test]
fn those_that_are_held_are_bounded() {
    let (mut bench, stream) = streaming(Limits { held_candidates: 2, ..Limits::default() });
    candidate(&mut bench, &stream, "c1", "one");
    candidate(&mut bench, &stream, "c2", "one");
    assert_eq!(candidate(&mut bench, &stream, "c3", "one").heard(1), ["not_delivered c3 backlog"]);
}

#[test]
fn those_that_are_held_expire() {
    let (mut bench, stream) = streaming(Limits::default());
    candidate(&mut bench, &stream, "c1", "one");
    assert!(bench.after(secs(28)).0.is_empty());
    assert_eq!(bench.after(secs(1)).heard(1), ["not_delivered c1 expired"]);
    bench.after(secs(1));
    assert_eq!(sent(&offer(&mut bench, &stream, "one")), ["sdp_offer tv v=0"], "it has its outcome");
    assert_eq!(bench.hub.next_deadline(), None);
}

#[test]
fn the_end_of_the_stream_is_the_end_of_those_that_are_held() {
    let (mut bench, stream) = streaming(Limits::default());
    candidate(&mut bench, &stream, "c1", "one");
    let seen = bench.say(2, json!({"type": "stream_end", "payload": {"stream_id": stream}}));
    assert!(seen.heard(1).contains(&"error c1 unknown_stream".to_owned()), "{:?}", seen.heard(1));
    assert_eq!(candidate(&mut bench, &stream, "c2", "one").heard(1), ["error c2 unknown_stream"]);
}

#[test]
fn without_a_stream_they_pass_as_they_are() {
    let (mut bench, _) = streaming(Limits::default());
    let payload = json!({"to_device_id": "phone", "candidate": "c"});
    let seen = bench.say(1, json!({"type": "ice_candidate", "payload": payload}));
    assert_eq!(sent(&seen), ["ice_candidate tv c"]);
}
