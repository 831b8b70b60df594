//! How much passes from one process to another: `cargo run --release -p streamz-bus --example rate -- redis://127.0.0.1`,
//! or over a private server without an argument.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use streamz_bus::redis::{Endpoint, Evidence, Outbox, Settings, Transport};
use streamz_platform::Tasks;
use streamz_protocol::ProcessId;
use streamz_testkit::Redis;
use tokio::sync::Notify;

const BYTES: usize = 900;

#[derive(Default)]
struct Ends {
    outbox: Outbox<Bytes>,
    envelopes: AtomicU64,
    received: AtomicU64,
    news: Notify,
}

impl Endpoint for Ends {
    fn next(&self, destination: ProcessId) -> Option<Bytes> {
        let packets = self.outbox.take(destination, 64 << 10);
        (!packets.is_empty()).then(|| packets.concat().into())
    }
    fn received(&self, envelope: Bytes) {
        self.envelopes.fetch_add(1, Ordering::Relaxed);
        self.received.fetch_add((envelope.len() / BYTES) as u64, Ordering::Relaxed);
        self.news.notify_one();
    }
    fn silent(&self, evidence: Evidence) {
        panic!("{evidence:?}");
    }
}

#[tokio::main]
async fn main() {
    let (url, _server) = match std::env::args().nth(1) {
        Some(url) => (url, None),
        None => {
            let server = Redis::start().unwrap();
            (server.url(), Some(server))
        }
    };
    let (tasks, packet) = (Tasks::new(), Bytes::from(vec![b'x'; BYTES]));
    let start = async |id| {
        let ends = Arc::<Ends>::default();
        let settings = Settings::new(vec![url.clone().into()], "rate", ProcessId(id));
        let transport = Transport::start(settings, ends.clone(), &tasks).await.unwrap();
        transport.ready().await;
        (ends, transport)
    };
    let ((here, from), (there, to)) = (start(1).await, start(2).await);

    const TURNS: u64 = 5_000;
    let mut times = Vec::new();
    for turn in 1..=TURNS {
        let began = Instant::now();
        here.outbox.push(to.process(), packet.clone(), BYTES).unwrap();
        from.wake(to.process());
        while there.received.load(Ordering::Relaxed) < turn {
            there.news.notified().await;
        }
        times.push(began.elapsed());
    }
    times.sort();
    println!("one at a time: p50 {:?}, p99 {:?}", times[times.len() / 2], times[times.len() * 99 / 100]);

    let (base, envelopes) = (TURNS, there.envelopes.load(Ordering::Relaxed));
    let (began, mut sent) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(5) {
        if here.outbox.push(to.process(), packet.clone(), BYTES).is_err() {
            there.news.notified().await;
            continue;
        }
        from.wake(to.process());
        sent += 1;
        if sent % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    while there.received.load(Ordering::Relaxed) < base + sent {
        there.news.notified().await;
    }
    let took = began.elapsed();
    let envelopes = there.envelopes.load(Ordering::Relaxed) - envelopes;
    println!(
        "as fast as it goes: {:.0} packets of {BYTES} bytes a second, {:.1} an envelope",
        sent as f64 / took.as_secs_f64(),
        sent as f64 / envelopes as f64
    );
    println!("{}", tasks.shutdown(Duration::from_secs(5)).await);
}
