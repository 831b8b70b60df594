//! One user tries the names of another's things: nothing may be told apart from "unknown" (promise 7).

use reqwest::Method;
use serde_json::{Value, json};
use streamz_tests::{Answer, Raw, Server, Topology, User, scenarios};

use crate::support::{about, assert_delivered, offer, ring, start, tell};

scenarios![
    another_users_devices_look_as_if_they_were_not,
    another_users_streams_look_as_if_they_were_not,
    another_users_session_cannot_be_taken,
    devices_of_the_same_name_are_apart,
];

/// A server with somebody on it who has a device `secret-tv`, and a stream.
async fn somebody(server: &Server) -> (User, Raw, Raw, String) {
    let user = User::new(server).await;
    let mut phone = user.raw("secret-phone").await;
    let mut tv = user.raw("secret-tv").await;
    phone.until("device_online").await;
    let stream = ring(&mut phone, start("s-1", "secret-tv")).await;
    tv.expect("stream_start").await;
    assert_delivered(&tell(&mut tv, about("stream_accept", "t-1", &stream)).await);
    phone.until("stream_accept").await;
    (user, phone, tv, stream)
}

/// An answer without what differs from request to request.
fn anonymous(answer: &Answer, name: &str) -> (u16, String) {
    let mut body = answer.json();
    if let Some(id) = body.get_mut("request_id") {
        id.take();
    }
    (answer.status, body.to_string().replace(name, "NAME"))
}

fn renamed(frame: &Value, name: &str) -> String {
    frame.to_string().replace(name, "NAME")
}

async fn another_users_devices_look_as_if_they_were_not(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (_somebody, mut their_phone, mut their_tv, _) = somebody(&server).await;
    let stranger = User::new(&server).await;
    let mut mine = stranger.raw("mine").await;
    let http = server.http();
    let mut http_answers = Vec::new();
    let mut frames = Vec::new();
    for (number, name) in ["secret-tv", "no-such-tv"].into_iter().enumerate() {
        let path = format!("/api/devices/{name}");
        let renaming = json!({"device_name": "x"});
        let asked = [
            http.send_as(stranger.token(), Method::PUT, &path, &renaming).await,
            http.send_as(stranger.token(), Method::DELETE, &path, &json!({})).await,
            stranger.get(&format!("/api/streams?device_id={name}")).await,
        ];
        http_answers.push(asked.map(|answer| anonymous(&answer, name)));
        let mut heard = Vec::new();
        for (kind, frame) in [
            ("offer", offer("ID", name, "v=0")),
            ("ring", start("ID", name)),
            (
                "pull",
                json!({"type": "stream_start", "id": "ID",
                "payload": {"to_device_id": name, "stream_type": "video", "source_device_id": name}}),
            ),
            (
                "candidate",
                json!({"type": "ice_candidate", "id": "ID", "payload": {"to_device_id": name, "candidate": ""}}),
            ),
        ] {
            let id = format!("{kind}-{number}");
            let mut frame = frame;
            frame["id"] = id.clone().into();
            let mut outcome = tell(&mut mine, frame).await;
            // Its place differs, as it must.
            outcome["seq"].take();
            heard.push(renamed(&outcome, name).replace(&id, "ID"));
        }
        frames.push(heard);
    }
    assert_eq!(http_answers[0], http_answers[1]);
    assert_eq!(frames[0], frames[1]);
    for device in [&mut their_phone, &mut their_tv] {
        device.hears_nothing().await;
    }
}

async fn another_users_streams_look_as_if_they_were_not(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (_somebody, mut their_phone, mut their_tv, stream) = somebody(&server).await;
    let stranger = User::new(&server).await;
    let mut mine = stranger.raw("mine").await;
    let mut other = stranger.raw("other").await;
    mine.until("device_online").await;
    let unknown = uuid::Uuid::now_v7().to_string();
    let mut records = Vec::new();
    let mut frames = Vec::new();
    for (number, name) in [&stream, &unknown].into_iter().enumerate() {
        records.push(anonymous(&stranger.get(&format!("/api/streams/{name}")).await, name));
        let mut heard = Vec::new();
        for kind in ["stream_accept", "stream_decline", "stream_end", "stream_stats"] {
            let id = format!("{kind}-{number}");
            let mut outcome = tell(&mut mine, about(kind, &id, name)).await;
            outcome["seq"].take();
            heard.push(renamed(&outcome, name).replace(&id, "ID"));
        }
        for (kind, field) in [("sdp_offer", "sdp"), ("sdp_answer", "sdp"), ("ice_candidate", "candidate")] {
            for to in [Value::Null, json!("other"), json!("secret-tv")] {
                let id = format!("{kind}-{to}-{number}");
                let payload = json!({"stream_id": name, field: "x", "to_device_id": to});
                let mut outcome = tell(&mut mine, json!({"type": kind, "payload": payload, "id": id})).await;
                outcome["seq"].take();
                let json_id = json!(id).to_string();
                heard.push(renamed(&outcome, name).replace(json_id.trim_matches('"'), "ID"));
            }
        }
        frames.push(heard);
    }
    assert_eq!(records[0], records[1]);
    assert_eq!(frames[0], frames[1]);
    assert!(stranger.get("/api/streams").await.json()["streams"].as_array().unwrap().is_empty());
    other.hears_nothing().await;
    for device in [&mut their_phone, &mut their_tv] {
        device.hears_nothing().await;
    }
}

async fn another_users_session_cannot_be_taken(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (_somebody, mut their_phone, mut their_tv, _) = somebody(&server).await;
    let stranger = User::new(&server).await;
    let stolen = stranger.dial("secret-tv").resume(&their_tv.session(), their_tv.last_seq);
    let mut stolen = stolen.welcomed().await;
    assert_eq!(stolen.welcome["resumed"], false);
    assert_ne!(stolen.session(), their_tv.session());
    assert_eq!(stolen.welcome["streams"], json!([]));
    assert_eq!(stolen.welcome["devices"].as_array().unwrap().len(), 1);
    stolen.hears_nothing().await;
    their_tv.hears_nothing().await;
    their_phone.hears_nothing().await;
}

async fn devices_of_the_same_name_are_apart(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (one, other) = (User::new(&server).await, User::new(&server).await);
    let mut one_phone = one.raw("phone").await;
    let mut one_tv = one.raw("tv").await;
    let mut other_phone = other.raw("phone").await;
    let mut other_tv = other.raw("tv").await;
    one_phone.barrier().await;
    other_phone.barrier().await;
    one_phone.say(offer("m-1", "tv", "of one")).await;
    other_phone.say(offer("m-1", "tv", "of the other")).await;
    assert_eq!(one_tv.expect("sdp_offer").await["sdp"], "of one");
    assert_eq!(other_tv.expect("sdp_offer").await["sdp"], "of the other");
    one_tv.ack().await;
    assert_delivered(&one_phone.outcome("m-1").await);
    other_phone.hears_nothing().await;
    let token = &one.signed_in.access_token;
    one.api.remove_device(token, &streamz_protocol::DeviceId::new("tv").unwrap()).await.unwrap();
    one_tv.closes(4504).await;
    other_tv.hears_nothing().await;
    assert_eq!(other.is_online("tv").await, Some(true));
}
