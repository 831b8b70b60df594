//! Opens the store as it is configured.

use std::path::Path;

use secrecy::ExposeSecret;
use streamz_platform::config::DatabaseConfig;
use streamz_store::{OLDEST_POSTGRES, SchemaState, Store, StoreError, StoreOptions};

use crate::exit::Failure;

/// Opens the store; makes the folder of a SQLite file.
pub(crate) async fn open(database: &DatabaseConfig, connections: u32) -> Result<Store, Failure> {
    let options = StoreOptions { max_connections: connections, ..StoreOptions::default() };
    let opened = match database {
        DatabaseConfig::Sqlite { path } => {
            make_folder(path.parent())?;
            Store::connect(&format!("sqlite:{}", path.display()), &options).await
        }
        DatabaseConfig::Postgres { url } => Store::connect(url.expose_secret(), &options).await,
    };
    opened.map_err(|error| Failure::unable(format!("DATABASE_URL: {error}")))
}

/// Makes the folder of a SQLite file.
pub(crate) fn make_folder(folder: Option<&Path>) -> Result<(), Failure> {
    let Some(folder) = folder.filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    std::fs::create_dir_all(folder).map_err(|error| {
        Failure::unable(format!("DATA_DIR: the folder {} cannot be made: {error}", folder.display()))
    })
}

/// Why a store cannot be used.
pub(crate) enum Unprepared {
    /// The server does not answer: it may do so later.
    Away(StoreError),
    /// Waiting would not help.
    Failed(Failure),
}

impl From<Unprepared> for Failure {
    fn from(unprepared: Unprepared) -> Self {
        match unprepared {
            Unprepared::Away(error) => {
                Failure::unable(format!("DATABASE_URL: the database does not answer: {error}"))
            }
            Unprepared::Failed(failure) => failure,
        }
    }
}

impl Unprepared {
    fn failed(problem: String) -> Self {
        Self::Failed(Failure::unable(problem))
    }
}

/// Brings a SQLite file up to date; demands of a Postgres server that it is.
pub(crate) async fn prepare(store: &Store, database: &DatabaseConfig) -> Result<(), Unprepared> {
    if matches!(database, DatabaseConfig::Sqlite { .. }) {
        return store.migrate().await.map_err(|error| Unprepared::failed(format!("DATABASE_URL: {error}")));
    }
    match store.check_schema().await {
        Err(error) if error.is_unavailable() && !error.is_certificate() => Err(Unprepared::Away(error)),
        Ok(state) => {
            if let SchemaState::Newer(version) = state {
                tracing::info!(
                    version,
                    "a newer program has migrated the database; this one goes on with what it knows"
                );
            }
            describe(&state).map_or(Ok(()), |problem| Err(Unprepared::failed(problem)))
        }
        Err(error) => Err(Unprepared::failed(format!("DATABASE_URL: the database does not answer: {error}"))),
    }
}

/// What is wrong with a schema, in a sentence.
pub(crate) fn describe(state: &SchemaState) -> Option<String> {
    match state {
        // What a newer program has added is none of this one's business.
        SchemaState::UpToDate | SchemaState::Newer(_) => None,
        SchemaState::Missing(missing) => Some(format!(
            "DATABASE_URL: {} migrations were not run on this database; run `streamz migrate` first.",
            missing.len()
        )),
        SchemaState::OldServer(version) => Some(format!(
            "DATABASE_URL: this is Postgres {version}; version {OLDEST_POSTGRES} or a newer one is needed."
        )),
        SchemaState::Altered(version) => Some(format!(
            "DATABASE_URL: migration {version} was run from another text or broke off; restore the database, or \
             mend it by hand."
        )),
    }
}
