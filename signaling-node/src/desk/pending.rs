//! What waits to be written: of each key the last value.

use std::collections::{HashMap, VecDeque};

/// The latest value of each key, in the order in which the keys first came.
pub(super) struct Pending<K, V> {
    order: VecDeque<K>,
    pub(super) values: HashMap<K, V>,
}

impl<K, V> Default for Pending<K, V> {
    fn default() -> Self {
        Self { order: VecDeque::new(), values: HashMap::new() }
    }
}

impl<K: Copy + Eq + std::hash::Hash, V> Pending<K, V> {
    pub(super) fn put(&mut self, key: K, value: V) {
        if self.values.insert(key, value).is_none() {
            self.order.push_back(key);
        }
    }

    /// Puts a value back that was taken, unless there is a newer one.
    pub(super) fn put_back(&mut self, key: K, value: V) {
        if let std::collections::hash_map::Entry::Vacant(vacant) = self.values.entry(key) {
            vacant.insert(value);
            self.order.push_front(key);
        }
    }

    pub(super) fn take(&mut self, most: usize) -> Vec<(K, V)> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(key) = self.order.pop_front()
        {
            if let Some(value) = self.values.remove(&key) {
                taken.push((key, value));
            }
        }
        taken
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_key_counts_and_keeps_its_place() {
        let mut pending = Pending::default();
        pending.put(1, "a");
        pending.put(2, "b");
        pending.put(1, "c");
        assert_eq!(pending.take(1), [(1, "c")]);
        assert_eq!(pending.take(9), [(2, "b")]);
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn what_is_put_back_yields_to_a_newer_value() {
        let mut pending = Pending::default();
        pending.put(1, "old");
        pending.put(2, "other");
        let taken = pending.take(1);
        pending.put(1, "new");
        for (key, value) in taken {
            pending.put_back(key, value);
        }
        assert_eq!(pending.take(9), [(2, "other"), (1, "new")]);
    }
}
