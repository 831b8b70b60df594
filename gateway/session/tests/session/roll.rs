//! A new hub asks: the session is handed over.

use streamz_protocol::Limits;
use streamz_protocol::bus::{Detach, OpenMessage, Up};
use streamz_session::{Effect, Input};

use crate::support::*;

#[test]
fn before_the_session_is_there_the_new_hub_is_asked_for_it() {
    let asked = facts(Limits::default(), true);
    let mut attach = asked.attach.clone();
    attach.attempt = 1;
    let (mut bench, _) = Bench::open(asked);
    assert_eq!(
        bench.handle(Input::Roll { epoch: 4 }),
        [Effect::Up(Up::Gone(CONN)), Effect::Up(Up::Attach(CONN, Box::new(attach)))]
    );
}

#[test]
fn the_whole_session_goes_up_as_one() {
    let mut bench = Bench::live();
    bench.text(&offer("m1"));
    bench.frames([state(1), relayed(2, 8), delivered(3, 1, "m1")]);
    bench.text(&offer("m2"));
    bench.ack(1);
    let replica = bench.replica();
    assert_eq!((replica.session, replica.generation, replica.family), (session(), 7, FAMILY));
    assert_eq!((replica.device.device_id, replica.away), (id("laptop"), None));
    assert_eq!((replica.acked, replica.last_seq, replica.next_number), (1, 3, 3));
    assert_eq!(replica.window, [relayed(2, 8), delivered(3, 1, "m1")]);
    assert!(matches!(&replica.open[..], [OpenMessage::Whole(message)] if message.number == 2));
    assert_eq!((replica.settled.len(), replica.heard.len()), (1, 1));
}

#[test]
fn what_the_device_confirmed_last_goes_up_too_for_as_long_as_somebody_may_wait_for_it() {
    let mut bench = Bench::live();
    let first = streamz_protocol::bus::CONFIRMED_KEPT as u64 + 10;
    bench.frames((1..=first).map(|seq| relayed(seq, seq)));
    bench.ack(first - 1);
    let confirmed: Vec<u64> = bench.replica().confirmed.iter().map(|mid| mid.number).collect();
    assert_eq!(confirmed, (10..first).collect::<Vec<u64>>(), "the last ones, and not what waits for its ack");
    for beats in 0..4 {
        assert_eq!(bench.replica().confirmed.is_empty(), beats == 3, "after {beats}");
        bench.text(r#"{"type": "ping"}"#);
        bench.after(Limits::default().heartbeat);
    }
}

#[test]
fn a_session_whose_device_is_away_says_since_when() {
    let mut bench = Bench::live();
    bench.handle(Input::SocketGone { clean: true });
    bench.now = bench.now + secs(5);
    assert_eq!(bench.replica().away, Some((START, Detach::Clean)));
}

/// It may be what the hubs die of.
#[test]
fn a_message_is_handed_over_three_times() {
    let mut bench = Bench::live();
    bench.text(&offer("m1"));
    for _ in 0..2 {
        assert_eq!(bench.replica().open.len(), 1);
    }
    bench.text(&offer("m2"));
    assert_eq!(bench.replica().open.len(), 2);
    let effects = bench.handle(Input::Roll { epoch: 2 });
    assert_eq!(words(&effects), ["up announce 2", "not_delivered m1 expired"]);
    let replica = bench.replica();
    assert!(matches!(&replica.open[..], [OpenMessage::Whole(message)] if message.number == 2));
    assert_eq!(replica.settled.len(), 1, "the next hub repeats it");
    assert_eq!(words(&bench.text(&offer("m1"))), ["not_delivered m1 expired"]);
}

#[test]
fn what_was_given_up_makes_room_in_the_backlog() {
    let limits = Limits { unsettled: 1, ..Limits::default() };
    let mut bench = Bench::live_with(limits, true, attached());
    bench.text(&offer("m1"));
    assert_eq!(words(&bench.text(&offer("m2"))), ["not_delivered m2 backlog"]);
    for _ in 0..4 {
        bench.handle(Input::Roll { epoch: 2 });
    }
    assert_eq!(messages(&bench.text(&offer("m3"))).len(), 1);
}
