//! Whether sign-ins delay messages: each takes a good part of a core for tens of milliseconds.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use secrecy::ExposeSecret;
use streamz_client::Api;
use tokio_util::sync::CancellationToken;

use crate::accounts::{Accounts, Pair};
use crate::peer::Dialect;
use crate::plan::{LOAD_PAIRS, Plan, STORM_LOAD, STORM_SIGN_INS};
use crate::relay::{Piece, Speak, piece};
use crate::report::{Rounds, Unit};
use crate::run::{Bench, Failure};
use crate::servers::Server;
use crate::traffic::{Link, Pace};

const PART: &str = "Messages beside 8 sign-ins at a time";

pub(crate) fn steps(plan: &Plan) -> usize {
    plan.rounds * 2
}

#[derive(Default)]
struct Figures {
    p50: Rounds,
    p99: Rounds,
}

impl Figures {
    fn add(&mut self, of_streamz: bool, piece: &Piece) {
        let delays = &piece.tally.delays;
        self.p50.add(of_streamz, delays.micros(0.5), delays.count());
        self.p99.add(of_streamz, delays.micros(0.99), delays.count());
    }
}

pub(crate) async fn measure(bench: &mut Bench, streamz: &Server, forwarder: Option<&Server>) {
    if bench.own.is_none() {
        bench.notes.push("No storm of sign-ins: the deployment's limits hold it off.".to_owned());
        return;
    }
    let (mut calm, mut storm, mut rate) = (Figures::default(), Figures::default(), Rounds::default());
    let pairs = bench.accounts.pairs(LOAD_PAIRS);
    for round in 0..bench.plan.rounds {
        let mut sides = [(forwarder, false), (Some(streamz), true)];
        sides.rotate_left(round % 2);
        for (server, of_streamz) in sides {
            bench.progress.step(PART);
            let Some(server) = server else { continue };
            let dialect = if of_streamz { Dialect::V1 } else { Dialect::Bare };
            let speak = Speak { server, dialect, with_id: of_streamz };
            let plan = bench.plan.clone();
            let accounts = std::mem::replace(&mut bench.accounts, Accounts::nobody());
            let done = bench.attempt(PART, turn(&speak, streamz, &accounts, &pairs, &plan)).await;
            bench.accounts = accounts;
            if let Some(done) = done {
                bench.note_lateness(PART, &done.calm.tally);
                calm.add(of_streamz, &done.calm);
                storm.add(of_streamz, &done.storm);
                if of_streamz {
                    rate.add(true, Some(done.per_second), done.sign_ins);
                }
            }
        }
    }
    bench.rows.extend([
        calm.p50.row(PART, "delay p50 without them", Unit::Micros, None),
        storm.p50.row(PART, "delay p50 beside them", Unit::Micros, None),
        calm.p99.row(PART, "delay p99 without them", Unit::Micros, None),
        storm.p99.row(PART, "delay p99 beside them", Unit::Micros, None),
        rate.row(PART, "sign-ins", Unit::PerSecond, None),
    ]);
    bench.notes.push(
        "Beside the forwarder's messages the same sign-ins went to Streamz: what they take from the machine, they take \
         from both."
            .to_owned(),
    );
}

struct Turn {
    calm: Piece,
    storm: Piece,
    sign_ins: u64,
    per_second: f64,
}

async fn turn(
    speak: &Speak<'_>,
    streamz: &Server,
    accounts: &Accounts,
    pairs: &[Pair],
    plan: &Plan,
) -> Result<Turn, Failure> {
    let links = Link::connect_all(&speak.server.address, speak.dialect, pairs).await?;
    let (links, calm) = piece(speak, links, Pace::Load(STORM_LOAD), plan.piece).await?;
    let storm = Storm::new(streamz, accounts)?;
    let (sign_ins, messages) = tokio::join!(storm.rage(), async {
        let done = piece(speak, links, Pace::Load(STORM_LOAD), plan.piece).await;
        storm.over.cancel();
        done
    });
    let (links, piece) = messages?;
    for link in links {
        link.close().await;
    }
    let sign_ins = sign_ins?;
    let per_second = sign_ins as f64 / piece.tally.elapsed.as_secs_f64();
    Ok(Turn { calm, storm: piece, sign_ins, per_second })
}

struct Storm<'a> {
    api: Api,
    accounts: &'a Accounts,
    next: AtomicUsize,
    done: AtomicU64,
    over: CancellationToken,
}

impl<'a> Storm<'a> {
    fn new(streamz: &Server, accounts: &'a Accounts) -> Result<Self, Failure> {
        let api = Api::new(&streamz.url()).map_err(|error| Failure::Wrong(error.to_string()))?;
        let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
        Ok(Self { api, accounts, next, done, over: CancellationToken::new() })
    }

    /// Signs in until it is over, and says how often that succeeded.
    async fn rage(&self) -> Result<u64, Failure> {
        let all = (0..STORM_SIGN_INS).map(|_| self.sign_in_again_and_again());
        tokio::select! {
            () = self.over.cancelled() => {}
            done = futures_util::future::try_join_all(all) => {
                done?;
            }
        }
        Ok(self.done.load(Ordering::Relaxed))
    }

    async fn sign_in_again_and_again(&self) -> Result<(), Failure> {
        let emails = &self.accounts.emails;
        loop {
            let email = &emails[self.next.fetch_add(1, Ordering::Relaxed) % emails.len()];
            let password = self.accounts.password.expose_secret();
            let signed_in = self.api.login(email, password).await;
            signed_in.map_err(|error| Failure::Wrong(format!("a sign-in failed: {error}")))?;
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }
}
