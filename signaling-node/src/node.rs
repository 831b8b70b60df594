//! A signaling node: its shards, and the way from the bus to them.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ractor::concurrency::JoinHandle;
use ractor::{Actor, ActorRef};
use streamz_bus::{Bus, HubReceiver, Refused};
use streamz_platform::{Clock, Tasks};
use streamz_protocol::bus::{ToHub, Up};
use streamz_protocol::cluster::Slot;
use streamz_protocol::{GatewayId, Limits, StreamId, UserId};
use streamz_store::Store;
use tokio::sync::oneshot;

use crate::actors::Backlog;
use crate::actors::express::Express;
use crate::actors::hub::Surroundings;
use crate::actors::shard::{ShardActor, ShardMsg, ShardStart};
use crate::actors::steward::Steward;
use crate::desk::{Desk, DeskLimits};

/// How long a shard may take to answer somebody who asks how the node is.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// What a node is made of.
pub struct NodeConfig {
    /// What bounds sessions and hubs.
    pub limits: Arc<Limits>,
    /// How long a hub is quiet before it is put to sleep.
    pub hub_idle: Duration,
    /// How often it is checked that the accounts of the users that are there still exist.
    pub check_users: Duration,
    /// Actors that share the users among them.
    pub shards: usize,
    /// Inputs that may be on their way through one shard.
    pub backlog: usize,
    /// What bounds the reads and writes of the store.
    pub desk: DeskLimits,
    /// It is one of several nodes on one Postgres.
    pub cluster: bool,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            limits: Arc::default(),
            hub_idle: Duration::from_secs(5),
            check_users: Duration::from_secs(300),
            shards: 16,
            backlog: 16 * 1024,
            desk: DeskLimits { reads: 16, records: 10_000, presences: 100_000, devices: 128 },
            cluster: false,
        }
    }
}

/// A node could not start its actors.
#[derive(Debug, thiserror::Error)]
#[error("the signaling node could not start: {0}")]
pub struct StartError(#[from] ractor::SpawnErr);

/// What a node holds, for metrics and status pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeStats {
    /// Hubs that run as actors.
    pub hubs_awake: u64,
    /// Hubs that sleep.
    pub hubs_asleep: u64,
    /// Inputs that are on their way through the shards.
    pub inputs: u64,
    /// Rows that wait for the store.
    pub records: streamz_status::Records,
}

/// Numbers that go up and down.
#[derive(Debug)]
pub(crate) struct Gauges {
    pub(crate) awake: Gauge,
    pub(crate) asleep: Gauge,
}

impl Default for Gauges {
    fn default() -> Self {
        Self { awake: Gauge::new("awake"), asleep: Gauge::new("asleep") }
    }
}

/// Hubs in one state.
#[derive(Debug)]
pub(crate) struct Gauge {
    state: &'static str,
    value: AtomicI64,
}

impl Gauge {
    fn new(state: &'static str) -> Self {
        Self { state, value: AtomicI64::new(0) }
    }

    pub(crate) fn add(&self, by: i64) {
        let value = self.value.fetch_add(by, Ordering::Relaxed) + by;
        metrics::gauge!("streamz_hubs", "state" => self.state).set(value as f64);
    }

    pub(crate) fn sub(&self, by: i64) {
        self.add(-by);
    }

    fn get(&self) -> u64 {
        u64::try_from(self.value.load(Ordering::Relaxed)).unwrap_or(0)
    }
}

impl Shard {
    /// A shard that has ended needs to be told nothing.
    fn tell(&self, message: ShardMsg) {
        let _ = self.actor.cast(message);
    }
}

/// A running node.
pub struct Node {
    surroundings: Arc<Surroundings>,
    shards: Vec<Shard>,
    backlog_limit: usize,
    gauges: Arc<Gauges>,
    handles: parking_lot::Mutex<Vec<JoinHandle<()>>>,
}

struct Shard {
    actor: ActorRef<ShardMsg>,
    backlog: Backlog,
    express: Arc<Express>,
}

impl Node {
    /// Starts the actors. The store's readers and writer belong to `tasks`.
    ///
    /// # Errors
    /// [`StartError`] if an actor does not start.
    pub async fn start(
        config: NodeConfig,
        bus: Arc<dyn Bus>,
        store: Store,
        clock: Clock,
        tasks: &Tasks,
    ) -> Result<Arc<Self>, StartError> {
        let cluster = store.cluster().filter(|_| config.cluster);
        let surroundings = Arc::new(Surroundings {
            bus,
            desk: Desk::open(store, cluster, clock, config.desk, tasks),
            clock,
            idle: config.hub_idle,
            check_users: config.check_users,
            steward: OnceLock::new(),
        });
        let gauges = Arc::new(Gauges::default());
        let mut shards = Vec::new();
        let mut handles = Vec::new();
        let count = u32::try_from(config.shards.max(1)).unwrap_or(u32::MAX);
        for turn in 1..=count {
            let express = Arc::new(Express::default());
            let start = ShardStart {
                first_check: config.check_users * turn / count,
                surroundings: surroundings.clone(),
                limits: config.limits.clone(),
                gauges: gauges.clone(),
                express: express.clone(),
            };
            let (actor, handle) = ShardActor::spawn(None, ShardActor, start).await?;
            shards.push(Shard { actor, backlog: Backlog::default(), express });
            handles.push(handle);
        }
        Ok(Arc::new(Self {
            surroundings,
            shards,
            backlog_limit: config.backlog,
            gauges,
            handles: parking_lot::Mutex::new(handles),
        }))
    }

    /// What it holds.
    #[must_use]
    pub fn stats(&self) -> NodeStats {
        NodeStats {
            hubs_awake: self.gauges.awake.get(),
            hubs_asleep: self.gauges.asleep.get(),
            inputs: self.shards.iter().map(|shard| shard.backlog.count() as u64).sum(),
            records: self.desk().waiting(),
        }
    }

    /// For a status. Asks every shard to answer, and waits half a second for those that do not.
    pub async fn describe(&self) -> streamz_status::Node {
        let asked = self.ask_all();
        let by = tokio::time::Instant::now() + ANSWER_WITHIN;
        let mut stuck = 0;
        for answered in asked {
            // An error: the shard has ended.
            stuck += u64::from(!matches!(tokio::time::timeout_at(by, answered).await, Ok(Ok(()))));
        }
        let NodeStats { hubs_awake, hubs_asleep, inputs, records } = self.stats();
        streamz_status::Node {
            hubs_awake,
            hubs_asleep,
            shards: streamz_status::Shards { total: self.shards.len() as u64, stuck, inputs },
            records,
            slots: None,
            sealed: 0,
            recovering: 0,
            awaits: Vec::new(),
            authority: None,
            term: None,
        }
    }

    /// Stops all hubs and waits for them.
    pub async fn stop(&self) {
        for shard in &self.shards {
            shard.actor.stop(None);
        }
        let handles = std::mem::take(&mut *self.handles.lock());
        for handle in handles {
            // Only a panic of the shard itself could make this an error, and then it has ended as well.
            let _ = handle.await;
        }
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.surroundings.desk
    }

    pub(crate) fn clock(&self) -> Clock {
        self.surroundings.clock
    }

    /// From now on this steward starts the hubs. Once, and before the first input.
    pub(crate) fn obey(&self, steward: Arc<dyn Steward>) {
        assert!(self.surroundings.steward.set(steward).is_ok(), "a node has one steward");
    }

    /// Starts a hub; whatever is given to the user's hub from now on is for that one.
    pub(crate) fn start_hub(&self, user: UserId, epoch: u64, recover_from: Vec<GatewayId>) {
        let shard = self.shard(user);
        shard.express.await_start(user);
        shard.tell(ShardMsg::Start { user, epoch, recover_from });
    }

    /// Gives an input to a user's hub.
    pub(crate) fn give(&self, user: UserId, up: Up) -> Result<(), Refused> {
        self.receive(ToHub { user, up })
    }

    pub(crate) fn load(&self, user: UserId, epoch: u64) {
        self.shard(user).tell(ShardMsg::Load { user, epoch });
    }

    /// Lets go of the hubs of a slot: nothing is given to them any more.
    pub(crate) fn drop_hubs(&self, slot: Slot) {
        let shard = self.shard_of(slot);
        shard.express.close_slot(slot);
        shard.tell(ShardMsg::Drop(slot));
    }

    /// Waits until all hubs that [`Node::drop_hubs`] has let go of have stopped.
    pub(crate) async fn dropped(&self) {
        for answered in self.ask_all() {
            // An error: the shard has ended, and its hubs with it.
            let _ = answered.await;
        }
    }

    /// Has every shard answer once all that was said before is done. All are told first, so that they work side by side.
    fn ask_all(&self) -> Vec<oneshot::Receiver<()>> {
        let told = self.shards.iter().map(|shard| {
            let (answer, answered) = oneshot::channel();
            shard.tell(ShardMsg::Barrier(answer));
            answered
        });
        told.collect()
    }

    /// The node may decide again: hubs do what they held.
    pub(crate) fn decide(&self) {
        for shard in &self.shards {
            shard.tell(ShardMsg::Decide);
        }
    }

    /// The streams that a user's hub knows; `None` if there is no hub that could say.
    pub(crate) async fn streams(&self, user: UserId) -> Option<Vec<StreamId>> {
        let (answer, answered) = oneshot::channel();
        self.shard(user).tell(ShardMsg::Streams(user, answer));
        answered.await.ok()
    }

    fn shard(&self, user: UserId) -> &Shard {
        self.shard_of(Slot::of(user))
    }

    /// All users of a slot are in one shard.
    fn shard_of(&self, slot: Slot) -> &Shard {
        &self.shards[usize::from(slot.number()) % self.shards.len()]
    }
}

impl HubReceiver for Node {
    fn receive(&self, frame: ToHub) -> Result<(), Refused> {
        let shard = self.shard(frame.user);
        // A refused message has an outcome and a refused connection comes back; the rest must arrive.
        let permit = match frame.up {
            Up::Message(..) | Up::Attach(..) | Up::WhoIsOnline { .. } => {
                shard.backlog.admit(self.backlog_limit).ok_or(Refused::Full)?
            }
            _ => shard.backlog.admit_always(),
        };
        let ToHub { user, up } = frame;
        let Some((up, permit)) = shard.express.pass(user, up, permit) else { return Ok(()) };
        shard.actor.cast(ShardMsg::Frame(ToHub { user, up }, permit)).map_err(|_| Refused::NoReceiver)
    }
}
