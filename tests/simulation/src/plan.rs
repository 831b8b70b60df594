//! What a seed stands for: how many users and devices, which limits, which faults.

use std::sync::Arc;
use std::time::Duration;

use streamz_protocol::Limits;

use crate::cluster::Terrain;
use crate::dice::Dice;
use crate::world::Strike;

/// The kind of trouble that a run meets. A seed's profile is its remainder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// No faults but what devices do of their own will: they come and go, ring, burst, repeat themselves.
    Calm,
    /// Connections break, stall and go silent; devices restart.
    Flaky,
    /// Devices read slowly or not at all.
    Slow,
    /// Hubs crash, some again while they recover; gateways crash; the links between them stall.
    Crashes,
    /// The store is slow or away; sign-ins are revoked, devices removed and renamed.
    Outages,
    /// All of it.
    Everything,
    /// A cluster in which nodes join, drain and leave.
    Moves,
    /// A cluster in which processes and hubs die, or stand still.
    Deaths,
    /// A cluster whose processes do not always reach Redis, Postgres or each other.
    Partitions,
    /// A cluster with all of that, and troubled devices.
    Fleet,
}

impl Profile {
    /// All, in order.
    pub const ALL: [Profile; 10] = [
        Profile::Calm,
        Profile::Flaky,
        Profile::Slow,
        Profile::Crashes,
        Profile::Outages,
        Profile::Everything,
        Profile::Moves,
        Profile::Deaths,
        Profile::Partitions,
        Profile::Fleet,
    ];

    /// Whether it is of several processes.
    #[must_use]
    pub fn is_cluster(self) -> bool {
        matches!(self, Profile::Moves | Profile::Deaths | Profile::Partitions | Profile::Fleet)
    }

    /// The profile of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self::ALL[usize::try_from(seed % 10).unwrap_or(0)]
    }
}

/// How often each fault strikes: the mean time between two, or never.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// A connection is reset.
    pub(crate) cut: Option<Duration>,
    /// A connection goes silent: neither side is told.
    pub(crate) silence: Option<Duration>,
    /// A device loses its memory and connects anew.
    pub(crate) restart: Option<Duration>,
    /// A device stops reading for a while.
    pub(crate) stall: Option<Duration>,
    /// A hub crashes.
    pub(crate) hub_crash: Option<Duration>,
    /// A gateway crashes.
    pub(crate) gateway_crash: Option<Duration>,
    /// The link between a gateway and a hub stands still for a while.
    pub(crate) bus_stall: Option<Duration>,
    /// A connection falls behind its gateway's bus.
    pub(crate) overflow: Option<Duration>,
    /// The store is away for a while.
    pub(crate) store: Option<Duration>,
    /// The account changes: a device is renamed or removed, a sign-in revoked.
    pub(crate) account: Option<Duration>,
}

/// A seed, spelled out.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    #[allow(dead_code, reason = "the trace begins with it")]
    profile: Profile,
    /// The number of devices of each user.
    pub(crate) users: Vec<usize>,
    pub(crate) gateways: usize,
    pub(crate) limits: Arc<Limits>,
    /// How long devices act and faults strike.
    pub(crate) active: Duration,
    /// The mean time between two acts of one device.
    pub(crate) pace: Duration,
    /// The longest delay between a device and its gateway, in milliseconds.
    pub(crate) device_delay: u64,
    /// The longest delay between a gateway and a hub, in milliseconds.
    pub(crate) bus_delay: u64,
    /// The longest delay of the store, in milliseconds.
    pub(crate) store_delay: u64,
    /// Messages that a device may send in a second, and in a burst.
    pub(crate) rate: (u64, u64),
    /// How long a hub is quiet before it sleeps.
    pub(crate) idle: Duration,
    pub(crate) faults: Faults,
    /// How many of 100 devices are simple clients.
    pub(crate) simple: u64,
    /// The longest text of a message, in bytes.
    pub(crate) text: usize,
    /// Several processes over Redis and Postgres.
    pub(crate) cluster: Option<Terrain>,
    /// Store records that may wait while the store is away.
    pub(crate) record_queue: usize,
}

impl Plan {
    pub(crate) fn draw(seed: u64, dice: &mut Dice) -> Self {
        let profile = Profile::of(seed);
        let users = (0..dice.size(1, 3)).map(|_| dice.size(2, 5)).collect();
        let small = dice.chance(50);
        let limits = if small { Self::small_limits(dice) } else { Limits::default() };
        let text = match (small, dice.chance(10)) {
            (true, _) => 2_000,
            (false, true) => 40_000,
            (false, false) => 4_000,
        };
        let quick = dice.chance(50);
        Self {
            profile,
            users,
            gateways: dice.size(1, if profile.is_cluster() { 3 } else { 2 }),
            limits: Arc::new(limits),
            active: dice.millis(20_000, 70_000),
            pace: Duration::from_millis(dice.pick(&[150, 600, 600, 2_000, 8_000])),
            device_delay: dice.pick(&[5, 60, 400]),
            bus_delay: if quick { 0 } else { dice.pick(&[3, 40, 300]) },
            store_delay: dice.pick(&[5, 80, 900]),
            rate: if dice.chance(20) { (2, 6) } else { (50, 200) },
            idle: Duration::from_millis(dice.pick(&[500, 5_000, 60_000])),
            faults: Faults::draw(profile, dice),
            simple: dice.pick(&[0, 20, 20, 60]),
            text,
            cluster: profile.is_cluster().then(|| Terrain::draw(profile, dice)),
            record_queue: dice.pick(&[1, 16, 1_000]),
        }
    }

    /// Limits that a run of minutes reaches. The times are those of the contract.
    fn small_limits(dice: &mut Dice) -> Limits {
        let window_bytes = dice.pick(&[4_000, 20_000, 262_144]);
        Limits {
            outbound_bytes: dice.pick(&[6_000, 40_000]).max(window_bytes),
            devices_online: dice.pick(&[2, 3, 32]),
            devices_registered: dice.pick(&[3, 8, 128]),
            window_frames: dice.pick(&[4, 16, 64, 256]),
            window_bytes,
            unsettled: dice.pick(&[2, 16, 256]),
            unsettled_bytes: dice.pick(&[4_000, 40_000]),
            held_candidates: dice.pick(&[1, 4, 64]),
            streams: dice.pick(&[1, 3, 64]),
            rate_strikes: dice.pick(&[20, 200]),
            ..Limits::default()
        }
    }
}

impl Faults {
    /// The mean time between two faults of this kind.
    pub(crate) fn mean(&self, strike: Strike) -> Option<Duration> {
        match strike {
            Strike::Cut => self.cut,
            Strike::Silence => self.silence,
            Strike::Restart => self.restart,
            Strike::Stall => self.stall,
            Strike::HubCrash => self.hub_crash,
            Strike::GatewayCrash => self.gateway_crash,
            Strike::BusStall => self.bus_stall,
            Strike::Overflow => self.overflow,
            Strike::Store => self.store,
            Strike::Account => self.account,
        }
    }

    fn draw(profile: Profile, dice: &mut Dice) -> Self {
        let mut faults = Faults::default();
        let all = profile == Profile::Everything;
        let mut often = |short: u64, long: u64| Some(dice.millis(short, long));
        if all || profile == Profile::Flaky {
            faults.cut = often(1_500, 15_000);
            faults.silence = often(8_000, 60_000);
            faults.restart = often(15_000, 90_000);
        }
        if all || profile == Profile::Slow {
            faults.stall = often(1_000, 15_000);
            faults.cut = faults.cut.or(often(8_000, 60_000));
        }
        if all || profile == Profile::Crashes {
            faults.hub_crash = often(1_000, 30_000);
            faults.gateway_crash = often(20_000, 120_000);
            faults.bus_stall = often(8_000, 60_000);
            faults.overflow = often(10_000, 60_000);
            faults.cut = faults.cut.or(often(3_000, 30_000));
        }
        if all || profile == Profile::Outages {
            faults.store = often(5_000, 40_000);
            faults.account = often(4_000, 40_000);
            faults.hub_crash = faults.hub_crash.or(often(10_000, 60_000));
            faults.cut = faults.cut.or(often(5_000, 60_000));
        }
        if profile.is_cluster() {
            faults.cut = often(4_000, 60_000);
        }
        if profile == Profile::Fleet {
            faults.restart = often(15_000, 90_000);
            faults.account = often(8_000, 40_000);
            faults.overflow = often(20_000, 90_000);
        }
        faults
    }
}
