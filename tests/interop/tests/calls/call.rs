//! A call as it is meant to be, from the ring to the record.

use streamz_client::api::StreamRecord;
use streamz_client::protocol::StreamId;
use streamz_client::protocol::objects::ConnectionType;
use streamz_client::protocol::server::ServerMessage;
use streamz_client::{Outcome, Outgoing};
use streamz_interop::Signal;
use streamz_tests::{Topology, User, eventually, scenarios, soon};

use crate::side::{account, connected, exchange};

scenarios![from_the_ring_to_the_record];

/// The record, once it is closed.
pub(crate) async fn closed(user: &User, stream: StreamId) -> StreamRecord {
    let token = &user.signed_in.access_token;
    eventually(|| async {
        let record = user.api.stream(token, stream).await.unwrap();
        record.ended_at.is_some().then_some(record)
    })
    .await
}

async fn from_the_ring_to_the_record(topology: Topology) {
    let (_server, user) = account(topology).await;
    let (stream, mut caller, mut callee) = connected(&user).await;
    exchange(&mut caller, &mut callee).await;

    for (from, to) in [(&caller.party, &callee.party), (&callee.party, &caller.party)] {
        assert_eq!(from.sent, to.heard, "each signal arrives as it was sent, in order");
        assert!(from.sent.iter().any(Signal::is_address), "addresses are trickled");
        let described = format!("{:?}", from.sent[0]);
        assert!(!described.contains("a=candidate"), "{described}");
    }
    assert_eq!(soon(caller.party.delivered()).await.unwrap(), caller.party.sent.len());
    assert_eq!(soon(callee.party.delivered()).await.unwrap(), callee.party.sent.len());

    let figures = callee.party.peer.figures().await.unwrap().unwrap();
    let stats = figures.stats();
    assert_eq!((figures.path, figures.lost), (ConnectionType::P2p, 0));
    let sent = callee.party.client.send(Outgoing::stats(stream, stats.clone()));
    assert_eq!(soon(sent).await, Ok(Outcome::Delivered));
    let sent = caller.party.client.send(Outgoing::end(stream, Some("film is over")));
    assert_eq!(soon(sent).await, Ok(Outcome::Delivered));
    let end = |message: &ServerMessage| match message {
        ServerMessage::StreamEnd { stream_id, reason, .. } => Some((*stream_id, reason.clone())),
        _ => None,
    };
    assert_eq!(soon(callee.party.hears(end)).await.unwrap(), (stream, "film is over".to_owned()));

    let record = closed(&user, stream).await;
    assert_eq!(record.end_reason.as_deref(), Some("film is over"));
    assert_eq!(record.connection_type, Some(ConnectionType::P2p));
    assert_eq!((record.quality, record.latency_ms), (stats.quality, stats.latency_ms));
    assert!(record.latency_ms.is_some_and(|millis| millis > 0));
    assert!(record.ended_at.unwrap() > record.started_at);
    assert_eq!(record.source_device.unwrap().device_id.as_str(), "phone");
    assert_eq!(record.target_device.unwrap().device_id.as_str(), "tv");
}
