//! Figures for Prometheus. Code counts with the `metrics` macros; a handler renders what was counted.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

/// How often what the histograms collected is folded away if nobody scrapes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Upper bounds, in seconds, of histograms whose name ends in `_seconds`: from a relayed message (tens of
/// microseconds) to the longest wait that Streamz allows (30 s).
const SECONDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];

/// Renders what was counted in this process. Cheap to clone.
#[derive(Clone)]
pub struct MetricsHandle {
    prometheus: PrometheusHandle,
}

impl MetricsHandle {
    /// Everything counted so far, in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.prometheus.render()
    }

    /// Keeps the memory of the histograms bounded while nobody scrapes. To be owned by the process's
    /// [`Tasks`](crate::Tasks); ends when `stop` is cancelled.
    pub fn upkeep(&self, stop: CancellationToken) -> impl Future<Output = ()> + Send + 'static {
        let prometheus = self.prometheus.clone();
        async move {
            let work = async {
                loop {
                    tokio::time::sleep(UPKEEP_INTERVAL).await;
                    prometheus.run_upkeep();
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
/// process has one recorder, and a test may start several servers in it).
///
/// # Errors
/// [`MetricsError`] if somebody else's recorder is installed.
pub fn install() -> Result<MetricsHandle, MetricsError> {
    static INSTALLED: OnceLock<Result<MetricsHandle, MetricsError>> = OnceLock::new();
    INSTALLED.get_or_init(|| builder()?.install_recorder().map(handle).map_err(MetricsError::from)).clone()
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
}

fn handle(prometheus: PrometheusHandle) -> MetricsHandle {
    MetricsHandle { prometheus }
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
        assert_eq!(metrics.render(), text);
    }

    #[tokio::test]
    async fn upkeep_ends_when_told() {
        let stop = CancellationToken::new();
        let upkeep = install().unwrap().upkeep(stop.clone());
        stop.cancel();
        upkeep.await;
    }
}
