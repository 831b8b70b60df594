//! Streamz: WebRTC signaling and presence for people's own devices, every role in one binary.

mod check;
mod cli;
mod edge;
mod embedded;
mod exit;
mod figures;
mod fleet;
mod gateway;
mod keys;
mod lock;
mod maintenance;
mod migrate;
mod node;
mod pressure;
mod process;
mod relay_check;
mod status;
mod store;
mod tls;
mod token;
mod turn;
mod waiting;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("streamz: the system gives no threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        match cli.command {
            None => embedded::run(cli.config).await,
            Some(Command::Gateway) => gateway::run(cli.config).await,
            Some(Command::Node) => node::run(cli.config).await,
            Some(Command::Migrate) => migrate::run(cli.config).await,
            Some(Command::Check(args)) => check::run(args.role.into(), cli.config).await,
            Some(Command::Token(args)) => token::run(cli.config, &args).await,
            Some(Command::Status(args)) => status::run(cli.config, &args).await,
            Some(Command::Bench(args)) => streamz_bench::run(*args).await.map_err(exit::Failure::unable),
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, exit::Failure::Unwell) {
                eprintln!("{failure}");
            }
            failure.code()
        }
    }
}
