//! What gateways and hubs say to each other.
//!
//! One gateway and one hub are joined by a link that keeps order and loses nothing for as long as both live. A hub
//! that is started anew asks every gateway for a [`Replica`] of each of the user's sessions, and goes on from
//! there. The gateway's copy of a session is never behind what the device has seen, because everything that the
//! device sees passes through it; the hub's copy is never behind the gateway's. So either can be lost.

use std::sync::Arc;

use minicbor::{Decode, Encode};
use uuid::Uuid;

use crate::client::Command;
use crate::objects::Device;
use crate::server::Body;
use crate::{
    CloseCode, ConnId, DeviceId, GatewayId, MessageId, Mid, Millis, SessionId, TraceContext, UserId,
};

mod session;

pub use session::{
    Attached, CONFIRMED_KEPT, Heard, IceGenerations, LATE_KEPT, LiveStream, OVER_KEPT, Open, OpenMessage,
    Over, Progress, Replica, Settled, note_heard,
};

/// A frame to the hub of one user.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(context_bound = "crate::wire::Now")]
pub struct ToHub {
    /// Whose hub.
    #[n(0)]
    pub user: UserId,
    /// What it is told.
    #[n(1)]
    pub up: Up,
}

/// What a hub is told.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(context_bound = "crate::wire::Now")]
pub enum Up {
    /// A device connected; the hub answers [`Down::Attached`] or [`Down::Refused`].
    #[n(0)]
    Attach(#[n(0)] ConnId, #[n(1)] Box<Attach>),
    /// A device sent a command.
    #[n(1)]
    Message(#[n(0)] ConnId, #[n(1)] Box<Message>),
    /// Everything up to this `seq` was confirmed by the device (a simple client: taken by its socket).
    #[n(2)]
    Ack(#[n(0)] ConnId, #[n(1)] u64),
    /// The socket is gone.
    #[n(3)]
    Detach(#[n(0)] ConnId, #[n(1)] Detach),
    /// The connection's task ended and holds nothing any more.
    #[n(4)]
    Gone(#[n(0)] ConnId),
    /// The answer to [`ToGateway::Roll`]: the connections of this user that will announce themselves.
    #[n(5)]
    Roster {
        /// Who answers.
        #[n(0)]
        gateway: GatewayId,
        /// Which incarnation of the hub had asked.
        #[n(1)]
        epoch: u64,
        /// Each of them sends an [`Up::Announce`] or is [`Up::Gone`].
        #[n(2)]
        conns: Vec<ConnId>,
    },
    /// A session as its gateway knows it.
    #[n(6)]
    Announce {
        /// The connection that holds it.
        #[n(0)]
        conn: ConnId,
        /// Which incarnation of the hub had asked.
        #[n(1)]
        epoch: u64,
        /// The session.
        #[n(2)]
        replica: Box<Replica>,
    },
    /// The account's devices changed by HTTP.
    #[n(7)]
    Devices(#[n(0)] DeviceChange),
    /// The store was asked for the user and has none: the hub should look for itself.
    #[n(10)]
    Recheck,
    /// A sign-in was revoked: its sessions end.
    #[n(8)]
    Revoke {
        /// The refresh family of the sign-in.
        #[cbor(n(0), with = "crate::wire::codec::foreign")]
        family: Uuid,
    },
    /// Who is online? Answered with [`ToGateway::Online`].
    #[n(9)]
    WhoIsOnline {
        /// The gateway that asks.
        #[n(0)]
        gateway: GatewayId,
        /// Its number for the question.
        #[n(1)]
        request: u64,
    },
}

/// A connection that wants a session.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Attach {
    /// Counts the requests of this connection: it asks anew when a new hub asks who is there.
    #[n(0)]
    pub attempt: u32,
    /// The device, by the client's own name.
    #[n(1)]
    pub device: DeviceId,
    /// What people call it, for its registration.
    #[cbor(n(2), with = "crate::wire::codec::foreign")]
    pub name: Option<Arc<str>>,
    /// Its type, for its registration.
    #[cbor(n(3), with = "crate::wire::codec::foreign")]
    pub device_type: Option<Arc<str>>,
    /// The sign-in that it came with.
    #[cbor(n(4), with = "crate::wire::codec::foreign")]
    pub family: Uuid,
    /// What the client can do.
    #[n(5)]
    pub caps: Caps,
    /// The session that it wants to go on with, and the last `seq` that it has.
    #[n(6)]
    pub resume: Option<Resume>,
    /// The trace that it belongs to, if that is recorded.
    #[n(7)]
    pub trace: Option<TraceContext>,
}

/// What a client can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Caps {
    /// It speaks `streamz.v1`: it acknowledges and may resume.
    #[n(0)]
    pub acks: bool,
    /// How many streams it takes at a time.
    #[n(1)]
    pub max_streams: u16,
}

/// A session that a client wants to go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Resume {
    /// Which.
    #[n(0)]
    pub session: SessionId,
    /// The last `seq` that arrived.
    #[n(1)]
    pub last_seq: u64,
}

/// A command with what delivery needs to know of it.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(context_bound = "crate::wire::Now")]
pub struct Message {
    /// Counts the session's messages from 1; with the session it is the `mid`.
    #[n(0)]
    pub number: u64,
    /// The client's name for it; without one there is no outcome.
    #[n(1)]
    pub id: Option<MessageId>,
    /// The device that it is meant for; without it, all others.
    #[n(2)]
    pub to: Option<DeviceId>,
    /// See [`crate::client::Draft::digest`].
    #[n(3)]
    pub digest: u64,
    /// When the gateway took it.
    #[n(4)]
    pub accepted_at: Millis,
    /// What is meant.
    #[n(5)]
    pub command: Command,
    /// The trace that it belongs to, if that is recorded.
    #[n(6)]
    pub trace: Option<TraceContext>,
}

/// How a socket went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Detach {
    /// With a close frame from the client.
    #[n(0)]
    Clean,
    /// Without one.
    #[n(1)]
    Lost,
    /// Closed by the gateway: the device did not read.
    #[n(2)]
    Slow {
        /// The last `seq` that was handed to the socket: nothing after it can have arrived.
        #[n(0)]
        handed: u64,
    },
}

/// A change that came by HTTP.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum DeviceChange {
    /// A device was registered or changed.
    #[n(0)]
    Put(#[n(0)] Box<Device>),
    /// A device was removed.
    #[n(1)]
    Removed(#[n(0)] DeviceId),
}

/// A frame to a gateway.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(context_bound = "crate::wire::Now")]
pub enum ToGateway {
    /// To one of its connections; with the trace that it belongs to, if that is recorded.
    #[n(0)]
    Conn(#[n(0)] ConnId, #[n(1)] Down, #[n(2)] Option<TraceContext>),
    /// Every connection of this user: announce yourself. Answered with [`Up::Roster`].
    #[n(1)]
    Roll {
        /// Whose.
        #[n(0)]
        user: UserId,
        /// The incarnation of the hub that asks.
        #[n(1)]
        epoch: u64,
    },
    /// The answer to [`Up::WhoIsOnline`].
    #[n(2)]
    Online {
        /// The question's number.
        #[n(0)]
        request: u64,
        /// The devices that others are told are online.
        #[n(1)]
        devices: Vec<DeviceId>,
    },
}

/// What a connection is told.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(context_bound = "crate::wire::Now")]
pub enum Down {
    /// The session is there.
    #[n(0)]
    Attached(#[n(0)] Box<Attached>),
    /// There will be none; close with this code and sentence.
    #[n(1)]
    Refused(#[n(0)] CloseCode),
    /// Frames and copies, to be taken as one.
    #[n(2)]
    Batch(#[n(0)] Vec<Item>),
    /// The session is over, or somebody else's: close with this code and forget it.
    #[n(3)]
    Close(#[n(0)] CloseCode),
    /// The resume window is over: forget the session.
    #[n(4)]
    Forget,
}

/// One thing in a [`Down::Batch`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(context_bound = "crate::wire::Now")]
pub enum Item {
    /// A frame for the device.
    #[n(0)]
    Frame(#[n(0)] Frame),
    /// A frame that needs no `seq`.
    #[n(1)]
    Plain(#[n(0)] Body),
    /// A copy of a stream that the device is a party of.
    #[n(2)]
    Stream(#[n(0)] Box<LiveStream>),
    /// The device takes no part in that stream any more.
    #[n(3)]
    StreamOver(#[n(0)] Over),
}

/// A sequenced frame.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Frame {
    /// Its place in the session.
    #[n(0)]
    pub seq: u64,
    /// What it means to delivery.
    #[n(1)]
    pub class: Class,
    /// The text.
    #[n(2)]
    pub body: Body,
}

/// What a frame means to delivery.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Class {
    /// A relayed message. It has an outcome to wait for, and must not come twice.
    #[n(0)]
    Message {
        /// Which.
        #[n(0)]
        mid: Mid,
        /// It was held back, so that later numbers of its sender went before it.
        #[n(1)]
        late: bool,
    },
    /// A device came or went.
    #[n(1)]
    Presence {
        /// Which.
        #[n(0)]
        device: DeviceId,
        /// Came.
        #[n(1)]
        online: bool,
    },
    /// The outcome of the message with this number.
    #[n(2)]
    Outcome {
        /// The session's own number for the message.
        #[n(0)]
        number: u64,
    },
    /// Something else that a snapshot shows as well.
    #[n(3)]
    State,
}
