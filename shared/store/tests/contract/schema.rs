use streamz_store::{Backend, MigrateError, SchemaState, StoreError};

use crate::fixture::Fixture;

pub(crate) async fn is_migrated_once(t: &Fixture) {
    assert_eq!(t.store.check_schema().await.unwrap(), SchemaState::UpToDate);
    let ada = t.user().await;
    t.store.migrate().await.unwrap();
    assert_eq!(t.store.user(ada.id).await.unwrap(), Some(ada));
}

pub(crate) async fn is_compared(t: &Fixture) {
    t.raw("UPDATE _sqlx_migrations SET success = FALSE").await;
    assert_eq!(t.store.check_schema().await.unwrap(), SchemaState::Altered(1));
    t.raw("DELETE FROM _sqlx_migrations").await;
    assert_eq!(t.store.check_schema().await.unwrap(), SchemaState::Missing(vec![1]));
    t.raw("DROP TABLE _sqlx_migrations").await;
    assert_eq!(t.store.check_schema().await.unwrap(), SchemaState::Missing(vec![1]));
}

pub(crate) async fn of_a_newer_program_is_left_alone(t: &Fixture) {
    t.raw("UPDATE _sqlx_migrations SET version = 9999").await;
    assert_eq!(t.store.check_schema().await.unwrap(), SchemaState::Newer(9999));
    let refused = t.store.migrate().await;
    assert!(matches!(refused, Err(MigrateError::Unfit(9999))), "{refused:?}");
}

pub(crate) async fn answers_until_closed(t: &Fixture) {
    t.store.ping().await.unwrap();
    assert_eq!(t.store.backend() == Backend::Postgres, t.is_postgres());
    assert!(t.store.pool_stats().open >= 1);
    t.store.close().await;
    let after = t.store.ping().await;
    assert!(matches!(after, Err(StoreError::Unavailable(_))), "{after:?}");
}
