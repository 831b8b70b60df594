//! What a process is doing, what its fleet looks like from there, and whether that is well. Pure: no clock, no I/O.
//!
//! * [`Status`]: what one process knows at a moment, as `GET /status` shows it;
//! * [`verdict()`]: what is wrong in it, in sentences; the same for the endpoint, the command and tests;
//! * [`text()`]: the same for people.
//!
//! Times are milliseconds: ages, or how long something has lasted, when the status was made. Ids are decimal texts, as
//! logs have them: they do not fit into the numbers of JSON. Nothing here is a secret, and nothing is about a user.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod fleet;
mod process;
mod text;
mod verdict;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use fleet::{Coordinator, Fleet, Kind, Process, Slots};
pub use process::{
    Authority, Awaited, Cause, Database, Eviction, Expulsion, Gateway, Ground, Health, Instance, Lease, Link,
    Links, Node, Records, Role, Shards, Status, Takeover, Unheard,
};
pub use text::text;
pub use verdict::{Code, Finding, verdict};

/// The answer to "how is it?".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// Whether nothing is wrong. Something that is merely worth knowing is no wrong.
    pub well: bool,
    /// What is wrong, the gravest first, and then what is worth knowing.
    pub findings: Vec<Finding>,
    /// The process that was asked.
    pub asked: Status,
    /// The other processes of its fleet, as far as somebody asked them. The endpoint asks nobody.
    #[serde(default)]
    pub others: Vec<Other>,
}

/// A process of the fleet that was asked beside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Other {
    /// Its incarnation.
    pub id: String,
    /// What it is.
    pub kind: Kind,
    /// Its machine or pod, and port.
    pub name: String,
    /// What it answered.
    pub status: Option<Status>,
    /// Why it did not.
    pub problem: Option<String>,
}

impl Report {
    /// Judges what was found.
    #[must_use]
    pub fn of(asked: Status, others: Vec<Other>) -> Self {
        let findings = verdict(&asked, &others);
        Self { well: findings.iter().all(|finding| !finding.wrong), findings, asked, others }
    }
}
