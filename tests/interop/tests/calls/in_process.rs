//! Two peers in one process, without Streamz: the stack that the other tests stand on.

use std::time::Duration;

use streamz_client::protocol::objects::ConnectionType;
use streamz_interop::{Channel, Codec, Listener, Peer, PeerEvent, PeerEvents, PeerState, pattern};
use streamz_tests::{eventually, soon};

/// A peer, and what came of it so far.
struct End {
    peer: Peer,
    events: PeerEvents,
    connected: bool,
    /// Whether it said all its candidates.
    ended: bool,
    channel: Option<Channel>,
    listener: Option<Listener>,
}

impl End {
    async fn new() -> Self {
        let (peer, events) = Peer::new().await.unwrap();
        Self { peer, events, connected: false, ended: false, channel: None, listener: None }
    }
}

/// Carries candidates by hand until `done`.
async fn carry(a: &mut End, b: &mut End, done: impl Fn(&End, &End) -> bool) {
    while !done(a, b) {
        let (event, at, other) = tokio::select! {
            event = a.events.recv() => (event, &mut *a, &mut *b),
            event = b.events.recv() => (event, &mut *b, &mut *a),
        };
        match event.unwrap() {
            PeerEvent::Candidate(candidate) => {
                at.ended = candidate.candidate.is_empty();
                other.peer.add_candidate(candidate).await.unwrap();
            }
            PeerEvent::State(state) => at.connected = state == PeerState::Connected,
            PeerEvent::Channel(channel) => at.channel = Some(channel),
            PeerEvent::Track(listener) => at.listener = Some(listener),
        }
    }
}

#[tokio::test]
async fn two_peers_exchange_bytes_and_packets_and_restart() {
    let (mut a, mut b) = (End::new().await, End::new().await);
    let here = a.peer.open_channel("files").await.unwrap();
    let mut picture = a.peer.speak(Codec::Vp8, 0xa).await.unwrap();
    let offer = a.peer.offer().await.unwrap();
    let answer = b.peer.answer(&offer).await.unwrap();
    a.peer.accept(&answer).await.unwrap();
    assert!(!offer.contains("a=candidate") && !answer.contains("a=candidate"), "candidates are trickled");
    soon(carry(&mut a, &mut b, |a, b| a.connected && b.connected && b.channel.is_some())).await;

    let there = b.channel.take().unwrap();
    soon(here.opened()).await.unwrap();
    soon(there.opened()).await.unwrap();
    assert_eq!(there.label().await.unwrap(), "files");
    let bytes = pattern(1, 50_000);
    let (sent, received) = tokio::join!(there.send(&bytes), soon(here.receive_bytes(bytes.len())));
    sent.unwrap();
    assert!(received.unwrap() == bytes);

    let (sent, received) = tokio::join!(picture.send(40, Duration::from_millis(2)), async {
        soon(carry(&mut a, &mut b, |_, b| b.listener.is_some())).await;
        soon(b.listener.as_ref().unwrap().receive(40)).await
    });
    sent.unwrap();
    assert_eq!(received.unwrap().lost, 0);

    let before = b.peer.figures().await.unwrap().unwrap();
    let offer = a.peer.restart().await.unwrap();
    let answer = b.peer.answer(&offer).await.unwrap();
    a.peer.accept(&answer).await.unwrap();
    (a.ended, b.ended) = (false, false);
    soon(carry(&mut a, &mut b, |a, b| a.ended && b.ended)).await;
    // Nobody announces when the new path is taken.
    let after = eventually(|| async {
        let now = b.peer.figures().await.unwrap()?;
        (now.local != before.local && now.remote != before.remote).then_some(now)
    });
    assert_eq!(after.await.path, ConnectionType::P2p);
    let (sent, received) = tokio::join!(here.send(&bytes), soon(there.receive_bytes(bytes.len())));
    sent.unwrap();
    assert!(received.unwrap() == bytes);
    a.peer.close().await.unwrap();
    b.peer.close().await.unwrap();
}
