//! Refresh tokens. A sign-in starts a family of one token; each refresh spends the newest and adds the next. A token that
//! is presented a second time was copied by somebody: the whole family is revoked.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::error::unless_orphan;
use crate::users::BY_ID;
use crate::{Backend, Store, StoreError, User, text};

/// The reason that a family is revoked for when a spent token comes again.
const REUSED: &str = "reused";

/// The most families that [`Store::revoked_since`] returns at once.
const MAX_REVOKED: u32 = 1000;

/// What became of a refresh token that was presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It is spent, and the new one took its place.
    Rotated {
        /// Whose it is.
        user: User,
        /// The family that goes on.
        family_id: Uuid,
    },
    /// It had been spent before: the family is revoked now.
    Reused {
        /// Whose it is.
        user_id: Uuid,
        /// The family that ended.
        family_id: Uuid,
    },
    /// Its family had been revoked before.
    Revoked,
    /// It is too old.
    Expired,
    /// There is no such token.
    Unknown,
}

/// A family that was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct RevokedFamily {
    /// The family.
    #[sqlx(rename = "id")]
    pub family_id: Uuid,
    /// Its user.
    pub user_id: Uuid,
    /// Since when.
    pub revoked_at: DateTime<Utc>,
}

/// A family to be started.
#[derive(Clone, Copy)]
pub struct NewFamily<'a> {
    /// Whose it is.
    pub user_id: Uuid,
    /// The password hash that was found right; `None` where no password was asked for.
    pub password_hash: Option<&'a str>,
    /// The hash of its first token.
    pub token_hash: &'a [u8; 32],
    /// What the client calls itself.
    pub user_agent: Option<&'a str>,
    /// When that token lapses.
    pub expires_at: DateTime<Utc>,
}

/// Why no family was started.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CreateFamilyError {
    /// There is no such user (any more).
    #[error("there is no such user")]
    UnknownUser,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

const INSERT_FAMILY: &str = "INSERT INTO refresh_families (id, user_id, created_at, expires_at, user_agent) \
     VALUES ($1, $2, $3, $4, $5)";
const INSERT_TOKEN: &str =
    "INSERT INTO refresh_tokens (token_hash, family_id, created_at, expires_at) VALUES ($1, $2, $3, $4)";
const STILL_HAS_PASSWORD: &str = "SELECT id FROM users WHERE id = $1 AND password_hash = $2";
const STILL_HAS_PASSWORD_PG: &str = "SELECT id FROM users WHERE id = $1 AND password_hash = $2 FOR SHARE";
const FAMILY_OF: &str = "SELECT family_id FROM refresh_tokens WHERE token_hash = $1";
// Locks the family's row: rotations and revocations of one family happen one after the other. (If this rotation is
// refused, the later end merely keeps the row longer.)
const EXTEND_FAMILY: &str =
    "UPDATE refresh_families SET expires_at = $2 WHERE id = $1 RETURNING user_id, revoked_at";
const TOKEN_STATE: &str = "SELECT spent_at, expires_at FROM refresh_tokens WHERE token_hash = $1";
const TOKEN_OF_FAMILY: &str = "SELECT family_id, spent_at FROM refresh_tokens WHERE token_hash = $1";
const SPEND: &str = "UPDATE refresh_tokens SET spent_at = $2 WHERE token_hash = $1";
const REVOKE: &str = "UPDATE refresh_families SET revoked_at = $2, revoke_reason = $3 \
     WHERE id = $1 AND revoked_at IS NULL";
const IS_LIVE: &str = "SELECT EXISTS (SELECT 1 FROM refresh_families WHERE id = $1 AND revoked_at IS NULL)";
// Each part reads its own index, and no further than the whole needs.
const REVOKED_SINCE: &str = "SELECT id, user_id, revoked_at FROM (SELECT id, user_id, revoked_at FROM refresh_families \
     WHERE revoked_at IS NOT NULL AND (revoked_at, id) > ($1, $2) ORDER BY revoked_at, id LIMIT $3) AS ended \
     UNION ALL SELECT id, user_id, revoked_at FROM (SELECT id, user_id, revoked_at FROM ended_families \
     WHERE (revoked_at, id) > ($1, $2) ORDER BY revoked_at, id LIMIT $3) AS gone \
     ORDER BY revoked_at, id LIMIT $3";

impl Store {
    /// Starts a family with its first token, of which only the hash is stored; returns the family's id.
    ///
    /// # Errors
    /// [`CreateFamilyError`].
    pub async fn create_family(
        &self,
        user_id: Uuid,
        token_hash: &[u8; 32],
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<Uuid, CreateFamilyError> {
        let new = NewFamily { user_id, password_hash: None, token_hash, user_agent: None, expires_at };
        self.begin_family(new, now).await
    }

    /// The same, of a sign-in by password: nothing is begun if the account has another password by now, so that no
    /// sign-in that was under way survives a change of it.
    ///
    /// # Errors
    /// [`CreateFamilyError`]; `UnknownUser` also if the password is another one.
    pub async fn begin_family(
        &self,
        new: NewFamily<'_>,
        now: DateTime<Utc>,
    ) -> Result<Uuid, CreateFamilyError> {
        text::optional("user_agent", new.user_agent)?;
        let id = Uuid::now_v7();
        let (now, expires_at) = (text::micros(now), text::micros(new.expires_at));
        let still = match self.backend() {
            // A change of the password waits until this family is there to be ended by it.
            Backend::Postgres => STILL_HAS_PASSWORD_PG,
            Backend::Sqlite => STILL_HAS_PASSWORD,
        };
        let created = in_tx!(self, |tx| {
            if let Some(hash) = new.password_hash {
                let found: Option<Uuid> =
                    sqlx::query_scalar(still).bind(new.user_id).bind(hash).fetch_optional(&mut *tx).await?;
                if found.is_none() {
                    return Ok(None);
                }
            }
            let family = sqlx::query(INSERT_FAMILY)
                .bind(id)
                .bind(new.user_id)
                .bind(now)
                .bind(expires_at)
                .bind(new.user_agent)
                .execute(&mut *tx)
                .await;
            if unless_orphan(family)?.is_none() {
                return Ok(None);
            }
            sqlx::query(INSERT_TOKEN)
                .bind(&new.token_hash[..])
                .bind(id)
                .bind(now)
                .bind(expires_at)
                .execute(&mut *tx)
                .await?;
            Ok(Some(id))
        })?;
        created.ok_or(CreateFamilyError::UnknownUser)
    }

    /// Spends the token `old` and puts `new` in its place. The same two again, as long as `new` is not spent, are the same
    /// rotation: whoever knows both is whoever asked first and had no answer. With another `new`, `old` is `Reused`, which
    /// ends the family. A `new` that is some other token already is `Unknown`, and nothing happens.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn rotate_refresh_token(
        &self,
        old: &[u8; 32],
        new: &[u8; 32],
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<Rotation, StoreError> {
        let (now, expires_at) = (text::micros(now), text::micros(expires_at));
        in_tx!(self, |tx| {
            let family: Option<Uuid> =
                sqlx::query_scalar(FAMILY_OF).bind(&old[..]).fetch_optional(&mut *tx).await?;
            let Some(family_id) = family else {
                return Ok(Rotation::Unknown);
            };
            let family: Option<(Uuid, Option<DateTime<Utc>>)> = sqlx::query_as(EXTEND_FAMILY)
                .bind(family_id)
                .bind(expires_at)
                .fetch_optional(&mut *tx)
                .await?;
            // Gone since: its user was deleted.
            let Some((user_id, revoked_at)) = family else {
                return Ok(Rotation::Unknown);
            };
            if revoked_at.is_some() {
                return Ok(Rotation::Revoked);
            }
            // Read under the family's lock: what another rotation did is visible now.
            let token: Option<(Option<DateTime<Utc>>, DateTime<Utc>)> =
                sqlx::query_as(TOKEN_STATE).bind(&old[..]).fetch_optional(&mut *tx).await?;
            // Swept since.
            let Some((spent_at, valid_until)) = token else {
                return Ok(Rotation::Unknown);
            };
            let successor: Option<(Uuid, Option<DateTime<Utc>>)> =
                sqlx::query_as(TOKEN_OF_FAMILY).bind(&new[..]).fetch_optional(&mut *tx).await?;
            let asked_before = old != new && successor == Some((family_id, None));
            if spent_at.is_some() && asked_before {
                let user = sqlx::query_as::<_, User>(BY_ID).bind(user_id).fetch_one(&mut *tx).await?;
                return Ok(Rotation::Rotated { user, family_id });
            }
            if spent_at.is_none() && successor.is_some() {
                return Ok(Rotation::Unknown);
            }
            if spent_at.is_some() {
                sqlx::query(REVOKE).bind(family_id).bind(now).bind(REUSED).execute(&mut *tx).await?;
                return Ok(Rotation::Reused { user_id, family_id });
            }
            if valid_until <= now {
                return Ok(Rotation::Expired);
            }
            sqlx::query(SPEND).bind(&old[..]).bind(now).execute(&mut *tx).await?;
            sqlx::query(INSERT_TOKEN)
                .bind(&new[..])
                .bind(family_id)
                .bind(now)
                .bind(expires_at)
                .execute(&mut *tx)
                .await?;
            let user = sqlx::query_as::<_, User>(BY_ID).bind(user_id).fetch_one(&mut *tx).await?;
            Ok(Rotation::Rotated { user, family_id })
        })
    }

    /// Ends a family; tells whether it was live.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn revoke_family(
        &self,
        family_id: Uuid,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        text::plain("revoke_reason", reason)?;
        let now = text::micros(now);
        on_conn!(self, |conn| sqlx::query(REVOKE)
            .bind(family_id)
            .bind(now)
            .bind(reason)
            .execute(conn)
            .await
            .map(|done| done.rows_affected() == 1))
    }

    /// Whether access tokens of this family are void: it is revoked, or it is gone with its user.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn is_family_revoked(&self, family_id: Uuid) -> Result<bool, StoreError> {
        let live: bool =
            on_conn!(self, |conn| sqlx::query_scalar(IS_LIVE).bind(family_id).fetch_one(conn).await)?;
        Ok(!live)
    }

    /// Families revoked after `since`, oldest first, at most `limit` (and 1,000) of them. For the next ones, pass the
    /// last one as `after`. The times are those of the processes that revoked: look back a little further than their
    /// clocks may differ.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn revoked_since(
        &self,
        since: DateTime<Utc>,
        after: Option<&RevokedFamily>,
        limit: u32,
    ) -> Result<Vec<RevokedFamily>, StoreError> {
        let (time, id) =
            after.map_or((text::micros(since), Uuid::nil()), |last| (last.revoked_at, last.family_id));
        on_conn!(self, |conn| sqlx::query_as::<_, RevokedFamily>(REVOKED_SINCE)
            .bind(time)
            .bind(id)
            .bind(i64::from(limit.min(MAX_REVOKED)))
            .fetch_all(conn)
            .await)
    }
}
