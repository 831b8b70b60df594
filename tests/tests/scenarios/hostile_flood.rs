//! Floods: whatever a client does, the memory of the server stays within a bound.

use serde_json::json;
use streamz_tests::{Heard, Server, Topology, User, message, scenarios};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{assert_delivered, offer, tell, text};

scenarios![
    connections_that_come_and_go_leave_nothing,
    floods_do_not_grow_the_server,
    devices_that_are_away_hold_a_bounded_amount,
];

const MIB: u64 = 1 << 20;

async fn connections_that_come_and_go_leave_nothing(topology: Topology) {
    let server = Server::start(topology, &[("OFFLINE_GRACE", "0s"), ("RESUME_WINDOW", "100ms")]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    for _ in 0..5 {
        let mut going = Vec::new();
        for number in 0..20 {
            let (v1, simple) = (user.dial(&format!("d-{number}")), user.dial_simple(&format!("d-{number}")));
            going.push(tokio::spawn(async move {
                match number % 4 {
                    0 => v1.welcomed().await.close().await,
                    1 => v1.open().await.unwrap().vanish(),
                    2 => drop(simple.open().await.unwrap()),
                    _ => {
                        let (one, two) = tokio::join!(v1.open(), simple.open());
                        drop((one, two));
                    }
                }
            }));
        }
        for gone in going {
            gone.await.unwrap();
        }
    }
    // Whoever came is gone again for the others too.
    let mut online = std::collections::HashSet::new();
    phone.barrier().await;
    streamz_tests::eventually(|| async {
        let devices = user.get("/api/devices").await.json();
        let shown = devices["devices"].as_array().unwrap().iter().filter(|d| d["is_online"] == true).count();
        (shown == 1).then_some(())
    })
    .await;
    for frame in phone.barrier().await {
        match frame["type"].as_str().unwrap() {
            "device_online" => online.insert(frame["payload"]["device_id"].clone()),
            _ => online.remove(&frame["payload"]["device_id"]),
        };
    }
    user.raw("one-more").await.close().await;
    assert_eq!(server.http().get("/health").await.status, 200);
}

async fn floods_do_not_grow_the_server(topology: Topology) {
    // The rate is off: it would end each flood before it began.
    let rate = [("MESSAGES_PER_SECOND", "100000"), ("MESSAGE_BURST", "1000000")];
    let server = Server::start(topology, &rate).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let tv = user.raw("tv").await;
    phone.barrier().await;
    let before = server.resident_bytes();
    // 64 MiB to somebody who does not read: what the network takes, one window, one queue.
    for number in 0..1024 {
        phone.feed(message(&offer(&format!("m-{number}"), "tv", &text(60 * 1024)))).await;
        if number % 64 == 63 {
            phone.flush().await;
            phone.barrier().await;
        }
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 32 * MIB, "{} KiB after 64 MiB for a device that does not read", grown / 1024);
    drop(tv);

    // Messages that are refused, and rings that reach nobody.
    for number in 0..2000 {
        let wrong = json!({"type": "nonsense", "id": format!("n-{number}"), "payload": text(1000)});
        phone.feed(message(&wrong)).await;
        phone.feed(message(&offer(&format!("u-{number}"), "nobody", &text(1000)))).await;
        if number % 50 == 49 {
            phone.flush().await;
            phone.barrier().await;
            phone.ack().await;
        }
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 32 * MIB, "{} KiB after refusals", grown / 1024);

    // Frames that begin and never end.
    let mut halves = Vec::new();
    for number in 0..8 {
        let mut half = User::new(&server).await.raw("phone").await;
        // 64 KiB are announced, one byte comes (RFC 6455 §5.2).
        half.write_bytes(b"\x81\xff\0\0\0\0\0\x01\0\0\0\0\0\0x").await;
        half.try_write(Message::Ping(Default::default())).await;
        halves.push((number, half));
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 32 * MIB, "{} KiB after half frames", grown / 1024);
    let answered = tell(&mut phone, offer("last", "nobody", "v=0")).await;
    assert_eq!(answered["payload"]["reason"], "unknown_device");
}

async fn devices_that_are_away_hold_a_bounded_amount(topology: Topology) {
    let rate = [("MESSAGES_PER_SECOND", "100000"), ("MESSAGE_BURST", "1000000"), ("DELIVERY_TIMEOUT", "60s")];
    let server = Server::start(topology, &rate).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    for number in 0..8 {
        user.raw(&format!("away-{number}")).await.vanish();
    }
    phone.barrier().await;
    let before = server.resident_bytes();
    for number in 0..512 {
        phone.feed(message(&json!({"type": "sdp_offer", "payload": {"sdp": text(60 * 1024)}}))).await;
        if number % 64 == 63 {
            phone.flush().await;
            phone.barrier().await;
        }
    }
    // Each keeps a window of 256 KiB, in the hub and in its gateway's copy; the bodies are shared.
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 32 * MIB, "{} KiB after 32 MiB for eight devices that are away", grown / 1024);
    let mut tv = user.raw("tv").await;
    phone.say(offer("m-1", "tv", "v=0")).await;
    assert!(matches!(tv.hear().await, Heard::Frame(frame) if frame["type"] == "sdp_offer"));
    tv.ack().await;
    assert_delivered(&phone.outcome("m-1").await);
}
