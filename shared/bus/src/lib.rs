//! Carries frames between gateways and hubs.
//!
//! # Guarantees
//! Between one gateway and one hub, frames arrive in the order in which they were sent, each once, for as long as
//! both live. A frame that cannot be taken is refused at once, with a [`Refused`]; nothing waits and nothing is
//! dropped without a word. What a hub held when it died is lost; see `streamz_protocol::bus` for how its successor
//! learns it again.
//!
//! [`InProcess`] hands a frame over by a function call: no copy, no task, no queue of its own. [`redis`] moves bytes
//! between processes, without any of these guarantees: `streamz-link` makes them of it.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod redis;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;

use streamz_protocol::bus::{ToGateway, ToHub};
use streamz_protocol::{GatewayId, UserId};
use uuid::Uuid;

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its receiver is not there.
    #[error("nobody receives frames for this address")]
    NoReceiver,
    /// The queue of its receiver is full.
    #[error("the receiver's queue is full")]
    Full,
    /// Nobody serves this user at the moment. Whoever does next asks every connection what it knows, so a frame of a
    /// connection need not be repeated.
    #[error("nobody serves this user at the moment")]
    Later,
}

/// Sends frames to hubs and to gateways.
pub trait Bus: Send + Sync + 'static {
    /// To the hub of the user that the frame names.
    ///
    /// # Errors
    /// [`Refused`] if it was not taken.
    fn to_hub(&self, frame: ToHub) -> Result<(), Refused>;

    /// To a gateway.
    ///
    /// # Errors
    /// [`Refused`] if it was not taken.
    fn to_gateway(&self, gateway: GatewayId, frame: ToGateway) -> Result<(), Refused>;

    /// The gateways that are there, in ascending order.
    fn gateways(&self) -> Vec<GatewayId>;

    /// A user has a connection on this gateway. Said before the first frame of that connection.
    fn connected(&self, _user: UserId) {}

    /// A user has no connection on this gateway any more.
    fn disconnected(&self, _user: UserId) {}

    /// A sign-in was revoked here: the user's connections on other gateways are to close as well.
    fn revoked(&self, _user: UserId, _family: Uuid) {}
}

/// Takes the frames for hubs. It must not block.
pub trait HubReceiver: Send + Sync + 'static {
    /// Takes one frame.
    ///
    /// # Errors
    /// [`Refused::Full`] if the hub's queue has no room.
    fn receive(&self, frame: ToHub) -> Result<(), Refused>;
}

/// Takes the frames for one gateway. It must not block.
pub trait GatewayReceiver: Send + Sync + 'static {
    /// Takes one frame.
    ///
    /// # Errors
    /// [`Refused::NoReceiver`] if the connection is gone, [`Refused::Full`] if its queue has no room.
    fn receive(&self, frame: ToGateway) -> Result<(), Refused>;
}

/// The bus of a single process.
#[derive(Default)]
pub struct InProcess {
    hubs: OnceLock<Arc<dyn HubReceiver>>,
    gateways: RwLock<HashMap<GatewayId, Arc<dyn GatewayReceiver>>>,
}

impl InProcess {
    /// A bus without receivers.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Names the receiver of frames for hubs.
    ///
    /// # Panics
    /// If there is one already: a process has one set of hubs.
    pub fn serve_hubs(&self, receiver: Arc<dyn HubReceiver>) {
        assert!(self.hubs.set(receiver).is_ok(), "a process has one set of hubs");
    }

    /// Names the receiver of frames for a gateway.
    pub fn serve_gateway(&self, gateway: GatewayId, receiver: Arc<dyn GatewayReceiver>) {
        self.gateways.write().insert(gateway, receiver);
    }
}

impl Bus for InProcess {
    fn to_hub(&self, frame: ToHub) -> Result<(), Refused> {
        self.hubs.get().ok_or(Refused::NoReceiver)?.receive(frame)
    }

    fn to_gateway(&self, gateway: GatewayId, frame: ToGateway) -> Result<(), Refused> {
        let receiver = self.gateways.read().get(&gateway).cloned();
        receiver.ok_or(Refused::NoReceiver)?.receive(frame)
    }

    fn gateways(&self) -> Vec<GatewayId> {
        let mut gateways: Vec<GatewayId> = self.gateways.read().keys().copied().collect();
        gateways.sort();
        gateways
    }
}
