//! Rings, accepts, ends: every step of a stream's life.

use serde_json::{Value, json};
use streamz_hub::{Effect, Rest};
use streamz_protocol::Limits;
use streamz_protocol::bus::{Attach, Caps, Detach, Item, Up};

use crate::support::*;

/// Rings, and returns the stream's id with what was seen.
fn ring(bench: &mut Bench, number: u64, to: &str) -> (String, Seen) {
    let mut payload = json!({"stream_type": "video"});
    if !to.is_empty() {
        payload["to_device_id"] = to.into();
    }
    let seen = bench.say(number, json!({"type": "stream_start", "payload": payload, "id": "ring"}));
    let ringing = seen.frames(number).into_iter().find(|frame| frame["type"] == "stream_ringing").unwrap();
    (ringing["payload"]["stream_id"].as_str().unwrap().to_owned(), seen)
}

fn about(bench: &mut Bench, number: u64, what: &str, stream: &str) -> Seen {
    bench.say(number, json!({"type": what, "payload": {"stream_id": stream}, "id": "x"}))
}

fn start(bench: &mut Bench, number: u64, payload: Value) -> Seen {
    bench.say(number, json!({"type": "stream_start", "payload": payload, "id": "s"}))
}

fn taking(device: &str, max_streams: u16) -> Attach {
    Attach { caps: Caps { acks: true, max_streams }, ..attach(device) }
}

#[test]
fn a_ring_for_one_device() {
    let mut bench = Bench::online(&["tv", "phone"]);
    let (_, seen) = ring(&mut bench, 1, "phone");
    assert_eq!(seen.heard(1), ["stream_ringing phone", "delivered ring"]);
    assert_eq!(seen.frames(1)[0]["id"], "ring");
    assert_eq!(seen.heard(2), ["stream_start tv"]);
    let rung = &seen.frames(2)[0];
    assert_eq!(
        (&rung["payload"]["source_device_id"], &rung["payload"]["stream_type"]),
        (&json!("tv"), &json!("video"))
    );
    let records = seen.records();
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].source, records[0].target), (Some(row("tv")), Some(row("phone"))));
    assert_eq!((records[0].started_at, records[0].ended_at), (START, None));
    let copied = |number| seen.items(number).iter().any(|item| matches!(item, Item::Stream(_)));
    assert!(copied(1) && copied(2), "both gateways have the stream");
}

#[test]
fn the_first_accept_wins() {
    let mut bench = Bench::online(&["tv", "phone", "cam"]);
    let (stream, seen) = ring(&mut bench, 1, "");
    assert_eq!(seen.heard(1)[0], "stream_ringing phone cam");
    assert_eq!(seen.records()[0].target, None, "nobody yet");
    let seen = about(&mut bench, 3, "stream_accept", &stream);
    assert_eq!(seen.heard(3), ["delivered x"]);
    assert_eq!(seen.heard(1), ["stream_accept cam"]);
    assert_eq!(seen.heard(2), ["stream_end answered_elsewhere"]);
    assert_eq!(seen.records()[0].target, Some(row("cam")));
    assert_eq!(
        about(&mut bench, 2, "stream_accept", &stream).heard(2),
        ["not_delivered x answered_elsewhere"]
    );
    assert!(bench.after(secs(60)).records().is_empty(), "an accepted stream does not time out");
}

#[test]
fn both_ends_may_end_it() {
    for by in [1, 2] {
        let mut bench = Bench::online(&["tv", "phone"]);
        let (stream, _) = ring(&mut bench, 1, "phone");
        about(&mut bench, 2, "stream_accept", &stream);
        let seen = about(&mut bench, by, "stream_end", &stream);
        let (other, name) = if by == 1 { (2, "tv") } else { (1, "phone") };
        assert_eq!(seen.heard(other), [format!("stream_end {name} ended")]);
        assert_eq!(seen.heard(by), ["delivered x"]);
        let record = seen.records()[0];
        assert_eq!((record.ended_at, record.end_reason.as_deref()), (Some(START), Some("ended")));
        assert_eq!(about(&mut bench, by, "stream_end", &stream).heard(by), ["error x unknown_stream"]);
    }
}

#[test]
fn a_ring_may_be_given_up_declined_or_left_unanswered() {
    let mut bench = Bench::online(&["tv", "phone"]);
    let (stream, _) = ring(&mut bench, 1, "phone");
    let seen = about(&mut bench, 1, "stream_end", &stream);
    assert_eq!(seen.heard(2), ["stream_end tv cancelled"]);
    assert_eq!(seen.records()[0].end_reason.as_deref(), Some("cancelled"));

    for what in ["stream_decline", "stream_end"] {
        let (stream, _) = ring(&mut bench, 1, "phone");
        let seen = about(&mut bench, 2, what, &stream);
        assert_eq!(seen.heard(1), ["stream_decline phone", "stream_end declined"], "{what}");
        assert_eq!(seen.heard(2), ["delivered x"], "{what}");
    }

    let (stream, _) = ring(&mut bench, 1, "phone");
    assert_eq!(bench.hub.next_deadline(), Some(START + secs(30)).min(bench.hub.next_deadline()));
    assert!(bench.after(secs(29)).records().is_empty());
    let seen = bench.after(secs(1));
    assert_eq!(seen.heard(1), ["stream_end timeout"]);
    assert_eq!(seen.heard(2), ["stream_end timeout"]);
    assert_eq!(seen.records()[0].end_reason.as_deref(), Some("timeout"));
    assert_eq!(about(&mut bench, 2, "stream_accept", &stream).heard(2), ["error x unknown_stream"]);
}

#[test]
fn a_ring_for_all_ends_with_the_last_that_declines() {
    let mut bench = Bench::online(&["tv", "phone", "cam"]);
    let (stream, _) = ring(&mut bench, 1, "");
    let seen = about(&mut bench, 2, "stream_decline", &stream);
    assert_eq!(seen.heard(1), ["stream_decline phone"]);
    assert!(seen.records().is_empty());
    assert_eq!(about(&mut bench, 2, "stream_decline", &stream).heard(2), ["delivered x"], "it has");
    assert_eq!(about(&mut bench, 2, "stream_accept", &stream).heard(2), ["error x wrong_state"]);
    let seen = about(&mut bench, 3, "stream_decline", &stream);
    assert_eq!(seen.heard(1), ["stream_decline cam", "stream_end declined"]);
}

/// What each device may say of a stream in each of its states.
#[test]
fn what_is_not_allowed_is_an_error() {
    let nothing = "00000000-0000-0000-0000-000000000000";
    let mut bench = Bench::online(&["tv", "phone", "cam"]);
    for what in ["stream_accept", "stream_decline", "stream_end", "stream_stats"] {
        assert_eq!(about(&mut bench, 1, what, nothing).heard(1), ["error x unknown_stream"], "{what}");
    }
    let (stream, _) = ring(&mut bench, 1, "phone");
    let ringing = [
        (1, "stream_accept", "error x wrong_state"),
        (1, "stream_decline", "error x wrong_state"),
        (3, "stream_accept", "error x unknown_stream"),
        (3, "stream_decline", "error x unknown_stream"),
        (3, "stream_end", "error x unknown_stream"),
        (3, "stream_stats", "error x unknown_stream"),
    ];
    for (number, what, expected) in ringing {
        assert_eq!(about(&mut bench, number, what, &stream).heard(number), [expected], "{number} {what}");
    }
    about(&mut bench, 2, "stream_accept", &stream);
    let accepted = [
        (1, "stream_accept", "error x unknown_stream"),
        (2, "stream_accept", "delivered x"),
        (2, "stream_decline", "error x wrong_state"),
        (3, "stream_accept", "error x unknown_stream"),
        (3, "stream_end", "error x unknown_stream"),
    ];
    for (number, what, expected) in accepted {
        assert_eq!(about(&mut bench, number, what, &stream).heard(number), [expected], "{number} {what}");
    }
}

#[test]
fn who_is_in_a_stream_is_busy() {
    let mut bench = Bench::online(&["tv", "phone", "cam"]);
    let (first, _) = ring(&mut bench, 1, "phone");
    assert_eq!(
        start(&mut bench, 3, json!({"stream_type": "data", "to_device_id": "tv"})).heard(3),
        ["not_delivered s busy"]
    );
    let (second, _) = ring(&mut bench, 3, "phone");
    about(&mut bench, 2, "stream_accept", &first);
    assert_eq!(about(&mut bench, 2, "stream_accept", &second).heard(2), ["not_delivered x busy"]);
    about(&mut bench, 3, "stream_end", &second);
    assert_eq!(
        start(&mut bench, 3, json!({"stream_type": "data"})).heard(3),
        ["not_delivered s busy tv:busy phone:busy"]
    );
    about(&mut bench, 2, "stream_end", &first);
    ring(&mut bench, 3, "phone");
}

#[test]
fn a_camera_may_serve_several() {
    let mut bench = Bench::new(&["cam", "tv", "phone", "pad"]);
    bench.attach(1, taking("cam", 2));
    for (number, name) in [(2, "tv"), (3, "phone"), (4, "pad")] {
        bench.attach(number, attach(name));
    }
    for number in [2, 3] {
        let (stream, _) = ring(&mut bench, number, "cam");
        assert_eq!(about(&mut bench, 1, "stream_accept", &stream).heard(1), ["delivered x"]);
    }
    let third = start(&mut bench, 4, json!({"stream_type": "video", "to_device_id": "cam"}));
    assert_eq!(third.heard(4), ["not_delivered s busy"]);
}

#[test]
fn a_tv_may_ask_the_camera_for_its_picture() {
    let mut bench = Bench::online(&["tv", "cam", "phone"]);
    let ask =
        |source: &str| json!({"stream_type": "video", "to_device_id": "cam", "source_device_id": source});
    assert_eq!(start(&mut bench, 1, ask("phone")).heard(1), ["error s invalid_payload"]);
    let seen = start(&mut bench, 1, ask("cam"));
    assert_eq!(seen.frames(2)[0]["payload"]["source_device_id"], "cam");
    let record = seen.records()[0];
    assert_eq!((record.source, record.target), (Some(row("cam")), Some(row("tv"))));
}

#[test]
fn a_ring_that_reaches_nobody() {
    let mut bench = Bench::online(&["tv"]);
    assert_eq!(start(&mut bench, 1, json!({"stream_type": "video"})).heard(1), ["not_delivered s offline"]);
    let unnamed = json!({"type": "stream_start", "payload": {"stream_type": "video"}});
    assert_eq!(bench.say(1, unnamed).heard(1), ["error not_delivered"], "said without an id as well");
    let unknown = json!({"stream_type": "video", "to_device_id": "toaster"});
    assert_eq!(start(&mut bench, 1, unknown).heard(1), ["not_delivered s unknown_device"]);
}

#[test]
fn streams_are_bounded_and_need_room_for_their_record() {
    let limits = Limits { streams: 1, ..Limits::default() };
    let mut bench = Bench::online_with(limits, &["tv", "phone"]);
    bench.room = false;
    let to_phone = json!({"stream_type": "video", "to_device_id": "phone"});
    assert_eq!(start(&mut bench, 1, to_phone.clone()).heard(1), ["error s unavailable"]);
    bench.room = true;
    let (stream, _) = ring(&mut bench, 1, "phone");
    assert_eq!(start(&mut bench, 1, to_phone).heard(1), ["error s too_many_streams"]);
    bench.room = false;
    assert_eq!(about(&mut bench, 2, "stream_accept", &stream).heard(2), ["delivered x"], "it has begun");
}

#[test]
fn what_the_parties_measure_is_recorded() {
    let mut bench = Bench::online(&["tv", "phone"]);
    let (stream, _) = ring(&mut bench, 1, "phone");
    about(&mut bench, 2, "stream_accept", &stream);
    let stats = |more: Value| {
        let mut payload = json!({"stream_id": stream});
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"type": "stream_stats", "payload": payload})
    };
    bench.say(1, stats(json!({"connection_type": "relay", "latency_ms": 40})));
    let seen = bench.say(2, stats(json!({"quality": "good", "latency_ms": 50})));
    let record = seen.records()[0];
    assert_eq!(record.connection_type.unwrap().as_str(), "relay");
    assert_eq!((record.quality.as_deref(), record.latency_ms), (Some("good"), Some(50)));
    let ended = about(&mut bench, 1, "stream_end", &stream);
    assert_eq!(ended.records()[0].latency_ms, Some(50));
}

#[test]
fn a_party_that_is_lost_ends_the_stream() {
    type Lose = fn(&mut Bench) -> Seen;
    let lose: [(&str, Lose); 4] = [
        ("device_lost", |bench| {
            bench.detach(2, Detach::Lost);
            bench.after(secs(10));
            bench.after(secs(50))
        }),
        ("device_lost", |bench| {
            bench.detach(2, Detach::Clean);
            assert!(bench.after(secs(59)).records().is_empty(), "it may come back");
            bench.after(secs(1))
        }),
        ("device_removed", |bench| bench.removed("phone")),
        ("signed_out", |bench| bench.up(Up::Revoke { family: uuid::Uuid::from_u128(2) })),
    ];
    for (reason, lose) in lose {
        let mut bench = Bench::new(&["tv", "phone"]);
        bench.attach(1, attach("tv"));
        bench.attach(2, Attach { family: uuid::Uuid::from_u128(2), ..attach("phone") });
        let (stream, _) = ring(&mut bench, 1, "phone");
        about(&mut bench, 2, "stream_accept", &stream);
        let seen = lose(&mut bench);
        assert!(seen.heard(1).contains(&format!("stream_end {reason}")), "{reason}: {:?}", seen.heard(1));
        assert_eq!(seen.records()[0].end_reason.as_deref(), Some(reason));
        assert_eq!(seen.records()[0].target, Some(row("phone")));
    }
}

#[test]
fn one_of_several_that_ring_may_go() {
    let mut bench = Bench::online(&["tv", "phone", "cam"]);
    let (stream, _) = ring(&mut bench, 1, "");
    assert!(bench.removed("phone").records().is_empty());
    assert_eq!(about(&mut bench, 3, "stream_accept", &stream).heard(3), ["delivered x"]);
}

#[test]
fn a_simple_partys_stream_ends_after_its_grace() {
    let mut bench = Bench::new(&["tv", "phone"]);
    bench.attach(1, attach("tv"));
    bench.attach(2, simple("phone"));
    let (stream, _) = ring(&mut bench, 1, "phone");
    about(&mut bench, 2, "stream_accept", &stream);
    bench.detach(2, Detach::Lost);
    assert!(bench.after(secs(9)).records().is_empty());
    let seen = bench.after(secs(1));
    assert_eq!(seen.heard(1), ["device_offline phone", "stream_end device_lost"]);
}

#[test]
fn a_user_that_is_gone_leaves_no_stream_behind() {
    let (mut bench, _) = Bench::recovering(&["tv", "phone"], &[GATEWAY]);
    bench.roster(&[1, 2]);
    bench.announce(1, replica("tv", 1));
    bench.announce(2, replica("phone", 2));
    let (stream, _) = ring(&mut bench, 1, "phone");
    about(&mut bench, 2, "stream_accept", &stream);
    bench.input(streamz_hub::Input::Loaded(Ok(None)));
    assert_eq!(bench.hub.rest(), Rest::Empty);
}

#[test]
fn a_welcome_shows_the_streams_as_they_are() {
    let mut bench = Bench::online(&["tv", "phone", "cam"]);
    let (stream, _) = ring(&mut bench, 1, "phone");
    let seen = bench.attach(4, attach("cam"));
    let shown = &seen.attached(4).unwrap().streams;
    assert_eq!((shown.len(), shown[0].id.to_string()), (1, stream.clone()));
    assert_eq!((shown[0].from_device_id.clone(), shown[0].to.clone()), (id("tv"), vec![id("phone")]));
    assert!(seen.attached(4).unwrap().live.is_empty(), "it is no party");
    let session = bench.session(2);
    bench.detach(2, Detach::Lost);
    let seen = bench.attach(5, resume("phone", session, 1));
    assert_eq!(seen.attached(5).unwrap().live.len(), 1);
    assert!(!seen.0.iter().any(|effect| matches!(effect, Effect::Record(_))));
}
