//! Gauges that are read when somebody wants to know: the parts of a process are asked then, and need not count all the time.

use std::sync::{Arc, OnceLock};

use streamz_gateway::Connections;
use streamz_gateway::fleet::GatewayFleet;
use streamz_gateway::state::AppState;
use streamz_platform::MetricsHandle;
use streamz_signaling_node::{FleetNode, Node};
use streamz_status::Status;
use streamz_store::Store;

/// Connections to the database.
pub(crate) fn of_store(metrics: &MetricsHandle, store: Store) {
    let [busy, idle] =
        ["busy", "idle"].map(|state| metrics::gauge!("streamz_store_connections", "state" => state));
    metrics.on_look(move || {
        let stats = store.pool_stats();
        busy.set(f64::from(stats.open.saturating_sub(stats.idle)));
        idle.set(f64::from(stats.idle));
    });
}

/// Passwords that are checked, and that wait for it.
pub(crate) fn of_passwords(metrics: &MetricsHandle, state: AppState) {
    let [running, waiting] =
        ["running", "waiting"].map(|state| metrics::gauge!("streamz_password_queue", "state" => state));
    metrics.on_look(move || {
        let usage = state.passwords().usage();
        running.set(usage.running as f64);
        waiting.set(usage.waiting as f64);
    });
}

/// What devices have sent and nobody has settled.
pub(crate) fn of_connections(metrics: &MetricsHandle, connections: Arc<Connections>) {
    let unsettled = metrics::gauge!("streamz_messages_unsettled");
    metrics.on_look(move || unsettled.set(connections.describe().unsettled as f64));
}

/// What waits in a node: inputs for hubs, rows for the store.
pub(crate) fn of_node(metrics: &MetricsHandle, node: Arc<Node>) {
    let inputs = metrics::gauge!("streamz_hub_inputs_waiting");
    let [streams, presences] =
        ["stream", "presence"].map(|kind| metrics::gauge!("streamz_records_waiting", "kind" => kind));
    metrics.on_look(move || {
        let stats = node.stats();
        inputs.set(stats.inputs as f64);
        streams.set(stats.records.streams as f64);
        presences.set(stats.records.presences as f64);
    });
}

/// A gateway's place in its fleet.
pub(crate) fn of_gateway_fleet(metrics: &MetricsHandle, fleet: Arc<GatewayFleet>) {
    let member = Member::default();
    let unserved = metrics::gauge!("streamz_slots_unserved");
    metrics.on_look(move || {
        let mut status = Status::new(streamz_status::Role::Gateway, "", "");
        fleet.describe(&mut status);
        member.set(&status);
        if let Some(slots) = status.gateway.and_then(|gateway| gateway.unserved) {
            unserved.set(slots as f64);
        }
    });
}

/// A node's place in its fleet.
pub(crate) fn of_node_fleet(metrics: &MetricsHandle, fleet: Arc<FleetNode>) {
    let member = Member::default();
    let [owned, sealed, recovering] =
        ["owned", "sealed", "recovering"].map(|state| metrics::gauge!("streamz_slots", "state" => state));
    let coordinates = metrics::gauge!("streamz_coordinator");
    let decides = metrics::gauge!("streamz_decides");
    metrics.on_look(move || {
        let mut status = Status::new(streamz_status::Role::Node, "", "");
        fleet.describe(&mut status);
        member.set(&status);
        let now = fleet.status();
        owned.set(now.keeper.slots as f64);
        sealed.set(now.keeper.sealed as f64);
        recovering.set(now.keeper.claiming as f64);
        coordinates.set(u8::from(now.term.is_some()));
        decides.set(u8::from(now.decides));
    });
}

/// What every process of a fleet has. A gauge appears when there is something to say.
#[derive(Default)]
struct Member {
    lease: OnceLock<metrics::Gauge>,
    links: OnceLock<[metrics::Gauge; 2]>,
}

impl Member {
    fn set(&self, status: &Status) {
        if let Some(age) = status.lease.and_then(|lease| lease.renewed_ms_ago) {
            let gauge = self.lease.get_or_init(|| metrics::gauge!("streamz_lease_age_seconds"));
            gauge.set(age as f64 / 1000.0);
        }
        if let Some(links) = &status.links {
            let [frames, bytes] = self.links.get_or_init(|| {
                [
                    metrics::gauge!("streamz_links_waiting_frames"),
                    metrics::gauge!("streamz_links_waiting_bytes"),
                ]
            });
            frames.set(links.frames as f64);
            bytes.set(links.bytes as f64);
        }
    }
}
