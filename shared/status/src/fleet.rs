//! The fleet, as Postgres has it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a process is in its fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It has the devices' connections.
    Gateway,
    /// It owns slots.
    Node,
}

impl Kind {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Node => "node",
        }
    }
}

/// What Postgres says of all processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fleet {
    /// How old this picture is: when Postgres does not answer, it is the last one.
    pub read_ms_ago: u64,
    /// All that have a lease.
    pub processes: Vec<Process>,
    /// Who evicts and assigns.
    pub coordinator: Coordinator,
    /// All slots.
    pub slots: Slots,
    /// The version of the slot table: rises with each change of an owner.
    pub table_version: u64,
    /// The version of the list of processes.
    pub members_version: u64,
}

/// A process with a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Process {
    /// Its incarnation.
    pub id: String,
    /// What it is.
    pub kind: Kind,
    /// Its machine or pod, and port.
    pub name: String,
    /// Where its operations are asked for: address and port.
    pub operations: String,
    /// The time since its lease was renewed, by the database's clock. It is renewed every second and lives for four.
    pub lease_ms: u64,
    /// The time since it got its lease.
    pub up_ms: u64,
    /// It wants to go.
    pub draining: bool,
    /// Slots that it owns.
    pub slots: u64,
    /// Those of them that it is to hand over.
    pub leaving: u64,
}

/// The office of the coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Coordinator {
    /// The id of its holder; nobody's before the first, and after one that ended in order.
    pub holder: Option<String>,
    /// How often it has changed hands.
    pub epoch: u64,
    /// The time since it was renewed.
    pub lease_ms: u64,
}

/// The slot table in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Slots {
    /// All.
    pub total: u64,
    /// Those without an owner, or with one that has no lease.
    pub ownerless: u64,
    /// Those that are to be handed over.
    pub moving: u64,
    /// The lowest epoch of a slot.
    pub lowest_epoch: u64,
    /// The highest.
    pub highest_epoch: u64,
}

impl Fleet {
    /// What a process is called; its id, if it has no lease any more.
    #[must_use]
    pub fn called(&self, id: &str) -> String {
        let known = self.processes.iter().find(|process| process.id == id);
        known.map_or_else(|| id.to_owned(), Process::called)
    }
}

impl Process {
    /// `node n-1:8080`.
    #[must_use]
    pub fn called(&self) -> String {
        format!("{} {}", self.kind.as_str(), self.name)
    }
}
