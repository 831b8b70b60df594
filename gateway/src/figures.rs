//! What is counted for every message, with instruments that are looked up once.

use std::sync::LazyLock;

use metrics::{Counter, Histogram};
use streamz_session::Settled;

/// What devices send, as [`Command::name`](streamz_protocol::client::Command::name) has it.
const KINDS: [&str; 10] = [
    "sdp_offer",
    "sdp_answer",
    "ice_candidate",
    "stream_start",
    "stream_accept",
    "stream_decline",
    "stream_end",
    "stream_stats",
    "answered",
    "other",
];

/// Of one kind: what nearly all messages come to.
struct Kind {
    delivered: Counter,
    after: Histogram,
    unconfirmed: Counter,
}

static MESSAGES: LazyLock<[Kind; 10]> = LazyLock::new(|| {
    KINDS.map(|kind| Kind {
        delivered: messages(kind, "delivered"),
        after: metrics::histogram!("streamz_delivery_seconds", "type" => kind),
        unconfirmed: messages(kind, "unconfirmed"),
    })
});

fn messages(kind: &'static str, outcome: &'static str) -> Counter {
    metrics::counter!("streamz_messages_total", "type" => kind, "outcome" => outcome)
}

/// A message has come to its end.
pub(crate) fn settled(settled: &Settled) {
    let Some(at) = KINDS.iter().position(|kind| *kind == settled.kind) else { return };
    match settled.outcome {
        "delivered" => {
            MESSAGES[at].delivered.increment(1);
            MESSAGES[at].after.record(settled.after);
        }
        "unconfirmed" => MESSAGES[at].unconfirmed.increment(1),
        rare => messages(KINDS[at], rare).increment(1),
    }
}

/// A device wanted to go on with its session.
pub(crate) fn resumed(resumed: bool) {
    let outcome = if resumed { "resumed" } else { "anew" };
    metrics::counter!("streamz_resumes_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use streamz_protocol::client::RelayKind;

    use super::*;

    #[test]
    fn relayed_frames_come_first_for_they_are_most() {
        for (at, kind) in
            [RelayKind::SdpOffer, RelayKind::SdpAnswer, RelayKind::IceCandidate].iter().enumerate()
        {
            assert_eq!(KINDS[at], kind.as_str());
        }
    }
}
