//! Several processes over Redis and Postgres: the shells around keepers, routers, coordinators and links.
//!
//! The world outside of this module is the one of a single process: devices, sessions and hubs are the same. What
//! differs is the way between a gateway and a hub, who starts hubs, and how their writes reach the store.
//!
//! | file | one reason |
//! |---|---|
//! | `process` | what runs, its clock, its birth and its death |
//! | `bus` | Redis instances, and a link for each pair of processes |
//! | `postgres`, `asks` | the store's tables, and the way there and back |
//! | `nodes` | a node: keeper, coordinator, authority, desk, hubs |
//! | `gateways` | a gateway: the router |
//! | `checks` | promise 1, as things happen |
//! | `faults` | what goes wrong |
//! | `terrain` | what a seed draws |

/// Whether the shells have that fault. Without the feature the answer is a constant `false`.
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($world:expr, $bug:ident) => {
        $world.bug == Some(crate::Bug::Shell(crate::ShellBug::$bug))
    };
}

#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($world:expr, $bug:ident) => {
        false
    };
}

mod asks;
mod bus;
mod checks;
mod faults;
mod gateways;
mod nodes;
mod postgres;
mod process;
mod terrain;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use streamz_cluster::keeper;
use streamz_protocol::cluster::{Epoch, Slot, Tenure};
use streamz_protocol::{Millis, NodeId, ProcessId, UserId};

use crate::dice::Dice;
use crate::plan::Plan;
use crate::world::{Event, World};
use bus::{Bus, Packet};
use postgres::Postgres;
use process::Process;

pub(crate) use terrain::{Terrain, Trouble};

/// The slots of the table: the first so many. A seed's users are of them.
pub(crate) const SLOTS: u16 = 6;

/// All processes, and what is between them.
pub(crate) struct Cluster {
    pub(crate) postgres: Postgres,
    pub(crate) processes: BTreeMap<ProcessId, Process>,
    /// Processes that died; whether the system says so to who sends to them.
    dead: BTreeMap<ProcessId, bool>,
    bus: Bus,
    /// Until when a process does nothing.
    stalled: BTreeMap<ProcessId, Millis>,
    /// Until when a process does not reach Postgres.
    cut: BTreeMap<ProcessId, Millis>,
    /// Until when some have a Redis of their own.
    split: Millis,
    /// Until when it is no wonder that a process is evicted.
    excused: BTreeMap<ProcessId, Millis>,
    /// What keepers are still to be told.
    inbox: VecDeque<(ProcessId, keeper::Input)>,
    keeping: bool,
    /// Who was the confirmed owner at each epoch.
    owners: BTreeMap<Tenure, NodeId>,
    /// The place of each hub that runs.
    places: BTreeMap<(ProcessId, UserId), usize>,
    /// Users whose hub is gone, and not yet followed by one that knows everything.
    orphaned: BTreeSet<usize>,
    /// The last hub of each that was there.
    served: BTreeMap<usize, u64>,
    /// Since when.
    down: BTreeMap<usize, Millis>,
    /// The highest epochs that each gateway was told, by an account of the model's own.
    told: BTreeMap<(ProcessId, Slot), Epoch>,
    born: u64,
    /// Faults have ended, or their last effects will have by then.
    pub(crate) calm_from: Millis,
}

/// Something that is to happen in a cluster.
#[derive(Debug)]
pub(crate) enum Ev {
    /// A packet arrives.
    Arrives { from: ProcessId, to: ProcessId, packet: Box<Packet> },
    /// A link's timer.
    Link { of: ProcessId, peer: ProcessId },
    /// Somebody has found nobody at the other end, and looks again.
    Probe { from: ProcessId, to: ProcessId, since: Millis },
    /// A question reaches Postgres.
    Asks { who: ProcessId, ask: asks::Ask },
    /// Its answer arrives.
    Answers { who: ProcessId, answer: asks::Answer },
    /// A process renews its lease, again and again.
    Renew(ProcessId),
    /// A process reads the slot table, again and again.
    Poll(ProcessId),
    /// A coordinator's timer.
    Coordinator(ProcessId),
    /// A node's right to decide may be over.
    Authority(ProcessId),
    /// A node is to tell its keeper something.
    Keeper { node: ProcessId, input: Box<keeper::Input> },
    /// A process begins.
    Boot { gateway: bool },
    /// A node that drains leaves when it owns nothing.
    Leave(ProcessId),
    /// A fault, again and again.
    Trouble,
}

impl Cluster {
    pub(crate) fn new(terrain: Option<&Terrain>) -> Self {
        Self {
            postgres: Postgres::new(),
            processes: BTreeMap::new(),
            dead: BTreeMap::new(),
            bus: Bus::new(terrain.map_or(0, |terrain| terrain.instances)),
            stalled: BTreeMap::new(),
            cut: BTreeMap::new(),
            split: Millis(0),
            excused: BTreeMap::new(),
            inbox: VecDeque::new(),
            keeping: false,
            owners: BTreeMap::new(),
            places: BTreeMap::new(),
            orphaned: BTreeSet::new(),
            served: BTreeMap::new(),
            down: BTreeMap::new(),
            told: BTreeMap::new(),
            born: 0,
            calm_from: Millis(0),
        }
    }
}

impl World {
    /// In a cluster a user of one of the slots.
    pub(crate) fn draw_user(plan: &Plan, dice: &mut Dice) -> UserId {
        loop {
            let user = UserId(dice.uuid());
            if plan.cluster.is_none() || Slot::of(user).number() < SLOTS {
                return user;
            }
        }
    }

    pub(crate) fn found_cluster(&mut self) {
        let Some(terrain) = &self.plan.cluster else { return };
        let (nodes, pause) = (terrain.nodes, terrain.pause);
        for gateway in 0..self.gateways.len() {
            self.gateways[gateway].alive = false;
            self.boot_gateway(gateway);
        }
        for _ in 0..nodes {
            let after = self.dice.millis(0, 2_000);
            self.after(after, Event::Cluster(Ev::Boot { gateway: false }));
        }
        if let Some(pause) = pause {
            let after = self.dice.around(pause);
            self.after(after, Event::Cluster(Ev::Trouble));
        }
    }

    pub(crate) fn cluster_event(&mut self, event: Ev) {
        match event {
            Ev::Arrives { from, to, packet } => self.packet_arrives(from, to, *packet),
            Ev::Link { of, peer } => self.link_timer(of, peer),
            Ev::Probe { from, to, since } => self.probe(from, to, since),
            Ev::Asks { who, ask } => self.asked(who, ask),
            Ev::Answers { who, answer } => self.answered(who, answer),
            Ev::Renew(who) => self.renew(who),
            Ev::Poll(who) => self.poll_again(who),
            Ev::Coordinator(who) => self.coordinate(who, streamz_cluster::coordinator::Input::Tick),
            Ev::Authority(who) => self.authority(who, streamz_cluster::authority::Input::Tick),
            Ev::Keeper { node, input } => self.keep(node, *input),
            Ev::Boot { gateway } => self.boot(gateway),
            Ev::Leave(node) => self.leave_if_empty(node),
            Ev::Trouble => self.trouble(),
        }
    }

    /// Faults of what is there from the beginning.
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn plant_cluster(&mut self, bug: crate::Bug) {
        use crate::{Bug, ShellBug};
        self.cluster.postgres.reuse = bug == Bug::Shell(ShellBug::EpochReuse);
        self.cluster.postgres.unfenced = bug == Bug::Shell(ShellBug::UnfencedWrites);
        if let Bug::Cluster(bug) = bug {
            self.plant_routers(bug);
        }
    }

    /// Until when whoever an event is for does nothing.
    pub(crate) fn stalls(&self, event: &Event) -> Option<Millis> {
        if self.cluster.stalled.is_empty() {
            return None;
        }
        let who = match event {
            Event::ToGateway { pipe, .. }
            | Event::Drain { pipe }
            | Event::SessionTimer { pipe, .. }
            | Event::GatewayNotices { pipe }
            | Event::AttachTimeout { pipe }
            | Event::CloseTimeout { pipe }
            | Event::TokenChecked { pipe, .. }
            | Event::IceRenewed { pipe } => Some(self.gateways[self.pipes[*pipe].gateway].id.into()),
            Event::HubTimer { place, .. } | Event::HubRest { place, .. } | Event::Stored { place, .. } => {
                self.hubs[*place].home.map(|(node, _)| node)
            }
            Event::Cluster(
                Ev::Arrives { to: who, .. }
                | Ev::Link { of: who, .. }
                | Ev::Probe { from: who, .. }
                | Ev::Answers { who, .. }
                | Ev::Renew(who)
                | Ev::Poll(who)
                | Ev::Coordinator(who)
                | Ev::Authority(who)
                | Ev::Keeper { node: who, .. }
                | Ev::Leave(who),
            ) => Some(*who),
            _ => None,
        }?;
        self.cluster.stalled.get(&who).copied().filter(|until| *until > self.now)
    }

    pub(crate) fn later(&mut self, delay: std::time::Duration, event: Ev) {
        self.after(delay, Event::Cluster(event));
    }
}
