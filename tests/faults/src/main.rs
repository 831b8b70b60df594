//! Runs faults on real processes and prints what each of them cost.
#![allow(clippy::unwrap_used, reason = "a harness fails by panicking")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use streamz_faults::{Fault, Figures, Size, Stage, Table};

/// Faults on real processes: what they cost, and whether every promise was kept.
#[derive(Parser)]
struct Args {
    /// Which; all of them unless told.
    #[arg(value_enum)]
    faults: Vec<Fault>,
    /// How often each.
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// Users, with three devices each.
    #[arg(long, default_value_t = Size::default().users)]
    users: usize,
    /// Milliseconds between two messages of a device.
    #[arg(long, default_value_t = 250)]
    pace: u64,
    /// Where to write the figures as JSON, too.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let faults = if args.faults.is_empty() { Fault::value_variants() } else { &args.faults };
    let size = Size { users: args.users, pace: Duration::from_millis(args.pace), ..Size::default() };
    let mut figures: Vec<Figures> = Vec::new();
    let mut failed = false;
    // A stage for each round: its history is judged when it is over.
    for round in 1..=args.repeat {
        let mut stage = Stage::set(size).await;
        let mut of_round = Vec::new();
        for fault in faults {
            let suffered = stage.suffer(*fault).await;
            eprintln!(
                "round {round}: {fault}: gaps {:?} ms, well after {} ms",
                suffered.gaps, suffered.well_after
            );
            of_round.push(suffered);
        }
        if let Err(words) = stage.judge(&mut of_round).await {
            eprintln!("round {round}: NOT KEPT\n{words}");
            failed = true;
        }
        figures.extend(of_round);
    }
    print!("{}", Table(&figures));
    if let Some(path) = args.json {
        std::fs::write(path, serde_json::to_string_pretty(&figures).unwrap()).unwrap();
    }
    if failed {
        println!("A promise was not kept: see above.");
        return ExitCode::FAILURE;
    }
    println!("Every promise was kept.");
    ExitCode::SUCCESS
}
