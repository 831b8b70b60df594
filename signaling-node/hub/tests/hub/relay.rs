//! Messages, their targets and their outcomes.

use serde_json::json;
use streamz_hub::{Effect, Input, StoreAway};
use streamz_protocol::bus::{Detach, Message, Up};
use streamz_protocol::client::{Answer, Command};
use streamz_protocol::{ErrorCode, Limits, MessageId};

use crate::support::*;

fn unnamed(to: &str) -> serde_json::Value {
    json!({"type": "sdp_offer", "payload": {"to_device_id": to, "sdp": "x"}})
}

#[test]
fn delivered_is_said_when_the_receiver_has_confirmed() {
    let mut bench = Bench::online(&["tv", "phone"]);
    let sent = bench.offer(1, "m1", "phone");
    assert_eq!(sent.heard(2), ["sdp_offer tv m1"]);
    assert!(sent.heard(1).is_empty());
    let frame = &sent.frames(2)[0];
    assert_eq!(frame["mid"], format!("{}:1", bench.session(1)));
    let confirmed = bench.ack(2, frame["seq"].as_u64().unwrap());
    assert_eq!(confirmed.heard(1), ["delivered m1"]);
    assert!(bench.ack(2, frame["seq"].as_u64().unwrap()).0.is_empty(), "once");
}

#[test]
fn outcomes_come_in_the_order_of_the_messages() {
    let mut bench = Bench::online(&["tv", "phone"]);
    for name in ["a", "b", "c"] {
        bench.offer(1, name, "phone");
    }
    assert_eq!(bench.ack(2, 3).heard(1), ["delivered a", "delivered b", "delivered c"]);
}

#[test]
fn certain_reasons_are_said_at_once() {
    let mut bench = Bench::online(&["tv"]);
    bench.up(Up::Devices(streamz_protocol::bus::DeviceChange::Put(Box::new(device("phone")))));
    assert_eq!(bench.offer(1, "a", "phone").heard(1), ["not_delivered a offline"]);
    assert_eq!(bench.offer(1, "b", "toaster").heard(1), ["not_delivered b unknown_device"]);
    assert_eq!(bench.offer(1, "c", "").heard(1), ["not_delivered c offline"], "nobody else is there");
    assert_eq!(bench.offer(1, "d", "tv").heard(1), ["error d invalid_payload"], "not to itself");
    assert!(bench.say(1, unnamed("phone")).0.is_empty(), "without an id there is no outcome");
    assert_eq!(bench.say(1, unnamed("tv")).heard(1), ["error invalid_payload"], "but an error");
}

/// What concerns the gateway alone ends like everything else: numbered, remembered, said again.
#[test]
fn outcomes_of_the_gateway_are_said_and_kept_like_others() {
    let mut bench = Bench::online(&["tv"]);
    let session = bench.session(1);
    let answered = |number, name: &str, answer| {
        let id = Some(MessageId::new(name).unwrap());
        let command = Command::Answered(answer);
        Up::Message(
            conn(1),
            Box::new(Message {
                number,
                id,
                to: None,
                digest: number,
                accepted_at: START,
                command,
                trace: None,
            }),
        )
    };
    let refused = Answer::Refused(ErrorCode::UnknownType, "No.".to_owned());
    let taken = bench.up(answered(1, "p", Answer::Taken));
    assert_eq!(taken.heard(1), ["delivered p"]);
    assert!(taken.frames(1)[0]["seq"].is_u64());
    let refused = bench.up(answered(2, "d", refused));
    assert_eq!(refused.heard(1), ["error d unknown_type"]);
    assert_eq!(refused.frames(1)[0]["payload"]["message"], "No.");
    bench.detach(1, Detach::Lost);
    let again = bench.attach(2, resume("tv", session, 0));
    let attached = again.attached(2).unwrap();
    assert!(attached.resumed && attached.replay.len() == 2 && attached.open.is_empty());
    let kept: Vec<_> = attached.settled.iter().map(|known| (known.id.as_str(), known.digest)).collect();
    assert_eq!(kept, [("p", 1), ("d", 2)]);
}

#[test]
fn a_message_to_all_has_the_targets_that_were_there() {
    let mut bench = Bench::online(&["tv", "phone", "cam"]);
    bench.stored.push(device("late"));
    bench.up(Up::Devices(streamz_protocol::bus::DeviceChange::Put(Box::new(device("late")))));
    bench.detach(3, Detach::Lost);
    let sent = bench.offer(1, "m", "");
    assert_eq!(sent.heard(2), ["sdp_offer tv m"]);
    bench.attach(4, attach("late"));
    assert!(bench.ack(2, 99).0.is_empty(), "what was never sent confirms nothing");
    let last = bench.session(2);
    assert!(bench.ack(2, 4).heard(1).is_empty(), "another has not confirmed: {last}");
    let session = bench.session(3);
    let back = bench.attach(5, resume("cam", session, 0));
    let replay = &back.attached(5).unwrap().replay;
    let seq = replay.iter().find(|frame| frame.body.render(None).contains("sdp_offer")).unwrap().seq;
    assert_eq!(bench.ack(5, seq).heard(1), ["delivered m"]);
}

#[test]
fn a_message_to_all_that_not_all_have_says_who() {
    let mut bench = Bench::online(&["tv", "phone", "cam"]);
    let sent = bench.offer(1, "m", "");
    let seq = sent.frames(2).last().unwrap()["seq"].as_u64().unwrap();
    bench.ack(2, seq);
    let seen = bench.after(secs(29));
    assert_eq!(seen.heard(1), ["not_delivered m expired cam:expired"]);
}

#[test]
fn a_message_to_a_device_that_is_away_waits_for_its_own_time() {
    let mut bench = Bench::online(&["tv", "phone"]);
    let session = bench.session(2);
    bench.detach(2, Detach::Lost);
    assert!(bench.offer(1, "a", "phone").heard(1).is_empty());
    bench.now = bench.now + secs(20);
    bench.offer(1, "b", "phone");
    assert!(bench.after(secs(8)).heard(1).iter().all(|word| word == "device_offline phone"));
    let seen = bench.after(secs(1));
    assert_eq!(seen.heard(1), ["not_delivered a expired"], "a second before the gateway would");
    let back = bench.attach(3, resume("phone", session, 0));
    let replay = &back.attached(3).unwrap().replay;
    let texts: Vec<String> = replay.iter().map(|frame| words(&parse(&frame.body.render(None)))).collect();
    assert_eq!(texts, ["sdp_offer tv b"], "what has its outcome is not replayed");
    assert_eq!(bench.ack(3, replay[0].seq).heard(1), ["delivered b"]);
}

#[test]
fn a_receiver_that_ends_confirms_nothing_any_more() {
    let mut bench = Bench::online(&["tv", "phone"]);
    bench.offer(1, "a", "phone");
    let seen = bench.removed("phone");
    assert!(seen.heard(1).contains(&"not_delivered a expired".to_owned()));
}

#[test]
fn a_slow_simple_receiver_is_told_apart() {
    let mut bench = Bench::new(&["tv", "phone"]);
    bench.attach(1, attach("tv"));
    bench.attach(2, simple("phone"));
    assert_eq!(bench.offer(1, "a", "phone").frames(2)[0]["seq"], 1);
    bench.ack(2, 1);
    bench.offer(1, "b", "phone");
    bench.offer(1, "c", "phone");
    let seen = bench.detach(2, Detach::Slow { handed: 2 });
    assert_eq!(
        seen.heard(1),
        ["not_delivered b expired", "not_delivered c slow_consumer"],
        "what was handed to the socket may have arrived"
    );
    bench.attach(3, simple("phone"));
    bench.offer(1, "d", "phone");
    let seen = bench.detach(3, Detach::Lost);
    assert_eq!(seen.heard(1), ["not_delivered d expired"]);
}

#[test]
fn a_number_is_taken_once() {
    let mut bench = Bench::online(&["tv", "phone"]);
    let session = bench.session(1);
    let first = offer(session, "tv", 1, "m", "phone", START);
    assert_eq!(bench.up(Up::Message(conn(1), Box::new(first.clone()))).heard(2).len(), 1);
    assert!(bench.up(Up::Message(conn(1), Box::new(first))).0.is_empty());
    let stranger = offer(session, "tv", 2, "n", "phone", START);
    assert!(bench.up(Up::Message(conn(9), Box::new(stranger))).0.is_empty(), "nobody's connection");
}

#[test]
fn what_a_sender_has_open_comes_back_with_its_session() {
    let mut bench = Bench::online(&["tv", "phone"]);
    let session = bench.session(1);
    bench.offer(1, "a", "phone");
    bench.offer(1, "b", "nobody");
    bench.detach(1, Detach::Lost);
    let back = bench.attach(3, resume("tv", session, 2));
    let attached = back.attached(3).unwrap();
    assert_eq!(attached.next_number, 3);
    assert_eq!(attached.open.iter().map(|open| open.id.as_str()).collect::<Vec<_>>(), ["a"]);
    let again = offer(session, "tv", 1, "a", "phone", START);
    assert!(bench.up(Up::Message(conn(3), Box::new(again))).0.is_empty(), "it waits already");
    assert_eq!(bench.ack(2, 1).heard(3), ["delivered a"]);
}

#[test]
fn an_unknown_target_is_not_certain_while_the_list_is_not_there() {
    let (mut bench, _) = Bench::recovering(&["tv"], &[GATEWAY]);
    bench.roster(&[1]);
    bench.announce(1, replica("tv", 1));
    assert_eq!(bench.offer(1, "a", "toaster").heard(1), ["error a unavailable"]);
    let seen = bench.input(Input::Loaded(Err(StoreAway)));
    assert!(!seen.0.contains(&Effect::Load));
    assert_eq!(bench.hub.next_deadline(), Some(START + secs(1)));
    assert!(bench.after(secs(1)).0.contains(&Effect::Load));
    bench.load();
    assert_eq!(bench.offer(1, "b", "toaster").heard(1), ["not_delivered b unknown_device"]);
}

#[test]
fn messages_without_an_id_are_not_held_longer_than_the_others() {
    let mut bench = Bench::online_with(Limits::default(), &["tv", "phone"]);
    let session = bench.session(2);
    bench.detach(2, Detach::Lost);
    bench.say(1, unnamed("phone"));
    bench.after(secs(30));
    let back = bench.attach(3, resume("phone", session, 0));
    assert!(back.attached(3).unwrap().replay.is_empty());
}
