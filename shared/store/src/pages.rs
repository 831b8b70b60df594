//! A user's streams, newest first, a page at a time.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::streams::{StreamRow, stream_columns, stream_devices};
use crate::{Store, StoreError, Stream, text};

/// The most streams on one page.
pub const MAX_PAGE: u32 = 100;

/// Which streams, and from where on.
#[derive(Clone, Copy, Debug, Default)]
pub struct StreamQuery<'a> {
    /// Only live ones (`true`), only ended ones (`false`).
    pub active: Option<bool>,
    /// Only those with this device, by the client's name for it.
    pub device_id: Option<&'a str>,
    /// How many; brought into `1..=`[`MAX_PAGE`].
    pub limit: u32,
    /// [`StreamPage::next_cursor`] of the page before.
    pub cursor: Option<&'a str>,
}

/// A page of streams.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct StreamPage {
    /// The streams, newest first.
    pub streams: Vec<Stream>,
    /// Where the next page begins; none on the last one.
    pub next_cursor: Option<String>,
}

/// Why there is no page.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PageError {
    /// The cursor is not one that a page gave.
    #[error("the cursor is not valid")]
    BadCursor,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The last stream of a page; the next page has those before it. Streams that start in between do not shift it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    started_at: DateTime<Utc>,
    id: Uuid,
}

impl Cursor {
    /// After everything.
    fn start() -> Self {
        // 9999-12-31T23:59:59.999999Z: the last time whose text in SQLite has four digits of a year.
        const END_OF_TIME_US: i64 = 253_402_300_799_999_999;
        let started_at = DateTime::from_timestamp_micros(END_OF_TIME_US).unwrap_or(DateTime::<Utc>::MAX_UTC);
        Self { started_at, id: Uuid::max() }
    }

    fn encode(self) -> String {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.started_at.timestamp_micros().to_be_bytes());
        bytes[8..].copy_from_slice(self.id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn decode(text: &str) -> Option<Self> {
        let mut bytes = [0; 24];
        // Exactly 24 bytes, exactly as encoded.
        if URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) != Ok(24) {
            return None;
        }
        let (micros, id) = bytes.split_first_chunk::<8>()?;
        let started_at = DateTime::from_timestamp_micros(i64::from_be_bytes(*micros))?;
        let cursor = Self { started_at, id: Uuid::from_slice(id).ok()? };
        // Before the year 1 or after 9999 the databases do not agree on the order (nor on what exists).
        let bounds = DateTime::<Utc>::UNIX_EPOCH..=Self::start().started_at;
        bounds.contains(&started_at).then_some(cursor)
    }
}

const DEVICE_ROW: &str = "SELECT id FROM devices WHERE user_id = $1 AND device_id = $2";

impl Store {
    /// The user's streams, newest first; of equal times the higher id first. A `device_id` that the user does not have
    /// gives an empty page.
    ///
    /// # Errors
    /// [`PageError`].
    pub async fn streams(&self, user_id: Uuid, query: StreamQuery<'_>) -> Result<StreamPage, PageError> {
        let cursor = match query.cursor {
            None => Cursor::start(),
            Some(text) => Cursor::decode(text).ok_or(PageError::BadCursor)?,
        };
        let limit = query.limit.clamp(1, MAX_PAGE);
        let sql = page_sql(query.active, query.device_id.is_some());
        if query.device_id.is_some_and(|device_id| !text::findable(device_id)) {
            return Ok(StreamPage { streams: Vec::new(), next_cursor: None });
        }
        // One more than asked for tells whether there is another page.
        let fetch = i64::from(limit) + 1;
        let mut rows: Vec<StreamRow> = on_conn!(self, |conn| {
            let mut select = sqlx::query_as::<_, StreamRow>(AssertSqlSafe(sql))
                .bind(user_id)
                .bind(cursor.started_at)
                .bind(cursor.id)
                .bind(fetch);
            if let Some(device_id) = query.device_id {
                let row: Option<Uuid> = sqlx::query_scalar(DEVICE_ROW)
                    .bind(user_id)
                    .bind(device_id)
                    .fetch_optional(&mut *conn)
                    .await?;
                let Some(row) = row else {
                    return Ok(Vec::new());
                };
                select = select.bind(row);
            }
            select.fetch_all(&mut *conn).await
        })?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next_cursor = match rows.last() {
            Some(last) if more => Some(Cursor { started_at: last.started_at, id: last.id }.encode()),
            _ => None,
        };
        Ok(StreamPage { streams: rows.into_iter().map(Stream::from).collect(), next_cursor })
    }
}

/// One of six texts. `$1` user, `$2` and `$3` the cursor, `$4` how many, `$5` the device's row.
fn page_sql(active: Option<bool>, by_device: bool) -> String {
    let active = match active {
        None => "",
        Some(true) => " AND ended_at IS NULL",
        Some(false) => " AND ended_at IS NOT NULL",
    };
    let tail = "AND (started_at, id) < ($2, $3) ORDER BY started_at DESC, id DESC LIMIT $4";
    let keys = if by_device {
        // Two index reads beat one OR; UNION drops the streams of a device with itself.
        format!(
            "SELECT id FROM (\
               SELECT * FROM (SELECT id, started_at FROM streams \
                 WHERE source_device_id = $5 AND user_id = $1{active} {tail}) AS sent \
               UNION \
               SELECT * FROM (SELECT id, started_at FROM streams \
                 WHERE target_device_id = $5 AND user_id = $1{active} {tail}) AS received \
             ) AS either ORDER BY started_at DESC, id DESC LIMIT $4"
        )
    } else {
        format!("SELECT id FROM streams WHERE user_id = $1{active} {tail}")
    };
    format!(
        concat!(
            "SELECT ",
            stream_columns!(),
            " FROM ({}) AS page JOIN streams s ON s.id = page.id",
            stream_devices!(),
            "ORDER BY s.started_at DESC, s.id DESC"
        ),
        keys
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let cursor = Cursor {
            started_at: DateTime::from_timestamp_micros(1_764_000_000_123_456).unwrap(),
            id: Uuid::now_v7(),
        };
        assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        assert_eq!(Cursor::decode(&Cursor::start().encode()), Some(Cursor::start()));
    }

    #[test]
    fn anything_else_is_no_cursor() {
        let good = Cursor { started_at: DateTime::UNIX_EPOCH, id: Uuid::nil() }.encode();
        for bad in [
            "",
            "x",
            "!",
            &good[1..],
            &format!("{good}A"),
            &format!("{good}="),
            &"_".repeat(32),
            &"A".repeat(10_000),
        ] {
            assert_eq!(Cursor::decode(bad), None, "{bad:.40}");
        }
        // i64::MIN microseconds: a time that no database holds.
        let mut bytes = [0; 24];
        bytes[0] = 0x80;
        assert_eq!(Cursor::decode(&URL_SAFE_NO_PAD.encode(bytes)), None);
    }
}
