//! Who may call, and from where.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

/// `HOST`: an address, or `localhost`.
pub(super) fn parse_host(text: &str) -> Result<IpAddr, &'static str> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    text.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .map_err(|_| "write an IP address, such as 127.0.0.1, 0.0.0.0 or ::")
}

/// The origin of a web page (RFC 6454) as a browser sends it: lower case, without a default port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(String);

impl Origin {
    /// `scheme://host[:port]`. Schemes other than `http` and `https` are fine: app shells have their own
    /// (`capacitor://localhost`). Those that no page can have are not.
    ///
    /// # Errors
    /// A sentence that says what to write instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let Some((scheme, authority)) = text.split_once("://") else {
            return Err("it has no scheme; write it as the browser does, such as https://app.example.org");
        };
        let (scheme, authority) = (scheme.to_ascii_lowercase(), authority.to_ascii_lowercase());
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(named) {
            return Err("its scheme is none; write it as the browser does, such as https://app.example.org");
        }
        if NO_PAGES.contains(&&*scheme) {
            return Err(
                "no page has an origin of this scheme; write that of the page, such as https://app.example.org",
            );
        }
        if authority.contains('*') {
            return Err("a * stands only alone, for all origins; write every origin in full");
        }
        if authority.contains(['/', '?', '#', '@']) {
            return Err("an origin ends after its host and port; leave out the path and the last /");
        }
        let (host, port) = split_port(&authority);
        if port.is_some_and(|port| !matches!(port.parse::<u16>(), Ok(1..))) {
            return Err("its port is not a number from 1 to 65535");
        }
        let listed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '[' | ']');
        if host.is_empty() || !host.chars().all(listed) {
            return Err("its host is none; write names of other scripts in their xn-- form");
        }
        Ok(Self(format!("{scheme}://{}", without_default_port(&scheme, &authority))))
    }

    /// The origin as a browser writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once("://").unwrap_or(("", &self.0))
    }
}

/// Schemes of which a browser makes no origin that it would send, or under which it loads no page.
const NO_PAGES: &[&str] = &[
    "about",
    "blob",
    "data",
    "file",
    "ftp",
    "ftps",
    "javascript",
    "mailto",
    "postgres",
    "redis",
    "sftp",
    "ssh",
    "stun",
    "tcp",
    "turn",
    "udp",
    "unix",
    "ws",
    "wss",
];

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn without_default_port<'a>(scheme: &str, authority: &'a str) -> &'a str {
    match (scheme, split_port(authority)) {
        ("http", (host, Some("80"))) | ("https", (host, Some("443"))) => host,
        _ => authority,
    }
}

/// Which pages may use the API and open sockets. Pages of the same origin always may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// `*`: all of them. Never in production.
    Any,
    /// These.
    Only {
        /// The listed ones.
        listed: Vec<Origin>,
        /// And every port of this machine: `localhost`, `127.0.0.1`, `[::1]`.
        localhost: bool,
    },
}

impl AllowedOrigins {
    /// Whether a page of `origin` (the header) may call the server that it calls `host` (the header, with its
    /// port).
    ///
    /// The scheme is not compared for the same origin: behind a proxy that ends TLS nobody here knows it.
    #[must_use]
    pub fn allows(&self, origin: &str, host: Option<&str>) -> bool {
        let Self::Only { listed, localhost } = self else { return true };
        let Ok(origin) = Origin::parse(origin) else { return false };
        let (scheme, authority) = origin.parts();
        let same = host.is_some_and(|host| {
            authority.eq_ignore_ascii_case(without_default_port(scheme, &host.to_ascii_lowercase()))
        });
        let local = || matches!(split_port(authority).0, "localhost" | "127.0.0.1" | "[::1]");
        same || listed.contains(&origin) || (*localhost && local())
    }
}

/// Networks whose `X-Forwarded-For` is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(pub(super) Vec<IpNet>);

impl TrustedProxies {
    /// Whether this is the address of a proxy of ours.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        // On a socket of both families an IPv4 peer looks like ::ffff:10.0.0.1.
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address of the client: of the peer itself, or, going back through proxies of ours, the last one in
    /// `forwarded` that is not ours.
    ///
    /// `forwarded` are the entries of `X-Forwarded-For` in their order; what stands before an entry that nobody of
    /// ours vouches for is the client's own invention and is ignored.
    #[must_use]
    pub fn client<'a>(&self, peer: IpAddr, forwarded: impl DoubleEndedIterator<Item = &'a str>) -> IpAddr {
        let mut client = peer.to_canonical();
        for entry in forwarded.rev() {
            if !self.contains(client) {
                break;
            }
            let Ok(address) = entry.trim().parse::<IpAddr>() else { break };
            client = address.to_canonical();
        }
        client
    }
}

/// `10.0.0.0/8`, or one address.
pub(super) fn parse_network(text: &str) -> Result<IpNet, &'static str> {
    let address = |text: &str| text.parse::<IpAddr>().map(IpNet::from);
    match text.parse::<IpNet>() {
        Ok(network) if network.addr() == network.network() => Ok(network),
        Ok(_) => Err("bits are set after the prefix; write the network's first address, such as 10.0.0.0/8"),
        Err(_) => address(text).map_err(|_| "write an address or a network, such as 10.0.0.0/8 or fd00::/8"),
    }
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
