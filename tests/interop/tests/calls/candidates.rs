//! Candidates that overtake their offer.

use streamz_client::Candidate;
use streamz_client::protocol::server::ServerMessage;
use streamz_interop::Signal;
use streamz_tests::{Topology, scenarios, soon};

use crate::side::{Side, account, connect, exchange, id, ring};

scenarios![sent_ahead_of_their_offer_they_arrive_after_it];

async fn sent_ahead_of_their_offer_they_arrive_after_it(topology: Topology) {
    let (_server, user) = account(topology).await;
    let (mut phone, mut tv) = (user.device("phone").await, user.device("tv").await);
    let stream = ring(&mut phone, &mut tv).await;
    let mut caller = Side::calling(phone, "tv", Some(stream)).await;
    let offer = caller.party.peer.offer().await.unwrap();
    let all = |party: &streamz_interop::Party| party.sent.iter().any(Signal::is_end_of_candidates);
    soon(caller.party.until(all)).await.unwrap();
    assert!(caller.party.sent.iter().any(Signal::is_address));

    // What belongs to no stream is not held: once this one is there, the others would have been.
    let barrier = Candidate { to_device_id: Some(id("tv")), ..Candidate::line("barrier", 0) };
    caller.party.client.send_unconfirmed(barrier).unwrap();
    let first = tv.hears(|message| match message {
        ServerMessage::IceCandidate { stream_id, candidate, .. } => Some((*stream_id, candidate.clone())),
        _ => None,
    });
    assert_eq!(first.await, (None, "barrier".to_owned()));

    let mut callee = Side::called(tv, "phone", Some(stream)).await;
    caller.party.signal(Signal::Offer(offer.clone())).unwrap();
    connect(&mut caller, &mut callee).await;
    assert_eq!(callee.party.heard[0], Signal::Offer(offer), "the offer comes first");
    let sent: Vec<_> = caller.party.sent.iter().filter(|s| matches!(s, Signal::Candidate(_))).collect();
    assert_eq!(callee.party.heard[1..].iter().collect::<Vec<_>>(), sent, "then its candidates, in order");
    assert_eq!(soon(caller.party.delivered()).await.unwrap(), caller.party.sent.len());
    exchange(&mut caller, &mut callee).await;
}
