//! A running Streamz.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use streamz_testkit::Postgres;
use tempfile::TempDir;

use crate::binary::binary;
use crate::http::Http;
use crate::process::Process;
use crate::scenario::{eventually, soon};

/// How the roles are spread over processes, and what they stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// One process with its own SQLite file.
    EmbeddedSqlite,
    /// One process on Postgres.
    EmbeddedPostgres,
}

/// Where the data lies; survives a restart.
enum Data {
    Sqlite,
    Postgres { url: String },
}

/// A Streamz of its own, in its own folder, on a free port. Dropped, it is killed.
pub struct Server {
    topology: Topology,
    variables: BTreeMap<String, String>,
    folder: TempDir,
    data: Data,
    process: Process,
    url: String,
    started_in: Duration,
}

impl Server {
    /// Starts one with these variables beside the defaults of the tests, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready; its log is shown.
    pub async fn start(topology: Topology, variables: &[(&str, &str)]) -> Self {
        let data = match topology {
            Topology::EmbeddedSqlite => Data::Sqlite,
            Topology::EmbeddedPostgres => {
                let create = || Postgres::shared().create_database();
                Data::Postgres { url: tokio::task::spawn_blocking(create).await.unwrap() }
            }
        };
        Self::start_with(topology, data, variables).await
    }

    /// Starts one on a Postgres that the test may stop.
    pub async fn start_on(postgres: &Postgres, variables: &[(&str, &str)]) -> Self {
        let data = Data::Postgres { url: postgres.create_database() };
        Self::start_with(Topology::EmbeddedPostgres, data, variables).await
    }

    async fn start_with(topology: Topology, data: Data, given: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut variables: BTreeMap<String, String> = [
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            // All tests sign in from one address.
            ("LOGINS_PER_MINUTE", "10000"),
            ("RUST_LOG", "info"),
        ]
        .into_iter()
        .chain(given.iter().copied())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        variables.insert("DATA_DIR".into(), folder.path().join("data").to_str().unwrap().to_owned());
        if let Data::Postgres { url } = &data {
            variables.insert("DATABASE_URL".into(), url.clone());
            // Many servers of many tests share one Postgres.
            variables.entry("DATABASE_POOL".into()).or_insert_with(|| "4".into());
            let migrate = Process::start(binary(), &["migrate"], variables.clone(), folder.path());
            assert_eq!(soon(migrate.exit()).await, 0, "streamz migrate: {}", migrate.log());
        }
        let (process, url, started_in) = Self::launch(&variables, folder.path()).await;
        Self { topology, variables, folder, data, process, url, started_in }
    }

    async fn launch(variables: &BTreeMap<String, String>, folder: &Path) -> (Process, String, Duration) {
        let program = binary();
        let began = Instant::now();
        let process = Process::start(program, &[], variables.clone(), folder);
        let Some(url) = soon(process.line(listening)).await else {
            panic!("streamz did not start:\n{}", process.log());
        };
        let http = Http::new(&url);
        eventually(|| async { (http.get("/ready").await.status == 200).then_some(()) }).await;
        let started_in = began.elapsed();
        (process, url, started_in)
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The HTTP side.
    #[must_use]
    pub fn http(&self) -> Http {
        Http::new(&self.url)
    }

    /// What it runs on.
    #[must_use]
    pub fn topology(&self) -> Topology {
        self.topology
    }

    /// From its start to its first `/ready`.
    #[must_use]
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// The URL of its database, as sqlx takes it.
    #[must_use]
    pub fn database_url(&self) -> String {
        match &self.data {
            Data::Sqlite => format!("sqlite:{}", self.folder.path().join("data/streamz.db").display()),
            Data::Postgres { url } => url.clone(),
        }
    }

    /// What it has printed.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its memory in bytes: the resident set of the process.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.pid)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib * 1024
    }

    /// Asks it to end, without waiting.
    pub fn terminate(&mut self) {
        self.process.signal("TERM");
    }

    /// Waits for an orderly end.
    ///
    /// # Panics
    /// If it ends with another status than 0.
    pub async fn ended(&self) {
        assert_eq!(
            soon(self.process.exit()).await,
            0,
            "streamz did not end in order:\n{}",
            self.process.log()
        );
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Panics
    /// If it ends with another status than 0.
    pub async fn stop(&mut self) {
        self.terminate();
        self.ended().await;
    }

    /// Kills it.
    pub async fn kill(&mut self) {
        self.process.signal("KILL");
        assert_eq!(soon(self.process.exit()).await, 128 + 9);
    }

    /// Starts the ended server again: the same data, the same port, `variables` on top of the earlier ones.
    pub async fn start_again(&mut self, variables: &[(&str, &str)]) {
        let port = self.url.rsplit(':').next().unwrap().to_owned();
        self.variables.insert("PORT".into(), port);
        for (name, value) in variables {
            self.variables.insert((*name).to_owned(), (*value).to_owned());
        }
        let (process, url, started_in) = Self::launch(&self.variables, self.folder.path()).await;
        (self.process, self.url, self.started_in) = (process, url, started_in);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("topology", &self.topology)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// The line that says where it listens.
pub(crate) fn listening(line: &str) -> Option<String> {
    let rest = &line[line.find("http://127.0.0.1:")?..];
    let end = rest.find(|c: char| c.is_whitespace() || c == '"' || c == '\u{1b}').unwrap_or(rest.len());
    Some(rest[..end].trim_end_matches(['/', '.', ',']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_ready_line() {
        let found = listening("  Listening on http://127.0.0.1:8080/, try it");
        assert_eq!(found.as_deref(), Some("http://127.0.0.1:8080"));
        assert_eq!(listening("listening"), None);
    }
}
