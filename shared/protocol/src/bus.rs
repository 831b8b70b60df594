//! What gateways and hubs say to each other.
//!
//! One gateway and one hub are joined by a link that keeps order and loses nothing for as long as both live. A hub
//! that is started anew asks every gateway for a [`Replica`] of each of the user's sessions, and goes on from
//! there. The gateway's copy of a session is never behind what the device has seen, because everything that the
//! device sees passes through it; the hub's copy is never behind the gateway's. So either can be lost.

use std::sync::Arc;

use minicbor::{Decode, Encode};
use uuid::Uuid;

mod session;

pub use session::{
    Attached, Heard, IceGenerations, LATE_KEPT, LiveStream, OVER_KEPT, Open, OpenMessage, Over, Replica, Settled,
    note_heard,
};

use crate::client::Command;
use crate::objects::Device;
use crate::server::Body;
use crate::{CloseCode, ConnId, DeviceId, GatewayId, MessageId, Mid, Millis, SessionId, UserId};

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
