//! One life of a gateway in the cluster: from its row to its end, and on to the next.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::DateTime;
use streamz_bus::redis::Evidence;
use streamz_cluster::coordinator::evidence_for;
use streamz_cluster::router::Input;
use streamz_fleet::{Lease, Listener, Member, Peers, PeersSettings, View, new_process_id};
use streamz_platform::Tasks;
use streamz_protocol::cluster::{Packet, Routed};
use streamz_protocol::{GatewayId, Millis, NodeId, ProcessId};
use streamz_store::Renewed;
use tokio_util::sync::CancellationToken;

use super::{Core, FleetError, GatewayFleet};

/// How long the tasks of a life may take to end.
const END_WITHIN: Duration = Duration::from_secs(5);

/// What is told to one incarnation. A late word to an earlier one counts for nothing.
struct Incarnation {
    fleet: Arc<GatewayFleet>,
    id: GatewayId,
    /// Beside the core, which may be locked when a link turns out to be exhausted.
    lease: OnceLock<Arc<Lease>>,
}

impl GatewayFleet {
    /// Lives in the cluster until `stopping`, as one incarnation after the other if it is evicted. To be called once.
    ///
    /// # Errors
    /// [`FleetError`] if Redis or Postgres will not become usable by waiting.
    pub async fn run(self: Arc<Self>, stopping: CancellationToken) -> Result<(), FleetError> {
        let beside = Tasks::new();
        if let Some(waiting) = self.waiting.lock().take() {
            beside.spawn("revoked sign-ins", self.clone().close_revoked(waiting, beside.stopping()));
            beside.spawn("revocations", self.clone().sync_revoked(beside.stopping()));
        }
        let outcome = loop {
            let tasks = Tasks::new();
            let outcome = self.live(&tasks, &stopping).await;
            let evicted = matches!(outcome, Ok(true));
            if evicted {
                self.start_anew();
            }
            let report = tasks.shutdown(END_WITHIN).await;
            if !report.is_clean() {
                tracing::warn!(?report, "not every task ended as it should");
            }
            if !evicted || stopping.is_cancelled() {
                break outcome.map(drop);
            }
        };
        beside.shutdown(END_WITHIN).await;
        outcome
    }

    /// One life. `true`: it was evicted.
    async fn live(self: &Arc<Self>, tasks: &Tasks, stopping: &CancellationToken) -> Result<bool, FleetError> {
        let id = self.identity.gateway();
        let incarnation = Arc::new(Incarnation { fleet: self.clone(), id, lease: OnceLock::new() });
        let mut bus = self.settings.bus.clone();
        bus.process = id.into();
        let settings = PeersSettings { bus, key: self.settings.key.clone() };
        let peers = tokio::select! {
            started = Peers::start(settings, self.clock, incarnation.clone(), tasks) => started?,
            () = stopping.cancelled() => return Ok(false),
        };
        // Before the row is there: who sees it may send at once.
        self.core.lock().peers = Some(peers.clone());
        let settings = self.settings.lease.clone();
        let joined = Lease::join(settings, self.cluster.clone(), peers, self.clock, stopping).await;
        let lease = match joined {
            Ok(lease) => lease,
            Err(streamz_fleet::JoinError::Stopped) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        // Nobody else sets it.
        let _ = incarnation.lease.set(lease.clone());
        self.core.lock().lease = Some(lease.clone());
        tracing::info!(gateway = id.0, "this gateway is one of the cluster's");
        let evicted = lease.run(incarnation, stopping.clone()).await;
        if evicted {
            self.diary.expelled(id.into(), lease.why(), self.clock.now());
        } else {
            lease.leave().await;
        }
        Ok(evicted)
    }

    /// Everybody takes this gateway for dead: it closes what it has and goes on under another id.
    fn start_anew(&self) {
        let id = GatewayId(new_process_id().0);
        // Nothing that was said to the old one is handed on any more.
        let _turn = self.turn.lock();
        *self.core.lock() = Core::new(id);
        // Whoever connects in between does so under the old id, and is closed with the others.
        match self.served.get() {
            Some(served) => served.connections.start_anew(id),
            None => self.identity.change(id),
        }
    }
}

impl Incarnation {
    /// Tells the router something, and hands on what is for connections.
    fn handle(&self, input: Input, before: impl FnOnce(&mut Core)) {
        let _turn = self.fleet.turn.lock();
        let delivered = {
            let mut core = self.fleet.core.lock();
            if core.id != self.id {
                return;
            }
            before(&mut core);
            core.handle(input, self.fleet.clock)
        };
        self.fleet.deliver(delivered);
    }
}

impl Listener for Incarnation {
    fn frame(&self, from: ProcessId, frame: Routed) {
        self.handle(Input::FromNode { node: NodeId(from.0), frame }, |_| {});
    }

    fn packet(&self, _: ProcessId, packet: Packet) {
        match packet {
            Packet::Table { version, changes } => self.handle(Input::Hint { version, changes }, |_| {}),
            Packet::Revoked { family, at, user } => {
                let Some(served) = self.fleet.served.get() else { return };
                let now = self.fleet.clock.utc();
                let at = i64::try_from(at.0).ok().and_then(DateTime::from_timestamp_millis).unwrap_or(now);
                served.revoked.insert(family, at, now);
                self.fleet.close_soon(user, family);
            }
            Packet::Evicted => {
                if let Some(lease) = self.lease.get() {
                    lease.evicted();
                }
            }
            Packet::Beat { .. } | Packet::Report { .. } | Packet::Frame { .. } | Packet::Ack { .. } => {}
        }
    }

    fn silent(&self, evidence: Evidence) {
        self.fleet.diary.silent(evidence, self.fleet.clock.now());
        let (peers, told) = {
            let core = self.fleet.core.lock();
            if core.id != self.id {
                return;
            }
            (core.peers.clone(), evidence_for(core.coordinator, evidence.process, &core.nodes))
        };
        let Some(peers) = peers else { return };
        let silent_ms = u64::try_from(evidence.silent.as_millis()).unwrap_or(u64::MAX);
        for node in told {
            peers.tell(node.into(), Packet::Report { dead: evidence.process, silent_ms });
        }
    }

    fn exhausted(&self, _: ProcessId) {
        if let Some(lease) = self.lease.get() {
            lease.give_up();
        }
    }
}

impl Member for Incarnation {
    fn renewed(&self, sent_at: Millis, renewed: &Renewed) {
        let mut core = self.fleet.core.lock();
        if core.id == self.id {
            core.coordinator = renewed.coordinator.holder;
            core.look(self.fleet.clock);
            drop(core);
            self.fleet.diary.renewed(sent_at);
        }
    }

    fn read(&self, view: View) {
        self.fleet.diary.read(&view);
        let changes = view.assignments();
        let View { version, nodes, gateways, .. } = view;
        let known = nodes.clone();
        self.handle(Input::Read { version, changes, nodes }, |core| {
            core.gateways = gateways;
            core.nodes = known;
        });
    }
}
