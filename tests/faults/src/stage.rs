//! A fleet of real processes with devices that talk the whole time, and what it takes to do something to it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use streamz_protocol::{DeviceId, Limits, Millis, StreamId};
use streamz_simulation::Violation;
use streamz_testkit::{Postgres, Redis};
use streamz_tests::{Member, Server, Topology, User, eventually};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::device::{Device, HEARTBEAT};
use crate::faults::Fault;
use crate::figures::{Figures, millis};
use crate::netns::Netns;
use crate::proxy::Proxy;
use crate::scene::{Backend, Scene};

/// All must be well again this long after the end of a fault.
const WELL_WITHIN: Duration = Duration::from_secs(60);
/// All is well for this long before something is done.
const CALM: Duration = Duration::from_millis(1500);
/// Longer than a message may be without an outcome.
const SETTLED_WITHIN: Duration = Duration::from_secs(40);
/// A Redis that has just been started is no witness of a death.
const REDIS_BELIEVED: Duration = Duration::from_secs(6);

/// How big it is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Gateways.
    pub gateways: usize,
    /// Nodes.
    pub nodes: usize,
    /// Users, with three devices each.
    pub users: usize,
    /// Between two messages of a device.
    pub pace: Duration,
}

impl Default for Size {
    fn default() -> Self {
        Self { gateways: 3, nodes: 3, users: 12, pace: Duration::from_millis(250) }
    }
}

/// A process that was out of reach and is not needed any more.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Retired {
    Gateway(usize),
    Node(usize),
}

/// Everything.
pub struct Stage {
    pub(crate) fleet: Server,
    pub(crate) postgres: Postgres,
    pub(crate) redis: Vec<Redis>,
    /// The ways to the instances of Redis and to Postgres.
    pub(crate) ways: Vec<Proxy>,
    pub(crate) scene: Arc<Scene>,
    /// Gateways and nodes that live, by their place in the fleet's lists.
    pub(crate) gateways: Vec<usize>,
    pub(crate) nodes: Vec<usize>,
    pub(crate) urls: Vec<(&'static str, String)>,
    /// When the present fault struck.
    pub(crate) struck: Millis,
    /// What is out of service and has to end in order.
    pub(crate) retired: Vec<Retired>,
    /// Outlive the processes in them.
    pub(crate) namespaces: Vec<Netns>,
    size: Size,
    database: String,
    devices: JoinSet<()>,
    users: Vec<User>,
}

impl Stage {
    /// Starts a fleet with its own Postgres and two of Redis, and connects the devices.
    pub async fn set(size: Size) -> Self {
        let (postgres, redis) = tokio::task::spawn_blocking(|| {
            let redis: Vec<Redis> = (0..2).map(|_| Redis::start().unwrap()).collect();
            (Postgres::start().unwrap_or_else(|error| panic!("{error}")), redis)
        })
        .await
        .unwrap();
        let started = tokio::time::Instant::now();
        let mut ways = Vec::new();
        for port in redis.iter().map(Redis::port).chain([postgres.port()]) {
            ways.push(Proxy::to(port).await);
        }
        let direct = postgres.create_database();
        let database = direct.rsplit('/').next().and_then(|rest| rest.split('?').next()).unwrap().to_owned();
        let through =
            |url: &str, port: u16, way: &Proxy| url.replace(&format!(":{port}"), &format!(":{}", way.port()));
        let redis_url: Vec<String> =
            redis.iter().zip(&ways).map(|(redis, way)| through(&redis.url(), redis.port(), way)).collect();
        let urls = vec![
            ("DATABASE_URL", through(&direct, postgres.port(), &ways[2])),
            ("REDIS_URL", redis_url.join(",")),
        ];
        let heartbeat = format!("{}ms", HEARTBEAT.as_millis());
        let mut variables: Vec<(&str, &str)> = urls.iter().map(|(name, url)| (*name, url.as_str())).collect();
        variables.extend([("HEARTBEAT_INTERVAL", heartbeat.as_str()), ("JWT_EXPIRY", "24h")]);
        let topology = Topology::Fleet { gateways: size.gateways, nodes: size.nodes, redis: 0 };
        let fleet = Server::start_over(topology, &variables).await;

        let mut users = Vec::new();
        for _ in 0..size.users {
            users.push(User::new(&fleet).await);
        }
        let ids: Vec<_> = users.iter().map(|user| user.signed_in.user.id.0).collect();
        let names = ["phone", "tv", "cam"].map(|name| DeviceId::new(name).unwrap()).to_vec();
        let limits = Limits { heartbeat: HEARTBEAT, ..Limits::default() };
        let scene = Arc::new(Scene::new(&ids, names, limits, Duration::from_secs(2), size.pace));
        let mut stage = Self {
            gateways: (0..fleet.gateways.len()).collect(),
            nodes: (0..fleet.nodes.len()).collect(),
            fleet,
            postgres,
            redis,
            ways,
            scene,
            urls,
            struck: Millis(0),
            retired: Vec::new(),
            namespaces: Vec::new(),
            size,
            database,
            devices: JoinSet::new(),
            users,
        };
        stage.rotate();
        for (user, person) in stage.users.iter().enumerate() {
            for own in 0..stage.scene.names.len() {
                let device = Device {
                    scene: Arc::clone(&stage.scene),
                    number: user * stage.scene.names.len() + own,
                    own,
                    token: person.signed_in.access_token.expose_secret().to_owned(),
                };
                stage.devices.spawn(device.live());
            }
        }
        stage.settle().await;
        tokio::time::sleep_until(started + REDIS_BELIEVED).await;
        stage
    }

    /// New connections go to the gateways that live.
    pub(crate) fn rotate(&self) {
        let backends = self.gateways.iter().map(|number| self.backend(*number)).collect();
        self.scene.rotation.send_replace(backends);
    }

    fn backend(&self, number: usize) -> Backend {
        let url = self.fleet.gateways[number].url();
        Backend { number, address: url.trim_start_matches("http://").to_owned() }
    }

    pub(crate) async fn one_more_node(&mut self) -> usize {
        self.fleet.add_node().await;
        self.fleet.nodes.last().unwrap().ready().await;
        self.nodes.push(self.fleet.nodes.len() - 1);
        self.fleet.nodes.len() - 1
    }

    /// It is not in the rotation yet.
    pub(crate) async fn one_more_gateway(&mut self) -> usize {
        self.fleet.add_gateway().await;
        self.fleet.gateways.last().unwrap().ready().await;
        self.gateways.push(self.fleet.gateways.len() - 1);
        self.fleet.gateways.len() - 1
    }

    pub(crate) fn gateway(&mut self, number: usize) -> &mut Member {
        &mut self.fleet.gateways[number]
    }

    pub(crate) fn node(&mut self, number: usize) -> &mut Member {
        &mut self.fleet.nodes[number]
    }

    /// Waits until a node coordinates, and says which.
    pub(crate) async fn coordinator(&self) -> usize {
        let sql = "SELECT p.info FROM coordinator c JOIN processes p ON p.id = c.holder";
        eventually(|| async {
            let address = self.postgres.sql(&self.database, sql);
            let is = |node: &usize| !address.is_empty() && self.fleet.nodes[*node].url().ends_with(&address);
            self.nodes.iter().copied().find(is)
        })
        .await
    }

    /// Waits until every device is connected and sees the others rightly, and one of each user's messages that was
    /// written after `since` has arrived.
    async fn well(&self, since: Millis) {
        let all = self.users.len() * self.scene.names.len();
        let deadline = tokio::time::Instant::now() + WELL_WITHIN;
        loop {
            let standing = self.scene.observer().standing();
            let heard = {
                let observer = self.scene.observer();
                let later = observer.deliveries().iter().rev().take_while(|one| one.heard >= since);
                let mut users: Vec<usize> =
                    later.filter(|one| one.sent >= since).map(|one| one.user).collect();
                users.sort_unstable();
                users.dedup();
                users.len()
            };
            if standing.online == all && standing.astray == 0 && heard == self.users.len() {
                return;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "not well again in time: {standing:?}, {heard} of {} users reach each other\n{}",
                self.users.len(),
                self.fleet.log()
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until all is well, no slot moves, and a little longer.
    pub(crate) async fn settle(&self) {
        self.well(self.scene.now()).await;
        let mut version = String::new();
        eventually(|| {
            let sql =
                "SELECT version, (SELECT count(*) FROM slots WHERE moving_to IS NOT NULL) FROM slot_table";
            let now = self.postgres.sql(&self.database, sql);
            let rests = now == version && now.ends_with("|0");
            version = now;
            async move {
                // Longer than the coordinator's round.
                sleep(CALM).await;
                rests.then_some(())
            }
        })
        .await;
    }

    /// Lets a fault strike, and waits until all is well again.
    pub async fn suffer(&mut self, fault: Fault) -> Figures {
        sleep(CALM).await;
        self.struck = self.scene.now();
        let mended = fault.strike(self).await;
        self.well(mended).await;
        let (from, to) = (self.struck, self.scene.now());
        let figures = self.figures(fault, from, mended, to);
        self.restore().await;
        figures
    }

    /// What an orchestrator does: as many processes as before, and none that was given up.
    async fn restore(&mut self) {
        while self.nodes.len() < self.size.nodes {
            self.one_more_node().await;
        }
        while self.gateways.len() < self.size.gateways {
            self.one_more_gateway().await;
        }
        self.rotate();
        for retired in std::mem::take(&mut self.retired) {
            let member = match retired {
                Retired::Gateway(number) => &mut self.fleet.gateways[number],
                Retired::Node(number) => &mut self.fleet.nodes[number],
            };
            member.ready().await;
            member.stop().await;
        }
        self.settle().await;
    }

    fn figures(&self, fault: Fault, from: Millis, mended: Millis, to: Millis) -> Figures {
        let mut observer = self.scene.observer();
        observer.fault(from, to, fault.may_begin_anew());
        let mut gaps = vec![0; self.users.len()];
        let deliveries = observer.deliveries().iter().rev().take_while(|one| one.heard >= from);
        for one in deliveries.filter(|one| one.sent.since(from) < to.since(from)) {
            gaps[one.user] = gaps[one.user].max(millis(one.heard.since(one.sent)));
        }
        let welcomes = observer.welcomes(from, to);
        Figures {
            fault: fault.to_string(),
            gaps,
            well_after: millis(to.since(mended)),
            reconnected: welcomes.iter().filter(|(all, _)| *all > 0).count(),
            most_reconnects: welcomes.iter().map(|(all, _)| *all).max().unwrap_or_default(),
            fresh: welcomes.iter().map(|(_, fresh)| fresh).sum(),
            outcomes: (0, 0, 0),
            span: (from, to),
        }
    }

    /// Lets everything come to rest, and judges. The figures' outcomes are known by then.
    ///
    /// # Errors
    /// What does not hold, in words.
    pub async fn judge(mut self, figures: &mut [Figures]) -> Result<(), String> {
        self.scene.talking.send_replace(false);
        // A device may just be about to say something.
        sleep(2 * self.size.pace).await;
        let deadline = tokio::time::Instant::now() + SETTLED_WITHIN;
        while self.scene.observer().standing().open > 0 && tokio::time::Instant::now() < deadline {
            sleep(Duration::from_millis(50)).await;
        }
        let rested = self.scene.now();
        let streams = self.streams();
        // Without a goodbye: their connections count as they were at rest.
        self.devices.abort_all();
        while self.devices.join_next().await.is_some() {}
        for figure in figures.iter_mut() {
            figure.outcomes = self.scene.observer().outcomes(figure.span.0, figure.span.1);
        }
        let Self { scene, fleet, .. } = self;
        let scene = Arc::into_inner(scene).expect("all devices have ended");
        let observer = scene.into_observer();
        let trace = observer.trace();
        let violations = observer.verdict(rested, streams);
        let mut words = expectations(figures);
        for violation in &violations {
            let during =
                figures.iter().find(|one| one.span.0 <= violation.at() && violation.at() <= one.span.1);
            let during = during.map_or("none", |figures| &figures.fault);
            let Violation { promise, sentence, .. } = violation;
            let _ = writeln!(
                words,
                "{promise} at {:.3} s (fault: {during}): {sentence}",
                Scene::clock(violation.at())
            );
        }
        if words.is_empty() {
            return Ok(());
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/faults");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("trace"), trace).unwrap();
        std::fs::write(folder.join("log"), fleet.log()).unwrap();
        Err(format!("{words}what devices saw and what processes said is in target/faults"))
    }

    /// Whose each stream is, as the store has it.
    fn streams(&self) -> BTreeMap<StreamId, usize> {
        let rows = self.postgres.sql(&self.database, "SELECT id, user_id FROM streams");
        let user = |id: &str| self.users.iter().position(|user| user.signed_in.user.id.to_string() == id);
        let pair = |row: &str| {
            let (stream, owner) = row.split_once('|')?;
            Some((StreamId(stream.parse().ok()?), user(owner)?))
        };
        rows.lines().map(|row| pair(row).unwrap_or_else(|| panic!("{row}"))).collect()
    }
}

/// What figures must not show.
fn expectations(figures: &[Figures]) -> String {
    let mut words = String::new();
    for one in figures {
        let fault = Fault::named(&one.fault);
        if one.most_reconnects > fault.reconnects_at_most() {
            let _ = writeln!(words, "{}: a device had to connect {} times", one.fault, one.most_reconnects);
        }
        if one.outcomes.1 > 0 && !fault.outlasts_messages() {
            let _ = writeln!(words, "{}: {} messages expired", one.fault, one.outcomes.1);
        }
        if one.outcomes.2 > 0 && !fault.outlasts_messages() {
            let _ = writeln!(words, "{}: {} messages were refused or lost", one.fault, one.outcomes.2);
        }
    }
    words
}
