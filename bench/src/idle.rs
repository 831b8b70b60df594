//! What a device costs that is connected and does nothing.

use std::time::Duration;

use futures_util::StreamExt;
use streamz_client::{Client, DeviceId, TokenSource};

use crate::accounts::{Device, Pair};
use crate::peer::{Dialect, Peer};
use crate::report::{Budget, Rounds, Unit};
use crate::run::{Bench, Failure};
use crate::servers::Server;
use crate::start::mib;

const PART: &str = "Idle devices (two of a user)";
/// Connections that are made at the same time.
const AT_ONCE: usize = 32;

pub(crate) const STEPS: usize = 4;

pub(crate) async fn measure(bench: &mut Bench, streamz: Server) {
    if streamz.processes.0.is_empty() {
        bench.notes.push("No memory of idle devices: give --server-pid.".to_owned());
        return;
    }
    let mut each = Rounds::default();
    let mut whole = Rounds::default();
    let devices = bench.plan.idle_devices;
    let pairs = bench.accounts.pairs(devices / 2);
    let settle = bench.plan.hub_idle + Duration::from_secs(2);
    let (first, second) = pairs.split_at(pairs.len() / 2);
    let forwarder = bench.attempt(PART, async { Ok(Server::forwarder().await?) }).await;
    if let Some(forwarder) = forwarder {
        let mut held: Vec<[Peer; 2]> = Vec::new();
        let run = async {
            let mut resident = Vec::new();
            for half in [first, second] {
                held.extend(bare(&forwarder, half).await?);
                forwarder.quiet().await?;
                resident.push(forwarder.processes.memory()?);
            }
            Ok::<_, Failure>(slope(&resident, 2 * second.len()))
        };
        let done = run.await;
        bench.progress.step("idle devices at the forwarder");
        bench.progress.step("idle devices at the forwarder");
        if let Some(slope) = bench.attempt(PART, async { done }).await {
            each.add(false, Some(slope), 0);
        }
        let ended = forwarder.end().await;
        bench.attempt(PART, async { Ok(ended?) }).await;
    }
    let mut held = Vec::new();
    let run = async {
        let mut resident = Vec::new();
        for half in [first, second] {
            bench.progress.step("idle devices");
            held.extend(clients(&streamz, half).await?);
            // Hubs go to sleep, and what was needed to connect is given back.
            tokio::time::sleep(settle).await;
            streamz.quiet().await?;
            resident.push(streamz.processes.memory()?);
        }
        Ok::<_, Failure>((slope(&resident, 2 * second.len()), resident[1]))
    };
    let done = run.await;
    let lost = held.iter().filter(|client| !is_online(client)).count();
    if let Some((slope, resident)) = bench.attempt(PART, async { done }).await {
        if lost > 0 {
            bench.failures.push(format!("{PART}: {lost} of {} devices lost their connection", held.len()));
        } else {
            each.add(true, Some(slope), held.len() as u64);
            whole.add(true, Some(mib(resident)), held.len() as u64);
        }
    }
    drop(held);
    let ended = streamz.end().await;
    bench.attempt(PART, async { Ok(ended?) }).await;
    bench.rows.extend([
        each.row(PART, "memory a device", Unit::Kib, Some(Budget::AtMost(6.0))),
        whole.row(PART, format!("memory of the server with {devices}"), Unit::Mib, None),
    ]);
    bench.notes.push(
        "The memory of an idle device is the growth from the first half of them to all, after hubs went to sleep."
            .to_owned(),
    );
}

/// KiB that each of the second half added.
pub(crate) fn slope(resident: &[u64], devices: usize) -> f64 {
    let (first, all) = (resident[0] as f64, resident[1] as f64);
    (all - first) / devices as f64 / 1024.0
}

pub(crate) async fn bare(server: &Server, pairs: &[Pair]) -> Result<Vec<[Peer; 2]>, Failure> {
    let connect = |pair: &Pair| {
        let (address, pair) = (server.address.clone(), pair.clone());
        async move {
            let path = uuid::Uuid::new_v4().simple().to_string();
            let one = Peer::connect(&address, Dialect::Bare, &pair.one, &path).await?;
            let other = Peer::connect(&address, Dialect::Bare, &pair.other, &path).await?;
            Ok::<_, Failure>([one, other])
        }
    };
    let mut connecting = futures_util::stream::iter(pairs.iter().map(connect)).buffer_unordered(AT_ONCE);
    let mut peers = Vec::new();
    while let Some(pair) = connecting.next().await {
        peers.push(pair?);
    }
    Ok(peers)
}

/// The product's own clients: they answer heartbeats and acknowledge what they hear.
async fn clients(server: &Server, pairs: &[Pair]) -> Result<Vec<Client>, Failure> {
    let devices = pairs.iter().flat_map(|pair| [&pair.one, &pair.other]);
    let connect = |device: &Device| {
        let (url, device) = (server.url(), device.clone());
        async move { client(&url, &device).await }
    };
    let mut connecting = futures_util::stream::iter(devices.map(connect)).buffer_unordered(AT_ONCE);
    let mut clients = Vec::new();
    while let Some(client) = connecting.next().await {
        clients.push(client?);
    }
    Ok(clients)
}

async fn client(url: &str, device: &Device) -> Result<Client, Failure> {
    use secrecy::ExposeSecret;
    let id = DeviceId::new(&device.id).map_err(|error| Failure::Wrong(error.to_string()))?;
    let token = TokenSource::fixed(device.token.expose_secret());
    let connected = Client::builder(url, id, token).event_capacity(4).connect().await;
    // Nobody wants to know what an idle device hears.
    let (client, _) = connected.map_err(|error| Failure::Wrong(error.to_string()))?;
    Ok(client)
}

fn is_online(client: &Client) -> bool {
    matches!(&*client.state().borrow(), streamz_client::State::Online { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_what_the_second_half_added() {
        assert_eq!(slope(&[10 * 1024 * 1024, 15 * 1024 * 1024], 1024), 5.0);
    }
}
