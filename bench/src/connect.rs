//! What a connection costs: request, token, upgrade, hub, `welcome`, and what the others are told of it.

use std::time::Instant;

use futures_util::StreamExt;

use crate::accounts::Pair;
use crate::peer::{Dialect, Peer, PeerError};
use crate::plan::Plan;
use crate::report::{Budget, Rounds, Unit};
use crate::run::{Bench, Failure};
use crate::servers::Server;

const PART: &str = "Connect (two devices of a user)";
/// Connections that are made at the same time.
const AT_ONCE: usize = 16;

pub(crate) fn steps(plan: &Plan) -> usize {
    plan.rounds * 3
}

#[derive(Default)]
struct Figures {
    cpu: Rounds,
    rate: Rounds,
}

pub(crate) async fn measure(bench: &mut Bench, streamz: &Server, forwarder: Option<&Server>) {
    let (mut known, mut strangers) = (Figures::default(), Figures::default());
    for _ in 0..bench.plan.rounds {
        let count = bench.plan.connect_pairs;
        if let Some(forwarder) = forwarder {
            bench.progress.step("connections to the forwarder");
            let pairs = bench.accounts.pairs(count);
            let done = bench.attempt(PART, round(forwarder, Dialect::Bare, &pairs)).await;
            for figures in [&mut known, &mut strangers] {
                figures.add(false, done);
            }
        }
        bench.progress.step("connections of known devices");
        let pairs = bench.accounts.pairs(count);
        let done = bench.attempt(PART, round(streamz, Dialect::V1, &pairs)).await;
        known.add(true, done);
        bench.progress.step("connections of new devices");
        let pairs = bench.accounts.strangers(count);
        let done = bench.attempt(PART, round(streamz, Dialect::V1, &pairs)).await;
        strangers.add(true, done);
    }
    bench.rows.extend([
        known.cpu.row(PART, "CPU, known device", Unit::Micros, Some(Budget::AtMost(150.0))),
        strangers.cpu.row(PART, "CPU, first-time device (registered)", Unit::Micros, None),
        known.rate.row(PART, "rate, known device", Unit::PerSecond, None),
        strangers.rate.row(PART, "rate, first-time device", Unit::PerSecond, None),
    ]);
}

impl Figures {
    fn add(&mut self, of_streamz: bool, done: Option<Round>) {
        if let Some(done) = done {
            self.cpu.add(of_streamz, done.cpu_micros, done.count);
            self.rate.add(of_streamz, Some(done.per_second), done.count);
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Round {
    pub(crate) cpu_micros: Option<f64>,
    pub(crate) per_second: f64,
    count: u64,
}

/// Connects both devices of each pair, one after the other, at the addresses for the pair of that number.
pub(crate) async fn connect_all(
    dialect: Dialect,
    pairs: &[Pair],
    addresses: impl Fn(usize) -> [String; 2],
) -> Result<Vec<Peer>, PeerError> {
    let pair = |(number, pair): (usize, &Pair)| {
        let ([one, other], pair) = (addresses(number), pair.clone());
        async move {
            // What the forwarder knows a pair by.
            let path = format!("{}-{number}", uuid::Uuid::new_v4().simple());
            let one = Peer::connect(&one, dialect, &pair.one, &path).await?;
            let other = Peer::connect(&other, dialect, &pair.other, &path).await?;
            Ok::<_, PeerError>([one, other])
        }
    };
    let mut peers = Vec::with_capacity(2 * pairs.len());
    let mut connecting =
        futures_util::stream::iter(pairs.iter().enumerate().map(pair)).buffer_unordered(AT_ONCE);
    while let Some(pair) = connecting.next().await {
        peers.extend(pair?);
    }
    Ok(peers)
}

pub(crate) async fn close_all(peers: Vec<Peer>) {
    futures_util::stream::iter(peers).for_each_concurrent(AT_ONCE, Peer::close).await;
}

/// Connects all pairs and closes them again.
pub(crate) async fn round(server: &Server, dialect: Dialect, pairs: &[Pair]) -> Result<Round, Failure> {
    let watched = !server.processes.0.is_empty();
    let before = server.processes.cpu()?;
    let began = Instant::now();
    let peers = connect_all(dialect, pairs, |_| [server.address.clone(), server.address.clone()]).await?;
    let took = began.elapsed();
    let count = peers.len();
    // What is written to the database afterwards is a cost of the connection, too.
    if watched {
        server.quiet().await?;
    }
    let used = server.processes.cpu()?.since(&before);
    close_all(peers).await;
    if watched {
        server.quiet().await?;
    }
    Ok(Round {
        cpu_micros: watched.then(|| used.as_secs_f64() * 1e6 / count as f64),
        per_second: count as f64 / took.as_secs_f64(),
        count: count as u64,
    })
}
