//! How much is measured.

use std::time::Duration;

use crate::args::BenchArgs;

/// Sizes and lengths, from what was typed.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Rounds of each measurement; in each, Streamz and the forwarder take turns.
    pub(crate) rounds: usize,
    /// Starts of the server that are timed.
    pub(crate) starts: usize,
    /// Pairs of devices that connect in a round.
    pub(crate) connect_pairs: usize,
    /// Idle devices.
    pub(crate) idle_devices: usize,
    /// How long a hub is quiet before its server puts it away.
    pub(crate) hub_idle: Duration,
    /// The length of one piece of traffic.
    pub(crate) piece: Duration,
    /// Messages per second at the fixed load.
    pub(crate) load: u32,
    /// Whether clients of ours without `id` are measured beside simple ones.
    pub(crate) all_modes: bool,
}

/// Pairs of devices that share the fixed load: at 3,000 messages a second each stays below the default limit of 50.
pub(crate) const LOAD_PAIRS: usize = 100;
/// Pairs of devices that send as fast as they can.
pub(crate) const THROUGHPUT_PAIRS: usize = 16;
/// Messages that each of them has on the way.
pub(crate) const THROUGHPUT_WINDOW: usize = 32;
/// Sign-ins at the same time in a storm.
pub(crate) const STORM_SIGN_INS: usize = 8;
/// Messages per second beside the storm.
pub(crate) const STORM_LOAD: u32 = 500;
/// The size of every message on the wire, in bytes: a session description without media.
pub(crate) const MESSAGE_BYTES: usize = 900;

impl Plan {
    pub(crate) fn of(args: &BenchArgs) -> Self {
        let quick = args.quick;
        let choose = |full: usize, small: usize| if quick { small } else { full };
        let given = |number: Option<u32>| number.map(|n| n as usize);
        let seconds = |full: f64, small: f64| Duration::from_secs_f64(if quick { small } else { full });
        let idle_devices = given(args.devices).unwrap_or(choose(10_000, 1000));
        Self {
            rounds: given(args.rounds).unwrap_or(choose(5, 2)),
            starts: choose(10, 4),
            connect_pairs: choose(250, 100).min(idle_devices),
            // In halves, and in pairs.
            idle_devices: idle_devices / 4 * 4,
            hub_idle: seconds(5.0, 1.0),
            piece: args.piece.unwrap_or(seconds(2.0, 0.6)),
            load: args.load,
            all_modes: !quick,
        }
    }

    /// Pairs of devices that take part in all.
    pub(crate) fn pairs(&self) -> usize {
        let connect = 2 * self.rounds * self.connect_pairs;
        (connect + LOAD_PAIRS).max(self.idle_devices / 2)
    }
}
