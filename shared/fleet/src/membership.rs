//! What a process needs to be one of several, and why it could not.

use streamz_bus::redis;
use streamz_protocol::wire::BusKey;

use crate::{JoinError, LeaseSettings};

/// What a gateway or a node needs to be one of several.
#[derive(Clone, Debug)]
pub struct FleetSettings {
    /// The instances of Redis; the process id in it is replaced by that of each incarnation.
    pub bus: redis::Settings,
    /// What proves that a packet is from one of us.
    pub key: BusKey,
    /// Its name and where its operations are.
    pub lease: LeaseSettings,
}

/// Why a gateway or a node could not be one of several.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// Redis is not what it should be.
    #[error("REDIS_URL: {0}")]
    Bus(#[from] redis::StartError),
    /// It did not get its row.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The store is not Postgres.
    #[error("DATABASE_URL: a fleet shares a Postgres")]
    NoCluster,
}
