//! Logging is started once per process; in a test binary of its own, for it is the process's.
#![allow(clippy::unwrap_used)]

use streamz_platform::telemetry::{self, TelemetryError};
use streamz_platform::{Config, ConfigArgs, Role};

#[test]
fn logging_starts_once() {
    let args = ConfigArgs::from_vars([("RUST_LOG", "warn")]).unwrap();
    let config = Config::from_args(Role::Embedded, &args).unwrap();
    let _guard = telemetry::init(&config.telemetry).unwrap();
    assert!(tracing::enabled!(tracing::Level::WARN));
    assert!(!tracing::enabled!(tracing::Level::INFO));
    assert!(!tracing::enabled!(target: "ractor", tracing::Level::ERROR));
    let again = telemetry::init(&config.telemetry).unwrap_err();
    assert!(matches!(again, TelemetryError::AlreadyStarted(_)), "{again}");
}
