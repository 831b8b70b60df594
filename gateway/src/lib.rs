//! The gateway: HTTP API and WebSocket sessions.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod audit;
pub mod authenticate;
mod connections;
mod figures;
pub mod fleet;
mod frames;
pub mod gate;
pub mod http;
pub mod hubs;
mod identity;
mod inbox;
pub mod problem;
pub mod readiness;
pub mod revoked;
pub mod serve;
mod socket;
pub mod state;
pub mod status;
mod traces;
mod upgrade;
mod wire;
pub mod ws;

pub use connections::{Connections, LEAVES_PER_SECOND};
pub use identity::Identity;
pub use socket::{Authority, Sockets};
