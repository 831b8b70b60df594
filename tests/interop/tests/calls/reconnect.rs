//! Signaling breaks in the middle of a call.

use streamz_client::protocol::objects::{ConnectionType, StreamState};
use streamz_client::{Event, Outcome, Outgoing, State};
use streamz_interop::Step;
use streamz_tests::{Topology, scenarios, soon};

use crate::call::closed;
use crate::restart::moved;
use crate::side::{account, connected, exchange};

scenarios![media_outlive_the_socket_and_signaling_resumes];

async fn media_outlive_the_socket_and_signaling_resumes(topology: Topology) {
    let (_server, user) = account(topology).await;
    let (stream, mut caller, mut callee) = connected(&user).await;

    caller.party.client.stay_away();
    let mut state = caller.party.client.state();
    soon(state.wait_for(|state| matches!(state, State::Away(_)))).await.unwrap();
    exchange(&mut caller, &mut callee).await;

    // The other side takes a new path meanwhile; its offer and candidates wait for the one that is away.
    let before = caller.party.peer.figures().await.unwrap().unwrap();
    let heard = caller.party.heard.len();
    callee.party.restart().await.unwrap();
    let stats = before.stats();
    let sent = soon(callee.party.client.send(Outgoing::stats(stream, stats.clone()))).await;
    assert_eq!(sent, Ok(Outcome::Delivered));
    assert_eq!(caller.party.heard.len(), heard);

    caller.party.client.come_back();
    let welcome = soon(async {
        loop {
            if let Step::Other(event) = caller.party.step().await.unwrap()
                && let Event::Welcome(welcome) = *event
            {
                return welcome;
            }
        }
    })
    .await;
    assert!(welcome.resumed);
    assert_eq!(welcome.streams.len(), 1);
    assert_eq!((welcome.streams[0].id, welcome.streams[0].state), (stream, StreamState::Active));
    moved(&mut caller, &mut callee, 2, &before).await;
    exchange(&mut caller, &mut callee).await;
    assert_eq!(soon(callee.party.delivered()).await.unwrap(), callee.party.sent.len());
    assert_eq!(soon(caller.party.delivered()).await.unwrap(), caller.party.sent.len());

    let sent = soon(caller.party.client.send(Outgoing::end(stream, None))).await;
    assert_eq!(sent, Ok(Outcome::Delivered));
    let record = closed(&user, stream).await;
    assert_eq!(record.end_reason.as_deref(), Some("ended"));
    assert_eq!(record.connection_type, Some(ConnectionType::P2p));
    assert_eq!(record.latency_ms, stats.latency_ms);
}
