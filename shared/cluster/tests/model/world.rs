//! The world of one run: its clock, its processes, and the loop that takes one event after the other.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use streamz_cluster::{Bug, coordinator, keeper};
use streamz_protocol::cluster::{Assignment, Routed, Slot, Tenure};
use streamz_protocol::{Millis, NodeId, ProcessId, UserId};
use uuid::Uuid;

use crate::dice::Dice;
use crate::faults::Fault;
use crate::gateway::Gateway;
use crate::node::Node;
use crate::store::Store;

/// The slots of the model: the first so many.
pub(crate) const SLOTS: u16 = 6;
/// When faults begin and end, and how long the healed cluster has to settle, in milliseconds.
pub(crate) const BEGIN: u64 = 10_000;
pub(crate) const HEAL: u64 = 70_000;
pub(crate) const SETTLE: u64 = 25_000;

/// Something that is to happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// The first message on its way from one process to another arrives.
    Link { from: ProcessId, to: ProcessId },
    /// A hint arrives.
    Hint { to: ProcessId, hint: Hint },
    /// A question reaches the store.
    Store { who: ProcessId, ask: Ask },
    /// An answer of the store arrives.
    Answer { who: ProcessId, answer: Answer },
    /// A process renews its lease, again and again.
    Renew(ProcessId),
    /// A process reads the table, again and again.
    Poll(ProcessId),
    /// A coordinator's timer.
    Timer(ProcessId),
    /// A node is to tell its keeper something.
    Keeper { node: ProcessId, input: Box<keeper::Input> },
    /// A device does something.
    Device(usize),
    /// A connection was not attached in time.
    AttachTimeout { gateway: ProcessId, conn: u64 },
    /// Somebody notices that nobody receives what is sent to this process.
    Evidence { dead: ProcessId, left: u32 },
    /// A fault.
    Fault(Fault),
    /// A node or gateway starts.
    Start { gateway: bool },
    /// A drained node may leave.
    Leave(ProcessId),
    /// The store is back.
    StoreBack,
    /// Faults end.
    Heal,
}

#[derive(Clone, Debug)]
pub(crate) enum Hint {
    Table { version: u64, changes: Vec<Assignment> },
    Beat { coordinator: u64 },
    Report { dead: ProcessId, silent: u64 },
}

#[derive(Debug)]
pub(crate) enum Ask {
    Renew,
    Poll { since: u64 },
    Coordinator(Box<coordinator::Effect>),
    HandOver(Tenure),
}

#[derive(Debug)]
pub(crate) enum Answer {
    Renewed { row: bool, term: coordinator::TermRow, sent_at: Millis },
    Polled(Option<Polled>),
    Coordinator(Box<coordinator::Input>),
    HandedOver(Tenure, keeper::HandOver),
}

#[derive(Debug)]
pub(crate) struct Polled {
    pub(crate) version: u64,
    pub(crate) rows: Vec<streamz_cluster::SlotRow>,
    pub(crate) gateways: Vec<streamz_protocol::GatewayId>,
    pub(crate) nodes: Vec<NodeId>,
}

/// What happened in runs, so that none of it is missed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) events: u64,
    pub(crate) crashes: u64,
    pub(crate) stalls: u64,
    pub(crate) cuts: u64,
    pub(crate) outages: u64,
    pub(crate) drains: u64,
    pub(crate) left: u64,
    pub(crate) hub_crashes: u64,
    pub(crate) evicted: u64,
    pub(crate) moved: u64,
    pub(crate) refused: u64,
    pub(crate) lost_answers: u64,
    pub(crate) fenced: u64,
    pub(crate) recoveries: u64,
}

impl Totals {
    fn all(&mut self) -> [&mut u64; 14] {
        [
            &mut self.events,
            &mut self.crashes,
            &mut self.stalls,
            &mut self.cuts,
            &mut self.outages,
            &mut self.drains,
            &mut self.left,
            &mut self.hub_crashes,
            &mut self.evicted,
            &mut self.moved,
            &mut self.refused,
            &mut self.lost_answers,
            &mut self.fenced,
            &mut self.recoveries,
        ]
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.all().into_iter().zip(other.clone().all()) {
            *mine += *theirs;
        }
    }

    pub(crate) fn every_kind(&self) -> bool {
        self.clone().all().iter().all(|count| **count > 0)
    }
}

pub(crate) struct Device {
    pub(crate) user: UserId,
    pub(crate) conn: Option<(ProcessId, u64)>,
}

pub(crate) struct World {
    pub(crate) now: Millis,
    pub(crate) dice: Dice,
    queue: BTreeMap<(Millis, u64), Event>,
    order: u64,
    pub(crate) store: Store,
    pub(crate) nodes: BTreeMap<ProcessId, Node>,
    pub(crate) gateways: BTreeMap<ProcessId, Gateway>,
    pub(crate) links: BTreeMap<(ProcessId, ProcessId), VecDeque<Routed>>,
    /// Until when nothing passes from one process to another.
    pub(crate) blocked: BTreeMap<(ProcessId, ProcessId), Millis>,
    /// Until when a process does nothing, and when it last had trouble of its own with the store.
    pub(crate) paused: BTreeMap<ProcessId, Millis>,
    pub(crate) cut: BTreeMap<ProcessId, Millis>,
    pub(crate) troubled: BTreeMap<ProcessId, Millis>,
    pub(crate) devices: Vec<Device>,
    pub(crate) healed: bool,
    pub(crate) bug: Option<Bug>,
    pub(crate) broken: Option<String>,
    pub(crate) totals: Totals,
    pub(crate) confirmed: BTreeMap<Tenure, NodeId>,
    pub(crate) hint_loss: u64,
    pub(crate) delay: u64,
    /// The kinds of fault of this run, and the longest time between two.
    pub(crate) kinds: Vec<u64>,
    pub(crate) pace: u64,
    trace: Option<String>,
}

impl World {
    pub(crate) fn new(seed: u64, bug: Option<Bug>, traced: bool) -> Self {
        let mut dice = Dice::new(seed);
        let (hint_loss, delay) = (dice.pick(&[0, 10, 100]).unwrap(), dice.pick(&[0, 5, 60]).unwrap());
        // A few kinds often, or all of them seldom: some troubles only show when others do not get in between.
        let few = dice.chance(60);
        let kinds: Vec<u64> = (0..=14).filter(|_| !few || dice.chance(35)).collect();
        let pace = dice.pick(&[1_500, 4_000, 8_000]).unwrap();
        let mut world = Self {
            now: Millis(1_000_000),
            dice,
            queue: BTreeMap::new(),
            order: 0,
            store: Store::new(bug == Some(Bug::EpochReuse)),
            nodes: BTreeMap::new(),
            gateways: BTreeMap::new(),
            links: BTreeMap::new(),
            blocked: BTreeMap::new(),
            paused: BTreeMap::new(),
            cut: BTreeMap::new(),
            troubled: BTreeMap::new(),
            devices: Vec::new(),
            healed: false,
            bug,
            broken: None,
            totals: Totals::default(),
            confirmed: BTreeMap::new(),
            hint_loss,
            delay,
            kinds,
            pace,
            trace: traced.then(String::new),
        };
        for _ in 0..world.dice.range(1, 4) {
            let at = world.dice.range(0, 3_000);
            world.after(at, Event::Start { gateway: false });
        }
        for _ in 0..world.dice.range(1, 3) {
            let at = world.dice.range(0, 3_000);
            world.after(at, Event::Start { gateway: true });
        }
        // Users of the slots of the model.
        let ids = (1..).map(|number: u128| UserId(Uuid::from_u128(number)));
        let users: Vec<UserId> = ids.filter(|user| Slot::of(*user).number() < SLOTS).take(5).collect();
        for user in users {
            for _ in 0..world.dice.range(1, 3) {
                let device = world.devices.len();
                world.devices.push(Device { user, conn: None });
                let at = world.dice.range(3_000, 12_000);
                world.after(at, Event::Device(device));
            }
        }
        world.after(BEGIN, Event::Fault(Fault::Next));
        world.after(HEAL, Event::Heal);
        world
    }

    pub(crate) fn run(&mut self) {
        let end = self.now + std::time::Duration::from_millis(HEAL + SETTLE);
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > end || self.broken.is_some() {
                break;
            }
            self.now = at;
            if let Some(until) = self.target(&event).and_then(|id| self.paused.get(&id)).copied()
                && until > at
            {
                self.at(until, event);
                continue;
            }
            self.totals.events += 1;
            self.note(|| format!("{event:?}"));
            self.handle(event);
            self.check_always();
        }
        if self.broken.is_none() {
            self.check_end();
        }
    }

    /// Whose doing an event is.
    fn target(&self, event: &Event) -> Option<ProcessId> {
        match event {
            Event::Link { to, .. } | Event::Hint { to, .. } => Some(*to),
            Event::Answer { who: id, .. }
            | Event::Renew(id)
            | Event::Poll(id)
            | Event::Timer(id)
            | Event::Leave(id)
            | Event::Keeper { node: id, .. }
            | Event::AttachTimeout { gateway: id, .. } => Some(*id),
            _ => None,
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Link { from, to } => self.arrives(from, to),
            Event::Hint { to, hint } => self.hinted(to, hint),
            Event::Store { who, ask } => self.asked(who, ask),
            Event::Answer { who, answer } => self.answered(who, answer),
            Event::Renew(id) => self.renew(id),
            Event::Poll(id) => self.poll_again(id),
            Event::Timer(id) => self.coordinate(id, coordinator::Input::Tick),
            Event::Keeper { node, input } => self.keep(node, *input),
            Event::Device(device) => self.device(device),
            Event::AttachTimeout { gateway, conn } => self.attach_timeout(gateway, conn),
            Event::Evidence { dead, left } => self.evidence(dead, left),
            Event::Fault(fault) => self.strike(fault),
            Event::Start { gateway: true } => self.start_gateway(),
            Event::Start { gateway: false } => self.start_node(),
            Event::Leave(id) => self.leave(id),
            Event::StoreBack => self.store.away = false,
            Event::Heal => self.heal(),
        }
    }

    pub(crate) fn after(&mut self, millis: u64, event: Event) {
        self.at(self.now + std::time::Duration::from_millis(millis), event);
    }

    pub(crate) fn at(&mut self, at: Millis, event: Event) {
        self.order += 1;
        self.queue.insert((at.max(self.now), self.order), event);
    }

    pub(crate) fn lives(&self, id: ProcessId) -> bool {
        self.nodes.contains_key(&id) || self.gateways.contains_key(&id)
    }

    /// Puts a frame on the link between two incarnations.
    pub(crate) fn send(&mut self, from: ProcessId, to: ProcessId, frame: Routed) {
        self.note(|| format!("    {from:?} -> {to:?} {}", brief(&frame)));
        self.links.entry((from, to)).or_default().push_back(frame);
        let blocked = self.blocked.get(&(from, to)).copied().unwrap_or_default();
        let delay = self.dice.range(0, self.delay);
        let at = (self.now + std::time::Duration::from_millis(delay)).max(blocked);
        self.at(at, Event::Link { from, to });
    }

    fn arrives(&mut self, from: ProcessId, to: ProcessId) {
        let blocked = self.blocked.get(&(from, to)).copied().unwrap_or_default();
        if blocked > self.now {
            return self.at(blocked, Event::Link { from, to });
        }
        let Some(frame) = self.links.get_mut(&(from, to)).and_then(VecDeque::pop_front) else { return };
        self.note(|| format!("    {}", brief(&frame)));
        if self.nodes.contains_key(&to) {
            self.node_hears(from, to, frame);
        } else if self.gateways.contains_key(&to) {
            self.gateway_hears(from, to, frame);
        }
    }

    /// Tells every process but the sender, some of them at least.
    pub(crate) fn tell_all(&mut self, from: ProcessId, hint: &Hint) {
        let all: Vec<ProcessId> = self.nodes.keys().chain(self.gateways.keys()).copied().collect();
        for to in all.into_iter().filter(|to| *to != from) {
            self.tell(to, hint.clone());
        }
    }

    pub(crate) fn tell(&mut self, to: ProcessId, hint: Hint) {
        if !self.dice.chance(self.hint_loss) {
            let delay = self.dice.range(0, self.delay);
            self.after(delay, Event::Hint { to, hint });
        }
    }

    pub(crate) fn breaks(&mut self, sentence: String) {
        self.note(|| format!("  ! {sentence}"));
        self.broken.get_or_insert(sentence);
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let mut line = line();
            line.truncate(400);
            let _ = writeln!(trace, "{:>7} {line}", self.now.0 - 1_000_000);
        }
    }

    pub(crate) fn trace(&self) -> &str {
        self.trace.as_deref().unwrap_or_default()
    }
}

fn brief(frame: &Routed) -> String {
    match frame {
        Routed::ToHub { tenure, frame } => {
            let text = format!("{:?}", frame.up);
            format!("ToHub {tenure:?} {:?} {}", frame.user, text.get(..90).unwrap_or(&text))
        }
        other => format!("{other:?}"),
    }
}
