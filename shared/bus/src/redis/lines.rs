//! The two connections to an instance, each made anew for as long as the process lives.

use std::sync::Arc;

use bytes::Bytes;
use redis::{PushInfo, PushKind, Value};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::backoff::Backoff;
use super::connect::ConnectError;
use super::instance::{Instance, Instances, Line};
use super::signal::Signal;
use super::{Endpoint, Settings};

/// Keeps the connection for publishing, and says something to itself over it now and then.
pub(crate) async fn publish(
    instance: Arc<Instance>,
    instances: Arc<Instances>,
    settings: Arc<Settings>,
    stop: CancellationToken,
) {
    let mut backoff = Backoff::new();
    loop {
        let (line, guard) = new_line();
        let attempt = async {
            let mut connection = instance.address.connect(Pushes::Ignored(guard)).await?;
            let server = instance.address.ask(&mut connection).await?;
            Ok((connection, server))
        };
        match stop.run_until_cancelled(attempt).await {
            None => return,
            Some(Ok((connection, server))) => {
                instance.publishing_begins(connection, line.clone(), server);
                instances.refresh();
                let life = async {
                    tokio::select! {
                        () = line.ended.cancelled() => {}
                        () = loop_back(&instance, &settings) => {}
                    }
                };
                let stopped = stop.run_until_cancelled(life).await.is_none();
                instance.publishing_ends();
                instances.refresh();
                if stopped {
                    return;
                }
                backoff.lasted(line.since.elapsed());
            }
            Some(Err(error)) => failed(&instance, &instances, error),
        }
        if wait(&mut backoff, &stop).await {
            return;
        }
        instance.figures.reconnects[0].increment(1);
    }
}

/// Keeps the connection for subscribing, and hands on what comes over it.
pub(crate) async fn subscribe(
    instance: Arc<Instance>,
    instances: Arc<Instances>,
    endpoint: Arc<dyn Endpoint>,
    stop: CancellationToken,
) {
    let mut backoff = Backoff::new();
    loop {
        let (line, guard) = new_line();
        let receiver = Receiver {
            instance: Arc::clone(&instance),
            instances: Arc::clone(&instances),
            endpoint: Arc::clone(&endpoint),
            _guard: guard,
        };
        let attempt = async {
            let mut connection = instance.address.connect(Pushes::Received(receiver)).await?;
            // Returns when the server has confirmed it.
            let subscribed = connection.subscribe(&instance.channel).await;
            subscribed.map_err(|error| instance.address.error(&error))?;
            Ok(connection)
        };
        match stop.run_until_cancelled(attempt).await {
            None => return,
            // The connection lives as long as its handle.
            Some(Ok(_connection)) => {
                instance.subscribing_begins(line.clone());
                instances.refresh();
                let stopped = stop.run_until_cancelled(line.ended.cancelled()).await.is_none();
                instance.subscribing_ends();
                instances.refresh();
                if stopped {
                    return;
                }
                backoff.lasted(line.since.elapsed());
            }
            Some(Err(error)) => failed(&instance, &instances, error),
        }
        if wait(&mut backoff, &stop).await {
            return;
        }
        instance.figures.reconnects[1].increment(1);
    }
}

async fn loop_back(instance: &Instance, settings: &Settings) {
    let mut interval = tokio::time::interval(settings.loopback_interval);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => instance.renew_if_dead(Instant::now()),
            () = instance.subscribed.notified() => {}
        }
        // What fails is known to the instance, and counted.
        let _ = instance.loop_back().await;
    }
}

fn new_line() -> (Line, DropGuard) {
    let line = Line { since: Instant::now(), ended: CancellationToken::new() };
    let guard = line.ended.clone().drop_guard();
    (line, guard)
}

fn failed(instance: &Instance, instances: &Instances, error: ConnectError) {
    let (problem, passes) = (error.to_string(), error.problem.may_pass());
    if instance.fails(error) {
        // An error that will not pass by itself may be mended at the server.
        if passes {
            tracing::warn!(%problem, "trying again");
        } else {
            tracing::error!(%problem, "trying again");
        }
    }
    instances.refresh();
}

/// Whether the process stops.
async fn wait(backoff: &mut Backoff, stop: &CancellationToken) -> bool {
    stop.run_until_cancelled(tokio::time::sleep(backoff.next())).await.is_none()
}

/// Called by the connection for what the server says unasked, and dropped with it.
enum Pushes {
    Ignored(#[expect(dead_code, reason = "dropped with the connection")] DropGuard),
    Received(Receiver),
}

struct Receiver {
    instance: Arc<Instance>,
    instances: Arc<Instances>,
    endpoint: Arc<dyn Endpoint>,
    _guard: DropGuard,
}

impl redis::aio::AsyncPushSender for Pushes {
    fn send(&self, push: PushInfo) -> Result<(), redis::aio::SendError> {
        if let (Self::Received(receiver), PushKind::Message) = (self, push.kind)
            && let Some(Value::BulkString(payload)) = push.data.into_iter().nth(1)
        {
            receiver.receive(payload.into());
        }
        Ok(())
    }
}

impl Receiver {
    fn receive(&self, payload: Bytes) {
        match Signal::decode(&payload) {
            None => {
                self.instance.figures.received.increment(1);
                self.instance.figures.received_bytes.increment(payload.len() as u64);
                self.endpoint.received(payload);
            }
            Some(Signal::Loopback(nonce, number)) => {
                if self.instance.looped_back(nonce, number, Instant::now()) {
                    self.instances.refresh();
                }
            }
            Some(Signal::Probe | Signal::Unknown) => {}
        }
    }
}
