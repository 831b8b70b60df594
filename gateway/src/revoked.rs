//! The sign-ins that were ended, for as long as an access token of theirs could still be good.
//!
//! An access token is checked without asking anyone, so its end by logout has to be known here. A family that was
//! revoked longer ago than an access token lives is not needed: all its tokens have lapsed by themselves.
//!
//! The set is bounded. When it is full, the family that was revoked first is forgotten and the **horizon** moves to
//! that moment: every token that was issued before it counts as expired. A forgotten family's tokens are among
//! those, so none of them is ever good again; the others' owners refresh theirs and go on.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::{Mutex, RwLock};
use streamz_store::{RevokedFamily, Store, StoreError};
use uuid::Uuid;

/// The most families that are remembered by default: about 10 MiB if they are all there.
pub const REVOKED_MAX: NonZeroUsize = NonZeroUsize::new(100_000).expect("not zero");

/// How many families are read from the store at once.
const PAGE: u32 = 1000;

/// A later [`RevokedFamilies::sync`] reads again what was revoked so shortly before the last one: another process
/// may have written it late,
const OVERLAP: TimeDelta = TimeDelta::seconds(10);

/// or with a clock that is behind, which is looked for less often.
const LONG_OVERLAP: TimeDelta = TimeDelta::seconds(120);
const LONG_EVERY: TimeDelta = TimeDelta::seconds(30);

/// What is known of a token's sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing speaks against it.
    Good,
    /// It was ended.
    Revoked,
    /// The token is from before the horizon: refresh it.
    Outdated,
}

/// The set. Cheap to clone: all clones are the same set.
#[derive(Clone)]
pub struct RevokedFamilies {
    inner: Arc<Inner>,
}

struct Inner {
    keep: TimeDelta,
    most: usize,
    set: RwLock<Set>,
    /// Up to when the store was read, at all and with the long overlap.
    synced: Mutex<Option<Synced>>,
}

#[derive(Clone, Copy)]
struct Synced {
    last: DateTime<Utc>,
    long: DateTime<Utc>,
}

#[derive(Default)]
struct Set {
    since: HashMap<Uuid, DateTime<Utc>>,
    by_time: BTreeSet<(DateTime<Utc>, Uuid)>,
    horizon: Option<DateTime<Utc>>,
}

impl RevokedFamilies {
    /// An empty set for access tokens that are good for `token_life` (their leeway included), of at most `most`
    /// families.
    #[must_use]
    pub fn new(token_life: Duration, most: NonZeroUsize) -> Self {
        // A second more: tokens tell their times in whole seconds.
        let keep = TimeDelta::from_std(token_life.saturating_add(Duration::from_secs(1)));
        Self {
            inner: Arc::new(Inner {
                keep: keep.unwrap_or(TimeDelta::MAX),
                most: most.get(),
                set: RwLock::default(),
                synced: Mutex::new(None),
            }),
        }
    }

    /// Learns from the store what was revoked: at the start before anybody is served, and again from time to time
    /// where other processes revoke too. Returns how many were read.
    ///
    /// # Errors
    /// [`StoreError`]; what was read before it is kept, and the next call reads it again.
    pub async fn sync(&self, store: &Store, now: DateTime<Utc>) -> Result<usize, StoreError> {
        self.read(store, now).await.map(|(read, _)| read)
    }

    /// The same; returns the families that were not known.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    pub async fn sync_new(&self, store: &Store, now: DateTime<Utc>) -> Result<Vec<Uuid>, StoreError> {
        self.read(store, now).await.map(|(_, new)| new)
    }

    async fn read(&self, store: &Store, now: DateTime<Utc>) -> Result<(usize, Vec<Uuid>), StoreError> {
        let all = now.checked_sub_signed(self.inner.keep).unwrap_or(DateTime::UNIX_EPOCH);
        let synced = *self.inner.synced.lock();
        let long = synced.is_none_or(|synced| now - synced.long >= LONG_EVERY);
        let since = synced.map_or(all, |synced| {
            let overlap = if long { synced.long - LONG_OVERLAP } else { synced.last - OVERLAP };
            overlap.max(all)
        });
        let (mut read, mut new) = (0, Vec::new());
        let mut last: Option<RevokedFamily> = None;
        loop {
            let page = store.revoked_since(since, last.as_ref(), PAGE).await?;
            for family in &page {
                if self.insert(family.family_id, family.revoked_at, now) {
                    new.push(family.family_id);
                }
            }
            read += page.len();
            match page.last() {
                Some(family) if page.len() >= PAGE as usize => last = Some(*family),
                _ => break,
            }
        }
        let long = synced.filter(|_| !long).map_or(now, |synced| synced.long);
        *self.inner.synced.lock() = Some(Synced { last: now, long });
        Ok((read, new))
    }

    /// Takes note of a family that was revoked at `at`, and forgets those that do not matter any more at `now`. Says
    /// whether the family was not known.
    pub fn insert(&self, family: Uuid, at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        let Inner { keep, most, set, .. } = &*self.inner;
        let mut set = set.write();
        // What is known keeps the later time: tokens were issued up to then.
        let known = set.since.get(&family).copied();
        if let Some(known) = known {
            if known >= at {
                return false;
            }
            set.by_time.remove(&(known, family));
        }
        set.since.insert(family, at);
        set.by_time.insert((at, family));
        while let Some(&(first, family)) = set.by_time.first() {
            let lapsed = now.signed_duration_since(first) > *keep;
            if !lapsed && set.by_time.len() <= *most {
                break;
            }
            set.by_time.pop_first();
            set.since.remove(&family);
            if !lapsed {
                set.horizon = set.horizon.max(Some(first));
            }
        }
        known.is_none()
    }

    /// What is known of a token of `family` that was issued at `issued_at`.
    #[must_use]
    pub fn standing(&self, family: Uuid, issued_at: DateTime<Utc>) -> Standing {
        let set = self.inner.set.read();
        if set.since.contains_key(&family) {
            Standing::Revoked
        } else if set.horizon.is_some_and(|horizon| issued_at <= horizon) {
            Standing::Outdated
        } else {
            Standing::Good
        }
    }

    /// How many families are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.set.read().since.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Debug for RevokedFamilies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RevokedFamilies").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn set(most: usize) -> RevokedFamilies {
        RevokedFamilies::new(Duration::from_secs(900), NonZeroUsize::new(most).unwrap())
    }

    #[test]
    fn a_family_is_forgotten_when_its_last_token_has_lapsed() {
        let revoked = set(10);
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        revoked.insert(one, at(0), at(0));
        assert_eq!(revoked.standing(one, at(-5)), Standing::Revoked);
        assert_eq!(revoked.standing(other, at(-5)), Standing::Good);
        revoked.insert(other, at(901), at(901));
        assert_eq!(revoked.standing(one, at(0)), Standing::Revoked, "until the second after");
        revoked.insert(other, at(902), at(902));
        assert_eq!(revoked.len(), 1);
        assert_eq!(revoked.standing(one, at(0)), Standing::Good, "its tokens have lapsed by themselves");
    }

    #[test]
    fn a_full_set_forgets_the_first_and_lets_none_of_its_tokens_through() {
        let revoked = set(2);
        for n in [3, 1, 2] {
            revoked.insert(Uuid::from_u128(n), at(i64::try_from(n).unwrap()), at(10));
        }
        assert_eq!(revoked.len(), 2);
        let first = Uuid::from_u128(1);
        assert_eq!(revoked.standing(first, at(0)), Standing::Outdated);
        assert_eq!(revoked.standing(first, at(1)), Standing::Outdated);
        assert_eq!(revoked.standing(Uuid::from_u128(2), at(0)), Standing::Revoked);
        let good = Uuid::from_u128(9);
        assert_eq!(revoked.standing(good, at(1)), Standing::Outdated);
        assert_eq!(revoked.standing(good, at(2)), Standing::Good);
    }

    #[test]
    fn hearing_of_it_twice_is_hearing_of_it_once() {
        let revoked = set(2);
        let family = Uuid::from_u128(1);
        for time in [5, 5, 3] {
            revoked.insert(family, at(time), at(6));
        }
        assert_eq!(revoked.len(), 1);
    }
}
