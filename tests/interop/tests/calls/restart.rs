//! A new ICE generation in the middle of a call.

use streamz_client::protocol::ErrorCode;
use streamz_client::{Candidate, Outcome, Outgoing};
use streamz_interop::{Figures, Party, Signal};
use streamz_tests::{Topology, eventually, scenarios, soon};

use crate::side::{Side, account, connected, exchange, id, negotiated};

scenarios![a_restart_moves_the_media_and_makes_older_candidates_stale];

/// The last candidate of a party that names an address.
fn address(party: &Party) -> Candidate {
    let last = party.sent.iter().rev().find(|signal| signal.is_address());
    match last {
        Some(Signal::Candidate(candidate)) => candidate.clone(),
        _ => panic!("no candidate was sent"),
    }
}

/// Carries the signals of one more generation, and waits until media have left the path `from`.
pub(crate) async fn moved(caller: &mut Side, callee: &mut Side, generations: usize, from: &Figures) {
    negotiated(caller, callee, generations).await;
    // Nobody announces when the new path is taken.
    eventually(|| async {
        let (here, there) = (caller.party.peer.figures(), callee.party.peer.figures());
        let (here, there) = (here.await.unwrap()?, there.await.unwrap()?);
        (here.local != from.local && there.local != from.remote).then_some(())
    })
    .await;
}

async fn a_restart_moves_the_media_and_makes_older_candidates_stale(topology: Topology) {
    let (_server, user) = account(topology).await;
    let (stream, mut caller, mut callee) = connected(&user).await;
    exchange(&mut caller, &mut callee).await;
    let older = address(&caller.party);
    let before = caller.party.peer.figures().await.unwrap().unwrap();

    caller.party.restart().await.unwrap();
    moved(&mut caller, &mut callee, 2, &before).await;
    let newer = address(&caller.party);
    assert_ne!(newer.username_fragment, older.username_fragment);
    assert_ne!(newer.candidate, older.candidate);
    assert_eq!(soon(caller.party.delivered()).await.unwrap(), caller.party.sent.len());
    exchange(&mut caller, &mut callee).await;

    let late: Outgoing = older.into();
    let outcome = soon(caller.party.client.send(late.in_stream(stream).to(id("tv")))).await;
    let Ok(Outcome::Error { code, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(code, ErrorCode::StaleCandidate);
    let known: Outgoing = newer.into();
    let outcome = soon(caller.party.client.send(known.in_stream(stream).to(id("tv")))).await;
    assert_eq!(outcome, Ok(Outcome::Delivered), "those of the present one still pass");
}
