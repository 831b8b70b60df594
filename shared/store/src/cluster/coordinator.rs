//! Who coordinates: a lease with an epoch, so that whoever lost it writes nothing any more.

use std::time::Duration;

use sqlx::PgConnection;
use streamz_protocol::NodeId;

use super::{ClusterStore, big, duration, micros, natural};
use crate::StoreError;

/// A node's time as coordinator. What is written in its name is written only while it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoordinatorTerm {
    /// The node.
    pub holder: NodeId,
    /// One more than that of the holder before it.
    pub epoch: u64,
}

/// Who coordinates, and since when nothing was heard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoordinatorState {
    /// Nobody before the first, and after one that ended in good order.
    pub holder: Option<NodeId>,
    /// The holder's epoch.
    pub epoch: u64,
    /// How far its last renewal is from now, by the database's clock.
    pub age: Duration,
}

/// The term is over: another node coordinates, or will. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another node coordinates the cluster by now")]
pub struct Deposed;

/// What became of an attempt to become the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeCoordinator {
    /// It is the coordinator.
    Taken(CoordinatorTerm),
    /// Another one is, and its lease runs.
    Held(CoordinatorState),
    /// The node has no row: it was evicted.
    Evicted,
}

#[derive(sqlx::FromRow)]
struct Row {
    holder: Option<i64>,
    epoch: i64,
    age: i64,
    registered: bool,
}

// Of several at once, one has the row's lock; the others look again when it is free, and find a lease that runs. The
// holder itself goes on under its epoch: its first answer was lost.
const TAKE: &str = concat!(
    "UPDATE coordinator SET holder = $1, renewed_at = now(), \
         epoch = CASE WHEN holder = $1 THEN epoch ELSE epoch + 1 END \
     WHERE id = 1 AND (holder IS NULL OR holder = $1 OR ",
    stale!("renewed_at", "$2"),
    ") \
       AND EXISTS (SELECT 1 FROM processes WHERE id = $1 AND kind = 'node') \
     RETURNING epoch"
);
const READ: &str = concat!(
    "SELECT holder, epoch, ",
    age!("renewed_at"),
    " AS age, \
         EXISTS (SELECT 1 FROM processes WHERE id = $1 AND kind = 'node') AS registered \
     FROM coordinator WHERE id = 1"
);
const RENEW: &str = "UPDATE coordinator SET renewed_at = now() WHERE id = 1 AND holder = $1 AND epoch = $2";
// A shared lock: whoever would depose waits until what is written here is committed.
const LOCK: &str = "SELECT epoch FROM coordinator WHERE id = 1 AND holder = $1 AND epoch = $2 FOR SHARE";

impl CoordinatorTerm {
    /// Holds the term for the rest of the transaction; tells whether it is the current one.
    pub(super) async fn hold(self, tx: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let held: Option<i64> = sqlx::query_scalar(LOCK)
            .bind(big(self.holder.0))
            .bind(big(self.epoch))
            .fetch_optional(tx)
            .await?;
        Ok(held.is_some())
    }
}

impl ClusterStore {
    /// Makes `node` the coordinator if there is none, if the last renewal of the one there is lies further back than
    /// `lease`, or if it is it already.
    ///
    /// # Errors
    /// See [`StoreError`]; it may be the coordinator all the same, and learns of it by asking again.
    pub async fn try_take(&self, node: NodeId, lease: Duration) -> Result<TakeCoordinator, StoreError> {
        let (taken, row) = in_pg_tx!(self, |tx| {
            let taken: Option<i64> = sqlx::query_scalar(TAKE)
                .bind(big(node.0))
                .bind(micros(lease))
                .fetch_optional(&mut *tx)
                .await?;
            if taken.is_some() {
                return Ok((taken, None));
            }
            // Another statement sees what the one that was faster has written.
            let row = sqlx::query_as::<_, Row>(READ).bind(big(node.0)).fetch_optional(&mut *tx).await?;
            Ok((None, row))
        })?;
        if let Some(epoch) = taken {
            return Ok(TakeCoordinator::Taken(CoordinatorTerm { holder: node, epoch: natural(epoch) }));
        }
        Ok(match row {
            Some(row) if row.registered => TakeCoordinator::Held(CoordinatorState {
                holder: row.holder.map(|id| NodeId(natural(id))),
                epoch: natural(row.epoch),
                age: duration(row.age),
            }),
            _ => TakeCoordinator::Evicted,
        })
    }

    /// Renews the coordinator's lease; `false`: the term is over.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn renew_coordinator(&self, term: CoordinatorTerm) -> Result<bool, StoreError> {
        on_pg!(self, |conn| sqlx::query(RENEW)
            .bind(big(term.holder.0))
            .bind(big(term.epoch))
            .execute(conn)
            .await
            .map(|done| done.rows_affected() == 1))
    }
}
