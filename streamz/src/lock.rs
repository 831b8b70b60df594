//! One process for one embedded database: a second one would "put right" what the first one's devices are doing.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use streamz_platform::Config;
use streamz_platform::config::DatabaseConfig;

use crate::exit::Failure;
use crate::store::make_folder;

/// Held by whoever serves from an embedded database. The system takes the lock back when the process ends, however it
/// ends; the empty file stays.
#[derive(Debug)]
#[must_use = "the database is free again when this is dropped"]
pub(crate) struct DatabaseLock {
    _file: File,
}

/// Takes the lock of an embedded database, before anything in it is changed. None over Postgres, which may be anywhere.
pub(crate) fn take(config: &Config) -> Result<Option<DatabaseLock>, Failure> {
    let DatabaseConfig::Sqlite { path } = &config.database else { return Ok(None) };
    make_folder(path.parent())?;
    let lock = lock_path(path);
    let failed = |error: &dyn std::fmt::Display| {
        Failure::unable(format!("DATA_DIR: {} cannot be locked: {error}", lock.display()))
    };
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock);
    let file = file.map_err(|error| failed(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(DatabaseLock { _file: file })),
        Err(TryLockError::WouldBlock) => Err(Failure::unable(in_use(config, path))),
        Err(TryLockError::Error(error)) => Err(failed(&error)),
    }
}

/// Whether a process serves from the embedded database. Makes no file.
pub(crate) fn is_taken(config: &Config) -> bool {
    let DatabaseConfig::Sqlite { path } = &config.database else { return false };
    // Shared, so that two who ask do not see each other.
    File::open(lock_path(path))
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Beside the database, wherever that is: it is the database that must have one process.
fn lock_path(database: &Path) -> PathBuf {
    // Another name for the same file is the same database.
    let mut path = database.canonicalize().unwrap_or_else(|_| database.to_owned()).into_os_string();
    path.push(".lock");
    path.into()
}

fn in_use(config: &Config, path: &Path) -> String {
    if path.starts_with(&config.data_dir) {
        format!(
            "DATA_DIR: another streamz serves from {}; end that one, or give this one a folder of its own.",
            config.data_dir.display()
        )
    } else {
        format!(
            "DATABASE_URL: another streamz serves from {}; end that one, or give this one a file of its own.",
            path.display()
        )
    }
}
