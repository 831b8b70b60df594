//! Devices.

use std::time::Duration;

use serde_json::json;
use streamz_protocol::DeviceId;
use streamz_protocol::bus::{DeviceChange, ToHub, Up};

use crate::fixture::Api;

#[tokio::test]
async fn a_device_is_registered_changed_and_removed() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    let body =
        json!({"device_id": "tv", "device_name": " Living room ", "device_type": "tv", "is_online": true});
    let answer = api.post("/api/devices", &ada.token, body.clone()).await;
    let made = answer.ok(201);
    assert_eq!(answer.header("location"), Some("/api/devices/tv"));
    assert_eq!(made["device_name"], "Living room");
    assert_eq!(made["user_id"], ada.user.id.to_string());
    assert_eq!(made["is_online"], false);
    assert!(made["last_seen"].is_null());
    let [ToHub { user, up: Up::Devices(DeviceChange::Put(put)) }] = &api.told()[..] else { panic!() };
    assert_eq!((*user, put.device_id.as_str(), &*put.device_name), (ada.id(), "tv", "Living room"));
    assert_eq!(put.id.to_string(), made["id"].as_str().unwrap());

    api.post("/api/devices", &ada.token, body).await.problem(409, "device_exists");
    assert_eq!(api.told(), []);

    let renamed = api.put("/api/devices/tv", &ada.token, json!({"device_name": "Bedroom"})).await.ok(200);
    assert_eq!((&renamed["device_name"], &renamed["device_type"]), (&json!("Bedroom"), &json!("tv")));
    let retyped = api.put("/api/devices/tv", &ada.token, json!({"device_type": "screen"})).await.ok(200);
    assert_eq!((&retyped["device_name"], &retyped["device_type"]), (&json!("Bedroom"), &json!("screen")));
    let told = api.told();
    assert_eq!(told.len(), 2);
    assert!(matches!(&told[1].up, Up::Devices(DeviceChange::Put(put)) if &*put.device_type == "screen"));

    let list = api.get("/api/devices", &ada.token).await.ok(200);
    assert_eq!(list, json!({"devices": [retyped]}));

    api.delete("/api/devices/tv", &ada.token).await.ok(204);
    let removed = Up::Devices(DeviceChange::Removed(DeviceId::new("tv").unwrap()));
    assert_eq!(api.told(), [ToHub { user: ada.id(), up: removed }]);
    api.delete("/api/devices/tv", &ada.token).await.problem(404, "device_not_found");
    assert_eq!(api.get("/api/devices", &ada.token).await.ok(200), json!({"devices": []}));
    assert_eq!(api.told(), []);
}

#[tokio::test]
async fn a_type_is_unknown_until_somebody_says() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    let body = json!({"device_id": "x", "device_name": "X", "device_type": null});
    assert_eq!(api.post("/api/devices", &ada.token, body).await.ok(201)["device_type"], "unknown");
}

#[tokio::test]
async fn any_device_id_can_stand_in_a_path() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    for (id, path) in [
        ("a/b?c#d%2F e", "/api/devices/a%2Fb%3Fc%23d%252F%20e"),
        ("Küche – 电视", "/api/devices/K%C3%BCche%20%E2%80%93%20%E7%94%B5%E8%A7%86"),
        ("+&=;,", "/api/devices/%2B%26%3D%3B%2C"),
        ("-._~", "/api/devices/-._~"),
        (&"é".repeat(255), &format!("/api/devices/{}", "%C3%A9".repeat(255))),
    ] {
        let body = json!({"device_id": id, "device_name": "before"});
        let answer = api.post("/api/devices", &ada.token, body).await;
        assert_eq!(answer.ok(201)["device_id"], id);
        assert_eq!(answer.header("location"), Some(path));
        let changed = api.put(path, &ada.token, json!({"device_name": "after"})).await.ok(200);
        assert_eq!((&changed["device_id"], &changed["device_name"]), (&json!(id), &json!("after")));
        api.delete(path, &ada.token).await.ok(204);
    }
}

#[tokio::test]
async fn fields_are_checked_at_their_limits() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    let body = json!({"device_id": "", "device_name": "\n", "device_type": "x".repeat(65)});
    let problem = api.post("/api/devices", &ada.token, body).await.problem(422, "invalid_fields");
    let fields: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["device_id", "device_name", "device_type"]);
    let problem = api.post("/api/devices", &ada.token, json!({})).await.problem(422, "invalid_fields");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 2);
    for id in ["é".repeat(256), "a\u{0}b".to_owned()] {
        let body = json!({"device_id": id, "device_name": "x"});
        api.post("/api/devices", &ada.token, body).await.problem(422, "invalid_fields");
    }
    let body = json!({"device_id": "tv", "device_name": "é".repeat(255), "device_type": "é".repeat(64)});
    api.post("/api/devices", &ada.token, body).await.ok(201);
    for body in
        [json!({}), json!({"device_name": null}), json!({"device_name": ""}), json!({"device_type": " "})]
    {
        api.put("/api/devices/tv", &ada.token, body).await.problem(422, "invalid_fields");
    }
}

#[tokio::test]
async fn an_account_has_so_many_devices_and_no_more() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    let device = |n: usize| json!({"device_id": format!("device-{n}"), "device_name": "x"});
    for n in 0..40 {
        api.post("/api/devices", &ada.token, device(n)).await.ok(201);
    }
    let problem = api.post("/api/devices", &ada.token, device(40)).await.problem(422, "too_many_devices");
    assert!(problem["detail"].as_str().unwrap().contains("40"));
    // Others are not affected, and removing one makes room.
    let bob = api.somebody("bob@example.org").await;
    api.post("/api/devices", &bob.token, device(40)).await.ok(201);
    api.delete("/api/devices/device-7", &ada.token).await.ok(204);
    api.post("/api/devices", &ada.token, device(40)).await.ok(201);
}

#[tokio::test]
async fn another_users_device_cannot_be_told_from_an_unknown_one() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    let bob = api.somebody("bob@example.org").await;
    let body = json!({"device_id": "tv", "device_name": "TV"});
    api.post("/api/devices", &ada.token, body.clone()).await.ok(201);
    api.told();
    let change = json!({"device_name": "Mine"});
    let without_id = |mut body: serde_json::Value| {
        body.as_object_mut().unwrap().remove("request_id");
        body
    };
    let too_long = format!("/api/devices/{}", "x".repeat(256));
    for path in ["/api/devices/tv", "/api/devices/other", "/api/devices/a%00b", &too_long] {
        let put = api.put(path, &bob.token, change.clone()).await.problem(404, "device_not_found");
        let delete = api.delete(path, &bob.token).await.problem(404, "device_not_found");
        assert_eq!(without_id(put), without_id(delete));
    }
    assert_eq!(api.told(), []);
    // The same name is free for everybody.
    api.post("/api/devices", &bob.token, body).await.ok(201);
    assert_eq!(api.get("/api/devices", &ada.token).await.ok(200)["devices"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_list_shows_who_is_online_right_now() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    for id in ["phone", "tv"] {
        let body = json!({"device_id": id, "device_name": id});
        api.post("/api/devices", &ada.token, body).await.ok(201);
    }
    api.pass(Duration::from_secs(60));
    *api.hubs.online.lock() = Some(vec![DeviceId::new("tv").unwrap()]);
    let list = api.get("/api/devices", &ada.token).await.ok(200);
    let [phone, tv] = &list["devices"].as_array().unwrap()[..] else { panic!() };
    assert_eq!((&phone["is_online"], &phone["last_seen"]), (&json!(false), &json!(null)));
    assert_eq!(tv["is_online"], true);
    let seen: chrono::DateTime<chrono::Utc> = tv["last_seen"].as_str().unwrap().parse().unwrap();
    assert_eq!(seen.timestamp_millis(), api.state.now().timestamp_millis());

    // No hub answers: what is stored counts.
    let id = tv["id"].as_str().unwrap().parse().unwrap();
    let update = streamz_store::PresenceUpdate { id, is_online: true, last_seen: api.state.now() };
    api.state.store().set_presence(&[update]).await.unwrap();
    *api.hubs.online.lock() = None;
    let list = api.get("/api/devices", &ada.token).await.ok(200);
    assert_eq!(list["devices"][1]["is_online"], true);
    *api.hubs.online.lock() = Some(Vec::new());
    let list = api.get("/api/devices", &ada.token).await.ok(200);
    assert_eq!(list["devices"][1]["is_online"], false, "the hub knows better");
}
