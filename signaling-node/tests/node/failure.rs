//! Hubs that fail.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use streamz_protocol::UserId;
use streamz_protocol::bus::Up;
use streamz_signaling_node::NodeConfig;

use crate::support::*;

/// One shard, so that all users are neighbours.
fn crowded() -> NodeConfig {
    NodeConfig { shards: 1, ..NodeConfig::default() }
}

/// The user's hub panics as it carries out an effect.
fn fail(gateway: &Gateway, user: UserId) {
    gateway.up(user, Up::WhoIsOnline { gateway: GATEWAY, request: FATAL }).unwrap();
}

async fn rolled(gateway: &Gateway, user: UserId, times: usize) -> Vec<Instant> {
    gateway
        .until("a roll", |held| {
            let of_user = held.rolls.iter().filter(|(whose, _)| *whose == user);
            let at: Vec<Instant> = of_user.map(|(_, at)| *at).collect();
            (at.len() >= times).then_some(at)
        })
        .await
}

#[tokio::test]
async fn a_hub_that_fails_comes_back_with_its_devices_and_takes_down_nobody() {
    let fixture = Fixture::start(crowded()).await;
    let gateway = &fixture.gateway;
    let (user, neighbour) = (fixture.user("a").await, fixture.user("b").await);
    gateway.attach(user, 1, "tv", true).await;
    gateway.attach(user, 2, "phone", true).await;
    gateway.attach(neighbour, 3, "tv", true).await;
    gateway.attach(neighbour, 4, "phone", true).await;
    gateway.offer(1, "unconfirmed", "phone").unwrap();
    gateway.hears(2, "sdp_offer", "unconfirmed").await;

    fail(gateway, user);
    // These are in the failing hub's mailbox, and die with it.
    gateway.offer(1, "in its hands", "phone").unwrap();
    gateway.offer(4, "next door", "tv").unwrap();
    rolled(gateway, user, 1).await;
    gateway.offer(1, "afterwards", "phone").unwrap();
    for name in ["unconfirmed", "in its hands", "afterwards"] {
        gateway.hears(2, "sdp_offer", name).await;
    }
    gateway.ack(2);
    for name in ["unconfirmed", "in its hands", "afterwards"] {
        gateway.hears(1, "delivered", name).await;
        assert_eq!(gateway.count(2, "sdp_offer", name), 1, "{name} came once");
        assert_eq!(gateway.count(1, "delivered", name), 1, "{name} has one outcome");
    }
    assert_eq!(gateway.count(1, "device_offline", "phone"), 0, "nobody saw it go");
    gateway.hears(3, "sdp_offer", "next door").await;
    assert!(gateway.peek(|held| held.rolls.iter().all(|(whose, _)| *whose == user)));
    assert!(gateway.peek(|held| held.closed.is_empty() && held.refused.is_empty()));
    assert_eq!(fixture.hubs(), (2, 0));
    fixture.stop().await;
}

#[tokio::test]
async fn a_hub_that_fails_again_waits_longer_each_time() {
    let fixture = Fixture::start(crowded()).await;
    let gateway = &fixture.gateway;
    let user = fixture.user("a").await;
    gateway.attach(user, 1, "tv", true).await;
    let mut waits = Vec::new();
    for times in 1..=3 {
        let failed = Instant::now();
        fail(gateway, user);
        let at = rolled(gateway, user, times).await;
        waits.push(at[times - 1] - failed);
        // Recovered: it answers.
        let request = times as u64;
        gateway.up(user, Up::WhoIsOnline { gateway: GATEWAY, request }).unwrap();
        let online = gateway.until("an answer", |held| held.online.remove(&request)).await;
        assert_eq!(online.len(), 1);
    }
    assert!(waits[1] >= Duration::from_millis(100), "{waits:?}");
    assert!(waits[2] >= Duration::from_millis(200), "{waits:?}");
    fixture.stop().await;
}

#[tokio::test]
async fn a_hub_that_fails_as_it_starts_does_not_take_its_shard_with_it() {
    let fixture = Fixture::start(crowded()).await;
    let gateway = &fixture.gateway;
    let (user, neighbour) = (fixture.user("a").await, fixture.user("b").await);
    gateway.attach(user, 1, "tv", true).await;
    gateway.attach(neighbour, 2, "tv", true).await;
    gateway.fatal_rolls.store(1, Ordering::Relaxed);
    fail(gateway, user);
    rolled(gateway, user, 2).await;
    gateway.attach(neighbour, 3, "phone", true).await;
    gateway.attach(user, 4, "phone", true).await;
    gateway.hears(1, "device_online", "phone").await;
    fixture.until_hubs(2, 0).await;
    fixture.stop().await;
}

/// What it died of, and what it was told while it was down, is not lost: the sign-in ends.
#[tokio::test]
async fn what_nobody_repeats_is_kept_for_a_hub_that_is_down() {
    let fixture = Fixture::start(crowded()).await;
    let gateway = &fixture.gateway;
    let user = fixture.user("a").await;
    gateway.attach(user, 1, "tv", true).await;
    fail(gateway, user);
    rolled(gateway, user, 1).await;
    fail(gateway, user);
    // The second restart waits a while: there is no hub now.
    fixture.until_hubs(0, 0).await;
    gateway.up(user, Up::Revoke { family: uuid::Uuid::nil() }).unwrap();
    gateway.until("a closed socket", |held| held.closed.remove(&conn(1))).await;
    fixture.stop().await;
}
