//! What processes of a cluster say to each other, beside the frames of [`bus`](crate::bus) that they carry.
//!
//! Users hash to [`SLOTS`] slots; each slot has one owner, a node, and an [`Epoch`] that grows with each change of the
//! owner. Whoever has learned an epoch of a slot never again applies anything of that slot with a lower one.

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// A slot at one epoch: whoever names it means nothing older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenure {
    /// The slot.
    pub slot: Slot,
    /// Its epoch.
    pub epoch: Epoch,
}

/// A row of the slot table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The slot and its epoch.
    pub tenure: Tenure,
    /// Its owner; nobody before the first assignment.
    pub owner: Option<NodeId>,
}

/// One thing that a process tells another. A bus may lose, double and reorder packets.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet {
    /// A frame of the link from one process to another.
    Frame {
        /// Its place in the link, from 1.
        seq: u64,
        /// Everything up to here has come from the other side.
        ack: u64,
        /// The frame.
        frame: Box<Routed>,
    },
    /// Everything up to here has come from the other side, which says nothing of its own.
    Ack {
        /// The last of it.
        ack: u64,
    },
    /// From the coordinator to each node: it is there, and has Postgres or knows that nobody has.
    Beat {
        /// The coordinator's own epoch.
        coordinator: u64,
        /// The version of the slot table that it knows.
        version: u64,
    },
    /// Slots that changed hands. A hint: the store has the truth.
    Table {
        /// The version of the slot table after the change.
        version: u64,
        /// What changed.
        changes: Vec<Assignment>,
    },
    /// To the coordinator: nobody receives what is sent to this process.
    Report {
        /// Who is thought dead.
        dead: ProcessId,
        /// For how long nobody has received, in milliseconds.
        silent_ms: u64,
    },
    /// To the gateways: a sign-in was revoked. A hint: the store has the list.
    Revoked {
        /// The refresh family.
        family: Uuid,
        /// When.
        at: Millis,
    },
}

/// A frame that a link carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Routed {
    /// From a gateway to the node that owns the user's slot.
    ToHub {
        /// The slot, and its epoch as the gateway knows it.
        tenure: Tenure,
        /// For the hub.
        frame: ToHub,
    },
    /// From a node to a gateway.
    ToGateway {
        /// The slot of the hub that speaks, and the epoch in which it does.
        tenure: Tenure,
        /// For the gateway.
        frame: ToGateway,
    },
    /// From the new owner of slots to each gateway: confirm, and say who is there.
    Claim {
        /// The claimant.
        node: NodeId,
        /// The slots with their new epochs.
        tenures: Vec<Tenure>,
    },
    /// From a gateway: it applies nothing older any more.
    Claimed {
        /// Who confirms.
        gateway: GatewayId,
        /// What it confirms.
        tenures: Vec<Tenure>,
        /// The users of these slots that have a connection on it.
        users: Vec<UserId>,
    },
    /// From a node to a gateway: the slot is not (or not any more) its own.
    NotMine {
        /// The slot, and the highest epoch that the node knows of it.
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
