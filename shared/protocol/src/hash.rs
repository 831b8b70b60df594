//! A hash that is the same in every process, on every machine and in every version: it travels between processes,
//! which the standard library's own do not promise to survive.
//!
//! Multiplication folds 16 bytes at a time, as wyhash and its kin do. It distinguishes what differs by chance; who
//! picks collisions on purpose deceives nobody but themselves.

use std::hash::{Hash, Hasher};

/// The same value for the same input, always.
pub(crate) fn stable_hash<T: Hash>(value: &T) -> u64 {
    let mut hasher = StableHasher(0);
    value.hash(&mut hasher);
    hasher.finish()
}

/// Odd constants without a pattern: the fractional part of the golden ratio, and wyhash's second secret.
const K: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0x8ebc_6af0_9c88_c6e3];

struct StableHasher(u64);

impl Hasher for StableHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (chunks, rest) = bytes.as_chunks::<16>();
        for chunk in chunks {
            self.fold(u128::from_le_bytes(*chunk));
        }
        let mut last = [0; 16];
        last[..rest.len()].copy_from_slice(rest);
        self.fold(u128::from_le_bytes(last));
        // Padding is not content.
        self.fold(bytes.len() as u128);
    }

    fn finish(&self) -> u64 {
        fold(self.0 ^ K[0], K[1])
    }
}

impl StableHasher {
    #[expect(clippy::cast_possible_truncation, reason = "each half is taken")]
    fn fold(&mut self, word: u128) {
        self.0 = fold(self.0 ^ (word as u64) ^ K[0], ((word >> 64) as u64) ^ K[1]);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "each half is taken")]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn it_never_changes() {
        assert_eq!(stable_hash(&"a=ice-ufrag:F7gI"), 0xa434_2838_afa2_8bd6);
        assert_eq!(stable_hash(&(7_u64, "x")), stable_hash(&(7_u64, "x")));
    }

    #[test]
    fn what_differs_a_little_differs() {
        let mut seen = HashSet::new();
        for length in 0..200 {
            let text = "=".repeat(length);
            assert!(seen.insert(stable_hash(&text)), "{length}");
            for at in 0..length {
                let mut changed = text.clone().into_bytes();
                changed[at] = b'>';
                assert!(seen.insert(stable_hash(&String::from_utf8(changed).unwrap())), "{length} {at}");
            }
        }
        for number in 0..10_000_u64 {
            assert!(seen.insert(stable_hash(&number)), "{number}");
        }
    }
}
