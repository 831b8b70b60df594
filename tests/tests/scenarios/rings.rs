//! Rings: who is rung, who wins, and how a ring ends without one (§4.3).

use serde_json::{Value, json};
use streamz_tests::{Raw, Server, Topology, User, scenarios};

use crate::support::{
    about, assert_delivered, assert_error, assert_not_delivered, ring, start, start_all, tell,
};

scenarios![
    a_ring_reaches_the_device_and_is_accepted,
    of_five_that_accept_at_once_one_wins,
    whoever_is_late_hears_that_it_was_answered_elsewhere,
    a_ring_that_all_decline_ends,
    a_ring_that_one_declines_goes_on,
    a_caller_gives_up,
    a_ring_that_nobody_answers_times_out,
    a_busy_device_is_not_rung,
    a_device_takes_as_many_streams_as_it_says,
    a_television_asks_the_camera_for_its_picture,
    a_ring_that_can_reach_nobody_says_so,
    a_stream_is_known_to_its_parties_only,
];

async fn devices(server: &Server, names: &[&str]) -> (User, Vec<Raw>) {
    let user = User::new(server).await;
    let mut devices = Vec::new();
    for name in names {
        devices.push(user.raw(name).await);
    }
    for device in &mut devices {
        device.barrier().await;
    }
    (user, devices)
}

async fn a_ring_reaches_the_device_and_is_accepted(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (_user, mut all) = devices(&server, &["phone", "tv", "laptop"]).await;
    let [phone, tv, laptop] = all.as_mut_slice() else { unreachable!() };
    let stream = ring(phone, start("s-1", "tv")).await;
    let rung = tv.expect("stream_start").await;
    let expected = json!({
        "stream_id": stream, "from_device_id": "phone", "stream_type": "both", "source_device_id": "phone",
    });
    assert_eq!(rung, expected);
    laptop.hears_nothing().await;
    assert_delivered(&tell(tv, about("stream_accept", "t-1", &stream)).await);
    assert_eq!(phone.expect("stream_accept").await, json!({"stream_id": stream, "from_device_id": "tv"}));
    // To accept once more changes nothing.
    assert_delivered(&tell(tv, about("stream_accept", "t-2", &stream)).await);
    assert_delivered(&tell(tv, about("stream_end", "t-3", &stream)).await);
    let ended = phone.expect("stream_end").await;
    assert_eq!(ended, json!({"stream_id": stream, "from_device_id": "tv", "reason": "ended"}));
    for device in [phone, laptop] {
        device.hears_nothing().await;
    }
}

async fn of_five_that_accept_at_once_one_wins(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (user, mut all) = devices(&server, &["phone", "a", "b", "c", "d", "e"]).await;
    let mut phone = all.remove(0);
    let stream = ring(&mut phone, start_all("s-1")).await;
    for device in &mut all {
        device.expect("stream_start").await;
    }
    let accepting = all.into_iter().map(|mut device| {
        let accept = about("stream_accept", "t-1", &stream);
        tokio::spawn(async move {
            let outcome = tell(&mut device, accept).await;
            (device, outcome)
        })
    });
    let mut winners = 0;
    for accepted in accepting.collect::<Vec<_>>() {
        let (mut device, outcome) = accepted.await.unwrap();
        if outcome["type"] == "delivered" {
            winners += 1;
            device.hears_nothing().await;
        } else {
            // It heard of it before or after its own outcome.
            assert_not_delivered(&outcome, "answered_elsewhere");
        }
    }
    assert_eq!(winners, 1);
    let accepted = phone.expect("stream_accept").await;
    phone.hears_nothing().await;
    let record = streamz_tests::eventually(|| async {
        Some(user.record(&stream).await).filter(|record| record["target_device"].is_object())
    })
    .await;
    assert_eq!(record["target_device"]["device_id"], accepted["from_device_id"]);
}

async fn whoever_is_late_hears_that_it_was_answered_elsewhere(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (_user, mut all) = devices(&server, &["phone", "tv", "laptop"]).await;
    let [phone, tv, laptop] = all.as_mut_slice() else { unreachable!() };
    let stream = ring(phone, start_all("s-1")).await;
    tv.expect("stream_start").await;
    laptop.expect("stream_start").await;
    assert_delivered(&tell(tv, about("stream_accept", "t-1", &stream)).await);
    let elsewhere = json!({"stream_id": stream, "reason": "answered_elsewhere"});
    assert_eq!(laptop.expect("stream_end").await, elsewhere);
    assert_not_delivered(&tell(laptop, about("stream_accept", "l-1", &stream)).await, "answered_elsewhere");
    // It is no party of the stream any more.
    for kind in ["stream_end", "stream_stats"] {
        assert_error(&tell(laptop, about(kind, kind, &stream)).await, "unknown_stream");
    }
    phone.expect("stream_accept").await;
    phone.hears_nothing().await;
    tv.hears_nothing().await;
}

async fn a_ring_that_all_decline_ends(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (user, mut all) = devices(&server, &["phone", "tv", "laptop"]).await;
    let [phone, tv, laptop] = all.as_mut_slice() else { unreachable!() };
    let stream = ring(phone, start_all("s-1")).await;
    let decline = json!({"type": "stream_decline", "payload": {"stream_id": stream, "reason": "busy cooking"}, "id": "t-1"});
    assert_delivered(&tell(tv, decline).await);
    let declined = json!({"stream_id": stream, "from_device_id": "tv", "reason": "busy cooking"});
    assert_eq!(phone.expect("stream_decline").await, declined);
    phone.hears_nothing().await;
    assert_delivered(&tell(laptop, about("stream_decline", "l-1", &stream)).await);
    assert_eq!(
        phone.expect("stream_decline").await,
        json!({"stream_id": stream, "from_device_id": "laptop"})
    );
    assert_eq!(phone.expect("stream_end").await, json!({"stream_id": stream, "reason": "declined"}));
    assert_error(&tell(tv, about("stream_accept", "t-2", &stream)).await, "unknown_stream");
    let record = ended_record(&user, &stream).await;
    assert_eq!((&record["end_reason"], &record["target_device"]), (&json!("declined"), &Value::Null));
}

async fn ended_record(user: &User, stream: &str) -> Value {
    streamz_tests::eventually(|| async {
        Some(user.record(stream).await).filter(|record| record["ended_at"].is_string())
    })
    .await
}

async fn a_ring_that_one_declines_goes_on(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (_user, mut all) = devices(&server, &["phone", "tv", "laptop"]).await;
    let [phone, tv, laptop] = all.as_mut_slice() else { unreachable!() };
    let stream = ring(phone, start_all("s-1")).await;
    tv.expect("stream_start").await;
    assert_delivered(&tell(tv, about("stream_decline", "t-1", &stream)).await);
    assert_error(&tell(tv, about("stream_accept", "t-2", &stream)).await, "wrong_state");
    assert_delivered(&tell(laptop, about("stream_accept", "l-1", &stream)).await);
    assert_error(&tell(laptop, about("stream_decline", "l-2", &stream)).await, "wrong_state");
    phone.expect("stream_decline").await;
    phone.expect("stream_accept").await;
    tv.hears_nothing().await;
}

async fn a_caller_gives_up(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (user, mut all) = devices(&server, &["phone", "tv", "laptop"]).await;
    let [phone, tv, laptop] = all.as_mut_slice() else { unreachable!() };
    let stream = ring(phone, start_all("s-1")).await;
    assert_error(&tell(phone, about("stream_accept", "p-1", &stream)).await, "wrong_state");
    assert_delivered(&tell(phone, about("stream_end", "p-2", &stream)).await);
    for device in [tv, laptop] {
        device.expect("stream_start").await;
        let ended = json!({"stream_id": stream, "from_device_id": "phone", "reason": "cancelled"});
        assert_eq!(device.expect("stream_end").await, ended);
    }
    phone.hears_nothing().await;
    assert_eq!(ended_record(&user, &stream).await["end_reason"], "cancelled");
}

async fn a_ring_that_nobody_answers_times_out(topology: Topology) {
    let server = Server::start(topology, &[("RING_TIMEOUT", "500ms")]).await;
    let (user, mut all) = devices(&server, &["phone", "tv"]).await;
    let [phone, tv] = all.as_mut_slice() else { unreachable!() };
    let began = std::time::Instant::now();
    let stream = ring(phone, start("s-1", "tv")).await;
    tv.expect("stream_start").await;
    let ended = json!({"stream_id": stream, "reason": "timeout"});
    assert_eq!(phone.expect("stream_end").await, ended);
    assert_eq!(tv.expect("stream_end").await, ended);
    assert!((500..5000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    assert_eq!(ended_record(&user, &stream).await["end_reason"], "timeout");
    // An accepted one does not.
    let stream = ring(phone, start("s-2", "tv")).await;
    assert_delivered(&tell(tv, about("stream_accept", "t-1", &stream)).await);
    phone.expect("stream_accept").await;
    tokio::time::sleep(std::time::Duration::from_millis(800)).await;
    phone.hears_nothing().await;
}

async fn a_busy_device_is_not_rung(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (_user, mut all) = devices(&server, &["phone", "tv", "laptop", "radio"]).await;
    let [phone, tv, laptop, radio] = all.as_mut_slice() else { unreachable!() };
    let stream = ring(phone, start("s-1", "tv")).await;
    tv.expect("stream_start").await;
    assert_delivered(&tell(tv, about("stream_accept", "t-1", &stream)).await);
    assert_not_delivered(&tell(laptop, start("s-1", "tv")).await, "busy");
    assert_not_delivered(&tell(laptop, start("s-2", "phone")).await, "busy");
    // A ring of all leaves them out.
    laptop.say(start_all("s-3")).await;
    assert_eq!(laptop.until("stream_ringing").await["payload"]["to"], json!(["radio"]));
    radio.expect("stream_start").await;
    assert_delivered(&tell(tv, about("stream_end", "t-2", &stream)).await);
    tv.hears_nothing().await;
    assert_delivered(&tell(phone, start("s-4", "tv")).await);
}

async fn a_device_takes_as_many_streams_as_it_says(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (user, mut all) = devices(&server, &["a", "b", "c"]).await;
    let mut camera = user.dial("camera").query("max_streams=2").welcomed().await;
    for (number, device) in all.iter_mut().enumerate() {
        if number == 2 {
            assert_not_delivered(&tell(device, start("s-1", "camera")).await, "busy");
        } else {
            let stream = ring(device, start("s-1", "camera")).await;
            assert_delivered(
                &tell(&mut camera, about("stream_accept", &format!("t-{number}"), &stream)).await,
            );
        }
    }
}

async fn a_television_asks_the_camera_for_its_picture(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (user, mut all) = devices(&server, &["tv", "camera", "phone"]).await;
    let [tv, camera, phone] = all.as_mut_slice() else { unreachable!() };
    let ask = |source: &str| {
        let payload = json!({"to_device_id": "camera", "stream_type": "video", "source_device_id": source});
        json!({"type": "stream_start", "payload": payload, "id": format!("from {source}")})
    };
    assert_error(&tell(tv, ask("phone")).await, "invalid_payload");
    let stream = ring(tv, ask("camera")).await;
    let rung = camera.expect("stream_start").await;
    assert_eq!((&rung["from_device_id"], &rung["source_device_id"]), (&json!("tv"), &json!("camera")));
    assert_delivered(&tell(camera, about("stream_accept", "c-1", &stream)).await);
    tv.expect("stream_accept").await;
    assert_delivered(&tell(tv, about("stream_end", "t-1", &stream)).await);
    let record = ended_record(&user, &stream).await;
    assert_eq!(record["source_device"]["device_id"], "camera");
    assert_eq!(record["target_device"]["device_id"], "tv");
    phone.hears_nothing().await;
}

async fn a_ring_that_can_reach_nobody_says_so(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (_user, mut all) = devices(&server, &["phone"]).await;
    let [phone] = all.as_mut_slice() else { unreachable!() };
    assert_not_delivered(&tell(phone, start_all("s-1")).await, "offline");
    assert_not_delivered(&tell(phone, start("s-2", "tv")).await, "unknown_device");
    assert_error(&tell(phone, start("s-3", "phone")).await, "invalid_payload");
    phone.say(json!({"type": "stream_start", "payload": {"stream_type": "audio"}})).await;
    let error = phone.frame().await;
    assert_error(&error, "not_delivered");
    assert!(error.get("id").is_none(), "{error}");
}

async fn a_stream_is_known_to_its_parties_only(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (_user, mut all) = devices(&server, &["phone", "tv", "laptop"]).await;
    let [phone, tv, laptop] = all.as_mut_slice() else { unreachable!() };
    let stream = ring(phone, start("s-1", "tv")).await;
    for kind in ["stream_accept", "stream_decline", "stream_end", "stream_stats"] {
        assert_error(&tell(laptop, about(kind, kind, &stream)).await, "unknown_stream");
    }
    for (id, to) in [("o-1", Some("tv")), ("o-2", None)] {
        let payload = json!({"to_device_id": to, "stream_id": stream, "sdp": "v=0"});
        let outcome = tell(laptop, json!({"type": "sdp_offer", "payload": payload, "id": id})).await;
        assert_error(&outcome, "unknown_stream");
    }
    // Nor may a party pull a stranger in.
    let payload = json!({"to_device_id": "laptop", "stream_id": stream, "sdp": "v=0"});
    let outcome = tell(phone, json!({"type": "sdp_offer", "payload": payload, "id": "o-3"})).await;
    assert_error(&outcome, "unknown_stream");
    tv.expect("stream_start").await;
    tv.hears_nothing().await;
    laptop.hears_nothing().await;
}
