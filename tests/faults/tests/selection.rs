//! A short selection of the faults, on every run of the tests; `make soak` runs them all.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use streamz_faults::{Fault, Size, Stage, Table};
use tokio::sync::Mutex;

/// Two fleets at a time would be more than a small machine has processors for, and devices would give up on servers that
/// only wait for their turn.
static ONE_FLEET: Mutex<()> = Mutex::const_new(());

async fn suffers(faults: &[Fault]) {
    let _turn = ONE_FLEET.lock().await;
    let size = Size { users: 8, pace: Duration::from_millis(400), ..Size::default() };
    let mut stage = Stage::set(size).await;
    let mut figures = Vec::new();
    for fault in faults {
        figures.push(stage.suffer(*fault).await);
    }
    let judged = stage.judge(&mut figures).await;
    println!("{}", Table(&figures));
    if let Err(words) = judged {
        panic!("{words}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_die_stand_still_and_are_replaced() {
    suffers(&[
        Fault::NodeKilled,
        Fault::GatewayKilled,
        Fault::GatewayAndNodeKilled,
        Fault::NodeStopped6s,
        Fault::GatewayStopped6s,
        Fault::AllReplaced,
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_processes_stand_on_goes_away() {
    suffers(&[
        Fault::SubscribersKilled,
        Fault::RedisRestarted,
        Fault::OneRedisAway,
        Fault::PostgresRestarted,
        Fault::SlowWays,
    ])
    .await;
}
