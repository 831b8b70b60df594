//! What goes into a session and what comes out of it.

use std::time::Duration;

use streamz_protocol::server::ServerMessage;
use streamz_protocol::{Limits, StreamId};

use crate::event::{Event, Outcome};

/// What bounds a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Speak `streamz.v1`: acknowledge, resume, send again. Without it, everything ends with the socket.
    pub reliable: bool,
    /// Messages that may wait for their outcome or for the socket.
    pub max_messages: usize,
    /// The same, in bytes of JSON text.
    pub max_bytes: usize,
    /// The largest message that is sent, in bytes of JSON text.
    pub max_frame: usize,
}

impl Default for Options {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            reliable: true,
            max_messages: limits.unsettled,
            max_bytes: limits.unsettled_bytes,
            max_frame: limits.frame_bytes,
        }
    }
}

/// What one frame from the server led to.
#[derive(Debug, PartialEq)]
pub struct Heard<W> {
    /// For the program.
    pub event: Option<Event>,
    /// For the sender of a message: its one outcome.
    pub settled: Option<Settled<W>>,
    /// For the shell.
    pub duty: Option<Duty>,
}

/// A message that has its outcome.
#[derive(Debug, PartialEq, Eq)]
pub struct Settled<W> {
    /// Who waits for it.
    pub waiter: W,
    /// How it ended.
    pub outcome: Outcome,
    /// The stream that it started, if it did.
    pub stream: Option<StreamId>,
}

/// What the server wants of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// A new token by [`crate::session::Session::authenticate`] within this time.
    RenewToken {
        /// Until the old one lapses.
        within: Duration,
    },
    /// Connect anew after this time.
    Move {
        /// How long to wait first.
        after: Duration,
    },
}

/// What a session counts, from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages sent for the first time.
    pub sent: u64,
    /// Messages sent again after a reconnect.
    pub sent_again: u64,
    /// Messages without `id` that were given up with a connection before they reached it.
    pub unsent: u64,
    /// `ack` frames sent.
    pub acks: u64,
    /// Frames received.
    pub received: u64,
    /// Frames dropped because their `seq` had been there.
    pub repeated_seq: u64,
    /// Frames dropped because their `mid` had been there.
    pub repeated_mid: u64,
    /// Outcomes of messages that had theirs already, or were never sent.
    pub stray_outcomes: u64,
}

impl<W> Heard<W> {
    pub(super) fn nothing() -> Self {
        Self { event: None, settled: None, duty: None }
    }

    pub(super) fn event(event: Event) -> Self {
        Self { event: Some(event), ..Self::nothing() }
    }
}

impl Duty {
    /// What `message` wants, if it wants something.
    pub(super) fn of(message: &ServerMessage) -> Option<Self> {
        match message {
            ServerMessage::TokenExpiring { expires_in } => {
                Some(Duty::RenewToken { within: Duration::from_secs(*expires_in) })
            }
            ServerMessage::Reconnect { after_ms } => {
                Some(Duty::Move { after: Duration::from_millis(*after_ms) })
            }
            _ => None,
        }
    }
}
