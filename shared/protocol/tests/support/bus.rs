//! What must hold for any bytes from the bus: shared by the property tests and by the fuzz target.

use streamz_protocol::cluster::Packet;
use streamz_protocol::wire::{
    BusKey, Envelope, EnvelopeWriter, MAGIC, MAJOR, PacketError, decode_packet, encode_packet,
};
use streamz_protocol::{Millis, ProcessId};

/// When everything comes.
pub(crate) const NOW: Millis = Millis(1_800_001_800_000);
/// Who writes.
pub(crate) const FROM: ProcessId = ProcessId(0x1f3a_90c2_5be7_4d68);
/// Who reads.
pub(crate) const TO: ProcessId = ProcessId(0x6b02_d7e4_118f_93ac);
/// Where the packets of an envelope begin.
pub(crate) const HEADER: usize = 26;

/// What both sides share: not what the golden envelope was written with, for nothing from outside may open.
pub(crate) fn key() -> BusKey {
    BusKey::derive(b"a secret that stands in no file")
}

/// A writer from [`FROM`] to [`TO`].
pub(crate) fn writer(limit: usize) -> EnvelopeWriter {
    EnvelopeWriter::new(key(), FROM, TO, limit)
}

/// An envelope with a good tag around any bytes, whether they are packets or not.
pub(crate) fn envelope_around(content: &[u8]) -> Vec<u8> {
    let mut envelope = writer(0).seal()[..HEADER].to_vec();
    envelope.extend_from_slice(content);
    let tag = key().tag(&envelope);
    envelope.extend_from_slice(&tag);
    envelope
}

/// All packets of an envelope.
///
/// # Panics
/// If it cannot be opened.
pub(crate) fn open(envelope: &[u8]) -> Vec<Result<Packet, PacketError>> {
    let envelope = Envelope::open(&key(), TO, envelope).unwrap();
    assert_eq!(envelope.from, FROM);
    envelope.packets(NOW).collect()
}

/// Checks bytes as a packet, as packets under a good tag, and as an envelope.
///
/// # Panics
/// If a decoder breaks one of its promises.
pub(crate) fn check_bus_bytes(bytes: &[u8]) {
    let packet = decode_packet(bytes, NOW);
    if let Ok(packet) = &packet {
        let mut again = Vec::new();
        encode_packet(packet, NOW, &mut again);
        assert_eq!(decode_packet(&again, NOW).as_ref(), Ok(packet));
    }

    // Whatever stands between two sound packets, they are understood.
    let sound = Packet::Ack { ack: 7 };
    let mut writer = writer(bytes.len() + 1_000);
    writer.push(&sound, NOW).unwrap();
    writer.push_encoded(bytes).unwrap();
    writer.push(&sound, NOW).unwrap();
    assert_eq!(open(writer.seal()), [Ok(sound.clone()), packet, Ok(sound)]);

    let packets = open(&envelope_around(bytes));
    assert!(packets.len() <= bytes.len().div_ceil(4), "each takes its length at least");
    assert!(packets.iter().rev().skip(1).all(|packet| packet != &Err(PacketError::Truncated)));

    let unsigned = [&MAGIC[..], &[MAJOR, 0], bytes].concat();
    for envelope in [bytes, &unsigned] {
        assert!(Envelope::open(&key(), TO, envelope).is_err(), "nobody guesses a tag");
    }
}
