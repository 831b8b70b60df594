use std::time::Duration;

use chrono::{DateTime, Utc};
use streamz_store::{LoginKey, RetentionPolicy, Rotation, StreamQuery, StreamRecord, Swept};
use uuid::Uuid;

use crate::fixture::{Fixture, at, ringing};

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;

fn keep(seconds: i64) -> RetentionPolicy {
    let time = Duration::from_secs(seconds.try_into().unwrap());
    RetentionPolicy { streams: time, spent_tokens: time }
}

/// A stream that lasted this long.
fn ended(user_id: Uuid, started_at: DateTime<Utc>, ended_at: DateTime<Utc>) -> StreamRecord {
    StreamRecord { ended_at: Some(ended_at), ..ringing(user_id, started_at) }
}

pub(crate) async fn removes_what_is_old(t: &Fixture) {
    let policy = RetentionPolicy::default();
    let ada = t.user().await;
    let (old, young) = (ended(ada.id, at(-9), at(0)), ended(ada.id, at(-9), at(1)));
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
    let policy = keep(DAY);
    let ada = t.user().await;
    for n in 0..7 {
        t.store.upsert_stream(&ended(ada.id, at(n), at(n))).await.unwrap();
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
    let policy = RetentionPolicy { streams: Duration::MAX, spent_tokens: Duration::MAX };
    let ada = t.user().await;
    t.store.upsert_stream(&ended(ada.id, at(0), at(0))).await.unwrap();
    assert_eq!(t.store.sweep(at(100_000 * DAY), &policy, 10).await.unwrap(), Swept::default());
}

pub(crate) async fn keeps_for_less_than_a_day_if_told(t: &Fixture) {
    let policy = keep(23 * HOUR);
    let ada = t.user().await;
    let stream = ended(ada.id, at(0), at(60));
    t.store.upsert_stream(&stream).await.unwrap();
    t.store.create_family(ada.id, &[1; 32], at(0), at(60)).await.unwrap();
    for now in [61, 23 * HOUR, 23 * HOUR + 60] {
        assert_eq!(t.store.sweep(at(now), &policy, 100).await.unwrap(), Swept::default(), "{now}");
    }
    let swept = t.store.sweep(at(23 * HOUR + 61), &policy, 100).await.unwrap();
    assert_eq!(swept, Swept { streams: 1, tokens: 1, families: 1, ..Swept::default() });
}

pub(crate) async fn leaves_streams_that_go_on(t: &Fixture) {
    let policy = keep(DAY);
    let ada = t.user().await;
    // A camera that streams since weeks; one that did until an hour ago; one that rang in vain.
    let live = ringing(ada.id, at(0));
    let until_now = ended(ada.id, at(0), at(30 * DAY - HOUR));
    let short = ended(ada.id, at(1), at(2));
    for stream in [&live, &until_now, &short] {
        t.store.upsert_stream(stream).await.unwrap();
    }
    // Those that stay do not fill a batch.
    let swept = t.store.sweep(at(30 * DAY), &policy, 2).await.unwrap();
    assert_eq!(swept, Swept { streams: 1, ..Swept::default() });
    assert!(t.store.stream(ada.id, live.id).await.unwrap().is_some());
    assert!(t.store.stream(ada.id, until_now.id).await.unwrap().is_some());
    assert!(t.store.stream(ada.id, short.id).await.unwrap().is_none());
    // Its time begins when it ends.
    t.store.upsert_stream(&StreamRecord { ended_at: Some(at(30 * DAY)), ..live }).await.unwrap();
    let swept = t.store.sweep(at(31 * DAY), &policy, 2).await.unwrap();
    assert_eq!(swept, Swept { streams: 1, ..Swept::default() });
    let swept = t.store.sweep(at(31 * DAY + 1), &policy, 2).await.unwrap();
    assert_eq!(swept, Swept { streams: 1, ..Swept::default() });
}
