//! The signaling node: the hubs of online users, each an actor under supervision.
//!
//! ```text
//!   bus ──▶ Node ──▶ shard (actor; a fixed number) ──▶ hub (actor; one per awake user)
//!                      │ keeps quiet users' hubs asleep       │ runs `streamz_hub::Hub`
//!                      │ starts a failed hub anew             ▼
//!                      ▼                                   Desk: reads and writes the store
//! ```
//!
//! A shard is the only one that hands inputs to its hubs, which makes falling asleep and waking free of races: a
//! hub that has handled as many inputs as its shard has handed over can be put away.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod actors;
mod desk;
mod figures;
mod fleet;
mod node;
mod traces;

pub use desk::DeskLimits;
pub use fleet::{FleetError, FleetNode, FleetSettings, FleetStatus};
pub use node::{Node, NodeConfig, NodeStats, StartError};
