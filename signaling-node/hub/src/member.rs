//! One session: its numbering, its replay window, and what it has open as a sender.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use streamz_protocol::bus::{Caps, Class, Detach, Frame, Heard, Item, Open, Settled, note_heard};
use streamz_protocol::server::Body;
use streamz_protocol::{ConnId, DeviceId, Limits, MessageId, Mid, Millis, Reason, SessionId};
use uuid::Uuid;

use crate::effect::Out;

/// Outcomes that a session holds for longer than this only while they are unconfirmed.
const OUTCOME_KEPT: Duration = Duration::from_secs(60);

/// How far the numbers of a session leap when it is rebuilt from a copy that may be an old one: further than it can
/// have come elsewhere. Half of it is a distance that nothing else makes.
const LEAP: u64 = 1 << 20;

/// One session of one device.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) session: SessionId,
    pub(crate) generation: u64,
    pub(crate) device: DeviceId,
    pub(crate) family: Uuid,
    pub(crate) caps: Caps,
    /// The connection whose gateway holds a copy; it may have lost its socket.
    pub(crate) conn: Option<ConnId>,
    /// Since when the socket is gone, and how it went.
    pub(crate) away: Option<(Millis, Detach)>,
    /// The number of the next frame.
    pub(crate) next_seq: u64,
    /// Everything up to here is confirmed.
    pub(crate) acked: u64,
    /// The last number of the copy that it was rebuilt from.
    copied: u64,
    /// The highest unconfirmed frame, other than a message, that fell out of the window: a resume from before it
    /// would not be whole.
    pub(crate) floor: u64,
    /// Whether a message ever fell out of the window unconfirmed.
    pub(crate) lossy: bool,
    window: VecDeque<Slot>,
    window_bytes: usize,
    pub(crate) heard: Vec<Heard>,
    /// Of what the hub before this one put into the session, what the device had confirmed last.
    pub(crate) confirmed: Vec<Mid>,
    /// The highest number that was taken from this session.
    pub(crate) accepted: u64,
    pub(crate) open: BTreeMap<u64, Entry>,
    settled: VecDeque<Remembered>,
}

/// An outcome that can be repeated.
#[derive(Clone, Debug)]
struct Remembered {
    /// The frame that said it, or one after it.
    seq: u64,
    settled: Settled,
}

#[derive(Clone, Debug)]
struct Slot {
    frame: Frame,
    at: Millis,
}

/// A message without an outcome.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: MessageId,
    pub(crate) digest: u64,
    pub(crate) accepted_at: Millis,
    pub(crate) targets: Vec<Target>,
    pub(crate) broadcast: bool,
    /// A hub before this one may have meant it for more than these targets.
    pub(crate) doubtful: bool,
    pub(crate) stage: Stage,
}

/// What an open message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The device is about to send its content again.
    Awaited,
    /// A candidate waits for its offer: see `ice`.
    Held,
    /// Its targets have it, or will when they come back.
    Sent,
}

/// One receiver of a message.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) session: SessionId,
    pub(crate) device: DeviceId,
    pub(crate) state: TargetState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetState {
    Pending,
    Delivered,
    Failed(Reason),
}

/// A message that a session did not confirm, or did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) mid: Mid,
    pub(crate) by: SessionId,
    pub(crate) state: TargetState,
}

impl Member {
    pub(crate) fn new(
        session: SessionId,
        generation: u64,
        device: DeviceId,
        family: Uuid,
        caps: Caps,
        conn: ConnId,
    ) -> Self {
        Self {
            session,
            generation,
            device,
            family,
            caps,
            conn: Some(conn),
            away: None,
            next_seq: 1,
            acked: 0,
            copied: 0,
            floor: 0,
            lossy: false,
            window: VecDeque::new(),
            window_bytes: 0,
            heard: Vec::new(),
            confirmed: Vec::new(),
            accepted: 0,
            open: BTreeMap::new(),
            settled: VecDeque::new(),
        }
    }

    /// Puts frames back that a gateway had kept.
    pub(crate) fn restore_window(&mut self, frames: Vec<Frame>, at: Millis) {
        self.window_bytes = frames.iter().map(|frame| frame.body.len()).sum();
        self.window = frames.into_iter().map(|frame| Slot { frame, at }).collect();
    }

    /// Numbers a frame, keeps it, and hands it to the connection. Returns what fell out of the window.
    pub(crate) fn push(
        &mut self,
        class: Class,
        body: Body,
        limits: &Limits,
        now: Millis,
        out: &mut Out,
    ) -> Vec<Verdict> {
        let frame = Frame { seq: self.next_seq, class, body };
        self.next_seq += 1;
        if let Class::Message { mid, late } = frame.class {
            note_heard(&mut self.heard, mid, late);
        }
        if let Some(conn) = self.conn {
            out.item(conn, Item::Frame(frame.clone()));
        }
        self.window_bytes += frame.body.len();
        self.window.push_back(Slot { frame, at: now });
        let mut fallen = Vec::new();
        while self.window.len() > limits.window_frames || self.window_bytes > limits.window_bytes {
            let Some(slot) = self.pop_front() else { break };
            match slot.frame.class {
                Class::Message { mid, .. } => {
                    self.lossy = true;
                    fallen.push(self.verdict(mid, TargetState::Failed(Reason::Expired)));
                }
                _ => self.floor = slot.frame.seq,
            }
        }
        fallen
    }

    fn pop_front(&mut self) -> Option<Slot> {
        let slot = self.window.pop_front()?;
        self.window_bytes -= slot.frame.body.len();
        Some(slot)
    }

    fn verdict(&self, mid: Mid, state: TargetState) -> Verdict {
        Verdict { mid, by: self.session, state }
    }

    /// Takes a cumulative confirmation and returns the messages that it covers.
    pub(crate) fn ack(&mut self, seq: u64) -> Vec<Verdict> {
        let mut confirmed = Vec::new();
        if seq <= self.acked || seq >= self.next_seq {
            return confirmed;
        }
        self.acked = seq;
        while self.window.front().is_some_and(|slot| slot.frame.seq <= seq) {
            let Some(slot) = self.pop_front() else { break };
            if let Class::Message { mid, .. } = slot.frame.class {
                confirmed.push(self.verdict(mid, TargetState::Delivered));
            }
        }
        confirmed
    }

    /// Empties the window of a session that ended and returns its messages. What is past `handed`, if that is known,
    /// never went to the socket.
    pub(crate) fn abandon(&mut self, handed: Option<u64>) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        while let Some(slot) = self.pop_front() {
            if let Class::Message { mid, .. } = slot.frame.class {
                let unsent = handed.is_some_and(|handed| slot.frame.seq > handed);
                let reason = if unsent { Reason::SlowConsumer } else { Reason::Expired };
                verdicts.push(self.verdict(mid, TargetState::Failed(reason)));
            }
        }
        verdicts
    }

    /// Takes a message out of the window: it has its outcome and must not be replayed.
    pub(crate) fn withdraw(&mut self, mid: Mid) {
        let at = self
            .window
            .iter()
            .position(|slot| matches!(slot.frame.class, Class::Message { mid: known, .. } if known == mid));
        if let Some(slot) = at.and_then(|at| self.window.remove(at)) {
            self.window_bytes -= slot.frame.body.len();
        }
    }

    /// Whether the message is in the window, unconfirmed.
    pub(crate) fn holds(&self, mid: Mid) -> bool {
        self.window
            .iter()
            .any(|slot| matches!(slot.frame.class, Class::Message { mid: known, .. } if known == mid))
    }

    /// Whether the message was ever put into this session, as far as can be known.
    pub(crate) fn has_heard(&self, mid: Mid) -> bool {
        self.heard.iter().any(|heard| {
            heard.sender == mid.session && (mid.number <= heard.up_to || heard.late.contains(&mid.number))
        })
    }

    /// Whether the message was put into this session after it had been held back.
    pub(crate) fn has_heard_late(&self, mid: Mid) -> bool {
        self.heard.iter().any(|heard| heard.sender == mid.session && heard.late.contains(&mid.number))
    }

    /// The session is rebuilt from a connection without its socket. Its device may have gone on at another gateway, and
    /// that be lost together with the hub: then it has frames that nobody here knows of, and new ones must not have
    /// their numbers.
    pub(crate) fn leap(&mut self) {
        self.copied = self.next_seq - 1;
        self.next_seq += LEAP;
    }

    /// Whether a client that has everything up to `last_seq` can go on.
    pub(crate) fn can_resume(&self, last_seq: u64) -> bool {
        self.caps.acks
            && last_seq >= self.acked
            && last_seq >= self.floor
            && last_seq < self.next_seq
            && !self.is_from_elsewhere(last_seq)
    }

    /// Whether a number lies in a leap, and nobody here has given it.
    fn is_from_elsewhere(&self, last_seq: u64) -> bool {
        let mut given = self.window.iter().map(|slot| slot.frame.seq);
        let known =
            last_seq == self.acked || last_seq == self.copied || given.clone().any(|seq| seq == last_seq);
        let next = given.find(|seq| *seq > last_seq).unwrap_or(self.next_seq);
        !known && next - last_seq > LEAP / 2
    }

    /// The frames to send again, without messages whose time is over.
    pub(crate) fn replay(&mut self, now: Millis, limits: &Limits) -> Vec<Frame> {
        let lapsed = |slot: &Slot| {
            matches!(slot.frame.class, Class::Message { .. }) && slot.at + limits.delivery <= now
        };
        self.window.retain(|slot| !lapsed(slot));
        self.window_bytes = self.window.iter().map(|slot| slot.frame.body.len()).sum();
        self.window.iter().map(|slot| slot.frame.clone()).collect()
    }

    /// Remembers an outcome that the next frame will say, and forgets old ones.
    pub(crate) fn remember(&mut self, settled: Settled, limits: &Limits) {
        self.forget_outcomes(settled.at);
        while self.settled.len() >= limits.outcomes() {
            self.settled.pop_front();
        }
        self.settled.push_back(Remembered { seq: self.next_seq, settled });
    }

    /// Forgets outcomes that were said long ago and confirmed: who has not heard one will ask for it again.
    pub(crate) fn forget_outcomes(&mut self, now: Millis) {
        let acked = self.acked;
        let old = |known: &Remembered| known.settled.at + OUTCOME_KEPT <= now && known.seq <= acked;
        while self.settled.front().is_some_and(old) {
            self.settled.pop_front();
        }
    }

    /// The outcomes that can be repeated.
    pub(crate) fn outcomes(&self) -> impl ExactSizeIterator<Item = &Settled> {
        self.settled.iter().map(|known| &known.settled)
    }

    /// Takes over what a gateway remembered; any of it may be unconfirmed.
    pub(crate) fn restore_outcomes(&mut self, outcomes: Vec<Settled>) {
        let seq = self.next_seq.saturating_sub(1);
        self.settled = outcomes.into_iter().map(|settled| Remembered { seq, settled }).collect();
    }

    /// What a connection must know of the open messages.
    pub(crate) fn open_messages(&self) -> Vec<Open> {
        self.open
            .iter()
            .map(|(number, entry)| Open {
                number: *number,
                id: entry.id.clone(),
                digest: entry.digest,
                accepted_at: entry.accepted_at,
            })
            .collect()
    }

    /// What the window holds, in frames and in bytes.
    pub(crate) fn window_size(&self) -> (usize, usize) {
        (self.window.len(), self.window_bytes)
    }

    /// Gives memory back.
    pub(crate) fn shrink(&mut self, now: Millis) {
        self.forget_outcomes(now);
        self.settled.shrink_to_fit();
        self.window.shrink_to_fit();
        self.heard.shrink_to_fit();
        // Who waited for an outcome from before the recovery has it.
        self.confirmed = Vec::new();
    }

    /// Whether frames or messages wait for something.
    pub(crate) fn is_quiet(&self) -> bool {
        self.open.is_empty() && self.away.is_none()
    }
}

#[cfg(test)]
mod tests;
