//! What the two sides keep of a session: its copy at the hub, its copy at the gateway, and what these are made of.

use minicbor::{Decode, Encode};
use uuid::Uuid;

use super::{Caps, Detach, Frame, Message};
use crate::client::Ufrag;
use crate::objects::{Device, Stream, StreamStats, StreamType};
use crate::server::Body;
use crate::{DeviceId, MessageId, Mid, Millis, SessionId, StreamId, TraceContext};

/// A session as the hub hands it to a connection.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(context_bound = "crate::wire::Now")]
pub struct Attached {
    /// The request that this answers; an earlier one counts for nothing.
    #[n(0)]
    pub attempt: u32,
    /// The session.
    #[n(1)]
    pub session: SessionId,
    /// Raised by each attach; the lower one yields.
    #[n(2)]
    pub generation: u64,
    /// Whether the client's session goes on.
    #[n(3)]
    pub resumed: bool,
    /// This device.
    #[n(4)]
    pub device: Device,
    /// All of the user's devices.
    #[n(5)]
    pub devices: Vec<Device>,
    /// Devices that are shown online to this session and are not in the list yet.
    #[n(6)]
    pub missed: Vec<DeviceId>,
    /// The user's live streams.
    #[n(7)]
    pub streams: Vec<Stream>,
    /// Everything up to here is confirmed.
    #[n(8)]
    pub acked: u64,
    /// The last `seq` that was used.
    #[n(9)]
    pub last_seq: u64,
    /// Whether a message ever fell out of the window before it was confirmed.
    #[n(10)]
    pub lossy: bool,
    /// The highest frame, other than a message, that fell out of the window before it was confirmed.
    #[n(11)]
    pub floor: u64,
    /// The frames after it, in order; some numbers may be missing.
    #[n(12)]
    pub replay: Vec<Frame>,
    /// The number that the next new message gets.
    #[n(13)]
    pub next_number: u64,
    /// Messages without an outcome.
    #[n(14)]
    pub open: Vec<Open>,
    /// Outcomes that can be repeated.
    #[n(15)]
    pub settled: Vec<Settled>,
    /// What this session has of each sender.
    #[n(16)]
    pub heard: Vec<Heard>,
    /// Copies of the streams that this device is a party of.
    #[n(17)]
    pub live: Vec<LiveStream>,
}

/// A message without an outcome, as the hub knows it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(context_bound = "crate::wire::Now")]
pub struct Open {
    /// Its number.
    #[n(0)]
    pub number: u64,
    /// The client's name for it.
    #[n(1)]
    pub id: MessageId,
    /// Its content.
    #[n(2)]
    pub digest: u64,
    /// When it was accepted.
    #[n(3)]
    pub accepted_at: Millis,
}

/// An outcome that can be repeated.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(context_bound = "crate::wire::Now")]
pub struct Settled {
    /// The client's name for the message.
    #[n(0)]
    pub id: MessageId,
    /// The message's content.
    #[n(1)]
    pub digest: u64,
    /// The frame that said it.
    #[n(2)]
    pub outcome: Body,
    /// When it was settled.
    #[n(3)]
    pub at: Millis,
}

/// What a receiving session has of one sending session.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Heard {
    /// The sender.
    #[n(0)]
    pub sender: SessionId,
    /// Everything up to this number was seen or was not for this session, but for what was held back.
    #[n(1)]
    pub up_to: u64,
    /// Numbers that came late, the newest last.
    #[n(2)]
    pub late: Vec<u64>,
}

/// A session as its gateway knows it, announced to a hub that was started anew.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(context_bound = "crate::wire::Now")]
pub struct Replica {
    /// The session.
    #[n(0)]
    pub session: SessionId,
    /// Of the attach that this connection made.
    #[n(1)]
    pub generation: u64,
    /// The device.
    #[n(2)]
    pub device: Device,
    /// The sign-in.
    #[cbor(n(3), with = "crate::wire::codec::foreign")]
    pub family: Uuid,
    /// What the client can do.
    #[n(4)]
    pub caps: Caps,
    /// Since when the socket is gone, and how it went; `None` while it is there.
    #[cbor(n(5), with = "crate::wire::codec::whole")]
    pub away: Option<(Millis, Detach)>,
    /// Everything up to here is confirmed.
    #[n(6)]
    pub acked: u64,
    /// The last `seq` that was handed to the device.
    #[n(7)]
    pub last_seq: u64,
    /// The frames that are not confirmed.
    #[n(8)]
    pub window: Vec<Frame>,
    /// The number that the next new message gets.
    #[n(9)]
    pub next_number: u64,
    /// Messages without an outcome, in order.
    #[n(10)]
    pub open: Vec<OpenMessage>,
    /// Outcomes that can be repeated.
    #[n(11)]
    pub settled: Vec<Settled>,
    /// What this session has of each sender.
    #[n(12)]
    pub heard: Vec<Heard>,
    /// The devices that this session was told are online.
    #[n(13)]
    pub view: Vec<DeviceId>,
    /// Copies of the streams that this device is a party of.
    #[n(14)]
    pub live: Vec<LiveStream>,
    /// The last streams of this device that ended; see [`OVER_KEPT`].
    #[n(15)]
    pub over: Vec<Over>,
    /// Whether a message ever fell out of the window before it was confirmed.
    #[n(16)]
    pub lossy: bool,
    /// The highest frame, other than a message, that fell out of the window before it was confirmed.
    #[n(17)]
    pub floor: u64,
    /// The last messages that the device confirmed, the newest last; see [`CONFIRMED_KEPT`].
    #[n(18)]
    #[cbor(default)]
    pub confirmed: Vec<Mid>,
}

/// Confirmed messages that a session remembers for a hub that is started anew: the hub before it may have died before it
/// told their senders.
pub const CONFIRMED_KEPT: usize = 64;

/// Ended streams that a session remembers for a hub that is started anew.
pub const OVER_KEPT: usize = 16;

/// Late numbers that are remembered of each sender.
pub const LATE_KEPT: usize = 64;

/// A stream that a device takes no part in any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Over {
    /// The stream.
    #[n(0)]
    pub id: StreamId,
    /// The message that began it.
    #[n(1)]
    pub origin: Mid,
    /// Whether it is over for everybody.
    #[n(2)]
    pub ended: bool,
}

/// A message without an outcome, as the gateway knows it.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(context_bound = "crate::wire::Now")]
pub enum OpenMessage {
    /// With its content.
    #[n(0)]
    Whole(#[n(0)] Box<Message>),
    /// With its content, which the device has sent again since its session moved here, maybe after later numbers.
    #[n(1)]
    Again(#[n(0)] Box<Message>),
    /// The device is about to send it again.
    #[n(2)]
    Awaited(#[n(0)] Open),
}

/// A stream with all that a hub must know to go on with it.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(context_bound = "crate::wire::Now")]
pub struct LiveStream {
    /// The stream.
    #[n(0)]
    pub id: StreamId,
    /// Raised by each change; the higher one rules.
    #[n(1)]
    pub revision: u64,
    /// The message that began it, so that it is not begun twice.
    #[n(2)]
    pub origin: Mid,
    /// The device that began it.
    #[n(3)]
    pub initiator: DeviceId,
    /// The device that sends the media.
    #[n(4)]
    pub source: DeviceId,
    /// What flows.
    #[n(5)]
    pub stream_type: StreamType,
    /// When the ring began.
    #[n(6)]
    pub started_at: Millis,
    /// Every device that rang.
    #[n(7)]
    pub rung: Vec<DeviceId>,
    /// The devices that still ring; empty once one has accepted.
    #[n(8)]
    pub ringing: Vec<DeviceId>,
    /// The device that accepted.
    #[n(9)]
    pub accepted: Option<DeviceId>,
    /// What the parties measured.
    #[n(10)]
    pub stats: StreamStats,
    /// The ICE generations of each party.
    #[n(11)]
    pub ice: Vec<IceGenerations>,
    /// How far it has come, once it has come further than to ring, or if it is traced. Nothing is decided by it.
    #[n(12)]
    pub progress: Option<Box<Progress>>,
}

/// How far a stream has come, and its trace: for whoever counts and traces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(context_bound = "crate::wire::Now")]
pub struct Progress {
    /// When a device took the ring.
    #[n(0)]
    pub accepted_at: Option<Millis>,
    /// When the first offer was relayed.
    #[n(1)]
    pub offered_at: Option<Millis>,
    /// When the first answer was relayed.
    #[n(2)]
    pub answered_at: Option<Millis>,
    /// When a party had measured it for the first time.
    #[n(3)]
    pub connected_at: Option<Millis>,
    /// The trace of the call, if it is recorded.
    #[n(4)]
    pub trace: Option<TraceContext>,
}

/// The ICE generations that one party has named in its offers and answers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct IceGenerations {
    /// The party.
    #[n(0)]
    pub device: DeviceId,
    /// Of its last offer or answer.
    #[n(1)]
    pub current: Vec<Ufrag>,
    /// Of earlier ones; the oldest are forgotten.
    #[n(2)]
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
