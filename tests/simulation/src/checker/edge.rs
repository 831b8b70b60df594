//! Promises 4 and 5 as devices alone see them, when hubs and gateways are real processes that nobody looks into.
//!
//! Of a history this demands that
//! * **`seq` rises** in every session, and skips no more numbers than messages to that device may have expired, and than
//!   outcomes its gateway had told it on its own (without a number, after 30 s in vain); but for the leap of a hub that was rebuilt from an old copy, when a gateway and a node were lost together;
//! * **resumption**: who comes back within the resume window goes on with the session, but for that same case;
//! * **a clean slate is clean**: `resumed: false` comes with a session that nobody had before;
//! * **no early word**: who hears that a device is offline has not been told so earlier than the grace after that
//!   device lost its socket, or after trouble began at its gateway;
//! * **truth at rest** is that of `presence.rs`, and no message is left without an outcome.

use std::collections::{BTreeMap, BTreeSet};

use streamz_protocol::bus::Resume;
use streamz_protocol::{Millis, Reason, SessionId};

use super::Violation;
use crate::history::{DeviceNo, Entry, History, Outcome, PipeNo, Said, What};
use crate::observer::Spell;

/// Numbers jump further than this only after a recovery from an old copy.
const LEAP: u64 = 1 << 19;

/// When a device could be reached by its gateway last.
#[derive(Clone, Copy, Default)]
struct Presence {
    attached: bool,
    /// Its socket was lost, or its gateway was troubled, the earlier of the two.
    lost: Option<Millis>,
}

#[derive(Default)]
struct Check {
    asked: BTreeMap<PipeNo, Resume>,
    closed: BTreeMap<DeviceNo, Millis>,
    pipes: BTreeMap<PipeNo, DeviceNo>,
    current: BTreeMap<DeviceNo, PipeNo>,
    began: BTreeSet<SessionId>,
    presence: BTreeMap<DeviceNo, Presence>,
    last: BTreeMap<SessionId, u64>,
    missing: BTreeMap<SessionId, (DeviceNo, u64)>,
}

pub(super) fn check(history: &History, spells: &[Spell], found: &mut Vec<Violation>) {
    let mut check = Check::default();
    for entry in &history.entries {
        if let Some((promise, sentence)) = check.see(history, spells, entry) {
            found.push(Violation { promise, sentence, at: entry.at });
        }
    }
    let expired = may_have_expired(history);
    for (session, (device, missing)) in &check.missing {
        let excused = expired.get(device).copied().unwrap_or_default();
        if *missing > excused {
            let sentence = format!(
                "session {session} of device {device} skips {missing} numbers, and {excused} messages to it may have expired"
            );
            found.push(Violation { promise: "P4", sentence, at: history.over });
        }
    }
    for (device, open) in history.rested.open.iter().enumerate() {
        if let Some(id) = open.first() {
            let sentence = format!("at rest message {id} of device {device} has no outcome");
            found.push(Violation { promise: "P2", sentence, at: history.over });
        }
    }
}

/// For each device the messages to it whose senders did not hear that they were delivered, and the outcomes that it
/// heard without a number.
fn may_have_expired(history: &History) -> BTreeMap<DeviceNo, u64> {
    let mut certain = BTreeSet::new();
    for Entry { what, .. } in &history.entries {
        if let What::Heard { device, said: Said::Outcome { id, outcome }, .. } = what
            && !matches!(outcome, Outcome::NotDelivered { reason: Reason::Expired, .. })
        {
            certain.insert((*device, id));
        }
    }
    let mut counts = BTreeMap::new();
    for Entry { what, .. } in &history.entries {
        if let What::Heard { device, seq: None, said: Said::Outcome { .. }, .. } = what {
            *counts.entry(*device).or_default() += 1;
        }
    }
    for written in &history.written {
        let (Some(id), Some(to)) = (&written.id, &written.to) else { continue };
        if certain.contains(&(written.device, id)) {
            continue;
        }
        let user = history.devices[written.device].user;
        let device = history.devices.iter().position(|other| other.user == user && other.id == *to);
        *counts.entry(device.unwrap_or(usize::MAX)).or_default() += 1;
    }
    counts
}

impl Check {
    fn see(&mut self, history: &History, spells: &[Spell], entry: &Entry) -> Option<(&'static str, String)> {
        let at = entry.at;
        match &entry.what {
            What::Connects { device, pipe, resume } => {
                self.pipes.insert(*pipe, *device);
                if let Some(resume) = resume {
                    self.asked.insert(*pipe, *resume);
                }
            }
            What::Welcomed { device, pipe, session, resumed, .. } => {
                self.current.insert(*device, *pipe);
                self.presence.insert(*device, Presence { attached: true, lost: None });
                return self.welcomed(history, spells, at, *device, *pipe, *session, *resumed);
            }
            What::Heard { device, session, seq: Some(seq), said, .. } => {
                let before = self.last.insert(*session, *seq).unwrap_or_default();
                if *seq <= before {
                    return Some(("P4", format!("session {session} heard {seq} after {before}")));
                }
                let leap = seq - before > LEAP;
                if leap && !fresh_within(spells, at) {
                    return Some(("P4", format!("session {session} leapt from {before} to {seq}")));
                }
                let skipped = if leap { 0 } else { seq - before - 1 };
                self.missing.entry(*session).or_insert((*device, 0)).1 += skipped;
                if let Said::Offline(other) = said {
                    return self.early_word(history, at, *device, other);
                }
            }
            What::Closed { device, pipe, .. } if self.current.get(device) == Some(pipe) => {
                self.closed.insert(*device, at);
                let presence = self.presence.entry(*device).or_default();
                presence.attached = false;
                presence.lost.get_or_insert(at);
            }
            What::Troubled { pipe } => {
                if let Some(device) =
                    self.pipes.get(pipe).filter(|device| self.current.get(device) == Some(pipe))
                {
                    self.presence.entry(*device).or_default().lost.get_or_insert(at);
                }
            }
            _ => {}
        }
        None
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one event")]
    fn welcomed(
        &mut self,
        history: &History,
        spells: &[Spell],
        at: Millis,
        device: DeviceNo,
        pipe: PipeNo,
        session: SessionId,
        resumed: bool,
    ) -> Option<(&'static str, String)> {
        let asked = self.asked.get(&pipe);
        if resumed {
            let same = asked.is_some_and(|asked| asked.session == session);
            return (!same)
                .then(|| ("P4", format!("device {device} resumed {session}, which it had not asked for")));
        }
        if !self.began.insert(session) {
            return Some((
                "P4",
                format!("device {device} got session {session} as new, which was there before"),
            ));
        }
        let asked = asked?;
        let closed = self.closed.get(&device).copied().unwrap_or(at);
        let late = closed + history.limits.resume_window <= at + history.transit;
        (!late && !fresh_within(spells, at)).then(|| {
            (
                "P4",
                format!(
                    "device {device} came back in time and could not go on with session {}",
                    asked.session
                ),
            )
        })
    }

    fn early_word(
        &self,
        history: &History,
        at: Millis,
        hears: DeviceNo,
        gone: &streamz_protocol::DeviceId,
    ) -> Option<(&'static str, String)> {
        let user = history.devices[hears].user;
        let device = history.devices.iter().position(|other| other.user == user && other.id == *gone)?;
        let presence = self.presence.get(&device).copied().unwrap_or_default();
        let Some(lost) = presence.lost else {
            // It may just have come back.
            return presence
                .attached
                .then(|| ("P5", format!("device {device} was called offline while it is connected")));
        };
        // The server may have noticed before the device did.
        let noticed = std::time::Duration::from_millis(500);
        (lost + history.limits.offline_grace > at + noticed).then(|| {
            (
                "P5",
                format!(
                    "device {device} was called offline {} ms after it was lost",
                    at.since(lost).as_millis()
                ),
            )
        })
    }
}

/// Whether sessions may begin anew at that moment.
fn fresh_within(spells: &[Spell], at: Millis) -> bool {
    spells.iter().any(|spell| spell.fresh && spell.from <= at && at <= spell.to)
}
