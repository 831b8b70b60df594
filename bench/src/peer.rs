//! One device of the load: a WebSocket and no more, so that its own cost is small and the same on both sides.
//!
//! It keeps the rules of the product's client: what arrived is acknowledged when nothing more can be read at once,
//! or after 16 frames; outcomes alone can wait.

use std::time::Duration;

use futures_util::StreamExt;
use secrecy::ExposeSecret;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::accounts::Device;

/// How long a connection and its `welcome` may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);
/// Frames after which an `ack` is due even if more can be read.
const ACK_EVERY: u64 = 16;

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// With the forwarder.
    Bare,
    /// With Streamz, as the first Streamz's clients do: nothing is acknowledged.
    Simple,
    /// With Streamz, by `streamz.v1`.
    V1,
}

/// Why a device of the load failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    #[error("a connection failed: {0}")]
    Socket(#[source] Box<Error>),
    #[error("a connection was not made within {} s", CONNECT_WITHIN.as_secs())]
    TimedOut,
    #[error("the server closed a connection{}", code.map(|code| format!(" with code {code}")).unwrap_or_default())]
    Closed { code: Option<u16> },
    #[error("the server sent something that is no frame of its protocol")]
    Unreadable,
    #[error("an access token cannot be a header")]
    Token,
}

impl From<Error> for PeerError {
    fn from(error: Error) -> Self {
        Self::Socket(Box::new(error))
    }
}

/// As much of a frame as the bench looks at.
#[derive(Debug, Deserialize)]
pub(crate) struct Frame<'a> {
    pub(crate) r#type: &'a str,
    pub(crate) seq: Option<u64>,
    #[serde(borrow, default)]
    pub(crate) payload: Payload<'a>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Payload<'a> {
    pub(crate) sdp: Option<&'a str>,
    pub(crate) id: Option<&'a str>,
    pub(crate) session_id: Option<&'a str>,
    pub(crate) resumed: Option<bool>,
    /// Why something was not delivered.
    pub(crate) reason: Option<&'a str>,
    /// What an error is.
    pub(crate) code: Option<&'a str>,
}

impl<'a> Frame<'a> {
    pub(crate) fn read(text: &'a str) -> Result<Self, PeerError> {
        serde_json::from_str(text).map_err(|_| PeerError::Unreadable)
    }
}

/// What was received and what of it was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    last: u64,
    said: u64,
    /// Somebody may wait for it.
    awaited: bool,
}

impl Acks {
    pub(crate) fn received(&mut self, frame: &Frame<'_>) {
        self.last = frame.seq.unwrap_or(self.last);
        self.awaited |= !matches!(frame.r#type, "delivered" | "not_delivered" | "error");
    }

    /// Of a session that goes on.
    pub(crate) fn since(last: u64) -> Self {
        Self { last, said: last, awaited: false }
    }

    /// The last `seq` that was received.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    pub(crate) fn urgent(&self) -> bool {
        self.last - self.said >= ACK_EVERY
    }

    /// The frame that acknowledges everything, if somebody waits for it or much has gathered.
    pub(crate) fn take(&mut self) -> Option<Message> {
        let due = self.last > self.said && (self.awaited || self.urgent());
        if !due {
            return None;
        }
        (self.said, self.awaited) = (self.last, false);
        Some(Message::text(format!("{{\"type\":\"ack\",\"payload\":{{\"seq\":{}}}}}", self.last)))
    }
}

/// What a device needs to go on where it was.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) last_seq: u64,
}

/// What `welcome` said.
#[derive(Debug, Default)]
pub(crate) struct Welcome {
    pub(crate) session: String,
    pub(crate) resumed: bool,
}

/// A connected device.
pub(crate) struct Peer {
    pub(crate) socket: Socket,
    pub(crate) acks: Acks,
    pub(crate) acknowledges: bool,
}

impl Peer {
    /// Connects, and waits for the `welcome` where there is one. `path` is where to meet at the forwarder.
    pub(crate) async fn connect(
        address: &str,
        dialect: Dialect,
        device: &Device,
        path: &str,
    ) -> Result<Self, PeerError> {
        Ok(Self::attach(address, dialect, device, path, None).await?.0)
    }

    /// The same, with what the `welcome` said, and with a session to go on with.
    pub(crate) async fn attach(
        address: &str,
        dialect: Dialect,
        device: &Device,
        path: &str,
        session: Option<&Session>,
    ) -> Result<(Self, Welcome), PeerError> {
        let resume = |session: &Session| format!("&session_id={}&last_seq={}", session.id, session.last_seq);
        let url = match dialect {
            Dialect::Bare => format!("ws://{address}/{path}"),
            Dialect::Simple | Dialect::V1 => {
                let resume = session.map(resume).unwrap_or_default();
                format!("ws://{address}/ws?device_id={}{resume}", device.id)
            }
        };
        let mut request = url.into_client_request()?;
        if dialect != Dialect::Bare {
            let bearer = format!("Bearer {}", device.token.expose_secret());
            let bearer = HeaderValue::try_from(bearer).map_err(|_| PeerError::Token)?;
            request.headers_mut().insert(AUTHORIZATION, bearer);
        }
        if dialect == Dialect::V1 {
            request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("streamz.v1"));
        }
        let attempt = async {
            let stream = TcpStream::connect(address).await.map_err(Error::from)?;
            stream.set_nodelay(true).map_err(Error::from)?;
            let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
            let (socket, _) = client_async_with_config(request, stream, Some(config)).await?;
            let acks = Acks::default();
            let mut peer = Self { socket, acks, acknowledges: dialect == Dialect::V1 };
            let mut welcome = Welcome::default();
            if dialect != Dialect::Bare {
                welcome = peer.welcome().await?;
                if let Some(session) = session.filter(|_| welcome.resumed) {
                    peer.acks = Acks::since(session.last_seq);
                }
            }
            Ok((peer, welcome))
        };
        tokio::time::timeout(CONNECT_WITHIN, attempt).await.map_err(|_| PeerError::TimedOut)?
    }

    async fn welcome(&mut self) -> Result<Welcome, PeerError> {
        let text = text(self.socket.next().await)?.ok_or(PeerError::Unreadable)?;
        let frame = Frame::read(&text)?;
        self.acks.received(&frame);
        if frame.r#type != "welcome" {
            return Err(PeerError::Unreadable);
        }
        let Payload { session_id, resumed, .. } = frame.payload;
        Ok(Welcome {
            session: session_id.unwrap_or_default().to_owned(),
            resumed: resumed.unwrap_or_default(),
        })
    }

    /// Says goodbye, so that the server need not keep the session.
    pub(crate) async fn close(mut self) {
        // Whether the server hears it makes no difference to what was measured.
        let _ = tokio::time::timeout(Duration::from_secs(1), async {
            self.socket.close(None).await?;
            while self.socket.next().await.transpose()?.is_some() {}
            Ok::<_, Error>(())
        })
        .await;
    }
}

/// The text of what a socket gave, if it is text.
pub(crate) fn text(message: Option<Result<Message, Error>>) -> Result<Option<Utf8Bytes>, PeerError> {
    match message {
        Some(Ok(Message::Text(text))) => Ok(Some(text)),
        Some(Ok(Message::Close(frame))) => {
            Err(PeerError::Closed { code: frame.map(|frame| frame.code.into()) })
        }
        Some(Ok(_)) => Ok(None),
        Some(Err(error)) => Err(error.into()),
        None => Err(PeerError::Closed { code: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_whatever_the_order_of_its_fields() {
        for text in [
            r#"{"seq":7,"type":"sdp_offer","payload":{"from_device_id":"a","sdp":"x"},"mid":"s/1"}"#,
            r#"{"type":"sdp_offer","payload":{"sdp":"x","more":[1,{"id":2}]},"seq":7}"#,
        ] {
            let frame = Frame::read(text).unwrap();
            assert_eq!((frame.r#type, frame.seq, frame.payload.sdp), ("sdp_offer", Some(7), Some("x")));
        }
        let delivered = Frame::read(r#"{"type":"delivered","payload":{"id":"m1"}}"#).unwrap();
        assert_eq!((delivered.seq, delivered.payload.id), (None, Some("m1")));
        assert!(Frame::read("[]").is_err());
    }

    #[test]
    fn everything_is_acknowledged_once() {
        let frame = |kind, seq| Frame { r#type: kind, seq, payload: Payload::default() };
        let ack = |seq: u64| Some(Message::text(format!(r#"{{"type":"ack","payload":{{"seq":{seq}}}}}"#)));
        let mut acks = Acks::default();
        assert!(acks.take().is_none());
        acks.received(&frame("sdp_offer", Some(3)));
        acks.received(&frame("pong", None));
        assert!(!acks.urgent());
        assert_eq!(acks.take(), ack(3));
        assert!(acks.take().is_none());
        acks.received(&frame("delivered", Some(4)));
        assert!(acks.take().is_none());
        acks.received(&frame("delivered", Some(19)));
        assert!(acks.urgent());
        assert_eq!(acks.take(), ack(19));
    }
}
