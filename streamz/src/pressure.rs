//! Measures what a process is short of, for the gate that lets nobody new in then.

use std::path::{Path, PathBuf};
use std::time::Duration;

use streamz_gateway::gate::{Gate, Judge};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often.
const EVERY: Duration = Duration::from_millis(250);

/// Tells the gate, until `stopping`.
pub(crate) async fn watch(gate: Gate, configured: Option<u64>, stopping: CancellationToken) {
    let limit = configured.or_else(cgroup_limit);
    if let Some(bytes) = limit {
        tracing::info!(bytes, "new connections are turned away when 90 % of this memory are in use");
    }
    let mut judge = Judge::default();
    loop {
        let due = Instant::now() + EVERY;
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            () = stopping.cancelled() => return,
        }
        let late = due.elapsed();
        gate.set_pressure(judge.measure(late, limit.and_then(|_| resident()), limit));
    }
}

/// The memory of this process in bytes.
fn resident() -> Option<u64> {
    resident_of(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn resident_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// What the control groups (version 2) of this process allow: the least of the own one and those around it.
fn cgroup_limit() -> Option<u64> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    least_limit(Path::new("/sys/fs/cgroup"), &own)
}

fn least_limit(root: &Path, own: &str) -> Option<u64> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let folder: PathBuf = root.join(path.trim_start_matches('/'));
    let around = folder.ancestors().take_while(|folder| folder.starts_with(root));
    // "max" is no number, and no limit.
    let limits = around.filter_map(|folder| {
        std::fs::read_to_string(folder.join("memory.max")).ok()?.trim().parse::<u64>().ok()
    });
    limits.min()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_own_memory_is_read() {
        assert!(resident().is_some_and(|bytes| bytes > 1024 * 1024));
        assert_eq!(resident_of("Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t1\n"), Some(2048 * 1024));
        assert_eq!(resident_of("Name:\tx\n"), None);
    }

    #[test]
    fn the_least_limit_of_a_group_and_those_around_it_counts() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("pods/one");
        std::fs::create_dir_all(&inner).unwrap();
        let write = |folder: &Path, text: &str| std::fs::write(folder.join("memory.max"), text).unwrap();
        assert_eq!(least_limit(root.path(), "0::/pods/one\n"), None);
        write(&inner, "max\n");
        assert_eq!(least_limit(root.path(), "0::/pods/one\n"), None);
        write(&root.path().join("pods"), "104857600\n");
        assert_eq!(least_limit(root.path(), "0::/pods/one\n"), Some(104_857_600));
        write(&inner, "52428800\n");
        assert_eq!(least_limit(root.path(), "12:pids:/x\n0::/pods/one\n"), Some(52_428_800));
        // Inside a container its own group is the root.
        write(root.path(), "1048576\n");
        assert_eq!(least_limit(root.path(), "0::/\n"), Some(1_048_576));
    }
}
