//! The promises.

use std::collections::BTreeSet;

use streamz_protocol::cluster::{Slot, Tenure};
use streamz_protocol::{ConnId, ProcessId, UserId};

use crate::world::{SLOTS, World};

impl World {
    /// One owner is confirmed per epoch, ever.
    pub(crate) fn check_always(&mut self) {
        let mut broken = None;
        for node in self.nodes.values() {
            for slot in Slot::all().take(usize::from(SLOTS)) {
                let Some(tenure) = node.keeper.tenure(slot).filter(|_| node.keeper.is_confirmed(slot)) else {
                    continue;
                };
                let first = *self.confirmed.entry(tenure).or_insert(node.id);
                if first != node.id {
                    broken = Some(format!("{first:?} and {:?} are both confirmed for {tenure:?}", node.id));
                }
            }
        }
        if let Some(broken) = broken {
            self.breaks(broken);
        }
    }

    /// Every gateway that serves users of the slot knows the epoch that was confirmed.
    pub(crate) fn check_confirmed(&mut self, node: ProcessId, tenure: Tenure) {
        let Some(state) = self.nodes.get(&node) else { return };
        if !self.store.current(tenure, state.id) {
            return;
        }
        let behind = self.gateways.iter().find(|(id, gateway)| {
            let serves =
                gateway.conns.values().any(|conn| conn.attached && Slot::of(conn.user) == tenure.slot);
            let behind = gateway.router.table().fence().epoch(tenure.slot) < tenure.epoch;
            self.store.processes.contains_key(id) && serves && behind
        });
        if let Some((id, _)) = behind {
            let sentence = format!("{tenure:?} counts as confirmed, and {id:?} does not know it");
            self.breaks(sentence);
        }
    }

    /// A hub that begins to decide knows every session, unless it is not the owner's any more.
    pub(crate) fn check_decision(&mut self, node: ProcessId, user: UserId) {
        let Some(state) = self.nodes.get(&node) else { return };
        let Some(tenure) = state.keeper.tenure(Slot::of(user)) else { return };
        let Some(hub) = state.hubs.get(&user) else { return };
        if !self.store.current(tenure, state.id) {
            return;
        }
        let unknown = self.conns(user, true).into_iter().find(|conn| {
            self.store.processes.contains_key(&conn.gateway.into()) && !hub.conns.contains(conn)
        });
        if let Some(conn) = unknown {
            let sentence = format!("the hub {:#x} of {user:?} decides and does not know {conn:?}", hub.epoch);
            self.breaks(sentence);
        }
    }

    /// Nobody who can renew is evicted.
    pub(crate) fn check_evicted(&mut self) {
        for id in std::mem::take(&mut self.store.evicted) {
            self.totals.evicted += 1;
            let excused = self.troubled.get(&id).is_some_and(|until| *until > self.now);
            if self.lives(id) && !excused {
                self.breaks(format!("{id:?} was evicted and nothing is wrong with it"));
            }
        }
    }

    fn conns(&self, user: UserId, attached: bool) -> Vec<ConnId> {
        let mut conns = Vec::new();
        for gateway in self.gateways.values() {
            let own =
                gateway.conns.iter().filter(|(_, conn)| conn.user == user && (conn.attached || !attached));
            conns.extend(own.map(|(number, _)| ConnId { gateway: gateway.id, number: *number }));
        }
        conns
    }

    /// Everything is served by the right one.
    pub(crate) fn check_end(&mut self) {
        if let Err(sentence) = self.settled() {
            self.breaks(sentence);
        }
    }

    fn settled(&self) -> Result<(), String> {
        for slot in Slot::all().take(usize::from(SLOTS)) {
            let row = self.store.row(slot).assignment;
            let owner = row.owner.ok_or(format!("{slot:?} has no owner"))?;
            let node =
                self.nodes.get(&owner.into()).ok_or(format!("{slot:?} belongs to the dead {owner:?}"))?;
            if node.keeper.tenure(slot) != Some(row.tenure) || !node.keeper.is_confirmed(slot) {
                let held: Vec<_> = node.keeper.awaited().filter(|(awaited, ..)| *awaited == slot).collect();
                return Err(format!("{:?} is not confirmed for {owner:?}: {held:?}", row.tenure));
            }
        }
        for (number, device) in self.devices.iter().enumerate() {
            let conn = device.conn.and_then(|(id, conn)| self.gateways.get(&id)?.conns.get(&conn));
            if !conn.is_some_and(|conn| conn.attached) {
                return Err(format!("device {number} is not attached"));
            }
        }
        let users: BTreeSet<UserId> = self.devices.iter().map(|device| device.user).collect();
        for user in users {
            let hubs: Vec<_> = self
                .nodes
                .values()
                .filter_map(|node| node.hubs.get(&user).map(|hub| (node.id, hub)))
                .collect();
            let [(node, hub)] = hubs[..] else { return Err(format!("{user:?} has {} hubs", hubs.len())) };
            if self.store.row(Slot::of(user)).assignment.owner != Some(node) {
                return Err(format!("the hub of {user:?} is not with the owner"));
            }
            let conns: BTreeSet<ConnId> = self.conns(user, false).into_iter().collect();
            if hub.recovery.is_some() || hub.down || !hub.loaded || hub.user != user {
                return Err(format!("the hub of {user:?} is not up: {hub:?}"));
            }
            if hub.conns != conns {
                return Err(format!("the hub of {user:?} knows {:?} of {conns:?}", hub.conns));
            }
        }
        Ok(())
    }
}
