//! One instance: its connections, whether it is well, and its figures.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use metrics::{Counter, Gauge, Histogram};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Settings;
use super::connect::{Address, ConnectError, Server};
use super::signal::Signal;
use super::silence::Witness;

/// Loopbacks that are remembered while they are on their way.
const LOOPBACKS: usize = 16;

/// Whether an instance carries what is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// What this process says to itself comes back in time.
    Healthy,
    /// Connected, but it does not.
    Lagging,
    /// Not connected.
    Away,
}

/// An instance at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Host and port.
    pub instance: Arc<str>,
    /// Whether it carries what is published.
    pub health: Health,
    /// How long the last loopback took.
    pub lag: Option<Duration>,
    /// The version of the server, if it says so.
    pub version: Option<String>,
    /// Why it is away.
    pub problem: Option<ConnectError>,
    /// The time since a loopback came back, or since the start.
    pub silent: Duration,
    /// Others publish for this process here.
    pub home: bool,
    /// The subscription was confirmed.
    pub subscribed: bool,
    /// What was published since the start, loopbacks included.
    pub publishes: u64,
    /// What came to nothing, or nobody knows.
    pub failures: u64,
}

/// A `PUBLISH` came to nothing, or nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed;

pub(crate) struct Instance {
    pub(crate) position: usize,
    pub(crate) address: Address,
    /// What this process subscribes to here.
    pub(crate) channel: String,
    /// Others publish for it here.
    home: bool,
    healthy_within: Duration,
    renew_after: Duration,
    nonce: [u8; 16],
    state: Mutex<State>,
    /// The subscription was confirmed: say something to it.
    pub(crate) subscribed: Notify,
    pub(crate) figures: Figures,
}

#[derive(Default)]
struct State {
    publishing: Option<(MultiplexedConnection, Line)>,
    subscribing: Option<Line>,
    server: Option<Server>,
    problem: Option<ConnectError>,
    /// Loopbacks under way, the oldest first.
    loopbacks: VecDeque<(u64, Instant)>,
    next_loopback: u64,
    /// When the newest loopback left that came back over the present connections.
    proven: Option<Instant>,
    well_since: Option<Instant>,
    /// When a command got no answer; loopbacks that left later clear it.
    suspect: Option<Instant>,
    lag: Option<Duration>,
    /// When a loopback came back last, over whatever connection.
    heard: Option<Instant>,
}

/// A connection.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) since: Instant,
    /// Cancelled when it ends; cancel it to end it.
    pub(crate) ended: CancellationToken,
}

pub(crate) struct Figures {
    publishes: Counter,
    published_bytes: Counter,
    failures: Counter,
    /// The same as numbers that can be read.
    published: AtomicU64,
    failed: AtomicU64,
    nobody: Counter,
    pub(crate) received: Counter,
    pub(crate) received_bytes: Counter,
    pub(crate) reconnects: [Counter; 2],
    loopback: Histogram,
    healthy: Gauge,
}

impl Instance {
    pub(crate) fn new(
        position: usize,
        address: Address,
        channel: String,
        home: bool,
        nonce: [u8; 16],
        settings: &Settings,
    ) -> Self {
        let figures = Figures::new(&address.name);
        Self {
            position,
            address,
            channel,
            home,
            healthy_within: settings.healthy_within,
            renew_after: settings.renew_after,
            nonce,
            state: Mutex::new(State { heard: Some(Instant::now()), ..State::default() }),
            subscribed: Notify::new(),
            figures,
        }
    }

    /// Publishes; says how many have received it.
    pub(crate) async fn publish(&self, channel: &str, payload: &Bytes) -> Result<u64, Failed> {
        let Some((mut connection, line)) = self.state.lock().publishing.clone() else { return Err(Failed) };
        let mut command = redis::cmd("PUBLISH");
        command.arg(channel).arg(&payload[..]);
        match command.query_async::<u64>(&mut connection).await {
            Ok(receivers) => {
                self.figures.publishes.increment(1);
                self.figures.published.fetch_add(1, Ordering::Relaxed);
                self.figures.published_bytes.increment(payload.len() as u64);
                if receivers == 0 {
                    self.figures.nobody.increment(1);
                }
                Ok(receivers)
            }
            Err(error) => {
                self.figures.failures.increment(1);
                self.figures.failed.fetch_add(1, Ordering::Relaxed);
                if error.is_connection_dropped() {
                    line.ended.cancel();
                } else {
                    self.state.lock().suspect = Some(Instant::now());
                }
                Err(Failed)
            }
        }
    }

    /// Says something to itself.
    pub(crate) async fn loop_back(&self) -> Result<(), Failed> {
        let number = {
            let state = &mut *self.state.lock();
            state.next_loopback += 1;
            if state.loopbacks.len() >= LOOPBACKS {
                state.loopbacks.pop_front();
            }
            state.loopbacks.push_back((state.next_loopback, Instant::now()));
            state.next_loopback
        };
        let signal = Signal::Loopback(self.nonce, number);
        self.publish(&self.channel, &signal.encode()).await.map(|_| ())
    }

    /// A loopback has come back. Whether that is news: the instance was not well before.
    pub(crate) fn looped_back(&self, nonce: [u8; 16], number: u64, now: Instant) -> bool {
        let state = &mut *self.state.lock();
        let Some(at) = state.loopbacks.iter().position(|(known, _)| *known == number && nonce == self.nonce)
        else {
            return false;
        };
        // Those before it may come yet, but prove nothing that this one does not.
        let left = state.loopbacks.drain(..=at).next_back().map_or(now, |(_, left)| left);
        let was_well = self.health_of(state, now) == Health::Healthy;
        state.proven = Some(left);
        state.suspect = state.suspect.filter(|since| *since > left);
        let lag = now.saturating_duration_since(left);
        state.lag = Some(lag);
        state.heard = Some(now);
        self.figures.loopback.record(lag.as_secs_f64());
        let well = self.health_of(state, now) == Health::Healthy;
        if well && !was_well {
            state.well_since = Some(now);
        }
        well && !was_well
    }

    pub(crate) fn publishing_begins(&self, connection: MultiplexedConnection, line: Line, server: Server) {
        let state = &mut *self.state.lock();
        let restarted = state.server.as_ref().is_some_and(|known| known.run_id != server.run_id);
        if restarted {
            tracing::info!(instance = %self.address.name, "Redis was restarted");
        }
        state.publishing = Some((connection, line));
        state.server = Some(server);
        state.problem = None;
        state.begin();
    }

    pub(crate) fn publishing_ends(&self) {
        let state = &mut *self.state.lock();
        state.publishing = None;
        state.begin();
    }

    pub(crate) fn subscribing_begins(&self, line: Line) {
        let state = &mut *self.state.lock();
        state.subscribing = Some(line);
        state.problem = None;
        state.begin();
        self.subscribed.notify_one();
    }

    pub(crate) fn subscribing_ends(&self) {
        let state = &mut *self.state.lock();
        state.subscribing = None;
        state.begin();
    }

    /// Connecting failed. Whether that is news.
    pub(crate) fn fails(&self, error: ConnectError) -> bool {
        let state = &mut *self.state.lock();
        let news = state.problem.as_ref() != Some(&error);
        state.problem = Some(error);
        news
    }

    /// If both connections stand but nothing has come back for long, ends them: a connection that leads nowhere looks
    /// like one on which nothing happens.
    pub(crate) fn renew_if_dead(&self, now: Instant) {
        let state = self.state.lock();
        let (Some((_, publishing)), Some(subscribing)) = (&state.publishing, &state.subscribing) else {
            return;
        };
        let latest = publishing.since.max(subscribing.since).max(state.proven.unwrap_or(publishing.since));
        if now.saturating_duration_since(latest) >= self.renew_after {
            tracing::warn!(instance = %self.address.name, "nothing comes back from Redis; connecting anew");
            publishing.ended.cancel();
            subscribing.ended.cancel();
        }
    }

    /// How good it is for publishing; `None` if it is not connected for that.
    pub(crate) fn usable(&self, now: Instant) -> Option<Health> {
        let state = self.state.lock();
        state.publishing.is_some().then(|| self.health_of(&state, now))
    }

    /// Whether it can testify.
    pub(crate) fn witness(&self, now: Instant) -> Witness {
        let state = self.state.lock();
        let healthy = self.health_of(&state, now) == Health::Healthy;
        Witness {
            well_since: state.well_since.filter(|_| healthy),
            started: state.server.as_ref().map(|server| server.started),
        }
    }

    pub(crate) fn status(&self, now: Instant) -> Status {
        let state = self.state.lock();
        let health = self.health_of(&state, now);
        self.figures.healthy.set(if health == Health::Healthy { 1.0 } else { 0.0 });
        Status {
            instance: Arc::clone(&self.address.name),
            health,
            lag: state.lag,
            version: state.server.as_ref().and_then(|server| server.version.clone()),
            problem: state.problem.clone().filter(|_| health == Health::Away),
            silent: state.heard.map(|heard| now.saturating_duration_since(heard)).unwrap_or_default(),
            home: self.home,
            subscribed: state.subscribing.is_some(),
            publishes: self.figures.published.load(Ordering::Relaxed),
            failures: self.figures.failed.load(Ordering::Relaxed),
        }
    }

    fn health_of(&self, state: &State, now: Instant) -> Health {
        if state.publishing.is_none() || state.subscribing.is_none() {
            return Health::Away;
        }
        let recent = |proven| now.saturating_duration_since(proven) <= self.healthy_within;
        if state.suspect.is_none() && state.proven.is_some_and(recent) {
            Health::Healthy
        } else {
            Health::Lagging
        }
    }
}

impl State {
    /// Nothing is proven of a connection that was just made or lost.
    fn begin(&mut self) {
        self.loopbacks.clear();
        self.proven = None;
        self.well_since = None;
        self.suspect = None;
    }
}

impl Figures {
    fn new(name: &Arc<str>) -> Self {
        let of = || Arc::clone(name);
        let reconnects = |line: &'static str| metrics::counter!("streamz_bus_reconnects_total", "redis" => of(), "line" => line);
        Self {
            publishes: metrics::counter!("streamz_bus_publishes_total", "redis" => of()),
            published_bytes: metrics::counter!("streamz_bus_published_bytes_total", "redis" => of()),
            failures: metrics::counter!("streamz_bus_publish_failures_total", "redis" => of()),
            published: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            nobody: metrics::counter!("streamz_bus_publishes_without_receiver_total", "redis" => of()),
            received: metrics::counter!("streamz_bus_received_total", "redis" => of()),
            received_bytes: metrics::counter!("streamz_bus_received_bytes_total", "redis" => of()),
            reconnects: [reconnects("publishing"), reconnects("subscribing")],
            loopback: metrics::histogram!("streamz_bus_loopback_seconds", "redis" => of()),
            healthy: metrics::gauge!("streamz_bus_instance_healthy", "redis" => of()),
        }
    }
}

/// All instances, in the order of the list.
pub(crate) struct Instances {
    pub(crate) list: Vec<Arc<Instance>>,
    statuses: watch::Sender<Vec<Status>>,
    /// An instance has become better or worse.
    pub(crate) changed: Notify,
}

impl Instances {
    pub(crate) fn new(list: Vec<Arc<Instance>>) -> Self {
        let instances = Self { list, statuses: watch::Sender::default(), changed: Notify::new() };
        instances.statuses.send_replace(instances.now());
        instances
    }

    pub(crate) fn now(&self) -> Vec<Status> {
        let now = Instant::now();
        self.list.iter().map(|instance| instance.status(now)).collect()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Vec<Status>> {
        self.statuses.subscribe()
    }

    /// Something may have changed; also to be called now and then, for health passes with time.
    pub(crate) fn refresh(&self) {
        let now = self.now();
        let same = |(a, b): (&Status, &Status)| a.health == b.health && a.problem == b.problem;
        let news = self.statuses.send_if_modified(|known| {
            if known.len() == now.len() && known.iter().zip(&now).all(same) {
                return false;
            }
            for (known, now) in known.iter().zip(&now) {
                if known.health != now.health {
                    tracing::info!(instance = %now.instance, health = ?now.health, "Redis");
                }
            }
            *known = now;
            true
        });
        if news {
            self.changed.notify_one();
        }
    }
}
