//! What a device hears.
//!
//! A frame is written once as a [`Body`] and shared by all its receivers; each receiver's own `seq` is put in
//! front when the frame goes to its socket.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::json::push_json;
use crate::objects::{Device, IceServer, Stream, StreamType};
use crate::{CloseCode, DeviceId, ErrorCode, MessageId, Mid, Reason, SessionId, StreamId};

/// What the server says to a device: the `type` and the `payload`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload", rename_all = "snake_case")]
pub enum ServerMessage {
    /// The first frame on every connection.
    Welcome(Box<Welcome>),
    /// A device of the user came online.
    DeviceOnline {
        /// Which.
        device_id: DeviceId,
        /// Its name.
        device_name: String,
        /// Its type.
        device_type: String,
    },
    /// A device of the user went offline.
    DeviceOffline {
        /// Which.
        device_id: DeviceId,
    },
    /// A device was renamed, or changed its type.
    DeviceUpdated(Box<Device>),
    /// A device was removed from the account.
    DeviceRemoved {
        /// Which.
        device_id: DeviceId,
    },
    /// To the initiator: these devices ring.
    StreamRinging {
        /// The stream that its `stream_start` made.
        stream_id: StreamId,
        /// The devices that ring.
        to: Vec<DeviceId>,
        /// The `id` of the `stream_start`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<MessageId>,
    },
    /// A ring.
    StreamStart {
        /// The stream.
        stream_id: StreamId,
        /// Who rings.
        from_device_id: DeviceId,
        /// What will flow.
        stream_type: StreamType,
        /// The device that is to send the media.
        source_device_id: DeviceId,
    },
    /// A ring was accepted.
    StreamAccept {
        /// The stream.
        stream_id: StreamId,
        /// Who accepted.
        from_device_id: DeviceId,
    },
    /// A ring was declined by one device.
    StreamDecline {
        /// The stream.
        stream_id: StreamId,
        /// Who declined.
        from_device_id: DeviceId,
        /// Its own word.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A stream is over.
    StreamEnd {
        /// The stream.
        stream_id: StreamId,
        /// Who ended it; absent if the server did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from_device_id: Option<DeviceId>,
        /// Why.
        reason: String,
    },
    /// A relayed offer.
    SdpOffer(SdpPayload),
    /// A relayed answer.
    SdpAnswer(SdpPayload),
    /// A relayed candidate.
    IceCandidate {
        /// Who sent it.
        from_device_id: DeviceId,
        /// The stream that it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stream_id: Option<StreamId>,
        /// The candidate line; empty means end of candidates.
        candidate: String,
        /// The media section by number.
        #[serde(default)]
        sdp_mline_index: Option<u16>,
        /// The media section by name.
        #[serde(default)]
        sdp_mid: Option<String>,
        /// The ICE generation.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        username_fragment: Option<String>,
    },
    /// The message arrived.
    Delivered {
        /// Which.
        id: MessageId,
    },
    /// The message did not arrive, or may not have.
    NotDelivered {
        /// Which.
        id: MessageId,
        /// Why.
        reason: Reason,
        /// Each device that it did not reach, for a message to several.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        failed: Vec<Failed>,
    },
    /// New credentials for the TURN servers.
    IceServers {
        /// The list that replaces the earlier one.
        ice_servers: Vec<IceServer>,
    },
    /// The access token lapses soon; answer with `auth`.
    TokenExpiring {
        /// Seconds until it does.
        expires_in: u64,
    },
    /// This gateway is draining: come back and resume.
    Reconnect {
        /// How long to wait first, in milliseconds.
        after_ms: u64,
    },
    /// The answer to `ping`.
    Pong {},
    /// Something was wrong with what the device sent.
    Error {
        /// The documented code.
        code: ErrorCode,
        /// What is wrong and what to do.
        message: String,
        /// The message that it answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<MessageId>,
    },
}

/// The payload of an offer or an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SdpPayload {
    /// Who sent it.
    pub from_device_id: DeviceId,
    /// The stream that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<StreamId>,
    /// The session description.
    pub sdp: String,
}

/// One device that a message did not reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Which.
    pub device_id: DeviceId,
    /// Why.
    pub reason: Reason,
}

/// The payload of `welcome`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// To be given back as `session_id` on the next connection.
    pub session_id: SessionId,
    /// `false`: what you knew is void, here is everything.
    pub resumed: bool,
    /// The time between the server's pings.
    pub heartbeat_interval_ms: u64,
    /// How long this session outlives its socket.
    pub resume_window_ms: u64,
    /// This device.
    pub device: Device,
    /// All of the user's devices, this one included.
    pub devices: Vec<Device>,
    /// The user's live streams.
    pub streams: Vec<Stream>,
    /// STUN and TURN servers with fresh credentials.
    pub ice_servers: Vec<IceServer>,
}

/// A whole frame from the server, as a client decodes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerFrame {
    /// The number to acknowledge, on frames that must not be lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// On relayed frames: drop it if it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid: Option<Mid>,
    /// The message of the device that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<MessageId>,
    /// What is said.
    #[serde(flatten)]
    pub message: ServerMessage,
}

/// A frame as JSON text without its opening brace and its `seq`: `"type":…,"payload":…}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body(Bytes);

impl Body {
    /// Writes a message once, for any number of receivers.
    #[must_use]
    pub fn of(message: &ServerMessage) -> Self {
        Self::with(message, None, None)
    }

    /// The same, with the `id` that it answers or the `mid` that it is known by.
    #[must_use]
    pub fn with(message: &ServerMessage, id: Option<&MessageId>, mid: Option<Mid>) -> Self {
        let mut text = serde_json::to_string(message).expect("server messages have string keys only");
        text.remove(0);
        if let Some(id) = id {
            text.pop();
            text.push_str(",\"id\":");
            push_json(&mut text, id);
            text.push('}');
        }
        if let Some(mid) = mid {
            text.pop();
            text.push_str(",\"mid\":");
            push_json(&mut text, &mid);
            text.push('}');
        }
        Body(Bytes::from(text))
    }

    /// `delivered`, with the `id` in the payload and beside it.
    #[must_use]
    pub fn delivered(id: &MessageId) -> Self {
        Self::with(&ServerMessage::Delivered { id: id.clone() }, Some(id), None)
    }

    /// `not_delivered`, with the `id` in the payload and beside it.
    #[must_use]
    pub fn not_delivered(id: &MessageId, reason: Reason, failed: Vec<Failed>) -> Self {
        Self::with(&ServerMessage::NotDelivered { id: id.clone(), reason, failed }, Some(id), None)
    }

    /// `error`, with the `id` that it answers in the payload and beside it.
    #[must_use]
    pub fn error(code: ErrorCode, message: impl Into<String>, id: Option<&MessageId>) -> Self {
        let message = ServerMessage::Error { code, message: message.into(), id: id.cloned() };
        Self::with(&message, id, None)
    }

    /// Takes text that is such a body already.
    pub(crate) fn from_text(text: String) -> Self {
        Body(Bytes::from(text))
    }

    /// The text as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text that goes to a socket.
    #[must_use]
    pub fn render(&self, seq: Option<u64>) -> String {
        let body = std::str::from_utf8(&self.0).expect("bodies are made from strings");
        let mut text = String::with_capacity(body.len() + 28);
        text.push('{');
        if let Some(seq) = seq {
            text.push_str("\"seq\":");
            push_json(&mut text, &seq);
            text.push(',');
        }
        text.push_str(body);
        text
    }

    /// The outcome that it tells of a message, in one word: `delivered`, or the word of the reason or of the error.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        /// What tells in one that is not `delivered`.
        #[derive(Deserialize)]
        struct Failure {
            payload: Why,
        }
        #[derive(Deserialize)]
        struct Why {
            reason: Option<Reason>,
            code: Option<ErrorCode>,
        }
        // The first brace is the renderer's.
        if self.0.starts_with(br#""type":"delivered""#) {
            return "delivered";
        }
        let failure: Option<Failure> = serde_json::from_str(&self.render(None)).ok();
        let word = failure.and_then(|failure| {
            let reason = failure.payload.reason.map(Reason::as_str);
            reason.or(failure.payload.code.map(ErrorCode::as_str))
        });
        word.unwrap_or("unknown")
    }

    /// Its size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never true of a body that this module made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The reason text of a close frame: the word of its code (RFC 6455 allows 123 bytes).
#[must_use]
pub fn close_reason(code: CloseCode) -> &'static str {
    code.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_one_word() {
        let id = MessageId::new("m-1").unwrap();
        assert_eq!(Body::delivered(&id).outcome(), "delivered");
        for reason in Reason::ALL {
            assert_eq!(Body::not_delivered(&id, *reason, Vec::new()).outcome(), reason.as_str());
        }
        for code in ErrorCode::ALL {
            assert_eq!(Body::error(*code, "a \"sentence\"", Some(&id)).outcome(), code.as_str());
        }
        assert_eq!(Body::of(&ServerMessage::Pong {}).outcome(), "unknown");
    }
}
