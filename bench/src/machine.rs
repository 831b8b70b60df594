//! What the figures were measured on.

use std::fs;

use serde::Serialize;

use crate::process::kib;

/// The machine, as far as it matters.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Logical processors that this process may use.
    pub cores: usize,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// The kernel's release.
    pub kernel: String,
    /// Processes that ran or waited to run in the minute before, on average.
    pub load_before: f64,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            processor: processor(&read("/proc/cpuinfo")).unwrap_or("unknown").to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: kib(&read("/proc/meminfo"), "MemTotal:").unwrap_or(0) / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_before: load(&read("/proc/loadavg")).unwrap_or(0.0),
        }
    }
}

fn processor(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

fn load(loadavg: &str) -> Option<f64> {
    loadavg.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_found_in_their_files() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 3.00GHz\nmodel name\t: other\n";
        assert_eq!(processor(cpuinfo), Some("Some CPU @ 3.00GHz"));
        assert_eq!(processor("processor : 0\n"), None);
        assert_eq!(load("0.73 1.35 1.13 1/200 9\n"), Some(0.73));
        assert_eq!(load(""), None);
        assert!(Machine::look().memory_mib > 0);
    }
}
