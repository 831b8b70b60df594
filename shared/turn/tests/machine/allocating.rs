//! How many allocations there are, for whom, and until when.

use std::time::Duration;

use streamz_turn::{Effect, Input, Settings};
use stun_types::attribute::UnknownAttributes;
use stun_types::message::Message;
use turn_types::AddressFamily;
use turn_types::attribute::{DontFragment, EvenPort, RequestedAddressFamily, RequestedTransport};
use turn_types::message::{ALLOCATE, REFRESH};

use crate::support::{Bench, address, settings, udp};

const CLIENT: &str = "203.0.113.9:4000";
const ANN: &str = "2000:ann";

#[test]
fn a_user_has_so_many_and_all_users_so_many() {
    let mut bench = Bench::with(Settings { allocations: 5, ..settings() });
    for port in 0..3 {
        // Names of one user count together.
        bench.allocated(&format!("203.0.113.9:{}", 4000 + port), &format!("{}:ann", 2000 + port));
    }
    assert_eq!(bench.allocate("203.0.113.9:4003", "3000:ann").code, Some(486));
    bench.allocated("203.0.113.9:5000", "2000:bob");
    assert_eq!((bench.figures().refused_quota, bench.figures().refused_capacity), (1, 0));
    bench.allocated("203.0.113.9:5001", "2000:bob");
    assert_eq!(bench.allocate("203.0.113.9:6000", "2000:eve").code, Some(508));
    assert_eq!((bench.figures().refused_quota, bench.figures().refused_capacity), (1, 1));
    // One that has ended makes room for its user, and for all.
    assert_eq!(bench.refresh("203.0.113.9:4000", ANN, 0).lifetime, Some(0));
    bench.allocated("203.0.113.9:4003", "3000:ann");
    assert_eq!((bench.figures().allocations, bench.figures().allocated), (5, 6));
    assert_eq!(bench.open.len(), 5);
}

#[test]
fn the_same_request_again_is_answered_the_same() {
    let mut bench = Bench::new();
    let request = bench.signed(CLIENT, ALLOCATE, ANN, &[&udp()]);
    let first = bench.ask(CLIENT, &request);
    let second = bench.ask(CLIENT, &request);
    assert_eq!((first.relayed, first.bytes), (second.relayed, second.bytes));
    assert_eq!(bench.allocate(CLIENT, ANN).code, Some(437), "another one is too much");
    assert_eq!((bench.figures().allocations, bench.open.len()), (1, 1));
}

#[test]
fn while_a_socket_is_opened_the_client_waits() {
    let mut bench = Bench::new();
    let request = bench.signed(CLIENT, ALLOCATE, ANN, &[&udp()]);
    let mut effects = Vec::new();
    let input = Input::FromClient { client: address(CLIENT), data: &request };
    bench.server.handle(input, &crate::support::Book(1000), bench.now, &mut effects);
    let [Effect::Open { .. }] = effects[..] else { panic!("{effects:?}") };
    assert_eq!(bench.give(input), []);
    assert_eq!(bench.refresh(CLIENT, ANN, 600).code, Some(437), "it has none yet");
}

#[test]
fn without_a_socket_there_is_no_allocation() {
    let mut bench = Bench::new();
    bench.no_sockets = true;
    let answer = bench.allocate(CLIENT, ANN);
    assert!(answer.code == Some(508) && answer.is_signed(ANN));
    assert_eq!((bench.figures().allocations, bench.figures().refused_capacity), (0, 1));
    bench.no_sockets = false;
    for port in 0..3 {
        bench.allocated(&format!("203.0.113.9:{}", 4000 + port), ANN);
    }
}

#[test]
fn an_allocation_ends_unless_it_is_refreshed() {
    let mut bench = Bench::new();
    bench.allocated(CLIENT, ANN);
    bench.pass(Duration::from_secs(599));
    assert_eq!(bench.open.len(), 1);
    for (asked, given) in [(1, 600), (777, 777), (u32::MAX, 3600), (600, 600)] {
        assert_eq!(bench.refresh(CLIENT, ANN, asked).lifetime, Some(given));
    }
    assert_eq!(bench.request(CLIENT, REFRESH, ANN, &[]).lifetime, Some(600));
    bench.pass(Duration::from_secs(599));
    assert_eq!(bench.open.len(), 1);
    bench.pass(Duration::from_secs(1));
    assert_eq!((bench.open.len(), bench.figures().allocations), (0, 0));
    assert_eq!(bench.refresh(CLIENT, ANN, 600).code, Some(437));
}

#[test]
fn a_relayed_address_is_of_the_client_s_family() {
    let mut bench = Bench::new();
    let client = "[2001:db8::9]:4000";
    assert!(bench.allocated(CLIENT, ANN).is_ipv4());
    assert!(bench.allocated(client, ANN).is_ipv6());
    let six = RequestedAddressFamily::new(AddressFamily::IPV6);
    assert_eq!(bench.request("203.0.113.9:1", ALLOCATE, ANN, &[&udp(), &six]).code, Some(440));
    assert_eq!(bench.request("[2001:db8::9]:1", ALLOCATE, ANN, &[&udp(), &six]).code, None);
    assert_eq!(bench.request(CLIENT, REFRESH, ANN, &[&six]).code, Some(443));
    assert_eq!(bench.permit(client, ANN, "93.184.216.34:1"), Some(443));
    assert_eq!(bench.bind(CLIENT, ANN, "[2606:4700::1]:1", 0x4000), Some(443));
}

#[test]
fn what_is_not_there_is_refused_by_its_name() {
    let mut bench = Bench::new();
    let tcp = RequestedTransport::new(RequestedTransport::TCP);
    assert_eq!(bench.request(CLIENT, ALLOCATE, ANN, &[&tcp]).code, Some(442));
    assert_eq!(bench.request(CLIENT, ALLOCATE, ANN, &[]).code, Some(400));
    let answer = bench.request(CLIENT, ALLOCATE, ANN, &[&udp(), &EvenPort::new(true), &DontFragment::new()]);
    assert_eq!(answer.code, Some(420));
    let message = Message::from_bytes(&answer.bytes).unwrap();
    let unknown = message.attribute::<UnknownAttributes>().unwrap();
    assert!(unknown.has_attribute(0x0018.into()) && unknown.has_attribute(0x001a.into()));
    assert_eq!(bench.figures().allocations, 0);
}
