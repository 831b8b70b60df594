//! STUN and TURN servers, with credentials that lapse by themselves.
//!
//! The credentials are those of coturn's `use-auth-secret` (draft-uberti-behave-turn-rest-00): the username is
//! `expiry:user`, the password the base64 of HMAC-SHA1 over it. Whoever knows the secret can check one without
//! a database. SHA-1 is what the draft and every TURN server use; HMAC does not suffer from its collisions.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use utoipa::ToSchema;

/// What kind of server a URL names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Stun,
    Turn,
}

/// The address of a STUN server (RFC 7064) or of a TURN server (RFC 7065), as a browser takes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IceUrl {
    text: String,
    kind: Kind,
}

impl IceUrl {
    /// `stun:host[:port]`, `stuns:…`, `turn:host[:port][?transport=udp|tcp]` or `turns:…`.
    ///
    /// # Errors
    /// [`InvalidIceUrl`], which says what is wrong with which text.
    pub fn parse(text: &str) -> Result<Self, InvalidIceUrl> {
        let invalid = |problem| InvalidIceUrl { url: text.chars().take(100).collect(), problem };
        let (scheme, rest) =
            text.split_once(':').ok_or_else(|| invalid("it has no scheme such as stun: or turn:"))?;
        let kind = match scheme.to_ascii_lowercase().as_str() {
            "stun" | "stuns" => Kind::Stun,
            "turn" | "turns" => Kind::Turn,
            _ => return Err(invalid("its scheme is not stun, stuns, turn or turns")),
        };
        if rest.starts_with("//") {
            return Err(invalid("there is no // after the scheme"));
        }
        let (address, query) = match rest.split_once('?') {
            Some((address, query)) => (address, Some(query)),
            None => (rest, None),
        };
        match (kind, query) {
            (_, None) | (Kind::Turn, Some("transport=udp" | "transport=tcp")) => {}
            (Kind::Turn, Some(_)) => {
                return Err(invalid("after the ? stands transport=udp or transport=tcp"));
            }
            (Kind::Stun, Some(_)) => return Err(invalid("a STUN server takes no ? part")),
        }
        check_address(address).map_err(invalid)?;
        Ok(Self { text: format!("{}:{rest}", scheme.to_ascii_lowercase()), kind })
    }

    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it relays, and so asks for credentials.
    #[must_use]
    pub fn is_turn(&self) -> bool {
        self.kind == Kind::Turn
    }
}

fn check_address(address: &str) -> Result<(), &'static str> {
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or("the [ of its IPv6 address is not closed")?;
        host.parse::<Ipv6Addr>().map_err(|_| "what stands in [ ] is not an IPv6 address")?;
        match port {
            "" => (host, None),
            port => (host, Some(port.strip_prefix(':').ok_or("after the ] stands only a :port")?)),
        }
    } else {
        match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        }
    };
    if host.is_empty() {
        return Err("it names no host");
    }
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    if host.len() > 255 || !host.chars().all(named) {
        return Err("its host is not a name or an address");
    }
    match port {
        Some(port)
            if !port.bytes().all(|b| b.is_ascii_digit()) || !matches!(port.parse::<u16>(), Ok(1..)) =>
        {
            Err("its port is not a number from 1 to 65535")
        }
        _ => Ok(()),
    }
}

impl FromStr for IceUrl {
    type Err = InvalidIceUrl;
    fn from_str(text: &str) -> Result<Self, InvalidIceUrl> {
        Self::parse(text)
    }
}

impl fmt::Display for IceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A text that is not a STUN or TURN address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} is not a STUN or TURN address: {problem}")]
pub struct InvalidIceUrl {
    /// The text, cut to 100 characters.
    pub url: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// One entry of a browser's `RTCConfiguration.iceServers`. Its `Debug` does not show the credential.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IceServer {
    /// Addresses of this server.
    #[schema(example = json!(["turn:turn.example.org:3478?transport=udp"]))]
    pub urls: Vec<String>,
    /// `expiry:user`, for a TURN server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "1767225600:6f1c9a52-6d1b-4a53-9d0a-0d3f0e6a7c11")]
    pub username: Option<String>,
    /// The time-limited password, for a TURN server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .field("username", &self.username)
            .field("credential", &self.credential.as_ref().map(|_| "…"))
            .finish()
    }
}

impl From<IceServer> for streamz_protocol::objects::IceServer {
    fn from(server: IceServer) -> Self {
        let IceServer { urls, username, credential } = server;
        Self { urls, username, credential }
    }
}

/// The configured servers, and the secret shared with the TURN ones.
#[derive(Clone, Debug, Default)]
pub struct IceServers {
    stun: Vec<String>,
    turn: Vec<String>,
    embedded: Option<EmbeddedTurn>,
    secret: Option<SecretString>,
    ttl: Duration,
}

/// A TURN server in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedTurn {
    /// The host that devices are told; `None`: the one by which they reached the API.
    pub host: Option<IpAddr>,
    /// The port that it has.
    pub port: u16,
}

impl IceServers {
    /// Servers whose credentials are good for `ttl` (whole seconds).
    ///
    /// # Errors
    /// [`InvalidIceServers`]: a TURN server without a secret, or a life of less than a second.
    pub fn new(
        urls: impl IntoIterator<Item = IceUrl>,
        secret: Option<SecretString>,
        ttl: Duration,
    ) -> Result<Self, InvalidIceServers> {
        let (turn, stun): (Vec<_>, Vec<_>) = urls.into_iter().partition(IceUrl::is_turn);
        if !turn.is_empty() && secret.as_ref().is_none_or(|secret| secret.expose_secret().is_empty()) {
            return Err(InvalidIceServers::MissingSecret);
        }
        if ttl.as_secs() == 0 {
            return Err(InvalidIceServers::NoLife);
        }
        let texts = |urls: Vec<IceUrl>| urls.into_iter().map(|url| url.text).collect();
        Ok(Self { stun: texts(stun), turn: texts(turn), embedded: None, secret, ttl })
    }

    /// The secret shared with the TURN servers, if there is one.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretString> {
        self.secret.as_ref()
    }

    /// The same servers, and the one in this process, all with `secret`.
    #[must_use]
    pub fn with_embedded(self, embedded: EmbeddedTurn, secret: SecretString) -> Self {
        Self { embedded: Some(embedded), secret: Some(secret), ..self }
    }

    /// Whether [`at`](Self::at) has to know by which host a device reached the API.
    #[must_use]
    pub fn depend_on_host(&self) -> bool {
        self.embedded.as_ref().is_some_and(|embedded| embedded.host.is_none())
    }

    /// What `user` is told at `now`: one entry for all STUN servers, and one with fresh credentials for all
    /// TURN servers. Empty if nothing is configured. `reached` is the `Host` header of the device's request.
    #[must_use]
    pub fn at(&self, user: &str, reached: Option<&str>, now: DateTime<Utc>) -> Vec<IceServer> {
        let mut servers = Vec::with_capacity(2);
        let (mut stun, mut turn) = (self.stun.clone(), self.turn.clone());
        if let Some(address) = self.embedded.as_ref().and_then(|embedded| embedded.address(reached)) {
            stun.push(format!("stun:{address}"));
            turn.push(format!("turn:{address}?transport=udp"));
        }
        if !stun.is_empty() {
            servers.push(IceServer { urls: stun, username: None, credential: None });
        }
        if let (false, Some(secret)) = (turn.is_empty(), &self.secret) {
            let expiry = now.timestamp().saturating_add_unsigned(self.ttl.as_secs());
            let username = format!("{expiry}:{user}");
            servers.push(IceServer {
                urls: turn,
                credential: Some(credential(secret, &username)),
                username: Some(username),
            });
        }
        servers
    }

    /// When whoever was told at `told` should be told again: after three quarters of the credentials' life.
    /// None if there are no credentials to renew.
    #[must_use]
    pub fn renew_at(&self, told: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let life = chrono::Duration::from_std(self.ttl / 4 * 3).ok()?;
        if self.turn.is_empty() && self.embedded.is_none() { None } else { told.checked_add_signed(life) }
    }

    /// How long a set of credentials is good.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.ttl
    }
}

impl EmbeddedTurn {
    /// `host:port`, if what is known of the host can stand in a URL.
    fn address(&self, reached: Option<&str>) -> Option<String> {
        let address = match self.host {
            Some(host) => SocketAddr::new(host, self.port).to_string(),
            None => {
                let host = reached?;
                // The colons of an IPv6 address stand in brackets.
                let port = host.rfind(':').filter(|at| !host[*at..].contains(']'));
                format!("{}:{}", &host[..port.unwrap_or(host.len())], self.port)
            }
        };
        check_address(&address).is_ok().then_some(address)
    }
}

/// Whose name `expiry:user` is, unless it has lapsed at `now`. That it is a name at all says the
/// [`credential`] that comes with it.
#[must_use]
pub fn user_of(username: &str, now: DateTime<Utc>) -> Option<&str> {
    let (expiry, user) = username.split_once(':')?;
    (now.timestamp() < expiry.parse().ok()?).then_some(user)
}

/// The password that belongs to `username`: base64 of HMAC-SHA1 under `secret`.
///
/// A TURN server that shares the secret computes the same, and refuses the username from its expiry on.
#[must_use]
pub fn credential(secret: &SecretString, username: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.expose_secret().as_bytes())
        .expect("HMAC takes a key of any length");
    mac.update(username.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Why these servers cannot be offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIceServers {
    /// There is a TURN server and nothing to make its credentials with.
    #[error("a TURN server needs the secret that it was configured with")]
    MissingSecret,
    /// Credentials that are void when they are issued.
    #[error("credentials must be good for at least a second")]
    NoLife,
}

#[cfg(test)]
#[path = "turn_tests.rs"]
mod tests;
