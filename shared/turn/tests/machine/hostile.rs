//! What nobody would send.

use proptest::prelude::*;
use streamz_turn::{Effect, Figures, Input};
use turn_types::message::ALLOCATE;

use crate::support::{Bench, address, udp};

const CLIENT: &str = "203.0.113.9:4000";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Noise is dropped, and nothing is kept of it.
    #[test]
    fn noise_is_dropped(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bench = Bench::new();
        for effect in bench.give(Input::FromClient { client: address(CLIENT), data: &data }) {
            let answered = matches!(effect, Effect::ToClient { .. });
            prop_assert!(answered, "{:?}", effect);
        }
        prop_assert_eq!(bench.figures(), Figures { dropped_peer: bench.figures().dropped_peer, ..Figures::default() });
    }

    /// A request with one wrong byte is not let in, and breaks nothing.
    #[test]
    fn a_broken_request_is_not_let_in(at in 0_usize..128, bit in 0_u8..8) {
        let mut bench = Bench::new();
        let mut request = bench.signed(CLIENT, ALLOCATE, "2000:ann", &[&udp()]);
        let at = at % request.len();
        request[at] ^= 1 << bit;
        let _ = bench.give(Input::FromClient { client: address(CLIENT), data: &request });
        prop_assert_eq!(bench.figures().allocations, 0);
    }

    /// Nobody without an allocation makes anything be sent to others.
    #[test]
    fn strangers_send_nothing(number in any::<u16>(), data in proptest::collection::vec(any::<u8>(), 0..100)) {
        let mut bench = Bench::new();
        prop_assert_eq!(bench.send(CLIENT, "93.184.216.34:7000", &data), []);
        prop_assert_eq!(bench.send_channel(CLIENT, number | 0x4000, &data), []);
    }
}

/// However many ask, nothing is remembered of those who prove nothing.
#[test]
fn a_flood_of_strangers_leaves_nothing() {
    let mut bench = Bench::new();
    for port in 1..=10_000 {
        let client = format!("203.0.113.9:{port}");
        let id = bench.id();
        let request =
            crate::support::bare(stun_types::message::MessageClass::Request, ALLOCATE, id, &[&udp()]);
        let answer = bench.ask(&client, &request);
        // What is sent to an address that may be forged is not much more than what came.
        assert!(answer.bytes.len() <= 4 * request.len(), "{} for {}", answer.bytes.len(), request.len());
    }
    assert_eq!(bench.figures(), Figures::default());
    assert_eq!(format!("{:?}", bench.server).len(), format!("{:?}", Bench::new().server).len());
}
