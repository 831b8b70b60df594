//! What a process notes for whoever asks how it is. Bounded, and apart from what it works with: it can be read while the
//! rest stands still.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use parking_lot::Mutex;
use streamz_bus::redis::{self, Evidence};
use streamz_protocol::{Millis, ProcessId};
use streamz_status as status;

use crate::{View, millis};

/// What is remembered of each kind.
const REMEMBERED: usize = 32;
/// Processes whose names are remembered; of the dead ones only as long as there is room.
const NAMES: usize = 1024;
/// Processes that are remembered as unheard.
const UNHEARD: usize = 256;
/// Evidence comes every second for as long as it holds, in milliseconds.
const EVIDENCE_HOLDS: u64 = 3_000;

/// The last so many, the newest first.
#[derive(Debug)]
pub struct Recent<T>(VecDeque<T>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Recent<T> {
    /// Notes one; the oldest goes if there are 32.
    pub fn note(&mut self, one: T) {
        self.0.truncate(REMEMBERED - 1);
        self.0.push_front(one);
    }

    /// The newest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }

    /// The newest first.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut()
    }
}

/// Notes of one process, over all its incarnations.
#[derive(Debug, Default)]
pub struct Diary {
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    /// When the renewal that succeeded last was sent, in this incarnation.
    renewed: Option<Millis>,
    names: BTreeMap<ProcessId, String>,
    /// Who had a lease when they were read last.
    live: BTreeSet<ProcessId>,
    unheard: BTreeMap<ProcessId, Silence>,
    expulsions: Recent<Expulsion>,
}

#[derive(Debug)]
struct Silence {
    since: Millis,
    last: Millis,
}

#[derive(Debug)]
struct Expulsion {
    at: Millis,
    id: ProcessId,
    cause: &'static str,
}

impl Diary {
    /// The lease was renewed; the question was sent then.
    pub fn renewed(&self, sent_at: Millis) {
        let mut notes = self.notes.lock();
        notes.renewed = notes.renewed.max(Some(sent_at));
    }

    /// The processes and their names were read.
    pub fn read(&self, view: &View) {
        let mut notes = self.notes.lock();
        if notes.names.len() + view.names.len() > NAMES {
            notes.names.clear();
        }
        notes.names.extend(view.names.iter().cloned());
        notes.live = view.names.iter().map(|(id, _)| *id).collect();
        let Notes { live, unheard, .. } = &mut *notes;
        unheard.retain(|id, _| live.contains(id));
    }

    /// Nobody receives what is sent to a process.
    pub fn silent(&self, evidence: Evidence, now: Millis) {
        let mut notes = self.notes.lock();
        if notes.unheard.len() < UNHEARD || notes.unheard.contains_key(&evidence.process) {
            notes.unheard.insert(evidence.process, Silence { since: now - evidence.silent, last: now });
        }
    }

    /// This process was evicted, and goes on as another one.
    pub fn expelled(&self, id: ProcessId, cause: &'static str, now: Millis) {
        let mut notes = self.notes.lock();
        notes.renewed = None;
        notes.unheard.clear();
        notes.expulsions.note(Expulsion { at: now, id, cause });
    }

    /// What a process is or was called.
    #[must_use]
    pub fn name(&self, id: ProcessId) -> Option<String> {
        self.notes.lock().names.get(&id).cloned()
    }

    /// Writes it down.
    pub fn describe(&self, status: &mut status::Status, now: Millis) {
        let notes = self.notes.lock();
        let ago = |at: Millis| millis(now.since(at));
        status.lease = Some(status::Lease { renewed_ms_ago: notes.renewed.map(ago) });
        // Those without a lease are told that they are gone; that nobody hears it is no news.
        let unheard = notes.unheard.iter().filter(|(id, _)| notes.live.contains(*id));
        let holds = unheard.filter(|(_, silence)| ago(silence.last) < EVIDENCE_HOLDS);
        let one = |(id, silence): (&ProcessId, &Silence)| status::Unheard {
            id: id.0.to_string(),
            for_ms: ago(silence.since),
        };
        status.unheard = holds.map(one).collect();
        let expulsion = |one: &Expulsion| status::Expulsion {
            ms_ago: ago(one.at),
            id: one.id.0.to_string(),
            cause: one.cause.to_owned(),
        };
        status.expulsions = notes.expulsions.iter().map(expulsion).collect();
    }
}

/// The instances of Redis, for a status.
#[must_use]
pub fn instances(statuses: &[redis::Status]) -> Vec<status::Instance> {
    let one = |instance: &redis::Status| status::Instance {
        instance: instance.instance.to_string(),
        health: match instance.health {
            redis::Health::Healthy => status::Health::Healthy,
            redis::Health::Lagging => status::Health::Lagging,
            redis::Health::Away => status::Health::Away,
        },
        silent_ms: millis(instance.silent),
        loopback_us: instance.lag.map(|lag| u64::try_from(lag.as_micros()).unwrap_or(u64::MAX)),
        home: instance.home,
        subscribed: instance.subscribed,
        version: instance.version.clone(),
        // The name of the instance is said beside it.
        problem: instance.problem.as_ref().map(|error| error.problem.to_string()),
        publishes: instance.publishes,
        failures: instance.failures,
    };
    statuses.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Millis {
        Millis(1_000_000 + seconds * 1_000)
    }

    fn view(ids: &[u64]) -> View {
        View {
            version: 0,
            rows: Vec::new(),
            gateways: Vec::new(),
            nodes: Vec::new(),
            staying: Vec::new(),
            names: ids.iter().map(|id| (ProcessId(*id), format!("n-{id}"))).collect(),
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_newest_comes_first() {
        let mut recent = Recent::default();
        (0..100).for_each(|number| recent.note(number));
        let kept: Vec<i32> = recent.iter().copied().collect();
        assert_eq!(kept, (68..100).rev().collect::<Vec<_>>());
    }

    #[test]
    fn evidence_that_does_not_come_again_is_over() {
        let diary = Diary::default();
        let unheard = |now| {
            let mut status = status::Status::new(status::Role::Gateway, "g", "0");
            diary.describe(&mut status, now);
            status.unheard
        };
        let evidence = Evidence { process: ProcessId(7), silent: Duration::from_secs(2) };
        diary.silent(evidence, at(10));
        assert_eq!(unheard(at(11)), [], "it has no lease");
        diary.read(&view(&[7]));
        diary.silent(evidence, at(10));
        assert_eq!(unheard(at(11)), [status::Unheard { id: "7".into(), for_ms: 3_000 }]);
        assert_eq!(unheard(at(13)), []);
        // Evicted, and told so for a while.
        diary.read(&view(&[8]));
        diary.silent(evidence, at(14));
        assert_eq!(unheard(at(14)), []);
    }

    #[test]
    fn a_new_incarnation_has_no_lease_yet() {
        let diary = Diary::default();
        let lease = |now| {
            let mut status = status::Status::new(status::Role::Node, "n", "0");
            diary.describe(&mut status, now);
            (status.lease.unwrap().renewed_ms_ago, status.expulsions.len())
        };
        assert_eq!(lease(at(0)), (None, 0));
        diary.renewed(at(1));
        // An answer that was under way for longer takes nothing away.
        diary.renewed(at(0));
        assert_eq!(lease(at(3)), (Some(2_000), 0));
        diary.expelled(ProcessId(1), "told so", at(4));
        assert_eq!(lease(at(4)), (None, 1));
    }
}
