//! Whether a message costs the same over more gateways, and with more devices connected; and a device the same memory.

use std::time::{Duration, Instant};

use super::deployment::{Cluster, Ground, Shape};
use super::idle::{at_rest, places};
use super::kinds::{ByKind, KINDS};
use super::relay::{self, MODES, piece};
use crate::crowd::Crowd;
use crate::peer::Dialect;
use crate::plan::{LOAD_PAIRS, THROUGHPUT_PAIRS};
use crate::report::{Rounds, Unit};
use crate::run::{Bench, Failure};
use crate::servers::Server;
use crate::traffic::{Pace, Tally};

const GATEWAYS: &str = "With more gateways";
const DEVICES: &str = "With more devices, at a fixed load";
const MEMORY: &str = "Memory of devices as they become more";
/// Files that a gateway has open beside its devices.
const OTHER_FILES: usize = 600;
/// What idle devices use is measured over this.
const RESTING: Duration = Duration::from_secs(5);

/// Devices that gateways may have with the limit on open files, in pairs of both.
pub(super) fn most_devices(gateways: usize) -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1_000_000);
    let each = usize::try_from(limit).unwrap_or(usize::MAX).min(1_000_000).saturating_sub(OTHER_FILES);
    (each * gateways).saturating_sub(2 * LOAD_PAIRS) / 4 * 4
}

/// How many gateways are tried.
fn counts(gateways: usize) -> Vec<usize> {
    let mut counts: Vec<usize> = [1, 2, 3].into_iter().filter(|count| *count < gateways).collect();
    counts.push(gateways);
    counts
}

/// How many devices are tried.
fn sizes(devices: usize) -> Vec<usize> {
    let mut sizes: Vec<usize> = [1000, 10_000, devices / 2]
        .into_iter()
        .filter(|size| *size < devices)
        .map(|size| size / 4 * 4)
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes.push(devices);
    sizes
}

pub(super) fn steps(shape: Shape, rounds: usize, devices: usize) -> usize {
    counts(shape.gateways).len() * rounds + sizes(devices).len()
}

pub(super) async fn measure(bench: &mut Bench, ground: &Ground, shape: Shape) {
    let forwarder = bench.attempt("the forwarder", async { Ok(Server::forwarder().await?) }).await;
    let Some(forwarder) = forwarder else { return };
    for count in counts(shape.gateways) {
        let done = gateways(bench, ground, &forwarder, count, shape.nodes).await;
        bench.attempt(GATEWAYS, async { done }).await;
    }
    let ended = forwarder.end().await;
    bench.attempt("the forwarder", async { Ok(ended?) }).await;
    let done = devices(bench, ground, shape).await;
    bench.attempt(DEVICES, async { done }).await;
}

async fn gateways(
    bench: &mut Bench,
    ground: &Ground,
    forwarder: &Server,
    count: usize,
    nodes: usize,
) -> Result<(), Failure> {
    let mut cluster = ground.start(count, nodes).await?;
    bench.accounts.rewind();
    let pairs = bench.accounts.pairs(LOAD_PAIRS);
    let (load, length) = (bench.plan.load, bench.plan.piece);
    // Each gateway has as many messages on the way, however many there are: a fleet grows with its load.
    let busy = (THROUGHPUT_PAIRS * count).div_ceil(2);
    let idle = resting(&cluster).await?.sum();
    let mut figures = [(); MODES.len()].map(|()| (Rounds::default(), Rounds::default()));
    for _ in 0..bench.plan.rounds {
        bench.progress.step("more gateways");
        let bare = relay::bare(forwarder, &pairs, load, length).await?;
        for (mode, (loaded, full)) in MODES.iter().zip(&mut figures) {
            let done = relay::turn(&mut cluster, mode, &pairs, busy, load, length).await?;
            for (rounds, piece, bare) in
                [(loaded, &done.loaded, &bare.loaded), (full, &done.full, &bare.full)]
            {
                rounds.add(
                    true,
                    Some(piece.cpu.sum() - background(idle, &piece.tally)),
                    piece.tally.received,
                );
                rounds.add(false, bare.cpu_micros, 0);
            }
        }
    }
    let gateways = format!("{count} gateway{}", if count == 1 { "" } else { "s" });
    for ((loaded, full), with) in figures.iter().zip(["without id", "with id"]) {
        let name = |pace: &str| format!("CPU a message {with}, {gateways}, {pace}");
        bench.rows.push(loaded.row(GATEWAYS, name(&format!("at {load}/s")), Unit::Micros, None));
        bench.rows.push(full.row(GATEWAYS, name("as fast as it goes"), Unit::Micros, None));
    }
    cluster.end().await
}

async fn devices(bench: &mut Bench, ground: &Ground, shape: Shape) -> Result<(), Failure> {
    let mut cluster = ground.start(shape.gateways, shape.nodes).await?;
    bench.accounts.rewind();
    let talking = bench.accounts.pairs(LOAD_PAIRS);
    let mut crowd = Crowd::default();
    let mut links = relay::connect(&cluster, Dialect::V1, &talking).await?;
    let (mut memory, mut grew) = (None::<(usize, ByKind<u64>)>, Vec::new());
    for size in sizes(bench.plan.idle_devices) {
        bench.progress.step("more devices");
        let pairs = bench.accounts.pairs((size - crowd.size()) / 2);
        crowd.connect(places(&cluster, &pairs)).await?;
        at_rest(bench.plan.hub_idle).await;
        let now = cluster.processes().memory()?;
        let idle = resting(&cluster).await?;
        let (mut cpu, mut p50, mut p99) = (Rounds::default(), Rounds::default(), Rounds::default());
        for _ in 0..bench.plan.rounds {
            let load = Pace::Load(bench.plan.load);
            let (back, done) = piece(&mut cluster, links, true, load, bench.plan.piece).await?;
            links = back;
            let tally = &done.tally;
            let background = background(idle.sum(), tally);
            cpu.add(true, Some(done.cpu.sum() - background), tally.received);
            p50.add(true, tally.delays.micros(0.5), tally.received);
            p99.add(true, tally.delays.micros(0.99), tally.received);
            bench.note_lateness(DEVICES, tally);
        }
        let report = crowd.report().await?;
        if report.online != crowd.size() as u64 || !report.returns.is_empty() {
            return Err(super::wrong(format!("of {size} devices {} stayed connected", report.online)));
        }
        bench.rows.extend([
            cpu.row(DEVICES, format!("CPU a message with id, {size} devices"), Unit::Micros, None),
            p50.row(DEVICES, format!("delay p50, {size} devices"), Unit::Micros, None),
            p99.row(DEVICES, format!("delay p99, {size} devices"), Unit::Micros, None),
        ]);
        let mut background = Rounds::default();
        background.add(true, Some(idle.sum() / 1e3), size as u64);
        bench.rows.push(background.row(
            DEVICES,
            format!("CPU a second at rest, {size} devices"),
            Unit::Millis,
            None,
        ));
        if let Some((before, then)) = memory {
            let added = (size - before) as f64;
            let grown = now.zip(&then, |now, then| (*now as f64 - *then as f64) / added / 1024.0);
            for (kind, each) in KINDS.into_iter().zip(grown.each()).take(3) {
                let mut rounds = Rounds::default();
                rounds.add(true, Some(each), added as u64);
                let name = format!("each, from {before} to {size}, {kind}");
                grew.push(rounds.row(MEMORY, name, Unit::Kib, None));
            }
        }
        memory = Some((size, now));
    }
    bench.rows.extend(grew);
    // All of this is local: that many connections need not be closed one by one.
    drop(crowd);
    relay::close(links).await;
    bench.notes.push(
        "With more gateways and more devices: the processor time of a message is without what processes and idle devices \
         use at rest, measured just before. As fast as it goes: each gateway has as many messages on the way, however \
         many gateways there are. Two devices a user, on different gateways."
            .to_owned(),
    );
    cluster.end().await
}

/// What of the processor time of a message is none of its own, but that of leases, loopbacks and heartbeats: they use
/// `idle` microseconds a second.
fn background(idle: f64, tally: &Tally) -> f64 {
    idle * tally.elapsed.as_secs_f64() / tally.received as f64
}

/// Microseconds of processor time a second while nothing happens but heartbeats.
async fn resting(cluster: &Cluster<'_>) -> Result<ByKind<f64>, Failure> {
    let processes = cluster.processes();
    let (before, began) = (processes.cpu()?, Instant::now());
    tokio::time::sleep(RESTING).await;
    let used = processes.cpu()?.micros_since(&before);
    let seconds = began.elapsed().as_secs_f64();
    Ok(used.map(|micros| micros / seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_end_with_all() {
        assert_eq!(counts(1), [1]);
        assert_eq!(counts(2), [1, 2]);
        assert_eq!(counts(5), [1, 2, 3, 5]);
        assert_eq!(sizes(400), [200, 400]);
        assert_eq!(sizes(90_000), [1000, 10_000, 45_000, 90_000]);
        assert!(most_devices(5) >= 5 * most_devices(1) && most_devices(1).is_multiple_of(4));
    }
}
