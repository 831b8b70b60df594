//! What a cluster adds between hubs and everybody else.

use streamz_protocol::bus::ToGateway;
use streamz_protocol::{GatewayId, UserId};

/// Stands between the hubs of a node and the gateways, and starts the hubs. In a single process there is none: hubs talk
/// to the bus, and begin with their first connection.
pub(crate) trait Steward: Send + Sync {
    /// A hub says something to a gateway.
    fn says(&self, user: UserId, hub_epoch: u64, gateway: GatewayId, frame: ToGateway);

    /// A hub wants to read its user's devices: its shard is told when it may.
    fn wants_devices(&self, user: UserId, hub_epoch: u64);

    /// A hub is empty. `true` if it may go: then nothing is on its way to it any more, as `is_clear` says.
    fn may_go(&self, user: UserId, hub_epoch: u64, is_clear: &dyn Fn() -> bool) -> bool;

    /// A hub failed.
    fn failed(&self, user: UserId, hub_epoch: u64);

    /// A hub that failed is to be started anew: its shard is told how.
    fn restart(&self, user: UserId);

    /// Whether this node may decide now.
    fn may_decide(&self) -> bool;
}
