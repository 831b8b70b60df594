//! **Promise 7, nothing leaks.** No message, presence or record of one user reaches another, whatever is in the
//! payload. Every user's devices have the same names, so that a frame that strays finds a home.
//!
//! Of a history this demands that
//! * a relayed frame holds a message that a device of the same user wrote, under that device's name, unmangled, and
//!   carries the `mid` of a session of that device;
//! * a snapshot, an update of a device, and every row in a record belong to the user;
//! * a stream that a device hears of is one of the user's.

use std::collections::BTreeMap;

use streamz_protocol::{SessionId, StreamId};

use super::Violation;
use crate::history::{DeviceNo, Entry, History, Said, What};

pub(super) fn check(history: &History, found: &mut Vec<Violation>) {
    let mut sessions: BTreeMap<SessionId, DeviceNo> = BTreeMap::new();
    let mut streams: BTreeMap<StreamId, usize> = history.streams.clone();
    for Entry { at, what } in &history.entries {
        let mut leak = |sentence: String| found.push(Violation { promise: "P7", sentence, at: *at });
        match what {
            What::Attached { device, session, .. } => {
                let before = sessions.insert(*session, *device);
                if before.is_some_and(|other| other != *device) {
                    leak(format!("session {session} went from one device to another"));
                }
            }
            What::Recorded { user, record } => {
                streams.insert(record.id, *user);
                if record.user.0 != history.users[*user] {
                    leak(format!("the hub of user {user} wrote a record of user {}", record.user));
                }
                for row in record.source.iter().chain(&record.target) {
                    if history.rested.row_owners.get(row) != Some(user) {
                        leak(format!("the record of {} names the row {row} of another user", record.id));
                    }
                }
            }
            What::Welcomed { device, owners, streams: shown, .. } => {
                let user = history.devices[*device].user;
                if owners.iter().any(|owner| *owner != history.users[user]) {
                    leak(format!("device {device} was shown devices or streams of another user"));
                }
                for stream in shown {
                    if streams.get(stream) != Some(&user) {
                        leak(format!("device {device} was shown stream {stream} of another user"));
                    }
                }
            }
            What::Heard { device, mid, said, .. } => {
                let user = history.devices[*device].user;
                let ours = |stream: &StreamId| streams.get(stream) == Some(&user);
                match said {
                    Said::Updated { owner } if *owner != history.users[user] => {
                        leak(format!("device {device} heard of a device of another user"));
                    }
                    Said::Ringing { stream, .. }
                    | Said::Start { stream, .. }
                    | Said::Accept { stream, .. }
                    | Said::Decline { stream, .. }
                    | Said::End { stream, .. }
                        if !ours(stream) =>
                    {
                        leak(format!("device {device} heard of stream {stream} of another user"));
                    }
                    Said::Relayed { tag: None, .. } => {
                        leak(format!("device {device} heard a message that nobody wrote"));
                    }
                    Said::Relayed { tag: Some(tag), from, .. } => {
                        let writer = history.written[*tag].device;
                        let author = &history.devices[writer];
                        if author.user != user {
                            leak(format!(
                                "device {device} heard message {tag} of another user's device {writer}"
                            ));
                        } else if author.id != *from {
                            leak(format!("message {tag} of {} came under the name of {from}", author.id));
                        } else if mid.is_none_or(|mid| sessions.get(&mid.session) != Some(&writer)) {
                            leak(format!(
                                "message {tag} came under the mid of a session that is not its writer's"
                            ));
                        }
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}
