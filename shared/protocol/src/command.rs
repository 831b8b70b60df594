//! What the hub is asked to do.

use std::hash::{Hash, Hasher};

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::hash::stable_hash;
use crate::json::push_json;
use crate::objects::{StreamStats, StreamType};
use crate::server::Body;
use crate::{DeviceId, ErrorCode, Mid, StreamId};

/// What an answer of the gateway holds in memory at most, its sentence included.
pub const ANSWER_WEIGHT: usize = 512;

/// A command as the device wrote it; [`Draft::finish`] makes the [`Command`] that the hub takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Draft {
    /// Every command but the relayed ones is complete as it is.
    Whole(Command),
    /// A frame to be relayed: its fields as JSON text, without the braces.
    Relay {
        /// Which of the three.
        kind: RelayKind,
        /// The stream that it belongs to.
        stream: Option<StreamId>,
        /// The ICE generation that it belongs to; several where media sections are not bundled.
        ufrags: Vec<Ufrag>,
        /// `"stream_id":…,"sdp":…`, to be completed with the sender.
        fields: String,
    },
}

/// What the hub is asked to do.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Command {
    /// Ring a device, or all others.
    #[n(0)]
    StreamStart {
        /// What will flow.
        #[n(0)]
        stream_type: StreamType,
        /// The device that is to send the media, if it is not the caller.
        #[n(1)]
        source: Option<DeviceId>,
    },
    /// Take a ring.
    #[n(1)]
    StreamAccept {
        /// Which.
        #[n(0)]
        stream: StreamId,
    },
    /// Refuse a ring.
    #[n(2)]
    StreamDecline {
        /// Which.
        #[n(0)]
        stream: StreamId,
        /// The client's own word.
        #[n(1)]
        reason: Option<String>,
    },
    /// End a stream, or give up a ring.
    #[n(3)]
    StreamEnd {
        /// Which.
        #[n(0)]
        stream: StreamId,
        /// The client's own word.
        #[n(1)]
        reason: Option<String>,
    },
    /// What a party measured.
    #[n(4)]
    StreamStats {
        /// Of which stream.
        #[n(0)]
        stream: StreamId,
        /// The figures.
        #[n(1)]
        stats: StreamStats,
    },
    /// Pass a frame on as it is.
    #[n(5)]
    Relay {
        /// Which of the three.
        #[n(0)]
        kind: RelayKind,
        /// The stream that it belongs to.
        #[n(1)]
        stream: Option<StreamId>,
        /// The ICE generation that it belongs to; several where media sections are not bundled.
        #[n(2)]
        ufrags: Vec<Ufrag>,
        /// The finished frame without its `seq`.
        #[n(3)]
        body: Body,
    },
    /// Nothing more: the gateway acted on the message by itself, or refused it. Its outcome is the hub's to say all the
    /// same, so that it is remembered, numbered and said again like every other.
    #[n(6)]
    Answered(#[n(0)] Answer),
}

/// How a message ended that concerned the gateway alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Answer {
    /// It was acted on.
    #[n(0)]
    Taken,
    /// It was refused with this code and sentence.
    #[n(1)]
    Refused(#[n(0)] ErrorCode, #[n(1)] String),
}

/// The frames that are passed on unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelayKind {
    /// An SDP offer.
    SdpOffer,
    /// An SDP answer.
    SdpAnswer,
    /// An ICE candidate; empty means end of candidates.
    IceCandidate,
}

impl RelayKind {
    /// The `type` on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RelayKind::SdpOffer => "sdp_offer",
            RelayKind::SdpAnswer => "sdp_answer",
            RelayKind::IceCandidate => "ice_candidate",
        }
    }
}

/// A hash of the ICE user fragment that names an ICE generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Ufrag(#[n(0)] pub u64);

impl Ufrag {
    /// Of the fragment's text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Ufrag(stable_hash(&text))
    }
}

impl Draft {
    /// Completes a relayed frame with the sender, which only the server may say.
    #[must_use]
    pub fn finish(self, from: &DeviceId, mid: Mid) -> Command {
        match self {
            Draft::Whole(command) => command,
            Draft::Relay { kind, stream, ufrags, fields } => {
                let mut body = String::with_capacity(fields.len() + from.as_str().len() + 140);
                body.push_str("\"type\":\"");
                body.push_str(kind.as_str());
                body.push_str("\",\"payload\":{\"from_device_id\":");
                push_json(&mut body, from);
                body.push(',');
                body.push_str(&fields);
                body.push_str("},\"mid\":\"");
                body.push_str(&mid.to_string());
                body.push_str("\"}");
                Command::Relay { kind, stream, ufrags, body: Body::from_text(body) }
            }
        }
    }

    /// What two messages must share to be the same message: type, target and content.
    #[must_use]
    pub fn digest(&self, to: Option<&DeviceId>) -> u64 {
        stable_hash(&(to, self))
    }
}

impl Hash for Draft {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Draft::Relay { kind, fields, .. } => (kind, fields).hash(state),
            Draft::Whole(command) => match command {
                Command::StreamStart { stream_type, source } => (1u8, stream_type, source).hash(state),
                Command::StreamAccept { stream } => (2u8, stream).hash(state),
                Command::StreamDecline { stream, reason } => (3u8, stream, reason).hash(state),
                Command::StreamEnd { stream, reason } => (4u8, stream, reason).hash(state),
                Command::StreamStats { stream, stats } => {
                    (5u8, stream, stats.connection_type, &stats.quality, stats.latency_ms).hash(state);
                }
                Command::Relay { kind, body, .. } => (kind, body.as_bytes()).hash(state),
                Command::Answered(answer) => (6u8, answer).hash(state),
            },
        }
    }
}

impl Command {
    /// The `type` on the wire, as logs and metrics name it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Command::StreamStart { .. } => "stream_start",
            Command::StreamAccept { .. } => "stream_accept",
            Command::StreamDecline { .. } => "stream_decline",
            Command::StreamEnd { .. } => "stream_end",
            Command::StreamStats { .. } => "stream_stats",
            Command::Relay { kind, .. } => kind.as_str(),
            Command::Answered(_) => "answered",
        }
    }

    /// The stream that it is about, if there is one already.
    #[must_use]
    pub fn stream(&self) -> Option<StreamId> {
        match self {
            Command::StreamAccept { stream }
            | Command::StreamDecline { stream, .. }
            | Command::StreamEnd { stream, .. }
            | Command::StreamStats { stream, .. } => Some(*stream),
            Command::Relay { stream, .. } => *stream,
            Command::StreamStart { .. } | Command::Answered(_) => None,
        }
    }

    /// What it holds in memory beside its own size, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Command::Relay { body, .. } => body.len(),
            Command::Answered(_) => ANSWER_WEIGHT,
            _ => 64,
        }
    }
}
