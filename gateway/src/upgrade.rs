//! From an HTTP request to a WebSocket (RFC 6455 §4.2).
//!
//! axum has an extractor for this. It keeps the stream to itself, so that everything goes through the buffers of the
//! WebSocket library, which never give back what the `welcome` once took: a kilobyte for every idle device.

use std::io;

use axum::body::Body;
use axum::http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::frames::Counted;

/// The version of the protocol that RFC 6455 describes.
pub(crate) const VERSION: &str = "13";

/// A WebSocket of the server's side.
pub(crate) type WebSocket = WebSocketStream<Counted<TokioIo<Upgraded>>>;

/// A request that asks for a WebSocket in the right form.
pub(crate) struct Upgrade {
    accept: HeaderValue,
    stream: OnUpgrade,
}

/// The stream of a request whose answer is on its way.
pub(crate) struct Upgrading(OnUpgrade);

/// A stream that speaks WebSocket from now on.
pub(crate) struct RawSocket(Counted<TokioIo<Upgraded>>);

impl Upgrade {
    /// Takes the upgrade out of a request, if it asks for this one.
    pub(crate) fn of(parts: &mut Parts) -> Option<Self> {
        let headers = &parts.headers;
        let asks = parts.method == Method::GET
            && lists(headers, &CONNECTION, "upgrade")
            && lists(headers, &UPGRADE, "websocket")
            && headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == VERSION);
        let key = headers.get(SEC_WEBSOCKET_KEY).filter(|_| asks)?;
        let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()?;
        let stream = parts.extensions.remove::<OnUpgrade>()?;
        Some(Self { accept, stream })
    }

    /// The answer, in which the server speaks `protocol` if there is one, and what becomes of the connection.
    pub(crate) fn accept(self, protocol: Option<&'static str>) -> (Response, Upgrading) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        if let Some(protocol) = protocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        (response, Upgrading(self.stream))
    }
}

impl Upgrading {
    /// The stream, once the answer is sent. `None` if the client is gone.
    pub(crate) async fn finish(self) -> Option<RawSocket> {
        match self.0.await {
            Ok(stream) => Some(RawSocket(Counted::new(TokioIo::new(stream)))),
            Err(error) => {
                tracing::debug!(%error, "a client went away before its WebSocket began");
                None
            }
        }
    }
}

impl RawSocket {
    /// Sends texts ahead of everything else, through a buffer that is gone afterwards.
    ///
    /// # Errors
    /// The client is gone.
    pub(crate) async fn greet(&mut self, texts: Vec<String>) -> io::Result<()> {
        let mut bytes = Vec::new();
        for text in texts {
            let frame = Frame::message(text, OpCode::Data(Data::Text), true);
            frame.format(&mut bytes).map_err(io::Error::other)?;
        }
        self.0.inner().write_all(&bytes).await?;
        self.0.inner().flush().await
    }

    /// Frames from here on.
    pub(crate) async fn web_socket(self, config: WebSocketConfig) -> WebSocket {
        WebSocketStream::from_raw_socket(self.0, Role::Server, Some(config)).await
    }
}

/// Whether a header that is a list of words has this one among them, in upper or lower case.
fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|listed| listed.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn lists_upgrade(value: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static(value));
        lists(&headers, &CONNECTION, "upgrade")
    }

    #[test]
    fn words_are_found_in_lists() {
        assert!(lists_upgrade("Upgrade") && lists_upgrade("keep-alive, upgrade"));
        assert!(!lists_upgrade("upgraded") && !lists_upgrade("keep-alive"));
    }

    #[test]
    fn a_request_that_nobody_upgrades_is_refused() {
        let request = Request::get("/ws")
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, VERSION)
            .header(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
            .body(())
            .unwrap();
        assert!(Upgrade::of(&mut request.into_parts().0).is_none());
    }
}
