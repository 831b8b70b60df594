//! Puts right what an earlier owner of a slot left in the store: devices that are shown online, records that are open.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use streamz_protocol::cluster::{Slot, Tenure};
use streamz_protocol::{Millis, StreamId};
use streamz_store::{Left, StoreError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::FleetNode;

/// Slots that are looked at together.
const BATCH: usize = 256;
/// Rows that are read at a time.
const PAGE: u32 = 500;
/// How long it waits for a store that is away.
const AGAIN: Duration = Duration::from_secs(2);
/// What ended a stream whose hub died before anybody else knew it.
const REASON: &str = "server_restart";

/// Looks at slots that were taken over, until `stopping`.
pub(super) async fn run(
    fleet: Arc<FleetNode>,
    mut confirmed: mpsc::Receiver<Tenure>,
    stopping: CancellationToken,
) {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            count = confirmed.recv_many(&mut batch, BATCH) => if count == 0 { return },
            () = stopping.cancelled() => return,
        }
        while let Err(error) = fleet.put_right(&batch).await {
            tracing::warn!(%error, "what was left in the store is put right later");
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = stopping.cancelled() => return,
            }
        }
        batch.clear();
    }
}

impl FleetNode {
    async fn put_right(&self, tenures: &[Tenure]) -> Result<(), StoreError> {
        // Of a single process that used this database before: without a slot nobody would find them.
        while self.store.adopt_strays(PAGE).await? > 0 {}
        let slots: Vec<Slot> = tenures.iter().map(|tenure| tenure.slot).collect();
        let mut after: Option<Left> = None;
        loop {
            let page = self.store.left_online(&slots, after.as_ref(), PAGE).await?;
            {
                // Under the lock: a hub that starts now writes after this, and in the same drawer.
                let state = self.state.lock();
                for left in page.iter().filter(|left| !state.keeper.serves(left.user)) {
                    if let Some(tenure) = state.keeper.tenure(left.slot) {
                        self.node.desk().presence(Some(tenure), left.id, false, self.now());
                    }
                }
            }
            match page.last() {
                Some(last) if page.len() >= PAGE as usize => after = Some(*last),
                _ => break,
            }
        }
        let mut after: Option<Left> = None;
        loop {
            let page = self.store.left_open(&slots, after.as_ref(), PAGE).await?;
            let mut orphans: Vec<(Tenure, Uuid)> = Vec::new();
            for left in &page {
                if self.is_orphan(left).await
                    && let Some(tenure) = self.state.lock().keeper.tenure(left.slot)
                {
                    orphans.push((tenure, left.id));
                }
            }
            self.store.close_streams(&orphans, Utc::now(), REASON).await?;
            match page.last() {
                Some(last) if page.len() >= PAGE as usize => after = Some(*last),
                _ => return Ok(()),
            }
        }
    }

    /// Whether no hub knows the stream. One that recovers does not know yet, and is left alone.
    async fn is_orphan(&self, left: &Left) -> bool {
        if !self.state.lock().keeper.serves(left.user) {
            return true;
        }
        let known = self.node.streams(left.user).await;
        known.is_some_and(|streams| !streams.contains(&StreamId(left.id)))
    }

    fn now(&self) -> Millis {
        self.node.clock().now()
    }
}
