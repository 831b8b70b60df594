//! What can go wrong with any operation.

use std::time::Duration;

use crate::TextProblem;

/// What can go wrong with any operation; outcomes that belong to one operation are in its own type.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is starting, stopping, overloaded or read-only. It passes without a restart of
    /// this process. A write that ended so may or may not have happened.
    #[error("the store is unavailable: {0}")]
    Unavailable(Cause),
    /// The database refused a statement that should have worked: a defect, or a schema that does not fit.
    #[error("the store failed: {0}")]
    Internal(Cause),
    /// A text that cannot be stored; the same on both databases.
    #[error("{field} {problem}")]
    InvalidText {
        /// The column.
        field: &'static str,
        /// What is wrong with the text.
        problem: TextProblem,
    },
}

/// The database's own words, for the log. Never contains the values of a statement or a connection string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    text: String,
    /// The server's certificate does not fit what is configured.
    certificate: bool,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Cause {
    pub(crate) fn text(text: String) -> Self {
        Self { text, certificate: false }
    }

    pub(crate) fn of(error: &sqlx::Error) -> Self {
        // A Postgres error also has a DETAIL with the values of the row; only its message is kept.
        let text = match error.as_database_error() {
            Some(error) => match error.code() {
                Some(code) => format!("{} (code {code})", error.message()),
                None => error.message().to_owned(),
            },
            None => error.to_string(),
        };
        Self { text, certificate: is_certificate(error) }
    }
}

impl StoreError {
    /// Whether the same call may succeed later without anybody's doing.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// Whether it is unavailable because its certificate does not fit the configured authority or host: at a start,
    /// waiting for that to pass would hide a mistake.
    #[must_use]
    pub fn is_certificate(&self) -> bool {
        matches!(self, Self::Unavailable(cause) if cause.certificate)
    }

    pub(crate) fn timed_out(limit: Duration) -> Self {
        Self::Unavailable(Cause::text(format!("no answer within {limit:?}")))
    }

    pub(crate) fn of(error: &sqlx::Error) -> Self {
        let cause = Cause::of(error);
        if is_unavailable(error) { Self::Unavailable(cause) } else { Self::Internal(cause) }
    }
}

/// Whether rustls said so, wherever in the chain of causes.
fn is_certificate(error: &sqlx::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        // The source of an I/O error is that of the error inside, not the error inside.
        let inside = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = inside.and_then(|inside| inside.downcast_ref()).or_else(|| error.downcast_ref());
        if matches!(tls, Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether the failure lies in the server or the way to it, not in the statement.
fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            match error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
                Some(_) => is_postgres_unavailable(&code),
                None => is_sqlite_unavailable(&code),
            }
        }
        _ => false,
    }
}

/// SQLSTATE, PostgreSQL manual, appendix A.
fn is_postgres_unavailable(code: &str) -> bool {
    let class = code.get(..2).unwrap_or_default();
    // 08 connection, 53 resources (connections, memory, disk), 57 operator intervention (shutdown, statement timeout),
    // 58 system error, 40 rolled back (deadlock, serialisation).
    matches!(class, "08" | "53" | "57" | "58" | "40")
        // read-only transaction; idle in a transaction for too long; lock not available
        || matches!(code, "25006" | "25P03" | "55P03")
}

/// Result codes, <https://www.sqlite.org/rescode.html>; the primary code is the low byte.
fn is_sqlite_unavailable(code: &str) -> bool {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const READONLY: u32 = 8;
    const IOERR: u32 = 10;
    const FULL: u32 = 13;
    const CANTOPEN: u32 = 14;
    code.parse::<u32>()
        .is_ok_and(|code| matches!(code & 0xff, BUSY | LOCKED | READONLY | IOERR | FULL | CANTOPEN))
}

/// Whether the connection must not be pooled again: it leads to a server that is going away or takes no writes.
/// (sqlx itself drops connections whose socket failed, but keeps one to a server that became read-only.)
pub(crate) fn poisons_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => {
            error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some_and(|error| {
                error.code() == "25006" || error.code().starts_with("57P") || error.code().starts_with("08")
            })
        }
        _ => false,
    }
}

/// A unique violation as an outcome: `None`.
pub(crate) fn unless_taken<T>(result: Result<T, sqlx::Error>) -> Result<Option<T>, sqlx::Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(None),
        Err(error) => Err(error),
    }
}

/// A foreign key that leads nowhere as an outcome: `None`.
pub(crate) fn unless_orphan<T>(result: Result<T, sqlx::Error>) -> Result<Option<T>, sqlx::Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => Ok(None),
        Err(error) => Err(error),
    }
}
