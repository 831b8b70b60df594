//! Writes of hubs that end with the ownership of their user's slot: a node that lost it changes nothing any more, however
//! late its writes arrive.
//!
//! Each write is one statement: it share-locks the rows of its slots at the epochs that it names and writes what belongs
//! to those that it found. A change of owner waits for the lock and so for the write; a write that waits for a change of
//! owner looks at the row again and finds another epoch. Being one statement, it holds no lock while it waits for its
//! own process, which may have been stopped.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use streamz_protocol::cluster::Tenure;
use uuid::Uuid;

use super::{ClusterStore, big, epoch, natural, number, slot};
use crate::error::unless_orphan;
use crate::streams::{StreamRecord, bind_record, upsert_stream_sql};
use crate::{MAX_PRESENCE_BATCH, PresenceUpdate, StoreError, text};

/// A change of one device's presence, in the name of an ownership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FencedPresence {
    /// The slot of the device's user, and the epoch in which the writer owns it.
    pub tenure: Tenure,
    /// The change.
    pub update: PresenceUpdate,
}

/// What became of a write of many rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FencedWrite {
    /// Rows that were written.
    pub written: u64,
    /// Ownerships that have ended: nothing in their name was written, nor ever will be.
    pub refused: BTreeSet<Tenure>,
}

/// What became of a stream's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamWrite {
    /// It was written.
    Written,
    /// There is no such user (any more), or the id is another user's stream.
    NoUser,
    /// The ownership has ended: nothing was written, nor ever will be.
    Refused,
}

/// `fence` has the slots, of those in the two parameters, that are at the epoch named. Locked in order, as whoever changes
/// them does.
macro_rules! fence {
    ($slots:literal, $epochs:literal) => {
        concat!(
            "WITH fence AS MATERIALIZED ( \
                SELECT s.slot, s.epoch FROM slots s \
                JOIN unnest(",
            $slots,
            "::integer[], ",
            $epochs,
            "::bigint[]) AS t (slot, epoch) \
                    ON t.slot = s.slot AND t.epoch = s.epoch \
                ORDER BY s.slot FOR SHARE OF s), "
        )
    };
}

/// What was found, and how many rows that wrote.
macro_rules! outcome {
    () => {
        " SELECT f.slot, f.epoch, (SELECT count(*) FROM written) AS written FROM fence f"
    };
}

const SET_PRESENCE: &str = concat!(
    fence!("$6", "$7"),
    "written AS ( \
        UPDATE devices d SET is_online = w.is_online, last_seen = w.last_seen, slot = w.slot \
        FROM unnest($1::uuid[], $2::boolean[], $3::timestamptz[], $4::integer[], $5::bigint[]) \
                 AS w (id, is_online, last_seen, slot, epoch) \
             JOIN fence f ON f.slot = w.slot AND f.epoch = w.epoch \
        WHERE d.id = w.id RETURNING 1)",
    outcome!()
);
// An end is final.
const CLOSE_STREAMS: &str = concat!(
    fence!("$6", "$7"),
    "written AS ( \
        UPDATE streams d SET ended_at = $2, end_reason = $3 \
        FROM unnest($1::uuid[], $4::integer[], $5::bigint[]) AS w (id, slot, epoch) \
             JOIN fence f ON f.slot = w.slot AND f.epoch = w.epoch \
        WHERE d.id = w.id AND d.ended_at IS NULL RETURNING 1)",
    outcome!()
);
const UPSERT: &str = concat!(
    fence!("$12", "$13"),
    "written AS (",
    upsert_stream_sql!("fence.slot", "users u CROSS JOIN fence"),
    " RETURNING 1) SELECT (SELECT count(*) FROM fence) AS found, (SELECT count(*) FROM written) AS written"
);

type Found = (i32, i64, i64);

/// The ownerships in whose name something is to be written, as columns.
struct Fence {
    tenures: BTreeSet<Tenure>,
    slots: Vec<i32>,
    epochs: Vec<i64>,
}

impl Fence {
    fn of(tenures: impl Iterator<Item = Tenure>) -> Self {
        let tenures: BTreeSet<Tenure> = tenures.collect();
        let (slots, epochs) = columns(tenures.iter().copied());
        Self { tenures, slots, epochs }
    }

    fn settle(mut self, found: &[Found], outcome: &mut FencedWrite) -> Result<(), StoreError> {
        for (number, found_at, _) in found {
            self.tenures.remove(&Tenure { slot: slot(*number)?, epoch: epoch(*found_at) });
        }
        outcome.refused.append(&mut self.tenures);
        outcome.written += found.first().map_or(0, |(_, _, written)| natural(*written));
        Ok(())
    }
}

fn columns(tenures: impl Iterator<Item = Tenure>) -> (Vec<i32>, Vec<i64>) {
    tenures.map(|tenure| (number(tenure.slot), big(tenure.epoch.0))).unzip()
}

impl ClusterStore {
    /// Writes the presence of many devices as [`Store::set_presence`](crate::Store::set_presence) does, each row only
    /// while its ownership lasts.
    ///
    /// # Errors
    /// See [`StoreError`]; the statements before the failing one stay. Writing the same again does no harm.
    pub async fn set_presence(&self, updates: &[FencedPresence]) -> Result<FencedWrite, StoreError> {
        let latest: BTreeMap<Uuid, &FencedPresence> =
            updates.iter().map(|fenced| (fenced.update.id, fenced)).collect();
        let latest: Vec<&FencedPresence> = latest.into_values().collect();
        let mut outcome = FencedWrite::default();
        for batch in latest.chunks(MAX_PRESENCE_BATCH) {
            let fence = Fence::of(batch.iter().map(|fenced| fenced.tenure));
            let (slots, epochs) = columns(batch.iter().map(|fenced| fenced.tenure));
            let ids: Vec<Uuid> = batch.iter().map(|fenced| fenced.update.id).collect();
            let online: Vec<bool> = batch.iter().map(|fenced| fenced.update.is_online).collect();
            let seen: Vec<DateTime<Utc>> =
                batch.iter().map(|fenced| text::micros(fenced.update.last_seen)).collect();
            let found = on_pg!(self, |conn| sqlx::query_as::<_, Found>(SET_PRESENCE)
                .bind(ids)
                .bind(online)
                .bind(seen)
                .bind(slots)
                .bind(epochs)
                .bind(&fence.slots)
                .bind(&fence.epochs)
                .fetch_all(conn)
                .await)?;
            fence.settle(&found, &mut outcome)?;
        }
        Ok(outcome)
    }

    /// Writes a stream's record as [`Store::upsert_stream`](crate::Store::upsert_stream) does, only while the ownership
    /// lasts.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn upsert_stream(
        &self,
        tenure: Tenure,
        record: &StreamRecord,
    ) -> Result<StreamWrite, StoreError> {
        record.check()?;
        // See the other one for why twice.
        for _ in 0..2 {
            let done = on_pg!(self, |conn| unless_orphan(
                bind_record!(sqlx::query_as::<_, (i64, i64)>(UPSERT), record)
                    .bind(vec![number(tenure.slot)])
                    .bind(vec![big(tenure.epoch.0)])
                    .fetch_one(conn)
                    .await
            ))?;
            match done {
                Some((0, _)) => return Ok(StreamWrite::Refused),
                Some((_, 0)) => return Ok(StreamWrite::NoUser),
                Some(_) => return Ok(StreamWrite::Written),
                None => {}
            }
        }
        Ok(StreamWrite::NoUser)
    }

    /// Closes records that are open, each only while its ownership lasts: those that
    /// [`left_open`](Self::left_open) found and that no hub knows.
    ///
    /// # Errors
    /// See [`StoreError`]; the statements before the failing one stay. Writing the same again does no harm.
    pub async fn close_streams(
        &self,
        streams: &[(Tenure, Uuid)],
        ended_at: DateTime<Utc>,
        reason: &str,
    ) -> Result<FencedWrite, StoreError> {
        text::plain("end_reason", reason)?;
        let ended_at = text::micros(ended_at);
        let mut outcome = FencedWrite::default();
        for batch in streams.chunks(MAX_PRESENCE_BATCH) {
            let fence = Fence::of(batch.iter().map(|(tenure, _)| *tenure));
            let (slots, epochs) = columns(batch.iter().map(|(tenure, _)| *tenure));
            let ids: Vec<Uuid> = batch.iter().map(|(_, id)| *id).collect();
            let found = on_pg!(self, |conn| sqlx::query_as::<_, Found>(CLOSE_STREAMS)
                .bind(ids)
                .bind(ended_at)
                .bind(reason)
                .bind(slots)
                .bind(epochs)
                .bind(&fence.slots)
                .bind(&fence.epochs)
                .fetch_all(conn)
                .await)?;
            fence.settle(&found, &mut outcome)?;
        }
        Ok(outcome)
    }
}
