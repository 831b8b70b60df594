//! The gateway's side of a takeover: finds the owner of a user, confirms new owners, and ignores the old ones
//! (*Takeover, gateway side*).
//!
//! # Rules
//! * A frame goes to the owner of the user's slot only after this gateway has confirmed that owner's claim at that
//!   epoch. Until then it is refused ([`Refusal`]): the session keeps what has an outcome, and its announcement has
//!   the rest. A new connection's request is not an error then; it is put again when the new hub asks who is there.
//! * The confirmation lists the users of the slot that have a connection here. A connection must be in the
//!   [`Directory`] before its first frame is routed; routing, confirming and sending on the link are one critical
//!   section. So whoever was refused before the confirmation is listed in it.
//! * A frame of a node counts only if it is the confirmed owner at the highest epoch that is known.
//!
//! # Bounds
//! Nothing waits here: what cannot go is refused, what is old is ignored. The memory is the table, 64 KiB, and a
//! confirmation is as long as the gateway has users in at most [`CLAIM_MAX`](crate::keeper::CLAIM_MAX) slots.

use std::collections::BTreeSet;

use streamz_protocol::bus::{ToGateway, ToHub};
use streamz_protocol::cluster::{Assignment, Routed, Slot, Tenure};
use streamz_protocol::{GatewayId, Millis, NodeId, UserId};

use crate::planted::planted;
use crate::slots::SlotSet;
use crate::table::{Contradiction, Learned, Merged, Table};

/// Which users have a connection on this gateway.
pub trait Directory {
    /// Those of one slot, each once.
    fn users_in(&self, slot: Slot) -> Vec<UserId>;
}

/// A directory in the order of slots.
#[derive(Clone, Debug, Default)]
pub struct BySlot(BTreeSet<(Slot, UserId)>);

impl BySlot {
    /// The user has a connection.
    pub fn insert(&mut self, user: UserId) {
        self.0.insert((Slot::of(user), user));
    }

    /// The user has none any more.
    pub fn remove(&mut self, user: UserId) {
        self.0.remove(&(Slot::of(user), user));
    }
}

impl Directory for BySlot {
    fn users_in(&self, slot: Slot) -> Vec<UserId> {
        let first = (slot, UserId(Default::default()));
        self.0.range(first..).take_while(|(at, _)| *at == slot).map(|(_, user)| *user).collect()
    }
}

/// Why a frame cannot go now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The slot has no owner that lives, as far as is known.
    #[error("nobody serves this user now")]
    NoOwner,
    /// The slot has a new owner that is about to ask for an announcement.
    #[error("the user's slot is being taken over")]
    NotYet,
}

/// What a router is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// What the store answered: all rows newer than [`Table::version`] (as it was when the question was put), the
    /// version of its table, and the nodes that live. One question at a time.
    Read {
        /// The version of the store's table.
        version: u64,
        /// Rows that changed.
        changes: Vec<Assignment>,
        /// Nodes with a lease, read with or after the rows.
        nodes: Vec<NodeId>,
    },
    /// What another process says about the table: all changes of one version.
    Hint {
        /// The version after the changes.
        version: u64,
        /// The changes.
        changes: Vec<Assignment>,
    },
    /// A frame of the link from a node.
    FromNode {
        /// The node at the other end of the link.
        node: NodeId,
        /// The frame.
        frame: Routed,
    },
    /// A node's lease is gone.
    NodeGone(NodeId),
}

/// What a gateway is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Hand this to the connections.
    Deliver(ToGateway),
    /// Send this on the link to a node; it is of the kind that is never refused.
    Send(NodeId, Routed),
    /// Read the slot table from the store soon. (May come often; one question at a time is enough.)
    Read,
    /// Count this: a node said something that does not count.
    Ignored(NodeId, Ignored),
    /// Report this: it cannot be.
    Contradiction(Contradiction),
}

/// Why something does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// It is of an epoch below the highest that is known.
    Older,
    /// Its sender is not the confirmed owner.
    Unconfirmed,
    /// A gateway gets no such frame.
    Misdirected,
}

/// Finds owners, for one incarnation of a gateway.
#[derive(Clone, Debug)]
pub struct Router {
    gateway: GatewayId,
    table: Table,
    /// Slots whose owner, as the table has it, was confirmed.
    confirmed: SlotSet,
    /// The nodes that the last read showed.
    nodes: BTreeSet<NodeId>,
    /// Nodes that are gone and still have slots in the table: no more than there are slots.
    gone: BTreeSet<NodeId>,
    #[cfg(feature = "planted-bugs")]
    pub(crate) bug: Option<crate::Bug>,
}

impl Router {
    /// It knows nothing: to be made after the gateway has registered its lease, and told the whole table next.
    #[must_use]
    pub fn new(gateway: GatewayId) -> Self {
        Self {
            gateway,
            table: Table::default(),
            confirmed: SlotSet::default(),
            nodes: BTreeSet::new(),
            gone: BTreeSet::new(),
            #[cfg(feature = "planted-bugs")]
            bug: None,
        }
    }

    /// The table as it is known here.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// How many slots have an owner that this gateway has confirmed and that lives: all of them when it is ready.
    #[must_use]
    pub fn ready(&self) -> usize {
        Slot::all().filter(|slot| self.owner(*slot).is_ok()).count()
    }

    /// Where a frame for this user goes, and with which tenure: as [`Routed::ToHub`], on the link to that node.
    ///
    /// # Errors
    /// [`Refusal`] if it cannot go now.
    pub fn route(&self, user: UserId) -> Result<(NodeId, Tenure), Refusal> {
        let slot = Slot::of(user);
        Ok((self.owner(slot)?, self.table.tenure(slot)))
    }

    /// The frame with its address.
    ///
    /// # Errors
    /// [`Refusal`] if it cannot go now.
    pub fn address(&self, frame: ToHub) -> Result<(NodeId, Routed), Refusal> {
        let (node, tenure) = self.route(frame.user)?;
        Ok((node, Routed::ToHub { tenure, frame }))
    }

    fn owner(&self, slot: Slot) -> Result<NodeId, Refusal> {
        let owner = self.table.owner(slot).filter(|owner| !self.gone.contains(owner));
        let owner = owner.ok_or(Refusal::NoOwner)?;
        if self.confirmed.contains(slot) { Ok(owner) } else { Err(Refusal::NotYet) }
    }

    /// Takes one input and returns what is to be done, in order.
    #[must_use]
    pub fn handle(&mut self, input: Input, users: &dyn Directory, _now: Millis) -> Vec<Effect> {
        let mut out = Vec::new();
        match input {
            Input::Read { version, changes, nodes } => {
                let merged = self.table.read(version, &changes);
                self.merged(merged, &mut out);
                let nodes: BTreeSet<NodeId> = nodes.into_iter().collect();
                // Who is in the table and was never seen may be new; who was seen and is not there any more is gone.
                let gone: Vec<NodeId> = self.nodes.difference(&nodes).copied().collect();
                self.gone.extend(gone);
                self.nodes = nodes;
                self.prune();
            }
            Input::Hint { version, changes } => {
                let merged = self.table.hint(version, &changes);
                self.merged(merged, &mut out);
            }
            Input::FromNode { node, frame } => self.node_says(node, frame, users, &mut out),
            Input::NodeGone(node) => {
                self.nodes.remove(&node);
                self.gone.insert(node);
                self.prune();
            }
        }
        out
    }

    fn merged(&mut self, merged: Merged, out: &mut Vec<Effect>) {
        for slot in merged.newer {
            self.confirmed.remove(slot);
        }
        if merged.gap {
            out.push(Effect::Read);
        }
        out.extend(merged.contradictions.into_iter().map(Effect::Contradiction));
    }

    fn prune(&mut self) {
        if self.gone.is_empty() {
            return;
        }
        let owners: BTreeSet<NodeId> = Slot::all().filter_map(|slot| self.table.owner(slot)).collect();
        self.gone.retain(|node| owners.contains(node));
    }

    fn node_says(&mut self, node: NodeId, frame: Routed, users: &dyn Directory, out: &mut Vec<Effect>) {
        match frame {
            Routed::Claim { node: claimant, tenures } if claimant == node => {
                self.claim(node, tenures, users, out);
            }
            Routed::ToGateway { tenure, frame } => match self.counts(node, tenure) {
                Ok(()) => out.push(Effect::Deliver(frame)),
                Err(why) => out.push(Effect::Ignored(node, why)),
            },
            // Its owner is another one, or about to be.
            Routed::NotMine { .. } => out.push(Effect::Read),
            Routed::Claim { .. } | Routed::Claimed { .. } | Routed::ToHub { .. } => {
                out.push(Effect::Ignored(node, Ignored::Misdirected));
            }
        }
    }

    /// Whether what `node` says in this tenure is to be applied.
    fn counts(&self, node: NodeId, tenure: Tenure) -> Result<(), Ignored> {
        if planted!(self, NoFence) {
            return Ok(());
        }
        if !self.table.fence().allows(tenure) {
            return Err(Ignored::Older);
        }
        let assignment = self.table.assignment(tenure.slot);
        let owns = assignment.tenure == tenure && assignment.owner == Some(node);
        if owns && self.confirmed.contains(tenure.slot) { Ok(()) } else { Err(Ignored::Unconfirmed) }
    }

    /// A new owner asks: what it claims is confirmed unless something newer is known.
    fn claim(
        &mut self,
        node: NodeId,
        tenures: Vec<Tenure>,
        directory: &dyn Directory,
        out: &mut Vec<Effect>,
    ) {
        if self.gone.contains(&node) {
            return out.push(Effect::Ignored(node, Ignored::Older));
        }
        let (mut confirmed, mut users) = (Vec::new(), Vec::new());
        for tenure in tenures {
            match self.table.learn(Assignment { tenure, owner: Some(node) }) {
                Ok(Learned::Newer | Learned::Same) => {
                    self.confirmed.insert(tenure.slot);
                    users.extend(directory.users_in(tenure.slot));
                    confirmed.push(tenure);
                }
                Ok(Learned::Older) => out.push(Effect::Ignored(node, Ignored::Older)),
                Err(contradiction) => out.push(Effect::Contradiction(contradiction)),
            }
        }
        if !confirmed.is_empty() {
            let claimed = Routed::Claimed { gateway: self.gateway, tenures: confirmed, users };
            out.push(Effect::Send(node, claimed));
        }
    }

    /// Gives this router a fault.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(&mut self, bug: crate::Bug) {
        self.bug = Some(bug);
    }
}

#[cfg(test)]
mod tests;
