//! How far calls have come, for whoever counts and traces: beside the effects, which say what is to be done.

use streamz_protocol::bus::{LiveStream, Progress};
use streamz_protocol::objects::{ConnectionType, StreamType};
use streamz_protocol::{EndReason, Millis, StreamId};

use crate::hub::Hub;

/// A stream has come further, or has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Which.
    pub stream: StreamId,
    /// What flows.
    pub stream_type: StreamType,
    /// What happened now.
    pub reached: Reached,
    /// When.
    pub at: Millis,
    /// When the ring began.
    pub started_at: Millis,
    /// What it had reached before, and its trace.
    pub progress: Progress,
    /// The path of its media, as the parties said.
    pub path: Option<ConnectionType>,
}

/// What a stream has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// A device took the ring.
    Accepted,
    /// The first offer was relayed.
    Offered,
    /// The first answer was relayed.
    Answered,
    /// A party has measured it for the first time: media flow.
    Connected,
    /// It is over, for this reason. What clients say in their own words is `other`.
    Ended(&'static str),
}

impl Hub {
    /// How far streams have come by the last input.
    pub fn take_calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    /// Notes what a live stream has reached, for the first time.
    pub(crate) fn reach(&mut self, id: StreamId, reached: Reached, now: Millis) {
        let Some(live) = self.live_mut(id) else { return };
        let before = live.stream.progress.as_deref().copied().unwrap_or_default();
        let mut progress = before;
        let mark = match reached {
            Reached::Accepted => &mut progress.accepted_at,
            Reached::Offered => &mut progress.offered_at,
            Reached::Answered => &mut progress.answered_at,
            Reached::Connected => &mut progress.connected_at,
            Reached::Ended(_) => return,
        };
        if mark.is_none() {
            *mark = Some(now);
            let call = call(&live.stream, before, reached, now);
            live.stream.progress = Some(Box::new(progress));
            self.calls.push(call);
        }
    }

    /// An offer or an answer of a stream that was accepted: one while it rings is a client's own way.
    pub(crate) fn reach_negotiated(&mut self, id: StreamId, reached: Reached, now: Millis) {
        if self.live(id).is_some_and(|live| live.stream.accepted.is_some()) {
            self.reach(id, reached, now);
        }
    }

    /// A stream is over.
    pub(crate) fn note_end(&mut self, stream: &LiveStream, reason: &str, now: Millis) {
        let word = EndReason::ALL.iter().map(|known| known.as_str()).find(|known| *known == reason);
        let progress = stream.progress.as_deref().copied().unwrap_or_default();
        self.calls.push(call(stream, progress, Reached::Ended(word.unwrap_or("other")), now));
    }
}

fn call(stream: &LiveStream, progress: Progress, reached: Reached, at: Millis) -> Call {
    Call {
        stream: stream.id,
        stream_type: stream.stream_type,
        reached,
        at,
        started_at: stream.started_at,
        progress,
        path: stream.stats.connection_type,
    }
}
