//! The storm of reconnects: a gateway is killed, and all of its devices come back through the others. (A storm of
//! sign-ins is another thing: `storm.rs`.)

use std::time::{Duration, Instant};

use secrecy::ExposeSecret;

use super::deployment::{Cluster, wrong};
use super::kinds::KINDS;
use super::relay::close;
use super::watch::Watch;
use crate::accounts::{Device, Pair};
use crate::crowd::{Crowd, Place, Report, now};
use crate::latency::Latencies;
use crate::peer::Dialect;
use crate::report::{Budget, Rounds, Row, Unit};
use crate::run::{Bench, Failure};
use crate::start::mib;
use crate::traffic::{self, Link, Pace, Trip};

const PART: &str = "Reconnect storm";
const BESIDE: &str = "Users on other gateways meanwhile";
/// Pairs whose gateways live on.
pub(super) const PAIRS_BESIDE: usize = 50;
/// Messages a second from all of them.
const LOAD: u32 = 500;
const BEFORE: Duration = Duration::from_secs(5);
/// There is traffic before the gateway is killed, and for long enough after it.
const LEAD: Duration = Duration::from_secs(1);
const STORM: Duration = Duration::from_secs(20);
/// How long all devices may take.
const BACK_WITHIN: Duration = Duration::from_secs(60);
/// Whoever is away for 10 s is announced offline. So look after that.
const ANNOUNCED: Duration = Duration::from_secs(13);
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) const STEPS: usize = 4;

pub(super) async fn measure(bench: &mut Bench, cluster: &mut Cluster<'_>, devices: usize) {
    let done = run(bench, cluster, devices).await;
    bench.attempt(PART, async { done }).await;
}

/// One device of each pair at the gateway that will die, the other one elsewhere.
fn places(cluster: &Cluster<'_>, pairs: &[Pair]) -> Vec<Place> {
    let doomed = &cluster.gateways[0].address;
    let refuges: Vec<String> = cluster.gateways[1..].iter().map(|gateway| gateway.address.clone()).collect();
    let place = |device: &Device, home: &str| Place {
        device: device.id.clone(),
        token: device.token.expose_secret().to_owned(),
        home: home.to_owned(),
        refuges: refuges.clone(),
    };
    let both = |(number, pair): (usize, &Pair)| {
        let safe = &refuges[number % refuges.len()];
        [place(&pair.one, doomed), place(&pair.other, safe)]
    };
    pairs.iter().enumerate().flat_map(both).collect()
}

async fn run(bench: &mut Bench, cluster: &mut Cluster<'_>, devices: usize) -> Result<(), Failure> {
    if cluster.gateways.len() < 3 {
        return Err(wrong("the devices come back through two other gateways; give --gateways 3 or more"));
    }
    cluster.redis_is_a_witness().await;
    let pairs = bench.accounts.pairs(devices);
    let beside = bench.accounts.pairs(PAIRS_BESIDE);
    bench.progress.step("devices connect");
    let mut crowd = Crowd::default();
    crowd.connect(places(cluster, &pairs)).await?;
    let mut links = Vec::new();
    for pair in &beside {
        let addresses = [&*cluster.gateways[1].address, &*cluster.gateways[2].address];
        links.push(Link::connect_across(addresses, Dialect::V1, pair).await?);
    }
    super::idle::at_rest(bench.plan.hub_idle).await;

    bench.progress.step("before the storm");
    let (links, calm) = traffic::run(links, true, Pace::Load(LOAD), BEFORE).await?;
    let at_rest = crowd.report().await?;
    bench.progress.step("the storm");
    let doomed = cluster.gateways.remove(0);
    // Of those that live on.
    let watch = Watch::begin(cluster.processes());
    let traffic = traffic::run_noting(links, true, Pace::Load(LOAD), LEAD + STORM, true);
    let storm = async {
        tokio::time::sleep(LEAD).await;
        let (killed, killed_at) = (Instant::now(), now());
        doomed.kill().await?;
        let report = all_back(&mut crowd, &at_rest, devices, killed).await?;
        let over = Instant::now();
        tokio::time::sleep(ANNOUNCED.saturating_sub(killed.elapsed())).await;
        Ok::<_, Failure>((killed, killed_at, over, report))
    };
    let (traffic, storm) = tokio::join!(traffic, storm);
    let peaks = watch.end().await;
    bench.progress.step("after the storm");
    let (links, tally) = traffic?;
    let (killed, killed_at, over, back) = storm?;
    let last = crowd.report().await?;
    close(links).await;

    let returns = &back.returns[at_rest.returns.len()..];
    let mut times = Latencies::new();
    for back in returns {
        times.record(Duration::from_micros(back.at.saturating_sub(killed_at)));
    }
    let count = returns.len() as u64;
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("all", 1.0)] {
        let millis = times.micros(quantile).map(|micros| micros / 1e3);
        bench.rows.push(one(format!("{devices} devices are back, {name}"), Unit::Millis, millis, count));
    }
    let resumed = returns.iter().filter(|back| back.resumed).count();
    let fresh = returns.len() - resumed;
    let refused: u64 = back.refusals.values().sum();
    let offline = last.offline_frames - at_rest.offline_frames;
    for (name, number, budget) in [
        ("came back with their session", resumed as u64, None),
        ("came back to a new session", fresh as u64, Some(Budget::AtMost(0.0))),
        ("attempts that failed", refused, None),
        ("announcements that somebody is offline", offline, Some(Budget::AtMost(0.0))),
    ] {
        let mut row = one(name.to_owned(), Unit::Count, Some(number as f64), count);
        row.met = budget.map(|_| number == 0);
        bench.rows.push(Row { budget, ..row });
    }
    for (kind, cores) in KINDS.into_iter().zip(peaks.cores.each()) {
        bench.rows.push(one(format!("processors busy, most, {kind}"), Unit::Cores, Some(cores), count));
    }
    for (kind, bytes) in KINDS.into_iter().zip(peaks.memory.each()).take(3) {
        bench.rows.push(one(format!("memory, most, {kind}"), Unit::Mib, Some(mib(bytes)), count));
    }
    beside_rows(bench, &calm, &tally.trips, (killed, over));
    if !tally.is_whole(true) {
        return Err(wrong(format!(
            "of {} messages of uninvolved users {} arrived, {} were confirmed and {} refused",
            tally.sent, tally.received, tally.delivered, tally.refused
        )));
    }
    if !back.refusals.is_empty() {
        bench.notes.push(format!("Attempts that failed, by what the device saw: {:?}.", back.refusals));
    }
    if last.online != crowd.size() as u64 {
        return Err(wrong(format!("{} of {} devices are connected at the end", last.online, crowd.size())));
    }
    bench.notes.push(format!(
        "One device of each user was at the gateway that was killed, the other one at another. Those came back with the \
         client's own full jitter, each through one of {} gateways by lot, as behind a load balancer that knows the dead \
         one. Processors and memory are the most of a quarter of a second, of the processes that live on.",
        cluster.gateways.len()
    ));
    Ok(())
}

/// Until all have returned, or far too long.
async fn all_back(
    crowd: &mut Crowd,
    before: &Report,
    devices: usize,
    killed: Instant,
) -> Result<Report, Failure> {
    loop {
        let report = crowd.report().await?;
        if report.returns.len() - before.returns.len() >= devices {
            return Ok(report);
        }
        if killed.elapsed() > BACK_WITHIN {
            return Err(wrong(format!(
                "{} of {devices} devices came back within {} s; refusals: {:?}",
                report.returns.len() - before.returns.len(),
                BACK_WITHIN.as_secs(),
                report.refusals
            )));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn beside_rows(bench: &mut Bench, calm: &traffic::Tally, trips: &[Trip], (from, to): (Instant, Instant)) {
    let mut meanwhile = Latencies::new();
    for trip in trips.iter().filter(|trip| trip.sent + trip.took >= from && trip.sent <= to) {
        meanwhile.record(trip.took);
    }
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("most", 1.0)] {
        for (when, delays) in [("before", &calm.delays), ("until all are back", &meanwhile)] {
            let mut rounds = Rounds::default();
            rounds.add(true, delays.micros(quantile), delays.count());
            bench.rows.push(rounds.row(BESIDE, format!("delay {name}, {when}"), Unit::Micros, None));
        }
    }
}

fn one(name: String, unit: Unit, value: Option<f64>, samples: u64) -> Row {
    let mut rounds = Rounds::default();
    rounds.add(true, value, samples);
    rounds.row(PART, name, unit, None)
}
