//! Runs the simulator from the command line: a range of seeds, one seed with its trace, or a soak by the clock.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use streamz_simulation::{Profile, Progress, run, run_all};

const USAGE: &str = "\
usage: streamz-simulation --seeds FIRST..END     run these seeds
       streamz-simulation --survey FIRST..END    run them all, one line for each that fails
       streamz-simulation --seed N [--trace]     run one seed, and print every step of it
       streamz-simulation --minutes M [--from N] run seeds for that long (from 1,000,000 on)";

/// What is asked for.
enum Task {
    Seeds { first: u64, end: u64, until: Option<Instant> },
    One { seed: u64, trace: bool },
    Survey { first: u64, end: u64 },
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match parse(&arguments) {
        Some(Task::One { seed, trace }) => one(seed, trace),
        Some(Task::Survey { first, end }) => survey(first, end),
        Some(Task::Seeds { first, end, until }) => many(first, end, until),
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn parse(arguments: &[String]) -> Option<Task> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--seeds", seeds] => {
            let (first, end) = range(seeds)?;
            Some(Task::Seeds { first, end, until: None })
        }
        ["--survey", seeds] => {
            let (first, end) = range(seeds)?;
            Some(Task::Survey { first, end })
        }
        ["--seed", seed] => Some(Task::One { seed: seed.parse().ok()?, trace: false }),
        ["--seed", seed, "--trace"] => Some(Task::One { seed: seed.parse().ok()?, trace: true }),
        ["--minutes", minutes, rest @ ..] => {
            let first = match rest {
                [] => 1_000_000,
                ["--from", first] => first.parse().ok()?,
                _ => return None,
            };
            let minutes: u64 = minutes.parse().ok()?;
            let until = Some(Instant::now() + Duration::from_secs(60 * minutes));
            Some(Task::Seeds { first, end: u64::MAX, until })
        }
        _ => None,
    }
}

fn range(text: &str) -> Option<(u64, u64)> {
    let (first, end) = text.split_once("..")?;
    Some((first.parse().ok()?, end.parse().ok()?))
}

fn survey(first: u64, end: u64) -> ExitCode {
    let mut failed = 0;
    for seed in first..end {
        if let Some(violation) = run(seed, false).violations.first() {
            failed += 1;
            println!("{seed} ({:?}) {}: {}", Profile::of(seed), violation.promise, violation.sentence);
        }
    }
    println!("{failed} of {} seeds broke a promise", end.saturating_sub(first));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(seed: u64, trace: bool) -> ExitCode {
    let run = run(seed, trace);
    if let Some(trace) = run.trace {
        print!("{trace}");
    }
    println!("seed {seed} ({:?}): {} events", Profile::of(seed), run.events);
    for violation in &run.violations {
        println!("{}: {}", violation.promise, violation.sentence);
    }
    if run.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn many(first: u64, end: u64, until: Option<Instant>) -> ExitCode {
    let began = Instant::now();
    let said = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get);
    let result = run_all(first..end, threads, |Progress { seeds, .. }| {
        let seconds = began.elapsed().as_secs();
        if seconds >= said.load(Ordering::Relaxed) + 10 {
            said.store(seconds, Ordering::Relaxed);
            eprintln!("{seeds} seeds in {seconds} s");
        }
        until.is_none_or(|until| Instant::now() < until)
    });
    match result {
        Ok(Progress { seeds, events }) => {
            println!(
                "{seeds} seeds kept every promise: {events} events in {:.1} s",
                began.elapsed().as_secs_f64()
            );
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
