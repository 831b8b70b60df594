//! `streamz node`: hubs, over Postgres and Redis. It serves nobody but its operators.

use std::sync::Arc;

use streamz_bus::InProcess;
use streamz_fleet::LeaseSettings;
use streamz_gateway::http::{Operations, operations_alone};
use streamz_gateway::readiness::Readiness;
use streamz_gateway::serve::{KEEP_ALIVE, ServeOptions, serve};
use streamz_platform::config::Role;
use streamz_platform::{Clock, Config, ConfigArgs, Tasks};
use streamz_signaling_node::{FleetNode, FleetSettings, Node, NodeConfig};
use streamz_store::{ProcessKind, Store};
use tokio_util::sync::CancellationToken;

use crate::edge::listen;
use crate::embedded::node_config;
use crate::exit::Failure;
use crate::figures;
use crate::fleet;
use crate::process::{LAST_WRITES, Process};
use crate::status::{Parts, Source};

pub(crate) async fn run(args: ConfigArgs) -> Result<(), Failure> {
    let config = Config::load(Role::Node, args)?;
    let process = Process::begin(&config)?;
    let store = process.store(&config).await?;
    let (bus, key) = fleet::bus(&config)?;
    fleet::check_bus(&bus).await?;
    let listener = listen(config.listen, "HOST, PORT").await?;
    let address = listener.local_addr().map_err(Failure::unable)?;

    let node_tasks = Tasks::new();
    let node_config = NodeConfig { cluster: true, ..node_config(&config) };
    // Hubs talk to their steward; this bus has no receivers.
    let node = Node::start(node_config, InProcess::new(), store.clone(), Clock::start(), &node_tasks)
        .await
        .map_err(Failure::unable)?;
    let lease = LeaseSettings {
        kind: ProcessKind::Node,
        name: format!("{}:{}", streamz_platform::machine(), address.port()),
        info: fleet::reachable(address, &bus).await,
        key: key.name(),
    };
    let name = lease.name.clone();
    let settings = FleetSettings { bus, key, lease };
    let member = FleetNode::new(node.clone(), store.cluster(), settings, config.drain_timeout)
        .map_err(Failure::unable)?;

    figures::of_node(&process.metrics, node.clone());
    figures::of_node_fleet(&process.metrics, member.clone());
    let readiness = readiness(&store, &member);
    let status = Source::new(name, store.clone(), Parts::Node(node.clone(), member.clone()));
    let operations = Operations::new(readiness, process.metrics.clone(), status.source());
    let accepting = CancellationToken::new();
    let listeners = Tasks::new();
    let options = ServeOptions {
        header_timeout: config.http.header_timeout,
        keep_alive: KEEP_ALIVE,
        max_connections: config.http.connections,
        drain: LAST_WRITES,
    };
    let serving = serve(listener, operations_alone(operations.clone()), options, accepting.clone());
    listeners.spawn("listener", async move {
        let _ = serving.await;
    });
    println!("Streamz {} node, operations on http://{address}", env!("CARGO_PKG_VERSION"));

    let leaving = CancellationToken::new();
    let living = member.clone().run(leaving.clone());
    tokio::pin!(living);
    let ended = tokio::select! {
        ended = &mut living => Some(ended),
        () = process.shutdown.begun() => None,
    };
    let orderly = async {
        operations.start_draining();
        let ended = match ended {
            Some(ended) => ended,
            None => {
                let (ended, ()) = tokio::join!(&mut living, member.drain(&leaving));
                ended
            }
        };
        let report = node_tasks.shutdown(LAST_WRITES).await;
        if !report.is_clean() {
            tracing::warn!(?report, "not every record could be written");
        }
        node.stop().await;
        accepting.cancel();
        store.close().await;
        ended.map_err(Failure::unable)
    };
    process.end(orderly, &listeners, "ended at once; its slots are taken over by others.").await
}

fn readiness(store: &Store, member: &Arc<FleetNode>) -> Readiness {
    let (bus, lease) = (member.clone(), member.clone());
    Readiness::new()
        .with_store(store.clone())
        .with("bus", move || std::future::ready(fleet::bus_state(&bus.status().bus)))
        .with("cluster", move || {
            let status = lease.status();
            async move {
                match status.decides {
                    true => Ok("has its lease"),
                    false => Err("has no lease"),
                }
            }
        })
}
