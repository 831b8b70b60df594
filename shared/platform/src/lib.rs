//! What every process needs before it does anything of its own.
//!
//! * [`config`]: variables, flags and `.env` become a [`Config`] that cannot express a bad state, or a list
//!   of every problem, each a sentence that names its variable;
//! * [`telemetry`]: logs; [`metrics`]: figures; [`spans`]: traces; [`otlp`]: both on their way to a collector;
//! * [`clock`]: the time that the state machines are given; [`complaint`]: what is not said each time;
//! * [`shutdown`]: what a signal means; [`tasks`]: every task has an owner that ends and awaits it.
//!
//! A `main` reads like this:
//!
//! ```no_run
//! use clap::Parser;
//! use streamz_platform::{Config, ConfigArgs, Role, Shutdown, Tasks, metrics, telemetry};
//!
//! #[derive(Parser)]
//! struct Cli {
//!     #[command(flatten)]
//!     config: ConfigArgs,
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let config = Config::load(Role::Embedded, Cli::parse().config)?;
//!     let _telemetry = telemetry::init(&config.telemetry)?;
//!     let figures = metrics::install()?;
//!
//!     let (shutdown, signals) = Shutdown::on_signals()?;
//!     let tasks = Tasks::new();
//!     tasks.spawn("signals", signals);
//!     tasks.spawn("metrics", figures.upkeep(tasks.stopping()));
//!     // … bind, serve …
//!
//!     shutdown.begun().await;
//!     tokio::select! {
//!         report = tasks.shutdown(config.drain_timeout) => println!("{report}"),
//!         () = shutdown.now() => {}
//!     }
//!     Ok(())
//! }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod clock;
pub mod complaint;
pub mod config;
pub mod metrics;
pub mod otlp;
pub mod shutdown;
pub mod spans;
pub mod tasks;
pub mod telemetry;

pub use clock::Clock;
pub use complaint::Complaint;
pub use config::{Config, ConfigArgs, ConfigErrors, Environment, Role};
pub use metrics::MetricsHandle;
pub use shutdown::Shutdown;
pub use tasks::{ShutdownReport, Tasks};

/// The machine's or pod's name.
#[must_use]
pub fn machine() -> String {
    let variable = std::env::var("HOSTNAME").ok();
    let file = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = variable.or_else(file).map(|name| name.trim().to_owned());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "unnamed".to_owned())
}
