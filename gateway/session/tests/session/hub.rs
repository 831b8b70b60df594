//! What the hub says: the copy that is kept of it, and the queue to the socket.

use streamz_protocol::bus::{Class, Frame, Heard, Item, LATE_KEPT, LiveStream, OVER_KEPT, Over};
use streamz_protocol::objects::{StreamStats, StreamType};
use streamz_protocol::{Limits, Millis, SessionId, StreamId};
use streamz_session::{Input, Phase};
use uuid::Uuid;

use crate::support::*;

fn stream(number: u128, revision: u64) -> LiveStream {
    LiveStream {
        id: StreamId(Uuid::from_u128(number)),
        revision,
        origin: mid(1, 1),
        initiator: id("tv"),
        source: id("tv"),
        stream_type: StreamType::Both,
        started_at: Millis(0),
        rung: vec![id("laptop")],
        ringing: vec![id("laptop")],
        accepted: None,
        stats: StreamStats::default(),
        ice: Vec::new(),
        progress: None,
    }
}

#[test]
fn frames_go_to_the_socket_in_order_and_once() {
    let mut bench = Bench::live();
    let batch = vec![Item::Frame(state(1)), Item::Plain(pong()), Item::Frame(relayed(4, 1))];
    assert_eq!(words(&bench.down(batch)), ["#1 pong", "pong", "#4 pong"], "numbers may be missing");
    assert!(bench.frames([state(1), state(4)]).is_empty(), "what came before was seen");
}

#[test]
fn a_simple_client_confirms_what_its_socket_took() {
    let mut bench = Bench::simple();
    bench.frames([state(1), relayed(2, 1)]);
    assert!(bench.handle(Input::Written { bytes: 10, seq: None }).is_empty());
    assert_eq!(words(&bench.handle(Input::Written { bytes: 10, seq: Some(2) })), ["up ack 2"]);
    assert!(bench.handle(Input::Written { bytes: 10, seq: Some(2) }).is_empty());
    assert!(bench.replica().window.is_empty());
    let mut bench = Bench::live();
    bench.frames([state(1)]);
    assert!(bench.handle(Input::Written { bytes: 10, seq: Some(1) }).is_empty(), "another says so itself");
}

#[test]
fn a_device_that_does_not_read_is_closed_one_byte_past_the_limit() {
    let size = pong().len();
    let welcomed = |slack: usize| {
        let mut probe = Bench::live();
        probe.handle(Input::Written { bytes: usize::MAX, seq: None });
        let limits = Limits { outbound_bytes: 3 * size + slack, ..Limits::default() };
        let mut bench = Bench::live_with(limits, true, attached());
        bench.handle(Input::Written { bytes: usize::MAX, seq: None });
        bench
    };
    let mut bench = welcomed(0);
    assert_eq!(bench.frames((1..=3).map(state)).len(), 3);
    assert_eq!(bench.session.phase(), Phase::Live);
    bench.handle(Input::Written { bytes: size, seq: None });
    assert_eq!(bench.frames([state(4)]).len(), 1, "what was taken makes room");
    let effects = bench.down(vec![Item::Frame(state(5)), Item::Frame(state(6)), Item::Plain(pong())]);
    assert_eq!(words(&effects), ["close 4002", "up detach Slow"]);
    assert_eq!(bench.replica().last_seq, 6, "the copy goes on");
    assert_eq!(words(&welcomed(0).down(vec![Item::Plain(pong()); 4])).last().unwrap(), "up detach Slow");
}

#[test]
fn the_copy_keeps_what_is_unconfirmed_within_the_window() {
    let limits = Limits { window_frames: 2, ..Limits::default() };
    let mut bench = Bench::live_with(limits.clone(), true, attached());
    bench.frames([state(1), state(2)]);
    let whole = bench.replica();
    assert_eq!((whole.window.len(), whole.lossy, whole.floor), (2, false, 0));
    bench.frames([relayed(3, 1)]);
    let cut = bench.replica();
    assert_eq!((cut.window.len(), cut.lossy, cut.floor), (2, false, 1), "a state frame is missed");
    bench.frames([relayed(4, 2), relayed(5, 3)]);
    let cut = bench.replica();
    assert_eq!((cut.window.len(), cut.lossy, cut.floor), (2, true, 2), "a message has its outcome");
    let size = pong().len();
    let limits = Limits { window_bytes: 2 * size, ..limits };
    let mut bench = Bench::live_with(limits, true, attached());
    bench.frames((1..=3).map(state));
    assert_eq!(bench.replica().floor, 1);
    bench.ack(3);
    assert_eq!(bench.frames([state(4), state(5)]).len(), 2);
    assert_eq!(bench.replica().floor, 1, "confirmed bytes are free");
}

#[test]
fn the_copy_knows_what_the_device_was_told_of_the_others() {
    let mut bench = Bench::live();
    assert_eq!(bench.replica().view, [id("laptop"), id("tv")]);
    let presence = |seq, device: &str, online| Frame {
        seq,
        class: Class::Presence { device: id(device), online },
        body: pong(),
    };
    bench.frames([presence(1, "phone", true), presence(2, "tv", false), presence(3, "phone", true)]);
    assert_eq!(bench.replica().view, [id("laptop"), id("phone")]);
}

#[test]
fn the_copy_knows_what_was_heard_of_each_sender() {
    let mut bench = Bench::live();
    let late =
        |seq, number| Frame { seq, class: Class::Message { mid: mid(1, number), late: true }, body: pong() };
    bench.frames([relayed(1, 5), late(2, 3), relayed(3, 7)]);
    let sender = SessionId(Uuid::from_u128(1));
    assert_eq!(bench.replica().heard, [Heard { sender, up_to: 7, late: vec![3] }]);
    bench.frames((4..80).map(|seq| late(seq, 100 + seq)));
    let heard = &bench.replica().heard[0];
    assert_eq!((heard.late.len(), heard.late.last().copied()), (LATE_KEPT, Some(179)));
}

#[test]
fn senders_that_are_remembered_are_bounded() {
    let mut bench = Bench::live();
    bench.frames((1..=300).map(|seq| Frame {
        seq,
        class: Class::Message { mid: mid(u128::from(seq), 1), late: false },
        body: pong(),
    }));
    let heard = bench.replica().heard;
    assert_eq!(heard.len(), 256);
    assert_eq!(heard.last().unwrap().sender, SessionId(Uuid::from_u128(300)));
}

#[test]
fn the_copy_has_the_streams_as_they_are() {
    let mut bench = Bench::live();
    let put = |number, revision| Item::Stream(Box::new(stream(number, revision)));
    assert!(bench.down(vec![put(1, 1), put(2, 1), put(1, 2)]).is_empty(), "the device hears frames only");
    assert_eq!(bench.replica().live, [stream(1, 2), stream(2, 1)]);
    let over = |number, ended| Over { id: StreamId(Uuid::from_u128(number)), origin: mid(1, 1), ended };
    bench.down(vec![Item::StreamOver(over(1, true))]);
    let replica = bench.replica();
    assert_eq!((replica.live, replica.over), (vec![stream(2, 1)], vec![over(1, true)]));
    bench.down((10..40).map(|number| Item::StreamOver(over(number, false))).collect());
    let kept = bench.replica().over;
    assert_eq!((kept.len(), kept[0]), (OVER_KEPT, over(24, false)));
}

#[test]
fn an_outcome_settles_its_message() {
    let mut bench = Bench::live();
    bench.text(&offer("m1"));
    bench.text(&offer("m2"));
    bench.frames([delivered(1, 2, "m2")]);
    let replica = bench.replica();
    assert_eq!((replica.open.len(), replica.settled.len()), (1, 1));
    assert_eq!(replica.settled[0].id.as_str(), "m2");
}
