//! One body, two databases: `sqlx::Any` cannot carry UUIDs and times, so these macros expand a body once for each
//! kind of connection. SQL texts are constants and stand once.

use std::future::Future;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgPool, SqlitePool};

use crate::StoreError;
use crate::error::poisons_connection;

/// The pool, of one kind or the other.
#[derive(Clone, Debug)]
pub(crate) enum Db {
    /// Postgres: the fleet.
    Pg(PgPool),
    /// SQLite: one process.
    Lite(SqlitePool),
}

/// How a Postgres transaction begins: READ COMMITTED, each statement sees what others committed before it.
pub(crate) const BEGIN_PG: &str = "BEGIN";
/// How a SQLite transaction begins: as the writer. One that began as a reader could not become it under WAL.
pub(crate) const BEGIN_LITE: &str = "BEGIN IMMEDIATE";

/// Runs `body` on one connection. In it, `conn` is `&mut PgConnection` or `&mut SqliteConnection`, and `?` takes
/// `sqlx::Error`. Evaluates to `Result<T, StoreError>`.
macro_rules! on_conn {
    ($store:expr, |$conn:ident| $body:expr) => {
        match &$store.db {
            $crate::db::Db::Pg(pool) => on_conn!(@run $store, pool, |$conn| $body),
            $crate::db::Db::Lite(pool) => on_conn!(@run $store, pool, |$conn| $body),
        }
    };
    (@run $store:expr, $pool:expr, |$conn:ident| $body:expr) => {
        match $pool.acquire().await {
            Err(error) => Err($crate::StoreError::of(&error)),
            Ok(mut lease) => {
                let outcome = {
                    let $conn = &mut *lease;
                    $crate::db::bounded($store.operation_timeout, async { $body }).await
                };
                $crate::db::settle(&mut lease, outcome)
            }
        }
    };
}

/// Runs `body` in one transaction, which commits if the body is `Ok` and rolls back otherwise, also when the caller
/// stops waiting. In it, `tx` is a transaction (`&mut *tx` executes) and `?` takes `sqlx::Error`. Evaluates to
/// `Result<T, StoreError>`.
macro_rules! in_tx {
    ($store:expr, |$tx:ident| $body:expr) => {
        match &$store.db {
            $crate::db::Db::Pg(pool) => in_tx!(@run $store, pool, $crate::db::BEGIN_PG, |$tx| $body),
            $crate::db::Db::Lite(pool) => in_tx!(@run $store, pool, $crate::db::BEGIN_LITE, |$tx| $body),
        }
    };
    (@run $store:expr, $pool:expr, $begin:expr, |$tx:ident| $body:expr) => {
        on_conn!(@run $store, $pool, |conn| {
            let mut $tx = sqlx::Connection::begin_with(conn, $begin).await?;
            let outcome: Result<_, sqlx::Error> = async { $body }.await;
            match outcome {
                Ok(value) => $tx.commit().await.map(|()| value),
                // Dropped, the transaction rolls back before the connection is used again.
                Err(error) => Err(error),
            }
        })
    };
}

/// Ends an operation that takes too long: a peer behind a dead network never answers.
pub(crate) async fn bounded<T>(
    limit: Duration,
    operation: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<Result<T, sqlx::Error>, Duration> {
    tokio::time::timeout(limit, operation).await.map_err(|_elapsed| limit)
}

/// Turns the outcome into the caller's, and keeps a connection that is no good from being pooled again.
pub(crate) fn settle<D: sqlx::Database, T>(
    lease: &mut PoolConnection<D>,
    outcome: Result<Result<T, sqlx::Error>, Duration>,
) -> Result<T, StoreError> {
    match outcome {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            let failure = StoreError::of(&error);
            if poisons_connection(&error) {
                tracing::warn!(error = %failure, "closing a database connection that is no good");
                lease.close_on_drop();
            }
            Err(failure)
        }
        Err(limit) => {
            tracing::warn!(?limit, "closing a database connection that does not answer");
            lease.close_on_drop();
            Err(StoreError::timed_out(limit))
        }
    }
}
