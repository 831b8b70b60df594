//! One connection's session, input by input.
#![allow(clippy::unwrap_used)]

mod attach;
mod hub;
mod inbound;
mod roll;
mod settled;
mod support;
mod timers;
