//! The harness of the end-to-end tests: real servers, real sockets, nothing shared with anybody.
//!
//! A scenario is an `async fn(Topology)`. [`scenarios!`] makes a test of it for every [`Topology`], so what holds in one
//! process must hold in all settings. Each test starts its own [`Server`] (the real binary, as a child process that
//! cannot outlive its test), makes its own [`User`]s, and talks through the [native client](streamz_client) or, where
//! the protocol itself is the point, through a [`Raw`] socket.
//!
//! No test sleeps to let something happen. To know that something did *not* happen, it makes the server answer a
//! question that is handled after it: [`Raw::barrier`].
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a harness fails by panicking")]

mod binary;
mod command;
mod http;
mod member;
mod process;
mod raw;
mod scenario;
mod server;
mod topology;
mod turn;
mod user;

pub use binary::binary;
pub use command::command;
pub use http::{Answer, Http};
pub use member::{Member, Place};
pub use raw::{Dial, Heard, Raw, Refused, message};
pub use scenario::{PATIENCE, eventually, run, soon};
pub use server::Server;
pub use topology::Topology;
pub use turn::{TurnClient, TurnServer};
pub use user::{Device, PASSWORD, User};
