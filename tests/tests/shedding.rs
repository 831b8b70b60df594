//! More than a process can do: the rest is told to come again, and who is there is served.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use serde_json::json;
use streamz_tests::{Http, Server, Topology, User, eventually, run, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a server says to a connection of its own; empty if it says nothing.
async fn knock(url: String) -> String {
    let Ok(mut stream) = TcpStream::connect(url.trim_start_matches("http://")).await else {
        return String::new();
    };
    // It may have been turned away before it asks.
    let _ = stream.write_all(b"GET /ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

#[test]
fn a_flood_of_connections_is_shed_and_the_others_are_served() {
    run(Topology::EmbeddedSqlite, async |topology| {
        let server = Server::start(topology, &[("CONNECTIONS_PER_SECOND", "20")]).await;
        let user = User::new(&server).await;
        let (mut phone, mut tv) = (user.raw("phone").await, user.raw("tv").await);
        phone.until("device_online").await;
        let url = server.url().to_owned();
        let flood: Vec<_> = (0..400).map(|_| tokio::spawn(knock(url.clone()))).collect();
        for number in 0..20 {
            let id = format!("m-{number}");
            phone
                .say(json!({"type": "sdp_offer", "id": id, "payload": {"to_device_id": "tv", "sdp": id}}))
                .await;
            assert_eq!(tv.until("sdp_offer").await["payload"]["sdp"], id);
            tv.ack().await;
            assert_eq!(phone.outcome(&id).await["type"], "delivered");
        }
        let (mut served, mut shed) = (0, 0);
        for answer in flood {
            let answer = soon(answer).await.unwrap().to_lowercase();
            if answer.starts_with("http/1.1 200") {
                served += 1;
            } else if answer.starts_with("http/1.1 503") {
                shed += 1;
                for header in ["retry-after: 1", "x-content-type-options: nosniff", "\"code\":\"busy\""] {
                    assert!(answer.contains(header), "{header}: {answer}");
                }
            }
        }
        // (One that wrote before it was turned away may have lost the answer with its connection.)
        assert!(shed > served, "{shed} shed, {served} served");
        // It passes by itself.
        eventually(|| async { knock(url.clone()).await.starts_with("HTTP/1.1 200").then_some(()) }).await;
        let metrics = eventually(|| async {
            Some(server.http().get("/metrics").await).filter(|metrics| metrics.status == 200)
        });
        assert!(metrics.await.text.contains("streamz_shed_total{cause=\"rate\"}"));
    });
}

#[test]
fn a_process_short_of_memory_lets_nobody_new_in() {
    run(Topology::EmbeddedSqlite, async |topology| {
        let mut server = Server::start(topology, &[("ADMIN_PORT", "0")]).await;
        let user = User::new(&server).await;
        server.stop().await;
        // Any process is larger.
        server.start_again_unready(&[("MEMORY_LIMIT", "1MiB")]).await;
        // Over a new connection each time: those that are there are served on.
        let refused = eventually(|| async {
            Some(server.http().get("/ping").await).filter(|answer| answer.status == 503)
        });
        let refused = refused.await;
        assert_eq!((refused.json()["code"].as_str(), refused.header("retry-after")), (Some("busy"), "1"));
        assert_eq!(user.dial_simple("phone").open().await.unwrap_err().status, 503);
        // Its operators see why.
        let log = eventually(|| async {
            let log = server.log();
            log.contains("nobody new is let in").then_some(log)
        })
        .await;
        assert!(log.contains("memory"), "{log}");
        let admin = log.lines().find_map(|line| line.split_once("  admin ")).unwrap().1;
        let admin = Http::new(admin.trim().split("/metrics").next().unwrap());
        assert!(admin.get("/metrics").await.text.contains("streamz_shedding 1"));
        assert_eq!(admin.get("/health").await.status, 200);
        // With room it lets people in again.
        server.stop().await;
        server.start_again(&[("MEMORY_LIMIT", "100000MiB")]).await;
        user.raw("phone").await.close().await;
        tokio::time::timeout(Duration::from_secs(20), server.stop()).await.unwrap();
    });
}
