//! What a cluster adds to the scenarios: devices of one person on different gateways, and processes that come and go.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use streamz_tests::{Http, Place, Raw, Server, Topology, User, eventually, run};

fn offer(id: &str, to: &str, sdp: &str) -> serde_json::Value {
    json!({"type": "sdp_offer", "id": id, "payload": {"to_device_id": to, "sdp": sdp}})
}

/// Two devices of one person, each on a gateway of its own.
async fn pair(fleet: &Server) -> (User, Raw, Raw) {
    let user = User::new(fleet).await;
    let mut phone = user.through(&fleet.gateways[0]).raw("phone").await;
    let tv = user.through(&fleet.gateways[1]).raw("tv").await;
    phone.until("device_online").await;
    (user, phone, tv)
}

async fn relays(from: &mut Raw, to: &mut Raw, target: &str, id: &str) {
    from.say(offer(id, target, id)).await;
    let heard = to.until("sdp_offer").await;
    assert_eq!(heard["payload"]["sdp"], id);
    to.ack().await;
    let outcome = from.outcome(id).await;
    assert_eq!(outcome["type"], "delivered", "{outcome}");
}

async fn start(gateways: usize, nodes: usize, redis: usize) -> Server {
    Server::start(Topology::Fleet { gateways, nodes, redis }, &[]).await
}

fn test<F: Future<Output = ()>>(body: impl FnOnce() -> F) {
    // The topology is the test's own.
    run(Topology::EmbeddedSqlite, |_| body());
}

#[test]
fn devices_on_two_gateways_meet() {
    test(|| async {
        let fleet = start(2, 2, 2).await;
        let (user, mut phone, mut tv) = pair(&fleet).await;
        for round in 0..5 {
            relays(&mut phone, &mut tv, "tv", &format!("a{round}")).await;
            relays(&mut tv, &mut phone, "phone", &format!("b{round}")).await;
        }
        assert_eq!(user.is_online("tv").await, Some(true));
        tv.close().await;
        phone.until("device_offline").await;
    });
}

#[test]
fn a_node_that_is_killed_is_followed_by_another() {
    test(|| async {
        let mut fleet = start(2, 2, 1).await;
        let (_, mut phone, mut tv) = pair(&fleet).await;
        relays(&mut phone, &mut tv, "tv", "before").await;
        fleet.nodes[0].kill().await;
        relays(&mut phone, &mut tv, "tv", "after the first").await;
        fleet.add_node().await;
        fleet.nodes[2].ready().await;
        fleet.nodes[1].kill().await;
        relays(&mut tv, &mut phone, "phone", "after both").await;
    });
}

/// Leases lapse after four seconds; who is silent while others are heard is found before. Also if it coordinates: the
/// two die one after the other, and at least one of them does.
#[test]
fn a_node_that_is_killed_is_found_by_nobody_receiving() {
    test(|| async {
        let mut fleet = start(1, 2, 1).await;
        // As many people, so that each node has some of them.
        let mut phones = Vec::new();
        for _ in 0..16 {
            phones.push(User::new(&fleet).await.raw("phone").await);
        }
        // A Redis that has just been started is no witness.
        eventually(|| async {
            let info = fleet.redis[0].command(&["INFO", "server"]);
            let uptime =
                info.lines().find_map(|line| line.trim().strip_prefix("uptime_in_seconds:")).unwrap();
            (uptime.parse::<u64>().unwrap() > 6).then_some(())
        })
        .await;
        for killed in 0..2 {
            fleet.nodes[killed].kill().await;
            for (number, phone) in phones.iter_mut().enumerate() {
                phone.say(offer(&format!("m-{killed}-{number}"), "nobody", "v=0")).await;
            }
            for (number, phone) in phones.iter_mut().enumerate() {
                let outcome = phone.outcome(&format!("m-{killed}-{number}")).await;
                assert_eq!(outcome["type"], "not_delivered", "{outcome}");
            }
            fleet.add_node().await;
            fleet.nodes[killed + 2].ready().await;
            if killed == 0 {
                // It has slots of its own before the other one dies.
                eventually(|| async {
                    let ready = Http::new(fleet.gateways[0].url()).get("/ready").await;
                    (ready.status == 200).then_some(())
                })
                .await;
            }
        }
        let log = fleet.log();
        let by_silence =
            log.matches(r#"evicted process="#).count() - log.matches("its lease has lapsed").count();
        assert_eq!(by_silence, 2, "{log}");
    });
}

#[test]
fn a_node_that_ends_in_order_hands_its_users_on() {
    test(|| async {
        let mut fleet = start(2, 2, 1).await;
        let (_, mut phone, mut tv) = pair(&fleet).await;
        fleet.nodes[0].stop().await;
        relays(&mut phone, &mut tv, "tv", "m-1").await;
        fleet.add_node().await;
        fleet.nodes[2].ready().await;
        fleet.nodes[1].stop().await;
        relays(&mut tv, &mut phone, "phone", "t-1").await;
        // Whoever reads the logs can follow it.
        let log = fleet.nodes[0].log();
        for said in ["this node is one of the cluster's", "this node decides", "ending"] {
            assert!(log.contains(said), "{said:?} is missing in:\n{log}");
        }
    });
}

#[test]
fn a_device_of_a_gateway_that_is_killed_goes_on_at_another() {
    test(|| async {
        let mut fleet = start(2, 1, 1).await;
        let (user, mut phone, tv) = pair(&fleet).await;
        let dial = user.through(&fleet.gateways[0]).dial("tv").resume(&tv.session(), tv.last_seq);
        fleet.gateways[1].kill().await;
        let mut tv = dial.welcomed().await;
        assert_eq!(tv.welcome["resumed"], true, "{}", tv.welcome);
        relays(&mut phone, &mut tv, "tv", "m-1").await;
    });
}

#[test]
fn a_sign_out_closes_sockets_on_every_gateway() {
    test(|| async {
        let fleet = start(2, 1, 1).await;
        let (user, mut phone, mut tv) = pair(&fleet).await;
        let began = Instant::now();
        user.api.logout(&user.signed_in.access_token).await.unwrap();
        phone.closes(4502).await;
        tv.closes(4502).await;
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    });
}

/// Whatever ends a device's right to be there, no gateway serves it a second later.
#[test]
fn what_is_removed_or_revoked_is_closed_on_every_gateway() {
    test(|| async {
        let fleet = start(2, 1, 1).await;
        let (user, mut phone, mut tv) = pair(&fleet).await;
        let http = Http::new(fleet.gateways[0].url());
        let began = Instant::now();
        let gone = http.send_as(user.token(), Method::DELETE, "/api/devices/tv", &json!({})).await;
        assert_eq!(gone.status, 204);
        tv.closes(4504).await;
        assert!(began.elapsed().as_secs() < 1, "{:?}", began.elapsed());
        phone.until("device_removed").await;
        // A refresh token that is used twice was copied: its whole family is revoked.
        let cam = user.through(&fleet.gateways[1]);
        let mut cam = cam.raw("cam").await;
        user.api.refresh(&user.signed_in.refresh_token).await.unwrap();
        let began = Instant::now();
        user.api.refresh(&user.signed_in.refresh_token).await.unwrap_err();
        cam.closes(4502).await;
        phone.closes(4502).await;
        assert!(began.elapsed().as_secs() < 1, "{:?}", began.elapsed());
    });
}

/// A word over the bus may be lost, and here all of them are: the list in the database has it too.
#[test]
fn a_sign_out_closes_sockets_everywhere_though_redis_is_away() {
    test(|| async {
        let fleet = start(2, 1, 1).await;
        let (user, mut phone, mut tv) = pair(&fleet).await;
        fleet.redis[0].stop();
        let began = Instant::now();
        user.api.logout(&user.signed_in.access_token).await.unwrap();
        phone.closes(4502).await;
        tv.closes(4502).await;
        // The list is read every 0.7 s, and reading it takes its time on a busy machine.
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    });
}

/// What a gateway was told it forgets with its end; what was revoked while it was away it was never told.
#[test]
fn what_was_revoked_stays_revoked_for_a_gateway_that_starts_again() {
    test(|| async {
        let mut fleet = start(2, 1, 1).await;
        let user = User::new(&fleet).await;
        let doomed = User::new(&fleet).await;
        let before = user.sign_in_again().await.unwrap();
        let during = user.sign_in_again().await.unwrap();
        let thief = user.sign_in_again().await.unwrap();
        before.api.logout(&before.signed_in.access_token).await.unwrap();
        // Each kind of end, told to nobody but the gateway that stays.
        fleet.gateways[1].kill().await;
        let http = Http::new(fleet.gateways[0].url());
        let sessions = during.through(&fleet.gateways[0]).get("/api/auth/sessions").await.json();
        let current =
            sessions["sessions"].as_array().unwrap().iter().find(|session| session["current"] == true);
        let path = format!("/api/auth/sessions/{}", current.unwrap()["id"].as_str().unwrap());
        let api = user.through(&fleet.gateways[0]);
        assert_eq!(http.send_as(api.token(), Method::DELETE, &path, &json!({})).await.status, 204);
        let change = json!({"current_password": streamz_tests::PASSWORD, "new_password": "another password"});
        assert_eq!(http.send_as(api.token(), Method::PUT, "/api/auth/password", &change).await.status, 204);
        let mine = json!({"password": streamz_tests::PASSWORD});
        assert_eq!(http.send_as(doomed.token(), Method::DELETE, "/api/auth/me", &mine).await.status, 204);
        fleet.gateway_again(1).await;
        for ended in [&before, &during, &thief, &doomed] {
            let there = ended.through(&fleet.gateways[1]);
            assert_eq!(there.get("/api/ice-servers").await.problem(), (401, "revoked".into()));
            there.dial("phone").refused(4502).await;
        }
        let kept = user.through(&fleet.gateways[1]);
        assert_eq!(kept.get("/api/auth/me").await.status, 200);
        kept.raw("phone").await.close().await;
    });
}

/// Containers and services often start with a soft limit of 1,024 and a hard one that is much higher.
#[test]
fn a_process_takes_as_many_files_as_it_may_have() {
    test(|| async {
        let mut fleet = start(1, 1, 1).await;
        let through = ["sh", "-c", r#"ulimit -S -n 512 && exec "$@""#, "sh"].map(str::to_owned).to_vec();
        fleet.add_gateway_at(Place { through, ..Place::default() }).await;
        assert_eq!(fleet.gateways[1].open_files(), fleet.gateways[0].open_files());
        assert!(fleet.gateways[1].open_files() > 512);
    });
}

#[test]
fn sockets_outlive_an_outage_of_redis() {
    test(|| async {
        let fleet = start(2, 1, 1).await;
        let (_, mut phone, mut tv) = pair(&fleet).await;
        fleet.redis[0].stop();
        phone.say(offer("m-1", "tv", "m-1")).await;
        fleet.redis[0].start_again();
        tv.until("sdp_offer").await;
        tv.ack().await;
        assert_eq!(phone.outcome("m-1").await["type"], "delivered");
        relays(&mut tv, &mut phone, "phone", "t-1").await;
    });
}
