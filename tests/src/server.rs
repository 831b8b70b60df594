//! A running Streamz, in any [`Topology`].

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use streamz_testkit::{Postgres, Redis};
use tempfile::TempDir;
use tokio::process::Command;

use crate::binary::binary;
use crate::http::Http;
use crate::member::{Member, Place};
use crate::process::Process;
use crate::scenario::soon;
use crate::topology::Topology;

/// A Streamz of its own, in its own folder, on free ports. Dropped, it is killed.
pub struct Server {
    topology: Topology,
    variables: BTreeMap<String, String>,
    folder: TempDir,
    /// What devices talk to; embedded, it is the one process.
    pub gateways: Vec<Member>,
    /// The signaling nodes of a cluster.
    pub nodes: Vec<Member>,
    /// The instances of Redis of a cluster.
    pub redis: Vec<Redis>,
    started_in: Duration,
}

impl Server {
    /// Starts one with these variables beside the defaults of the tests, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready; its log is shown.
    pub async fn start(topology: Topology, variables: &[(&str, &str)]) -> Self {
        let create = || Postgres::shared().create_database();
        let database = match topology {
            Topology::EmbeddedSqlite => None,
            _ => Some(tokio::task::spawn_blocking(create).await.unwrap()),
        };
        Self::start_with(topology, database, variables).await
    }

    /// Starts one on a Postgres that the test may stop.
    pub async fn start_on(postgres: &Postgres, topology: Topology, variables: &[(&str, &str)]) -> Self {
        Self::start_with(topology, Some(postgres.create_database()), variables).await
    }

    /// Starts one over a Postgres and instances of Redis that the variables name (`DATABASE_URL`, `REDIS_URL`).
    pub async fn start_over(topology: Topology, variables: &[(&str, &str)]) -> Self {
        let database = variables.iter().find(|(name, _)| *name == "DATABASE_URL");
        Self::start_with(topology, database.map(|(_, url)| (*url).to_owned()), variables).await
    }

    /// Starts one in another topology on the database of this one, which has ended.
    pub async fn followed_by(&self, topology: Topology) -> Self {
        Self::start_with(topology, self.variables.get("DATABASE_URL").cloned(), &[]).await
    }

    async fn start_with(topology: Topology, database: Option<String>, given: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut variables: BTreeMap<String, String> = [
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            // There is one for the whole machine; who wants a TURN server says so.
            ("TURN_PORT", "off"),
            // All tests sign in from one address.
            ("LOGINS_PER_MINUTE", "10000"),
            ("RUST_LOG", "info"),
        ]
        .into_iter()
        .chain(given.iter().copied())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        variables.insert("DATA_DIR".into(), folder.path().join("data").to_str().unwrap().to_owned());
        let mut redis = Vec::new();
        if let Topology::Fleet { redis: instances, .. } = topology {
            let start = move || (0..instances).map(|_| Redis::start().unwrap()).collect();
            redis = tokio::task::spawn_blocking(start).await.unwrap();
            let urls: Vec<String> = redis.iter().map(Redis::url).collect();
            variables.entry("REDIS_URL".into()).or_insert_with(|| urls.join(","));
            variables.entry("JWT_SECRET".into()).or_insert_with(|| "vUzs6w9GgE4M0uRCHn2q7dYkXbPpLtA3".into());
        }
        if let Some(database) = database {
            variables.insert("DATABASE_URL".into(), database);
            // Many servers of many tests share one Postgres.
            variables.entry("DATABASE_POOL".into()).or_insert_with(|| "4".into());
            let migrate = Process::start(binary(), &["migrate"], variables.clone(), folder.path());
            assert_eq!(soon(migrate.exit()).await, 0, "streamz migrate: {}", migrate.log());
        }
        let mut server = Self {
            topology,
            variables,
            folder,
            gateways: Vec::new(),
            nodes: Vec::new(),
            redis,
            started_in: Duration::ZERO,
        };
        let began = Instant::now();
        match topology {
            Topology::EmbeddedSqlite | Topology::EmbeddedPostgres => {
                let member = server.launch(None, Place::default()).await;
                server.gateways.push(member);
            }
            Topology::Fleet { gateways, nodes, .. } => {
                for _ in 0..nodes {
                    server.add_node().await;
                }
                for _ in 0..gateways {
                    server.add_gateway().await;
                }
            }
        }
        server.ready().await;
        server.started_in = began.elapsed();
        server
    }

    async fn launch(&self, role: Option<&'static str>, place: Place) -> Member {
        Member::start(role, self.variables.clone(), self.folder.path(), place).await
    }

    /// Starts one more gateway.
    pub async fn add_gateway(&mut self) {
        self.add_gateway_at(Place::default()).await;
    }

    /// Starts one more gateway, elsewhere.
    pub async fn add_gateway_at(&mut self, place: Place) {
        let member = self.launch(Some("gateway"), place).await;
        self.gateways.push(member);
    }

    /// Starts an ended gateway again: the same port.
    pub async fn gateway_again(&mut self, number: usize) {
        let (variables, folder) = (self.variables.clone(), self.folder.path().to_owned());
        self.gateways[number].start_again(variables, &folder).await;
        self.gateways[number].ready().await;
    }

    /// Starts one more node.
    pub async fn add_node(&mut self) {
        self.add_node_at(Place::default()).await;
    }

    /// Starts one more node, elsewhere.
    pub async fn add_node_at(&mut self, place: Place) {
        let member = self.launch(Some("node"), place).await;
        self.nodes.push(member);
    }

    async fn ready(&self) {
        // With a port of its own, readiness is not beside the API.
        let path = if self.variables.contains_key("ADMIN_PORT") { "/ping" } else { "/ready" };
        for member in self.nodes.iter().chain(&self.gateways) {
            member.answers(path).await;
        }
    }

    /// `http://127.0.0.1:PORT` of the first gateway.
    #[must_use]
    pub fn url(&self) -> &str {
        self.gateways[0].url()
    }

    /// The HTTP side of the first gateway.
    #[must_use]
    pub fn http(&self) -> Http {
        Http::new(self.url())
    }

    /// Its `DATA_DIR`.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What it runs on.
    #[must_use]
    pub fn topology(&self) -> Topology {
        self.topology
    }

    /// From its start to its readiness.
    #[must_use]
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// The URL of its database, as sqlx takes it.
    #[must_use]
    pub fn database_url(&self) -> String {
        let embedded = || format!("sqlite:{}", self.folder.path().join("data/streamz.db").display());
        self.variables.get("DATABASE_URL").cloned().unwrap_or_else(embedded)
    }

    /// What its processes have printed.
    #[must_use]
    pub fn log(&self) -> String {
        let logs: Vec<String> = self.gateways.iter().chain(&self.nodes).map(Member::log).collect();
        logs.join("\n")
    }

    /// Runs the program beside it to its end, with these arguments, and these variables on top of the server's.
    ///
    /// # Panics
    /// If it does not end.
    pub async fn beside(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let program = Command::new(binary())
            .args(arguments)
            .env_clear()
            .envs(&self.variables)
            .envs(variables.iter().copied())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        soon(program).await.unwrap()
    }

    /// The memory of all its processes in bytes.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.gateways.iter().chain(&self.nodes).map(Member::resident_bytes).sum()
    }

    /// Asks what devices talk to to end, without waiting.
    pub fn terminate(&mut self) {
        for gateway in &mut self.gateways {
            gateway.signal("TERM");
        }
    }

    /// Waits for an orderly end; nodes are asked once the gateways have ended.
    ///
    /// # Panics
    /// If one ends with another status than 0.
    pub async fn ended(&mut self) {
        for gateway in &self.gateways {
            gateway.ended().await;
        }
        for node in &mut self.nodes {
            node.stop().await;
        }
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
        for member in self.gateways.iter_mut().chain(&mut self.nodes) {
            member.kill().await;
        }
    }

    /// Starts the ended server again: the same data, the same ports, `variables` on top of the earlier ones.
    pub async fn start_again(&mut self, variables: &[(&str, &str)]) {
        self.start_again_unready(variables).await;
        self.ready().await;
    }

    /// The same, without the wait for its readiness: it says where it listens, and no more.
    pub async fn start_again_unready(&mut self, variables: &[(&str, &str)]) {
        for (name, value) in variables {
            self.variables.insert((*name).to_owned(), (*value).to_owned());
        }
        let began = Instant::now();
        for member in self.nodes.iter_mut().chain(&mut self.gateways) {
            member.start_again(self.variables.clone(), self.folder.path()).await;
        }
        self.started_in = began.elapsed();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("topology", &self.topology)
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}
