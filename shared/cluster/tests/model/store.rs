//! The store: rows, a clock, and the compare-and-swaps of the design.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use streamz_cluster::SlotRow;
use streamz_cluster::coordinator::{Change, Kind, Outcome, ProcessRow, TermRow};
use streamz_protocol::cluster::{Assignment, Epoch, Slot, Tenure};
use streamz_protocol::{GatewayId, Millis, NodeId, ProcessId};

use crate::world::SLOTS;

pub(crate) struct Store {
    pub(crate) processes: BTreeMap<ProcessId, Process>,
    pub(crate) slots: Vec<(SlotRow, u64)>,
    pub(crate) version: u64,
    pub(crate) holder: Option<NodeId>,
    pub(crate) term: u64,
    pub(crate) term_renewed: Millis,
    pub(crate) away: bool,
    /// Planted: the epoch does not grow.
    pub(crate) reuse: bool,
    /// Rows that a coordinator has deleted.
    pub(crate) evicted: Vec<ProcessId>,
}

#[derive(Clone, Copy)]
pub(crate) struct Process {
    pub(crate) kind: Kind,
    pub(crate) renewed: Millis,
    pub(crate) draining: bool,
}

impl Store {
    pub(crate) fn new(reuse: bool) -> Self {
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
            away: false,
            reuse,
            evicted: Vec::new(),
        }
    }

    pub(crate) fn row(&self, slot: Slot) -> SlotRow {
        self.slots[usize::from(slot.number())].0
    }

    pub(crate) fn current(&self, tenure: Tenure, node: NodeId) -> bool {
        let row = self.row(tenure.slot).assignment;
        row.tenure == tenure && row.owner == Some(node)
    }

    pub(crate) fn live(&self, kind: Kind) -> Vec<u64> {
        self.processes.iter().filter(|(_, row)| row.kind == kind).map(|(id, _)| id.0).collect()
    }

    pub(crate) fn gateways(&self) -> Vec<GatewayId> {
        self.live(Kind::Gateway).into_iter().map(GatewayId).collect()
    }

    pub(crate) fn rows_since(&self, version: u64) -> Vec<SlotRow> {
        self.slots.iter().filter(|(_, changed)| *changed > version).map(|(row, _)| *row).collect()
    }

    pub(crate) fn process_rows(&self, now: Millis) -> Vec<ProcessRow> {
        let row = |(id, process): (&ProcessId, &Process)| ProcessRow {
            id: *id,
            kind: process.kind,
            age: now.since(process.renewed),
            draining: process.draining,
        };
        self.processes.iter().map(row).collect()
    }

    pub(crate) fn term_row(&self, now: Millis) -> TermRow {
        TermRow { holder: self.holder, epoch: self.term, age: now.since(self.term_renewed) }
    }

    /// `false` if the row is gone.
    pub(crate) fn renew(&mut self, id: ProcessId, now: Millis) -> bool {
        self.processes.get_mut(&id).map(|row| row.renewed = now).is_some()
    }

    pub(crate) fn try_take(&mut self, node: NodeId, seen: u64, older: Duration, now: Millis) -> Option<u64> {
        let free = self.term == seen && now.since(self.term_renewed) > older;
        if free && self.processes.contains_key(&node.into()) {
            self.holder = Some(node);
            self.term += 1;
            self.term_renewed = now;
            return Some(self.term);
        }
        None
    }

    pub(crate) fn renew_term(&mut self, node: NodeId, epoch: u64, now: Millis) -> Option<u64> {
        let held = self.holder == Some(node) && self.term == epoch;
        held.then(|| {
            self.term_renewed = now;
            epoch
        })
    }

    pub(crate) fn write(&mut self, node: NodeId, epoch: u64, change: Change, now: Millis) -> Outcome {
        if self.holder != Some(node) || self.term != epoch {
            return Outcome::Deposed;
        }
        let mut changes = Vec::new();
        let version = self.version + 1;
        let mut touched = false;
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
                touched = true;
            }
        }
        for one in assign {
            let (row, changed) = &mut self.slots[usize::from(one.tenure.slot.number())];
            let owner = row.assignment.owner;
            let homeless = owner.is_none_or(|owner| !self.processes.contains_key(&owner.into()));
            // A node that is gone gets nothing, whatever the coordinator believed.
            if row.assignment.tenure != one.tenure
                || !homeless
                || !self.processes.contains_key(&one.to.into())
            {
                continue;
            }
            row.assignment.owner = Some(one.to);
            row.assignment.tenure.epoch.0 += u64::from(!self.reuse || row.assignment.tenure.epoch.0 == 0);
            row.moving_to = None;
            *changed = version;
            touched = true;
            changes.push(row.assignment);
        }
        for order in orders {
            let (row, changed) = &mut self.slots[usize::from(order.tenure.slot.number())];
            if row.assignment.tenure == order.tenure {
                row.moving_to = order.moving_to;
                *changed = version;
                touched = true;
            }
        }
        if touched {
            self.version = version;
        }
        Outcome::Applied { version: self.version, changes }
    }

    /// `Some` with the version and the new owner if it was done.
    pub(crate) fn hand_over(&mut self, node: NodeId, tenure: Tenure) -> Option<(u64, NodeId)> {
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
