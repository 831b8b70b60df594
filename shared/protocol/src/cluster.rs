//! What processes of a cluster say to each other, beside the frames of [`bus`](crate::bus) that they carry.
//!
//! Users hash to [`SLOTS`] slots; each slot has one owner, a node, and an [`Epoch`] that grows with each change of the
//! owner. Whoever has learned an epoch of a slot never again applies anything of that slot with a lower one.

use std::sync::Arc;

use minicbor::{Decode, Encode};
use uuid::Uuid;

use crate::bus::{ToGateway, ToHub};
use crate::hash::stable_hash;
use crate::{GatewayId, Millis, NodeId, ProcessId, UserId};

/// How many slots there are. Every process must agree: it is part of the protocol.
pub const SLOTS: u16 = 4096;

/// One of [`SLOTS`] equal parts of all users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

/// A number that is no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("slots have the numbers 0 to 4095")]
pub struct InvalidSlot;

impl Slot {
    /// The slot with this number.
    ///
    /// # Errors
    /// [`InvalidSlot`] from [`SLOTS`] on.
    pub fn new(number: u16) -> Result<Self, InvalidSlot> {
        if number < SLOTS { Ok(Self(number)) } else { Err(InvalidSlot) }
    }

    /// The slot of a user: the same in every process and version.
    #[must_use]
    pub fn of(user: UserId) -> Self {
        // The remainder is below 4,096.
        Self((stable_hash(user.0.as_bytes()) % u64::from(SLOTS)) as u16)
    }

    /// All of them, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SLOTS).map(Self)
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }
}

/// How often a slot has changed hands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Epoch(#[n(0)] pub u64);

/// A slot at one epoch: whoever names it means nothing older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Tenure {
    /// The slot.
    #[n(0)]
    pub slot: Slot,
    /// Its epoch.
    #[n(1)]
    pub epoch: Epoch,
}

/// A row of the slot table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Assignment {
    /// The slot and its epoch.
    #[n(0)]
    pub tenure: Tenure,
    /// Its owner; nobody before the first assignment.
    #[n(1)]
    pub owner: Option<NodeId>,
}

/// One thing that a process tells another. A bus may lose, double and reorder packets.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(context_bound = "crate::wire::Now")]
pub enum Packet {
    /// A frame of the link from one process to another.
    #[n(0)]
    Frame {
        /// Its place in the link, from 1.
        #[n(0)]
        seq: u64,
        /// Everything up to here has come from the other side.
        #[n(1)]
        ack: u64,
        /// The frame.
        #[cbor(n(2), with = "crate::wire::codec::shared")]
        frame: Arc<Routed>,
    },
    /// Everything up to here has come from the other side, which says nothing of its own.
    #[n(1)]
    Ack {
        /// The last of it.
        #[n(0)]
        ack: u64,
    },
    /// From the coordinator to each node: it is there, and has Postgres or knows that nobody has.
    #[n(2)]
    Beat {
        /// The coordinator's own epoch.
        #[n(0)]
        coordinator: u64,
        /// The version of the slot table that it knows.
        #[n(1)]
        version: u64,
    },
    /// Slots that changed hands. A hint: the store has the truth.
    #[n(3)]
    Table {
        /// The version of the slot table after the change.
        #[n(0)]
        version: u64,
        /// What changed.
        #[n(1)]
        changes: Vec<Assignment>,
    },
    /// To the coordinator: nobody receives what is sent to this process.
    #[n(4)]
    Report {
        /// Who is thought dead.
        #[n(0)]
        dead: ProcessId,
        /// For how long nobody has received, in milliseconds.
        #[n(1)]
        silent_ms: u64,
    },
    /// To the gateways: a sign-in was revoked. A hint: the store has the list.
    #[n(5)]
    Revoked {
        /// The refresh family.
        #[cbor(n(0), with = "crate::wire::codec::foreign")]
        family: Uuid,
        /// When.
        #[n(1)]
        at: Millis,
        /// Whose sign-in it was.
        #[n(2)]
        user: Option<UserId>,
    },
    /// From the coordinator to a process whose row is gone and that may not know: it is over. An id is never used twice,
    /// so this is true for ever.
    #[n(6)]
    Evicted,
}

/// A frame that a link carries.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(context_bound = "crate::wire::Now")]
pub enum Routed {
    /// From a gateway to the node that owns the user's slot.
    #[n(0)]
    ToHub {
        /// The slot, and its epoch as the gateway knows it.
        #[n(0)]
        tenure: Tenure,
        /// For the hub.
        #[n(1)]
        frame: ToHub,
    },
    /// From a node to a gateway.
    #[n(1)]
    ToGateway {
        /// The slot of the hub that speaks, and the epoch in which it does.
        #[n(0)]
        tenure: Tenure,
        /// For the gateway.
        #[n(1)]
        frame: ToGateway,
    },
    /// From the new owner of slots to each gateway: confirm, and say who is there.
    #[n(2)]
    Claim {
        /// The claimant.
        #[n(0)]
        node: NodeId,
        /// The slots with their new epochs.
        #[n(1)]
        tenures: Vec<Tenure>,
    },
    /// From a gateway: it applies nothing older any more.
    #[n(3)]
    Claimed {
        /// Who confirms.
        #[n(0)]
        gateway: GatewayId,
        /// What it confirms.
        #[n(1)]
        tenures: Vec<Tenure>,
        /// The users of these slots that have a connection on it.
        #[n(2)]
        users: Vec<UserId>,
    },
    /// From a node to a gateway: the slot is not (or not any more) its own.
    #[n(4)]
    NotMine {
        /// The slot, and the highest epoch that the node knows of it.
        #[n(0)]
        tenure: Tenure,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_of_a_user_never_changes() {
        let user = UserId(Uuid::from_u128(0x0198_c2a4_5d10_7c3e_9a41_6f2b_8d0e_4c17));
        assert_eq!(Slot::of(user).number(), 549);
    }

    #[test]
    fn users_spread_over_all_slots() {
        let mut counts = vec![0_u32; usize::from(SLOTS)];
        for n in 0..409_600_u128 {
            counts[usize::from(Slot::of(UserId(Uuid::from_u128(n << 64 | n))).number())] += 1;
        }
        // 100 each on average; ten standard deviations to both sides.
        assert!(counts.iter().all(|count| (1..=200).contains(count)));
    }

    #[test]
    fn numbers_past_the_last_are_no_slots() {
        assert_eq!(Slot::new(SLOTS - 1).map(Slot::number), Ok(SLOTS - 1));
        assert_eq!(Slot::new(SLOTS), Err(InvalidSlot));
        assert_eq!(Slot::all().count(), usize::from(SLOTS));
    }
}
