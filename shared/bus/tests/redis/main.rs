//! The transport over real Redis servers.
#![allow(clippy::unwrap_used)]

mod death;
mod delivery;
mod outages;
mod peer;
mod start;
