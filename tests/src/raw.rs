//! A WebSocket without a client's manners.

use std::fmt;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::scenario::soon;

/// A frame as a WebSocket message.
#[must_use]
pub fn message(frame: &Value) -> Message {
    Message::text(frame.to_string())
}

/// How to connect.
#[derive(Clone, Debug)]
pub struct Dial {
    url: String,
    query: String,
    headers: Vec<(String, String)>,
}

/// How a server refused an upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// The `code` of the problem in the body.
    pub code: String,
}

impl Dial {
    /// To `url`, as `device`.
    #[must_use]
    pub fn new(url: &str, device: &str) -> Self {
        let device: String = device.bytes().map(|byte| format!("%{byte:02X}")).collect();
        Self::with_query(url, &format!("device_id={device}"))
    }

    /// To `url`, with a query as it is.
    #[must_use]
    pub fn with_query(url: &str, query: &str) -> Self {
        Self { url: url.replacen("http", "ws", 1), query: query.to_owned(), headers: Vec::new() }
    }

    /// With one more parameter, as it is.
    #[must_use]
    pub fn query(mut self, parameter: &str) -> Self {
        self.query.push('&');
        self.query.push_str(parameter);
        self
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a token in the header.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// With the subprotocol.
    #[must_use]
    pub fn v1(self) -> Self {
        self.header("sec-websocket-protocol", "streamz.v1")
    }

    /// To go on with a session.
    #[must_use]
    pub fn resume(self, session: &str, last_seq: u64) -> Self {
        self.query(&format!("session_id={session}&last_seq={last_seq}"))
    }

    /// Upgrades, and reads nothing yet.
    ///
    /// # Errors
    /// How the server refused.
    pub async fn open(&self) -> Result<Raw, Refused> {
        let mut request = format!("{}/ws?{}", self.url, self.query).into_client_request().unwrap();
        for (name, value) in &self.headers {
            let name: tokio_tungstenite::tungstenite::http::HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(self.url.trim_start_matches("ws://")).await.unwrap();
        stream.set_nodelay(true).unwrap();
        match soon(client_async_with_config(request, stream, Some(config()))).await {
            Ok((socket, _)) => Ok(Raw::over(socket)),
            Err(Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                let body: Value = serde_json::from_slice(body).unwrap_or_default();
                let code = body["code"].as_str().unwrap_or_default().to_owned();
                Err(Refused { status: response.status().as_u16(), code })
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// Upgrades and is welcomed.
    pub async fn welcomed(&self) -> Raw {
        let mut raw = self.open().await.unwrap_or_else(|refused| panic!("{refused:?}"));
        let welcome = raw.frame().await;
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        assert!(welcome.get("seq").is_none(), "{welcome}");
        raw.welcome = welcome["payload"].clone();
        raw
    }

    /// Upgrades and sends this many short frames (below 126 bytes) with the request, before any answer: no client may
    /// (RFC 6455 §4.1), but bytes are bytes.
    pub async fn pipelined(&self, frames: &[Value]) -> Raw {
        let host = self.url.trim_start_matches("ws://");
        let mut bytes = format!(
            "GET /ws?{} HTTP/1.1\r\nhost: {host}\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            self.query
        )
        .into_bytes();
        for (name, value) in &self.headers {
            bytes.extend(format!("{name}: {value}\r\n").bytes());
        }
        bytes.extend(b"\r\n");
        for frame in frames {
            let text = frame.to_string();
            let length = u8::try_from(text.len()).unwrap();
            assert!(length < 126);
            bytes.extend([0x81, 0x80 | length, 0, 0, 0, 0]);
            bytes.extend(text.bytes());
        }
        let mut stream = TcpStream::connect(host).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = Vec::new();
        let end = loop {
            assert!(soon(stream.read_buf(&mut answer)).await.unwrap() > 0, "no answer");
            if let Some(at) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
        };
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
        let rest = answer.split_off(end);
        Raw::over(WebSocketStream::from_partially_read(stream, rest, Role::Client, Some(config())).await)
    }

    /// Upgrades and hears nothing but this close code; returns its reason.
    pub async fn refused(&self, code: u16) -> String {
        let mut raw = self.open().await.unwrap_or_else(|refused| panic!("{refused:?}"));
        assert_eq!(raw.hear().await, Heard::Close(code));
        raw.reason
    }
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(16 << 20)).max_frame_size(Some(16 << 20))
}

/// What was heard.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// A text frame.
    Frame(Value),
    /// A close frame; 1005 without a code.
    Close(u16),
    /// The end, without a close frame.
    Gone,
}

/// A WebSocket on which a test may say anything. It answers pings and nothing else by itself.
pub struct Raw {
    socket: WebSocketStream<TcpStream>,
    /// The payload of `welcome`.
    pub welcome: Value,
    /// The highest `seq` that was heard.
    pub last_seq: u64,
    /// What the close frame said, if there was one.
    pub reason: String,
    barriers: u32,
}

impl Raw {
    fn over(socket: WebSocketStream<TcpStream>) -> Self {
        Self { socket, welcome: Value::Null, last_seq: 0, reason: String::new(), barriers: 0 }
    }

    /// The session's name.
    #[must_use]
    pub fn session(&self) -> String {
        self.welcome["session_id"].as_str().unwrap().to_owned()
    }

    /// Sends a frame.
    pub async fn say(&mut self, frame: Value) {
        self.say_text(&frame.to_string()).await;
    }

    /// Sends text as it is.
    pub async fn say_text(&mut self, text: &str) {
        self.write(Message::text(text.to_owned())).await;
    }

    /// Sends a WebSocket message of any kind.
    pub async fn write(&mut self, message: Message) {
        soon(self.socket.send(message)).await.unwrap();
    }

    /// Sends a WebSocket message; false if the connection is gone.
    pub async fn try_write(&mut self, message: Message) -> bool {
        soon(self.socket.send(message)).await.is_ok()
    }

    /// Hands over a message, without making sure that it leaves.
    pub async fn feed(&mut self, message: Message) {
        soon(self.socket.feed(message)).await.unwrap();
    }

    /// Makes sure that all leaves.
    pub async fn flush(&mut self) {
        soon(self.socket.flush()).await.unwrap();
    }

    /// Sends one frame of a message that may have several (RFC 6455 §5.4).
    pub async fn fragment(&mut self, frame: Frame) {
        self.write(Message::Frame(frame)).await;
    }

    /// Writes bytes under the WebSocket, as they are.
    pub async fn write_bytes(&mut self, bytes: &[u8]) {
        soon(self.socket.get_mut().write_all(bytes)).await.unwrap();
    }

    /// The same, as far as the other side takes them.
    pub async fn try_write_bytes(&mut self, bytes: &[u8]) {
        let _ = soon(self.socket.get_mut().write_all(bytes)).await;
    }

    /// The next thing but pings and pongs.
    pub async fn hear(&mut self) -> Heard {
        loop {
            match soon(self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if let Some(seq) = frame["seq"].as_u64() {
                        assert!(seq > self.last_seq, "seq {seq} after {}", self.last_seq);
                        self.last_seq = seq;
                    }
                    return Heard::Frame(frame);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(frame))) => {
                    self.reason = frame.as_ref().map_or_else(String::new, |frame| frame.reason.to_string());
                    return Heard::Close(frame.map_or(1005, |frame| frame.code.into()));
                }
                Some(Ok(other)) => panic!("unexpected {other:?}"),
                Some(Err(_)) | None => return Heard::Gone,
            }
        }
    }

    /// The next frame.
    pub async fn frame(&mut self) -> Value {
        match self.hear().await {
            Heard::Frame(frame) => frame,
            other => panic!("no frame but {other:?}"),
        }
    }

    /// The next frame, which is of this type; returns its payload.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let frame = self.frame().await;
        assert_eq!(frame["type"], kind, "{frame}");
        frame["payload"].clone()
    }

    /// The next frame of this type; others are passed over.
    pub async fn until(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.frame().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// The outcome of a message: `delivered`, `not_delivered` or `error`; other frames are passed over.
    pub async fn outcome(&mut self, id: &str) -> Value {
        loop {
            let frame = self.frame().await;
            let ends = ["delivered", "not_delivered", "error"].iter().any(|kind| frame["type"] == *kind);
            if ends && frame["id"] == id {
                assert_eq!(frame["payload"]["id"], id, "{frame}");
                return frame;
            }
        }
    }

    /// Confirms all that was heard.
    pub async fn ack(&mut self) {
        let seq = self.last_seq;
        self.say(json!({"type": "ack", "payload": {"seq": seq}})).await;
    }

    /// Everything that this device was sent before its user's hub answers the question asked here. What comes later
    /// was not on its way.
    pub async fn barrier(&mut self) -> Vec<Value> {
        self.barriers += 1;
        let id = format!("barrier-{}", self.barriers);
        let payload = json!({"to_device_id": "no such device", "candidate": ""});
        self.say(json!({"type": "ice_candidate", "payload": payload, "id": id})).await;
        let mut before = Vec::new();
        loop {
            let frame = self.frame().await;
            if frame["id"] == *id {
                assert_eq!(frame["payload"]["reason"], "unknown_device", "{frame}");
                return before;
            }
            before.push(frame);
        }
    }

    /// Asserts that nothing is on its way to this device.
    pub async fn hears_nothing(&mut self) {
        let heard = self.barrier().await;
        assert!(heard.is_empty(), "{heard:?}");
    }

    /// Hears no more frames; returns how the connection ended.
    pub async fn end(&mut self) -> Heard {
        loop {
            match self.hear().await {
                Heard::Frame(_) => {}
                end => return end,
            }
        }
    }

    /// Hears a close frame with this code, after any other frames.
    pub async fn closes(&mut self, code: u16) {
        assert_eq!(self.end().await, Heard::Close(code));
    }

    /// Says goodbye: a clean end.
    pub async fn close(mut self) {
        let frame = CloseFrame { code: 1000.into(), reason: "".into() };
        self.write(Message::Close(Some(frame))).await;
        self.end().await;
    }

    /// Is gone without a word, as after a network loss.
    pub fn vanish(self) {
        // A reset, so that nothing of a goodbye is sent.
        let _ = self.socket.get_ref().set_zero_linger();
    }

    /// A WebSocket ping with these bytes.
    pub async fn ping(&mut self, bytes: &'static [u8]) {
        self.write(Message::Ping(Bytes::from_static(bytes))).await;
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raw").field("last_seq", &self.last_seq).finish_non_exhaustive()
    }
}
