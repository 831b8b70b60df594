//! The native client of Streamz: connect, resume, send with outcome. `README.md` has an example.
//!
//! * [`Client`] and [`Events`] are the two ends of one task that keeps one WebSocket up;
//! * [`session`] holds every rule of delivery without I/O, for those who drive it themselves;
//! * [`Api`] is the HTTP half: accounts, devices, stream records.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api;
mod backoff;
mod builder;
mod client;
mod dial;
mod error;
mod event;
mod inbound;
mod retry;
mod seen;
pub mod session;
mod sign_in;
mod task;
mod token;
mod wire;

pub use api::{Api, ApiError, SignedIn};
pub use backoff::Backoff;
pub use builder::{Builder, Dialect};
pub use client::{Client, PendingOutcome, StartError};
pub use error::{ConnectError, Ended, Lost, SendError, TokenError, Violation};
pub use event::{Event, Events, Outcome, State, Unknown};
pub use session::Counters;
pub use streamz_protocol::client_encode::{Candidate, Description, Outgoing};
pub use streamz_protocol::{self as protocol, DeviceId};
pub use token::{Need, ProvideToken, TokenFuture, TokenSource};

/// Compiles the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
