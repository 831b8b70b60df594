//! What a process cost so far, from `/proc` (proc(5)).

use std::fs;
use std::io;
use std::time::Duration;

/// Why a process could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProcessError {
    #[error("process {pid} cannot be looked at: {source}")]
    Gone { pid: u32, source: io::Error },
    #[error("/proc/{pid}/{file} is not what it was expected to be")]
    Unreadable { pid: u32, file: &'static str },
}

/// The processor time of some processes, up to a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cpu {
    /// User and system time, also of threads that ended. Its grain is a tick, usually 10 ms.
    coarse: Duration,
    /// Time on a processor, to the nanosecond, of the threads that there are.
    fine: Option<Duration>,
}

impl Cpu {
    /// What was used since `before`: as fine as it can be had. Threads that ended meanwhile took their fine count with
    /// them, and then the coarse one is nearer to the truth.
    pub(crate) fn since(&self, before: &Self) -> Duration {
        const GRAINS: Duration = Duration::from_millis(25);
        let coarse = self.coarse.saturating_sub(before.coarse);
        let fine = self.fine.zip(before.fine).and_then(|(now, then)| now.checked_sub(then));
        fine.filter(|fine| fine.abs_diff(coarse) <= GRAINS.max(coarse / 50)).unwrap_or(coarse)
    }
}

/// The processes of one server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Processes(pub(crate) Vec<u32>);

impl Processes {
    /// The processor time so far.
    pub(crate) fn cpu(&self) -> Result<Cpu, ProcessError> {
        let ticks: u64 = self.sum("stat", ticks)?;
        let per_second = rustix::param::clock_ticks_per_second();
        let coarse = Duration::from_nanos(ticks.saturating_mul(1_000_000_000) / per_second.max(1));
        let fine: Option<u64> = self.0.iter().map(|pid| threads(*pid)).sum();
        Ok(Cpu { coarse, fine: fine.map(Duration::from_nanos) })
    }

    /// The resident set, in bytes, of those that live: quick, and some pages less exact than [`Self::memory`].
    pub(crate) fn memory_about(&self) -> u64 {
        let one = |pid: &u32| kib(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS:");
        self.0.iter().filter_map(one).sum::<u64>() * 1024
    }

    /// Those that are still there.
    pub(crate) fn living(&self) -> Self {
        Self(
            self.0
                .iter()
                .copied()
                .filter(|pid| fs::exists(format!("/proc/{pid}/stat")).unwrap_or(false))
                .collect(),
        )
    }

    /// They and the processes that they started.
    pub(crate) fn with_children(&self) -> Self {
        let children = |pid: &u32| {
            let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            text.split_whitespace().filter_map(|child| child.parse().ok()).collect::<Vec<u32>>()
        };
        Self(self.0.iter().copied().chain(self.0.iter().flat_map(children)).collect())
    }

    /// The resident set, in bytes.
    pub(crate) fn memory(&self) -> Result<u64, ProcessError> {
        // The sum over all mappings is exact; the figure in `status` lags behind by some pages per thread.
        Ok(self.sum("smaps_rollup", |text| kib(text, "Rss:"))? * 1024)
    }

    fn sum(&self, file: &'static str, read: impl Fn(&str) -> Option<u64>) -> Result<u64, ProcessError> {
        let one = |pid: &u32| {
            let pid = *pid;
            let text = fs::read_to_string(format!("/proc/{pid}/{file}"))
                .map_err(|source| ProcessError::Gone { pid, source })?;
            read(&text).ok_or(ProcessError::Unreadable { pid, file })
        };
        self.0.iter().map(one).sum()
    }
}

/// Nanoseconds on a processor of all threads, if this kernel counts them (`/proc/PID/task/TID/schedstat`).
fn threads(pid: u32) -> Option<u64> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        // A thread may end between the two reads.
        if let Ok(text) = fs::read_to_string(thread.ok()?.path().join("schedstat")) {
            sum += text.split_whitespace().next()?.parse::<u64>().ok()?;
        }
    }
    Some(sum)
}

/// `utime` and `stime` of `/proc/PID/stat`. The program's name stands in parentheses and may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    // Fields 14 and 15 of the manual's count; what follows the name begins with field 3.
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    Some(user + system)
}

/// A line like `Rss:   1234 kB`.
pub(crate) fn kib(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_program_may_hold_anything() {
        let stat = "42 (a b) R (x) S 1 42 42 0 -1 4194560 1000 0 2 0 123 45 6 7 20 0 3 0 99 1 2";
        assert_eq!(ticks(stat), Some(168));
        assert_eq!(ticks("42 (short) S 1 2"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn memory_is_read_from_its_line() {
        let rollup = "5600-7ffe ---p 00000000 00:00 0 [rollup]\nRss:                5432 kB\nPss:  99 kB\n";
        assert_eq!(kib(rollup, "Rss:"), Some(5432));
        assert_eq!(kib(rollup, "Swap:"), None);
        assert_eq!(kib("Rss: many kB", "Rss:"), None);
    }

    #[test]
    fn this_process_costs_something() {
        let this = Processes(vec![std::process::id()]);
        assert!(this.memory().unwrap() > 100_000);
        let twice = Processes(vec![std::process::id(); 2]);
        assert!(twice.memory().unwrap() > this.memory().unwrap());
        let before = this.cpu().unwrap();
        while this.cpu().unwrap().since(&before) < Duration::from_millis(1) {
            std::hint::black_box((0..1_000_000_u64).sum::<u64>());
        }
    }

    #[test]
    fn a_fine_count_that_lost_a_thread_is_not_believed() {
        let cpu = |coarse, fine: Option<u64>| Cpu {
            coarse: Duration::from_millis(coarse),
            fine: fine.map(Duration::from_millis),
        };
        let before = cpu(100, Some(104));
        assert_eq!(cpu(200, Some(213)).since(&before), Duration::from_millis(109));
        assert_eq!(cpu(200, Some(150)).since(&before), Duration::from_millis(100));
        assert_eq!(cpu(200, Some(90)).since(&before), Duration::from_millis(100));
        assert_eq!(cpu(200, None).since(&before), Duration::from_millis(100));
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        // Process ids end at 2^22.
        assert!(matches!(Processes(vec![u32::MAX]).cpu(), Err(ProcessError::Gone { .. })));
    }
}
