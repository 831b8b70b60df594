//! A hub that follows one that died.

use streamz_hub::Effect;
use streamz_protocol::bus::{
    Class, Detach, Frame, Heard, Message, Open, OpenMessage, Replica, ToGateway, Up,
};
use streamz_protocol::server::Body;
use streamz_protocol::{CloseCode, GatewayId, Mid, Millis, SessionId};
use uuid::Uuid;

use crate::support::*;

#[test]
fn it_asks_every_gateway_and_the_store_and_decides_nothing_before_all_have_answered() {
    let gateways = [GatewayId(1), GatewayId(2)];
    let (mut bench, asked) = Bench::recovering(&["tv", "phone"], &gateways);
    let roll = |gateway| Effect::Gateway(gateway, ToGateway::Roll { user: user(), epoch: 2 });
    assert_eq!(asked.0, [Effect::Load, roll(gateways[0]), roll(gateways[1])]);
    bench.load();
    assert!(bench.attach(9, attach("phone")).0.is_empty(), "a new connection waits");
    assert!(bench.roster(&[1]).0.is_empty());
    assert!(bench.announce(1, replica("tv", 1)).0.is_empty());
    let last = bench.up(Up::Roster { gateway: gateways[1], epoch: 2, conns: Vec::new() });
    assert!(last.attached(9).is_some());
    assert_eq!(last.heard(1), ["device_online phone"]);
    assert!(!bench.hub.is_recovering());
}

#[test]
fn a_connection_that_is_gone_before_its_gateway_named_it_is_not_waited_for() {
    let (mut bench, _) = Bench::recovering(&["tv"], &[GATEWAY]);
    bench.load();
    bench.up(Up::Gone(conn(1)));
    bench.roster(&[1]);
    assert!(!bench.hub.is_recovering());
}

#[test]
fn a_connection_without_a_session_asks_anew_whatever_comes_first() {
    let (mut bench, _) = Bench::recovering(&["tv"], &[GATEWAY]);
    bench.load();
    bench.up(Up::Gone(conn(1)));
    bench.up(Up::Attach(conn(1), Box::new(attach("tv"))));
    assert!(bench.roster(&[1]).attached(1).is_some());

    let (mut bench, _) = Bench::recovering(&["tv"], &[GATEWAY]);
    bench.load();
    bench.roster(&[1]);
    assert!(bench.up(Up::Gone(conn(1))).0.is_empty());
    assert!(bench.up(Up::Attach(conn(1), Box::new(attach("tv")))).attached(1).is_some());
}

#[test]
fn answers_to_another_incarnation_count_for_nothing() {
    let (mut bench, _) = Bench::recovering(&["tv"], &[GATEWAY]);
    bench.load();
    bench.up(Up::Roster { gateway: GATEWAY, epoch: 1, conns: Vec::new() });
    bench.up(Up::Announce { conn: conn(1), epoch: 1, replica: Box::new(replica("tv", 1)) });
    assert!(bench.hub.is_recovering());
    bench.roster(&[]);
    assert!(!bench.hub.is_recovering());
    assert_eq!(bench.hub.sessions(), 0);
}

#[test]
fn a_session_goes_on_where_it_was() {
    let (mut bench, _) = Bench::recovering(&["tv", "phone"], &[GATEWAY]);
    bench.load();
    bench.roster(&[1, 2]);
    let tv = Replica { last_seq: 7, acked: 7, next_number: 4, view: vec![id("phone")], ..replica("tv", 1) };
    let phone = Replica { last_seq: 2, view: vec![id("tv")], ..replica("phone", 2) };
    bench.announce(1, tv);
    assert!(bench.announce(2, phone).is_silent(), "everything is as it was");
    let seen = bench.offer(2, "m", "tv");
    assert_eq!(seen.frames(1)[0]["seq"], 8);
    assert_eq!(bench.ack(1, 8).heard(2), ["delivered m"]);
    assert_eq!(bench.shown(), ["tv", "phone"]);
}

#[test]
fn of_two_sessions_of_a_device_the_later_one_goes_on() {
    for (first, second) in [(5, 9), (9, 5)] {
        let (mut bench, _) = Bench::recovering(&["tv"], &[GATEWAY]);
        bench.load();
        bench.roster(&[1, 2]);
        bench.announce(1, Replica { generation: first, ..replica("tv", 1) });
        let seen = bench.announce(2, Replica { generation: second, ..replica("tv", 2) });
        let loser = if first < second { 1 } else { 2 };
        assert_eq!(seen.closed(loser), Some(CloseCode::Replaced));
        assert_eq!(seen.closed(3 - loser), None);
        assert_eq!(bench.hub.sessions(), 1);
        let later = bench.attach(4, resume("tv", bench.session(3 - loser), 0));
        assert!(later.attached(4).unwrap().generation > 9, "generations only rise");
    }
}

#[test]
fn what_was_told_of_the_others_is_put_right() {
    let (mut bench, _) = Bench::recovering(&["tv", "phone", "cam"], &[GATEWAY]);
    bench.load();
    bench.roster(&[1, 2]);
    bench.announce(1, Replica { view: vec![id("tv"), id("cam")], ..replica("tv", 1) });
    let mut seen = bench.announce(2, replica("phone", 2));
    assert!(seen.heard(1).contains(&"device_online phone".to_owned()));
    assert!(seen.heard(2).contains(&"device_online tv".to_owned()));
    // A device that nobody announces may still come back to another gateway.
    seen.0.extend(bench.after(secs(10)).0);
    assert!(seen.heard(1).contains(&"device_offline cam".to_owned()));
    assert!(seen.presences().contains(&(row("cam"), false)));
}

#[test]
fn a_device_that_is_away_keeps_its_times() {
    let (mut bench, _) = Bench::recovering(&["tv", "phone", "pad"], &[GATEWAY]);
    bench.load();
    bench.now = START + secs(100);
    bench.roster(&[1, 2, 3]);
    let away = |since: u64, how| Some((START + secs(since), how));
    bench.announce(1, Replica { away: away(95, Detach::Lost), ..replica("tv", 1) });
    bench.announce(2, Replica { away: away(99, Detach::Clean), ..replica("phone", 2) });
    bench.announce(3, Replica { away: away(45, Detach::Lost), ..replica("pad", 3) });
    assert_eq!(bench.shown(), ["tv"]);
    assert!(bench.after(secs(5)).forgotten(3));
    assert_eq!(bench.shown().len(), 0);
    assert!(bench.after(secs(50)).forgotten(1));
    assert!(bench.after(secs(4)).forgotten(2));
    assert_eq!(bench.hub.sessions(), 0);
}

fn whole(message: Message) -> OpenMessage {
    OpenMessage::Whole(Box::new(message))
}

fn heard(session: u128, up_to: u64) -> Heard {
    Heard { sender: SessionId(Uuid::from_u128(session)), up_to, late: Vec::new() }
}

/// A sender with one open message to the TV, and the TV as its gateway knows it.
fn resubmitted(receiver: Replica) -> (Bench, Seen) {
    let (mut bench, _) = Bench::recovering(&["tv", "phone"], &[GATEWAY]);
    bench.load();
    bench.roster(&[1, 2]);
    let sender = SessionId(Uuid::from_u128(2));
    let open = vec![whole(offer(sender, "phone", 5, "m", "tv", START))];
    bench.announce(2, Replica { next_number: 6, open, view: vec![id("tv")], ..replica("phone", 2) });
    let seen = bench.announce(1, Replica { view: vec![id("phone")], ..receiver });
    (bench, seen)
}

#[test]
fn a_message_that_nobody_heard_is_sent_now() {
    let (mut bench, seen) = resubmitted(Replica { heard: vec![heard(2, 4)], ..replica("tv", 1) });
    assert_eq!(seen.heard(1), ["sdp_offer phone m"]);
    assert_eq!(bench.ack(1, 1).heard(2), ["delivered m"]);
}

#[test]
fn a_message_that_was_heard_is_not_sent_again_and_nothing_certain_is_said() {
    let receiver = Replica { heard: vec![heard(2, 5)], last_seq: 3, acked: 3, ..replica("tv", 1) };
    let (_, seen) = resubmitted(receiver);
    assert!(seen.heard(1).is_empty());
    // What was heard of a number says less than that it was confirmed: later ones may have gone before it.
    assert_eq!(seen.heard(2), ["not_delivered m expired"]);
}

#[test]
fn a_message_that_was_confirmed_is_delivered() {
    let mid = |number| Mid { session: SessionId(Uuid::from_u128(2)), number };
    let receiver = Replica { heard: vec![heard(2, 6)], last_seq: 3, acked: 3, ..replica("tv", 1) };
    let (_, seen) = resubmitted(Replica { confirmed: vec![mid(6), mid(5)], ..receiver.clone() });
    assert!(seen.heard(1).is_empty());
    assert_eq!(seen.heard(2), ["delivered m"]);
    let (_, seen) = resubmitted(Replica { confirmed: vec![mid(6)], ..receiver });
    assert_eq!(seen.heard(2), ["not_delivered m expired"], "a later one says nothing of it");
}

/// One that said goodbye before the hub died was meant, too, and never got it.
#[test]
fn a_message_to_all_is_delivered_only_if_nobody_can_be_missing() {
    let sender = SessionId(Uuid::from_u128(2));
    for (devices, outcome) in
        [(&["tv", "phone"][..], "delivered m"), (&["tv", "phone", "cam"][..], "not_delivered m expired")]
    {
        let (mut bench, _) = Bench::recovering(devices, &[GATEWAY]);
        bench.load();
        bench.roster(&[1, 2]);
        let open = vec![whole(offer(sender, "phone", 5, "m", "", START))];
        bench.announce(2, Replica { next_number: 6, open, ..replica("phone", 2) });
        let confirmed = vec![Mid { session: sender, number: 5 }];
        let tv = Replica { heard: vec![heard(2, 5)], confirmed, last_seq: 3, acked: 3, ..replica("tv", 1) };
        let seen = bench.announce(1, tv);
        assert!(seen.heard(2).contains(&outcome.to_owned()), "{devices:?}: {:?}", seen.heard(2));
    }
}

#[test]
fn a_message_that_waits_for_its_confirmation_still_does() {
    let mid = Mid { session: SessionId(Uuid::from_u128(2)), number: 5 };
    let body = Body::of(&streamz_protocol::server::ServerMessage::Pong {});
    let window = vec![Frame { seq: 3, class: Class::Message { mid, late: false }, body }];
    let receiver = Replica { heard: vec![heard(2, 5)], last_seq: 3, window, ..replica("tv", 1) };
    let (mut bench, seen) = resubmitted(receiver);
    assert!(seen.is_silent());
    assert_eq!(bench.ack(1, 3).heard(2), ["delivered m"]);
}

#[test]
fn of_a_message_that_may_have_been_lost_nothing_is_certain() {
    let receiver =
        Replica { heard: vec![heard(2, 5)], last_seq: 3, acked: 3, lossy: true, ..replica("tv", 1) };
    let (_, seen) = resubmitted(receiver);
    assert_eq!(seen.heard(2), ["not_delivered m expired"]);
}

#[test]
fn no_reason_is_certain_when_another_hub_may_have_acted() {
    let sender = SessionId(Uuid::from_u128(2));
    for (to, at) in [("tv", START), ("toaster", START), ("", START), ("tv", Millis(1))] {
        let (mut bench, _) = Bench::recovering(&["tv", "phone"], &[GATEWAY]);
        bench.load();
        bench.roster(&[2]);
        let open = vec![whole(offer(sender, "phone", 5, "m", to, at))];
        let seen = bench.announce(2, Replica { next_number: 6, open, ..replica("phone", 2) });
        assert_eq!(seen.heard(2), ["not_delivered m expired"], "to {to:?} at {at:?}");
    }
}

#[test]
fn an_awaited_message_waits_for_its_device_or_its_end() {
    let sender = SessionId(Uuid::from_u128(2));
    let again = offer(sender, "phone", 5, "m", "tv", START);
    let known = Open { number: 5, id: again.id.clone().unwrap(), digest: again.digest, accepted_at: START };
    let setup = || {
        let (mut bench, _) = Bench::recovering(&["tv", "phone"], &[GATEWAY]);
        bench.load();
        bench.roster(&[1, 2]);
        bench.announce(1, Replica { view: vec![id("phone")], ..replica("tv", 1) });
        let open = vec![OpenMessage::Awaited(known.clone())];
        let phone = Replica { next_number: 6, open, view: vec![id("tv")], ..replica("phone", 2) };
        assert!(bench.announce(2, phone).is_silent());
        bench
    };
    let mut bench = setup();
    assert_eq!(bench.up(Up::Message(conn(2), Box::new(again.clone()))).heard(1), ["sdp_offer phone m"]);
    assert!(bench.up(Up::Message(conn(2), Box::new(again.clone()))).0.is_empty(), "once");
    assert_eq!(bench.ack(1, 1).heard(2), ["delivered m"]);
    let mut bench = setup();
    assert_eq!(bench.after(secs(29)).heard(2), ["not_delivered m expired"]);
    assert!(bench.up(Up::Message(conn(2), Box::new(again.clone()))).0.is_empty(), "it has its outcome");
}

#[test]
fn what_comes_meanwhile_waits_its_turn() {
    let (mut bench, _) = Bench::recovering(&["tv", "phone"], &[GATEWAY]);
    bench.load();
    bench.roster(&[1, 2]);
    bench.announce(2, Replica { view: vec![id("tv")], ..replica("phone", 2) });
    assert!(bench.offer(2, "m", "tv").0.is_empty());
    assert!(bench.detach(2, Detach::Clean).0.is_empty());
    let early = offer(SessionId(Uuid::from_u128(1)), "tv", 1, "early", "phone", START);
    assert!(bench.up(Up::Message(conn(1), Box::new(early))).0.is_empty(), "its announcement has it");
    assert!(bench.up(Up::Revoke { family: Uuid::from_u128(0xbad) }).0.is_empty());
    let seen = bench.announce(1, Replica { view: vec![id("phone")], ..replica("tv", 1) });
    assert_eq!(seen.heard(1), ["sdp_offer phone m", "device_offline phone"]);
}

#[test]
fn an_ack_after_the_announcement_counts() {
    let (mut bench, _) = Bench::recovering(&["tv", "phone"], &[GATEWAY]);
    bench.load();
    bench.roster(&[1, 2]);
    let mid = Mid { session: SessionId(Uuid::from_u128(2)), number: 5 };
    let body = Body::of(&streamz_protocol::server::ServerMessage::Pong {});
    let window = vec![Frame { seq: 3, class: Class::Message { mid, late: false }, body }];
    let tv = Replica {
        heard: vec![heard(2, 5)],
        last_seq: 3,
        window,
        view: vec![id("phone")],
        ..replica("tv", 1)
    };
    bench.announce(1, tv);
    bench.ack(1, 99);
    bench.ack(1, 3);
    let open = vec![whole(offer(mid.session, "phone", 5, "m", "tv", START))];
    let phone = Replica { next_number: 6, open, view: vec![id("tv")], ..replica("phone", 2) };
    let seen = bench.announce(2, phone);
    assert!(seen.heard(1).is_empty(), "it is not sent again");
    assert_eq!(seen.heard(2), ["not_delivered m expired"]);
}

#[test]
fn a_connection_that_goes_after_its_announcement_leaves_its_session() {
    let (mut bench, _) = Bench::recovering(&["tv", "phone"], &[GATEWAY]);
    bench.load();
    bench.roster(&[1, 2]);
    bench.announce(1, replica("tv", 1));
    bench.up(Up::Gone(conn(1)));
    bench.announce(2, replica("phone", 2));
    assert_eq!(bench.hub.sessions(), 2);
    let back = bench.attach(3, resume("tv", SessionId(Uuid::from_u128(1)), 0));
    assert!(back.attached(3).unwrap().resumed);
}

#[test]
fn a_connection_that_waits_and_goes_is_forgotten() {
    let (mut bench, _) = Bench::recovering(&["tv"], &[GATEWAY]);
    bench.load();
    bench.up(Up::Attach(conn(3), Box::new(attach("tv"))));
    bench.up(Up::Gone(conn(3)));
    assert!(bench.roster(&[]).0.is_empty());
    assert_eq!(bench.hub.sessions(), 0);
}

#[test]
fn what_waits_is_bounded() {
    let (mut bench, _) = Bench::recovering(&["tv"], &[GATEWAY]);
    bench.load();
    for number in 0..4096 {
        assert!(bench.up(Up::Attach(conn(number), Box::new(attach("tv")))).0.is_empty());
    }
    let seen = bench.up(Up::Attach(conn(5000), Box::new(attach("tv"))));
    assert_eq!(seen.refused(5000), Some(CloseCode::Unavailable));
    assert!(bench.up(Up::WhoIsOnline { gateway: GATEWAY, request: 1 }).0.is_empty());
    let seen = bench.roster(&[]);
    assert!(!seen.0.iter().any(|effect| matches!(effect, Effect::Gateway(..))), "nobody waits for that long");
    assert!(seen.attached(4095).is_some(), "the last one wins");
    assert_eq!(bench.hub.sessions(), 1);
}

#[test]
fn the_store_may_answer_late_or_not_at_all() {
    let (mut bench, _) = Bench::recovering(&["tv", "phone"], &[GATEWAY]);
    bench.roster(&[1]);
    bench.announce(1, replica("tv", 1));
    assert!(!bench.hub.is_recovering(), "devices that are there need no store");
    assert!(bench.up(Up::Attach(conn(2), Box::new(attach("phone")))).0.is_empty());
    assert!(bench.load().attached(2).is_some());
}

#[test]
fn a_row_that_the_last_hub_did_not_come_to_write_is_written() {
    // Whether the list comes first or last.
    for first in [true, false] {
        let (mut bench, _) = Bench::recovering(&["tv", "phone"], &[GATEWAY]);
        let mut written = Vec::new();
        if first {
            written.extend(bench.load().presences());
        }
        bench.roster(&[1]);
        written.extend(bench.announce(1, replica("tv", 1)).presences());
        if !first {
            written.extend(bench.load().presences());
        }
        assert_eq!(written, [(row("tv"), true)]);
        assert!(bench.load().presences().is_empty(), "once");
    }
}

#[test]
fn a_copy_without_its_socket_may_be_an_old_one() {
    let session = SessionId(Uuid::from_u128(1));
    for (last_seq, goes_on) in [(10, true), (11, false), (40, false)] {
        let (mut bench, _) = Bench::recovering(&["tv", "phone"], &[GATEWAY]);
        bench.load();
        bench.roster(&[1, 2]);
        bench.announce(2, replica("phone", 2));
        let away = Some((START, Detach::Lost));
        bench.announce(1, Replica { away, acked: 10, last_seq: 10, ..replica("tv", 1) });
        // A frame that must not pass for one that the device has.
        let seq = bench.offer(2, "o", "tv").frames(1)[0]["seq"].as_u64().unwrap();
        assert!(seq > 1_000, "{seq}");
        let seen = bench.attach(3, resume("tv", session, last_seq));
        assert_eq!(seen.attached(3).unwrap().resumed, goes_on, "{last_seq}");
        assert!(!seen.heard(2).contains(&"delivered o".to_owned()));
    }
}
