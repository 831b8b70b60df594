//! When to try again: full jitter, so that clients that were lost together do not come back together.

use std::time::Duration;

use rand::{Rng, RngExt};

/// The first retry comes at once, spread over this much.
const FIRST: Duration = Duration::from_millis(50);

/// The first ceiling after that, and the last, unless the builder says otherwise.
pub(crate) const BASE: Duration = Duration::from_millis(250);
pub(crate) const CAP: Duration = Duration::from_secs(15);

/// Exponential back-off with full jitter: each wait is drawn evenly from zero to a ceiling that doubles.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

/// What a [`Client`](crate::Client) does unless it was told otherwise.
impl Default for Backoff {
    fn default() -> Self {
        Self::new(BASE, CAP)
    }
}

impl Backoff {
    /// A ceiling that starts at `base` and ends at `cap`.
    #[must_use]
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, failures: 0 }
    }

    /// The wait before the next attempt.
    pub fn next(&mut self, rng: &mut impl Rng) -> Duration {
        let ceiling = match self.failures {
            0 => FIRST.min(self.cap),
            n => self.base.saturating_mul(1u32.checked_shl(n - 1).unwrap_or(u32::MAX)).min(self.cap),
        };
        self.failures = self.failures.saturating_add(1);
        rng.random_range(Duration::ZERO..=ceiling)
    }

    /// The last connection was good: the next retry is a first one.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The server asked for patience: the next retry is not a first one.
    pub fn skip_first(&mut self) {
        self.failures = self.failures.max(1);
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_cap_and_the_wait_fills_it() {
        let mut most = [Duration::ZERO; 40];
        for seed in 0..500 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let mut backoff = Backoff::new(BASE, CAP);
            for most in &mut most {
                *most = (*most).max(backoff.next(&mut rng));
            }
        }
        for (failures, most) in (0u32..).zip(most) {
            let ceiling = match failures {
                0 => FIRST,
                n => BASE.saturating_mul(2u32.saturating_pow(n - 1)).min(CAP),
            };
            assert!(most <= ceiling, "{failures}: {most:?}");
            assert!(most >= ceiling.mul_f64(0.9), "{failures}: {most:?}");
        }
    }

    #[test]
    fn a_good_connection_resets_it_and_patience_skips_the_first() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut backoff = Backoff::new(BASE, CAP);
        for _ in 0..10 {
            backoff.next(&mut rng);
        }
        backoff.reset();
        assert!(backoff.next(&mut rng) <= FIRST);
        let waits = (0..200).map(|seed| {
            let mut patient = Backoff::new(BASE, CAP);
            patient.skip_first();
            patient.next(&mut SmallRng::seed_from_u64(seed))
        });
        assert!(waits.max().unwrap() > FIRST);
    }
}
