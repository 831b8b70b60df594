//! Where the services are: database, bus, collector.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use url::Url;

/// The database. Its `Debug` does not show the URL, which may hold a password.
#[derive(Clone, Debug)]
pub enum DatabaseConfig {
    /// The file of an embedded database.
    Sqlite {
        /// It is made on the first start.
        path: PathBuf,
    },
    /// A server.
    Postgres {
        /// A `postgres://` URL, with an `sslmode` that sqlx knows if it has one.
        url: SecretString,
    },
}

/// How processes talk to each other.
#[derive(Clone, Debug)]
pub enum BusConfig {
    /// There is one process.
    InProcess,
    /// Over these Redis instances, at least one, no two the same.
    Redis {
        /// `redis://` or `rediss://` URLs.
        urls: Vec<SecretString>,
    },
}

impl BusConfig {
    /// Whether there may be other processes.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Redis { .. })
    }
}

/// What sqlx understands, as libpq does.
const SSL_MODES: &[&str] = &["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

pub(super) fn sqlite_default(data_dir: &Path) -> DatabaseConfig {
    DatabaseConfig::Sqlite { path: data_dir.join("streamz.db") }
}

pub(super) fn parse_database(text: &str) -> Result<DatabaseConfig, String> {
    if let Some(path) = text.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.contains(['?', '#']) || path.contains(":memory:") {
            return Err("write the path of a file after sqlite:, such as sqlite:data/streamz.db".to_owned());
        }
        return Ok(DatabaseConfig::Sqlite { path: PathBuf::from(path) });
    }
    let wanted = "write postgres://user:password@host:5432/database (special characters %-encoded)";
    let url = Url::parse(text).map_err(|error| format!("{error}; {wanted}"))?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(wanted.to_owned());
    }
    if url.path().trim_matches('/').is_empty() {
        return Err(format!("it names no database; {wanted}"));
    }
    let modes = url.query_pairs().filter(|(key, _)| matches!(&**key, "sslmode" | "ssl-mode"));
    for (_, mode) in modes {
        if !SSL_MODES.contains(&&*mode) {
            return Err(format!("its sslmode is none of {}", SSL_MODES.join(", ")));
        }
    }
    Ok(DatabaseConfig::Postgres { url: text.into() })
}

pub(super) fn parse_redis(text: &str) -> Result<SecretString, String> {
    let wanted = "write redis://host:6379 or rediss://user:password@host:6379";
    let url = Url::parse(text).map_err(|error| format!("{error}; {wanted}"))?;
    if !matches!(url.scheme(), "redis" | "rediss") || !url.has_host() {
        return Err(wanted.to_owned());
    }
    Ok(text.into())
}

pub(super) fn parse_collector(text: &str) -> Result<Url, &'static str> {
    let wanted = "write an http:// address, such as http://collector:4317; to one that speaks TLS a collector nearby can send on";
    match Url::parse(text) {
        Ok(url) if url.scheme() == "http" && url.has_host() => Ok(url),
        _ => Err(wanted),
    }
}
