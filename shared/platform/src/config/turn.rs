//! The TURN server in the process.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use streamz_auth::IceUrl;

use super::Role;
use super::network;
use super::reader::Reader;
use super::sections::{KIB, MIB};

/// Where clients of TURN look for it (RFC 8656 §15).
const PORT: u16 = 3478;

/// A TURN server in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnConfig {
    /// `TURN_HOST` and `TURN_PORT`, UDP; port 0 takes a free one.
    pub listen: SocketAddr,
    /// `TURN_PUBLIC_IP`, if it is not the address of this machine that devices are to use.
    pub public_ip: Option<IpAddr>,
    /// `TURN_RELAY_PORTS`.
    pub ports: RangeInclusive<u16>,
    /// `TURN_ALLOCATIONS_PER_USER`.
    pub allocations_per_user: usize,
    /// `TURN_BANDWIDTH`: bytes a second and user.
    pub bandwidth: u64,
    /// `TURN_ALLOW_PRIVATE`.
    pub allow_private: bool,
}

/// `TURN_PORT`.
enum Port {
    Off,
    At(u16),
}

pub(super) fn read_turn(r: &mut Reader<'_>, role: Role, host: IpAddr) -> Option<TurnConfig> {
    let port = r.parsed("TURN_PORT", |text| match text {
        "off" => Ok(Port::Off),
        text => text.parse().map(Port::At).map_err(|_| "write a port from 0 to 65535, such as 3478, or off"),
    });
    // What is wrong with an entry is said where the list is read.
    let elsewhere = r.text("TURN_URLS").unwrap_or_default().split(',');
    let elsewhere = elsewhere.filter_map(|text| IceUrl::parse(text.trim()).ok()).any(|url| url.is_turn());
    let public_ip = r.parsed("TURN_PUBLIC_IP", |text| match network::parse_host(text) {
        Ok(address) if !address.is_unspecified() => Ok(address),
        _ => Err("write the IP address that devices are to use, such as 198.51.100.7"),
    });
    let config = TurnConfig {
        listen: SocketAddr::new(r.parsed("TURN_HOST", network::parse_host).unwrap_or(host), 0),
        public_ip,
        ports: r.parsed("TURN_RELAY_PORTS", parse_ports).unwrap_or(1..=u16::MAX),
        allocations_per_user: r.count("TURN_ALLOCATIONS_PER_USER", 1..=10_000),
        bandwidth: u64::try_from(r.size("TURN_BANDWIDTH", KIB..=1024 * MIB)).unwrap_or(u64::MAX),
        allow_private: r
            .parsed("TURN_ALLOW_PRIVATE", |text| text.parse::<bool>().map_err(|_| "write true or false"))
            .unwrap_or_default(),
    };
    let port = match port {
        _ if role.is_fleet() => return None,
        Some(Port::Off) => return None,
        Some(Port::At(port)) => port,
        None if elsewhere => return None,
        None => PORT,
    };
    Some(TurnConfig { listen: SocketAddr::new(config.listen.ip(), port), ..config })
}

fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, &'static str> {
    let wanted = "write the first and the last port, such as 49152-65535";
    let (first, last) = text.split_once('-').ok_or(wanted)?;
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0).ok_or(wanted);
    let ports = port(first)?..=port(last)?;
    if ports.is_empty() { Err("the first port is above the last one") } else { Ok(ports) }
}
