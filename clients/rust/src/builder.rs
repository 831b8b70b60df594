//! How a client is set up.

use std::time::Duration;

use streamz_protocol::DeviceId;

use crate::backoff;
use crate::client::{self, Client};
use crate::dial::Target;
use crate::error::ConnectError;
use crate::event::Events;
use crate::session::Options;
use crate::token::TokenSource;

/// How a client speaks and proves who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// `streamz.v1`, with the token in the `Authorization` header.
    #[default]
    Native,
    /// `streamz.v1`, with the token as a subprotocol: the only way that a browser has.
    Browser,
    /// The `{type, payload}` of the first Streamz: nothing is acknowledged, resumed or sent again.
    Simple,
}

/// What a client needs to know. Made by [`Client::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    pub(crate) url: String,
    pub(crate) device: DeviceId,
    pub(crate) token: TokenSource,
    pub(crate) name: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) max_streams: Option<u16>,
    pub(crate) dialect: Dialect,
    pub(crate) options: Options,
    pub(crate) event_capacity: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) backoff: (Duration, Duration),
}

impl Builder {
    pub(crate) fn new(url: &str, device: DeviceId, token: TokenSource) -> Self {
        Self {
            url: url.to_owned(),
            device,
            token,
            name: None,
            kind: None,
            max_streams: None,
            dialect: Dialect::default(),
            options: Options::default(),
            event_capacity: 256,
            connect_timeout: Duration::from_secs(10),
            backoff: (backoff::BASE, backoff::CAP),
        }
    }

    /// What people call the device, and its type (`phone`, `tv`, …), for its first registration.
    #[must_use]
    pub fn named(mut self, name: &str, device_type: &str) -> Self {
        self.name = Some(name.to_owned());
        self.kind = Some(device_type.to_owned());
        self
    }

    /// How many streams the device takes at a time; the server's default is one.
    #[must_use]
    pub fn max_streams(mut self, streams: u16) -> Self {
        self.max_streams = Some(streams);
        self
    }

    /// How the client speaks; [`Dialect::Native`] unless told.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self.options.reliable = dialect != Dialect::Simple;
        self
    }

    /// Messages, and their bytes, that may wait for an outcome; 256 and 512 KiB unless told, as the server has it.
    #[must_use]
    pub fn max_unsettled(mut self, messages: usize, bytes: usize) -> Self {
        self.options.max_messages = messages;
        self.options.max_bytes = bytes;
        self
    }

    /// The largest message that is sent, in bytes; 64 KiB unless told, as the server has it.
    #[must_use]
    pub fn max_frame(mut self, bytes: usize) -> Self {
        self.options.max_frame = bytes;
        self
    }

    /// Events that may wait to be read before the client stops reading its socket; 256 unless told, at least 1.
    #[must_use]
    pub fn event_capacity(mut self, events: usize) -> Self {
        self.event_capacity = events.max(1);
        self
    }

    /// How long a connection, and the `welcome` on it, may each take; 10 s unless told.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The ceilings of the waits between attempts: the first and the last; 250 ms and 15 s unless told.
    #[must_use]
    pub fn backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.backoff = (base, cap);
        self
    }

    /// Connects, and returns once welcomed. The first attempt must succeed (after one more with a new token, if the
    /// server wants one); later ones are repeated for as long as the client lives.
    ///
    /// # Errors
    /// [`ConnectError`]; nothing is left running.
    pub async fn connect(self) -> Result<(Client, Events), ConnectError> {
        let target = Target::new(&self)?;
        let (client, events) = client::start(self, target, true);
        client.online().await?;
        Ok((client, events))
    }

    /// Starts to connect and returns at once; the first attempt is repeated like all others.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ConnectError::InvalidUrl`] and [`ConnectError::NoTls`].
    pub fn start(self) -> Result<(Client, Events), ConnectError> {
        let target = Target::new(&self)?;
        Ok(client::start(self, target, false))
    }
}
