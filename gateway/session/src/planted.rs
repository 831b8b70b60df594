//! Faults that the simulator has to find. Only test builds of `streamz-simulation` enable the feature behind them.

/// Whether this session has that fault. Without the feature the answer is a constant `false`.
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($session:expr, $bug:ident) => {
        $session.bug == Some(crate::planted::Bug::$bug)
    };
}

#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($session:expr, $bug:ident) => {
        false
    };
}

pub(crate) use planted;

/// A fault.
#[cfg(feature = "planted-bugs")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// What the socket took counts as confirmed, whatever the client can do.
    TakenIsConfirmed,
    /// What waits for the socket has no end.
    QueueUnbounded,
    /// Messages without an outcome have no end.
    BacklogUnbounded,
    /// A message that no hub answers is given up without a word.
    SilentGiveUp,
}

#[cfg(feature = "planted-bugs")]
impl crate::Session {
    /// Gives this session a fault.
    pub fn plant(&mut self, bug: Bug) {
        self.bug = Some(bug);
    }
}
