//! Reading what the server says, in two passes over the text: first what every frame has, then what it says.
//!
//! `ServerFrame` derives its own reader, but it collects each frame into a tree first. The envelope alone is
//! enough to drop a repetition, and a message whose `type` stands before its `payload` is read straight through.

use std::borrow::Cow;

use serde::Deserialize;
use streamz_protocol::server::{ServerFrame, ServerMessage, Welcome};
use streamz_protocol::{MessageId, Mid};

use crate::event::Unknown;

/// What every frame has.
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(default)]
    pub(crate) seq: Option<u64>,
    #[serde(default)]
    pub(crate) mid: Option<Mid>,
    #[serde(default)]
    id: Option<MessageId>,
}

impl<'a> Envelope<'a> {
    /// `None` if it is not a JSON object with a `type`, or its numbers are none.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        // serde would take an array for the fields in order.
        if !text.trim_ascii_start().starts_with('{') {
            return None;
        }
        serde_json::from_str(text).ok()
    }

    pub(crate) fn is_welcome(&self) -> bool {
        self.r#type == "welcome"
    }

    /// The whole frame; [`Unknown`] if a newer server says what this version cannot read.
    pub(crate) fn open(self, text: &str) -> Result<ServerFrame, Unknown> {
        match serde_json::from_str::<ServerMessage>(text) {
            Ok(message) => Ok(ServerFrame { seq: self.seq, mid: self.mid, id: self.id, message }),
            Err(_) => Err(Unknown { kind: self.r#type.into_owned(), text: text.to_owned() }),
        }
    }
}

/// Reads a `welcome`; `None` if it is none.
pub(crate) fn read_welcome(text: &str) -> Option<Box<Welcome>> {
    match serde_json::from_str(text).ok()? {
        ServerMessage::Welcome(welcome) => Some(welcome),
        _ => None,
    }
}
