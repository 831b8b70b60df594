//! What can go wrong, a type for each operation.

use std::io;

use streamz_protocol::CloseCode;

/// Why a message was not taken, or why its outcome will never be known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Too many messages wait for their outcome, by number or by size. Nothing was sent.
    #[error("too many messages wait for their outcome")]
    Backlog,
    /// The message would be larger than the server takes. Nothing was sent.
    #[error("the message has {bytes} bytes, {limit} are allowed")]
    TooLarge {
        /// Its size as JSON text.
        bytes: usize,
        /// The most that is sent.
        limit: usize,
    },
    /// The `id` belongs to a message that still waits for its outcome. Nothing was sent.
    #[error("a message with this id still waits for its outcome")]
    IdInUse,
    /// There is no connection, and what is sent this way does not wait for one. Nothing was sent.
    #[error("not connected")]
    Away,
    /// A simple client's connection went away first: it may or may not have arrived.
    #[error("the connection was lost before the outcome came")]
    ConnectionLost,
    /// The client is over: what had been sent may or may not have arrived.
    #[error("the client is closed: {0}")]
    Closed(Ended),
}

/// Why a connection is gone, or could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// The server closed it (RFC 6455 §7.4; 1005 if it gave no code).
    #[error("the server closed the connection with code {code}")]
    Closed {
        /// The number in the close frame.
        code: u16,
    },
    /// The server refused the upgrade.
    #[error("the server answered with HTTP status {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// The network failed, or the connection ended without a close frame.
    #[error("the connection failed: {0}")]
    Io(io::ErrorKind),
    /// What answered does not speak WebSocket as it should.
    #[error("not a valid WebSocket peer: {0}")]
    WebSocket(String),
    /// No connection, or no `welcome` on it, in time.
    #[error("the server did not answer in time")]
    TimedOut,
    /// Not even a ping for two and a half heartbeats.
    #[error("the server fell silent")]
    Silent,
    /// The server broke the protocol.
    #[error("the server broke the protocol: {0}")]
    Violation(#[from] Violation),
    /// There was no token to connect with.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The server asked this client to move, and it did.
    #[error("moved away from a draining server")]
    Moved,
    /// This program asked for it.
    #[error("dropped on request")]
    Dropped,
}

impl Lost {
    /// The documented close code, if it was one.
    #[must_use]
    pub fn close_code(&self) -> Option<CloseCode> {
        match self {
            Lost::Closed { code } => CloseCode::from_code(*code),
            _ => None,
        }
    }
}

/// How the server broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A frame is not a JSON object with a `type`.
    #[error("a frame is not a JSON object with a type")]
    Malformed,
    /// The first frame is not a `welcome` that can be read.
    #[error("the first frame is not a welcome")]
    NoWelcome,
    /// A second `welcome` on one connection.
    #[error("a second welcome on one connection")]
    SecondWelcome,
}

/// Why a client is over for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// [`crate::Client::close`] was called, or the last [`crate::Client`] was dropped.
    #[error("closed by this program")]
    ByClient,
    /// The server closed with a code after which one does not come back (4500 to 4999).
    #[error("the server closed for good with code {code}")]
    Closed {
        /// The number in the close frame.
        code: u16,
    },
    /// The server refused the upgrade with a status that trying again does not change.
    #[error("the server refused with HTTP status {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// There is no token any more.
    #[error(transparent)]
    Token(TokenError),
    /// The first attempt of [`crate::Builder::connect`] failed.
    #[error("could not connect: {0}")]
    FirstAttempt(Lost),
}

impl Ended {
    /// The documented close code, if it was one.
    #[must_use]
    pub fn close_code(&self) -> Option<CloseCode> {
        match self {
            Ended::Closed { code } => CloseCode::from_code(*code),
            Ended::FirstAttempt(lost) => lost.close_code(),
            _ => None,
        }
    }
}

/// Why there is no access token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It may work later: the client tries again.
    #[error("no access token for now: {0}")]
    Unavailable(String),
    /// It will not work again: the client ends.
    #[error("no access token: {0}")]
    Refused(String),
    /// A newer one was asked for, and the source has only the one.
    #[error("there is no newer access token")]
    NoneNewer,
}

/// Why a client could not be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is not one of `ws`, `wss`, `http` or `https` with a host.
    #[error("not a ws, wss, http or https URL with a host: {0}")]
    InvalidUrl(String),
    /// `wss` and `https` need TLS, which this version does not have.
    #[error("this version of the client has no TLS")]
    NoTls,
    /// The first attempt failed.
    #[error(transparent)]
    Ended(#[from] Ended),
}
