//! What the HTTP API asks of the users' hubs.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use streamz_bus::{Bus, Refused};
use streamz_protocol::bus::{DeviceChange, ToHub, Up};
use streamz_protocol::{DeviceId, UserId};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::identity::Identity;

/// Questions that may wait for a hub's answer at the same time.
const QUESTIONS_MAX: usize = 1024;
/// How long a question waits. The caller then falls back to the store.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// A handle to the hubs of all users.
#[derive(Clone)]
pub struct Hubs {
    inner: Arc<Inner>,
}

struct Inner {
    identity: Identity,
    bus: Arc<dyn Bus>,
    next_request: AtomicU64,
    questions: Mutex<HashMap<u64, oneshot::Sender<Vec<DeviceId>>>>,
}

impl Hubs {
    /// Reaches hubs over `bus`, in the name of a gateway.
    #[must_use]
    pub fn new(identity: impl Into<Identity>, bus: Arc<dyn Bus>) -> Self {
        let inner = Inner {
            identity: identity.into(),
            bus,
            next_request: AtomicU64::new(1),
            questions: Mutex::new(HashMap::new()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The account's list of devices changed. A hub that is not awake reads the list when it wakes.
    pub fn device_changed(&self, user: UserId, change: DeviceChange) {
        self.tell(user, Up::Devices(change));
    }

    /// A sign-in was revoked: its sockets close.
    pub fn revoke(&self, user: UserId, family: Uuid) {
        self.tell(user, Up::Revoke { family });
        self.inner.bus.revoked(user, family);
    }

    /// The account is gone: its sockets close.
    pub fn user_gone(&self, user: UserId) {
        self.tell(user, Up::Recheck);
    }

    fn tell(&self, user: UserId, up: Up) {
        match self.inner.bus.to_hub(ToHub { user, up }) {
            // Later: the next hub reads it from the store.
            Ok(()) | Err(Refused::Later) => {}
            Err(refused) => tracing::warn!(%user, %refused, "a hub could not be told of a change"),
        }
    }

    /// The user's devices that are online, or `None` if no hub answered in time.
    pub async fn who_is_online(&self, user: UserId) -> Option<Vec<DeviceId>> {
        let request = self.inner.next_request.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        {
            let mut questions = self.inner.questions.lock();
            if questions.len() >= QUESTIONS_MAX {
                return None;
            }
            questions.insert(request, answer);
        }
        let _forget = Forget { inner: &self.inner, request };
        let up = Up::WhoIsOnline { gateway: self.inner.identity.gateway(), request };
        self.inner.bus.to_hub(ToHub { user, up }).ok()?;
        tokio::time::timeout(ANSWER_WITHIN, answered).await.ok()?.ok()
    }

    /// A hub answered.
    pub(crate) fn answered(&self, request: u64, devices: Vec<DeviceId>) {
        if let Some(answer) = self.inner.questions.lock().remove(&request) {
            // Whoever asked may have gone.
            let _ = answer.send(devices);
        }
    }
}

struct Forget<'a> {
    inner: &'a Inner,
    request: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.inner.questions.lock().remove(&self.request);
    }
}
