//! One life of a node in the cluster: from its row to its end, and on to the next.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use streamz_bus::redis::Evidence;
use streamz_cluster::coordinator::evidence_for;
use streamz_cluster::{Authority, Keeper, authority, keeper};
use streamz_fleet::{Lease, Listener, Member, Peers, PeersSettings, View, new_process_id};
use streamz_platform::Tasks;
use streamz_protocol::cluster::{Packet, Routed};
use streamz_protocol::{GatewayId, Millis, NodeId, ProcessId};
use streamz_store::Renewed;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::coordinator::{self, News};
use super::{FleetError, FleetNode, left, moves};

/// News that may wait for the coordinator; what is lost comes again.
const NEWS: usize = 1024;
/// How long the tasks of a life may take to end.
const END_WITHIN: Duration = Duration::from_secs(5);

/// What is told to one incarnation. A late word to an earlier one counts for nothing.
struct Incarnation {
    fleet: Arc<FleetNode>,
    id: NodeId,
    /// Beside the state, which may be locked when a link turns out to be exhausted.
    lease: OnceLock<Arc<Lease>>,
}

impl FleetNode {
    /// Lives in the cluster until `stopping`, as one incarnation after the other if it is evicted.
    ///
    /// # Errors
    /// [`FleetError`] if Redis or Postgres will not become usable by waiting.
    pub async fn run(self: Arc<Self>, stopping: CancellationToken) -> Result<(), FleetError> {
        let errands = self.errands.lock().take();
        let beside = Tasks::new();
        if let Some((moving, confirmed)) = errands {
            beside.spawn("moves", moves::run(self.clone(), moving, beside.stopping()));
            beside.spawn("left rows", left::run(self.clone(), confirmed, beside.stopping()));
        }
        let mut outcome = Ok(true);
        while matches!(outcome, Ok(true)) && !stopping.is_cancelled() {
            let tasks = Tasks::new();
            outcome = self.live(&tasks, &stopping).await;
            self.handle(keeper::Input::Evicted);
            self.term.store(0, Ordering::Relaxed);
            let report = tasks.shutdown(END_WITHIN).await;
            if !report.is_clean() {
                tracing::warn!(?report, "not every task ended as it should");
            }
        }
        beside.shutdown(END_WITHIN).await;
        outcome.map(drop)
    }

    /// One life. `true`: it was evicted.
    async fn live(self: &Arc<Self>, tasks: &Tasks, stopping: &CancellationToken) -> Result<bool, FleetError> {
        let process = new_process_id();
        let id = NodeId(process.0);
        let incarnation = Arc::new(Incarnation { fleet: self.clone(), id, lease: OnceLock::new() });
        let clock = self.node.clock();
        let mut bus = self.settings.bus.clone();
        bus.process = process;
        let settings = PeersSettings { bus, key: self.settings.key.clone() };
        let peers = tokio::select! {
            started = Peers::start(settings, clock, incarnation.clone(), tasks) => started?,
            () = stopping.cancelled() => return Ok(false),
        };
        let (news, waiting) = mpsc::channel(NEWS);
        {
            // Before the row is there: who sees it may send at once.
            let mut state = self.state.lock();
            state.id = id;
            state.keeper = Keeper::new(id);
            state.authority = Authority::new();
            state.coordinator_heard = None;
            state.takeovers.over(clock.now());
            state.peers = Some(peers.clone());
            state.gateways.clear();
            state.nodes.clear();
            state.staying.clear();
            state.to_coordinator = Some(news);
        }
        let lease = self.settings.lease.clone();
        let lease = Lease::join(lease, self.store.clone(), peers.clone(), clock, stopping).await?;
        // Nobody else sets it.
        let _ = incarnation.lease.set(lease.clone());
        self.state.lock().lease = Some(lease.clone());
        tasks.spawn("coordinator", coordinator::run(self.clone(), id, waiting, tasks.stopping()));
        tracing::info!(node = id.0, "this node is one of the cluster's");
        let evicted = lease.run(incarnation, stopping.clone()).await;
        self.authorize(authority::Input::Evicted);
        if evicted {
            self.diary.expelled(process, lease.why(), clock.now());
        } else {
            lease.leave().await;
            peers.flushed().await;
        }
        let mut state = self.state.lock();
        state.lease = None;
        state.to_coordinator = None;
        Ok(evicted)
    }
}

impl Incarnation {
    fn is_current(&self) -> bool {
        self.fleet.state.lock().id == self.id
    }

    fn news(&self, news: News) {
        self.fleet.state.lock().news(news);
    }
}

impl Listener for Incarnation {
    fn frame(&self, from: ProcessId, frame: Routed) {
        let gateway = GatewayId(from.0);
        let input = match frame {
            Routed::ToHub { tenure, frame } => keeper::Input::Frame { gateway, tenure, frame },
            Routed::Claimed { tenures, users, .. } => keeper::Input::Claimed { gateway, tenures, users },
            Routed::ToGateway { .. } | Routed::Claim { .. } | Routed::NotMine { .. } => {
                return tracing::debug!(from = from.0, "a frame that no node should get");
            }
        };
        let mut state = self.fleet.state.lock();
        if state.id == self.id {
            self.fleet.handle_locked(&mut state, input);
        }
    }

    fn packet(&self, _: ProcessId, packet: Packet) {
        match packet {
            Packet::Beat { coordinator, version } => {
                if self.is_current() {
                    self.fleet.authorize(authority::Input::Beat { coordinator });
                }
                self.news(News::Hint(version));
            }
            Packet::Table { version, changes } => {
                let mut state = self.fleet.state.lock();
                if state.id == self.id {
                    self.fleet.handle_locked(&mut state, keeper::Input::Hint(changes));
                }
                drop(state);
                self.news(News::Hint(version));
            }
            Packet::Report { dead, silent_ms } => {
                self.news(News::Report { dead, silent: Duration::from_millis(silent_ms) });
            }
            Packet::Evicted => {
                if let Some(lease) = self.lease.get() {
                    lease.evicted();
                }
            }
            Packet::Revoked { .. } | Packet::Frame { .. } | Packet::Ack { .. } => {}
        }
    }

    fn silent(&self, evidence: Evidence) {
        self.fleet.diary.silent(evidence, self.fleet.node.clock().now());
        let state = self.fleet.state.lock();
        let silent_ms = u64::try_from(evidence.silent.as_millis()).unwrap_or(u64::MAX);
        let packet = Packet::Report { dead: evidence.process, silent_ms };
        let told = evidence_for(state.coordinator, evidence.process, &state.nodes);
        FleetNode::tell_all(&state, told.into_iter().map(ProcessId::from), &packet);
        drop(state);
        self.news(News::Report { dead: evidence.process, silent: evidence.silent });
    }

    fn exhausted(&self, _: ProcessId) {
        if let Some(lease) = self.lease.get() {
            lease.give_up();
        }
    }
}

impl Member for Incarnation {
    fn renewed(&self, sent_at: Millis, renewed: &Renewed) {
        if !self.is_current() {
            return;
        }
        self.fleet.authorize(authority::Input::Coordinator(renewed.coordinator.epoch));
        self.fleet.authorize(authority::Input::Renewed { sent_at });
        self.fleet.state.lock().coordinator = renewed.coordinator.holder;
        self.fleet.diary.renewed(sent_at);
        self.news(News::Renewed { sent_at, coordinator: renewed.coordinator });
    }

    fn read(&self, view: View) {
        self.fleet.diary.read(&view);
        let mut guard = self.fleet.state.lock();
        let state = &mut *guard;
        if state.id != self.id {
            return;
        }
        let keeper = &state.keeper;
        let now = self.fleet.node.clock().now();
        state.takeovers.read(self.id, &view.rows, |slot| keeper.tenure(slot), now);
        state.gateways.clone_from(&view.gateways);
        state.nodes.clone_from(&view.nodes);
        state.staying.clone_from(&view.staying);
        let input = keeper::Input::Read { version: view.version, rows: view.rows, gateways: view.gateways };
        self.fleet.handle_locked(state, input);
    }
}
