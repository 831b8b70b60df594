//! Postgres: the tables of the cluster, by its own clock. Each method is one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use streamz_cluster::SlotRow;
use streamz_cluster::coordinator::{Change, Kind, Outcome, ProcessRow, TermRow};
use streamz_protocol::cluster::{Assignment, Epoch, Slot, Tenure};
use streamz_protocol::{GatewayId, Millis, NodeId, ProcessId};

use super::SLOTS;

pub(crate) struct Postgres {
    pub(super) processes: BTreeMap<ProcessId, Row>,
    slots: Vec<(SlotRow, u64)>,
    version: u64,
    holder: Option<NodeId>,
    term: u64,
    term_renewed: Millis,
    /// Rows that a coordinator has deleted, since this was looked at.
    pub(super) evicted: Vec<ProcessId>,
    /// Planted: the epoch does not grow.
    pub(super) reuse: bool,
    /// Planted: writes are not fenced.
    pub(super) unfenced: bool,
}

#[derive(Clone, Copy)]
pub(super) struct Row {
    kind: Kind,
    renewed: Millis,
    pub(super) draining: bool,
}

impl Postgres {
    pub(super) fn new() -> Self {
        let row = |slot| {
            let tenure = Tenure { slot, epoch: Epoch(0) };
            (SlotRow { assignment: Assignment { tenure, owner: None }, moving_to: None }, 0)
        };
        Self {
            processes: BTreeMap::new(),
            slots: Slot::all().take(usize::from(SLOTS)).map(row).collect(),
            version: 0,
            holder: None,
            term: 0,
            term_renewed: Millis(0),
            evicted: Vec::new(),
            reuse: false,
            unfenced: false,
        }
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn row(&self, slot: Slot) -> SlotRow {
        self.slots[usize::from(slot.number())].0
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &SlotRow> {
        self.slots.iter().map(|(row, _)| row)
    }

    /// Whether a durable write of this tenure is applied: `slots.epoch` is still that.
    pub(super) fn admits(&self, tenure: Tenure) -> bool {
        self.unfenced || self.row(tenure.slot).assignment.tenure == tenure
    }

    pub(super) fn register(&mut self, id: ProcessId, kind: Kind, now: Millis) {
        self.processes.insert(id, Row { kind, renewed: now, draining: false });
    }

    pub(super) fn nodes(&self) -> Vec<NodeId> {
        self.live(Kind::Node).map(|id| NodeId(id.0)).collect()
    }

    pub(super) fn gateways(&self) -> Vec<GatewayId> {
        self.live(Kind::Gateway).map(|id| GatewayId(id.0)).collect()
    }

    fn live(&self, kind: Kind) -> impl Iterator<Item = ProcessId> {
        self.processes.iter().filter(move |(_, row)| row.kind == kind).map(|(id, _)| *id)
    }

    pub(super) fn rows_since(&self, version: u64) -> Vec<SlotRow> {
        self.slots.iter().filter(|(_, changed)| *changed > version).map(|(row, _)| *row).collect()
    }

    pub(super) fn process_rows(&self, now: Millis) -> Vec<ProcessRow> {
        let row = |(id, row): (&ProcessId, &Row)| ProcessRow {
            id: *id,
            kind: row.kind,
            age: now.since(row.renewed),
            draining: row.draining,
        };
        self.processes.iter().map(row).collect()
    }

    pub(super) fn term_row(&self, now: Millis) -> TermRow {
        TermRow { holder: self.holder, epoch: self.term, age: now.since(self.term_renewed) }
    }

    /// `false` if the row is gone.
    pub(super) fn renew(&mut self, id: ProcessId, now: Millis) -> bool {
        self.processes.get_mut(&id).map(|row| row.renewed = now).is_some()
    }

    pub(super) fn try_take(&mut self, node: NodeId, seen: u64, older: Duration, now: Millis) -> Option<u64> {
        let free = self.term == seen && now.since(self.term_renewed) > older;
        if !free || !self.processes.contains_key(&node.into()) {
            return None;
        }
        self.holder = Some(node);
        self.term += 1;
        self.term_renewed = now;
        Some(self.term)
    }

    pub(super) fn renew_term(&mut self, node: NodeId, epoch: u64, now: Millis) -> Option<u64> {
        let held = self.holder == Some(node) && self.term == epoch;
        held.then(|| {
            self.term_renewed = now;
            epoch
        })
    }

    pub(super) fn give_up(&mut self, node: NodeId, epoch: u64) {
        if self.holder == Some(node) && self.term == epoch {
            self.term_renewed = Millis(0);
        }
    }

    pub(super) fn write(&mut self, node: NodeId, epoch: u64, change: Change, now: Millis) -> Outcome {
        if self.holder != Some(node) || self.term != epoch {
            return Outcome::Deposed;
        }
        let version = self.version + 1;
        let mut changes = Vec::new();
        let (dead, assign, orders) = match change {
            Change::Evict { dead, assign } => (dead, assign, Vec::new()),
            Change::Assign(assign) => (Vec::new(), assign, Vec::new()),
            Change::Order(orders) => (Vec::new(), Vec::new(), orders),
        };
        let mut gone = BTreeSet::new();
        for (id, older) in dead {
            if self.processes.get(&id).is_some_and(|row| now.since(row.renewed) > older) {
                self.processes.remove(&id);
                self.evicted.push(id);
                gone.insert(NodeId(id.0));
            }
        }
        for (row, changed) in &mut self.slots {
            if row.moving_to.is_some_and(|heir| gone.contains(&heir)) {
                row.moving_to = None;
                *changed = version;
            }
        }
        for one in assign {
            let (row, changed) = &mut self.slots[usize::from(one.tenure.slot.number())];
            let lives = |node: NodeId| self.processes.contains_key(&node.into());
            let homeless = row.assignment.owner.is_none_or(|owner| !lives(owner));
            // A node that is gone gets nothing, whatever the coordinator believed.
            if row.assignment.tenure != one.tenure || !homeless || !lives(one.to) {
                continue;
            }
            row.assignment.owner = Some(one.to);
            row.assignment.tenure.epoch.0 += u64::from(!self.reuse || row.assignment.tenure.epoch.0 == 0);
            row.moving_to = None;
            *changed = version;
            changes.push(row.assignment);
        }
        for order in orders {
            let (row, changed) = &mut self.slots[usize::from(order.tenure.slot.number())];
            if row.assignment.tenure == order.tenure {
                row.moving_to = order.moving_to;
                *changed = version;
            }
        }
        if self.slots.iter().any(|(_, changed)| *changed == version) {
            self.version = version;
        }
        Outcome::Applied { version: self.version, changes }
    }

    /// The owner hands a slot over: `Some` with the version and the new owner if the row was as it thought.
    pub(super) fn hand_over(&mut self, node: NodeId, tenure: Tenure) -> Option<(u64, NodeId)> {
        let (row, changed) = &mut self.slots[usize::from(tenure.slot.number())];
        if row.assignment != (Assignment { tenure, owner: Some(node) }) {
            return None;
        }
        let heir = row.moving_to.filter(|heir| *heir != node)?;
        self.version += 1;
        row.assignment.owner = Some(heir);
        row.assignment.tenure.epoch.0 += u64::from(!self.reuse);
        row.moving_to = None;
        *changed = self.version;
        Some((self.version, heir))
    }
}
