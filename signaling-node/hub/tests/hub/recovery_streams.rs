//! Streams that outlive their hub.

use serde_json::json;
use streamz_protocol::bus::{Class, Frame, LiveStream, OpenMessage, Over, Replica};
use streamz_protocol::objects::{StreamStats, StreamType};
use streamz_protocol::server::Body;
use streamz_protocol::{Mid, SessionId, StreamId};
use uuid::Uuid;

use crate::support::*;

fn stream_id() -> StreamId {
    StreamId(Uuid::from_u128(0x57))
}

fn origin() -> Mid {
    Mid { session: SessionId(Uuid::from_u128(1)), number: 1 }
}

/// A stream from the TV (session 1) to the phone (session 2) that still rings.
fn ringing(revision: u64) -> LiveStream {
    LiveStream {
        id: stream_id(),
        revision,
        origin: origin(),
        initiator: id("tv"),
        source: id("tv"),
        stream_type: StreamType::Video,
        started_at: START,
        rung: vec![id("phone")],
        ringing: vec![id("phone")],
        accepted: None,
        stats: StreamStats::default(),
        ice: Vec::new(),
        progress: None,
    }
}

fn accepted(revision: u64) -> LiveStream {
    LiveStream { ringing: Vec::new(), accepted: Some(id("phone")), ..ringing(revision) }
}

fn tv() -> Replica {
    Replica { view: vec![id("phone")], next_number: 2, ..replica("tv", 1) }
}

fn phone() -> Replica {
    Replica { view: vec![id("tv")], ..replica("phone", 2) }
}

fn recover(tv: Replica, phone: Option<Replica>) -> (Bench, Seen) {
    let (mut bench, _) = Bench::recovering(&["tv", "phone"], &[GATEWAY]);
    bench.load();
    bench.roster(if phone.is_some() { &[1, 2] } else { &[1] });
    let mut seen = bench.announce(1, tv);
    if let Some(phone) = phone {
        seen.0.extend(bench.announce(2, phone).0);
    }
    (bench, seen)
}

fn over(ended: bool) -> Over {
    Over { id: stream_id(), origin: origin(), ended }
}

fn about(bench: &mut Bench, number: u64, what: &str) -> Seen {
    let payload = json!({"stream_id": stream_id().to_string()});
    bench.say(number, json!({"type": what, "payload": payload, "id": "x"}))
}

#[test]
fn the_highest_revision_rules() {
    for (one, other) in [(ringing(1), accepted(2)), (accepted(2), ringing(1))] {
        let one_is_behind = one.revision < other.revision;
        let (mut bench, seen) =
            recover(Replica { live: vec![one], ..tv() }, Some(Replica { live: vec![other], ..phone() }));
        // The caller that had not heard of it does now.
        let missed: &[&str] = if one_is_behind { &["stream_accept phone"] } else { &[] };
        assert_eq!(seen.heard(1), missed);
        assert!(seen.heard(2).is_empty());
        assert!(bench.after(secs(31)).records().is_empty(), "it was accepted: it rings no more");
        assert_eq!(about(&mut bench, 1, "stream_end").heard(2), ["stream_end tv ended"]);
    }
}

#[test]
fn a_ring_rings_on_until_its_own_end() {
    let live = vec![ringing(1)];
    let (mut bench, _) = recover(Replica { live: live.clone(), ..tv() }, Some(Replica { live, ..phone() }));
    bench.now = START + secs(29);
    assert!(bench.after(secs(0)).records().is_empty());
    assert_eq!(bench.after(secs(1)).records()[0].end_reason.as_deref(), Some("timeout"));
}

#[test]
fn what_one_party_knows_to_be_over_is_over() {
    let (mut bench, seen) = recover(
        Replica { live: vec![accepted(2)], ..tv() },
        Some(Replica { over: vec![over(true)], ..phone() }),
    );
    assert_eq!(seen.heard(1), ["stream_end ended"]);
    assert_eq!(about(&mut bench, 1, "stream_end").heard(1), ["error x unknown_stream"]);
}

#[test]
fn what_is_over_for_one_party_only_goes_on_for_the_others() {
    let (mut bench, seen) = recover(
        Replica { live: vec![accepted(3)], ..tv() },
        Some(Replica { live: vec![accepted(3)], over: vec![over(false)], ..phone() }),
    );
    assert!(seen.records().iter().all(|record| record.ended_at.is_none()));
    assert_eq!(about(&mut bench, 2, "stream_end").heard(1), ["stream_end phone ended"]);
}

#[test]
fn a_stream_whose_other_party_is_gone_is_over() {
    let (_, seen) = recover(Replica { live: vec![accepted(2)], ..tv() }, None);
    assert!(seen.heard(1).contains(&"stream_end device_lost".to_owned()), "{:?}", seen.heard(1));
    assert_eq!(seen.records()[0].end_reason.as_deref(), Some("device_lost"));
}

fn open_start() -> Vec<OpenMessage> {
    let frame = json!({"type": "stream_start", "id": "ring",
        "payload": {"stream_type": "video", "to_device_id": "phone"}});
    vec![OpenMessage::Whole(Box::new(message(origin().session, "tv", 1, &frame, START)))]
}

#[test]
fn a_stream_is_not_begun_twice() {
    let live = vec![ringing(1)];
    let tv = Replica { live: live.clone(), open: open_start(), ..tv() };
    let (_, seen) = recover(tv, Some(Replica { live, ..phone() }));
    assert_eq!(seen.heard(1), ["stream_ringing phone", "delivered ring"]);
    assert!(seen.heard(2).is_empty(), "it rings already");
    assert!(seen.records().iter().all(|record| record.ended_at.is_none()));
}

#[test]
fn a_stream_that_is_over_is_not_begun_again() {
    let tv = Replica { over: vec![over(true)], open: open_start(), ..tv() };
    let (_, seen) = recover(tv, Some(phone()));
    assert_eq!(seen.heard(1), ["not_delivered ring expired"]);
    assert!(seen.heard(2).is_empty());
}

#[test]
fn a_stream_that_never_began_begins_now() {
    let (_, seen) = recover(Replica { open: open_start(), ..tv() }, Some(phone()));
    assert_eq!(seen.heard(1), ["stream_ringing phone", "delivered ring"]);
    assert_eq!(seen.heard(2), ["stream_start tv"]);
}

/// The hub died with the candidate in its hand; nobody has had it.
#[test]
fn a_candidate_that_was_held_follows_its_offer_after_all() {
    let sender = origin().session;
    let ice = json!({"type": "ice_candidate", "id": "c", "payload": {"stream_id": stream_id().to_string(),
        "to_device_id": "phone", "candidate": "c", "username_fragment": "one"}});
    let held = OpenMessage::Whole(Box::new(message(sender, "tv", 2, &ice, START)));
    let live = vec![accepted(2)];
    let tv = Replica { live: live.clone(), open: vec![held], next_number: 3, ..tv() };
    let (mut bench, seen) = recover(tv, Some(Replica { live, ..phone() }));
    assert!(seen.is_silent(), "it is held again");
    let offer = json!({"type": "sdp_offer", "id": "o", "payload": {"stream_id": stream_id().to_string(),
        "to_device_id": "phone", "sdp": "a=ice-ufrag:one"}});
    let seen = bench.say(1, offer);
    assert_eq!(
        seen.heard(2),
        ["sdp_offer o tv a=ice-ufrag:one", "ice_candidate c tv c"].map(|word| {
            // Relayed frames carry no id.
            word.replace(" o ", " ").replace(" c tv", " tv")
        })
    );
    let last = seen.frames(2).last().unwrap()["seq"].as_u64().unwrap();
    assert_eq!(bench.ack(2, last).heard(1), ["delivered o", "delivered c"]);
}

/// It came late the first time, and must not come twice.
#[test]
fn a_candidate_that_came_late_does_not_come_again() {
    let sender = origin().session;
    let ice = json!({"type": "ice_candidate", "id": "c", "payload": {"stream_id": stream_id().to_string(),
        "to_device_id": "phone", "candidate": "c", "username_fragment": "one"}});
    let open = OpenMessage::Whole(Box::new(message(sender, "tv", 2, &ice, START)));
    let mut live = accepted(3);
    live.ice = vec![streamz_protocol::bus::IceGenerations {
        device: id("tv"),
        current: vec![streamz_protocol::client::Ufrag::of("one")],
        older: Vec::new(),
    }];
    let mid = Mid { session: sender, number: 2 };
    let body = Body::of(&streamz_protocol::server::ServerMessage::Pong {});
    let window = vec![Frame { seq: 2, class: Class::Message { mid, late: true }, body }];
    let heard = vec![streamz_protocol::bus::Heard { sender, up_to: 3, late: vec![2] }];
    let tv = Replica { live: vec![live.clone()], open: vec![open], next_number: 4, ..tv() };
    let phone = Replica { live: vec![live], window, heard, last_seq: 2, ..phone() };
    let (mut bench, seen) = recover(tv, Some(phone));
    assert!(seen.heard(2).is_empty());
    assert_eq!(bench.ack(2, 2).heard(1), ["delivered c"]);
}
