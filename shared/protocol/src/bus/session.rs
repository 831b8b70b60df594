//! What the two sides keep of a session: its copy at the hub, its copy at the gateway, and what these are made of.

use minicbor::{Decode, Encode};
use uuid::Uuid;

use super::{Caps, Detach, Frame, Message};
use crate::client::Ufrag;
use crate::objects::{Device, Stream, StreamStats, StreamType};
use crate::server::Body;
use crate::{DeviceId, MessageId, Mid, Millis, SessionId, StreamId};

/// A session as the hub hands it to a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Attached {
    /// The request that this answers; an earlier one counts for nothing.
    pub attempt: u32,
    /// The session.
    pub session: SessionId,
    /// Raised by each attach; the lower one yields.
    pub generation: u64,
    /// Whether the client's session goes on.
    pub resumed: bool,
    /// This device.
    pub device: Device,
    /// All of the user's devices.
    pub devices: Vec<Device>,
    /// Devices that are shown online to this session and are not in the list yet.
    pub missed: Vec<DeviceId>,
    /// The user's live streams.
    pub streams: Vec<Stream>,
    /// Everything up to here is confirmed.
    pub acked: u64,
    /// The last `seq` that was used.
    pub last_seq: u64,
    /// Whether a message ever fell out of the window before it was confirmed.
    pub lossy: bool,
    /// The highest frame, other than a message, that fell out of the window before it was confirmed.
    pub floor: u64,
    /// The frames after it, in order; some numbers may be missing.
    pub replay: Vec<Frame>,
    /// The number that the next new message gets.
    pub next_number: u64,
    /// Messages without an outcome.
    pub open: Vec<Open>,
    /// Outcomes that can be repeated.
    pub settled: Vec<Settled>,
    /// What this session has of each sender.
    pub heard: Vec<Heard>,
    /// Copies of the streams that this device is a party of.
    pub live: Vec<LiveStream>,
}

/// A message without an outcome, as the hub knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Its number.
    pub number: u64,
    /// The client's name for it.
    pub id: MessageId,
    /// Its content.
    pub digest: u64,
    /// When it was accepted.
    pub accepted_at: Millis,
}

/// An outcome that can be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The client's name for the message.
    pub id: MessageId,
    /// The message's content.
    pub digest: u64,
    /// The frame that said it.
    pub outcome: Body,
    /// When it was settled.
    pub at: Millis,
}

/// What a receiving session has of one sending session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The sender.
    pub sender: SessionId,
    /// Everything up to this number was seen or was not for this session, but for what was held back.
    pub up_to: u64,
    /// Numbers that came late, the newest last.
    pub late: Vec<u64>,
}

/// A session as its gateway knows it, announced to a hub that was started anew.
#[derive(Clone, Debug, PartialEq)]
pub struct Replica {
    /// The session.
    pub session: SessionId,
    /// Of the attach that this connection made.
    pub generation: u64,
    /// The device.
    pub device: Device,
    /// The sign-in.
    pub family: Uuid,
    /// What the client can do.
    pub caps: Caps,
    /// Since when the socket is gone, and how it went; `None` while it is there.
    pub away: Option<(Millis, Detach)>,
    /// Everything up to here is confirmed.
    pub acked: u64,
    /// The last `seq` that was handed to the device.
    pub last_seq: u64,
    /// The frames that are not confirmed.
    pub window: Vec<Frame>,
    /// The number that the next new message gets.
    pub next_number: u64,
    /// Messages without an outcome, in order.
    pub open: Vec<OpenMessage>,
    /// Outcomes that can be repeated.
    pub settled: Vec<Settled>,
    /// What this session has of each sender.
    pub heard: Vec<Heard>,
    /// The devices that this session was told are online.
    pub view: Vec<DeviceId>,
    /// Copies of the streams that this device is a party of.
    pub live: Vec<LiveStream>,
    /// The last streams of this device that ended; see [`OVER_KEPT`].
    pub over: Vec<Over>,
    /// Whether a message ever fell out of the window before it was confirmed.
    pub lossy: bool,
    /// The highest frame, other than a message, that fell out of the window before it was confirmed.
    pub floor: u64,
}

/// Ended streams that a session remembers for a hub that is started anew.
pub const OVER_KEPT: usize = 16;

/// Late numbers that are remembered of each sender.
pub const LATE_KEPT: usize = 64;

/// A stream that a device takes no part in any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// The stream.
    pub id: StreamId,
    /// The message that began it.
    pub origin: Mid,
    /// Whether it is over for everybody.
    pub ended: bool,
}

/// A message without an outcome, as the gateway knows it.
#[derive(Clone, Debug, PartialEq)]
pub enum OpenMessage {
    /// With its content.
    Whole(Box<Message>),
    /// With its content, which the device has sent again since its session moved here, maybe after later numbers.
    Again(Box<Message>),
    /// The device is about to send it again.
    Awaited(Open),
}

/// A stream with all that a hub must know to go on with it.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveStream {
    /// The stream.
    pub id: StreamId,
    /// Raised by each change; the higher one rules.
    pub revision: u64,
    /// The message that began it, so that it is not begun twice.
    pub origin: Mid,
    /// The device that began it.
    pub initiator: DeviceId,
    /// The device that sends the media.
    pub source: DeviceId,
    /// What flows.
    pub stream_type: StreamType,
    /// When the ring began.
    pub started_at: Millis,
    /// Every device that rang.
    pub rung: Vec<DeviceId>,
    /// The devices that still ring; empty once one has accepted.
    pub ringing: Vec<DeviceId>,
    /// The device that accepted.
    pub accepted: Option<DeviceId>,
    /// What the parties measured.
    pub stats: StreamStats,
    /// The ICE generations of each party.
    pub ice: Vec<IceGenerations>,
}

/// The ICE generations that one party has named in its offers and answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceGenerations {
    /// The party.
    pub device: DeviceId,
    /// Of its last offer or answer.
    pub current: Vec<Ufrag>,
    /// Of earlier ones; the oldest are forgotten.
    pub older: Vec<Ufrag>,
}

impl Heard {
    /// Takes note of a frame with this number.
    pub fn note(&mut self, number: u64, late: bool) {
        if late {
            if self.late.len() >= LATE_KEPT {
                self.late.remove(0);
            }
            self.late.push(number);
        } else {
            self.up_to = self.up_to.max(number);
        }
    }
}

/// Notes in a list of [`Heard`] that a session received `mid`.
pub fn note_heard(heard: &mut Vec<Heard>, mid: Mid, late: bool) {
    match heard.iter_mut().find(|heard| heard.sender == mid.session) {
        Some(known) => known.note(mid.number, late),
        None => {
            let mut fresh = Heard { sender: mid.session, up_to: 0, late: Vec::new() };
            fresh.note(mid.number, late);
            heard.push(fresh);
        }
    }
}
