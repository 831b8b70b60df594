//! What can be typed.

use clap::{Args, Parser, Subcommand, ValueEnum};
use streamz_bench::BenchArgs;
use streamz_platform::{ConfigArgs, Role};

/// WebRTC signaling and presence for your own devices.
///
/// Without a command it serves everything from this one process: open http://127.0.0.1:8080/docs.
#[derive(Parser)]
#[command(name = "streamz", version, about, long_about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve devices as a gateway of a fleet, over Postgres and Redis
    Gateway,
    /// Serve as a signaling node of a fleet, over Postgres and Redis
    Node,
    /// Bring the database's schema up to date (SQLite does so at every start)
    Migrate,
    /// Check the configuration, and whether what it names can be reached
    Check(CheckArgs),
    /// Ask a running process, and through it its fleet, what it is doing and what is wrong
    Status(StatusArgs),
    /// Print an access token of an account, for testing
    Token(TokenArgs),
    /// Measure a deployment, or a server of its own, beside a bare WebSocket forwarder
    Bench(Box<BenchArgs>),
}

#[derive(Args)]
pub(crate) struct CheckArgs {
    /// The role that is to run with this configuration
    #[arg(long, value_enum, default_value = "embedded")]
    pub(crate) role: CheckedRole,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum CheckedRole {
    /// Everything in one process
    Embedded,
    /// `streamz gateway`
    Gateway,
    /// `streamz node`
    Node,
}

impl From<CheckedRole> for Role {
    fn from(role: CheckedRole) -> Self {
        match role {
            CheckedRole::Embedded => Self::Embedded,
            CheckedRole::Gateway => Self::Gateway,
            CheckedRole::Node => Self::Node,
        }
    }
}

/// The first line is `well`, or what is wrong. Exit code: 0 well, 1 something is wrong, 2 nobody could be asked.
#[derive(Args)]
pub(crate) struct StatusArgs {
    /// Where a process shows its operations, such as http://10.0.0.7:9090 [default: HOST with ADMIN_PORT, or PORT]
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// Ask this one process only, not the others of its fleet
    #[arg(long)]
    pub(crate) alone: bool,
    /// All of it, as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct TokenArgs {
    /// The account's e-mail address; it must exist
    #[arg(long)]
    pub(crate) email: String,
}
