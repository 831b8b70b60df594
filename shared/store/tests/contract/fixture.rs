//! A fresh, migrated database for one case.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use streamz_store::{
    Device, NewDevice, NewUser, Store, StoreOptions, StreamRecord, UNKNOWN_DEVICE_TYPE, User,
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
