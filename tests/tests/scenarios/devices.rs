//! Devices over HTTP, and what the connected ones hear of it.

use reqwest::Method;
use serde_json::{Value, json};
use streamz_protocol::DeviceId;
use streamz_tests::{Server, Topology, User, scenarios};

use crate::support::{assert_not_delivered, offer, ring, start, tell};

scenarios![
    a_device_is_registered_listed_changed_and_removed,
    a_renamed_device_is_shown_to_the_others,
    a_removed_device_is_closed_and_forgotten,
    a_removed_device_may_come_back_as_a_new_one,
    any_text_is_a_device_id,
    every_time_has_the_same_form,
];

async fn a_device_is_registered_listed_changed_and_removed(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let http = server.http();
    let ask =
        async |method: Method, path: &str, body: Value| http.send_as(user.token(), method, path, &body).await;
    let body = json!({"device_id": "tv", "device_name": "TV", "device_type": "tv"});
    let made = ask(Method::POST, "/api/devices", body.clone()).await;
    assert_eq!((made.status, made.header("location")), (201, "/api/devices/tv"));
    let made = made.json();
    let mut keys: Vec<&str> = made.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    let all =
        ["created_at", "device_id", "device_name", "device_type", "id", "is_online", "last_seen", "user_id"];
    assert_eq!(keys, all);
    assert_eq!((&made["is_online"], &made["last_seen"]), (&json!(false), &Value::Null));
    let twice = ask(Method::POST, "/api/devices", body).await;
    assert_eq!(twice.problem(), (409, "device_exists".into()));
    let changed = ask(Method::PUT, "/api/devices/tv", json!({"device_name": "Big"})).await;
    assert_eq!((changed.status, &changed.json()["device_name"]), (200, &json!("Big")));
    assert_eq!(changed.json()["device_type"], "tv");
    let listed = user.get("/api/devices").await.json();
    assert_eq!(listed["devices"], json!([changed.json()]));
    assert_eq!(ask(Method::DELETE, "/api/devices/tv", json!({})).await.status, 204);
    assert_eq!(ask(Method::DELETE, "/api/devices/tv", json!({})).await.status, 404);
    assert_eq!(user.get("/api/devices").await.json()["devices"], json!([]));
}

async fn a_renamed_device_is_shown_to_the_others(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    phone.until("device_online").await;
    let token = &user.signed_in.access_token;
    let tv_id = DeviceId::new("tv").unwrap();
    user.api.change_device(token, &tv_id, Some("Big screen"), Some("tv")).await.unwrap();
    let updated = phone.expect("device_updated").await;
    assert_eq!((&updated["device_id"], &updated["device_name"]), (&json!("tv"), &json!("Big screen")));
    assert_eq!((&updated["is_online"], &updated["device_type"]), (&json!(true), &json!("tv")));
    tv.hears_nothing().await;
    let laptop = user.raw("laptop").await;
    let shown = laptop.welcome["devices"].as_array().unwrap();
    let shown = shown.iter().find(|device| device["device_id"] == "tv").unwrap();
    assert_eq!(shown["device_name"], "Big screen");
}

async fn a_removed_device_is_closed_and_forgotten(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    phone.until("device_online").await;
    let stream = ring(&mut phone, start("s-1", "tv")).await;
    tv.say(json!({"type": "stream_accept", "payload": {"stream_id": stream}})).await;
    phone.until("stream_accept").await;
    user.api.remove_device(&user.signed_in.access_token, &DeviceId::new("tv").unwrap()).await.unwrap();
    tv.closes(4504).await;
    assert_eq!(phone.expect("stream_end").await["reason"], "device_removed");
    assert_eq!(phone.expect("device_removed").await, json!({"device_id": "tv"}));
    phone.hears_nothing().await;
    assert_not_delivered(&tell(&mut phone, offer("m-1", "tv", "v=0")).await, "unknown_device");
    let record = streamz_tests::eventually(|| async {
        Some(user.record(&stream).await).filter(|record| record["ended_at"].is_string())
    })
    .await;
    assert_eq!(
        (&record["target_device_id"], &record["end_reason"]),
        (&Value::Null, &json!("device_removed"))
    );
}

async fn a_removed_device_may_come_back_as_a_new_one(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let tv = user.raw("tv").await;
    phone.until("device_online").await;
    user.api.remove_device(&user.signed_in.access_token, &DeviceId::new("tv").unwrap()).await.unwrap();
    phone.until("device_removed").await;
    let again = user.dial("tv").resume(&tv.session(), 0).welcomed().await;
    assert_eq!(again.welcome["resumed"], false);
    assert_ne!(again.welcome["device"]["id"], tv.welcome["device"]["id"]);
    assert_eq!(phone.expect("device_online").await["device_id"], "tv");
}

async fn any_text_is_a_device_id(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let long = "é".repeat(255);
    for id in ["a/b", "...", "%2F", "a b+c", "ü🎥", "a'b\"c", "?x=1&y#z", &long] {
        let device = DeviceId::new(id).unwrap();
        let raw = user.raw(id).await;
        assert_eq!(phone.until("device_online").await["payload"]["device_id"], *id);
        let token = &user.signed_in.access_token;
        let changed = user.api.change_device(token, &device, Some("name"), None).await.unwrap();
        assert_eq!(changed.device_id, device);
        phone.until("device_updated").await;
        assert_eq!(user.is_online(id).await, Some(true));
        raw.close().await;
        user.api.remove_device(token, &device).await.unwrap();
        assert_eq!(phone.until("device_removed").await["payload"]["device_id"], *id);
    }
}

/// Calls `check` with every text in a field that names a time, wherever it stands.
fn times(value: &Value, check: &mut impl FnMut(&str, &str)) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name.ends_with("_at") || name == "last_seen" => check(name, text),
                    other => times(other, check),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| times(item, check)),
        _ => {}
    }
}

/// RFC 3339 in UTC with milliseconds, of rows and of what is live, over HTTP and over the WebSocket.
async fn every_time_has_the_same_form(topology: Topology) {
    let turn = [("TURN_URLS", "turn:turn.example.org"), ("TURN_SECRET", "north wind")];
    let server = Server::start(topology, &turn).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let tv = user.raw("tv").await;
    phone.until("device_online").await;
    let stream = ring(&mut phone, start("s-1", "tv")).await;
    let welcome = user.raw("laptop").await.welcome.clone();
    tv.close().await;
    phone.until("device_offline").await;
    tell(&mut phone, crate::support::about("stream_end", "e-1", &stream)).await;
    streamz_tests::eventually(async || user.record(&stream).await["ended_at"].as_str().map(|_| ())).await;
    let mut seen = 0;
    let devices = user.get("/api/devices").await.json();
    let mut answers = vec![welcome.clone(), devices.clone()];
    for path in ["/api/auth/me", "/api/streams", "/api/ice-servers"] {
        answers.push(user.get(path).await.json());
    }
    for answer in &answers {
        times(answer, &mut |name, text| {
            let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
            assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{name}: {text}");
            seen += 1;
        });
    }
    assert!(seen > 15, "{seen}");
    let created = |list: &Value| {
        let device = list.as_array().unwrap().iter().find(|device| device["device_id"] == "phone");
        device.unwrap()["created_at"].clone()
    };
    assert_eq!(created(&welcome["devices"]), created(&devices["devices"]));
}
