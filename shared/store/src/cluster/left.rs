//! What a node that died left in the store: devices that are shown online, records that are open.
//!
//! Rows carry the slot of their user, which nodes write with them, so that the next owner finds them without reading the
//! rows of everybody. It reads them here, asks its hubs, and writes what is not so through the same fenced writes, in
//! order with all that its hubs write: a device that came back meanwhile is not put offline by it.

use streamz_protocol::UserId;
use streamz_protocol::cluster::Slot;
use uuid::Uuid;

use super::{ClusterStore, number, slot};
use crate::StoreError;

/// The most rows that one call reads or writes.
const MAX_ROWS: u32 = 1000;

/// A row that says that something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// The slot that it was written with.
    pub slot: Slot,
    /// The row: a device, or a stream.
    pub id: Uuid,
    /// Its user.
    pub user: UserId,
}

/// Reads the next rows of some slots: of each slot by the index, from where the last call ended.
macro_rules! left_sql {
    ($table:literal, $there:literal) => {
        concat!(
            "SELECT w.slot, l.id, l.user_id FROM unnest($1::integer[]) AS w (slot) CROSS JOIN LATERAL ( \
                 SELECT d.id, d.user_id FROM ",
            $table,
            " d WHERE ",
            $there,
            " AND d.slot = w.slot \
                     AND (w.slot > $2 OR d.id > $3) ORDER BY d.slot, d.id LIMIT $4) AS l \
             WHERE w.slot >= $2 ORDER BY w.slot, l.id LIMIT $4"
        )
    };
}

/// Rows without a slot, which no node has written.
macro_rules! strays_sql {
    ($table:literal, $there:literal) => {
        concat!("SELECT id, user_id FROM ", $table, " WHERE ", $there, " AND slot IS NULL LIMIT $1")
    };
}

macro_rules! adopt_sql {
    ($table:literal) => {
        concat!(
            "UPDATE ",
            $table,
            " d SET slot = w.slot FROM unnest($1::uuid[], $2::integer[]) AS w (id, slot) \
             WHERE d.id = w.id AND d.slot IS NULL"
        )
    };
}

const ONLINE: &str = left_sql!("devices", "d.is_online");
const OPEN: &str = left_sql!("streams", "d.ended_at IS NULL");
const STRAYS: [(&str, &str); 2] = [
    (strays_sql!("devices", "is_online"), adopt_sql!("devices")),
    (strays_sql!("streams", "ended_at IS NULL"), adopt_sql!("streams")),
];

impl ClusterStore {
    /// Devices of users of these slots that are shown online, by slot and id; at most `limit` (and 1,000) of them. For
    /// the next ones, pass the last one as `after`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn left_online(
        &self,
        slots: &[Slot],
        after: Option<&Left>,
        limit: u32,
    ) -> Result<Vec<Left>, StoreError> {
        self.left(ONLINE, slots, after, limit).await
    }

    /// Records of streams of users of these slots that are open; otherwise as [`left_online`](Self::left_online).
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn left_open(
        &self,
        slots: &[Slot],
        after: Option<&Left>,
        limit: u32,
    ) -> Result<Vec<Left>, StoreError> {
        self.left(OPEN, slots, after, limit).await
    }

    /// Gives rows that are online or open and have no slot that of their users, a limited number at a time: what a single
    /// process wrote in this database before it became a fleet's. Returns how many it found; at zero there are no more.
    ///
    /// # Errors
    /// See [`StoreError`]; doing it again goes on.
    pub async fn adopt_strays(&self, limit: u32) -> Result<u64, StoreError> {
        let mut found = 0;
        for (read, write) in STRAYS {
            let rows: Vec<(Uuid, Uuid)> = on_pg!(self, |conn| sqlx::query_as(read)
                .bind(i64::from(limit.min(MAX_ROWS)))
                .fetch_all(conn)
                .await)?;
            if rows.is_empty() {
                continue;
            }
            found += rows.len() as u64;
            let ids: Vec<Uuid> = rows.iter().map(|(id, _)| *id).collect();
            let slots: Vec<i32> = rows.iter().map(|(_, user)| number(Slot::of(UserId(*user)))).collect();
            on_pg!(self, |conn| sqlx::query(write).bind(ids).bind(slots).execute(conn).await)?;
        }
        Ok(found)
    }

    async fn left(
        &self,
        sql: &'static str,
        slots: &[Slot],
        after: Option<&Left>,
        limit: u32,
    ) -> Result<Vec<Left>, StoreError> {
        let mut slots: Vec<i32> = slots.iter().map(|slot| number(*slot)).collect();
        slots.sort_unstable();
        slots.dedup();
        let rows: Vec<(i32, Uuid, Uuid)> = on_pg!(self, |conn| sqlx::query_as(sql)
            .bind(slots)
            .bind(after.map_or(-1, |last| number(last.slot)))
            .bind(after.map_or(Uuid::nil(), |last| last.id))
            .bind(i64::from(limit.min(MAX_ROWS)))
            .fetch_all(conn)
            .await)?;
        let left = |(number, id, user)| Ok(Left { slot: slot(number)?, id, user: UserId(user) });
        rows.into_iter().map(left).collect()
    }
}
