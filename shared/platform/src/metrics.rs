//! Figures, from one set of instruments for Prometheus and OTLP. Code counts with the `metrics` macros; a handler renders
//! what was counted, and [`crate::otlp`] sends it if that is wanted.

mod at_zero;
pub(crate) mod otlp;

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// How often what the histograms collected is folded away if nobody scrapes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Upper bounds, in seconds, of histograms whose name ends in `_seconds`: from a relayed message (tens of
/// microseconds) to the longest wait that Streamz allows (30 s).
pub(crate) const SECONDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];

/// Renders what was counted in this process. Cheap to clone.
#[derive(Clone)]
pub struct MetricsHandle {
    prometheus: PrometheusHandle,
    looks: Arc<Mutex<Vec<Look>>>,
    process: Arc<Collector>,
}

/// Sets gauges to what is true now.
type Look = Box<dyn Fn() + Send>;

impl MetricsHandle {
    /// Everything counted so far, in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.look();
        self.prometheus.render()
    }

    /// Has `look` called whenever somebody wants to know, and every few seconds: it sets gauges to what is true then, so
    /// that whoever works need not. It must not wait for long.
    pub fn on_look(&self, look: impl Fn() + Send + 'static) {
        self.looks.lock().push(Box::new(look));
    }

    fn look(&self) {
        self.process.collect();
        for look in &*self.looks.lock() {
            look();
        }
    }

    /// Keeps the memory of the histograms bounded while nobody scrapes, and gauges fresh. To be owned by the process's
    /// [`Tasks`](crate::Tasks); ends when `stop` is cancelled.
    pub fn upkeep(&self, stop: CancellationToken) -> impl Future<Output = ()> + Send + 'static {
        let metrics = self.clone();
        async move {
            let work = async {
                loop {
                    tokio::time::sleep(UPKEEP_INTERVAL).await;
                    let metrics = metrics.clone();
                    let work = move || {
                        metrics.look();
                        metrics.prometheus.run_upkeep();
                    };
                    // It may wait for a lock. An error: a look panicked, and has said so.
                    let _ = tokio::task::spawn_blocking(work).await;
                }
            };
            stop.run_until_cancelled(work).await;
        }
    }
}

impl std::fmt::Debug for MetricsHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MetricsHandle")
    }
}

/// Makes this process count. The first call installs the recorder, later ones return the same handle (a
/// process has one recorder, and a test may start several servers in it). Whoever resolved an instrument before has one
/// that counts nothing. If [`telemetry`](crate::telemetry) sends figures by OTLP, it has to be started before.
///
/// # Errors
/// [`MetricsError`] if somebody else's recorder is installed.
pub fn install() -> Result<MetricsHandle, MetricsError> {
    static INSTALLED: OnceLock<Result<MetricsHandle, MetricsError>> = OnceLock::new();
    INSTALLED.get_or_init(install_once).clone()
}

fn install_once() -> Result<MetricsHandle, MetricsError> {
    let seconds = Matcher::Suffix("_seconds".to_owned());
    let recorder = PrometheusBuilder::new().set_buckets_for_metric(seconds, SECONDS)?.build_recorder();
    let prometheus = recorder.handle();
    let installed = match otlp::recorder() {
        Some(otlp) => metrics::set_global_recorder(otlp::Both::new(recorder, otlp)).is_ok(),
        None => metrics::set_global_recorder(recorder).is_ok(),
    };
    if !installed {
        return Err(MetricsError("another recorder is installed in this process".to_owned()));
    }
    at_zero::register();
    metrics::gauge!("streamz_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
    Ok(MetricsHandle { prometheus, looks: Arc::default(), process: Arc::new(Collector::default()) })
}

/// The metrics recorder could not be installed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("metrics cannot be recorded: {0}")]
pub struct MetricsError(String);

impl From<BuildError> for MetricsError {
    fn from(error: BuildError) -> Self {
        Self(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_buckets_are_rendered_and_a_second_install_is_the_same() {
        let metrics = install().unwrap();
        ::metrics::counter!("streamz_test_total", "kind" => "one").increment(3);
        ::metrics::histogram!("streamz_test_seconds").record(0.002);
        let text = install().unwrap().render();
        assert!(text.contains("streamz_test_total{kind=\"one\"} 3"), "{text}");
        assert!(text.contains("streamz_test_seconds_bucket{le=\"0.0025\"} 1"), "{text}");
        assert!(text.contains("streamz_test_seconds_bucket{le=\"0.001\"} 0"), "{text}");
        assert!(metrics.render().contains("streamz_test_total{kind=\"one\"} 3"), "it is one recorder");
    }

    #[test]
    fn what_should_not_happen_is_there_before_it_does_and_the_process_tells_of_itself() {
        let text = install().unwrap().render();
        for line in [
            "streamz_hub_failures_total 0",
            "streamz_bus_dropped_total{cause=\"stale\"} 0",
            "process_resident_memory_bytes ",
            "process_start_time_seconds ",
        ] {
            assert!(text.lines().any(|found| found.starts_with(line)), "{line}: {text}");
        }
        assert!(text.contains(&format!("streamz_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))));
    }

    #[test]
    fn gauges_are_set_when_somebody_looks() {
        let metrics = install().unwrap();
        let gauge = ::metrics::gauge!("streamz_test_gauge");
        metrics.on_look(move || gauge.set(7));
        assert!(metrics.render().contains("streamz_test_gauge 7"));
    }

    #[tokio::test]
    async fn upkeep_ends_when_told() {
        let stop = CancellationToken::new();
        let upkeep = install().unwrap().upkeep(stop.clone());
        stop.cancel();
        upkeep.await;
    }
}
