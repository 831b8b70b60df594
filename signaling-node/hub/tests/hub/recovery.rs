//! A hub that follows one that died.

use streamz_hub::Effect;
use streamz_protocol::GatewayId;
use streamz_protocol::bus::{ToGateway, Up};

use crate::support::*;

#[test]
fn it_asks_every_gateway_and_the_store_and_decides_nothing_before_all_have_answered() {
    let gateways = [GatewayId(1), GatewayId(2)];
    let (mut bench, asked) = Bench::recovering(&["tv", "phone"], &gateways);
    let roll = |gateway| Effect::Gateway(gateway, ToGateway::Roll { user: user(), epoch: 2 });
    assert_eq!(asked.0, [Effect::Load, roll(gateways[0]), roll(gateways[1])]);
    bench.load();
    assert!(bench.attach(9, attach("phone")).0.is_empty(), "a new connection waits");
    assert!(bench.roster(&[1]).0.is_empty());
    assert!(bench.announce(1, replica("tv", 1)).0.is_empty());
    let last = bench.up(Up::Roster { gateway: gateways[1], epoch: 2, conns: Vec::new() });
    assert!(last.attached(9).is_some());
    assert_eq!(last.heard(1), ["device_online phone"]);
    assert!(!bench.hub.is_recovering());
}

#[test]
fn a_connection_that_is_gone_before_its_gateway_named_it_is_not_waited_for() {
    let (mut bench, _) = Bench::recovering(&["tv"], &[GATEWAY]);
    bench.load();
    bench.up(Up::Gone(conn(1)));
    bench.roster(&[1]);
    assert!(!bench.hub.is_recovering());
}

#[test]
fn a_connection_without_a_session_asks_anew_whatever_comes_first() {
    let (mut bench, _) = Bench::recovering(&["tv"], &[GATEWAY]);
    bench.load();
    bench.up(Up::Gone(conn(1)));
    bench.up(Up::Attach(conn(1), Box::new(attach("tv"))));
    assert!(bench.roster(&[1]).attached(1).is_some());

    let (mut bench, _) = Bench::recovering(&["tv"], &[GATEWAY]);
    bench.load();
    bench.roster(&[1]);
    assert!(bench.up(Up::Gone(conn(1))).0.is_empty());
    assert!(bench.up(Up::Attach(conn(1), Box::new(attach("tv")))).attached(1).is_some());
}
