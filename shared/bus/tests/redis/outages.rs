//! Instances go away and come back.

use streamz_bus::redis::Health;
use streamz_testkit::Redis;
use tokio::time::Instant;

use crate::peer::Peer;

/// Connections that a server has accepted in its life, those of `redis-cli` included.
fn connections(redis: &Redis) -> u64 {
    let info = redis.command(&["info", "stats"]);
    let line = info.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
    line.unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn with_one_of_two_instances_everything_goes_on() {
    let servers = [Redis::start().unwrap(), Redis::start().unwrap()];
    let both = [&servers[0], &servers[1]];
    let (a, b) = Peer::two(&both).await;
    // Each in turn, so that one of them is the one that `a` prefers for `b`.
    for (down, server) in servers.iter().enumerate() {
        server.stop();
        a.health(down, Health::Away).await;
        b.health(down, Health::Away).await;
        a.send(&b, &format!("without {down}"));
        b.hears(&format!("without {down}")).await;
        server.start_again();
        a.health(down, Health::Healthy).await;
        b.health(down, Health::Healthy).await;
    }
    a.send(&b, "whole again");
    b.hears("whole again").await;
    assert_eq!(a.all_evidence(), []);
}

#[tokio::test]
async fn an_instance_that_falls_silent_is_left_at_once() {
    let servers = [Redis::start().unwrap(), Redis::start().unwrap()];
    let both = [&servers[0], &servers[1]];
    let (a, b) = Peer::two(&both).await;
    for (paused, server) in servers.iter().enumerate() {
        server.pause();
        let began = Instant::now();
        a.send(&b, &format!("past {paused}"));
        b.hears(&format!("past {paused}")).await;
        assert!(began.elapsed().as_millis() < 1500, "{:?}", began.elapsed());
        a.health(paused, Health::Lagging).await;
        server.resume();
        a.health(paused, Health::Healthy).await;
    }
}

#[tokio::test]
async fn when_all_instances_were_away_their_clients_return_without_a_rush() {
    let servers = [Redis::start().unwrap(), Redis::start().unwrap()];
    let both = [&servers[0], &servers[1]];
    let (a, b) = Peer::two(&both).await;
    for server in &servers {
        server.stop();
    }
    for position in 0..2 {
        a.health(position, Health::Away).await;
        b.health(position, Health::Away).await;
    }
    // It waits for an instance, and goes if that comes before it is stale.
    a.send(&b, "in the dark");
    for server in &servers {
        server.start_again();
    }
    for position in 0..2 {
        a.health(position, Health::Healthy).await;
        b.health(position, Health::Healthy).await;
    }
    a.send(&b, "light");
    b.hears("light").await;
    for server in &servers {
        // Two of each peer, and of the harness one for each look.
        assert!(connections(server) <= 4 + 10, "{}", connections(server));
    }
    assert_eq!((a.all_evidence(), b.all_evidence()), (vec![], vec![]));
}

#[tokio::test]
async fn subscriptions_that_are_cut_are_made_anew() {
    let servers = [Redis::start().unwrap(), Redis::start().unwrap()];
    let both = [&servers[0], &servers[1]];
    let (a, b) = Peer::two(&both).await;
    for round in 0..3 {
        let mut watches = [a.transport.watch(), b.transport.watch()];
        for watch in &mut watches {
            watch.mark_unchanged();
        }
        for server in &servers {
            assert_eq!(server.command(&["client", "kill", "type", "pubsub"]), "2");
        }
        for watch in &mut watches {
            watch.changed().await.unwrap();
        }
        for position in 0..2 {
            a.health(position, Health::Healthy).await;
            b.health(position, Health::Healthy).await;
        }
        a.send(&b, &format!("round {round}"));
        b.hears(&format!("round {round}")).await;
    }
    assert_eq!(a.all_evidence(), []);
}

#[tokio::test]
async fn publishing_survives_the_loss_of_its_connection() {
    let redis = Redis::start().unwrap();
    let (a, b) = Peer::two(&[&redis]).await;
    for round in 0..3 {
        assert_eq!(redis.command(&["client", "kill", "type", "normal"]), "2");
        a.statuses(|statuses| statuses[0].health == Health::Away).await;
        a.health(0, Health::Healthy).await;
        a.send(&b, &format!("round {round}"));
        b.hears(&format!("round {round}")).await;
        b.health(0, Health::Healthy).await;
    }
}
