//! Everything in one process: gateway, node, and the bus between them.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::Utc;
use streamz_auth::IceServers;
use streamz_bus::InProcess;
use streamz_gateway::readiness::Readiness;
use streamz_platform::config::{BusConfig, DatabaseConfig, Role, SigningSource};
use streamz_platform::{Clock, Config, ConfigArgs, Tasks};
use streamz_protocol::GatewayId;
use streamz_signaling_node::{DeskLimits, Node, NodeConfig};
use streamz_store::{ProcessKind, Store};

use crate::edge::{Edge, Inside, Listeners};
use crate::exit::Failure;
use crate::figures;
use crate::lock;
use crate::process::{LAST_WRITES, Process};
use crate::status::{Parts, Source};
use crate::turn::Turn;

/// What is said of a variable whose role this program does not have yet.
pub(crate) const NO_REDIS: &str = "REDIS_URL: `streamz` alone serves from one process and needs no Redis; remove the variable, or run \
     `streamz gateway` and `streamz node`.";

/// A process of a fleet that has renewed its lease within this time is there.
const LIVES: Duration = Duration::from_secs(10);

/// The one gateway of the process.
const GATEWAY: GatewayId = GatewayId(1);

/// The parts of a running process, in the order in which they end.
struct Running {
    edge: Edge,
    node: Arc<Node>,
    node_tasks: Tasks,
    store: Store,
}

pub(crate) async fn run(args: ConfigArgs) -> Result<(), Failure> {
    let config = Config::load(Role::Embedded, args)?;
    if let BusConfig::Redis { .. } = config.bus {
        return Err(Failure::Configuration(NO_REDIS.to_owned()));
    }
    let process = Process::begin(&config)?;
    // Until the very end.
    let _lock = lock::take(&config)?;
    let store = process.store(&config).await?;
    refuse_beside_a_fleet(&store).await?;
    let listeners = Listeners::open(&config).await?;
    let turn = Turn::open(&config).await;
    let address = listeners.address;
    let admin = config.admin.map(|_| listeners.operations);
    let (scheme, urls) = (listeners.scheme(), listeners.urls());
    let ice = turn.as_ref().map_or_else(|_| config.ice.clone(), |turn| turn.ice(&config));
    let relays = turn.as_ref().map(ToString::to_string).map_err(ToString::to_string);
    let running = compose(&config, store, ice, address, &process.tasks).await?;
    figures::of_node(&process.metrics, running.node.clone());
    if let Ok(turn) = turn {
        process.tasks.spawn("TURN", turn.serve(running.edge.state.clock(), process.tasks.stopping()));
    }
    running.edge.serve(&config, listeners);
    greet(&config, (scheme, address), &urls, admin, relays);

    process.shutdown.begun().await;
    let orderly = async {
        running.edge.stop_accepting();
        running.end(&config).await;
        Ok(())
    };
    process.end(orderly, running.edge.listeners(), "ended at once; devices were not told.").await
}

/// Alone on a database it would call everybody's devices offline.
async fn refuse_beside_a_fleet(store: &Store) -> Result<(), Failure> {
    let Some(cluster) = store.cluster() else { return Ok(()) };
    for kind in [ProcessKind::Node, ProcessKind::Gateway] {
        let members = cluster.live_processes(kind).await.map_err(Failure::unable)?;
        if let Some(member) = members.processes.iter().find(|member| member.age < LIVES) {
            return Err(Failure::unable(format!(
                "DATABASE_URL: a fleet serves from this database ({} {}); end it first, or run `streamz gateway` \
                 and `streamz node`.",
                kind.as_str(),
                member.name
            )));
        }
    }
    Ok(())
}

async fn compose(
    config: &Config,
    store: Store,
    ice: IceServers,
    address: SocketAddr,
    tasks: &Tasks,
) -> Result<Running, Failure> {
    let clock = Clock::start();
    // Nobody is connected to this one process yet: what a crash left otherwise is put right.
    let wrong = store.reset_presence(None).await.map_err(Failure::unable)?;
    let open = store.close_open_streams(clock.utc(), "server_restart").await.map_err(Failure::unable)?;
    if wrong + open > 0 {
        tracing::info!(devices = wrong, streams = open, "put right what the last run left open");
    }

    let bus = InProcess::new();
    let node_tasks = Tasks::new();
    let node = Node::start(node_config(config), bus.clone(), store.clone(), clock, &node_tasks)
        .await
        .map_err(Failure::unable)?;
    bus.serve_hubs(node.clone());
    let inside = Inside {
        store: store.clone(),
        clock,
        bus: bus.clone(),
        identity: GATEWAY.into(),
        readiness: Readiness::new().with_store(store.clone()),
        status: Source::new(
            address.to_string(),
            store.clone(),
            Parts::Embedded(node.clone(), OnceLock::new()),
        ),
        ice,
    };
    let edge = Edge::compose(config, inside, tasks).await?;
    bus.serve_gateway(GATEWAY, edge.connections());
    Ok(Running { edge, node, node_tasks, store })
}

/// The configuration of the hubs, in every role that has them.
pub(crate) fn node_config(config: &Config) -> NodeConfig {
    let defaults = NodeConfig::default();
    NodeConfig {
        limits: Arc::new(config.limits.clone()),
        hub_idle: config.hub_idle,
        check_users: config.user_check_interval,
        desk: DeskLimits {
            devices: u32::try_from(config.limits.devices_registered).unwrap_or(u32::MAX),
            ..defaults.desk
        },
        ..defaults
    }
}

impl Running {
    /// Sends every device away, lets the hubs finish, writes the last records.
    async fn end(&self, config: &Config) {
        self.edge.send_away(config).await;
        let report = self.node_tasks.shutdown(LAST_WRITES).await;
        if !report.is_clean() {
            tracing::warn!(?report, "not every record could be written");
        }
        self.node.stop().await;
        if let Err(error) = self.store.reset_presence(Some(Utc::now())).await {
            tracing::warn!(%error, "devices are shown online in the store until the next start");
        }
        self.edge.stop_operations();
        self.store.close().await;
    }
}

/// Says where everything is. To standard output, for people; logs go to standard error.
fn greet(
    config: &Config,
    (scheme, address): (&str, SocketAddr),
    urls: &[String],
    admin: Option<SocketAddr>,
    relays: Result<String, String>,
) {
    let data = match &config.database {
        DatabaseConfig::Sqlite { path } => path.display().to_string(),
        DatabaseConfig::Postgres { .. } => "the Postgres database of DATABASE_URL".to_owned(),
    };
    let key = match &config.signing {
        SigningSource::Secret(_) => "JWT_SECRET".to_owned(),
        SigningSource::KeyFile(path) => path.display().to_string(),
        SigningSource::Folder(folder) => folder.path.display().to_string(),
    };
    println!("Streamz {} listens on {scheme}://{address}", env!("CARGO_PKG_VERSION"));
    println!("  data      {data}");
    println!("  key       {key}");
    if let Some(admin) = admin {
        println!("  admin     http://{admin}/metrics, and /health, /ready and /status");
    }
    match relays {
        Ok(relays) => println!("  TURN      {relays}"),
        Err(why) => println!("  TURN      none: {why}"),
    }
    println!("  open      {scheme}://{address}/");
    for url in urls {
        println!("            {url}");
    }
    println!("  API       {scheme}://{address}/docs");
    println!("  stop      Ctrl-C");
}
