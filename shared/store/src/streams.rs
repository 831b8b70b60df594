//! The record of each stream: who to whom, when, how it went.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::error::unless_orphan;
use crate::{Store, StoreError, text};

/// Records closed by one statement of [`Store::close_open_streams`].
const CLOSE_BATCH: i64 = 100;

/// What is to be stored of a stream, as far as it is known; written again whenever more is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRecord {
    /// The stream's id; whoever starts the stream makes it.
    pub id: Uuid,
    /// Its user.
    pub user_id: Uuid,
    /// The row id of the device that sends.
    pub source_device_id: Option<Uuid>,
    /// The row id of the device that receives; none while it rings several.
    pub target_device_id: Option<Uuid>,
    /// `video`, `audio`, `both`, `screen` or `data`.
    pub stream_type: String,
    /// When it began to ring.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why it ended.
    pub end_reason: Option<String>,
    /// `p2p` or `relay`.
    pub connection_type: Option<String>,
    /// In the devices' own words.
    pub quality: Option<String>,
    /// Round trip, in milliseconds.
    pub latency_ms: Option<i64>,
}

/// A device as a stream shows it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct DeviceRef {
    /// The row's id.
    pub id: Uuid,
    /// The client's name for it.
    pub device_id: String,
    /// The name for people.
    pub device_name: String,
}

/// A stored stream. A device that was removed since is missing in it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Stream {
    /// The stream's id.
    pub id: Uuid,
    /// Its user.
    pub user_id: Uuid,
    /// The row id of the device that sends.
    pub source_device_id: Option<Uuid>,
    /// The row id of the device that receives.
    pub target_device_id: Option<Uuid>,
    /// `video`, `audio`, `both`, `screen` or `data`.
    pub stream_type: String,
    /// When it began to ring.
    #[serde(serialize_with = "crate::json::time")]
    pub started_at: DateTime<Utc>,
    /// When it ended; none while it is live.
    #[serde(serialize_with = "crate::json::optional_time")]
    pub ended_at: Option<DateTime<Utc>>,
    /// Why it ended.
    pub end_reason: Option<String>,
    /// `p2p` or `relay`.
    pub connection_type: Option<String>,
    /// In the devices' own words.
    pub quality: Option<String>,
    /// Round trip, in milliseconds.
    pub latency_ms: Option<i64>,
    /// The device that sends.
    pub source_device: Option<DeviceRef>,
    /// The device that receives.
    pub target_device: Option<DeviceRef>,
}

#[derive(sqlx::FromRow)]
pub(crate) struct StreamRow {
    pub(crate) id: Uuid,
    user_id: Uuid,
    source_device_id: Option<Uuid>,
    target_device_id: Option<Uuid>,
    stream_type: String,
    pub(crate) started_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    end_reason: Option<String>,
    connection_type: Option<String>,
    quality: Option<String>,
    latency_ms: Option<i64>,
    source_client_id: Option<String>,
    source_name: Option<String>,
    target_client_id: Option<String>,
    target_name: Option<String>,
}

impl From<StreamRow> for Stream {
    fn from(row: StreamRow) -> Self {
        let device = |id: Option<Uuid>, device_id: Option<String>, device_name: Option<String>| {
            Some(DeviceRef { id: id?, device_id: device_id?, device_name: device_name? })
        };
        Self {
            id: row.id,
            user_id: row.user_id,
            source_device_id: row.source_device_id,
            target_device_id: row.target_device_id,
            stream_type: row.stream_type,
            started_at: row.started_at,
            ended_at: row.ended_at,
            end_reason: row.end_reason,
            connection_type: row.connection_type,
            quality: row.quality,
            latency_ms: row.latency_ms,
            source_device: device(row.source_device_id, row.source_client_id, row.source_name),
            target_device: device(row.target_device_id, row.target_client_id, row.target_name),
        }
    }
}

/// The columns of a [`StreamRow`], from `s` (streams), `a` (the source's device) and `b` (the target's).
macro_rules! stream_columns {
    () => {
        "s.id, s.user_id, s.source_device_id, s.target_device_id, s.stream_type, s.started_at, s.ended_at, \
         s.end_reason, s.connection_type, s.quality, s.latency_ms, \
         a.device_id AS source_client_id, a.device_name AS source_name, \
         b.device_id AS target_client_id, b.device_name AS target_name"
    };
}

/// Joins `a` and `b` to `s`.
macro_rules! stream_devices {
    () => {
        " LEFT JOIN devices a ON a.id = s.source_device_id LEFT JOIN devices b ON b.id = s.target_device_id "
    };
}

pub(crate) use {stream_columns, stream_devices};

// A device that was removed meanwhile, or that is not the user's, is stored as none. What is known is not forgotten, an
// end is final, and nobody can write another user's record by its id.
/// The statement that writes a record, with what it says of the slot and where it reads that.
macro_rules! upsert_stream_sql {
    ($slot:literal, $from:literal) => {
        concat!(
            "INSERT INTO streams (id, user_id, source_device_id, target_device_id, stream_type, started_at, ended_at, \
                                  end_reason, connection_type, quality, latency_ms, slot) \
             SELECT $1, u.id, \
                    (SELECT d.id FROM devices d WHERE d.id = $3 AND d.user_id = u.id), \
                    (SELECT d.id FROM devices d WHERE d.id = $4 AND d.user_id = u.id), \
                    $5, $6, $7, $8, $9, $10, $11, ", $slot, " \
             FROM ", $from, " WHERE u.id = $2 \
             ON CONFLICT (id) DO UPDATE SET \
                 source_device_id = COALESCE(excluded.source_device_id, streams.source_device_id), \
                 target_device_id = COALESCE(excluded.target_device_id, streams.target_device_id), \
                 connection_type  = COALESCE(excluded.connection_type, streams.connection_type), \
                 quality          = COALESCE(excluded.quality, streams.quality), \
                 latency_ms       = COALESCE(excluded.latency_ms, streams.latency_ms), \
                 slot             = COALESCE(excluded.slot, streams.slot), \
                 end_reason       = CASE WHEN streams.ended_at IS NULL THEN excluded.end_reason \
                                         ELSE streams.end_reason END, \
                 ended_at         = COALESCE(streams.ended_at, excluded.ended_at) \
             WHERE streams.user_id = excluded.user_id"
        )
    };
}

/// Binds a record to the first eleven parameters of that statement.
macro_rules! bind_record {
    ($query:expr, $record:expr) => {
        $query
            .bind($record.id)
            .bind($record.user_id)
            .bind($record.source_device_id)
            .bind($record.target_device_id)
            .bind(&$record.stream_type)
            .bind($crate::text::micros($record.started_at))
            .bind($record.ended_at.map($crate::text::micros))
            .bind(&$record.end_reason)
            .bind(&$record.connection_type)
            .bind(&$record.quality)
            .bind($record.latency_ms)
    };
}

pub(crate) use {bind_record, upsert_stream_sql};

// A single process owns all users and writes no slot.
const UPSERT: &str = upsert_stream_sql!("CAST(NULL AS INTEGER)", "users u");

const GET: &str = concat!(
    "SELECT ",
    stream_columns!(),
    " FROM streams s",
    stream_devices!(),
    "WHERE s.id = $1 AND s.user_id = $2"
);

const CLOSE_OPEN: &str = "UPDATE streams SET ended_at = $1, end_reason = $2 \
     WHERE id IN (SELECT id FROM streams WHERE ended_at IS NULL ORDER BY slot, id LIMIT $3)";

impl StreamRecord {
    /// Whether its texts can be stored.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        text::plain("stream_type", &self.stream_type)?;
        text::optional("end_reason", self.end_reason.as_deref())?;
        text::optional("connection_type", self.connection_type.as_deref())?;
        text::optional("quality", self.quality.as_deref())
    }
}

impl Store {
    /// Writes what is known of a stream; again with more, or the same, in any number. Fields that were stored are kept
    /// where the record has none; the first end is final. `false`: there is no such user (any more), or the id is
    /// another user's; nothing was written.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn upsert_stream(&self, record: &StreamRecord) -> Result<bool, StoreError> {
        record.check()?;
        // A device or the user may vanish between the statement's reading and its foreign-key check; on the second
        // reading it is gone.
        for _ in 0..2 {
            let written = on_conn!(self, |conn| unless_orphan(
                bind_record!(sqlx::query(UPSERT), record)
                    .execute(conn)
                    .await
                    .map(|done| done.rows_affected())
            ))?;
            if let Some(done) = written {
                return Ok(done > 0);
            }
        }
        Ok(false)
    }

    /// One stream of the user.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn stream(&self, user_id: Uuid, id: Uuid) -> Result<Option<Stream>, StoreError> {
        let row = on_conn!(self, |conn| sqlx::query_as::<_, StreamRow>(GET)
            .bind(id)
            .bind(user_id)
            .fetch_optional(conn)
            .await)?;
        Ok(row.map(Stream::from))
    }

    /// Closes every open record, in batches: what a crash left open. Only for a process that knows that nothing flows
    /// yet. Returns how many there were.
    ///
    /// # Errors
    /// See [`StoreError`]; the batches before the failing one stay.
    pub async fn close_open_streams(&self, ended_at: DateTime<Utc>, reason: &str) -> Result<u64, StoreError> {
        text::plain("end_reason", reason)?;
        let ended_at = text::micros(ended_at);
        let mut total = 0;
        loop {
            let batch = on_conn!(self, |conn| sqlx::query(CLOSE_OPEN)
                .bind(ended_at)
                .bind(reason)
                .bind(CLOSE_BATCH)
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
