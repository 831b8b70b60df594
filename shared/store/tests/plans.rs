//! The frequent statements read by index, on tables of some size: the server logs the plan of everything that the store
//! has it do, foreign-key work included, and each operation is held to the indexes that it is meant to use.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use streamz_protocol::cluster::{Epoch, SLOTS, Slot, Tenure};
use streamz_protocol::{NodeId, ProcessId};
use streamz_store::{
    DeviceChange, Eviction, FencedPresence, LoginKey, Move, NewDevice, NewOwner, PresenceUpdate, ProcessKind,
    RetentionPolicy, Staleness, Store, StoreOptions, StreamQuery, StreamRecord, TakeCoordinator,
};
use streamz_testkit::Postgres;
use uuid::Uuid;

/// 2,000 users with 10 devices each, 20 streams and 5 refresh families of 2 tokens; a few of them live, a few old.
const FILL: &str = "
    INSERT INTO users SELECT gen_random_uuid(), 'user' || n || '@example.org', 'x', NULL, NULL, now(), now()
        FROM generate_series(1, 2000) n;
    INSERT INTO devices SELECT gen_random_uuid(), u.id, 'device' || n, 'name', 'type',
            (random() < 0.002), now(), now(), (random() * 4095)::integer FROM users u, generate_series(1, 10) n;
    INSERT INTO streams SELECT gen_random_uuid(), d.user_id, d.id, d.id, 'video', now() - random() * interval '89 days',
            CASE WHEN random() < 0.99 THEN now() END, NULL, NULL, NULL, NULL, (random() * 4095)::integer FROM devices d, generate_series(1, 2) n;
    INSERT INTO refresh_families SELECT gen_random_uuid(), u.id, now(), now() + random() * interval '29 days',
            CASE WHEN random() < 0.01 THEN now() END, NULL FROM users u, generate_series(1, 5) n;
    INSERT INTO refresh_tokens SELECT sha256((f.id::text || n)::bytea), f.id, now(), now() + interval '30 days',
            CASE WHEN random() < 0.1 THEN now() END FROM refresh_families f, generate_series(1, 2) n;
    INSERT INTO ended_families SELECT gen_random_uuid(), gen_random_uuid(), now() + random() * interval '29 days',
            now() - random() * interval '29 days' FROM generate_series(1, 5000) n;
    INSERT INTO login_counters SELECT sha256(n::text::bytea), now(), 1, 0, NULL, now() FROM generate_series(1, 5000) n;
    INSERT INTO processes SELECT n, 'node', 'node-' || n, '', 0, FALSE, now(), now() FROM generate_series(1, 200) n;
    UPDATE slots SET owner = 1 + slot % 200, epoch = 1, version = 1;
    UPDATE slot_table SET version = 1;
    ANALYZE;
";

/// Tables of one row, and that of the processes, a page or two: reading all of it is the best way.
const SMALL: [&str; 3] = [" on slot_table ", " on coordinator ", " on processes "];

/// A database with contents, whose log holds every plan.
struct Planner {
    server: &'static Postgres,
    database: String,
    store: Store,
    read: usize,
}

impl Planner {
    async fn new() -> Self {
        let server = Postgres::shared();
        let url = server.create_database();
        let database = url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
        // One connection: a statement is logged before the next one is answered.
        let options = StoreOptions { max_connections: 1, ..StoreOptions::default() };
        let store = Store::connect(&url, &options).await.unwrap();
        store.migrate().await.unwrap();
        store.close().await;
        server.sql(&database, FILL);
        for setting in [
            "session_preload_libraries = 'auto_explain'",
            "auto_explain.log_min_duration = 0",
            "auto_explain.log_nested_statements = on",
            "jit = off",
        ] {
            server.sql("postgres", &format!("ALTER DATABASE {database} SET {setting}"));
        }
        let store = Store::connect(&url, &options).await.unwrap();
        store.ping().await.unwrap();
        Self { server, database, store, read: server.log().len() }
    }

    /// The indexes that the operations since the last call read, one by one.
    async fn expect(&mut self, operation: &str, expected: &[&str]) {
        let (used, new) = self.used(operation).await;
        let expected: BTreeSet<&str> = expected.iter().copied().collect();
        assert_eq!(used.iter().map(String::as_str).collect::<BTreeSet<_>>(), expected, "{operation}:\n{new}");
    }

    /// The same where a table is so small that its index may or may not be worth it.
    async fn expect_at_most(&mut self, operation: &str, allowed: &[&str]) {
        let (used, new) = self.used(operation).await;
        assert!(used.iter().all(|index| allowed.contains(&index.as_str())), "{operation}: {used:?}\n{new}");
    }

    async fn used(&mut self, operation: &str) -> (BTreeSet<String>, String) {
        self.store.ping().await.unwrap();
        let log = self.server.log();
        let new = log[self.read..].to_owned();
        self.read = log.len();
        let mut used = BTreeSet::new();
        let mut ours = false;
        for line in new.lines() {
            // The lines of a plan after its first begin with a tab.
            if !line.starts_with('\t') {
                ours = line.starts_with(&self.database) && line.contains("plan:");
            } else if ours {
                let small = SMALL.iter().any(|table| line.contains(table));
                assert!(small || !line.contains("Seq Scan"), "{operation} reads a whole table:\n{new}");
                let index =
                    line.split_once(" using ").and_then(|(_, rest)| rest.split(' ').next()).or_else(|| {
                        line.split_once("Bitmap Index Scan on ").and_then(|(_, rest)| rest.split(' ').next())
                    });
                used.extend(index.map(str::to_owned));
            }
        }
        (used, new)
    }
}

#[tokio::test]
async fn the_frequent_statements_read_by_index() {
    let mut p = Planner::new().await;
    let store = p.store.clone();
    let now: DateTime<Utc> = Utc::now();
    let user = store.user_by_email("user77@example.org").await.unwrap().unwrap().user.id;
    p.expect("user_by_email", &["users_email_key"]).await;
    store.user(user).await.unwrap().unwrap();
    p.expect("user", &["users_pkey"]).await;

    let of_user = "devices_user_id_device_id_key";
    let devices = store.devices(user).await.unwrap();
    p.expect("devices", &[of_user]).await;
    store.user_with_devices(user).await.unwrap().unwrap();
    p.expect("user_with_devices", &[of_user]).await;
    store.user_with_devices(Uuid::nil()).await.unwrap();
    p.expect("user_with_devices (none)", &[of_user, "users_pkey"]).await;
    store.device(user, "device3").await.unwrap().unwrap();
    p.expect("device", &[of_user]).await;
    let new = NewDevice { user_id: user, device_id: "new", device_name: "n", device_type: "t" };
    store.ensure_device(new, 100, now).await.unwrap();
    p.expect("ensure_device", &[of_user, "users_pkey"]).await;
    store.update_device(user, "new", DeviceChange::default()).await.unwrap().unwrap();
    p.expect("update_device", &[of_user]).await;
    let updates: Vec<PresenceUpdate> = devices
        .iter()
        .map(|device| PresenceUpdate { id: device.id, is_online: true, last_seen: now })
        .collect();
    store.set_presence(&updates).await.unwrap();
    p.expect("set_presence", &["devices_pkey"]).await;
    assert!(store.reset_presence(None).await.unwrap() > 10);
    p.expect("reset_presence", &["devices_online_slot", "devices_pkey"]).await;

    let mut record = StreamRecord {
        id: Uuid::now_v7(),
        user_id: user,
        source_device_id: Some(devices[0].id),
        target_device_id: Some(devices[1].id),
        stream_type: "video".to_owned(),
        started_at: now,
        ended_at: None,
        end_reason: None,
        connection_type: None,
        quality: None,
        latency_ms: None,
    };
    store.upsert_stream(&record).await.unwrap();
    record.latency_ms = Some(7);
    store.upsert_stream(&record).await.unwrap();
    p.expect("upsert_stream", &["users_pkey", "devices_pkey"]).await;
    store.stream(user, record.id).await.unwrap().unwrap();
    p.expect("stream", &["streams_pkey", "devices_pkey"]).await;
    let all = StreamQuery { limit: 5, ..Default::default() };
    let with_device = StreamQuery { device_id: Some("device3"), ..all };
    let page = ["streams_pkey", "devices_pkey"];
    for (query, indexes) in [
        (all, vec!["streams_user_recent"]),
        (StreamQuery { active: Some(false), ..all }, vec!["streams_user_recent"]),
        (StreamQuery { active: Some(true), ..all }, vec!["streams_user_open"]),
        (with_device, vec!["streams_source", "streams_target", of_user]),
        (
            StreamQuery { active: Some(false), ..with_device },
            vec!["streams_source", "streams_target", of_user],
        ),
    ] {
        let first = store.streams(user, query).await.unwrap();
        if let Some(cursor) = first.next_cursor.as_deref() {
            store.streams(user, StreamQuery { cursor: Some(cursor), ..query }).await.unwrap();
        }
        p.expect(&format!("{query:?}"), &[&indexes[..], &page[..]].concat()).await;
    }
    assert!(store.close_open_streams(now, "restart").await.unwrap() > 10);
    p.expect("close_open_streams", &["streams_open_slot", "streams_pkey"]).await;

    let family = store.create_family(user, &[1; 32], now, now + TimeDelta::days(30)).await.unwrap();
    p.read = p.server.log().len();
    store.rotate_refresh_token(&[1; 32], &[2; 32], now, now + TimeDelta::days(30)).await.unwrap();
    p.expect("rotate_refresh_token", &["refresh_tokens_pkey", "refresh_families_pkey", "users_pkey"]).await;
    store.is_family_revoked(family).await.unwrap();
    store.revoke_family(family, "logout", now).await.unwrap();
    p.expect("revoke_family", &["refresh_families_pkey"]).await;
    store.revoked_since(now - TimeDelta::minutes(15), None, 100).await.unwrap();
    p.expect("revoked_since", &["refresh_families_revoked", "ended_families_revoked"]).await;
    store.sign_ins(user, now).await.unwrap();
    p.expect("sign_ins", &["refresh_families_user", "refresh_tokens_family"]).await;
    store.end_sign_in(user, family, "ended", now).await.unwrap();
    p.expect("end_sign_in", &["refresh_families_pkey"]).await;
    store.change_password(user, ("x", "y"), family, now).await.unwrap().unwrap();
    p.expect("change_password", &["users_pkey", "refresh_families_user"]).await;

    store.login_attempt(LoginKey::Account("a"), 5, now).await.unwrap();
    store.login_attempt(LoginKey::Account("a"), 5, now).await.unwrap();
    store.login_succeeded("a").await.unwrap();
    p.expect("login", &["login_counters_pkey"]).await;

    store.sweep(now, &RetentionPolicy::default(), 100).await.unwrap();
    let swept = [
        ["streams_started", "streams_pkey"],
        ["refresh_tokens_expires", "refresh_tokens_pkey"],
        ["refresh_tokens_spent", "refresh_tokens_family"],
        ["refresh_families_expires", "refresh_families_pkey"],
        ["ended_families_expires", "ended_families_pkey"],
        ["login_counters_updated", "login_counters_pkey"],
    ];
    p.expect("sweep", swept.as_flattened()).await;
}

#[tokio::test]
async fn what_hangs_on_a_row_goes_by_index() {
    let mut p = Planner::new().await;
    let store = p.store.clone();
    let user = store.user_by_email("user99@example.org").await.unwrap().unwrap().user.id;
    p.read = p.server.log().len();
    store.delete_device(user, "device4").await.unwrap().unwrap();
    let row = ["devices_user_id_device_id_key", "streams_source", "streams_target", "users_pkey"];
    p.expect("delete_device", &row).await;
    assert!(store.delete_user(user, Utc::now()).await.unwrap().is_some());
    let cascade = [
        "users_pkey",
        "devices_user_id_device_id_key",
        "streams_user_recent",
        "streams_source",
        "streams_target",
        "refresh_families_user",
        "refresh_tokens_family",
    ];
    p.expect("delete_user", &cascade).await;
}

#[tokio::test]
async fn what_a_cluster_does_all_the_time_reads_by_index() {
    let mut p = Planner::new().await;
    let store = p.store.clone();
    let cluster = store.cluster().unwrap();
    let small = "processes_pkey";
    let owner = |slot: u64| NodeId(1 + slot % 200);
    let at = |number: u16, epoch| Tenure { slot: Slot::new(number).unwrap(), epoch: Epoch(epoch) };
    let seven = [at(7, 1), at(8, 1), at(9, 1)];

    let taken = cluster.try_take(owner(0), std::time::Duration::ZERO).await.unwrap();
    let TakeCoordinator::Taken(term) = taken else { panic!("{taken:?}") };
    cluster.renew_coordinator(term).await.unwrap();
    p.read = p.server.log().len();
    cluster.renew(owner(0).into()).await.unwrap();
    p.expect_at_most("renew", &[small]).await;
    cluster.live_processes(ProcessKind::Node).await.unwrap();
    p.expect_at_most("live_processes", &[]).await;
    // Few changes by index; all of them need no index.
    cluster.slot_changes_since(1).await.unwrap();
    p.expect("slot_changes_since", &["slots_version"]).await;

    let moves: Vec<Move> = seven
        .iter()
        .map(|tenure| Move { tenure: *tenure, owner: owner(tenure.slot.number().into()), to: NodeId(1) })
        .collect();
    assert_eq!(cluster.plan_moves(term, &moves).await.unwrap().applied.len(), 3);
    // Which slots move to a node is asked rarely, and of all of them.
    p.read = p.server.log().len();
    assert_eq!(cluster.hand_over(owner(7), &seven).await.unwrap().applied.len(), 1);
    p.expect_at_most("hand_over", &["slots_pkey", small]).await;

    let user = store.user_by_email("user77@example.org").await.unwrap().unwrap().user.id;
    let devices = store.devices(user).await.unwrap();
    p.read = p.server.log().len();
    let updates: Vec<FencedPresence> = devices
        .iter()
        .map(|device| FencedPresence {
            tenure: at(8, 1),
            update: PresenceUpdate { id: device.id, is_online: true, last_seen: Utc::now() },
        })
        .collect();
    assert_eq!(cluster.set_presence(&updates).await.unwrap().written, 10);
    p.expect("set_presence", &["slots_pkey", "devices_pkey"]).await;
    let record = StreamRecord {
        id: Uuid::now_v7(),
        user_id: user,
        source_device_id: Some(devices[0].id),
        target_device_id: Some(devices[1].id),
        stream_type: "video".to_owned(),
        started_at: Utc::now(),
        ended_at: None,
        end_reason: None,
        connection_type: None,
        quality: None,
        latency_ms: None,
    };
    cluster.upsert_stream(at(8, 1), &record).await.unwrap();
    p.expect("upsert_stream", &["slots_pkey", "users_pkey", "devices_pkey"]).await;
    let slots: Vec<Slot> = (0..64).map(|number| Slot::new(number).unwrap()).collect();
    assert!(cluster.left_online(&slots, None, 100).await.unwrap().len() >= 10);
    p.expect("left_online", &["devices_online_slot"]).await;
    assert!(!cluster.left_open(&slots, None, 100).await.unwrap().is_empty());
    p.expect("left_open", &["streams_open_slot"]).await;
    cluster.close_streams(&[(at(8, 1), record.id)], Utc::now(), "node_lost").await.unwrap();
    p.expect("close_streams", &["slots_pkey", "streams_pkey"]).await;
    cluster.adopt_strays(100).await.unwrap();
    p.expect("adopt_strays", &["devices_online_slot", "streams_open_slot"]).await;

    // A whole eviction: rare, and it may read the slots in one go; never users' rows.
    let dead = Eviction { process: ProcessId(5), stale: Staleness::Lease(std::time::Duration::ZERO) };
    let owners: Vec<NewOwner> =
        (4..SLOTS).step_by(200).map(|number| NewOwner { tenure: at(number, 1), owner: NodeId(1) }).collect();
    let evicted = cluster.evict(term, &[dead], &owners).await.unwrap();
    assert_eq!(evicted.slots.applied.len(), owners.len());
}
