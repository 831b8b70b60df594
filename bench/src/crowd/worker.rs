//! A process of the crowd: reads orders, and is the devices that they name.

use std::io;
use std::sync::Arc;

use futures_util::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::device::{Device, Fate};
use super::{Answer, Order, Place};

/// Connections that are made at the same time.
const AT_ONCE: usize = 32;

/// Carries out the orders of the standard input until it ends. All devices end with this future.
pub(crate) async fn serve_until_stdin_ends() -> io::Result<()> {
    let (lines, mut orders) = mpsc::channel(1);
    // It blocks, and holds the process up only until whoever started it closes the input.
    std::thread::spawn(move || {
        for line in io::stdin().lines() {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    let fate = Arc::new(Fate::default());
    let mut devices = JoinSet::new();
    while let Some(line) = orders.recv().await {
        let answer = match serde_json::from_str(&line?)? {
            Order::Connect(places) => match connect(places, &fate, &mut devices).await {
                Ok(()) => Answer::Connected,
                Err(error) => Answer::Failed(error),
            },
            Order::Report => Answer::Report(fate.report()),
        };
        println!("{}", serde_json::to_string(&answer)?);
    }
    Ok(())
}

async fn connect(places: Vec<Place>, fate: &Arc<Fate>, devices: &mut JoinSet<()>) -> Result<(), String> {
    let mut connecting = futures_util::stream::iter(places.into_iter().map(|place| {
        let (connected, told) = oneshot::channel();
        (Device::new(place, fate.clone(), connected), told)
    }))
    .map(|(device, told)| {
        devices.spawn(device.live());
        told
    })
    .buffer_unordered(AT_ONCE);
    while let Some(told) = connecting.next().await {
        told.map_err(|_| "a device of the crowd ended before it was connected".to_owned())??;
    }
    Ok(())
}
