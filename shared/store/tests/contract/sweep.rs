use streamz_store::{LoginKey, RetentionPolicy, Rotation, StreamQuery, Swept};

use crate::fixture::{Fixture, at, ringing};

const DAY: i64 = 24 * 60 * 60;

pub(crate) async fn removes_what_is_old(t: &Fixture) {
    let policy = RetentionPolicy::default();
    let ada = t.user().await;
    let (old, young) = (ringing(ada.id, at(0)), ringing(ada.id, at(1)));
    t.store.upsert_stream(&old).await.unwrap();
    t.store.upsert_stream(&young).await.unwrap();
    // One family that ran out, one that goes on.
    let gone = t.store.create_family(ada.id, &[1; 32], at(0), at(60 * DAY)).await.unwrap();
    let live = t.store.create_family(ada.id, &[2; 32], at(0), at(60 * DAY)).await.unwrap();
    t.store.rotate_refresh_token(&[2; 32], &[3; 32], at(60 * DAY - 1), at(200 * DAY)).await.unwrap();
    t.store.login_attempt(LoginKey::Account("a"), 5, at(90 * DAY - 7200)).await.unwrap();
    t.store.login_attempt(LoginKey::Account("b"), 5, at(90 * DAY - 60)).await.unwrap();

    // To the second: nothing is past its time yet, but a login counter.
    let early = t.store.sweep(at(90 * DAY - 1), &policy, 100).await.unwrap();
    assert_eq!(early, Swept { login_counters: 1, ..Swept::default() });
    let swept = t.store.sweep(at(90 * DAY + 1), &policy, 100).await.unwrap();
    // Tokens: the one that ran out, and the one that was spent.
    assert_eq!(swept, Swept { streams: 1, tokens: 2, families: 1, login_counters: 0, more: false });

    assert!(t.store.stream(ada.id, old.id).await.unwrap().is_none());
    assert!(t.store.stream(ada.id, young.id).await.unwrap().is_some());
    assert!(t.store.is_family_revoked(gone).await.unwrap());
    assert!(!t.store.is_family_revoked(live).await.unwrap());
    let goes_on =
        t.store.rotate_refresh_token(&[3; 32], &[4; 32], at(91 * DAY), at(200 * DAY)).await.unwrap();
    assert!(matches!(goes_on, Rotation::Rotated { .. }));
}

pub(crate) async fn takes_small_batches(t: &Fixture) {
    let policy = RetentionPolicy { streams_days: 1, spent_tokens_days: 1 };
    let ada = t.user().await;
    for n in 0..7 {
        t.store.upsert_stream(&ringing(ada.id, at(n))).await.unwrap();
    }
    let mut removed = Vec::new();
    loop {
        let swept = t.store.sweep(at(3 * DAY), &policy, 3).await.unwrap();
        removed.push(swept.streams);
        if !swept.more {
            break;
        }
        // The oldest go first.
        let query = StreamQuery { limit: 100, ..Default::default() };
        let left = t.store.streams(ada.id, query).await.unwrap().streams;
        assert_eq!(left.first().map(|stream| stream.started_at), Some(at(6)));
    }
    assert_eq!(removed, [3, 3, 1]);
    assert_eq!(t.store.sweep(at(3 * DAY), &policy, 0).await.unwrap(), Swept::default());
}

pub(crate) async fn keeps_everything_for_ever_if_told(t: &Fixture) {
    let policy = RetentionPolicy { streams_days: u32::MAX, spent_tokens_days: u32::MAX };
    let ada = t.user().await;
    t.store.upsert_stream(&ringing(ada.id, at(0))).await.unwrap();
    assert_eq!(t.store.sweep(at(100_000 * DAY), &policy, 10).await.unwrap(), Swept::default());
}
