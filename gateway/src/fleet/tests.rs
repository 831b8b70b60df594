//! The shell against a node that the test plays, over a Redis and a Postgres of its own.

use std::num::NonZeroUsize;
use std::time::Instant;

use streamz_bus::redis::Evidence;
use streamz_fleet::{LeaseSettings, Listener, PeersSettings};
use streamz_platform::Tasks;
use streamz_protocol::bus::{DeviceChange, Down};
use streamz_protocol::cluster::{Epoch, Routed, Slot, Tenure};
use streamz_protocol::wire::BusKey;
use streamz_protocol::{CloseCode, DeviceId};
use streamz_store::{ProcessKind, StoreOptions};
use streamz_testkit::{Postgres, Redis};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::connections::Registration;
use crate::hubs::Hubs;
use crate::inbox::{Received, ToSession};
use crate::revoked::Standing;

const SOON: Duration = Duration::from_secs(20);

/// What one process hears.
struct Ears(mpsc::UnboundedSender<(ProcessId, Routed)>);

impl Listener for Ears {
    fn frame(&self, from: ProcessId, frame: Routed) {
        let _ = self.0.send((from, frame));
    }
    fn packet(&self, _: ProcessId, _: Packet) {}
    fn silent(&self, _: Evidence) {}
    fn exhausted(&self, _: ProcessId) {}
}

/// A database with its name, a Redis, and a store for each process.
struct Ground {
    database: String,
    store: Store,
    redis: Redis,
    tasks: Tasks,
}

impl Ground {
    async fn new() -> Self {
        let make = || (Postgres::shared().create_database(), Redis::start().unwrap());
        let (url, redis) = tokio::task::spawn_blocking(make).await.unwrap();
        let database = url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
        let store = Store::connect(&url, &StoreOptions::default()).await.unwrap();
        store.migrate().await.unwrap();
        Self { database, store, redis, tasks: Tasks::new() }
    }

    async fn sql(&self, sql: String) {
        let database = self.database.clone();
        tokio::task::spawn_blocking(move || Postgres::shared().sql(&database, &sql)).await.unwrap();
    }

    fn bus(&self, process: ProcessId) -> redis::Settings {
        redis::Settings::new(vec![self.redis.url().into()], "test", process)
    }

    fn key() -> BusKey {
        BusKey::derive(b"a secret of the tests")
    }

    fn lease(kind: ProcessKind, name: &str) -> LeaseSettings {
        LeaseSettings { kind, name: name.to_owned(), info: String::new(), key: 0 }
    }
}

/// A node that owns all slots and answers by hand.
struct FakeNode {
    id: NodeId,
    peers: Arc<Peers>,
    heard: mpsc::UnboundedReceiver<(ProcessId, Routed)>,
    epoch: Epoch,
}

impl FakeNode {
    async fn start(ground: &Ground, epoch: u64) -> Self {
        let process = new_process_id();
        let (ears, heard) = mpsc::unbounded_channel();
        let settings = PeersSettings { bus: ground.bus(process), key: Ground::key() };
        let peers =
            Peers::start(settings, Clock::start(), Arc::new(Ears(ears)), &ground.tasks).await.unwrap();
        let cluster = ground.store.cluster().unwrap();
        cluster.register_process(process, ProcessKind::Node, "node", "", 0).await.unwrap();
        ground
            .sql(format!(
                "UPDATE slots SET owner = {}, epoch = {epoch}, version = (SELECT version + 1 FROM slot_table); \
                 UPDATE slot_table SET version = version + 1",
                process.0
            ))
            .await;
        Self { id: NodeId(process.0), peers, heard, epoch: Epoch(epoch) }
    }

    fn tenure(&self, user: UserId) -> Tenure {
        Tenure { slot: Slot::of(user), epoch: self.epoch }
    }

    fn claim(&self, gateway: GatewayId) {
        let slots: Vec<Slot> = Slot::all().collect();
        for some in slots.chunks(64) {
            let tenures = some.iter().map(|slot| Tenure { slot: *slot, epoch: self.epoch }).collect();
            self.peers.send(gateway.into(), Routed::Claim { node: self.id, tenures }).unwrap();
        }
    }

    fn say(&self, gateway: GatewayId, user: UserId, frame: ToGateway) {
        self.peers.send(gateway.into(), Routed::ToGateway { tenure: self.tenure(user), frame }).unwrap();
    }

    async fn next(&mut self) -> (ProcessId, Routed) {
        tokio::time::timeout(SOON, self.heard.recv()).await.unwrap().unwrap()
    }

    /// Takes the confirmations of all slots, and returns whom they list.
    async fn claimed(&mut self, by: GatewayId) -> Vec<UserId> {
        let (mut slots, mut listed) = (0, Vec::new());
        while slots < usize::from(SLOTS) {
            let (from, Routed::Claimed { gateway, tenures, users }) = self.next().await else {
                panic!("something else")
            };
            assert_eq!((from, gateway), (by.into(), by));
            slots += tenures.len();
            listed.extend(users);
        }
        listed
    }

    async fn told(&mut self) -> Up {
        match self.next().await {
            (_, Routed::ToHub { frame, .. }) => frame.up,
            (_, other) => panic!("{other:?}"),
        }
    }
}

/// A gateway without an HTTP side.
struct FakeGateway {
    fleet: Arc<GatewayFleet>,
    connections: Arc<Connections>,
    hubs: Hubs,
    revoked: RevokedFamilies,
    stopping: CancellationToken,
}

impl FakeGateway {
    async fn start(ground: &Ground, name: &str) -> Self {
        let settings = FleetSettings {
            bus: ground.bus(ProcessId(1)),
            key: Ground::key(),
            lease: Ground::lease(ProcessKind::Gateway, name),
        };
        let fleet = GatewayFleet::new(ground.store.clone(), settings, Clock::start()).unwrap();
        let hubs = Hubs::new(fleet.identity(), fleet.clone());
        let connections = Connections::new(fleet.identity(), fleet.clone(), hubs.clone());
        let revoked = RevokedFamilies::new(Duration::from_secs(900), NonZeroUsize::new(10).unwrap());
        fleet.serve(connections.clone(), revoked.clone());
        let stopping = CancellationToken::new();
        let living = fleet.clone().run(stopping.clone());
        ground.tasks.spawn("gateway", async move { living.await.unwrap() });
        let gateway = Self { fleet, connections, hubs, revoked, stopping };
        gateway.joined().await;
        gateway
    }

    fn id(&self) -> GatewayId {
        self.fleet.status().id
    }

    /// It has read the table, and who else is there.
    async fn joined(&self) {
        until(|| self.fleet.gateways().contains(&self.id())).await;
    }

    fn connect(&self, user: UserId) -> Registration {
        self.connections.register(user, 1 << 16)
    }
}

async fn until(mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < SOON, "it did not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn user(number: u128) -> UserId {
    UserId(Uuid::from_u128(number))
}

async fn received(registration: &Registration) -> Vec<ToSession> {
    match tokio::time::timeout(SOON, registration.inbox.receive()).await.unwrap() {
        Received::Items(items) => items.into(),
        Received::Overflowed => panic!("overflowed"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_owner_is_told_who_is_there_and_only_it_is_heard() {
    let ground = Ground::new().await;
    let gateway = FakeGateway::start(&ground, "one").await;
    let mut early = gateway.connect(user(1));
    let gone = Up::Gone(early.conn);
    assert_eq!(early.tell_hub(gone.clone()), Err(Refused::Later), "no slot has an owner");

    let mut node = FakeNode::start(&ground, 1).await;
    node.claim(gateway.id());
    assert_eq!(node.claimed(gateway.id()).await, [user(1)]);
    assert_eq!(gateway.fleet.status().served, usize::from(SLOTS));
    early.tell_hub(gone.clone()).unwrap();
    assert_eq!(node.told().await, gone);
    node.say(gateway.id(), user(1), ToGateway::Conn(early.conn, Down::Forget, None));
    assert!(matches!(received(&early).await[..], [ToSession::Down(Down::Forget, _)]));
    node.say(gateway.id(), user(1), ToGateway::Roll { user: user(1), epoch: 7 });
    assert_eq!(node.told().await, Up::Roster { gateway: gateway.id(), epoch: 7, conns: vec![early.conn] });
    assert!(matches!(received(&early).await[..], [ToSession::Roll { epoch: 7 }]));

    let mut next = FakeNode::start(&ground, 2).await;
    until(|| gateway.fleet.status().served == 0).await;
    assert_eq!(early.tell_hub(gone), Err(Refused::Later), "it has not claimed yet");
    drop(early);
    next.claim(gateway.id());
    assert_eq!(next.claimed(gateway.id()).await, []);
    let late = gateway.connect(user(1));
    node.say(gateway.id(), user(1), ToGateway::Conn(late.conn, Down::Forget, None));
    next.say(gateway.id(), user(1), ToGateway::Conn(late.conn, Down::Close(CloseCode::Replaced), None));
    assert!(
        matches!(received(&late).await[..], [ToSession::Down(Down::Close(_), _)]),
        "the old owner is not heard"
    );
    ground.tasks.shutdown(SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evicted_gateway_closes_what_it_has_and_goes_on_as_another() {
    let ground = Ground::new().await;
    let gateway = FakeGateway::start(&ground, "one").await;
    let mut node = FakeNode::start(&ground, 1).await;
    let old = gateway.id();
    node.claim(old);
    node.claimed(old).await;
    let mut lost = gateway.connect(user(1));
    ground
        .sql(format!(
            "DELETE FROM processes WHERE id = {}; UPDATE slot_table SET members = members + 1",
            old.0
        ))
        .await;
    until(|| gateway.id() != old).await;
    let items = received(&lost).await;
    assert!(matches!(items[..], [ToSession::Down(Down::Close(CloseCode::Unavailable), _)]), "{items:?}");

    gateway.joined().await;
    let new = gateway.id();
    let kept = gateway.connect(user(2));
    assert_eq!(kept.conn.gateway, new);
    node.claim(new);
    assert_eq!(node.claimed(new).await, [user(2)], "the lost one is forgotten");
    assert_eq!(lost.tell_hub(Up::Gone(lost.conn)), Err(Refused::Later));
    gateway.hubs.device_changed(user(1), DeviceChange::Removed(DeviceId::new("tv").unwrap()));
    assert!(matches!(node.told().await, Up::Devices(_)), "nothing of the lost one in between");

    // In order: what was said arrives, then the row is gone.
    drop(kept);
    gateway.fleet.flush(SOON).await;
    assert!(matches!(node.told().await, Up::Gone(_)));
    gateway.stopping.cancel();
    ground.tasks.shutdown(SOON).await;
    let gateways = ground.store.cluster().unwrap().live_processes(ProcessKind::Gateway).await.unwrap();
    assert!(gateways.processes.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_is_known_on_every_gateway_within_a_second_without_a_node() {
    let ground = Ground::new().await;
    let one = FakeGateway::start(&ground, "one").await;
    let two = FakeGateway::start(&ground, "two").await;
    until(|| one.fleet.gateways().len() == 2).await;
    let (here, there) = (one.connect(user(1)), two.connect(user(1)));
    let family = Uuid::from_u128(5);
    let began = Instant::now();
    one.hubs.revoke(user(1), family);
    for registration in [&here, &there] {
        let items = received(registration).await;
        assert!(matches!(&items[..], [ToSession::Revoked(families)] if **families == [family]), "{items:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(two.revoked.standing(family, chrono::Utc::now()), Standing::Revoked);
    ground.tasks.shutdown(SOON).await;
}
