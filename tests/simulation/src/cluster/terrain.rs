//! What a seed draws for a cluster.

use std::time::Duration;

use crate::dice::Dice;
use crate::plan::Profile;

/// The processes, the bus, and what befalls them.
#[derive(Clone, Debug)]
pub(crate) struct Terrain {
    pub(crate) nodes: usize,
    /// Redis instances.
    pub(crate) instances: usize,
    /// Of 1,000 packets so many are lost, and so many come twice.
    pub(crate) loss: u64,
    pub(crate) doubles: u64,
    /// Packets overtake each other.
    pub(crate) reorders: bool,
    /// The longest way to Postgres, and back, in milliseconds.
    pub(crate) postgres_delay: u64,
    /// Clocks run faster or slower by up to so many parts of 1,000.
    pub(crate) drift: u64,
    /// The mean time between two faults.
    pub(crate) pause: Option<Duration>,
    pub(crate) troubles: Vec<Trouble>,
}

/// A fault of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A node dies; another one begins.
    NodeCrash,
    /// A gateway dies; another one begins.
    GatewayCrash,
    /// A hub fails.
    HubCrash,
    /// A process does nothing for a while.
    Stall,
    /// A process does not reach Postgres.
    Cut,
    /// A node and a gateway do not reach Postgres, but each other.
    Island,
    /// Postgres answers nobody.
    Postgres,
    /// A Redis instance is away, or restarts.
    Instance,
    /// A process does not reach an instance, or is not reached by it.
    Partition,
    /// A process loses its subscriptions for a moment.
    Unsubscribed,
    /// A node joins; there are never more than four.
    Join,
    /// A node drains and leaves; another one may begin.
    Drain,
    /// Somebody is said to be dead who is not.
    Rumour,
}

impl Terrain {
    pub(crate) fn draw(profile: Profile, dice: &mut Dice) -> Self {
        use Trouble::{
            Cut, Drain, GatewayCrash, HubCrash, Instance, Island, Join, NodeCrash, Partition, Postgres,
            Rumour, Stall, Unsubscribed,
        };
        let troubles: &[Trouble] = match profile {
            Profile::Moves => &[Join, Drain, Drain, HubCrash],
            Profile::Deaths => &[NodeCrash, NodeCrash, GatewayCrash, HubCrash, Stall, Rumour],
            Profile::Partitions => &[Cut, Island, Island, Postgres, Instance, Partition, Unsubscribed],
            _ => &[
                NodeCrash,
                GatewayCrash,
                HubCrash,
                Stall,
                Cut,
                Island,
                Postgres,
                Instance,
                Partition,
                Unsubscribed,
                Join,
                Drain,
                Rumour,
            ],
        };
        let rough = profile != Profile::Moves && dice.chance(50);
        Self {
            nodes: dice.size(2, 3),
            instances: dice.size(1, 2),
            loss: if rough { dice.pick(&[1, 10, 50]) } else { 0 },
            doubles: if rough { dice.pick(&[0, 10, 100]) } else { 0 },
            reorders: rough && dice.chance(50),
            postgres_delay: dice.pick(&[1, 10, 100]),
            drift: dice.pick(&[0, 20, 40]),
            pause: Some(Duration::from_millis(dice.pick(&[2_500, 6_000, 12_000]))),
            troubles: troubles.to_vec(),
        }
    }
}
