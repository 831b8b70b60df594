//! Logs: one JSON object a line in production, readable lines in development, on standard error.
//!
//! Standard output stays for what a command has to say.

mod traced;

use std::io::IsTerminal;

use opentelemetry_otlp::ExporterBuildError;
use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{Directive, EnvFilter, FilterFn, ParseError, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt};

use traced::Traced;

use crate::otlp::{self, Exporting, OtlpConfig};

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// `RUST_LOG`: levels by target, as tracing's `EnvFilter` reads them.
    pub filter: LogFilter,
    /// JSON lines instead of readable ones.
    pub json: bool,
    /// Where traces and metrics are to be sent.
    pub otlp: Option<OtlpConfig>,
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
    /// The text is not a filter such as `info,streamz_hub=debug`, in words that say what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wanted = "write levels, such as info or info,streamz_gateway=debug";
        EnvFilter::builder().parse(text).map_err(|_| wanted.to_owned())?;
        // To the filter a lone word is a program part, of which everything is shown, and of all others nothing: whoever
        // mistypes a level would start a silent server.
        let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
        // A span's fields have signs of their own.
        let names_level = |word: &str| word.rsplit(']').next().is_some_and(|rest| rest.contains('='));
        match text.split(',').map(str::trim).find(|word| !is_level(word) && !names_level(word)) {
            Some(word) => {
                Err(format!("{word:?} is no level (off, error, warn, info, debug, trace); {wanted}"))
            }
            None => Ok(Self(text.to_owned())),
        }
    }

    /// ractor makes a span for every actor; nobody asked for those, unless somebody did.
    fn build(&self) -> Result<EnvFilter, ParseError> {
        let filter = EnvFilter::builder().parse(&self.0)?;
        let asked = self.0.split(',').any(|directive| directive.trim().starts_with("ractor"));
        let quiet: Directive = "ractor=off".parse()?;
        Ok(if asked { filter } else { filter.add_directive(quiet) })
    }
}

/// The most that is shown of a part of the program, whatever the filter says: passwords, tokens and signaling are never
/// logged.
///
/// Our own parts never have them in a message. Of libraries there is no such promise: below DEBUG they show what passes
/// through them (tungstenite every frame, axum a body that it cannot read, rustls handshakes), and tungstenite already
/// at DEBUG the text with which a device closes.
fn most(target: &str) -> LevelFilter {
    let part = target.split("::").next().unwrap_or(target);
    match part {
        "tungstenite" | "tokio_tungstenite" => LevelFilter::INFO,
        // They warn of every datagram that is none of theirs, and anybody may send those.
        "stun_types" | "stun_proto" | "turn_types" => LevelFilter::ERROR,
        ours if ours == "streamz" || ours.starts_with("streamz_") => LevelFilter::TRACE,
        _ => LevelFilter::DEBUG,
    }
}

/// [`most`], as a filter. It stands beside the one that was asked for, so that no directive can be more exact.
fn discreet() -> FilterFn<impl Fn(&Metadata<'_>) -> bool> {
    filter_fn(|metadata| *metadata.level() <= most(metadata.target()))
}

/// Keeps telemetry going. To be dropped at the very end of `main`, when what is buffered has been handed over.
#[derive(Debug)]
#[must_use = "telemetry ends when this is dropped"]
pub struct TelemetryGuard {
    exporting: Option<Exporting>,
}

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        if let Some(exporting) = self.exporting.take() {
            exporting.end();
        }
    }
}

/// Starts logging for this process, and sending if that is configured. Within a runtime.
///
/// # Errors
/// [`TelemetryError`]: the filter is none, logging was started before, or an exporter cannot be made.
pub fn init(config: &TelemetryConfig) -> Result<TelemetryGuard, TelemetryError> {
    let lines = if config.json {
        let format = Traced(fmt::format().json().flatten_event(true));
        fmt::layer().json().event_format(format).with_writer(std::io::stderr).boxed()
    } else {
        let ansi = std::io::stderr().is_terminal();
        let format = Traced(fmt::format().with_ansi(ansi));
        fmt::layer().with_ansi(ansi).event_format(format).with_writer(std::io::stderr).boxed()
    };
    filtered(&config.filter, lines)?.try_init()?;
    let exporting = config.otlp.as_ref().map(otlp::start).transpose()?;
    Ok(TelemetryGuard { exporting })
}

/// Filters stand before everything. Attached to a layer (`with_filter`) they keep state for each thread, and in
/// processes that talk to Postgres most INFO lines disappeared (seen with tracing-subscriber 0.3.23).
fn filtered(
    filter: &LogFilter,
    lines: impl Layer<Registry> + Send + Sync,
) -> Result<impl tracing::Subscriber + Send + Sync, ParseError> {
    Ok(Registry::default().with(lines).with(filter.build()?).with(discreet()))
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
    /// An exporter cannot be made of what is configured.
    #[error("OTEL_EXPORTER_OTLP_…: {0}")]
    Exporter(#[from] ExporterBuildError),
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
        for bad in
            ["streamz=chatty", "a=b=c", "loud", "info,loud", "streamz_hub", "inf", "debug,hyper::proto"]
        {
            let error = LogFilter::parse(bad).expect_err(bad);
            assert!(error.contains("write levels"), "{error}");
        }
        let error = LogFilter::parse("info, loud").unwrap_err();
        assert!(error.starts_with("\"loud\" is no level (off, error, "), "{error}");
    }

    #[test]
    fn a_good_filter_is_taken() {
        for good in [
            "info",
            "OFF",
            "Warn",
            "3",
            "off,streamz=info",
            "a::b=trace",
            "streamz=",
            "info,[{request_id=x}]=debug",
        ] {
            assert!(LogFilter::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_libraries_pass_on_is_never_shown() {
        let asked = "trace,tungstenite=trace,hyper::proto=trace,sqlx=trace";
        let lines = fmt::layer().with_writer(std::io::sink);
        let filtered = filtered(&LogFilter::parse(asked).unwrap(), lines).unwrap();
        tracing::subscriber::with_default(filtered, || {
            macro_rules! assert_most {
                ($target:literal, $shown:ident, $hidden:ident) => {
                    assert!(tracing::enabled!(target: $target, tracing::Level::$shown), $target);
                    assert!(!tracing::enabled!(target: $target, tracing::Level::$hidden), $target);
                };
            }
            assert_most!("tungstenite::protocol", INFO, DEBUG);
            assert_most!("tokio_tungstenite::compat", INFO, DEBUG);
            assert_most!("stun_types::message", ERROR, WARN);
            assert_most!("hyper::proto::h1::io", DEBUG, TRACE);
            assert_most!("axum::rejection", DEBUG, TRACE);
            assert_most!("sqlx::query", DEBUG, TRACE);
            assert_most!("streamzilla", DEBUG, TRACE);
            assert!(tracing::enabled!(target: "streamz_hub::relay", tracing::Level::TRACE));
            assert!(tracing::enabled!(target: "streamz", tracing::Level::TRACE));
        });
    }
}
