//! How a process that serves begins and ends, whatever its role.

use std::future::Future;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use streamz_platform::telemetry::TelemetryGuard;
use streamz_platform::{Config, MetricsHandle, Shutdown, Tasks};
use streamz_store::Store;

use crate::exit::Failure;
use crate::figures;
use crate::store;

/// How long the last writes may take.
pub(crate) const LAST_WRITES: Duration = Duration::from_secs(5);

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

    /// The store, up to date.
    pub(crate) async fn store(&self, config: &Config) -> Result<Store, Failure> {
        let store = store::open(&config.database, config.database_pool.get()).await?;
        store::prepare(&store, &config.database).await?;
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
