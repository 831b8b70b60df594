//! Where a request comes from.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;

use crate::state::AppState;

/// The client's address: of the peer, or, if the peer is one of `TRUSTED_PROXIES`, what it says in
/// `X-Forwarded-For`.
///
/// A request that came over no socket (in a test) comes from 0.0.0.0: all such count as one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl FromRequestParts<AppState> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip());
        let entries: Vec<&str> = parts
            .headers
            .get_all("x-forwarded-for")
            .iter()
            // What is not text vouches for nobody: it ends the way back through the proxies.
            .flat_map(|value| value.to_str().unwrap_or("?").split(','))
            .collect();
        Ok(Self(state.settings().trusted_proxies.client(peer, entries.into_iter())))
    }
}
