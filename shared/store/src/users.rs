//! Accounts.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::error::unless_taken;
use crate::{Store, StoreError, text};

/// An account as everybody may see it who may see it at all: the password hash is not in it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow, serde::Serialize, utoipa::ToSchema)]
pub struct User {
    /// The account's id.
    pub id: Uuid,
    /// The address to sign in with, in lower case.
    pub email: String,
    /// The given name.
    pub first_name: Option<String>,
    /// The family name.
    pub last_name: Option<String>,
    /// When it was made.
    #[serde(serialize_with = "crate::json::time")]
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    #[serde(serialize_with = "crate::json::time")]
    pub updated_at: DateTime<Utc>,
}

/// What a sign-in needs.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The account.
    pub user: User,
    /// Its password hash: argon2id in PHC form, or bcrypt of the first Streamz.
    pub password_hash: SecretString,
}

/// An account to be made.
#[derive(Clone, Copy)]
pub struct NewUser<'a> {
    /// The address, already in lower case.
    pub email: &'a str,
    /// The hash of the password.
    pub password_hash: &'a str,
    /// The given name.
    pub first_name: Option<&'a str>,
    /// The family name.
    pub last_name: Option<&'a str>,
}

/// Why an account was not made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CreateUserError {
    /// There is an account with this address.
    #[error("an account with this e-mail address exists")]
    EmailTaken,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(sqlx::FromRow)]
struct CredentialsRow {
    #[sqlx(flatten)]
    user: User,
    password_hash: String,
}

const INSERT: &str = "INSERT INTO users (id, email, password_hash, first_name, last_name, created_at, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $6) \
     RETURNING id, email, first_name, last_name, created_at, updated_at";
const BY_EMAIL: &str = "SELECT id, email, password_hash, first_name, last_name, created_at, updated_at \
     FROM users WHERE email = $1";
const CREDENTIALS_BY_ID: &str = "SELECT id, email, password_hash, first_name, last_name, created_at, updated_at \
     FROM users WHERE id = $1";
pub(crate) const BY_ID: &str =
    "SELECT id, email, first_name, last_name, created_at, updated_at FROM users WHERE id = $1";
const REPLACE_HASH: &str =
    "UPDATE users SET password_hash = $3, updated_at = $4 WHERE id = $1 AND password_hash = $2";

/// The most ids in one statement.
const MAX_ID_BATCH: usize = 500;

/// The statement for this many ids; there is nothing in it but placeholders.
fn exists_sql(ids: usize) -> String {
    let places: Vec<String> = (1..=ids).map(|place| format!("${place}")).collect();
    format!("SELECT id FROM users WHERE id IN ({})", places.join(", "))
}

impl Store {
    /// Makes an account.
    ///
    /// # Errors
    /// [`CreateUserError::EmailTaken`], or the store's.
    pub async fn create_user(&self, new: NewUser<'_>, now: DateTime<Utc>) -> Result<User, CreateUserError> {
        text::key("email", new.email)?;
        text::plain("password_hash", new.password_hash)?;
        text::optional("first_name", new.first_name)?;
        text::optional("last_name", new.last_name)?;
        let id = Uuid::now_v7();
        let now = text::micros(now);
        on_conn!(self, |conn| unless_taken(
            sqlx::query_as::<_, User>(INSERT)
                .bind(id)
                .bind(new.email)
                .bind(new.password_hash)
                .bind(new.first_name)
                .bind(new.last_name)
                .bind(now)
                .fetch_one(conn)
                .await
        ))?
        .ok_or(CreateUserError::EmailTaken)
    }

    /// The account with this address (in lower case) and its password hash.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn user_by_email(&self, email: &str) -> Result<Option<Credentials>, StoreError> {
        if !text::findable(email) {
            return Ok(None);
        }
        let row = on_conn!(self, |conn| sqlx::query_as::<_, CredentialsRow>(BY_EMAIL)
            .bind(email)
            .fetch_optional(conn)
            .await)?;
        Ok(row.map(|row| Credentials { user: row.user, password_hash: row.password_hash.into() }))
    }

    /// The account with this id and its password hash.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn credentials(&self, id: Uuid) -> Result<Option<Credentials>, StoreError> {
        let row = on_conn!(self, |conn| sqlx::query_as::<_, CredentialsRow>(CREDENTIALS_BY_ID)
            .bind(id)
            .fetch_optional(conn)
            .await)?;
        Ok(row.map(|row| Credentials { user: row.user, password_hash: row.password_hash.into() }))
    }

    /// The account with this id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn user(&self, id: Uuid) -> Result<Option<User>, StoreError> {
        on_conn!(self, |conn| sqlx::query_as::<_, User>(BY_ID).bind(id).fetch_optional(conn).await)
    }

    /// Replaces the password hash if it still is `old`; tells whether it did. A sign-in that renews a bcrypt hash must
    /// not undo a password change that happened meanwhile.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn replace_password_hash(
        &self,
        id: Uuid,
        old: &str,
        new: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        text::plain("password_hash", new)?;
        if text::plain("password_hash", old).is_err() {
            return Ok(false);
        }
        let now = text::micros(now);
        on_conn!(self, |conn| sqlx::query(REPLACE_HASH)
            .bind(id)
            .bind(old)
            .bind(new)
            .bind(now)
            .execute(conn)
            .await
            .map(|done| done.rows_affected() == 1))
    }

    /// Which of these accounts are not there, in one statement for every `MAX_ID_BATCH` of them.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn missing_users(&self, ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
        let mut missing = Vec::new();
        for batch in ids.chunks(MAX_ID_BATCH) {
            let sql = exists_sql(batch.len());
            let there: Vec<Uuid> = on_conn!(self, |conn| {
                // Not kept prepared: every length is another text.
                let mut query = sqlx::query_scalar(AssertSqlSafe(sql.as_str())).persistent(false);
                for id in batch {
                    query = query.bind(id);
                }
                query.fetch_all(conn).await
            })?;
            let there: HashSet<Uuid> = there.into_iter().collect();
            missing.extend(batch.iter().filter(|id| !there.contains(id)));
        }
        Ok(missing)
    }
}
