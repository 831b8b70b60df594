//! A stream after its ring: signaling in it, its record, its loss.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use streamz_tests::{Raw, Server, Topology, User, eventually, scenarios};

use crate::support::{about, assert_delivered, assert_error, ring, start, tell};

scenarios![
    figures_stand_in_the_record,
    a_party_lost_past_its_window_ends_the_stream,
    a_party_that_comes_back_in_time_keeps_the_stream,
    records_are_listed_newest_first_in_pages,
    what_devices_measure_is_checked,
    a_sign_out_ends_its_streams,
];

async fn stream(server: &Server) -> (User, Raw, Raw, String) {
    let user = User::new(server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    phone.until("device_online").await;
    let stream = ring(&mut phone, start("s-1", "tv")).await;
    assert_delivered(&tell(&mut tv, about("stream_accept", "t-1", &stream)).await);
    phone.until("stream_accept").await;
    (user, phone, tv, stream)
}

async fn ended(user: &User, stream: &str) -> Value {
    eventually(|| async { Some(user.record(stream).await).filter(|record| record["ended_at"].is_string()) })
        .await
}

async fn figures_stand_in_the_record(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (user, mut phone, mut tv, stream) = stream(&server).await;
    let live = eventually(|| async { Some(user.record(&stream).await).filter(Value::is_object) }).await;
    assert_eq!((&live["ended_at"], &live["connection_type"]), (&Value::Null, &Value::Null));
    let stats = |id: &str, figures: Value| {
        let mut payload = figures;
        payload["stream_id"] = stream.clone().into();
        json!({"type": "stream_stats", "payload": payload, "id": id})
    };
    assert_delivered(
        &tell(&mut phone, stats("p-1", json!({"connection_type": "p2p", "latency_ms": 24}))).await,
    );
    assert_delivered(&tell(&mut tv, stats("t-2", json!({"quality": "good"}))).await);
    assert_delivered(&tell(&mut phone, stats("p-2", json!({"connection_type": "relay"}))).await);
    let hung_up = json!({"type": "stream_end", "payload": {"stream_id": stream, "reason": "film is over"}, "id": "t-3"});
    assert_delivered(&tell(&mut tv, hung_up).await);
    let record = ended(&user, &stream).await;
    assert_eq!(record["connection_type"], "relay");
    assert_eq!((&record["quality"], &record["latency_ms"]), (&json!("good"), &json!(24)));
    assert_eq!((&record["end_reason"], &record["stream_type"]), (&json!("film is over"), &json!("both")));
    let tv_row = &tv.welcome["device"];
    let target = json!({"id": tv_row["id"], "device_id": "tv", "device_name": "tv"});
    assert_eq!((&record["target_device_id"], &record["target_device"]), (&tv_row["id"], &target));
    assert_eq!(record["source_device"]["device_id"], "phone");
    assert!(record["started_at"].as_str().unwrap() <= record["ended_at"].as_str().unwrap());
}

async fn a_party_lost_past_its_window_ends_the_stream(topology: Topology) {
    let variables = [("RESUME_WINDOW", "700ms"), ("OFFLINE_GRACE", "200ms")];
    let server = Server::start(topology, &variables).await;
    let (user, mut phone, tv, stream) = stream(&server).await;
    let lost = std::time::Instant::now();
    tv.vanish();
    assert_eq!(phone.expect("device_offline").await["device_id"], "tv");
    assert_eq!(phone.expect("stream_end").await, json!({"stream_id": stream, "reason": "device_lost"}));
    assert!(lost.elapsed().as_millis() >= 700, "{:?}", lost.elapsed());
    assert_eq!(ended(&user, &stream).await["end_reason"], "device_lost");
    assert_error(&tell(&mut phone, about("stream_end", "p-1", &stream)).await, "unknown_stream");
}

async fn a_party_that_comes_back_in_time_keeps_the_stream(topology: Topology) {
    let server = Server::start(topology, &[("OFFLINE_GRACE", "0s")]).await;
    let (user, mut phone, tv, stream) = stream(&server).await;
    let dial = user.dial("tv").resume(&tv.session(), tv.last_seq);
    tv.vanish();
    phone.until("device_offline").await;
    let tv = dial.welcomed().await;
    assert_eq!(tv.welcome["resumed"], true);
    let shown = &tv.welcome["streams"][0];
    assert_eq!((&shown["id"], &shown["state"]), (&json!(stream), &json!("active")));
    phone.until("device_online").await;
    phone.hears_nothing().await;
    // With a new session it is still the same device.
    tv.vanish();
    phone.until("device_offline").await;
    let mut tv = user.raw("tv").await;
    assert_eq!(tv.welcome["streams"][0]["id"], *stream);
    phone.until("device_online").await;
    assert_delivered(&tell(&mut tv, about("stream_end", "t-1", &stream)).await);
    phone.expect("stream_end").await;
}

async fn records_are_listed_newest_first_in_pages(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (user, mut phone, mut tv, first) = stream(&server).await;
    assert_delivered(&tell(&mut tv, about("stream_end", "end", &first)).await);
    let mut ids = vec![first];
    for number in 2..6 {
        let id = ring(&mut phone, start(&format!("s-{number}"), "tv")).await;
        if number < 5 {
            assert_delivered(&tell(&mut phone, about("stream_end", &format!("e-{number}"), &id)).await);
        }
        ids.push(id);
    }
    let newest = ids.last().unwrap().clone();
    eventually(|| async { Some(user.record(&newest).await).filter(Value::is_object) }).await;
    let list = async |query: &str| user.get(&format!("/api/streams?{query}")).await.json();
    let of = |page: &Value| -> Vec<String> {
        page["streams"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = list("").await;
    let times: Vec<&str> = all["streams"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stream| stream["started_at"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
    // Two of the same millisecond may stand in either order, the same one always.
    let listed = of(&all);
    assert_eq!(listed.iter().collect::<BTreeSet<_>>(), ids.iter().collect::<BTreeSet<_>>());
    let ids = listed;
    assert_eq!(of(&list("active=true").await), std::slice::from_ref(&newest));
    let ended: Vec<String> = ids.iter().filter(|id| **id != newest).cloned().collect();
    assert_eq!(of(&list("active=false").await), ended);
    assert_eq!(of(&list("device_id=tv").await), ids);
    assert_eq!(of(&list("device_id=none").await), [""; 0]);
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = list(&format!("limit=2&cursor={cursor}")).await;
        found.extend(of(&page));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(found, ids);
}

async fn what_devices_measure_is_checked(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (user, mut phone, _tv, stream) = stream(&server).await;
    let long = "x".repeat(33);
    for (number, wrong) in [
        json!({"connection_type": "pigeon"}),
        json!({"quality": long}),
        json!({"quality": "a\nb"}),
        json!({"latency_ms": -1}),
        json!({"latency_ms": 1.5}),
        json!({"latency_ms": 4_294_967_296_u64}),
        json!({"quality": 5}),
    ]
    .into_iter()
    .enumerate()
    {
        let mut payload = wrong.clone();
        payload["stream_id"] = stream.clone().into();
        let outcome =
            tell(&mut phone, json!({"type": "stream_stats", "payload": payload, "id": number.to_string()}));
        assert_error(&outcome.await, "invalid_payload");
    }
    let best = json!({"stream_id": stream, "quality": "x".repeat(32), "latency_ms": u32::MAX});
    assert_delivered(&tell(&mut phone, json!({"type": "stream_stats", "payload": best, "id": "best"})).await);
    let record = eventually(|| async {
        Some(user.record(&stream).await).filter(|record| record["quality"].is_string())
    })
    .await;
    assert_eq!(record["latency_ms"], u32::MAX);
}

async fn a_sign_out_ends_its_streams(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let other = user.sign_in_again().await.unwrap();
    let mut phone = user.raw("phone").await;
    let mut tv = other.raw("tv").await;
    phone.until("device_online").await;
    let stream = ring(&mut phone, start("s-1", "tv")).await;
    assert_delivered(&tell(&mut tv, about("stream_accept", "t-1", &stream)).await);
    user.api.logout(&user.signed_in.access_token).await.unwrap();
    phone.closes(4502).await;
    assert_eq!(tv.until("stream_end").await["payload"]["reason"], "signed_out");
    assert_eq!(tv.until("device_offline").await["payload"]["device_id"], "phone");
    assert_eq!(ended(&other, &stream).await["end_reason"], "signed_out");
}
