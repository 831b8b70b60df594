//! A fresh, migrated database for one case.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use streamz_protocol::cluster::{Epoch, Slot, Tenure};
use streamz_protocol::{NodeId, ProcessId};
use streamz_store::{
    ClusterStore, CoordinatorTerm, Device, NewDevice, NewOwner, NewUser, ProcessKind, SlotRow, Store,
    StoreOptions, StreamRecord, TakeCoordinator, UNKNOWN_DEVICE_TYPE, User,
};
use streamz_testkit::Postgres;
use tempfile::TempDir;
use uuid::Uuid;

/// More devices than any case has.
pub(crate) const PLENTY: u32 = 1000;

pub(crate) struct Fixture {
    pub(crate) store: Store,
    url: String,
    _folder: Option<TempDir>,
}

impl Fixture {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("it's 100% a file?.db").display());
        Self::open(url, Some(folder)).await
    }

    pub(crate) async fn postgres() -> Self {
        // Starting a server and making a database block.
        let url = tokio::task::spawn_blocking(|| Postgres::shared().create_database()).await.unwrap();
        Self::open(url, None).await
    }

    async fn open(url: String, folder: Option<TempDir>) -> Self {
        let options = StoreOptions { max_connections: 8, ..StoreOptions::default() };
        let store = Store::connect(&url, &options).await.unwrap();
        store.migrate().await.unwrap();
        Self { store, url, _folder: folder }
    }

    /// A second handle, as another process has it.
    pub(crate) async fn another(&self) -> Store {
        Store::connect(&self.url, &StoreOptions::default()).await.unwrap()
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres:")
    }

    /// Changes the database behind the store's back.
    pub(crate) async fn raw(&self, sql: &'static str) {
        if self.is_postgres() {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        } else {
            let path = self.url.strip_prefix("sqlite:").unwrap();
            let options = SqliteConnectOptions::new().filename(path);
            let mut connection = options.connect().await.unwrap();
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        }
    }

    /// Counts behind the store's back.
    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        if self.is_postgres() {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
        } else {
            let path = self.url.strip_prefix("sqlite:").unwrap();
            let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
            sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
        }
    }

    /// A connection beside the store, to Postgres.
    pub(crate) async fn beside(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    pub(crate) fn cluster(&self) -> ClusterStore {
        self.store.cluster().unwrap()
    }

    pub(crate) async fn user(&self) -> User {
        self.user_called(&format!("{}@example.org", Uuid::now_v7())).await
    }

    pub(crate) async fn user_called(&self, email: &str) -> User {
        let new = NewUser { email, password_hash: "$argon2id$x", first_name: None, last_name: None };
        self.store.create_user(new, at(0)).await.unwrap()
    }

    pub(crate) async fn device(&self, user: &User, device_id: &str) -> Device {
        self.store.create_device(new_device(user.id, device_id), PLENTY, at(0)).await.unwrap()
    }
}

/// A fixed day, and so many seconds.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_764_000_000, 0).unwrap() + TimeDelta::seconds(seconds)
}

pub(crate) fn new_device(user_id: Uuid, device_id: &str) -> NewDevice<'_> {
    NewDevice { user_id, device_id, device_name: device_id, device_type: UNKNOWN_DEVICE_TYPE }
}

/// A stream that has just begun to ring.
pub(crate) fn ringing(user_id: Uuid, started_at: DateTime<Utc>) -> StreamRecord {
    StreamRecord {
        id: Uuid::now_v7(),
        user_id,
        source_device_id: None,
        target_device_id: None,
        stream_type: "video".to_owned(),
        started_at,
        ended_at: None,
        end_reason: None,
        connection_type: None,
        quality: None,
        latency_ms: None,
    }
}

/// A lease that does not end while a test runs, and one that has always ended.
pub(crate) const LONG: Duration = Duration::from_secs(3600);
pub(crate) const OVER: Duration = Duration::ZERO;

pub(crate) fn slot(number: u16) -> Slot {
    Slot::new(number).unwrap()
}

pub(crate) fn tenure(number: u16, epoch: u64) -> Tenure {
    Tenure { slot: slot(number), epoch: Epoch(epoch) }
}

pub(crate) fn gives(number: u16, epoch: u64, owner: NodeId) -> NewOwner {
    NewOwner { tenure: tenure(number, epoch), owner }
}

/// A row as it should be, with nothing planned.
pub(crate) fn owned(number: u16, epoch: u64, owner: NodeId) -> SlotRow {
    SlotRow { tenure: tenure(number, epoch), owner: Some(owner), moving_to: None }
}

impl Fixture {
    /// A node that has its row.
    pub(crate) async fn node(&self, id: u64) -> NodeId {
        let name = format!("node-{id}");
        let registered =
            self.cluster().register_process(ProcessId(id), ProcessKind::Node, &name, "", 0).await.unwrap();
        assert_eq!(registered.namesakes, []);
        NodeId(id)
    }

    /// Makes a node the coordinator, whoever was it.
    pub(crate) async fn coordinates(&self, node: NodeId) -> CoordinatorTerm {
        match self.cluster().try_take(node, OVER).await.unwrap() {
            TakeCoordinator::Taken(term) => term,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn slot_row(&self, number: u16) -> SlotRow {
        self.cluster().read_slots().await.unwrap().rows[usize::from(number)]
    }

    /// Waits until so many of this database's operations wait for a row's lock.
    pub(crate) async fn waiting_for_locks(&self, count: i64) {
        let mut beside = self.beside().await;
        let sql = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let began = Instant::now();
        while sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut beside).await.unwrap() != count {
            assert!(began.elapsed() < Duration::from_secs(20), "not as many as {count} wait for a lock");
        }
    }

    /// Lets an operation go on until it has a lock on this slot, and not a step further.
    pub(crate) async fn run_until_locked<F: Future>(&self, mut operation: Pin<&mut F>, slot: u16) {
        // It waits in the server for somebody else's lock; once that is gone it has its own, and nobody asks it to go on.
        let holder = self.hold_slot(slot).await;
        let mut beside = self.beside().await;
        let sql = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
        loop {
            assert!(poll(operation.as_mut()).await.is_pending(), "it ended without a lock on {slot}");
            if sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut beside).await.unwrap() == 1 {
                break;
            }
        }
        holder.release().await;
        let sql = "SELECT slot FROM slots WHERE slot = $1 FOR UPDATE SKIP LOCKED";
        while sqlx::query(sql).bind(i32::from(slot)).fetch_optional(&mut beside).await.unwrap().is_some() {}
    }
}

/// Somebody who locks a slot until they are told to stop.
pub(crate) struct Holder(PgConnection);

impl Fixture {
    pub(crate) async fn hold_slot(&self, slot: u16) -> Holder {
        let mut beside = self.beside().await;
        sqlx::query("BEGIN").execute(&mut beside).await.unwrap();
        sqlx::query("SELECT slot FROM slots WHERE slot = $1 FOR SHARE")
            .bind(i32::from(slot))
            .execute(&mut beside)
            .await
            .unwrap();
        Holder(beside)
    }
}

impl Holder {
    pub(crate) async fn release(mut self) {
        sqlx::query("ROLLBACK").execute(&mut self.0).await.unwrap();
    }
}

/// One step of an operation.
pub(crate) async fn poll<F: Future>(mut operation: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(operation.as_mut().poll(cx))).await
}
