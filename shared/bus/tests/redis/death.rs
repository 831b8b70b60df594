//! Evidence of a death, and everything that is none.

use std::time::Duration;

use streamz_bus::redis::Health;
use streamz_protocol::ProcessId;
use streamz_testkit::Redis;
use tokio::time::Instant;

use crate::peer::Peer;

#[tokio::test]
async fn a_process_that_vanishes_is_reported_and_a_living_one_never() {
    let servers = [Redis::start().unwrap(), Redis::start().unwrap()];
    let both = [&servers[0], &servers[1]];
    let (a, b, c) = tokio::join!(Peer::ready(&both, 1), Peer::ready(&both, 2), Peer::ready(&both, 3));
    let began = Instant::now();
    let dead = b.id;
    b.end().await;
    a.send(&c, "hello");
    c.hears("hello").await;
    let evidence = a.misses(dead).await;
    // The servers were just started, and are no witnesses for a while.
    assert!(began.elapsed() > Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(evidence[0].process, dead);
    assert!(evidence[0].silent >= Duration::from_millis(300));
    // It is repeated while nobody does anything about it.
    let again = a.evidence(|all| all.len() >= 2).await;
    assert!(again[1].silent >= evidence[0].silent + Duration::from_secs(1));

    // From now on it takes a moment.
    let began = Instant::now();
    let dead = c.id;
    c.end().await;
    let evidence = a.misses(dead).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(evidence.iter().all(|evidence| evidence.process != a.id));

    // What is forgotten is not reported.
    a.transport.forget(dead);
    a.transport.forget(ProcessId(2));
    a.transport.flushed().await;
    let known = a.all_evidence().len();
    // Longer than the interval at which it would be repeated.
    a.send_to(ProcessId(99), "nobody");
    a.evidence(|all| all.iter().filter(|evidence| evidence.process == ProcessId(99)).count() >= 2).await;
    assert_eq!(a.all_evidence().len(), known + 2);
}

#[tokio::test]
async fn a_restart_of_the_instances_kills_nobody() {
    let redis = Redis::start().unwrap();
    let (a, b) = Peer::two(&[&redis]).await;
    redis.stop();
    a.health(0, Health::Away).await;
    redis.start_again();
    let restarted = Instant::now();
    a.health(0, Health::Healthy).await;
    // `b` may be on its way back; a process that never was is dead.
    a.send(&b, "are you back?");
    a.send_to(ProcessId(99), "anybody there?");
    let evidence = a.evidence(|all| !all.is_empty()).await;
    // The server tells its age in whole seconds.
    assert!(restarted.elapsed() > Duration::from_secs(4), "{:?}", restarted.elapsed());
    assert!(evidence.iter().all(|evidence| evidence.process == ProcessId(99)));
}

#[tokio::test]
async fn an_instance_that_is_away_is_no_witness() {
    let servers = [Redis::start().unwrap(), Redis::start().unwrap()];
    let a = Peer::ready(&[&servers[0], &servers[1]], 1).await;
    servers[1].stop();
    a.health(1, Health::Away).await;
    a.send_to(ProcessId(99), "anybody there?");
    // Long enough for the other one to be sure: it is, of itself, when it is the only one.
    let alone = Peer::ready(&[&servers[0]], 7).await;
    alone.send_to(ProcessId(99), "anybody there?");
    alone.evidence(|all| all.len() >= 2).await;
    assert_eq!(a.all_evidence(), []);
}

#[tokio::test]
async fn a_process_that_hears_on_one_of_its_instances_lives() {
    let servers = [Redis::start().unwrap(), Redis::start().unwrap()];
    let elsewhere = Redis::start().unwrap();
    // As seen by `a`, nobody listens for `b` on one of its instances, for ever.
    for position in 0..2 {
        let (a, mut seen) = (Peer::ready(&[&servers[0], &servers[1]], 1).await, [&servers[0], &servers[1]]);
        seen[position] = &elsewhere;
        let b = Peer::ready(&seen, 2).await;
        // Until the instance would be a witness of a death.
        a.send_to(ProcessId(99), "anybody there?");
        let mut number = 0;
        while a.all_evidence().len() < 2 {
            a.send(&b, &number.to_string());
            b.hears(&number.to_string()).await;
            number += 1;
        }
        assert!(a.all_evidence().iter().all(|evidence| evidence.process == ProcessId(99)));
        a.end().await;
        b.end().await;
    }
}
