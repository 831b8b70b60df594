//! In one process: the way between a gateway and the place of a hub.

use streamz_protocol::Millis;

/// The two directions between one gateway and the place of one user's hub.
#[derive(Default)]
pub(crate) struct Links {
    pub(crate) up: Link,
    pub(crate) down: Link,
}

/// Keeps order; loses a run of frames if one of its ends dies.
#[derive(Default)]
pub(crate) struct Link {
    free: Millis,
    sent: u64,
    arrived: u64,
    lost: Vec<(u64, u64)>,
}

impl Link {
    pub(crate) fn send(&mut self, at: Millis) -> (Millis, u64) {
        self.free = self.free.max(at);
        self.sent += 1;
        (self.free, self.sent)
    }

    pub(crate) fn arrives(&mut self, order: u64) -> bool {
        self.arrived = order;
        !self.lost.iter().any(|(from, to)| (*from..=*to).contains(&order))
    }

    /// What is on its way to a process that died in its mailbox: the first of it.
    pub(crate) fn lose_first(&mut self, count: u64) {
        self.lost.push((self.arrived + 1, (self.arrived + count).min(self.sent)));
    }

    /// What a process had not quite sent when it died: the last of it.
    pub(crate) fn lose_last(&mut self, count: u64) {
        self.lost.push(((self.sent + 1).saturating_sub(count).max(self.arrived + 1), self.sent));
    }

    pub(crate) fn on_its_way(&self) -> u64 {
        self.sent - self.arrived
    }

    pub(crate) fn stall(&mut self, until: Millis) {
        self.free = self.free.max(until);
    }
}
