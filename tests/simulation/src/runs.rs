//! Running seeds: one, traced or not, and many on several threads.

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::checker::{self, Violation};
use crate::plan::Profile;
use crate::world::World;

/// Where the traces of failing seeds go: `target/simulation` of the workspace.
fn trace_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/simulation")
}

/// The promises that a sentence may begin with.
const PROMISES: [&str; 7] = ["P1", "P2", "P3", "P4", "P5", "P6", "P7"];

/// Lines of a trace that are shown with a failure.
const LINES_SHOWN: usize = 60;

/// What came of one seed.
pub struct Run {
    /// How many events the history has.
    pub events: usize,
    /// The promises that were broken, the earliest first; none in a good run.
    pub violations: Vec<Violation>,
    /// Every step, in words, if it was asked for.
    pub trace: Option<String>,
}

/// Runs a seed and checks its history.
#[must_use]
pub fn run(seed: u64, traced: bool) -> Run {
    finish(World::new(seed, traced))
}

/// Runs a seed with a fault planted into its state machines.
#[cfg(feature = "planted-bugs")]
#[must_use]
pub fn run_with(seed: u64, traced: bool, bug: crate::Bug) -> Run {
    let mut world = World::new(seed, traced);
    world.plant(bug);
    finish(world)
}

fn finish(mut world: World) -> Run {
    // A panic of a state machine is a finding like any other, and its trace is wanted most.
    let panicked = catch_unwind(AssertUnwindSafe(|| world.run())).err();
    let trace = world.take_trace();
    let broken = world.broken.take();
    if let Some(sentence) = panicked.map(panic_text).or(broken) {
        let (promise, sentence) = match sentence.split_once(": ") {
            Some((prefix, rest)) if let Some(promise) = PROMISES.iter().find(|one| **one == prefix) => {
                (*promise, rest.to_owned())
            }
            _ => ("panic", sentence),
        };
        let violations = vec![Violation { promise, sentence, at: world.now }];
        return Run { events: world.entries.len(), violations, trace };
    }
    let history = world.into_history();
    Run { events: history.entries.len(), violations: checker::check(&history), trace }
}

fn panic_text(panic: Box<dyn std::any::Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    format!("a state machine panicked: {}", text.unwrap_or_default())
}

/// A seed that broke a promise, with all that is needed to look into it.
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// Its profile.
    pub profile: Profile,
    /// The earliest violation.
    pub violation: Violation,
    /// Where the whole trace was written.
    pub file: PathBuf,
    tail: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, profile, violation, file, tail } = self;
        writeln!(f, "{tail}")?;
        writeln!(f, "seed {seed} ({profile:?}) broke {}: {}", violation.promise, violation.sentence)?;
        writeln!(f, "the whole trace: {}", file.display())?;
        write!(f, "run it again: cargo run -p streamz-simulation --profile sim -- --seed {seed} --trace")
    }
}

/// Runs a seed, and once more with a trace if it broke a promise. Returns how many events it had.
///
/// # Errors
/// [`Failure`] if it broke a promise.
pub fn verify(seed: u64) -> Result<usize, Box<Failure>> {
    report(seed, &trace_folder(), |traced| run(seed, traced))
}

/// [`verify`] with a fault planted, and another folder for the trace.
///
/// # Errors
/// As [`verify`].
#[cfg(feature = "planted-bugs")]
pub fn verify_with(seed: u64, bug: crate::Bug, folder: &Path) -> Result<usize, Box<Failure>> {
    report(seed, folder, |traced| run_with(seed, traced, bug))
}

fn report(seed: u64, folder: &Path, run: impl Fn(bool) -> Run) -> Result<usize, Box<Failure>> {
    let first = run(false);
    if first.violations.is_empty() {
        return Ok(first.events);
    }
    let again = run(true);
    let trace = again.trace.unwrap_or_default();
    let violation = again.violations.into_iter().chain(first.violations).next();
    let violation = violation.expect("the first run had one");
    let file = folder.join(format!("{seed}.trace"));
    // The trace on the disk is a help; that it cannot be written must not hide the failure.
    let _ = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&file, &trace));
    let file = file.canonicalize().unwrap_or(file);
    let tail = lines_before(&trace, &violation);
    Err(Box::new(Failure { seed, profile: Profile::of(seed), violation, file, tail }))
}

/// The lines of the trace up to the violation, as far as they fit.
fn lines_before(trace: &str, violation: &Violation) -> String {
    let lines: Vec<&str> = trace.lines().collect();
    let elapsed = violation.elapsed();
    let after = lines.iter().rposition(|line| {
        let time = line.split_whitespace().next().and_then(|time| time.parse::<f64>().ok());
        time.is_some_and(|time| time <= elapsed + 0.000_5)
    });
    let end = after.map_or(lines.len(), |at| at + 1);
    lines[end.saturating_sub(LINES_SHOWN)..end].join("\n")
}

/// How far [`run_all`] is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Seeds that were run.
    pub seeds: u64,
    /// Events in their histories.
    pub events: usize,
}

/// Runs seeds on `threads` threads until they are through, or one fails, or `go_on` says to stop.
///
/// # Errors
/// [`Failure`] of the first seed that was found to break a promise.
pub fn run_all(
    seeds: Range<u64>,
    threads: usize,
    go_on: impl Fn(Progress) -> bool + Sync,
) -> Result<Progress, Box<Failure>> {
    let next = AtomicU64::new(seeds.start);
    let done = AtomicU64::new(0);
    let events = AtomicUsize::new(0);
    let failure: Mutex<Option<Box<Failure>>> = Mutex::new(None);
    let progress =
        || Progress { seeds: done.load(Ordering::Relaxed), events: events.load(Ordering::Relaxed) };
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            match verify(seed) {
                Ok(more) => {
                    events.fetch_add(more, Ordering::Relaxed);
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Err(found) => {
                    next.store(seeds.end, Ordering::Relaxed);
                    failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(found);
                    return;
                }
            }
            if !go_on(progress()) {
                next.store(seeds.end, Ordering::Relaxed);
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    match failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some(failure) => Err(failure),
        None => Ok(progress()),
    }
}
