//! The hub, input by input.
#![allow(clippy::unwrap_used)]

mod attach;
mod calls;
mod candidates;
mod presence;
mod properties;
mod recovery;
mod recovery_streams;
mod relay;
mod streams;
mod support;
mod undecided;
mod window;
