//! The closed vocabularies of the wire: close codes, error codes, reasons.

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The word on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words!(
    /// Why the server closed a WebSocket. 4000–4499: come back; 4500–4999: do not.
    CloseCode {
        /// 4000: this gateway is going away; any other will do.
        Draining = "draining",
        /// 4001: the access token lapsed; come back with a new one.
        TokenExpired = "token_expired",
        /// 4002: the device read too slowly; it may resume.
        SlowConsumer = "slow_consumer",
        /// 4003: two heartbeats went unanswered.
        NoHeartbeat = "no_heartbeat",
        /// 4004: the device kept sending over its rate.
        RateLimited = "rate_limited",
        /// 4005: the user's hub or the store cannot be reached.
        Unavailable = "unavailable",
        /// 4500: the token is not one of ours, or its user is gone.
        InvalidToken = "invalid_token",
        /// 4501: a newer connection of the same device took over.
        Replaced = "replaced",
        /// 4502: the sign-in was revoked.
        Revoked = "revoked",
        /// 4503: the client broke the protocol.
        ProtocolViolation = "protocol_violation",
        /// 4504: the device was removed from the account.
        DeviceRemoved = "device_removed",
        /// 4505: the user has as many devices online as is allowed.
        TooManyDevices = "too_many_devices",
    }
);

impl CloseCode {
    /// The number in the close frame (RFC 6455 §7.4.2 leaves 4000–4999 to applications).
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            CloseCode::Draining => 4000,
            CloseCode::TokenExpired => 4001,
            CloseCode::SlowConsumer => 4002,
            CloseCode::NoHeartbeat => 4003,
            CloseCode::RateLimited => 4004,
            CloseCode::Unavailable => 4005,
            CloseCode::InvalidToken => 4500,
            CloseCode::Replaced => 4501,
            CloseCode::Revoked => 4502,
            CloseCode::ProtocolViolation => 4503,
            CloseCode::DeviceRemoved => 4504,
            CloseCode::TooManyDevices => 4505,
        }
    }

    /// The close code with that number, if it is one of ours.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|close| close.code() == code)
    }

    /// Whether a client should connect again after it.
    #[must_use]
    pub fn come_back(self) -> bool {
        self.code() < 4500
    }
}

words!(
    /// The `code` of an `error` frame.
    ErrorCode {
        /// The frame is not JSON text of the form `{type, payload, id?}`.
        MalformedFrame = "malformed_frame",
        /// The `type` is not one that a device may send.
        UnknownType = "unknown_type",
        /// A field of the payload is missing, or has the wrong type or value.
        InvalidPayload = "invalid_payload",
        /// The frame is larger than the limit.
        FrameTooLarge = "frame_too_large",
        /// More messages than the rate allows; this one was not taken.
        RateLimited = "rate_limited",
        /// This `id` was used in this session for another message.
        IdReused = "id_reused",
        /// No live stream of this user with that id has this device as a party.
        UnknownStream = "unknown_stream",
        /// The stream is not in a state that allows it.
        WrongState = "wrong_state",
        /// The candidate belongs to an ICE generation that a newer one replaced.
        StaleCandidate = "stale_candidate",
        /// The user has as many live streams as is allowed.
        TooManyStreams = "too_many_streams",
        /// The token given with `auth` is not valid for this user.
        InvalidToken = "invalid_token",
        /// A server that is needed cannot be reached; try again.
        Unavailable = "unavailable",
        /// A message without `id` could not be delivered; the text says why.
        NotDelivered = "not_delivered",
    }
);

words!(
    /// The `reason` of a `not_delivered` frame. All but `expired` are certain.
    Reason {
        /// No session of the device existed when the message was accepted.
        Offline = "offline",
        /// The user has no device of that name.
        UnknownDevice = "unknown_device",
        /// The device is in as many streams as it takes.
        Busy = "busy",
        /// The sender has too many messages without an outcome.
        Backlog = "backlog",
        /// The receiver read too slowly; the message never reached its socket.
        SlowConsumer = "slow_consumer",
        /// Another device had accepted the ring.
        AnsweredElsewhere = "answered_elsewhere",
        /// Unconfirmed; it may or may not have arrived.
        Expired = "expired",
    }
);

words!(
    /// Why a stream ended, in `stream_end` and in its record, when the server decided it.
    EndReason {
        /// A party ended it and gave no reason of its own.
        Ended = "ended",
        /// The initiator gave up while it rang.
        Cancelled = "cancelled",
        /// Every device that rang declined.
        Declined = "declined",
        /// Nobody answered in time.
        Timeout = "timeout",
        /// Another device answered this ring.
        AnsweredElsewhere = "answered_elsewhere",
        /// A party was away for longer than its resume window.
        DeviceLost = "device_lost",
        /// A party's device was removed from the account.
        DeviceRemoved = "device_removed",
        /// A party signed out.
        SignedOut = "signed_out",
        /// The server stopped while the stream was open.
        ServerRestart = "server_restart",
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_equal_their_json() {
        for code in CloseCode::ALL {
            assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{code}\""));
            assert_eq!(CloseCode::from_code(code.code()), Some(*code));
        }
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{code}\""));
        }
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_string(reason).unwrap(), format!("\"{reason}\""));
        }
        for reason in EndReason::ALL {
            assert_eq!(serde_json::to_string(reason).unwrap(), format!("\"{reason}\""));
        }
    }

    #[test]
    fn the_table_says_who_comes_back() {
        assert!(CloseCode::Unavailable.come_back());
        assert!(!CloseCode::InvalidToken.come_back());
        assert_eq!(CloseCode::from_code(1000), None);
    }
}
