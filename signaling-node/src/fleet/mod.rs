//! A node of a cluster: the shell around the keeper of slots, the coordinator, and the right to decide.
//!
//! Everything that the keeper is told, and everything that it says in answer, happens under one lock. So frames of a
//! gateway reach a hub in order with the start and the end of that hub, and what a hub says leaves before the slot is
//! given away or not at all. Nothing under the lock waits: links, lanes and mailboxes take what they are given.

mod coordinator;
mod describe;
mod effects;
mod incarnation;
mod left;
mod moves;
mod takeovers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use streamz_bus::redis;
use streamz_cluster::{Authority, Keeper, authority, keeper};
use streamz_fleet::{Diary, Lease, Peers, Recent};
pub use streamz_fleet::{FleetError, FleetSettings};
use streamz_protocol::bus::ToGateway;
use streamz_protocol::cluster::Packet;
use streamz_protocol::{GatewayId, Millis, NodeId, ProcessId, UserId};
use streamz_store::ClusterStore;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::Node;
use crate::actors::steward::Steward;
use takeovers::Takeovers;

/// What waits for the tasks beside the keeper. There is one entry for each slot at most, or so.
const ERRANDS: usize = 4 * streamz_protocol::cluster::SLOTS as usize;

/// What a node of a cluster is doing, for readiness and status.
#[derive(Clone, Debug)]
pub struct FleetStatus {
    /// Its incarnation.
    pub id: NodeId,
    /// What the keeper holds.
    pub keeper: keeper::Stats,
    /// Whether it may decide.
    pub decides: bool,
    /// The epoch of its term, if it coordinates.
    pub term: Option<u64>,
    /// How the instances of Redis are.
    pub bus: Vec<redis::Status>,
}

/// A node of a cluster.
pub struct FleetNode {
    node: Arc<Node>,
    store: ClusterStore,
    settings: FleetSettings,
    /// How long an orderly end may take.
    drain: Duration,
    state: Mutex<State>,
    diary: Diary,
    /// Whom it evicted as the coordinator.
    evictions: Mutex<Recent<describe::Evicted>>,
    /// Until when it may decide, for hubs to look at; in milliseconds of the clock.
    decides_until: AtomicU64,
    term: AtomicU64,
    moves: mpsc::Sender<moves::Errand>,
    left: mpsc::Sender<streamz_protocol::cluster::Tenure>,
    errands: Mutex<Option<Errands>>,
}

type Errands = (mpsc::Receiver<moves::Errand>, mpsc::Receiver<streamz_protocol::cluster::Tenure>);

struct State {
    id: NodeId,
    keeper: Keeper,
    authority: Authority,
    lease: Option<Arc<Lease>>,
    peers: Option<Arc<Peers>>,
    /// Everybody who lived when the store was read last.
    gateways: Vec<GatewayId>,
    nodes: Vec<NodeId>,
    /// Nodes that would take slots.
    staying: Vec<NodeId>,
    coordinator: Option<NodeId>,
    /// When it was heard last.
    coordinator_heard: Option<Millis>,
    takeovers: Takeovers,
    to_coordinator: Option<mpsc::Sender<coordinator::News>>,
}

impl State {
    /// Tells the candidate or coordinator something.
    fn news(&self, news: coordinator::News) {
        if let Some(to) = &self.to_coordinator {
            // Full: it comes again.
            let _ = to.try_send(news);
        }
    }
}

impl FleetNode {
    /// Puts a node under the rule of the cluster. It must have no hubs yet. An orderly end may take as long as `drain`.
    ///
    /// # Errors
    /// [`FleetError::NoCluster`].
    pub fn new(
        node: Arc<Node>,
        store: Option<ClusterStore>,
        settings: FleetSettings,
        drain: Duration,
    ) -> Result<Arc<Self>, FleetError> {
        let store = store.ok_or(FleetError::NoCluster)?;
        let nobody = NodeId(0);
        let (moves, moves_wait) = mpsc::channel(ERRANDS);
        let (left, left_wait) = mpsc::channel(ERRANDS);
        let fleet = Arc::new(Self {
            node: node.clone(),
            store,
            settings,
            drain,
            state: Mutex::new(State {
                id: nobody,
                keeper: Keeper::new(nobody),
                authority: Authority::new(),
                lease: None,
                peers: None,
                gateways: Vec::new(),
                nodes: Vec::new(),
                staying: Vec::new(),
                coordinator: None,
                coordinator_heard: None,
                takeovers: Takeovers::default(),
                to_coordinator: None,
            }),
            diary: Diary::default(),
            evictions: Mutex::default(),
            decides_until: AtomicU64::new(0),
            term: AtomicU64::new(0),
            moves,
            left,
            errands: Mutex::new(Some((moves_wait, left_wait))),
        });
        node.obey(fleet.clone());
        Ok(fleet)
    }

    /// What it is doing.
    #[must_use]
    pub fn status(&self) -> FleetStatus {
        let state = self.state.lock();
        let term = self.term.load(Ordering::Relaxed);
        FleetStatus {
            id: state.id,
            keeper: state.keeper.stats(),
            decides: self.may_decide(),
            term: (term > 0).then_some(term),
            bus: state.peers.as_ref().map(|peers| peers.statuses()).unwrap_or_default(),
        }
    }

    /// Gives the slots away, waits until they are gone, nobody is there to take them, or for as long as an end may take;
    /// and stops. To be called once, and followed by the end of [`FleetNode::run`].
    pub async fn drain(&self, stopping: &CancellationToken) {
        let lease = self.state.lock().lease.clone();
        if let Some(lease) = lease {
            match lease.set_draining().await {
                Ok(()) => {
                    let gone = async {
                        while self.has_slots_to_give() {
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                    };
                    if tokio::time::timeout(self.drain, gone).await.is_err() {
                        tracing::warn!("some slots were not handed over in time; others take them over");
                    }
                }
                Err(error) => tracing::warn!(%error, "slots are not handed over; others take them over"),
            }
        }
        stopping.cancel();
    }

    fn has_slots_to_give(&self) -> bool {
        let state = self.state.lock();
        state.keeper.stats().slots > 0 && state.staying.iter().any(|node| *node != state.id)
    }

    fn handle(&self, input: keeper::Input) {
        let mut state = self.state.lock();
        self.handle_locked(&mut state, input);
    }

    fn authorize(&self, input: authority::Input) {
        let mut state = self.state.lock();
        let now = self.node.clock().now();
        // What has lapsed meanwhile was lost, though nobody looked.
        let lapsed = state.authority.handle(authority::Input::Tick, now);
        if matches!(input, authority::Input::Beat { .. }) {
            state.coordinator_heard = Some(now);
        }
        let change = state.authority.handle(input, now);
        let until = state.authority.next_deadline().unwrap_or(Millis(0));
        self.decides_until.store(until.0, Ordering::Relaxed);
        drop(state);
        for change in lapsed.into_iter().chain(change) {
            match change {
                authority::Effect::Gained => {
                    tracing::info!("this node decides");
                    self.node.decide();
                }
                authority::Effect::Lost => {
                    tracing::warn!(
                        "this node relays and decides nothing: neither the database nor the coordinator is heard"
                    );
                }
            }
        }
    }

    /// Tells processes something outside of the links.
    fn tell_all(state: &State, to: impl Iterator<Item = ProcessId>, packet: &Packet) {
        let Some(peers) = &state.peers else { return };
        for process in to.filter(|process| *process != peers.me()) {
            peers.tell(process, packet.clone());
        }
    }
}

impl Steward for FleetNode {
    fn says(&self, user: UserId, hub_epoch: u64, gateway: GatewayId, frame: ToGateway) {
        self.handle(keeper::Input::HubSays { user, hub_epoch, gateway, frame });
    }

    fn wants_devices(&self, user: UserId, hub_epoch: u64) {
        self.handle(keeper::Input::HubLoads { user, hub_epoch });
    }

    fn may_go(&self, user: UserId, hub_epoch: u64, is_clear: &dyn Fn() -> bool) -> bool {
        let mut state = self.state.lock();
        let clear = is_clear();
        if clear {
            self.handle_locked(&mut state, keeper::Input::HubGone { user, hub_epoch, failed: false });
        }
        clear
    }

    fn failed(&self, user: UserId, hub_epoch: u64) {
        self.handle(keeper::Input::HubGone { user, hub_epoch, failed: true });
    }

    fn restart(&self, user: UserId) {
        self.handle(keeper::Input::HubRestart(user));
    }

    fn may_decide(&self) -> bool {
        self.node.clock().now().0 < self.decides_until.load(Ordering::Relaxed)
    }
}
