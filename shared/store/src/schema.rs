//! The schema: one set of migrations, embedded.

use std::sync::LazyLock;

use sqlx::PgPool;
use sqlx::migrate::Migrator;

use crate::db::Db;
use crate::error::Cause;
use crate::{Backend, Store, StoreError};

/// Those of a newer program are none of this one's business.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = sqlx::migrate!("../../migrations");
    migrations.set_ignore_missing(true);
    migrations
});

/// How the database's schema compares with what this program was built for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// They are the same.
    UpToDate,
    /// These migrations are yet to be run.
    Missing(Vec<i64>),
    /// They are the same but for migrations of a newer program, the newest of which has this number. Migrations only add,
    /// so this program can go on: it is what a rolling upgrade looks like from the older side.
    Newer(i64),
    /// This migration was run from another text, or broke off half way.
    Altered(i64),
    /// The server itself is of this version of Postgres, older than [`OLDEST_POSTGRES`].
    OldServer(u32),
}

/// The oldest version of Postgres that will do.
pub const OLDEST_POSTGRES: u32 = 13;

/// More migrations than there will ever be.
const MAX_APPLIED: i64 = 10_000;

/// Why the migrations could not be run.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MigrateError {
    /// The schema is [`SchemaState::Altered`]: nothing was changed.
    #[error("the database does not fit this program: its migration {0} has another text here, or broke off")]
    Unfit(i64),
    /// The schema is [`SchemaState::OldServer`]: nothing was changed.
    #[error("this is Postgres {0}; version {OLDEST_POSTGRES} or a newer one is needed")]
    OldServer(u32),
    /// The database is away, or refused a migration.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Brings the schema up to date. Two processes may do it at once on Postgres: one waits for the other.
    ///
    /// # Errors
    /// [`MigrateError`]; migrations that ran before the failing one stay.
    pub async fn migrate(&self) -> Result<(), MigrateError> {
        match self.check_schema().await? {
            // Whoever may read what was done, but change no table, finds nothing to do.
            SchemaState::UpToDate => return Ok(()),
            SchemaState::OldServer(version) => return Err(MigrateError::OldServer(version)),
            _ => {}
        }
        let outcome = match &self.db {
            Db::Pg(pool) => run_unhurried(pool).await,
            Db::Lite(pool) => MIGRATIONS.run(pool).await,
        };
        outcome.map_err(|error| {
            use sqlx::migrate::MigrateError as E;
            match error {
                E::VersionMissing(version)
                | E::VersionMismatch(version)
                | E::VersionNotPresent(version)
                | E::VersionTooOld(version, _)
                | E::VersionTooNew(version, _)
                | E::Dirty(version) => MigrateError::Unfit(version),
                E::Execute(error) | E::ExecuteMigration(error, _) => StoreError::of(&error).into(),
                other => StoreError::Internal(Cause::text(other.to_string())).into(),
            }
        })
    }

    /// Compares the schema with what this program needs; changes nothing.
    ///
    /// # Errors
    /// [`StoreError`]: the database did not answer.
    pub async fn check_schema(&self) -> Result<SchemaState, StoreError> {
        if let Some(version) = self.old_server().await? {
            return Ok(SchemaState::OldServer(version));
        }
        let applied: Vec<(i64, Vec<u8>, bool)> = on_conn!(self, |conn| {
            let rows = sqlx::query_as(
                "SELECT version, checksum, success FROM _sqlx_migrations ORDER BY version DESC LIMIT $1",
            )
            // Read to the end: those that this program knows may be the oldest of many.
            .bind(MAX_APPLIED)
            .fetch_all(conn)
            .await;
            match rows {
                Err(error) if is_no_such_table(&error) => Ok(Vec::new()),
                rows => rows,
            }
        })?;
        Ok(compare(&applied))
    }

    /// The version of a Postgres that is too old.
    async fn old_server(&self) -> Result<Option<u32>, StoreError> {
        if self.backend() == Backend::Sqlite {
            return Ok(None);
        }
        let number: i32 = on_conn!(self, |conn| {
            sqlx::query_scalar("SELECT current_setting('server_version_num')::int").fetch_one(conn).await
        })?;
        Ok(too_old(number))
    }
}

/// Of `server_version_num`: the major version is in front of the last four digits.
fn too_old(number: i32) -> Option<u32> {
    let major = u32::try_from(number / 10_000).unwrap_or(0);
    (major < OLDEST_POSTGRES).then_some(major)
}

/// A migration may take longer than an operation, and so may the wait for another process that migrates.
async fn run_unhurried(pool: &PgPool) -> Result<(), sqlx::migrate::MigrateError> {
    let mut connection = pool.acquire().await?;
    connection.close_on_drop();
    sqlx::query("SET statement_timeout = 0").execute(&mut *connection).await?;
    MIGRATIONS.run(&mut *connection).await
}

fn compare(applied: &[(i64, Vec<u8>, bool)]) -> SchemaState {
    let mut newest = None;
    for (version, checksum, success) in applied {
        match MIGRATIONS.iter().find(|migration| migration.version == *version) {
            // One that broke off has left nobody knows what.
            _ if !success => return SchemaState::Altered(*version),
            None => newest = newest.max(Some(*version)),
            Some(known) if known.checksum != *checksum => return SchemaState::Altered(*version),
            Some(_) => {}
        }
    }
    let missing: Vec<i64> = MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .filter(|version| applied.iter().all(|(done, ..)| done != version))
        .collect();
    match newest {
        _ if !missing.is_empty() => SchemaState::Missing(missing),
        Some(newest) => SchemaState::Newer(newest),
        None => SchemaState::UpToDate,
    }
}

/// Nothing was ever migrated. (SQLite has no code of its own for it.)
fn is_no_such_table(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        error.code().is_some_and(|code| code == "42P01") || error.message().starts_with("no such table")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_servers_are_known_by_their_number() {
        assert_eq!(too_old(120_022), Some(12));
        assert_eq!(too_old(90_624), Some(9));
        assert_eq!(too_old(130_000), None);
        assert_eq!(too_old(180_001), None);
    }
}
