//! The most that the processes of a cluster used at any time.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::kinds::ByKind;
use crate::process::{Cpu, Processes};

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The peaks of each kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peaks {
    /// Processors that were busy, over a quarter of a second.
    pub(super) cores: ByKind<f64>,
    /// Resident bytes.
    pub(super) memory: ByKind<u64>,
}

/// Looks until it is asked for what it saw.
pub(super) struct Watch {
    stop: CancellationToken,
    task: JoinHandle<Peaks>,
}

impl Watch {
    /// Of processes that live all the while.
    pub(super) fn begin(processes: ByKind<Processes>) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(look(processes, stop.clone()));
        Self { stop, task }
    }

    pub(super) async fn end(self) -> Peaks {
        self.stop.cancel();
        self.task.await.unwrap_or_default()
    }
}

async fn look(processes: ByKind<Processes>, stop: CancellationToken) -> Peaks {
    let mut peaks = Peaks::default();
    let mut before: Option<(Instant, ByKind<Cpu>)> = None;
    loop {
        let now = Instant::now();
        if let Ok(cpu) = processes.cpu() {
            if let Some((then, before)) = &before {
                let elapsed = (now - *then).as_secs_f64() * 1e6;
                let cores = cpu.micros_since(before).map(|micros| micros / elapsed);
                peaks.cores = peaks.cores.zip(&cores, |most, now| most.max(*now));
            }
            before = Some((now, cpu));
        }
        let memory = processes.map(Processes::memory_about);
        peaks.memory = peaks.memory.zip(&memory, |most, now| *most.max(now));
        tokio::select! {
            () = stop.cancelled() => return peaks,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
