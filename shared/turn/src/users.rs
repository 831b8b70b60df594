//! What each user has and may.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use streamz_protocol::Millis;

/// A burst is what the rate gives in this time.
const BURST: Duration = Duration::from_secs(1);

/// All users with an allocation, and for a moment those who had one: whoever comes back has no new burst.
#[derive(Debug, Default)]
pub(crate) struct Users(BTreeMap<Arc<str>, User>);

#[derive(Debug)]
struct User {
    allocations: usize,
    /// In thousandths of a byte, so that a millisecond gives a whole number of them.
    level: u64,
    filled: Millis,
}

impl Users {
    /// One more allocation of `user`; `None` if that is beyond `most`.
    pub(crate) fn join(&mut self, user: &str, most: usize, rate: u64, now: Millis) -> Option<Arc<str>> {
        if let Some((name, entry)) = self.0.get_key_value(user) {
            if entry.allocations >= most {
                return None;
            }
            let name = name.clone();
            self.0.entry(name.clone()).and_modify(|entry| entry.allocations += 1);
            return Some(name);
        }
        if most == 0 {
            return None;
        }
        let name: Arc<str> = user.into();
        self.0.insert(name.clone(), User { allocations: 1, level: full(rate), filled: now });
        Some(name)
    }

    /// One less.
    pub(crate) fn leave(&mut self, user: &str) {
        if let Some(entry) = self.0.get_mut(user) {
            entry.allocations = entry.allocations.saturating_sub(1);
        }
    }

    /// Takes so many bytes out of what the user may relay; `false` if they are not there.
    pub(crate) fn take(&mut self, user: &str, bytes: usize, rate: u64, now: Millis) -> bool {
        let Some(entry) = self.0.get_mut(user) else { return false };
        let passed = u64::try_from(now.since(entry.filled).as_millis()).unwrap_or(u64::MAX);
        entry.level = entry.level.saturating_add(rate.saturating_mul(passed)).min(full(rate));
        entry.filled = now;
        let cost = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1000);
        let there = entry.level >= cost;
        if there {
            entry.level -= cost;
        }
        there
    }

    /// Forgets those who have nothing, and would have a full burst again.
    pub(crate) fn sweep(&mut self, now: Millis) {
        self.0.retain(|_, user| user.allocations > 0 || now.since(user.filled) < BURST);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

fn full(rate: u64) -> u64 {
    rate.saturating_mul(u64::try_from(BURST.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_burst_and_then_the_rate() {
        let mut users = Users::default();
        let at = |millis: u64| Millis(10_000 + millis);
        users.join("ann", 1, 1000, at(0)).unwrap();
        assert!(users.take("ann", 600, 1000, at(0)) && users.take("ann", 400, 1000, at(0)));
        assert!(!users.take("ann", 1, 1000, at(0)));
        assert!(!users.take("ann", 11, 1000, at(10)) && users.take("ann", 10, 1000, at(10)));
        assert!(!users.take("ann", 1001, 1000, at(60_000)), "never more than the burst");
        assert!(users.take("ann", 1000, 1000, at(60_000)));
        assert!(!users.take("bob", 1, 1000, at(0)), "who has no allocation has nothing");
    }

    #[test]
    fn whoever_comes_back_at_once_has_no_new_burst() {
        let mut users = Users::default();
        users.join("ann", 1, 1000, Millis(0)).unwrap();
        assert!(users.join("ann", 1, 1000, Millis(0)).is_none());
        assert!(users.take("ann", 1000, 1000, Millis(0)));
        users.leave("ann");
        users.sweep(Millis(999));
        users.join("ann", 1, 1000, Millis(999)).unwrap();
        assert!(!users.take("ann", 1000, 1000, Millis(999)));
        users.leave("ann");
        users.sweep(Millis(1999));
        assert_eq!(users.len(), 0);
    }
}
