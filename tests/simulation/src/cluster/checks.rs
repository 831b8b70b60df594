//! **Promise 1, one writer**, checked as things happen: one owner is confirmed for each epoch, ever; no gateway
//! applies, and the store takes no write of, an epoch older than one that it was told; nobody is evicted who was well;
//! and the time until a user has a hub again is bounded.

use std::time::Duration;

use streamz_protocol::cluster::{Slot, Tenure};
use streamz_protocol::{Millis, NodeId, ProcessId};

use crate::history::What;
use crate::world::World;

/// A lease, its grace after an outage, a period of the coordinator, and a few round trips.
const RECOVERS: Duration = Duration::from_millis(4_000 + 5_000 + 1_000 + 3_000);

impl World {
    /// A gateway was told of these, by whomever.
    pub(super) fn told(&mut self, gateway: ProcessId, tenures: &[Tenure]) {
        for tenure in tenures {
            let known = self.cluster.told.entry((gateway, tenure.slot)).or_default();
            *known = tenure.epoch.max(*known);
        }
    }

    /// A gateway applies what was said in this tenure.
    pub(super) fn check_applied(&mut self, gateway: ProcessId, tenure: Tenure) {
        let known = self.cluster.told.get(&(gateway, tenure.slot)).copied().unwrap_or_default();
        if tenure.epoch < known {
            self.breaks(format!("P1: {gateway:?} knows {known:?} and applies {tenure:?}"));
        }
    }

    /// The store takes a write of this tenure.
    pub(super) fn check_write(&mut self, node: ProcessId, tenure: Tenure) {
        let row = self.cluster.postgres.row(tenure.slot).assignment;
        if tenure.epoch < row.tenure.epoch {
            self.breaks(format!("P1: {node:?} wrote in {tenure:?}, and {:?} has begun", row.tenure));
        }
    }

    pub(super) fn check_confirmed(&mut self, node: ProcessId, tenure: Tenure) {
        let me = NodeId(node.0);
        let first = *self.cluster.owners.entry(tenure).or_insert(me);
        if first != me {
            self.breaks(format!("P1: {first:?} and {me:?} are both confirmed for {tenure:?}"));
        }
    }

    /// Whoever can renew is not evicted.
    pub(super) fn check_evicted(&mut self) {
        for id in std::mem::take(&mut self.cluster.postgres.evicted) {
            let excused = self.cluster.excused.get(&id).is_some_and(|until| *until > self.now);
            self.note(|| format!("    {id:?} is evicted"));
            if let Some(gateway) = self.gateways.iter().position(|gateway| ProcessId::from(gateway.id) == id)
            {
                self.saw(What::GatewayEvicted { gateway });
            }
            if self.cluster.processes.contains_key(&id) && !excused {
                self.breaks(format!("P5: {id:?} was evicted and nothing is wrong with it"));
            }
        }
    }

    /// Called when a user has a hub again that knows everything, and at the end.
    fn check_recovered(&mut self, user: usize) {
        let Some(since) = self.cluster.down.remove(&user) else { return };
        let from = since.max(self.cluster.calm_from.min(self.now));
        if self.now.since(from) > RECOVERS {
            let took = self.now.since(from).as_millis();
            self.breaks(format!("P5: user {user} was without a hub for {took} ms, with nothing in the way"));
        }
    }

    /// At rest one hub serves each user who has one, and it is the owner's.
    pub(crate) fn check_hubs_at_rest(&mut self) {
        if self.plan.cluster.is_none() {
            return;
        }
        let users: Vec<usize> = self.cluster.down.keys().copied().collect();
        for user in users {
            self.check_recovered(user);
        }
        for user in 0..self.user_ids.len() {
            let id = self.user_ids[user];
            let owner = self.cluster.postgres.row(Slot::of(id)).assignment.owner.map(ProcessId::from);
            let serve = self.cluster.places.keys().filter(|(_, whose)| *whose == id);
            let strange = serve.filter(|(node, _)| Some(*node) != owner).count();
            if strange > 0 {
                self.breaks(format!("P1: at rest {strange} nodes serve user {user} and do not own the slot"));
            }
        }
    }

    /// Trouble that a recovery has to wait for.
    pub(super) fn not_calm_before(&mut self, until: Millis) {
        self.cluster.calm_from = self.cluster.calm_from.max(until);
    }

    /// Somebody knows everything again.
    pub(crate) fn hub_is_back(&mut self, user: usize, hub_epoch: u64) {
        let served = self.cluster.served.entry(user).or_default();
        *served = hub_epoch.max(*served);
        if self.cluster.orphaned.remove(&user) || self.plan.cluster.is_none() {
            self.check_recovered(user);
            self.saw(What::HubRecovered { user });
        }
    }

    pub(super) fn hub_is_gone(&mut self, user: usize, planned: bool) {
        self.cluster.orphaned.insert(user);
        self.cluster.down.entry(user).or_insert(self.now);
        self.saw(What::HubCrashed { user, planned });
    }
}
