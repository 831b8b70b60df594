//! Several devices ring, one answers.

use streamz_client::protocol::Reason;
use streamz_client::protocol::objects::StreamType;
use streamz_client::protocol::server::ServerMessage;
use streamz_client::{Outcome, Outgoing};
use streamz_tests::{Topology, scenarios, soon};

use crate::side::{Side, accepted, account, connect, exchange, id, rung};

scenarios![the_first_of_two_that_ring_has_the_call];

async fn the_first_of_two_that_ring_has_the_call(topology: Topology) {
    let (_server, user) = account(topology).await;
    let mut phone = user.device("phone").await;
    let (mut tv, mut laptop) = (user.device("tv").await, user.device("laptop").await);
    let stream = soon(phone.client.start_stream(Outgoing::start(StreamType::Both))).await.unwrap();
    assert_eq!((rung(&mut tv).await, rung(&mut laptop).await), (stream, stream));
    assert_eq!(soon(laptop.client.send(Outgoing::accept(stream))).await, Ok(Outcome::Delivered));
    assert_eq!(accepted(&mut phone).await, id("laptop"));
    let end = |message: &ServerMessage| match message {
        ServerMessage::StreamEnd { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    assert_eq!(tv.hears(end).await, "answered_elsewhere");
    let late = soon(tv.client.send(Outgoing::accept(stream))).await;
    let Ok(Outcome::NotDelivered { reason, .. }) = late else { panic!("{late:?}") };
    assert_eq!(reason, Reason::AnsweredElsewhere);

    let mut caller = Side::calling(phone, "laptop", Some(stream)).await;
    let mut callee = Side::called(laptop, "phone", Some(stream)).await;
    caller.party.offer().await.unwrap();
    connect(&mut caller, &mut callee).await;
    exchange(&mut caller, &mut callee).await;
    assert!(tv.events.try_recv().is_none(), "what the two say is not for the third");
}
