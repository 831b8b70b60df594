//! What a process of a cluster does about a bad start, and about what others send it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Output;

use serde_json::json;
use streamz_testkit::{Postgres, Redis};
use streamz_tests::{Http, Server, Topology, User, eventually, run};

const ONE: Topology = Topology::ONE_AND_ONE;

fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The sum of a counter over its labels.
async fn count(url: &str, name: &str) -> u64 {
    let metrics = Http::new(url).get("/metrics").await.text;
    let values =
        metrics.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit(' ').next());
    values.filter_map(|value| value.parse::<f64>().ok()).map(|value| value as u64).sum()
}

#[test]
fn a_start_that_cannot_succeed_ends_with_a_sentence() {
    run(ONE, async |topology| {
        let server = Server::start(topology, &[]).await;
        let guarded =
            tokio::task::spawn_blocking(|| Redis::start_with_password("secret").unwrap()).await.unwrap();
        let port = guarded.port();
        let open = format!("redis://127.0.0.1:{port}");
        let wrong = format!("redis://:wrong@127.0.0.1:{port}");
        let database = server.database_url();
        let no_redis = server.url().replace("http://", "redis://");
        let empty = database.replace(database.rsplit('/').next().unwrap(), "postgres");
        for role in ["gateway", "node"] {
            for (variable, value, words) in [
                ("REDIS_URL", &*open, "wants a password"),
                ("REDIS_URL", &wrong, "does not accept the user and password"),
                ("REDIS_URL", &no_redis, "is no Redis"),
                ("DATABASE_URL", &empty, "run `streamz migrate` first"),
            ] {
                let (code, text) = said(&server.beside(&[role], &[("PORT", "0"), (variable, value)]).await);
                assert_eq!(code, Some(1), "{role} with {variable}={value}: {text}");
                assert!(text.contains(words), "{role} with {variable}={value}: {text}");
            }
            let (code, text) =
                said(&server.beside(&[role], &[("PORT", "0"), ("DATABASE_URL", "sqlite:x.db")]).await);
            assert_eq!(code, Some(2), "{text}");
            assert!(text.contains("DATABASE_URL"), "{text}");
        }
        let (code, text) = said(&server.beside(&["check", "--role", "node"], &[("REDIS_URL", &open)]).await);
        assert_eq!(code, Some(1), "{text}");
    });
}

/// A node and a gateway that are started in the middle of an outage of Postgres say that they live, and begin when it is
/// over.
#[test]
fn a_database_that_is_not_there_yet_is_waited_for() {
    run(ONE, async |topology| {
        let start = || Postgres::start().unwrap_or_else(|error| panic!("{error}"));
        let postgres = tokio::task::spawn_blocking(start).await.unwrap();
        let mut server = Server::start_on(&postgres, topology, &[]).await;
        let user = User::new(&server).await;
        server.kill().await;
        postgres.stop();
        server.start_again_unready(&[]).await;
        for member in server.nodes.iter().chain(&server.gateways) {
            let http = Http::new(member.url());
            assert_eq!(http.get("/health").await.status, 200);
            let ready = http.get("/ready").await;
            assert_eq!(ready.problem(), (503, "not_ready".into()));
            assert_eq!(ready.json()["checks"][0]["name"], "store");
            assert!(member.log().contains("waiting for the database"), "{}", member.log());
        }
        postgres.start_again();
        for member in server.nodes.iter().chain(&server.gateways) {
            member.ready().await;
        }
        let phone = user.sign_in_again().await.unwrap().raw("phone").await;
        drop(phone);
        // Nor does a start that waits keep anybody from ending it.
        server.kill().await;
        postgres.stop();
        server.start_again_unready(&[]).await;
        for member in server.nodes.iter_mut().chain(&mut server.gateways) {
            member.signal("TERM");
            member.ends_with(1).await;
        }
    });
}

#[test]
fn a_redis_that_is_not_there_yet_is_waited_for() {
    run(ONE, async |_| {
        let mut server = Server::start(ONE, &[]).await;
        let user = User::new(&server).await;
        let mut phone = user.raw("phone").await;
        server.redis[0].stop();
        // It starts, says that it is alive, and becomes ready when it can.
        server.add_gateway().await;
        let late = Http::new(server.gateways[1].url());
        assert_eq!(late.get("/health").await.status, 200);
        assert_eq!(late.get("/ready").await.status, 503);
        assert_eq!(server.http().get("/health").await.status, 200, "nobody needs a restart");
        server.redis[0].start_again();
        server.gateways[1].ready().await;
        let tv = user.through(&server.gateways[1]).raw("tv").await;
        assert_eq!(phone.until("device_online").await["payload"]["device_id"], "tv");
        drop(tv);
    });
}

#[test]
fn what_others_write_on_the_bus_is_dropped_and_counted() {
    run(ONE, async |_| {
        let server = Server::start(ONE, &[]).await;
        let user = User::new(&server).await;
        let (mut phone, mut tv) = (user.raw("phone").await, user.raw("tv").await);
        phone.until("device_online").await;
        let channels = server.redis[0].command(&["PUBSUB", "CHANNELS", "streamz:*"]);
        let channels: Vec<&str> = channels.lines().collect();
        assert_eq!(channels.len(), 2, "{channels:?}");
        let refused = "streamz_bus_envelopes_refused_total";
        let before = count(server.url(), refused).await + count(server.nodes[0].url(), refused).await;
        let huge = "x".repeat(100_000);
        for channel in &channels {
            for forged in ["", "hello", "SZ", "\u{1}\u{2}\u{3}", &huge] {
                server.redis[0].command(&["PUBLISH", channel, forged]);
            }
        }
        eventually(|| async {
            let now = count(server.url(), refused).await + count(server.nodes[0].url(), refused).await;
            (now - before == 10).then_some(())
        })
        .await;
        // Nothing was lost by it.
        phone
            .say(json!({"type": "sdp_offer", "id": "m-1", "payload": {"to_device_id": "tv", "sdp": "v=0"}}))
            .await;
        tv.until("sdp_offer").await;
        tv.ack().await;
        assert_eq!(phone.outcome("m-1").await["type"], "delivered");
    });
}

#[test]
fn a_process_with_another_secret_does_not_join() {
    run(ONE, async |_| {
        let server = Server::start(ONE, &[]).await;
        let stranger = [("PORT", "0"), ("JWT_SECRET", "Qm3hT8vKx1Lz5pWc9RbY2nFs7GdJ4aUe")];
        for role in ["gateway", "node"] {
            let (code, text) = said(&server.beside(&[role], &stranger).await);
            assert_eq!(code, Some(1), "{text}");
            assert!(text.contains("JWT_SECRET is not the one that node "), "{text}");
        }
    });
}

#[test]
fn one_process_does_not_serve_beside_a_fleet() {
    run(ONE, async |_| {
        let mut server = Server::start(ONE, &[]).await;
        let alone = [("PORT", "0"), ("REDIS_URL", "")];
        let (code, text) = said(&server.beside(&[], &alone).await);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("a fleet serves from this database (node "), "{text}");
        // Once the fleet has ended it may.
        server.stop().await;
        let check = server.beside(&["check"], &alone).await;
        assert_eq!(check.status.code(), Some(0), "{}", String::from_utf8_lossy(&check.stdout));
    });
}

#[test]
fn a_fleet_puts_right_what_one_process_left_in_its_database() {
    run(Topology::EmbeddedPostgres, async |topology| {
        let mut alone = Server::start(topology, &[]).await;
        let user = User::new(&alone).await;
        let (mut phone, mut tv) = (user.raw("phone").await, user.raw("tv").await);
        phone.until("device_online").await;
        phone.say(json!({"type": "stream_start", "id": "s-1", "payload": {"to_device_id": "tv", "stream_type": "both"}})).await;
        let stream = phone.until("stream_ringing").await["payload"]["stream_id"].as_str().unwrap().to_owned();
        tv.until("stream_start").await;
        let shown =
            eventually(|| async { Some(user.record(&stream).await).filter(|record| record.is_object()) });
        assert!(shown.await["ended_at"].is_null());
        eventually(|| async { (user.is_online("tv").await == Some(true)).then_some(()) }).await;
        alone.kill().await;
        drop((phone, tv));

        let fleet = alone.followed_by(ONE).await;
        let user = user.sign_in_at(&fleet).await;
        let record = eventually(|| async {
            Some(user.record(&stream).await).filter(|record| !record["ended_at"].is_null())
        });
        assert_eq!(record.await["end_reason"], "server_restart");
        eventually(|| async { (user.is_online("tv").await == Some(false)).then_some(()) }).await;
    });
}

#[test]
fn a_second_signal_ends_at_once() {
    run(ONE, async |_| {
        let mut server = Server::start(ONE, &[("DRAIN_TIMEOUT", "60s")]).await;
        let user = User::new(&server).await;
        // It does not take its leave, so the gateway would wait for it.
        let _silent = user.raw("phone").await;
        server.gateways[0].signal("TERM");
        let heard = "a second signal ends at once";
        eventually(|| async { server.gateways[0].log().contains(heard).then_some(()) }).await;
        server.gateways[0].signal("TERM");
        server.gateways[0].ends_with(1).await;
        assert!(server.gateways[0].log().contains("ended at once"), "{}", server.gateways[0].log());
    });
}
