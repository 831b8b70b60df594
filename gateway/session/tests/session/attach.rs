//! From the first question to the hub to the last word.

use std::time::Duration;

use serde_json::{Value, json};
use streamz_protocol::bus::{Detach, Down, Item, Up};
use streamz_protocol::objects::IceServer;
use streamz_protocol::{CloseCode, Limits};
use streamz_session::{Effect, Input, Outgoing, Phase, Violation};

use crate::support::*;

const BROKEN: Violation = Violation::Broken("A text frame must be valid UTF-8.");

#[test]
fn it_asks_the_hub_and_welcomes_with_what_it_answers() {
    let mut facts = facts(Limits::default(), true);
    facts.ice_servers = vec![IceServer { urls: vec!["stun:a".into()], username: None, credential: None }];
    let asked = facts.attach.clone();
    let (mut bench, effects) = Bench::open(facts);
    assert_eq!(effects, [Effect::Up(Up::Attach(CONN, Box::new(asked)))]);
    assert_eq!(bench.session.phase(), Phase::Attaching);
    assert_eq!((bench.session.next_deadline(), bench.session.id()), (None, None));
    let effects = bench.handle(Input::Down(Down::Attached(Box::new(attached()))));
    let [Effect::Send(Outgoing { seq: None, body })] = &effects[..] else { panic!("{effects:?}") };
    let welcome: Value = serde_json::from_str(&body.render(None)).unwrap();
    assert_eq!(welcome["type"], "welcome");
    let payload = &welcome["payload"];
    assert_eq!(payload["session_id"], session().to_string());
    assert_eq!(payload["resumed"], false);
    assert_eq!(payload["heartbeat_interval_ms"], 25_000);
    assert_eq!(payload["resume_window_ms"], 60_000);
    assert_eq!(payload["device"]["device_id"], "laptop");
    assert_eq!(payload["devices"].as_array().unwrap().len(), 3);
    assert_eq!(payload["ice_servers"], json!([{"urls": ["stun:a"]}]));
    assert_eq!((bench.session.phase(), bench.session.id()), (Phase::Live, Some(session())));
}

#[test]
fn a_simple_client_is_told_that_it_cannot_resume() {
    let (mut bench, _) = Bench::open(facts(Limits::default(), false));
    let effects = bench.handle(Input::Down(Down::Attached(Box::new(attached()))));
    let [Effect::Send(outgoing)] = &effects[..] else { panic!("{effects:?}") };
    assert!(outgoing.render().contains("\"resume_window_ms\":0"));
}

#[test]
fn a_resume_replays_after_the_welcome_in_order() {
    let (mut bench, _) = Bench::open(facts(Limits::default(), true));
    let mut answer = attached();
    answer.resumed = true;
    (answer.acked, answer.last_seq) = (3, 9);
    answer.replay = vec![state(4), relayed(7, 1), state(9)];
    let effects = bench.handle(Input::Down(Down::Attached(Box::new(answer.clone()))));
    assert_eq!(words(&effects), ["welcome", "#4 pong", "#7 pong", "#9 pong"]);
    let replica = bench.replica();
    assert_eq!(replica.window, answer.replay, "the copy is as the hub's");
    assert_eq!((replica.acked, replica.last_seq, replica.generation), (3, 9, 7));
    assert_eq!(bench.frames([state(9), state(10)]).len(), 1, "what was replayed does not come again");
    assert!(bench.handle(Input::Down(Down::Attached(Box::new(answer)))).is_empty(), "there is one answer");
}

#[test]
fn a_refusal_closes_the_socket() {
    for code in [CloseCode::TooManyDevices, CloseCode::Unavailable, CloseCode::InvalidToken] {
        let (mut bench, _) = Bench::open(facts(Limits::default(), true));
        let effects = bench.handle(Input::Down(Down::Refused(code)));
        assert_eq!(effects, [Effect::Close(code), Effect::Up(Up::Gone(CONN)), Effect::End]);
        assert_eq!(bench.session.phase(), Phase::Over);
    }
}

/// While the hub has not answered: what each input does.
#[test]
fn before_the_session_is_there() {
    let over = |code: u16| vec![format!("close {code}"), "up gone".into(), "end".into()];
    let nothing = Vec::new;
    let table: Vec<(Input<'_>, Vec<String>)> = vec![
        (Input::Text("{\"type\":\"ping\"}"), nothing()),
        (Input::Violation(BROKEN), nothing()),
        (Input::Alive, nothing()),
        (Input::Down(Down::Batch(vec![Item::Frame(state(1)), Item::Plain(pong())])), nothing()),
        (Input::Down(Down::Close(CloseCode::Replaced)), over(4501)),
        (Input::Down(Down::Forget), vec!["up gone".into(), "end".into()]),
        (Input::Roll { epoch: 3 }, vec!["up gone".into(), "up attach".into()]),
        (Input::HubFull { number: 1 }, nothing()),
        (Input::Written { bytes: 5, seq: Some(1) }, nothing()),
        (Input::SocketGone { clean: true }, vec!["up gone".into(), "end".into()]),
        (Input::SocketGone { clean: false }, vec!["up gone".into(), "end".into()]),
        (Input::TokenChecked(None), nothing()),
        (Input::IceServers { servers: Vec::new(), renew_at: None }, nothing()),
        (Input::Drain { after_ms: 1 }, nothing()),
        (Input::Close(CloseCode::Draining), over(4000)),
        (Input::Overflowed, over(4002)),
        (Input::Tick, nothing()),
    ];
    for (input, expected) in table {
        let name = format!("{input:?}");
        let (mut bench, _) = Bench::open(facts(Limits::default(), true));
        assert_eq!(words(&bench.handle(input)), expected, "{name}");
    }
}

/// A socket that is gone leaves a session that waits, and a simple client's leaves nothing.
#[test]
fn how_a_socket_goes() {
    let table: Vec<(Input<'_>, &[&str], Detach)> = vec![
        (Input::SocketGone { clean: true }, &[], Detach::Clean),
        (Input::SocketGone { clean: false }, &[], Detach::Lost),
        (Input::Close(CloseCode::Draining), &["close 4000"], Detach::Lost),
        (Input::Violation(BROKEN), &["error malformed_frame", "close 4503"], Detach::Lost),
        (Input::Violation(Violation::TooLarge), &["error frame_too_large", "close 4503"], Detach::Lost),
    ];
    for (input, said, how) in table {
        let name = format!("{input:?}");
        let again = |input: &Input<'_>| match input {
            Input::SocketGone { clean } => Input::SocketGone { clean: *clean },
            Input::Close(code) => Input::Close(*code),
            Input::Violation(what) => Input::Violation(*what),
            other => panic!("{other:?}"),
        };
        let mut expected: Vec<String> = said.iter().map(|word| (*word).to_owned()).collect();
        expected.push(format!("up detach {how:?}"));
        let mut bench = Bench::live();
        assert_eq!(words(&bench.handle(again(&input))), expected, "{name}");
        assert_eq!(bench.session.phase(), Phase::Away { since: START, how }, "{name}");
        assert!(bench.handle(Input::SocketGone { clean: true }).is_empty(), "{name}: it is gone once");
        expected.extend(["up gone".to_owned(), "end".to_owned()]);
        let mut bench = Bench::simple();
        assert_eq!(words(&bench.handle(input)), expected, "{name}, a simple client");
        assert_eq!(bench.session.phase(), Phase::Over, "{name}, a simple client");
    }
}

/// While the device is away, nothing is sent and nothing is read.
#[test]
fn while_the_device_is_away() {
    let away = || {
        let mut bench = Bench::live();
        bench.handle(Input::SocketGone { clean: false });
        bench
    };
    let gone = ["up gone", "end"];
    let table: Vec<(Input<'_>, &[&str])> = vec![
        (Input::Text("{\"type\":\"ping\"}"), &[]),
        (Input::Violation(BROKEN), &[]),
        (Input::Alive, &[]),
        (Input::Down(Down::Batch(vec![Item::Frame(state(1)), Item::Plain(pong())])), &[]),
        (Input::Down(Down::Close(CloseCode::Replaced)), &gone),
        (Input::Down(Down::Forget), &gone),
        (Input::Roll { epoch: 3 }, &["up announce 3"]),
        (Input::HubFull { number: 1 }, &[]),
        (Input::Written { bytes: 5, seq: Some(1) }, &[]),
        (Input::TokenChecked(None), &[]),
        (Input::IceServers { servers: Vec::new(), renew_at: None }, &[]),
        (Input::Drain { after_ms: 1 }, &[]),
        (Input::Close(CloseCode::Draining), &[]),
        (Input::Overflowed, &gone),
        (Input::Tick, &[]),
    ];
    for (input, expected) in table {
        let name = format!("{input:?}");
        assert_eq!(words(&away().handle(input)), *expected, "{name}");
    }
}

#[test]
fn a_replaced_connection_says_so_and_ends() {
    let mut bench = Bench::live();
    let effects = bench.handle(Input::Down(Down::Close(CloseCode::Replaced)));
    assert_eq!(words(&effects), ["close 4501", "up gone", "end"]);
}

#[test]
fn an_overflow_ends_the_copy_but_not_the_session() {
    let mut bench = Bench::live();
    let effects = bench.handle(Input::Overflowed);
    assert_eq!(words(&effects), ["close 4002", "up detach Slow", "up gone", "end"]);
    let mut bench = Bench::simple();
    let effects = bench.handle(Input::Overflowed);
    assert_eq!(words(&effects), ["close 4002", "up detach Slow", "up gone", "end"]);
}

#[test]
fn after_the_end_nothing_happens() {
    let inputs: Vec<fn() -> Input<'static>> = vec![
        || Input::Text("{\"type\":\"ping\"}"),
        || Input::Violation(BROKEN),
        || Input::Alive,
        || Input::Down(Down::Attached(Box::new(attached()))),
        || Input::Down(Down::Batch(vec![Item::Plain(pong())])),
        || Input::Down(Down::Refused(CloseCode::Unavailable)),
        || Input::Down(Down::Close(CloseCode::Replaced)),
        || Input::Down(Down::Forget),
        || Input::Roll { epoch: 2 },
        || Input::HubFull { number: 1 },
        || Input::Written { bytes: 1, seq: Some(1) },
        || Input::SocketGone { clean: true },
        || Input::TokenChecked(None),
        || Input::IceServers { servers: Vec::new(), renew_at: None },
        || Input::Drain { after_ms: 1 },
        || Input::Close(CloseCode::Draining),
        || Input::Overflowed,
        || Input::Tick,
    ];
    for input in inputs {
        let mut bench = Bench::live();
        bench.handle(Input::Down(Down::Forget));
        bench.now = bench.now + Duration::from_secs(3600);
        assert!(bench.handle(input()).is_empty(), "{:?}", input());
        assert_eq!(bench.session.next_deadline(), None);
    }
}

#[test]
fn a_drain_is_announced() {
    assert_eq!(words(&Bench::live().handle(Input::Drain { after_ms: 250 })), ["reconnect 250"]);
}
