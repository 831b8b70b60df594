//! The bus: Redis instances that lose, double and reorder; and over them a link for each pair of processes.

use std::collections::BTreeMap;
use std::time::Duration;

use streamz_cluster::coordinator;
use streamz_link::{Class, Effect, Link, Weigh};
use streamz_protocol::cluster::{Assignment, Routed};
use streamz_protocol::{Millis, NodeId, ProcessId, UserId};

use super::{Ev, SLOTS};
use crate::history::What;
use crate::world::{Event, World};

/// For how long nobody must have received.
const SILENCE: Duration = Duration::from_millis(300);
/// An instance whose loopback is missing for longer than this is not sent to.
const LOOPBACK: Duration = Duration::from_millis(2_500);
/// After an instance has restarted it says nothing about who listens.
const RESTARTED: Duration = Duration::from_secs(5);

/// What a process publishes for another.
#[derive(Clone, Debug)]
pub(crate) enum Packet {
    Frame { seq: u64, ack: u64, frame: Carried },
    Ack { ack: u64 },
    Beat { coordinator: u64 },
    Table { version: u64, changes: Vec<Assignment> },
    Report { dead: ProcessId, silent: Duration },
    Evicted,
}

/// A frame, and when it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Carried {
    pub(super) sent: Millis,
    pub(super) routed: Routed,
}

impl Weigh for Carried {
    fn bytes(&self) -> usize {
        200
    }

    fn class(&self) -> Class {
        Class::Must
    }
}

/// One end of a link.
struct End {
    link: Link<Carried>,
    armed: Option<Millis>,
}

/// A time in which something is not as it should be.
#[derive(Clone, Copy)]
struct Lapse {
    since: Millis,
    until: Millis,
}

/// Everything between processes.
pub(super) struct Bus {
    ends: BTreeMap<(ProcessId, ProcessId), End>,
    outages: Vec<Lapse>,
    restarted: Vec<Millis>,
    /// By process, instance, and whether it is the way to the process.
    partitions: BTreeMap<(ProcessId, usize, bool), Lapse>,
    unsubscribed: BTreeMap<(ProcessId, usize), Millis>,
    /// When the last packet between two processes arrives, if they keep their order.
    free: BTreeMap<(ProcessId, ProcessId), Millis>,
    /// Since when nobody receives.
    silent: BTreeMap<(ProcessId, ProcessId), Millis>,
}

impl Bus {
    pub(super) fn new(instances: usize) -> Self {
        Self {
            ends: BTreeMap::new(),
            outages: vec![Lapse { since: Millis(0), until: Millis(0) }; instances],
            restarted: vec![Millis(0); instances],
            partitions: BTreeMap::new(),
            unsubscribed: BTreeMap::new(),
            free: BTreeMap::new(),
            silent: BTreeMap::new(),
        }
    }

    /// The instances that a process listens on, the first one first.
    fn instances(&self, of: ProcessId) -> Vec<usize> {
        let count = self.outages.len();
        (0..count).map(|at| (at + usize::try_from(of.0).unwrap_or(0)) % count).collect()
    }

    fn out(&self, instance: usize, now: Millis) -> bool {
        self.outages[instance].until > now
    }

    fn parted(&self, id: ProcessId, instance: usize, inbound: bool, now: Millis) -> Option<Millis> {
        let lapse = self.partitions.get(&(id, instance, inbound))?;
        (lapse.until > now).then_some(lapse.since)
    }

    fn listens(&self, id: ProcessId, instance: usize, now: Millis) -> bool {
        self.unsubscribed.get(&(id, instance)).is_none_or(|until| *until <= now)
    }

    /// Since when a process does not hear itself through an instance.
    fn deaf_since(&self, id: ProcessId, instance: usize, now: Millis) -> Option<Millis> {
        let out = self.out(instance, now).then_some(self.outages[instance].since);
        let parted = [true, false].into_iter().filter_map(|inbound| self.parted(id, instance, inbound, now));
        parted.chain(out).min()
    }

    pub(super) fn outage(&mut self, instance: usize, now: Millis, until: Millis) {
        self.outages[instance] = Lapse { since: now, until };
        self.restarted[instance] = until;
    }

    pub(super) fn part(&mut self, id: ProcessId, instance: usize, inbound: bool, now: Millis, until: Millis) {
        self.partitions.insert((id, instance, inbound), Lapse { since: now, until });
    }

    pub(super) fn unsubscribe(&mut self, id: ProcessId, instance: usize, until: Millis) {
        self.unsubscribed.insert((id, instance), until);
    }

    pub(super) fn end_link(&mut self, of: ProcessId, peer: ProcessId) {
        self.ends.remove(&(of, peer));
        self.silent.remove(&(of, peer));
    }

    pub(super) fn forget(&mut self, id: ProcessId) {
        self.ends.retain(|(of, _), _| *of != id);
        self.silent.retain(|(from, _), _| *from != id);
    }

    /// Everything works from here on.
    pub(super) fn heal(&mut self, now: Millis) {
        for lapse in self.outages.iter_mut().chain(self.partitions.values_mut()) {
            lapse.until = lapse.until.min(now);
        }
        for until in self.restarted.iter_mut().chain(self.unsubscribed.values_mut()) {
            *until = (*until).min(now);
        }
    }
}

impl World {
    /// Puts a packet on the bus.
    pub(super) fn publish(&mut self, from: ProcessId, to: ProcessId, packet: Packet) {
        let now = self.now;
        let Some(terrain) = &self.plan.cluster else { return };
        let (loss, doubles, reorders) = (terrain.loss, terrain.doubles, terrain.reorders);
        let bus = &self.cluster.bus;
        let instances = bus.instances(to);
        let healthy =
            |at: &&usize| bus.deaf_since(from, **at, now).is_none_or(|since| since + LOOPBACK > now);
        let Some(instance) = instances.iter().find(healthy).or(instances.first()).copied() else { return };
        if bus.out(instance, now) || bus.parted(from, instance, false, now).is_some() {
            return;
        }
        if !self.receives(to, instance) {
            return self.nobody_received(from, to);
        }
        self.cluster.bus.silent.remove(&(from, to));
        let parted = self.cluster.bus.parted(to, instance, true, now).is_some();
        let copies = 1 + u64::from(!self.healed && self.dice.below(1_000) < doubles);
        for _ in 0..copies {
            if parted || (!self.healed && self.dice.below(1_000) < loss) {
                continue;
            }
            let mut at = now + self.dice.millis(0, self.plan.bus_delay);
            if !reorders {
                let free = self.cluster.bus.free.entry((from, to)).or_default();
                at = at.max(*free);
                *free = at;
            }
            let packet = Box::new(packet.clone());
            self.at(at, Event::Cluster(Ev::Arrives { from, to, packet }));
        }
    }

    /// Whether Redis counts a process among those that receive. It does so of a machine that is lost.
    fn receives(&self, to: ProcessId, instance: usize) -> bool {
        let there = match self.cluster.dead.get(&to) {
            Some(reset) => !reset,
            None => true,
        };
        there && self.cluster.bus.listens(to, instance, self.now)
    }

    fn nobody_received(&mut self, from: ProcessId, to: ProcessId) {
        let since = self.now;
        if let std::collections::btree_map::Entry::Vacant(free) = self.cluster.bus.silent.entry((from, to)) {
            free.insert(since);
            self.later(SILENCE, Ev::Probe { from, to, since });
            if planted!(self, ZeroBelievedAtOnce) {
                self.report(from, to, Duration::ZERO);
            }
        }
    }

    /// Nobody received some time ago. If that has lasted on every instance of the other, on all of which this process
    /// hears itself and none of which has restarted, it is evidence.
    pub(super) fn probe(&mut self, from: ProcessId, to: ProcessId, since: Millis) {
        let now = self.now;
        let bus = &self.cluster.bus;
        if bus.silent.get(&(from, to)) != Some(&since) || !self.cluster.processes.contains_key(&from) {
            return;
        }
        let instances = bus.instances(to);
        let silent = |at: &usize| {
            bus.deaf_since(from, *at, now).is_none()
                && bus.restarted[*at] + RESTARTED <= now
                && !self.receives(to, *at)
        };
        if !instances.iter().all(silent) {
            self.cluster.bus.silent.remove(&(from, to));
            return;
        }
        self.report(from, to, now.since(since));
        self.later(SILENCE, Ev::Probe { from, to, since });
    }

    pub(super) fn report(&mut self, from: ProcessId, dead: ProcessId, silent: Duration) {
        let holder = self.cluster.processes.get(&from).and_then(|process| process.holder);
        if self.node(from).is_some() {
            self.coordinate(from, coordinator::Input::Report { dead, silent });
        }
        let nodes = self.nodes().into_iter().map(|node| NodeId(node.0)).collect::<Vec<_>>();
        for to in coordinator::evidence_for(holder, dead, &nodes).into_iter().map(ProcessId::from) {
            if to != from {
                self.publish(from, to, Packet::Report { dead, silent });
            }
        }
    }

    /// Tells every other process what changed.
    pub(super) fn announce_table(&mut self, from: ProcessId, version: u64, changes: &[Assignment]) {
        let all: Vec<ProcessId> = self.cluster.processes.keys().copied().collect();
        for to in all.into_iter().filter(|to| *to != from) {
            self.publish(from, to, Packet::Table { version, changes: changes.to_vec() });
        }
    }

    /// Sends a frame on the link between two processes.
    pub(super) fn link_send(&mut self, of: ProcessId, peer: ProcessId, routed: Routed) {
        let known = self.cluster.processes.get(&of);
        if known.is_none_or(|process| process.buried.contains(&peer)) {
            return;
        }
        let (local, mut effects) = (self.clock_of(of), Vec::new());
        let carried = Carried { sent: self.now, routed };
        let taken = self.end(of, peer).link.send(carried, local, &mut effects);
        if taken.is_err() {
            self.breaks(format!("P6: the link from {of:?} to {peer:?} is full"));
        }
        self.carry_out_for_link(of, peer, effects);
    }

    fn end(&mut self, of: ProcessId, peer: ProcessId) -> &mut End {
        let fresh = || {
            #[cfg_attr(not(feature = "planted-bugs"), allow(unused_mut))]
            let mut link = Link::default();
            #[cfg(feature = "planted-bugs")]
            if let Some(crate::Bug::Link(bug)) = self.bug {
                link.plant(bug);
            }
            End { link, armed: None }
        };
        self.cluster.bus.ends.entry((of, peer)).or_insert_with(fresh)
    }

    pub(super) fn packet_arrives(&mut self, from: ProcessId, to: ProcessId, packet: Packet) {
        let Some(process) = self.cluster.processes.get(&to) else { return };
        if process.buried.contains(&from) {
            return;
        }
        let (local, mut effects) = (process.clock(self.now), Vec::new());
        match packet {
            Packet::Frame { seq, ack, frame } => {
                self.end(to, from).link.receive_frame(seq, ack, frame, local, &mut effects);
                self.carry_out_for_link(to, from, effects);
            }
            Packet::Ack { ack } => {
                if let Some(end) = self.cluster.bus.ends.get_mut(&(to, from)) {
                    end.link.receive_ack(ack, local, &mut effects);
                    self.carry_out_for_link(to, from, effects);
                }
            }
            Packet::Beat { coordinator } => {
                self.authority(to, streamz_cluster::authority::Input::Beat { coordinator });
            }
            Packet::Table { version, changes } => self.hinted(to, version, changes),
            Packet::Evicted => self.evicted(to),
            Packet::Report { dead, silent } => {
                self.coordinate(to, coordinator::Input::Report { dead, silent });
            }
        }
    }

    pub(super) fn link_timer(&mut self, of: ProcessId, peer: ProcessId) {
        let (local, mut effects) = (self.clock_of(of), Vec::new());
        let Some(end) = self.cluster.bus.ends.get_mut(&(of, peer)) else { return };
        end.armed = None;
        end.link.tick(local, &mut effects);
        self.carry_out_for_link(of, peer, effects);
    }

    fn carry_out_for_link(&mut self, of: ProcessId, peer: ProcessId, effects: Vec<Effect<Carried>>) {
        // First the timer: what is delivered may end the link.
        if let Some(end) = self.cluster.bus.ends.get_mut(&(of, peer))
            && let Some(due) = end.link.next_deadline()
            && end.armed.is_none_or(|armed| due < armed)
        {
            end.armed = Some(due);
            self.at_clock(of, due, Ev::Link { of, peer });
        }
        for effect in effects {
            match effect {
                Effect::Transmit { seq, ack, frame } => {
                    self.publish(of, peer, Packet::Frame { seq, ack, frame });
                }
                Effect::TransmitAck { ack } => self.publish(of, peer, Packet::Ack { ack }),
                Effect::Deliver(frame) => self.link_delivers(of, peer, frame),
            }
        }
    }

    fn link_delivers(&mut self, to: ProcessId, from: ProcessId, frame: Carried) {
        let Carried { sent, routed } = frame;
        self.note(|| format!("    {from:?} -> {to:?} {routed:?}"));
        // What comes late is no more than the bus's fault: it is known whom that concerns.
        if self.now.since(sent) > Duration::from_millis(self.plan.bus_delay + 60) {
            for user in self.users_of(&routed) {
                self.saw(What::BusStalled { user, since: sent, until: self.now });
            }
        }
        if self.node(to).is_some() {
            self.node_hears(to, from, routed);
        } else {
            self.router_hears(to, from, routed, sent);
        }
    }

    fn users_of(&self, routed: &Routed) -> Vec<usize> {
        let of = |user: &UserId| self.user_no(*user).into_iter().collect();
        match routed {
            Routed::ToHub { frame, .. } => of(&frame.user),
            Routed::ToGateway { tenure, .. } => self.users_in(tenure.slot),
            Routed::Claim { tenures, .. } | Routed::Claimed { tenures, .. } => {
                debug_assert!(tenures.len() <= usize::from(SLOTS));
                tenures.iter().flat_map(|tenure| self.users_in(tenure.slot)).collect()
            }
            Routed::NotMine { .. } => Vec::new(),
        }
    }
}
