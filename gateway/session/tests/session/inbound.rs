//! What a device says: numbers, repeated messages, the backlog, confirmations, the rate.

use std::time::Duration;

use serde_json::json;
use streamz_protocol::bus::{OpenMessage, Settled};
use streamz_protocol::client::{Answer, ClientFrame, ClientMessage, Command};
use streamz_protocol::server::Body;
use streamz_protocol::{ErrorCode, Limits};
use streamz_session::{Input, Phase};

use crate::support::*;

fn digest(text: &str) -> u64 {
    let ClientMessage::Command { to, command } = ClientFrame::decode(text).unwrap().message else {
        panic!("a command")
    };
    command.digest(to.as_ref())
}

#[test]
fn messages_are_numbered_and_the_server_names_the_sender() {
    let mut answer = attached();
    answer.next_number = 41;
    let mut bench = Bench::live_with(Limits::default(), true, answer);
    let first = bench.text(&offer("m1"));
    let second = bench.text(&json!({"type": "sdp_offer", "payload": {"sdp": "x"}}).to_string());
    let (first, second) = (messages(&first)[0], messages(&second)[0]);
    assert_eq!((first.number, second.number), (41, 42));
    assert_eq!(first.to, Some(id("tv")));
    assert_eq!((second.id.clone(), second.to.clone()), (None, None));
    assert_eq!(first.accepted_at, START);
    let text = format!("{:?}", first.command);
    assert!(text.contains("laptop"), "{text}");
    assert!(text.contains(&format!("{}:41", session())), "{text}");
}

#[test]
fn what_is_wrong_and_has_no_id_is_answered_and_takes_no_number() {
    let mut bench = Bench::live();
    let table = [
        ("[]", "error malformed_frame"),
        (r#"{"type": "dance"}"#, "error unknown_type"),
        (r#"{"type": "dance", "id": 5}"#, "error malformed_frame"),
        (r#"{"type": "sdp_offer", "payload": {}}"#, "error invalid_payload"),
        (r#"{"type": "ping"}"#, "pong"),
    ];
    for (text, expected) in table {
        assert_eq!(words(&bench.text(text)), [expected], "{text}");
    }
    assert_eq!(messages(&bench.text(&offer("m")))[0].number, 1);
}

const PING: &str = r#"{"type": "ping", "id": "m"}"#;

/// What the gateway acts on or refuses by itself has its outcome where all others have it: at the hub.
#[test]
fn what_the_gateway_acts_on_has_its_outcome_from_the_hub() {
    let refused = |code| Command::Answered(Answer::Refused(code, String::new()));
    for (text, said, expected) in [
        (PING, "pong m", Command::Answered(Answer::Taken)),
        (r#"{"type": "ack", "payload": {"seq": 0}, "id": "m"}"#, "", Command::Answered(Answer::Taken)),
        (r#"{"type": "ack", "payload": {"seq": 1}, "id": "m"}"#, "", refused(ErrorCode::InvalidPayload)),
        (r#"{"type": "dance", "id": "m"}"#, "", refused(ErrorCode::UnknownType)),
        (r#"{"type": "sdp_offer", "payload": {}, "id": "m"}"#, "", refused(ErrorCode::InvalidPayload)),
    ] {
        let mut bench = Bench::live();
        let effects = bench.text(text);
        let [message] = &messages(&effects)[..] else { panic!("{effects:?}") };
        assert_eq!((message.number, message.id.as_ref().unwrap().as_str()), (1, "m"), "{text}");
        let command = match message.command.clone() {
            Command::Answered(Answer::Refused(code, sentence)) => {
                assert!(!sentence.is_empty());
                refused(code)
            }
            command => command,
        };
        assert_eq!(command, expected, "{text}");
        let others: Vec<String> =
            words(&effects).into_iter().filter(|word| !word.starts_with("up")).collect();
        assert_eq!(others, if said.is_empty() { vec![] } else { vec![said.to_owned()] }, "{text}");
        assert_eq!(bench.replica().open.len(), 1, "it is open until then");
    }
}

#[test]
fn an_id_names_one_message_whatever_its_type() {
    let valid = offer("m");
    let invalid = r#"{"type": "sdp_offer", "payload": {"sdp": 5}, "id": "m"}"#;
    let auth = r#"{"type": "auth", "payload": {"token": "T"}, "id": "m"}"#;
    let all = [&valid, PING, invalid, auth, r#"{"type": "dance", "id": "m"}"#];
    for first in all {
        for settled in [false, true] {
            let mut bench = Bench::live();
            bench.text(first);
            if first == auth {
                bench.handle(Input::TokenChecked(None));
            }
            if settled {
                bench.frames([delivered(1, 1, "m")]);
            }
            for second in all {
                let mut said = words(&bench.text(second));
                if second == auth && first == auth {
                    assert_eq!(said, ["check T"]);
                    said = words(&bench.handle(Input::TokenChecked(None)));
                }
                said.retain(|word| word != "pong m");
                let expected: &[&str] = match (first == second, settled) {
                    (true, true) => &["delivered m"],
                    (true, false) => &[],
                    (false, _) => &["error m id_reused"],
                };
                assert_eq!(said, expected, "{first} then {second}, settled: {settled}");
            }
        }
    }
}

#[test]
fn a_message_says_to_which_trace_it_belongs() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut bench = Bench::live();
    let with = |id: &str, parent: &str| offer(id).replacen('{', &format!(r#"{{"traceparent":{parent},"#), 1);
    let said = bench.text(&with("a", &format!("\"{PARENT}\"")));
    assert_eq!(messages(&said)[0].trace, Some(PARENT.parse().unwrap()));
    // One that cannot be read is as good as none.
    for (id, parent) in [("b", r#""00-4bf9""#), ("c", "7"), ("d", "null")] {
        assert_eq!(messages(&bench.text(&with(id, parent)))[0].trace, None, "{parent}");
    }
    // It is no part of the content.
    assert!(bench.text(&offer("a")).is_empty(), "the same message again");
}

/// Nothing is acted on that is refused for want of room: the refusal is certain.
#[test]
fn the_backlog_holds_for_what_the_gateway_acts_on() {
    let limits = Limits { unsettled: 1, ..Limits::default() };
    let mut bench = Bench::live_with(limits, true, attached());
    bench.text(&offer("first"));
    for text in [
        PING,
        r#"{"type": "auth", "payload": {"token": "T"}, "id": "m"}"#,
        r#"{"type": "ack", "payload": {"seq": 0}, "id": "m"}"#,
        r#"{"type": "dance", "id": "m"}"#,
    ] {
        assert_eq!(words(&bench.text(text)), ["not_delivered m backlog"], "{text}");
    }
    bench.frames([delivered(1, 1, "first")]);
    assert_eq!(words(&bench.text(PING))[0], "pong m", "the id is free");
}

#[test]
fn tokens_are_checked_one_at_a_time() {
    let mut bench = Bench::live();
    let auth = |id: &str| json!({"type": "auth", "payload": {"token": "T"}, "id": id}).to_string();
    bench.text(&auth("a"));
    assert_eq!(words(&bench.text(&auth("b"))), ["not_delivered b backlog"]);
    assert_eq!(words(&bench.text(r#"{"type": "auth", "payload": {"token": "T"}}"#)), ["error unavailable"]);
    assert_eq!(words(&bench.text(r#"{"type": "ping", "id": "a"}"#)), ["error a id_reused"]);
    let checked = bench.handle(Input::TokenChecked(None));
    assert_eq!(messages(&checked)[0].id.as_ref().unwrap().as_str(), "a");
    assert_eq!(words(&bench.text(&auth("b"))), ["check T"]);
    // An earlier one has its outcome, whatever is being checked.
    bench.frames([delivered(1, 1, "a")]);
    assert_eq!(words(&bench.text(&auth("a"))), ["delivered a"]);
    assert!(bench.text(&auth("b")).is_empty(), "its outcome is to come");
}

#[test]
fn the_same_id_while_the_message_is_open() {
    let mut bench = Bench::live();
    bench.text(&offer("m1"));
    assert!(bench.text(&offer("m1")).is_empty(), "its outcome is to come");
    let other = offer("other").replace(r#""id":"other""#, r#""id":"m1""#);
    assert_eq!(words(&bench.text(&other)), ["error m1 id_reused"]);
    let replica = bench.replica();
    assert_eq!((replica.open.len(), replica.next_number), (1, 2));
}

#[test]
fn the_same_id_after_the_outcome() {
    let mut bench = Bench::live();
    bench.text(&offer("m1"));
    assert_eq!(words(&bench.frames([delivered(1, 1, "m1")])), ["#1 delivered m1"]);
    assert_eq!(words(&bench.text(&offer("m1"))), ["delivered m1"], "the outcome again");
    let other = offer("other").replace(r#""id":"other""#, r#""id":"m1""#);
    assert_eq!(words(&bench.text(&other)), ["error m1 id_reused"]);
}

#[test]
fn outcomes_that_the_hub_handed_over_can_be_repeated() {
    let mut answer = attached();
    let id = streamz_protocol::MessageId::new("old").unwrap();
    let outcome = Body::delivered(&id);
    answer.settled = vec![Settled { id, digest: digest(&offer("old")), outcome, at: START }];
    let mut bench = Bench::live_with(Limits::default(), true, answer);
    assert_eq!(words(&bench.text(&offer("old"))), ["delivered old"]);
}

#[test]
fn remembered_outcomes_are_bounded() {
    // As many as are asked for, and a whole window of unconfirmed ones.
    let limits = Limits { remembered_outcomes: 1, window_frames: 1, ..Limits::default() };
    let mut bench = Bench::live_with(limits, true, attached());
    for (number, name) in [(1, "a"), (2, "b"), (3, "c")] {
        bench.text(&offer(name));
        bench.frames([delivered(number, number, name)]);
    }
    assert_eq!(bench.replica().settled.len(), 2);
    assert_eq!(messages(&bench.text(&offer("a"))).len(), 1, "the oldest is forgotten");
}

#[test]
fn what_was_open_is_handed_over_again_under_its_old_number() {
    let mut answer = attached();
    answer.resumed = true;
    answer.next_number = 9;
    answer.open = vec![open(4, "m4", digest(&offer("m4")), START)];
    let mut bench = Bench::live_with(Limits::default(), true, answer);
    let replica = bench.replica();
    assert!(matches!(&replica.open[..], [OpenMessage::Awaited(open)] if open.number == 4));
    let other = offer("other").replace(r#""id":"other""#, r#""id":"m4""#);
    assert_eq!(words(&bench.text(&other)), ["error m4 id_reused"]);
    bench.now = bench.now + secs(3);
    let again = bench.text(&offer("m4"));
    let [message] = &messages(&again)[..] else { panic!("{again:?}") };
    assert_eq!((message.number, message.accepted_at), (4, START));
    assert!(bench.text(&offer("m4")).is_empty(), "once");
    assert!(matches!(&bench.replica().open[..], [OpenMessage::Again(message)] if message.number == 4));
    assert_eq!(messages(&bench.text(&offer("new")))[0].number, 9);
}

#[test]
fn the_backlog_ends_at_its_limit_of_messages() {
    let mut bench = Bench::live();
    for number in 1..=256 {
        assert_eq!(messages(&bench.text(&offer(&format!("m{number}")))).len(), 1);
    }
    assert_eq!(words(&bench.text(&offer("one more"))), ["not_delivered one more backlog"]);
    let unnamed = bench.text(&json!({"type": "sdp_offer", "payload": {"sdp": "x"}}).to_string());
    assert_eq!(messages(&unnamed)[0].number, 257, "what wants no outcome waits for none");
    bench.frames([delivered(1, 1, "m1")]);
    assert_eq!(messages(&bench.text(&offer("room"))).len(), 1);
}

#[test]
fn the_backlog_ends_at_its_limit_of_bytes() {
    let big = |name: &str, size: usize| {
        let sdp = "x".repeat(size);
        json!({"type": "sdp_offer", "payload": {"to_device_id": "tv", "sdp": sdp}, "id": name}).to_string()
    };
    let mut probe = Bench::live();
    let weight = messages(&probe.text(&big("a", 1000)))[0].command.weight();
    let limits = Limits { unsettled_bytes: 2 * weight, ..Limits::default() };
    let mut bench = Bench::live_with(limits, true, attached());
    assert_eq!(messages(&bench.text(&big("a", 1000))).len(), 1);
    assert_eq!(words(&bench.text(&big("b", 1001))), ["not_delivered b backlog"]);
    assert_eq!(messages(&bench.text(&big("c", 1000))).len(), 1, "exactly full");
    assert_eq!(words(&bench.text(&big("d", 1))), ["not_delivered d backlog"]);
    bench.frames([delivered(1, 1, "a")]);
    assert_eq!(messages(&bench.text(&big("d", 1000))).len(), 1, "settled bytes are free again");
}

#[test]
fn a_hub_that_is_full_took_nothing() {
    let mut bench = Bench::live();
    bench.text(&offer("m1"));
    assert_eq!(words(&bench.handle(Input::HubFull { number: 1 })), ["not_delivered m1 backlog"]);
    assert!(bench.handle(Input::HubFull { number: 1 }).is_empty());
    assert!(bench.replica().open.is_empty());
    assert_eq!(messages(&bench.text(&offer("m2")))[0].number, 2, "its number is not used again");
}

/// The hub may have it from the connection before: nothing is certain.
#[test]
fn a_hub_that_is_full_may_have_taken_what_is_sent_again() {
    let mut answer = attached();
    answer.next_number = 9;
    answer.open = vec![open(4, "m4", digest(&offer("m4")), START)];
    let mut bench = Bench::live_with(Limits::default(), true, answer);
    bench.text(&offer("m4"));
    assert!(bench.handle(Input::HubFull { number: 4 }).is_empty());
    assert_eq!(words(&bench.frames([delivered(1, 4, "m4")])), ["#1 delivered m4"]);
}

#[test]
fn confirmations_are_cumulative_and_said_once() {
    let mut bench = Bench::live();
    bench.frames((1..=5).map(state));
    assert_eq!(words(&bench.ack(3)), ["up ack 3"]);
    assert!(bench.ack(3).is_empty());
    assert!(bench.ack(2).is_empty(), "nothing is taken back");
    assert_eq!(bench.replica().window.len(), 2);
    assert_eq!(
        words(&bench.text(r#"{"type": "ack", "payload": {"seq": 5}, "id": "a"}"#)),
        ["up ack 5", "up message 1 \"a\""]
    );
    assert_eq!(words(&bench.ack(6)), ["error invalid_payload"], "it was not sent yet");
    assert_eq!(words(&bench.ack(u64::MAX)), ["error invalid_payload"]);
    assert_eq!(bench.replica().acked, 5);
}

#[test]
fn confirmations_do_not_count_against_the_rate() {
    let mut bench = Bench::live();
    bench.frames((1..=3).map(state));
    bench.permit = false;
    assert_eq!(words(&bench.ack(1)), ["up ack 1"]);
    assert_eq!(bench.asked, 0);
    assert_eq!(words(&bench.ack(1)), ["error rate_limited"], "what confirms nothing does");
    assert_eq!(words(&bench.ack(4)), ["error rate_limited"], "and so does what cannot be");
    assert_eq!(words(&bench.ack(u64::MAX)), ["error rate_limited"]);
    assert_eq!(words(&bench.ack(3)), ["up ack 3"]);
}

#[test]
fn what_is_sent_again_after_a_reconnect_does_not_count_against_the_rate() {
    let mut answer = attached();
    answer.next_number = 9;
    answer.open = vec![open(4, "m4", digest(&offer("m4")), START)];
    let mut bench = Bench::live_with(Limits::default(), true, answer);
    bench.permit = false;
    assert_eq!(messages(&bench.text(&offer("m4"))).len(), 1);
    assert_eq!(bench.asked, 0);
}

/// It is open: `error` would be a second outcome beside the one to come.
#[test]
fn over_the_rate_an_open_message_keeps_its_outcome() {
    let mut bench = Bench::live();
    bench.text(&offer("m1"));
    bench.permit = false;
    assert_eq!(words(&bench.text(&offer("m1"))), ["error rate_limited"], "without its id");
    assert_eq!(words(&bench.text(&offer("m2"))), ["error m2 rate_limited"]);
    assert_eq!(words(&bench.frames([delivered(1, 1, "m1")])), ["#1 delivered m1"]);
}

#[test]
fn frames_that_bring_nothing_count_against_the_rate() {
    let limits = Limits { rate_strikes: 2, ..Limits::default() };
    let mut bench = Bench::live_with(limits, true, attached());
    assert!(bench.handle(Input::Idle).is_empty());
    assert_eq!(bench.asked, 1);
    bench.permit = false;
    assert_eq!(words(&bench.handle(Input::Idle)), ["error rate_limited"]);
    assert_eq!(words(&bench.text("[]")), ["error rate_limited"], "one row of refusals, whatever is refused");
    assert_eq!(words(&bench.handle(Input::Idle)), ["close 4004", "up detach Lost"]);
    assert!(bench.handle(Input::Idle).is_empty());
}

#[test]
fn a_device_that_keeps_sending_over_the_rate_is_closed() {
    let limits = Limits { rate_strikes: 3, ..Limits::default() };
    let mut bench = Bench::live_with(limits, true, attached());
    bench.permit = false;
    for _ in 0..3 {
        assert_eq!(words(&bench.text("[]")), ["error rate_limited"]);
    }
    // One in a second is forgiven.
    bench.now = bench.now + Duration::from_secs(2);
    for _ in 0..2 {
        assert_eq!(words(&bench.text(&offer("m"))), ["error m rate_limited"]);
    }
    assert_eq!(words(&bench.text(&offer("m"))), ["close 4004", "up detach Lost"]);
    assert!(matches!(bench.session.phase(), Phase::Away { .. }));
}

/// Each second message is over the rate, for ever: those between are no reason to bear it.
#[test]
fn a_device_that_sends_at_twice_the_rate_is_closed() {
    let mut bench = Bench::live();
    let mut refused = 0;
    for number in 0..2000 {
        bench.permit = number % 2 == 0;
        bench.now = bench.now + Duration::from_millis(10);
        let said = words(&bench.text("[]"));
        if said == ["close 4004", "up detach Lost"] {
            // 200, and one for each of the four seconds that they took.
            assert!((200..=205).contains(&refused), "{refused}");
            return;
        }
        refused += usize::from(!bench.permit);
    }
    panic!("it went on: {refused} refused");
}

/// A device that now and then has a little more to say than the rate allows is told so each time, and stays.
#[test]
fn a_device_that_is_over_the_rate_now_and_then_stays() {
    let mut bench = Bench::live();
    for _ in 0..2000 {
        bench.now = bench.now + Duration::from_secs(1);
        bench.permit = false;
        assert_eq!(words(&bench.text("[]")), ["error rate_limited"]);
    }
}
