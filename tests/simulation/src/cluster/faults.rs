//! What goes wrong in a cluster.

use std::time::Duration;

use streamz_cluster::coordinator::Kind;
use streamz_protocol::{Millis, ProcessId};

use super::{Ev, Trouble};
use crate::history::What;
use crate::world::{Event, World};

/// After its trouble is over a process may still be evicted for so long.
const EXCUSED: Duration = Duration::from_secs(8);

impl World {
    /// One fault, and again soon.
    pub(super) fn trouble(&mut self) {
        let Some(terrain) = &self.plan.cluster else { return };
        let (pause, troubles) = (terrain.pause, terrain.troubles.clone());
        if self.healed {
            return;
        }
        if let Some(pause) = pause {
            let after = self.dice.around(pause);
            self.later(after, Ev::Trouble);
        }
        let trouble = self.dice.pick(&troubles);
        self.note(|| format!("  {trouble:?}"));
        let (nodes, gateways) = (self.nodes(), self.live_gateways());
        let all: Vec<ProcessId> = nodes.iter().chain(&gateways).copied().collect();
        if nodes.is_empty() || gateways.is_empty() {
            return;
        }
        let (node, gateway, any) = (self.dice.pick(&nodes), self.dice.pick(&gateways), self.dice.pick(&all));
        match trouble {
            Trouble::NodeCrash => self.crash(node, Kind::Node),
            Trouble::GatewayCrash => self.crash(gateway, Kind::Gateway),
            Trouble::HubCrash => {
                let places: Vec<usize> = self.cluster.places.values().copied().collect();
                if !places.is_empty() {
                    let place = self.dice.pick(&places);
                    self.fail_hub(place);
                }
            }
            Trouble::Stall => {
                let until = self.until(&[300, 3_000, 9_000]);
                self.cluster.stalled.insert(any, until);
                self.excuse(any, until);
            }
            Trouble::Cut => {
                let until = self.until(&[1_000, 9_000]);
                self.cut_off(any, until);
            }
            Trouble::Island => self.isolate(node, gateway, &all),
            Trouble::Postgres => {
                if !self.store_away {
                    self.saw(What::StoreAway);
                    self.store_away = true;
                    let until = self.until(&[2_000, 15_000]);
                    self.everybody_may_wait(until);
                    self.at(until, Event::StoreBack);
                }
            }
            Trouble::Instance | Trouble::Partition | Trouble::Unsubscribed => self.trouble_bus(trouble, any),
            Trouble::Join => {
                if nodes.len() < 4 {
                    self.later(Duration::ZERO, Ev::Boot { gateway: false });
                }
            }
            Trouble::Drain => self.drain_node(node, nodes.len()),
            Trouble::Rumour => {
                let silent = self.dice.millis(300, 400);
                self.excuse(any, self.now);
                self.report(node, any, silent);
            }
        }
    }

    /// A node and a gateway that reach each other and not Postgres; sometimes by a Redis of their own, and nobody else.
    fn isolate(&mut self, node: ProcessId, gateway: ProcessId, all: &[ProcessId]) {
        let until = self.until(&[15_000, 45_000]);
        self.cut_off(node, until);
        self.cut_off(gateway, until);
        // An island with the coordinator in it goes on deciding: `docs/cluster.md` says so.
        let coordinator = self.coordinator();
        let outside = coordinator.is_some_and(|id| id != node && !self.is_cut(id));
        let instances = self.plan.cluster.as_ref().map_or(1, |terrain| terrain.instances);
        if instances > 1 && outside && self.dice.chance(70) {
            self.cluster.split = until;
            for id in all {
                let instance = usize::from(*id != node && *id != gateway);
                for inbound in [true, false] {
                    self.cluster.bus.part(*id, instance, inbound, self.now, until);
                }
            }
        }
        self.divide(gateway);
    }

    /// Some of the devices at a gateway lose their connections, and most of them will find another one.
    fn divide(&mut self, gateway: ProcessId) {
        let number = self.gateways.iter().position(|state| ProcessId::from(state.id) == gateway);
        let pipes: Vec<usize> =
            number.map_or(Vec::new(), |at| self.gateways[at].pipes.iter().copied().collect());
        for pipe in pipes {
            if self.dice.chance(50) && self.pipes[pipe].socket {
                self.break_pipe(pipe);
            }
        }
    }

    /// A time that begins now.
    fn until(&mut self, most: &[u64]) -> Millis {
        let most = self.dice.pick(most);
        self.now + self.dice.millis(most / 20, most)
    }

    /// While it lasts, and a moment longer, any user may wait.
    fn everybody_may_wait(&mut self, until: Millis) {
        for user in 0..self.user_ids.len() {
            let until = until + Duration::from_secs(2);
            self.saw(What::BusStalled { user, since: self.now, until });
        }
        self.not_calm_before(until);
    }

    fn excuse(&mut self, id: ProcessId, until: Millis) {
        let known = self.cluster.excused.entry(id).or_default();
        *known = (until + EXCUSED).max(*known);
        self.everybody_may_wait(until);
    }

    fn coordinator(&self) -> Option<ProcessId> {
        self.cluster.postgres.term_row(self.now).holder.map(ProcessId::from)
    }

    fn cut_off(&mut self, id: ProcessId, until: Millis) {
        if self.now < self.cluster.split && self.coordinator() == Some(id) {
            return;
        }
        self.cluster.cut.insert(id, until);
        self.excuse(id, until);
    }

    fn crash(&mut self, id: ProcessId, kind: Kind) {
        let reset = self.dice.chance(70);
        self.dies(id, reset);
        self.not_calm_before(self.now);
        let back = self.dice.millis(0, 5_000);
        self.later(back, Ev::Boot { gateway: kind == Kind::Gateway });
    }

    fn trouble_bus(&mut self, trouble: Trouble, id: ProcessId) {
        let instances = self.plan.cluster.as_ref().map_or(1, |terrain| terrain.instances);
        let instance = self.dice.size(0, instances - 1);
        let until = self.until(&[500, 6_000]);
        let now = self.now;
        match trouble {
            Trouble::Instance => {
                self.cluster.bus.outage(instance, now, until);
                let all: Vec<ProcessId> = self.cluster.processes.keys().copied().collect();
                for id in all {
                    let again = until + self.dice.millis(20, 1_200);
                    self.cluster.bus.unsubscribe(id, instance, again);
                }
                self.everybody_may_wait(until + Duration::from_millis(1_200));
            }
            Trouble::Partition => {
                let (out, back) = (self.dice.chance(70), self.dice.chance(70));
                if out {
                    self.cluster.bus.part(id, instance, false, now, until);
                }
                if back || !out {
                    self.cluster.bus.part(id, instance, true, now, until);
                }
                self.everybody_may_wait(until);
            }
            _ => {
                let again = now + self.dice.millis(5, 280);
                self.cluster.bus.unsubscribe(id, instance, again);
            }
        }
    }

    fn drain_node(&mut self, id: ProcessId, count: usize) {
        if self.store_away || self.node(id).is_none_or(|node| node.leaving) {
            return;
        }
        if let Some(row) = self.cluster.postgres.processes.get_mut(&id) {
            row.draining = true;
            if let Some(node) = self.node_mut(id) {
                node.leaving = true;
            }
            self.later(Duration::from_millis(300), Ev::Leave(id));
            if count < 3 || self.dice.chance(50) {
                let after = self.dice.millis(0, 2_000);
                self.later(after, Ev::Boot { gateway: false });
            }
        }
    }

    /// Everything works from here on.
    pub(crate) fn heal_cluster(&mut self) {
        let now = self.now;
        self.cluster.bus.heal(now);
        for until in self.cluster.stalled.values_mut().chain(self.cluster.cut.values_mut()) {
            *until = (*until).min(now);
        }
        self.cluster.calm_from = self.cluster.calm_from.min(now);
    }
}
