//! Opening a store, and what SQLite alone can do wrong.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use chrono::Utc;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use streamz_store::{ConnectError, CreateUserError, NewUser, SchemaState, Store, StoreError, StoreOptions};

async fn open(path: &Path) -> Result<Store, ConnectError> {
    let options = StoreOptions { operation_timeout: Duration::from_millis(200), ..StoreOptions::default() };
    Store::connect(&format!("sqlite:{}", path.display()), &options).await
}

#[tokio::test]
async fn other_urls_are_refused_without_repeating_them() {
    for url in ["", "mysql://ada:hunter2@host/db", "hunter2", "SQLITE:x"] {
        let refused = Store::connect(url, &StoreOptions::default()).await;
        assert!(matches!(refused, Err(ConnectError::UnknownScheme)), "{refused:?}");
    }
    for url in ["postgres://ada:hunter2@host:port/db", "postgres://ada:hunter2@host/db?sslmode=maybe"] {
        let refused = Store::connect(url, &StoreOptions::default()).await.unwrap_err();
        assert!(matches!(refused, ConnectError::InvalidUrl { .. }), "{refused:?}");
        assert!(!format!("{refused} {refused:?}").contains("hunter2"), "{refused:?}");
    }
}

#[tokio::test]
async fn a_file_is_made_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("new.db")).await.unwrap();
    assert_eq!(store.check_schema().await.unwrap(), SchemaState::Missing(vec![1, 2, 3]));
    store.migrate().await.unwrap();
    let mut files = 0;
    for file in std::fs::read_dir(folder.path()).unwrap() {
        assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        files += 1;
    }
    assert_eq!(files, 3, "the database, its log and the log's index");
    store.close().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage.db");
    std::fs::write(&garbage, "this is no database, however long it may be read. ".repeat(100)).unwrap();
    for path in [garbage, folder.path().join("no/such/folder.db"), folder.path().to_owned()] {
        let refused = open(&path).await.unwrap_err();
        assert!(matches!(&refused, ConnectError::File { .. }), "{refused:?}");
        assert!(refused.to_string().contains(path.to_str().unwrap()), "{refused}");
    }
}

#[tokio::test]
async fn two_processes_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.db");
    let (one, two) = (open(&path).await.unwrap(), open(&path).await.unwrap());
    one.migrate().await.unwrap();
    let new = NewUser { email: "ada", password_hash: "x", first_name: None, last_name: None };
    let ada = one.create_user(new, Utc::now()).await.unwrap();
    assert_eq!(two.user(ada.id).await.unwrap(), Some(ada));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_may_migrate_one_server_at_once() {
    let url = streamz_testkit::Postgres::shared().create_database();
    let (one, two) = (
        Store::connect(&url, &StoreOptions::default()).await.unwrap(),
        Store::connect(&url, &StoreOptions::default()).await.unwrap(),
    );
    assert_eq!(one.check_schema().await.unwrap(), SchemaState::Missing(vec![1, 2, 3]));
    let (first, second) = tokio::join!(one.migrate(), two.migrate());
    first.unwrap();
    second.unwrap();
    assert_eq!(one.check_schema().await.unwrap(), SchemaState::UpToDate);
}

#[tokio::test]
async fn another_writer_that_does_not_end_makes_it_unavailable_for_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("busy.db");
    let store = open(&path).await.unwrap();
    store.migrate().await.unwrap();
    let mut other = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let writing = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let new = NewUser { email: "ada", password_hash: "x", first_name: None, last_name: None };
    let blocked = store.create_user(new, Utc::now()).await;
    assert!(matches!(blocked, Err(CreateUserError::Store(StoreError::Unavailable(_)))), "{blocked:?}");
    // Reading goes on.
    assert!(store.user_by_email("nobody").await.unwrap().is_none());
    writing.rollback().await.unwrap();
    let eve = NewUser { email: "eve", ..new };
    store.create_user(eve, Utc::now()).await.unwrap();
}
