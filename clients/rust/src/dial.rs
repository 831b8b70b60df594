//! Making a connection: where to, with which request, in which time.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use streamz_protocol::SessionId;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::header::{
    AUTHORIZATION, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL,
};
use tokio_tungstenite::tungstenite::http::{Response, Uri};
use tokio_tungstenite::{MaybeTlsStream, client_async_with_config};

use crate::builder::{Builder, Dialect};
use crate::error::{ConnectError, Lost, TokenError};
use crate::wire::{self, Wire};

/// The subprotocol of this client (RFC 6455 §1.9).
const SUBPROTOCOL: &str = "streamz.v1";

/// Where a client connects to, parsed once.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// `host:port`, for the resolver.
    address: String,
    /// Up to the session, which differs each time.
    url: String,
    dialect: Dialect,
    timeout: Duration,
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) lost: Lost,
    /// `Retry-After` (RFC 9110 §10.2.3) in its form of seconds.
    pub(crate) retry_after: Option<Duration>,
}

impl From<Lost> for Failed {
    fn from(lost: Lost) -> Self {
        Self { lost, retry_after: None }
    }
}

impl Target {
    pub(crate) fn new(builder: &Builder) -> Result<Self, ConnectError> {
        let invalid = || ConnectError::InvalidUrl(builder.url.clone());
        let base: Uri = builder.url.parse().map_err(|_| invalid())?;
        let (scheme, default_port) = match base.scheme_str() {
            Some("ws" | "http") => ("ws", 80),
            Some("wss" | "https") => return Err(ConnectError::NoTls),
            _ => return Err(invalid()),
        };
        // A user and password in a URL would end up in logs, a query would be repeated by ours.
        let authority = base.authority().filter(|a| !a.as_str().contains('@'));
        let (Some(authority), None) = (authority, base.query()) else {
            return Err(invalid());
        };
        let path = match base.path() {
            "" | "/" => "/ws",
            path => path,
        };
        let mut url = format!("{scheme}://{authority}{path}");
        push_query(&mut url, '?', "device_id", builder.device.as_str());
        for (name, value) in [("device_name", &builder.name), ("device_type", &builder.kind)] {
            if let Some(value) = value {
                push_query(&mut url, '&', name, value);
            }
        }
        if let Some(streams) = builder.max_streams {
            push_query(&mut url, '&', "max_streams", &streams.to_string());
        }
        let port = authority.port_u16().unwrap_or(default_port);
        Ok(Self {
            address: format!("{}:{port}", authority.host()),
            url,
            dialect: builder.dialect,
            timeout: builder.connect_timeout,
        })
    }

    /// Connects and upgrades.
    pub(crate) async fn dial(
        &self,
        token: &SecretString,
        resume: Option<(SessionId, u64)>,
    ) -> Result<Wire, Failed> {
        let request = self.request(token, resume)?;
        let attempt = async {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            let config = Some(wire::buffers());
            client_async_with_config(request, MaybeTlsStream::Plain(stream), config).await
        };
        match timeout(self.timeout, attempt).await {
            Ok(Ok((socket, _))) => Ok(Wire::new(socket)),
            Ok(Err(error)) => Err(Failed {
                retry_after: match &error {
                    Error::Http(response) => retry_after(response),
                    _ => None,
                },
                lost: wire::lost(error),
            }),
            Err(_) => Err(Lost::TimedOut.into()),
        }
    }

    fn request(&self, token: &SecretString, resume: Option<(SessionId, u64)>) -> Result<Request, Lost> {
        let mut url = self.url.clone();
        if let Some((session, last_seq)) = resume {
            push_query(&mut url, '&', "session_id", &session.to_string());
            push_query(&mut url, '&', "last_seq", &last_seq.to_string());
        }
        let mut request = url.into_client_request().map_err(|error| Lost::WebSocket(error.to_string()))?;
        let (name, value) = match self.dialect {
            Dialect::Native | Dialect::Simple => (AUTHORIZATION, "Bearer "),
            Dialect::Browser => (SEC_WEBSOCKET_PROTOCOL, "streamz.v1, bearer."),
        };
        let value = HeaderValue::try_from(format!("{value}{}", token.expose_secret()));
        let mut value = value
            .map_err(|_| TokenError::Refused("it has characters that no HTTP header may have".to_owned()))?;
        value.set_sensitive(true);
        let headers = request.headers_mut();
        headers.insert(name, value);
        if self.dialect == Dialect::Native {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        }
        Ok(request)
    }
}

fn push_query(url: &mut String, before: char, name: &str, value: &str) {
    url.push(before);
    url.push_str(name);
    url.push('=');
    url.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
}

fn retry_after<T>(response: &Response<T>) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use streamz_protocol::DeviceId;
    use uuid::Uuid;

    use super::*;
    use crate::client::Client;

    fn builder(url: &str) -> Builder {
        let device = DeviceId::new("Wohnzimmer TV / 2").unwrap();
        Client::builder(url, device, "a.b.c")
    }

    fn target(url: &str) -> Target {
        Target::new(&builder(url)).unwrap()
    }

    #[test]
    fn urls_of_either_kind_lead_to_the_socket() {
        for (given, address, begins) in [
            ("http://h", "h:80", "ws://h/ws?"),
            ("http://h:8080/", "h:8080", "ws://h:8080/ws?"),
            ("ws://[::1]:9/base/ws", "[::1]:9", "ws://[::1]:9/base/ws?"),
        ] {
            let target = target(given);
            assert_eq!(target.address, address);
            let query = "device_id=Wohnzimmer%20TV%20%2F%202";
            assert_eq!(target.url, format!("{begins}{query}"));
        }
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for bad in ["", "h", "/ws", "ftp://h", "http://u:p@h", "http://h/ws?x=1"] {
            let refused = Target::new(&builder(bad)).unwrap_err();
            assert_eq!(refused, ConnectError::InvalidUrl(bad.to_owned()));
        }
        assert_eq!(Target::new(&builder("https://h")).unwrap_err(), ConnectError::NoTls);
    }

    #[test]
    fn the_request_says_who_what_and_since_when() {
        let builder = builder("http://h").named("TV & more", "tv").max_streams(3);
        let session = SessionId(Uuid::from_u128(7));
        let token = SecretString::from("a.b.c");
        for (dialect, authorization, protocol) in [
            (Dialect::Native, Some("Bearer a.b.c"), Some("streamz.v1")),
            (Dialect::Browser, None, Some("streamz.v1, bearer.a.b.c")),
            (Dialect::Simple, Some("Bearer a.b.c"), None),
        ] {
            let target = Target::new(&builder.clone().dialect(dialect)).unwrap();
            let request = target.request(&token, Some((session, 42))).unwrap();
            assert_eq!(
                request.uri().query().unwrap(),
                "device_id=Wohnzimmer%20TV%20%2F%202&device_name=TV%20%26%20more&device_type=tv&max_streams=3\
                 &session_id=00000000%2D0000%2D0000%2D0000%2D000000000007&last_seq=42"
            );
            let header = |name| request.headers().get(name).map(|v: &HeaderValue| v.to_str().unwrap());
            assert_eq!(header(AUTHORIZATION), authorization);
            assert_eq!(header(SEC_WEBSOCKET_PROTOCOL), protocol);
            assert!(!format!("{request:?}").contains("a.b.c"));
        }
    }

    #[test]
    fn a_token_that_is_no_header_is_refused_without_being_shown() {
        let token = SecretString::from("line\nbreak");
        let error = target("http://h").request(&token, None).unwrap_err();
        assert!(matches!(error, Lost::Token(TokenError::Refused(_))));
        assert!(!format!("{error:?}").contains("break"));
    }
}
