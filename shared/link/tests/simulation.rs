//! Two links over a channel that loses, doubles, reorders and delays, by a seed.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use streamz_link::{Class, DEFAULT, Effect, FRAME_OVERHEAD, Link, Settings, Weigh};
use streamz_protocol::Millis;

#[derive(Clone, Debug, PartialEq)]
struct Note(u64, Arc<[u8]>);

impl Weigh for Note {
    fn bytes(&self) -> usize {
        self.1.len()
    }
    fn class(&self) -> Class {
        Class::Refusable
    }
}

/// What the channel does, in thousandths, and how long it takes at most.
#[derive(Clone, Copy, Debug)]
struct Weather {
    lost: u64,
    doubled: u64,
    delay: u64,
}

/// xorshift64*: the same numbers for the same seed everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}

enum OnTheBus {
    Frame(u64, u64, Note),
    Ack(u64),
}

struct World {
    now: u64,
    dice: Dice,
    weather: Weather,
    settings: &'static Settings,
    links: [Link<Note>; 2],
    /// By arrival, then by an arbitrary number: what arrives in the same moment has no order.
    channel: BTreeMap<(u64, u64), (usize, OnTheBus)>,
    sent: [u64; 2],
    delivered: [u64; 2],
    /// Bytes put on the bus at once.
    largest_burst: usize,
}

impl World {
    fn new(seed: u64, weather: Weather, settings: &'static Settings) -> Self {
        Self {
            now: 1000,
            dice: Dice(seed | 1),
            weather,
            settings,
            links: [Link::new(settings), Link::new(settings)],
            channel: BTreeMap::new(),
            sent: [0; 2],
            delivered: [0; 2],
            largest_burst: 0,
        }
    }

    fn with(&mut self, side: usize, work: impl FnOnce(&mut Link<Note>, Millis, &mut Vec<Effect<Note>>)) {
        let mut effects = Vec::new();
        work(&mut self.links[side], Millis(self.now), &mut effects);
        let mut burst = 0;
        for effect in effects {
            let (packet, copy) = match effect {
                Effect::Deliver(note) => {
                    self.delivered[side] += 1;
                    assert_eq!(note.0, self.delivered[side], "exactly once and in order");
                    continue;
                }
                Effect::Transmit { seq, ack, frame } => {
                    burst += frame.bytes() + FRAME_OVERHEAD;
                    (OnTheBus::Frame(seq, ack, frame.clone()), OnTheBus::Frame(seq, ack, frame))
                }
                Effect::TransmitAck { ack } => (OnTheBus::Ack(ack), OnTheBus::Ack(ack)),
            };
            self.carry(1 - side, packet);
            if self.dice.roll(1000) < self.weather.doubled {
                self.carry(1 - side, copy);
            }
        }
        self.largest_burst = self.largest_burst.max(burst);
        let link = &self.links[side];
        assert!(link.unconfirmed_bytes() <= self.settings.max_bytes);
        assert!(link.waiting_bytes() <= self.settings.reorder_bytes);
        assert!(burst <= self.settings.window_bytes);
    }

    fn carry(&mut self, to: usize, packet: OnTheBus) {
        if self.dice.roll(1000) >= self.weather.lost {
            let arrival = self.now + self.dice.roll(self.weather.delay + 1);
            let order = self.dice.roll(1 << 31);
            self.channel.insert((arrival, order), (to, packet));
        }
    }

    /// Whether the frame was taken.
    fn send(&mut self, side: usize, bytes: usize) -> bool {
        let note = Note(self.sent[side] + 1, vec![0; bytes].into());
        let mut taken = false;
        self.with(side, |link, now, effects| taken = link.send(note, now, effects).is_ok());
        self.sent[side] += u64::from(taken);
        taken
    }

    /// Goes on to the next thing that happens, at most to `until`. Whether something did.
    fn step(&mut self, until: u64) -> bool {
        let arrival = self.channel.first_key_value().map(|((at, _), _)| *at);
        let deadlines = self.links.iter().filter_map(|link| link.next_deadline().map(|due| due.0));
        let Some(next) = arrival.into_iter().chain(deadlines).min().filter(|next| *next <= until) else {
            self.now = self.now.max(until);
            return false;
        };
        self.now = self.now.max(next);
        if arrival.is_some_and(|at| at <= self.now) {
            let (_, (side, packet)) = self.channel.pop_first().unwrap();
            match packet {
                OnTheBus::Frame(seq, ack, note) => {
                    self.with(side, |link, now, effects| link.receive_frame(seq, ack, note, now, effects));
                }
                OnTheBus::Ack(ack) => {
                    self.with(side, |link, now, effects| link.receive_ack(ack, now, effects))
                }
            }
        } else {
            for side in 0..2 {
                self.with(side, Link::tick);
            }
        }
        true
    }

    fn run_until(&mut self, until: u64) {
        while self.step(until) {}
    }

    /// Until nothing is left to do.
    fn settle(&mut self) {
        let limit = self.now + 3_600_000;
        while self.links.iter().any(|link| !link.is_idle()) || !self.channel.is_empty() {
            assert!(self.step(limit), "idle within an hour");
        }
        assert_eq!(self.delivered, [self.sent[1], self.sent[0]], "everything sent is delivered");
        assert!(self.links.iter().all(|link| link.unconfirmed() == 0));
    }
}

static SMALL: Settings = Settings {
    max_bytes: 40_000,
    must_bytes: 1000,
    window_bytes: 8000,
    burst_bytes: 2000,
    // Less than the other side's window: what is dropped here must come again.
    reorder_bytes: 4000,
    ack_delay: Duration::from_millis(20),
    ack_frames: 8,
    ack_bytes: 1000,
    rto_min: Duration::from_millis(200),
    rto_max: Duration::from_secs(2),
};

/// The proportions of the default, a sixteenth of its size.
static MIDDLE: Settings = Settings {
    max_bytes: 2 << 20,
    must_bytes: 1 << 20,
    window_bytes: 256 << 10,
    burst_bytes: 4 << 10,
    reorder_bytes: 256 << 10,
    ack_delay: Duration::from_millis(20),
    ack_frames: 32,
    ack_bytes: 1 << 10,
    rto_min: Duration::from_millis(200),
    rto_max: Duration::from_secs(2),
};

fn weather() -> impl Strategy<Value = Weather> {
    (0..400_u64, 0..400_u64, 0..400_u64).prop_map(|(lost, doubled, delay)| Weather { lost, doubled, delay })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everything_arrives_exactly_once_and_in_order(
        seed in any::<u64>(),
        weather in weather(),
        wave in 1..40_u64,
        small in any::<bool>(),
    ) {
        let mut world = World::new(seed, weather, if small { &SMALL } else { &DEFAULT });
        for _ in 0..20 {
            for _ in 0..wave {
                let (side, bytes) = (world.dice.roll(2) as usize, world.dice.roll(900) as usize);
                world.send(side, bytes);
            }
            let pause = world.now + world.dice.roll(300);
            world.run_until(pause);
        }
        world.settle();
    }

    #[test]
    fn the_same_seed_is_the_same_story(seed in any::<u64>(), weather in weather()) {
        let story = || {
            let mut world = World::new(seed, weather, &SMALL);
            for _ in 0..50 {
                world.send(0, 100);
                world.run_until(world.now + 10);
            }
            world.settle();
            (world.now, world.links[0].counts(), world.links[1].counts())
        };
        prop_assert_eq!(story(), story());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_an_outage_everything_arrives_and_no_burst_is_large(seed in any::<u64>(), minutes in 1..60_u64) {
        let fine = Weather { lost: 0, doubled: 0, delay: 5 };
        let mut world = World::new(seed, fine, &MIDDLE);
        // A lively link, with the widest window that it can have.
        for _ in 0..600 {
            world.send(0, 900);
            world.step(world.now);
        }
        world.settle();
        world.weather = Weather { lost: 1000, ..fine };
        let before = world.links[0].counts();
        while world.send(0, 900) && world.send(1, 900) {
            world.run_until(world.now + 1);
        }
        let first = world.links[0].counts().transmitted - before.transmitted;
        prop_assert!(first as usize * 900 <= MIDDLE.window_bytes + 100 * MIDDLE.burst_bytes);
        // While it lasts there is one small burst every two seconds.
        let (from, until) = (world.now, world.now + minutes * 60_000);
        let during = world.links[0].counts();
        world.largest_burst = 0;
        world.run_until(until);
        prop_assert!(world.largest_burst <= MIDDLE.burst_bytes);
        let timeouts = world.links[0].counts().timeouts - during.timeouts;
        prop_assert!(timeouts <= (until - from) / 2000 + 4);
        // It ends: the first confirmations let little go, the later ones no more than the window.
        world.weather = fine;
        let arrived = world.delivered;
        while world.delivered == arrived {
            world.step(u64::MAX);
        }
        prop_assert!(world.largest_burst <= 2 * MIDDLE.burst_bytes);
        world.settle();
        prop_assert!(world.largest_burst <= MIDDLE.window_bytes);
        let again = world.links[0].counts().retransmitted - before.retransmitted;
        let lost = first + (until - from) / 2000 * 5;
        prop_assert!(again <= lost + 100, "{again} retransmitted, {lost} lost");
    }
}

#[test]
fn a_perfect_channel_sees_no_retransmission() {
    let mut world = World::new(7, Weather { lost: 0, doubled: 0, delay: 3 }, &DEFAULT);
    for _ in 0..50_000 {
        world.send(0, 200);
        if world.dice.roll(4) == 0 {
            world.send(1, 200);
        }
        let pause = world.now + world.dice.roll(2);
        world.run_until(pause);
    }
    world.settle();
    for link in &world.links {
        assert_eq!((link.counts().retransmitted, link.counts().timeouts, link.counts().dropped), (0, 0, 0));
    }
}
