use streamz_store::{Backend, SchemaState, StoreError};

use crate::fixture::Fixture;

pub(crate) async fn is_migrated_once(t: &Fixture) {
    assert_eq!(t.store.check_schema().await.unwrap(), SchemaState::UpToDate);
    let ada = t.user().await;
    t.store.migrate().await.unwrap();
    assert_eq!(t.store.user(ada.id).await.unwrap(), Some(ada));
}

pub(crate) async fn is_compared(t: &Fixture) {
    t.raw("DELETE FROM _sqlx_migrations WHERE version = 2").await;
    assert_eq!(t.store.check_schema().await.unwrap(), SchemaState::Missing(vec![2]));
    t.raw("UPDATE _sqlx_migrations SET success = FALSE").await;
    assert_eq!(t.store.check_schema().await.unwrap(), SchemaState::Altered(3));
    t.raw("DELETE FROM _sqlx_migrations").await;
    assert_eq!(t.store.check_schema().await.unwrap(), SchemaState::Missing(vec![1, 2, 3]));
    t.raw("DROP TABLE _sqlx_migrations").await;
    assert_eq!(t.store.check_schema().await.unwrap(), SchemaState::Missing(vec![1, 2, 3]));
}

/// A rolling upgrade: the newer program migrates first, and an older one restarts beside it.
pub(crate) async fn of_a_newer_program_is_served_by_an_older_one(t: &Fixture) {
    t.raw(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
           SELECT 9999, 'from the future', TRUE, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
    )
    .await;
    t.raw("ALTER TABLE users ADD COLUMN from_the_future TEXT").await;
    assert_eq!(t.store.check_schema().await.unwrap(), SchemaState::Newer(9999));
    t.store.migrate().await.unwrap();
    let ada = t.user().await;
    assert_eq!(t.store.user(ada.id).await.unwrap(), Some(ada));
    // What this program needs has to be there all the same,
    t.raw("DELETE FROM _sqlx_migrations WHERE version = 2").await;
    assert_eq!(t.store.check_schema().await.unwrap(), SchemaState::Missing(vec![2]));
    // and whole.
    t.raw("UPDATE _sqlx_migrations SET success = FALSE WHERE version = 9999").await;
    assert_eq!(t.store.check_schema().await.unwrap(), SchemaState::Altered(9999));
}

pub(crate) async fn answers_until_closed(t: &Fixture) {
    t.store.ping().await.unwrap();
    assert_eq!(t.store.backend() == Backend::Postgres, t.is_postgres());
    assert!(t.store.pool_stats().open >= 1);
    t.store.close().await;
    let after = t.store.ping().await;
    assert!(matches!(after, Err(StoreError::Unavailable(_))), "{after:?}");
}

/// The database of a program that knew the first migration only, with what was in it.
pub(crate) async fn of_an_older_program_is_brought_up_to_date(t: &Fixture) {
    for sql in [
        "CREATE INDEX devices_online ON devices (id) WHERE is_online",
        "DROP INDEX devices_online_slot",
        "DROP INDEX streams_open_slot",
        "ALTER TABLE devices DROP COLUMN slot",
        "ALTER TABLE streams DROP COLUMN slot",
        "DROP TABLE processes",
        "DROP TABLE coordinator",
        "DROP TABLE slot_table",
        "DROP TABLE slots",
        "DROP TABLE ended_families",
        "ALTER TABLE refresh_families DROP COLUMN user_agent",
        "DELETE FROM _sqlx_migrations WHERE version > 1",
    ] {
        t.raw(sql).await;
    }
    let ada = t.user().await;
    t.raw(
        "INSERT INTO devices (id, user_id, device_id, device_name, device_type, is_online, created_at) \
               SELECT id, id, 'tv', 'tv', 'tv', TRUE, created_at FROM users",
    )
    .await;
    assert_eq!(t.store.check_schema().await.unwrap(), SchemaState::Missing(vec![2, 3]));
    t.store.migrate().await.unwrap();
    assert_eq!(t.store.check_schema().await.unwrap(), SchemaState::UpToDate);
    assert!(t.store.device(ada.id, "tv").await.unwrap().unwrap().is_online);
    assert_eq!(t.store.reset_presence(None).await.unwrap(), 1);
}

pub(crate) async fn has_a_cluster_only_where_many_share_it(t: &Fixture) {
    assert_eq!(t.store.cluster().is_some(), t.is_postgres());
    // The tables are there in any case: one set of migrations.
    assert_eq!(t.count("SELECT count(*) FROM slots WHERE epoch = 0 AND slot BETWEEN 0 AND 4095").await, 4096);
    assert_eq!(t.count("SELECT count(*) FROM slot_table").await, 1);
    assert_eq!(t.count("SELECT count(*) FROM coordinator").await, 1);
}
