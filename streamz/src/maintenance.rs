//! What has to be done now and then.

use std::time::Duration;

use chrono::Utc;
use streamz_platform::config::Retention;
use streamz_store::{RetentionPolicy, Store};
use tokio_util::sync::CancellationToken;

/// Rows that one sweep removes of each kind.
const BATCH: u32 = 500;
/// Between two sweeps that found nothing more.
const EVERY: Duration = Duration::from_secs(3600);
/// Between two sweeps while there is more: others get their turn.
const PAUSE: Duration = Duration::from_millis(200);

/// Removes what is past its time, a small batch at a time, until told to stop.
pub(crate) async fn sweep(store: Store, retention: Retention, stopping: CancellationToken) {
    let policy = RetentionPolicy { streams: retention.streams, spent_tokens: retention.tokens };
    loop {
        let wait = match store.sweep(Utc::now(), &policy, BATCH).await {
            Ok(swept) => {
                tracing::debug!(?swept, "swept");
                if swept.more { PAUSE } else { EVERY }
            }
            Err(error) => {
                tracing::warn!(%error, "old records could not be swept; trying again in an hour");
                EVERY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stopping.cancelled() => return,
        }
    }
}
