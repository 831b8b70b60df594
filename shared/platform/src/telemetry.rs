//! Logs: one JSON object a line in production, readable lines in development, on standard error.
//!
//! Standard output stays for what a command has to say.

use std::io::IsTerminal;

use tracing_subscriber::filter::{Directive, EnvFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt};
use url::Url;

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// `RUST_LOG`: levels by target, as tracing's `EnvFilter` reads them.
    pub filter: LogFilter,
    /// JSON lines instead of readable ones.
    pub json: bool,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, where traces and metrics are to be sent.
    pub otlp_endpoint: Option<Url>,
}

/// A filter that is known to parse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl LogFilter {
    /// Reads `RUST_LOG`.
    ///
    /// # Errors
    /// The text is not a filter such as `info,streamz_hub=debug`.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        EnvFilter::builder().parse(text)?;
        Ok(Self(text.to_owned()))
    }

    /// ractor makes a span for every actor; nobody asked for those, unless somebody did.
    fn build(&self) -> Result<EnvFilter, ParseError> {
        let filter = EnvFilter::builder().parse(&self.0)?;
        let asked = self.0.split(',').any(|directive| directive.trim().starts_with("ractor"));
        let quiet: Directive = "ractor=off".parse()?;
        Ok(if asked { filter } else { filter.add_directive(quiet) })
    }
}

/// Keeps telemetry going. Dropped at the very end of `main`, when what is buffered has been handed over.
#[derive(Debug)]
#[must_use = "telemetry ends when this is dropped"]
pub struct TelemetryGuard {
    _private: (),
}

/// Starts logging for this process.
///
/// # Errors
/// [`TelemetryError`]: the filter is none, or logging was started before.
pub fn init(config: &TelemetryConfig) -> Result<TelemetryGuard, TelemetryError> {
    let lines = if config.json {
        fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed()
    } else {
        fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).boxed()
    };
    let filter = config.filter.build()?;
    Registry::default().with(lines.with_filter(filter)).try_init()?;
    Ok(TelemetryGuard { _private: () })
}

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("RUST_LOG is not a log filter: {0}")]
    Filter(#[from] ParseError),
    /// Another subscriber is installed in this process.
    #[error("logging was started twice: {0}")]
    AlreadyStarted(#[from] TryInitError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ractor_is_quiet_unless_asked_for() {
        let text = |filter: &str| LogFilter::parse(filter).unwrap().build().unwrap().to_string();
        assert!(text("info").contains("ractor=off"), "{}", text("info"));
        assert!(text("info,streamz_hub=debug").contains("streamz_hub=debug"));
        assert!(!text("info,ractor=debug").contains("ractor=off"));
        assert!(!text("ractor::actor=trace").contains("ractor=off"));
    }

    #[test]
    fn a_bad_filter_is_refused() {
        assert!(LogFilter::parse("streamz=chatty").is_err());
    }
}
