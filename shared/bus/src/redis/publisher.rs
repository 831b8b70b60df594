//! Publishes what waits: at most one `PUBLISH` under way to each destination.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use streamz_protocol::ProcessId;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::instance::{Failed, Health, Instance, Instances};
use super::placement::{channel, homes};
use super::signal::Signal;
use super::silence::{Silence, evidence};
use super::{Endpoint, Evidence, Settings};

/// How often silent destinations are asked for, and the health of the instances is looked at.
const TICK: Duration = Duration::from_millis(100);
/// A destination that is silent on one instance only is asked for less often after this.
const PATIENCE: Duration = Duration::from_secs(5);
const PATIENT_TICK: Duration = Duration::from_secs(1);
/// How often evidence is repeated.
const REPEAT: Duration = Duration::from_secs(1);
/// A silent destination for which nothing waits is forgotten after this, for nobody seems to care.
const INTEREST: Duration = Duration::from_secs(60);

/// What the rest of the process asks of the publisher. Bounded by the number of processes that it names.
#[derive(Default)]
pub(crate) struct Requests {
    asked: Mutex<Asked>,
    notify: Notify,
}

#[derive(Default)]
struct Asked {
    woken: BTreeSet<ProcessId>,
    forgotten: BTreeSet<ProcessId>,
    flushes: Vec<oneshot::Sender<()>>,
    /// The publisher has ended: nobody answers any more.
    closed: bool,
}

impl Requests {
    pub(crate) fn wake(&self, destination: ProcessId) {
        let asked = &mut *self.asked.lock();
        if !asked.closed && asked.woken.insert(destination) {
            self.notify.notify_one();
        }
    }

    pub(crate) fn forget(&self, destination: ProcessId) {
        let asked = &mut *self.asked.lock();
        if asked.closed {
            return;
        }
        asked.woken.remove(&destination);
        asked.forgotten.insert(destination);
        self.notify.notify_one();
    }

    /// Done when nothing is under way, or the publisher has ended.
    pub(crate) fn flush(&self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let asked = &mut *self.asked.lock();
        if !asked.closed {
            asked.flushes.push(sender);
            self.notify.notify_one();
        }
        receiver
    }

    fn take(&self) -> Asked {
        let asked = &mut *self.asked.lock();
        Asked {
            woken: std::mem::take(&mut asked.woken),
            forgotten: std::mem::take(&mut asked.forgotten),
            flushes: std::mem::take(&mut asked.flushes),
            closed: asked.closed,
        }
    }
}

pub(crate) struct Publisher {
    settings: Arc<Settings>,
    instances: Arc<Instances>,
    endpoint: Arc<dyn Endpoint>,
    requests: Arc<Requests>,
    destinations: HashMap<ProcessId, Destination>,
    under_way: FuturesUnordered<BoxFuture<'static, Outcome>>,
    flushes: Vec<oneshot::Sender<()>>,
}

/// A process for which something is under way, waits, or that is silent.
struct Destination {
    channel: Arc<str>,
    homes: Vec<Home>,
    /// An envelope is under way.
    busy: bool,
    /// A probe is under way.
    probing: bool,
    /// No instance was there to publish on.
    stalled: bool,
    probed: Instant,
    reported: Option<Instant>,
}

struct Home {
    instance: Arc<Instance>,
    silence: Option<Silence>,
}

struct Outcome {
    destination: ProcessId,
    probe: bool,
    /// By position.
    answers: Vec<(usize, Result<u64, Failed>)>,
}

impl Publisher {
    pub(crate) fn new(
        settings: Arc<Settings>,
        instances: Arc<Instances>,
        endpoint: Arc<dyn Endpoint>,
        requests: Arc<Requests>,
    ) -> Self {
        Self {
            settings,
            instances,
            endpoint,
            requests,
            destinations: HashMap::new(),
            under_way: FuturesUnordered::new(),
            flushes: Vec::new(),
        }
    }

    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let instances = Arc::clone(&self.instances);
        let requests = Arc::clone(&self.requests);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(outcome) = self.under_way.next() => self.done(outcome),
                () = requests.notify.notified() => {}
                () = instances.changed.notified() => self.go_on(),
                _ = tick.tick() => self.tick(),
            }
            // A wake while an envelope was under way is answered by its end: the endpoint is asked again then.
            self.take_requests();
            if self.under_way.is_empty() {
                for flushed in self.flushes.drain(..) {
                    let _ = flushed.send(());
                }
            }
        }
    }

    fn take_requests(&mut self) {
        let asked = self.requests.take();
        for destination in asked.forgotten {
            self.destinations.remove(&destination);
        }
        for destination in asked.woken {
            self.publish_next(destination);
        }
        self.flushes.extend(asked.flushes);
    }

    /// Publishes the next envelope for a destination, if there is one and a way.
    fn publish_next(&mut self, id: ProcessId) {
        let destination = self.destinations.entry(id).or_insert_with(|| {
            let homes = homes(id, self.instances.list.len());
            Destination {
                channel: channel(&self.settings.namespace, id).into(),
                homes: homes
                    .into_iter()
                    .map(|home| Home { instance: Arc::clone(&self.instances.list[home]), silence: None })
                    .collect(),
                busy: false,
                probing: false,
                stalled: false,
                probed: Instant::now(),
                reported: None,
            }
        });
        if destination.busy {
            return;
        }
        let route = destination.route(Instant::now());
        destination.stalled = route.is_empty();
        if destination.stalled {
            return;
        }
        let Some(envelope) = self.endpoint.next(id) else {
            if destination.homes.iter().all(|home| home.silence.is_none()) && !destination.probing {
                self.destinations.remove(&id);
            }
            return;
        };
        destination.busy = true;
        let channel = Arc::clone(&destination.channel);
        self.under_way.push(Box::pin(async move {
            let mut answers = Vec::with_capacity(1);
            for instance in route {
                let answer = instance.publish(&channel, &envelope).await;
                answers.push((instance.position, answer));
                // Nobody has it, or nobody knows: the other instance. Twice is no harm.
                if answer.is_ok_and(|receivers| receivers > 0) {
                    break;
                }
            }
            Outcome { destination: id, probe: false, answers }
        }));
    }

    fn done(&mut self, outcome: Outcome) {
        let Some(destination) = self.destinations.get_mut(&outcome.destination) else { return };
        let now = Instant::now();
        for (position, answer) in outcome.answers {
            let Some(home) = destination.homes.iter_mut().find(|home| home.instance.position == position)
            else {
                continue;
            };
            if let Ok(receivers) = answer {
                Silence::note(&mut home.silence, receivers, home.instance.witness(now), now);
            }
        }
        if outcome.probe {
            destination.probing = false;
        } else {
            destination.busy = false;
        }
        self.publish_next(outcome.destination);
    }

    /// An instance has come back or gone: what had no way may have one.
    fn go_on(&mut self) {
        let stalled: Vec<ProcessId> = self
            .destinations
            .iter()
            .filter(|(_, destination)| destination.stalled)
            .map(|(id, _)| *id)
            .collect();
        for id in stalled {
            self.publish_next(id);
        }
    }

    fn tick(&mut self) {
        self.instances.refresh();
        let now = Instant::now();
        let settings = &self.settings;
        self.destinations.retain(|id, destination| {
            let Some(since) = destination.homes.iter().filter_map(|home| Some(home.silence?.since)).min()
            else {
                return true;
            };
            let silent = now.saturating_duration_since(since);
            if silent > INTEREST && !destination.busy && !destination.probing {
                return false;
            }
            let homes: Vec<_> =
                destination.homes.iter().map(|home| (home.silence, home.instance.witness(now))).collect();
            let repeated =
                destination.reported.is_some_and(|last| now.saturating_duration_since(last) < REPEAT);
            if let Some(silent) = evidence(&homes, settings, now).filter(|_| !repeated) {
                destination.reported = Some(now);
                metrics::counter!("streamz_bus_evidence_total").increment(1);
                self.endpoint.silent(Evidence { process: *id, silent });
            }
            if let Some(probe) = destination.probe(*id, now, silent) {
                self.under_way.push(probe);
            }
            true
        });
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        *self.requests.asked.lock() = Asked { closed: true, ..Asked::default() };
    }
}

impl Destination {
    /// The instances to publish on, the best first.
    fn route(&self, now: Instant) -> Vec<Arc<Instance>> {
        let usable = |home: &Home| home.instance.usable(now).map(|health| (home.silence.is_some(), health));
        let mut route: Vec<((bool, Health), &Home)> =
            self.homes.iter().filter_map(|home| Some((usable(home)?, home))).collect();
        // Stable: the destination's first instance before its second.
        route.sort_by_key(|(order, _)| *order);
        route.into_iter().map(|(_, home)| Arc::clone(&home.instance)).collect()
    }

    /// Asks again for a silent destination.
    fn probe(
        &mut self,
        id: ProcessId,
        now: Instant,
        silent: Duration,
    ) -> Option<BoxFuture<'static, Outcome>> {
        let everywhere = self.homes.iter().all(|home| home.silence.is_some());
        let pace = if everywhere || silent < PATIENCE { Duration::ZERO } else { PATIENT_TICK };
        if self.probing || now.saturating_duration_since(self.probed) < pace {
            return None;
        }
        let asked: Vec<Arc<Instance>> = self
            .homes
            .iter()
            .filter(|home| home.silence.is_some() && home.instance.usable(now).is_some())
            .map(|home| Arc::clone(&home.instance))
            .collect();
        if asked.is_empty() {
            return None;
        }
        self.probing = true;
        self.probed = now;
        let channel = Arc::clone(&self.channel);
        Some(Box::pin(async move {
            let payload: Bytes = Signal::Probe.encode();
            let answers = asked
                .iter()
                .map(|instance| async { (instance.position, instance.publish(&channel, &payload).await) });
            let answers = futures_util::future::join_all(answers).await;
            Outcome { destination: id, probe: true, answers }
        }))
    }
}
