//! A message on its way through the hub, and what its sender will be told.

use std::borrow::Cow;

use streamz_protocol::bus::Message;
use streamz_protocol::client::Answer;
use streamz_protocol::server::Failed;
use streamz_protocol::{DeviceId, ErrorCode, MessageId, Mid, Millis, Reason, SessionId, TraceContext};

use crate::member::{Entry, Member, Stage, Target};

/// What a sender is told of a message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Delivered,
    NotDelivered(Reason, Vec<Failed>),
    Error(ErrorCode, Cow<'static, str>),
}

impl Outcome {
    pub(crate) const fn error(code: ErrorCode, text: &'static str) -> Self {
        Outcome::Error(code, Cow::Borrowed(text))
    }
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Taken => Outcome::Delivered,
            Answer::Refused(code, text) => Outcome::Error(code, text.into()),
        }
    }
}

/// The how-many-eth time a message is acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// No hub has seen it.
    First,
    /// Its gateway had it when a hub was lost.
    Announced,
    /// Gateway and hub were lost, and its device has sent it again, maybe after others with later numbers.
    Again,
}

/// A message on its way through the hub.
#[derive(Clone, Debug)]
pub(crate) struct Sending {
    pub(crate) session: SessionId,
    pub(crate) device: DeviceId,
    pub(crate) number: u64,
    pub(crate) id: Option<MessageId>,
    pub(crate) digest: u64,
    pub(crate) to: Option<DeviceId>,
    pub(crate) accepted_at: Millis,
    /// A hub before this one may have acted on it.
    pub(crate) resubmitted: bool,
    /// The trace that it belongs to.
    pub(crate) trace: Option<TraceContext>,
}

impl Sending {
    pub(crate) fn of(sender: &Member, message: &Message, turn: Turn) -> Self {
        Self {
            session: sender.session,
            device: sender.device.clone(),
            number: message.number,
            id: message.id.clone(),
            digest: message.digest,
            to: message.to.clone(),
            accepted_at: message.accepted_at,
            resubmitted: turn != Turn::First,
            trace: message.trace,
        }
    }

    pub(crate) fn mid(&self) -> Mid {
        Mid { session: self.session, number: self.number }
    }

    /// A certain reason, unless a hub before this one may have done otherwise.
    pub(crate) fn certain(&self, reason: Reason) -> Reason {
        if self.resubmitted { Reason::Expired } else { reason }
    }

    pub(crate) fn entry(&self, targets: Vec<Target>, stage: Stage, doubtful: bool) -> Option<Entry> {
        Some(Entry {
            id: self.id.clone()?,
            digest: self.digest,
            accepted_at: self.accepted_at,
            targets,
            broadcast: self.to.is_none(),
            doubtful,
            stage,
        })
    }
}

/// Says the same of a stream that is over, one of another user and one that never was.
pub(crate) const UNKNOWN_STREAM: Outcome = Outcome::error(
    ErrorCode::UnknownStream,
    "There is no live stream with this id that this device is a party of.",
);
