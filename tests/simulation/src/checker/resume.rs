//! **Promise 4, resume or a clean slate.** A device that comes back within the resume window gets all that is not
//! settled, or `resumed: false` and a snapshot; never a partial replay.
//!
//! Of a history this demands, for each session,
//! * **no gap**: `seq` rises, and every number that a device never hears was a relayed message's (whose sender was
//!   told `expired`: promise 2 looks after that), or an outcome that its gateway had told it before, having waited
//!   30 s in vain. Nothing else is ever skipped;
//! * **no loss at the end**: once all is quiet a connected device has every frame but such messages;
//! * **resumption**: who comes back in time with a session goes on with it, unless more was said meanwhile than the
//!   window holds, the session was ended, or a hub was lost together with the only copy of the session;
//! * **the newest connection stays**: `replaced` is said only to a connection that is not the device's newest. (The
//!   request of one that the device has given up may arrive late, and counts as the newest then.)
//! * **a clean slate is clean**: `resumed: false` always comes with a session that never was before.

use std::collections::{BTreeMap, BTreeSet};

use streamz_protocol::bus::{Class, Resume};
use streamz_protocol::{CloseCode, MessageId, Mid, Millis, SessionId};

use super::Violation;
use crate::history::{DeviceNo, Entry, History, Parted, PipeNo, Said, What};

/// A distance between two numbers that only a leap makes.
const LEAP: u64 = 1 << 19;

/// What is known of one session.
#[derive(Default)]
struct Known {
    user: Option<usize>,
    last_seq: u64,
    /// The last meaning of each number: a hub that crashed may have used some that nobody ever saw.
    numbered: BTreeMap<u64, Class>,
    /// The size of each frame that a hub said.
    said: BTreeMap<u64, usize>,
    detached: Option<(Millis, Parted)>,
    attached: bool,
    gateway: Option<usize>,
    pipe: Option<usize>,
    /// The hub may have said things that reached no gateway.
    unseen: bool,
    hub_lost: bool,
    /// No gateway may have had a copy.
    copy_lost: bool,
    ended: bool,
}

/// The state of the check.
struct Check<'a> {
    history: &'a History,
    known: BTreeMap<SessionId, Known>,
    /// The name of each message, by its number.
    ids: BTreeMap<Mid, MessageId>,
    told: BTreeSet<(SessionId, MessageId)>,
    asked: BTreeMap<DeviceNo, Option<Resume>>,
    /// The copies that a hub which learns anew has, by generation and last number.
    copies: BTreeMap<usize, BTreeMap<SessionId, (u64, u64)>>,
    current: BTreeMap<DeviceNo, SessionId>,
    /// The connection of each device whose session began last.
    newest: BTreeMap<DeviceNo, PipeNo>,
    /// Connections that were never given a session. Their request may still be on its way.
    asking: BTreeMap<DeviceNo, BTreeSet<PipeNo>>,
    began: BTreeSet<SessionId>,
    lost_gateways: BTreeSet<usize>,
    /// What each number ever meant.
    ever: BTreeMap<(SessionId, u64), &'a Class>,
}

pub(super) fn check(history: &History, found: &mut Vec<Violation>) {
    let mut check = Check {
        history,
        known: BTreeMap::new(),
        ids: BTreeMap::new(),
        told: BTreeSet::new(),
        asked: BTreeMap::new(),
        copies: BTreeMap::new(),
        current: BTreeMap::new(),
        newest: BTreeMap::new(),
        asking: BTreeMap::new(),
        began: BTreeSet::new(),
        lost_gateways: BTreeSet::new(),
        ever: history.entries.iter().filter_map(numbered).collect(),
    };
    for entry in &history.entries {
        if let Some(sentence) = check.see(entry) {
            found.push(Violation { promise: "P4", sentence, at: entry.at });
        }
    }
    for session in history.rested.connected.iter().flatten() {
        let last = check.known.get(session).and_then(|known| known.numbered.keys().last());
        if let Some((seq, class)) = check.lost(*session, last.map_or(0, |last| last + 1)) {
            let sentence = format!("frame {seq} ({class}) of session {session} never reached its device");
            found.push(Violation { promise: "P4", sentence, at: history.over });
        }
    }
}

fn numbered(entry: &Entry) -> Option<((SessionId, u64), &Class)> {
    match &entry.what {
        What::Numbered { session, seq, class, .. } => Some(((*session, *seq), class)),
        _ => None,
    }
}

impl Check<'_> {
    /// A frame before `next` that must not be missing, if one is.
    fn lost(&self, session: SessionId, next: u64) -> Option<(u64, String)> {
        let known = self.known.get(&session)?;
        // After a recovery from a copy that may be an old one the numbers leap.
        let leaps = next.saturating_sub(known.last_seq) > LEAP;
        let given =
            known.numbered.range(known.last_seq + 1..next.max(known.last_seq + 1)).map(|(seq, _)| *seq);
        let missing: Vec<u64> = if leaps { given.collect() } else { (known.last_seq + 1..next).collect() };
        for seq in missing {
            match known.numbered.get(&seq) {
                Some(Class::Message { .. }) => {}
                Some(Class::Outcome { number }) if self.is_told(session, *number) => {}
                Some(class) => return Some((seq, format!("{class:?}"))),
                None if known.unseen => {}
                // In a cluster it may be on its way still, to a gateway that the session has left.
                None if matches!(self.ever.get(&(session, seq)), Some(Class::Message { .. })) => {}
                None => return Some((seq, "never said".to_owned())),
            }
        }
        None
    }

    fn is_told(&self, session: SessionId, number: u64) -> bool {
        let id = self.ids.get(&Mid { session, number });
        id.is_some_and(|id| self.told.contains(&(session, id.clone())))
    }

    fn see(&mut self, entry: &Entry) -> Option<String> {
        match &entry.what {
            What::Numbered { island: true, .. } => {}
            What::Numbered { session, seq, class, bytes, .. } => {
                let known = self.known.entry(*session).or_default();
                known.numbered.insert(*seq, class.clone());
                known.said.insert(*seq, *bytes);
            }
            What::Said { session, seq, bytes } => {
                self.known.entry(*session).or_default().said.insert(*seq, *bytes);
            }
            What::Offered { user, session, last_seq } => {
                // What a hub that died had said beyond it reached nobody. A hub that lives forgets nothing.
                let known = self.known.entry(*session).or_default();
                known.user = Some(*user);
                if self.history.cluster {
                    // It may have been on its way while the session went on elsewhere.
                    return None;
                }
                let forgotten = known.numbered.split_off(&(last_seq + 1));
                if let Some((seq, class)) = forgotten.first_key_value().filter(|_| !known.hub_lost) {
                    return Some(format!("the hub forgot frame {seq} ({class:?}) of session {session}"));
                }
            }
            What::Announced { user, session, generation, last_seq } => {
                let copies = self.copies.entry(*user).or_default();
                let newest = copies.entry(*session).or_default();
                *newest = (*generation, *last_seq).max(*newest);
            }
            What::HubRecovered { user } => {
                // What the hub before had said beyond the newest copy reached nobody who lives.
                for (session, (_, last_seq)) in self.copies.remove(user).unwrap_or_default() {
                    self.known.entry(session).or_default().numbered.split_off(&(last_seq + 1));
                }
            }
            What::Connects { device, resume, pipe } => {
                self.asking.entry(*device).or_default().insert(*pipe);
                // An earlier attempt that was never welcome may have taken the session with it.
                if let Some(Some(before)) = self.asked.insert(*device, *resume) {
                    self.known.entry(before.session).or_default().copy_lost = true;
                }
            }
            What::Released { pipe, session } => {
                let known = self.known.entry(*session).or_default();
                if known.pipe == Some(*pipe) {
                    known.unseen = true;
                    known.copy_lost = true;
                }
            }
            What::Attached { device, session, gateway, pipe } => {
                let known = self.known.entry(*session).or_default();
                known.gateway = Some(*gateway);
                known.pipe = Some(*pipe);
                known.attached = true;
                // What the others do not count on keeps no copy for them.
                let lost = self.lost_gateways.contains(gateway);
                known.unseen |= lost;
                known.copy_lost |= lost;
                self.current.insert(*device, *session);
                self.newest.insert(*device, *pipe);
                self.asking.entry(*device).or_default().remove(pipe);
            }
            What::Detached { session, how, .. } => {
                let known = self.known.entry(*session).or_default();
                known.attached = false;
                known.detached = Some((entry.at, *how));
                known.ended |= *how == Parted::Ended && !known.attached;
                known.unseen |= matches!(how, Parted::Crashed | Parted::Slow);
                known.copy_lost |= matches!(how, Parted::Crashed | Parted::Slow);
            }
            What::Closed { device, pipe, code: Some(CloseCode::Replaced) }
                if self.newest.get(device) == Some(pipe)
                    && self.asking.get(device).is_none_or(|asking| asking.range(..pipe).next().is_none()) =>
            {
                return Some(format!("device {device} was replaced on its newest connection"));
            }
            What::GatewayCrashed { gateway } | What::GatewayEvicted { gateway } => {
                self.lost_gateways.insert(*gateway);
                for known in self.known.values_mut().filter(|known| known.gateway == Some(*gateway)) {
                    if known.attached {
                        known.attached = false;
                        known.detached = Some((entry.at, Parted::Crashed));
                    }
                    known.unseen = true;
                    known.copy_lost = true;
                }
            }
            What::HubCrashed { user, .. } => {
                self.copies.remove(user);
                // Who was just asking for a session may have been given it by the hub that died.
                for (device, asked) in &self.asked {
                    if let Some(resume) = asked.filter(|_| self.history.devices[*device].user == *user) {
                        let known = self.known.entry(resume.session).or_default();
                        known.copy_lost = true;
                        known.hub_lost = true;
                    }
                }
                // Some of them were offered, and no gateway has them yet.
                for known in self.known.values_mut().filter(|known| known.user == Some(*user)) {
                    known.hub_lost = true;
                }
            }
            What::Removed { device } | What::Revoked { device } => {
                if let Some(session) = self.current.get(device) {
                    self.known.entry(*session).or_default().ended = true;
                }
            }
            What::Welcomed { device, session, resumed, .. } => {
                return self.welcome(entry.at, *device, *session, *resumed);
            }
            What::Submitted { session, tag, number, .. } => {
                if let Some(id) = &self.history.written[*tag].id {
                    self.ids.insert(Mid { session: *session, number: *number }, id.clone());
                }
            }
            What::Heard { session, seq: None, said: Said::Outcome { id, .. }, .. } => {
                self.told.insert((*session, id.clone()));
            }
            What::Heard { device, session, seq: Some(seq), .. } => {
                let known = self.known.entry(*session).or_default();
                if *seq <= known.last_seq {
                    return Some(format!("frame {seq} of session {session} came to device {device} twice"));
                }
                let lost = self.lost(*session, *seq);
                self.known.entry(*session).or_default().last_seq = *seq;
                if let Some((missing, class)) = lost {
                    return Some(format!(
                        "device {device} heard frame {seq} of session {session} without frame {missing} ({class})"
                    ));
                }
            }
            _ => {}
        }
        None
    }

    fn welcome(&mut self, at: Millis, device: DeviceNo, session: SessionId, resumed: bool) -> Option<String> {
        let asked = self.asked.insert(device, None).flatten();
        if resumed {
            self.known.entry(session).or_default().copy_lost = false;
            return match asked {
                Some(resume) if resume.session == session => None,
                _ => Some(format!("device {device} resumed session {session}, which it had not asked for")),
            };
        }
        if !self.began.insert(session) {
            return Some(format!("device {device} got session {session} as new, which was there before"));
        }
        let resume = asked?;
        let known = self.known.entry(resume.session).or_default();
        let limits = &self.history.limits;
        let late = known
            .detached
            .is_some_and(|(since, _)| since + limits.resume_window <= at + self.history.transit);
        let after = known.said.range(resume.last_seq + 1..);
        let (frames, bytes) = after.fold((0, 0), |(frames, sum), (_, bytes)| (frames + 1, sum + bytes));
        // What the attach itself settled is said to the session too, and never seen if the session ends by it.
        let overflowed = 2 * frames >= limits.window_frames || 2 * bytes >= limits.window_bytes;
        let lost = known.hub_lost && known.copy_lost;
        if late || overflowed || lost || known.unseen || known.ended {
            return None;
        }
        Some(format!("device {device} came back in time and could not go on with session {}", resume.session))
    }
}
