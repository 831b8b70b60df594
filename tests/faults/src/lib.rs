//! Faults on real processes: a fleet with its own Postgres and two of Redis, and devices that send each other numbered
//! messages and ring each other the whole time, while processes are killed, stopped, cut off and replaced.
//!
//! Devices are the model client of `streamz-simulation` on real sockets, and its checker judges what they saw.
//! `docs/reliability.md` has what it found, and the commands.
//!
//! | file | one reason |
//! |---|---|
//! | `stage` | the fleet, what it suffers, and the judgement |
//! | `faults` | what can go wrong, and what it may cost |
//! | `device`, `scene` | a device on a socket; what devices share |
//! | `proxy`, `netns` | ways that are slow, lossy or cut |
//! | `figures` | what a fault cost, as a table |
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a harness fails by panicking")]

mod device;
mod faults;
mod figures;
mod netns;
mod proxy;
mod scene;
mod stage;

pub use faults::Fault;
pub use figures::{Figures, Table};
pub use stage::{Size, Stage};
