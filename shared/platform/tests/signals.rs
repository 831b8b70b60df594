//! The signals of this process; in a test binary of its own, for a signal reaches all of it.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

use std::process::Command;
use std::time::Duration;

use streamz_platform::{Shutdown, Tasks};

fn send(signal: &str) {
    let kill = format!("kill -s {signal} {}", std::process::id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

#[tokio::test]
async fn the_first_signal_asks_and_the_second_insists() {
    let (shutdown, signals) = Shutdown::on_signals().unwrap();
    let tasks = Tasks::new();
    tasks.spawn("signals", signals);
    assert!(!shutdown.graceful().is_cancelled());

    send("TERM");
    shutdown.begun().await;
    assert!(!shutdown.immediate().is_cancelled());

    send("INT");
    shutdown.now().await;
    assert!(tasks.shutdown(Duration::from_secs(60)).await.is_clean());

    // A listener that is asked by the program ends too.
    let (shutdown, signals) = Shutdown::on_signals().unwrap();
    shutdown.request_now();
    signals.await;
    assert!(shutdown.graceful().is_cancelled());
}
