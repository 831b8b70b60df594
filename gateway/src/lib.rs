//! The gateway: HTTP API and WebSocket sessions.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod hubs;
