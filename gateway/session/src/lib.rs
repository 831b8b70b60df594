//! One connection's session as a pure state machine.
//!
//! [`Session::handle`] takes one [`Input`] and the time, changes the state and says in [`Effect`]s what is to be
//! done. There is no socket, no clock and no task in this crate; the socket loop around it (in
//! `streamz-gateway`) and the simulator run the same code.
//!
//! A session lives as long as its connection's task: from the attach until the hub lets go of it. When the socket
//! is lost it stays, as a copy of what the hub knows (see `streamz_protocol::bus`), until the resume window is over
//! or the device is back on another connection.
//!
//! | file | one reason |
//! |---|---|
//! | [`session`](Session) | the phases of a connection and the dispatch of inputs |
//! | `copy` | the copy of the hub's side of a session |
//! | `inbound` | what the device says: checks, numbers, repeated messages, the backlog |
//! | `outbound` | what the hub says: the copy kept of it, and the queue to the socket |
//! | `timers` | heartbeats, tokens, credentials, the ends of waits |
//! | `settled` | what became of messages, to be counted |
//! | `inspect` | how much a session holds |
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod copy;
mod effect;
mod inbound;
mod inspect;
mod outbound;
mod planted;
mod session;
mod settled;
mod timers;

pub use effect::{Context, Effect, Facts, Input, Outgoing, TokenFacts, Violation};
pub use inspect::Load;
#[cfg(feature = "planted-bugs")]
pub use planted::Bug;
pub use session::{Phase, Session};
pub use settled::Settled;
