//! The node's desk at the store: reads that hubs wait for, and writes that wait until the store is there.
//!
//! Writes are coalesced (the last state of a device or of a stream is the one that counts), bounded, and tried
//! until they succeed. No hub waits for a write.

mod pending;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use ractor::ActorRef;
use streamz_hub::{Input, Record, RegisterFailure, StoreAway};
use streamz_platform::{Clock, Tasks, spans};
use streamz_protocol::cluster::Tenure;
use streamz_protocol::objects::Device;
use streamz_protocol::{ConnId, DeviceId, Millis, StreamId, TraceContext, UserId};
use streamz_store::{
    Backend, ClusterStore, EnsureDeviceError, FencedPresence, NewDevice, PresenceUpdate, Store, StoreError,
    StreamRecord, StreamWrite,
};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::actors::hub::HubMsg;
use crate::actors::shard::ShardMsg;
use crate::traces;
use pending::Pending;

/// Rows that one write takes.
const BATCH: usize = 200;
/// How long the writer waits after a failure, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What bounds the desk.
#[derive(Clone, Copy, Debug)]
pub struct DeskLimits {
    /// Reads at the same time.
    pub reads: usize,
    /// Streams whose records wait for the store; beyond it no stream starts.
    pub records: usize,
    /// Devices whose presence waits for the store; beyond it the oldest is forgotten, for the next change or the
    /// next start puts it right.
    pub presences: usize,
    /// Devices that a user may register.
    pub devices: u32,
}

/// A handle; clones share one desk.
#[derive(Clone)]
pub(crate) struct Desk {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    /// In a cluster: what is written in the name of a tenure goes there.
    cluster: Option<ClusterStore>,
    clock: Clock,
    limits: DeskLimits,
    tasks: Tasks,
    reads: Semaphore,
    drawer: Mutex<Drawer>,
    work: Notify,
    /// Rows were written, or refused.
    written: Notify,
}

/// A stream's record that waits, and the trace of its call, if that is recorded.
struct Waiting {
    tenure: Option<Tenure>,
    record: StreamRecord,
    trace: Option<TraceContext>,
}

/// A device to register.
pub(crate) struct New {
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
    pub(crate) name: Arc<str>,
    pub(crate) device_type: Arc<str>,
}

/// What waits to be written, each with the tenure in whose name it is, in a cluster.
#[derive(Default)]
struct Drawer {
    presences: Pending<Uuid, (Option<Tenure>, PresenceUpdate)>,
    records: Pending<StreamId, Waiting>,
    /// The tenures of what is being written at this moment.
    under_way: Vec<Tenure>,
}

impl Drawer {
    fn has_any_of(&self, tenure: Tenure) -> bool {
        self.under_way.contains(&tenure)
            || self.presences.values.values().any(|(of, _)| *of == Some(tenure))
            || self.records.values.values().any(|waiting| waiting.tenure == Some(tenure))
    }
}

impl Inner {
    /// The database, as OpenTelemetry calls it.
    fn system(&self) -> &'static str {
        match self.store.backend() {
            Backend::Postgres => "postgresql",
            Backend::Sqlite => "sqlite",
        }
    }
}

impl Desk {
    /// Opens the desk; its tasks belong to `tasks`, and the writer empties its drawer when they are told to stop.
    pub(crate) fn open(
        store: Store,
        cluster: Option<ClusterStore>,
        clock: Clock,
        limits: DeskLimits,
        tasks: &Tasks,
    ) -> Self {
        let inner = Arc::new(Inner {
            store,
            cluster,
            clock,
            limits,
            tasks: tasks.clone(),
            reads: Semaphore::new(limits.reads),
            drawer: Mutex::default(),
            work: Notify::new(),
            written: Notify::new(),
        });
        let desk = Self { inner };
        tasks.spawn("record writer", desk.clone().write(tasks.stopping()));
        desk
    }

    /// Whether a stream may start.
    pub(crate) fn has_room(&self) -> bool {
        self.inner.drawer.lock().records.len() < self.inner.limits.records
    }

    /// What waits for the store.
    pub(crate) fn waiting(&self) -> streamz_status::Records {
        let drawer = self.inner.drawer.lock();
        streamz_status::Records {
            streams: drawer.records.len() as u64,
            streams_max: self.inner.limits.records as u64,
            presences: drawer.presences.len() as u64,
        }
    }

    pub(crate) fn presence(&self, tenure: Option<Tenure>, row: Uuid, online: bool, at: Millis) {
        let mut drawer = self.inner.drawer.lock();
        if drawer.presences.len() >= self.inner.limits.presences {
            drawer.presences.take(1);
            metrics::counter!("streamz_presence_writes_forgotten_total").increment(1);
        }
        let update = PresenceUpdate { id: row, is_online: online, last_seen: utc(at) };
        drawer.presences.put(row, (tenure, update));
        drop(drawer);
        self.inner.work.notify_one();
    }

    pub(crate) fn record(&self, tenure: Option<Tenure>, record: Record, trace: Option<TraceContext>) {
        let id = record.id;
        self.inner.drawer.lock().records.put(id, Waiting { tenure, record: row(record), trace });
        self.inner.work.notify_one();
    }

    /// Waits until nothing of a tenure is left to write. It may take as long as the store is away.
    pub(crate) async fn flushed(&self, tenure: Tenure) {
        loop {
            let written = self.inner.written.notified();
            tokio::pin!(written);
            // Registered before the look, so that no notice is missed.
            written.as_mut().enable();
            if !self.inner.drawer.lock().has_any_of(tenure) {
                return;
            }
            written.await;
        }
    }

    /// Reads the user's devices for a hub.
    pub(crate) fn load(&self, user: UserId, hub: ActorRef<HubMsg>, trace: Option<TraceContext>) {
        let desk = self.clone();
        self.inner.tasks.spawn("device list", async move {
            let mut span = traces::store(trace, desk.inner.system(), "SELECT", "devices");
            let answer = spans::within(span.context(), async {
                let _turn = desk.inner.reads.acquire().await;
                desk.inner.store.user_with_devices(user.0).await
            });
            let answer = match answer.await {
                Ok(devices) => Ok(devices.map(|devices| devices.iter().filter_map(device).collect())),
                Err(error) => {
                    span.fail("unavailable");
                    let _entered = spans::enter(span.context());
                    tracing::warn!(%error, "the device list could not be read");
                    Err(StoreAway)
                }
            };
            drop(span);
            // A hub that is gone does not need it.
            let _ = hub.cast(HubMsg::Answer(Input::Loaded(answer)));
        });
    }

    /// Tells a shard which of its users are in the store no more.
    pub(crate) fn find_missing(&self, users: Vec<UserId>, shard: ActorRef<ShardMsg>) {
        let desk = self.clone();
        self.inner.tasks.spawn("deleted users", async move {
            let ids: Vec<Uuid> = users.iter().map(|user| user.0).collect();
            let missing = {
                let _turn = desk.inner.reads.acquire().await;
                desk.inner.store.missing_users(&ids).await
            };
            match missing {
                Ok(missing) if missing.is_empty() => {}
                Ok(missing) => drop(shard.cast(ShardMsg::Missing(missing.into_iter().map(UserId).collect()))),
                // The next look will tell.
                Err(error) => tracing::warn!(%error, "whose accounts are gone could not be found out"),
            }
        });
    }

    /// Registers a device for a hub.
    pub(crate) fn register(
        &self,
        new: New,
        conn: ConnId,
        hub: ActorRef<HubMsg>,
        trace: Option<TraceContext>,
    ) {
        let desk = self.clone();
        self.inner.tasks.spawn("device registration", async move {
            let mut span = traces::store(trace, desk.inner.system(), "INSERT", "devices");
            let answer = spans::within(span.context(), async {
                let _turn = desk.inner.reads.acquire().await;
                let new = NewDevice {
                    user_id: new.user.0,
                    device_id: new.device.as_str(),
                    device_name: &new.name,
                    device_type: &new.device_type,
                };
                desk.inner.store.ensure_device(new, desk.inner.limits.devices, desk.inner.clock.utc()).await
            });
            let answer = match answer.await {
                Ok(ensured) => device(&ensured.into_device()).ok_or(RegisterFailure::StoreAway),
                Err(EnsureDeviceError::TooMany) => Err(RegisterFailure::TooMany),
                Err(EnsureDeviceError::UnknownUser) => Err(RegisterFailure::NoSuchUser),
                Err(EnsureDeviceError::Store(error)) => {
                    span.fail("unavailable");
                    let _entered = spans::enter(span.context());
                    tracing::warn!(%error, "a device could not be registered");
                    Err(RegisterFailure::StoreAway)
                }
            };
            drop(span);
            let _ = hub.cast(HubMsg::Answer(Input::Registered(conn, answer)));
        });
    }

    async fn write(self, stopping: CancellationToken) {
        let mut wait = AGAIN.0;
        loop {
            let last = stopping.is_cancelled();
            match self.write_batch().await {
                Ok(0) if last => return,
                Ok(0) => {
                    wait = AGAIN.0;
                    tokio::select! {
                        () = self.inner.work.notified() => {}
                        () = stopping.cancelled() => {}
                    }
                }
                Ok(_) => wait = AGAIN.0,
                Err(error) => {
                    tracing::warn!(%error, ?wait, "records wait for the store");
                    if last {
                        tokio::time::sleep(wait).await;
                    } else {
                        tokio::select! {
                            () = tokio::time::sleep(wait) => {}
                            () = stopping.cancelled() => {}
                        }
                    }
                    wait = (wait * 2).min(AGAIN.1);
                }
            }
        }
    }

    /// Writes some of what waits and returns how many rows that were. What could not be written waits on.
    async fn write_batch(&self) -> Result<usize, StoreError> {
        let (presences, records) = {
            let mut drawer = self.inner.drawer.lock();
            let (presences, records) = (drawer.presences.take(BATCH), drawer.records.take(BATCH));
            let tenures = presences.iter().filter_map(|(_, (tenure, _))| *tenure);
            drawer.under_way =
                tenures.chain(records.iter().filter_map(|(_, waiting)| waiting.tenure)).collect();
            (presences, records)
        };
        let count = presences.len() + records.len();
        let mut failure = self.write_presences(&presences).await.err();
        let unwritten = if failure.is_some() { presences } else { Vec::new() };
        let mut failed = Vec::new();
        for (id, waiting) in records {
            if failure.is_some() {
                failed.push((id, waiting));
                continue;
            }
            let mut span = traces::store(waiting.trace, self.inner.system(), "UPSERT", "streams");
            span.set("streamz.stream.id", id.0.to_string());
            match self.write_record(waiting.tenure, &waiting.record).await {
                Ok(()) => {}
                Err(error) if error.is_unavailable() => {
                    span.fail("unavailable");
                    failure = Some(error);
                    failed.push((id, waiting));
                }
                // It would fail again and hold up all others.
                Err(error) => {
                    span.fail("refused");
                    let _entered = spans::enter(span.context());
                    tracing::error!(%error, stream = %id, "a stream's record was refused by the store");
                }
            }
        }
        let mut drawer = self.inner.drawer.lock();
        for (key, update) in unwritten.into_iter().rev() {
            drawer.presences.put_back(key, update);
        }
        for (id, record) in failed.into_iter().rev() {
            drawer.records.put_back(id, record);
        }
        drawer.under_way.clear();
        drop(drawer);
        self.inner.written.notify_waiters();
        failure.map_or(Ok(count), Err)
    }

    async fn write_presences(
        &self,
        presences: &[(Uuid, (Option<Tenure>, PresenceUpdate))],
    ) -> Result<(), StoreError> {
        let mut fenced = Vec::new();
        let mut plain = Vec::new();
        for (_, (tenure, update)) in presences {
            match tenure {
                Some(tenure) => fenced.push(FencedPresence { tenure: *tenure, update: *update }),
                None => plain.push(*update),
            }
        }
        if !plain.is_empty() {
            self.inner.store.set_presence(&plain).await?;
        }
        if let Some(cluster) = &self.inner.cluster
            && !fenced.is_empty()
        {
            let refused = cluster.set_presence(&fenced).await?.refused.len() as u64;
            metrics::counter!("streamz_fenced_writes_total").increment(refused);
        }
        Ok(())
    }

    async fn write_record(&self, tenure: Option<Tenure>, record: &StreamRecord) -> Result<(), StoreError> {
        match (&self.inner.cluster, tenure) {
            (Some(cluster), Some(tenure)) => {
                if cluster.upsert_stream(tenure, record).await? == StreamWrite::Refused {
                    metrics::counter!("streamz_fenced_writes_total").increment(1);
                }
                Ok(())
            }
            _ => self.inner.store.upsert_stream(record).await.map(drop),
        }
    }
}

fn utc(at: Millis) -> DateTime<Utc> {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn millis(at: DateTime<Utc>) -> Millis {
    Millis(u64::try_from(at.timestamp_millis()).unwrap_or(0))
}

/// A row as the protocol has it; `None` for a row that no client of ours could have made.
fn device(row: &streamz_store::Device) -> Option<Device> {
    Some(Device {
        id: row.id,
        user_id: UserId(row.user_id),
        device_id: DeviceId::new(&row.device_id).ok()?,
        device_name: row.device_name.as_str().into(),
        device_type: row.device_type.as_str().into(),
        is_online: false,
        last_seen: row.last_seen.map(millis),
        created_at: millis(row.created_at),
    })
}

fn row(record: Record) -> StreamRecord {
    StreamRecord {
        id: record.id.0,
        user_id: record.user.0,
        source_device_id: record.source,
        target_device_id: record.target,
        stream_type: record.stream_type.as_str().to_owned(),
        started_at: utc(record.started_at),
        ended_at: record.ended_at.map(utc),
        end_reason: record.end_reason,
        connection_type: record.connection_type.map(|kind| kind.as_str().to_owned()),
        quality: record.quality,
        latency_ms: record.latency_ms.map(i64::from),
    }
}
