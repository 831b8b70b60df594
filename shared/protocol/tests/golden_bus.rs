//! Every kind of packet between processes, as the very bytes that neighbouring versions agree upon.
//!
//! `UPDATE_GOLDEN=1 cargo test -p streamz-protocol --test golden_bus` writes the files anew. A change of one that is
//! there already is a change that processes of the last version do not understand: see the rule in
//! `streamz_protocol::wire`.
#![allow(clippy::unwrap_used)]

#[path = "support/bus_cases.rs"]
mod bus_cases;
#[path = "support/bus_kinds.rs"]
mod bus_kinds;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Once;

use bus_cases::{NOW, packets};
use bus_kinds::{KINDS, kind};
use streamz_protocol::cluster::{Packet, Routed};
use streamz_protocol::wire::{BusKey, Envelope, EnvelopeWriter, decode_packet, encode_packet};
use streamz_protocol::{Millis, ProcessId};

const FROM: ProcessId = ProcessId(0x1f3a_90c2_5be7_4d68);
const TO: ProcessId = ProcessId(0x6b02_d7e4_118f_93ac);
const SECRET: &[u8] = b"a secret that is long enough for anything";
const SMALL: [Packet; 2] = [Packet::Ack { ack: 69_998 }, Packet::Beat { coordinator: 6, version: 912 }];
/// The file that is no kind of packet.
const ENVELOPE: &str = "envelope";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden-bus")
}

/// What a golden file shows; all of them are written anew first if that is what was asked for.
fn golden(name: &str) -> Vec<u8> {
    static WRITTEN: Once = Once::new();
    let path = |name: &str| folder().join(format!("{name}.hex"));
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        WRITTEN.call_once(|| {
            for packet in packets() {
                std::fs::write(path(&kind(&packet)), to_hex(&encoded(&packet))).unwrap();
            }
            std::fs::write(path(ENVELOPE), to_hex(&enveloped())).unwrap();
        });
    }
    from_hex(&path(name))
}

fn from_hex(path: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// Packets that have got a field since are in `golden-bus-before` as they were.
#[test]
fn what_an_earlier_version_says_is_understood() {
    let before = folder().with_file_name("golden-bus-before");
    let mut seen = 0;
    for file in std::fs::read_dir(before).unwrap() {
        let path = file.unwrap().path();
        let packet = decode_packet(&from_hex(&path), NOW).unwrap();
        assert_eq!(Some(kind(&packet).as_str()), path.file_stem().and_then(|name| name.to_str()));
        // Written again it may be as it was: a field that says nothing is not written.
        assert_ne!(golden(&kind(&packet)), from_hex(&path), "it is as it was");
        seen += 1;
    }
    assert!(seen > 0);
}

fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        for byte in line {
            write!(text, "{byte:02x}").unwrap();
        }
        text.push('\n');
    }
    text
}

fn encoded(packet: &Packet) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_packet(packet, NOW, &mut bytes);
    bytes
}

fn enveloped() -> Vec<u8> {
    let mut writer = EnvelopeWriter::new(BusKey::derive(SECRET), FROM, TO, 64 * 1024);
    SMALL.iter().for_each(|packet| writer.push(packet, NOW).unwrap());
    writer.seal().to_vec()
}

#[test]
fn packets_are_what_the_files_show() {
    for packet in packets() {
        let name = kind(&packet);
        let bytes = encoded(&packet);
        let shown = golden(&name);
        assert_eq!(to_hex(&bytes), to_hex(&shown), "{name}");
        assert_eq!(decode_packet(&shown, NOW), Ok(packet), "{name}");
    }
}

#[test]
fn an_envelope_is_what_the_file_shows() {
    let shown = golden(ENVELOPE);
    assert_eq!(to_hex(&enveloped()), to_hex(&shown));
    let envelope = Envelope::open(&BusKey::derive(SECRET), TO, &shown).unwrap();
    assert_eq!(envelope.from, FROM);
    assert_eq!(envelope.packets(NOW).collect::<Result<Vec<_>, _>>().unwrap(), SMALL);
}

#[test]
fn every_kind_of_packet_has_one_file_and_no_file_is_left_over() {
    golden(ENVELOPE);
    let mut cases: Vec<String> = packets().iter().map(kind).collect();
    cases.sort();
    assert_eq!(cases, KINDS, "one case for each kind");
    let files: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, KINDS.iter().chain([&ENVELOPE]).map(|kind| format!("{kind}.hex")).collect());
}

#[test]
fn a_packet_that_is_cut_short_is_refused() {
    for packet in packets() {
        let bytes = encoded(&packet);
        for length in 0..bytes.len() {
            assert!(decode_packet(&bytes[..length], NOW).is_err(), "{} at {length}", kind(&packet));
        }
        let longer = [bytes.as_slice(), &[0xf6]].concat();
        assert!(decode_packet(&longer, NOW).is_err(), "{}", kind(&packet));
    }
}

#[test]
fn a_packet_with_any_bit_changed_is_answered() {
    for packet in packets() {
        let mut bytes = encoded(&packet);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let _ = decode_packet(&bytes, NOW);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

/// The clocks of two machines differ by years; what waited 15 ms has waited 15 ms.
#[test]
fn times_are_as_far_from_the_receivers_present_as_from_the_senders() {
    let there = Millis(NOW.0 / 2);
    let Some(revoked) = packets().into_iter().find(|packet| matches!(packet, Packet::Revoked { .. })) else {
        panic!("there is one");
    };
    let Ok(Packet::Revoked { at, .. }) = decode_packet(&encoded(&revoked), there) else {
        panic!("understood")
    };
    assert_eq!(at, Millis(there.0 - 15));

    for packet in packets() {
        let moved = decode_packet(&encoded(&packet), there).unwrap();
        let shown = format!("{moved:?}");
        // A row's times stay. Everything else is near the receiver's present.
        for time in times(&shown) {
            let row = time == NOW.0 - 1_500 || time == NOW.0 - 86_400_000;
            let stream = time == NOW.0 - 4_000 && shown.contains("Attached");
            assert!(row || stream || there.0 - time <= 30_000, "{time} in {shown}");
        }
        let mut back = Vec::new();
        encode_packet(&moved, there, &mut back);
        assert_eq!(decode_packet(&back, NOW), Ok(packet));
    }
}

fn times(shown: &str) -> Vec<u64> {
    let numbers = shown.split("Millis(").skip(1);
    numbers.map(|rest| rest.split(')').next().unwrap().parse().unwrap()).collect()
}

/// The way of most bytes: what is written around the text of a relayed message stays small.
#[test]
fn a_relayed_message_costs_little_more_than_its_text() {
    for packet in packets() {
        let (bytes, Packet::Frame { frame, .. }) = (encoded(&packet), &packet) else { continue };
        let Routed::ToHub { frame, .. } = frame.as_ref() else { continue };
        let streamz_protocol::bus::Up::Message(_, message) = &frame.up else { continue };
        let around = bytes.len() - message.command.weight().min(bytes.len());
        assert!(around < 160, "{}: {around}", kind(&packet));
    }
}
