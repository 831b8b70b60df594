use std::time::Duration;

use super::*;

#[derive(Clone, Debug, PartialEq)]
struct Note {
    number: u64,
    bytes: usize,
    class: Class,
}

impl Weigh for Note {
    fn bytes(&self) -> usize {
        self.bytes
    }
    fn class(&self) -> Class {
        self.class
    }
}

fn note(number: u64) -> Note {
    Note { number, bytes: 36, class: Class::Refusable }
}

/// Bytes are counted in frames of 100.
static SMALL: Settings = Settings {
    max_bytes: 2000,
    must_bytes: 500,
    window_bytes: 800,
    burst_bytes: 300,
    reorder_bytes: 500,
    ack_delay: Duration::from_millis(20),
    ack_frames: 3,
    ack_bytes: u32::MAX,
    rto_min: Duration::from_millis(200),
    rto_max: Duration::from_secs(2),
};

fn small() -> Link<Note> {
    Link::new(&SMALL)
}

fn send(link: &mut Link<Note>, numbers: impl IntoIterator<Item = u64>, now: u64) -> Vec<(u64, u64)> {
    let mut effects = Vec::new();
    for number in numbers {
        link.send(note(number), Millis(now), &mut effects).unwrap();
    }
    transmitted(&effects)
}

fn receive(link: &mut Link<Note>, seq: u64, now: u64) -> Vec<Effect<Note>> {
    let mut effects = Vec::new();
    link.receive_frame(seq, 0, note(seq), Millis(now), &mut effects);
    effects
}

fn ack(link: &mut Link<Note>, ack: u64, now: u64) -> Vec<(u64, u64)> {
    let mut effects = Vec::new();
    link.receive_ack(ack, Millis(now), &mut effects);
    transmitted(&effects)
}

fn tick(link: &mut Link<Note>, now: u64) -> Vec<Effect<Note>> {
    let mut effects = Vec::new();
    link.tick(Millis(now), &mut effects);
    effects
}

/// Number and confirmation of each; nothing else may be among them.
fn transmitted(effects: &[Effect<Note>]) -> Vec<(u64, u64)> {
    let pairs = effects.iter().map(|effect| match effect {
        Effect::Transmit { seq, ack, frame } => {
            assert_eq!(*seq, frame.number);
            (*seq, *ack)
        }
        other => panic!("{other:?}"),
    });
    pairs.collect()
}

fn delivered(effects: &[Effect<Note>]) -> Vec<u64> {
    let numbers = effects.iter().filter_map(|effect| match effect {
        Effect::Deliver(note) => Some(note.number),
        _ => None,
    });
    numbers.collect()
}

#[test]
fn frames_are_numbered_from_one_and_delivered_in_order() {
    let mut sender = small();
    assert_eq!(send(&mut sender, 1..=2, 0), [(1, 0), (2, 0)]);
    let mut receiver = small();
    assert_eq!(receive(&mut receiver, 1, 5), [Effect::Deliver(note(1))]);
    assert_eq!(receive(&mut receiver, 2, 5), [Effect::Deliver(note(2))]);
    assert_eq!(receiver.received(), 2);
}

#[test]
fn a_confirmation_waits_for_a_frame_to_carry_it() {
    let mut link = small();
    receive(&mut link, 1, 0);
    assert_eq!(link.next_deadline(), Some(Millis(20)));
    assert_eq!(send(&mut link, [1], 10), [(1, 1)]);
    // The frame carried it; what is left is the wait for its own confirmation.
    assert_eq!(link.next_deadline(), Some(Millis(210)));
}

#[test]
fn without_a_frame_a_confirmation_goes_after_a_moment() {
    let mut link = small();
    receive(&mut link, 1, 0);
    receive(&mut link, 2, 15);
    assert_eq!(tick(&mut link, 19), []);
    assert_eq!(tick(&mut link, 20), [Effect::TransmitAck { ack: 2 }]);
    assert!(link.is_idle());
    assert_eq!(tick(&mut link, 1000), []);
}

#[test]
fn after_many_frames_a_confirmation_does_not_wait() {
    let mut link = small();
    receive(&mut link, 1, 0);
    receive(&mut link, 2, 0);
    assert_eq!(receive(&mut link, 3, 0), [Effect::Deliver(note(3)), Effect::TransmitAck { ack: 3 }]);
}

#[test]
fn after_many_bytes_a_confirmation_does_not_wait() {
    let mut link: Link<Note> = Link::default();
    let mut effects = Vec::new();
    let large = Note { bytes: 20 << 10, ..note(1) };
    link.receive_frame(1, 0, large.clone(), Millis(0), &mut effects);
    assert_eq!(effects, [Effect::Deliver(large), Effect::TransmitAck { ack: 1 }]);
}

#[test]
fn duplicates_are_dropped_and_confirmed_again() {
    let mut link = small();
    receive(&mut link, 1, 0);
    tick(&mut link, 20);
    assert_eq!(receive(&mut link, 1, 100), []);
    assert_eq!(tick(&mut link, 120), [Effect::TransmitAck { ack: 1 }]);
    assert_eq!(receive(&mut link, 0, 200), []);
    assert_eq!(link.counts().duplicates, 2);
}

#[test]
fn what_comes_early_waits_for_its_turn() {
    let mut link = small();
    assert!(delivered(&receive(&mut link, 3, 0)).is_empty());
    assert!(delivered(&receive(&mut link, 2, 0)).is_empty());
    assert!(delivered(&receive(&mut link, 3, 0)).is_empty());
    assert_eq!((link.waiting(), link.waiting_bytes()), (2, 200));
    assert_eq!(delivered(&receive(&mut link, 1, 0)), [1, 2, 3]);
    assert_eq!((link.waiting(), link.waiting_bytes()), (0, 0));
    assert_eq!(link.counts().duplicates, 1);
}

#[test]
fn of_too_many_that_came_early_the_nearest_are_kept() {
    let mut link = small();
    for seq in [10, 9, 8, 7, 6, 5, 20] {
        receive(&mut link, seq, 0);
    }
    assert_eq!((link.waiting(), link.waiting_bytes()), (5, 500));
    assert_eq!(link.counts().dropped, 2);
    for seq in 1..=3 {
        receive(&mut link, seq, 0);
    }
    assert_eq!(delivered(&receive(&mut link, 4, 0)), [4, 5, 6, 7, 8, 9]);
}

#[test]
fn a_frame_of_any_claimed_size_does_not_overflow() {
    let mut link = small();
    let mut effects = Vec::new();
    let huge = Note { bytes: usize::MAX, ..note(7) };
    receive(&mut link, 3, 0);
    link.receive_frame(7, 0, huge.clone(), Millis(0), &mut effects);
    assert_eq!(link.waiting(), 1);
    assert_eq!(link.send(huge, Millis(0), &mut effects), Err(Full::Refusable));
}

#[test]
fn it_is_known_since_when_nothing_was_confirmed() {
    let mut link = small();
    assert_eq!(link.waits_since(), None);
    send(&mut link, [1, 2], 100);
    send(&mut link, [3], 150);
    assert_eq!(link.waits_since(), Some(Millis(100)));
    // Nothing new is no progress, nor is what is sent again.
    ack(&mut link, 0, 200);
    tick(&mut link, 400);
    assert_eq!(link.waits_since(), Some(Millis(100)));
    ack(&mut link, 1, 500);
    assert_eq!(link.waits_since(), Some(Millis(500)));
    ack(&mut link, 3, 600);
    assert_eq!(link.waits_since(), None);
    send(&mut link, [4], 9_000);
    assert_eq!(link.waits_since(), Some(Millis(9_000)));
}

#[test]
fn the_unconfirmed_go_again_later_and_later() {
    let mut link = small();
    send(&mut link, 1..=2, 0);
    let mut now = 0;
    for wait in [200, 400, 800, 1600, 2000, 2000] {
        assert_eq!(link.next_deadline(), Some(Millis(now + wait)));
        assert_eq!(tick(&mut link, now + wait - 1), []);
        now += wait;
        assert_eq!(transmitted(&tick(&mut link, now)), [(1, 0), (2, 0)]);
    }
    assert_eq!(link.counts().retransmitted, 12);
    // Progress: from the start.
    ack(&mut link, 1, now);
    assert_eq!(link.next_deadline(), Some(Millis(now + 200)));
    ack(&mut link, 2, now + 1);
    assert!(link.is_idle());
}

#[test]
fn a_bus_that_is_back_is_tried_at_once() {
    let mut link = small();
    send(&mut link, 1..=5, 0);
    for now in [200, 600, 1400] {
        tick(&mut link, now);
    }
    let mut effects = Vec::new();
    link.retry(Millis(1500), &mut effects);
    assert_eq!(transmitted(&effects), [(1, 0), (2, 0), (3, 0)]);
    assert_eq!(link.next_deadline(), Some(Millis(1700)), "in the first rhythm");
    ack(&mut link, 3, 1600);
    ack(&mut link, 5, 1600);
    effects.clear();
    link.retry(Millis(1601), &mut effects);
    assert_eq!((effects.as_slice(), link.is_idle()), ([].as_slice(), true));
}

#[test]
fn only_a_burst_goes_again_and_confirmations_let_more_go() {
    let mut link = small();
    // The window begins as a burst and grows by what is confirmed.
    assert_eq!(send(&mut link, 1..=12, 0).len(), 3);
    assert_eq!(ack(&mut link, 3, 10).len(), 6);
    assert_eq!(ack(&mut link, 9, 10).len(), 3);
    assert_eq!(link.unconfirmed(), 3);
    send(&mut link, 13..=20, 10);
    assert_eq!(link.counts().transmitted, 17, "eight at once at most");
    // Nothing for a while: a burst, from the first.
    assert_eq!(transmitted(&tick(&mut link, 210)), [(10, 0), (11, 0), (12, 0)]);
    // All of the eight had arrived after all: go on behind them.
    assert_eq!(ack(&mut link, 17, 215), [(18, 0), (19, 0), (20, 0)]);
    assert_eq!(link.counts().retransmitted, 3);
}

#[test]
fn a_frame_larger_than_the_window_goes_alone() {
    let mut link = small();
    let mut effects = Vec::new();
    let large = Note { bytes: 1200, ..note(1) };
    link.send(large, Millis(0), &mut effects).unwrap();
    link.send(note(2), Millis(0), &mut effects).unwrap();
    assert_eq!(transmitted(&effects), [(1, 0)]);
    assert_eq!(ack(&mut link, 1, 5), [(2, 0)]);
}

#[test]
fn the_refusable_are_refused_before_the_others() {
    let mut link = small();
    let mut effects = Vec::new();
    send(&mut link, 1..=20, 0);
    assert_eq!(link.send(note(21), Millis(0), &mut effects), Err(Full::Refusable));
    for number in 21..=25 {
        let must = Note { class: Class::Must, ..note(number) };
        assert_eq!(link.send(must, Millis(0), &mut effects), Ok(()));
    }
    let must = Note { class: Class::Must, ..note(26) };
    assert_eq!(link.send(must, Millis(0), &mut effects), Err(Full::Exhausted));
    assert_eq!((link.unconfirmed(), link.unconfirmed_bytes()), (25, 2500));
    // Confirmations make room.
    ack(&mut link, 3, 10);
    assert_eq!(link.send(note(26), Millis(10), &mut effects), Err(Full::Refusable));
    tick(&mut link, 1000);
    ack(&mut link, 6, 1010);
    assert_eq!(link.send(note(26), Millis(1010), &mut effects), Ok(()));
}

#[test]
fn a_confirmation_of_what_was_never_sent_is_ignored() {
    let mut link = small();
    send(&mut link, 1..=5, 0);
    assert_eq!(ack(&mut link, 4, 0), [], "the fourth has not gone yet");
    assert_eq!(ack(&mut link, u64::MAX, 0), []);
    assert_eq!((link.unconfirmed(), link.counts().impossible), (5, 2));
}

#[test]
fn a_new_link_delivers_nothing_before_the_first_frame() {
    let mut link = small();
    for seq in [7, 5, 6] {
        assert!(delivered(&receive(&mut link, seq, 0)).is_empty());
    }
    assert_eq!(tick(&mut link, 20), [], "three frames were confirmed at once, as nothing");
    assert_eq!(link.received(), 0);
}

#[test]
fn an_idle_link_is_tiny() {
    assert!(size_of::<Link<[u8; 64]>>() <= 256, "{}", size_of::<Link<[u8; 64]>>());
    let mut link: Link<Note> = Link::default();
    let mut effects = Vec::new();
    for number in 1..=10_000 {
        link.send(note(number), Millis(0), &mut effects).unwrap();
    }
    while link.unconfirmed() > 0 {
        let highest = link.counts().transmitted;
        link.receive_ack(highest, Millis(0), &mut effects);
    }
    assert!(link.is_idle());
    assert_eq!(link.outgoing.capacity(), 0);
}
