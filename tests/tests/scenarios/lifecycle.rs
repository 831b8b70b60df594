//! Start, end, and what is left of a process that was killed.

use serde_json::{Value, json};
use streamz_client::{Outcome, Outgoing};
use streamz_protocol::DeviceId;
use streamz_tests::{Heard, Server, Topology, User, eventually, scenarios, soon};

use crate::support::{Database, about, assert_delivered, offer, ring, start, tell};

scenarios![
    a_server_that_ends_sends_its_devices_away,
    a_device_that_says_no_goodbye_does_not_hold_up_the_end,
    a_second_start_is_quick_and_has_everything,
    presence_is_put_right_after_a_kill,
    open_streams_are_closed_after_a_kill,
    the_native_client_comes_back_after_a_restart,
    a_configuration_that_is_wrong_names_the_variable,
];

async fn a_server_that_ends_sends_its_devices_away(topology: Topology) {
    let mut server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.simple("tv").await;
    phone.until("device_online").await;
    server.terminate();
    for device in [&mut phone, &mut tv] {
        let reconnect = device.until("reconnect").await;
        assert!(reconnect["payload"]["after_ms"].as_u64().is_some_and(|after| after <= 5000), "{reconnect}");
        assert_eq!(device.hear().await, Heard::Close(4000));
    }
    drop((phone, tv));
    server.ended().await;
    server.start_again(&[]).await;
    assert_eq!(user.is_online("phone").await, Some(false));
}

async fn a_device_that_says_no_goodbye_does_not_hold_up_the_end(topology: Topology) {
    let mut server = Server::start(topology, &[("DRAIN_TIMEOUT", "2s")]).await;
    let user = User::new(&server).await;
    // Nobody reads here.
    let _silent = user.raw("phone").await;
    let began = std::time::Instant::now();
    server.stop().await;
    assert!(began.elapsed().as_secs() < 8, "{:?}", began.elapsed());
}

async fn a_second_start_is_quick_and_has_everything(topology: Topology) {
    let mut server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let phone = user.raw("phone").await;
    let before = phone.welcome["device"].clone();
    phone.close().await;
    server.stop().await;
    server.start_again(&[]).await;
    // Generous: two busy cores, an unoptimised program. The budget is measured by the bench.
    assert!(server.started_in() < topology.restart(), "{:?}", server.started_in());
    // The key is the same, so the token is good; so are the password and the device.
    assert_eq!(user.get("/api/auth/me").await.status, 200);
    user.sign_in_again().await.unwrap();
    let phone = user.raw("phone").await;
    assert_eq!(phone.welcome["device"]["id"], before["id"]);
    let refused = user.clone();
    user.api.logout(&user.signed_in.access_token).await.unwrap();
    drop(phone);
    server.stop().await;
    server.start_again(&[]).await;
    assert_eq!(
        refused.get("/api/auth/me").await.problem(),
        (401, "revoked".into()),
        "a logout outlives a restart"
    );
}

async fn presence_is_put_right_after_a_kill(topology: Topology) {
    let mut server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let phone = user.raw("phone").await;
    let database = Database::of(&server);
    // The row says online, sooner or later.
    eventually(|| async {
        (database.count("SELECT count(*) FROM devices WHERE is_online").await == 1).then_some(())
    })
    .await;
    server.kill().await;
    drop(phone);
    assert_eq!(
        database.count("SELECT count(*) FROM devices WHERE is_online").await,
        1,
        "as the crash left it"
    );
    server.start_again(&[]).await;
    eventually(|| async {
        (database.count("SELECT count(*) FROM devices WHERE is_online").await == 0).then_some(())
    })
    .await;
    assert_eq!(user.is_online("phone").await, Some(false));
    let tv = user.raw("tv").await;
    let phone =
        tv.welcome["devices"].as_array().unwrap().iter().find(|device| device["device_id"] == "phone");
    assert_eq!(phone.unwrap()["is_online"], false);
}

async fn open_streams_are_closed_after_a_kill(topology: Topology) {
    let mut server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    let stream = ring(&mut phone, start("s-1", "tv")).await;
    assert_delivered(&tell(&mut tv, about("stream_accept", "t-1", &stream)).await);
    eventually(|| async { Some(user.record(&stream).await).filter(|r| r["target_device"].is_object()) })
        .await;
    server.kill().await;
    drop((phone, tv));
    server.start_again(&[]).await;
    assert_eq!(closed(&user, &stream).await["end_reason"], "server_restart");
    let phone = user.raw("phone").await;
    assert_eq!(phone.welcome["streams"], json!([]));
    // And after an orderly end.
    let mut phone = phone;
    let mut tv = user.raw("tv").await;
    phone.until("device_online").await;
    let stream = ring(&mut phone, start("s-1", "tv")).await;
    assert_delivered(&tell(&mut tv, about("stream_accept", "t-1", &stream)).await);
    server.terminate();
    phone.closes(4000).await;
    tv.closes(4000).await;
    drop((phone, tv));
    server.ended().await;
    server.start_again(&[]).await;
    assert_eq!(closed(&user, &stream).await["end_reason"], "server_restart");
}

/// The record, once it is closed. One process does it before it is ready; a fleet, once the new owners have taken over.
async fn closed(user: &User, stream: &str) -> Value {
    eventually(|| async { Some(user.record(stream).await).filter(|record| record["ended_at"].is_string()) })
        .await
}

async fn the_native_client_comes_back_after_a_restart(topology: Topology) {
    let mut server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.device("phone").await;
    let mut tv = user.device("tv").await;
    server.stop().await;
    server.start_again(&[]).await;
    assert!(!phone.welcomed_again().await.resumed);
    assert!(!tv.welcomed_again().await.resumed);
    let sent = soon(phone.client.send(Outgoing::offer("v=0").to(DeviceId::new("tv").unwrap()))).await;
    assert_eq!(sent, Ok(Outcome::Delivered));
    assert_eq!(tv.offer().await, "v=0");
    let mut simple = user.simple("radio").await;
    simple.say(offer("m-1", "none", "v=0")).await;
    assert_eq!(simple.outcome("m-1").await["payload"]["reason"], "unknown_device");
}

async fn a_configuration_that_is_wrong_names_the_variable(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let refused = |variables: &'static [(&'static str, &'static str)]| async {
        let output = tokio::process::Command::new(streamz_tests::binary())
            .env_clear()
            .envs(variables.iter().copied())
            .current_dir(std::env::temp_dir())
            .output();
        let output = soon(output).await.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (variables, named) in [
        (&[("PORT", "x")] as &[_], vec!["PORT"]),
        (
            &[("ENV", "production"), ("JWT_SECRET", "secret"), ("ALLOWED_ORIGINS", "*")],
            vec!["JWT_SECRET", "ALLOWED_ORIGINS"],
        ),
        (
            &[("JWT_EXPIRY", "soon"), ("RESUME_WINDOW", "1s"), ("OFFLINE_GRACE", "2s")],
            vec!["JWT_EXPIRY", "OFFLINE_GRACE"],
        ),
        (&[("TURN_URLS", "turn:a.example.org")], vec!["TURN_SECRET"]),
        (&[("DATABASE_URL", "mysql://a/b")], vec!["DATABASE_URL"]),
    ] {
        let (code, said) = refused(variables).await;
        assert_eq!(code, Some(2), "{said}");
        for name in named {
            assert!(said.contains(name), "{name}: {said}");
        }
    }
    // A port that is taken is another matter.
    let port: &'static str = server.url().rsplit(':').next().unwrap().to_owned().leak();
    let data: &'static str = tempfile::tempdir().unwrap().keep().to_str().unwrap().to_owned().leak();
    let taken: &'static [_] = vec![("PORT", port), ("DATA_DIR", data)].leak();
    let (code, said) = refused(taken).await;
    std::fs::remove_dir_all(data).unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("PORT"), "{said}");
}
