//! The whole cluster at a glance: for people who want to know what is wrong.

use std::time::Duration;

use streamz_protocol::{NodeId, ProcessId};

use super::{ClusterStore, CoordinatorState, ProcessKind, ProcessRow, duration, natural};
use crate::StoreError;

/// All processes, the coordinator, and who owns how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterView {
    /// By kind, name and id.
    pub processes: Vec<LiveProcess>,
    /// Who coordinates.
    pub coordinator: CoordinatorState,
    /// The version of the slot table.
    pub table_version: u64,
    /// The version of the list of processes.
    pub members_version: u64,
    /// Slots by owner, those of nobody first.
    pub shares: Vec<Share>,
}

/// A process that has a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveProcess {
    /// What it does.
    pub kind: ProcessKind,
    /// Its row.
    pub row: ProcessRow,
    /// The time since the row was made, by the database's clock.
    pub up: Duration,
}

/// The slots of one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Who; it may have no row.
    pub owner: Option<NodeId>,
    /// How many.
    pub slots: u64,
    /// Those of them that it shall hand over.
    pub moving: u64,
    /// The lowest epoch of them.
    pub lowest_epoch: u64,
    /// The highest.
    pub highest_epoch: u64,
}

#[derive(sqlx::FromRow)]
struct TableRow {
    version: i64,
    members: i64,
    holder: Option<i64>,
    epoch: i64,
    age: i64,
}

#[derive(sqlx::FromRow)]
struct PeerRow {
    kind: String,
    id: i64,
    name: String,
    info: String,
    draining: bool,
    age: i64,
    up: i64,
}

#[derive(sqlx::FromRow)]
struct ShareRow {
    owner: Option<i64>,
    slots: i64,
    moving: i64,
    lowest: i64,
    highest: i64,
}

const TABLE: &str = concat!(
    "SELECT t.version, t.members, c.holder, c.epoch, ",
    age!("c.renewed_at"),
    " AS age FROM slot_table t, coordinator c WHERE t.id = 1 AND c.id = 1"
);
const PROCESSES: &str = concat!(
    "SELECT kind, id, name, info, draining, ",
    age!("renewed_at"),
    " AS age, ",
    age!("started_at"),
    " AS up FROM processes ORDER BY kind, name, id"
);
const SHARES: &str = "SELECT owner, count(*) AS slots, count(moving_to) AS moving, min(epoch) AS lowest, \
    max(epoch) AS highest FROM slots GROUP BY owner ORDER BY owner NULLS FIRST";

impl ClusterStore {
    /// What there is, in three statements: they may see a change that happens between them. Reads every slot, so it is for
    /// people, and not for every second.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn view(&self) -> Result<ClusterView, StoreError> {
        let (table, processes, shares) = on_pg!(self, |conn| {
            let table = sqlx::query_as::<_, TableRow>(TABLE).fetch_one(&mut *conn).await?;
            let processes = sqlx::query_as::<_, PeerRow>(PROCESSES).fetch_all(&mut *conn).await?;
            let shares = sqlx::query_as::<_, ShareRow>(SHARES).fetch_all(&mut *conn).await?;
            Ok((table, processes, shares))
        })?;
        let process = |row: PeerRow| LiveProcess {
            kind: if row.kind == ProcessKind::Node.as_str() {
                ProcessKind::Node
            } else {
                ProcessKind::Gateway
            },
            row: ProcessRow {
                id: ProcessId(natural(row.id)),
                name: row.name,
                info: row.info,
                draining: row.draining,
                age: duration(row.age),
            },
            up: duration(row.up),
        };
        let share = |row: ShareRow| Share {
            owner: row.owner.map(|id| NodeId(natural(id))),
            slots: natural(row.slots),
            moving: natural(row.moving),
            lowest_epoch: natural(row.lowest),
            highest_epoch: natural(row.highest),
        };
        Ok(ClusterView {
            processes: processes.into_iter().map(process).collect(),
            coordinator: CoordinatorState {
                holder: table.holder.map(|id| NodeId(natural(id))),
                epoch: natural(table.epoch),
                age: duration(table.age),
            },
            table_version: natural(table.version),
            members_version: natural(table.members),
            shares: shares.into_iter().map(share).collect(),
        })
    }
}
