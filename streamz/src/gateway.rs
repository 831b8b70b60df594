//! `streamz gateway`: API and WebSockets, over Postgres and Redis. The hubs are in the nodes.

use std::sync::Arc;
use std::time::Duration;

use streamz_fleet::LeaseSettings;
use streamz_gateway::fleet::{FleetError, FleetSettings, GatewayFleet};
use streamz_gateway::readiness::Readiness;
use streamz_platform::config::Role;
use streamz_platform::{Clock, Config, ConfigArgs};
use streamz_protocol::cluster::SLOTS;
use streamz_store::{ProcessKind, Store};
use tokio_util::sync::CancellationToken;

use crate::edge::{Edge, Inside, Listeners};
use crate::exit::Failure;
use crate::figures;
use crate::fleet;
use crate::process::{LAST_WRITES, Process};
use crate::status::{Parts, Source};

/// How long it may take to tell the cluster that this gateway is about to go.
const ANNOUNCE_WITHIN: Duration = Duration::from_secs(1);

pub(crate) async fn run(args: ConfigArgs) -> Result<(), Failure> {
    let config = Config::load(Role::Gateway, args)?;
    let process = Process::begin(&config)?;
    let store = process.store(&config).await?;
    let (bus, key) = fleet::bus(&config)?;
    fleet::check_bus(&bus).await?;
    let listeners = Listeners::open(&config).await?;
    let address = listeners.address;

    let clock = Clock::start();
    let lease = LeaseSettings {
        kind: ProcessKind::Gateway,
        name: format!("{}:{}", streamz_platform::machine(), address.port()),
        info: fleet::reachable(listeners.operations, &bus).await,
        key: key.name(),
    };
    let name = lease.name.clone();
    let settings = FleetSettings { bus, key, lease };
    let gateway = GatewayFleet::new(store.clone(), settings, clock).map_err(Failure::unable)?;
    let inside = Inside {
        store: store.clone(),
        clock,
        bus: gateway.clone(),
        identity: gateway.identity(),
        readiness: readiness(&store, &gateway),
        status: Source::new(name, store.clone(), Parts::Gateway(gateway.clone())),
        ice: config.ice.clone(),
    };
    let edge = Edge::compose(&config, inside, &process.tasks).await?;
    gateway.serve(edge.connections(), edge.state.revoked().clone());
    figures::of_gateway_fleet(&process.metrics, gateway.clone());
    let scheme = listeners.scheme();
    edge.serve(&config, listeners);
    println!("Streamz {} gateway listens on {scheme}://{address}", env!("CARGO_PKG_VERSION"));

    let leaving = CancellationToken::new();
    let living = gateway.clone().run(leaving.clone());
    tokio::pin!(living);
    let failed = tokio::select! {
        ended = &mut living => Some(ended),
        () = process.shutdown.begun() => None,
    };
    let orderly = async {
        edge.stop_accepting();
        let ended = match failed {
            // Nobody can be served any more.
            Some(ended) => {
                edge.send_away(&config).await;
                ended
            }
            None => {
                let leave = async {
                    let announced = tokio::time::timeout(ANNOUNCE_WITHIN, gateway.start_draining());
                    let (_, ()) = tokio::join!(announced, edge.send_away_in_turn(&config));
                    gateway.flush(LAST_WRITES).await;
                    leaving.cancel();
                };
                let (ended, ()) = tokio::join!(&mut living, leave);
                ended
            }
        };
        edge.stop_operations();
        store.close().await;
        ended.map_err(|error: FleetError| Failure::unable(error))
    };
    process.end(orderly, edge.listeners(), "ended at once; devices were not told.").await
}

fn readiness(store: &Store, gateway: &Arc<GatewayFleet>) -> Readiness {
    let (bus, slots) = (gateway.clone(), gateway.clone());
    Readiness::new()
        .with_store(store.clone())
        .with("bus", move || std::future::ready(fleet::bus_state(&bus.status().bus)))
        .with_figures("slots", move || {
            let status = slots.status();
            let text = match usize::from(SLOTS) - status.served {
                0 => "all are served".to_owned(),
                missing => format!("{missing} of {SLOTS} have no owner that serves"),
            };
            // While a node is replaced its users wait; if every gateway were taken out of service for it, all would.
            if status.complete && status.served > 0 { Ok(text) } else { Err(text) }
        })
}
