//! One user's hub as a pure state machine: the user's devices, their sessions, their messages and their streams.
//!
//! [`Hub::handle`] takes one [`Input`] and the time, changes the state and says in [`Effect`]s what is to be done.
//! There is no clock, no channel and no task in this crate; the actor around it (in `streamz-signaling-node`)
//! and the simulator run the same code.
//!
//! | file | one reason |
//! |---|---|
//! | [`hub`](Hub) | the state and the dispatch of inputs |
//! | `attach` | a connection becomes a session, a session loses its connection, a session ends |
//! | `member` | one session: numbering, replay window, confirmation |
//! | `relay` | messages, their targets and their outcomes (§4.4 of the design) |
//! | `streams` | rings, accepts, ends (§4.3) |
//! | `ice` | candidates that wait for their offer |
//! | `presence` | who is shown online |
//! | `recovery` | a new hub learns from the gateways what the old one knew |
//! | `undecided` | what a hub does on a node that may not decide |
//! | `sending` | a message on its way, and what its sender will be told |
//! | `catch_up` | parties that missed a stream's progress are told |
//! | `call` | how far calls have come, to be counted |
//! | `inspect` | how much a hub holds |
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod attach;
mod call;
mod catch_up;
mod effect;
mod hub;
mod ice;
mod inspect;
mod member;
mod planted;
mod presence;
mod recovery;
mod relay;
mod sending;
mod streams;
mod undecided;

pub use call::{Call, Reached};
pub use effect::{Context, Effect, Input, Record, RegisterFailure, Rest, StoreAway};
pub use hub::Hub;
pub use inspect::Load;
#[cfg(feature = "planted-bugs")]
pub use planted::Bug;
