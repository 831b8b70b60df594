//! A reliable link between two incarnations of processes, over a bus that loses, doubles and reorders. Pure.
//!
//! # Guarantees
//! What one side's [`Link::send`] accepts comes out of the other side as [`Effect::Deliver`] exactly once and in
//! order, as long as both values live and the bus carries something now and then. Time is an argument; there is no
//! clock, no channel and no task in this crate, and the same inputs give the same effects.
//!
//! # How
//! Frames are numbered from 1, each way. Every frame carries the number up to which its sender has received everything;
//! if there is none to carry it, an [`Effect::TransmitAck`] says it [20 ms](Settings::ack_delay) later, or sooner when
//! much has come. If nothing is confirmed for [200 ms](Settings::rto_min) — doubling with each time up to
//! [2 s](Settings::rto_max), and back to the start with any progress — the unconfirmed frames go again from the first
//! on, at most [a burst](Settings::burst_bytes) of them; each confirmation lets as much more go, so that the link finds
//! its pace anew after an outage and floods nobody. What arrives before its turn waits within
//! [bounds](Settings::reorder_bytes), and is dropped beyond them: it comes again.
//!
//! A link begins at frame 1 and knows no handshake: who has no link with the sender of a frame makes one, and delivers
//! nothing until frame 1 has come. It ends when one of the two incarnations is known to be dead; then the value is
//! dropped. Whoever owns it remembers that the id is dead, for a frame that comes later must not begin a new link.
//!
//! # Bounds
//! Unconfirmed frames are kept: up to [`Settings::max_bytes`] any, from there on up to [`Settings::must_bytes`] more of
//! the class [`Class::Must`]. The next one is refused with [`Full`]; nothing is ever dropped without a word. An idle link
//! holds no memory but its own few hundred bytes: there are as many as nodes times gateways.
//!
//! ```
//! use streamz_link::{Class, Effect, Link, Weigh};
//! use streamz_protocol::Millis;
//!
//! #[derive(Clone, Debug, PartialEq)]
//! struct Text(&'static str);
//! impl Weigh for Text {
//!     fn bytes(&self) -> usize {
//!         self.0.len()
//!     }
//!     fn class(&self) -> Class {
//!         Class::Refusable
//!     }
//! }
//!
//! let (mut here, mut there) = (Link::default(), Link::default());
//! let mut effects = Vec::new();
//! here.send(Text("hello"), Millis(0), &mut effects).unwrap();
//! let Some(Effect::Transmit { seq: 1, ack: 0, frame }) = effects.pop() else { panic!() };
//! there.receive_frame(1, 0, frame, Millis(1), &mut effects);
//! assert_eq!(effects, [Effect::Deliver(Text("hello"))]);
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

use streamz_protocol::Millis;

mod incoming;
mod outgoing;
mod planted;
mod settings;

use incoming::Incoming;
use outgoing::Outgoing;
use planted::planted;

#[cfg(feature = "planted-bugs")]
pub use planted::Bug;
pub use settings::{DEFAULT, FRAME_OVERHEAD, Settings};

/// What a link carries. Frames are cloned for each transmission, so a clone should be cheap (share with `Arc`).
pub trait Weigh: Clone {
    /// The memory that the frame keeps alive, about, in bytes. Must not change. The link adds [`FRAME_OVERHEAD`].
    fn bytes(&self) -> usize;

    /// Whether it may be refused.
    fn class(&self) -> Class;
}

/// What becomes of a frame when much is unconfirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Refused: its sender can say so to somebody (a message, an attach, a question).
    Refusable,
    /// Taken still, from a reserve: the other side's state would be wrong without it (a confirmation, a roster). Such
    /// frames are small, and their number is bounded by what they are about.
    Must,
}

/// A frame was not taken: too much is unconfirmed. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// [`Settings::max_bytes`] are reached. Frames of the class [`Class::Must`] are still taken.
    #[error("the link to the other process is full")]
    Refusable,
    /// The reserve is used up as well. Going on without the frame would leave the other side with a wrong state, so
    /// the two cannot go on together: one of the incarnations has to end.
    #[error("the link to the other process is full to the last reserve")]
    Exhausted,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect<F> {
    /// Put on the bus. If the bus takes it not, forget it: it comes again.
    Transmit {
        /// Its number.
        seq: u64,
        /// Everything up to this number has been received from the other side.
        ack: u64,
        /// The frame.
        frame: F,
    },
    /// Put on the bus; as good as forgotten if it takes it not.
    TransmitAck {
        /// Everything up to this number has been received from the other side.
        ack: u64,
    },
    /// The next frame from the other side.
    Deliver(F),
}

/// What a link has counted since its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames put on the bus, each time.
    pub transmitted: u64,
    /// Of these, frames that had been put there before.
    pub retransmitted: u64,
    /// Times that nothing was confirmed for too long.
    pub timeouts: u64,
    /// Frames received that were known already.
    pub duplicates: u64,
    /// Frames received before their turn, and dropped because too many waited.
    pub dropped: u64,
    /// Confirmations of what was never sent; ignored.
    pub impossible: u64,
}

/// One side of a link. See the [crate](self).
///
/// Every method that may have something to do appends it to `effects`, in order.
#[derive(Debug)]
pub struct Link<F> {
    settings: &'static Settings,
    outgoing: Outgoing<F>,
    incoming: Incoming<F>,
    #[cfg(feature = "planted-bugs")]
    pub(crate) bug: Option<planted::Bug>,
}

impl<F: Weigh> Link<F> {
    /// A link that nothing has passed.
    #[must_use]
    pub fn new(settings: &'static Settings) -> Self {
        Self {
            settings,
            outgoing: Outgoing::new(settings),
            incoming: Incoming::new(),
            #[cfg(feature = "planted-bugs")]
            bug: None,
        }
    }

    /// Sends a frame: it is kept until the other side has it.
    ///
    /// # Errors
    /// [`Full`]: it was not taken.
    pub fn send(&mut self, frame: F, now: Millis, effects: &mut Vec<Effect<F>>) -> Result<(), Full> {
        self.outgoing.push(self.settings, frame, now)?;
        self.pump(now, effects);
        Ok(())
    }

    /// A [`Effect::Transmit`] of the other side has come.
    pub fn receive_frame(&mut self, seq: u64, ack: u64, frame: F, now: Millis, effects: &mut Vec<Effect<F>>) {
        // First what is confirmed: what it lets go carries no confirmation yet of a frame that is not delivered.
        self.outgoing.confirm(self.settings, ack, now);
        let again = planted!(self, DuplicatesDelivered) && seq <= self.incoming.received();
        let early = planted!(self, OutOfTurn) && seq > self.incoming.received();
        if again || early {
            effects.push(Effect::Deliver(frame.clone()));
        }
        let before = effects.len();
        self.incoming.receive(self.settings, seq, frame, now, effects);
        if planted!(self, OutOfTurn) {
            // It was, when it came.
            effects.truncate(before);
        }
        self.pump(now, effects);
        self.acknowledge(now, effects);
    }

    /// A [`Effect::TransmitAck`] of the other side has come.
    pub fn receive_ack(&mut self, ack: u64, now: Millis, effects: &mut Vec<Effect<F>>) {
        self.outgoing.confirm(self.settings, ack, now);
        self.pump(now, effects);
    }

    /// Does what is due. Early or needless calls do nothing.
    pub fn tick(&mut self, now: Millis, effects: &mut Vec<Effect<F>>) {
        self.outgoing.time_out(self.settings, now);
        let before = effects.len();
        self.pump(now, effects);
        if planted!(self, NoRetransmission) {
            effects.truncate(before);
        }
        self.acknowledge(now, effects);
    }

    /// The bus is back after an outage: a burst of what is unconfirmed goes again now instead of up to
    /// [`Settings::rto_max`] later. Needless calls cost that burst.
    pub fn retry(&mut self, now: Millis, effects: &mut Vec<Effect<F>>) {
        self.outgoing.retry(self.settings);
        self.pump(now, effects);
    }

    /// When [`tick`](Self::tick) has something to do; `None` while the link is idle.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        [self.outgoing.deadline(), self.incoming.deadline()].into_iter().flatten().min()
    }

    /// Whether nothing waits, for a confirmation, for its turn, or to be confirmed.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.next_deadline().is_none() && self.incoming.waiting() == 0
    }

    /// How many frames the other side has not confirmed.
    #[must_use]
    pub fn unconfirmed(&self) -> usize {
        self.outgoing.frames()
    }

    /// The weight of the frames that the other side has not confirmed, overhead included, in bytes. What
    /// [`Settings::max_bytes`] bounds.
    #[must_use]
    pub fn unconfirmed_bytes(&self) -> usize {
        self.outgoing.bytes()
    }

    /// Since when nothing was confirmed though something is to be: the oldest unconfirmed frame is at least as old.
    #[must_use]
    pub fn waits_since(&self) -> Option<Millis> {
        self.outgoing.waits_since()
    }

    /// How many frames have arrived before their turn.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.incoming.waiting()
    }

    /// The weight of the frames that have arrived before their turn, overhead included, in bytes.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.incoming.waiting_bytes()
    }

    /// The number of the last frame delivered in order.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.incoming.received()
    }

    /// What it has counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            transmitted: self.outgoing.transmitted,
            retransmitted: self.outgoing.retransmitted,
            timeouts: self.outgoing.timeouts,
            impossible: self.outgoing.impossible,
            duplicates: self.incoming.duplicates,
            dropped: self.incoming.dropped,
        }
    }

    /// Transmits what may go; each frame confirms what has come.
    fn pump(&mut self, now: Millis, effects: &mut Vec<Effect<F>>) {
        let ack = self.incoming.received();
        if self.outgoing.pump(self.settings, ack, now, effects) {
            self.incoming.acknowledged();
        }
    }

    fn acknowledge(&mut self, now: Millis, effects: &mut Vec<Effect<F>>) {
        if self.incoming.deadline().is_some_and(|due| due <= now) {
            self.incoming.acknowledged();
            effects.push(Effect::TransmitAck { ack: self.incoming.received() });
        }
    }
}

impl<F: Weigh> Default for Link<F> {
    fn default() -> Self {
        Self::new(&DEFAULT)
    }
}

#[cfg(test)]
mod tests;
