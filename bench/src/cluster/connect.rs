//! What a connection costs by kind of process: request, token, upgrade, hub, `welcome`, and what the others are told.

use std::time::{Duration, Instant};

use super::deployment::Cluster;
use super::kinds::ByKind;
use super::relay::Split;
use crate::accounts::Pair;
use crate::connect;
use crate::peer::Dialect;
use crate::report::{Budget, Rounds, Unit};
use crate::run::{Bench, Failure};
use crate::servers::Server;

const PART: &str = "Connect (two devices, different gateways)";
/// After this, what connections cause has been written.
const WRITTEN: Duration = Duration::from_secs(1);

pub(super) fn steps(rounds: usize) -> usize {
    rounds * 2
}

pub(super) async fn measure(bench: &mut Bench, cluster: &Cluster<'_>, forwarder: &Server) {
    let (mut cpu, mut rate) = (Split::default(), Rounds::default());
    let count = bench.plan.connect_pairs;
    for _ in 0..bench.plan.rounds {
        bench.progress.step("connections to the forwarder");
        let pairs = bench.accounts.pairs(count);
        let bare = bench.attempt(PART, connect::round(forwarder, Dialect::Bare, &pairs)).await;
        bench.progress.step("connections");
        let pairs = bench.accounts.pairs(count);
        let done = bench.attempt(PART, round(cluster, &pairs)).await;
        if let (Some(bare), Some((used, per_second))) = (bare, done) {
            let devices = 2 * count as u64;
            cpu.add(used, devices);
            cpu.beside(bare.cpu_micros);
            rate.add(true, Some(per_second), devices);
            rate.add(false, Some(bare.per_second), 0);
        }
    }
    cpu.rows(bench, PART, "CPU, known device", Unit::Micros, Some(Budget::AtMost(150.0)));
    bench.rows.push(rate.row(PART, "rate, known device", Unit::PerSecond, None));
    bench.notes.push(
        "The processor time of connections is without what the cluster uses while nothing happens, measured just before."
            .to_owned(),
    );
}

/// Connects all pairs and closes them; microseconds a connection, and connections a second.
async fn round(cluster: &Cluster<'_>, pairs: &[Pair]) -> Result<(ByKind<f64>, f64), Failure> {
    let processes = cluster.processes();
    let at_rest = processes.cpu()?;
    let resting = Instant::now();
    tokio::time::sleep(WRITTEN).await;
    let before = processes.cpu()?;
    let idle = before.micros_since(&at_rest);
    let rested = resting.elapsed();
    let began = Instant::now();
    let addresses = |number| cluster.across(number).map(str::to_owned);
    let peers = connect::connect_all(Dialect::V1, pairs, addresses).await?;
    let took = began.elapsed();
    let count = peers.len() as f64;
    // What is written to the database afterwards is a cost of the connection, too.
    tokio::time::sleep(WRITTEN).await;
    let used = processes.cpu()?.micros_since(&before);
    let share = began.elapsed().as_secs_f64() / rested.as_secs_f64();
    connect::close_all(peers).await;
    tokio::time::sleep(WRITTEN).await;
    Ok((used.zip(&idle, |used, idle| (used - idle * share) / count), count / took.as_secs_f64()))
}
