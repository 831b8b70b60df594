//! Reads a history and says which promise of the design it breaks.
//!
//! Each file states, in words and in code, what one promise demands of a history. All of them look at the edges
//! only: a rule that can be kept by a hub's own bookkeeping being wrong twice would be no rule.

mod edge;
mod isolation;
mod order;
mod outcomes;
mod presence;
mod resume;
mod streams;
mod timeline;

use std::collections::BTreeMap;

use streamz_protocol::{Millis, Reason};

use crate::history::{Act, Entry, History, Outcome, Said, What, Written};
use crate::observer::Spell;

/// A promise that a history breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which of the design's promises (§5), as `P1` to `P7`; `panic` if a state machine did.
    pub promise: &'static str,
    /// What happened, in a sentence.
    pub sentence: String,
    /// When.
    pub(crate) at: Millis,
}

impl Violation {
    /// When it happened.
    #[must_use]
    pub fn at(&self) -> Millis {
        self.at
    }

    /// When it happened, in seconds since the run began.
    pub(crate) fn elapsed(&self) -> f64 {
        crate::world::elapsed(self.at).as_secs_f64()
    }
}

/// Checks all promises; the earliest violation comes first.
pub(crate) fn check(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    isolation::check(history, &mut found);
    outcomes::check(history, &mut found);
    order::check(history, &mut found);
    resume::check(history, &mut found);
    presence::check(history, &mut found);
    streams::check(history, &mut found);
    found.sort_by_key(|violation| violation.at);
    found
}

/// Checks what can be seen of the promises at devices alone; the earliest violation comes first.
pub(crate) fn check_edges(history: &History, spells: &[Spell]) -> Vec<Violation> {
    let mut found = Vec::new();
    isolation::check(history, &mut found);
    outcomes::check(history, &mut found);
    order::check(history, &mut found);
    presence::check(history, &mut found);
    streams::check_rings(history, &mut found);
    edge::check(history, spells, &mut found);
    found.sort_by_key(|violation| violation.at);
    found
}

/// How the relayed messages that were first sent between two moments ended: delivered, expired, otherwise. What is said
/// about a stream may rightly come too late for it.
pub(crate) fn outcomes_between(
    written: &[Written],
    entries: &[Entry],
    from: Millis,
    to: Millis,
) -> (usize, usize, usize) {
    let mut sent = BTreeMap::new();
    let mut ended = BTreeMap::new();
    for Entry { at, what } in entries {
        match what {
            What::Sent { tag, device, .. } => {
                let Written { id, act, .. } = &written[*tag];
                if let (Some(id), Act::Relay { .. }) = (id, act) {
                    sent.entry((*device, id.clone())).or_insert(*at);
                }
            }
            What::Heard { device, said: Said::Outcome { id, outcome }, .. } => {
                ended.entry((*device, id.clone())).or_insert_with(|| outcome.clone());
            }
            _ => {}
        }
    }
    let mut counts = (0, 0, 0);
    for (message, _) in sent.iter().filter(|(_, at)| (from..to).contains(at)) {
        match ended.get(message) {
            Some(Outcome::Delivered) => counts.0 += 1,
            Some(Outcome::NotDelivered { reason: Reason::Expired, .. }) => counts.1 += 1,
            _ => counts.2 += 1,
        }
    }
    counts
}
