//! What can be typed after `streamz bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use secrecy::SecretString;

/// Measures Streamz beside a bare WebSocket forwarder.
///
/// Without a URL it starts its own server, with a fresh folder and without the limit of messages, and measures
/// everything. A running deployment is measured with the accounts that its limits allow; see the options.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub(crate) role: Option<Role>,

    /// Half a minute instead of five: fewer rounds, fewer devices
    #[arg(long)]
    pub(crate) quick: bool,

    /// Write the report as JSON to this file, too
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Measure only these
    #[arg(long, value_delimiter = ',', value_name = "PARTS")]
    pub(crate) only: Vec<Part>,

    /// Idle devices to connect [default: 10000; 1000 with --quick; as many as open files allow with --scale]. One
    /// process takes 18000, a cluster as many for each gateway
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(4..=1_000_000))]
    pub(crate) devices: Option<u32>,

    /// Rounds of each measurement; their median counts [default: 5; 2 with --quick]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: Option<u32>,

    /// Length of each piece of traffic, such as 500ms or 2s [default: 2s; 600ms with --quick]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) piece: Option<Duration>,

    /// Messages per second of the measurements at a fixed load, spread over 100 pairs of devices
    #[arg(long, value_name = "NUMBER", default_value_t = 3000, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    pub(crate) load: u32,

    /// Measure a cluster instead of one process: this many gateways, with a Postgres and a Redis of their own, which
    /// must be installed
    #[arg(long, value_name = "NUMBER", conflicts_with = "url", value_parser = clap::value_parser!(u32).range(1..=5))]
    pub(crate) gateways: Option<u32>,

    /// Signaling nodes of the cluster [default: 2]
    #[arg(long, value_name = "NUMBER", requires = "gateways", value_parser = clap::value_parser!(u32).range(1..=5))]
    pub(crate) nodes: Option<u32>,

    /// Instances of Redis of the cluster [default: 1]
    #[arg(long, value_name = "NUMBER", requires = "gateways", value_parser = clap::value_parser!(u32).range(1..=4))]
    pub(crate) redis: Option<u32>,

    /// Nodes of the cluster that are killed, and as many that are drained [default: 15; 2 with --quick]
    #[arg(long, value_name = "NUMBER", requires = "gateways", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) failovers: Option<u32>,

    /// Measure only this, on a cluster of three gateways or more: so many devices are on one gateway, it is killed, and
    /// all come back through the others
    #[arg(long, value_name = "DEVICES", requires = "gateways", value_parser = clap::value_parser!(u32).range(4..=18_000))]
    pub(crate) reconnect_storm: Option<u32>,

    /// Measure only this: whether a message and a device cost the same with more gateways, and with more devices
    #[arg(long, requires = "gateways", conflicts_with = "reconnect_storm")]
    pub(crate) scale: bool,

    /// The program to start as the server [default: this one]
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    pub(crate) server: Option<PathBuf>,

    /// Measure the deployment at this address, such as http://127.0.0.1:8080, instead of a server of our own
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,

    /// A process of that deployment on this machine (several times for several); without it there is no processor
    /// time and no memory to report
    #[arg(long, value_name = "PID", requires = "url")]
    pub(crate) server_pid: Vec<u32>,

    /// Accounts to register at that deployment, each with up to 32 devices. It admits five a minute from an address
    /// unless its LOGINS_PER_MINUTE is higher. They stay, as bench-…@streamz.invalid
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) accounts: u32,

    /// Make any number of accounts in that deployment's database instead, and delete them at the end; needs
    /// --jwt-secret
    #[arg(long, value_name = "URL", requires_all = ["url", "jwt_secret"])]
    pub(crate) database: Option<SecretString>,

    /// The deployment's JWT_SECRET, to sign in those accounts
    #[arg(long, value_name = "SECRET", requires = "database")]
    pub(crate) jwt_secret: Option<SecretString>,
}

/// What else a process of the bench can be.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Role {
    /// Serve as the bare forwarder until the standard input ends.
    #[command(hide = true)]
    Forwarder,
    /// Serve as the bare hop over Redis until the standard input ends.
    #[command(hide = true)]
    Hop,
    /// Be as many devices as the standard input says.
    #[command(hide = true)]
    Crowd,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Start, memory at start, size of the binary
    Start,
    /// Connections: rate and processor time
    Connect,
    /// Messages: delay, throughput, processor time
    Relay,
    /// Sign-ins beside messages
    Storm,
    /// Memory of idle devices
    Idle,
    /// A cluster's pauses: nodes killed, drained and added
    Pauses,
}

impl BenchArgs {
    pub(crate) fn measures(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

/// `500ms` or `2s`.
fn duration(text: &str) -> Result<Duration, String> {
    let of = |number: &str, unit: f64| {
        number.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0).map(|n| n * unit)
    };
    let seconds = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => of(number, 0.001),
        (None, Some(number)) => of(number, 1.0),
        (None, None) => None,
    };
    match seconds {
        Some(seconds) if (0.05..=600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("write a duration from 50ms to 600s, such as 500ms or 2s".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        bench: BenchArgs,
    }

    fn parse(words: &[&str]) -> Result<BenchArgs, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"bench").chain(words)).map(|cli| cli.bench)
    }

    #[test]
    fn without_words_everything_is_measured() {
        let args = parse(&[]).unwrap();
        assert!(args.measures(Part::Idle) && args.measures(Part::Storm) && !args.quick);
    }

    #[test]
    fn what_belongs_to_a_cluster_needs_its_gateways() {
        for words in [&["--nodes", "2"][..], &["--redis", "2"], &["--scale"], &["--reconnect-storm", "100"]] {
            assert!(parse(words).is_err(), "{words:?}");
            assert!(parse(&[words, &["--gateways", "3"]].concat()).is_ok(), "{words:?}");
        }
        assert!(parse(&["--gateways", "2", "--url", "http://h:1"]).is_err());
    }

    #[test]
    fn parts_and_durations_are_read() {
        let args = parse(&["--only", "relay,idle", "--piece", "250ms"]).unwrap();
        assert!(args.measures(Part::Relay) && args.measures(Part::Idle) && !args.measures(Part::Start));
        assert_eq!(args.piece, Some(Duration::from_millis(250)));
        for bad in ["0s", "2", "1h", "-1s", "NaNs", "infs", "ms"] {
            assert!(parse(&[&format!("--piece={bad}")]).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_belongs_to_a_deployment_needs_its_url() {
        assert!(parse(&["--server-pid", "1"]).is_err());
        assert!(parse(&["--database", "sqlite:x"]).is_err());
        assert!(parse(&["--url", "http://h", "--database", "sqlite:x"]).is_err());
        let args = ["--url", "http://h", "--database", "sqlite:x", "--jwt-secret", "s"];
        assert!(parse(&args).is_ok());
    }

    #[test]
    fn the_forwarder_is_a_role_of_its_own() {
        assert!(matches!(parse(&["forwarder"]).unwrap().role, Some(Role::Forwarder)));
        assert!(parse(&["--quick", "forwarder"]).is_err());
    }
}
