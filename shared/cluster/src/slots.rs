//! A row of the slot table, and sets of slots.

use streamz_protocol::NodeId;
use streamz_protocol::cluster::{Assignment, SLOTS, Slot};

/// A row of the slot table as the store has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRow {
    /// The slot, its epoch and its owner.
    pub assignment: Assignment,
    /// To whom the coordinator has ordered its owner to hand it.
    pub moving_to: Option<NodeId>,
}

impl SlotRow {
    /// Who owns it once the order is carried out.
    #[must_use]
    pub fn heir(&self) -> Option<NodeId> {
        self.moving_to.or(self.assignment.owner)
    }
}

const WORDS: usize = SLOTS as usize / 64;

/// A set of slots: 512 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotSet(Box<[u64; WORDS]>);

impl Default for SlotSet {
    fn default() -> Self {
        Self(Box::new([0; WORDS]))
    }
}

impl SlotSet {
    fn place(slot: Slot) -> (usize, u64) {
        let number = usize::from(slot.number());
        (number / 64, 1 << (number % 64))
    }

    /// Whether it has this slot.
    #[must_use]
    pub fn contains(&self, slot: Slot) -> bool {
        let (word, bit) = Self::place(slot);
        self.0[word] & bit != 0
    }

    /// Adds a slot; says whether it is new.
    pub fn insert(&mut self, slot: Slot) -> bool {
        let (word, bit) = Self::place(slot);
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    /// Takes a slot away; says whether it was there.
    pub fn remove(&mut self, slot: Slot) -> bool {
        let (word, bit) = Self::place(slot);
        let had = self.0[word] & bit != 0;
        self.0[word] &= !bit;
        had
    }

    /// How many it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in() {
        let mut set = SlotSet::default();
        assert!(set.is_empty());
        for slot in Slot::all().step_by(63) {
            assert!(set.insert(slot));
            assert!(!set.insert(slot));
        }
        assert_eq!(set.len(), 66);
        let first = Slot::all().next().unwrap();
        assert!(set.contains(first) && set.remove(first) && !set.remove(first) && !set.contains(first));
    }
}
