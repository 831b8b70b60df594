//! Retention: what is old goes, a small batch at a time.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{Store, StoreError, login, text};

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Streams, after their end; those that go on are kept. 90 days.
    pub streams: Duration,
    /// Refresh tokens, after they were spent or ran out; and their families, once empty. 30 days.
    pub spent_tokens: Duration,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for RetentionPolicy {
    fn default() -> Self {
        Self { streams: 90 * DAY, spent_tokens: 30 * DAY }
    }
}

/// What one sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Streams.
    pub streams: u64,
    /// Refresh tokens.
    pub tokens: u64,
    /// Refresh families without a token, and those of deleted accounts.
    pub families: u64,
    /// Login counters that matter no more.
    pub login_counters: u64,
    /// Whether some batch was full: sweep again soon.
    pub more: bool,
}

// What ended before a moment began before it, too: the index of the beginnings serves, and passes over few rows in vain,
// those that go on and those that ended later.
const STREAMS: &str = "DELETE FROM streams WHERE id IN (SELECT id FROM streams \
     WHERE started_at < $1 AND ended_at < $1 ORDER BY started_at LIMIT $2)";
const EXPIRED_TOKENS: &str = "DELETE FROM refresh_tokens WHERE token_hash IN \
     (SELECT token_hash FROM refresh_tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)";
const SPENT_TOKENS: &str = "DELETE FROM refresh_tokens WHERE token_hash IN \
     (SELECT token_hash FROM refresh_tokens WHERE spent_at IS NOT NULL AND spent_at < $1 ORDER BY spent_at LIMIT $2)";
// Every token of a family that ended so long ago is past its own time: those are swept first, so what is read here goes.
const EMPTY_FAMILIES: &str = "DELETE FROM refresh_families WHERE id IN \
     (SELECT f.id FROM refresh_families f WHERE f.expires_at < $1 \
      AND NOT EXISTS (SELECT 1 FROM refresh_tokens t WHERE t.family_id = f.id) ORDER BY f.expires_at LIMIT $2)";
// Of deleted accounts: no access token of theirs is so old.
const ENDED_FAMILIES: &str = "DELETE FROM ended_families WHERE id IN \
     (SELECT id FROM ended_families WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)";
const LOGIN_COUNTERS: &str = "DELETE FROM login_counters WHERE key_hash IN \
     (SELECT key_hash FROM login_counters WHERE updated_at < $1 ORDER BY updated_at LIMIT $2)";

impl Store {
    /// Removes at most `batch` rows of each kind that are past their time. Call it again soon while
    /// [`Swept::more`], with a pause so that others get their turn.
    ///
    /// # Errors
    /// See [`StoreError`]; what was removed before stays removed.
    pub async fn sweep(
        &self,
        now: DateTime<Utc>,
        policy: &RetentionPolicy,
        batch: u32,
    ) -> Result<Swept, StoreError> {
        let streams_before = before(now, policy.streams);
        let tokens_before = before(now, policy.spent_tokens);
        let streams = self.delete_batch(STREAMS, streams_before, batch).await?;
        let expired = self.delete_batch(EXPIRED_TOKENS, tokens_before, batch).await?;
        let spent = self.delete_batch(SPENT_TOKENS, tokens_before, batch).await?;
        let families = self.delete_batch(EMPTY_FAMILIES, tokens_before, batch).await?;
        let ended = self.delete_batch(ENDED_FAMILIES, tokens_before, batch).await?;
        let login_counters = self.delete_batch(LOGIN_COUNTERS, now - login::MEMORY, batch).await?;
        let full = [streams, expired, spent, families, ended, login_counters].contains(&u64::from(batch));
        Ok(Swept {
            streams,
            tokens: expired + spent,
            families: families + ended,
            login_counters,
            more: full && batch > 0,
        })
    }

    async fn delete_batch(
        &self,
        sql: &'static str,
        before: DateTime<Utc>,
        batch: u32,
    ) -> Result<u64, StoreError> {
        on_conn!(self, |conn| sqlx::query(sql)
            .bind(text::micros(before))
            .bind(i64::from(batch))
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))
    }
}

/// Any time is a valid policy: before the epoch nothing was ever stored.
fn before(now: DateTime<Utc>, kept: Duration) -> DateTime<Utc> {
    let kept = TimeDelta::from_std(kept).unwrap_or(TimeDelta::MAX);
    now.checked_sub_signed(kept).unwrap_or_default().max(DateTime::UNIX_EPOCH)
}
