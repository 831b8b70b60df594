//! What devices and faults share: the clock, the observer, and the gateways that a load balancer would offer.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use streamz_protocol::{DeviceId, Limits, Millis};
use streamz_simulation::Observer;
use tokio::sync::watch;
use uuid::Uuid;

/// When a run begins on its own clock.
const BEGUN: Millis = Millis(1_800_000_000_000);

/// A gateway as a load balancer knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Backend {
    /// Its number, never used again.
    pub(crate) number: usize,
    /// `IP:PORT`.
    pub(crate) address: String,
}

/// The place of a run.
pub(crate) struct Scene {
    started: Instant,
    observer: Mutex<Observer>,
    /// The gateways that new connections are given to.
    pub(crate) rotation: watch::Sender<Vec<Backend>>,
    /// Whether devices talk and ring each other; else they stay connected and listen.
    pub(crate) talking: watch::Sender<bool>,
    /// Between two messages of a device.
    pub(crate) pace: Duration,
    /// The devices of each user.
    pub(crate) names: Vec<DeviceId>,
}

impl Scene {
    /// One for these users.
    #[must_use]
    pub(crate) fn new(
        users: &[Uuid],
        names: Vec<DeviceId>,
        limits: Limits,
        transit: Duration,
        pace: Duration,
    ) -> Self {
        Self {
            started: Instant::now(),
            observer: Mutex::new(Observer::new(BEGUN, limits, transit, users, &names)),
            rotation: watch::Sender::new(Vec::new()),
            talking: watch::Sender::new(true),
            pace,
            names,
        }
    }

    /// Now, on the clock of the run.
    #[must_use]
    pub(crate) fn now(&self) -> Millis {
        BEGUN + self.started.elapsed()
    }

    /// The time since the run began, in seconds.
    #[must_use]
    pub(crate) fn clock(at: Millis) -> f64 {
        at.since(BEGUN).as_secs_f64()
    }

    /// The observer; never held across an await.
    pub(crate) fn observer(&self) -> MutexGuard<'_, Observer> {
        self.observer.lock().unwrap()
    }

    /// The observer, when nobody needs it any more.
    pub(crate) fn into_observer(self) -> Observer {
        self.observer.into_inner().unwrap()
    }
}
