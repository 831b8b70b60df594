//! Faults that the model and the simulator have to find. Only their test builds enable the feature behind them.

/// Whether this machine has that fault. Without the feature the answer is a constant `false`.
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($machine:expr, $bug:ident) => {
        $machine.bug == Some(crate::planted::Bug::$bug)
    };
}

#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($machine:expr, $bug:ident) => {
        false
    };
}

pub(crate) use planted;

/// A fault.
#[cfg(feature = "planted-bugs")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A gateway applies what an earlier owner says.
    NoFence,
    /// A slot counts as confirmed before every gateway has answered.
    EarlyActivation,
    /// A slot changes hands without a new epoch. (In the store of the model.)
    EpochReuse,
    /// A confirmation of an earlier epoch counts for the present one.
    StaleClaimedAccepted,
    /// The question to a gateway that has not confirmed is forgotten instead of held.
    HeldRollDropped,
    /// Processes are evicted though the store was away for everybody.
    NoGrace,
    /// A hub is not told which gateways confirmed without its user.
    SilentConfirmation,
    /// What a hub of the last tenure still says is passed on.
    GhostSpeaks,
}
