//! Who is there: a row for each process, which the process renews.

use std::time::Duration;

use chrono::{DateTime, Utc};
use streamz_protocol::{NodeId, ProcessId};

use super::{ClusterStore, CoordinatorState, DbTime, TableLock, big, duration, natural};
use crate::{StoreError, text};

/// What a process does in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProcessKind {
    /// It has the devices' connections.
    Gateway,
    /// It owns slots.
    Node,
}

impl ProcessKind {
    /// As it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Node => "node",
        }
    }
}

/// A process that has a row: it lives, or nobody has found out yet that it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessRow {
    /// Its incarnation.
    pub id: ProcessId,
    /// Its machine or pod.
    pub name: String,
    /// For people.
    pub info: String,
    /// Whether it wants to go.
    pub draining: bool,
    /// How far its last renewal is from now, by the database's clock.
    pub age: Duration,
}

/// The processes of a kind at one version of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members {
    /// The list's version: it rises whenever a process comes, goes or begins to drain.
    pub version: u64,
    /// By id.
    pub processes: Vec<ProcessRow>,
}

/// A process that has its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Other processes of the same kind and name. One that does not age is a second of that name; one that does is this
    /// process before it was restarted.
    pub namesakes: Vec<ProcessRow>,
}

/// Why a process got no row.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RegisterError {
    /// The id is zero, or not below 2^63.
    #[error("the id of a process is not zero and below 2^63")]
    InvalidId,
    /// Another process has this id.
    #[error("another process has this id")]
    IdTaken,
    /// A process that lives, this one, has another key: the two would wait for each other for ever.
    #[error("{0} has another key")]
    OtherKey(String),
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The lease runs anew.
    Renewed(Renewed),
    /// There is no row: the process is out, and may come back under another id.
    Evicted,
}

/// A lease that runs anew, and what there is to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// The version of the slot table.
    pub table_version: u64,
    /// The version of the list of processes.
    pub members_version: u64,
    /// Whether the process was marked as draining.
    pub draining: bool,
    /// Who coordinates.
    pub coordinator: CoordinatorState,
    /// When the database renewed it. (If this runs ahead of the process' own clock between two renewals, the
    /// database's clock was moved, and all leases look older than they are.)
    pub at: DbTime,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    name: String,
    info: String,
    draining: bool,
    age: i64,
}

impl From<Row> for ProcessRow {
    fn from(row: Row) -> Self {
        Self {
            id: ProcessId(natural(row.id)),
            name: row.name,
            info: row.info,
            draining: row.draining,
            age: duration(row.age),
        }
    }
}

#[derive(sqlx::FromRow)]
struct RenewedRow {
    draining: bool,
    version: i64,
    members: i64,
    holder: Option<i64>,
    epoch: i64,
    age: i64,
    at: DateTime<Utc>,
}

const INSERT: &str = "\
    INSERT INTO processes (id, kind, name, info, key_name, draining, started_at, renewed_at) \
    VALUES ($1, $2, $3, $4, $5, FALSE, now(), now()) \
    ON CONFLICT (id) DO UPDATE SET renewed_at = now() \
    WHERE processes.kind = excluded.kind AND processes.name = excluded.name";
/// Older rows are of processes that died, or that an outage keeps from renewing.
const OTHER_KEY: &str = "SELECT kind || ' ' || name FROM processes \
     WHERE key_name <> $1 AND renewed_at > now() - interval '10 seconds' ORDER BY kind DESC, id LIMIT 1";
const NAMESAKES: &str = concat!(
    "SELECT id, name, info, draining, ",
    age!("renewed_at"),
    " AS age FROM processes \
     WHERE kind = $1 AND name = $2 AND id <> $3 ORDER BY id"
);
// One statement: the versions and the coordinator are read beside the row that is written. Renewed to this statement's
// now() even if that is earlier: a clock that went back must not keep the dead alive.
const RENEW: &str = concat!(
    "UPDATE processes p SET renewed_at = now() FROM slot_table t, coordinator c \
     WHERE p.id = $1 AND t.id = 1 AND c.id = 1 \
     RETURNING p.draining, t.version, t.members, c.holder, c.epoch, ",
    age!("c.renewed_at"),
    " AS age, now() AS at"
);
const DRAIN: &str = "UPDATE processes SET draining = TRUE WHERE id = $1 AND NOT draining";
const DELETE: &str = "DELETE FROM processes WHERE id = $1";
const RESIGN: &str = "UPDATE coordinator SET holder = NULL WHERE id = 1 AND holder = $1";
const UNPLAN: &str = "WITH locked AS MATERIALIZED \
     (SELECT slot FROM slots WHERE moving_to = $1 ORDER BY slot FOR NO KEY UPDATE) \
     UPDATE slots s SET moving_to = NULL, version = $2 FROM locked WHERE s.slot = locked.slot";
// One statement has one snapshot: the version is that of this list.
const MEMBERS: &str = concat!(
    "SELECT t.members, p.id, p.name, p.info, p.draining, ",
    age!("p.renewed_at"),
    " AS age \
     FROM slot_table t LEFT JOIN processes p ON p.kind = $1 WHERE t.id = 1 ORDER BY p.id"
);

#[derive(sqlx::FromRow)]
struct MemberRow {
    members: i64,
    id: Option<i64>,
    name: Option<String>,
    info: Option<String>,
    draining: Option<bool>,
    age: Option<i64>,
}

impl ClusterStore {
    /// Makes the row of a new incarnation. Again with the same is a renewal, for an answer that was lost; but whoever has
    /// been in doubt for as long as a lease takes a new id, for an evicted id must not come back. `key` names the key
    /// with which it proves its messages: all processes have the same.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn register_process(
        &self,
        id: ProcessId,
        kind: ProcessKind,
        name: &str,
        info: &str,
        key: u32,
    ) -> Result<Registered, RegisterError> {
        text::plain("name", name)?;
        text::plain("info", info)?;
        if id.0 == 0 || i64::try_from(id.0).is_err() {
            return Err(RegisterError::InvalidId);
        }
        let key = i64::from(key);
        let made = in_pg_tx!(self, |tx| {
            // Registrations happen one after the other: of two with one name, or with two keys, the second sees the
            // first.
            let mut table = TableLock::take(&mut tx).await?;
            if let Some(other) =
                sqlx::query_scalar::<_, String>(OTHER_KEY).bind(key).fetch_optional(&mut *tx).await?
            {
                return Ok(Err(RegisterError::OtherKey(other)));
            }
            let made = sqlx::query(INSERT)
                .bind(big(id.0))
                .bind(kind.as_str())
                .bind(name)
                .bind(info)
                .bind(key)
                .execute(&mut *tx)
                .await?;
            if made.rows_affected() == 0 {
                return Ok(Err(RegisterError::IdTaken));
            }
            table.members += 1;
            table.write(&mut tx).await?;
            sqlx::query_as::<_, Row>(NAMESAKES)
                .bind(kind.as_str())
                .bind(name)
                .bind(big(id.0))
                .fetch_all(&mut *tx)
                .await
                .map(Ok)
        })?;
        Ok(Registered { namesakes: made?.into_iter().map(ProcessRow::from).collect() })
    }

    /// Renews a lease. An eviction at the same moment either finds the renewal and leaves the row, or has taken it: then
    /// this says so.
    ///
    /// # Errors
    /// See [`StoreError`]; whether the lease runs anew is not known then.
    pub async fn renew(&self, id: ProcessId) -> Result<Renewal, StoreError> {
        let row = on_pg!(self, |conn| sqlx::query_as::<_, RenewedRow>(RENEW)
            .bind(big(id.0))
            .fetch_optional(conn)
            .await)?;
        Ok(row.map_or(Renewal::Evicted, |row| {
            Renewal::Renewed(Renewed {
                table_version: natural(row.version),
                members_version: natural(row.members),
                draining: row.draining,
                coordinator: CoordinatorState {
                    holder: row.holder.map(|id| NodeId(natural(id))),
                    epoch: natural(row.epoch),
                    age: duration(row.age),
                },
                at: DbTime(row.at),
            })
        }))
    }

    /// Tells the others that this process wants to go; `false` if it has no row, or was draining before.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn set_draining(&self, id: ProcessId) -> Result<bool, StoreError> {
        in_pg_tx!(self, |tx| {
            let mut table = TableLock::take(&mut tx).await?;
            let marked = sqlx::query(DRAIN).bind(big(id.0)).execute(&mut *tx).await?.rows_affected() > 0;
            if marked {
                table.members += 1;
                table.write(&mut tx).await?;
            }
            Ok(marked)
        })
    }

    /// Removes the row of a process that ends in good order, with its office as coordinator and the moves towards it. A
    /// slot that it still owns stays as it is until the coordinator gives it away, which it may from now on. `false`:
    /// there was no row.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn remove_process(&self, id: ProcessId) -> Result<bool, StoreError> {
        in_pg_tx!(self, |tx| {
            sqlx::query(RESIGN).bind(big(id.0)).execute(&mut *tx).await?;
            let mut table = TableLock::take(&mut tx).await?;
            let removed = sqlx::query(DELETE).bind(big(id.0)).execute(&mut *tx).await?.rows_affected() > 0;
            let unplanned =
                sqlx::query(UNPLAN).bind(big(id.0)).bind(table.version + 1).execute(&mut *tx).await?;
            table.version += i64::from(unplanned.rows_affected() > 0);
            table.members += i64::from(removed);
            table.write(&mut tx).await?;
            Ok(removed)
        })
    }

    /// The processes of a kind that have a row.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn live_processes(&self, kind: ProcessKind) -> Result<Members, StoreError> {
        let rows = on_pg!(self, |conn| sqlx::query_as::<_, MemberRow>(MEMBERS)
            .bind(kind.as_str())
            .fetch_all(conn)
            .await)?;
        let version = rows.first().map_or(0, |row| natural(row.members));
        let process = |row: MemberRow| {
            let row =
                Row { id: row.id?, name: row.name?, info: row.info?, draining: row.draining?, age: row.age? };
            Some(ProcessRow::from(row))
        };
        Ok(Members { version, processes: rows.into_iter().filter_map(process).collect() })
    }
}
