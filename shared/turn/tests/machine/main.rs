//! The server, driven by hand: inputs with their time in, effects out.
#![allow(clippy::unwrap_used)]

mod allocating;
mod hostile;
mod proving;
mod relaying;
mod support;
