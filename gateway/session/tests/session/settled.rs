//! What becomes of messages, as whoever counts and traces is told.

use std::time::Duration;

use streamz_protocol::bus::{Item, LiveStream, Progress};
use streamz_protocol::objects::{StreamStats, StreamType};
use streamz_protocol::{Limits, Millis, StreamId, TraceContext};
use streamz_session::Input;
use uuid::Uuid;

use crate::support::*;

const CALL: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn an_outcome_is_told_with_its_time_and_once() {
    let mut bench = Bench::live();
    bench.text(&offer("m"));
    assert!(bench.session.take_settled().is_empty());
    bench.after(Duration::from_millis(40));
    bench.frames([delivered(1, 1, "m")]);
    let [settled] = bench.session.take_settled()[..] else { panic!("one") };
    assert_eq!((settled.number, settled.kind, settled.outcome), (1, "sdp_offer", "delivered"));
    assert_eq!(settled.after, Duration::from_millis(40));
    bench.frames([delivered(1, 1, "m")]);
    assert!(bench.session.take_settled().is_empty());
}

#[test]
fn what_is_refused_here_and_what_has_no_id_is_told_at_once() {
    let limits = Limits { unsettled: 1, ..Limits::default() };
    let mut bench = Bench::live_with(limits, true, attached());
    let outcome = |bench: &mut Bench| {
        bench.session.take_settled().iter().map(|settled| settled.outcome).collect::<Vec<_>>()
    };
    bench.text(&offer("first"));
    bench.text(&offer("second"));
    assert_eq!(outcome(&mut bench), ["backlog"]);
    bench.handle(Input::HubFull { number: 1 });
    assert_eq!(outcome(&mut bench), ["backlog"]);
    bench.text(r#"{"type": "sdp_offer", "payload": {"sdp": "v=0"}}"#);
    assert_eq!(outcome(&mut bench), ["unconfirmed"]);
    // Nobody need take it.
    bench.text(r#"{"type": "sdp_offer", "payload": {"sdp": "v=0"}}"#);
    bench.text("{}");
    assert!(outcome(&mut bench).is_empty());
}

#[test]
fn a_call_has_one_trace_whatever_its_parties_name() {
    let mut bench = Bench::live();
    let trace: TraceContext = CALL.parse().unwrap();
    let id = StreamId(Uuid::from_u128(7));
    let stream = LiveStream {
        id,
        revision: 1,
        origin: mid(1, 1),
        initiator: crate::support::id("tv"),
        source: crate::support::id("tv"),
        stream_type: StreamType::Both,
        started_at: Millis(0),
        rung: Vec::new(),
        ringing: Vec::new(),
        accepted: Some(crate::support::id("laptop")),
        stats: StreamStats::default(),
        ice: Vec::new(),
        progress: Some(Box::new(Progress { trace: Some(trace), ..Progress::default() })),
    };
    bench.down(vec![Item::Stream(Box::new(stream))]);
    let mut said = |parent: Option<&str>, stream: Option<StreamId>| {
        let parent = parent.map_or("null".to_owned(), |parent| format!("\"{parent}\""));
        let stream = stream.map_or(String::new(), |id| format!(r#", "stream_id": "{}""#, id.0));
        let text = format!(
            r#"{{"type": "sdp_offer", "traceparent": {parent}, "payload": {{"sdp": "v=0"{stream}}}}}"#
        );
        messages(&bench.text(&text))[0].trace
    };
    let other = CALL.replacen('4', "5", 1);
    let deeper = CALL.replacen("00f0", "00f1", 1);
    assert_eq!(said(None, Some(id)), Some(trace));
    assert_eq!(said(Some(&other), Some(id)), Some(trace), "not the party's own");
    assert_eq!(said(Some(&deeper), Some(id)), deeper.parse().ok(), "a span of the call's own trace");
    assert_eq!(said(Some(&other), None), other.parse().ok());
    let silent = CALL.replace("-01", "-00");
    assert_eq!(
        said(Some(&silent), Some(id)),
        Some(trace),
        "one that is not recorded does not count for a call that is"
    );
    assert_eq!(said(Some(&silent), None), silent.parse().ok(), "else it does: the sampler is to follow it");
    assert_eq!(said(None, None), None);
}
