//! What a message costs, and how long it takes.

use std::time::Duration;

use crate::accounts::Pair;
use crate::peer::Dialect;
use crate::plan::{LOAD_PAIRS, MESSAGE_BYTES, Plan, THROUGHPUT_PAIRS, THROUGHPUT_WINDOW};
use crate::report::{Budget, Rounds, Unit};
use crate::run::{Bench, Failure};
use crate::servers::Server;
use crate::traffic::{self, Link, Pace, Tally};

/// Ways to speak.
struct Mode {
    part: &'static str,
    dialect: Dialect,
    with_id: bool,
    budget: Option<Budget>,
}

const MODES: [Mode; 3] = [
    Mode {
        part: "900 bytes without id (simple clients)",
        dialect: Dialect::Simple,
        with_id: false,
        budget: Some(Budget::Ratio(1.5)),
    },
    Mode {
        part: "900 bytes with id: outcome and acks",
        dialect: Dialect::V1,
        with_id: true,
        budget: Some(Budget::Ratio(3.0)),
    },
    Mode { part: "900 bytes without id, with acks", dialect: Dialect::V1, with_id: false, budget: None },
];

fn modes(plan: &Plan) -> &'static [Mode] {
    if plan.all_modes { &MODES } else { &MODES[..2] }
}

pub(crate) fn steps(plan: &Plan) -> usize {
    modes(plan).len() * plan.rounds * 2
}

/// The figures of one way of sending.
#[derive(Default)]
struct Figures {
    cpu: Rounds,
    rate: Rounds,
    p50: Rounds,
    p99: Rounds,
    p999: Rounds,
    outcome_p50: Rounds,
    outcome_p99: Rounds,
}

impl Figures {
    fn add(&mut self, of_streamz: bool, piece: &Piece) {
        let count = piece.tally.received;
        self.cpu.add(of_streamz, piece.cpu_micros, count);
        let per_second = count as f64 / piece.tally.elapsed.as_secs_f64();
        self.rate.add(of_streamz, Some(per_second), count);
        let delays = &piece.tally.delays;
        let outcomes = &piece.tally.outcomes;
        for (rounds, from, quantile) in [
            (&mut self.p50, delays, 0.5),
            (&mut self.p99, delays, 0.99),
            (&mut self.p999, delays, 0.999),
            (&mut self.outcome_p50, outcomes, 0.5),
            (&mut self.outcome_p99, outcomes, 0.99),
        ] {
            rounds.add(of_streamz, from.micros(quantile), from.count());
        }
    }
}

pub(crate) struct Piece {
    pub(crate) tally: Tally,
    pub(crate) cpu_micros: Option<f64>,
}

pub(crate) async fn measure(bench: &mut Bench, streamz: &Server, forwarder: Option<&Server>) {
    let load = bench.plan.load;
    // Beyond a deployment's limit nothing could be measured but its refusals.
    let unlimited = bench.own.is_some();
    let pairs = bench.accounts.pairs(LOAD_PAIRS);
    let wanted = LOAD_PAIRS as u32 * 40;
    let load = if unlimited { load } else { load.min(wanted * pairs.len() as u32 / LOAD_PAIRS as u32) };
    if !unlimited {
        bench.notes.push(format!(
            "The deployment limits each device's messages: no throughput was measured, and the load was {load}/s from \
             {} pairs.",
            pairs.len()
        ));
    }
    for mode in modes(&bench.plan) {
        let (mut alone, mut loaded, mut full) = (Figures::default(), Figures::default(), Figures::default());
        for round in 0..bench.plan.rounds {
            // By turns: neither has the warm machine always.
            let mut sides = [(forwarder, false), (Some(streamz), true)];
            sides.rotate_left(round % 2);
            for (server, of_streamz) in sides {
                bench.progress.step(mode.part);
                let Some(server) = server else { continue };
                let dialect = if of_streamz { mode.dialect } else { Dialect::Bare };
                let speak = Speak { server, dialect, with_id: mode.with_id && of_streamz };
                let name = if of_streamz { "Streamz" } else { "the forwarder" };
                let what = format!("{}, {name}", mode.part);
                let piece = bench.plan.piece;
                let done = bench.attempt(&what, turn(&speak, &pairs, load, piece, unlimited)).await;
                if let Some(done) = done {
                    bench.note_lateness(&what, &done.loaded.tally);
                    alone.add(of_streamz, &done.alone);
                    loaded.add(of_streamz, &done.loaded);
                    if let Some(piece) = &done.full {
                        full.add(of_streamz, piece);
                    }
                }
            }
        }
        let (part, budget) = (mode.part, mode.budget);
        let at = format!("at {load}/s");
        bench.rows.extend([
            loaded.cpu.row(part, format!("CPU a message, {at}"), Unit::Micros, budget),
            full.cpu.row(part, "CPU a message, as fast as it goes", Unit::Micros, budget),
            full.rate.row(part, "throughput", Unit::PerSecond, None),
            alone.p50.row(part, "delay p50, one at a time", Unit::Micros, None),
            alone.p99.row(part, "delay p99, one at a time", Unit::Micros, None),
            alone.p999.row(part, "delay p99.9, one at a time", Unit::Micros, None),
            loaded.p50.row(part, format!("delay p50, {at}"), Unit::Micros, None),
            loaded.p99.row(part, format!("delay p99, {at}"), Unit::Micros, None),
            loaded.p999.row(part, format!("delay p99.9, {at}"), Unit::Micros, None),
        ]);
        if mode.with_id {
            bench.rows.extend([
                alone.outcome_p50.row(part, "outcome p50, one at a time", Unit::Micros, None),
                loaded.outcome_p99.row(part, format!("outcome p99, {at}"), Unit::Micros, None),
            ]);
        }
    }
}

/// Who is spoken to, and how.
pub(crate) struct Speak<'a> {
    pub(crate) server: &'a Server,
    pub(crate) dialect: Dialect,
    pub(crate) with_id: bool,
}

struct Turn {
    alone: Piece,
    loaded: Piece,
    full: Option<Piece>,
}

async fn turn(
    speak: &Speak<'_>,
    pairs: &[Pair],
    load: u32,
    length: Duration,
    unlimited: bool,
) -> Result<Turn, Failure> {
    let mut links = Link::connect_all(&speak.server.address, speak.dialect, pairs).await?;
    let few = links.split_off(links.len().saturating_sub(THROUGHPUT_PAIRS));
    // Not counted: first messages grow buffers and find their way.
    let (mut few, _) = traffic::run(few, speak.with_id, Pace::Window(1), length / 10).await?;
    let one = few.split_off(few.len() - 1);
    // One at a time stays below a limit of 50 only by luck; so do not try.
    let pace = if unlimited { Pace::Window(1) } else { Pace::Load(40) };
    let (one, alone) = piece(speak, one, pace, length).await?;
    few.extend(one);
    let mut full = None;
    if unlimited {
        let pace = Pace::Window(THROUGHPUT_WINDOW);
        let (back, done) = piece(speak, few, pace, length).await?;
        few = back;
        full = Some(done);
    }
    links.extend(few);
    let (links, loaded) = piece(speak, links, Pace::Load(load), length).await?;
    for link in links {
        link.close().await;
    }
    Ok(Turn { alone, loaded, full })
}

pub(crate) async fn piece(
    speak: &Speak<'_>,
    links: Vec<Link>,
    pace: Pace,
    length: Duration,
) -> Result<(Vec<Link>, Piece), Failure> {
    let processes = &speak.server.processes;
    let before = processes.cpu()?;
    let (links, tally) = traffic::run(links, speak.with_id, pace, length).await?;
    let used = processes.cpu()?.since(&before);
    if !tally.is_whole(speak.with_id) {
        let Tally { sent, received, delivered, refused, .. } = tally;
        return Err(Failure::Wrong(format!(
            "of {sent} messages of {MESSAGE_BYTES} bytes {received} arrived, {delivered} were confirmed and {refused} \
             refused"
        )));
    }
    let cpu_micros = (!processes.0.is_empty()).then(|| used.as_secs_f64() * 1e6 / tally.received as f64);
    Ok((links, Piece { tally, cpu_micros }))
}
