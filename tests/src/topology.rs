//! How the roles are spread over processes, and what they stand on.

use std::time::Duration;

/// A way to run Streamz. Whatever it is, clients see no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// One process with its own SQLite file.
    EmbeddedSqlite,
    /// One process on Postgres.
    EmbeddedPostgres,
    /// A cluster over Postgres and Redis.
    Fleet {
        /// Gateways; devices are spread over them.
        gateways: usize,
        /// Signaling nodes.
        nodes: usize,
        /// Instances of Redis.
        redis: usize,
    },
}

impl Topology {
    /// The smallest cluster.
    pub const ONE_AND_ONE: Self = Self::Fleet { gateways: 1, nodes: 1, redis: 1 };
    /// One with several of each.
    pub const THREE_AND_THREE: Self = Self::Fleet { gateways: 3, nodes: 3, redis: 2 };

    /// Whether it is several processes.
    #[must_use]
    pub fn is_fleet(self) -> bool {
        matches!(self, Self::Fleet { .. })
    }

    /// The longest until one that was killed as a whole is ready again: the leases of the dead lapse first.
    #[must_use]
    pub fn restart(self) -> Duration {
        Duration::from_secs(if self.is_fleet() { 15 } else { 5 })
    }
}
