//! Everything in one process: gateway, node, and the bus between them.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use governor::Quota;
use streamz_auth::{PasswordPool, TokenIssuer, TokenVerifier};
use streamz_bus::{Bus, InProcess};
use streamz_gateway::hubs::Hubs;
use streamz_gateway::readiness::Readiness;
use streamz_gateway::revoked::{REVOKED_MAX, RevokedFamilies};
use streamz_gateway::serve::{KEEP_ALIVE, ServeOptions, ServeReport, serve};
use streamz_gateway::state::{AppState, Parts, Settings};
use streamz_gateway::ws::{self, StateAuthority, WebSockets};
use streamz_gateway::{Connections, Sockets, http};
use streamz_platform::config::{BusConfig, DatabaseConfig, Role};
use streamz_platform::{Clock, Config, ConfigArgs, Shutdown, Tasks};
use streamz_protocol::GatewayId;
use streamz_signaling_node::{DeskLimits, Node, NodeConfig};
use streamz_store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::exit::Failure;
use crate::{maintenance, store};

/// What is said of a variable whose role this program does not have yet.
pub(crate) const NO_REDIS: &str =
    "REDIS_URL: this version serves from one process and needs no Redis; remove the variable.";

/// The one gateway of the process.
const GATEWAY: GatewayId = GatewayId(1);
/// The system's limit on open files is usually lower.
const CONNECTIONS_MAX: NonZeroUsize = NonZeroUsize::new(1_000_000).expect("not zero");
/// Over how long devices come back that are sent away.
const COME_BACK_WITHIN: Duration = Duration::from_secs(5);
/// How long the last writes may take.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// The parts of a running process, in the order in which they end.
struct Running {
    state: AppState,
    sockets: Arc<Sockets>,
    web_sockets: TaskTracker,
    node: Arc<Node>,
    node_tasks: Tasks,
    store: Store,
}

pub(crate) async fn run(args: ConfigArgs) -> Result<(), Failure> {
    let config = Config::load(Role::Embedded, args)?;
    if let BusConfig::Redis { .. } = config.bus {
        return Err(Failure::Configuration(NO_REDIS.to_owned()));
    }
    let _telemetry = streamz_platform::telemetry::init(&config.telemetry).map_err(Failure::unable)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let (shutdown, signals) = Shutdown::on_signals().map_err(Failure::unable)?;
    let tasks = Tasks::new();
    let listening = Tasks::new();
    listening.spawn("signals", signals);

    let store = store::open(&config.database, config.database_pool.get()).await?;
    store::prepare(&store, &config.database).await?;
    let listener = listen(config.listen, "HOST, PORT").await?;
    let address = listener.local_addr().map_err(Failure::unable)?;
    let admin = match config.admin {
        Some(address) => Some(listen(address, "HOST, ADMIN_PORT").await?),
        None => None,
    };
    let running = compose(&config, store, &tasks).await?;
    let accepting = CancellationToken::new();
    let listeners = Tasks::new();
    running.serve(&config, listener, admin, &accepting, &listeners);
    greet(&config, &address.to_string());

    shutdown.begun().await;
    let ended = async {
        running.state.start_draining();
        accepting.cancel();
        running.end(&config).await;
        for set in [&listeners, &tasks] {
            let report = set.shutdown(LAST_WRITES).await;
            if !report.is_clean() {
                tracing::warn!(?report, "not every task ended as it should");
            }
        }
    };
    let outcome = tokio::select! {
        () = ended => Ok(()),
        () = shutdown.now() => Err(Failure::unable("ended at once; devices were not told.")),
    };
    // Whoever listens for a second signal need not any more.
    shutdown.request_now();
    listening.shutdown(LAST_WRITES).await;
    outcome
}

async fn listen(address: SocketAddr, variables: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address)
        .await
        .map_err(|error| Failure::unable(format!("{variables}: {address} cannot be listened on: {error}")))
}

async fn compose(config: &Config, store: Store, tasks: &Tasks) -> Result<Running, Failure> {
    let clock = Clock::start();
    let key = config.signing.load().map_err(Failure::unable)?;
    // Nobody is connected to this one process yet: what a crash left otherwise is put right.
    let wrong = store.reset_presence(None).await.map_err(Failure::unable)?;
    let open = store.close_open_streams(clock.utc(), "server_restart").await.map_err(Failure::unable)?;
    if wrong + open > 0 {
        tracing::info!(devices = wrong, streams = open, "put right what the last run left open");
    }

    let bus = InProcess::new();
    let limits = Arc::new(config.limits.clone());
    let node_tasks = Tasks::new();
    let node_config = NodeConfig {
        limits: limits.clone(),
        hub_idle: config.hub_idle,
        desk: DeskLimits {
            devices: u32::try_from(limits.devices_registered).unwrap_or(u32::MAX),
            ..NodeConfig::default().desk
        },
        ..NodeConfig::default()
    };
    let node = Node::start(node_config, bus.clone(), store.clone(), clock, &node_tasks)
        .await
        .map_err(Failure::unable)?;
    bus.serve_hubs(node.clone());
    let shared: Arc<dyn Bus> = bus.clone();
    let hubs = Hubs::new(GATEWAY, shared.clone());
    let connections = Connections::new(GATEWAY, shared, hubs.clone());
    bus.serve_gateway(GATEWAY, connections.clone());

    let revoked = RevokedFamilies::new(config.tokens.access + config.tokens.leeway, REVOKED_MAX);
    revoked.sync(&store, clock.utc()).await.map_err(Failure::unable)?;
    let metrics = streamz_platform::metrics::install().map_err(Failure::unable)?;
    tasks.spawn("metrics", metrics.upkeep(tasks.stopping()));
    tasks.spawn("retention", maintenance::sweep(store.clone(), config.retention, tasks.stopping()));
    let state = AppState::new(Parts {
        store: store.clone(),
        issuer: TokenIssuer::new(&key, config.tokens.access),
        verifier: TokenVerifier::with_leeway(&key, config.tokens.leeway),
        passwords: PasswordPool::new(config.passwords),
        ice: config.ice.clone(),
        hubs,
        clock,
        wall: Arc::new(move || clock.utc()),
        revoked,
        readiness: Readiness::new().with_store(store.clone()),
        metrics,
        settings: Settings::of(config),
    });
    let sockets = Arc::new(Sockets {
        connections,
        authority: Arc::new(StateAuthority(state.clone())),
        limits,
        rate: Quota::per_second(config.message_rate.per_second).allow_burst(config.message_rate.burst),
        clock,
        stopping: CancellationToken::new(),
    });
    Ok(Running { state, sockets, web_sockets: TaskTracker::new(), node, node_tasks, store })
}

impl Running {
    /// Serves until `accepting` is cancelled and what was asked is answered.
    fn serve(
        &self,
        config: &Config,
        listener: TcpListener,
        admin: Option<TcpListener>,
        accepting: &CancellationToken,
        listeners: &Tasks,
    ) {
        let web_sockets = WebSockets {
            sockets: self.sockets.clone(),
            tasks: self.web_sockets.clone(),
            max_connections: CONNECTIONS_MAX.get(),
        };
        let options = ServeOptions {
            header_timeout: config.http.header_timeout,
            keep_alive: KEEP_ALIVE,
            max_connections: CONNECTIONS_MAX,
            drain: config.drain_timeout,
        };
        let routes = http::router(self.state.clone(), ws::route(web_sockets));
        let main = serve(listener, routes, options, accepting.clone());
        listeners.spawn("listener", async move { report(main.await) });
        if let Some(admin) = admin {
            let operations = http::operations(self.state.clone());
            let main = serve(admin, operations, options, accepting.clone());
            listeners.spawn("admin listener", async move { report(main.await) });
        }
    }

    /// Sends every device away, lets the hubs finish, writes the last records.
    async fn end(&self, config: &Config) {
        self.sockets.connections.drain(COME_BACK_WITHIN.min(config.drain_timeout));
        self.sockets.stopping.cancel();
        self.web_sockets.close();
        if tokio::time::timeout(config.drain_timeout, self.web_sockets.wait()).await.is_err() {
            tracing::warn!(left = self.web_sockets.len(), "some devices did not take their leave in time");
        }
        let report = self.node_tasks.shutdown(LAST_WRITES).await;
        if !report.is_clean() {
            tracing::warn!(?report, "not every record could be written");
        }
        self.node.stop().await;
        if let Err(error) = self.store.reset_presence(Some(Utc::now())).await {
            tracing::warn!(%error, "devices are shown online in the store until the next start");
        }
        self.store.close().await;
    }
}

fn report(served: ServeReport) {
    if served.cut_off > 0 {
        tracing::warn!(requests = served.cut_off, "some requests did not end in time");
    }
}

/// Says where everything is. To standard output, for people; logs go to standard error.
fn greet(config: &Config, address: &str) {
    let data = match &config.database {
        DatabaseConfig::Sqlite { path } => {
            format!("{} and its key in {}", path.display(), config.data_dir.display())
        }
        DatabaseConfig::Postgres { .. } => "the Postgres database of DATABASE_URL".to_owned(),
    };
    println!("Streamz {} listens on http://{address}", env!("CARGO_PKG_VERSION"));
    println!("  data      {data}");
    println!("  open      http://{address}/");
    println!("  API       http://{address}/docs");
    println!("  stop      Ctrl-C");
}
