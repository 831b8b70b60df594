//! A server that says what a test tells it to.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use streamz_client::{Builder, Client, DeviceId, TokenSource};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};
use uuid::Uuid;

/// Nothing here takes this long unless it failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const FIRST: Uuid = Uuid::from_u128(1);
pub(crate) const SECOND: Uuid = Uuid::from_u128(2);

/// Waits for what must come soon.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it did not come")
}

pub(crate) struct Server {
    listener: TcpListener,
    pub(crate) url: String,
}

/// One connection, seen from the server.
pub(crate) struct Peer {
    socket: WebSocketStream<TcpStream>,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) authorization: Option<String>,
    pub(crate) protocol: Option<String>,
}

/// What a peer heard.
#[derive(Debug, PartialEq)]
pub(crate) enum Said {
    Frame(Value),
    Pong,
    Close(u16),
    /// The connection ended without a close frame.
    Gone,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self { listener, url }
    }

    pub(crate) fn client(&self) -> Builder {
        self.client_with("the-token")
    }

    /// A client that comes back quickly.
    pub(crate) fn client_with(&self, token: impl Into<TokenSource>) -> Builder {
        let device = DeviceId::new("phone").unwrap();
        Client::builder(&self.url, device, token).backoff(Duration::from_millis(1), Duration::from_millis(5))
    }

    /// Upgrades the next connection, and says nothing yet.
    pub(crate) async fn accept(&self) -> Peer {
        soon(async {
            let (stream, _) = self.listener.accept().await.unwrap();
            let mut seen = (String::new(), None, None);
            #[allow(clippy::result_large_err)]
            let upgrade = |request: &Request, mut response: Response| {
                let header = |name: &str| request.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
                seen = (request.uri().to_string(), header("authorization"), header("sec-websocket-protocol"));
                if seen.2.as_ref().is_some_and(|offered| offered.split(", ").any(|p| p == "streamz.v1")) {
                    let chosen = HeaderValue::from_static("streamz.v1");
                    response.headers_mut().insert("sec-websocket-protocol", chosen);
                }
                Ok(response)
            };
            let socket = accept_hdr_async(stream, upgrade).await.unwrap();
            let (target, authorization, protocol) = seen;
            Peer { socket, target, authorization, protocol }
        })
        .await
    }

    /// Upgrades the next connection and welcomes it.
    pub(crate) async fn welcome(&self, session: Uuid, resumed: bool) -> Peer {
        let mut peer = self.accept().await;
        peer.welcome(session, resumed, 25_000).await;
        peer
    }

    /// Refuses the next connection.
    pub(crate) async fn refuse(&self, status: u16, retry_after: Option<&'static str>) {
        let (stream, _) = soon(self.listener.accept()).await.unwrap();
        #[allow(clippy::result_large_err)]
        let refusal = |_: &Request, _: Response| {
            let mut response = ErrorResponse::new(None);
            *response.status_mut() = status.try_into().unwrap();
            if let Some(seconds) = retry_after {
                response.headers_mut().insert("retry-after", HeaderValue::from_static(seconds));
            }
            Err(response)
        };
        let refused = soon(accept_hdr_async(stream, refusal)).await;
        assert!(matches!(refused, Err(Error::Http(_))));
    }
}

impl Peer {
    pub(crate) async fn welcome(&mut self, session: Uuid, resumed: bool, heartbeat_ms: u64) {
        let device = json!({
            "id": Uuid::nil(), "user_id": Uuid::nil(), "device_id": "phone", "device_name": "Phone",
            "device_type": "phone", "is_online": true, "last_seen": null, "created_at": "2027-01-15T08:30:00.000Z",
        });
        self.say(json!({"type": "welcome", "payload": {
            "session_id": session, "resumed": resumed, "heartbeat_interval_ms": heartbeat_ms,
            "resume_window_ms": 60_000, "device": device, "devices": [device], "streams": [], "ice_servers": [],
        }}))
        .await;
    }

    pub(crate) async fn say(&mut self, frame: Value) {
        self.write(Message::text(frame.to_string())).await;
    }

    /// All of them in one go.
    pub(crate) async fn say_all(&mut self, frames: impl IntoIterator<Item = Value>) {
        for frame in frames {
            self.socket.feed(Message::text(frame.to_string())).await.unwrap();
        }
        self.socket.flush().await.unwrap();
    }

    pub(crate) async fn write(&mut self, message: Message) {
        soon(self.socket.send(message)).await.unwrap();
    }

    pub(crate) async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        self.write(Message::Close(Some(frame))).await;
        while !matches!(self.hear().await, Said::Close(_) | Said::Gone) {}
    }

    pub(crate) async fn hear(&mut self) -> Said {
        match soon(self.socket.next()).await {
            Some(Ok(Message::Text(text))) => Said::Frame(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Pong(_))) => Said::Pong,
            Some(Ok(Message::Close(frame))) => Said::Close(frame.map_or(1005, |frame| frame.code.into())),
            Some(Ok(other)) => panic!("unexpected {other:?}"),
            Some(Err(_)) | None => Said::Gone,
        }
    }

    pub(crate) async fn frame(&mut self) -> Value {
        match self.hear().await {
            Said::Frame(frame) => frame,
            other => panic!("no frame but {other:?}"),
        }
    }

    /// The next message's type and `id`.
    pub(crate) async fn message(&mut self) -> (String, String) {
        let frame = self.frame().await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&frame["type"]), text(&frame["id"]))
    }

    /// Hears acknowledgements up to this one, and nothing else.
    pub(crate) async fn acked(&mut self, seq: u64) {
        loop {
            let frame = self.frame().await;
            assert_eq!(frame["type"], "ack", "{frame}");
            let acked = frame["payload"]["seq"].as_u64().unwrap();
            assert!(acked <= seq, "{frame}");
            if acked == seq {
                return;
            }
        }
    }
}

pub(crate) fn offline(seq: u64, device: &str) -> Value {
    json!({"seq": seq, "type": "device_offline", "payload": {"device_id": device}})
}

pub(crate) fn relayed(seq: u64, number: u64, sdp: &str) -> Value {
    let mid = format!("{}:{number}", Uuid::from_u128(99));
    json!({"seq": seq, "type": "sdp_offer", "payload": {"from_device_id": "tv", "sdp": sdp}, "mid": mid})
}

pub(crate) fn delivered(seq: u64, id: &str) -> Value {
    json!({"seq": seq, "type": "delivered", "payload": {"id": id}, "id": id})
}
