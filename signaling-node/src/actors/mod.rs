//! The actors. Each does one thing: take an input, carry out all effects, take the next.

pub(crate) mod express;
pub(crate) mod hub;
pub(crate) mod shard;
pub(crate) mod steward;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the inputs that are on their way through a shard. (Actor mailboxes have no bound of their own.)
#[derive(Clone, Debug, Default)]
pub(crate) struct Backlog(Arc<AtomicUsize>);

impl Backlog {
    /// Room for one input, if fewer than `limit` are on their way.
    pub(crate) fn admit(&self, limit: usize) -> Option<Permit> {
        if self.0.fetch_add(1, Ordering::Relaxed) < limit {
            Some(Permit(self.0.clone()))
        } else {
            self.0.fetch_sub(1, Ordering::Relaxed);
            None
        }
    }

    /// How many are on their way.
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Room for an input that must not be refused; there are at most a few of them for each connection.
    pub(crate) fn admit_always(&self) -> Permit {
        self.0.fetch_add(1, Ordering::Relaxed);
        Permit(self.0.clone())
    }
}

/// Held by an input until it was handled, or lost with its hub.
#[derive(Debug)]
pub(crate) struct Permit(Arc<AtomicUsize>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
