//! What passes, from whom and to whom, and how much of it.

use std::time::Duration;

use streamz_turn::{Effect, Peers, RelayId, Settings};

use crate::support::{Bench, PUBLIC, address, handed, settings};

const CLIENT: &str = "203.0.113.9:4000";
const OTHER: &str = "203.0.113.10:4000";
const ANN: &str = "2000:ann";
const FIRST: RelayId = RelayId(1);

fn to_peer(relay: RelayId, peer: &str, data: &[u8]) -> Vec<Effect> {
    vec![Effect::ToPeer { relay, peer: address(peer), data: data.to_vec() }]
}

#[test]
fn packets_pass_both_ways_once_they_are_permitted() {
    let mut bench = Bench::new();
    bench.allocated(CLIENT, ANN);
    assert_eq!(bench.send(CLIENT, PUBLIC, b"hello"), []);
    assert_eq!(bench.hears(FIRST, PUBLIC, b"hello"), []);
    assert_eq!(bench.figures().dropped_peer, 2);
    assert_eq!(bench.permit(CLIENT, ANN, PUBLIC), None);
    assert_eq!(bench.send(CLIENT, PUBLIC, b"hello"), to_peer(FIRST, PUBLIC, b"hello"));
    // A permission is for an address and all of its ports (RFC 8656 §9).
    let effects = bench.hears(FIRST, "93.184.216.34:9", b"well");
    assert_eq!(handed(&effects), (address(CLIENT), Err(address("93.184.216.34:9")), b"well".to_vec()));
    assert_eq!(bench.hears(FIRST, "93.184.216.35:7000", b"x"), [], "somebody else");
    assert_eq!(bench.figures().relayed_bytes, 9);
    bench.pass(Duration::from_secs(299));
    assert_eq!(bench.send(CLIENT, PUBLIC, b"x").len(), 1);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.send(CLIENT, PUBLIC, b"x"), [], "it has lapsed");
    assert_eq!(bench.hears(FIRST, PUBLIC, b"x"), []);
}

#[test]
fn a_channel_spares_the_names() {
    let mut bench = Bench::new();
    bench.allocated(CLIENT, ANN);
    assert_eq!(bench.send_channel(CLIENT, 0x4000, b"x"), []);
    assert_eq!(bench.bind(CLIENT, ANN, PUBLIC, 0x4000), None);
    assert_eq!(bench.send_channel(CLIENT, 0x4000, b"hello"), to_peer(FIRST, PUBLIC, b"hello"));
    let effects = bench.hears(FIRST, PUBLIC, b"well");
    assert_eq!(handed(&effects), (address(CLIENT), Ok(0x4000), b"well".to_vec()));
    // The permission that came with it is for the whole address.
    assert_eq!(handed(&bench.hears(FIRST, "93.184.216.34:9", b"x")).1, Err(address("93.184.216.34:9")));
    for (peer, number) in [(PUBLIC, 0x4001), ("93.184.216.34:9", 0x4000), (PUBLIC, 0x3fff), (PUBLIC, 0x7fff)]
    {
        assert_eq!(bench.bind(CLIENT, ANN, peer, number), Some(400), "{peer} {number:x}");
    }
    bench.pass(Duration::from_secs(599));
    assert_eq!(bench.bind(CLIENT, ANN, PUBLIC, 0x4000), None, "renewed");
    bench.refresh(CLIENT, ANN, 3600);
    bench.pass(Duration::from_secs(599));
    assert_eq!(bench.send_channel(CLIENT, 0x4000, b"x").len(), 1);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.send_channel(CLIENT, 0x4000, b"x"), []);
    assert_eq!(bench.bind(CLIENT, ANN, "93.184.216.34:9", 0x4000), None, "the number is free again");
}

#[test]
fn nothing_is_relayed_into_private_networks_or_to_this_machine() {
    let peers = [
        "127.0.0.1:80",
        "10.0.0.1:80",
        "192.168.1.1:53",
        "169.254.169.254:80",
        "100.64.0.1:1",
        "172.16.0.1:22",
        "224.0.0.1:5353",
        "0.0.0.0:8080",
        "255.255.255.255:9",
    ];
    let mut bench = Bench::new();
    bench.allocated(CLIENT, ANN);
    for (count, peer) in peers.iter().enumerate() {
        assert_eq!(bench.permit(CLIENT, ANN, peer), Some(403), "{peer}");
        assert_eq!(bench.bind(CLIENT, ANN, peer, 0x4000), Some(403), "{peer}");
        assert_eq!(bench.send(CLIENT, peer, b"x"), [], "{peer}");
        assert_eq!(bench.hears(FIRST, peer, b"x"), [], "{peer}");
        assert_eq!(bench.figures().refused_peer, 2 * (u64::try_from(count).unwrap() + 1));
    }
    let client = "[2001:db8::9]:4000";
    bench.allocated(client, ANN);
    for peer in [
        "[::1]:80",
        "[fe80::1]:80",
        "[fd00::1]:80",
        "[2002:7f00:1::]:80",
        "[64:ff9b::a00:1]:80",
        "[ff02::1]:1",
    ] {
        assert_eq!(bench.permit(client, ANN, peer), Some(403), "{peer}");
    }
    // IPv4 in the clothes of IPv6 is not even a peer.
    assert_eq!(bench.permit(client, ANN, "[::ffff:127.0.0.1]:80"), Some(400));
    assert_eq!(bench.permit(client, ANN, "[::ffff:8.8.8.8]:80"), Some(400));
    let mut bench = Bench::with(Settings { peers: Peers::Any, ..settings() });
    bench.allocated(CLIENT, ANN);
    assert_eq!(bench.permit(CLIENT, ANN, "127.0.0.1:80"), None);
    assert_eq!(bench.send(CLIENT, "127.0.0.1:80", b"x"), to_peer(FIRST, "127.0.0.1:80", b"x"));
    assert_eq!(bench.permit(CLIENT, ANN, "224.0.0.1:80"), Some(403), "whatever is configured");
}

#[test]
fn two_who_relay_here_meet_inside_wherever_that_is() {
    // As behind a NAT: the relayed addresses are private ones, or not those of the sockets.
    let mut bench = Bench::new();
    let (ann, bob) = (bench.allocated(CLIENT, ANN), bench.allocated(OTHER, "2000:bob"));
    assert_eq!(bench.permit(CLIENT, ANN, &bob.to_string()), None);
    assert_eq!(bench.send(CLIENT, &bob.to_string(), b"hello"), [], "it takes both");
    assert_eq!(bench.bind(OTHER, "2000:bob", &ann.to_string(), 0x4001), None);
    let effects = bench.send(CLIENT, &bob.to_string(), b"hello");
    assert_eq!(handed(&effects), (address(OTHER), Ok(0x4001), b"hello".to_vec()));
    let effects = bench.send_channel(OTHER, 0x4001, b"well");
    assert_eq!(handed(&effects), (address(CLIENT), Err(bob), b"well".to_vec()));
    // The host has other ports, and what listens there may trust it.
    let elsewhere = format!("{}:22", bob.ip());
    assert_eq!(bench.send(CLIENT, &elsewhere, b"x"), []);
    assert_eq!(bench.bind(CLIENT, ANN, &elsewhere, 0x4005), None);
    assert_eq!(bench.send_channel(CLIENT, 0x4005, b"x"), []);
}

#[test]
fn a_user_relays_so_much_in_a_second() {
    let mut bench = Bench::with(Settings { bandwidth: 2000, ..settings() });
    bench.allocated(CLIENT, ANN);
    bench.allocated(OTHER, "3000:ann");
    bench.permit(CLIENT, ANN, PUBLIC);
    bench.permit(OTHER, "3000:ann", PUBLIC);
    let data = [0; 1000];
    assert_eq!(bench.send(CLIENT, PUBLIC, &data).len(), 1);
    assert_eq!(bench.hears(RelayId(2), PUBLIC, &data).len(), 1, "both ways, and all allocations together");
    assert_eq!(bench.send(OTHER, PUBLIC, &data), []);
    assert_eq!(bench.hears(FIRST, PUBLIC, &data), []);
    assert_eq!((bench.figures().dropped_bandwidth, bench.figures().relayed_bytes), (2, 2000));
    bench.pass(Duration::from_millis(500));
    assert_eq!(bench.send(CLIENT, PUBLIC, &data).len(), 1);
    assert_eq!(bench.send(CLIENT, PUBLIC, &data), []);
    // Nobody else is concerned.
    bench.allocated("203.0.113.11:1", "2000:bob");
    bench.permit("203.0.113.11:1", "2000:bob", PUBLIC);
    assert_eq!(bench.send("203.0.113.11:1", PUBLIC, &data).len(), 1);
}

#[test]
fn an_allocation_has_so_many_peers() {
    let mut bench = Bench::new();
    bench.allocated(CLIENT, ANN);
    for host in 1..=4 {
        assert_eq!(bench.permit(CLIENT, ANN, &format!("93.184.216.{host}:1")), None);
    }
    assert_eq!(bench.permit(CLIENT, ANN, "93.184.216.5:1"), Some(508));
    assert_eq!(bench.permit(CLIENT, ANN, "93.184.216.4:1"), None, "one that it has");
    assert_eq!(bench.bind(CLIENT, ANN, "93.184.216.5:1", 0x4000), Some(508));
    for number in 0..4 {
        assert_eq!(bench.bind(CLIENT, ANN, &format!("93.184.216.1:{}", 100 + number), 0x4000 + number), None);
    }
    assert_eq!(bench.bind(CLIENT, ANN, "93.184.216.1:200", 0x4100), Some(508));
    assert_eq!(bench.figures().refused_capacity, 3);
    bench.pass(Duration::from_secs(300));
    assert_eq!(bench.permit(CLIENT, ANN, "93.184.216.5:1"), None, "those have lapsed");
}

#[test]
fn what_comes_late_for_a_socket_that_was_closed_goes_nowhere() {
    let mut bench = Bench::new();
    bench.allocated(CLIENT, ANN);
    bench.permit(CLIENT, ANN, PUBLIC);
    bench.refresh(CLIENT, ANN, 0);
    bench.allocated(CLIENT, ANN);
    bench.permit(CLIENT, ANN, PUBLIC);
    assert_eq!(bench.hears(FIRST, PUBLIC, b"x"), [], "the client's next allocation is another one");
    assert_eq!(bench.hears(RelayId(2), PUBLIC, b"x").len(), 1);
}
