//! What a device asks of the hub.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::hash::stable_hash;
use crate::objects::{StreamStats, StreamType};
use crate::server::Body;
use crate::{DeviceId, StreamId};

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
        }
    }

    /// What it holds in memory beside its own size, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Command::Relay { body, .. } => body.len(),
            _ => 64,
        }
    }
}
