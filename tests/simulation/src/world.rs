//! The world of one run: its clock, its actors, and the loop that takes one event after the other.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use streamz_protocol::bus::{Resume, ToGateway, Up};
use streamz_protocol::{ConnId, DeviceId, Millis, SessionId, UserId};
use streamz_session::TokenFacts;
use uuid::Uuid;

use crate::client::Client;
use crate::cluster::{Cluster, Ev};
use crate::dice::Dice;
use crate::gateways::{Gateway, Pipe};
use crate::history::{Entry, History, Profile as Who, What, Written};
use crate::links::Links;
use crate::nodes::{Answer, HubSlot};
use crate::plan::Plan;
use crate::queue::Queue;
use crate::store::Store;
use crate::workload::Deed;

/// When every run begins: generations follow the clock, so it is one that a clock could show.
pub(crate) const BEGUN: Millis = Millis(1_800_000_000_000);

/// The time since a run began.
pub(crate) fn elapsed(at: Millis) -> Duration {
    at.since(BEGUN)
}

/// Everything that exists.
pub(crate) struct World {
    pub(crate) now: Millis,
    pub(crate) dice: Dice,
    pub(crate) plan: Plan,
    queue: Queue<Event>,
    pub(crate) user_ids: Vec<UserId>,
    pub(crate) hubs: Vec<HubSlot>,
    pub(crate) stores: Vec<Store>,
    pub(crate) store_away: bool,
    /// The session of each connection, as the last attach or announcement said.
    pub(crate) sessions: BTreeMap<ConnId, SessionId>,
    /// The same, by what has reached the gateway.
    pub(crate) attached: BTreeMap<ConnId, SessionId>,
    pub(crate) cluster: Cluster,
    pub(crate) links: BTreeMap<(usize, usize), Links>,
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) pipes: Vec<Pipe>,
    pub(crate) clients: Vec<Client>,
    pub(crate) written: Vec<Written>,
    pub(crate) entries: Vec<Entry>,
    /// Devices that were sent away for good answer to a new sign-in only, and not before then.
    pub(crate) healed: bool,
    /// The message that a session is reading.
    pub(crate) reading: Option<usize>,
    /// Devices that read slowly at first.
    slow: Vec<bool>,
    /// A bound that did not hold, as soon as it is seen.
    pub(crate) broken: Option<String>,
    trace: Option<String>,
    #[cfg(feature = "planted-bugs")]
    pub(crate) bug: Option<crate::Bug>,
}

/// Something that is to happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// A frame from a device reaches its gateway.
    ToGateway { pipe: usize, frame: FromDevice },
    /// A frame from a gateway reaches its device.
    ToDevice { pipe: usize, frame: ToDevice },
    /// The system reports what it took and takes more.
    Drain { pipe: usize },
    /// A session's timer.
    SessionTimer { pipe: usize, due: Millis },
    /// The gateway sees that a connection was reset.
    GatewayNotices { pipe: usize },
    /// The device sees that its connection is gone.
    DeviceNotices { pipe: usize },
    /// A hub has not answered to an attach.
    AttachTimeout { pipe: usize },
    /// A gateway has waited long enough for a peer to read what was said last.
    CloseTimeout { pipe: usize },
    /// A token was checked.
    TokenChecked { pipe: usize, facts: Option<TokenFacts>, tag: Option<usize> },
    /// New credentials were made.
    IceRenewed { pipe: usize },
    /// A frame reaches the place of a hub.
    ToHub { user: usize, gateway: usize, order: u64, up: Box<Up> },
    /// The account changed; unlike a frame, it is told until a hub has heard it.
    AccountChanged { user: usize, device: usize, up: Box<Up> },
    /// A frame reaches a gateway.
    FromHub { user: usize, gateway: usize, order: u64, frame: Box<ToGateway> },
    /// A hub's timer.
    HubTimer { place: usize, epoch: u64, due: Millis },
    /// A hub may have been quiet for long enough.
    HubRest { place: usize, epoch: u64, since: Millis },
    /// A hub crashes.
    Crash { user: usize },
    /// A crashed hub is replaced.
    HubBack { user: usize },
    /// The store answers.
    Stored { place: usize, epoch: u64, answer: Answer },
    /// It is known that a gateway is dead.
    GatewayMissed { gateway: usize },
    /// A device does something of its own will.
    Act { device: usize },
    /// A device does something that it decided earlier.
    Do { device: usize, deed: Deed },
    /// A device opens a connection.
    Connect { device: usize },
    /// A device confirms what it has.
    Confirm { device: usize },
    /// A fault strikes, again and again.
    Strike(Strike),
    /// The store answers again.
    StoreBack,
    /// Faults and work end.
    Heal,
    /// Something in a cluster.
    Cluster(Ev),
}

/// A kind of fault.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Strike {
    Cut,
    Silence,
    Restart,
    Stall,
    HubCrash,
    GatewayCrash,
    BusStall,
    Overflow,
    Store,
    Account,
}

/// What a device puts on its connection.
#[derive(Debug)]
pub(crate) enum FromDevice {
    Open {
        resume: Option<Resume>,
    },
    /// A message with a number in the run, or none for what has no outcome.
    Text {
        text: String,
        tag: Option<usize>,
    },
    Pong,
    Close,
}

/// What a gateway puts on a connection.
#[derive(Debug)]
pub(crate) enum ToDevice {
    Text(String),
    Ping,
    Close(streamz_protocol::CloseCode),
}

/// How long devices are quiet at the end of a run: longer than a resume window, its copy and a message's life.
const REST: Duration = Duration::from_secs(140);

impl World {
    pub(crate) fn new(seed: u64, traced: bool) -> Self {
        let mut dice = Dice::new(seed);
        let plan = Plan::draw(seed, &mut dice);
        let users = plan.users.len();
        let user_ids = (0..users).map(|_| Self::draw_user(&plan, &mut dice)).collect();
        // In a cluster each hub gets a place of its own.
        let places = 0..if plan.cluster.is_some() { 0 } else { users };
        let mut world = Self {
            now: BEGUN,
            queue: Queue::new(),
            hubs: places.map(|user| HubSlot { user, ..HubSlot::default() }).collect(),
            sessions: BTreeMap::new(),
            attached: BTreeMap::new(),
            cluster: Cluster::new(plan.cluster.as_ref()),
            stores: (0..users).map(|_| Store::default()).collect(),
            store_away: false,
            links: BTreeMap::new(),
            gateways: (0..plan.gateways).map(Gateway::new).collect(),
            pipes: Vec::new(),
            clients: Vec::new(),
            written: Vec::new(),
            entries: Vec::new(),
            healed: false,
            reading: None,
            slow: Vec::new(),
            broken: None,
            trace: traced.then(String::new),
            #[cfg(feature = "planted-bugs")]
            bug: None,
            user_ids,
            dice,
            plan,
        };
        if traced {
            let text = format!("{:#?}", world.plan);
            world.note(|| text);
        }
        world.populate();
        world
    }

    fn populate(&mut self) {
        for user in 0..self.plan.users.len() {
            for number in 0..self.plan.users[user] {
                // The same names for every user: what leaks would find a home.
                let id = DeviceId::new(&format!("d{number}")).expect("a valid name");
                let simple = self.dice.chance(self.plan.simple);
                let streams = self.dice.pick(&[1, 1, 1, 3]);
                let family = self.dice.uuid();
                let mut client = Client::new(user, id, simple, streams, family);
                let slow = self.plan.faults.stall.is_some();
                client.speed =
                    if slow { self.dice.pick(&[None, None, Some(20_000), Some(3_000)]) } else { None };
                let device = self.clients.len();
                self.slow.push(client.speed.is_some());
                self.clients.push(client);
                let after = self.dice.millis(0, 5_000);
                self.after(after, Event::Connect { device });
                let after = self.dice.millis(1_000, 8_000);
                self.after(after, Event::Act { device });
            }
        }
        self.plan_strikes();
        self.found_cluster();
        self.after(self.plan.active, Event::Heal);
    }

    /// Runs to the end of the rest.
    pub(crate) fn run(&mut self) {
        let end = BEGUN + self.plan.active + REST;
        while let Some((at, event)) = self.queue.next() {
            if at > end || self.broken.is_some() {
                break;
            }
            self.now = at;
            if let Some(until) = self.stalls(&event) {
                self.at(until, event);
                continue;
            }
            self.note(|| format!("{event:?}"));
            self.handle(event);
        }
        self.now = end;
        self.check_hubs_at_rest();
    }

    #[cfg(feature = "planted-bugs")]
    pub(crate) fn plant(&mut self, bug: crate::Bug) {
        self.bug = Some(bug);
        self.plant_cluster(bug);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::ToGateway { pipe, frame } => self.gateway_reads(pipe, frame),
            Event::ToDevice { pipe, frame } => self.device_reads(pipe, frame),
            Event::Drain { pipe } => self.drain(pipe),
            Event::SessionTimer { pipe, due } => self.session_timer(pipe, due),
            Event::GatewayNotices { pipe } => self.socket_gone(pipe, false),
            Event::DeviceNotices { pipe } => self.device_lost(pipe, None),
            Event::AttachTimeout { pipe } => self.attach_timeout(pipe),
            Event::CloseTimeout { pipe } => self.drop_socket(pipe),
            Event::TokenChecked { pipe, facts, tag } => {
                self.reading = tag;
                self.feed(pipe, streamz_session::Input::TokenChecked(facts));
                self.reading = None;
            }
            Event::IceRenewed { pipe } => self.ice_renewed(pipe),
            Event::ToHub { user, gateway, order, up } => self.up_arrives(user, gateway, order, *up),
            Event::AccountChanged { user, device, up } => self.account_changed(user, device, up),
            Event::FromHub { user, gateway, order, frame } => self.down_arrives(user, gateway, order, *frame),
            Event::HubTimer { place, epoch, due } => self.hub_timer(place, epoch, due),
            Event::HubRest { place, epoch, since } => self.hub_rest(place, epoch, since),
            Event::Crash { user } => self.crash_hub(user),
            Event::HubBack { user } => self.hub_back(user),
            Event::Stored { place, epoch, answer } => self.stored(place, epoch, answer),
            Event::GatewayMissed { gateway } => self.gateway_missed(gateway),
            Event::Act { device } => self.act(device),
            Event::Do { device, deed } => self.perform(device, deed),
            Event::Connect { device } => self.connect(device),
            Event::Confirm { device } => self.confirm(device),
            Event::Strike(strike) => self.strike(strike),
            Event::StoreBack => self.store_back(),
            Event::Heal => self.heal(),
            Event::Cluster(event) => self.cluster_event(event),
        }
    }

    /// Has something happen later.
    pub(crate) fn after(&mut self, delay: Duration, event: Event) {
        self.queue.add(self.now + delay, event);
    }

    /// Has something happen then.
    pub(crate) fn at(&mut self, at: Millis, event: Event) {
        self.queue.add(at.max(self.now), event);
    }

    /// Puts an observation into the history.
    pub(crate) fn saw(&mut self, what: What) {
        self.note(|| format!("    * {what:?}"));
        self.entries.push(Entry { at: self.now, what });
    }

    /// Adds a line to the trace, if there is one.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let mut line = line();
            if line.len() > 600 {
                let cut = (0..=600).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
                line.truncate(cut);
                line.push('…');
            }
            let elapsed = self.now.0 - BEGUN.0;
            let _ = writeln!(trace, "{:>4}.{:03} {line}", elapsed / 1000, elapsed % 1000);
        }
    }

    /// A bound did not hold.
    pub(crate) fn breaks(&mut self, sentence: String) {
        self.note(|| format!("    ! {sentence}"));
        self.broken.get_or_insert(sentence);
    }

    /// Takes the trace out of the world.
    pub(crate) fn take_trace(&mut self) -> Option<String> {
        self.trace.take()
    }

    /// What the run leaves behind.
    pub(crate) fn into_history(self) -> History {
        let rested = self.rested();
        let longest = 4 * (self.plan.device_delay + self.plan.bus_delay) + 1_000;
        History {
            cluster: self.plan.cluster.is_some(),
            begun: BEGUN,
            over: self.now,
            limits: (*self.plan.limits).clone(),
            users: self.user_ids.iter().map(|user| user.0).collect(),
            devices: self
                .clients
                .iter()
                .zip(&self.slow)
                .map(|(client, slow)| Who { user: client.user, id: client.id.clone(), slow: *slow })
                .collect(),
            written: self.written,
            entries: self.entries,
            transit: Duration::from_millis(longest),
            streams: BTreeMap::new(),
            rested,
        }
    }

    pub(crate) fn user_no(&self, user: UserId) -> Option<usize> {
        self.user_ids.iter().position(|known| *known == user)
    }

    pub(crate) fn row_owner(&self, row: Uuid) -> Option<usize> {
        self.stores.iter().position(|store| store.has_row(row))
    }
}
