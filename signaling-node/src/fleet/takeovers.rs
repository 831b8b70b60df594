//! Which slots this node has taken over, from whom, and how long it took: the last few times.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use streamz_cluster::SlotRow;
use streamz_fleet::Recent;
use streamz_protocol::cluster::{SLOTS, Slot, Tenure};
use streamz_protocol::{Millis, NodeId};
use streamz_status::Cause;

use crate::{figures, traces};

/// Slots that come from one owner with no longer a pause than this are one takeover: a planned move comes in batches.
const TOGETHER: Duration = Duration::from_secs(2);
/// Nobody's id.
const NOBODY: NodeId = NodeId(0);

/// Slots that came together, from one owner and for one cause.
#[derive(Debug)]
pub(super) struct Takeover {
    number: u64,
    /// When the first of them came.
    pub(super) at: Millis,
    /// When the last of them did.
    last: Millis,
    pub(super) cause: Cause,
    pub(super) from: Option<NodeId>,
    pub(super) slots: usize,
    /// Those that not every gateway has confirmed.
    pub(super) recovering: usize,
    /// When the last of them was.
    pub(super) confirmed: Option<Millis>,
    /// The longest that one of them took.
    pub(super) longest: Duration,
}

/// What a node has seen of the slot table, and what became its own.
#[derive(Debug)]
pub(super) struct Takeovers {
    /// Of each slot: the owner, and to whom it should hand it, as the store said last.
    known: Box<[(NodeId, NodeId)]>,
    /// With the takeover that they are of, and when they came.
    recovering: HashMap<Slot, (Tenure, u64, Millis)>,
    next: u64,
    recent: Recent<Takeover>,
}

impl Default for Takeovers {
    fn default() -> Self {
        Self {
            known: vec![(NOBODY, NOBODY); usize::from(SLOTS)].into_boxed_slice(),
            recovering: HashMap::new(),
            next: 0,
            recent: Recent::default(),
        }
    }
}

impl Takeovers {
    /// The store was read. `held` says in which tenure the node has a slot already. To be called before the keeper is told.
    pub(super) fn read(
        &mut self,
        me: NodeId,
        rows: &[SlotRow],
        held: impl Fn(Slot) -> Option<Tenure>,
        now: Millis,
    ) {
        let mut begun: BTreeMap<(u8, NodeId), Vec<Tenure>> = BTreeMap::new();
        for row in rows {
            let tenure = row.assignment.tenure;
            let owner = row.assignment.owner.unwrap_or(NOBODY);
            let known = &mut self.known[usize::from(tenure.slot.number())];
            let (before, heir) = std::mem::replace(known, (owner, row.moving_to.unwrap_or(NOBODY)));
            let mine = owner == me && held(tenure.slot) != Some(tenure);
            if self.recovering.get(&tenure.slot).is_some_and(|(known, ..)| *known != tenure) {
                self.settled(tenure.slot, now);
            }
            if mine && !self.recovering.contains_key(&tenure.slot) {
                let cause = match before {
                    NOBODY => 0,
                    _ if heir == me => 1,
                    _ => 2,
                };
                begun.entry((cause, before)).or_default().push(tenure);
            }
        }
        for ((cause, before), tenures) in begun {
            let cause = [Cause::First, Cause::HandedOver, Cause::OwnerGone][usize::from(cause)];
            let from = Some(before).filter(|before| *before != NOBODY);
            let number = self.note(cause, from, tenures.len(), now);
            for tenure in &tenures {
                self.recovering.insert(tenure.slot, (*tenure, number, now));
            }
        }
    }

    /// Slots came: of a takeover that goes on, or of a new one. Its number.
    fn note(&mut self, cause: Cause, from: Option<NodeId>, slots: usize, now: Millis) -> u64 {
        let same =
            |one: &&mut Takeover| (one.cause, one.from) == (cause, from) && now.since(one.last) <= TOGETHER;
        if let Some(one) = self.recent.iter_mut().find(same) {
            one.last = now;
            one.slots += slots;
            one.recovering += slots;
            one.confirmed = None;
            return one.number;
        }
        self.next += 1;
        self.recent.note(Takeover {
            number: self.next,
            at: now,
            last: now,
            cause,
            from,
            slots,
            recovering: slots,
            confirmed: None,
            longest: Duration::ZERO,
        });
        self.next
    }

    /// Every gateway has confirmed a slot.
    pub(super) fn confirmed(&mut self, tenure: Tenure, now: Millis) {
        if self.recovering.get(&tenure.slot).is_some_and(|(known, ..)| *known == tenure)
            && let Some((cause, since)) = self.settled(tenure.slot, now)
        {
            figures::taken_over(cause, now.since(since));
        }
    }

    /// This incarnation is over: it recovers nothing any more.
    pub(super) fn over(&mut self, now: Millis) {
        for slot in self.recovering.keys().copied().collect::<Vec<_>>() {
            self.settled(slot, now);
        }
    }

    /// Nobody waits for a slot of a takeover any more. Why it was taken over, and since when.
    fn settled(&mut self, slot: Slot, now: Millis) -> Option<(Cause, Millis)> {
        let (_, number, since) = self.recovering.remove(&slot)?;
        let takeover = self.recent.iter_mut().find(|takeover| takeover.number == number)?;
        takeover.recovering = takeover.recovering.saturating_sub(1);
        takeover.longest = takeover.longest.max(now.since(since));
        if takeover.recovering == 0 {
            takeover.confirmed = Some(now);
            let from = takeover.from.map(|node| node.0);
            traces::takeover(takeover.cause, from, takeover.slots, takeover.longest, takeover.at, now);
        }
        Some((takeover.cause, since))
    }

    /// The newest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Takeover> {
        self.recent.iter()
    }
}

#[cfg(test)]
mod tests {
    use streamz_protocol::cluster::{Assignment, Epoch};

    use super::*;

    const ME: NodeId = NodeId(1);
    const OTHER: NodeId = NodeId(2);

    fn tenure(slot: u16, epoch: u64) -> Tenure {
        Tenure { slot: Slot::new(slot).unwrap(), epoch: Epoch(epoch) }
    }

    fn row(slot: u16, epoch: u64, owner: Option<NodeId>, moving_to: Option<NodeId>) -> SlotRow {
        SlotRow { assignment: Assignment { tenure: tenure(slot, epoch), owner }, moving_to }
    }

    /// Cause, from whom, slots, waiting, end.
    type Seen = (Cause, Option<NodeId>, usize, usize, Option<Millis>);

    fn seen(takeovers: &Takeovers) -> Vec<Seen> {
        let one = |one: &Takeover| (one.cause, one.from, one.slots, one.recovering, one.confirmed);
        takeovers.iter().map(one).collect()
    }

    #[test]
    fn the_cause_is_what_the_table_said_before() {
        let mut takeovers = Takeovers::default();
        let nothing = |_| None;
        takeovers.read(
            ME,
            &[row(0, 1, Some(OTHER), None), row(1, 1, Some(OTHER), Some(ME))],
            nothing,
            Millis(5),
        );
        assert_eq!(seen(&takeovers), []);
        let rows = [row(0, 2, Some(ME), None), row(1, 2, Some(ME), None), row(2, 1, Some(ME), None)];
        takeovers.read(ME, &rows, nothing, Millis(10));
        assert_eq!(
            seen(&takeovers),
            [
                (Cause::OwnerGone, Some(OTHER), 1, 1, None),
                (Cause::HandedOver, Some(OTHER), 1, 1, None),
                (Cause::First, None, 1, 1, None),
            ]
        );
        // Read again, it is the same takeover.
        takeovers.read(ME, &rows, nothing, Millis(11));
        takeovers.read(ME, &rows, |slot| Some(tenure(slot.number(), 2)), Millis(12));
        assert_eq!(seen(&takeovers).len(), 3);
    }

    #[test]
    fn it_lasts_until_the_last_slot_is_confirmed_or_lost() {
        let mut takeovers = Takeovers::default();
        let nothing = |_| None;
        let rows: Vec<SlotRow> = (0..3).map(|slot| row(slot, 1, Some(ME), None)).collect();
        takeovers.read(ME, &rows, nothing, Millis(10));
        takeovers.confirmed(tenure(0, 1), Millis(20));
        // Of another tenure: it says nothing.
        takeovers.confirmed(tenure(1, 9), Millis(21));
        assert_eq!(seen(&takeovers), [(Cause::First, None, 3, 2, None)]);
        takeovers.read(ME, &[row(1, 2, Some(OTHER), None)], nothing, Millis(30));
        assert_eq!(seen(&takeovers), [(Cause::First, None, 3, 1, None)]);
        takeovers.confirmed(tenure(2, 1), Millis(40));
        assert_eq!(seen(&takeovers), [(Cause::First, None, 3, 0, Some(Millis(40)))]);
    }

    #[test]
    fn batches_of_a_move_are_one_takeover_whose_longest_pause_is_known() {
        let mut takeovers = Takeovers::default();
        let nothing = |_| None;
        let owned = |slot| row(slot, 1, Some(OTHER), Some(ME));
        takeovers.read(ME, &[owned(0), owned(1), owned(2)], nothing, Millis(0));
        for (slot, at) in [(0, 100), (1, 1_000), (2, 9_000)] {
            takeovers.read(ME, &[row(slot, 2, Some(ME), None)], nothing, Millis(at));
            takeovers.confirmed(tenure(slot, 2), Millis(at + 10 + u64::from(slot)));
        }
        assert_eq!(
            seen(&takeovers),
            [
                (Cause::HandedOver, Some(OTHER), 1, 0, Some(Millis(9_012))),
                (Cause::HandedOver, Some(OTHER), 2, 0, Some(Millis(1_011))),
            ]
        );
        assert_eq!(takeovers.iter().last().unwrap().longest, Duration::from_millis(11));
    }
}
