//! Which node should own a slot: highest random weight, within bounds that a node's load may not leave (*Assign*).
//!
//! A table whose loads are within the bounds is left as it is, so a plan that was carried out asks for nothing more:
//! slots without an owner go to the node of highest weight that has room, draining nodes are emptied, and beyond that
//! a slot moves only if a node has more than [`Bounds::most`] or less than [`Bounds::least`].

use std::cmp::Reverse;

use streamz_protocol::NodeId;
use streamz_protocol::cluster::{Assignment, Slot};

/// A node that lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Which.
    pub id: NodeId,
    /// It wants to go: it gets nothing, and its slots move away.
    pub draining: bool,
}

/// A slot with an owner that lives, which should hand it to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The slot.
    pub slot: Slot,
    /// Its owner.
    pub from: NodeId,
    /// Who should have it.
    pub to: NodeId,
}

/// What should change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Slots that have no owner, or one that is dead, in order; and who should have them.
    pub take: Vec<(Slot, NodeId)>,
    /// Slots that should move; those of draining nodes first.
    pub moves: Vec<Move>,
}

/// How many slots a node may have: 10 % more or less than its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Below it, it is given more.
    pub least: usize,
    /// Above it, some are taken away.
    pub most: usize,
}

impl Bounds {
    /// For so many slots on so many nodes.
    #[must_use]
    pub fn of(slots: usize, nodes: usize) -> Self {
        let nodes = 10 * nodes.max(1);
        Self { least: slots * 9 / nodes, most: (slots * 11).div_ceil(nodes) }
    }
}

/// How well a node suits a slot. It must be the same in every version: two coordinators, before and after an upgrade,
/// would otherwise undo each other's work.
#[must_use]
pub fn weight(slot: Slot, node: NodeId) -> u64 {
    // The finaliser of SplitMix64, once for each of the two: every bit of either changes half of the result's.
    mix(mix(u64::from(slot.number()).wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ node.0)
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// What should change, given the nodes that live and the slots as they are or are about to be.
///
/// Depends on nothing but its arguments, not on their order either. If every node drains, those that do are as good as
/// any for slots without an owner, and nothing moves. Without a node there is no plan.
#[must_use]
pub fn plan(nodes: &[NodeView], slots: &[Assignment]) -> Plan {
    let mut slots = slots.to_vec();
    slots.sort_unstable_by_key(|assignment| assignment.tenure.slot);
    let mut living: Vec<NodeId> = nodes.iter().map(|node| node.id).collect();
    living.sort_unstable();
    let mut able: Vec<NodeId> = nodes.iter().filter(|node| !node.draining).map(|node| node.id).collect();
    able.sort_unstable();
    if able.is_empty() {
        able.clone_from(&living);
    }
    if able.is_empty() {
        return Plan::default();
    }
    let mut loads = Loads::new(able, slots.len());
    let mut plan = Plan::default();
    let mut leaving = Vec::new();
    let mut homeless = Vec::new();
    for Assignment { tenure, owner } in &slots {
        match owner.filter(|owner| living.binary_search(owner).is_ok()) {
            Some(owner) => {
                if !loads.add(owner, tenure.slot) {
                    leaving.push((tenure.slot, owner));
                }
            }
            None => homeless.push(tenure.slot),
        }
    }
    for slot in homeless {
        plan.take.push((slot, loads.place(slot)));
    }
    for (slot, from) in leaving {
        plan.moves.push(Move { slot, from, to: loads.place(slot) });
    }
    loads.level(&mut plan.moves);
    plan
}

/// The slots of each node that may have any.
struct Loads {
    /// In ascending order.
    nodes: Vec<NodeId>,
    /// Of each node, those that it has already: these can be moved.
    settled: Vec<Vec<Slot>>,
    /// Of each node, with those that are planned.
    counts: Vec<usize>,
    bounds: Bounds,
}

impl Loads {
    fn new(nodes: Vec<NodeId>, slots: usize) -> Self {
        let count = nodes.len();
        let bounds = Bounds::of(slots, count);
        Self { nodes, settled: vec![Vec::new(); count], counts: vec![0; count], bounds }
    }

    /// Whether it is one of these nodes that has the slot.
    fn add(&mut self, owner: NodeId, slot: Slot) -> bool {
        let Ok(at) = self.nodes.binary_search(&owner) else { return false };
        self.settled[at].push(slot);
        self.counts[at] += 1;
        true
    }

    /// The best node for a slot: one that has too few, if there is one, so that nothing has to move to it later.
    fn place(&mut self, slot: Slot) -> NodeId {
        let poor = self.counts.iter().any(|count| *count < self.bounds.least);
        let room = if poor { self.bounds.least } else { self.bounds.most };
        let fit = (0..self.nodes.len()).filter(|at| self.counts[*at] < room);
        // The bounds leave room for every slot.
        let at = fit.max_by_key(|at| weight(slot, self.nodes[*at])).unwrap_or(0);
        self.counts[at] += 1;
        self.nodes[at]
    }

    /// Moves slots from those that have the most to those that have the least, until all are within the bounds.
    fn level(&mut self, moves: &mut Vec<Move>) {
        loop {
            // The node that comes first, of several.
            let all = 0..self.nodes.len();
            let poorest = all.clone().min_by_key(|at| self.counts[*at]);
            let richest = all
                .filter(|at| !self.settled[*at].is_empty())
                .max_by_key(|at| (self.counts[*at], Reverse(*at)));
            let (Some(poorest), Some(richest)) = (poorest, richest) else { return };
            let within =
                self.counts[richest] <= self.bounds.most && self.counts[poorest] >= self.bounds.least;
            // Less than two apart, a move would only change their names.
            if within || self.counts[richest] < self.counts[poorest] + 2 {
                return;
            }
            let (from, to) = (self.nodes[richest], self.nodes[poorest]);
            let settled = &mut self.settled[richest];
            let Some(best) = (0..settled.len()).max_by_key(|at| weight(settled[*at], to)) else { return };
            let slot = settled.swap_remove(best);
            self.counts[richest] -= 1;
            self.counts[poorest] += 1;
            moves.push(Move { slot, from, to });
        }
    }
}

#[cfg(test)]
mod tests;
