//! The `mid`s that were seen, so that no relayed message is told twice.

use std::collections::VecDeque;

use streamz_protocol::{Mid, SessionId};

/// Sending sessions that are remembered; the one not heard for longest is forgotten first.
const SENDERS: usize = 64;

/// The width of one sender's window in words of 64 numbers: 2,048. A message is settled after 30 s, in which a
/// device at its default rate makes at most 1,700 numbers, so what lies below the window can only be a repetition.
const WORDS: usize = 32;

/// A bounded memory of `mid`s.
///
/// A high-water mark would not do: the hub holds candidates until the offer they belong to, so numbers of one
/// sender arrive out of order by design.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The last one was heard last.
    senders: Vec<Sender>,
}

#[derive(Debug)]
struct Sender {
    session: SessionId,
    /// The index of the first word: numbers below `first * 64` are too old to be new.
    first: u64,
    words: VecDeque<u64>,
}

impl Seen {
    /// Whether `mid` is new; it is not, the next time.
    pub(crate) fn insert(&mut self, mid: Mid) -> bool {
        let at = self.senders.iter().position(|s| s.session == mid.session);
        match at {
            Some(at) => self.senders[at..].rotate_left(1),
            None => {
                if self.senders.len() == SENDERS {
                    self.senders.remove(0);
                }
                self.senders.push(Sender {
                    session: mid.session,
                    first: mid.number / 64,
                    words: VecDeque::new(),
                });
            }
        }
        self.senders.last_mut().is_some_and(|sender| sender.insert(mid.number))
    }
}

impl Sender {
    fn insert(&mut self, number: u64) -> bool {
        let word = number / 64;
        let end = self.first.saturating_add(self.words.len() as u64);
        if word >= end {
            if word - end >= WORDS as u64 {
                self.words.clear();
                self.first = word;
            }
            while self.first + self.words.len() as u64 <= word {
                self.words.push_back(0);
            }
            while self.words.len() > WORDS {
                self.words.pop_front();
                self.first += 1;
            }
        } else if word < self.first {
            if end - word > WORDS as u64 {
                return false;
            }
            while self.first > word {
                self.words.push_front(0);
                self.first -= 1;
            }
        }
        let bit = 1u64 << (number % 64);
        let offset = usize::try_from(word - self.first).unwrap_or(usize::MAX);
        match self.words.get_mut(offset) {
            Some(bits) => {
                let new = *bits & bit == 0;
                *bits |= bit;
                new
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn mid(session: u128, number: u64) -> Mid {
        Mid { session: SessionId(Uuid::from_u128(session)), number }
    }

    #[test]
    fn a_number_is_new_once_in_any_order() {
        let mut seen = Seen::default();
        for number in [70, 5, 200, 71, 1, 64, 63] {
            assert!(seen.insert(mid(1, number)), "{number}");
            assert!(!seen.insert(mid(1, number)), "{number}");
            assert!(seen.insert(mid(2, number)), "{number} of another sender");
        }
    }

    #[test]
    fn a_number_far_below_the_window_is_old() {
        let mut seen = Seen::default();
        assert!(seen.insert(mid(1, 10_000)));
        assert!(seen.insert(mid(1, 10_000 - 1_700)));
        assert!(!seen.insert(mid(1, 10_000 - 2_048)));
        assert!(seen.insert(mid(1, u64::MAX)));
        assert!(!seen.insert(mid(1, 10_001)));
        assert!(!seen.insert(mid(1, u64::MAX)));
    }

    #[test]
    fn the_sender_not_heard_for_longest_is_forgotten() {
        let mut seen = Seen::default();
        for session in 0..SENDERS as u128 {
            assert!(seen.insert(mid(session, 1)));
        }
        assert!(!seen.insert(mid(0, 1)));
        assert!(seen.insert(mid(1_000, 1)));
        assert!(!seen.insert(mid(0, 1)), "was heard again");
        assert!(seen.insert(mid(1, 1)), "was forgotten");
        assert_eq!(seen.senders.len(), SENDERS);
    }

    proptest! {
        #[test]
        fn within_the_window_it_is_a_set(numbers in prop::collection::vec(1_000u64..2_900, 0..300)) {
            let mut seen = Seen::default();
            let mut set = HashSet::new();
            for number in numbers {
                prop_assert_eq!(seen.insert(mid(1, number)), set.insert(number));
            }
        }

        #[test]
        fn it_stays_bounded(numbers in prop::collection::vec(any::<u64>(), 0..300)) {
            let mut seen = Seen::default();
            for number in numbers {
                seen.insert(mid(1, number));
                prop_assert!(!seen.insert(mid(1, number)));
                prop_assert!(seen.senders[0].words.len() <= WORDS);
            }
        }
    }
}
