//! A process among others: the shell around the pure machines of `streamz-link` and `streamz-cluster` that gateways and
//! nodes have in common.
//!
//! * [`Peers`]: reliable links to other processes over the Redis bus, and packets that need none;
//! * [`Lease`]: the row in Postgres that says that this process lives, and what it reads there of the others;
//! * [`Diary`]: what it notes of all that, for whoever asks how it is.
//!
//! The order in which a process comes to be matters: subscribe to the bus, then make the row, then read the table.
//! Whoever sees the row can reach the process, and whoever is not on the list that an owner has read knows no older
//! epoch than the owner's.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod carried;
mod diary;
mod lease;
mod membership;
mod peers;

pub use diary::{Diary, Recent, instances};
pub use lease::{JoinError, Lease, LeaseSettings, Member, View};
pub use membership::{FleetError, FleetSettings};
pub use peers::{Listener, Peers, PeersSettings};

use streamz_protocol::ProcessId;

/// An id for a new incarnation.
#[must_use]
pub fn new_process_id() -> ProcessId {
    // Not zero, below 2^63.
    ProcessId(rand::random_range(1..1 << 63))
}

/// Milliseconds of a duration, for the wire.
pub(crate) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
