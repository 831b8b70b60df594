//! The slot table, as everybody reads it, and what an owner itself changes in it.

use streamz_protocol::NodeId;
use streamz_protocol::cluster::{Assignment, Tenure};

use super::{ClusterStore, TableLock, big, epoch, natural, number, slot};
use crate::StoreError;

/// A row of the slot table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRow {
    /// The slot and its epoch.
    pub tenure: Tenure,
    /// Its owner, which may be gone; nobody before the first assignment.
    pub owner: Option<NodeId>,
    /// The node that the owner shall hand it to.
    pub moving_to: Option<NodeId>,
}

/// Rows of the slot table at one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotTable {
    /// The table's version; what happened after it is not in the rows, everything before is.
    pub version: u64,
    /// By slot.
    pub rows: Vec<SlotRow>,
}

/// What an operation on slots has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The table's version afterwards.
    pub version: u64,
    /// The rows that are other now, by slot. What was asked for and is not among them was out of date.
    pub applied: Vec<SlotRow>,
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    slot: i32,
    epoch: i64,
    owner: Option<i64>,
    moving_to: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct VersionRow {
    version: i64,
    slot: Option<i32>,
    epoch: Option<i64>,
    owner: Option<i64>,
    moving_to: Option<i64>,
}

impl Row {
    pub(super) fn number(&self) -> i32 {
        self.slot
    }
}

impl TryFrom<Row> for SlotRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            tenure: Tenure { slot: slot(row.slot)?, epoch: epoch(row.epoch) },
            owner: row.owner.map(|id| NodeId(natural(id))),
            moving_to: row.moving_to.map(|id| NodeId(natural(id))),
        })
    }
}

impl From<SlotRow> for Assignment {
    fn from(row: SlotRow) -> Self {
        Self { tenure: row.tenure, owner: row.owner }
    }
}

impl Changed {
    pub(super) fn of(version: i64, rows: Vec<Row>) -> Result<Self, StoreError> {
        let mut applied = rows.into_iter().map(SlotRow::try_from).collect::<Result<Vec<_>, _>>()?;
        applied.sort_unstable_by_key(|row| row.tenure);
        Ok(Self { version: natural(version), applied })
    }
}

/// What a statement returns of the rows `s` that it changed.
macro_rules! slot_columns {
    () => {
        "s.slot, s.epoch, s.owner, s.moving_to"
    };
}
pub(super) use slot_columns;

// One statement has one snapshot, and the table's row is written last by whoever changes slots: the version is that of
// these rows.
const SINCE: &str = concat!(
    "SELECT t.version, ",
    slot_columns!(),
    " \
     FROM slot_table t LEFT JOIN slots s ON s.version > $1 WHERE t.id = 1 ORDER BY s.slot"
);
/// Before every version.
const NEVER: i64 = -1;

// Locked in order, for writers that end with an ownership lock several, too.
const HAND_OVER: &str = concat!(
    "WITH given (slot, epoch) AS (SELECT * FROM unnest($2::integer[], $3::bigint[])), \
     locked AS MATERIALIZED ( \
         SELECT s.slot FROM slots s JOIN given g ON g.slot = s.slot AND g.epoch = s.epoch \
         WHERE s.owner = $1 AND s.moving_to <> $1 \
           AND EXISTS (SELECT 1 FROM processes p WHERE p.id = s.moving_to AND p.kind = 'node') \
         ORDER BY s.slot FOR NO KEY UPDATE OF s) \
     UPDATE slots s SET owner = s.moving_to, epoch = s.epoch + 1, moving_to = NULL, version = $4 \
     FROM locked WHERE s.slot = locked.slot RETURNING ",
    slot_columns!()
);

impl ClusterStore {
    /// The whole slot table.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn read_slots(&self) -> Result<SlotTable, StoreError> {
        self.slots_since(NEVER).await
    }

    /// The slots that were changed after `version`, as they are now.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn slot_changes_since(&self, version: u64) -> Result<SlotTable, StoreError> {
        self.slots_since(big(version)).await
    }

    async fn slots_since(&self, version: i64) -> Result<SlotTable, StoreError> {
        // Not kept prepared: what is best depends on how many rows that is.
        let rows = on_pg!(self, |conn| sqlx::query_as::<_, VersionRow>(SINCE)
            .persistent(false)
            .bind(version)
            .fetch_all(conn)
            .await)?;
        let version = rows.first().map_or(0, |row| natural(row.version));
        let row = |row: VersionRow| {
            let row = Row { slot: row.slot?, epoch: row.epoch?, owner: row.owner, moving_to: row.moving_to };
            Some(SlotRow::try_from(row))
        };
        Ok(SlotTable { version, rows: rows.into_iter().filter_map(row).collect::<Result<_, _>>()? })
    }

    /// Gives slots of `owner` to where each of them shall move, raising their epochs: for the owner, once it has written
    /// what it had and applies nothing more. A slot stays if its epoch is another, if it shall not move any more, or if
    /// the node that it should move to is gone.
    ///
    /// # Errors
    /// See [`StoreError`]; the slots may have been handed over all the same, and reading tells: the owner must not go on
    /// before it knows.
    pub async fn hand_over(&self, owner: NodeId, tenures: &[Tenure]) -> Result<Changed, StoreError> {
        let slots: Vec<i32> = tenures.iter().map(|tenure| number(tenure.slot)).collect();
        let epochs: Vec<i64> = tenures.iter().map(|tenure| big(tenure.epoch.0)).collect();
        let (version, rows) = in_pg_tx!(self, |tx| {
            let mut table = TableLock::take(&mut tx).await?;
            let rows = sqlx::query_as::<_, Row>(HAND_OVER)
                .bind(big(owner.0))
                .bind(&slots)
                .bind(&epochs)
                .bind(table.version + 1)
                .fetch_all(&mut *tx)
                .await?;
            if !rows.is_empty() {
                table.version += 1;
                table.write(&mut tx).await?;
            }
            Ok((table.version, rows))
        })?;
        Changed::of(version, rows)
    }
}
