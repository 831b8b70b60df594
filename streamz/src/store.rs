//! Opens the store as it is configured.

use std::path::Path;

use secrecy::ExposeSecret;
use streamz_platform::config::DatabaseConfig;
use streamz_store::{OLDEST_POSTGRES, SchemaState, Store, StoreOptions};

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

/// Brings a SQLite file up to date; demands of a Postgres server that it is.
pub(crate) async fn prepare(store: &Store, database: &DatabaseConfig) -> Result<(), Failure> {
    if matches!(database, DatabaseConfig::Sqlite { .. }) {
        return store.migrate().await.map_err(|error| Failure::unable(format!("DATABASE_URL: {error}")));
    }
    match store.check_schema().await {
        Ok(state) => describe(&state).map_or(Ok(()), |problem| Err(Failure::unable(problem))),
        Err(error) => Err(Failure::unable(format!("DATABASE_URL: the database does not answer: {error}"))),
    }
}

/// What is wrong with a schema, in a sentence.
pub(crate) fn describe(state: &SchemaState) -> Option<String> {
    match state {
        SchemaState::UpToDate => None,
        SchemaState::Missing(missing) => Some(format!(
            "DATABASE_URL: {} migrations were not run on this database; run `streamz migrate` first.",
            missing.len()
        )),
        SchemaState::Newer(version) => Some(format!(
            "DATABASE_URL: the database was migrated by a newer program (migration {version}); run that one."
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
