//! What a device costs that is connected and does nothing, by kind of process.

use std::time::Duration;

use super::deployment::Cluster;
use super::kinds::ByKind;
use super::relay::Split;
use crate::accounts::Pair;
use crate::crowd::{Crowd, Place};
use crate::idle::{bare, slope};
use crate::peer::Peer;
use crate::report::{Budget, Rounds, Unit};
use crate::run::{Bench, Failure};
use crate::servers::Server;
use crate::start::mib;

const PART: &str = "Idle devices (two of a user, two gateways)";

pub(super) const STEPS: usize = 4;

/// Where the devices of each pair are, with no gateway to go to but their own.
pub(super) fn places(cluster: &Cluster<'_>, pairs: &[Pair]) -> Vec<Place> {
    use secrecy::ExposeSecret;
    let of = |(number, pair): (usize, &Pair)| {
        let place = |device: &crate::accounts::Device, home: &str| Place {
            device: device.id.clone(),
            token: device.token.expose_secret().to_owned(),
            home: home.to_owned(),
            refuges: Vec::new(),
        };
        let [one, other] = cluster.across(number);
        [place(&pair.one, one), place(&pair.other, other)]
    };
    pairs.iter().enumerate().flat_map(of).collect()
}

/// Hubs go to sleep, and what was needed to connect is given back.
pub(super) async fn at_rest(hub_idle: Duration) {
    tokio::time::sleep(hub_idle + Duration::from_secs(3)).await;
}

pub(super) async fn measure(bench: &mut Bench, cluster: &Cluster<'_>) {
    let devices = bench.plan.idle_devices;
    bench.accounts.rewind();
    let pairs = bench.accounts.pairs(devices / 2);
    let (first, second) = pairs.split_at(pairs.len() / 2);
    let added = 2 * second.len();
    let (mut each, mut whole) = (Split::default(), Rounds::default());
    let beside = async {
        let forwarder = Server::forwarder().await?;
        let (mut held, mut resident): (Vec<[Peer; 2]>, Vec<u64>) = (Vec::new(), Vec::new());
        for half in [first, second] {
            bench.progress.step("idle devices at the forwarder");
            held.extend(bare(&forwarder, half).await?);
            forwarder.quiet().await?;
            resident.push(forwarder.processes.memory()?);
        }
        drop(held);
        forwarder.end().await?;
        Ok::<_, Failure>(slope(&resident, added))
    };
    let beside = beside.await;
    let beside = bench.attempt(PART, async { beside }).await;
    let hub_idle = bench.plan.hub_idle;
    let run = async {
        let mut crowd = Crowd::default();
        let mut resident: Vec<ByKind<u64>> = Vec::new();
        for half in [first, second] {
            bench.progress.step("idle devices");
            crowd.connect(places(cluster, half)).await?;
            at_rest(hub_idle).await;
            resident.push(cluster.processes().memory()?);
        }
        let report = crowd.report().await?;
        let lost = crowd.size() as u64 - report.online.min(crowd.size() as u64);
        if lost > 0 || !report.returns.is_empty() {
            return Err(Failure::Wrong(format!("{lost} of {} devices lost their connection", crowd.size())));
        }
        Ok((resident[0], resident[1]))
    };
    let done = run.await;
    if let Some((half, all)) = bench.attempt(PART, async { done }).await {
        let grown = all.zip(&half, |all, half| slope(&[*half, *all], added));
        // The budget is for gateways and nodes; Postgres keeps its own caches.
        each.add(ByKind { postgres: 0.0, ..grown }, added as u64);
        each.beside(beside);
        whole.add(true, Some(mib(all.each()[..3].iter().sum())), devices as u64);
    }
    each.rows(bench, PART, "memory a device", Unit::Kib, Some(Budget::AtMost(6.0)));
    bench.rows.retain(|row| !(row.part == PART && row.name.ends_with("Postgres")));
    bench.rows.push(whole.row(PART, format!("memory of all but Postgres with {devices}"), Unit::Mib, None));
    bench.notes.push(
        "The memory of an idle device is the growth from the first half of them to all, after hubs went to sleep."
            .to_owned(),
    );
}
