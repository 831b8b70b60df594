//! Records of streams, and servers for ICE.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use streamz_store::StreamRecord;
use uuid::Uuid;

use crate::fixture::{Api, Somebody};

async fn device(api: &Api, owner: &Somebody, id: &str) -> Uuid {
    let body = json!({"device_id": id, "device_name": format!("The {id}")});
    api.post("/api/devices", &owner.token, body).await.ok(201)["id"].as_str().unwrap().parse().unwrap()
}

/// A stream that began `age` seconds ago and ended unless it is live.
async fn stream(api: &Api, owner: &Somebody, from: Uuid, to: Uuid, age: u64, live: bool) -> String {
    let started_at = api.state.now() - Duration::from_secs(age);
    let record = StreamRecord {
        id: Uuid::now_v7(),
        user_id: owner.user.id,
        source_device_id: Some(from),
        target_device_id: Some(to),
        stream_type: "video".to_owned(),
        started_at,
        ended_at: (!live).then_some(started_at + Duration::from_secs(1)),
        end_reason: (!live).then(|| "ended".to_owned()),
        connection_type: Some("p2p".to_owned()),
        quality: None,
        latency_ms: Some(12),
    };
    assert!(api.state.store().upsert_stream(&record).await.unwrap());
    record.id.to_string()
}

fn ids(page: &Value) -> Vec<&str> {
    page["streams"].as_array().unwrap().iter().map(|stream| stream["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn streams_come_newest_first_page_by_page() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    let (phone, tv) = (device(&api, &ada, "phone").await, device(&api, &ada, "tv").await);
    let mut all = Vec::new();
    for age in 1..=21 {
        all.push(stream(&api, &ada, phone, tv, age, false).await);
    }
    let first = api.get("/api/streams", &ada.token).await.ok(200);
    assert_eq!(ids(&first), all[..20]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = api.get(&format!("/api/streams?cursor={cursor}"), &ada.token).await.ok(200);
    assert_eq!((ids(&rest), &rest["next_cursor"]), (vec![&*all[20]], &json!(null)));
    let whole = api.get("/api/streams?limit=100&active=&device_id=&cursor=", &ada.token).await.ok(200);
    assert_eq!((ids(&whole).len(), &whole["next_cursor"]), (21, &json!(null)));
    assert_eq!(ids(&api.get("/api/streams?limit=1", &ada.token).await.ok(200)), all[..1]);

    let one = &whole["streams"][0];
    assert_eq!(one["source_device"], json!({"id": phone, "device_id": "phone", "device_name": "The phone"}));
    assert_eq!(one["target_device_id"], tv.to_string());
    assert_eq!((&one["latency_ms"], &one["connection_type"]), (&json!(12), &json!("p2p")));
    assert_eq!(api.get(&format!("/api/streams/{}", all[0]), &ada.token).await.ok(200), *one);
}

#[tokio::test]
async fn streams_are_filtered() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    let (phone, tv) = (device(&api, &ada, "phone").await, device(&api, &ada, "tv/2").await);
    let live = stream(&api, &ada, phone, tv, 1, true).await;
    let ended = stream(&api, &ada, phone, phone, 2, false).await;
    for (query, found) in [
        ("active=true", vec![&live]),
        ("active=false", vec![&ended]),
        ("device_id=phone", vec![&live, &ended]),
        ("device_id=tv%2F2", vec![&live]),
        ("device_id=tv%2F2&active=false", vec![]),
        ("device_id=nobody", vec![]),
        ("unknown=parameter", vec![&live, &ended]),
    ] {
        let page = api.get(&format!("/api/streams?{query}"), &ada.token).await.ok(200);
        assert_eq!(ids(&page), found, "{query}");
    }
}

#[tokio::test]
async fn a_query_is_checked() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    for (query, field) in [
        ("active=maybe", "active"),
        ("active=True", "active"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("cursor=nonsense", "cursor"),
        ("limit=5&limit=6", "limit"),
    ] {
        let answer = api.get(&format!("/api/streams?{query}"), &ada.token).await;
        let problem = answer.problem(400, "malformed_query");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let both = api.get("/api/streams?limit=0&active=x", &ada.token).await.problem(400, "malformed_query");
    assert_eq!(both["errors"].as_array().unwrap().len(), 2);
    for query in ["device_id=%zz", "device_id=%ff"] {
        api.get(&format!("/api/streams?{query}"), &ada.token).await.problem(400, "malformed_query");
    }
}

#[tokio::test]
async fn another_users_stream_cannot_be_told_from_an_unknown_one() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    let bob = api.somebody("bob@example.org").await;
    let phone = device(&api, &ada, "phone").await;
    let hers = stream(&api, &ada, phone, phone, 1, true).await;
    let mut answers = Vec::new();
    for id in [&*hers, "00000000-0000-0000-0000-000000000001"] {
        let mut body =
            api.get(&format!("/api/streams/{id}"), &bob.token).await.problem(404, "stream_not_found");
        body.as_object_mut().unwrap().remove("request_id");
        answers.push(body);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(ids(&api.get("/api/streams", &bob.token).await.ok(200)), Vec::<&str>::new());
    assert_eq!(ids(&api.get("/api/streams?device_id=phone", &bob.token).await.ok(200)), Vec::<&str>::new());
    api.get("/api/streams/nonsense", &bob.token).await.problem(400, "malformed_path");
}

#[tokio::test]
async fn ice_servers_come_with_credentials_that_lapse() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    let answer = api.get("/api/ice-servers", &ada.token).await;
    let body = answer.ok(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(body["ice_servers"][0], json!({"urls": ["stun:stun.example.org:3478"]}));
    let turn = &body["ice_servers"][1];
    assert_eq!(turn["urls"], json!(["turn:turn.example.org:3478?transport=udp"]));
    let username = turn["username"].as_str().unwrap();
    let (expiry, user) = username.split_once(':').unwrap();
    assert_eq!(user, ada.user.id.to_string());
    assert_eq!(turn["credential"], streamz_auth::turn::credential(&"north".into(), username));
    let expires_at: DateTime<Utc> = body["expires_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(expires_at.timestamp().to_string(), expiry);
    assert_eq!(expires_at.timestamp() - api.state.now().timestamp(), 12 * 3600);
}

#[tokio::test]
async fn ice_servers_are_there_while_the_store_is_away() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    api.state.store().close().await;
    api.get("/api/ice-servers", &ada.token).await.ok(200);
}

#[tokio::test]
async fn without_servers_there_is_nothing_to_expire() {
    let api = Api::with(|parts| parts.ice = streamz_auth::IceServers::default()).await;
    let ada = api.somebody("ada@example.org").await;
    let body = api.get("/api/ice-servers", &ada.token).await.ok(200);
    assert_eq!(body, json!({"ice_servers": [], "expires_at": null}));
}
