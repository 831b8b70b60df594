//! May this node decide now? (*Authority*)
//!
//! What certain answers rest on (nobody is there, this one won) is that this node's slots are still its own. It is sure
//! of that for the length of a lease from the moment at which it sent a renewal that succeeded, or heard the
//! coordinator, less a tenth for clocks that run at different rates. Without that a hub relays and decides nothing.
//!
//! The time must be that of a clock that never jumps and goes on while the machine sleeps.

use std::time::Duration;

use streamz_protocol::Millis;

/// How long a lease lives in the store.
pub const LEASE: Duration = Duration::from_secs(4);
/// How long a node trusts it: a tenth less.
pub const TRUST: Duration = Duration::from_millis(3_600);

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The lease was renewed.
    Renewed {
        /// When the question was sent.
        sent_at: Millis,
    },
    /// A beat of the coordinator came.
    Beat {
        /// The coordinator's own epoch.
        coordinator: u64,
    },
    /// The epoch of the coordinator, from the store: beats of earlier ones count no more.
    Coordinator(u64),
    /// The row is gone: this incarnation never decides again.
    Evicted,
    /// Time has passed; due when [`Authority::next_deadline`] says so.
    Tick,
}

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Hubs may decide from now on.
    Gained,
    /// Hubs decide nothing from now on.
    Lost,
}

/// What one incarnation of a node knows of its right to decide.
#[derive(Clone, Debug, Default)]
pub struct Authority {
    until: Option<Millis>,
    coordinator: u64,
    evicted: bool,
    /// What was said last.
    held: bool,
    /// The latest time that was seen: it does not go back.
    latest: Millis,
}

impl Authority {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether this node may decide at this moment.
    #[must_use]
    pub fn may_decide(&self, now: Millis) -> bool {
        !self.evicted && self.until.is_some_and(|until| now.max(self.latest) < until)
    }

    /// When it ends, unless it is renewed.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        self.until.filter(|_| self.held)
    }

    /// Takes one input and returns what has changed.
    pub fn handle(&mut self, input: Input, now: Millis) -> Option<Effect> {
        self.latest = self.latest.max(now);
        match input {
            // A question is not sent after its answer came.
            Input::Renewed { sent_at } => self.extend(sent_at.min(self.latest)),
            Input::Beat { coordinator } if coordinator >= self.coordinator => {
                self.coordinator = coordinator;
                self.extend(self.latest);
            }
            Input::Beat { .. } | Input::Tick => {}
            Input::Coordinator(epoch) => self.coordinator = self.coordinator.max(epoch),
            Input::Evicted => self.evicted = true,
        }
        let holds = self.may_decide(self.latest);
        let changed = holds != self.held;
        self.held = holds;
        changed.then_some(if holds { Effect::Gained } else { Effect::Lost })
    }

    fn extend(&mut self, from: Millis) {
        self.until = self.until.max(Some(from + TRUST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(millis: u64) -> Millis {
        Millis(1_000_000 + millis)
    }

    #[test]
    fn a_renewal_counts_from_when_it_was_sent() {
        let mut authority = Authority::new();
        assert!(!authority.may_decide(after(0)));
        let renewed = Input::Renewed { sent_at: after(0) };
        assert_eq!(authority.handle(renewed, after(900)), Some(Effect::Gained));
        assert_eq!(authority.next_deadline(), Some(after(3_600)));
        assert!(authority.may_decide(after(3_599)) && !authority.may_decide(after(3_600)));
        assert_eq!(authority.handle(Input::Tick, after(3_600)), Some(Effect::Lost));
        assert_eq!(authority.next_deadline(), None);
        // An answer that was under way for longer is worth nothing.
        assert_eq!(authority.handle(Input::Renewed { sent_at: after(400) }, after(4_100)), None);
    }

    #[test]
    fn answers_in_another_order_take_nothing_away() {
        let mut authority = Authority::new();
        authority.handle(Input::Renewed { sent_at: after(1_000) }, after(1_100));
        authority.handle(Input::Renewed { sent_at: after(0) }, after(1_200));
        assert!(authority.may_decide(after(4_599)));
    }

    #[test]
    fn a_coordinator_counts_unless_a_later_one_is_known() {
        let mut authority = Authority::new();
        assert_eq!(authority.handle(Input::Beat { coordinator: 3 }, after(0)), Some(Effect::Gained));
        assert_eq!(authority.handle(Input::Beat { coordinator: 2 }, after(2_000)), None);
        assert!(!authority.may_decide(after(3_600)));
        authority.handle(Input::Coordinator(4), after(3_000));
        authority.handle(Input::Beat { coordinator: 3 }, after(3_100));
        assert!(!authority.may_decide(after(3_700)));
        authority.handle(Input::Beat { coordinator: 4 }, after(3_200));
        assert!(authority.may_decide(after(3_700)));
    }

    #[test]
    fn clocks_that_jump_extend_nothing() {
        let mut authority = Authority::new();
        authority.handle(Input::Renewed { sent_at: after(90_000) }, after(0));
        assert!(!authority.may_decide(after(3_600)));
        authority.handle(Input::Tick, after(3_600));
        // Back: it is as late as it was.
        assert!(!authority.may_decide(after(10)));
        assert_eq!(authority.handle(Input::Tick, after(10)), None);
    }

    #[test]
    fn who_was_evicted_never_decides_again() {
        let mut authority = Authority::new();
        authority.handle(Input::Renewed { sent_at: after(0) }, after(0));
        assert_eq!(authority.handle(Input::Evicted, after(1)), Some(Effect::Lost));
        assert_eq!(authority.handle(Input::Renewed { sent_at: after(2) }, after(2)), None);
        assert_eq!(authority.handle(Input::Beat { coordinator: 9 }, after(3)), None);
        assert!(!authority.may_decide(after(4)));
    }
}
