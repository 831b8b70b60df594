//! The store is away and comes back.

use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use streamz_protocol::UserId;
use streamz_protocol::bus::{Detach, Up};
use streamz_signaling_node::{DeskLimits, NodeConfig};
use streamz_store::StreamQuery;

use crate::support::*;

/// Nobody else can write while this lives.
async fn lock(fixture: &Fixture) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(fixture.folder.path().join("streamz.db"));
    let mut connection = options.connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
    connection
}

async fn unlock(mut connection: SqliteConnection) {
    sqlx::query("ROLLBACK").execute(&mut connection).await.unwrap();
}

fn all() -> StreamQuery<'static> {
    StreamQuery { active: None, device_id: None, limit: 50, cursor: None }
}

async fn until_online(fixture: &Fixture, user: UserId, device: &str, online: bool) {
    let look = async {
        loop {
            let row = fixture.store.device(user.0, device).await.unwrap().unwrap();
            if row.is_online == online {
                return;
            }
        }
    };
    patiently("row", look).await;
}

#[tokio::test]
async fn presence_is_written_and_waits_for_the_store() {
    let fixture = Fixture::start(NodeConfig::default()).await;
    let gateway = &fixture.gateway;
    let user = fixture.user("a").await;
    gateway.attach(user, 1, "tv", true).await;
    until_online(&fixture, user, "tv", true).await;
    let locked = lock(&fixture).await;
    gateway.up(user, Up::Detach(conn(1), Detach::Clean)).unwrap();
    gateway.up(user, Up::WhoIsOnline { gateway: GATEWAY, request: 1 }).unwrap();
    let online = gateway.until("an answer", |held| held.online.remove(&1)).await;
    assert!(online.is_empty(), "the hub waits for no write");
    unlock(locked).await;
    until_online(&fixture, user, "tv", false).await;
    fixture.stop().await;
}

#[tokio::test]
async fn while_the_store_is_away_streams_start_as_long_as_there_is_room_for_their_records() {
    let desk = DeskLimits { reads: 4, records: 2, presences: 10, devices: 10 };
    let fixture = Fixture::start(NodeConfig { desk, ..NodeConfig::default() }).await;
    let gateway = &fixture.gateway;
    let user = fixture.user("a").await;
    gateway.attach(user, 1, "tv", true).await;
    gateway.attach(user, 2, "phone", true).await;
    until_online(&fixture, user, "phone", true).await;
    let locked = lock(&fixture).await;
    let ring = |name: &str| {
        let payload = json!({"stream_type": "video", "to_device_id": "phone"});
        gateway.say(1, &json!({"type": "stream_start", "payload": payload, "id": name})).unwrap();
    };
    let mut started = 0;
    let full = loop {
        let name = format!("s{started}");
        ring(&name);
        let outcome = |kind: &str| {
            let (kind, name) = (kind.to_owned(), name.clone());
            gateway.count(1, &kind, &name) > 0
        };
        within("an outcome", || (outcome("delivered") || outcome("error")).then_some(())).await;
        if outcome("error") {
            break name;
        }
        started += 1;
        assert!(started < 8, "the queue is bounded");
    };
    assert!((2..=4).contains(&started), "{started}: those in the queue, and at most as many on their way");
    assert_eq!(gateway.count(1, "stream_ringing", &full), 0);
    unlock(locked).await;
    let written = async {
        loop {
            let page = fixture.store.streams(user.0, all()).await.unwrap();
            if page.streams.len() == started {
                return;
            }
        }
    };
    patiently("records", written).await;
    ring("again");
    gateway.hears(1, "delivered", "again").await;
    fixture.stop().await;
}
