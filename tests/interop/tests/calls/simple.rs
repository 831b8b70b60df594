//! An app of the first Streamz calls a device of this one.

use streamz_client::Dialect;
use streamz_client::api::StreamFilter;
use streamz_tests::{Device, Topology, scenarios};

use crate::side::{Side, account, connect, exchange};

scenarios![a_simple_client_needs_neither_ring_nor_stream];

async fn a_simple_client_needs_neither_ring_nor_stream(topology: Topology) {
    let (_server, user) = account(topology).await;
    let old = Device::connect(user.client("old-phone").dialect(Dialect::Simple)).await;
    let tv = user.device("tv").await;
    let mut caller = Side::calling(old, "tv", None).await;
    caller.party = caller.party.unconfirmed();
    let mut callee = Side::called(tv, "old-phone", None).await;
    caller.party.offer().await.unwrap();
    connect(&mut caller, &mut callee).await;
    assert_eq!(caller.party.sent, callee.party.heard);
    assert_eq!(callee.party.sent, caller.party.heard);
    assert_eq!(caller.party.delivered().await.unwrap(), 0, "it asked for no outcomes");
    assert_eq!(callee.party.delivered().await.unwrap(), callee.party.sent.len());
    exchange(&mut caller, &mut callee).await;

    let page = user.api.streams(&user.signed_in.access_token, &StreamFilter::default()).await.unwrap();
    assert!(page.streams.is_empty(), "there is nothing to record");
}
