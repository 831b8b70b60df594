//! What nodes count of devices, calls and slots.

use std::sync::LazyLock;
use std::time::Duration;

use metrics::Counter;
use streamz_hub::{Call, Reached};
use streamz_protocol::objects::ConnectionType;
use streamz_status::Cause;

/// Devices that came, and that went.
static PRESENCE: LazyLock<[Counter; 2]> = LazyLock::new(|| {
    ["offline", "online"].map(|state| metrics::counter!("streamz_presence_changes_total", "state" => state))
});

/// A device came or went.
pub(crate) fn presence(online: bool) {
    PRESENCE[usize::from(online)].increment(1);
}

/// A call has come further, or has ended.
pub(crate) fn call(call: &Call) {
    let stage = |stage: &'static str, took: Option<Duration>| {
        if let Some(took) = took {
            metrics::histogram!("streamz_call_setup_seconds", "stage" => stage).record(took);
        }
    };
    let since = |earlier| Some(call.at.since(earlier));
    let progress = call.progress;
    match &call.reached {
        Reached::Accepted => {
            ring("accepted");
            stage("ring", since(call.started_at));
        }
        Reached::Offered => stage("offer", progress.accepted_at.and_then(since)),
        Reached::Answered => stage("answer", progress.offered_at.and_then(since)),
        Reached::Connected => {
            stage("connect", progress.answered_at.or(progress.accepted_at).and_then(since));
            stage("total", since(call.started_at));
            let path = path(call.path);
            metrics::counter!("streamz_calls_connected_total", "path" => path).increment(1);
        }
        Reached::Ended(outcome) if progress.accepted_at.is_none() => ring(outcome),
        Reached::Ended(outcome) => {
            let connected = if progress.connected_at.is_some() { "true" } else { "false" };
            metrics::counter!("streamz_calls_ended_total", "reason" => *outcome, "connected" => connected)
                .increment(1);
        }
    }
}

fn ring(outcome: &'static str) {
    metrics::counter!("streamz_rings_total", "outcome" => outcome).increment(1);
}

/// The path of the media in a word.
pub(crate) fn path(path: Option<ConnectionType>) -> &'static str {
    path.map_or("unknown", ConnectionType::as_str)
}

/// A slot that was taken over is served in full again, after so long.
pub(crate) fn taken_over(cause: Cause, pause: Duration) {
    let cause = cause_word(cause);
    metrics::counter!("streamz_takeovers_total", "cause" => cause).increment(1);
    metrics::histogram!("streamz_takeover_pause_seconds", "cause" => cause).record(pause);
}

/// Why a slot has another owner, in a word.
pub(crate) fn cause_word(cause: Cause) -> &'static str {
    match cause {
        Cause::First => "first",
        Cause::HandedOver => "handed_over",
        Cause::OwnerGone => "owner_gone",
    }
}
