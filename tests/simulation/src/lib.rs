//! Devices, sessions and hubs in virtual time, with a checker of the promises.
//!
//! A run is made from a seed alone: [`run`] builds a world of users, devices, gateways and hubs around the very
//! state machines of the product (`streamz-session`, `streamz-hub`), lets them work and fail in virtual time, and
//! hands the history of what was seen at the edges to a checker. The same seed is the same run, byte for byte.
//! `docs/simulation.md` tells more.
//!
//! | file | one reason |
//! |---|---|
//! | `world`, `queue`, `dice`, `plan` | time, order, chance, and what a seed stands for |
//! | `devices`, `client`, `workload` | a model client that keeps the rules, and what people do with it |
//! | `gateways`, `sockets`, `nodes`, `store` | the shells around sessions and hubs |
//! | `links`, `failures` | what is between them in one process, and how it fails |
//! | `cluster/…` | several processes: leases, slots, links, takeover |
//! | `faults` | what goes wrong, and the end of it |
//! | `history`, `checker/…` | what was seen, and what each promise demands of it |
//! | `observer` | the model client and the checker for devices on real sockets |
//! | `bounds` | promise 6, after every step |

mod bounds;
mod checker;
mod client;
mod cluster;
mod devices;
mod dice;
mod failures;
mod faults;
mod gateways;
mod history;
mod links;
mod nodes;
mod observer;
mod own;
mod plan;
mod queue;
mod runs;
mod seen;
mod sockets;
mod store;
mod workload;
mod world;

pub use checker::Violation;
pub use observer::{Deed, Delivery, Observer, Standing, Then, Turn};
pub use plan::Profile;
pub use runs::{Failure, Progress, Run, run, run_all, verify};

/// A fault that is planted into every hub or every session of a run.
#[cfg(feature = "planted-bugs")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Into hubs.
    Hub(streamz_hub::Bug),
    /// Into sessions.
    Session(streamz_session::Bug),
    /// Into routers, keepers and coordinators.
    Cluster(streamz_cluster::Bug),
    /// Into links.
    Link(streamz_link::Bug),
    /// Into the shells around them.
    Shell(ShellBug),
}

/// A fault of a shell.
#[cfg(feature = "planted-bugs")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShellBug {
    /// That nobody received once is evidence of a death.
    ZeroBelievedAtOnce,
    /// The gateways that have to confirm are those that were there before the slot was assigned.
    StaleGateways,
    /// A slot changes hands without a new epoch.
    EpochReuse,
    /// The store takes writes of any epoch.
    UnfencedWrites,
}

#[cfg(feature = "planted-bugs")]
pub use runs::{run_with, verify_with};
