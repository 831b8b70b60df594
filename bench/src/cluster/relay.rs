//! What a message costs that goes from gateway to node to gateway, by kind of process, and how long it takes beside two
//! bare hops over Redis and the bare forwarder.

use std::time::Duration;

use super::deployment::{Cluster, Ground, wrong};
use super::kinds::{ByKind, KINDS};
use crate::accounts::Pair;
use crate::hop::Ends;
use crate::peer::Dialect;
use crate::plan::{LOAD_PAIRS, MESSAGE_BYTES, THROUGHPUT_PAIRS, THROUGHPUT_WINDOW};
use crate::relay::{self, Speak};
use crate::report::{Budget, Rounds, Unit};
use crate::run::{Bench, Failure};
use crate::servers::Server;
use crate::traffic::{self, Link, Pace, Tally};

/// A way to speak, and what a message may cost then.
pub(super) struct Mode {
    part: &'static str,
    dialect: Dialect,
    with_id: bool,
    cpu: f64,
}

pub(super) const MODES: [Mode; 2] = [
    Mode {
        part: "900 bytes across the cluster, without id",
        dialect: Dialect::Simple,
        with_id: false,
        cpu: 5.0,
    },
    Mode { part: "900 bytes across the cluster, with id", dialect: Dialect::V1, with_id: true, cpu: 8.0 },
];
/// How much slower than its parts, one at a time.
const DELAY: f64 = 1.5;

pub(super) fn steps(rounds: usize) -> usize {
    MODES.len() * rounds * 3
}

/// A piece of traffic and what it cost.
pub(super) struct Piece {
    pub(super) tally: Tally,
    /// Microseconds of processor time a message.
    pub(super) cpu: ByKind<f64>,
    /// `PUBLISH` commands a message.
    publishes: f64,
}

/// Connected pairs, each across two gateways.
pub(super) async fn connect(
    cluster: &Cluster<'_>,
    dialect: Dialect,
    pairs: &[Pair],
) -> Result<Vec<Link>, Failure> {
    let mut links = Vec::with_capacity(pairs.len());
    for (number, pair) in pairs.iter().enumerate() {
        links.push(Link::connect_across(cluster.across(number), dialect, pair).await?);
    }
    Ok(links)
}

pub(super) async fn piece(
    cluster: &mut Cluster<'_>,
    links: Vec<Link>,
    with_id: bool,
    pace: Pace,
    length: Duration,
) -> Result<(Vec<Link>, Piece), Failure> {
    let published = cluster.publishes().await?;
    let processes = cluster.processes();
    let before = processes.cpu()?;
    let (links, tally) = traffic::run(links, with_id, pace, length).await?;
    let used = processes.cpu()?.micros_since(&before);
    if !tally.is_whole(with_id) {
        let Tally { sent, received, delivered, refused, .. } = tally;
        return Err(wrong(format!(
            "of {sent} messages of {MESSAGE_BYTES} bytes {received} arrived, {delivered} were confirmed and {refused} \
             refused"
        )));
    }
    let published = cluster.publishes().await?.saturating_sub(published);
    let each = |amount: f64| amount / tally.received as f64;
    let (cpu, publishes) = (used.map(|micros| each(*micros)), each(published as f64));
    Ok((links, Piece { tally, cpu, publishes }))
}

/// Rounds of each kind of process.
#[derive(Default)]
pub(super) struct Split {
    all: Rounds,
    kinds: [Rounds; 4],
}

impl Split {
    pub(super) fn add(&mut self, of: ByKind<f64>, samples: u64) {
        self.all.add(true, Some(of.sum()), samples);
        for (rounds, value) in self.kinds.iter_mut().zip(of.each()) {
            rounds.add(true, Some(value), samples);
        }
    }

    pub(super) fn beside(&mut self, value: Option<f64>) {
        self.all.add(false, value, 0);
    }

    pub(super) fn rows(
        &self,
        bench: &mut Bench,
        part: &'static str,
        name: &str,
        unit: Unit,
        budget: Option<Budget>,
    ) {
        bench.rows.push(self.all.row(part, name, unit, budget));
        for (rounds, kind) in self.kinds.iter().zip(KINDS) {
            bench.rows.push(rounds.row(part, format!("  of which {kind}"), unit, None));
        }
    }
}

#[derive(Default)]
struct Figures {
    cpu: Split,
    publishes: Rounds,
    rate: Rounds,
    p50: Rounds,
    p99: Rounds,
    outcome_p50: Rounds,
    outcome_p99: Rounds,
}

impl Figures {
    fn add(&mut self, piece: &Piece) {
        let Piece { tally, cpu, publishes } = piece;
        let count = tally.received;
        self.cpu.add(*cpu, count);
        self.publishes.add(true, Some(*publishes), count);
        self.rate.add(true, Some(count as f64 / tally.elapsed.as_secs_f64()), count);
        self.p50.add(true, tally.delays.micros(0.5), count);
        self.p99.add(true, tally.delays.micros(0.99), count);
        self.outcome_p50.add(true, tally.outcomes.micros(0.5), tally.outcomes.count());
        self.outcome_p99.add(true, tally.outcomes.micros(0.99), tally.outcomes.count());
    }

    fn beside(&mut self, piece: &relay::Piece) {
        let tally = &piece.tally;
        self.cpu.beside(piece.cpu_micros);
        self.rate.add(false, Some(tally.received as f64 / tally.elapsed.as_secs_f64()), 0);
        self.p50.add(false, tally.delays.micros(0.5), 0);
        self.p99.add(false, tally.delays.micros(0.99), 0);
    }
}

pub(super) async fn measure(
    bench: &mut Bench,
    ground: &Ground,
    cluster: &mut Cluster<'_>,
    forwarder: &Server,
) {
    let hop = bench.attempt("the bare hop", Hop::start(ground)).await;
    let Some(mut hop) = hop else { return };
    let pairs = bench.accounts.pairs(LOAD_PAIRS);
    let (load, length) = (bench.plan.load, bench.plan.piece);
    for mode in &MODES {
        let part = mode.part;
        let (mut alone, mut loaded, mut full) = (Figures::default(), Figures::default(), Figures::default());
        for _ in 0..bench.plan.rounds {
            bench.progress.step("the forwarder");
            let bare = bench.attempt(part, bare(forwarder, &pairs, load, length)).await;
            bench.progress.step("the bare hop");
            let hops = bench.attempt(part, hop.run(length)).await;
            bench.progress.step(part);
            let done = turn(cluster, mode, &pairs, THROUGHPUT_PAIRS, load, length);
            let done = bench.attempt(part, done).await;
            // A round counts only whole.
            if let (Some(bare), Some(hops), Some(done)) = (bare, hops, done) {
                bench.note_lateness(part, &done.loaded.tally);
                alone.add(&done.alone);
                loaded.add(&done.loaded);
                full.add(&done.full);
                loaded.beside(&bare.loaded);
                full.beside(&bare.full);
                let sum = |quantile| Some(hops.micros(quantile)? + bare.alone.tally.delays.micros(quantile)?);
                alone.p50.add(false, sum(0.5), 0);
                alone.p99.add(false, sum(0.99), 0);
            }
        }
        let budget = Some(Budget::Ratio(mode.cpu));
        loaded.cpu.rows(bench, part, &format!("CPU a message, at {load}/s"), Unit::Micros, budget);
        full.cpu.rows(bench, part, "CPU a message, as fast as it goes", Unit::Micros, budget);
        bench.rows.extend([
            loaded.publishes.row(part, format!("PUBLISH a message, at {load}/s"), Unit::Count, None),
            full.publishes.row(part, "PUBLISH a message, as fast as it goes", Unit::Count, None),
            full.rate.row(part, "throughput", Unit::PerSecond, None),
            loaded.p50.row(part, format!("delay p50, at {load}/s"), Unit::Micros, None),
            loaded.p99.row(part, format!("delay p99, at {load}/s"), Unit::Micros, None),
        ]);
        if mode.with_id {
            bench.rows.push(loaded.outcome_p99.row(
                part,
                format!("outcome p99, at {load}/s"),
                Unit::Micros,
                None,
            ));
        }
        let part = match mode.with_id {
            false => "Alone, without id (beside hops + forwarder)",
            true => "Alone, with id (beside hops + forwarder)",
        };
        bench.rows.extend([
            alone.p50.row(part, "delay p50", Unit::Micros, Some(Budget::Ratio(DELAY))),
            alone.p99.row(part, "delay p99", Unit::Micros, None),
        ]);
        if mode.with_id {
            bench.rows.push(alone.outcome_p50.row(part, "outcome p50", Unit::Micros, None));
        }
    }
    let ended = hop.end().await;
    bench.attempt("the bare hop", async { ended }).await;
}

/// One of each: one message at a time, a fixed load of all pairs, and some of them as fast as they can.
pub(super) struct Turn<P> {
    alone: P,
    pub(super) loaded: P,
    pub(super) full: P,
}

pub(super) async fn turn(
    cluster: &mut Cluster<'_>,
    mode: &Mode,
    pairs: &[Pair],
    busy: usize,
    load: u32,
    length: Duration,
) -> Result<Turn<Piece>, Failure> {
    let with_id = mode.with_id;
    let mut links = connect(cluster, mode.dialect, pairs).await?;
    let few = links.split_off(links.len().saturating_sub(busy));
    // Not counted: first messages grow buffers and find their way.
    let (mut few, _) = traffic::run(few, with_id, Pace::Window(1), length / 10).await?;
    let one = few.split_off(few.len() - 1);
    let (one, alone) = piece(cluster, one, with_id, Pace::Window(1), length).await?;
    few.extend(one);
    let (few, full) = piece(cluster, few, with_id, Pace::Window(THROUGHPUT_WINDOW), length).await?;
    links.extend(few);
    let (links, loaded) = piece(cluster, links, with_id, Pace::Load(load), length).await?;
    close(links).await;
    Ok(Turn { alone, loaded, full })
}

/// The same with the forwarder.
pub(super) async fn bare(
    forwarder: &Server,
    pairs: &[Pair],
    load: u32,
    length: Duration,
) -> Result<Turn<relay::Piece>, Failure> {
    let speak = Speak { server: forwarder, dialect: Dialect::Bare, with_id: false };
    let mut links = Link::connect_all(&forwarder.address, speak.dialect, pairs).await?;
    let few = links.split_off(links.len().saturating_sub(THROUGHPUT_PAIRS));
    let (mut few, _) = traffic::run(few, false, Pace::Window(1), length / 10).await?;
    let one = few.split_off(few.len() - 1);
    let (one, alone) = relay::piece(&speak, one, Pace::Window(1), length).await?;
    few.extend(one);
    let (few, full) = relay::piece(&speak, few, Pace::Window(THROUGHPUT_WINDOW), length).await?;
    links.extend(few);
    let (links, loaded) = relay::piece(&speak, links, Pace::Load(load), length).await?;
    close(links).await;
    Ok(Turn { alone, loaded, full })
}

pub(super) async fn close(links: Vec<Link>) {
    for link in links {
        link.close().await;
    }
}

/// The bare hop in its process, and its two ends here.
struct Hop {
    server: Server,
    ends: Ends,
}

impl Hop {
    async fn start(ground: &Ground) -> Result<Self, Failure> {
        let server = Server::hop(&ground.redis_url()).await?;
        let ends = Ends::connect(&super::client_of(&ground.redis_url())?).await.map_err(wrong)?;
        Ok(Self { server, ends })
    }

    async fn run(&mut self, length: Duration) -> Result<crate::latency::Latencies, Failure> {
        // Not counted: the first ones.
        self.ends.run(length / 10).await.map_err(wrong)?;
        self.ends.run(length).await.map_err(wrong)
    }

    async fn end(self) -> Result<(), Failure> {
        Ok(self.server.end().await?)
    }
}
