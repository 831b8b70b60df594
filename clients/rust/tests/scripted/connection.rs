//! Coming, going and coming back: against a server that says what the test tells it to.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{FIRST, Said, Server, delivered, offline, relayed, soon};
use serde_json::json;
use streamz_client::{
    Client, ConnectError, Dialect, Ended, Event, Lost, Need, Outcome, Outgoing, SendError, State, TokenError,
    TokenSource, Violation,
};
use tokio_tungstenite::tungstenite::Message;

/// A source that counts its tokens, and what it was asked for.
fn counting() -> (TokenSource, Arc<Mutex<Vec<Need>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let source = TokenSource::from_fn(move |need| {
        let mut log = log.lock().unwrap();
        log.push(need);
        let token = format!("token-{}", log.len()).into();
        async move { Ok(token) }
    });
    (source, asked)
}

/// Waits for the end and says why.
async fn ended(client: &Client) -> Ended {
    let mut state = client.state();
    match &*soon(state.wait_for(|state| matches!(state, State::Closed(_)))).await.unwrap() {
        State::Closed(ended) => ended.clone(),
        other => panic!("not closed but {other:?}"),
    }
}

#[tokio::test]
async fn nobody_there_is_an_error_at_once() {
    let server = Server::start().await;
    let builder = server.client();
    drop(server);
    let error = soon(builder.connect()).await.unwrap_err();
    let lost = Lost::Io(ErrorKind::ConnectionRefused);
    assert_eq!(error, ConnectError::Ended(Ended::FirstAttempt(lost)));
}

#[tokio::test]
async fn a_started_client_tries_on() {
    let server = Server::start().await;
    let (client, mut events) = server.client().start().unwrap();
    let open = client.try_send(Outgoing::offer("v=0")).unwrap();
    server.refuse(502, None).await;
    server.refuse(503, None).await;
    let mut peer = server.welcome(FIRST, false).await;
    assert!(matches!(soon(events.recv()).await, Some(Event::Welcome(_))));
    assert_eq!(peer.message().await.1, "m1");
    peer.say(delivered(1, "m1")).await;
    assert_eq!(soon(open).await, Ok(Outcome::Delivered));
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let server = Server::start().await;
    let (_client, _events) = server.client().start().unwrap();
    server.refuse(503, Some("1")).await;
    let refused = Instant::now();
    server.accept().await;
    assert!(refused.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_wrong_path_is_final() {
    let server = Server::start().await;
    let (connected, ()) = tokio::join!(server.client().connect(), server.refuse(404, None));
    assert_eq!(connected.unwrap_err(), ConnectError::Ended(Ended::Refused { status: 404 }));
}

#[tokio::test]
async fn a_final_close_ends_the_client_and_all_that_waits() {
    for code in [4501, 4502, 4503, 4504, 4505] {
        let server = Server::start().await;
        let (connected, mut peer) = tokio::join!(server.client().connect(), server.welcome(FIRST, false));
        let (client, mut events) = connected.unwrap();
        let open = client.try_send(Outgoing::offer("v=0")).unwrap();
        assert_eq!(peer.message().await.1, "m1");
        peer.close(code).await;
        let end = Ended::Closed { code };
        assert_eq!(soon(open).await, Err(SendError::Closed(end.clone())));
        assert_eq!(ended(&client).await, end);
        assert_eq!(client.try_send(Outgoing::offer("v=0")).unwrap_err(), SendError::Closed(end));
        assert!(matches!(soon(events.recv()).await, Some(Event::Welcome(_))));
        assert_eq!(soon(events.recv()).await, Some(Event::Offline(Lost::Closed { code })));
        assert_eq!(soon(events.recv()).await, None);
        soon(client.close()).await;
    }
}

#[tokio::test]
async fn other_closes_are_come_back_from() {
    let server = Server::start().await;
    let (connected, mut peer) = tokio::join!(server.client().connect(), server.welcome(FIRST, false));
    let (_client, mut events) = connected.unwrap();
    for code in [1000, 1001, 1011, 4000, 4002, 4003, 4004, 4005] {
        assert!(matches!(soon(events.recv()).await, Some(Event::Welcome(_))));
        peer.close(code).await;
        assert_eq!(soon(events.recv()).await, Some(Event::Offline(Lost::Closed { code })));
        peer = server.welcome(FIRST, true).await;
        assert!(peer.target.ends_with("&last_seq=0"), "{}", peer.target);
    }
}

#[tokio::test]
async fn a_lapsed_token_is_replaced_before_coming_back() {
    let server = Server::start().await;
    let (source, asked) = counting();
    let (connected, peer) = tokio::join!(server.client_with(source).connect(), server.welcome(FIRST, false));
    let _client = connected.unwrap();
    assert_eq!(peer.authorization.as_deref(), Some("Bearer token-1"));
    peer.close(4001).await;
    let peer = server.welcome(FIRST, true).await;
    assert_eq!(peer.authorization.as_deref(), Some("Bearer token-2"));
    assert_eq!(*asked.lock().unwrap(), [Need::Valid, Need::New]);
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let server = Server::start().await;
    let (source, asked) = counting();
    let script = async {
        server.accept().await.close(4500).await;
        server.accept().await.close(4500).await;
    };
    let (connected, ()) = tokio::join!(server.client_with(source).connect(), script);
    assert_eq!(connected.unwrap_err(), ConnectError::Ended(Ended::Closed { code: 4500 }));
    assert_eq!(*asked.lock().unwrap(), [Need::Valid, Need::New]);

    // The only token there is cannot be replaced.
    let script = async { server.accept().await.close(4500).await };
    let (connected, ()) = tokio::join!(server.client().connect(), script);
    assert_eq!(connected.unwrap_err(), ConnectError::Ended(Ended::Closed { code: 4500 }));
}

#[tokio::test]
async fn a_source_without_a_token_ends_the_client_or_not() {
    let server = Server::start().await;
    let refused = TokenError::Refused("the account is gone".into());
    let error = refused.clone();
    let source = TokenSource::from_fn(move |_| std::future::ready(Err(error.clone())));
    let connected = soon(server.client_with(source).connect()).await;
    assert_eq!(connected.unwrap_err(), ConnectError::Ended(Ended::Token(refused)));

    let tries = Arc::new(Mutex::new(0));
    let source = TokenSource::from_fn(move |_| {
        let mut tries = tries.lock().unwrap();
        *tries += 1;
        let late = *tries > 3;
        std::future::ready(if late {
            Ok("late".into())
        } else {
            Err(TokenError::Unavailable("not yet".into()))
        })
    });
    let (_client, _events) = server.client_with(source).start().unwrap();
    assert_eq!(server.accept().await.authorization.as_deref(), Some("Bearer late"));
}

#[tokio::test]
async fn a_token_that_will_lapse_is_replaced_on_the_connection() {
    let server = Server::start().await;
    let (source, _) = counting();
    let (connected, mut peer) =
        tokio::join!(server.client_with(source).connect(), server.welcome(FIRST, false));
    let _client = connected.unwrap();
    peer.say(json!({"type": "token_expiring", "payload": {"expires_in": 60}})).await;
    assert_eq!(peer.frame().await, json!({"type": "auth", "payload": {"token": "token-2"}}));
}

#[tokio::test]
async fn a_draining_server_is_left_without_a_goodbye() {
    let server = Server::start().await;
    let (connected, mut peer) = tokio::join!(server.client().connect(), server.welcome(FIRST, false));
    let (client, mut events) = connected.unwrap();
    let asked = Instant::now();
    peer.say(json!({"type": "reconnect", "payload": {"after_ms": 60}})).await;
    // Until then it is as good a connection as any.
    let open = client.try_send(Outgoing::offer("v=0")).unwrap();
    assert_eq!(peer.message().await.1, "m1");
    assert_eq!(peer.hear().await, Said::Gone);
    assert!(asked.elapsed() >= Duration::from_millis(60));
    let mut peer = server.welcome(FIRST, true).await;
    assert_eq!(peer.message().await.1, "m1");
    peer.say(delivered(1, "m1")).await;
    assert_eq!(soon(open).await, Ok(Outcome::Delivered));
    let lost = events.find(|event| match event {
        Event::Offline(lost) => Some(lost),
        _ => None,
    });
    assert_eq!(soon(lost).await, Some(Lost::Moved));
}

#[tokio::test]
async fn a_draining_server_that_closes_early_is_waited_for() {
    let server = Server::start().await;
    let (connected, mut peer) = tokio::join!(server.client().connect(), server.welcome(FIRST, false));
    let _client = connected.unwrap();
    let asked = Instant::now();
    peer.say(json!({"type": "reconnect", "payload": {"after_ms": 300}})).await;
    peer.close(4000).await;
    server.accept().await;
    assert!(asked.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_silent_server_is_left_and_a_pinging_one_is_not() {
    let server = Server::start().await;
    let (connected, mut peer) = tokio::join!(server.client().connect(), async {
        let mut peer = server.accept().await;
        peer.welcome(FIRST, false, 100).await;
        peer
    });
    let (_client, mut events) = connected.unwrap();
    let began = Instant::now();
    let mut pinging = tokio::time::interval(Duration::from_millis(20));
    while began.elapsed() < Duration::from_millis(500) {
        pinging.tick().await;
        peer.write(Message::Ping(Vec::new().into())).await;
        assert_eq!(peer.hear().await, Said::Pong);
    }
    assert!(matches!(events.try_recv(), Some(Event::Welcome(_))));
    assert_eq!(events.try_recv(), None);
    assert_eq!(soon(events.recv()).await, Some(Event::Offline(Lost::Silent)));
    server.accept().await;
}

#[tokio::test]
async fn a_server_that_does_not_welcome_is_left() {
    let server = Server::start().await;
    let builder = server.client().connect_timeout(Duration::from_millis(50));
    let (connected, peer) = tokio::join!(builder.connect(), server.accept());
    assert_eq!(connected.unwrap_err(), ConnectError::Ended(Ended::FirstAttempt(Lost::TimedOut)));
    drop(peer);

    let (connected, ()) = tokio::join!(server.client().connect(), async {
        server.accept().await.say(offline(1, "tv")).await;
    });
    let lost = Lost::Violation(Violation::NoWelcome);
    assert_eq!(connected.unwrap_err(), ConnectError::Ended(Ended::FirstAttempt(lost)));
}

#[tokio::test]
async fn nonsense_ends_the_connection_and_not_the_client() {
    let server = Server::start().await;
    let (connected, mut peer) = tokio::join!(server.client().connect(), server.welcome(FIRST, false));
    let (_client, mut events) = connected.unwrap();
    for nonsense in ["", "[]", "{\"type\":", "{\"payload\":{}}"] {
        assert!(matches!(soon(events.recv()).await, Some(Event::Welcome(_))));
        peer.write(Message::text(nonsense)).await;
        let lost = Lost::Violation(Violation::Malformed);
        assert_eq!(soon(events.recv()).await, Some(Event::Offline(lost)));
        peer = server.welcome(FIRST, true).await;
    }
    assert!(matches!(soon(events.recv()).await, Some(Event::Welcome(_))));
    peer.write(Message::binary(vec![0; 10])).await;
    peer.say(offline(1, "tv")).await;
    peer.acked(1).await;
    assert!(matches!(soon(events.recv()).await, Some(Event::Message(_))));
    peer.write(Message::text("x".repeat(1024 * 1024 + 1))).await;
    assert!(matches!(soon(events.recv()).await, Some(Event::Offline(Lost::WebSocket(_)))));
}

#[tokio::test]
async fn close_sends_what_is_left_and_says_goodbye() {
    let server = Server::start().await;
    let (connected, mut peer) = tokio::join!(server.client().connect(), server.welcome(FIRST, false));
    let (client, mut events) = connected.unwrap();
    let open = client.try_send(Outgoing::offer("v=0")).unwrap();
    let other = client.clone();
    let script = async {
        assert_eq!(peer.message().await.1, "m1");
        assert_eq!(peer.hear().await, Said::Close(1000));
        assert_eq!(peer.hear().await, Said::Gone);
    };
    soon(async { tokio::join!(client.close(), other.close(), script) }).await;
    assert_eq!(soon(open).await, Err(SendError::Closed(Ended::ByClient)));
    assert_eq!(*client.state().borrow(), State::Closed(Ended::ByClient));
    assert_eq!(client.ping(), Err(SendError::Closed(Ended::ByClient)));
    assert!(matches!(soon(events.recv()).await, Some(Event::Welcome(_))));
    assert_eq!(soon(events.recv()).await, None);
}

#[tokio::test]
async fn close_does_not_wait_for_whoever_does_not_read() {
    let server = Server::start().await;
    let builder = server.client().event_capacity(1);
    let (connected, mut peer) = tokio::join!(builder.connect(), server.welcome(FIRST, false));
    let (client, _events) = connected.unwrap();
    peer.say_all((1..=20).map(|n| relayed(n, n, "v=0"))).await;
    let script = async {
        assert_eq!(peer.hear().await, Said::Close(1000));
        assert_eq!(peer.hear().await, Said::Gone);
    };
    tokio::join!(script, soon(client.close()));
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_task() {
    let server = Server::start().await;
    let (connected, mut peer) = tokio::join!(server.client().connect(), server.welcome(FIRST, false));
    let (client, mut events) = connected.unwrap();
    let open = client.try_send(Outgoing::offer("v=0")).unwrap();
    let other = client.clone();
    drop(client);
    assert_eq!(peer.message().await.1, "m1");
    drop(other);
    assert_eq!(peer.hear().await, Said::Gone);
    assert!(matches!(soon(events.recv()).await, Some(Event::Welcome(_))));
    assert_eq!(soon(events.recv()).await, None);
    assert_eq!(soon(open).await, Err(SendError::Closed(Ended::ByClient)));
}

#[tokio::test]
async fn the_form_of_a_browser_carries_the_token_as_a_subprotocol() {
    let server = Server::start().await;
    let builder = server.client().dialect(Dialect::Browser);
    let (connected, peer) = tokio::join!(builder.connect(), server.welcome(FIRST, false));
    connected.unwrap();
    assert_eq!(peer.protocol.as_deref(), Some("streamz.v1, bearer.the-token"));
    assert_eq!(peer.authorization, None);
}

#[tokio::test]
async fn a_simple_client_ends_its_messages_with_its_socket() {
    let server = Server::start().await;
    let builder = server.client().dialect(Dialect::Simple);
    let (connected, mut peer) = tokio::join!(builder.connect(), server.welcome(FIRST, false));
    let (client, mut events) = connected.unwrap();
    assert_eq!(peer.protocol, None);
    let open = client.try_send(Outgoing::offer("v=0")).unwrap();
    assert_eq!(peer.message().await.1, "m1");
    peer.say(offline(1, "tv")).await;
    assert!(matches!(soon(events.recv()).await, Some(Event::Welcome(_))));
    assert!(matches!(soon(events.recv()).await, Some(Event::Message(_))));
    client.ping().unwrap();
    assert_eq!(peer.frame().await, json!({"type": "ping"}), "and no ack before it");
    drop(peer);
    assert_eq!(soon(open).await, Err(SendError::ConnectionLost));
    let peer = server.welcome(FIRST, false).await;
    assert_eq!(peer.target, "/ws?device_id=phone");
}
