//! The objects inside payloads: devices, streams, servers for ICE.

use std::fmt;
use std::sync::Arc;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{DeviceId, Millis, StreamId, UserId};

/// A device as clients see it: the columns of its row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Device {
    /// The row's key.
    #[cbor(n(0), with = "crate::wire::codec::foreign")]
    pub id: Uuid,
    /// Whose it is.
    #[n(1)]
    pub user_id: UserId,
    /// The name that the client chose for it.
    #[n(2)]
    pub device_id: DeviceId,
    /// What people call it.
    #[cbor(n(3), with = "crate::wire::codec::foreign")]
    pub device_name: Arc<str>,
    /// `phone`, `laptop`, `tv`, `camera`, … : free text.
    #[cbor(n(4), with = "crate::wire::codec::foreign")]
    pub device_type: Arc<str>,
    /// Whether others are told that it is online.
    #[n(5)]
    pub is_online: bool,
    /// When it was last connected.
    #[cbor(n(6), with = "crate::wire::codec::row_time")]
    pub last_seen: Option<Millis>,
    /// When it was registered.
    #[cbor(n(7), with = "crate::wire::codec::row_time")]
    pub created_at: Millis,
}

/// How a stream's object names a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct DeviceRef {
    /// The row's key.
    #[cbor(n(0), with = "crate::wire::codec::foreign")]
    pub id: Uuid,
    /// The name that the client chose for it.
    #[n(1)]
    pub device_id: DeviceId,
    /// What people call it.
    #[cbor(n(2), with = "crate::wire::codec::foreign")]
    pub device_name: Arc<str>,
}

/// What flows in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamType {
    /// Pictures only.
    Video,
    /// Sound only.
    Audio,
    /// Pictures and sound.
    Both,
    /// The picture of a screen.
    Screen,
    /// A data channel.
    Data,
}

impl StreamType {
    /// The word on the wire and in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            StreamType::Video => "video",
            StreamType::Audio => "audio",
            StreamType::Both => "both",
            StreamType::Screen => "screen",
            StreamType::Data => "data",
        }
    }
}

/// How the media of a stream flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionType {
    /// From device to device.
    P2p,
    /// Through a TURN server.
    Relay,
}

impl ConnectionType {
    /// The word on the wire and in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ConnectionType::P2p => "p2p",
            ConnectionType::Relay => "relay",
        }
    }
}

/// What a party measured of its stream. A field that is absent leaves the record as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct StreamStats {
    /// The path of the media.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[n(0)]
    pub connection_type: Option<ConnectionType>,
    /// The client's own word for the quality, at most 32 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[n(1)]
    pub quality: Option<String>,
    /// Round-trip time in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[n(2)]
    pub latency_ms: Option<u32>,
}

/// Where a live stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamState {
    /// Nobody has accepted yet.
    Ringing,
    /// Somebody has accepted.
    Active,
}

/// A live stream as `welcome` lists it: the columns of its row, its devices, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Stream {
    /// The record's key.
    #[n(0)]
    pub id: StreamId,
    /// Whose it is.
    #[n(1)]
    pub user_id: UserId,
    /// The row of the device that sends the media.
    #[cbor(n(2), with = "crate::wire::codec::foreign")]
    pub source_device_id: Option<Uuid>,
    /// The row of the device that receives it; unknown while several ring.
    #[cbor(n(3), with = "crate::wire::codec::foreign")]
    pub target_device_id: Option<Uuid>,
    /// What flows.
    #[n(4)]
    pub stream_type: StreamType,
    /// When the ring began.
    #[cbor(n(5), with = "crate::wire::codec::row_time")]
    pub started_at: Millis,
    /// Always absent in a live stream.
    #[cbor(n(6), with = "crate::wire::codec::row_time")]
    pub ended_at: Option<Millis>,
    /// The path of the media, once a party has said it.
    #[n(7)]
    pub connection_type: Option<ConnectionType>,
    /// The quality, once a party has said it.
    #[n(8)]
    pub quality: Option<String>,
    /// Round-trip time in milliseconds, once a party has said it.
    #[n(9)]
    pub latency_ms: Option<u32>,
    /// The device that sends the media.
    #[n(10)]
    pub source_device: Option<DeviceRef>,
    /// The device that receives it.
    #[n(11)]
    pub target_device: Option<DeviceRef>,
    /// Ringing or active.
    #[n(12)]
    pub state: StreamState,
    /// The device that began it.
    #[n(13)]
    pub from_device_id: DeviceId,
    /// The devices that ring, or the one that accepted.
    #[n(14)]
    pub to: Vec<DeviceId>,
}

/// One entry of `RTCConfiguration.iceServers`. Its `Debug` leaves out the password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    /// `stun:` or `turn:` URLs (RFC 7064, RFC 7065).
    pub urls: Vec<String>,
    /// `expiry:user` for a TURN server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The time-limited password for a TURN server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}
