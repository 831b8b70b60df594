//! The whole bench, from what was typed to the report.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use chrono::{SecondsFormat, Utc};

use crate::accounts::{Accounts, AccountsError};
use crate::args::{BenchArgs, Part, Role};
use crate::machine::Machine;
use crate::peer::PeerError;
use crate::plan::Plan;
use crate::process::ProcessError;
use crate::progress::Progress;
use crate::report::{Report, Row};
use crate::servers::{Own, Server, ServerError};
use crate::traffic::Tally;
use crate::{cluster, connect, crowd, forwarder, hop, idle, relay, start, storm};

/// Why a bench gave no report, or not the whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// There was nothing to measure, or nothing to measure it with.
    #[error("{0}")]
    Setup(String),
    /// The report could not be written to its file.
    #[error("the report could not be written to {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Parts of it failed; the report says which.
    #[error("{count} measurements failed; see the end of the report")]
    Incomplete {
        /// How many.
        count: usize,
    },
    /// A process beside failed: the forwarder, the hop, or a part of the crowd.
    #[error("a process of the bench failed: {0}")]
    Role(#[source] io::Error),
}

/// Why one measurement failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Wrong(String),
}

macro_rules! setup_error {
    ($($error:ty),*) => {
        $(impl From<$error> for BenchError {
            fn from(error: $error) -> Self {
                Self::Setup(error.to_string())
            }
        })*
    };
}
setup_error!(ServerError, AccountsError, io::Error);

/// Devices that the bench has in its own process: below the usual limit on open files.
const ONE_PROCESS: usize = 18_000;

/// Everything that the measurements share.
pub(crate) struct Bench {
    pub(crate) plan: Plan,
    pub(crate) own: Option<Own>,
    pub(crate) accounts: Accounts,
    pub(crate) progress: Progress,
    pub(crate) rows: Vec<Row>,
    pub(crate) notes: Vec<String>,
    pub(crate) failures: Vec<String>,
}

impl Bench {
    /// Notes a failure, and goes on without what failed.
    pub(crate) async fn attempt<T>(
        &mut self,
        what: &str,
        attempt: impl Future<Output = Result<T, Failure>>,
    ) -> Option<T> {
        match attempt.await {
            Ok(done) => Some(done),
            Err(failure) => {
                self.failures.push(format!("{what}: {failure}"));
                None
            }
        }
    }
}

impl Bench {
    /// What was measured while the load could not keep its schedule is true, and not what was meant.
    pub(crate) fn note_lateness(&mut self, what: &str, tally: &Tally) {
        let note = format!(
            "{what}: in at least one round the load fell behind its own schedule; the machine was too busy with \
             something else."
        );
        if tally.late && !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// Measures, prints the report, and writes it as JSON if that was asked for. It needs a tokio runtime with several
/// threads: the load should not wait for itself.
///
/// # Errors
/// [`BenchError`]. A budget that was missed is not an error; a measurement that failed is.
pub async fn run(args: BenchArgs) -> Result<(), BenchError> {
    if let Some(role) = args.role {
        let served = match role {
            Role::Forwarder => forwarder::serve_until_stdin_ends().await,
            Role::Hop => hop::serve_until_stdin_ends().await,
            Role::Crowd => crowd::serve_until_stdin_ends().await,
        };
        return served.map_err(BenchError::Role);
    }
    let (began, clock) = (Utc::now(), Instant::now());
    let machine = Machine::look();
    let cluster = cluster::Subject::of(&args)?;
    let plan = match &cluster {
        Some(cluster) => cluster.plan(&args)?,
        None => Plan::of(&args),
    };
    let (own, accounts, subject) = match &cluster {
        Some(cluster) => (None, Accounts::nobody(), cluster.words()),
        None => prepare(&args, &plan).await?,
    };
    let steps = match &cluster {
        Some(cluster) => cluster.steps(&args, &plan),
        None => steps(&args, &plan),
    };
    let mut bench = Bench {
        progress: Progress::of(steps),
        plan,
        own,
        accounts,
        rows: Vec::new(),
        notes: vec![
            "A ratio is the median of the rounds' ratios; in each round Streamz and the forwarder took turns under the \
             same load, from the same peers."
                .to_owned(),
            match cluster {
                Some(_) => "Processor time is that of all processes of the cluster; delays and throughput share the \
                            machine's cores with the load.",
                None => "Processor time is that of the server's process alone; delays and throughput share the machine's \
                         cores with the load.",
            }
            .to_owned(),
        ],
        failures: Vec::new(),
    };
    let work = async {
        match &cluster {
            Some(cluster) => cluster.measure(&args, &mut bench).await,
            None => measure(&args, &mut bench).await,
        }
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        // Children end with their handles.
        interrupted = interrupted() => {
            interrupted?;
            Err(BenchError::Setup("interrupted".to_owned()))
        }
    };
    bench.progress.end();
    bench.accounts.end(args.url.is_some()).await?;
    outcome?;
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        began: began.to_rfc3339_opts(SecondsFormat::Secs, true),
        seconds: clock.elapsed().as_secs_f64(),
        quick: args.quick,
        debug_build: cfg!(debug_assertions),
        subject,
        machine,
        rows: bench.rows,
        notes: bench.notes,
        failures: bench.failures,
    };
    print!("{}", report.text());
    if let Some(path) = args.json {
        let json = serde_json::to_string_pretty(&report).map_err(io::Error::from);
        json.and_then(|json| std::fs::write(&path, json))
            .map_err(|source| BenchError::Write { path, source })?;
    }
    match report.failures.len() {
        0 => Ok(()),
        count => Err(BenchError::Incomplete { count }),
    }
}

/// Ctrl-C, or a supervisor that has waited for long enough.
async fn interrupted() -> io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed,
        _ = terminate.recv() => Ok(()),
    }
}

async fn prepare(args: &BenchArgs, plan: &Plan) -> Result<(Option<Own>, Accounts, String), BenchError> {
    if let Some(url) = &args.url {
        use secrecy::ExposeSecret;
        let accounts = match (&args.database, &args.jwt_secret) {
            (Some(database), Some(secret)) => {
                Accounts::make(database.expose_secret(), secret, plan.pairs()).await?
            }
            _ => Accounts::register(url, args.accounts as usize).await?,
        };
        return Ok((None, accounts, format!("the deployment at {url}")));
    }
    if plan.idle_devices > ONE_PROCESS {
        return Err(BenchError::Setup(format!(
            "--devices: one process is measured with {ONE_PROCESS} at most"
        )));
    }
    if args.only.contains(&Part::Pauses) {
        return Err(BenchError::Setup("--only pauses: those are of a cluster; give --gateways".to_owned()));
    }
    // It will run in a folder of its own.
    let program = match &args.server {
        Some(program) => std::path::absolute(program)?,
        None => std::env::current_exe()?,
    };
    let own = Own::new(program, plan.hub_idle)?;
    let accounts = Accounts::make(&own.database(), &own.secret, plan.pairs()).await?;
    let subject = format!("a server of its own: {}", own.program.display());
    Ok((Some(own), accounts, subject))
}

fn steps(args: &BenchArgs, plan: &Plan) -> usize {
    let own = args.url.is_none();
    let of = |part, steps: usize| if args.measures(part) { steps } else { 0 };
    of(Part::Start, usize::from(own) * start::steps(plan))
        + of(Part::Connect, connect::steps(plan))
        + of(Part::Relay, relay::steps(plan))
        + of(Part::Storm, storm::steps(plan))
        + of(Part::Idle, idle::STEPS)
}

async fn measure(args: &BenchArgs, bench: &mut Bench) -> Result<(), BenchError> {
    if args.measures(Part::Start) && bench.own.is_some() {
        start::measure(bench).await;
    }
    let traffic = [Part::Connect, Part::Relay, Part::Storm];
    if traffic.iter().any(|part| args.measures(*part)) {
        let streamz = subject(args, bench).await?;
        // Without it there are figures, and no ratios.
        let forwarder = bench.attempt("the forwarder", async { Ok(Server::forwarder().await?) }).await;
        if args.measures(Part::Connect) {
            connect::measure(bench, &streamz, forwarder.as_ref()).await;
        }
        if args.measures(Part::Relay) {
            relay::measure(bench, &streamz, forwarder.as_ref()).await;
        }
        if args.measures(Part::Storm) {
            storm::measure(bench, &streamz, forwarder.as_ref()).await;
        }
        streamz.end().await?;
        if let Some(forwarder) = forwarder {
            forwarder.end().await?;
        }
    }
    if args.measures(Part::Idle) {
        bench.accounts.rewind();
        let streamz = subject(args, bench).await?;
        idle::measure(bench, streamz).await;
    }
    Ok(())
}

/// A fresh server of our own, or the deployment.
async fn subject(args: &BenchArgs, bench: &Bench) -> Result<Server, BenchError> {
    match (&bench.own, &args.url) {
        (Some(own), _) => Ok(own.start().await?.0),
        (None, Some(url)) => Ok(Server::running(url, &args.server_pid)?),
        (None, None) => Err(BenchError::Setup("there is no server".to_owned())),
    }
}
