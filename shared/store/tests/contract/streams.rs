use streamz_store::{DeviceRef, StreamRecord};
use uuid::Uuid;

use crate::fixture::{Fixture, at, ringing};

pub(crate) async fn grow(t: &Fixture) {
    let ada = t.user().await;
    let (camera, tv) = (t.device(&ada, "camera").await, t.device(&ada, "tv").await);
    let mut record = ringing(ada.id, at(0));
    record.source_device_id = Some(camera.id);
    assert!(t.store.upsert_stream(&record).await.unwrap());
    let live = t.store.stream(ada.id, record.id).await.unwrap().unwrap();
    assert_eq!((live.started_at, live.ended_at, live.target_device), (at(0), None, None));

    record.target_device_id = Some(tv.id);
    assert!(t.store.upsert_stream(&record).await.unwrap());
    // What a later writer does not know is not forgotten.
    let stats = StreamRecord {
        source_device_id: None,
        target_device_id: None,
        connection_type: Some("p2p".to_owned()),
        quality: Some("720p".to_owned()),
        latency_ms: Some(i64::MAX),
        ..record.clone()
    };
    assert!(t.store.upsert_stream(&stats).await.unwrap());
    let end =
        StreamRecord { ended_at: Some(at(60)), end_reason: Some("hangup".to_owned()), ..record.clone() };
    assert!(t.store.upsert_stream(&end).await.unwrap());

    let whole = t.store.stream(ada.id, record.id).await.unwrap().unwrap();
    assert_eq!(
        serde_json::to_value(&whole).unwrap(),
        serde_json::json!({
            "id": record.id.to_string(),
            "user_id": ada.id.to_string(),
            "source_device_id": camera.id.to_string(),
            "target_device_id": tv.id.to_string(),
            "stream_type": "video",
            "started_at": "2025-11-24T16:00:00.000Z",
            "ended_at": "2025-11-24T16:01:00.000Z",
            "end_reason": "hangup",
            "connection_type": "p2p",
            "quality": "720p",
            "latency_ms": i64::MAX,
            "source_device": {"id": camera.id.to_string(), "device_id": "camera", "device_name": "camera"},
            "target_device": {"id": tv.id.to_string(), "device_id": "tv", "device_name": "tv"},
        })
    );
}

pub(crate) async fn end_once(t: &Fixture) {
    let ada = t.user().await;
    let record = ringing(ada.id, at(0));
    let end = |seconds, reason: Option<&str>| StreamRecord {
        ended_at: Some(at(seconds)),
        end_reason: reason.map(str::to_owned),
        ..record.clone()
    };
    t.store.upsert_stream(&end(5, None)).await.unwrap();
    t.store.upsert_stream(&end(9, Some("late"))).await.unwrap();
    // A start that was held up does not open it again.
    t.store.upsert_stream(&record).await.unwrap();
    let stored = t.store.stream(ada.id, record.id).await.unwrap().unwrap();
    assert_eq!((stored.ended_at, stored.end_reason), (Some(at(5)), None));
}

pub(crate) async fn are_written_any_number_of_times_at_once(t: &Fixture) {
    let ada = t.user().await;
    let record = ringing(ada.id, at(0));
    let writers: Vec<_> = (0..16)
        .map(|n| {
            let record = StreamRecord { latency_ms: Some(n), ..record.clone() };
            let store = t.store.clone();
            tokio::spawn(async move { store.upsert_stream(&record).await })
        })
        .collect();
    for writer in writers {
        assert!(writer.await.unwrap().unwrap());
    }
    assert_eq!(t.store.streams(ada.id, query()).await.unwrap().streams.len(), 1);
}

pub(crate) async fn are_written_by_many_at_once(t: &Fixture) {
    const WRITERS: usize = 32;
    const EACH: usize = 25;
    let ada = t.user().await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let store = t.store.clone();
            tokio::spawn(async move {
                for _ in 0..EACH {
                    assert!(store.upsert_stream(&ringing(ada.id, at(0))).await.unwrap());
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let closed = t.store.close_open_streams(at(1), "end").await.unwrap();
    assert_eq!(closed, (WRITERS * EACH) as u64);
}

pub(crate) async fn outlive_their_devices(t: &Fixture) {
    let ada = t.user().await;
    let (camera, tv) = (t.device(&ada, "camera").await, t.device(&ada, "tv").await);
    let record = StreamRecord {
        source_device_id: Some(camera.id),
        target_device_id: Some(tv.id),
        ..ringing(ada.id, at(0))
    };
    t.store.upsert_stream(&record).await.unwrap();
    t.store.delete_device(ada.id, "camera").await.unwrap();
    let check = async || {
        let stored = t.store.stream(ada.id, record.id).await.unwrap().unwrap();
        assert_eq!((stored.source_device_id, stored.source_device), (None, None));
        assert_eq!(stored.target_device.unwrap().device_id, "tv");
    };
    check().await;
    // A record that still names it is written without it.
    assert!(t.store.upsert_stream(&record).await.unwrap());
    check().await;

    // A device that goes while records with it are written: neither is refused.
    for n in 0..8_u32 {
        let device_id = format!("guest-{n}");
        let guest = t.device(&ada, &device_id).await;
        let record = StreamRecord { source_device_id: Some(guest.id), ..ringing(ada.id, at(0)) };
        let (written, deleted) =
            tokio::join!(t.store.upsert_stream(&record), t.store.delete_device(ada.id, &device_id));
        assert!(written.unwrap());
        assert!(deleted.unwrap().is_some());
        assert_eq!(t.store.stream(ada.id, record.id).await.unwrap().unwrap().source_device_id, None);
    }
}

pub(crate) async fn name_only_devices_of_their_user(t: &Fixture) {
    let (ada, eve) = (t.user().await, t.user().await);
    let foreign = t.device(&eve, "camera").await;
    let own = t.device(&ada, "tv").await;
    let record = StreamRecord {
        source_device_id: Some(foreign.id),
        target_device_id: Some(own.id),
        ..ringing(ada.id, at(0))
    };
    assert!(t.store.upsert_stream(&record).await.unwrap());
    let stored = t.store.stream(ada.id, record.id).await.unwrap().unwrap();
    assert_eq!((stored.source_device_id, stored.source_device), (None, None));
    let tv = DeviceRef { id: own.id, device_id: "tv".to_owned(), device_name: "tv".to_owned() };
    assert_eq!(stored.target_device, Some(tv));
}

pub(crate) async fn need_a_user(t: &Fixture) {
    assert!(!t.store.upsert_stream(&ringing(Uuid::now_v7(), at(0))).await.unwrap());
}

pub(crate) async fn are_nobody_elses(t: &Fixture) {
    let (ada, eve) = (t.user().await, t.user().await);
    let record = ringing(ada.id, at(0));
    t.store.upsert_stream(&record).await.unwrap();
    assert_eq!(t.store.stream(eve.id, record.id).await.unwrap(), None);
    let stolen = StreamRecord { user_id: eve.id, ended_at: Some(at(1)), ..record.clone() };
    assert!(!t.store.upsert_stream(&stolen).await.unwrap());
    assert_eq!(t.store.stream(eve.id, record.id).await.unwrap(), None);
    assert_eq!(t.store.stream(ada.id, record.id).await.unwrap().unwrap().ended_at, None);
}

pub(crate) async fn are_closed_after_a_crash(t: &Fixture) {
    let ada = t.user().await;
    let ended = StreamRecord { ended_at: Some(at(1)), ..ringing(ada.id, at(0)) };
    t.store.upsert_stream(&ended).await.unwrap();
    for _ in 0..3 {
        t.store.upsert_stream(&ringing(ada.id, at(0))).await.unwrap();
    }
    assert_eq!(t.store.close_open_streams(at(9), "server_restart").await.unwrap(), 3);
    assert_eq!(t.store.close_open_streams(at(10), "again").await.unwrap(), 0);
    let streams = t.store.streams(ada.id, query()).await.unwrap().streams;
    for stream in streams {
        let expected =
            if stream.id == ended.id { (Some(at(1)), None) } else { (Some(at(9)), Some("server_restart")) };
        assert_eq!((stream.ended_at, stream.end_reason.as_deref()), expected);
    }
}

fn query() -> streamz_store::StreamQuery<'static> {
    streamz_store::StreamQuery { limit: 100, ..Default::default() }
}
