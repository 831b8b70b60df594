//! What goes in and what comes out.

use std::sync::Arc;

use streamz_protocol::bus::{Attach, Down, Up};
use streamz_protocol::objects::IceServer;
use streamz_protocol::server::Body;
use streamz_protocol::{CloseCode, ConnId, Limits, Millis, UserId};
use uuid::Uuid;

/// What is known of a connection before its session begins.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The connection.
    pub conn: ConnId,
    /// Whose it is.
    pub user: UserId,
    /// What it asks of the hub.
    pub attach: Attach,
    /// When its access token lapses.
    pub token_expires: Millis,
    /// STUN and TURN servers with fresh credentials.
    pub ice_servers: Vec<IceServer>,
    /// When those credentials should be renewed.
    pub ice_renew_at: Option<Millis>,
    /// The limits in force.
    pub limits: Arc<Limits>,
}

/// What the shell gives to each call.
pub struct Context<'a> {
    /// The time.
    pub now: Millis,
    /// Asks the rate limiter for one message.
    pub permit: &'a mut dyn FnMut() -> bool,
}

/// What a session is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// A text frame from the device.
    Text(&'a str),
    /// A frame that no client of this protocol sends.
    Violation(Violation),
    /// Any other sign of life: a ping or a pong.
    Alive,
    /// So many pings, pongs and pieces of messages that they weigh as much as one message.
    Idle,
    /// The hub says something.
    Down(Down),
    /// A new hub asks for this session.
    Roll {
        /// The hub's incarnation.
        epoch: u64,
    },
    /// A message could not be handed to the hub: its queue is full.
    HubFull {
        /// The number of the message.
        number: u64,
    },
    /// The socket took this many bytes of what was sent, up to this `seq`.
    Written {
        /// Bytes of rendered frames.
        bytes: usize,
        /// The highest `seq` among them.
        seq: Option<u64>,
    },
    /// The socket is gone; `clean` if the device closed it.
    SocketGone {
        /// With a close frame from the device.
        clean: bool,
    },
    /// The answer to [`Effect::CheckToken`]; `None` if the token is not valid.
    TokenChecked(Option<TokenFacts>),
    /// The answer to [`Effect::RenewIce`].
    IceServers {
        /// The new list.
        servers: Vec<IceServer>,
        /// When it should be renewed.
        renew_at: Option<Millis>,
    },
    /// This gateway is draining: the device should come back after this many milliseconds.
    Drain {
        /// How long the device should wait.
        after_ms: u64,
    },
    /// The socket has to be closed with this code; the session may be resumed.
    Close(CloseCode),
    /// Something that the hub said was lost on the way here: the device reads too slowly.
    Overflowed,
    /// Time has passed; due when [`crate::Session::next_deadline`] says so.
    Tick,
}

/// What is wrong with a frame that no client of this protocol sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// It is larger than the limit.
    TooLarge,
    /// It is something else than text in a WebSocket frame; the sentence says what.
    Broken(&'static str),
}

/// What a valid token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenFacts {
    /// Whose it is.
    pub user: UserId,
    /// The sign-in that it came from.
    pub family: Uuid,
    /// When it lapses.
    pub expires: Millis,
}

/// A frame for the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its place in the session, if it has one.
    pub seq: Option<u64>,
    /// The text without the place.
    pub body: Body,
}

impl Outgoing {
    /// The text.
    #[must_use]
    pub fn render(&self) -> String {
        self.body.render(self.seq)
    }

    /// How much it counts in the queue to the socket, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.body.len()
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send to the device.
    Send(Outgoing),
    /// Send a WebSocket ping.
    Ping,
    /// Close the socket with this code, after what was sent before it.
    Close(CloseCode),
    /// Tell the hub.
    Up(Up),
    /// Check this token; answer with [`Input::TokenChecked`].
    CheckToken(String),
    /// Make new credentials; answer with [`Input::IceServers`].
    RenewIce,
    /// Nothing is left: the task may end.
    End,
}
