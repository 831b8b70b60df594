//! The slot table as a process knows it. The store has the truth; hints come over the bus; epochs keep what is
//! older from coming back.

use streamz_protocol::NodeId;
use streamz_protocol::cluster::{Assignment, Epoch, SLOTS, Slot, Tenure};

/// The highest epoch that was learned of each slot: 32 KiB.
#[derive(Clone, Debug)]
pub struct Fence(Box<[u64]>);

impl Default for Fence {
    fn default() -> Self {
        Self(vec![0; usize::from(SLOTS)].into())
    }
}

impl Fence {
    /// The highest epoch that was learned of a slot; 0 before the first.
    #[must_use]
    pub fn epoch(&self, slot: Slot) -> Epoch {
        Epoch(self.0[usize::from(slot.number())])
    }

    /// Learns an epoch; says whether it is higher than every one before.
    pub fn learn(&mut self, tenure: Tenure) -> bool {
        let known = &mut self.0[usize::from(tenure.slot.number())];
        let higher = tenure.epoch.0 > *known;
        *known = tenure.epoch.0.max(*known);
        higher
    }

    /// Whether something of this tenure may still be applied: nothing newer was learned.
    #[must_use]
    pub fn allows(&self, tenure: Tenure) -> bool {
        tenure.epoch >= self.epoch(tenure.slot)
    }
}

/// Two owners were named for one slot at one epoch. Nobody writes such a thing: the table is damaged, or two clusters
/// share a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("slot {} has two owners at epoch {}", .tenure.slot.number(), .tenure.epoch.0)]
pub struct Contradiction {
    /// The slot and the epoch.
    pub tenure: Tenure,
    /// Who is known as the owner.
    pub known: Option<NodeId>,
    /// Who was named.
    pub named: Option<NodeId>,
}

/// What one assignment changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// A higher epoch than was known.
    Newer,
    /// What was known.
    Same,
    /// Less than was known: of no use.
    Older,
}

/// What a hint was worth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Slots that have another owner than was known: their epoch is higher now, or what was known of it was wrong.
    pub newer: Vec<Slot>,
    /// Changes in between are missing: read what is newer than [`Table::version`] from the store.
    pub gap: bool,
    /// Assignments that cannot be.
    pub contradictions: Vec<Contradiction>,
}

/// All slots with their epochs and owners: 64 KiB.
#[derive(Clone, Debug)]
pub struct Table {
    fence: Fence,
    /// The owner at the fence's epoch; 0 is nobody, which no process is called.
    owners: Box<[u64]>,
    version: u64,
}

impl Default for Table {
    fn default() -> Self {
        Self { fence: Fence::default(), owners: vec![0; usize::from(SLOTS)].into(), version: 0 }
    }
}

impl Table {
    /// Everything up to this version of the store's table is known.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The owner of a slot at the highest epoch that is known of it.
    #[must_use]
    pub fn owner(&self, slot: Slot) -> Option<NodeId> {
        let owner = self.owners[usize::from(slot.number())];
        (owner != 0).then_some(NodeId(owner))
    }

    /// The slot at the highest epoch that is known of it.
    #[must_use]
    pub fn tenure(&self, slot: Slot) -> Tenure {
        Tenure { slot, epoch: self.fence.epoch(slot) }
    }

    /// What is known of a slot.
    #[must_use]
    pub fn assignment(&self, slot: Slot) -> Assignment {
        Assignment { tenure: self.tenure(slot), owner: self.owner(slot) }
    }

    /// The highest epochs.
    #[must_use]
    pub fn fence(&self) -> &Fence {
        &self.fence
    }

    /// Learns one assignment, from the store, from a hint or from its owner itself.
    ///
    /// # Errors
    /// [`Contradiction`] if another owner is known for the same epoch; what was known stays.
    pub fn learn(&mut self, assignment: Assignment) -> Result<Learned, Contradiction> {
        let Assignment { tenure, owner } = assignment;
        let known = self.owner(tenure.slot);
        if self.fence.learn(tenure) {
            self.owners[usize::from(tenure.slot.number())] = owner.map_or(0, |owner| owner.0);
            return Ok(Learned::Newer);
        }
        if !self.fence.allows(tenure) {
            return Ok(Learned::Older);
        }
        if known == owner {
            return Ok(Learned::Same);
        }
        Err(Contradiction { tenure, known, named: owner })
    }

    /// Merges a hint: all changes of one version of the store's table.
    pub fn hint(&mut self, version: u64, changes: &[Assignment]) -> Merged {
        let mut merged = self.merge(changes);
        if version == self.version + 1 {
            self.version = version;
        }
        merged.gap = version > self.version;
        merged
    }

    /// Merges what the store answered: everything newer than [`Table::version`] (as it was when the question was
    /// put), and the version of its table. Where it contradicts what was known, the store is right.
    pub fn read(&mut self, version: u64, changes: &[Assignment]) -> Merged {
        let mut merged = self.merge(changes);
        self.version = self.version.max(version);
        // The store's word stands above what processes say of it. Nobody should have said otherwise.
        for Contradiction { tenure, named, .. } in &merged.contradictions {
            self.owners[usize::from(tenure.slot.number())] = named.map_or(0, |owner| owner.0);
            merged.newer.push(tenure.slot);
        }
        merged
    }

    fn merge(&mut self, changes: &[Assignment]) -> Merged {
        let mut merged = Merged::default();
        for change in changes {
            match self.learn(*change) {
                Ok(Learned::Newer) => merged.newer.push(change.tenure.slot),
                Ok(Learned::Same | Learned::Older) => {}
                Err(contradiction) => merged.contradictions.push(contradiction),
            }
        }
        merged
    }
}

#[cfg(test)]
mod tests;
