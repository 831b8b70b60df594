//! A node over a real store, and a gateway that keeps copies as a real one does.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};
use streamz_bus::{Bus, GatewayReceiver, InProcess, Refused};
use streamz_platform::{Clock, Tasks};
use streamz_protocol::bus::{
    Attach, Attached, Caps, Class, Down, Item, Message, OpenMessage, Replica, Resume, ToGateway, ToHub, Up,
    note_heard,
};
use streamz_protocol::client::{ClientFrame, ClientMessage};
use streamz_protocol::{CloseCode, ConnId, DeviceId, GatewayId, Mid, SessionId, UserId};
use streamz_signaling_node::{Node, NodeConfig};
use streamz_store::{NewUser, Store, StoreOptions};
use tempfile::TempDir;
use uuid::Uuid;

pub(crate) const GATEWAY: GatewayId = GatewayId(1);
/// A question whose answer this gateway cannot take: whoever gives it panics.
pub(crate) const FATAL: u64 = 666;
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn conn(number: u64) -> ConnId {
    ConnId { gateway: GATEWAY, number }
}

/// What one connection has, as its gateway knows it.
pub(crate) struct Copy {
    user: UserId,
    pub(crate) replica: Replica,
    /// Every frame that the device read.
    pub(crate) read: Vec<Value>,
}

#[derive(Default)]
pub(crate) struct Held {
    pub(crate) copies: BTreeMap<ConnId, Copy>,
    pub(crate) refused: BTreeMap<ConnId, CloseCode>,
    pub(crate) closed: BTreeMap<ConnId, CloseCode>,
    /// Which users' hubs asked for their sessions, and when.
    pub(crate) rolls: Vec<(UserId, Instant)>,
    pub(crate) online: BTreeMap<u64, Vec<DeviceId>>,
    users: BTreeMap<ConnId, (UserId, Attach)>,
}

pub(crate) struct Gateway {
    pub(crate) bus: Arc<InProcess>,
    held: Mutex<Held>,
    /// Rolls that this gateway cannot take.
    pub(crate) fatal_rolls: AtomicUsize,
}

impl GatewayReceiver for Gateway {
    fn receive(&self, frame: ToGateway) -> Result<(), Refused> {
        match frame {
            ToGateway::Conn(conn, down, _) => self.down(conn, down),
            ToGateway::Roll { user, epoch } => {
                self.held.lock().rolls.push((user, Instant::now()));
                let fatal = self.fatal_rolls.load(Ordering::Relaxed);
                if fatal > 0 {
                    self.fatal_rolls.store(fatal - 1, Ordering::Relaxed);
                    panic!("a test wants the hub to fail as it starts");
                }
                self.roll(user, epoch);
            }
            ToGateway::Online { request: FATAL, .. } => panic!("a test wants the hub to fail"),
            ToGateway::Online { request, devices } => {
                self.held.lock().online.insert(request, devices);
            }
        }
        Ok(())
    }
}

impl Gateway {
    fn down(&self, conn: ConnId, down: Down) {
        let mut held = self.held.lock();
        match down {
            Down::Attached(attached) => {
                let (user, attach) = held.users[&conn].clone();
                held.copies
                    .insert(conn, Copy { user, replica: replica(*attached, &attach), read: Vec::new() });
            }
            Down::Refused(code) => {
                held.refused.insert(conn, code);
            }
            Down::Close(code) => {
                held.closed.insert(conn, code);
                held.copies.remove(&conn);
            }
            Down::Forget => drop(held.copies.remove(&conn)),
            Down::Batch(items) => {
                let Some(copy) = held.copies.get_mut(&conn) else { return };
                for item in items {
                    copy.take(item);
                }
            }
        }
    }

    fn roll(&self, user: UserId, epoch: u64) {
        let held = self.held.lock();
        let mine = || held.copies.iter().filter(|(_, copy)| copy.user == user);
        let conns = mine().map(|(conn, _)| *conn).collect();
        let announce = |conn: ConnId, replica: &Replica| Up::Announce {
            conn,
            epoch,
            replica: Box::new(replica.clone()),
        };
        self.up(user, Up::Roster { gateway: GATEWAY, epoch, conns }).unwrap();
        for (conn, copy) in mine() {
            self.up(user, announce(*conn, &copy.replica)).unwrap();
        }
    }

    pub(crate) fn up(&self, user: UserId, up: Up) -> Result<(), Refused> {
        self.bus.to_hub(ToHub { user, up })
    }

    /// Waits until `look` finds something.
    pub(crate) async fn until<T>(&self, what: &str, look: impl Fn(&mut Held) -> Option<T>) -> T {
        within(what, || look(&mut self.held.lock())).await
    }

    pub(crate) fn peek<T>(&self, look: impl Fn(&mut Held) -> T) -> T {
        look(&mut self.held.lock())
    }

    /// A device connects and has its session.
    pub(crate) async fn attach(&self, user: UserId, number: u64, device: &str, acks: bool) -> SessionId {
        self.ask(user, number, device, acks, None).unwrap();
        self.until("a session", |held| Some(held.copies.get(&conn(number))?.replica.session)).await
    }

    pub(crate) fn ask(
        &self,
        user: UserId,
        number: u64,
        device: &str,
        acks: bool,
        resume: Option<Resume>,
    ) -> Result<(), Refused> {
        let attach = Attach {
            attempt: 0,
            device: DeviceId::new(device).unwrap(),
            name: None,
            device_type: None,
            family: Uuid::nil(),
            caps: Caps { acks, max_streams: 8 },
            resume,
            trace: None,
        };
        self.held.lock().users.insert(conn(number), (user, attach.clone()));
        self.up(user, Up::Attach(conn(number), Box::new(attach)))
    }

    /// A device says something that its gateway keeps until it has its outcome.
    pub(crate) fn say(&self, number: u64, frame: &Value) -> Result<(), Refused> {
        let (user, message) = {
            let mut held = self.held.lock();
            let copy = held.copies.get_mut(&conn(number)).unwrap();
            let message = copy.number(frame);
            copy.replica.open.push(OpenMessage::Whole(Box::new(message.clone())));
            (copy.user, message)
        };
        self.up(user, Up::Message(conn(number), Box::new(message)))
    }

    pub(crate) fn offer(&self, number: u64, name: &str, to: &str) -> Result<(), Refused> {
        let payload = json!({"to_device_id": to, "sdp": name});
        self.say(number, &json!({"type": "sdp_offer", "payload": payload, "id": name}))
    }

    /// The device confirms everything that it has.
    pub(crate) fn ack(&self, number: u64) {
        let (user, seq) = {
            let mut held = self.held.lock();
            let copy = held.copies.get_mut(&conn(number)).unwrap();
            copy.replica.acked = copy.replica.last_seq;
            copy.replica.window.clear();
            (copy.user, copy.replica.last_seq)
        };
        self.up(user, Up::Ack(conn(number), seq)).unwrap();
    }

    /// Waits for a frame of this type that names `name`, as its `id` or its content.
    pub(crate) async fn hears(&self, number: u64, kind: &str, name: &str) {
        let what = format!("{kind} {name}");
        self.until(&what, |held| (held.copies.get(&conn(number))?.count(kind, name) > 0).then_some(())).await;
    }

    pub(crate) fn count(&self, number: u64, kind: &str, name: &str) -> usize {
        self.peek(|held| held.copies[&conn(number)].count(kind, name))
    }
}

impl Copy {
    fn take(&mut self, item: Item) {
        match item {
            Item::Frame(frame) => {
                assert!(frame.seq > self.replica.last_seq, "numbers only rise");
                self.read.push(serde_json::from_str(&frame.body.render(Some(frame.seq))).unwrap());
                self.replica.last_seq = frame.seq;
                match &frame.class {
                    Class::Message { mid, late } => note_heard(&mut self.replica.heard, *mid, *late),
                    Class::Outcome { number } => {
                        let other = |open: &OpenMessage| !matches!(open, OpenMessage::Whole(message) if message.number == *number);
                        self.replica.open.retain(other);
                    }
                    Class::Presence { device, online } => {
                        self.replica.view.retain(|known| known != device);
                        if *online {
                            self.replica.view.push(device.clone());
                        }
                    }
                    Class::State => {}
                }
                self.replica.window.push(frame);
            }
            Item::Plain(body) => self.read.push(serde_json::from_str(&body.render(None)).unwrap()),
            Item::Stream(stream) => {
                self.replica.live.retain(|live| live.id != stream.id);
                self.replica.live.push(*stream);
            }
            Item::StreamOver(over) => {
                self.replica.live.retain(|live| live.id != over.id);
                self.replica.over.push(over);
            }
        }
    }

    fn number(&mut self, frame: &Value) -> Message {
        let number = self.replica.next_number;
        self.replica.next_number += 1;
        let frame = ClientFrame::decode(&frame.to_string()).unwrap();
        let ClientMessage::Command { to, command } = frame.message else { panic!("a command") };
        let digest = command.digest(to.as_ref());
        let mid = Mid { session: self.replica.session, number };
        let command = command.finish(&self.replica.device.device_id, mid);
        let accepted_at = Clock::start().now();
        Message { number, id: frame.id, to, digest, accepted_at, command, trace: frame.trace }
    }

    fn count(&self, kind: &str, name: &str) -> usize {
        let named = |frame: &&Value| {
            frame["type"] == kind
                && [&frame["id"], &frame["payload"]["sdp"], &frame["payload"]["device_id"]]
                    .contains(&&json!(name))
        };
        self.read.iter().filter(named).count()
    }
}

fn replica(attached: Attached, attach: &Attach) -> Replica {
    let online = attached.devices.iter().filter(|device| device.is_online);
    Replica {
        session: attached.session,
        generation: attached.generation,
        view: online.map(|device| device.device_id.clone()).collect(),
        device: attached.device,
        family: attach.family,
        caps: attach.caps,
        away: None,
        acked: attached.acked,
        last_seq: attached.last_seq,
        window: attached.replay,
        next_number: attached.next_number,
        open: Vec::new(),
        settled: attached.settled,
        heard: attached.heard,
        live: attached.live,
        over: Vec::new(),
        lossy: attached.lossy,
        floor: attached.floor,
        confirmed: vec![],
    }
}

/// Waits until `look` finds something, and lets everything else run meanwhile.
pub(crate) async fn within<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    patiently(what, search).await
}

pub(crate) async fn patiently<T>(what: &str, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(found) => found,
        Err(_) => panic!("no {what} within {PATIENCE:?}"),
    }
}

/// A node with its store, its bus and one gateway.
pub(crate) struct Fixture {
    pub(crate) node: Arc<Node>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) store: Store,
    pub(crate) folder: TempDir,
    tasks: Tasks,
}

impl Fixture {
    pub(crate) async fn start(config: NodeConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("streamz.db").display());
        let options = StoreOptions {
            acquire_timeout: Duration::from_millis(200),
            operation_timeout: Duration::from_millis(200),
            ..StoreOptions::default()
        };
        let patient = Store::connect(&url, &StoreOptions::default()).await.unwrap();
        patient.migrate().await.unwrap();
        let store = Store::connect(&url, &options).await.unwrap();
        let bus = InProcess::new();
        let tasks = Tasks::new();
        let node = Node::start(config, bus.clone(), store, Clock::start(), &tasks).await.unwrap();
        bus.serve_hubs(node.clone());
        let gateway =
            Arc::new(Gateway { bus: bus.clone(), held: Mutex::default(), fatal_rolls: AtomicUsize::new(0) });
        bus.serve_gateway(GATEWAY, gateway.clone());
        Self { node, gateway, store: patient, folder, tasks }
    }

    pub(crate) async fn user(&self, name: &str) -> UserId {
        let email = format!("{name}@example.test");
        let new = NewUser { email: &email, password_hash: "x", first_name: None, last_name: None };
        UserId(self.store.create_user(new, chrono::Utc::now()).await.unwrap().id)
    }

    /// Awake and asleep.
    pub(crate) fn hubs(&self) -> (u64, u64) {
        let stats = self.node.stats();
        (stats.hubs_awake, stats.hubs_asleep)
    }

    pub(crate) async fn until_hubs(&self, awake: u64, asleep: u64) {
        let what = format!("{awake} awake and {asleep} asleep");
        within(&what, || (self.hubs() == (awake, asleep)).then_some(())).await;
    }

    pub(crate) async fn stop(self) {
        self.node.stop().await;
        patiently("end of the tasks", self.tasks.shutdown(Duration::from_secs(5))).await;
    }
}
