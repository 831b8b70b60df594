//! The row that says that this process lives, and what it reads of the others.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use streamz_cluster::SlotRow;
use streamz_platform::{Clock, Complaint};
use streamz_protocol::cluster::Assignment;
use streamz_protocol::{GatewayId, Millis, NodeId, ProcessId};
use streamz_store::{ClusterStore, ProcessKind, RegisterError, Renewal, Renewed, StoreError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::Peers;

/// How often a lease is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// How long a renewal may take before it counts as failed: the next one must not wait for it.
const RENEW_WITHIN: Duration = Duration::from_secs(2);
/// The table is not read more often than this, however many hints come.
const READ_PAUSE: Duration = Duration::from_millis(20);

/// How often the log hears that the database is still away.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// A process that wants to be there.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// What it is.
    pub kind: ProcessKind,
    /// Its machine or pod.
    pub name: String,
    /// For people: where its operations are asked for.
    pub info: String,
    /// The name of the key of the bus: processes with different ones do not understand each other.
    pub key: u32,
}

/// Why a process did not get a row.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The store refused it.
    #[error("DATABASE_URL: {0}")]
    Register(RegisterError),
    /// Others that live have another key: they would wait for this process for ever.
    #[error("BUS_SECRET, or else JWT_SECRET is not the one that {0} has; all processes of a fleet share one")]
    OtherKey(String),
    /// The process was told to end before the store answered.
    #[error("DATABASE_URL: ended before the database answered")]
    Stopped,
}

/// What the store says, read in this order: the rows, then the processes.
#[derive(Clone, Debug)]
pub struct View {
    /// The version of the table.
    pub version: u64,
    /// The rows that have changed since the last view.
    pub rows: Vec<SlotRow>,
    /// All gateways with a row.
    pub gateways: Vec<GatewayId>,
    /// All nodes with a row.
    pub nodes: Vec<NodeId>,
    /// Those of them that want to stay.
    pub staying: Vec<NodeId>,
    /// What all of them are called.
    pub names: Vec<(ProcessId, String)>,
}

impl View {
    /// The rows without the orders of the coordinator.
    #[must_use]
    pub fn assignments(&self) -> Vec<Assignment> {
        self.rows.iter().map(|row| row.assignment).collect()
    }
}

/// What is told of the lease. Must not block.
pub trait Member: Send + Sync + 'static {
    /// The lease was renewed; the question was sent then.
    fn renewed(&self, sent_at: Millis, renewed: &Renewed);

    /// The table or the list of processes has changed, or somebody had asked.
    fn read(&self, view: View);
}

/// The lease of one incarnation.
pub struct Lease {
    id: ProcessId,
    settings: LeaseSettings,
    store: ClusterStore,
    peers: Arc<Peers>,
    clock: Clock,
    wanted: Notify,
    fence: CancellationToken,
    /// The coordinator has said that the row is gone.
    told: AtomicBool,
    /// This incarnation could not go on.
    gave_up: AtomicBool,
    /// That the database does not answer to a renewal,
    renewing: Mutex<Complaint>,
    /// or to a reading.
    reading: Mutex<Complaint>,
}

impl Lease {
    /// Makes the row; waits for a store that does not answer, or until `stopping`.
    ///
    /// # Errors
    /// [`JoinError`].
    pub async fn join(
        settings: LeaseSettings,
        store: ClusterStore,
        peers: Arc<Peers>,
        clock: Clock,
        stopping: &CancellationToken,
    ) -> Result<Arc<Self>, JoinError> {
        let id = peers.me();
        let mut waiting = Complaint::new(COMPLAIN_EVERY);
        loop {
            let LeaseSettings { kind, name, info, key } = &settings;
            match store.register_process(id, *kind, name, info, *key).await {
                Ok(registered) => {
                    for other in registered.namesakes.iter().filter(|other| other.age < 2 * RENEW_EVERY) {
                        tracing::warn!(
                            name = settings.name,
                            other = other.id.0,
                            info = other.info,
                            "another {} has the same name; both serve, but nobody can tell them apart",
                            settings.kind.as_str()
                        );
                    }
                    break;
                }
                Err(RegisterError::Store(error)) if error.is_unavailable() => {
                    if waiting.failed(Instant::now()).is_some() {
                        tracing::warn!(%error, "waiting for the database");
                    }
                    tokio::select! {
                        () = tokio::time::sleep(RENEW_EVERY) => {}
                        () = stopping.cancelled() => return Err(JoinError::Stopped),
                    }
                }
                Err(RegisterError::OtherKey(other)) => return Err(JoinError::OtherKey(other)),
                Err(error) => return Err(JoinError::Register(error)),
            }
        }
        let lease = Self {
            id,
            settings,
            store,
            peers,
            clock,
            wanted: Notify::new(),
            fence: CancellationToken::new(),
            told: AtomicBool::new(false),
            gave_up: AtomicBool::new(false),
            renewing: Mutex::new(Complaint::new(COMPLAIN_EVERY)),
            reading: Mutex::new(Complaint::new(COMPLAIN_EVERY)),
        };
        Ok(Arc::new(lease))
    }

    /// The table is to be read soon.
    pub fn want_read(&self) {
        self.wanted.notify_one();
    }

    /// This incarnation cannot go on: [`Lease::run`] ends as if it were evicted.
    pub fn give_up(&self) {
        self.gave_up.store(true, Ordering::Relaxed);
        self.fence.cancel();
    }

    /// The coordinator says that the row is gone: [`Lease::run`] ends as if the store had said it.
    pub fn evicted(&self) {
        self.told.store(true, Ordering::Relaxed);
        self.fence.cancel();
    }

    /// Why [`Lease::run`] ended with `true`, for people.
    #[must_use]
    pub fn why(&self) -> &'static str {
        match (self.told.load(Ordering::Relaxed), self.gave_up.load(Ordering::Relaxed)) {
            (true, _) => "the coordinator said so",
            (false, true) => "a link to another process was full to its last reserve",
            (false, false) => "Postgres had no lease of it any more",
        }
    }

    /// Renews the lease and reads what changes, until the row is gone (`true`: this incarnation is over) or `stopping`.
    pub async fn run(&self, member: Arc<dyn Member>, stopping: CancellationToken) -> bool {
        let mut reader = Reader { version: None, members: None, known: HashSet::new() };
        let mut next_renewal = tokio::time::Instant::now();
        let mut wanted = true;
        loop {
            if wanted {
                // A store that cannot be reached takes its time; whoever is evicted has none.
                wanted = tokio::select! {
                    read = self.read(&mut reader, &*member) => !read,
                    () = self.fence.cancelled() => true,
                };
                if !wanted {
                    // Hints come in crowds.
                    tokio::time::sleep(READ_PAUSE).await;
                }
            }
            tokio::select! {
                () = stopping.cancelled() => return false,
                () = self.fence.cancelled() => {
                    if self.told.load(Ordering::Relaxed) {
                        self.say_evicted();
                    } else {
                        self.leave().await;
                    }
                    return true;
                }
                () = self.wanted.notified() => wanted = true,
                () = tokio::time::sleep_until(next_renewal) => {
                    next_renewal = tokio::time::Instant::now() + RENEW_EVERY;
                    match self.renew(&*member).await {
                        Some(Renewal::Evicted) => {
                            self.say_evicted();
                            self.fence.cancel();
                            return true;
                        }
                        Some(Renewal::Renewed(renewed)) => {
                            wanted |= reader.version != Some(renewed.table_version)
                                || reader.members != Some(renewed.members_version);
                        }
                        None => {}
                    }
                }
            }
        }
    }

    fn say_evicted(&self) {
        tracing::error!(process = self.id.0, "this process was evicted; it goes on as another one");
        metrics::counter!("streamz_evictions_total").increment(1);
    }

    async fn renew(&self, member: &dyn Member) -> Option<Renewal> {
        let sent_at = self.clock.now();
        match tokio::time::timeout(RENEW_WITHIN, self.store.renew(self.id)).await {
            Ok(Ok(renewal)) => {
                if self.renewing.lock().works() {
                    tracing::info!("the lease: the database answers again");
                }
                if let Renewal::Renewed(renewed) = &renewal {
                    member.renewed(sent_at, renewed);
                }
                Some(renewal)
            }
            Ok(Err(error)) => {
                if let Some(kept_back) = self.renewing.lock().failed(Instant::now()) {
                    tracing::warn!(%error, kept_back, "the lease was not renewed");
                }
                None
            }
            Err(_) => {
                if let Some(kept_back) = self.renewing.lock().failed(Instant::now()) {
                    tracing::warn!(kept_back, "the lease was not renewed: the database does not answer");
                }
                None
            }
        }
    }

    /// `false` if the store did not answer.
    async fn read(&self, reader: &mut Reader, member: &dyn Member) -> bool {
        match reader.read(&self.store).await {
            Ok((view, live)) => {
                self.reading.lock().works();
                for gone in reader.known.difference(&live) {
                    self.peers.forget(*gone);
                }
                self.peers.retain(&live);
                reader.known = live;
                member.read(view);
                true
            }
            Err(error) => {
                if let Some(kept_back) = self.reading.lock().failed(Instant::now()) {
                    tracing::warn!(%error, kept_back, "the slot table was not read");
                }
                false
            }
        }
    }

    /// Tells the others that this process wants to go.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_draining(&self) -> Result<(), StoreError> {
        self.store.set_draining(self.id).await.map(drop)
    }

    /// Removes the row: the process is gone for everybody.
    pub async fn leave(&self) {
        if let Err(error) = self.store.remove_process(self.id).await {
            tracing::warn!(%error, kind = self.settings.kind.as_str(), "the row of this process stays until it is evicted");
        }
    }
}

/// What was read last.
struct Reader {
    version: Option<u64>,
    members: Option<u64>,
    known: HashSet<ProcessId>,
}

impl Reader {
    async fn read(&mut self, store: &ClusterStore) -> Result<(View, HashSet<ProcessId>), StoreError> {
        let table = match self.version {
            Some(version) => store.slot_changes_since(version).await?,
            None => store.read_slots().await?,
        };
        let nodes = store.live_processes(ProcessKind::Node).await?;
        let gateways = store.live_processes(ProcessKind::Gateway).await?;
        self.version = Some(table.version);
        // The earlier list's: if the other has changed between, the next renewal says so.
        self.members = Some(nodes.version);
        let live = nodes.processes.iter().chain(&gateways.processes).map(|row| row.id).collect();
        let rows = table.rows.into_iter().map(|row| SlotRow {
            assignment: Assignment { tenure: row.tenure, owner: row.owner },
            moving_to: row.moving_to,
        });
        let all = nodes.processes.iter().chain(&gateways.processes);
        let names = all.map(|row| (row.id, row.name.clone())).collect();
        let view = View {
            names,
            version: table.version,
            rows: rows.collect(),
            gateways: gateways.processes.iter().map(|row| GatewayId(row.id.0)).collect(),
            nodes: nodes.processes.iter().map(|row| NodeId(row.id.0)).collect(),
            staying: nodes.processes.iter().filter(|row| !row.draining).map(|row| NodeId(row.id.0)).collect(),
        };
        Ok((view, live))
    }
}
