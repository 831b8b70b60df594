//! **Promise 2, no silence.** Every message with an `id` ends in exactly one outcome within 30 s, whatever fails in
//! between, as long as its sender's session lives; and (§4.4) `delivered` is never said falsely, and every reason
//! but `expired` is certain.
//!
//! Of a history this demands, for each session and each `id` that it used (if for several contents, then for the one
//! that was taken first; the others are `id_reused`),
//! * **one outcome**: what the device hears under that `id` is the same each time. A message that was refused at
//!   the door (`backlog`, `rate_limited`) was not taken: the same `id` may be tried again and is then a new message.
//!   (Known gap: while the link to the hub stands still, a gateway says `expired` after 30 s on its own; what the
//!   hub had said in the last second before may come as well if the device then moves to another gateway.)
//! * **in time**: 30 s after a gateway took it, the device has heard the outcome, or hears it as soon as it is
//!   welcome again with that session on a connection that holds. (What a gateway took and could not hand to the hub
//!   before its device was back at another gateway is taken there anew: the hub has not heard of it before.)
//! * **delivered is true**: before the outcome came, the addressee's device had heard the message from this
//!   session (of a simple client: the system had taken it from the gateway). Of a message to all: so had every
//!   device that was connected when it was taken;
//! * **a certain reason is true**: a device for which such a reason was given never hears that message from this
//!   session.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use streamz_protocol::{ErrorCode, MessageId, Mid, Millis, Reason, SessionId};

use super::Violation;
use super::timeline::Timeline;
use crate::history::{Act, DeviceNo, Entry, History, Outcome, Said, What};

/// Everything about one `id` of one session.
#[derive(Default)]
struct Case {
    device: DeviceNo,
    tags: BTreeSet<usize>,
    /// The first that was given a number: the `id` is its name from then on.
    owner: Option<usize>,
    took: Vec<Millis>,
    submitted: Option<Millis>,
    /// When a gateway handed it to a hub last: what one held that died with it, no hub may have seen.
    again: Millis,
    accepted: Option<Millis>,
    heard: Vec<(Millis, Outcome)>,
}

/// Who has which message from which session, since when.
type Arrivals = BTreeMap<(SessionId, usize), Vec<(DeviceNo, Millis)>>;

pub(super) fn check(history: &History, found: &mut Vec<Violation>) {
    let timeline = Timeline::of(history);
    let healed = history.entries.iter().find(|entry| matches!(entry.what, What::Healed));
    let healed = healed.map_or(history.over, |entry| entry.at);
    let (cases, arrivals) = gather(history);
    for ((session, id), case) in &cases {
        let mut report = |at: Millis, what: String| {
            let sentence = format!("message {id} of device {} in session {session} {what}", case.device);
            found.push(Violation { promise: "P2", sentence, at });
        };
        if case.took.is_empty() {
            if let Some((at, outcome)) = case.heard.first() {
                report(*at, format!("has the outcome {outcome:?} and was never sent"));
            }
            continue;
        }
        let reused = case.tags.len() != 1;
        let due = case.accepted.unwrap_or_default() + history.limits.delivery;
        let user = history.devices[case.device].user;
        let (before, after) = (due - Duration::from_secs(3), due + Duration::from_secs(1));
        let crossed = timeline
            .disturbed
            .iter()
            .any(|(whose, from, to)| *whose == user && *from <= after && before <= *to);
        let last = one_outcome(case, crossed, &mut report);
        // A device that hears `id_reused` of one message takes the other one for refused, and does not send it again.
        if !reused {
            in_time(history, &timeline, *session, case, healed, &mut report);
        }
        let Some(last) = last else { continue };
        let Some(tag) = case.owner.as_ref().or(case.tags.first()).filter(|_| !reused || case.owner.is_some())
        else {
            continue;
        };
        let arrived = arrivals.get(&(*session, *tag)).map(Vec::as_slice).unwrap_or_default();
        truth(history, &timeline, *tag, case, &last, arrived, &mut report);
    }
}

fn gather(history: &History) -> (BTreeMap<(SessionId, MessageId), Case>, Arrivals) {
    let mut cases: BTreeMap<(SessionId, MessageId), Case> = BTreeMap::new();
    let mut arrivals = Arrivals::new();
    let mut numbers: BTreeMap<Mid, usize> = BTreeMap::new();
    for Entry { at, what } in &history.entries {
        match what {
            What::Took { device, session, tag } => {
                if let Some(id) = &history.written[*tag].id {
                    let case = cases.entry((*session, id.clone())).or_default();
                    case.device = *device;
                    case.tags.insert(*tag);
                    case.took.push(*at);
                }
            }
            What::Submitted { session, tag, number, accepted_at } => {
                numbers.insert(Mid { session: *session, number: *number }, *tag);
                if let Some(id) = &history.written[*tag].id {
                    let case = cases.entry((*session, id.clone())).or_default();
                    case.submitted.get_or_insert(*at);
                    case.owner.get_or_insert(*tag);
                    case.again = *at;
                    case.accepted = case.accepted.max(Some(*accepted_at));
                }
            }
            What::Heard { device, session, said: Said::Outcome { id, outcome }, .. } => {
                let case = cases.entry((*session, id.clone())).or_default();
                case.device = *device;
                case.heard.push((*at, outcome.clone()));
            }
            What::Heard { device, mid: Some(mid), said: Said::Relayed { tag: Some(tag), .. }, .. } => {
                arrivals.entry((mid.session, *tag)).or_default().push((*device, *at));
            }
            What::Wrote { device, mid, .. } => {
                if let Some(tag) = numbers.get(mid) {
                    arrivals.entry((mid.session, *tag)).or_default().push((*device, *at));
                }
            }
            _ => {}
        }
    }
    (cases, arrivals)
}

fn is_refusal(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::NotDelivered { reason: Reason::Backlog, .. } | Outcome::Error(ErrorCode::RateLimited)
    )
}

/// Whether two outcomes say the same; that a gateway gives a message up may come before its hub's word who failed.
fn same(one: &Outcome, other: &Outcome) -> bool {
    one == other || (is_expired(one) && is_expired(other))
}

fn is_expired(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NotDelivered { reason: Reason::Expired, .. })
}

/// The outcome, if there is one beside refusals at the door.
fn one_outcome(
    case: &Case,
    crossed: bool,
    report: &mut impl FnMut(Millis, String),
) -> Option<(Millis, Outcome)> {
    let door = case.submitted.unwrap_or(super::timeline::NEVER);
    let mut refusals = case.took.iter().filter(|took| **took < door).count();
    let mut last: Option<(Millis, Outcome)> = None;
    let another = |outcome: &Outcome| *outcome == Outcome::Error(ErrorCode::IdReused);
    for (at, outcome) in case.heard.iter().filter(|(_, outcome)| !another(outcome)) {
        match &last {
            Some((_, known)) if same(known, outcome) => continue,
            Some((_, known)) if crossed && (is_expired(known) || is_expired(outcome)) => return None,
            _ if is_refusal(outcome) && refusals > 0 => {
                refusals -= 1;
                continue;
            }
            Some((_, known)) => {
                report(*at, format!("has a second outcome: {known:?}, then {outcome:?}"));
                return None;
            }
            None => last = Some((*at, outcome.clone())),
        }
    }
    last
}

fn in_time(
    history: &History,
    timeline: &Timeline,
    session: SessionId,
    case: &Case,
    healed: Millis,
    report: &mut impl FnMut(Millis, String),
) {
    // What was refused at the door was not taken; its refusal may have been lost with its connection.
    let Some(took) = case.accepted.as_ref().or(case.took.last()) else { return };
    let heard = case.heard.first().map_or(super::timeline::NEVER, |(at, _)| *at);
    let due = *took + history.limits.delivery;
    let slow = history.devices[case.device].slow;
    let user = history.devices[case.device].user;
    for span in timeline.steady_in(session) {
        let mut by = span.from.max(due) + history.transit;
        if history.cluster {
            // Its gateway may stand still.
            by = timeline.calm_after(user, due, by, history.transit);
        }
        if slow {
            by = by.max(healed + Duration::from_secs(30));
        }
        if by < span.to && heard > by && by < history.ended() {
            return report(by, format!("was taken at {} and has no outcome", history.clock(*took)));
        }
    }
}

fn truth(
    history: &History,
    timeline: &Timeline,
    tag: usize,
    case: &Case,
    last: &(Millis, Outcome),
    arrived: &[(DeviceNo, Millis)],
    report: &mut impl FnMut(Millis, String),
) {
    let written = &history.written[tag];
    if !matches!(written.act, Act::Relay { .. }) {
        return;
    }
    let (at, outcome) = last;
    let user = history.devices[case.device].user;
    let number = |id: &streamz_protocol::DeviceId| {
        history.devices.iter().position(|other| other.user == user && other.id == *id)
    };
    let has = |device: DeviceNo| arrived.iter().any(|(who, when)| *who == device && when <= at);
    match outcome {
        Outcome::Delivered => {
            let targets: Vec<DeviceNo> = match &written.to {
                Some(to) => number(to).into_iter().collect(),
                None => connected(history, timeline, user, case),
            };
            if let Some(without) = targets.iter().find(|target| !has(**target)) {
                report(*at, format!("was delivered, it says, but device {without} has not got it"));
            }
            if targets.is_empty() && arrived.is_empty() && written.to.is_some() {
                report(*at, "was delivered, it says, but nobody has got it".to_owned());
            }
        }
        Outcome::NotDelivered { reason, failed } => {
            let mut denied: Vec<(DeviceNo, Reason)> =
                failed.iter().filter_map(|(id, reason)| Some((number(id)?, *reason))).collect();
            if failed.is_empty() {
                let everyone =
                    (0..history.devices.len()).filter(|other| history.devices[*other].user == user);
                denied.extend(everyone.map(|other| (other, *reason)));
            }
            for (device, reason) in denied.into_iter().filter(|(_, reason)| *reason != Reason::Expired) {
                if let Some((_, when)) = arrived.iter().find(|(who, _)| *who == device) {
                    let when = history.clock(*when);
                    report(
                        *at,
                        format!("failed for certain ({reason}), but device {device} got it at {when}"),
                    );
                }
            }
        }
        Outcome::Error(code) => {
            if let Some((device, _)) = arrived.first() {
                report(*at, format!("was refused ({code}), but device {device} has got it"));
            }
        }
    }
}

/// The other devices that were connected for certain when a message to all was taken.
fn connected(history: &History, timeline: &Timeline, user: usize, case: &Case) -> Vec<DeviceNo> {
    let taken = case.submitted.or(case.took.first().copied()).unwrap_or_default();
    let until = timeline.calm_after(user, taken, case.again.max(taken) + history.transit, history.transit);
    let mut all: Vec<DeviceNo> = timeline
        .attached
        .iter()
        .filter(|span| {
            history.devices[span.device].user == user
                && span.device != case.device
                && span.covers(taken - Duration::from_millis(1), until)
        })
        .map(|span| span.device)
        .collect();
    all.dedup();
    all
}
