//! Who owns which slot, who lives, and who may decide: the mechanism of a cluster as pure state machines.
//!
//! Each takes one input and the time and says what is to be done: no clock, no channel, no task, no randomness. The
//! time is that of a clock that never jumps; only differences count. The shells (in one process, over Redis and
//! Postgres, and the simulator) run the same code.
//!
//! | module | one reason |
//! |---|---|
//! | [`placement`] | which node should own a slot |
//! | [`table`] | the slot table as a process knows it; nothing older than what it has learned |
//! | [`authority`] | whether this node may decide now |
//! | [`coordinator`] | the one node that evicts the dead and assigns slots |
//! | [`keeper`] | a node takes slots over, serves them, and hands them on |
//! | [`router`] | a gateway finds the owner of a user, and ignores who was it |
//!
//! # The handshake
//! What makes a takeover safe is one exchange between the new owner and each gateway: [`Claim`] and [`Claimed`].
//! Before it a gateway sends nothing of the slot to that owner, and the owner takes nothing. After it the gateway
//! applies nothing of any earlier owner. `Claimed` lists the gateway's users in the slot, so the links' order makes
//! that list exact: whoever is on it is asked to announce what its sessions know, and whoever is not has nothing.
//! Frames that were refused before, or were lost with an owner, are in those announcements.
//!
//! [`Claim`]: streamz_protocol::cluster::Routed::Claim
//! [`Claimed`]: streamz_protocol::cluster::Routed::Claimed
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod authority;
pub mod coordinator;
pub mod keeper;
pub mod placement;
mod planted;
pub mod router;
mod slots;
pub mod table;

pub use authority::Authority;
pub use coordinator::Coordinator;
pub use keeper::Keeper;
#[cfg(feature = "planted-bugs")]
pub use planted::Bug;
pub use router::Router;
pub use slots::{SlotRow, SlotSet};
pub use table::{Fence, Table};
