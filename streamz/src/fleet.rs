//! What the roles of a fleet have in common.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use secrecy::ExposeSecret;
use streamz_bus::redis;
use streamz_fleet::new_process_id;
use streamz_platform::Config;
use streamz_platform::config::BusConfig;
use streamz_protocol::wire::BusKey;

use crate::exit::Failure;

/// Keeps clusters apart that share instances of Redis.
const NAMESPACE: &str = "default";

/// Where the bus is, and what proves who is on it.
pub(crate) fn bus(config: &Config) -> Result<(redis::Settings, BusKey), Failure> {
    let BusConfig::Redis { urls } = &config.bus else {
        return Err(Failure::Configuration("REDIS_URL is missing.".to_owned()));
    };
    let Some(secret) = &config.bus_secret else {
        return Err(Failure::Configuration("BUS_SECRET is missing.".to_owned()));
    };
    let settings = redis::Settings::new(urls.clone(), NAMESPACE, new_process_id());
    Ok((settings, BusKey::derive(secret.expose_secret().as_bytes())))
}

/// Looks whether Redis is what it should be, before anybody is told that this process serves. One that cannot be
/// reached is no problem: it is waited for.
pub(crate) async fn check_bus(settings: &redis::Settings) -> Result<(), Failure> {
    let answers = redis::check(settings).await;
    let lasting = answers.into_iter().filter_map(Result::err).filter(|error| !error.problem.may_pass());
    let sentences: Vec<String> = lasting.map(|error| error.to_string()).collect();
    if sentences.is_empty() {
        return Ok(());
    }
    Err(Failure::unable(format!("REDIS_URL: {}.", sentences.join("; "))))
}

/// Whether one instance at least carries what this process says.
pub(crate) fn bus_state(statuses: &[redis::Status]) -> Result<&'static str, &'static str> {
    let healthy = statuses.iter().any(|status| status.health == redis::Health::Healthy);
    if healthy { Ok("answers") } else { Err("does not answer") }
}

/// Where others reach what listens at this address: if that is everywhere, the address from which this machine goes to
/// Redis. Nothing is sent for that.
pub(crate) async fn reachable(address: SocketAddr, bus: &redis::Settings) -> String {
    if !address.ip().is_unspecified() {
        return address.to_string();
    }
    for url in &bus.urls {
        let Ok(url) = reqwest::Url::parse(url.expose_secret()) else { continue };
        let Some(host) = url.host_str() else { continue };
        let host = host.trim_matches(['[', ']']).to_owned();
        let Ok(found) = tokio::net::lookup_host((host, url.port().unwrap_or(6379))).await else { continue };
        for redis in found {
            let from = if redis.is_ipv4() {
                IpAddr::V4(Ipv4Addr::UNSPECIFIED)
            } else {
                IpAddr::V6(Ipv6Addr::UNSPECIFIED)
            };
            let Ok(socket) = UdpSocket::bind((from, 0)) else { continue };
            if socket.connect(redis).is_ok()
                && let Ok(own) = socket.local_addr()
            {
                return SocketAddr::new(own.ip(), address.port()).to_string();
            }
        }
    }
    address.to_string()
}
