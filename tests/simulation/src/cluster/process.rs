//! What runs: its clock, its birth, its death.

use std::collections::BTreeSet;

use streamz_cluster::Router;
use streamz_cluster::coordinator::Kind;
use streamz_cluster::router::BySlot;
use streamz_protocol::{GatewayId, Millis, NodeId, ProcessId};

use super::Ev;
use super::nodes::Node;
use crate::gateways::Gateway;
use crate::history::What;
use crate::world::{BEGUN, Event, World};

/// Node ids are above those of gateways. No id is used twice.
const FIRST_NODE: u64 = 1_000_000;

/// One incarnation of a process.
pub(crate) struct Process {
    /// By how many parts of 1,000 its clock runs fast.
    drift: i64,
    pub(super) role: Role,
    /// A reading of the slot table is under way, and whether another one is to follow.
    pub(super) polling: bool,
    pub(super) poll_again: bool,
    /// Who is the coordinator, by the last renewal.
    pub(super) holder: Option<NodeId>,
    /// The gateways at the time of earlier questions: for a planted fault.
    pub(super) before: Vec<(Millis, Vec<GatewayId>)>,
    /// Other processes that a reading has shown.
    pub(super) seen: BTreeSet<ProcessId>,
    /// Those of them that are gone.
    pub(super) buried: BTreeSet<ProcessId>,
}

pub(super) enum Role {
    Gateway { number: usize, router: Box<Router>, directory: BySlot },
    Node(Box<Node>),
}

impl Process {
    /// What its clock shows.
    pub(super) fn clock(&self, now: Millis) -> Millis {
        let elapsed = i64::try_from(now.0 - BEGUN.0).unwrap_or(i64::MAX);
        BEGUN + std::time::Duration::from_millis((elapsed + elapsed * self.drift / 1_000).unsigned_abs())
    }

    /// When its clock shows this, or a moment later.
    pub(super) fn when(&self, local: Millis) -> Millis {
        let elapsed = i64::try_from(local.since(BEGUN).as_millis()).unwrap_or(i64::MAX);
        BEGUN + std::time::Duration::from_millis((elapsed * 1_000 / (1_000 + self.drift) + 1).unsigned_abs())
    }

    pub(super) fn node(&self) -> Option<&Node> {
        match &self.role {
            Role::Node(node) => Some(node),
            Role::Gateway { .. } => None,
        }
    }
}

impl World {
    pub(super) fn node_mut(&mut self, id: ProcessId) -> Option<&mut Node> {
        match &mut self.cluster.processes.get_mut(&id)?.role {
            Role::Node(node) => Some(node),
            Role::Gateway { .. } => None,
        }
    }

    pub(super) fn node(&self, id: ProcessId) -> Option<&Node> {
        self.cluster.processes.get(&id)?.node()
    }

    /// What the clock of a process shows.
    pub(super) fn clock_of(&self, id: ProcessId) -> Millis {
        self.cluster.processes.get(&id).map_or(self.now, |process| process.clock(self.now))
    }

    /// Has something happen when the clock of a process shows this.
    pub(super) fn at_clock(&mut self, id: ProcessId, local: Millis, event: Ev) {
        let at = self.cluster.processes.get(&id).map_or(self.now, |process| process.when(local));
        self.at(at, Event::Cluster(event));
    }

    pub(super) fn nodes(&self) -> Vec<ProcessId> {
        self.of_kind(Kind::Node)
    }

    pub(super) fn live_gateways(&self) -> Vec<ProcessId> {
        self.of_kind(Kind::Gateway)
    }

    fn of_kind(&self, kind: Kind) -> Vec<ProcessId> {
        let is = |process: &Process| (kind == Kind::Node) == process.node().is_some();
        self.cluster.processes.iter().filter(|(_, process)| is(process)).map(|(id, _)| *id).collect()
    }

    fn begin(&mut self, id: ProcessId, kind: Kind, role: Role) {
        self.cluster.postgres.register(id, kind, self.now);
        let most = self.plan.cluster.as_ref().map_or(0, |terrain| terrain.drift);
        let drift =
            i64::try_from(self.dice.range(0, 2 * most)).unwrap_or(0) - i64::try_from(most).unwrap_or(0);
        let process = Process {
            drift,
            role,
            polling: false,
            poll_again: false,
            holder: None,
            before: Vec::new(),
            seen: BTreeSet::new(),
            buried: BTreeSet::new(),
        };
        self.cluster.processes.insert(id, process);
        self.renew(id);
        self.poll_again(id);
    }

    pub(super) fn boot(&mut self, gateway: bool) {
        if gateway {
            let number = self.gateways.len();
            let mut state = Gateway::new(number);
            state.alive = false;
            self.gateways.push(state);
            return self.boot_gateway(number);
        }
        if self.store_away {
            return self.later(std::time::Duration::from_millis(500), Ev::Boot { gateway: false });
        }
        self.cluster.born += 1;
        let id = NodeId(FIRST_NODE + self.cluster.born);
        let node = Node::new(id);
        #[cfg(feature = "planted-bugs")]
        let node = node.with(self.bug);
        self.begin(id.into(), Kind::Node, Role::Node(Box::new(node)));
    }

    /// Registers a gateway; it takes connections once it has read the table. While Postgres is away another one tries.
    pub(super) fn boot_gateway(&mut self, number: usize) {
        if self.store_away {
            return self.later(std::time::Duration::from_millis(500), Ev::Boot { gateway: true });
        }
        let id = self.gateways[number].id;
        #[cfg_attr(not(feature = "planted-bugs"), allow(unused_mut))]
        let mut router = Box::new(Router::new(id));
        #[cfg(feature = "planted-bugs")]
        if let Some(crate::Bug::Cluster(bug)) = self.bug {
            router.plant(bug);
        }
        let role = Role::Gateway { number, router, directory: BySlot::default() };
        self.begin(id.into(), Kind::Gateway, role);
    }

    /// A process dies. Of a machine that is lost nobody hears; otherwise its connections are reset.
    pub(super) fn dies(&mut self, id: ProcessId, reset: bool) {
        let Some(process) = self.cluster.processes.get(&id) else { return };
        match process.role {
            Role::Gateway { number, .. } => self.crash_gateway(number),
            Role::Node(_) => self.abandon_hubs(id, |_| true, false),
        }
        self.cluster.processes.remove(&id);
        self.cluster.stalled.remove(&id);
        self.cluster.dead.insert(id, reset);
        self.cluster.bus.forget(id);
    }

    /// Its row is gone: it begins anew, as another one.
    pub(super) fn evicted(&mut self, id: ProcessId) {
        let Some(process) = self.cluster.processes.get(&id) else { return };
        let gateway = process.node().is_none();
        if !gateway {
            self.authority(id, streamz_cluster::authority::Input::Evicted);
            self.keep(id, streamz_cluster::keeper::Input::Evicted);
        }
        self.dies(id, true);
        self.later(std::time::Duration::ZERO, Ev::Boot { gateway });
    }

    /// Others see that a process's row is gone: its links end.
    pub(super) fn bury(&mut self, who: ProcessId, live: &[ProcessId]) {
        let Some(process) = self.cluster.processes.get_mut(&who) else { return };
        let gone: Vec<ProcessId> = process.seen.iter().copied().filter(|id| !live.contains(id)).collect();
        for id in &gone {
            process.seen.remove(id);
            process.buried.insert(*id);
            self.cluster.bus.end_link(who, *id);
        }
        process.seen.extend(live);
        for id in gone {
            let known = |process: &Process| process.node().is_none() || !process.seen.contains(&id);
            let gateway = self.gateways.iter().position(|gateway| ProcessId::from(gateway.id) == id);
            if let Some(gateway) = gateway
                && self.gateways[gateway].believed
                && self.cluster.processes.values().all(known)
            {
                self.gateways[gateway].believed = false;
                self.saw(What::GatewayMissed { gateway });
            }
        }
    }

    /// The gateway of this number, if it is one that runs.
    pub(super) fn gateway_process(&self, number: usize) -> ProcessId {
        GatewayId(self.gateways[number].id.0).into()
    }
}
