//! Reads a history and says which promise of the design it breaks.
//!
//! Each file states, in words and in code, what one promise demands of a history. All of them look at the edges
//! only: a rule that can be kept by a hub's own bookkeeping being wrong twice would be no rule.

mod isolation;
mod order;
mod outcomes;
mod presence;
mod resume;
mod streams;
mod timeline;

use streamz_protocol::Millis;

use crate::history::History;

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
