//! What the coordinator changes: who is out, and who owns which slot.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use streamz_protocol::cluster::Tenure;
use streamz_protocol::{NodeId, ProcessId};

use super::slots::{Row, slot_columns};
use super::{
    Changed, ClusterStore, CoordinatorTerm, DbTime, Deposed, TableLock, big, micros, natural, number,
};
use crate::StoreError;

/// An owner for a slot that has none, or whose owner is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewOwner {
    /// The slot, and the epoch that it is thought to be at.
    pub tenure: Tenure,
    /// Its next owner.
    pub owner: NodeId,
}

/// A slot that its owner shall hand to another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The slot, and the epoch that it is thought to be at.
    pub tenure: Tenure,
    /// Its owner, as far as is known.
    pub owner: NodeId,
    /// Its next owner.
    pub to: NodeId,
}

/// What the database must know of a process for it to be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staleness {
    /// That its last renewal lies further back than this lease.
    Lease(Duration),
    /// That it was not renewed at this time or later: it was dead already, by other evidence.
    NotSince(DbTime),
}

/// A process that is thought dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// The process.
    pub process: ProcessId,
    /// What must be true of it.
    pub stale: Staleness,
}

/// What an eviction has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evicted {
    /// Who is out, by id. The others had renewed their leases, or were gone before.
    pub processes: Vec<ProcessId>,
    /// The slots that were given away, and those that shall not move to a dead node any more.
    pub slots: Changed,
}

/// Why the coordinator changed nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TermError {
    /// It is the coordinator no more.
    #[error(transparent)]
    Deposed(#[from] Deposed),
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

// A renewal that holds the row's lock comes first: the row is looked at again once it is committed. One that finds this
// lock waits, and finds no row.
const EVICT: &str = concat!(
    "DELETE FROM processes p USING unnest($1::bigint[], $2::bigint[], $3::timestamptz[]) AS e (id, lease, since) \
     WHERE p.id = e.id AND (p.renewed_at < e.since OR ",
    stale!("p.renewed_at", "e.lease"),
    ") RETURNING p.id"
);
// In order, for writers that end with an ownership lock several, too. Those in flight are waited for: what they wrote is
// there before the epoch rises.
const LOCK_SLOTS: &str = "SELECT slot FROM slots WHERE slot = ANY($1::integer[]) OR moving_to = ANY($2::bigint[]) \
     ORDER BY slot FOR NO KEY UPDATE";
// A slot is taken only from an owner that is gone, and given only to a node that is there. Rows of processes do not
// come and go meanwhile: that takes the table's lock.
const ASSIGN: &str = concat!(
    "UPDATE slots s SET owner = g.owner, epoch = s.epoch + 1, moving_to = NULL, version = $4 \
     FROM unnest($1::integer[], $2::bigint[], $3::bigint[]) AS g (slot, epoch, owner) \
     WHERE s.slot = g.slot AND s.epoch = g.epoch \
       AND EXISTS (SELECT 1 FROM processes p WHERE p.id = g.owner AND p.kind = 'node') \
       AND NOT EXISTS (SELECT 1 FROM processes p WHERE p.id = s.owner) \
     RETURNING ",
    slot_columns!()
);
const PLAN: &str = concat!(
    "UPDATE slots s SET moving_to = g.target, version = $5 \
     FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bigint[]) AS g (slot, epoch, owner, target) \
     WHERE s.slot = g.slot AND s.epoch = g.epoch AND s.owner = g.owner \
       AND g.target <> g.owner AND s.moving_to IS DISTINCT FROM g.target \
       AND EXISTS (SELECT 1 FROM processes p WHERE p.id = g.target AND p.kind = 'node') \
     RETURNING ",
    slot_columns!()
);
const CANCEL: &str = concat!(
    "UPDATE slots s SET moving_to = NULL, version = $2 WHERE s.moving_to = ANY($1::bigint[]) RETURNING ",
    slot_columns!()
);

/// Columns of the slots that were asked for, each slot once.
struct Given {
    slots: Vec<i32>,
    epochs: Vec<i64>,
}

impl Given {
    fn of<T>(wanted: &BTreeMap<i32, T>, tenure: impl Fn(&T) -> Tenure) -> Self {
        Self {
            slots: wanted.keys().copied().collect(),
            epochs: wanted.values().map(|one| big(tenure(one).epoch.0)).collect(),
        }
    }
}

/// A transaction of the coordinator: its term is held, and so is the table.
struct Office<'t> {
    tx: &'t mut PgConnection,
    table: TableLock,
    changed: BTreeMap<i32, Row>,
}

impl<'t> Office<'t> {
    /// `None`: the term is over.
    async fn open(tx: &'t mut PgConnection, term: CoordinatorTerm) -> Result<Option<Self>, sqlx::Error> {
        if !term.hold(tx).await? {
            return Ok(None);
        }
        let table = TableLock::take(tx).await?;
        Ok(Some(Self { tx, table, changed: BTreeMap::new() }))
    }

    fn next_version(&self) -> i64 {
        self.table.version + 1
    }

    fn note(&mut self, rows: Vec<Row>) {
        self.changed.extend(rows.into_iter().map(|row| (row.number(), row)));
    }

    async fn evict(&mut self, evictions: &[Eviction]) -> Result<Vec<i64>, sqlx::Error> {
        if evictions.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<i64> = evictions.iter().map(|eviction| big(eviction.process.0)).collect();
        let leases: Vec<Option<i64>> = evictions
            .iter()
            .map(|eviction| match eviction.stale {
                Staleness::Lease(lease) => Some(micros(lease)),
                Staleness::NotSince(_) => None,
            })
            .collect();
        let since: Vec<Option<DateTime<Utc>>> = evictions
            .iter()
            .map(|eviction| match eviction.stale {
                Staleness::Lease(_) => None,
                Staleness::NotSince(time) => Some(time.0),
            })
            .collect();
        let mut gone: Vec<i64> =
            sqlx::query_scalar(EVICT).bind(ids).bind(leases).bind(since).fetch_all(&mut *self.tx).await?;
        gone.sort_unstable();
        self.table.members += i64::from(!gone.is_empty());
        Ok(gone)
    }

    async fn lock(&mut self, slots: &[i32], targets: &[i64]) -> Result<(), sqlx::Error> {
        sqlx::query(LOCK_SLOTS).bind(slots).bind(targets).execute(&mut *self.tx).await.map(drop)
    }

    async fn assign(&mut self, owners: &BTreeMap<i32, NewOwner>) -> Result<(), sqlx::Error> {
        let given = Given::of(owners, |new| new.tenure);
        let rows = sqlx::query_as::<_, Row>(ASSIGN)
            .bind(given.slots)
            .bind(given.epochs)
            .bind(owners.values().map(|new| big(new.owner.0)).collect::<Vec<_>>())
            .bind(self.next_version())
            .fetch_all(&mut *self.tx)
            .await?;
        self.note(rows);
        Ok(())
    }

    async fn plan(&mut self, moves: &BTreeMap<i32, Move>) -> Result<(), sqlx::Error> {
        let given = Given::of(moves, |one| one.tenure);
        let rows = sqlx::query_as::<_, Row>(PLAN)
            .bind(given.slots)
            .bind(given.epochs)
            .bind(moves.values().map(|one| big(one.owner.0)).collect::<Vec<_>>())
            .bind(moves.values().map(|one| big(one.to.0)).collect::<Vec<_>>())
            .bind(self.next_version())
            .fetch_all(&mut *self.tx)
            .await?;
        self.note(rows);
        Ok(())
    }

    async fn cancel(&mut self, targets: &[i64]) -> Result<(), sqlx::Error> {
        let rows = sqlx::query_as::<_, Row>(CANCEL)
            .bind(targets)
            .bind(self.next_version())
            .fetch_all(&mut *self.tx)
            .await?;
        self.note(rows);
        Ok(())
    }

    /// Writes the versions, and returns that of the slots with what was changed.
    async fn close(mut self) -> Result<(i64, Vec<Row>), sqlx::Error> {
        self.table.version += i64::from(!self.changed.is_empty());
        self.table.write(&mut *self.tx).await?;
        Ok((self.table.version, self.changed.into_values().collect()))
    }
}

fn once<T: Copy>(wanted: &[T], tenure: impl Fn(&T) -> Tenure) -> BTreeMap<i32, T> {
    wanted.iter().map(|one| (number(tenure(one).slot), *one)).collect()
}

impl ClusterStore {
    /// Gives slots without an owner, or whose owner is gone, to nodes that are there; each slot only if it is still at
    /// the epoch that it is thought to be at, which rises by one. Of several entries of a slot the last one counts.
    ///
    /// # Errors
    /// [`TermError`]; after `Unavailable` the slots may have been given all the same, and reading tells.
    pub async fn assign(&self, term: CoordinatorTerm, owners: &[NewOwner]) -> Result<Changed, TermError> {
        self.evict(term, &[], owners).await.map(|evicted| evicted.slots)
    }

    /// Removes the rows of dead processes and, in the same moment, gives their slots to others, as
    /// [`assign`](Self::assign) does. A process that has renewed its lease meanwhile stays, with its slots. Nothing moves
    /// towards a removed node any more.
    ///
    /// # Errors
    /// [`TermError`]; after `Unavailable` it may have happened all the same, and reading tells.
    pub async fn evict(
        &self,
        term: CoordinatorTerm,
        evictions: &[Eviction],
        owners: &[NewOwner],
    ) -> Result<Evicted, TermError> {
        let owners = once(owners, |new| new.tenure);
        let slots: Vec<i32> = owners.keys().copied().collect();
        let done = in_pg_tx!(self, |tx| {
            let Some(mut office) = Office::open(&mut tx, term).await? else { return Ok(None) };
            let gone = office.evict(evictions).await?;
            office.lock(&slots, &gone).await?;
            if !gone.is_empty() {
                office.cancel(&gone).await?;
            }
            office.assign(&owners).await?;
            let (version, rows) = office.close().await?;
            Ok(Some((gone, version, rows)))
        })?;
        let (gone, version, rows) = done.ok_or(Deposed)?;
        let processes = gone.into_iter().map(|id| ProcessId(natural(id))).collect();
        Ok(Evicted { processes, slots: Changed::of(version, rows)? })
    }

    /// Tells owners to hand slots to other nodes. A slot is passed over if its epoch or its owner is another, or if the
    /// node that it should move to is gone.
    ///
    /// # Errors
    /// [`TermError`].
    pub async fn plan_moves(&self, term: CoordinatorTerm, moves: &[Move]) -> Result<Changed, TermError> {
        let moves = once(moves, |one| one.tenure);
        let slots: Vec<i32> = moves.keys().copied().collect();
        let done = in_pg_tx!(self, |tx| {
            let Some(mut office) = Office::open(&mut tx, term).await? else { return Ok(None) };
            office.lock(&slots, &[]).await?;
            office.plan(&moves).await?;
            office.close().await.map(Some)
        })?;
        let (version, rows) = done.ok_or(Deposed)?;
        Ok(Changed::of(version, rows)?)
    }

    /// Lets the slots stay that should move to these nodes. (An eviction and a removal do it by themselves.)
    ///
    /// # Errors
    /// [`TermError`].
    pub async fn cancel_moves(
        &self,
        term: CoordinatorTerm,
        targets: &[NodeId],
    ) -> Result<Changed, TermError> {
        let targets: Vec<i64> = targets.iter().map(|node| big(node.0)).collect();
        let done = in_pg_tx!(self, |tx| {
            let Some(mut office) = Office::open(&mut tx, term).await? else { return Ok(None) };
            office.lock(&[], &targets).await?;
            office.cancel(&targets).await?;
            office.close().await.map(Some)
        })?;
        let (version, rows) = done.ok_or(Deposed)?;
        Ok(Changed::of(version, rows)?)
    }
}
