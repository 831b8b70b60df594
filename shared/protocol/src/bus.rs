//! What gateways and hubs say to each other.
//!
//! One gateway and one hub are joined by a link that keeps order and loses nothing for as long as both live. A hub
//! that is started anew asks every gateway for a [`Replica`] of each of the user's sessions, and goes on from
//! there. The gateway's copy of a session is never behind what the device has seen, because everything that the
//! device sees passes through it; the hub's copy is never behind the gateway's. So either can be lost.

use std::sync::Arc;

use uuid::Uuid;

use crate::client::{Command, Ufrag};
use crate::objects::{Device, Stream, StreamStats, StreamType};
use crate::server::Body;
use crate::{CloseCode, ConnId, DeviceId, GatewayId, MessageId, Mid, Millis, SessionId, StreamId, UserId};

/// A frame to the hub of one user.
#[derive(Clone, Debug, PartialEq)]
pub struct ToHub {
    /// Whose hub.
    pub user: UserId,
    /// What it is told.
    pub up: Up,
}

/// What a hub is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Up {
    /// A device connected; the hub answers [`Down::Attached`] or [`Down::Refused`].
    Attach(ConnId, Box<Attach>),
    /// A device sent a command.
    Message(ConnId, Box<Message>),
    /// Everything up to this `seq` was confirmed by the device (a simple client: taken by its socket).
    Ack(ConnId, u64),
    /// The socket is gone.
    Detach(ConnId, Detach),
    /// The connection's task ended and holds nothing any more.
    Gone(ConnId),
    /// The answer to [`ToGateway::Roll`]: the connections of this user that will announce themselves.
    Roster {
        /// Who answers.
        gateway: GatewayId,
        /// Which incarnation of the hub had asked.
        epoch: u64,
        /// Each of them sends an [`Up::Announce`] or is [`Up::Gone`].
        conns: Vec<ConnId>,
    },
    /// A session as its gateway knows it.
    Announce {
        /// The connection that holds it.
        conn: ConnId,
        /// Which incarnation of the hub had asked.
        epoch: u64,
        /// The session.
        replica: Box<Replica>,
    },
    /// The account's devices changed by HTTP.
    Devices(DeviceChange),
    /// The store was asked for the user and has none: the hub should look for itself.
    Recheck,
    /// A sign-in was revoked: its sessions end.
    Revoke {
        /// The refresh family of the sign-in.
        family: Uuid,
    },
    /// Who is online? Answered with [`ToGateway::Online`].
    WhoIsOnline {
        /// The gateway that asks.
        gateway: GatewayId,
        /// Its number for the question.
        request: u64,
    },
}

/// A connection that wants a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Attach {
    /// Counts the requests of this connection: it asks anew when a new hub asks who is there.
    pub attempt: u32,
    /// The device, by the client's own name.
    pub device: DeviceId,
    /// What people call it, for its registration.
    pub name: Option<Arc<str>>,
    /// Its type, for its registration.
    pub device_type: Option<Arc<str>>,
    /// The sign-in that it came with.
    pub family: Uuid,
    /// What the client can do.
    pub caps: Caps,
    /// The session that it wants to go on with, and the last `seq` that it has.
    pub resume: Option<Resume>,
}

/// What a client can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// It speaks `streamz.v1`: it acknowledges and may resume.
    pub acks: bool,
    /// How many streams it takes at a time.
    pub max_streams: u16,
}

/// A session that a client wants to go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Which.
    pub session: SessionId,
    /// The last `seq` that arrived.
    pub last_seq: u64,
}

/// A command with what delivery needs to know of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Counts the session's messages from 1; with the session it is the `mid`.
    pub number: u64,
    /// The client's name for it; without one there is no outcome.
    pub id: Option<MessageId>,
    /// The device that it is meant for; without it, all others.
    pub to: Option<DeviceId>,
    /// See [`crate::client::Draft::digest`].
    pub digest: u64,
    /// When the gateway took it.
    pub accepted_at: Millis,
    /// What is meant.
    pub command: Command,
}

/// How a socket went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detach {
    /// With a close frame from the client.
    Clean,
    /// Without one.
    Lost,
    /// Closed by the gateway: the device did not read.
    Slow {
        /// The last `seq` that was handed to the socket: nothing after it can have arrived.
        handed: u64,
    },
}

/// A change that came by HTTP.
#[derive(Clone, Debug, PartialEq)]
pub enum DeviceChange {
    /// A device was registered or changed.
    Put(Box<Device>),
    /// A device was removed.
    Removed(DeviceId),
}

/// A frame to a gateway.
#[derive(Clone, Debug, PartialEq)]
pub enum ToGateway {
    /// To one of its connections.
    Conn(ConnId, Down),
    /// Every connection of this user: announce yourself. Answered with [`Up::Roster`].
    Roll {
        /// Whose.
        user: UserId,
        /// The incarnation of the hub that asks.
        epoch: u64,
    },
    /// The answer to [`Up::WhoIsOnline`].
    Online {
        /// The question's number.
        request: u64,
        /// The devices that others are told are online.
        devices: Vec<DeviceId>,
    },
}

/// What a connection is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Down {
    /// The session is there.
    Attached(Box<Attached>),
    /// There will be none; close with this code and sentence.
    Refused(CloseCode),
    /// Frames and copies, to be taken as one.
    Batch(Vec<Item>),
    /// The session is over, or somebody else's: close with this code and forget it.
    Close(CloseCode),
    /// The resume window is over: forget the session.
    Forget,
}

/// One thing in a [`Down::Batch`].
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A frame for the device.
    Frame(Frame),
    /// A frame that needs no `seq`.
    Plain(Body),
    /// A copy of a stream that the device is a party of.
    Stream(Box<LiveStream>),
    /// The device takes no part in that stream any more.
    StreamOver(Over),
}

/// A sequenced frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Its place in the session.
    pub seq: u64,
    /// What it means to delivery.
    pub class: Class,
    /// The text.
    pub body: Body,
}

/// What a frame means to delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// A relayed message. It has an outcome to wait for, and must not come twice.
    Message {
        /// Which.
        mid: Mid,
        /// It was held back, so that later numbers of its sender went before it.
        late: bool,
    },
    /// A device came or went.
    Presence {
        /// Which.
        device: DeviceId,
        /// Came.
        online: bool,
    },
    /// The outcome of the message with this number.
    Outcome {
        /// The session's own number for the message.
        number: u64,
    },
    /// Something else that a snapshot shows as well.
    State,
}

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
