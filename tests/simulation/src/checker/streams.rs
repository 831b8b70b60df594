//! **One winner** (promise 1 as far as one hub can break it, and §4.3), and nothing that outlives its parties.
//!
//! Of a history this demands that
//! * **one winner**: of one stream, at most one device is ever told that its accept was applied, and the others
//!   hear of no other;
//! * **every ring rings**: a device that the caller is told is rung, on a connection that holds, hears the ring or
//!   its end;
//! * **at rest** no hub recovers or is busy, a user without sessions has no hub, no stream rings, the parties of
//!   every live stream are connected and know it, a device that believes to be in a stream is, and the records that
//!   are open are those of the live streams.

use std::collections::{BTreeMap, BTreeSet};

use streamz_protocol::{DeviceId, MessageId, Millis, StreamId};

use super::Violation;
use super::timeline::Timeline;
use crate::history::{Act, DeviceNo, Entry, History, Outcome, Part, Said, What};

pub(super) fn check(history: &History, found: &mut Vec<Violation>) {
    check_rings(history, found);
    at_rest(history, found);
}

/// What can be seen of it from devices alone.
pub(super) fn check_rings(history: &History, found: &mut Vec<Violation>) {
    one_winner(history, found);
    every_ring_rings(history, found);
}

fn one_winner(history: &History, found: &mut Vec<Violation>) {
    let mut winners: BTreeMap<StreamId, DeviceId> = BTreeMap::new();
    let accepts: BTreeMap<(DeviceNo, &MessageId), StreamId> = history
        .written
        .iter()
        .filter_map(|written| match written.act {
            Act::Accept(stream) => Some(((written.device, written.id.as_ref()?), stream)),
            _ => None,
        })
        .collect();
    for Entry { at, what } in &history.entries {
        let What::Heard { device, said, .. } = what else { continue };
        let (stream, winner) = match said {
            Said::Accept { stream, from } => (*stream, from.clone()),
            Said::Outcome { id, outcome: Outcome::Delivered } => {
                let Some(stream) = accepts.get(&(*device, id)) else { continue };
                (*stream, history.devices[*device].id.clone())
            }
            _ => continue,
        };
        let first = winners.entry(stream).or_insert_with(|| winner.clone());
        if *first != winner {
            let sentence = format!("stream {stream} was won by {first} and by {winner}");
            found.push(Violation { promise: "P1", sentence, at: *at });
        }
    }
}

/// What became of a ring.
struct Ring {
    user: usize,
    caller: DeviceNo,
    since: Millis,
    to: Vec<DeviceId>,
    heard: BTreeSet<DeviceNo>,
}

fn every_ring_rings(history: &History, found: &mut Vec<Violation>) {
    let mut rings: BTreeMap<StreamId, Ring> = BTreeMap::new();
    let mut early: BTreeMap<StreamId, BTreeSet<DeviceNo>> = BTreeMap::new();
    let mut over: BTreeMap<StreamId, Millis> = BTreeMap::new();
    for Entry { at, what } in &history.entries {
        match what {
            What::Heard { device, said: Said::Ringing { stream, to }, .. } => {
                rings.entry(*stream).or_insert_with(|| Ring {
                    user: history.devices[*device].user,
                    caller: *device,
                    since: *at,
                    to: to.clone(),
                    heard: BTreeSet::new(),
                });
            }
            What::Heard { device, said: Said::Start { stream, .. } | Said::End { stream, .. }, .. } => {
                early.entry(*stream).or_default().insert(*device);
            }
            What::Welcomed { device, streams, .. } => {
                for stream in streams {
                    early.entry(*stream).or_default().insert(*device);
                }
            }
            What::Heard { said: Said::Accept { stream, .. }, .. } => {
                over.entry(*stream).or_insert(*at);
            }
            What::Recorded { record, .. } if record.ended_at.is_some() => {
                over.entry(record.id).or_insert(*at);
            }
            _ => {}
        }
    }
    let timeline = Timeline::of(history);
    for (stream, mut ring) in rings {
        ring.heard = early.remove(&stream).unwrap_or_default();
        let (since, by) = (ring.since - history.transit, ring.since + history.transit);
        let by = timeline.calm_after(ring.user, since, by, history.transit);
        if over.get(&stream).is_some_and(|over| *over <= by) || by >= history.over {
            continue;
        }
        let steady = |device: DeviceNo, from: Millis| {
            timeline.steady.iter().any(|span| span.device == device && span.covers(from, by))
        };
        // A hub that crashed meanwhile knows of the ring what its caller knows.
        if by > ring.since + history.transit && !steady(ring.caller, ring.since) {
            continue;
        }
        for to in &ring.to {
            let is = |(_, who): &(usize, &crate::history::Profile)| who.user == ring.user && who.id == *to;
            let Some((device, who)) = history.devices.iter().enumerate().find(is) else { continue };
            let from = ring.since - 2 * history.transit;
            if steady(device, from) && !who.slow && !ring.heard.contains(&device) {
                let sentence =
                    format!("device {device} is said to ring for stream {stream} and never heard it");
                found.push(Violation { promise: "P4", sentence, at: by });
            }
        }
    }
}

fn at_rest(history: &History, found: &mut Vec<Violation>) {
    let rested = &history.rested;
    for user in 0..history.users.len() {
        let mut report = |sentence| found.push(Violation { promise: "P6", sentence, at: history.over });
        let devices: Vec<DeviceNo> =
            (0..history.devices.len()).filter(|device| history.devices[*device].user == user).collect();
        let connected: Vec<DeviceNo> =
            devices.iter().copied().filter(|device| rested.connected[*device].is_some()).collect();
        let live = rested.hubs[user].as_ref().map(|hub| hub.streams.clone()).unwrap_or_default();
        match &rested.hubs[user] {
            None if !connected.is_empty() => report(format!("user {user} is connected and has no hub")),
            None => {}
            // A device that is refused knocks for ever: there may be a hub that is about to answer.
            Some(hub) if connected.is_empty() && hub.sessions == 0 && !hub.quiet => {}
            Some(_) if connected.is_empty() => report(format!("user {user} is gone and still has a hub")),
            Some(hub) => {
                if hub.recovering || !hub.quiet {
                    report(format!("at rest the hub of user {user} is not: {hub:?}"));
                }
                if hub.sessions != connected.len() {
                    report(format!(
                        "at rest user {user} has {} sessions and {} connected devices",
                        hub.sessions,
                        connected.len()
                    ));
                }
            }
        }
        for record in rested.records[user].values() {
            if record.ended_at.is_none() != live.iter().any(|stream| stream.id == record.id) {
                let end = record.end_reason.as_deref().unwrap_or("open");
                report(format!("at rest the record of stream {} is {end}, its stream is not", record.id));
            }
        }
        for stream in &live {
            let parties = std::iter::once(&stream.initiator).chain(&stream.accepted).chain(&stream.ringing);
            if !rested.records[user].contains_key(&stream.id) {
                report(format!("at rest stream {} has no record", stream.id));
            }
            if stream.accepted.is_none() {
                report(format!("at rest stream {} still rings", stream.id));
            }
            for party in parties {
                match connected.iter().find(|device| history.devices[**device].id == *party) {
                    None => report(format!("at rest {party} is in stream {} and not there", stream.id)),
                    Some(device) if !rested.parts[*device].iter().any(|(id, _)| *id == stream.id) => {
                        report(format!(
                            "at rest device {device} is in stream {} and does not know",
                            stream.id
                        ));
                    }
                    Some(_) => {}
                }
            }
        }
        for device in &connected {
            let id = &history.devices[*device].id;
            for (stream, part) in &rested.parts[*device] {
                let is_party = live.iter().any(|live| {
                    live.id == *stream && (live.initiator == *id || live.accepted.as_ref() == Some(id))
                });
                if *part != Part::Unsure && !is_party {
                    report(format!(
                        "at rest device {device} believes to be in stream {stream} ({part:?}) and is not"
                    ));
                }
            }
            if let Some(open) = rested.open[*device].first() {
                report(format!("at rest message {open} of device {device} has no outcome"));
            }
        }
    }
}
