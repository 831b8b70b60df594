//! Who is online, as far as the database knows. Hubs decide it and write it here in batches; between two batches, and
//! after a crash, the rows lag behind.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::{Store, StoreError, text};

/// The most rows that one statement of [`Store::set_presence`] writes; a longer slice takes several.
pub const MAX_PRESENCE_BATCH: usize = 200;

/// Rows put right by one statement of [`Store::reset_presence`].
const RESET_BATCH: i64 = 100;

/// A change of one device's presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresenceUpdate {
    /// The row's id ([`Device::id`](crate::Device::id)).
    pub id: Uuid,
    /// Whether it is connected.
    pub is_online: bool,
    /// When it last was.
    pub last_seen: DateTime<Utc>,
}

const RESET: &str = "UPDATE devices SET is_online = FALSE, last_seen = COALESCE($2, last_seen) \
     WHERE id IN (SELECT id FROM devices WHERE is_online ORDER BY slot, id LIMIT $1)";

impl Store {
    /// Writes the presence of many devices, in one statement for every [`MAX_PRESENCE_BATCH`] of them; of several
    /// updates of a device the last one counts. Devices that are gone are passed over. Returns how many rows were written.
    ///
    /// # Errors
    /// See [`StoreError`]; the statements before the failing one stay. Writing the same again does no harm.
    pub async fn set_presence(&self, updates: &[PresenceUpdate]) -> Result<u64, StoreError> {
        // By id: two writers that overlap take the row locks in about the same order.
        let latest: BTreeMap<Uuid, &PresenceUpdate> =
            updates.iter().map(|update| (update.id, update)).collect();
        let latest: Vec<&PresenceUpdate> = latest.into_values().collect();
        let mut written = 0;
        for batch in latest.chunks(MAX_PRESENCE_BATCH) {
            let sql = update_sql(batch.len());
            written += on_conn!(self, |conn| {
                // Not kept prepared: every length is another text.
                let mut query = sqlx::query(AssertSqlSafe(sql.as_str())).persistent(false);
                for update in batch {
                    query = query.bind(update.id).bind(update.is_online).bind(text::micros(update.last_seen));
                }
                query.execute(conn).await.map(|done| done.rows_affected())
            })?;
        }
        Ok(written)
    }

    /// Marks every device offline, in batches. Only for a process that knows that nobody is connected: at its start, to
    /// put right what a crash left (`last_seen` stays as it was written), or at its end (`seen` is the time of the end).
    /// Returns how many were changed.
    ///
    /// # Errors
    /// See [`StoreError`]; the batches before the failing one stay.
    pub async fn reset_presence(&self, seen: Option<DateTime<Utc>>) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            let batch = on_conn!(self, |conn| sqlx::query(RESET)
                .bind(RESET_BATCH)
                .bind(seen.map(text::micros))
                .execute(conn)
                .await
                .map(|done| done.rows_affected()))?;
            if batch == 0 {
                return Ok(total);
            }
            total += batch;
        }
    }
}

/// The statement for this many rows; there is nothing in it but placeholders.
fn update_sql(rows: usize) -> String {
    let mut sql = String::from("WITH latest (id, is_online, last_seen) AS (VALUES ");
    for row in 0..rows {
        let comma = if row == 0 { "" } else { ", " };
        let first = row * 3 + 1;
        // Writing to a String cannot fail.
        let _ = write!(sql, "{comma}(${first}, ${}, ${})", first + 1, first + 2);
    }
    sql.push_str(
        ") UPDATE devices SET is_online = latest.is_online, last_seen = latest.last_seen \
         FROM latest WHERE devices.id = latest.id",
    );
    sql
}
