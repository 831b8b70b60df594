//! What the next version may do, and what this one then understands.

use std::sync::Arc;

use minicbor::{Decode, Encode, Encoder};
use uuid::Uuid;

use super::{Fault, Now, PacketError, decode_packet, encode_packet};
use crate::bus::{Caps, Detach, Replica, Resume, ToHub, Up};
use crate::cluster::{Epoch, Packet, Routed, Slot, Tenure};
use crate::objects::{ConnectionType, Device, StreamStats};
use crate::{ConnId, DeviceId, GatewayId, Millis, NodeId, SessionId, UserId};

const NOW: Millis = Millis(1_800_000_000_000);

/// [`Packet`] with a field more, and a kind more.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(context_bound = "Now")]
enum NextPacket {
    #[n(0)]
    Frame {
        #[n(0)]
        seq: u64,
        #[n(1)]
        ack: u64,
        #[n(2)]
        frame: Box<NextRouted>,
        #[n(3)]
        trace: Option<String>,
    },
    #[n(1)]
    Ack {
        #[n(0)]
        ack: u64,
        #[n(1)]
        #[cbor(default)]
        credit: u32,
    },
    #[n(7)]
    Hello {
        #[n(0)]
        since: Millis,
    },
}

/// [`Routed`] with a field more, and a variant more.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(context_bound = "Now")]
enum NextRouted {
    #[n(0)]
    ToHub {
        #[n(0)]
        tenure: Tenure,
        #[n(1)]
        frame: ToHub,
    },
    #[n(4)]
    NotMine {
        #[n(0)]
        tenure: NextTenure,
    },
    #[n(5)]
    Sealed {
        #[n(0)]
        tenure: Tenure,
        #[n(1)]
        users: Vec<UserId>,
    },
}

/// [`Tenure`] with fields more.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
struct NextTenure {
    #[n(0)]
    slot: Slot,
    #[n(1)]
    epoch: Epoch,
    #[n(2)]
    owner: Option<NodeId>,
    #[n(3)]
    #[cbor(default)]
    moves: Vec<u32>,
}

/// [`Resume`] with a field more.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
struct NextResume {
    #[n(0)]
    session: SessionId,
    #[n(1)]
    last_seq: u64,
    #[n(2)]
    reason: Option<String>,
}

/// [`Detach`] with a variant more.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
enum NextDetach {
    #[n(3)]
    Stolen {
        #[n(0)]
        by: u64,
        #[n(1)]
        at: u64,
    },
}

fn bytes<T: Encode<Millis>>(value: &T) -> Vec<u8> {
    minicbor::to_vec_with(value, &mut NOW.clone()).unwrap()
}

fn read<T: for<'b> Decode<'b, Millis>>(bytes: &[u8]) -> T {
    minicbor::decode_with(bytes, &mut NOW.clone()).unwrap()
}

fn tenure() -> Tenure {
    Tenure { slot: Slot::new(549).unwrap(), epoch: Epoch(7) }
}

fn not_mine(moves: Vec<u32>) -> NextRouted {
    let Tenure { slot, epoch } = tenure();
    NextRouted::NotMine { tenure: NextTenure { slot, epoch, owner: Some(NodeId(5)), moves } }
}

fn next_frame(frame: NextRouted) -> NextPacket {
    NextPacket::Frame { seq: 41, ack: 40, frame: Box::new(frame), trace: Some("00-4bf9".into()) }
}

#[test]
fn an_older_process_skips_new_fields() {
    for moves in [vec![], vec![1, 2, 3]] {
        let packet = decode_packet(&bytes(&next_frame(not_mine(moves))), NOW).unwrap();
        let frame = Arc::new(Routed::NotMine { tenure: tenure() });
        assert_eq!(packet, Packet::Frame { seq: 41, ack: 40, frame });
    }
    let ack = decode_packet(&bytes(&NextPacket::Ack { ack: 9, credit: 100 }), NOW);
    assert_eq!(ack, Ok(Packet::Ack { ack: 9 }));
    let session = SessionId(Uuid::from_u128(3));
    let next = NextResume { session, last_seq: 12, reason: Some("moved".into()) };
    assert_eq!(read::<Resume>(&bytes(&next)), Resume { session, last_seq: 12 });
}

#[test]
fn a_newer_process_takes_the_default_for_what_an_older_one_does_not_say() {
    let mut old = Vec::new();
    let frame = Arc::new(Routed::NotMine { tenure: tenure() });
    encode_packet(&Packet::Frame { seq: 41, ack: 40, frame }, NOW, &mut old);
    let Tenure { slot, epoch } = tenure();
    let tenure = NextTenure { slot, epoch, owner: None, moves: Vec::new() };
    let frame = Box::new(NextRouted::NotMine { tenure });
    assert_eq!(read::<NextPacket>(&old), NextPacket::Frame { seq: 41, ack: 40, frame, trace: None });

    let session = SessionId(Uuid::from_u128(3));
    let old = bytes(&Resume { session, last_seq: 12 });
    assert_eq!(read::<NextResume>(&old), NextResume { session, last_seq: 12, reason: None });
    assert_eq!(read::<NextPacket>(&bytes(&Packet::Ack { ack: 9 })), NextPacket::Ack { ack: 9, credit: 0 });
}

#[test]
fn a_new_kind_of_packet_is_refused_by_its_number() {
    let hello = decode_packet(&bytes(&NextPacket::Hello { since: NOW }), NOW);
    assert_eq!(hello, Err(PacketError::UnknownKind(7)));
}

#[test]
fn a_new_variant_in_a_link_leaves_its_place_readable() {
    let sealed = NextRouted::Sealed { tenure: tenure(), users: vec![UserId(Uuid::from_u128(1))] };
    let error = decode_packet(&bytes(&next_frame(sealed)), NOW).unwrap_err();
    assert!(matches!(error, PacketError::Frame { seq: 41, ack: 40, fault: Fault::Unknown(_) }), "{error}");
    // Damage behind the place as well.
    let mut damaged = bytes(&next_frame(not_mine(vec![])));
    damaged.truncate(damaged.len() - 4);
    let error = decode_packet(&damaged, NOW).unwrap_err();
    assert!(matches!(error, PacketError::Frame { seq: 41, ack: 40, fault: Fault::Malformed(_) }), "{error}");
}

/// `Option` fields of derived decoders take an unknown variant for absent, and lose their place over it.
#[test]
fn a_new_variant_in_an_optional_field_is_not_taken_for_absent() {
    let replica = Replica {
        session: SessionId(Uuid::from_u128(3)),
        generation: 1,
        device: Device {
            id: Uuid::from_u128(4),
            user_id: UserId(Uuid::from_u128(5)),
            device_id: DeviceId::new("tv").unwrap(),
            device_name: "TV".into(),
            device_type: "tv".into(),
            is_online: true,
            last_seen: None,
            created_at: NOW,
        },
        family: Uuid::from_u128(6),
        caps: Caps { acks: true, max_streams: 1 },
        away: Some((NOW, Detach::Slow { handed: 77 })),
        acked: 0,
        last_seq: 0,
        window: vec![],
        next_number: 1,
        open: vec![],
        settled: vec![],
        heard: vec![],
        view: vec![],
        live: vec![],
        over: vec![],
        lossy: false,
        floor: 0,
        confirmed: vec![],
    };
    let conn = ConnId { gateway: GatewayId(8), number: 9 };
    let up = Up::Announce { conn, epoch: 1, replica: Box::new(replica) };
    let frame = ToHub { user: UserId(Uuid::from_u128(5)), up };
    let old = bytes(&next_frame(NextRouted::ToHub { tenure: tenure(), frame }));
    assert!(decode_packet(&old, NOW).is_ok());

    let known = bytes(&Detach::Slow { handed: 77 });
    let unknown = bytes(&NextDetach::Stolen { by: 1, at: 2 });
    let at = old.windows(known.len()).position(|window| window == known).unwrap();
    let new = [&old[..at], &unknown, &old[at + known.len()..]].concat();
    let error = decode_packet(&new, NOW).unwrap_err();
    assert!(matches!(error, PacketError::Frame { seq: 41, ack: 40, fault: Fault::Unknown(_) }), "{error}");

    // And a number that stands for nothing, where the rest would fit one place further on.
    let mut stats = Vec::new();
    Encoder::new(&mut stats).array(3).and_then(|e| e.u8(9)?.null()?.u8(20)).unwrap();
    assert!(minicbor::decode::<StreamStats>(&stats).is_err());
    let stats = StreamStats { connection_type: Some(ConnectionType::Relay), ..StreamStats::default() };
    assert_eq!(read::<StreamStats>(&bytes(&stats)), stats);
}
