//! The keys of access tokens: read at the start, and again when their files change.

use std::time::Duration;

use streamz_auth::{KeyFolder, Keys};
use streamz_platform::Tasks;
use streamz_platform::config::SigningSource;
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;

/// How often it is looked whether the files have changed.
const LOOK: Duration = Duration::from_secs(1);

/// The keys; those of a folder are watched from then on.
pub(crate) async fn load(source: &SigningSource, tasks: &Tasks) -> Result<Keys, Failure> {
    let SigningSource::Folder(folder) = source else {
        return source.load().map(Keys::new).map_err(Failure::unable);
    };
    let read = folder.read().map_err(Failure::unable)?;
    let keys = Keys::new(folder.understand(&read).map_err(Failure::unable)?);
    tracing::info!("access tokens: {}", keys.now());
    let watched = watch(folder.clone(), read.fingerprint(), keys.clone(), tasks.stopping());
    tasks.spawn("signing keys", watched);
    Ok(keys)
}

/// Takes what the folder holds whenever it has changed, until `stopping`. What cannot be used is said once, and the old
/// keys stay.
async fn watch(folder: KeyFolder, mut known: [u8; 32], keys: Keys, stopping: CancellationToken) {
    let mut look = tokio::time::interval(LOOK);
    let mut said = None;
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = look.tick() => {}
        }
        let of = folder.clone();
        let changed = move || {
            let read = of.read()?;
            let fingerprint = read.fingerprint();
            let changed = fingerprint != known;
            changed.then(|| of.understand(&read).map(|set| (fingerprint, set))).transpose()
        };
        // Only a process that ends has no thread for it.
        let Ok(changed) = tokio::task::spawn_blocking(changed).await else { return };
        match changed {
            Ok(None) => said = None,
            Ok(Some((fingerprint, set))) => {
                tracing::info!("access tokens: {set}");
                keys.replace(set);
                (known, said) = (fingerprint, None);
            }
            Err(error) => {
                let why = error.to_string();
                if said.as_ref() != Some(&why) {
                    tracing::warn!("the keys of access tokens stay the old ones: {why}");
                    said = Some(why);
                }
            }
        }
    }
}
