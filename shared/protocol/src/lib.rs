//! Every word on a wire.
//!
//! * [`client`]: what a device says, decoded and checked;
//! * [`server`]: what a device hears, encoded once and shared by every receiver;
//! * [`bus`]: what gateways and hubs say to each other;
//! * [`cluster`]: slots and epochs, and what processes say to each other about them;
//! * [`wire`]: how processes write that down for each other;
//! * [`ids`], [`time`], [`codes`], [`objects`], [`limits`]: the nouns they share.
//!
//! There is no I/O here and no clock: only types, their JSON, their bytes, and the rules that make a value valid.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod bus;
pub mod client;
pub mod client_encode;
pub mod cluster;
pub mod codes;
mod command;
mod hash;
pub mod ids;
mod json;
pub mod limits;
pub mod objects;
pub mod server;
pub mod time;
mod trace;
pub mod wire;

pub use codes::{CloseCode, EndReason, ErrorCode, Reason};
pub use ids::{ConnId, DeviceId, GatewayId, MessageId, Mid, NodeId, ProcessId, SessionId, StreamId, UserId};
pub use limits::Limits;
pub use time::Millis;
pub use trace::{InvalidTraceParent, TraceContext};
