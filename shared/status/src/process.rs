//! What one process knows of itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Fleet, Kind};

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything in one process.
    Embedded,
    /// A gateway of a fleet.
    Gateway,
    /// A node of a fleet.
    Node,
}

/// One process at a moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// What it is.
    pub role: Role,
    /// Its machine or pod, and port.
    pub name: String,
    /// Its incarnation in a fleet, once it has one.
    pub id: Option<String>,
    /// The version of Streamz.
    pub version: String,
    /// The time since its start.
    pub up_ms: u64,
    /// It was told to end.
    pub draining: bool,
    /// Parts of it that did not answer in time: a defect, or a machine that stands still.
    pub stuck: Vec<String>,
    /// Its database.
    pub database: Database,
    /// The instances of Redis, in the order of `REDIS_URL`; none without a fleet.
    pub bus: Vec<Instance>,
    /// Envelopes that came over Redis and were dropped: of another key, another version, or for somebody else.
    pub refused_envelopes: u64,
    /// Its lease, in a fleet.
    pub lease: Option<Lease>,
    /// What it has as a gateway.
    pub gateway: Option<Gateway>,
    /// What it has as a node.
    pub node: Option<Node>,
    /// Its links to other processes, in a fleet.
    pub links: Option<Links>,
    /// Processes that nobody receives for.
    pub unheard: Vec<Unheard>,
    /// Slots that it took over last, the newest first: the last 32 times.
    pub takeovers: Vec<Takeover>,
    /// Processes that it evicted as the coordinator, the newest first: the last 32.
    pub evictions: Vec<Eviction>,
    /// How often it was evicted itself and went on under another id, the newest first: the last 32 times.
    pub expulsions: Vec<Expulsion>,
    /// The fleet, as Postgres has it; none without a fleet, and before Postgres has answered once.
    pub fleet: Option<Fleet>,
}

/// A database, as a process reaches it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Database {
    /// `Postgres` or `SQLite`.
    pub kind: String,
    /// Whether it answered a question now, within a second.
    pub answers: bool,
    /// Why not.
    pub problem: Option<String>,
    /// The time since it was last known to answer; unknown if it never did.
    pub answered_ms_ago: Option<u64>,
}

/// Whether an instance of Redis carries what is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// What the process says to itself comes back.
    Healthy,
    /// It is connected, but nothing comes back.
    Lagging,
    /// It is not connected.
    Away,
}

/// An instance of Redis, as a process sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Instance {
    /// Host and port.
    pub instance: String,
    /// Whether it carries what is said.
    pub health: Health,
    /// The time since something came back that the process said to itself, or since its start.
    pub silent_ms: u64,
    /// How long that took, in microseconds.
    pub loopback_us: Option<u64>,
    /// Others reach this process here: each is to be found on two instances.
    pub home: bool,
    /// The subscription was confirmed.
    pub subscribed: bool,
    /// The version of the server.
    pub version: Option<String>,
    /// Why it is away.
    pub problem: Option<String>,
    /// What was published.
    pub publishes: u64,
    /// What could not be, or nobody knows.
    pub failures: u64,
}

/// A process's lease, as the process knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lease {
    /// The time since a renewal that succeeded was sent; none before the first of this incarnation.
    pub renewed_ms_ago: Option<u64>,
}

/// What a gateway has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gateway {
    /// Sessions, those included that wait for a device to come back.
    pub sessions: u64,
    /// Messages that its devices sent and that have no outcome yet.
    pub unsettled: u64,
    /// In a fleet: slots without an owner that lives and was confirmed here. Their users wait.
    pub unserved: Option<u64>,
    /// Since when there are any.
    pub unserved_ms: Option<u64>,
}

/// What a node has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// Hubs that run.
    pub hubs_awake: u64,
    /// Hubs that sleep.
    pub hubs_asleep: u64,
    /// The actors that share the users among them.
    pub shards: Shards,
    /// Rows that wait for the database.
    pub records: Records,
    /// In a fleet: slots that it owns.
    pub slots: Option<u64>,
    /// Those that are being handed over.
    pub sealed: u64,
    /// Those that wait for gateways to confirm: there nothing is decided yet.
    pub recovering: u64,
    /// For whom they wait, the longest first; 64 at most.
    pub awaits: Vec<Awaited>,
    /// In a fleet: whether it may decide.
    pub authority: Option<Authority>,
    /// The epoch of its term, if it coordinates.
    pub term: Option<u64>,
}

/// The actors of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Shards {
    /// How many.
    pub total: u64,
    /// Those that did not answer a question in time.
    pub stuck: u64,
    /// Inputs that are on their way through them.
    pub inputs: u64,
}

/// Rows that wait for the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Records {
    /// Of streams.
    pub streams: u64,
    /// The most that may; beyond it no stream starts.
    pub streams_max: u64,
    /// Of presence.
    pub presences: u64,
}

/// A gateway that slots wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Awaited {
    /// Its id.
    pub gateway: String,
    /// How many slots.
    pub slots: u64,
    /// How long the first of them has waited.
    pub for_ms: u64,
}

/// By what a node may decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ground {
    /// Its lease was renewed.
    Lease,
    /// It hears the coordinator, and Postgres not.
    Coordinator,
}

/// A node's right to decide: that somebody is offline, that somebody won.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Authority {
    /// By what it may; if not, it relays and decides nothing.
    pub by: Option<Ground>,
    /// The time since the coordinator was heard.
    pub coordinator_ms_ago: Option<u64>,
}

/// A process's links.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Links {
    /// How many.
    pub total: u64,
    /// Frames that were not acknowledged yet, over all of them.
    pub frames: u64,
    /// Their weight in bytes; 32 MiB are the most for each link.
    pub bytes: u64,
    /// Those with something not acknowledged, the longest first; 64 at most.
    pub waiting: Vec<Link>,
}

/// A link with something that was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Link {
    /// The id of the other process.
    pub to: String,
    /// Frames.
    pub frames: u64,
    /// Bytes.
    pub bytes: u64,
    /// For how long nothing at all was acknowledged: the oldest frame is at least that old.
    pub for_ms: u64,
    /// Frames that were sent again, since the link began.
    pub sent_again: u64,
}

/// A process for which nobody receives, on any of its instances of Redis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unheard {
    /// Its id.
    pub id: String,
    /// For how long.
    pub for_ms: u64,
}

/// Why a node became the owner of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// They had no owner before.
    First,
    /// Their owner handed them over, as ordered.
    HandedOver,
    /// Their owner is gone: evicted, or ended before it had handed them over.
    OwnerGone,
}

/// Slots that changed hands together, or batch after batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Takeover {
    /// How long ago the new owner learned of it.
    pub ms_ago: u64,
    /// Why.
    pub cause: Cause,
    /// The id of the owner before.
    pub from: Option<String>,
    /// What it was called.
    pub from_name: Option<String>,
    /// How many.
    pub slots: u64,
    /// Those that wait for a gateway still.
    pub recovering: u64,
    /// From when the new owner learned of the first until every gateway had confirmed the last; none while some wait.
    pub took_ms: Option<u64>,
    /// The longest that a single slot of them took: for so long nothing was decided there.
    pub longest_ms: u64,
}

/// A process whose lease was taken away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Eviction {
    /// How long ago.
    pub ms_ago: u64,
    /// Its id.
    pub id: String,
    /// What it was.
    pub kind: Kind,
    /// What it was called.
    pub name: String,
    /// Why: `its lease has lapsed` or `nobody receives`.
    pub cause: String,
    /// For how long it had been silent, or its lease had not been renewed.
    pub silent_ms: u64,
    /// Slots that got another owner with it.
    pub slots: u64,
}

/// A process that was evicted, as it tells itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Expulsion {
    /// How long ago it noticed.
    pub ms_ago: u64,
    /// Its id before.
    pub id: String,
    /// How it learned of it.
    pub cause: String,
}

impl Status {
    /// Of a process of which nothing else is known yet.
    #[must_use]
    pub fn new(role: Role, name: &str, version: &str) -> Self {
        Self {
            role,
            name: name.to_owned(),
            id: None,
            version: version.to_owned(),
            up_ms: 0,
            draining: false,
            stuck: Vec::new(),
            database: Database {
                kind: "Postgres".to_owned(),
                answers: false,
                problem: None,
                answered_ms_ago: None,
            },
            bus: Vec::new(),
            refused_envelopes: 0,
            lease: None,
            gateway: None,
            node: None,
            links: None,
            unheard: Vec::new(),
            takeovers: Vec::new(),
            evictions: Vec::new(),
            expulsions: Vec::new(),
            fleet: None,
        }
    }

    /// `node n-1:8080`.
    #[must_use]
    pub fn called(&self) -> String {
        match self.role {
            Role::Embedded => "streamz".to_owned(),
            Role::Gateway => format!("gateway {}", self.name),
            Role::Node => format!("node {}", self.name),
        }
    }
}
