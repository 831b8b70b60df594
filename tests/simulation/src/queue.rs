//! What is to happen, in the order of its time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use streamz_protocol::Millis;

/// A queue of events in virtual time. Events of the same moment come in the order in which they were added.
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Due<E>>,
    added: u64,
}

struct Due<E> {
    at: Millis,
    order: u64,
    event: E,
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), added: 0 }
    }

    pub(crate) fn add(&mut self, at: Millis, event: E) {
        self.added += 1;
        self.heap.push(Due { at, order: self.added, event });
    }

    pub(crate) fn next(&mut self) -> Option<(Millis, E)> {
        self.heap.pop().map(|due| (due.at, due.event))
    }
}

impl<E> PartialEq for Due<E> {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl<E> Eq for Due<E> {}

impl<E> PartialOrd for Due<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Due<E> {
    // The heap gives its greatest: the earliest has to be that.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}
