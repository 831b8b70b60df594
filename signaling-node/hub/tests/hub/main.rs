//! The hub, input by input.
#![allow(clippy::unwrap_used)]

mod recovery;
mod support;
