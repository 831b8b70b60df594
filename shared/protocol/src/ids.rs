//! Identifiers. Each is its own type, so that one can never be passed for another.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode)]
        #[serde(transparent)]
        #[cbor(transparent)]
        pub struct $name(#[cbor(n(0), with = "crate::wire::codec::foreign")] pub Uuid);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id!(
    /// A person's account: `users.id`.
    UserId
);
uuid_id!(
    /// One device's session: it outlives its sockets for the resume window.
    SessionId
);
uuid_id!(
    /// One stream from its ring to its end: `streams.id`.
    StreamId
);

/// The longest `device_id` that a client may choose, in characters.
pub const DEVICE_ID_MAX_CHARS: usize = 255;
/// The longest `id` that a client may give a message, in bytes.
pub const MESSAGE_ID_MAX_BYTES: usize = 128;

/// The name that a client chose for its device: 1 to 255 characters, unique within the user.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(Arc<str>);

/// A device id that is empty, longer than [`DEVICE_ID_MAX_CHARS`], has control characters, or is `.` or `..`, which
/// no path can hold (RFC 3986 §6.2.2.3: even percent-encoded, they are removed before the request is made).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("device_id must have 1 to 255 characters, no control characters, and not be . or ..")]
pub struct InvalidDeviceId;

impl DeviceId {
    /// Checks the rules of a device id.
    ///
    /// # Errors
    /// [`InvalidDeviceId`] if `text` breaks one of them.
    pub fn new(text: &str) -> Result<Self, InvalidDeviceId> {
        let chars = text.chars().take(DEVICE_ID_MAX_CHARS + 1).count();
        let unfit = text.chars().any(char::is_control) || matches!(text, "." | "..");
        if chars == 0 || chars > DEVICE_ID_MAX_CHARS || unfit {
            return Err(InvalidDeviceId);
        }
        Ok(Self(text.into()))
    }

    /// The client's own text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for DeviceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for DeviceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        DeviceId::new(&text).map_err(serde::de::Error::custom)
    }
}

/// A client's own name for one message: 1 to 128 bytes, unique within its session.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(Arc<str>);

/// A message id that is empty or longer than [`MESSAGE_ID_MAX_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("id must be a string of 1 to 128 bytes")]
pub struct InvalidMessageId;

impl MessageId {
    /// Checks the length.
    ///
    /// # Errors
    /// [`InvalidMessageId`] if `text` is empty or too long.
    pub fn new(text: &str) -> Result<Self, InvalidMessageId> {
        if text.is_empty() || text.len() > MESSAGE_ID_MAX_BYTES {
            return Err(InvalidMessageId);
        }
        Ok(Self(text.into()))
    }

    /// The client's own text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        MessageId::new(&text).map_err(serde::de::Error::custom)
    }
}

/// What a relayed frame is known by wherever it goes: the sending session and its number there.
///
/// On the wire it is `SESSION:NUMBER`. A receiver drops a `mid` that it has seen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Mid {
    /// The session that sent the message.
    #[n(0)]
    pub session: SessionId,
    /// Counts that session's messages from 1.
    #[n(1)]
    pub number: u64,
}

/// Text that is not `SESSION:NUMBER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("mid must be SESSION:NUMBER")]
pub struct InvalidMid;

impl fmt::Display for Mid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.session, self.number)
    }
}

impl fmt::Debug for Mid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mid {
    type Err = InvalidMid;
    fn from_str(text: &str) -> Result<Self, InvalidMid> {
        let (session, number) = text.split_once(':').ok_or(InvalidMid)?;
        Ok(Mid {
            session: session.parse().map_err(|_| InvalidMid)?,
            number: number.parse().map_err(|_| InvalidMid)?,
        })
    }
}

impl Serialize for Mid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One incarnation of a process of the cluster: a restart is another one, and so is whoever lost its lease. Random, not
/// zero, below 2^63.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode,
)]
#[cbor(transparent)]
pub struct ProcessId(#[n(0)] pub u64);

/// One incarnation of a gateway process: a restart is another one.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode,
)]
#[cbor(transparent)]
pub struct GatewayId(#[n(0)] pub u64);

/// One incarnation of a signaling node: a restart is another one.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode,
)]
#[cbor(transparent)]
pub struct NodeId(#[n(0)] pub u64);

impl From<GatewayId> for ProcessId {
    fn from(gateway: GatewayId) -> Self {
        Self(gateway.0)
    }
}

impl From<NodeId> for ProcessId {
    fn from(node: NodeId) -> Self {
        Self(node.0)
    }
}

/// One WebSocket connection, unique for as long as its gateway's incarnation.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode,
)]
pub struct ConnId {
    /// The gateway that holds the socket.
    #[n(0)]
    pub gateway: GatewayId,
    /// Counts that gateway's connections.
    #[n(1)]
    pub number: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_ids_are_checked_at_the_limit() {
        assert!(DeviceId::new("").is_err());
        assert!(DeviceId::new(&"é".repeat(255)).is_ok());
        assert!(DeviceId::new(&"é".repeat(256)).is_err());
        assert!(DeviceId::new("a\u{0}b").is_err());
        assert!(DeviceId::new(".").is_err());
        assert!(DeviceId::new("..").is_err());
        assert!(DeviceId::new("...").is_ok());
        assert!(DeviceId::new("Wohnzimmer TV / 2").is_ok());
    }

    #[test]
    fn message_ids_are_checked_at_the_limit() {
        assert!(MessageId::new("").is_err());
        assert!(MessageId::new(&"x".repeat(128)).is_ok());
        assert!(MessageId::new(&"x".repeat(129)).is_err());
    }

    #[test]
    fn a_mid_survives_its_text() {
        let mid = Mid { session: SessionId(Uuid::from_u128(7)), number: 42 };
        assert_eq!(mid.to_string().parse::<Mid>().unwrap(), mid);
        for bad in ["", "1", "x:1", "00000000-0000-0000-0000-000000000007:", ":1"] {
            assert!(bad.parse::<Mid>().is_err(), "{bad}");
        }
    }
}
