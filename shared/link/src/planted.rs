//! Faults that the simulator has to find. Only test builds of `streamz-simulation` enable the feature behind them.

/// Whether this link has that fault. Without the feature the answer is a constant `false`.
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($link:expr, $bug:ident) => {
        $link.bug == Some(crate::planted::Bug::$bug)
    };
}

#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($link:expr, $bug:ident) => {
        false
    };
}

pub(crate) use planted;

/// A fault.
#[cfg(feature = "planted-bugs")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// What was not confirmed is never sent again.
    NoRetransmission,
    /// A frame that comes a second time is delivered a second time.
    DuplicatesDelivered,
    /// Frames are delivered as they come, whatever their turn.
    OutOfTurn,
}

#[cfg(feature = "planted-bugs")]
impl<F: crate::Weigh> crate::Link<F> {
    /// Gives this link a fault.
    pub fn plant(&mut self, bug: Bug) {
        self.bug = Some(bug);
    }
}
