//! How far calls have come, as whoever counts and traces is told.

use serde_json::json;
use streamz_hub::Reached;
use streamz_protocol::TraceContext;
use streamz_protocol::bus::{Item, Progress};
use streamz_protocol::objects::ConnectionType;

use crate::support::*;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

impl Bench {
    fn reached(&mut self) -> Vec<Reached> {
        self.hub.take_calls().into_iter().map(|call| call.reached).collect()
    }

    fn about(&mut self, number: u64, what: &str, stream: &str) -> Seen {
        self.say(number, json!({"type": what, "payload": {"stream_id": stream, "sdp": "v=0"}, "id": format!("{what}-{number}-{}", self.now.0)}))
    }

    fn ring_traced(&mut self) -> (String, Option<Progress>) {
        let ring = json!({"type": "stream_start", "payload": {"stream_type": "video", "to_device_id": "phone"}, "traceparent": PARENT});
        let seen = self.say(1, ring);
        let progress = seen.items(2).into_iter().find_map(|item| match item {
            Item::Stream(stream) => Some(stream.progress.as_deref().copied()),
            _ => None,
        });
        let ringing = seen.frames(1).into_iter().find(|frame| frame["type"] == "stream_ringing").unwrap();
        (ringing["payload"]["stream_id"].as_str().unwrap().to_owned(), progress.unwrap())
    }
}

#[test]
fn each_stage_is_told_once_with_its_time() {
    let mut bench = Bench::online(&["tv", "phone"]);
    let (stream, progress) = bench.ring_traced();
    let trace: Option<TraceContext> = PARENT.parse().ok();
    assert_eq!(progress, Some(Progress { trace, ..Progress::default() }), "gateways know the trace");
    assert!(bench.reached().is_empty());
    for (number, what, reached) in [
        (2, "stream_accept", Some(Reached::Accepted)),
        (2, "stream_accept", None),
        (1, "sdp_offer", Some(Reached::Offered)),
        (1, "sdp_offer", None),
        (2, "sdp_answer", Some(Reached::Answered)),
        (1, "stream_stats", Some(Reached::Connected)),
        (2, "stream_stats", None),
    ] {
        bench.after(secs(1));
        let now = bench.now;
        bench.about(number, what, &stream);
        let calls = bench.hub.take_calls();
        assert_eq!(
            calls.iter().map(|call| call.reached).collect::<Vec<_>>(),
            reached.into_iter().collect::<Vec<_>>(),
            "{what}"
        );
        for call in calls {
            assert_eq!((call.at, call.started_at, call.progress.trace), (now, START, trace));
        }
    }
    bench.say(
        1,
        json!({"type": "stream_stats", "payload": {"stream_id": stream, "connection_type": "relay"}}),
    );
    bench.about(1, "stream_end", &stream);
    let calls = bench.hub.take_calls();
    let [call] = &calls[..] else { panic!("one end") };
    assert_eq!((call.reached, call.path), (Reached::Ended("ended"), Some(ConnectionType::Relay)));
    let progress = call.progress;
    let stages = [progress.accepted_at, progress.offered_at, progress.answered_at, progress.connected_at];
    assert_eq!(stages, [1, 3, 5, 6].map(|seconds| Some(START + secs(seconds))));
}

#[test]
fn a_ring_that_comes_to_nothing_says_why_in_a_known_word() {
    let mut bench = Bench::online(&["tv", "phone"]);
    let (stream, _) = bench.ring_traced();
    bench.say(1, json!({"type": "stream_end", "payload": {"stream_id": stream, "reason": "my own words"}}));
    assert_eq!(bench.reached(), [Reached::Ended("other")]);
    bench.ring_traced();
    bench.after(secs(30));
    assert_eq!(bench.reached(), [Reached::Ended("timeout")]);
}

#[test]
fn what_nobody_takes_does_not_pile_up() {
    let mut bench = Bench::online(&["tv", "phone"]);
    for _ in 0..3 {
        let (stream, _) = bench.ring_traced();
        bench.about(2, "stream_decline", &stream);
    }
    assert_eq!(bench.reached().len(), 1, "of the last input alone");
}

/// Nothing of it is decided by the trace: without one the same is said to everybody.
#[test]
fn an_offer_while_it_rings_is_no_stage() {
    let mut bench = Bench::online(&["tv", "phone"]);
    let (stream, _) = bench.ring_traced();
    bench.about(1, "sdp_offer", &stream);
    assert!(bench.reached().is_empty());
}
