//! What must hold for every packet between processes, and for all bytes that could be taken for some.
#![allow(clippy::unwrap_used)]

#[path = "support/arbitrary.rs"]
#[allow(dead_code)]
mod arbitrary;
#[path = "support/arbitrary_bus.rs"]
mod arbitrary_bus;
#[path = "support/bus.rs"]
mod bus;

use arbitrary_bus::{instant, packet};
use bus::{FROM, HEADER, NOW, TO, check_bus_bytes, envelope_around, key, open, writer};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use streamz_protocol::cluster::Packet;
use streamz_protocol::wire::{
    BusKey, ENVELOPE_MAX, ENVELOPE_OVERHEAD, Envelope, EnvelopeError, Fault, PacketError, PushError,
    decode_packet, encode_packet,
};
use streamz_protocol::{Millis, ProcessId};

fn encoded(packet: &Packet, now: Millis) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_packet(packet, now, &mut bytes);
    bytes
}

/// A head of CBOR: any type with any length.
fn head() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![
        any::<u64>(),
        0..64_u64,
        prop::sample::select(vec![u64::MAX, u64::MAX / 2 + 1, 1 << 32, 0xffff_ffff, 1 << 24]),
    ];
    (0..8_u8, length, any::<bool>()).prop_map(|(major, length, indefinite)| {
        if indefinite {
            return vec![major << 5 | 31];
        }
        let mut head = vec![major << 5 | 27];
        head.extend_from_slice(&length.to_be_bytes());
        head
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_packet_survives_the_wire(packet in packet(), now in instant()) {
        prop_assert_eq!(decode_packet(&encoded(&packet, now), now), Ok(packet));
    }

    #[test]
    fn a_time_keeps_its_distance_to_the_present(at in instant(), here in instant(), there in instant()) {
        let family = uuid::Uuid::from_u128(1);
        let sent = encoded(&Packet::Revoked { family, at, user: None }, here);
        let time = i128::from(at.0) - i128::from(here.0) + i128::from(there.0);
        let at = Millis(time.clamp(0, u64::MAX.into()) as u64);
        prop_assert_eq!(decode_packet(&sent, there), Ok(Packet::Revoked { family, at, user: None }));
    }

    #[test]
    fn an_envelope_holds_what_was_put_in(packets in vec(packet(), 0..6), limit in 0..20_000_usize) {
        let mut writer = writer(limit);
        let mut came = Vec::new();
        for packet in &packets {
            if writer.push(packet, NOW) == Err(PushError::Full) {
                prop_assert!(!writer.is_empty());
                let envelope = writer.seal();
                came.extend(open(envelope));
                writer.push(packet, NOW).unwrap();
            }
            prop_assert!(writer.packets() >= 1);
        }
        let (several, envelope) = (writer.packets() > 1, writer.seal());
        prop_assert!(envelope.len() <= limit || !several);
        came.extend(open(envelope));
        prop_assert_eq!(came, packets.into_iter().map(Ok).collect::<Vec<_>>());
    }

    #[test]
    fn a_tag_tells_each_changed_bit(packet in packet(), bit in any::<Index>(), cut in any::<Index>()) {
        let mut writer = writer(ENVELOPE_MAX);
        writer.push(&packet, NOW).unwrap();
        let envelope = writer.seal().to_vec();
        let (mut changed, bit) = (envelope.clone(), bit.index(envelope.len() * 8));
        changed[bit / 8] ^= 1 << (bit % 8);
        // The version that only tells people is signed as well.
        prop_assert!(Envelope::open(&key(), TO, &changed).is_err());
        prop_assert!(Envelope::open(&key(), TO, &envelope[..cut.index(envelope.len())]).is_err());
    }

    #[test]
    fn any_bytes_are_answered(bytes in vec(any::<u8>(), 0..400)) {
        check_bus_bytes(&bytes);
    }

    #[test]
    fn any_heads_are_answered(heads in vec(head(), 0..40), before in any::<bool>()) {
        let mut bytes = if before { vec![0x82, 0x00, 0x83, 0x01, 0x01] } else { vec![] };
        bytes.extend(heads.concat());
        check_bus_bytes(&bytes);
    }

    #[test]
    fn a_damaged_packet_is_answered(packet in packet(), cuts in vec((any::<Index>(), head(), 0..5_u8), 1..4)) {
        let mut bytes = encoded(&packet, NOW);
        for (at, head, how) in cuts {
            let at = at.index(bytes.len() + 1);
            match how {
                0 => bytes.truncate(at),
                1 => bytes.splice(at..at, head).for_each(drop),
                2 => bytes.extend_from_within(at..),
                3 => bytes.splice(at..(at + head.len()).min(bytes.len()), head).for_each(drop),
                _ => bytes.splice(at..(at + 1).min(bytes.len()), [head[0]]).for_each(drop),
            }
        }
        check_bus_bytes(&bytes);
    }
}

#[test]
fn every_changed_bit_is_told() {
    let mut writer = writer(ENVELOPE_MAX);
    writer.push(&Packet::Ack { ack: 1 }, NOW).unwrap();
    let mut envelope = writer.seal().to_vec();
    for bit in 0..envelope.len() * 8 {
        envelope[bit / 8] ^= 1 << (bit % 8);
        assert!(Envelope::open(&key(), TO, &envelope).is_err(), "bit {bit}");
        envelope[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(Envelope::open(&key(), TO, &envelope).is_ok());
}

#[test]
fn each_reason_has_its_name() {
    let envelope = writer(1_000).seal().to_vec();
    let refused = |bytes: &[u8]| Envelope::open(&key(), TO, bytes).unwrap_err();
    let with = |at: usize, byte: u8| {
        let mut changed = envelope.clone();
        changed[at] = byte;
        changed
    };
    assert_eq!(envelope.len(), ENVELOPE_OVERHEAD);
    assert_eq!(refused(&[]), EnvelopeError::TooShort);
    assert_eq!(refused(&envelope[1..]), EnvelopeError::TooShort);
    assert_eq!(refused(&vec![0; ENVELOPE_MAX + 1]), EnvelopeError::TooLarge(ENVELOPE_MAX + 1));
    assert_eq!(refused(&with(0, b'{')), EnvelopeError::NotOurs);
    assert_eq!(refused(&with(4, 2)), EnvelopeError::UnknownVersion(2));
    assert_eq!(
        refused(&with(ENVELOPE_OVERHEAD - 1, !envelope[ENVELOPE_OVERHEAD - 1])),
        EnvelopeError::BadTag
    );
    let other = Envelope::open(&key(), FROM, &envelope);
    assert_eq!(other.unwrap_err(), EnvelopeError::WrongDestination(TO));
    let stranger = BusKey::derive(b"the secret of another deployment");
    assert_eq!(Envelope::open(&stranger, TO, &envelope).unwrap_err(), EnvelopeError::OtherKey);
    assert!(EnvelopeError::WrongDestination(ProcessId(0xab)).to_string().ends_with("0xab"));
}

#[test]
fn a_later_minor_version_is_read() {
    let mut envelope = writer(1_000).seal().to_vec();
    envelope.truncate(HEADER);
    envelope[5] = 9;
    let tag = key().tag(&envelope);
    envelope.extend_from_slice(&tag);
    let envelope = Envelope::open(&key(), TO, &envelope).unwrap();
    assert_eq!((envelope.minor, envelope.packets(NOW).count()), (9, 0));
}

#[test]
fn a_packet_that_is_not_understood_costs_no_other() {
    let mut writer = writer(1_000);
    let sound = Packet::Beat { coordinator: 1, version: 2 };
    writer.push(&sound, NOW).unwrap();
    writer.push_encoded(&[0x82, 0x18, 0x63, 0x80]).unwrap();
    writer.push_encoded(b"").unwrap();
    writer.push(&sound, NOW).unwrap();
    let came = open(writer.seal());
    assert_eq!(came[..2], [Ok(sound.clone()), Err(PacketError::UnknownKind(0x63))]);
    assert!(matches!(came[2], Err(PacketError::Undecodable(Fault::Malformed(_)))));
    assert_eq!(came[3..], [Ok(sound)]);

    let beyond = envelope_around(&[0, 0, 0, 3, 0x81, 0x01]);
    assert_eq!(open(&beyond), [Err(PacketError::Truncated)]);
    let huge = envelope_around(&[0xff, 0xff, 0xff, 0xff, 0x81, 0x01]);
    assert_eq!(open(&huge), [Err(PacketError::Truncated)]);
    assert_eq!(open(&envelope_around(&[0, 0])), [Err(PacketError::Truncated)]);
}

#[test]
fn deep_nesting_is_skipped_or_refused() {
    // As an unknown field of an `Ack`: nothing recurses.
    for head in [0x81_u8, 0x9f, 0xa1, 0xbf, 0xc1, 0x82, 0xd8] {
        for depth in [10, 1_000, 200_000] {
            let mut bytes = vec![0x82, 0x01, 0x82, 0x07];
            bytes.extend(std::iter::repeat_n(head, depth));
            check_bus_bytes(&bytes);
        }
    }
    let mut bytes = vec![0x82, 0x01, 0x82, 0x07];
    bytes.extend(std::iter::repeat_n(0x81, 200_000));
    bytes.push(0x00);
    assert_eq!(decode_packet(&bytes, NOW), Ok(Packet::Ack { ack: 7 }));
}

#[test]
fn a_length_that_nothing_follows_allocates_nothing() {
    let tenures = [0x82, 0x00, 0x83, 0x01, 0x01, 0x82, 0x02, 0x82, 0x05];
    for head in [0x9b_u8, 0x5b, 0x7b, 0xbb] {
        let mut bytes = tenures.to_vec();
        bytes.push(head);
        bytes.extend_from_slice(&[0xff; 8]);
        let error = decode_packet(&bytes, NOW).unwrap_err();
        assert!(
            matches!(error, PacketError::Frame { seq: 1, ack: 1, fault: Fault::Malformed(_) }),
            "{error}"
        );
    }
}

#[test]
fn an_envelope_has_its_limits() {
    let large = vec![0; ENVELOPE_MAX - ENVELOPE_OVERHEAD - 4];
    let mut writer = writer(100);
    writer.push(&Packet::Ack { ack: 1 }, NOW).unwrap();
    assert_eq!(writer.push_encoded(&large), Err(PushError::Full));
    assert_eq!(writer.push_encoded(&[0; 60]), Err(PushError::Full));
    assert_eq!(open(writer.seal()), [Ok(Packet::Ack { ack: 1 })]);
    // Alone it may be as large as an envelope can be.
    writer.push_encoded(&large).unwrap();
    assert_eq!(writer.push(&Packet::Ack { ack: 2 }, NOW), Err(PushError::Full));
    let envelope = writer.seal();
    assert_eq!(envelope.len(), ENVELOPE_MAX);
    assert_eq!(open(envelope).len(), 1);
    let larger = vec![0; large.len() + 1];
    assert_eq!(writer.push_encoded(&larger), Err(PushError::TooLarge(larger.len())));
    assert!(writer.is_empty());
    assert_eq!(open(writer.seal()), []);
    // What is given away is what would have been shown.
    writer.push(&Packet::Ack { ack: 2 }, NOW).unwrap();
    assert_eq!(open(&writer.into_sealed()), [Ok(Packet::Ack { ack: 2 })]);
}

#[test]
fn the_key_is_not_shown() {
    let shown = format!("{:?}", key());
    assert!(shown.starts_with("BusKey { name: ") && shown.len() < 40, "{shown}");
}
