//! What goes wrong.

use std::time::Duration;

use streamz_cluster::coordinator;
use streamz_cluster::coordinator::Kind;
use streamz_cluster::keeper::Input;
use streamz_protocol::{NodeId, ProcessId, UserId};

use crate::world::{Event, Hint, World};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// One of the others, and again soon.
    Next,
    /// A drain is taken back.
    Undrain(ProcessId),
    /// A node is not heard by a gateway.
    Deafen {
        gateway: ProcessId,
        node: ProcessId,
    },
    HubBack {
        node: ProcessId,
        user: UserId,
    },
}

impl World {
    pub(crate) fn strike(&mut self, fault: Fault) {
        match fault {
            Fault::Next if self.healed => {}
            Fault::Next => {
                self.one_fault();
                let at = self.dice.range(100, self.pace);
                self.after(at, Event::Fault(Fault::Next));
            }
            Fault::Undrain(node) => {
                if let Some(row) = self.store.processes.get_mut(&node) {
                    row.draining = false;
                }
            }
            Fault::Deafen { gateway, node } => {
                let until = self.now + Duration::from_millis(self.dice.range(2_000, 6_000));
                self.blocked.insert((node, gateway), until);
            }
            Fault::HubBack { node, user } => {
                if self.nodes.get(&node).and_then(|node| node.hubs.get(&user)).is_some_and(|hub| hub.down) {
                    self.keep(node, Input::HubRestart(user));
                }
            }
        }
    }

    fn one_fault(&mut self) {
        let nodes: Vec<ProcessId> = self.nodes.keys().copied().collect();
        let gateways: Vec<ProcessId> = self.gateways.keys().copied().collect();
        let all: Vec<ProcessId> = nodes.iter().chain(&gateways).copied().collect();
        let (node, gateway, any) = (self.dice.pick(&nodes), self.dice.pick(&gateways), self.dice.pick(&all));
        let kind = self.dice.pick(&self.kinds).unwrap_or_default();
        match (kind, node, gateway, any) {
            (0 | 1, Some(node), _, _) => self.crash(node),
            (2, _, Some(gateway), _) => self.crash(gateway),
            (3 | 4, _, _, Some(any)) => {
                let most = self.dice.pick(&[500, 3_000, 9_000]).unwrap();
                let until = self.now + Duration::from_millis(self.dice.range(50, most));
                self.note(|| format!("  {any:?} stalls until {until:?}"));
                self.totals.stalls += 1;
                self.paused.insert(any, until);
                self.trouble(any, until);
            }
            (5, _, _, Some(any)) => {
                let until = self.now + Duration::from_millis(self.dice.range(100, 9_000));
                self.note(|| format!("  {any:?} is cut from the store until {until:?}"));
                self.totals.cuts += 1;
                self.cut.insert(any, until);
                self.trouble(any, until);
            }
            (6, ..) if !self.store.away => {
                self.note(|| "  the store is away".into());
                self.totals.outages += 1;
                self.store.away = true;
                let at = self.dice.range(200, 15_000);
                self.after(at, Event::StoreBack);
            }
            (7 | 8, Some(node), _, _) => {
                if let Some(row) = self.store.processes.get_mut(&node).filter(|_| !self.store.away) {
                    row.draining = true;
                    self.totals.drains += 1;
                    self.after(300, Event::Leave(node));
                    let at = self.dice.range(0, 2_000);
                    self.after(at, Event::Start { gateway: false });
                }
            }
            (9, Some(node), _, _) => self.crash_hub(node),
            (14, Some(node), _, _) => self.carousel(node),
            (12 | 13, Some(node), _, _) => {
                // A drain that is taken back: slots go and come.
                if let Some(row) = self.store.processes.get_mut(&node).filter(|_| !self.store.away) {
                    row.draining = true;
                    let at = self.dice.range(200, 4_000);
                    self.after(at, Event::Fault(Fault::Undrain(node)));
                }
            }
            (10, Some(node), Some(gateway), _) => {
                let until = self.now + Duration::from_millis(self.dice.range(100, 5_000));
                self.note(|| format!("  nothing passes between {node:?} and {gateway:?} until {until:?}"));
                if self.dice.chance(70) {
                    self.blocked.insert((node, gateway), until);
                }
                if self.dice.chance(70) {
                    self.blocked.insert((gateway, node), until);
                }
            }
            (11, _, _, Some(any)) => {
                // A report that is not true: the store may refute it or not.
                self.trouble(any, self.now);
                self.evidence(any, 0);
            }
            _ => {}
        }
    }

    /// A new gateway hears a node and is not heard by it; meanwhile the node's slots go and come back, which the gateway
    /// hears of from others only: what it said first arrives when it means something else.
    fn carousel(&mut self, node: ProcessId) {
        if self.store.away {
            return;
        }
        self.start_gateway();
        let newest =
            self.gateways.keys().copied().find(|id| !self.blocked.keys().any(|(from, _)| from == id));
        let Some(gateway) = newest else { return };
        let until = self.now + Duration::from_millis(self.dice.range(2_000, 7_000));
        self.blocked.insert((gateway, node), until);
        let at = self.dice.range(500, 1_500);
        self.after(at, Event::Fault(Fault::Deafen { gateway, node }));
        if let Some(row) = self.store.processes.get_mut(&node) {
            row.draining = true;
            let at = self.dice.range(1_000, 2_500);
            self.after(at, Event::Fault(Fault::Undrain(node)));
        }
    }

    fn trouble(&mut self, id: ProcessId, until: streamz_protocol::Millis) {
        let until = until + Duration::from_secs(8);
        let known = self.troubled.entry(id).or_default();
        *known = until.max(*known);
    }

    fn crash(&mut self, id: ProcessId) {
        self.note(|| format!("  {id:?} crashes"));
        self.totals.crashes += 1;
        let gateway = self.gateways.remove(&id).is_some();
        self.nodes.remove(&id);
        let ends: Vec<_> = self.links.keys().copied().filter(|(from, to)| *from == id || *to == id).collect();
        for (from, to) in ends {
            // Of what it had not quite sent some is lost.
            let waiting = self.links.get(&(from, to)).map_or(0, std::collections::VecDeque::len) as u64;
            let kept = if from == id { self.dice.range(0, waiting) } else { 0 };
            if let Some(link) = self.links.get_mut(&(from, to)) {
                link.truncate(kept as usize);
            }
        }
        let back = self.dice.range(0, 4_000);
        self.after(back, Event::Start { gateway });
        if self.dice.chance(70) {
            let at = self.dice.range(350, 700);
            self.after(at, Event::Evidence { dead: id, left: 6 });
        }
    }

    fn crash_hub(&mut self, id: ProcessId) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let users: Vec<UserId> =
            node.hubs.iter().filter(|(_, hub)| !hub.down).map(|(user, _)| *user).collect();
        let Some(user) = self.dice.pick(&users) else { return };
        let Some(hub) = self.nodes.get_mut(&id).and_then(|node| node.hubs.get_mut(&user)) else { return };
        hub.down = true;
        let hub_epoch = hub.epoch;
        self.totals.hub_crashes += 1;
        self.keep(id, Input::HubGone { user, hub_epoch, failed: true });
        let at = self.dice.range(0, 1_000);
        self.after(at, Event::Fault(Fault::HubBack { node: id, user }));
    }

    /// Somebody who sends to it sees that nobody receives.
    pub(crate) fn evidence(&mut self, dead: ProcessId, left: u32) {
        if !self.store.processes.contains_key(&dead) {
            return;
        }
        let silent = self.dice.range(300, 400);
        let nodes: Vec<ProcessId> = self.nodes.keys().copied().filter(|id| *id != dead).collect();
        if let Some(reporter) = self.dice.pick(&nodes) {
            let holder = self.nodes.get(&reporter).and_then(|node| node.coordinator.holder());
            let duration = Duration::from_millis(silent);
            self.coordinate(reporter, coordinator::Input::Report { dead, silent: duration });
            if let Some(holder) = holder.map(ProcessId::from).filter(|holder| *holder != reporter) {
                self.tell(holder, Hint::Report { dead, silent });
            }
        }
        if left > 0 {
            self.after(300, Event::Evidence { dead, left: left - 1 });
        }
    }

    /// A node that drains leaves when it owns nothing, and will own nothing.
    pub(crate) fn leave(&mut self, id: ProcessId) {
        let node = NodeId(id.0);
        let named = |row: &streamz_cluster::SlotRow| {
            row.assignment.owner == Some(node) || row.moving_to == Some(node)
        };
        let alone = self.store.live(Kind::Node).len() < 2;
        let busy = alone || self.store.slots.iter().any(|(row, _)| named(row));
        let Some(state) = self.nodes.get(&id) else { return };
        if busy || state.keeper.stats().slots > 0 || self.store.away {
            return self.after(300, Event::Leave(id));
        }
        self.coordinate(id, coordinator::Input::Resign);
        self.totals.left += 1;
        self.nodes.remove(&id);
        self.store.processes.remove(&id);
    }

    /// Everything works from here on.
    pub(crate) fn heal(&mut self) {
        self.healed = true;
        self.store.away = false;
        self.hint_loss = self.hint_loss.min(10);
        let now = self.now;
        for until in self.paused.values_mut().chain(self.cut.values_mut()).chain(self.blocked.values_mut()) {
            *until = now.min(*until);
        }
        if self.nodes.is_empty() {
            self.start_node();
        }
        if self.gateways.is_empty() {
            self.start_gateway();
        }
    }
}
