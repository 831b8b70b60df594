//! A running cluster: gateways and nodes, each a process of its own, over private Redis servers and a private database.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use streamz_testkit::{Postgres, Redis};
use tempfile::TempDir;

use crate::binary::binary;
use crate::http::Http;
use crate::process::Process;
use crate::scenario::{eventually, soon};
use crate::server::listening;

/// One process of a cluster. Dropped, it is killed.
pub struct Member {
    process: Process,
    url: String,
}

impl Member {
    /// `http://127.0.0.1:PORT`: the API of a gateway, the operations of a node.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it has printed.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Sends a signal: `TERM`, `STOP`, `CONT`.
    pub fn signal(&mut self, name: &str) {
        self.process.signal(name);
    }

    /// Kills it.
    pub async fn kill(&mut self) {
        self.process.signal("KILL");
        assert_eq!(soon(self.process.exit()).await, 128 + 9);
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Panics
    /// If it ends with another status than 0.
    pub async fn stop(&mut self) {
        self.process.signal("TERM");
        let code = soon(self.process.exit()).await;
        assert_eq!(code, 0, "it did not end in order:\n{}", self.process.log());
    }

    /// Waits until it is ready.
    pub async fn ready(&self) {
        let http = Http::new(&self.url);
        eventually(|| async { (http.get("/ready").await.status == 200).then_some(()) }).await;
    }
}

/// A cluster of its own.
pub struct Fleet {
    /// The gateways.
    pub gateways: Vec<Member>,
    /// The nodes.
    pub nodes: Vec<Member>,
    /// The instances of Redis.
    pub redis: Vec<Redis>,
    variables: BTreeMap<String, String>,
    folder: TempDir,
}

impl Fleet {
    /// Starts one with these variables beside the defaults of the tests, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready; the logs are shown.
    pub async fn start(gateways: usize, nodes: usize, instances: usize, given: &[(&str, &str)]) -> Self {
        let prepare = move || {
            let redis: Vec<Redis> = (0..instances).map(|_| Redis::start().unwrap()).collect();
            (Postgres::shared().create_database(), redis)
        };
        let (database, redis) = tokio::task::spawn_blocking(prepare).await.unwrap();
        let urls: Vec<String> = redis.iter().map(Redis::url).collect();
        let folder = tempfile::tempdir().unwrap();
        let mut variables: BTreeMap<String, String> = [
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            ("LOGINS_PER_MINUTE", "10000"),
            ("RUST_LOG", "info"),
            ("DATABASE_POOL", "4"),
            ("DATABASE_URL", &database),
            ("REDIS_URL", &urls.join(",")),
            ("JWT_SECRET", "vUzs6w9GgE4M0uRCHn2q7dYkXbPpLtA3"),
        ]
        .into_iter()
        .chain(given.iter().copied())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        variables.insert("DATA_DIR".into(), folder.path().join("data").to_str().unwrap().to_owned());
        let migrate = Process::start(binary(), &["migrate"], variables.clone(), folder.path());
        assert_eq!(soon(migrate.exit()).await, 0, "streamz migrate: {}", migrate.log());
        let mut fleet = Self { gateways: Vec::new(), nodes: Vec::new(), redis, variables, folder };
        for _ in 0..nodes {
            fleet.add_node().await;
        }
        for _ in 0..gateways {
            fleet.add_gateway().await;
        }
        for member in fleet.nodes.iter().chain(&fleet.gateways) {
            member.ready().await;
        }
        fleet
    }

    /// Starts one more gateway.
    pub async fn add_gateway(&mut self) {
        let member = self.launch("gateway").await;
        self.gateways.push(member);
    }

    /// Starts one more node.
    pub async fn add_node(&mut self) {
        let member = self.launch("node").await;
        self.nodes.push(member);
    }

    async fn launch(&self, role: &str) -> Member {
        let process = Process::start(binary(), &[role], self.variables.clone(), self.folder.path());
        let Some(url) = soon(process.line(listening)).await else {
            panic!("streamz {role} did not start:\n{}", process.log());
        };
        Member { process, url }
    }

    /// How long it takes until `done`.
    pub async fn time(done: impl Future<Output = ()>) -> Duration {
        let began = Instant::now();
        soon(done).await;
        began.elapsed()
    }
}
