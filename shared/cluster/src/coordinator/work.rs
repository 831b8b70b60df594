//! What there is to write.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use streamz_protocol::cluster::Assignment;
use streamz_protocol::{Millis, NodeId, ProcessId};

use super::{Assign, Change, Coordinator, Effect, Kind, LEASE, MOVES_MAX, Order, Outcome, ProcessRow};
use crate::placement::{self, NodeView, Plan};
use crate::slots::SlotRow;

impl Coordinator {
    pub(super) fn rows_read(
        &mut self,
        read: u64,
        sent_at: Millis,
        processes: Vec<ProcessRow>,
        slots: &[SlotRow],
        version: u64,
    ) {
        let rows = &mut self.rows;
        rows.reading = rows.reading.filter(|reading| *reading != read);
        // The latest that any reading has shown: a clock of the store that jumps ahead makes nobody look older.
        self.renewals.retain(|id, _| processes.iter().any(|process| process.id == *id));
        for process in &processes {
            let renewed = self.renewals.entry(process.id).or_default();
            *renewed = (*renewed).max(sent_at - process.age);
        }
        // Readings end in the order in which they began: one is under way at a time.
        rows.processes = processes;
        rows.read_at = sent_at;
        for row in slots {
            if let Some(known) = rows.slots.get_mut(usize::from(row.assignment.tenure.slot.number())) {
                *known = *row;
            }
        }
        rows.version = rows.version.max(version);
    }

    /// Writes what is most urgent, if the rows are of use.
    pub(super) fn work(&mut self, read: u64, now: Millis, out: &mut Vec<Effect>) {
        let Some(term) = self.term else { return };
        if self.rows.writing.is_some() || read < self.rows.usable_from {
            return;
        }
        let dead = self.dead(now);
        let gone: BTreeSet<ProcessId> = dead.iter().map(|(id, _)| *id).collect();
        let plan = self.plan(&gone);
        let assign: Vec<Assign> = plan
            .take
            .iter()
            .map(|(slot, to)| Assign {
                tenure: self.rows.slots[usize::from(slot.number())].assignment.tenure,
                to: *to,
            })
            .collect();
        let change = if !dead.is_empty() {
            Change::Evict { dead, assign }
        } else if !assign.is_empty() {
            Change::Assign(assign)
        } else {
            let orders = self.orders(&plan);
            if orders.is_empty() {
                return;
            }
            Change::Order(orders)
        };
        self.writes += 1;
        self.rows.writing = Some(self.writes);
        out.push(Effect::Write { write: self.writes, epoch: term.epoch, change });
    }

    /// Processes without a right to live: their lease has lapsed though the store is there, or nobody receives what is
    /// sent to them and they have not renewed since that began.
    fn dead(&mut self, now: Millis) -> Vec<(ProcessId, Duration)> {
        let grace = self.has_grace(now);
        let mut dead = Vec::new();
        let known: BTreeMap<ProcessId, Duration> =
            self.rows.processes.iter().map(|process| (process.id, process.age)).collect();
        // Refuted by a renewal, or done. A row's age is of when it was read, so that it looks younger now than it is.
        self.evidence.retain(|id, began| known.get(id).is_some_and(|age| *age > now.since(*began)));
        for process in &self.rows.processes {
            if process.id == ProcessId::from(self.node) {
                continue;
            }
            let since = self.evidence.get(&process.id).and_then(|began| self.could_renew_since(*began, now));
            if let Some(since) = since {
                dead.push((process.id, now.since(since)));
            } else if grace && process.age > LEASE && self.has_not_renewed(process.id, now) {
                dead.push((process.id, LEASE));
            }
        }
        dead
    }

    /// Whether the lease has lapsed by this node's own clock.
    fn has_not_renewed(&self, id: ProcessId, now: Millis) -> bool {
        self.renewals.get(&id).is_none_or(|renewed| now.since(*renewed) > LEASE)
    }

    /// Where slots should be, as if the moves in flight had ended.
    fn plan(&self, gone: &BTreeSet<ProcessId>) -> Plan {
        let nodes: Vec<NodeView> = self
            .rows
            .processes
            .iter()
            .filter(|process| process.kind == Kind::Node && !gone.contains(&process.id))
            .map(|process| NodeView { id: NodeId(process.id.0), draining: process.draining })
            .collect();
        let lives = |node: NodeId| nodes.iter().any(|view| view.id == node);
        let slots: Vec<Assignment> = self
            .rows
            .slots
            .iter()
            .map(|row| {
                let owner = row.assignment.owner.filter(|owner| lives(*owner));
                // With its owner a move ends as well.
                let heir = row.moving_to.filter(|heir| owner.is_some() && lives(*heir));
                Assignment { owner: heir.or(owner), ..row.assignment }
            })
            .collect();
        placement::plan(&nodes, &slots)
    }

    /// The moves of a plan that may begin now; and orders that lead nowhere are taken back.
    fn orders(&self, plan: &Plan) -> Vec<Order> {
        let lives = |node: NodeId| self.rows.processes.iter().any(|process| process.id == node.into());
        let mut flying: BTreeMap<NodeId, usize> = BTreeMap::new();
        let mut orders = Vec::new();
        for row in &self.rows.slots {
            match (row.assignment.owner, row.moving_to) {
                (Some(_), Some(heir)) if !lives(heir) => {
                    orders.push(Order { tenure: row.assignment.tenure, moving_to: None });
                }
                (Some(owner), Some(heir)) => {
                    *flying.entry(owner).or_default() += 1;
                    *flying.entry(heir).or_default() += 1;
                }
                _ => {}
            }
        }
        for one in &plan.moves {
            let row = &self.rows.slots[usize::from(one.slot.number())];
            let Some(owner) = row.assignment.owner else { continue };
            let room = |node: &NodeId| flying.get(node).is_none_or(|count| *count < MOVES_MAX);
            // Another destination for a move that is in flight already takes no more room at its owner.
            let redirected = row.moving_to.is_some();
            if !(redirected || room(&owner)) || !room(&one.to) {
                continue;
            }
            *flying.entry(owner).or_default() += usize::from(!redirected);
            *flying.entry(one.to).or_default() += 1;
            orders.retain(|order: &Order| order.tenure != row.assignment.tenure);
            let moving_to = Some(one.to).filter(|to| *to != owner);
            orders.push(Order { tenure: row.assignment.tenure, moving_to });
        }
        orders
    }

    /// Whatever the answer, the rows are read again before anything else is written.
    pub(super) fn written(&mut self, write: u64, outcome: Outcome, now: Millis, out: &mut Vec<Effect>) {
        if self.rows.writing != Some(write) {
            return;
        }
        self.rows.writing = None;
        self.rows.usable_from = self.reads + 1;
        self.rows.wanted = true;
        match outcome {
            Outcome::Applied { version, changes } => {
                self.answered = Some(now);
                if !changes.is_empty() {
                    out.push(Effect::Publish { version, changes });
                }
            }
            Outcome::Deposed => self.depose(),
            Outcome::Unknown => {}
        }
    }
}
