//! Planned moves: what a slot's hubs had to write is written, then the slot is given away. In batches, for the store's
//! sake.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use streamz_cluster::keeper::{HandOver, Input};
use streamz_protocol::NodeId;
use streamz_protocol::cluster::{Slot, Tenure};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::FleetNode;

/// Slots in one batch.
const BATCH: usize = 64;
/// How long writes of a slot may take before it stays where it is for now.
const FLUSH_WITHIN: Duration = Duration::from_secs(3);

/// What the keeper wants to have done.
#[derive(Debug)]
pub(super) enum Errand {
    /// Stop the hubs of a slot, and finish their writes.
    Flush(Tenure),
    /// Give a slot to whom it shall move.
    HandOver(Tenure),
}

/// Runs errands until `stopping`.
pub(super) async fn run(
    fleet: Arc<FleetNode>,
    mut errands: mpsc::Receiver<Errand>,
    stopping: CancellationToken,
) {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            count = errands.recv_many(&mut batch, BATCH) => if count == 0 { return },
            () = stopping.cancelled() => return,
        }
        let mut leaving = Vec::new();
        let mut flushing = Vec::new();
        for errand in batch.drain(..) {
            match errand {
                Errand::Flush(tenure) => flushing.push(tenure),
                Errand::HandOver(tenure) => leaving.push(tenure),
            }
        }
        if !leaving.is_empty() {
            fleet.hand_over(&leaving).await;
        }
        if !flushing.is_empty() {
            fleet.flush(&flushing).await;
        }
    }
}

impl FleetNode {
    async fn flush(&self, tenures: &[Tenure]) {
        let flushed = async {
            self.node.dropped().await;
            for tenure in tenures {
                self.node.desk().flushed(*tenure).await;
            }
        };
        let written = tokio::time::timeout(FLUSH_WITHIN, flushed).await.is_ok();
        for tenure in tenures {
            self.handle(Input::Flushed(*tenure, written));
        }
    }

    async fn hand_over(&self, tenures: &[Tenure]) {
        let id = self.state.lock().id;
        let outcome = self.store.hand_over(id, tenures).await;
        let (version, moved): (u64, BTreeMap<Slot, NodeId>) = match &outcome {
            Ok(changed) => {
                let moved = changed.applied.iter().filter_map(|row| Some((row.tenure.slot, row.owner?)));
                (changed.version, moved.collect())
            }
            Err(error) => {
                tracing::warn!(%error, "whether slots were handed over is not known");
                (0, BTreeMap::new())
            }
        };
        for tenure in tenures {
            let how = match (&outcome, moved.get(&tenure.slot)) {
                (Err(_), _) => HandOver::Unknown,
                (Ok(_), Some(owner)) => HandOver::Done { version, owner: *owner },
                (Ok(_), None) => HandOver::Refused,
            };
            self.handle(Input::HandedOver(*tenure, how));
        }
    }
}
