//! What an account may do with its own sign-ins, each of which is a refresh family: see them, end them, end all but one
//! with a new password, end all with the account.
//!
//! Each of these is one transaction that locks the account's row first. So a sign-in that is under way either is there to
//! be ended, or does not begin.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Backend, Store, StoreError, text};

/// The most sign-ins that are listed: the ones that were used last.
const MAX_SESSIONS: i64 = 100;

/// A sign-in, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct SignIn {
    /// Its family.
    pub id: Uuid,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was last refreshed.
    pub last_used_at: DateTime<Utc>,
    /// When it ends by itself, if it is not refreshed.
    pub expires_at: DateTime<Utc>,
    /// What the client called itself.
    pub user_agent: Option<String>,
}

const LIST: &str = "SELECT f.id, f.created_at, f.expires_at, f.user_agent, \
         COALESCE((SELECT max(t.created_at) FROM refresh_tokens t WHERE t.family_id = f.id), f.created_at) AS last_used_at \
     FROM refresh_families f WHERE f.user_id = $1 AND f.revoked_at IS NULL AND f.expires_at > $2 \
     ORDER BY last_used_at DESC, f.id DESC LIMIT $3";
const END_ONE: &str = "UPDATE refresh_families SET revoked_at = $3, revoke_reason = $4 \
     WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL";
const REPLACE_PASSWORD: &str =
    "UPDATE users SET password_hash = $3, updated_at = $4 WHERE id = $1 AND password_hash = $2";
const END_OTHERS: &str = "UPDATE refresh_families SET revoked_at = $3, revoke_reason = $4 \
     WHERE user_id = $1 AND id <> $2 AND revoked_at IS NULL RETURNING id";
const LOCK: &str = "SELECT id FROM users WHERE id = $1";
// Stronger than what a new family's foreign key takes: none begins any more.
const LOCK_PG: &str = "SELECT id FROM users WHERE id = $1 FOR UPDATE";
// Those that ended before are remembered too: their rows go, but their tokens may not have lapsed.
const REMEMBER: &str = "INSERT INTO ended_families (id, user_id, expires_at, revoked_at) \
     SELECT id, user_id, expires_at, COALESCE(revoked_at, $2) FROM refresh_families WHERE user_id = $1 RETURNING id";
const DELETE: &str = "DELETE FROM users WHERE id = $1";

impl Store {
    /// The sign-ins of an account that go on, the one that was used last first; a hundred at most.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn sign_ins(&self, user_id: Uuid, now: DateTime<Utc>) -> Result<Vec<SignIn>, StoreError> {
        on_conn!(self, |conn| sqlx::query_as::<_, SignIn>(LIST)
            .bind(user_id)
            .bind(text::micros(now))
            .bind(MAX_SESSIONS)
            .fetch_all(conn)
            .await)
    }

    /// Ends a sign-in if it is this account's; tells whether it was live.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn end_sign_in(
        &self,
        user_id: Uuid,
        family_id: Uuid,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        text::plain("revoke_reason", reason)?;
        on_conn!(self, |conn| sqlx::query(END_ONE)
            .bind(family_id)
            .bind(user_id)
            .bind(text::micros(now))
            .bind(reason)
            .execute(conn)
            .await
            .map(|done| done.rows_affected() == 1))
    }

    /// Gives an account a new password hash and ends all of its sign-ins but `keep`; returns those that ended. `None` if
    /// the hash is not `old` any more: nothing was changed.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn change_password(
        &self,
        user_id: Uuid,
        (old, new): (&str, &str),
        keep: Uuid,
        now: DateTime<Utc>,
    ) -> Result<Option<Vec<Uuid>>, StoreError> {
        text::plain("password_hash", new)?;
        if text::plain("password_hash", old).is_err() {
            return Ok(None);
        }
        let now = text::micros(now);
        in_tx!(self, |tx| {
            let changed = sqlx::query(REPLACE_PASSWORD)
                .bind(user_id)
                .bind(old)
                .bind(new)
                .bind(now)
                .execute(&mut *tx)
                .await?;
            if changed.rows_affected() == 0 {
                return Ok(None);
            }
            let ended = sqlx::query_scalar(END_OTHERS)
                .bind(user_id)
                .bind(keep)
                .bind(now)
                .bind("password_changed")
                .fetch_all(&mut *tx)
                .await?;
            Ok(Some(ended))
        })
    }

    /// Removes an account with its devices, streams and refresh families; returns the families, which
    /// [`revoked_since`](Self::revoked_since) lists from then on. `None` if there was no such account.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete_user(&self, id: Uuid, now: DateTime<Utc>) -> Result<Option<Vec<Uuid>>, StoreError> {
        let now = text::micros(now);
        let lock = match self.backend() {
            Backend::Postgres => LOCK_PG,
            // A transaction has the whole file.
            Backend::Sqlite => LOCK,
        };
        in_tx!(self, |tx| {
            let there: Option<Uuid> = sqlx::query_scalar(lock).bind(id).fetch_optional(&mut *tx).await?;
            if there.is_none() {
                return Ok(None);
            }
            let ended = sqlx::query_scalar(REMEMBER).bind(id).bind(now).fetch_all(&mut *tx).await?;
            sqlx::query(DELETE).bind(id).execute(&mut *tx).await?;
            Ok(Some(ended))
        })
    }
}
