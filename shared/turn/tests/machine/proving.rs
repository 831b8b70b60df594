//! Who may ask for something.

use std::time::Duration;

use stun_types::attribute::XorMappedAddress;
use stun_types::message::{BINDING, Message, MessageClass};
use turn_types::attribute::RequestedTransport;
use turn_types::message::{ALLOCATE, CREATE_PERMISSION, REFRESH};

use crate::support::{Bench, REALM, address, bare, key_with, udp};

const CLIENT: &str = "203.0.113.9:4000";

#[test]
fn anybody_learns_where_he_is_seen() {
    let mut bench = Bench::new();
    let id = bench.id();
    let answer = bench.ask(CLIENT, &bare(MessageClass::Request, BINDING, id, &[]));
    let message = Message::from_bytes(&answer.bytes).unwrap();
    let mapped = message.attribute::<XorMappedAddress>().unwrap();
    assert_eq!((answer.code, mapped.addr(message.transaction_id())), (None, address(CLIENT)));
    assert_eq!(bench.figures(), streamz_turn::Figures::default());
}

#[test]
fn whoever_says_nothing_of_himself_is_asked() {
    let mut bench = Bench::new();
    let id = bench.id();
    let answer = bench.ask(CLIENT, &bare(MessageClass::Request, ALLOCATE, id, &[&udp()]));
    assert_eq!(answer.code, Some(401));
    assert!(answer.nonce.is_some());
    // Nothing is kept of it, and it is no attempt to get in.
    assert_eq!(bench.figures(), streamz_turn::Figures::default());
}

#[test]
fn a_good_name_and_password_get_a_signed_answer() {
    let mut bench = Bench::new();
    let answer = bench.allocate(CLIENT, "2000:ann");
    assert_eq!((answer.code, answer.lifetime), (None, Some(600)));
    assert!(answer.relayed.is_some() && answer.is_signed("2000:ann"));
}

#[test]
fn forged_and_lapsed_credentials_are_refused() {
    let mut bench = Bench::new();
    let id = bench.id();
    let nonce = bench.ask(CLIENT, &bare(MessageClass::Request, ALLOCATE, id, &[&udp()])).nonce.unwrap();
    let cases = [
        ("2000:ann", REALM, "another password"),
        ("9999:ann", REALM, "nna:0002"), // the password of another name
        ("1000:ann", REALM, "nna:0001"), // lapsed just now
        ("999:ann", REALM, "nna:999"),
        ("ann", REALM, "nna"),
        ("", REALM, ""),
        ("2000:ann", "elsewhere", "nna:0002"),
    ];
    for (count, (username, realm, password)) in cases.into_iter().enumerate() {
        let request =
            bench.signed_with(ALLOCATE, &[&udp()], (username, realm, &nonce), &key_with(username, password));
        let answer = bench.ask(CLIENT, &request);
        assert_eq!(answer.code, Some(401), "{username} {realm}");
        assert!(!answer.is_signed(username), "what is refused is signed for nobody");
        assert_eq!(bench.figures().refused_credentials, u64::try_from(count).unwrap() + 1);
    }
    assert_eq!((bench.figures().allocations, bench.open.len()), (0, 0));
    assert_eq!(bench.allocate(CLIENT, "1001:ann").code, None, "good for one more second");
}

#[test]
fn a_message_that_was_changed_on_the_way_is_refused() {
    let mut bench = Bench::new();
    let mut request = bench.signed(CLIENT, ALLOCATE, "2000:ann", &[&udp()]);
    let at = request.windows(4).position(|bytes| bytes == [0x00, 0x19, 0x00, 0x04]).unwrap();
    request[at + 4] = RequestedTransport::TCP;
    assert_eq!(bench.ask(CLIENT, &request).code, Some(401));
}

#[test]
fn a_nonce_is_good_for_an_hour_and_for_its_client() {
    let mut bench = Bench::new();
    let request = bench.signed(CLIENT, ALLOCATE, "2000:ann", &[&udp()]);
    let answer = bench.ask("203.0.113.9:4001", &request);
    assert_eq!(answer.code, Some(438), "another address");
    assert!(answer.nonce.is_some(), "with which the client goes on");
    bench.pass(Duration::from_secs(3600));
    assert_eq!(bench.ask(CLIENT, &request).code, Some(438), "too old");
    assert_eq!(bench.allocate(CLIENT, "2000:ann").code, None);
}

#[test]
fn a_signature_without_a_name_is_a_bad_request() {
    let mut bench = Bench::new();
    let request = bench.signed(CLIENT, ALLOCATE, "2000:ann", &[&udp()]);
    // The name's attribute becomes one that nobody knows, and may be skipped.
    let at = request.windows(4).position(|bytes| bytes == [0x00, 0x06, 0x00, 0x08]).unwrap();
    let mut request = request;
    request[at] = 0x80;
    assert_eq!(bench.ask(CLIENT, &request).code, Some(400));
}

#[test]
fn an_allocation_outlives_its_credentials_and_stays_its_maker_s() {
    let mut bench = Bench::new();
    bench.allocated(CLIENT, "1001:ann");
    bench.wall = 5000;
    assert_eq!(bench.refresh(CLIENT, "1001:ann", 600).code, None, "a call goes on");
    assert_eq!(bench.permit(CLIENT, "1001:ann", "93.184.216.34:1"), None);
    assert_eq!(bench.refresh(CLIENT, "6000:ann", 600).code, Some(441), "under the name with which it began");
    assert_eq!(bench.refresh(CLIENT, "6000:bob", 0).code, Some(441));
    assert_eq!(bench.refresh(CLIENT, "1002:ann", 600).code, Some(401), "a lapsed name that it does not have");
    assert_eq!(bench.allocate("203.0.113.9:5000", "1001:ann").code, Some(401), "and no new one");
}

#[test]
fn requests_without_an_allocation_say_so() {
    let mut bench = Bench::new();
    assert_eq!(bench.refresh(CLIENT, "2000:ann", 600).code, Some(437));
    assert_eq!(bench.permit(CLIENT, "2000:ann", "93.184.216.34:1"), Some(437));
    assert_eq!(bench.bind(CLIENT, "2000:ann", "93.184.216.34:1", 0x4000), Some(437));
    for method in [REFRESH, CREATE_PERMISSION] {
        let id = bench.id();
        assert_eq!(bench.ask(CLIENT, &bare(MessageClass::Request, method, id, &[])).code, Some(401));
    }
}
