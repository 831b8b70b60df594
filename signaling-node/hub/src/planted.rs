//! Faults that the simulator has to find. Only test builds of `streamz-simulation` enable the feature behind them.

/// Whether this hub has that fault. Without the feature the answer is a constant `false`.
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($hub:expr, $bug:ident) => {
        $hub.bug == Some(crate::planted::Bug::$bug)
    };
}

#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($hub:expr, $bug:ident) => {
        false
    };
}

pub(crate) use planted;

/// A fault.
#[cfg(feature = "planted-bugs")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// `delivered` is said as soon as a message is on its way.
    OutcomeBeforeDelivery,
    /// After a recovery a message goes to its receivers whether or not they have it.
    NoDedupeOnRecovery,
    /// After a recovery `seq` goes on from the last confirmed number.
    SeqReuseOnRecovery,
    /// Of two sessions of one device, the older generation wins.
    OlderGenerationWins,
    /// A ring can be accepted twice.
    TwoWinners,
    /// A recovery decides before the connections have announced themselves.
    EarlyDecision,
    /// A resume is granted though frames fell out of the window.
    PartialReplay,
    /// A device that loses its socket is shown offline at once.
    NoGrace,
    /// Candidates are not held until their offer.
    CandidatesNotHeld,
    /// The replay window has no end.
    WindowUnbounded,
    /// A frame goes to another connection of the same gateway.
    WrongConnection,
    /// Streams outlive their parties.
    StreamsOutliveParties,
    /// It decides though its node may not.
    DecidesWithoutAuthority,
}

#[cfg(feature = "planted-bugs")]
impl crate::Hub {
    /// Gives this hub a fault.
    pub fn plant(&mut self, bug: Bug) {
        self.bug = Some(bug);
    }
}
