//! `streamz check`: is the configuration right, and is what it names there?

use std::io::ErrorKind;
use std::net::SocketAddr;

use chrono::Utc;
use streamz_bus::redis;
use streamz_platform::config::{BusConfig, DatabaseConfig, Role, SigningSource};
use streamz_platform::{Config, ConfigArgs};

use crate::exit::Failure;
use crate::relay_check::{self, Trouble};
use crate::{fleet, lock, store, tls};

pub(crate) async fn run(role: Role, args: ConfigArgs) -> Result<(), Failure> {
    let config = Config::load(role, args)?;
    println!("The configuration is valid.");
    for warning in &config.warnings {
        println!("  note       {warning}");
    }
    let mut problems = 0;
    let mut say = |what: &str, outcome: Result<String, String>| match outcome {
        Ok(text) => println!("  ok         {what}: {text}"),
        Err(text) => {
            problems += 1;
            println!("  problem    {what}: {text}");
        }
    };
    say("address", address(&config).await);
    if let Some(tls) = &config.tls {
        match tls::inspect(tls, Utc::now()) {
            Ok(tls::Inspection { text, ends_soon: true }) => {
                println!("  note       certificate: {text}: less than 14; is it renewed?");
            }
            outcome => say("certificate", outcome.map(|found| found.text)),
        }
    }
    say("database", database(&config).await);
    // A node has no use for one.
    if role != Role::Node {
        say("signing key", signing(&config));
    }
    match (role, &config.bus) {
        (_, BusConfig::InProcess) => {}
        (Role::Embedded, BusConfig::Redis { .. }) => say("bus", Err(crate::embedded::NO_REDIS.to_owned())),
        (Role::Gateway | Role::Node, BusConfig::Redis { .. }) => {
            let (settings, _) = fleet::bus(&config)?;
            for answer in redis::check(&settings).await {
                let outcome = match answer {
                    Ok(server) => Ok(format!(
                        "Redis {} answers",
                        server.version.as_deref().unwrap_or("of some version")
                    )),
                    Err(error) => Err(format!("REDIS_URL: {error}")),
                };
                say("bus", outcome);
            }
        }
    }
    // A node tells nobody of them.
    if role != Role::Node {
        if let Some(turn) = &config.turn {
            match embedded_turn(&config, turn.listen).await {
                Ok(text) => say("TURN", Ok(text)),
                // The process starts without it.
                Err(why) => println!("  note       TURN: {why}"),
            }
        }
        for (url, outcome) in relay_check::check(&config.ice).await {
            match outcome {
                Ok(text) => say("TURN", Ok(format!("{url} {text}"))),
                Err(Trouble::Useless(why)) => say("TURN", Err(format!("TURN_URLS: {url} {why}"))),
                Err(Trouble::Unreached(why)) => {
                    println!("  note       TURN: {url} {why}; from here, that is: can devices reach it?");
                }
            }
        }
    }
    match problems {
        0 => Ok(()),
        1 => Err(Failure::unable("one problem was found.")),
        count => Err(Failure::unable(format!("{count} problems were found."))),
    }
}

async fn address(config: &Config) -> Result<String, String> {
    match tokio::net::TcpListener::bind(config.listen).await {
        Ok(_) => Ok(format!("{} is free", config.listen)),
        // Asked beside a running server, everything is as it should be.
        Err(error) if error.kind() == ErrorKind::AddrInUse && lock::is_taken(config) => {
            Ok(format!("{} is in use, and a streamz serves from the database", config.listen))
        }
        Err(error) => Err(format!("HOST, PORT: {} cannot be listened on: {error}", config.listen)),
    }
}

/// The server in the process that is to be started; its secret is made at each start, if there is none.
async fn embedded_turn(config: &Config, listen: SocketAddr) -> Result<String, String> {
    match tokio::net::UdpSocket::bind(listen).await {
        Ok(_) => Ok(format!("UDP {listen} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse && lock::is_taken(config) => {
            Ok(format!("UDP {listen} is in use, and a streamz serves from the database"))
        }
        Err(error) => Err(format!(
            "UDP {listen} cannot be listened on ({error}): devices that find no direct way to each other could not \
             stream; write another TURN_PORT, or off"
        )),
    }
}

/// Looks without changing anything: a file that is not there yet is no problem and is not made.
async fn database(config: &Config) -> Result<String, String> {
    if let DatabaseConfig::Sqlite { path } = &config.database
        && !path.exists()
    {
        return Ok(format!("{} will be made at the start", path.display()));
    }
    let store = store::open(&config.database, 1).await.map_err(|failure| failure.to_string())?;
    let state = store.check_schema().await;
    store.close().await;
    let sqlite = matches!(config.database, DatabaseConfig::Sqlite { .. });
    match state {
        Ok(streamz_store::SchemaState::Missing(missing)) if sqlite => {
            Ok(format!("{} migrations will be run at the start", missing.len()))
        }
        Ok(state) => store::describe(&state).map_or(Ok("answers, and is up to date".to_owned()), Err),
        Err(error) => Err(format!("DATABASE_URL: it does not answer: {error}")),
    }
}

fn signing(config: &Config) -> Result<String, String> {
    match &config.signing {
        SigningSource::Secret(_) => Ok("JWT_SECRET".to_owned()),
        SigningSource::KeyFile(path) if !path.exists() => {
            Ok(format!("{} will be made at the start", path.display()))
        }
        source @ SigningSource::KeyFile(path) => match source.load() {
            Ok(_) => Ok(format!("{} can be read", path.display())),
            Err(error) => Err(error.to_string()),
        },
        source @ SigningSource::Folder(_) => {
            source.load().map(|keys| keys.to_string()).map_err(|error| error.to_string())
        }
    }
}
