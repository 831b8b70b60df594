//! **Promise 3, no duplicate, no reorder.** Per sending and receiving session, messages arrive at most once and in
//! order, across reconnects, retransmissions and hub moves.
//!
//! Of a history this demands, for each pair of sessions,
//! * **at most once**: no `mid` comes twice out of the socket of one session. (Should a hub and a gateway be lost
//!   together the server may repeat one; the client drops it, so it counts for nothing then.)
//! * **in order**: the numbers of the `mid`s rise. The one documented exception: a candidate that came ahead of its
//!   offer or answer was held, and may follow later numbers, but not before its sender has sent its
//!   description, and those of one description in order;
//! * **held**: no candidate of a stream is heard before its sender has sent the description that it belongs to.

use std::collections::{BTreeMap, BTreeSet};

use streamz_protocol::client::RelayKind;
use streamz_protocol::{Mid, SessionId, StreamId};

use super::Violation;
use crate::history::{Act, DeviceNo, Entry, History, Said, What};

/// What one session has of another.
#[derive(Default)]
struct Pair {
    highest: u64,
    seen: BTreeSet<u64>,
    /// The last candidate of each description.
    candidates: BTreeMap<(StreamId, String), u64>,
}

pub(super) fn check(history: &History, found: &mut Vec<Violation>) {
    let mut pairs: BTreeMap<(SessionId, SessionId), Pair> = BTreeMap::new();
    let mut sent: BTreeSet<(DeviceNo, StreamId, String)> = BTreeSet::new();
    let (mut hub_lost, mut gateway_lost) = (false, false);
    for Entry { at, what } in &history.entries {
        match what {
            What::HubCrashed { planned: false, .. } => hub_lost = true,
            What::GatewayCrashed { .. } | What::GatewayEvicted { .. } => gateway_lost = true,
            What::Submitted { tag, .. } => {
                let written = &history.written[*tag];
                if let Act::Relay { kind, stream: Some(stream), ufrag: Some(ufrag) } = &written.act
                    && *kind != RelayKind::IceCandidate
                {
                    sent.insert((written.device, *stream, ufrag.clone()));
                }
            }
            What::Heard {
                session, mid: Some(mid), said: Said::Relayed { kind, tag: Some(tag), .. }, ..
            } => {
                let pair = pairs.entry((*session, mid.session)).or_default();
                let written = &history.written[*tag];
                let place = match &written.act {
                    Act::Relay { stream: Some(stream), ufrag: Some(ufrag), .. } => {
                        Some((*stream, ufrag.clone()))
                    }
                    _ => None,
                };
                let candidate = *kind == RelayKind::IceCandidate;
                let of_stream = place.is_some();
                let described = place
                    .as_ref()
                    .is_some_and(|(stream, ufrag)| sent.contains(&(written.device, *stream, ufrag.clone())));
                if let Some(what) = pair.hear(*mid, candidate, place, described, hub_lost && gateway_lost) {
                    let sentence = format!("{mid} {what} in session {session}");
                    found.push(Violation { promise: "P3", sentence, at: *at });
                }
                if candidate && of_stream && !described {
                    let sentence = format!("candidate {mid} came before its description was sent");
                    found.push(Violation { promise: "P3", sentence, at: *at });
                }
            }
            _ => {}
        }
    }
}

impl Pair {
    fn hear(
        &mut self,
        mid: Mid,
        candidate: bool,
        place: Option<(StreamId, String)>,
        described: bool,
        may_repeat: bool,
    ) -> Option<&'static str> {
        if !self.seen.insert(mid.number) {
            return (!may_repeat).then_some("came twice");
        }
        if let (Some(place), true) = (&place, candidate) {
            let last = self.candidates.entry(place.clone()).or_default();
            if mid.number < std::mem::replace(last, mid.number) {
                return Some("came after a later candidate of the same description");
            }
        }
        if mid.number > self.highest {
            self.highest = mid.number;
        } else if !candidate || place.is_none() || !described {
            return Some("came after a later message and was not held for its description");
        }
        None
    }
}
