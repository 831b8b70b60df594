//! Heartbeats, tokens, credentials, and the ends of waits.

use serde_json::json;
use streamz_protocol::bus::Detach;
use streamz_protocol::client::{Answer, Command};
use streamz_protocol::{ErrorCode, Limits, Millis, UserId};
use streamz_session::{Effect, Input, Phase, TokenFacts};
use uuid::Uuid;

use crate::support::*;

fn auth(id: &str) -> String {
    json!({"type": "auth", "payload": {"token": "T"}, "id": id}).to_string()
}

fn valid(expires: Millis) -> Option<TokenFacts> {
    Some(TokenFacts { user: user(), family: FAMILY, expires })
}

/// What the hub is to say of messages that the gateway acted on.
fn answers(effects: &[Effect]) -> Vec<&Answer> {
    let all = messages(effects).into_iter();
    all.map(|message| match &message.command {
        Command::Answered(answer) => answer,
        other => panic!("{other:?}"),
    })
    .collect()
}

#[test]
fn two_missed_heartbeats_close_the_socket_at_the_third_tick() {
    let mut bench = Bench::live();
    assert_eq!(bench.session.next_deadline(), Some(START + secs(25)));
    assert!(bench.after(secs(24)).is_empty());
    assert_eq!(words(&bench.after(secs(1))), ["ping"]);
    assert_eq!(words(&bench.after(secs(25))), ["ping"]);
    assert!(bench.after(secs(24)).is_empty());
    assert_eq!(words(&bench.after(secs(1))), ["close 4003", "up detach Lost"]);
}

#[test]
fn any_sign_of_life_counts() {
    let signs: [fn(&mut Bench); 3] = [
        |bench| drop(bench.handle(Input::Alive)),
        |bench| drop(bench.text("nonsense")),
        |bench| drop(bench.text(r#"{"type": "ping"}"#)),
    ];
    for sign in signs {
        let mut bench = Bench::live();
        for _ in 0..10 {
            assert_eq!(words(&bench.after(secs(25))), ["ping"]);
            assert_eq!(words(&bench.after(secs(25))), ["ping"]);
            sign(&mut bench);
        }
    }
    let mut bench = Bench::live();
    bench.after(secs(25));
    bench.after(secs(25));
    bench.frames([state(1)]);
    bench.handle(Input::Written { bytes: 1, seq: Some(1) });
    assert_eq!(words(&bench.after(secs(25)))[0], "close 4003", "what the socket takes is no sign");
}

#[test]
fn a_token_is_announced_and_ends_the_connection() {
    let limits = Limits { heartbeat: secs(100_000), ..Limits::default() };
    let mut bench = Bench::live_with(limits, true, attached());
    assert_eq!(bench.session.next_deadline(), Some(START + secs(840)));
    assert!(bench.after(secs(839)).is_empty());
    assert_eq!(words(&bench.after(secs(1))), ["token_expiring 60"]);
    assert!(bench.after(secs(1)).is_empty(), "once");
    assert_eq!(bench.session.next_deadline(), Some(START + secs(900)));
    assert_eq!(words(&bench.after(secs(59))), ["close 4001", "up detach Lost"]);
}

#[test]
fn a_new_token_goes_on() {
    let limits = Limits { heartbeat: secs(100_000), ..Limits::default() };
    let mut bench = Bench::live_with(limits, true, attached());
    bench.after(secs(850));
    assert_eq!(words(&bench.text(&auth("a"))), ["check T"]);
    let checked = bench.handle(Input::TokenChecked(valid(START + secs(2000))));
    assert_eq!(answers(&checked), [&Answer::Taken]);
    bench.frames([delivered(1, 1, "a")]);
    assert_eq!(bench.session.next_deadline(), Some(START + secs(1940)));
    assert_eq!(words(&bench.after(secs(1095))), ["token_expiring 55"], "announced anew");
}

#[test]
fn a_token_with_a_short_life_is_announced_half_way() {
    let limits = Limits { heartbeat: secs(100_000), ..Limits::default() };
    let mut bench = Bench::live_with(limits, true, attached());
    bench.text(&auth("a"));
    bench.handle(Input::TokenChecked(valid(START + secs(10))));
    assert_eq!(bench.session.next_deadline(), Some(START + secs(5)), "not at once, and again and again");
    assert_eq!(words(&bench.after(secs(5))), ["token_expiring 5"]);
}

#[test]
fn a_token_of_somebody_else_changes_nothing() {
    let table = [
        None,
        Some(TokenFacts { user: UserId(Uuid::from_u128(1)), family: FAMILY, expires: START + secs(5000) }),
        Some(TokenFacts { user: user(), family: Uuid::from_u128(1), expires: START + secs(5000) }),
        valid(START),
    ];
    for facts in table {
        let mut bench = Bench::live();
        bench.text(&auth("a"));
        let checked = bench.handle(Input::TokenChecked(facts));
        let [Answer::Refused(ErrorCode::InvalidToken, _)] = answers(&checked)[..] else {
            panic!("{checked:?}")
        };
        bench.after(secs(839));
        bench.handle(Input::Alive);
        assert_eq!(words(&bench.after(secs(1)))[0], "token_expiring 60");
    }
    let mut bench = Bench::live();
    bench.text(&json!({"type": "auth", "payload": {"token": "T"}}).to_string());
    assert!(bench.handle(Input::TokenChecked(valid(START + secs(5000)))).is_empty(), "no id, no outcome");
}

#[test]
fn credentials_are_renewed_when_they_are_due() {
    let mut facts = facts(Limits::default(), true);
    facts.ice_renew_at = Some(START + secs(10));
    let (mut bench, _) = Bench::open(facts);
    bench.handle(Input::Down(streamz_protocol::bus::Down::Attached(Box::new(attached()))));
    assert_eq!(bench.session.next_deadline(), Some(START + secs(10)));
    assert_eq!(words(&bench.after(secs(10))), ["renew ice"]);
    assert_eq!(bench.session.next_deadline(), Some(START + secs(25)), "asked once");
    let renewed = Input::IceServers { servers: Vec::new(), renew_at: Some(START + secs(20)) };
    assert_eq!(words(&bench.handle(renewed)), ["ice_servers"]);
    assert_eq!(words(&bench.after(secs(10))), ["renew ice"]);
}

#[test]
fn a_message_without_an_outcome_is_given_up_at_exactly_thirty_seconds() {
    let limits = Limits { heartbeat: secs(100_000), ..Limits::default() };
    let mut bench = Bench::live_with(limits, true, attached());
    bench.text(&offer("m1"));
    bench.now = bench.now + secs(1);
    bench.text(&offer("m2"));
    assert_eq!(bench.session.next_deadline(), Some(START + secs(30)));
    bench.now = START + secs(30);
    bench.now.0 -= 1;
    assert!(bench.handle(Input::Tick).is_empty());
    bench.now.0 += 1;
    assert_eq!(words(&bench.handle(Input::Tick)), ["not_delivered m1 expired"]);
    assert_eq!(bench.session.next_deadline(), Some(START + secs(31)));
    assert_eq!(words(&bench.text(&offer("m1"))), ["not_delivered m1 expired"], "the outcome again");
    assert_eq!(words(&bench.after(secs(1))), ["not_delivered m2 expired"]);
    assert!(bench.replica().open.is_empty());
}

/// A hub that was too late: the device has its outcome, and hears no other.
#[test]
fn a_message_that_was_given_up_has_no_second_outcome() {
    let mut bench = Bench::live();
    bench.text(&offer("m1"));
    assert!(words(&bench.after(secs(30))).contains(&"not_delivered m1 expired".to_owned()));
    assert!(bench.frames([delivered(1, 1, "m1")]).is_empty());
    assert_eq!(words(&bench.frames([state(2)])), ["#2 pong"]);
    assert_eq!(words(&bench.ack(2)), ["up ack 2"]);
    assert_eq!(words(&bench.text(&offer("m1"))), ["not_delivered m1 expired"]);
}

#[test]
fn while_the_device_is_away_its_outcomes_wait_for_its_question() {
    let mut bench = Bench::live();
    bench.text(&offer("m1"));
    bench.handle(Input::SocketGone { clean: false });
    assert!(bench.after(secs(30)).is_empty(), "nobody is there to hear it");
    let replica = bench.replica();
    assert_eq!((replica.open.len(), replica.settled.len()), (0, 1));
}

#[test]
fn a_copy_ends_ten_seconds_after_its_resume_window() {
    let mut bench = Bench::live();
    bench.handle(Input::SocketGone { clean: false });
    assert_eq!(bench.session.phase(), Phase::Away { since: START, how: Detach::Lost });
    assert_eq!(bench.session.next_deadline(), Some(START + secs(70)));
    assert!(bench.after(secs(69)).is_empty());
    assert_eq!(words(&bench.after(secs(1))), ["up gone", "end"]);
}
