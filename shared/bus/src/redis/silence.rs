//! When nobody hearing is evidence of a death.

use std::time::Duration;

use tokio::time::Instant;

use super::Settings;

/// Answers of zero receivers that it takes at least.
const TRIES: u32 = 3;

/// What is known of an instance at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Witness {
    /// Since when the own loopback has come back without a gap; `None` if it does not.
    pub(crate) well_since: Option<Instant>,
    /// When the server was started, at the latest.
    pub(crate) started: Option<Instant>,
}

/// Publishing to one process on one instance has reached nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Silence {
    /// Without a break since then.
    pub(crate) since: Instant,
    tries: u32,
}

impl Silence {
    /// `PUBLISH` has answered `receivers`.
    pub(crate) fn note(silence: &mut Option<Self>, receivers: u64, witness: Witness, now: Instant) {
        if receivers > 0 {
            *silence = None;
            return;
        }
        let whole = |silence: &Self| witness.well_since.is_some_and(|well| well <= silence.since);
        match silence {
            // An instance that was unwell in between may have lost its subscribers as well: begin anew.
            Some(known) if whole(known) => known.tries = known.tries.saturating_add(1),
            _ => *silence = Some(Self { since: now, tries: 1 }),
        }
    }

    /// Whether this instance is sure that nobody hears.
    fn is_evidence(&self, witness: Witness, settings: &Settings, now: Instant) -> bool {
        let lasted = now.saturating_duration_since(self.since) >= settings.silence;
        let well = witness.well_since.is_some_and(|well| well <= self.since);
        // After a restart of the server its clients are on their way back.
        let settled = witness
            .started
            .is_some_and(|started| now.saturating_duration_since(started) >= settings.restart_guard);
        self.tries >= TRIES && lasted && well && settled
    }
}

/// For how long nobody has heard on any of a process's instances; `None` unless each of them is sure.
pub(crate) fn evidence(
    homes: &[(Option<Silence>, Witness)],
    settings: &Settings,
    now: Instant,
) -> Option<Duration> {
    let mut latest = None;
    for (silence, witness) in homes {
        let silence = silence.as_ref().filter(|silence| silence.is_evidence(*witness, settings, now))?;
        latest = latest.max(Some(silence.since));
    }
    latest.map(|since| now.saturating_duration_since(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    struct Case {
        start: Instant,
        witness: Witness,
        silence: Option<Silence>,
        settings: Settings,
    }

    impl Case {
        fn new() -> Self {
            let start = Instant::now() + Duration::from_secs(3600);
            let long_ago = Some(start - Duration::from_secs(60));
            let settings = Settings::new(vec![], "test", streamz_protocol::ProcessId(1));
            Self {
                start,
                witness: Witness { well_since: long_ago, started: long_ago },
                silence: None,
                settings,
            }
        }

        fn zero(&mut self, at: u32) -> &mut Self {
            Silence::note(&mut self.silence, 0, self.witness, self.start + MS * at);
            self
        }

        fn evidence(&self, at: u32) -> Option<Duration> {
            evidence(&[(self.silence, self.witness)], &self.settings, self.start + MS * at)
        }
    }

    #[test]
    fn zero_that_lasts_is_evidence() {
        let mut case = Case::new();
        case.zero(0).zero(100).zero(200);
        assert_eq!(case.evidence(299), None);
        assert_eq!(case.evidence(300), Some(300 * MS));
    }

    #[test]
    fn a_single_zero_is_none_however_old() {
        let mut case = Case::new();
        case.zero(0).zero(5000);
        assert_eq!(case.evidence(9000), None);
    }

    #[test]
    fn a_receiver_ends_it() {
        let mut case = Case::new();
        case.zero(0).zero(100).zero(200);
        Silence::note(&mut case.silence, 1, case.witness, case.start + 250 * MS);
        assert_eq!(case.evidence(400), None);
        case.zero(400).zero(500).zero(600);
        assert_eq!(case.evidence(699), None);
        assert_eq!(case.evidence(700), Some(300 * MS));
    }

    #[test]
    fn an_instance_that_is_or_was_unwell_is_no_witness() {
        let mut case = Case::new();
        case.zero(0).zero(100).zero(200);
        case.witness.well_since = None;
        assert_eq!(case.evidence(400), None);
        // Well again, since a moment within the silence.
        case.witness.well_since = Some(case.start + 150 * MS);
        assert_eq!(case.evidence(400), None);
        case.zero(400).zero(500).zero(600);
        assert_eq!(case.evidence(650), None, "counted from 400");
        assert_eq!(case.evidence(700), Some(300 * MS));
    }

    #[test]
    fn an_instance_that_was_just_started_is_no_witness() {
        let mut case = Case::new();
        case.witness.started = Some(case.start - 4000 * MS);
        case.zero(0).zero(100).zero(200);
        assert_eq!(case.evidence(999), None);
        assert_eq!(case.evidence(1000), Some(1000 * MS));
        case.witness.started = None;
        assert_eq!(case.evidence(9000), None);
    }

    #[test]
    fn all_instances_must_be_sure() {
        let mut case = Case::new();
        case.zero(0).zero(100).zero(200);
        let sure = (case.silence, case.witness);
        let at = case.start + 400 * MS;
        assert_eq!(evidence(&[sure, (None, case.witness)], &case.settings, at), None);
        assert_eq!(evidence(&[sure, sure], &case.settings, at), Some(400 * MS));
        assert_eq!(evidence(&[], &case.settings, at), None);
    }
}
