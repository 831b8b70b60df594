//! Nodes: what a keeper, a coordinator and the right to decide need around them, and the desk at the store.

use std::collections::VecDeque;
use std::time::Duration;

use streamz_cluster::authority::{self, Authority};
use streamz_cluster::coordinator::{self, Coordinator};
use streamz_cluster::keeper::{Effect, Input, Keeper};
use streamz_hub::Hub;
use streamz_protocol::bus::ToGateway;
use streamz_protocol::cluster::{Assignment, Routed, Slot, Tenure};
use streamz_protocol::{GatewayId, Millis, NodeId, ProcessId, UserId};

use super::asks::Ask;
use super::bus::Packet;
use super::{Ev, SLOTS};
use crate::nodes::{HubSlot, Write};
use crate::world::World;

/// Writes that go to the store at once.
const BATCH: usize = 32;

/// One incarnation of a node.
pub(crate) struct Node {
    pub(super) keeper: Keeper,
    pub(super) coordinator: Coordinator,
    authority: Authority,
    /// Writes that are not known to be done, each with the tenure that it is made in.
    desk: VecDeque<(Tenure, Write)>,
    /// How many of them are under way.
    writing: usize,
    /// Slots to be handed over when their writes are done.
    flushing: Vec<Tenure>,
    armed: Option<Millis>,
    pub(super) leaving: bool,
}

impl Node {
    pub(super) fn new(id: NodeId) -> Self {
        Self {
            keeper: Keeper::new(id),
            coordinator: Coordinator::with_slots(id, SLOTS),
            authority: Authority::new(),
            desk: VecDeque::new(),
            writing: 0,
            flushing: Vec::new(),
            armed: None,
            leaving: false,
        }
    }

    #[cfg(feature = "planted-bugs")]
    pub(super) fn with(mut self, bug: Option<crate::Bug>) -> Self {
        if let Some(crate::Bug::Cluster(bug)) = bug {
            self.keeper.plant(bug);
            self.coordinator.plant(bug);
        }
        self
    }
}

impl World {
    pub(super) fn users_in(&self, slot: Slot) -> Vec<usize> {
        (0..self.user_ids.len()).filter(|user| Slot::of(self.user_ids[*user]) == slot).collect()
    }

    pub(super) fn node_hears(&mut self, node: ProcessId, from: ProcessId, routed: Routed) {
        let gateway = GatewayId(from.0);
        match routed {
            Routed::ToHub { tenure, frame } => self.keep(node, Input::Frame { gateway, tenure, frame }),
            Routed::Claimed { tenures, users, .. } => {
                self.keep(node, Input::Claimed { gateway, tenures, users })
            }
            _ => {}
        }
    }

    /// Tells a keeper something, and carries out all that follows, one input after the other.
    pub(super) fn keep(&mut self, id: ProcessId, input: Input) {
        self.cluster.inbox.push_back((id, input));
        if std::mem::replace(&mut self.cluster.keeping, true) {
            return;
        }
        while let Some((id, input)) = self.cluster.inbox.pop_front() {
            let local = self.clock_of(id);
            let Some(node) = self.node_mut(id) else { continue };
            for effect in node.keeper.handle(input, local) {
                self.note(|| format!("    {id:?} {effect:?}"));
                self.carry_out_for_keeper(id, effect);
            }
        }
        self.cluster.keeping = false;
    }

    fn carry_out_for_keeper(&mut self, id: ProcessId, effect: Effect) {
        match effect {
            Effect::Send(gateway, routed) => self.link_send(id, gateway.into(), routed),
            Effect::StartHub { user, hub_epoch, recover_from } => {
                self.start_hub(id, user, hub_epoch, &recover_from);
            }
            Effect::HubInput(user, up) => {
                if let Some(place) = self.cluster.places.get(&(id, user)).copied() {
                    self.tell_hub(place, streamz_hub::Input::Up(up));
                }
            }
            Effect::Load { user, hub_epoch } => {
                if let Some(place) = self.cluster.places.get(&(id, user)).copied()
                    && self.hubs[place].epoch == hub_epoch
                {
                    self.load(place);
                }
            }
            Effect::DropHubs(slot) => {
                self.abandon_hubs(id, |of| of == slot, false);
                if let Some(node) = self.node_mut(id) {
                    let under_way = node.writing;
                    let mut at = 0;
                    node.desk.retain(|(tenure, _)| {
                        at += 1;
                        at <= under_way || tenure.slot != slot
                    });
                }
            }
            Effect::Flush(tenure) => {
                self.abandon_hubs(id, |of| of == tenure.slot, true);
                if let Some(node) = self.node_mut(id) {
                    node.flushing.push(tenure);
                }
                self.check_flushed(id, true);
            }
            Effect::HandOver(tenure) => self.ask(id, Ask::HandOver(tenure)),
            Effect::Confirmed(tenure) => self.confirmed(id, tenure),
            Effect::Publish { version, change } => {
                self.announce_table(id, version, &[change]);
                self.coordinate(id, coordinator::Input::Hint(version));
            }
            Effect::Read => self.poll(id),
            Effect::Ignored(..) => {}
        }
    }

    fn start_hub(&mut self, id: ProcessId, user: UserId, hub_epoch: u64, recover_from: &[GatewayId]) {
        let Some(number) = self.user_no(user) else { return };
        let tenure = self.node(id).and_then(|node| node.keeper.tenure(Slot::of(user)));
        let Some(tenure) = tenure else { return };
        let (hub, effects) = Hub::recover(user, hub_epoch, self.plan.limits.clone(), recover_from);
        let hub = Some(self.prepared(hub));
        let home = Some((id, tenure));
        // Its node may stand still, or not know yet that it owns the slot no more: this one follows it all the same.
        let followed = self.cluster.places.iter().any(|((_, whose), _)| *whose == user);
        let newer = self.cluster.served.get(&number).is_none_or(|served| *served < hub_epoch);
        if followed && newer {
            self.hub_is_gone(number, false);
        }
        let place = self.hubs.len();
        let slot =
            HubSlot { user: number, home, hub, epoch: hub_epoch, last_input: self.now, ..HubSlot::default() };
        self.hubs.push(slot);
        self.cluster.places.insert((id, user), place);
        self.carry_out_for_hub(place, effects);
        self.arm_hub(place);
        if recover_from.is_empty() {
            self.close_orphans(place);
            self.hub_is_back(number, hub_epoch);
        }
    }

    /// A node's hubs are gone, as far as their slots are among these.
    pub(super) fn abandon_hubs(&mut self, id: ProcessId, which: impl Fn(Slot) -> bool, planned: bool) {
        let own: Vec<(UserId, usize)> = self
            .cluster
            .places
            .range((id, UserId(uuid::Uuid::nil()))..)
            .take_while(|((node, _), _)| *node == id)
            .filter(|((_, user), _)| which(Slot::of(*user)))
            .map(|((_, user), place)| (*user, *place))
            .collect();
        for (user, place) in own {
            self.cluster.places.remove(&(id, user));
            self.hubs[place].hub = None;
            let user = self.hubs[place].user;
            // One that another has followed is missed by nobody.
            if self.cluster.served.get(&user).is_none_or(|served| *served <= self.hubs[place].epoch) {
                self.hub_is_gone(user, planned);
            }
        }
    }

    /// Every gateway has confirmed a slot. Of users without a hub nobody is there, and no stream lives.
    fn confirmed(&mut self, id: ProcessId, tenure: Tenure) {
        self.check_confirmed(id, tenure);
        for user in self.users_in(tenure.slot) {
            if self.cluster.places.contains_key(&(id, self.user_ids[user])) {
                continue;
            }
            self.put_on_desk(id, tenure, Write::Nobody { user });
            self.put_on_desk(id, tenure, Write::Orphans { user, live: Vec::new() });
            self.hub_is_back(user, tenure.epoch.0 << streamz_cluster::keeper::HUB_EPOCH_BITS);
        }
    }

    pub(crate) fn node_circumstances(&self, node: ProcessId) -> (bool, bool) {
        let Some(process) = self.cluster.processes.get(&node) else { return (false, false) };
        let Some(node) = process.node() else { return (false, false) };
        let local = process.clock(self.now);
        (node.desk.len() < self.plan.record_queue.max(BATCH), node.authority.may_decide(local))
    }

    pub(crate) fn ask_keeper_to_load(&mut self, place: usize) {
        let slot = &self.hubs[place];
        let (user, hub_epoch) = (self.user_ids[slot.user], slot.epoch);
        if let Some((node, _)) = slot.home {
            self.keep(node, Input::HubLoads { user, hub_epoch });
        }
    }

    pub(crate) fn hub_says(&mut self, place: usize, gateway: GatewayId, frame: ToGateway) {
        let slot = &self.hubs[place];
        let (user, hub_epoch) = (self.user_ids[slot.user], slot.epoch);
        if let Some((node, _)) = slot.home {
            self.keep(node, Input::HubSays { user, hub_epoch, gateway, frame });
        }
    }

    /// A hub without sessions is let go.
    pub(crate) fn hub_went(&mut self, place: usize) {
        let slot = &self.hubs[place];
        let (user, hub_epoch) = (self.user_ids[slot.user], slot.epoch);
        if let Some((node, _)) = slot.home {
            self.cluster.places.remove(&(node, user));
            self.keep(node, Input::HubGone { user, hub_epoch, failed: false });
        }
    }

    /// A hub fails; its node starts another one.
    pub(super) fn fail_hub(&mut self, place: usize) {
        let slot = &mut self.hubs[place];
        let Some((node, _)) = slot.home else { return };
        slot.hub = None;
        let (number, hub_epoch) = (slot.user, slot.epoch);
        let user = self.user_ids[number];
        self.cluster.places.remove(&(node, user));
        if self.cluster.served.get(&number).is_none_or(|served| *served <= hub_epoch) {
            self.hub_is_gone(number, false);
        }
        self.keep(node, Input::HubGone { user, hub_epoch, failed: true });
        let back = self.dice.millis(0, 1_500);
        self.later(back, Ev::Keeper { node, input: Box::new(Input::HubRestart(user)) });
    }

    /// The hub that hears what is said to a user now: that of the confirmed owner, if it may decide.
    pub(crate) fn listening_in_cluster(&self, user: usize) -> Option<Option<usize>> {
        let id = self.user_ids[user];
        let slot = Slot::of(id);
        let Assignment { tenure, owner } = self.cluster.postgres.row(slot).assignment;
        let owner: ProcessId = owner?.into();
        let node = self.node(owner)?;
        let stalled = self.cluster.stalled.get(&owner).is_some_and(|until| *until > self.now);
        let sure = self.node_circumstances(owner).1 && !stalled;
        if node.keeper.tenure(slot) != Some(tenure) || !node.keeper.is_confirmed(slot) || !sure {
            return None;
        }
        let place = self.cluster.places.get(&(owner, id)).copied();
        let hub = place.and_then(|place| self.hubs[place].hub.as_ref());
        let failed = self.cluster.orphaned.contains(&user);
        (!failed && !hub.is_some_and(Hub::is_recovering)).then_some(place)
    }

    pub(crate) fn put_on_desk(&mut self, id: ProcessId, tenure: Tenure, write: Write) {
        let Some(node) = self.node_mut(id) else { return };
        node.desk.push_back((tenure, write));
        self.write_batch(id);
    }

    fn write_batch(&mut self, id: ProcessId) {
        let Some(node) = self.node_mut(id) else { return };
        if node.writing > 0 || node.desk.is_empty() {
            return;
        }
        let batch: Vec<_> = node.desk.iter().take(BATCH).cloned().collect();
        node.writing = batch.len();
        self.ask(id, Ask::Write(batch));
    }

    pub(super) fn desk_answered(&mut self, id: ProcessId, done: bool) {
        let Some(node) = self.node_mut(id) else { return };
        let count = std::mem::take(&mut node.writing);
        if done {
            node.desk.drain(..count.min(node.desk.len()));
        }
        self.check_flushed(id, done);
        self.write_batch(id);
    }

    /// Slots whose writes are done, or cannot be now, are done with.
    fn check_flushed(&mut self, id: ProcessId, answers: bool) {
        let Some(node) = self.node_mut(id) else { return };
        let open = |slot: Slot, desk: &VecDeque<(Tenure, Write)>| desk.iter().any(|(of, _)| of.slot == slot);
        let desk = &node.desk;
        let over: Vec<Tenure> =
            node.flushing.extract_if(.., |tenure| !answers || !open(tenure.slot, desk)).collect();
        for tenure in over {
            self.keep(id, Input::Flushed(tenure, answers));
        }
    }

    pub(super) fn coordinate(&mut self, id: ProcessId, input: coordinator::Input) {
        let local = self.clock_of(id);
        let Some(node) = self.node_mut(id) else { return };
        if input == coordinator::Input::Tick {
            node.armed = None;
        }
        let effects = node.coordinator.handle(input, local);
        if let Some(due) = node.coordinator.next_deadline()
            && node.armed.is_none_or(|armed| due < armed)
        {
            node.armed = Some(due);
            self.at_clock(id, due, Ev::Coordinator(id));
        }
        for effect in effects {
            match effect {
                coordinator::Effect::Beat { nodes, epoch, .. } => {
                    for to in nodes.into_iter().map(ProcessId::from) {
                        if to == id {
                            self.authority(id, authority::Input::Beat { coordinator: epoch });
                        } else {
                            self.publish(id, to, Packet::Beat { coordinator: epoch });
                        }
                    }
                }
                coordinator::Effect::Publish { version, changes } => {
                    self.announce_table(id, version, &changes);
                    self.hinted(id, version, changes);
                }
                coordinator::Effect::TellEvicted(to) => self.publish(id, to, Packet::Evicted),
                coordinator::Effect::Forget(_) => {}
                asks => self.ask(id, Ask::Coordinator { effect: Box::new(asks), sent_at: local }),
            }
        }
    }

    pub(super) fn hinted(&mut self, to: ProcessId, version: u64, changes: Vec<Assignment>) {
        if self.node(to).is_some() {
            self.keep(to, Input::Hint(changes));
            self.coordinate(to, coordinator::Input::Hint(version));
        } else {
            self.router_input(to, streamz_cluster::router::Input::Hint { version, changes });
        }
    }

    /// A node learns something about its right to decide; its hubs go on with what waits when it has it again.
    pub(super) fn authority(&mut self, id: ProcessId, input: authority::Input) {
        let local = self.clock_of(id);
        let Some(node) = self.node_mut(id) else { return };
        let changed = node.authority.handle(input, local);
        if let Some(due) = node.authority.next_deadline()
            && changed == Some(authority::Effect::Gained)
        {
            self.at_clock(id, due, Ev::Authority(id));
        } else if let (Some(due), authority::Input::Tick) = (node.authority.next_deadline(), input) {
            self.at_clock(id, due.max(local + Duration::from_millis(1)), Ev::Authority(id));
        }
        if changed == Some(authority::Effect::Gained) {
            let own: Vec<usize> = self
                .cluster
                .places
                .iter()
                .filter(|((node, _), _)| *node == id)
                .map(|(_, place)| *place)
                .collect();
            for place in own {
                self.tell_hub(place, streamz_hub::Input::Tick);
            }
        }
    }

    /// A node that drains leaves when it owns nothing, and will own nothing.
    pub(super) fn leave_if_empty(&mut self, id: ProcessId) {
        let me = NodeId(id.0);
        let named = self
            .cluster
            .postgres
            .rows()
            .any(|row| row.assignment.owner == Some(me) || row.moving_to == Some(me));
        let Some(node) = self.node(id) else { return };
        if named || node.keeper.stats().slots > 0 || self.store_away || self.is_cut(id) {
            return self.later(Duration::from_millis(200), Ev::Leave(id));
        }
        self.coordinate(id, coordinator::Input::Resign);
        self.cluster.postgres.processes.remove(&id);
        self.abandon_hubs(id, |_| true, true);
        self.cluster.processes.remove(&id);
        self.cluster.dead.insert(id, true);
        self.cluster.bus.forget(id);
    }
}
