//! The name under which nodes know this gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use streamz_protocol::GatewayId;

/// This gateway's id. It changes when the gateway was evicted from its cluster and goes on as another one. Cheap to
/// clone: all clones are the same.
#[derive(Clone, Debug)]
pub struct Identity(Arc<AtomicU64>);

impl Identity {
    /// The id as it is now.
    #[must_use]
    pub fn gateway(&self) -> GatewayId {
        GatewayId(self.0.load(Ordering::Acquire))
    }

    pub(crate) fn change(&self, gateway: GatewayId) {
        self.0.store(gateway.0, Ordering::Release);
    }
}

impl From<GatewayId> for Identity {
    fn from(gateway: GatewayId) -> Self {
        Self(Arc::new(AtomicU64::new(gateway.0)))
    }
}
