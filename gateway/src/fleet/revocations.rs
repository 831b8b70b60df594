//! Sign-ins that end elsewhere.

use std::sync::Arc;
use std::time::Duration;

use streamz_platform::Complaint;
use streamz_protocol::UserId;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::GatewayFleet;

/// Revocations that may wait; one more is carried out at once.
pub(super) const WAITING: usize = 1024;
/// For so long the user's hub has the first word: it tells the other devices why this one is gone.
const HUB_FIRST: Duration = Duration::from_millis(400);
/// How often the store's list is read: a word over the bus may be lost, and what is revoked has a second to take effect.
const SYNC_EVERY: Duration = Duration::from_millis(700);
/// How often the log hears that the list cannot be read.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// A sign-in whose connections close.
pub(super) struct Revocation {
    due: Instant,
    user: Option<UserId>,
    family: Uuid,
}

impl GatewayFleet {
    /// Closes the connections of a sign-in, unless the user's hub has done so in time.
    pub(super) fn close_soon(&self, user: Option<UserId>, family: Uuid) {
        let revocation = Revocation { due: Instant::now() + HUB_FIRST, user, family };
        if let Err(mpsc::error::TrySendError::Full(now) | mpsc::error::TrySendError::Closed(now)) =
            self.revocations.try_send(revocation)
        {
            self.close(now.user, &[now.family]);
        }
    }

    fn close(&self, user: Option<UserId>, families: &[Uuid]) {
        if let Some(served) = self.served.get() {
            served.connections.revoke(user, &families.into());
        }
    }

    /// Closes what is due, in the order in which it came.
    pub(super) async fn close_revoked(
        self: Arc<Self>,
        mut waiting: mpsc::Receiver<Revocation>,
        stopping: CancellationToken,
    ) {
        let all = async {
            while let Some(revocation) = waiting.recv().await {
                tokio::time::sleep_until(revocation.due).await;
                self.close(revocation.user, &[revocation.family]);
            }
        };
        stopping.run_until_cancelled(all).await;
    }

    /// Reads the store's list from time to time.
    pub(super) async fn sync_revoked(self: Arc<Self>, stopping: CancellationToken) {
        let mut reading = Complaint::new(COMPLAIN_EVERY);
        loop {
            tokio::select! {
                () = tokio::time::sleep(SYNC_EVERY) => {}
                () = stopping.cancelled() => return,
            }
            let Some(served) = self.served.get() else { continue };
            match served.revoked.sync_new(&self.store, self.clock.utc()).await {
                Ok(missed) if missed.is_empty() => {
                    reading.works();
                }
                Ok(missed) => {
                    reading.works();
                    tracing::debug!(sign_ins = missed.len(), "revocations that the bus did not bring");
                    self.close(None, &missed);
                }
                Err(error) => {
                    if let Some(kept_back) = reading.failed(std::time::Instant::now()) {
                        tracing::warn!(%error, kept_back, "the list of revoked sign-ins was not read");
                    }
                }
            }
        }
    }
}
