//! How a process that serves begins and ends, whatever its role.

use std::future::Future;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use streamz_platform::telemetry::TelemetryGuard;
use streamz_platform::{Complaint, Config, MetricsHandle, Shutdown, Tasks};
use streamz_store::Store;
use tokio::time::Instant;

use crate::exit::Failure;
use crate::figures;
use crate::store::{self, Unprepared};
use crate::waiting::WaitingRoom;

/// How long the last writes may take.
pub(crate) const LAST_WRITES: Duration = Duration::from_secs(5);

/// How long a process that starts waits for its database; then it ends, and whoever looks after it sees that.
const WAIT_FOR_STORE: Duration = Duration::from_secs(600);
/// Between two tries.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How often the log hears of it.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// A process that serves.
pub(crate) struct Process {
    pub(crate) shutdown: Shutdown,
    /// What runs beside, until the last.
    pub(crate) tasks: Tasks,
    /// What is counted.
    pub(crate) metrics: MetricsHandle,
    listening: Tasks,
    _telemetry: TelemetryGuard,
}

impl Process {
    /// Logs, and listens to signals.
    pub(crate) fn begin(config: &Config) -> Result<Self, Failure> {
        let telemetry = streamz_platform::telemetry::init(&config.telemetry).map_err(Failure::unable)?;
        // Before anything resolves an instrument.
        let metrics = streamz_platform::metrics::install().map_err(Failure::unable)?;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        raise_file_limit();
        let (shutdown, signals) = Shutdown::on_signals().map_err(Failure::unable)?;
        let listening = Tasks::new();
        listening.spawn("signals", signals);
        let tasks = Tasks::new();
        tasks.spawn("metrics", metrics.upkeep(tasks.stopping()));
        Ok(Self { shutdown, tasks, metrics, listening, _telemetry: telemetry })
    }

    /// The store, up to date. A Postgres that does not answer is waited for: a start in the middle of its outage would
    /// otherwise end, be tried again ever more rarely, and be late when it is back. Meanwhile this process says that it is
    /// alive, and not ready.
    pub(crate) async fn store(&self, config: &Config) -> Result<Store, Failure> {
        let store = store::open(&config.database, config.database_pool.get()).await?;
        let mut complaint = Complaint::new(COMPLAIN_EVERY);
        let mut waiting = None;
        let began = Instant::now();
        loop {
            let error = match store::prepare(&store, &config.database).await {
                Ok(()) => break,
                Err(Unprepared::Failed(failure)) => return Err(failure),
                Err(Unprepared::Away(error)) => error,
            };
            if began.elapsed() >= WAIT_FOR_STORE {
                return Err(Failure::unable(format!("DATABASE_URL: the database does not answer: {error}")));
            }
            if complaint.failed(std::time::Instant::now()).is_some() {
                tracing::warn!(%error, "waiting for the database");
            }
            if waiting.is_none() {
                waiting = Some(WaitingRoom::open(config, &store).await?);
            }
            tokio::select! {
                () = tokio::time::sleep(TRY_AGAIN) => {}
                () = self.shutdown.begun() => return Err(Failure::unable("ended before the database answered.")),
            }
        }
        if let Some(waiting) = waiting {
            waiting.close().await;
            tracing::info!("the database answers");
        }
        figures::of_store(&self.metrics, store.clone());
        Ok(store)
    }

    /// Ends in order, with the listeners and what runs beside at the last; or at once with a second signal, of which
    /// `cut_short` says what it means.
    pub(crate) async fn end(
        self,
        orderly: impl Future<Output = Result<(), Failure>>,
        listeners: &Tasks,
        cut_short: &str,
    ) -> Result<(), Failure> {
        let ended = async {
            let outcome = orderly.await;
            for set in [listeners, &self.tasks] {
                let report = set.shutdown(LAST_WRITES).await;
                if !report.is_clean() {
                    tracing::warn!(?report, "not every task ended as it should");
                }
            }
            outcome
        };
        let outcome = tokio::select! {
            outcome = ended => outcome,
            () = self.shutdown.now() => Err(Failure::unable(cut_short)),
        };
        // Whoever listens for a second signal need not any more.
        self.shutdown.request_now();
        self.listening.shutdown(LAST_WRITES).await;
        outcome
    }
}

/// As many open files as this process may have: each device is one, and the usual limit of 1,024 is there for programs
/// that wait with `select`, which this one does not.
fn raise_file_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, ?current, "the limit on open files stays as it is");
    }
}
