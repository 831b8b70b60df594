//! Redis pub/sub as a transport of opaque bytes between processes.
//!
//! # Guarantees
//! None, but for these: what arrives was published by somebody on this process's channel; nothing here grows without
//! bound or waits for a slow peer; and an envelope is never given up without a try on each of its destination's
//! instances that is connected. Envelopes may be lost, come twice, late, and in another order.
//!
//! # Channels and instances
//! A process subscribes to `streamz:{namespace}:{its id, 16 hex digits}` on two of the configured instances, which
//! everybody computes from its id, or on the only one. Nothing is stored in Redis, and the instances know nothing of each
//! other: a replica or a failover of Redis' own is not needed.
//!
//! # Life of a connection
//! There are two connections to each instance, one for publishing and one for subscribing, each made anew for ever, with
//! exponential waits and full jitter, so that a returning instance meets its clients over a second. A subscription
//! counts once the server has confirmed it. Every second the process publishes something to itself on each instance; while
//! it comes back within 2.5 s the instance is [`Health::Healthy`]. If nothing has come back for 5 s although both connections
//! stand, they are made anew.
//!
//! # Publishing
//! At most one `PUBLISH` is under way to each destination. What is sent meanwhile collects at the [`Endpoint`] (see
//! [`Outbox`]), which is asked for the next envelope when the earlier one is through. An envelope goes over the
//! destination's first instance, or the second if that is better: it reaches nobody there, does not answer, or is not
//! connected.
//!
//! # Evidence of a death
//! `PUBLISH` says how many have received. Zero, for 300 ms over repeated tries, on each of the destination's instances, while
//! each of them carries this process's own loopback and was started more than 5 s ago, is reported by
//! [`Endpoint::silent`], again every second until the process is [forgotten](Transport::forget) or heard of. It is no
//! proof: the process may have lost its connections, and be about to make them anew.
//!
//! # What the operator should know
//! - Redis closes the connection of a subscriber that does not read fast enough (`client-output-buffer-limit pubsub`, 32 MiB,
//!   or 8 MiB for a minute). It is made anew, and the links send again what was lost; a process that is often cut
//!   off is too slow, or the limit too low.
//! - A user of Redis' ACL needs `+hello +publish +subscribe +info` and the channels `&streamz:*`; without `+info` a
//!   restart of an instance is seen by its lost connections only.
//! - Redis 6.0 or newer (or what speaks RESP3 as it does).
//!
//! # Figures
//! Of each instance: `streamz_bus_publishes_total`, `_published_bytes_total`, `_publish_failures_total`,
//! `_publishes_without_receiver_total`, `_received_total`, `_received_bytes_total`, `_reconnects_total` (by connection),
//! `_loopback_seconds`, `_instance_healthy`. Of the process: `streamz_bus_queued_bytes`, `_dropped_total` (by cause),
//! `_evidence_total`. They begin with the transport: install the recorder before.

mod backoff;
mod connect;
mod instance;
mod lines;
mod outbox;
mod placement;
mod publisher;
mod settings;
mod signal;
mod silence;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use streamz_platform::Tasks;
use streamz_protocol::ProcessId;
use tokio::sync::watch;

use connect::Address;
use instance::{Instance, Instances};
use publisher::{Publisher, Requests};

pub use connect::{ConnectError, Problem, Server, check};
pub use instance::{Health, Status};
pub use outbox::{Full, Outbox, OutboxLimits};
pub use settings::Settings;

/// The process behind a transport. Its methods are called from the transport's tasks and must not block.
pub trait Endpoint: Send + Sync + 'static {
    /// The next envelope for a destination; `None` if nothing waits for it. Asked after a [wake](Transport::wake), and
    /// again after each envelope.
    fn next(&self, destination: ProcessId) -> Option<Bytes>;

    /// Something was published on this process's channel: by whomever, whatever it is, maybe for the second time.
    fn received(&self, envelope: Bytes);

    /// Nobody receives what is published for a process.
    fn silent(&self, evidence: Evidence);
}

/// Nobody receives what is published for a process, on any of its instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Which.
    pub process: ProcessId,
    /// For how long, on all of them.
    pub silent: Duration,
}

/// The transport cannot start: these instances will not become usable by waiting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct StartError(pub Vec<ConnectError>);

/// A handle to the transport of this process. Cheap to clone.
#[derive(Clone)]
pub struct Transport {
    process: ProcessId,
    instances: Arc<Instances>,
    requests: Arc<Requests>,
}

impl Transport {
    /// Looks at each instance once, then keeps connections to all of them, as tasks of `tasks`, until these are told to
    /// stop. An instance that cannot be reached is waited for: see [`watch`](Self::watch).
    ///
    /// # Errors
    /// [`StartError`] if an instance is no Redis, too old, or does not let this process in, or if there is none.
    pub async fn start(
        settings: Settings,
        endpoint: Arc<dyn Endpoint>,
        tasks: &Tasks,
    ) -> Result<Self, StartError> {
        let settings = Arc::new(settings);
        let mut errors = Vec::new();
        for answer in check(&settings).await {
            match answer {
                Ok(server) => tracing::debug!(version = ?server.version, "Redis is there"),
                Err(error) if error.problem.may_pass() => tracing::warn!(problem = %error, "waiting for it"),
                Err(error) => errors.push(error),
            }
        }
        if settings.urls.is_empty() {
            errors.push(ConnectError { instance: "REDIS_URL".into(), problem: Problem::Url });
        }
        if !errors.is_empty() {
            return Err(StartError(errors));
        }
        let instances = Arc::new(Instances::new(instances(&settings)?));
        let requests = Arc::<Requests>::default();
        let stop = tasks.stopping();
        for instance in &instances.list {
            let (settings, endpoint) = (Arc::clone(&settings), Arc::clone(&endpoint));
            let shared = || (Arc::clone(instance), Arc::clone(&instances));
            let (one, all) = shared();
            tasks.spawn("redis publishing", lines::publish(one, all, settings, stop.clone()));
            let (one, all) = shared();
            tasks.spawn("redis subscribing", lines::subscribe(one, all, endpoint, stop.clone()));
        }
        let process = settings.process;
        let publisher = Publisher::new(settings, Arc::clone(&instances), endpoint, Arc::clone(&requests));
        tasks.spawn("redis publisher", publisher.run(stop));
        Ok(Self { process, instances, requests })
    }

    /// This process.
    #[must_use]
    pub fn process(&self) -> ProcessId {
        self.process
    }

    /// Something waits for a destination: [`Endpoint::next`] has it. Cheap, never blocks, and may be called as often as
    /// one likes. If no instance is connected the endpoint is asked once one is.
    pub fn wake(&self, destination: ProcessId) {
        self.requests.wake(destination);
    }

    /// A process is dead: nothing is published for it any more, and nothing is reported of it.
    pub fn forget(&self, destination: ProcessId) {
        self.requests.forget(destination);
    }

    /// Waits until nothing is under way, and no envelope is there that could be published. For an orderly end.
    pub async fn flushed(&self) {
        // An error: the transport has stopped, so nothing is under way any more.
        let _ = self.requests.flush().await;
    }

    /// How the instances are, in the order of the list.
    #[must_use]
    pub fn statuses(&self) -> Vec<Status> {
        self.instances.now()
    }

    /// Changes when the health or the problem of an instance does.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Vec<Status>> {
        self.instances.watch()
    }

    /// Waits until this process can be heard of: its own channel is subscribed to, and proven by a loopback, on one
    /// of its instances at least. Of a transport that has stopped, for ever.
    pub async fn ready(&self) {
        let homes = placement::homes(self.process, self.instances.list.len());
        let hears =
            |statuses: &Vec<Status>| homes.iter().any(|home| statuses[*home].health == Health::Healthy);
        // No error: this handle keeps the sender.
        let _ = self.watch().wait_for(hears).await;
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("process", &self.process).finish_non_exhaustive()
    }
}

fn instances(settings: &Settings) -> Result<Vec<Arc<Instance>>, StartError> {
    let homes = placement::homes(settings.process, settings.urls.len());
    let own = placement::channel(&settings.namespace, settings.process);
    let nonce: [u8; 16] = rand::random();
    let instance = |(position, url)| {
        let address = Address::new(url, position, settings).map_err(|error| StartError(vec![error]))?;
        // An instance on which nobody looks for this process must be proven as well, for others may be there.
        let home = homes.contains(&position);
        let channel = if home { own.clone() } else { format!("{own}:loopback") };
        Ok(Arc::new(Instance::new(position, address, channel, home, nonce, settings)))
    };
    settings.urls.iter().enumerate().map(instance).collect()
}
