//! A cluster of our own: gateways and nodes over a private Postgres and Redis.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use rustix::process::Signal;
use secrecy::{ExposeSecret, SecretString};
use streamz_protocol::cluster::Slot;
use streamz_protocol::{NodeId, UserId};
use streamz_store::{ClusterStore, ProcessKind, Store, StoreOptions};
use streamz_testkit::{Postgres, Redis};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::kinds::ByKind;
use crate::process::Processes;
use crate::run::Failure;
use crate::servers::{START_WITHIN, ServerError, answers, free_port, signal, tail};

/// How long it may take until every slot has an owner that lives, and nothing moves.
const SETTLE_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long an orderly end may take: more than the default `DRAIN_TIMEOUT`.
const DRAIN_WITHIN: Duration = Duration::from_secs(40);
/// A Redis that was started later than this is no witness of a death.
const REDIS_GUARD: Duration = Duration::from_millis(5500);

/// How many of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) gateways: usize,
    pub(crate) nodes: usize,
    pub(crate) redis: usize,
}

/// What a cluster stands on, and what it is made of. Postgres and Redis end with it.
pub(crate) struct Ground {
    program: PathBuf,
    folder: TempDir,
    pub(crate) secret: SecretString,
    hub_idle: Duration,
    postgres: Postgres,
    redis: Vec<Redis>,
    started: Instant,
}

/// A running cluster.
pub(crate) struct Cluster<'a> {
    ground: &'a Ground,
    pub(crate) gateways: Vec<Member>,
    pub(crate) nodes: Vec<Member>,
    redis_pids: Vec<u32>,
    asking: Vec<MultiplexedConnection>,
    store: Store,
    slots: ClusterStore,
}

/// A process of it.
pub(crate) struct Member {
    /// Host and port.
    pub(crate) address: String,
    pub(crate) pid: u32,
    child: Child,
    log: PathBuf,
}

impl Ground {
    pub(crate) async fn lay(program: PathBuf, redis: usize, hub_idle: Duration) -> Result<Self, Failure> {
        let servers = move || {
            let redis = (0..redis).map(|_| Redis::start()).collect::<Result<Vec<_>, _>>()?;
            Ok::<_, streamz_testkit::StartError>((Postgres::start()?, redis))
        };
        let started = tokio::task::spawn_blocking(servers).await.map_err(io::Error::from)?;
        let (postgres, redis) = started.map_err(|error| Failure::Wrong(error.to_string()))?;
        let secret = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let folder = tempfile::Builder::new().prefix("streamz-bench.").tempdir()?;
        Ok(Self {
            program,
            folder,
            secret: secret.into(),
            hub_idle,
            postgres,
            redis,
            started: Instant::now(),
        })
    }

    pub(crate) fn database(&self) -> String {
        self.postgres.url("postgres")
    }

    /// The first Redis.
    pub(crate) fn redis_url(&self) -> String {
        self.redis.first().map(Redis::url).unwrap_or_default()
    }

    /// Starts processes over it, and waits until all serve. The schema must be there.
    pub(crate) async fn start(&self, gateways: usize, nodes: usize) -> Result<Cluster<'_>, Failure> {
        let store = Store::connect(&self.database(), &StoreOptions::default()).await.map_err(wrong)?;
        let slots = store.cluster().ok_or_else(|| wrong("the cluster's database is no Postgres"))?;
        let mut cluster = Cluster {
            ground: self,
            gateways: Vec::new(),
            nodes: Vec::new(),
            redis_pids: Vec::new(),
            asking: Vec::new(),
            store,
            slots,
        };
        for redis in &self.redis {
            let client = client(&redis.url()).map_err(wrong)?;
            let connection = client.get_multiplexed_async_connection().await.map_err(wrong)?;
            cluster.asking.push(connection);
        }
        for answer in cluster.ask("server").await? {
            let pid = field(&answer, "process_id:").and_then(|pid| pid.parse().ok());
            cluster.redis_pids.push(pid.ok_or_else(|| wrong("Redis does not tell its process id"))?);
        }
        for _ in 0..nodes {
            cluster.nodes.push(self.launch("node")?);
        }
        for _ in 0..gateways {
            cluster.gateways.push(self.launch("gateway")?);
        }
        for member in cluster.nodes.iter_mut().chain(&mut cluster.gateways) {
            member.ready().await?;
        }
        cluster.settled().await?;
        Ok(cluster)
    }

    /// Everything is as it is by default, except the limits of messages and sign-ins.
    fn launch(&self, role: &str) -> Result<Member, ServerError> {
        let port = free_port()?;
        let folder = self.folder.path();
        let log = folder.join(format!("{role}-{port}.log"));
        let file = std::fs::File::create(&log)?;
        let redis: Vec<String> = self.redis.iter().map(Redis::url).collect();
        let mut command = Command::new(&self.program);
        command
            .arg(role)
            .env_clear()
            .env("HOST", "127.0.0.1")
            .env("PORT", port.to_string())
            .env("DATA_DIR", folder)
            .env("DATABASE_URL", self.database())
            .env("REDIS_URL", redis.join(","))
            .env("JWT_SECRET", self.secret.expose_secret())
            .env("MESSAGES_PER_SECOND", "100000")
            .env("MESSAGE_BURST", "100000")
            .env("LOGINS_PER_MINUTE", "10000")
            .env("HUB_IDLE", format!("{}ms", self.hub_idle.as_millis()))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true);
        let spawn = |source| ServerError::Spawn { program: self.program.clone(), source };
        let child = command.spawn().map_err(spawn)?;
        let pid = child.id().ok_or_else(|| io::Error::other("a process has no id"))?;
        Ok(Member { address: format!("127.0.0.1:{port}"), pid, child, log })
    }
}

impl Member {
    /// Waits until it is ready.
    pub(crate) async fn ready(&mut self) -> Result<(), Failure> {
        let program = PathBuf::from("a process of the cluster");
        let began = Instant::now();
        while !answers(&self.address, "/ready").await {
            if self.child.try_wait()?.is_some() {
                return Err(ServerError::Ended { program, log: tail(&self.log) }.into());
            }
            if began.elapsed() > START_WITHIN {
                return Err(ServerError::Silent { program, log: tail(&self.log) }.into());
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Ends it at once, as a crash does.
    pub(crate) async fn kill(mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Asks it to end in order, and tells how long that took.
    pub(crate) async fn drain(mut self) -> Result<Duration, Failure> {
        let began = Instant::now();
        signal(&self.child, Signal::TERM)?;
        match timeout(DRAIN_WITHIN, self.child.wait()).await {
            Ok(status) => match status?.success() {
                true => Ok(began.elapsed()),
                false => Err(wrong(format!("a process did not end in order: {}", tail(&self.log)))),
            },
            Err(_) => {
                self.child.kill().await?;
                Err(wrong(format!(
                    "a process did not end within {} s: {}",
                    DRAIN_WITHIN.as_secs(),
                    tail(&self.log)
                )))
            }
        }
    }

    fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap_or_default()
    }
}

impl Cluster<'_> {
    /// The processes of each kind.
    pub(crate) fn processes(&self) -> ByKind<Processes> {
        let of = |members: &[Member]| Processes(members.iter().map(|member| member.pid).collect());
        ByKind {
            gateways: of(&self.gateways),
            nodes: of(&self.nodes),
            redis: Processes(self.redis_pids.clone()),
            postgres: Processes(self.ground.postgres.pid().into_iter().collect()),
        }
    }

    /// The addresses of a pair whose devices are on different gateways, if there are two.
    pub(crate) fn across(&self, pair: usize) -> [&str; 2] {
        let count = self.gateways.len();
        [&self.gateways[pair % count].address, &self.gateways[(pair + 1) % count].address]
    }

    /// `PUBLISH` commands that Redis has carried out.
    pub(crate) async fn publishes(&mut self) -> Result<u64, Failure> {
        let answers = self.ask("commandstats").await?;
        let calls = |text: &String| field(text, "cmdstat_publish:calls=").and_then(|n| n.parse::<u64>().ok());
        Ok(answers.iter().filter_map(calls).sum())
    }

    async fn ask(&mut self, section: &str) -> Result<Vec<String>, Failure> {
        let mut answers = Vec::new();
        for connection in &mut self.asking {
            let answer = redis::cmd("INFO").arg(section).query_async(connection).await;
            answers.push(answer.map_err(wrong)?);
        }
        Ok(answers)
    }

    /// Starts one more node; it may not be ready yet.
    pub(crate) fn add_node(&mut self) -> Result<&mut Member, Failure> {
        self.nodes.push(self.ground.launch("node")?);
        self.nodes.last_mut().ok_or_else(|| wrong("there is no node"))
    }

    /// The owner of each user's slot, by the port of its node.
    pub(crate) async fn owners(
        &self,
        users: impl IntoIterator<Item = UserId>,
    ) -> Result<HashMap<UserId, String>, Failure> {
        let ports: HashMap<NodeId, String> = self.live_nodes().await?;
        let table = self.slots.read_slots().await.map_err(wrong)?;
        let owners: HashMap<Slot, NodeId> =
            table.rows.iter().filter_map(|row| Some((row.tenure.slot, row.owner?))).collect();
        let of = |user| Some((user, ports.get(owners.get(&Slot::of(user))?)?.clone()));
        Ok(users.into_iter().filter_map(of).collect())
    }

    /// By what [`Cluster::owners`] knows it.
    pub(crate) fn name_of(&self, node: usize) -> String {
        self.nodes[node].port().to_owned()
    }

    async fn live_nodes(&self) -> Result<HashMap<NodeId, String>, Failure> {
        let members = self.slots.live_processes(ProcessKind::Node).await.map_err(wrong)?;
        let port = |name: &str| name.rsplit(':').next().unwrap_or_default().to_owned();
        Ok(members.processes.iter().map(|row| (NodeId(row.id.0), port(&row.name))).collect())
    }

    /// Waits until exactly the nodes that there are have all slots between them, each its share, and none is to move.
    pub(crate) async fn settled(&self) -> Result<(), Failure> {
        let began = Instant::now();
        while !self.is_settled().await? {
            if began.elapsed() > SETTLE_WITHIN {
                return Err(wrong(format!(
                    "slots did not come to rest within {} s",
                    SETTLE_WITHIN.as_secs()
                )));
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn is_settled(&self) -> Result<bool, Failure> {
        let live: HashSet<NodeId> = self.live_nodes().await?.into_keys().collect();
        let table = self.slots.read_slots().await.map_err(wrong)?;
        let mut shares: HashMap<NodeId, usize> = HashMap::new();
        for row in &table.rows {
            match row.owner {
                Some(owner) if live.contains(&owner) && row.moving_to.is_none() => {
                    *shares.entry(owner).or_default() += 1;
                }
                _ => return Ok(false),
            }
        }
        let fair = table.rows.len() / self.nodes.len().max(1) / 2;
        Ok(live.len() == self.nodes.len()
            && shares.len() == live.len()
            && shares.values().all(|share| *share >= fair))
    }

    /// Waits until Redis is a witness of deaths: until then, lapsed leases are waited for.
    pub(crate) async fn redis_is_a_witness(&self) {
        sleep(REDIS_GUARD.saturating_sub(self.ground.started.elapsed())).await;
    }

    /// Ends all processes of it, nodes last: so they have nobody's slots to wait for. Postgres and Redis stay.
    pub(crate) async fn end(self) -> Result<(), Failure> {
        for members in [self.gateways, self.nodes] {
            for member in members {
                member.kill().await?;
            }
        }
        // Rows of the dead would keep their share of slots until their leases lapse.
        for kind in [ProcessKind::Gateway, ProcessKind::Node] {
            for row in self.slots.live_processes(kind).await.map_err(wrong)?.processes {
                self.slots.remove_process(row.id).await.map_err(wrong)?;
            }
        }
        self.store.close().await;
        Ok(())
    }
}

/// A client whose small writes do not wait.
fn client(url: &str) -> redis::RedisResult<redis::Client> {
    use redis::IntoConnectionInfo;
    let info = url.into_connection_info()?;
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    redis::Client::open(info.set_tcp_settings(tcp))
}

/// The same for a URL from elsewhere.
pub(crate) fn client_of(url: &str) -> Result<redis::Client, Failure> {
    client(url).map_err(wrong)
}

/// What stands behind `start`, up to a comma or the end of the line.
fn field<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(start))?;
    line.split(',').next()
}

pub(crate) fn wrong(error: impl std::fmt::Display) -> Failure {
    Failure::Wrong(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_tells_is_read() {
        let stats = "# Commandstats\r\ncmdstat_info:calls=2,usec=1\r\ncmdstat_publish:calls=41,usec=9,usec_per_call=1\r\n";
        assert_eq!(field(stats, "cmdstat_publish:calls="), Some("41"));
        assert_eq!(field("process_id:77\r\n", "process_id:"), Some("77"));
        assert_eq!(field(stats, "process_id:"), None);
    }
}
