//! What the API takes and gives.

use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use streamz_protocol::objects::{ConnectionType, DeviceRef, StreamType};
use streamz_protocol::{DeviceId, Millis, StreamId, UserId};
use uuid::Uuid;

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The server answered with a problem (RFC 9457).
    #[error("{status} {code}: {detail}")]
    Problem {
        /// The HTTP status.
        status: u16,
        /// The documented code; empty if something in between answered.
        code: String,
        /// What is wrong, for people.
        detail: String,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// There was no answer, or it could not be read.
    #[error("the request failed: {0}")]
    Transport(#[from] reqwest::Error),
}

impl ApiError {
    /// The documented code, if the server gave one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            ApiError::Problem { code, .. } => Some(code),
            ApiError::Transport(_) => None,
        }
    }

    /// The HTTP status, if there was an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            ApiError::Problem { status, .. } => Some(*status),
            ApiError::Transport(error) => error.status().map(|status| status.as_u16()),
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn temporary(&self) -> bool {
        match self.status() {
            Some(status) => status >= 500 || matches!(status, 408 | 425 | 429),
            None => true,
        }
    }
}

/// A person's account.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct User {
    /// The row's key.
    pub id: UserId,
    /// What they sign in with.
    pub email: String,
    /// As they gave it.
    pub first_name: Option<String>,
    /// As they gave it.
    pub last_name: Option<String>,
    /// When they registered.
    pub created_at: Millis,
    /// When the account last changed.
    pub updated_at: Millis,
}

/// A sign-in. Its `Debug` form shows no token.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Who.
    pub user: User,
    /// For requests and connections.
    pub access_token: SecretString,
    /// For [`crate::Api::refresh`], once.
    pub refresh_token: SecretString,
    /// How long the access token lasts.
    pub expires_in: Duration,
}

/// A stream's record.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StreamRecord {
    /// The record's key.
    pub id: StreamId,
    /// Whose it is.
    pub user_id: UserId,
    /// The row of the device that sent the media; absent once that device was removed.
    pub source_device_id: Option<Uuid>,
    /// The row of the device that received it; absent while nobody accepted.
    pub target_device_id: Option<Uuid>,
    /// What flowed.
    pub stream_type: StreamType,
    /// When the ring began.
    pub started_at: Millis,
    /// When it ended; absent while it lives.
    pub ended_at: Option<Millis>,
    /// Why it ended, in a party's own word or the server's.
    #[serde(default)]
    pub end_reason: Option<String>,
    /// The path of the media, if a party said it.
    pub connection_type: Option<ConnectionType>,
    /// The quality, if a party said it.
    pub quality: Option<String>,
    /// Round-trip time in milliseconds, if a party said it.
    pub latency_ms: Option<u32>,
    /// The device that sent the media.
    #[serde(default)]
    pub source_device: Option<DeviceRef>,
    /// The device that received it.
    #[serde(default)]
    pub target_device: Option<DeviceRef>,
}

/// Which stream records are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamFilter {
    /// Only live ones, or only ended ones.
    pub active: Option<bool>,
    /// Only those of this device.
    pub device: Option<DeviceId>,
    /// At most so many.
    pub limit: Option<u32>,
    /// Where the last page ended.
    pub cursor: Option<String>,
}

/// A page of stream records, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StreamPage {
    /// The records.
    pub streams: Vec<StreamRecord>,
    /// For [`StreamFilter::cursor`], if there are more.
    #[serde(default)]
    pub next_cursor: Option<String>,
}
