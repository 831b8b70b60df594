//! What a client tells its program.

use streamz_protocol::server::{Failed, ServerFrame, Welcome};
use streamz_protocol::{ErrorCode, Reason, SessionId};
use tokio::sync::mpsc;

use crate::error::{Ended, Lost};

/// Something that happened, in the order in which it did.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Connected. With `resumed: false`, what was known is void and here is everything.
    Welcome(Box<Welcome>),
    /// A message, exactly once. Outcomes of messages are not among them: they go to who sent the message.
    Message(Box<ServerFrame>),
    /// A message of a type, or with a content, that this version of the client cannot read.
    Unknown(Box<Unknown>),
    /// The connection is gone; the client comes back by itself, unless [`crate::State`] says otherwise.
    Offline(Lost),
}

/// A frame that this version of the client cannot read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Its `type`.
    pub kind: String,
    /// All of it.
    pub text: String,
}

/// How a message ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiving device confirmed it; a stream's message was applied.
    Delivered,
    /// It did not arrive, or, for [`Reason::Expired`], may not have.
    NotDelivered {
        /// Why.
        reason: Reason,
        /// Each device that it did not reach, for a message to several.
        failed: Vec<Failed>,
    },
    /// The server did not take it.
    Error {
        /// The documented code.
        code: ErrorCode,
        /// What is wrong and what to do.
        message: String,
    },
}

/// Where a client stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// On its way to a `welcome`.
    Connecting,
    /// Connected and welcomed.
    Online {
        /// The session.
        session: SessionId,
        /// Whether it went on with what it was before.
        resumed: bool,
    },
    /// Waiting before the next attempt.
    Away(Lost),
    /// Over, for good.
    Closed(Ended),
}

/// The events of one client, bounded: while they are not read, the client does not read from its socket either.
///
/// Outcomes come over the same socket, so a program that awaits an outcome while it leaves a full queue unread
/// waits for itself. Dropping it discards all events, and the client goes on without.
#[derive(Debug)]
pub struct Events {
    pub(crate) receiver: mpsc::Receiver<Event>,
}

impl Events {
    /// The next event; `None` when the client is over and all was read. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Event> {
        self.receiver.recv().await
    }

    /// The next event if there is one already.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.receiver.try_recv().ok()
    }

    /// Discards events up to the first for which `pick` has an answer; `None` when the client is over before that.
    pub async fn find<T>(&mut self, mut pick: impl FnMut(Event) -> Option<T>) -> Option<T> {
        while let Some(event) = self.recv().await {
            if let Some(found) = pick(event) {
                return Some(found);
            }
        }
        None
    }
}
