//! Outcomes, acknowledgements, resumption: against a server that says what the test tells it to.

use crate::support::{FIRST, Peer, SECOND, Said, Server, delivered, offline, relayed, soon};
use serde_json::json;
use streamz_client::protocol::server::ServerMessage;
use streamz_client::protocol::{ErrorCode, Reason, SessionId};
use streamz_client::{Client, DeviceId, Event, Events, Lost, Outcome, Outgoing, SendError, State};

async fn connected(server: &Server) -> (Client, Events, Peer) {
    let (connected, peer) = tokio::join!(server.client().connect(), server.welcome(FIRST, false));
    let (client, mut events) = connected.unwrap();
    assert!(matches!(soon(events.recv()).await, Some(Event::Welcome(_))));
    (client, events, peer)
}

fn offer() -> Outgoing {
    Outgoing::offer("v=0").to(DeviceId::new("tv").unwrap())
}

/// The next event's `seq`, if it is a message.
async fn seq(events: &mut Events) -> Option<u64> {
    match soon(events.recv()).await {
        Some(Event::Message(frame)) => frame.seq,
        other => panic!("no message but {other:?}"),
    }
}

#[tokio::test]
async fn it_says_who_it_is_and_is_welcomed() {
    let server = Server::start().await;
    let builder = server.client().named("My phone", "phone").max_streams(2);
    let (connected, peer) = tokio::join!(builder.connect(), server.welcome(FIRST, false));
    let (client, _events) = connected.unwrap();
    assert_eq!(peer.target, "/ws?device_id=phone&device_name=My%20phone&device_type=phone&max_streams=2");
    assert_eq!(peer.authorization.as_deref(), Some("Bearer the-token"));
    assert_eq!(peer.protocol.as_deref(), Some("streamz.v1"));
    assert_eq!(*client.state().borrow(), State::Online { session: SessionId(FIRST), resumed: false });
}

#[tokio::test]
async fn a_message_has_its_outcome() {
    let server = Server::start().await;
    let (client, _events, mut peer) = connected(&server).await;
    let script = async {
        assert_eq!(
            peer.frame().await,
            json!({"type": "sdp_offer", "payload": {"to_device_id": "tv", "sdp": "v=0"}, "id": "m1"})
        );
        peer.say(delivered(1, "m1")).await;
        assert_eq!(peer.message().await.1, "m2");
        let payload = json!({"id": "m2", "reason": "busy"});
        peer.say(json!({"seq": 2, "type": "not_delivered", "payload": payload})).await;
        assert_eq!(peer.message().await.1, "m3");
        let payload = json!({"id": "m3", "code": "wrong_state", "message": "no"});
        peer.say(json!({"type": "error", "payload": payload})).await;
    };
    let program = async {
        assert_eq!(client.send(offer()).await, Ok(Outcome::Delivered));
        let busy = Outcome::NotDelivered { reason: Reason::Busy, failed: Vec::new() };
        assert_eq!(client.send(offer()).await, Ok(busy));
        let error = Outcome::Error { code: ErrorCode::WrongState, message: "no".into() };
        assert_eq!(client.send(offer()).await, Ok(error));
    };
    soon(async { tokio::join!(script, program) }).await;
    assert_eq!(client.backlog(), 0);
}

#[tokio::test]
async fn a_ring_has_its_stream() {
    let server = Server::start().await;
    let (client, _events, mut peer) = connected(&server).await;
    let stream = streamz_client::protocol::StreamId(SECOND);
    let script = async {
        assert_eq!(peer.message().await, ("stream_start".into(), "m1".into()));
        let payload = json!({"stream_id": stream, "to": ["tv"], "id": "m1"});
        peer.say_all([json!({"seq": 1, "type": "stream_ringing", "payload": payload}), delivered(2, "m1")])
            .await;
    };
    let start = Outgoing::start(streamz_client::protocol::objects::StreamType::Data);
    let (started, ()) = soon(async { tokio::join!(client.start_stream(start), script) }).await;
    assert_eq!(started, Ok(stream));
}

#[tokio::test]
async fn frames_are_told_once_and_confirmed_always() {
    let server = Server::start().await;
    let (client, mut events, mut peer) = connected(&server).await;
    // Skipped numbers, a repeated number, a repeated mid.
    peer.say_all([
        relayed(2, 1, "a"),
        relayed(5, 2, "b"),
        relayed(5, 2, "b"),
        relayed(6, 1, "a"),
        offline(7, "tv"),
    ])
    .await;
    peer.acked(7).await;
    for expected in [2, 5, 7] {
        assert_eq!(seq(&mut events).await, Some(expected));
    }
    let counters = client.counters();
    assert_eq!((counters.repeated_seq, counters.repeated_mid), (1, 1));
}

#[tokio::test]
async fn a_lost_connection_is_resumed_and_what_is_open_sent_again() {
    let server = Server::start().await;
    let (client, mut events, mut peer) = connected(&server).await;
    peer.say(offline(4, "tv")).await;
    peer.acked(4).await;
    assert_eq!(seq(&mut events).await, Some(4));
    let [first, second, third] = [(); 3].map(|()| client.try_send(offer()).unwrap());
    for id in ["m1", "m2", "m3"] {
        assert_eq!(peer.message().await.1, id);
    }
    peer.say(delivered(5, "m2")).await;
    assert_eq!(soon(second).await, Ok(Outcome::Delivered));

    drop(peer);
    assert!(matches!(soon(events.recv()).await, Some(Event::Offline(Lost::Io(_)))));
    let mut peer = server.accept().await;
    assert!(peer.target.contains("&session_id=00000000%2D"), "{}", peer.target);
    assert!(peer.target.ends_with("&last_seq=5"), "{}", peer.target);
    let fourth = client.try_send(offer()).unwrap();
    peer.welcome(FIRST, true, 25_000).await;
    for id in ["m1", "m3", "m4"] {
        assert_eq!(peer.message().await.1, id);
    }
    assert!(matches!(soon(events.recv()).await, Some(Event::Welcome(welcome)) if welcome.resumed));
    // An outcome twice, and one that had been there.
    peer.say_all([
        delivered(6, "m4"),
        delivered(7, "m4"),
        delivered(8, "m2"),
        delivered(9, "m1"),
        delivered(10, "m3"),
    ])
    .await;
    for pending in [first, third, fourth] {
        assert_eq!(soon(pending).await, Ok(Outcome::Delivered));
    }
    assert_eq!(client.counters().stray_outcomes, 2);
    peer.say(offline(11, "tv")).await;
    peer.acked(11).await;
}

#[tokio::test]
async fn a_session_that_cannot_be_resumed_begins_anew() {
    let server = Server::start().await;
    let (client, mut events, mut peer) = connected(&server).await;
    peer.say(relayed(9, 1, "a")).await;
    peer.acked(9).await;
    let open = client.try_send(offer()).unwrap();
    assert_eq!(peer.message().await.1, "m1");
    drop(peer);
    let mut peer = server.welcome(SECOND, false).await;
    assert_eq!(peer.message().await.1, "m1");
    // Numbers begin again; what was seen stays seen.
    peer.say_all([relayed(1, 1, "a"), delivered(2, "m1")]).await;
    assert_eq!(soon(open).await, Ok(Outcome::Delivered));
    peer.acked(2).await;
    assert_eq!(seq(&mut events).await, Some(9));
    assert!(matches!(soon(events.recv()).await, Some(Event::Offline(_))));
    assert!(matches!(soon(events.recv()).await, Some(Event::Welcome(welcome)) if !welcome.resumed));
    assert_eq!(client.counters().repeated_mid, 1);
    drop(peer);
    let peer = server.accept().await;
    assert!(peer.target.ends_with("2&last_seq=2"), "{}", peer.target);
}

#[tokio::test]
async fn too_much_without_outcome_is_refused_at_once() {
    let server = Server::start().await;
    let builder = server.client().max_unsettled(2, 1024);
    let (connected, mut peer) = tokio::join!(builder.connect(), server.welcome(FIRST, false));
    let (client, _events) = connected.unwrap();
    let first = client.try_send(offer()).unwrap();
    let _second = client.try_send(offer()).unwrap();
    assert_eq!(client.try_send(offer()).unwrap_err(), SendError::Backlog);
    assert_eq!(peer.message().await.1, "m1");
    peer.say(delivered(1, "m1")).await;
    assert_eq!(soon(first).await, Ok(Outcome::Delivered));
    assert!(client.try_send(offer()).is_ok());
    assert!(matches!(client.try_send(Outgoing::offer("x".repeat(1024))), Err(SendError::Backlog)));
    assert!(matches!(client.try_send(Outgoing::offer("x".repeat(65_536))), Err(SendError::TooLarge { .. })));
}

#[tokio::test]
async fn without_an_id_there_is_no_outcome_and_no_second_time() {
    let server = Server::start().await;
    let (client, _events, mut peer) = connected(&server).await;
    client.send_unconfirmed(offer()).unwrap();
    assert_eq!(peer.message().await, ("sdp_offer".into(), String::new()));
    client.stay_away();
    assert_eq!(peer.hear().await, Said::Gone);
    let mut state = client.state();
    soon(state.wait_for(|state| *state == State::Away(Lost::Dropped))).await.unwrap();
    assert_eq!(client.send_unconfirmed(offer()), Err(SendError::Away));
    let open = client.try_send(offer()).unwrap();
    client.come_back();
    let mut peer = server.welcome(FIRST, true).await;
    assert_eq!(peer.message().await.1, "m1");
    peer.say(delivered(1, "m1")).await;
    assert_eq!(soon(open).await, Ok(Outcome::Delivered));
}

#[tokio::test]
async fn a_program_that_does_not_read_is_not_read_for() {
    const FRAMES: u64 = 100;
    let server = Server::start().await;
    let builder = server.client().event_capacity(2);
    let (connected, mut peer) = tokio::join!(builder.connect(), server.welcome(FIRST, false));
    let (_client, mut events) = connected.unwrap();
    peer.say_all((1..=FRAMES).map(|n| relayed(n, n, "v=0"))).await;
    // The welcome and one frame wait to be read, the next one for its place: only the first may be confirmed.
    peer.acked(1).await;
    assert!(matches!(soon(events.recv()).await, Some(Event::Welcome(_))));
    peer.acked(2).await;
    for expected in 1..=FRAMES {
        assert_eq!(seq(&mut events).await, Some(expected));
    }
    peer.acked(FRAMES).await;
}

#[tokio::test]
async fn whoever_drops_the_events_wants_none() {
    let server = Server::start().await;
    let builder = server.client().event_capacity(1);
    let (connected, mut peer) = tokio::join!(builder.connect(), server.welcome(FIRST, false));
    let (client, events) = connected.unwrap();
    drop(events);
    peer.say_all((1..=50).map(|n| offline(n, "tv"))).await;
    peer.acked(50).await;
    drop(peer);
    let _peer = server.welcome(FIRST, true).await;
    soon(client.online()).await.unwrap();
}

#[tokio::test]
async fn what_arrives_while_reading_is_paused_is_confirmed_after_it() {
    let server = Server::start().await;
    let (client, mut events, mut peer) = connected(&server).await;
    client.pause_reading();
    peer.say(offline(1, "tv")).await;
    client.send_unconfirmed(offer()).unwrap();
    assert_eq!(peer.message().await.0, "sdp_offer");
    assert_eq!(events.try_recv(), None);
    client.resume_reading();
    peer.acked(1).await;
    assert_eq!(seq(&mut events).await, Some(1));
}

#[tokio::test]
async fn a_type_from_the_future_is_told_as_it_came() {
    let server = Server::start().await;
    let (_client, mut events, mut peer) = connected(&server).await;
    peer.say(json!({"seq": 1, "type": "hologram", "payload": {"depth": 3}})).await;
    peer.acked(1).await;
    let unknown = events.find(|event| match event {
        Event::Unknown(unknown) => Some(unknown.kind),
        _ => None,
    });
    assert_eq!(soon(unknown).await.as_deref(), Some("hologram"));
}

#[tokio::test]
async fn ten_in_a_row_come_out_in_order_through_a_drop_each() {
    let server = Server::start().await;
    let (client, mut events, mut peer) = connected(&server).await;
    for seq in 1..=10 {
        peer.say(relayed(seq, seq, &seq.to_string())).await;
        client.drop_connection();
        drop(peer);
        peer = server.accept().await;
        let missed = if peer.target.ends_with(&format!("&last_seq={seq}")) { None } else { Some(seq) };
        peer.welcome(FIRST, true, 25_000).await;
        if let Some(missed) = missed {
            peer.say(relayed(missed, missed, &missed.to_string())).await;
            peer.acked(missed).await;
        }
    }
    let mut told = Vec::new();
    while told.len() < 10 {
        if let Some(Event::Message(frame)) = soon(events.recv()).await
            && let ServerMessage::SdpOffer(payload) = frame.message
        {
            told.push(payload.sdp);
        }
    }
    let expected: Vec<String> = (1..=10).map(|n| n.to_string()).collect();
    assert_eq!(told, expected);
}
