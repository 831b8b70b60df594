//! `streamz migrate`.

use streamz_platform::ConfigArgs;
use streamz_platform::config::DatabaseConfig;

use crate::exit::Failure;
use crate::store;

pub(crate) async fn run(args: ConfigArgs) -> Result<(), Failure> {
    let database = DatabaseConfig::load(args)?;
    let store = store::open(&database, 1).await?;
    let outcome = store.migrate().await;
    store.close().await;
    outcome.map_err(|error| Failure::unable(format!("DATABASE_URL: {error}")))?;
    println!("The database is up to date.");
    Ok(())
}
