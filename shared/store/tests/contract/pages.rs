use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use streamz_store::{MAX_PAGE, PageError, StreamQuery, StreamRecord, User};
use uuid::Uuid;

use crate::fixture::{Fixture, at, ringing};

/// Reads page after page.
async fn all(t: &Fixture, user: &User, query: StreamQuery<'_>) -> Vec<Uuid> {
    let mut ids = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page =
            t.store.streams(user.id, StreamQuery { cursor: cursor.as_deref(), ..query }).await.unwrap();
        assert!(page.streams.len() <= query.limit as usize);
        ids.extend(page.streams.iter().map(|stream| stream.id));
        match page.next_cursor {
            Some(next) => {
                assert_eq!(page.streams.len(), query.limit as usize);
                cursor = Some(next);
            }
            None => return ids,
        }
    }
}

async fn stream_at(t: &Fixture, user: &User, started_at: DateTime<Utc>) -> StreamRecord {
    let record = ringing(user.id, started_at);
    assert!(t.store.upsert_stream(&record).await.unwrap());
    record
}

pub(crate) async fn go_through_equal_times(t: &Fixture) {
    let (ada, eve) = (t.user().await, t.user().await);
    let mut expected = BTreeSet::new();
    for n in 0..12 {
        let record = stream_at(t, &ada, at(n / 6)).await;
        expected.insert((record.started_at, record.id));
        stream_at(t, &eve, at(n / 6)).await;
    }
    let expected: Vec<Uuid> = expected.into_iter().rev().map(|(_, id)| id).collect();
    for limit in [1, 3, 4, 5, 11, 12, 13] {
        assert_eq!(
            all(t, &ada, StreamQuery { limit, ..Default::default() }).await,
            expected,
            "{limit} a page"
        );
    }
}

pub(crate) async fn stay_in_place_while_streams_start(t: &Fixture) {
    let ada = t.user().await;
    let (old, new) = (stream_at(t, &ada, at(1)).await, stream_at(t, &ada, at(2)).await);
    let query = StreamQuery { limit: 1, ..Default::default() };
    let first = t.store.streams(ada.id, query).await.unwrap();
    assert_eq!(first.streams[0].id, new.id);
    stream_at(t, &ada, at(3)).await;
    let second =
        t.store.streams(ada.id, StreamQuery { cursor: first.next_cursor.as_deref(), ..query }).await.unwrap();
    assert_eq!((second.streams[0].id, second.next_cursor), (old.id, None));
}

pub(crate) async fn show_live_or_ended_ones(t: &Fixture) {
    let ada = t.user().await;
    let (mut live, mut ended) = (Vec::new(), Vec::new());
    for n in (0..8).rev() {
        let mut record = ringing(ada.id, at(n));
        if n % 2 == 0 {
            live.push(record.id);
        } else {
            record.ended_at = Some(at(100));
            ended.push(record.id);
        }
        t.store.upsert_stream(&record).await.unwrap();
    }
    let query = |active| StreamQuery { active: Some(active), limit: 3, ..Default::default() };
    assert_eq!(all(t, &ada, query(true)).await, live);
    assert_eq!(all(t, &ada, query(false)).await, ended);
}

pub(crate) async fn show_one_device(t: &Fixture) {
    let (ada, eve) = (t.user().await, t.user().await);
    let (camera, tv) = (t.device(&ada, "camera").await.id, t.device(&ada, "tv").await.id);
    t.device(&eve, "eves").await;
    let mut with_tv = Vec::new();
    for n in (0..10).rev() {
        let (source, target) = match n % 4 {
            0 => (Some(camera), Some(tv)),
            1 => (Some(tv), None),
            2 => (Some(camera), None),
            _ => (Some(tv), Some(tv)), // in both indexes, on the page once
        };
        let record =
            StreamRecord { source_device_id: source, target_device_id: target, ..ringing(ada.id, at(n)) };
        t.store.upsert_stream(&record).await.unwrap();
        if [source, target].contains(&Some(tv)) {
            with_tv.push(record.id);
        }
    }
    let query = StreamQuery { device_id: Some("tv"), limit: 2, ..Default::default() };
    assert_eq!(all(t, &ada, query).await, with_tv);
    assert_eq!(all(t, &ada, StreamQuery { active: Some(true), ..query }).await, with_tv);
    assert!(all(t, &ada, StreamQuery { active: Some(false), ..query }).await.is_empty());
    for unknown in ["none", "eves", "", "tv\0"] {
        assert!(all(t, &ada, StreamQuery { device_id: Some(unknown), ..query }).await.is_empty());
    }
}

pub(crate) async fn order_every_fraction_of_a_second(t: &Fixture) {
    // SQLite compares the texts of times: with and without a fraction, of three and of six digits.
    let ada = t.user().await;
    let mut expected = Vec::new();
    for micros in [0, 1, 999, 1_000, 1_001, 499_999, 500_000, 500_001, 999_999, 1_000_000, 1_000_001] {
        expected.push(stream_at(t, &ada, at(0) + TimeDelta::microseconds(micros)).await.id);
    }
    expected.reverse();
    assert_eq!(all(t, &ada, StreamQuery { limit: 2, ..Default::default() }).await, expected);
}

pub(crate) async fn refuse_other_cursors(t: &Fixture) {
    let ada = t.user().await;
    for bad in ["", "0", "' OR 1=1 --", "\0", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "é"] {
        let query = StreamQuery { cursor: Some(bad), limit: 1, ..Default::default() };
        let page = t.store.streams(ada.id, query).await;
        assert!(matches!(page, Err(PageError::BadCursor)), "{bad:?}: {page:?}");
    }
    // One of another user is a place in time and tells nothing.
    let eve = t.user().await;
    for n in 0..3 {
        stream_at(t, &eve, at(n)).await;
    }
    let query = StreamQuery { limit: 1, ..Default::default() };
    let cursor = t.store.streams(eve.id, query).await.unwrap().next_cursor.unwrap();
    let page = t.store.streams(ada.id, StreamQuery { cursor: Some(&cursor), ..query }).await.unwrap();
    assert!(page.streams.is_empty());
}

pub(crate) async fn have_a_size(t: &Fixture) {
    let ada = t.user().await;
    for n in 0..=MAX_PAGE {
        stream_at(t, &ada, at(n.into())).await;
    }
    for (limit, got) in [(0, 1), (1, 1), (MAX_PAGE, MAX_PAGE), (MAX_PAGE + 1, MAX_PAGE), (u32::MAX, MAX_PAGE)]
    {
        let page = t.store.streams(ada.id, StreamQuery { limit, ..Default::default() }).await.unwrap();
        assert_eq!(page.streams.len(), got as usize, "{limit}");
        assert!(page.next_cursor.is_some());
    }
}
