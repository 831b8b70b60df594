//! What became of messages.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use streamz_protocol::UserId;

use crate::latency::Latencies;

/// What became of the messages.
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) delivered: u64,
    /// Frames that say that something went wrong.
    pub(crate) refused: u64,
    /// What they say.
    pub(crate) reasons: BTreeMap<String, u64>,
    /// The load was not made as it should.
    pub(crate) late: bool,
    /// From the call that sends to the text in the receiver's hand.
    pub(crate) delays: Latencies,
    /// The same to the outcome.
    pub(crate) outcomes: Latencies,
    pub(crate) elapsed: Duration,
    /// Each message on its own, if that was asked for.
    pub(crate) trips: Vec<Trip>,
}

/// The way of one message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trip {
    /// Whose devices these are.
    pub(crate) user: UserId,
    pub(crate) sent: Instant,
    /// From the call that sends to the text in the receiver's hand.
    pub(crate) took: Duration,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            sent: 0,
            received: 0,
            delivered: 0,
            refused: 0,
            reasons: BTreeMap::new(),
            late: false,
            delays: Latencies::new(),
            outcomes: Latencies::new(),
            elapsed: Duration::ZERO,
            trips: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, mut other: Self) {
        self.trips.append(&mut other.trips);
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
        self.sent += other.sent;
        self.received += other.received;
        self.delivered += other.delivered;
        self.refused += other.refused;
        self.late |= other.late;
        self.delays.add(&other.delays);
        self.outcomes.add(&other.outcomes);
        self.elapsed = self.elapsed.max(other.elapsed);
    }

    /// Whether every message arrived, and had its outcome if `outcomes` says that it has one.
    pub(crate) fn is_whole(&self, outcomes: bool) -> bool {
        let settled = if outcomes { self.delivered } else { self.sent };
        self.sent > 0 && self.received == self.sent && settled == self.sent && self.refused == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_is_whole_when_nothing_is_missing() {
        let mut tally = Tally::new();
        assert!(!tally.is_whole(false));
        (tally.sent, tally.received) = (2, 2);
        assert!(tally.is_whole(false) && !tally.is_whole(true));
        tally.delivered = 2;
        assert!(tally.is_whole(true));
        tally.refused = 1;
        assert!(!tally.is_whole(true));
    }
}
