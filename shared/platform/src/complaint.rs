//! Saying that something fails, when it begins, now and then, and when it is over: not each time that it is tried.

use std::time::{Duration, Instant};

/// Keeps back what was said a moment ago.
#[derive(Clone, Copy, Debug)]
pub struct Complaint {
    every: Duration,
    said: Option<Instant>,
    kept_back: u64,
}

impl Complaint {
    /// One that is repeated after `every` at the earliest.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self { every, said: None, kept_back: 0 }
    }

    /// It has failed. `Some`: say so, and that it was kept back so many times since it was said last.
    pub fn failed(&mut self, now: Instant) -> Option<u64> {
        if self.said.is_some_and(|said| now.saturating_duration_since(said) < self.every) {
            self.kept_back += 1;
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.kept_back))
    }

    /// It works. `true`: it had failed; say that this is over.
    pub fn works(&mut self) -> bool {
        self.kept_back = 0;
        self.said.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_at_first_now_and_then_and_when_it_is_over() {
        let began = Instant::now();
        let at = |millis| began + Duration::from_millis(millis);
        let mut complaint = Complaint::new(Duration::from_secs(10));
        assert!(!complaint.works(), "nothing has failed yet");
        assert_eq!(complaint.failed(at(0)), Some(0));
        for millis in (100..10_000).step_by(100) {
            assert_eq!(complaint.failed(at(millis)), None);
        }
        assert_eq!(complaint.failed(at(10_000)), Some(99));
        assert_eq!(complaint.failed(at(10_100)), None);
        assert!(complaint.works());
        assert!(!complaint.works());
        assert_eq!(complaint.failed(at(10_200)), Some(0), "another time is another matter");
    }
}
