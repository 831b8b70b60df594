//! The one place where the time comes from.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use streamz_protocol::Millis;
use tokio::time::Instant;

/// Tells the time to what takes it as an argument. Cheap to copy; made once per process, so that everybody
/// agrees.
///
/// [`Clock::now`] is the wall clock as it was at the start plus the time that has passed since: it never goes
/// back, whatever an administrator or NTP does to the wall clock, and it stands still while a laptop
/// sleeps, as the timers of the process do. What another machine wrote (a token's expiry) is compared with
/// [`Clock::utc`] instead.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    epoch: Duration,
}

impl Clock {
    /// A clock that starts from the wall clock's time.
    #[must_use]
    pub fn start() -> Self {
        // A wall clock before 1970 is a machine without one; counting from zero still orders everything.
        let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), epoch }
    }

    /// Milliseconds since the Unix epoch, never going back.
    #[must_use]
    pub fn now(&self) -> Millis {
        Millis(0) + (self.epoch + self.started.elapsed())
    }

    /// The same as [`Clock::now`], for a moment of tokio's clock.
    #[must_use]
    pub fn at(&self, moment: Instant) -> Millis {
        Millis(0) + (self.epoch + moment.saturating_duration_since(self.started))
    }

    /// The moment of tokio's clock at which [`Clock::now`] will be `time`: what a timer sleeps until. A time
    /// before the start of the clock is its start.
    #[must_use]
    pub fn instant(&self, time: Millis) -> Instant {
        let started = Millis(0) + self.epoch;
        let wait = Duration::from_millis(time.0).saturating_sub(self.epoch);
        if time <= started { self.started } else { self.started.checked_add(wait).unwrap_or(self.started) }
    }

    /// The wall clock, which may jump.
    #[must_use]
    pub fn utc(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_at_the_wall_clock_and_never_goes_back() {
        let before = Utc::now().timestamp_millis();
        let clock = Clock::start();
        let first = clock.now();
        let after = Utc::now().timestamp_millis();
        assert!((before..=after).contains(&i64::try_from(first.0).unwrap()));
        let mut last = first;
        for _ in 0..10_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn moments_and_times_agree() {
        let clock = Clock::start();
        let time = clock.now() + Duration::from_secs(60);
        let moment = clock.instant(time);
        // The clock's epoch has a part below a millisecond.
        assert!(clock.at(moment).0.abs_diff(time.0) <= 1);
        assert_eq!(clock.instant(Millis(0)), clock.started);
    }
}
