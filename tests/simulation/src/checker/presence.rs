//! **Promise 5, presence converges.** Within 5 s of the moment a change is detected (or an outage heals), all
//! devices of a user agree; a device that loses its socket is not announced offline until 10 s passed without it (a
//! clean close: at once); a crashed node or gateway causes no flapping.
//!
//! Of a history this demands that
//! * **no early word**: when a hub says that a device is offline, no gateway holds a live session of that device,
//!   and its last one was closed cleanly or ended, or has been gone for 10 s;
//! * **agreement**: 5 s after a device came (or was gone for good: after a clean close, after 10 s without it),
//!   every device on a connection that holds shows it so, unless its hub was in trouble, and then 5 s after that
//!   (or 15 s for one that went: the hub that follows may not know how, and gives it 10 s to come back);
//! * **truth at rest**: in the end every connected device shows exactly the connected devices, and so does the
//!   store.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use streamz_protocol::bus::Class;
use streamz_protocol::{DeviceId, Millis};

use super::Violation;
use super::timeline::{Span, Timeline};
use crate::history::{DeviceNo, Entry, History, Parted, Said, What};

/// How long devices may disagree.
const CONVERGES: Duration = Duration::from_secs(5);

pub(super) fn check(history: &History, found: &mut Vec<Violation>) {
    let timeline = Timeline::of(history);
    no_early_word(history, &timeline, found);
    agreement(history, &timeline, found);
    truth_at_rest(history, found);
}

fn number(history: &History, user: usize, id: &DeviceId) -> Option<DeviceNo> {
    history.devices.iter().position(|device| device.user == user && device.id == *id)
}

fn no_early_word(history: &History, timeline: &Timeline, found: &mut Vec<Violation>) {
    // When a device was sent away: from then on it may be called offline at once, until it is back.
    let mut dismissed: BTreeMap<DeviceNo, Vec<Millis>> = BTreeMap::new();
    for Entry { at, what } in &history.entries {
        match what {
            What::Removed { device } | What::Revoked { device } => {
                dismissed.entry(*device).or_default().push(*at);
            }
            What::Numbered {
                user,
                class: Class::Presence { device, online: false },
                replayed: false,
                said,
                ..
            } => {
                let Some(device) = number(history, *user, device) else { continue };
                let dismissed = dismissed.get(&device).map_or(&[][..], Vec::as_slice);
                if let Some(early) = early(history, timeline, device, *said, dismissed) {
                    let sentence = format!("device {device} was called offline {early}");
                    found.push(Violation { promise: "P5", sentence, at: *at });
                }
            }
            _ => {}
        }
    }
}

/// Why it was too early to say at that moment that a device is gone.
fn early(
    history: &History,
    timeline: &Timeline,
    device: DeviceNo,
    said: Millis,
    dismissed: &[Millis],
) -> Option<String> {
    // The session before the last one may not have heard yet that it was replaced.
    let before = timeline.attached.iter().filter(|span| span.device == device && span.from < said);
    let last = before.max_by_key(|span| span.from)?;
    if dismissed.iter().any(|at| (last.from..=said).contains(at)) {
        return None;
    }
    let lost = matches!(last.how, Some(Parted::Lost | Parted::Slow | Parted::Crashed));
    if said < last.to {
        Some("while it is connected".to_owned())
    } else if lost && last.to + history.limits.offline_grace > said {
        Some(format!("{} ms after it lost its socket", said.since(last.to).as_millis()))
    } else {
        None
    }
}

/// A change that all are to see.
struct Change {
    device: DeviceNo,
    online: bool,
    /// From when it counts.
    since: Millis,
    /// Until when it lasts.
    until: Millis,
    grace: Duration,
}

fn changes(history: &History, timeline: &Timeline) -> Vec<Change> {
    let mut changes = Vec::new();
    let missed = history.entries.iter().filter(|entry| matches!(entry.what, What::GatewayMissed { .. }));
    let missed: Vec<Millis> = missed.map(|entry| entry.at).collect();
    for device in 0..history.devices.len() {
        let mut spans: Vec<&Span> = timeline.attached.iter().filter(|span| span.device == device).collect();
        spans.sort_by_key(|span| span.from);
        for (at, span) in spans.iter().enumerate() {
            changes.push(Change {
                device,
                online: true,
                since: span.from,
                until: span.to,
                grace: Duration::ZERO,
            });
            let again = spans.get(at + 1).map_or(super::timeline::NEVER, |next| next.from);
            if spans.iter().any(|other| other.from < span.to && span.to < other.to) {
                continue;
            }
            let grace = history.limits.offline_grace;
            let (since, grace) = match span.how {
                Some(Parted::Clean) => (span.to, Duration::ZERO),
                Some(Parted::Lost | Parted::Slow) => (span.to, grace),
                Some(Parted::Crashed) => {
                    let detected = missed.iter().find(|at| **at >= span.to);
                    (detected.copied().unwrap_or(super::timeline::NEVER), grace)
                }
                Some(Parted::Ended) | None => continue,
            };
            changes.push(Change { device, online: false, since, until: again, grace });
        }
    }
    changes
}

fn agreement(history: &History, timeline: &Timeline, found: &mut Vec<Violation>) {
    // Each change is looked at once, when all should have seen it.
    let mut due: Vec<(Millis, Change)> = Vec::new();
    for change in changes(history, timeline) {
        if change.since == super::timeline::NEVER {
            continue;
        }
        let user = history.devices[change.device].user;
        // A hub that follows another may not know how a device went, and gives it its grace.
        let again = if change.online { Duration::ZERO } else { history.limits.offline_grace };
        let wait = again + CONVERGES + history.transit;
        let at = change.since + change.grace + CONVERGES + history.transit;
        let at = timeline.calm_after(user, change.since, at, wait);
        // A device that is on its way back at that moment is between two states.
        if at + history.transit < change.until && at < history.over {
            due.push((at, change));
        }
    }
    due.sort_by_key(|(at, change)| (*at, change.device));
    let mut due = due.into_iter().peekable();
    let mut views: Vec<BTreeSet<DeviceId>> = vec![BTreeSet::new(); history.devices.len()];
    let mut attempts: Vec<Vec<Millis>> = vec![Vec::new(); history.devices.len()];
    let mut dismissed: BTreeMap<DeviceNo, Millis> = BTreeMap::new();
    for Entry { at, what } in &history.entries {
        while let Some((when, change)) = due.next_if(|(when, _)| when < at) {
            // Attempts to connect make a device appear even if nothing comes of them.
            let meanwhile =
                attempts[change.device].iter().any(|at| *at + Duration::from_secs(30) > change.since);
            let removed =
                dismissed.get(&change.device).is_some_and(|at| *at + Duration::from_secs(30) > change.since);
            if removed || (!change.online && meanwhile) {
                continue;
            }
            compare(history, timeline, &views, when, &change, found);
        }
        match what {
            What::Connects { device, .. } => attempts[*device].push(*at),
            What::Removed { device } | What::Revoked { device } => {
                dismissed.insert(*device, *at);
            }
            What::Welcomed { device, resumed: false, online, .. } => {
                views[*device] = online.iter().cloned().collect();
            }
            What::Heard { device, said, .. } => match said {
                Said::Online(other) => {
                    views[*device].insert(other.clone());
                }
                Said::Offline(other) | Said::Removed(other) => {
                    views[*device].remove(other);
                }
                _ => {}
            },
            _ => {}
        }
    }
}

fn compare(
    history: &History,
    timeline: &Timeline,
    views: &[BTreeSet<DeviceId>],
    when: Millis,
    change: &Change,
    found: &mut Vec<Violation>,
) {
    let subject = &history.devices[change.device];
    for (other, who) in history.devices.iter().enumerate() {
        if other == change.device || who.user != subject.user || who.slow {
            continue;
        }
        let from = Millis(when.0.saturating_sub(CONVERGES.as_millis() as u64)) - history.transit;
        let steady = timeline.steady.iter().any(|span| span.device == other && span.covers(from, when));
        if steady && views[other].contains(&subject.id) != change.online {
            let shown = if change.online { "offline" } else { "online" };
            let since = history.clock(change.since);
            let sentence = format!(
                "device {other} shows device {} {shown}, which is not so since {since}",
                change.device
            );
            found.push(Violation { promise: "P5", sentence, at: when });
        }
    }
}

fn truth_at_rest(history: &History, found: &mut Vec<Violation>) {
    let rested = &history.rested;
    for (device, profile) in history.devices.iter().enumerate() {
        let connected = rested.connected[device].is_some();
        let mut report = |sentence| found.push(Violation { promise: "P5", sentence, at: history.over });
        if let Some(row) = rested.rows[device]
            && rested.online_rows.get(&row).copied().unwrap_or(false) != connected
        {
            report(format!("at rest the store has device {device} the wrong way round"));
        }
        if !connected {
            continue;
        }
        let others = history.devices.iter().enumerate().filter(|(other, who)| {
            *other != device && who.user == profile.user && rested.connected[*other].is_some()
        });
        let truth: BTreeSet<&DeviceId> = others.map(|(_, who)| &who.id).collect();
        let view: BTreeSet<&DeviceId> = rested.views[device].iter().collect();
        if truth != view {
            report(format!("at rest device {device} shows {view:?} online, and {truth:?} are"));
        }
    }
}
