//! Every rule, one by one.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use streamz_protocol::objects::StreamType;
use streamz_protocol::{DeviceId, ErrorCode, Limits, Reason};
use uuid::Uuid;

use super::*;

const FIRST: u128 = 1;
const SECOND: u128 = 2;
const OTHER: u128 = 99;

fn welcome(session: u128, resumed: bool) -> String {
    let device = json!({
        "id": Uuid::nil(), "user_id": Uuid::nil(), "device_id": "me", "device_name": "Me", "device_type": "test",
        "is_online": true, "last_seen": null, "created_at": "2027-01-15T08:30:00.000Z",
    });
    json!({"type": "welcome", "payload": {
        "session_id": Uuid::from_u128(session), "resumed": resumed, "heartbeat_interval_ms": 25_000,
        "resume_window_ms": 60_000, "device": device, "devices": [device], "streams": [], "ice_servers": [],
    }})
    .to_string()
}

fn presence(seq: u64) -> String {
    json!({"seq": seq, "type": "device_offline", "payload": {"device_id": "tv"}}).to_string()
}

fn relayed(seq: u64, number: u64) -> String {
    let mid = format!("{}:{number}", Uuid::from_u128(OTHER));
    json!({"seq": seq, "type": "sdp_offer", "payload": {"from_device_id": "tv", "sdp": "v=0"}, "mid": mid})
        .to_string()
}

fn delivered(seq: u64, id: &str) -> String {
    json!({"seq": seq, "type": "delivered", "payload": {"id": id}, "id": id}).to_string()
}

fn session() -> Session<u32> {
    Session::new(Options::default())
}

/// Connected, and welcomed to the first session.
fn online() -> Session<u32> {
    let mut session = session();
    connect(&mut session, FIRST, false);
    session
}

fn connect(session: &mut Session<u32>, id: u128, resumed: bool) {
    session.dial();
    let heard = session.receive(&welcome(id, resumed)).unwrap();
    assert!(matches!(heard.event, Some(Event::Welcome(_))));
    session.taken();
}

fn offer() -> Outgoing {
    Outgoing::offer("v=0").to(DeviceId::new("tv").unwrap())
}

/// What the session has to say, as `type:id` or `ack:seq`.
fn said(session: &mut Session<u32>) -> Vec<String> {
    let frames = std::iter::from_fn(|| session.next_frame());
    frames
        .map(|text| {
            let frame: Value = serde_json::from_str(&text).unwrap();
            let kind = frame["type"].as_str().unwrap();
            match (&frame["id"], &frame["payload"]["seq"]) {
                (Value::String(id), _) => format!("{kind}:{id}"),
                (_, Value::Number(seq)) => format!("{kind}:{seq}"),
                _ => kind.to_owned(),
            }
        })
        .collect()
}

fn hear(session: &mut Session<u32>, text: &str) -> Heard<u32> {
    let heard = session.receive(text).unwrap();
    session.taken();
    heard
}

fn settled(waiter: u32, outcome: Outcome) -> Heard<u32> {
    Heard { settled: Some(Settled { waiter, outcome, stream: None }), ..Heard::nothing() }
}

#[test]
fn nothing_is_said_before_welcome_and_all_of_it_in_order_after() {
    let mut session = session();
    session.submit(&offer(), None, 1).unwrap();
    session.dial();
    session.submit(&offer(), None, 2).unwrap();
    assert_eq!(said(&mut session), [""; 0]);
    hear(&mut session, &welcome(FIRST, false));
    session.submit(&offer(), None, 3).unwrap();
    assert_eq!(said(&mut session), ["sdp_offer:m1", "sdp_offer:m2", "sdp_offer:m3"]);
    assert_eq!(said(&mut session), [""; 0]);
}

#[test]
fn each_kind_of_outcome_settles_its_message_once() {
    let mut session = online();
    for waiter in 1..=3 {
        session.submit(&offer(), None, waiter).unwrap();
    }
    said(&mut session);
    assert_eq!(hear(&mut session, &delivered(1, "m2")), settled(2, Outcome::Delivered));
    let frame = json!({"seq": 2, "type": "not_delivered", "id": "m1", "payload": {
        "id": "m1", "reason": "offline", "failed": [{"device_id": "tv", "reason": "offline"}]}});
    let tv =
        streamz_protocol::server::Failed { device_id: DeviceId::new("tv").unwrap(), reason: Reason::Offline };
    let outcome = Outcome::NotDelivered { reason: Reason::Offline, failed: vec![tv] };
    assert_eq!(hear(&mut session, &frame.to_string()), settled(1, outcome));
    let frame = json!({"type": "error", "id": "m3", "payload": {
        "id": "m3", "code": "rate_limited", "message": "slower"}});
    let outcome = Outcome::Error { code: ErrorCode::RateLimited, message: "slower".into() };
    assert_eq!(hear(&mut session, &frame.to_string()), settled(3, outcome));

    for (seq, id) in [(3, "m1"), (4, "m2"), (5, "m3"), (6, "never")] {
        assert_eq!(hear(&mut session, &delivered(seq, id)), Heard::nothing());
    }
    assert_eq!(session.counters().stray_outcomes, 4);
    assert_eq!(session.backlog(), 0);
}

#[test]
fn an_outcome_of_what_was_never_sent_is_not_believed() {
    let mut session = online();
    session.submit(&offer(), None, 1).unwrap();
    assert_eq!(hear(&mut session, &delivered(1, "m1")), Heard::nothing());
    assert_eq!(said(&mut session), ["sdp_offer:m1"]);
    assert_eq!(hear(&mut session, &delivered(2, "m1")), settled(1, Outcome::Delivered));
}

#[test]
fn an_error_that_answers_no_message_is_told() {
    let mut session = online();
    let frame = json!({"type": "error", "payload": {"code": "unknown_type", "message": "what?"}});
    assert!(matches!(hear(&mut session, &frame.to_string()).event, Some(Event::Message(_))));
}

#[test]
fn what_is_unsettled_is_sent_again_in_order_under_the_same_id() {
    let mut session = online();
    for waiter in 1..=4 {
        session.submit(&offer(), None, waiter).unwrap();
    }
    said(&mut session);
    hear(&mut session, &delivered(1, "m2"));
    assert_eq!(session.hang_up(), [0; 0]);
    session.submit(&offer(), None, 5).unwrap();
    assert_eq!(session.resume_point(), Some((SessionId(Uuid::from_u128(FIRST)), 1)));
    connect(&mut session, FIRST, true);
    // What the server replays may settle a message before it was sent again.
    assert_eq!(hear(&mut session, &delivered(2, "m1")), settled(1, Outcome::Delivered));
    assert_eq!(said(&mut session), ["sdp_offer:m3", "sdp_offer:m4", "sdp_offer:m5"]);
    assert_eq!((session.counters().sent, session.counters().sent_again), (5, 2));
}

#[test]
fn a_new_session_voids_the_numbers_and_sends_anew() {
    let mut session = online();
    session.submit(&offer(), None, 1).unwrap();
    said(&mut session);
    hear(&mut session, &relayed(7, 1));
    session.hang_up();
    connect(&mut session, SECOND, false);
    assert_eq!(session.resume_point(), Some((SessionId(Uuid::from_u128(SECOND)), 0)));
    // Nothing was sent in this session yet, so nothing can be settled in it.
    assert_eq!(hear(&mut session, &delivered(1, "m1")), Heard::nothing());
    assert_eq!(said(&mut session), ["sdp_offer:m1"]);
    assert_eq!(hear(&mut session, &delivered(2, "m1")), settled(1, Outcome::Delivered));
}

#[test]
fn a_repeated_mid_is_dropped_and_confirmed_even_in_a_new_session() {
    let mut session = online();
    assert!(hear(&mut session, &relayed(1, 5)).event.is_some());
    session.idle();
    assert_eq!(said(&mut session), ["ack:1"]);
    assert_eq!(hear(&mut session, &relayed(2, 5)), Heard::nothing());
    session.idle();
    assert_eq!(said(&mut session), ["ack:2"]);
    // The hub and this side's gateway were lost together: the sender's copy comes once more.
    session.hang_up();
    connect(&mut session, SECOND, false);
    assert_eq!(hear(&mut session, &relayed(1, 5)), Heard::nothing());
    session.idle();
    assert_eq!(said(&mut session), ["ack:1"]);
    assert_eq!(session.counters().repeated_mid, 2);
}

#[test]
fn a_candidate_that_was_held_for_its_offer_is_not_taken_for_a_repetition() {
    let mut session = online();
    assert!(hear(&mut session, &relayed(1, 70)).event.is_some());
    assert!(hear(&mut session, &relayed(2, 3)).event.is_some());
    assert_eq!(hear(&mut session, &relayed(3, 70)), Heard::nothing());
}

#[test]
fn skipped_numbers_are_legal_and_repeated_ones_are_dropped_and_confirmed_again() {
    let mut session = online();
    assert!(hear(&mut session, &presence(3)).event.is_some());
    assert!(hear(&mut session, &presence(10)).event.is_some());
    session.idle();
    assert_eq!(said(&mut session), ["ack:10"]);
    for seq in [10, 5, 0] {
        assert_eq!(hear(&mut session, &presence(seq)), Heard::nothing());
    }
    assert!(session.idle());
    assert_eq!(said(&mut session), ["ack:10"]);
    assert!(!session.idle());
    assert_eq!(session.counters().repeated_seq, 3);
}

#[test]
fn an_ack_waits_for_idleness_or_sixteen_frames() {
    let mut session = online();
    for seq in 1..=15 {
        hear(&mut session, &presence(seq));
        assert_eq!(said(&mut session), [""; 0]);
    }
    hear(&mut session, &presence(16));
    assert_eq!(said(&mut session), ["ack:16"]);
    hear(&mut session, &presence(17));
    assert_eq!(said(&mut session), [""; 0]);
    assert!(session.idle());
    assert_eq!(said(&mut session), ["ack:17"]);
    assert!(!session.idle());
}

#[test]
fn outcomes_are_confirmed_with_something_else_or_with_a_heartbeat() {
    let mut session = online();
    for (seq, id) in [(1, "m1"), (2, "m2"), (4, "m3")] {
        session.submit(&offer(), None, seq).unwrap();
        said(&mut session);
        hear(&mut session, &delivered(seq.into(), id));
        assert!(!session.idle());
        if seq == 2 {
            hear(&mut session, &presence(3));
            assert!(session.idle());
            assert_eq!(said(&mut session), ["ack:3"]);
        }
    }
    session.heartbeat();
    assert!(session.idle());
    assert_eq!(said(&mut session), ["ack:4"]);
    session.heartbeat();
    assert!(!session.idle());
}

#[test]
fn only_what_the_program_has_is_confirmed() {
    let mut session = online();
    hear(&mut session, &presence(1));
    assert!(session.receive(&presence(2)).unwrap().event.is_some());
    session.idle();
    assert_eq!(said(&mut session), ["ack:1"]);
    session.taken();
    session.idle();
    assert_eq!(said(&mut session), ["ack:2"]);
}

#[test]
fn acks_go_before_messages_and_need_no_repetition_after_a_resume() {
    let mut session = online();
    hear(&mut session, &presence(1));
    session.submit(&offer(), None, 1).unwrap();
    session.idle();
    assert_eq!(said(&mut session), ["ack:1", "sdp_offer:m1"]);
    hear(&mut session, &presence(2));
    session.hang_up();
    assert_eq!(session.resume_point().unwrap().1, 2);
    connect(&mut session, FIRST, true);
    assert!(!session.idle());
}

#[test]
fn frames_without_a_number_are_told_and_not_confirmed() {
    let mut session = online();
    assert!(hear(&mut session, r#"{"type":"pong","payload":{}}"#).event.is_some());
    assert!(!session.idle());
}

#[test]
fn a_type_from_the_future_is_told_raw_and_confirmed() {
    let mut session = online();
    let text = r#"{"seq":1,"type":"hologram","payload":{"depth":3}}"#;
    let unknown = Unknown { kind: "hologram".into(), text: text.into() };
    assert_eq!(hear(&mut session, text), Heard::event(Event::Unknown(Box::new(unknown))));
    session.idle();
    assert_eq!(said(&mut session), ["ack:1"]);
}

#[test]
fn resumed_is_believed_only_of_the_own_session() {
    let mut session = online();
    hear(&mut session, &presence(5));
    session.hang_up();
    session.dial();
    let heard = session.receive(&welcome(SECOND, true)).unwrap();
    let Some(Event::Welcome(welcome)) = heard.event else { panic!("{heard:?}") };
    assert!(!welcome.resumed);
    assert_eq!(session.resume_point().unwrap().1, 0);
}

#[test]
fn a_server_that_breaks_the_protocol_is_left() {
    let mut session = session();
    session.dial();
    assert_eq!(session.receive(&presence(1)), Err(Violation::NoWelcome));
    assert_eq!(session.receive(r#"{"type":"welcome","payload":{}}"#), Err(Violation::NoWelcome));
    session.receive(&welcome(FIRST, false)).unwrap();
    assert_eq!(session.receive(&welcome(FIRST, false)), Err(Violation::SecondWelcome));
    for text in ["", "{", "[]", "null", "{}", r#"["pong",null,null,null]"#, r#"{"type":"pong","seq":-1}"#] {
        assert_eq!(session.receive(text), Err(Violation::Malformed), "{text}");
    }
}

#[test]
fn the_backlog_is_bounded_by_number_and_by_size() {
    let mut session: Session<u32> = Session::new(Options { max_messages: 2, ..Options::default() });
    session.submit(&offer(), None, 1).unwrap();
    session.submit(&offer(), None, 2).unwrap();
    assert_eq!(session.submit(&offer(), None, 3), Err(SendError::Backlog));
    connect(&mut session, FIRST, false);
    said(&mut session);
    assert_eq!(session.submit(&offer(), None, 3), Err(SendError::Backlog));
    hear(&mut session, &delivered(1, "m1"));
    session.submit(&offer(), None, 3).unwrap();

    let bytes = offer().encode(Some(&MessageId::new("m1").unwrap())).len();
    let mut session: Session<u32> = Session::new(Options { max_bytes: 2 * bytes, ..Options::default() });
    session.submit(&offer(), None, 1).unwrap();
    session.submit(&offer(), None, 2).unwrap();
    assert_eq!(session.submit(&offer(), None, 3), Err(SendError::Backlog));
    assert_eq!(session.give_up(), [1, 2]);
    session.submit(&offer(), None, 3).unwrap();
}

#[test]
fn a_message_that_the_server_would_refuse_for_its_size_is_not_taken() {
    let mut session = online();
    let limit = Limits::default().frame_bytes;
    let frame = Outgoing::offer("").encode(None).len();
    session.submit_unconfirmed(&Outgoing::offer("x".repeat(limit - frame))).unwrap();
    let bytes = limit + 1;
    assert_eq!(
        session.submit_unconfirmed(&Outgoing::offer("x".repeat(bytes - frame))),
        Err(SendError::TooLarge { bytes, limit })
    );
}

#[test]
fn an_id_of_the_program_is_its_own_while_the_message_is_open() {
    let mut session = online();
    let id = MessageId::new("m1").unwrap();
    session.submit(&offer(), Some(id.clone()), 1).unwrap();
    assert_eq!(session.submit(&offer(), Some(id), 2), Err(SendError::IdInUse));
    assert_eq!(session.submit(&offer(), None, 3).unwrap().as_str(), "m2");
}

#[test]
fn without_an_id_it_is_sent_on_this_connection_or_never() {
    let mut session = session();
    assert_eq!(session.submit_unconfirmed(&offer()), Err(SendError::Away));
    connect(&mut session, FIRST, false);
    session.submit(&offer(), None, 1).unwrap();
    session.submit_unconfirmed(&offer()).unwrap();
    session.submit(&offer(), None, 2).unwrap();
    assert_eq!(said(&mut session), ["sdp_offer:m1", "sdp_offer", "sdp_offer:m2"]);
    session.submit_unconfirmed(&offer()).unwrap();
    session.hang_up();
    connect(&mut session, FIRST, true);
    assert_eq!(said(&mut session), ["sdp_offer:m1", "sdp_offer:m2"]);
    assert_eq!(session.counters().unsent, 1);
}

#[test]
fn a_ring_tells_its_stream_with_the_outcome() {
    let mut session = online();
    session.submit(&Outgoing::start(StreamType::Data), None, 1).unwrap();
    said(&mut session);
    let stream = StreamId(Uuid::from_u128(7));
    let frame = json!({"seq": 1, "type": "stream_ringing", "id": "m1", "payload": {
        "stream_id": stream, "to": ["tv"], "id": "m1"}});
    assert!(hear(&mut session, &frame.to_string()).event.is_some());
    let outcome = hear(&mut session, &delivered(2, "m1")).settled.unwrap();
    assert_eq!(outcome, Settled { waiter: 1, outcome: Outcome::Delivered, stream: Some(stream) });
}

#[test]
fn the_servers_wishes_are_passed_on() {
    let mut session = online();
    let duty = |session: &mut Session<u32>, text| hear(session, text).duty;
    let expiring = r#"{"type":"token_expiring","payload":{"expires_in":30}}"#;
    let within = Duration::from_secs(30);
    assert_eq!(duty(&mut session, expiring), Some(Duty::RenewToken { within }));
    let reconnect = r#"{"type":"reconnect","payload":{"after_ms":1500}}"#;
    let after = Duration::from_millis(1500);
    assert_eq!(duty(&mut session, reconnect), Some(Duty::Move { after }));
    session.authenticate("a.b.c");
    session.ping().unwrap();
    assert_eq!(said(&mut session), ["auth", "ping"]);
    session.authenticate("a.b.c");
    session.hang_up();
    session.authenticate("a.b.c");
    assert_eq!(session.ping(), Err(SendError::Away));
    connect(&mut session, FIRST, true);
    assert_eq!(said(&mut session), [""; 0]);
}

#[test]
fn a_simple_client_confirms_nothing_and_keeps_nothing() {
    let mut session: Session<u32> = Session::new(Options { reliable: false, ..Options::default() });
    let id = MessageId::new("mine").unwrap();
    assert_eq!(session.submit(&offer(), Some(id), 1), Err(SendError::Away));
    connect(&mut session, FIRST, false);
    for _ in 0..2 {
        assert!(hear(&mut session, &relayed(1, 1)).event.is_some());
    }
    assert!(!session.idle());
    session.submit(&offer(), None, 1).unwrap();
    session.submit(&offer(), None, 2).unwrap();
    assert_eq!(said(&mut session), ["sdp_offer:m1", "sdp_offer:m2"]);
    assert_eq!(hear(&mut session, &delivered(1, "m2")), settled(2, Outcome::Delivered));
    assert_eq!(session.hang_up(), [1]);
    assert_eq!(session.resume_point(), None);
}

/// What a network and a server may do to a session.
#[derive(Clone, Debug)]
enum Step {
    Submit,
    Unconfirmed,
    Write(usize),
    Settle(u64),
    Relay(u64),
    Lose,
    Connect(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Submit),
        1 => Just(Step::Unconfirmed),
        4 => (1usize..5).prop_map(Step::Write),
        3 => (1u64..30).prop_map(Step::Settle),
        3 => (1u64..200).prop_map(Step::Relay),
        1 => Just(Step::Lose),
        2 => any::<bool>().prop_map(Step::Connect),
    ]
}

proptest! {
    /// Whatever happens: one outcome per message, each relayed message once, each connection sees the unsettled
    /// messages in their order, and no `ack` runs ahead or backwards.
    #[test]
    fn the_promises_hold_in_any_order(steps in prop::collection::vec(step(), 0..200)) {
        let mut session = session();
        let (mut up, mut next, mut seq, mut acked) = (false, 1u32, 0u64, 0u64);
        let mut open: Vec<u32> = Vec::new();
        let mut outcomes = std::collections::HashSet::new();
        let mut told = std::collections::HashSet::new();
        let mut last_written = 0u32;
        for step in steps {
            match step {
                Step::Submit => {
                    if session.submit(&offer(), None, next).is_ok() {
                        open.push(next);
                        next += 1;
                    } else {
                        prop_assert_eq!(open.len(), 256);
                    }
                }
                Step::Unconfirmed => {
                    prop_assert_eq!(session.submit_unconfirmed(&offer()).is_ok(), up);
                }
                Step::Write(frames) => {
                    session.idle();
                    for text in (0..frames).map_while(|_| session.next_frame()) {
                        prop_assert!(up);
                        let frame: Value = serde_json::from_str(&text).unwrap();
                        if let Some(id) = frame["id"].as_str() {
                            let number: u32 = id[1..].parse().unwrap();
                            prop_assert!(number > last_written && open.contains(&number));
                            last_written = number;
                        } else if let Some(ack) = frame["payload"]["seq"].as_u64() {
                            prop_assert!(ack <= seq && ack >= acked);
                            acked = ack;
                        }
                    }
                }
                Step::Settle(number) if up => {
                    seq += 2;
                    let heard = hear(&mut session, &delivered(seq, &format!("m{number}")));
                    if let Some(settled) = heard.settled {
                        prop_assert_eq!(u64::from(settled.waiter), number);
                        prop_assert!(outcomes.insert(number));
                        open.retain(|open| u64::from(*open) != number);
                    }
                }
                Step::Relay(number) if up => {
                    seq += 1;
                    let new = hear(&mut session, &relayed(seq, number)).event.is_some();
                    prop_assert_eq!(new, told.insert(number));
                }
                Step::Lose => {
                    session.hang_up();
                    up = false;
                }
                Step::Connect(resumed) if !up => {
                    let resumed = resumed && session.resume_point().is_some();
                    let id = match session.resume_point() {
                        Some((id, at)) if resumed => {
                            prop_assert_eq!(at, seq);
                            id.0.as_u128()
                        }
                        Some((id, _)) => id.0.as_u128() + 1,
                        None => FIRST,
                    };
                    connect(&mut session, id, resumed);
                    if !resumed {
                        (seq, acked) = (0, 0);
                    }
                    (up, last_written) = (true, 0);
                }
                Step::Settle(_) | Step::Relay(_) | Step::Connect(_) => {}
            }
            prop_assert!(session.backlog() >= open.len());
        }
        prop_assert_eq!(session.give_up(), open);
    }
}
