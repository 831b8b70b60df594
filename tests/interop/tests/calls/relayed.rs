//! Calls that may only relay: through the server in the process, and through coturn with the settings that are shipped.

use std::time::SystemTime;

use streamz_client::protocol::objects::{ConnectionType, IceServer};
use streamz_client::protocol::server::ServerMessage;
use streamz_interop::{Channel, Party, Peer, PeerEvent, pattern};
use streamz_tests::{Device, TurnServer, User, eventually, on_both_turn_servers, soon};

use crate::side::{id, ring};

on_both_turn_servers![
    devices_that_can_only_relay_exchange_messages,
    a_call_outlives_its_credentials_and_restarts_with_renewed_ones,
    a_forged_credential_leads_nowhere,
];

/// Several messages of the channel.
const BYTES: usize = 50_000;

/// Two devices in a call, with a data channel between them.
struct Call {
    caller: Party,
    callee: Party,
    channels: [Channel; 2],
    /// The seconds at which what the two were welcomed with lapses.
    lapses: [u64; 2],
}

async fn party(device: Device, to: &str, stream: streamz_client::protocol::StreamId) -> Party {
    let peer = Peer::relaying(&device.welcome.ice_servers).await.unwrap();
    Party::with(device.client, device.events, id(to), Some(stream), peer)
}

async fn call(user: &User) -> Call {
    let (mut phone, mut tv) = (user.device("phone").await, user.device("tv").await);
    let stream = ring(&mut phone, &mut tv).await;
    let lapses = [&phone, &tv].map(|device| lapse(&device.welcome.ice_servers));
    let mut caller = party(phone, "tv", stream).await;
    let mut callee = party(tv, "phone", stream).await;
    let here = caller.peer.open_channel("files").await.unwrap();
    caller.offer().await.unwrap();
    soon(async { tokio::try_join!(caller.until(Party::negotiated), callee.until(Party::negotiated)) })
        .await
        .unwrap();
    let there = soon(callee.channel()).await.unwrap();
    soon(async { tokio::try_join!(here.opened(), there.opened()) }).await.unwrap();
    Call { caller, callee, channels: [here, there], lapses }
}

impl Call {
    /// Bytes both ways, over a path that is relayed.
    async fn exchange(&self) {
        let [here, there] = &self.channels;
        let (one, other) = (pattern(1, BYTES), pattern(2, BYTES));
        let both = async {
            tokio::try_join!(
                here.send(&one),
                there.send(&other),
                there.receive_bytes(BYTES),
                here.receive_bytes(BYTES)
            )
        };
        let ((), (), one_there, other_here) = soon(both).await.unwrap();
        assert!(one_there == one && other_here == other, "other bytes arrived than were sent");
        for party in [&self.caller, &self.callee] {
            assert_eq!(party.peer.figures().await.unwrap().unwrap().path, ConnectionType::Relay);
            let addresses: Vec<_> = party.sent.iter().filter(|signal| signal.is_address()).collect();
            assert!(!addresses.is_empty());
            assert!(
                addresses.iter().all(|signal| format!("{signal:?}").contains("typ relay")),
                "{addresses:?}"
            );
        }
    }
}

/// The second at which what a device was told lapses.
fn lapse(servers: &[IceServer]) -> u64 {
    let username = servers.iter().find_map(|server| server.username.as_deref()).unwrap();
    username.split_once(':').unwrap().0.parse().unwrap()
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

async fn devices_that_can_only_relay_exchange_messages(turn: TurnServer) {
    let (server, _coturn) = turn.start(&[]).await;
    let user = User::new(&server).await;
    let call = call(&user).await;
    call.exchange().await;
    if turn == TurnServer::Embedded {
        // Each byte came in at one and went out at the other. Figures are a second old at most.
        eventually(|| async {
            let figures = server.http().get("/metrics").await.text;
            let figure = |name: &str| -> Option<usize> {
                figures.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
            };
            let (relayed, ports) =
                (figure("streamz_turn_relayed_bytes_total ")?, figure("streamz_turn_allocations ")?);
            (relayed >= 4 * BYTES && ports >= 2).then_some(())
        })
        .await;
    }
}

async fn a_call_outlives_its_credentials_and_restarts_with_renewed_ones(turn: TurnServer) {
    let (server, _coturn) = turn.start(&[("TURN_TTL", "16s")]).await;
    let user = User::new(&server).await;
    let mut call = call(&user).await;
    call.exchange().await;
    let before = call.caller.peer.figures().await.unwrap().unwrap();

    let renewed = |message: &ServerMessage| match message {
        ServerMessage::IceServers { ice_servers } => Some((ice_servers.clone(), now())),
        _ => None,
    };
    let both = async { tokio::try_join!(call.caller.hears(renewed), call.callee.hears(renewed)) };
    let (here, there) = soon(both).await.unwrap();
    for ((servers, at), old) in [&here, &there].into_iter().zip(call.lapses) {
        assert!(*at < old, "told at {at}, and the old ones lapse at {old}");
        assert!(lapse(servers) > old);
    }
    // Once the old ones are over, what they began goes on.
    eventually(|| async { (now() > call.lapses[0].max(call.lapses[1])).then_some(()) }).await;
    call.exchange().await;

    // A new generation asks for new ports, with what was renewed.
    call.caller.peer.relay_through(&here.0).await.unwrap();
    call.callee.peer.relay_through(&there.0).await.unwrap();
    call.caller.restart().await.unwrap();
    let (caller, callee) = (&mut call.caller, &mut call.callee);
    let ends = |party: &Party| party.sent.iter().filter(|signal| signal.is_end_of_candidates()).count() >= 2;
    let heard =
        |party: &Party| party.heard.iter().filter(|signal| signal.is_end_of_candidates()).count() >= 2;
    let all = |party: &Party| ends(party) && heard(party);
    soon(async { tokio::try_join!(caller.until(all), callee.until(all)) }).await.unwrap();
    eventually(|| async {
        let after = call.caller.peer.figures().await.unwrap()?;
        (after.local != before.local && after.remote != before.remote).then_some(())
    })
    .await;
    call.exchange().await;
}

async fn a_forged_credential_leads_nowhere(turn: TurnServer) {
    let (server, _coturn) = turn.start(&[]).await;
    let user = User::new(&server).await;
    let phone = user.device("phone").await;
    let mut forged = phone.welcome.ice_servers.clone();
    for server in &mut forged {
        server.credential = server.credential.as_ref().map(|_| "AAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned());
    }
    let (peer, mut events) = Peer::relaying(&forged).await.unwrap();
    let _channel = peer.open_channel("files").await.unwrap();
    peer.offer().await.unwrap();
    let first = async {
        loop {
            if let PeerEvent::Candidate(candidate) = events.recv().await.unwrap() {
                break candidate.candidate;
            }
        }
    };
    assert_eq!(soon(first).await, "", "no candidate, but the end of them");
    peer.close().await.unwrap();
}
