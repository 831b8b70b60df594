//! A gateway of a cluster: the shell around the router to the owners of slots.
//!
//! Everything that the router is asked or told, and everything that it sends in answer, happens under one lock, with
//! the list of users that have a connection here. So whoever's frame was refused before a new owner was confirmed is on
//! the list that the owner gets.
//!
//! What is for connections is handed on after that lock is released, for a connection may answer, but before the next
//! frame of any node is looked at: nothing of an old owner reaches a connection after its slot was confirmed to a new
//! one. In this order: turn, users of the connections, core; never the other way round. Nothing under them waits.

mod incarnation;
mod revocations;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use streamz_bus::{Bus, GatewayReceiver, Refused, redis};
use streamz_cluster::router::{self, BySlot, Router};
use streamz_fleet::{Diary, Lease, Peers, new_process_id};
pub use streamz_fleet::{FleetError, FleetSettings};
use streamz_platform::Clock;
use streamz_protocol::bus::{ToGateway, ToHub, Up};
use streamz_protocol::cluster::{Packet, SLOTS};
use streamz_protocol::{GatewayId, Millis, NodeId, ProcessId, UserId};
use streamz_store::{ClusterStore, Store};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::connections::Connections;
use crate::identity::Identity;
use crate::revoked::RevokedFamilies;
use revocations::Revocation;

/// How often is looked whether everything has arrived, at an orderly end.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long somebody who asks how it is waits for the router.
const LOOK_WITHIN: Duration = Duration::from_millis(500);

/// How a gateway of a cluster is, for readiness and status.
#[derive(Clone, Debug)]
pub struct FleetStatus {
    /// Its incarnation.
    pub id: GatewayId,
    /// Slots whose owner lives and was confirmed here.
    pub served: usize,
    /// Whether all of them were, at some time of this incarnation.
    pub complete: bool,
    /// How the instances of Redis are.
    pub bus: Vec<redis::Status>,
}

/// A gateway of a cluster. It is the bus of its [`Connections`] and [`Hubs`](crate::hubs::Hubs).
pub struct GatewayFleet {
    store: Store,
    cluster: ClusterStore,
    settings: FleetSettings,
    clock: Clock,
    identity: Identity,
    served: OnceLock<Served>,
    /// Held while frames of nodes are handed to connections.
    turn: Mutex<()>,
    core: Mutex<Core>,
    diary: Diary,
    revocations: mpsc::Sender<Revocation>,
    waiting: Mutex<Option<mpsc::Receiver<Revocation>>>,
}

/// Whom frames are for.
struct Served {
    connections: Arc<Connections>,
    revoked: RevokedFamilies,
}

/// One incarnation, and who is connected to it.
struct Core {
    id: GatewayId,
    router: Router,
    users: BySlot,
    /// All slots were served once.
    complete: bool,
    /// Since when some are not, as far as somebody looked: every second somebody does.
    unserved: Option<Millis>,
    /// From before the row is there.
    peers: Option<Arc<Peers>>,
    lease: Option<Arc<Lease>>,
    gateways: Vec<GatewayId>,
    nodes: Vec<NodeId>,
    coordinator: Option<NodeId>,
}

impl Core {
    fn new(id: GatewayId) -> Self {
        Self {
            id,
            router: Router::new(id),
            users: BySlot::default(),
            complete: false,
            unserved: None,
            peers: None,
            lease: None,
            gateways: Vec::new(),
            nodes: Vec::new(),
            coordinator: None,
        }
    }

    /// Tells the router, does what it says, and returns what is for connections.
    fn handle(&mut self, input: router::Input, clock: Clock) -> Vec<ToGateway> {
        let mut delivered = Vec::new();
        for effect in self.router.handle(input, &self.users, clock.now()) {
            match effect {
                router::Effect::Deliver(frame) => delivered.push(frame),
                router::Effect::Send(node, frame) => {
                    // Refused: the node is dead, or this incarnation is about to end.
                    if let Some(Err(refused)) =
                        self.peers.as_ref().map(|peers| peers.send(node.into(), frame))
                    {
                        tracing::debug!(node = node.0, %refused, "a node could not be answered");
                    }
                }
                router::Effect::Read => {
                    if let Some(lease) = &self.lease {
                        lease.want_read();
                    }
                }
                router::Effect::Ignored(node, why) => {
                    metrics::counter!("streamz_frames_ignored_total").increment(1);
                    tracing::debug!(node = node.0, ?why, "something that a node said does not count");
                }
                router::Effect::Contradiction(contradiction) => {
                    tracing::error!(%contradiction, "the slot table contradicts itself");
                }
            }
        }
        delivered
    }

    /// How many slots have an owner that serves.
    fn look(&mut self, clock: Clock) -> usize {
        let served = self.router.ready();
        let all = served == usize::from(SLOTS);
        self.complete |= all;
        self.unserved = if all { None } else { self.unserved.or(Some(clock.now())) };
        served
    }

    fn other_gateways(&self) -> impl Iterator<Item = ProcessId> {
        self.gateways.iter().filter(|gateway| **gateway != self.id).map(|gateway| ProcessId::from(*gateway))
    }
}

impl GatewayFleet {
    /// Of a gateway that nobody knows yet: [`run`](Self::run) makes it one of the cluster.
    ///
    /// # Errors
    /// [`FleetError::NoCluster`].
    pub fn new(store: Store, settings: FleetSettings, clock: Clock) -> Result<Arc<Self>, FleetError> {
        let cluster = store.cluster().ok_or(FleetError::NoCluster)?;
        let id = GatewayId(new_process_id().0);
        let (revocations, waiting) = mpsc::channel(revocations::WAITING);
        Ok(Arc::new(Self {
            store,
            cluster,
            settings,
            clock,
            identity: id.into(),
            served: OnceLock::new(),
            turn: Mutex::new(()),
            core: Mutex::new(Core::new(id)),
            diary: Diary::default(),
            revocations,
            waiting: Mutex::new(Some(waiting)),
        }))
    }

    /// Under which id its connections and questions go.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity.clone()
    }

    /// Names who takes the frames of nodes and the revocations of other gateways; before [`run`](Self::run).
    ///
    /// # Panics
    /// If that was done before.
    pub fn serve(&self, connections: Arc<Connections>, revoked: RevokedFamilies) {
        let served = Served { connections, revoked };
        assert!(self.served.set(served).is_ok(), "a gateway has one set of connections");
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> FleetStatus {
        let mut core = self.core.lock();
        let served = core.look(self.clock);
        let bus = core.peers.as_ref().map(|peers| peers.statuses()).unwrap_or_default();
        FleetStatus { id: core.id, served, complete: core.complete, bus }
    }

    /// Writes down what this gateway knows of itself and of the cluster. Blocks for half a second at most: if the router
    /// cannot be asked by then, it says so.
    pub fn describe(&self, status: &mut streamz_status::Status) {
        let now = self.clock.now();
        self.diary.describe(status, now);
        status.gateway = self.served.get().map(|served| served.connections.describe());
        let Some(mut core) = self.core.try_lock_for(LOOK_WITHIN) else {
            status.stuck.push("the router to the owners of slots".to_owned());
            return;
        };
        status.id = Some(core.id.0.to_string());
        let unserved = usize::from(SLOTS) - core.look(self.clock);
        let since = core.unserved;
        let peers = core.peers.clone();
        drop(core);
        if let Some(gateway) = &mut status.gateway {
            gateway.unserved = Some(unserved as u64);
            gateway.unserved_ms = since.map(|since| now.0.saturating_sub(since.0));
        }
        if let Some(peers) = peers
            && !peers.describe(status)
        {
            status.stuck.push("a link".to_owned());
        }
    }

    /// Tells the cluster that this gateway is about to go.
    pub async fn start_draining(&self) {
        let lease = self.core.lock().lease.clone();
        if let Some(lease) = lease
            && let Err(error) = lease.set_draining().await
        {
            tracing::warn!(%error, "nobody is told that this gateway is about to go");
        }
    }

    /// Waits until nodes have got everything that they were told, for `within` at most.
    pub async fn flush(&self, within: Duration) {
        let Some(peers) = self.core.lock().peers.clone() else { return };
        let arrived = async {
            while peers.unconfirmed_bytes() > 0 {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            // The last confirmations of this side.
            peers.flushed().await;
        };
        if tokio::time::timeout(within, arrived).await.is_err() {
            tracing::warn!(
                "not every node has got all of this gateway's last words; they find out that it is gone"
            );
        }
    }

    fn deliver(&self, frames: Vec<ToGateway>) {
        let Some(served) = self.served.get() else { return };
        for frame in frames {
            if let Err(refused) = served.connections.receive(frame) {
                // A connection that is gone has said so, and one that overflowed ends.
                tracing::debug!(%refused, "a connection did not take a frame");
            }
        }
    }
}

impl Bus for GatewayFleet {
    fn to_hub(&self, frame: ToHub) -> Result<(), Refused> {
        let core = self.core.lock();
        // What a connection of an earlier incarnation says counts for nothing: the cluster knows that it is gone.
        if origin(&frame.up).is_some_and(|gateway| gateway != core.id) {
            return Err(Refused::Later);
        }
        let (node, routed) = core.router.address(frame).map_err(|_| Refused::Later)?;
        let peers = core.peers.as_ref().ok_or(Refused::Later)?;
        match peers.send(node.into(), routed) {
            // It is dead: somebody else takes the slot over.
            Err(Refused::NoReceiver) => Err(Refused::Later),
            sent => sent,
        }
    }

    fn to_gateway(&self, _: GatewayId, _: ToGateway) -> Result<(), Refused> {
        Err(Refused::NoReceiver)
    }

    fn gateways(&self) -> Vec<GatewayId> {
        self.core.lock().gateways.clone()
    }

    fn connected(&self, user: UserId) {
        self.core.lock().users.insert(user);
    }

    fn disconnected(&self, user: UserId) {
        self.core.lock().users.remove(user);
    }

    fn revoked(&self, user: UserId, family: Uuid) {
        let (peers, others) = {
            let core = self.core.lock();
            (core.peers.clone(), core.other_gateways().collect::<Vec<_>>())
        };
        let packet = Packet::Revoked { family, at: self.clock.now(), user: Some(user) };
        for gateway in others {
            if let Some(peers) = &peers {
                peers.tell(gateway, packet.clone());
            }
        }
        self.close_soon(Some(user), family);
    }
}

/// The gateway in whose name a hub is told this.
fn origin(up: &Up) -> Option<GatewayId> {
    match up {
        Up::Attach(conn, _)
        | Up::Message(conn, _)
        | Up::Ack(conn, _)
        | Up::Detach(conn, _)
        | Up::Gone(conn)
        | Up::Announce { conn, .. } => Some(conn.gateway),
        Up::Roster { gateway, .. } | Up::WhoIsOnline { gateway, .. } => Some(*gateway),
        Up::Devices(_) | Up::Revoke { .. } | Up::Recheck => None,
    }
}

#[cfg(test)]
mod tests;
