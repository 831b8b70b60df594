//! The handle: opening, closing, asking whether anybody is there.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::StoreError;
use crate::db::Db;

/// SQLite has one writer at a time and costs a thread per connection: a few readers beside it are enough.
const SQLITE_MAX_CONNECTIONS: u32 = 4;

/// How long a SQLite connection waits for the writer before it.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A handle on the database; clones share one pool.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) db: Db,
    pub(crate) operation_timeout: Duration,
}

/// Sizes and patience.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Most connections to Postgres (SQLite: at most 4 of them are used). 25.
    pub max_connections: u32,
    /// How long an operation waits for a connection before it is `Unavailable`. 3 s.
    pub acquire_timeout: Duration,
    /// How long an operation may take once it has one. 10 s.
    pub operation_timeout: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            max_connections: 25,
            acquire_timeout: Duration::from_secs(3),
            operation_timeout: Duration::from_secs(10),
        }
    }
}

/// Why no store could be opened. The messages never contain the URL, which may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither `postgres://…` (`postgresql://…`) nor `sqlite:PATH`.
    #[error("the database URL must start with postgres:// or sqlite:")]
    UnknownScheme,
    /// A Postgres URL that cannot be understood, an unknown `sslmode` for instance.
    #[error("the database URL is not valid: {reason}")]
    InvalidUrl {
        /// What is wrong with it.
        reason: String,
    },
    /// The SQLite file cannot be made or opened.
    #[error("cannot open the database file {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system or SQLite said.
        reason: String,
    },
}

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Shared by a fleet; migrated by `streamz migrate`.
    Postgres,
    /// A file of this process; migrated at start.
    Sqlite,
}

/// How busy the pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStats {
    /// Open connections.
    pub open: u32,
    /// Those that nobody uses right now.
    pub idle: u32,
}

impl Store {
    /// Opens `postgres://user:password@host:port/database?sslmode=…` or `sqlite:PATH` (everything after the colon is the
    /// path, taken as it is; the file is made, readable by its owner only, if it is missing).
    ///
    /// Postgres is not contacted: a process may start while it is away. [`ping`](Self::ping) and
    /// [`check_schema`](Self::check_schema) tell.
    ///
    /// # Errors
    /// [`ConnectError`]: the URL is not understood, or the file cannot be opened.
    pub async fn connect(url: &str, options: &StoreOptions) -> Result<Self, ConnectError> {
        let db = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Db::Pg(postgres_pool(url, options)?)
        } else if let Some(path) = url.strip_prefix("sqlite:") {
            Db::Lite(sqlite_pool(Path::new(path), options).await?)
        } else {
            return Err(ConnectError::UnknownScheme);
        };
        Ok(Self { db, operation_timeout: options.operation_timeout })
    }

    /// Which database it is.
    #[must_use]
    pub fn backend(&self) -> Backend {
        match self.db {
            Db::Pg(_) => Backend::Postgres,
            Db::Lite(_) => Backend::Sqlite,
        }
    }

    /// Asks the database for a sign of life: for readiness.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if there is none.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on_conn!(self, |conn| sqlx::query("SELECT 1").execute(conn).await.map(drop))
    }

    /// How busy the pool is: for metrics.
    #[must_use]
    pub fn pool_stats(&self) -> PoolStats {
        let (open, idle) = match &self.db {
            Db::Pg(pool) => (pool.size(), pool.num_idle()),
            Db::Lite(pool) => (pool.size(), pool.num_idle()),
        };
        PoolStats { open, idle: u32::try_from(idle).unwrap_or(u32::MAX) }
    }

    /// Waits for the operations under way and closes every connection; later operations are `Unavailable`.
    pub async fn close(&self) {
        match &self.db {
            Db::Pg(pool) => pool.close().await,
            Db::Lite(pool) => pool.close().await,
        }
    }
}

fn postgres_pool(url: &str, options: &StoreOptions) -> Result<sqlx::PgPool, ConnectError> {
    let connect = PgConnectOptions::from_str(url)
        .map_err(|error| ConnectError::InvalidUrl { reason: error.to_string() })?
        .application_name("streamz");
    // The server gives up when the client does, and lets go of the locks of a client that vanished in mid-transaction.
    let millis = options.operation_timeout.as_millis().clamp(1, i32::MAX as u128);
    let session: Arc<str> =
        format!("SET statement_timeout = {millis}; SET idle_in_transaction_session_timeout = {millis}")
            .into();
    Ok(PgPoolOptions::new()
        .max_connections(options.max_connections)
        .acquire_timeout(options.acquire_timeout)
        .after_connect(move |connection, _| {
            let session = session.clone();
            Box::pin(async move {
                // Numbers of our own and nothing else.
                sqlx::raw_sql(AssertSqlSafe(&*session)).execute(connection).await.map(drop)
            })
        })
        .connect_lazy_with(connect))
}

async fn sqlite_pool(path: &Path, options: &StoreOptions) -> Result<sqlx::SqlitePool, ConnectError> {
    let failed = |reason: String| ConnectError::File { path: path.to_owned(), reason };
    create_private(path).map_err(|error| failed(error.to_string()))?;
    let connect = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(SQLITE_BUSY_TIMEOUT)
        .foreign_keys(true);
    SqlitePoolOptions::new()
        .max_connections(options.max_connections.clamp(1, SQLITE_MAX_CONNECTIONS))
        .acquire_timeout(options.acquire_timeout)
        .connect_with(connect)
        .await
        .map_err(|error| failed(StoreError::of(&error).to_string()))
}

/// Makes the file if it is missing. It holds password hashes: nobody but its owner may read it (SQLite gives the
/// same mode to the files that it puts beside it).
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut open = std::fs::OpenOptions::new();
    open.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
    open.open(path).map(drop)
}
