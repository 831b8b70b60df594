//! A process of the cluster, as far as the transport is concerned.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use streamz_bus::redis::{Endpoint, Evidence, Health, Outbox, Settings, Status, Transport};
use streamz_platform::Tasks;
use streamz_protocol::ProcessId;
use streamz_testkit::Redis;
use tokio::sync::watch;

/// Nothing here takes so long unless it is broken.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Its envelopes are texts, one a line.
pub(crate) struct Peer {
    pub(crate) id: ProcessId,
    pub(crate) transport: Transport,
    tasks: Tasks,
    ends: Arc<Ends>,
}

#[derive(Default)]
struct Ends {
    outbox: Outbox<String>,
    received: watch::Sender<Vec<Bytes>>,
    evidence: watch::Sender<Vec<Evidence>>,
}

impl Endpoint for Ends {
    fn next(&self, destination: ProcessId) -> Option<Bytes> {
        let texts = self.outbox.take(destination, 64 << 10);
        (!texts.is_empty()).then(|| texts.join("\n").into())
    }
    fn received(&self, envelope: Bytes) {
        self.received.send_modify(|received| received.push(envelope));
    }
    fn silent(&self, evidence: Evidence) {
        self.evidence.send_modify(|all| all.push(evidence));
    }
}

pub(crate) fn settings(servers: &[&Redis], id: u64) -> Settings {
    let urls = servers.iter().map(|server| server.url().into()).collect();
    Settings::new(urls, "test", ProcessId(id))
}

impl Peer {
    /// Started, not necessarily connected.
    pub(crate) async fn start(settings: Settings) -> Self {
        let (tasks, ends, id) = (Tasks::new(), Arc::<Ends>::default(), settings.process);
        let transport = Transport::start(settings, ends.clone(), &tasks).await.unwrap();
        Self { id, transport, tasks, ends }
    }

    /// Connected.
    pub(crate) async fn ready(servers: &[&Redis], id: u64) -> Self {
        let peer = Self::start(settings(servers, id)).await;
        peer.statuses(|statuses| statuses.iter().all(|status| status.health == Health::Healthy)).await;
        peer
    }

    /// The processes 1 and 2, connected.
    pub(crate) async fn two(servers: &[&Redis]) -> (Self, Self) {
        tokio::join!(Self::ready(servers, 1), Self::ready(servers, 2))
    }

    pub(crate) fn send(&self, to: &Peer, text: &str) {
        self.send_to(to.id, text);
    }

    pub(crate) fn send_to(&self, to: ProcessId, text: &str) {
        self.ends.outbox.push(to, text.to_owned(), text.len()).unwrap();
        self.transport.wake(to);
    }

    /// Until what has come says so. Returns all of it.
    pub(crate) async fn received(&self, enough: impl FnMut(&Vec<Bytes>) -> bool) -> Vec<Bytes> {
        wait(&self.ends.received, enough).await
    }

    /// Says something again and again, as a link does, until there is evidence that nobody hears it: the server may not
    /// have noticed yet that a connection was closed.
    pub(crate) async fn misses(&self, dead: ProcessId) -> Vec<Evidence> {
        let mut again = tokio::time::interval(Duration::from_millis(200));
        loop {
            tokio::select! {
                _ = again.tick() => self.send_to(dead, "anybody there?"),
                evidence = self.evidence(|all| all.iter().any(|one| one.process == dead)) => return evidence,
            }
        }
    }

    /// Until this text has come.
    pub(crate) async fn hears(&self, text: &str) {
        self.received(|all| all.iter().any(|envelope| lines(envelope).any(|line| line == text))).await;
    }

    pub(crate) fn all_received(&self) -> Vec<Bytes> {
        self.ends.received.borrow().clone()
    }

    pub(crate) async fn evidence(&self, enough: impl FnMut(&Vec<Evidence>) -> bool) -> Vec<Evidence> {
        wait(&self.ends.evidence, enough).await
    }

    pub(crate) fn all_evidence(&self) -> Vec<Evidence> {
        self.ends.evidence.borrow().clone()
    }

    /// Until the instances are so.
    pub(crate) async fn statuses(&self, so: impl FnMut(&Vec<Status>) -> bool) -> Vec<Status> {
        let mut watch = self.transport.watch();
        let found = tokio::time::timeout(LIMIT, watch.wait_for(so)).await;
        found.unwrap_or_else(|_| panic!("{:?}", self.transport.statuses())).unwrap().clone()
    }

    /// Until an instance is so.
    pub(crate) async fn health(&self, position: usize, health: Health) {
        self.statuses(|statuses| statuses[position].health == health).await;
    }

    /// Ends it as an exit does: its connections are closed.
    pub(crate) async fn end(self) {
        let report = self.tasks.shutdown(Duration::from_secs(5)).await;
        assert!(report.is_clean(), "{report}");
    }
}

pub(crate) fn lines(envelope: &Bytes) -> impl Iterator<Item = &str> {
    std::str::from_utf8(envelope).unwrap_or("(bytes)").lines()
}

async fn wait<T: Clone>(watched: &watch::Sender<T>, enough: impl FnMut(&T) -> bool) -> T {
    let mut watch = watched.subscribe();
    let found = tokio::time::timeout(LIMIT, watch.wait_for(enough)).await.expect("in time");
    found.unwrap().clone()
}
