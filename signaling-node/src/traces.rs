//! The spans of a node: what its hubs do for messages of recorded traces, how calls went, what was taken over.

use std::time::Duration;

use streamz_hub::{Call, Reached};
use streamz_platform::spans::{self, Kind, Span, TAKEOVER};
use streamz_protocol::bus::Up;
use streamz_protocol::cluster::Slot;
use streamz_protocol::{Millis, TraceContext, UserId};
use streamz_status::Cause;

use crate::figures;

/// Whose hub does something, and in which epoch of its slot.
#[derive(Clone, Copy)]
pub(crate) struct Whose {
    pub(crate) user: UserId,
    /// Without a fleet there is none.
    pub(crate) epoch: Option<u64>,
}

impl Whose {
    fn describe(self, span: &mut Span) {
        span.set("streamz.slot", i64::from(Slot::of(self.user).number()));
        if let Some(epoch) = self.epoch {
            span.set("streamz.epoch", i64::try_from(epoch).unwrap_or(i64::MAX));
        }
    }
}

/// A hub takes an input.
pub(crate) fn input(up: &Up, whose: Whose) -> Span {
    let (kind, trace, stream) = match up {
        Up::Message(_, message) => (message.command.name(), message.trace, message.command.stream()),
        Up::Attach(_, attach) => ("attach", attach.trace, None),
        _ => return Span::NONE,
    };
    let mut span = Span::child("process", Kind::Consumer, trace);
    if span.is_recorded() {
        span.rename(format!("process {kind}"));
        span.set("messaging.system", "streamz");
        span.set("messaging.operation.name", "process");
        span.set("messaging.operation.type", "process");
        span.set("streamz.message.type", kind);
        whose.describe(&mut span);
        if let Some(stream) = stream {
            span.set("streamz.stream.id", stream.0.to_string());
        }
    }
    span
}

/// A call has come to where its story can be told: its media flow, or it is over before they did.
pub(crate) fn call(call: &Call, whose: Whose) {
    if call.progress.trace.is_none() || !spans::are_made() {
        return;
    }
    let over = match call.reached {
        Reached::Connected => "connected",
        Reached::Ended(reason) if call.progress.connected_at.is_none() => reason,
        _ => return,
    };
    let mut whole = Span::child_since("call", Kind::Internal, call.progress.trace, call.started_at);
    whole.set("streamz.stream.id", call.stream.0.to_string());
    whole.set("streamz.stream.type", call.stream_type.as_str());
    whole.set("streamz.outcome", over);
    whole.set("streamz.path", figures::path(call.path));
    whose.describe(&mut whole);
    let progress = call.progress;
    let stages = [
        ("call ring", Some(call.started_at), progress.accepted_at),
        ("call offer", progress.accepted_at, progress.offered_at),
        ("call answer", progress.offered_at, progress.answered_at),
        ("call connect", progress.answered_at, Some(call.at).filter(|_| over == "connected")),
    ];
    for (name, from, to) in stages {
        // What it was in when it ended lasted until then.
        let (Some(from), to) = (from, to.or((over != "connected").then_some(call.at))) else { continue };
        let Some(to) = to else { continue };
        Span::child_since(name, Kind::Internal, whole.context(), from).end_at(to);
    }
    // People may not answer, and may think better of it.
    if !matches!(
        over,
        "connected" | "ended" | "cancelled" | "declined" | "timeout" | "answered_elsewhere" | "other"
    ) {
        whole.fail(over);
    }
    whole.end_at(call.at);
}

/// The store is asked or told something.
pub(crate) fn store(
    trace: Option<TraceContext>,
    system: &'static str,
    operation: &'static str,
    table: &'static str,
) -> Span {
    let mut span = Span::child("store", Kind::Client, trace);
    if span.is_recorded() {
        span.rename(format!("{operation} {table}"));
        span.set("db.system.name", system);
        span.set("db.operation.name", operation);
        span.set("db.collection.name", table);
    }
    span
}

/// Slots that came together are served in full again.
pub(crate) fn takeover(
    cause: Cause,
    from: Option<u64>,
    slots: usize,
    longest: Duration,
    at: Millis,
    confirmed: Millis,
) {
    let mut span = Span::root_since(TAKEOVER, Kind::Internal, at);
    span.set("streamz.takeover.cause", figures::cause_word(cause));
    span.set("streamz.takeover.slots", i64::try_from(slots).unwrap_or(i64::MAX));
    span.set("streamz.takeover.longest_ms", i64::try_from(longest.as_millis()).unwrap_or(i64::MAX));
    if let Some(node) = from {
        span.set("streamz.takeover.from", node.to_string());
    }
    span.end_at(confirmed);
}
