//! The store goes away and comes back.

use serde_json::json;
use streamz_testkit::Postgres;
use streamz_tests::{Server, Topology, User, eventually, scenarios_on_postgres, soon};

use crate::support::{about, assert_delivered, offer, ring, start, tell};

scenarios_on_postgres![
    devices_signal_on_while_the_store_is_away,
    a_user_who_comes_while_the_store_is_away_is_told_to_come_back,
];

/// A Postgres that this test may stop.
async fn postgres() -> Postgres {
    tokio::task::spawn_blocking(|| Postgres::start().unwrap_or_else(|error| panic!("{error}"))).await.unwrap()
}

async fn devices_signal_on_while_the_store_is_away(topology: Topology) {
    let postgres = postgres().await;
    let server = Server::start_on(&postgres, topology, &[("HUB_IDLE", "100ms")]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    phone.until("device_online").await;
    let http = server.http();
    postgres.stop();

    // Whoever is connected signals on, with rings and all, and may come back.
    phone.say(offer("m-1", "tv", "v=0")).await;
    tv.until("sdp_offer").await;
    tv.ack().await;
    assert_delivered(&phone.outcome("m-1").await);
    let stream = ring(&mut phone, start("s-1", "tv")).await;
    assert_delivered(&tell(&mut tv, about("stream_accept", "t-1", &stream)).await);
    phone.until("stream_accept").await;
    let dial = user.dial("tv").resume(&tv.session(), tv.last_seq);
    tv.vanish();
    let mut tv = dial.welcomed().await;
    assert_eq!(tv.welcome["resumed"], true);
    phone.barrier().await;

    // What needs the store says so, and the process is alive.
    let body = json!({"email": user.email, "password": "correct horse battery staple"});
    let refused = soon(http.post("/api/auth/login", &body)).await;
    assert_eq!(refused.problem(), (503, "unavailable".into()));
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(user.get("/api/devices").await.problem(), (503, "unavailable".into()));
    assert_eq!(http.get("/health").await.status, 200);
    // No load balancer takes it out of service for what all of its kind have lost.
    let ready = eventually(|| async {
        let ready = http.get("/ready").await;
        assert_eq!(ready.status, 200, "{ready:?}");
        Some(ready).filter(|ready| ready.json()["state"] == "degraded")
    })
    .await;
    assert_eq!(
        ready.json()["checks"][0],
        json!({"name": "store", "ready": false, "state": ready.json()["checks"][0]["state"]})
    );
    user.dial("new").refused(4005).await;
    assert_eq!(user.dial_simple("new").open().await.unwrap_err().code, "unavailable");
    phone.barrier().await;
    tv.barrier().await;

    // It comes back, and so does everything, without a restart.
    postgres.start_again();
    eventually(|| async { (http.get("/ready").await.json()["state"] == "ready").then_some(()) }).await;
    assert_delivered(&tell(&mut tv, about("stream_end", "t-2", &stream)).await);
    let record = eventually(|| async {
        Some(user.record(&stream).await).filter(|record| record["ended_at"].is_string())
    })
    .await;
    assert_eq!(record["end_reason"], "ended");
    user.sign_in_again().await.unwrap();
    user.raw("new").await.close().await;
    assert_eq!(phone.until("device_online").await["payload"]["device_id"], "new");
}

async fn a_user_who_comes_while_the_store_is_away_is_told_to_come_back(topology: Topology) {
    let postgres = postgres().await;
    let server = Server::start_on(&postgres, topology, &[]).await;
    let user = User::new(&server).await;
    postgres.stop();
    user.dial("phone").refused(4005).await;
    let refused = user.dial_simple("phone").open().await.unwrap_err();
    assert_eq!((refused.status, refused.code.as_str()), (503, "unavailable"));
    let connecting = user.client("phone").start().unwrap();
    postgres.start_again();
    // A client that keeps trying gets in.
    soon(connecting.0.online()).await.unwrap();
}
