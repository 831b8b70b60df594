//! Hubs sleep when they are quiet, and go when they are empty.

use std::time::Duration;

use serde_json::json;
use streamz_bus::Refused;
use streamz_protocol::bus::{Detach, Resume, Up};
use streamz_signaling_node::NodeConfig;

use crate::support::*;

fn drowsy() -> NodeConfig {
    NodeConfig { hub_idle: Duration::from_millis(20), shards: 2, ..NodeConfig::default() }
}

#[tokio::test]
async fn a_quiet_hub_sleeps_and_its_sessions_go_on_when_it_wakes() {
    let fixture = Fixture::start(drowsy()).await;
    let gateway = &fixture.gateway;
    let user = fixture.user("a").await;
    let tv = gateway.attach(user, 1, "tv", true).await;
    gateway.attach(user, 2, "phone", true).await;
    for round in 0..3 {
        fixture.until_hubs(0, 1).await;
        let name = format!("m{round}");
        gateway.offer(2, &name, "tv").unwrap();
        gateway.hears(1, "sdp_offer", &name).await;
        assert_eq!(fixture.hubs(), (1, 0), "it waits for the TV: no time to sleep");
        gateway.ack(1);
        gateway.hears(2, "delivered", &name).await;
    }
    let seqs: Vec<u64> = gateway
        .peek(|held| held.copies[&conn(1)].read.iter().filter_map(|frame| frame["seq"].as_u64()).collect());
    assert_eq!(seqs, [1, 2, 3, 4], "one session through it all");
    fixture.until_hubs(0, 1).await;
    gateway.up(user, Up::Gone(conn(1))).unwrap();
    gateway.ask(user, 3, "tv", true, Some(Resume { session: tv, last_seq: 4 })).unwrap();
    let session = gateway.until("a resume", |held| Some(held.copies.get(&conn(3))?.replica.session)).await;
    assert_eq!(session, tv);
    fixture.stop().await;
}

#[tokio::test]
async fn a_hub_without_anybody_goes_and_keeps_nothing() {
    let fixture = Fixture::start(drowsy()).await;
    let gateway = &fixture.gateway;
    let user = fixture.user("a").await;
    for number in 1..4 {
        gateway.attach(user, number, "tv", false).await;
        assert_eq!(fixture.hubs().0, 1);
        gateway.up(user, Up::Detach(conn(number), Detach::Clean)).unwrap();
        fixture.until_hubs(0, 0).await;
    }
    gateway.up(user, Up::WhoIsOnline { gateway: GATEWAY, request: 5 }).unwrap();
    let online = gateway.until("an answer", |held| held.online.remove(&5)).await;
    assert!(online.is_empty());
    assert_eq!(fixture.hubs(), (0, 0), "a question makes no hub");
    fixture.stop().await;
}

/// Nothing runs between the calls: the queue fills.
#[tokio::test]
async fn a_full_queue_refuses_what_may_be_refused() {
    let fixture = Fixture::start(NodeConfig { shards: 1, backlog: 3, ..NodeConfig::default() }).await;
    let gateway = &fixture.gateway;
    let user = fixture.user("a").await;
    gateway.attach(user, 1, "tv", true).await;
    gateway.attach(user, 2, "phone", true).await;
    for name in ["a", "b", "c"] {
        gateway.offer(1, name, "phone").unwrap();
    }
    assert_eq!(gateway.offer(1, "d", "phone"), Err(Refused::Full));
    assert_eq!(gateway.ask(user, 3, "cam", true, None), Err(Refused::Full));
    let question = Up::WhoIsOnline { gateway: GATEWAY, request: 1 };
    assert_eq!(gateway.up(user, question), Err(Refused::Full));
    assert_eq!(gateway.up(user, Up::Ack(conn(2), 1)), Ok(()), "what has no outcome must arrive");
    assert_eq!(gateway.up(user, Up::Gone(conn(9))), Ok(()));
    for name in ["a", "b", "c"] {
        gateway.hears(2, "sdp_offer", name).await;
    }
    within("room", || gateway.offer(1, "e", "phone").ok()).await;
    gateway.hears(2, "sdp_offer", "e").await;
    assert_eq!(gateway.count(2, "sdp_offer", "d"), 0);
    fixture.stop().await;
}

/// Inputs take the way through the shard while a hub is put to sleep and woken, and the direct one otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_input_overtakes_another_on_the_way_to_a_hub_that_falls_asleep_and_wakes() {
    let config = NodeConfig { hub_idle: Duration::from_millis(1), shards: 1, ..NodeConfig::default() };
    let fixture = Fixture::start(config).await;
    let gateway = &fixture.gateway;
    let user = fixture.user("a").await;
    gateway.attach(user, 1, "tv", false).await;
    gateway.attach(user, 2, "phone", false).await;
    let mut expected = Vec::new();
    for round in 0..100 {
        for message in 0..5 {
            let sdp = format!("{round}.{message}");
            let offer = json!({"type": "sdp_offer", "payload": {"to_device_id": "tv", "sdp": sdp}});
            gateway.say(2, &offer).unwrap();
            expected.push(sdp);
            // Now and then the hub is just about to retire, and the rest of the round meets it there.
            if message == round % 5 {
                gateway
                    .until("it", |held| (held.copies[&conn(1)].read.len() > round * 5).then_some(()))
                    .await;
                gateway.ack(1);
                tokio::task::yield_now().await;
            }
        }
        let all =
            |held: &mut Held| held.copies[&conn(1)].read.iter().filter(|f| f["mid"].is_string()).count();
        gateway.until("all of it", |held| (all(held) == expected.len()).then_some(())).await;
        gateway.ack(1);
        if round % 4 == 0 {
            fixture.until_hubs(0, 1).await;
        }
    }
    let offers: Vec<String> = gateway.peek(|held| {
        let read = &held.copies[&conn(1)].read;
        read.iter().filter_map(|frame| Some(frame["payload"]["sdp"].as_str()?.to_owned())).collect()
    });
    assert_eq!(offers, expected);
    fixture.stop().await;
}
