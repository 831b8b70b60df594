//! `streamz node`: hubs, over Postgres and Redis. It serves nobody but its operators.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use streamz_bus::{InProcess, redis};
use streamz_fleet::{LeaseSettings, new_process_id};
use streamz_gateway::http::{Operations, operations_alone};
use streamz_gateway::readiness::Readiness;
use streamz_gateway::serve::{KEEP_ALIVE, ServeOptions, serve};
use streamz_platform::config::{BusConfig, Role, SigningSource};
use streamz_platform::{Clock, Config, ConfigArgs, Shutdown, Tasks};
use streamz_protocol::wire::BusKey;
use streamz_signaling_node::{DeskLimits, FleetNode, FleetSettings, Node, NodeConfig};
use streamz_store::ProcessKind;
use tokio_util::sync::CancellationToken;

use crate::edge::{CONNECTIONS_MAX, listen};
use crate::exit::Failure;
use crate::process::LAST_WRITES;
use crate::store;

/// Keeps clusters apart that share instances of Redis.
pub(crate) const NAMESPACE: &str = "default";

pub(crate) async fn run(args: ConfigArgs) -> Result<(), Failure> {
    let config = Config::load(Role::Node, args)?;
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
    let metrics = streamz_platform::metrics::install().map_err(Failure::unable)?;
    tasks.spawn("metrics", metrics.upkeep(tasks.stopping()));

    let limits = Arc::new(config.limits.clone());
    let node_tasks = Tasks::new();
    let node_config = NodeConfig {
        limits: limits.clone(),
        hub_idle: config.hub_idle,
        cluster: true,
        desk: DeskLimits {
            devices: u32::try_from(limits.devices_registered).unwrap_or(u32::MAX),
            ..NodeConfig::default().desk
        },
        ..NodeConfig::default()
    };
    // Hubs talk to their steward; this bus has no receivers.
    let node = Node::start(node_config, InProcess::new(), store.clone(), Clock::start(), &node_tasks)
        .await
        .map_err(Failure::unable)?;
    let settings = fleet_settings(&config, &address.to_string())?;
    let fleet = FleetNode::new(node.clone(), store.cluster(), settings).map_err(Failure::unable)?;

    let readiness = readiness(&store, &fleet);
    let operations = Operations::new(readiness, metrics);
    let accepting = CancellationToken::new();
    let listeners = Tasks::new();
    let options = ServeOptions {
        header_timeout: config.http.header_timeout,
        keep_alive: KEEP_ALIVE,
        max_connections: CONNECTIONS_MAX,
        drain: LAST_WRITES,
    };
    let serving = serve(listener, operations_alone(operations.clone()), options, accepting.clone());
    listeners.spawn("listener", async move {
        let _ = serving.await;
    });
    println!("Streamz {} node, operations on http://{address}", env!("CARGO_PKG_VERSION"));

    let leaving = CancellationToken::new();
    let living = fleet.clone().run(leaving.clone());
    tokio::pin!(living);
    let ended = tokio::select! {
        ended = &mut living => Some(ended),
        () = shutdown.begun() => None,
    };
    let finish = async {
        operations.start_draining();
        let ended = match ended {
            Some(ended) => ended,
            None => {
                let (ended, ()) = tokio::join!(&mut living, fleet.drain(&leaving));
                ended
            }
        };
        let report = node_tasks.shutdown(LAST_WRITES).await;
        if !report.is_clean() {
            tracing::warn!(?report, "not every record could be written");
        }
        node.stop().await;
        accepting.cancel();
        for set in [&listeners, &tasks] {
            set.shutdown(LAST_WRITES).await;
        }
        store.close().await;
        ended.map_err(Failure::unable)
    };
    let outcome = tokio::select! {
        outcome = finish => outcome,
        () = shutdown.now() => Err(Failure::unable("ended at once; its slots are taken over by others.")),
    };
    shutdown.request_now();
    listening.shutdown(Duration::from_secs(1)).await;
    outcome
}

fn fleet_settings(config: &Config, info: &str) -> Result<FleetSettings, Failure> {
    let BusConfig::Redis { urls } = &config.bus else {
        return Err(Failure::Configuration("REDIS_URL is missing.".to_owned()));
    };
    let SigningSource::Secret(secret) = &config.signing else {
        return Err(Failure::Configuration("JWT_SECRET is missing.".to_owned()));
    };
    Ok(FleetSettings {
        bus: redis::Settings::new(urls.clone(), NAMESPACE, new_process_id()),
        key: BusKey::derive(secret.expose_secret().as_bytes()),
        lease: LeaseSettings { kind: ProcessKind::Node, name: name(), info: info.to_owned() },
        drain: config.drain_timeout,
    })
}

/// The machine's or pod's name.
fn name() -> String {
    std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "unnamed".to_owned())
}

fn readiness(store: &streamz_store::Store, fleet: &Arc<FleetNode>) -> Readiness {
    let bus = fleet.clone();
    let slots = fleet.clone();
    Readiness::new()
        .with_store(store.clone())
        .with("bus", move || {
            let healthy = bus.status().bus.iter().any(|s| s.health == redis::Health::Healthy);
            async move { if healthy { Ok("answers") } else { Err("does not answer") } }
        })
        .with("cluster", move || {
            let status = slots.status();
            async move {
                match status.decides {
                    true => Ok("has its lease"),
                    false => Err("has no lease"),
                }
            }
        })
}
