//! How long to wait before the next attempt to connect.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use rand::RngExt;

/// The first wait is up to this.
const FIRST: Duration = Duration::from_millis(50);
/// Later ones up to this. Everybody is to be back well within [`Settings::restart_guard`](super::Settings).
const LONGEST: Duration = Duration::from_secs(1);
/// Never sooner than this, whatever the dice say.
const FLOOR: Duration = Duration::from_millis(5);
/// A connection that lasted this long was a good one: the next waits are short again.
const GOOD: Duration = Duration::from_secs(2);

/// Exponential, with full jitter: when an instance comes back, its clients come over a second, not at once. It never ends.
pub(crate) struct Backoff {
    delays: ExponentialBackoff,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { delays: delays() }
    }

    /// The wait before the next attempt.
    pub(crate) fn next(&mut self) -> Duration {
        let longest = self.delays.next().unwrap_or(LONGEST);
        FLOOR.max(rand::rng().random_range(Duration::ZERO..=longest))
    }

    /// A connection has ended that lasted so long.
    pub(crate) fn lasted(&mut self, life: Duration) {
        if life >= GOOD {
            self.delays = delays();
        }
    }
}

fn delays() -> ExponentialBackoff {
    ExponentialBuilder::new().with_min_delay(FIRST).with_max_delay(LONGEST).without_max_times().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_to_a_second_and_never_ends_nor_spins() {
        let mut backoff = Backoff::new();
        assert!((0..2).all(|_| backoff.next() <= Duration::from_millis(100)));
        let waits: Vec<Duration> = (0..10_000).map(|_| backoff.next()).collect();
        assert!(waits.iter().all(|wait| (FLOOR..=LONGEST).contains(wait)));
        let mean = waits.iter().sum::<Duration>() / 10_000;
        assert!((400..600).contains(&mean.as_millis()), "{mean:?}: spread over the whole second");
    }

    #[test]
    fn only_a_connection_that_lasted_makes_the_waits_short_again() {
        let mut backoff = Backoff::new();
        for _ in 0..20 {
            backoff.next();
        }
        backoff.lasted(GOOD / 2);
        assert!((0..20).map(|_| backoff.next()).any(|wait| wait > Duration::from_millis(100)));
        backoff.lasted(GOOD);
        assert!(backoff.next() <= FIRST);
    }
}
