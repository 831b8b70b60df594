//! From where accounts were signed in to: so that nobody can keep an owner out by using up the account's attempts.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};

use parking_lot::Mutex;
use streamz_auth::Email;

/// Pairs that are remembered; the oldest is forgotten. About 3 MiB if they are all there.
const KNOWN_MAX: usize = 100_000;

/// Pairs of account and network. What people typed is not kept, only a hash under a key of this process.
#[derive(Default)]
pub(crate) struct KnownClients {
    key: RandomState,
    pairs: Mutex<Pairs>,
}

#[derive(Default)]
struct Pairs {
    known: HashSet<u64>,
    oldest_first: VecDeque<u64>,
}

impl KnownClients {
    /// This account's password was right, from this address.
    pub(crate) fn remember(&self, email: &Email, address: IpAddr) {
        self.remember_at_most(KNOWN_MAX, email, address);
    }

    fn remember_at_most(&self, most: usize, email: &Email, address: IpAddr) {
        let pair = self.pair(email, address);
        let mut pairs = self.pairs.lock();
        if pairs.known.insert(pair) {
            pairs.oldest_first.push_back(pair);
            if pairs.oldest_first.len() > most
                && let Some(oldest) = pairs.oldest_first.pop_front()
            {
                pairs.known.remove(&oldest);
            }
        }
    }

    /// Whether it was.
    pub(crate) fn knows(&self, email: &Email, address: IpAddr) -> bool {
        self.pairs.lock().known.contains(&self.pair(email, address))
    }

    fn pair(&self, email: &Email, address: IpAddr) -> u64 {
        self.key.hash_one((email, network(address)))
    }
}

/// An IPv4 address, or the /64 that a customer has at least: whom limits count.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_known_by_its_network_and_the_oldest_is_forgotten() {
        let known = KnownClients::default();
        let email = |n: u32| Email::parse(&format!("{n}@example.org")).unwrap();
        let home: IpAddr = "2001:db8::1".parse().unwrap();
        known.remember_at_most(2, &email(1), home);
        assert!(known.knows(&email(1), "2001:db8::2".parse().unwrap()));
        assert!(!known.knows(&email(1), "2001:db8:0:1::1".parse().unwrap()));
        assert!(!known.knows(&email(2), home));
        for n in [2, 2, 3] {
            known.remember_at_most(2, &email(n), home);
        }
        let left: Vec<_> = (1..=3).filter(|n| known.knows(&email(*n), home)).collect();
        assert_eq!(left, [2, 3]);
    }
}
