//! Candidates of a stream: those ahead of their offer are held, those of an older generation refused (§4.3).
//!
//! A generation is known by the user fragments that an offer or answer names (RFC 8839 §5.4). A candidate without
//! one belongs to its sender's last description.

use streamz_protocol::bus::{IceGenerations, LiveStream};
use streamz_protocol::client::{RelayKind, Ufrag};
use streamz_protocol::server::Body;
use streamz_protocol::{DeviceId, ErrorCode, Mid, Millis, Reason, StreamId};

use crate::effect::Out;
use crate::hub::Hub;
use crate::planted::planted;
use crate::relay::Timing;
use crate::sending::{Outcome, Sending};

/// Older user fragments that are remembered of each party.
const OLDER_KEPT: usize = 16;

/// A candidate that waits for the description that it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct HeldCandidate {
    pub(crate) mid: Mid,
    pub(crate) accepted_at: Millis,
    sending: Sending,
    ufrag: Option<Ufrag>,
    body: Body,
}

/// Where a relayed message of a stream goes.
pub(crate) enum Place {
    Now,
    Held,
    Refused(Outcome),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Generation {
    Current,
    Older,
    ToCome,
}

fn generation(stream: &LiveStream, device: &DeviceId, ufrag: Option<Ufrag>) -> Generation {
    match (stream.ice.iter().find(|ice| ice.device == *device), ufrag) {
        (None, _) => Generation::ToCome,
        (Some(_), None) => Generation::Current,
        (Some(ice), Some(ufrag)) if ice.current.contains(&ufrag) => Generation::Current,
        (Some(ice), Some(ufrag)) if ice.older.contains(&ufrag) => Generation::Older,
        // A description that names no fragment cannot tell its candidates from others.
        (Some(ice), Some(_)) if ice.current.is_empty() => Generation::Current,
        _ => Generation::ToCome,
    }
}

/// Takes note of a party's offer or answer.
fn describe(stream: &mut LiveStream, device: &DeviceId, ufrags: &[Ufrag]) -> bool {
    let known = stream.ice.iter_mut().find(|ice| ice.device == *device);
    match known {
        Some(ice) if ice.current == ufrags => return false,
        Some(ice) => {
            let replaced = std::mem::replace(&mut ice.current, ufrags.to_vec());
            ice.older.extend(replaced.into_iter().filter(|old| !ufrags.contains(old)));
            ice.older.retain(|old| !ufrags.contains(old));
            let excess = ice.older.len().saturating_sub(OLDER_KEPT);
            ice.older.drain(..excess);
        }
        None => stream.ice.push(IceGenerations {
            device: device.clone(),
            current: ufrags.to_vec(),
            older: Vec::new(),
        }),
    }
    stream.revision += 1;
    true
}

impl Hub {
    /// Decides on a relayed message of a stream that its sender is a party of.
    pub(crate) fn place(
        &mut self,
        sending: &Sending,
        stream: StreamId,
        kind: RelayKind,
        ufrags: &[Ufrag],
        body: &Body,
        out: &mut Out,
    ) -> Place {
        let limit = self.limits.held_candidates;
        if kind == RelayKind::IceCandidate && planted!(self, CandidatesNotHeld) {
            return Place::Now;
        }
        let Some(live) = self.live_mut(stream) else {
            return Place::Now;
        };
        if kind != RelayKind::IceCandidate {
            if describe(&mut live.stream, &sending.device, ufrags) {
                self.copy_stream(stream, out);
            }
            return Place::Now;
        }
        let ufrag = ufrags.first().copied();
        match generation(&live.stream, &sending.device, ufrag) {
            Generation::Current => Place::Now,
            Generation::Older => Place::Refused(Outcome::error(
                ErrorCode::StaleCandidate,
                "The candidate belongs to an ICE generation that a newer offer or answer replaced.",
            )),
            Generation::ToCome => {
                let waiting = live.held.iter().filter(|held| held.sending.device == sending.device).count();
                if waiting >= limit {
                    return Place::Refused(Outcome::NotDelivered(
                        sending.certain(Reason::Backlog),
                        Vec::new(),
                    ));
                }
                live.held.push(HeldCandidate {
                    mid: sending.mid(),
                    accepted_at: sending.accepted_at,
                    sending: sending.clone(),
                    ufrag,
                    body: body.clone(),
                });
                Place::Held
            }
        }
    }

    /// Lets candidates go whose description has gone before them.
    pub(crate) fn release_candidates(
        &mut self,
        stream: StreamId,
        device: &DeviceId,
        now: Millis,
        out: &mut Out,
    ) {
        let Some(live) = self.live_mut(stream) else {
            return;
        };
        let mut due = Vec::new();
        let mut waiting = Vec::new();
        for held in std::mem::take(&mut live.held) {
            let of_device = held.sending.device == *device;
            if of_device && generation(&live.stream, device, held.ufrag) == Generation::Current {
                due.push(held);
            } else {
                waiting.push(held);
            }
        }
        live.held = waiting;
        for held in due {
            match self.receivers(&held.sending, Some(stream)) {
                Ok(receivers) => self.deliver(&held.sending, &receivers, &held.body, Timing::Late, now, out),
                // The answer is not certain enough now.
                Err(_) if self.undecided => {
                    if let Some(live) = self.live_mut(stream) {
                        live.held.push(held);
                    }
                }
                Err(outcome) => self.answer(&held.sending, outcome, now, out),
            }
        }
    }

    /// Whether a candidate can be relayed or held.
    pub(crate) fn may_place(&self, sending: &Sending, stream: StreamId, ufrags: &[Ufrag]) -> bool {
        let Some(live) = self.live(stream) else { return false };
        match generation(&live.stream, &sending.device, ufrags.first().copied()) {
            Generation::Current => true,
            Generation::Older => false,
            Generation::ToCome => {
                let waiting = live.held.iter().filter(|held| held.sending.device == sending.device).count();
                waiting < self.limits.held_candidates
            }
        }
    }

    /// Held candidates whose time is over, at the same moment at which those with an `id` have their outcome from
    /// `expire_messages`: what was given up must not be released.
    pub(crate) fn expire_held(&mut self, now: Millis) {
        let life = self.limits.hub_delivery();
        for live in &mut self.streams {
            live.held.retain(|held| held.accepted_at + life > now);
        }
    }

    /// The stream is over: its held candidates have nowhere to go.
    pub(crate) fn drop_held(&mut self, held: Vec<HeldCandidate>, now: Millis, out: &mut Out) {
        for candidate in held {
            self.answer(&candidate.sending, crate::sending::UNKNOWN_STREAM, now, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use streamz_protocol::SessionId;
    use streamz_protocol::objects::{StreamStats, StreamType};
    use uuid::Uuid;

    use super::*;

    fn stream() -> LiveStream {
        LiveStream {
            id: StreamId(Uuid::nil()),
            revision: 1,
            origin: Mid { session: SessionId(Uuid::nil()), number: 1 },
            initiator: DeviceId::new("a").unwrap(),
            source: DeviceId::new("a").unwrap(),
            stream_type: StreamType::Both,
            started_at: Millis(0),
            rung: Vec::new(),
            ringing: Vec::new(),
            accepted: None,
            stats: StreamStats::default(),
            ice: Vec::new(),
            progress: None,
        }
    }

    #[test]
    fn a_restart_makes_the_earlier_generation_old() {
        let device = DeviceId::new("a").unwrap();
        let mut stream = stream();
        let (one, two, three) = (Ufrag::of("one"), Ufrag::of("two"), Ufrag::of("three"));
        assert!(generation(&stream, &device, Some(one)) == Generation::ToCome);
        assert!(generation(&stream, &device, None) == Generation::ToCome);
        assert!(describe(&mut stream, &device, &[one]));
        assert!(!describe(&mut stream, &device, &[one]), "the same description changes nothing");
        assert!(generation(&stream, &device, Some(one)) == Generation::Current);
        assert!(generation(&stream, &device, None) == Generation::Current);
        describe(&mut stream, &device, &[two]);
        assert!(generation(&stream, &device, Some(one)) == Generation::Older);
        assert!(generation(&stream, &device, Some(two)) == Generation::Current);
        assert!(generation(&stream, &device, Some(three)) == Generation::ToCome);
        assert!(generation(&stream, &DeviceId::new("b").unwrap(), Some(two)) == Generation::ToCome);
    }

    #[test]
    fn older_generations_are_forgotten_at_the_limit() {
        let device = DeviceId::new("a").unwrap();
        let mut stream = stream();
        for number in 0..OLDER_KEPT + 2 {
            describe(&mut stream, &device, &[Ufrag::of(&number.to_string())]);
        }
        assert_eq!(stream.ice[0].older.len(), OLDER_KEPT);
        assert!(generation(&stream, &device, Some(Ufrag::of("0"))) == Generation::ToCome);
        assert!(generation(&stream, &device, Some(Ufrag::of("1"))) == Generation::Older);
    }
}
