//! Whether this process can serve: a list of named checks, asked at most once a second.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use streamz_store::Store;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;

/// How long one check may take; it counts as failed afterwards.
const CHECK_WITHIN: Duration = Duration::from_secs(2);
/// How long an answer is good for whoever asks next: probes must not be a load.
const FRESH: Duration = Duration::from_secs(1);

/// What a check found, in words that may be shown to anybody: `Ok("connected")`, `Err("does not answer")`.
pub type CheckResult = Result<&'static str, &'static str>;

/// The same, in words that may be made on the spot.
type Found = Result<Cow<'static, str>, Cow<'static, str>>;
type CheckFuture = Pin<Box<dyn Future<Output = Found> + Send>>;

struct Check {
    name: &'static str,
    needed: Needed,
    run: Box<dyn Fn() -> CheckFuture + Send + Sync>,
}

/// One dependency, as `/ready` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CheckReport {
    /// Which.
    #[schema(example = "store")]
    pub name: &'static str,
    /// Whether it is there.
    pub ready: bool,
    /// How it is.
    #[schema(example = "answers", value_type = String)]
    pub state: Cow<'static, str>,
}

/// What a check is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needed {
    /// Without it nobody can be served here, and others may be better off.
    Always,
    /// What all processes share, and connected devices can do without: if every process were taken out of service for it,
    /// nobody would be served at all. It is needed to begin.
    ToBegin,
}

/// Whether the process should get traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All checks are good.
    Ready,
    /// It was ready, and only what it can do without for a while is missing.
    Degraded,
    /// It should not.
    NotReady,
}

/// The last answer, and when it was given.
type Last = (Instant, Vec<CheckReport>);

/// The checks. Cheap to clone once it is built.
#[derive(Clone, Default)]
pub struct Readiness {
    checks: Arc<Vec<Check>>,
    last: Arc<Mutex<Option<Last>>>,
    /// All checks were good once.
    begun: Arc<AtomicBool>,
}

impl Readiness {
    /// No checks: always ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with another check. `run` is called at most once a second and dropped after two.
    ///
    /// # Panics
    /// If the list was cloned before: it is built once, where the process is composed.
    #[must_use]
    pub fn with<F, Fut>(mut self, name: &'static str, run: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = CheckResult> + Send + 'static,
    {
        let run = move || -> CheckFuture {
            let found = run();
            Box::pin(async move { found.await.map(Cow::Borrowed).map_err(Cow::Borrowed) })
        };
        self.push(name, Needed::Always, Box::new(run));
        self
    }

    /// The same, with a check that is made on the spot and has figures to show.
    ///
    /// # Panics
    /// As [`with`](Self::with).
    #[must_use]
    pub fn with_figures<F>(mut self, name: &'static str, run: F) -> Self
    where
        F: Fn() -> Result<String, String> + Send + Sync + 'static,
    {
        let run = move || -> CheckFuture {
            let found = run().map(Cow::Owned).map_err(Cow::Owned);
            Box::pin(std::future::ready(found))
        };
        self.push(name, Needed::Always, Box::new(run));
        self
    }

    fn push(&mut self, name: &'static str, needed: Needed, run: Box<dyn Fn() -> CheckFuture + Send + Sync>) {
        let checks = Arc::get_mut(&mut self.checks).expect("checks are added before the list is shared");
        checks.push(Check { name, needed, run });
    }

    /// The same, with the check that the store answers: needed to begin, for devices that are connected do without it.
    ///
    /// # Panics
    /// As [`with`](Self::with).
    #[must_use]
    pub fn with_store(mut self, store: Store) -> Self {
        let run = move || -> CheckFuture {
            let store = store.clone();
            Box::pin(async move {
                match store.ping().await {
                    Ok(()) => Ok(Cow::Borrowed("answers")),
                    Err(error) if error.is_unavailable() => Err(Cow::Borrowed("does not answer")),
                    Err(_) => Err(Cow::Borrowed("fails")),
                }
            })
        };
        self.push("store", Needed::ToBegin, Box::new(run));
        self
    }

    /// Whether the process should get traffic, and how each dependency is.
    pub async fn verdict(&self) -> (Verdict, Vec<CheckReport>) {
        let reports = self.report().await;
        if reports.iter().all(|report| report.ready) {
            self.begun.store(true, Ordering::Relaxed);
            return (Verdict::Ready, reports);
        }
        let mut missing = self.checks.iter().zip(&reports).filter(|(_, report)| !report.ready);
        let bearable = missing.all(|(check, _)| check.needed == Needed::ToBegin);
        let verdict = if bearable && self.begun.load(Ordering::Relaxed) {
            Verdict::Degraded
        } else {
            Verdict::NotReady
        };
        (verdict, reports)
    }

    /// How each dependency is. All are asked at the same time; of several callers one asks.
    pub async fn report(&self) -> Vec<CheckReport> {
        let mut last = self.last.lock().await;
        if let Some((at, reports)) = &*last
            && at.elapsed() < FRESH
        {
            return reports.clone();
        }
        let reports = join_all(self.checks.iter().map(|check| async {
            let found = timeout(CHECK_WITHIN, (check.run)()).await;
            let (ready, state) = match found {
                Ok(Ok(state)) => (true, state),
                Ok(Err(state)) => (false, state),
                Err(_) => (false, Cow::Borrowed("did not answer in time")),
            };
            CheckReport { name: check.name, ready, state }
        }))
        .await;
        *last = Some((Instant::now(), reports.clone()));
        reports
    }
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.checks.iter().map(|check| check.name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_has_failed_and_the_others_are_not_kept_waiting() {
        let readiness = Readiness::new()
            .with("good", || async { Ok("answers") })
            .with("hangs", std::future::pending::<CheckResult>)
            .with("bad", || async { Err("is gone") });
        let started = Instant::now();
        let report = readiness.report().await;
        assert_eq!(started.elapsed(), CHECK_WITHIN);
        let found: Vec<_> = report.iter().map(|check| (check.name, check.ready, &*check.state)).collect();
        assert_eq!(
            found,
            [
                ("good", true, "answers"),
                ("hangs", false, "did not answer in time"),
                ("bad", false, "is gone")
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn dependencies_are_asked_once_a_second_however_many_probes_come() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let readiness = Readiness::new().with("counted", move || {
            count.fetch_add(1, Ordering::Relaxed);
            async { Ok("answers") }
        });
        for _ in 0..100 {
            readiness.report().await;
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        tokio::time::advance(FRESH).await;
        readiness.report().await;
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
