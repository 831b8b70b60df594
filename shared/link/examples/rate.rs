//! How long a frame takes through two links: `cargo run --release -p streamz-link --example rate`.

use std::sync::Arc;
use std::time::Instant;

use streamz_link::{Class, Effect, Link, Weigh};
use streamz_protocol::Millis;

#[derive(Clone)]
struct Shared(Arc<[u8]>);

impl Weigh for Shared {
    fn bytes(&self) -> usize {
        self.0.len()
    }
    fn class(&self) -> Class {
        Class::Refusable
    }
}

#[allow(clippy::disallowed_methods, reason = "this program measures")]
fn main() {
    const FRAMES: u64 = 5_000_000;
    const BATCH: u64 = 16;
    let (mut here, mut there) = (Link::default(), Link::default());
    let frame = Shared(vec![0; 900].into());
    let (mut out, mut back, mut scrap) = (Vec::new(), Vec::new(), Vec::new());
    let started = Instant::now();
    let mut delivered = 0;
    for batch in 0..FRAMES / BATCH {
        let now = Millis(batch);
        for _ in 0..BATCH {
            assert!(here.send(frame.clone(), now, &mut out).is_ok());
        }
        for effect in out.drain(..) {
            if let Effect::Transmit { seq, ack, frame } = effect {
                there.receive_frame(seq, ack, frame, now, &mut back);
            }
        }
        there.tick(now, &mut back);
        for effect in back.drain(..) {
            match effect {
                Effect::Deliver(_) => delivered += 1,
                Effect::TransmitAck { ack } => here.receive_ack(ack, now, &mut scrap),
                Effect::Transmit { .. } => {}
            }
        }
        out.append(&mut scrap);
    }
    let took = started.elapsed();
    let frames = u32::try_from(delivered).unwrap_or(u32::MAX);
    println!(
        "{frames} frames, {:?} each, both sides and the confirmation; a link is {} bytes",
        took / frames,
        size_of::<Link<Shared>>()
    );
}
