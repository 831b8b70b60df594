//! What a cluster keeps in Postgres: its processes, its coordinator, the owners of slots, and writes that end with an
//! ownership.
//!
//! A single process has no cluster: there is a [`ClusterStore`] for Postgres alone, and so its SQL is Postgres' own.
//! What all of it relies on:
//!
//! - **Time is the database's.** Leases are compared with `now()` where they are stored; no process sends its clock.
//! - **READ COMMITTED with row locks, taken in one order**: coordinator, table (the one row of `slot_table`), processes,
//!   slots by number, then rows of users. Nothing here waits for a lock that comes before one that it holds.
//! - Whoever changes slots or the list of processes locks the table's row first. Such changes happen one after the
//!   other, and who reads the table's version in the same statement as the rows has all changes up to it and no other.
//! - **A process that stops in the middle holds nobody up for long.** What happens once a second or once a write is one
//!   statement, which needs no client to end; a transaction is given up after a second of silence.
//! - **What was answered stays.** Epochs grow only as long as the server keeps what it committed: one that fails over to a
//!   copy which may lag behind can undo a change of owner. Replicas that may take over must be synchronous.
//! - **Everything may be repeated.** Changes of slots are compare-and-swap: repeated after a lost answer they change
//!   nothing, and reading tells what came of the first.

macro_rules! on_pg {
    ($cluster:expr, |$conn:ident| $body:expr) => {
        on_conn!(@run $cluster, &$cluster.pool, |$conn| $body)
    };
}

/// A transaction that writes for the cluster.
macro_rules! in_pg_tx {
    ($cluster:expr, |$tx:ident| $body:expr) => {
        in_tx!(@run $cluster, &$cluster.pool, $crate::cluster::BEGIN, |$tx| $body)
    };
}

/// How long ago a time was by the database's clock, in microseconds. One in the future is as far away as one in the
/// past: the clock went back (another server took over), and whoever lives renews at once.
macro_rules! age {
    ($time:literal) => {
        concat!("(abs(extract(epoch FROM now() - ", $time, ")) * 1000000)::bigint")
    };
}

/// Whether a time is further from now than the microseconds of a parameter.
macro_rules! stale {
    ($time:literal, $micros:literal) => {
        concat!(
            $time,
            " NOT BETWEEN now() - ",
            $micros,
            "::bigint * interval '1 microsecond' ",
            "AND now() + ",
            $micros,
            "::bigint * interval '1 microsecond'"
        )
    };
}

mod assign;
mod coordinator;
mod fenced;
mod left;
mod processes;
mod slots;
mod view;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgPool};
use streamz_protocol::cluster::{Epoch, Slot};

pub use assign::{Evicted, Eviction, Move, NewOwner, Staleness, TermError};
pub use coordinator::{CoordinatorState, CoordinatorTerm, Deposed, TakeCoordinator};
pub use fenced::{FencedPresence, FencedWrite, StreamWrite};
pub use left::Left;
pub use processes::{Members, ProcessKind, ProcessRow, RegisterError, Registered, Renewal, Renewed};
pub use slots::{Changed, SlotRow, SlotTable};
pub use view::{ClusterView, LiveProcess, Share};

use crate::db::Db;
use crate::{Store, StoreError};

/// A process that stops in the middle of a transaction is cut off after a second, for others wait for its locks. A
/// statement that waits for longer than a lease is of no use any more. And what was answered is on disk, even where the
/// server is set to be quicker than that: an epoch that was told must not come back.
const BEGIN: &str = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 1000; \
    SET LOCAL statement_timeout = 3000; SET LOCAL synchronous_commit = on";

/// The cluster's part of a store on Postgres; clones share the store's pool.
#[derive(Clone, Debug)]
pub struct ClusterStore {
    pool: PgPool,
    operation_timeout: Duration,
}

impl Store {
    /// The cluster's part of this store; `None` on SQLite, which one process has for itself.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterStore> {
        match &self.db {
            Db::Pg(pool) => {
                Some(ClusterStore { pool: pool.clone(), operation_timeout: self.operation_timeout })
            }
            Db::Lite(_) => None,
        }
    }
}

/// A time by the database's clock. A process relates it to its own by when it asked and when it had the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DbTime(DateTime<Utc>);

impl DbTime {
    /// So much later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            TimeDelta::from_std(duration).ok().and_then(|by| self.0.checked_add_signed(by)).unwrap_or(self.0),
        )
    }

    /// So much earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(
            TimeDelta::from_std(duration).ok().and_then(|by| self.0.checked_sub_signed(by)).unwrap_or(self.0),
        )
    }

    /// How much later it is than `earlier`; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        (self.0 - earlier.0).to_std().unwrap_or_default()
    }
}

/// The locked row of `slot_table`, and what it will say at the end.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
struct TableLock {
    version: i64,
    members: i64,
}

const LOCK_TABLE: &str = "SELECT version, members FROM slot_table WHERE id = 1 FOR UPDATE";
const WRITE_TABLE: &str = "UPDATE slot_table SET version = $1, members = $2 WHERE id = 1";

impl TableLock {
    async fn take(tx: &mut PgConnection) -> Result<Self, sqlx::Error> {
        sqlx::query_as(LOCK_TABLE).fetch_one(tx).await
    }

    async fn write(self, tx: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query(WRITE_TABLE).bind(self.version).bind(self.members).execute(tx).await.map(drop)
    }
}

/// Ids, epochs and versions are below 2^63. A larger one is nobody's, and as the largest it still is.
fn big(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What the database has of them is never negative.
fn natural(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(natural(micros))
}

fn number(slot: Slot) -> i32 {
    i32::from(slot.number())
}

fn epoch(epoch: i64) -> Epoch {
    Epoch(natural(epoch))
}

/// A slot's number; any other in the table is a defect.
fn slot(number: i32) -> Result<Slot, StoreError> {
    u16::try_from(number).ok().and_then(|number| Slot::new(number).ok()).ok_or_else(|| {
        StoreError::Internal(crate::error::Cause::text(format!("slot {number} in the slot table")))
    })
}
