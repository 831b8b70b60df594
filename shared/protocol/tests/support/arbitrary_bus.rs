//! Arbitrary values of everything that processes tell each other.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use streamz_protocol::bus::{
    Attach, Attached, Caps, Class, Detach, DeviceChange, Down, Frame, Heard, IceGenerations, Item,
    LiveStream, Message, Open, OpenMessage, Over, Progress, Replica, Resume, Settled, ToGateway, ToHub, Up,
};
use streamz_protocol::client::{Command, RelayKind, Ufrag};
use streamz_protocol::cluster::{Assignment, Epoch, Packet, Routed, SLOTS, Slot, Tenure};
use streamz_protocol::objects::StreamStats;
use streamz_protocol::server::Body;
use streamz_protocol::{
    CloseCode, ConnId, GatewayId, Millis, NodeId, ProcessId, SessionId, TraceContext, UserId,
};

use crate::arbitrary::{
    PATHS, STREAM_TYPES, device, device_id, message_id, mid, server_message, stream, stream_id, text, uuid,
};

/// Any time at all, and times that are likely.
pub(crate) fn instant() -> impl Strategy<Value = Millis> {
    prop_oneof![
        any::<u64>(),
        1_800_000_000_000..1_800_000_100_000_u64,
        prop::sample::select(vec![0, 1, u64::MAX]),
    ]
    .prop_map(Millis)
}

fn body() -> BoxedStrategy<Body> {
    (server_message(), option::of(message_id()), option::of(mid()))
        .prop_map(|(message, id, mid)| Body::with(&message, id.as_ref(), mid))
        .boxed()
}

fn conn() -> impl Strategy<Value = ConnId> {
    any::<(u64, u64)>().prop_map(|(gateway, number)| ConnId { gateway: GatewayId(gateway), number })
}

fn ufrags() -> impl Strategy<Value = Vec<Ufrag>> {
    vec(any::<u64>().prop_map(Ufrag), 0..4)
}

fn caps() -> impl Strategy<Value = Caps> {
    any::<(bool, u16)>().prop_map(|(acks, max_streams)| Caps { acks, max_streams })
}

fn attach() -> BoxedStrategy<Attach> {
    let resume = (uuid(), any::<u64>())
        .prop_map(|(session, last_seq)| Resume { session: SessionId(session), last_seq });
    (
        any::<u32>(),
        device_id(),
        option::of(text()),
        option::of(text()),
        uuid(),
        caps(),
        (option::of(resume), option::of(trace())),
    )
        .prop_map(|(attempt, device, name, kind, family, caps, (resume, trace))| Attach {
            attempt,
            device,
            name: name.map(Into::into),
            device_type: kind.map(Into::into),
            family,
            caps,
            resume,
            trace,
        })
        .boxed()
}

fn stats() -> BoxedStrategy<StreamStats> {
    (option::of(prop::sample::select(&PATHS)), option::of(text()), option::of(any::<u32>()))
        .prop_map(|(connection_type, quality, latency_ms)| StreamStats {
            connection_type,
            quality,
            latency_ms,
        })
        .boxed()
}

fn command() -> BoxedStrategy<Command> {
    let kinds = vec![RelayKind::SdpOffer, RelayKind::SdpAnswer, RelayKind::IceCandidate];
    let one = prop_oneof![
        (prop::sample::select(&STREAM_TYPES), option::of(device_id()))
            .prop_map(|(stream_type, source)| Command::StreamStart { stream_type, source }),
        stream_id().prop_map(|stream| Command::StreamAccept { stream }),
        (stream_id(), option::of(text()))
            .prop_map(|(stream, reason)| Command::StreamDecline { stream, reason }),
        (stream_id(), option::of(text())).prop_map(|(stream, reason)| Command::StreamEnd { stream, reason }),
        (stream_id(), stats()).prop_map(|(stream, stats)| Command::StreamStats { stream, stats }),
        (prop::sample::select(kinds), option::of(stream_id()), ufrags(), body())
            .prop_map(|(kind, stream, ufrags, body)| Command::Relay { kind, stream, ufrags, body }),
    ];
    one.boxed()
}

fn message() -> BoxedStrategy<Box<Message>> {
    let of = (any::<u64>(), option::of(message_id()), option::of(device_id()), any::<u64>());
    (of, instant(), command())
        .prop_map(|((number, id, to, digest), accepted_at, command)| {
            let trace = (number % 2 == 0).then(|| format!("00-{digest:032x}-{:016x}-01", number | 1));
            let trace = trace.and_then(|trace| trace.parse().ok());
            Box::new(Message { number, id, to, digest, accepted_at, command, trace })
        })
        .boxed()
}

fn detach() -> impl Strategy<Value = Detach> {
    prop_oneof![
        Just(Detach::Clean),
        Just(Detach::Lost),
        any::<u64>().prop_map(|handed| Detach::Slow { handed }),
    ]
}

fn frame() -> BoxedStrategy<Frame> {
    let class = prop_oneof![
        (mid(), any::<bool>()).prop_map(|(mid, late)| Class::Message { mid, late }),
        (device_id(), any::<bool>()).prop_map(|(device, online)| Class::Presence { device, online }),
        any::<u64>().prop_map(|number| Class::Outcome { number }),
        Just(Class::State),
    ];
    (any::<u64>(), class, body()).prop_map(|(seq, class, body)| Frame { seq, class, body }).boxed()
}

fn open() -> impl Strategy<Value = Open> {
    (any::<u64>(), message_id(), any::<u64>(), instant()).prop_map(|(number, id, digest, accepted_at)| Open {
        number,
        id,
        digest,
        accepted_at,
    })
}

fn settled() -> BoxedStrategy<Settled> {
    (message_id(), any::<u64>(), body(), instant())
        .prop_map(|(id, digest, outcome, at)| Settled { id, digest, outcome, at })
        .boxed()
}

fn heard() -> impl Strategy<Value = Heard> {
    (uuid(), any::<u64>(), vec(any::<u64>(), 0..5)).prop_map(|(sender, up_to, late)| Heard {
        sender: SessionId(sender),
        up_to,
        late,
    })
}

fn over() -> impl Strategy<Value = Over> {
    (stream_id(), mid(), any::<bool>()).prop_map(|(id, origin, ended)| Over { id, origin, ended })
}

pub(crate) fn trace() -> impl Strategy<Value = TraceContext> {
    any::<(u128, u64, bool)>()
        .prop_map(|(trace, span, sampled)| TraceContext::new(trace | 1, span | 1, sampled))
}

fn progress() -> impl Strategy<Value = Progress> {
    let at = || option::of(instant());
    (at(), at(), at(), at(), option::of(trace())).prop_map(
        |(accepted_at, offered_at, answered_at, connected_at, trace)| Progress {
            accepted_at,
            offered_at,
            answered_at,
            connected_at,
            trace,
        },
    )
}

fn live() -> BoxedStrategy<LiveStream> {
    let ice = (device_id(), ufrags(), ufrags()).prop_map(|(device, current, older)| IceGenerations {
        device,
        current,
        older,
    });
    (
        (stream_id(), any::<u64>(), mid(), device_id(), device_id()),
        (prop::sample::select(&STREAM_TYPES), instant(), stats(), vec(ice, 0..3), option::of(progress())),
        (vec(device_id(), 0..3), vec(device_id(), 0..3), option::of(device_id())),
    )
        .prop_map(|(of, state, devices)| LiveStream {
            id: of.0,
            revision: of.1,
            origin: of.2,
            initiator: of.3,
            source: of.4,
            stream_type: state.0,
            started_at: state.1,
            stats: state.2,
            ice: state.3,
            rung: devices.0,
            ringing: devices.1,
            accepted: devices.2,
            progress: state.4.map(Box::new),
        })
        .boxed()
}

fn attached() -> BoxedStrategy<Attached> {
    (
        (
            any::<u32>(),
            uuid(),
            any::<u64>(),
            any::<bool>(),
            device(),
            vec(device(), 0..3),
            vec(device_id(), 0..3),
        ),
        (vec(stream(), 0..2), any::<(u64, u64, bool, u64, u64)>(), vec(frame(), 0..4)),
        (vec(open(), 0..3), vec(settled(), 0..3), vec(heard(), 0..3), vec(live(), 0..2)),
    )
        .prop_map(|(who, (streams, (acked, last_seq, lossy, floor, next_number), replay), rest)| Attached {
            attempt: who.0,
            session: SessionId(who.1),
            generation: who.2,
            resumed: who.3,
            device: who.4,
            devices: who.5,
            missed: who.6,
            streams,
            acked,
            last_seq,
            lossy,
            floor,
            replay,
            next_number,
            open: rest.0,
            settled: rest.1,
            heard: rest.2,
            live: rest.3,
        })
        .boxed()
}

fn replica() -> BoxedStrategy<Replica> {
    let message = prop_oneof![
        message().prop_map(OpenMessage::Whole),
        message().prop_map(OpenMessage::Again),
        open().prop_map(OpenMessage::Awaited),
    ];
    (
        (uuid(), any::<u64>(), device(), uuid(), caps(), option::of((instant(), detach()))),
        (any::<(u64, u64, u64, bool, u64)>(), vec(frame(), 0..4), vec(message, 0..4)),
        (
            vec(settled(), 0..3),
            vec(heard(), 0..3),
            vec(device_id(), 0..3),
            vec(live(), 0..2),
            vec(over(), 0..3),
            vec(mid(), 0..3),
        ),
    )
        .prop_map(|(who, ((acked, last_seq, next_number, lossy, floor), window, open), rest)| Replica {
            session: SessionId(who.0),
            generation: who.1,
            device: who.2,
            family: who.3,
            caps: who.4,
            away: who.5,
            acked,
            last_seq,
            window,
            next_number,
            open,
            settled: rest.0,
            heard: rest.1,
            view: rest.2,
            live: rest.3,
            over: rest.4,
            lossy,
            floor,
            confirmed: rest.5,
        })
        .boxed()
}

fn up() -> BoxedStrategy<Up> {
    let gateway = || any::<u64>().prop_map(GatewayId);
    let one = prop_oneof![
        (conn(), attach()).prop_map(|(conn, attach)| Up::Attach(conn, Box::new(attach))),
        (conn(), message()).prop_map(|(conn, message)| Up::Message(conn, message)),
        (conn(), any::<u64>()).prop_map(|(conn, seq)| Up::Ack(conn, seq)),
        (conn(), detach()).prop_map(|(conn, detach)| Up::Detach(conn, detach)),
        conn().prop_map(Up::Gone),
        (gateway(), any::<u64>(), vec(conn(), 0..4)).prop_map(|(gateway, epoch, conns)| Up::Roster {
            gateway,
            epoch,
            conns
        }),
        (conn(), any::<u64>(), replica().prop_map(Box::new))
            .prop_map(|(conn, epoch, replica)| Up::Announce { conn, epoch, replica }),
        device().prop_map(|device| Up::Devices(DeviceChange::Put(Box::new(device)))),
        device_id().prop_map(|device| Up::Devices(DeviceChange::Removed(device))),
        uuid().prop_map(|family| Up::Revoke { family }),
        Just(Up::Recheck),
        (gateway(), any::<u64>()).prop_map(|(gateway, request)| Up::WhoIsOnline { gateway, request }),
    ];
    one.boxed()
}

fn down() -> BoxedStrategy<Down> {
    let item = prop_oneof![
        frame().prop_map(Item::Frame),
        body().prop_map(Item::Plain),
        live().prop_map(|live| Item::Stream(Box::new(live))),
        over().prop_map(Item::StreamOver),
    ];
    let one = prop_oneof![
        attached().prop_map(|attached| Down::Attached(Box::new(attached))),
        prop::sample::select(CloseCode::ALL).prop_map(Down::Refused),
        vec(item, 0..5).prop_map(Down::Batch),
        prop::sample::select(CloseCode::ALL).prop_map(Down::Close),
        Just(Down::Forget),
    ];
    one.boxed()
}

fn tenure() -> impl Strategy<Value = Tenure> {
    (0..SLOTS, any::<u64>())
        .prop_map(|(slot, epoch)| Tenure { slot: Slot::new(slot).unwrap(), epoch: Epoch(epoch) })
}

fn routed() -> BoxedStrategy<Routed> {
    let user = || uuid().prop_map(UserId);
    let to_gateway = prop_oneof![
        3 => (conn(), down(), option::of(trace())).prop_map(|(conn, down, trace)| ToGateway::Conn(conn, down, trace)),
        1 => (user(), any::<u64>()).prop_map(|(user, epoch)| ToGateway::Roll { user, epoch }),
        1 => (any::<u64>(), vec(device_id(), 0..4))
            .prop_map(|(request, devices)| ToGateway::Online { request, devices }),
    ];
    let one = prop_oneof![
        4 => (tenure(), user(), up())
            .prop_map(|(tenure, user, up)| Routed::ToHub { tenure, frame: ToHub { user, up } }),
        4 => (tenure(), to_gateway).prop_map(|(tenure, frame)| Routed::ToGateway { tenure, frame }),
        1 => (any::<u64>(), vec(tenure(), 0..6))
            .prop_map(|(node, tenures)| Routed::Claim { node: NodeId(node), tenures }),
        1 => (any::<u64>(), vec(tenure(), 0..6), vec(user(), 0..4)).prop_map(|(gateway, tenures, users)| {
            Routed::Claimed { gateway: GatewayId(gateway), tenures, users }
        }),
        1 => tenure().prop_map(|tenure| Routed::NotMine { tenure }),
    ];
    one.boxed()
}

/// Anything that a process may tell another.
pub(crate) fn packet() -> BoxedStrategy<Packet> {
    let assignment = (tenure(), option::of(any::<u64>().prop_map(NodeId)))
        .prop_map(|(tenure, owner)| Assignment { tenure, owner });
    let one = prop_oneof![
        10 => (any::<u64>(), any::<u64>(), routed().prop_map(std::sync::Arc::new))
            .prop_map(|(seq, ack, frame)| Packet::Frame { seq, ack, frame }),
        1 => any::<u64>().prop_map(|ack| Packet::Ack { ack }),
        1 => any::<(u64, u64)>()
            .prop_map(|(coordinator, version)| Packet::Beat { coordinator, version }),
        1 => (any::<u64>(), vec(assignment, 0..6))
            .prop_map(|(version, changes)| Packet::Table { version, changes }),
        1 => any::<(u64, u64)>()
            .prop_map(|(dead, silent_ms)| Packet::Report { dead: ProcessId(dead), silent_ms }),
        1 => (uuid(), instant()).prop_map(|(family, at)| Packet::Revoked { family, at, user: None }),
        1 => Just(Packet::Evicted),
    ];
    one.boxed()
}
