//! `streamz bench`: how much memory, processor time and delay Streamz costs, as ratios to a bare WebSocket forwarder
//! that is measured beside it.
//!
//! Machines differ and are noisy, so that no figure means much alone. The forwarder ([`forwarder`]) does the least
//! that a relay over WebSockets can do, on the same library, allocator and runtime; both run in processes of their
//! own, are measured by turns by the same peers with the same bytes, and of several rounds the median counts.
//!
//! * [`BenchArgs`] and [`run`] are all that the binary needs;
//! * one file for each thing that is measured of one process: `connect`, `relay`, `storm`, `idle`, `start`;
//! * `cluster` measures a whole fleet, with `crowd` for devices that one process could not have, and `hop` beside it;
//! * [`report`] is what comes out, as text and as JSON.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod accounts;
mod args;
mod cluster;
mod connect;
mod crowd;
pub mod forwarder;
mod hop;
mod idle;
mod latency;
mod machine;
mod peer;
mod plan;
mod process;
mod progress;
mod relay;
pub mod report;
mod run;
mod servers;
mod start;
mod storm;
mod traffic;

pub use args::BenchArgs;
pub use run::{BenchError, run};
