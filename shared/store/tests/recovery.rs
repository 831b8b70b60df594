//! Postgres goes away, hangs, or takes no writes for a while: the store says so in time and comes back by itself.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use chrono::Utc;
use sqlx::{Connection, PgConnection};
use streamz_protocol::NodeId;
use streamz_protocol::cluster::{Epoch, Slot, Tenure};
use streamz_store::{
    CreateUserError, Move, NewOwner, NewUser, ProcessKind, Renewal, Store, StoreError, StoreOptions,
    TakeCoordinator, TermError, User,
};
use streamz_testkit::Postgres;
use uuid::Uuid;

fn impatient() -> StoreOptions {
    StoreOptions {
        max_connections: 4,
        acquire_timeout: Duration::from_millis(300),
        operation_timeout: Duration::from_millis(300),
    }
}

async fn open(url: &str) -> Store {
    let store =
        Store::connect(url, &StoreOptions { max_connections: 4, ..StoreOptions::default() }).await.unwrap();
    store.migrate().await.unwrap();
    store.close().await;
    Store::connect(url, &impatient()).await.unwrap()
}

async fn add_user(store: &Store) -> Result<User, CreateUserError> {
    let email = format!("{}@example.org", Uuid::now_v7());
    let new = NewUser { email: &email, password_hash: "x", first_name: None, last_name: None };
    store.create_user(new, Utc::now()).await
}

fn assert_unavailable(result: Result<User, CreateUserError>) {
    assert!(matches!(result, Err(CreateUserError::Store(StoreError::Unavailable(_)))), "{result:?}");
}

/// Opens as many connections as the pool may have.
async fn fill_pool(store: &Store) {
    let (a, b, c, d) = tokio::join!(add_user(store), add_user(store), add_user(store), add_user(store));
    for user in [a, b, c, d] {
        user.unwrap();
    }
}

fn database_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap().split('?').next().unwrap()
}

#[tokio::test]
async fn a_restart_of_the_server_is_survived() {
    let server = Postgres::start().unwrap();
    let store = open(&server.create_database()).await;
    fill_pool(&store).await;
    for crash in [false, true] {
        if crash {
            server.crash()
        } else {
            server.stop()
        }
        let asked = Instant::now();
        assert_unavailable(add_user(&store).await);
        assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        server.start_again();
        // Every connection of the pool was lost; nobody notices.
        fill_pool(&store).await;
    }
}

#[tokio::test]
async fn a_process_may_start_before_the_server() {
    let server = Postgres::start().unwrap();
    let url = server.create_database();
    open(&url).await.close().await;
    server.stop();
    let store = Store::connect(&url, &impatient()).await.unwrap();
    assert!(matches!(store.check_schema().await, Err(StoreError::Unavailable(_))));
    server.start_again();
    add_user(&store).await.unwrap();
}

#[tokio::test]
async fn cut_connections_are_replaced() {
    let server = Postgres::shared();
    let url = server.create_database();
    let store = open(&url).await;
    fill_pool(&store).await;
    let cut = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{}'",
        database_of(&url)
    );
    server.sql("postgres", &cut);
    fill_pool(&store).await;
}

#[tokio::test]
async fn a_connection_to_a_server_that_became_read_only_is_not_kept() {
    let server = Postgres::shared();
    let url = server.create_database();
    open(&url).await.close().await;
    // One connection: each operation gets that of the one before, if it was kept.
    let single = StoreOptions { max_connections: 1, ..impatient() };
    let store = Store::connect(&url, &single).await.unwrap();
    let set = |value: &str| {
        let sql = format!("ALTER DATABASE {} SET default_transaction_read_only = {value}", database_of(&url));
        server.sql("postgres", &sql);
    };
    // A session keeps what it began with, as one with a demoted server does: only a new connection can write again.
    set("on");
    assert_unavailable(add_user(&store).await);
    store.ping().await.unwrap();
    set("off");
    // The ping's connection is still one of the old; it is found out, closed and replaced.
    assert_unavailable(add_user(&store).await);
    add_user(&store).await.unwrap();
    // Within a transaction, too.
    set("on");
    let reconnected = Store::connect(&url, &impatient()).await.unwrap();
    let family = reconnected.create_family(Uuid::nil(), &[1; 32], Utc::now(), Utc::now()).await;
    assert!(matches!(&family, Err(streamz_store::CreateFamilyError::Store(error)) if error.is_unavailable()));
    set("off");
    add_user(&reconnected).await.unwrap();
}

#[tokio::test]
async fn an_operation_that_hangs_is_given_up() {
    let url = Postgres::shared().create_database();
    let store = open(&url).await;
    fill_pool(&store).await;
    let mut other = PgConnection::connect(&url).await.unwrap();
    let mut lock = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE users IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    // More than the pool has: some hang in the server, the rest wait for a connection.
    let hanging: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { add_user(&store).await })
        })
        .collect();
    for operation in hanging {
        assert_unavailable(operation.await.unwrap());
    }
    lock.rollback().await.unwrap();
    add_user(&store).await.unwrap();
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    // It takes connections into its backlog and says nothing.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("postgres://nobody:hunter2@{}/none", silent.local_addr().unwrap());
    let store = Store::connect(&url, &impatient()).await.unwrap();
    let result = store.ping().await;
    assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
    assert!(!format!("{result:?} {store:?}").contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_survives_a_restart_of_the_server() {
    const LONG: Duration = Duration::from_secs(3600);
    let server = Postgres::start().unwrap();
    let store = open(&server.create_database()).await;
    let cluster = store.cluster().unwrap();
    let (one, two) = (NodeId(1), NodeId(2));
    for node in [one, two] {
        cluster.register_process(node.into(), ProcessKind::Node, "n", "", 0).await.unwrap();
    }
    let TakeCoordinator::Taken(term) = cluster.try_take(one, LONG).await.unwrap() else { panic!("held") };
    // One that goes on and on, whatever happens: with whom a slot is, and at which epoch, it reads.
    let mover = {
        let cluster = cluster.clone();
        let slot = Slot::new(0).unwrap();
        tokio::spawn(async move {
            let (mut failed, mut last) = (0, Epoch(0));
            while last < Epoch(200) {
                let step = async {
                    let row = cluster.read_slots().await?.rows[0];
                    // What an answer that was lost had told is there, and no more than that.
                    assert!(
                        row.tenure.epoch >= last && row.tenure.epoch.0 <= last.0 + 1,
                        "{row:?} after {last:?}"
                    );
                    last = row.tenure.epoch;
                    let tenure = Tenure { slot, epoch: last };
                    let Some(owner) = row.owner else {
                        cluster.assign(term, &[NewOwner { tenure, owner: one }]).await?;
                        return Ok::<_, TermError>(());
                    };
                    let to = if owner == one { two } else { one };
                    cluster.plan_moves(term, &[Move { tenure, owner, to }]).await?;
                    cluster.hand_over(owner, &[tenure]).await?;
                    Ok(())
                };
                match step.await {
                    Ok(()) => {}
                    Err(TermError::Store(StoreError::Unavailable(_))) => failed += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            failed
        })
    };
    for crash in [false, true] {
        let moved = cluster.read_slots().await.unwrap().version;
        while cluster.read_slots().await.unwrap().version < moved + 20 {}
        if crash {
            server.crash()
        } else {
            server.stop()
        }
        assert!(cluster.renew(one.into()).await.unwrap_err().is_unavailable());
        server.start_again();
        // Everybody is still who they were; nobody was evicted by the time that passed.
        assert!(matches!(cluster.renew(one.into()).await.unwrap(), Renewal::Renewed(_)));
        assert!(cluster.renew_coordinator(term).await.unwrap());
        let held = cluster.try_take(two, LONG).await.unwrap();
        assert!(matches!(held, TakeCoordinator::Held(state) if state.holder == Some(one)), "{held:?}");
    }
    assert!(mover.await.unwrap() > 0);
    let row = cluster.read_slots().await.unwrap().rows[0];
    assert!(row.tenure.epoch >= Epoch(200));
}
