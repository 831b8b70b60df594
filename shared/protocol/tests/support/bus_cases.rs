//! One of everything that a process tells another, with every field that it can have.

use streamz_protocol::bus::{
    Attach, Attached, Caps, Class, Detach, DeviceChange, Down, Frame, Heard, IceGenerations, Item,
    LiveStream, Message, Open, OpenMessage, Over, Progress, Replica, Resume, Settled, ToGateway, ToHub, Up,
};
use streamz_protocol::client::{Command, RelayKind, Ufrag};
use streamz_protocol::cluster::{Assignment, Epoch, Packet, Routed, Slot, Tenure};
use streamz_protocol::objects::{
    ConnectionType, Device, DeviceRef, Stream, StreamState, StreamStats, StreamType,
};
use streamz_protocol::server::{Body, Failed, SdpPayload, ServerMessage};
use streamz_protocol::{
    CloseCode, ConnId, DeviceId, GatewayId, MessageId, Mid, Millis, NodeId, ProcessId, Reason, SessionId,
    StreamId, TraceContext, UserId,
};
use uuid::{Uuid, uuid};

/// 2027-01-15T08:30:00.000Z: when all of this is sent.
pub(crate) const NOW: Millis = Millis(1_800_001_800_000);

const USER: UserId = UserId(uuid!("0198c2a4-5d10-7c3e-9a41-6f2b8d0e4c17"));
const OTHER_USER: UserId = UserId(uuid!("0198c2a4-5d11-7a0b-8f63-d94e1c7a2b58"));
const PHONE_ROW: Uuid = uuid!("0198c2a4-61f2-7d09-8b3a-2e9c5f7a1d40");
const TV_ROW: Uuid = uuid!("0198c2a4-6b88-7a55-b1c6-90d3e4f82a6b");
const STREAM: StreamId = StreamId(uuid!("0198c2b1-0e4d-7f26-9c08-b7a15d3e6f92"));
const PHONE_SESSION: SessionId = SessionId(uuid!("7d9e1c52-3b4f-4a86-8e07-c5d2f19b0a63"));
const TV_SESSION: SessionId = SessionId(uuid!("b3f0a7d8-92c1-4e5b-a6f4-1d8c7e2b5039"));
const FAMILY: Uuid = uuid!("5c1de8f2-07b6-4f39-9a15-2b7e60c4d381");
const GATEWAY: GatewayId = GatewayId(0x1f3a_90c2_5be7_4d68);
const NODE: NodeId = NodeId(0x6b02_d7e4_118f_93ac);
const CONN: ConnId = ConnId { gateway: GATEWAY, number: 1_207 };

fn phone() -> DeviceId {
    DeviceId::new("phone-7f3a").unwrap()
}

fn tv() -> DeviceId {
    DeviceId::new("living-room-tv").unwrap()
}

fn porch() -> DeviceId {
    DeviceId::new("porch-camera").unwrap()
}

fn id(text: &str) -> MessageId {
    MessageId::new(text).unwrap()
}

/// So many milliseconds ago.
fn ago(millis: u64) -> Millis {
    Millis(NOW.0 - millis)
}

fn tenure() -> Tenure {
    Tenure { slot: Slot::of(USER), epoch: Epoch(17) }
}

fn device(row: Uuid, device_id: DeviceId, name: &str, kind: &str, online: bool) -> Device {
    Device {
        id: row,
        user_id: USER,
        device_id,
        device_name: name.into(),
        device_type: kind.into(),
        is_online: online,
        last_seen: online.then(|| ago(1_500)),
        created_at: ago(86_400_000),
    }
}

fn ada() -> Device {
    device(PHONE_ROW, phone(), "Ada’s phone", "phone", true)
}

fn screen() -> Device {
    device(TV_ROW, tv(), "Living room", "tv", false)
}

fn offer() -> Body {
    let sdp = SdpPayload { from_device_id: phone(), stream_id: Some(STREAM), sdp: "v=0\r\n…".into() };
    Body::with(&ServerMessage::SdpOffer(sdp), None, Some(Mid { session: PHONE_SESSION, number: 2 }))
}

fn relay(kind: RelayKind) -> Command {
    let ufrags = vec![Ufrag::of("Vx3/"), Ufrag::of("h+9K")];
    Command::Relay { kind, stream: Some(STREAM), ufrags, body: offer() }
}

fn message(number: u64, command: Command) -> Message {
    Message {
        number,
        id: Some(id("m-2")),
        to: Some(tv()),
        digest: 0xa434_2838_afa2_8bd6,
        accepted_at: ago(250),
        command,
        trace: trace(),
    }
}

fn open(number: u64) -> Open {
    Open { number, id: id("m-3"), digest: 7, accepted_at: ago(2_000) }
}

fn settled() -> Settled {
    let failed = vec![Failed { device_id: porch(), reason: Reason::Offline }];
    let outcome = Body::not_delivered(&id("m-1"), Reason::Offline, failed);
    Settled { id: id("m-1"), digest: u64::MAX, outcome, at: ago(30_000) }
}

fn heard() -> Vec<Heard> {
    vec![Heard { sender: TV_SESSION, up_to: 12, late: vec![9, 11] }]
}

fn stats() -> StreamStats {
    StreamStats {
        connection_type: Some(ConnectionType::Relay),
        quality: Some("1080p".into()),
        latency_ms: Some(23),
    }
}

fn live() -> LiveStream {
    LiveStream {
        id: STREAM,
        revision: 3,
        origin: Mid { session: PHONE_SESSION, number: 1 },
        initiator: phone(),
        source: phone(),
        stream_type: StreamType::Screen,
        started_at: ago(4_000),
        rung: vec![tv(), porch()],
        ringing: vec![],
        accepted: Some(tv()),
        stats: stats(),
        ice: vec![IceGenerations {
            device: phone(),
            current: vec![Ufrag(1)],
            older: vec![Ufrag(2), Ufrag(3)],
        }],
        progress: Some(Box::new(Progress {
            accepted_at: Some(ago(2_500)),
            trace: trace(),
            ..Progress::default()
        })),
    }
}

/// Only one kind belongs to a recorded trace: without one there is nothing of it on the wire.
fn trace_of(down: &Down) -> Option<TraceContext> {
    trace().filter(|_| matches!(down, Down::Batch(_)))
}

fn trace() -> Option<TraceContext> {
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().ok()
}

fn over() -> Over {
    Over { id: STREAM, origin: Mid { session: TV_SESSION, number: 5 }, ended: true }
}

fn frames() -> Vec<Frame> {
    let frame = |seq, class, message| Frame { seq, class, body: Body::of(&message) };
    let relayed = Class::Message { mid: Mid { session: PHONE_SESSION, number: 2 }, late: true };
    vec![
        Frame { seq: 40, class: relayed, body: offer() },
        frame(
            41,
            Class::Presence { device: tv(), online: false },
            ServerMessage::DeviceOffline { device_id: tv() },
        ),
        frame(42, Class::Outcome { number: 6 }, ServerMessage::Delivered { id: id("m-6") }),
        frame(43, Class::State, ServerMessage::DeviceRemoved { device_id: porch() }),
    ]
}

fn stream() -> Stream {
    Stream {
        id: STREAM,
        user_id: USER,
        source_device_id: Some(PHONE_ROW),
        target_device_id: None,
        stream_type: StreamType::Both,
        started_at: ago(4_000),
        ended_at: None,
        connection_type: Some(ConnectionType::P2p),
        quality: None,
        latency_ms: Some(8),
        source_device: Some(DeviceRef {
            id: PHONE_ROW,
            device_id: phone(),
            device_name: "Ada’s phone".into(),
        }),
        target_device: None,
        state: StreamState::Ringing,
        from_device_id: phone(),
        to: vec![tv(), porch()],
    }
}

fn attached() -> Attached {
    Attached {
        attempt: 2,
        session: PHONE_SESSION,
        generation: 4,
        resumed: true,
        device: ada(),
        devices: vec![ada(), screen()],
        missed: vec![porch()],
        streams: vec![stream()],
        acked: 39,
        last_seq: 43,
        lossy: true,
        floor: 38,
        replay: frames(),
        next_number: 8,
        open: vec![open(7)],
        settled: vec![settled()],
        heard: heard(),
        live: vec![live()],
    }
}

fn replica() -> Replica {
    Replica {
        session: PHONE_SESSION,
        generation: 4,
        device: ada(),
        family: FAMILY,
        caps: Caps { acks: true, max_streams: 1 },
        away: Some((ago(700), Detach::Slow { handed: 43 })),
        acked: 39,
        last_seq: 43,
        window: frames(),
        next_number: 8,
        open: vec![
            OpenMessage::Whole(Box::new(message(2, relay(RelayKind::SdpOffer)))),
            OpenMessage::Again(Box::new(message(5, Command::StreamAccept { stream: STREAM }))),
            OpenMessage::Awaited(open(7)),
        ],
        settled: vec![settled()],
        heard: heard(),
        view: vec![tv()],
        live: vec![live()],
        over: vec![over()],
        lossy: false,
        floor: 0,
        confirmed: vec![Mid { session: TV_SESSION, number: 3 }],
    }
}

fn ups() -> Vec<Up> {
    let attach = Attach {
        attempt: 2,
        device: phone(),
        name: Some("Ada’s phone".into()),
        device_type: Some("phone".into()),
        family: FAMILY,
        caps: Caps { acks: true, max_streams: 3 },
        resume: Some(Resume { session: PHONE_SESSION, last_seq: 39 }),
        trace: trace(),
    };
    let start = Command::StreamStart { stream_type: StreamType::Video, source: Some(porch()) };
    let reason = || Some("not now".into());
    let commands = [
        start,
        Command::StreamAccept { stream: STREAM },
        Command::StreamDecline { stream: STREAM, reason: reason() },
        Command::StreamEnd { stream: STREAM, reason: reason() },
        Command::StreamStats { stream: STREAM, stats: stats() },
        relay(RelayKind::SdpOffer),
        relay(RelayKind::SdpAnswer),
        relay(RelayKind::IceCandidate),
    ];
    let mut ups = vec![
        Up::Attach(CONN, Box::new(attach)),
        Up::Ack(CONN, 41),
        Up::Detach(CONN, Detach::Clean),
        Up::Detach(CONN, Detach::Lost),
        Up::Detach(CONN, Detach::Slow { handed: 300 }),
        Up::Gone(CONN),
        Up::Roster { gateway: GATEWAY, epoch: 17 << 24 | 1, conns: vec![CONN, ConnId { number: 9, ..CONN }] },
        Up::Announce { conn: CONN, epoch: 17 << 24 | 1, replica: Box::new(replica()) },
        Up::Devices(DeviceChange::Put(Box::new(screen()))),
        Up::Devices(DeviceChange::Removed(porch())),
        Up::Recheck,
        Up::Revoke { family: FAMILY },
        Up::WhoIsOnline { gateway: GATEWAY, request: 12 },
    ];
    ups.extend(commands.map(|command| Up::Message(CONN, Box::new(message(2, command)))));
    ups
}

fn downs() -> Vec<Down> {
    let mut items: Vec<Item> = frames().into_iter().map(Item::Frame).collect();
    items.extend([Item::Plain(Body::of(&ServerMessage::Pong {})), Item::Stream(Box::new(live()))]);
    items.push(Item::StreamOver(over()));
    vec![
        Down::Attached(Box::new(attached())),
        Down::Refused(CloseCode::TooManyDevices),
        Down::Batch(items),
        Down::Close(CloseCode::Replaced),
        Down::Forget,
    ]
}

/// One packet of each kind.
pub(crate) fn packets() -> Vec<Packet> {
    let to_gateway = |frame| Routed::ToGateway { tenure: tenure(), frame };
    let tenures = vec![tenure(), Tenure { slot: Slot::new(4_095).unwrap(), epoch: Epoch(1) }];
    let mut routed: Vec<Routed> = ups()
        .into_iter()
        .map(|up| Routed::ToHub { tenure: tenure(), frame: ToHub { user: USER, up } })
        .collect();
    routed.extend(
        downs().into_iter().map(|down| to_gateway(ToGateway::Conn(CONN, down.clone(), trace_of(&down)))),
    );
    routed.extend([
        to_gateway(ToGateway::Roll { user: USER, epoch: 17 << 24 | 1 }),
        to_gateway(ToGateway::Online { request: 12, devices: vec![phone(), tv()] }),
        Routed::Claim { node: NODE, tenures: tenures.clone() },
        Routed::Claimed { gateway: GATEWAY, tenures, users: vec![USER, OTHER_USER] },
        Routed::NotMine { tenure: tenure() },
    ]);
    let frame = |routed| Packet::Frame { seq: 70_001, ack: 69_998, frame: std::sync::Arc::new(routed) };
    let mut packets: Vec<Packet> = routed.into_iter().map(frame).collect();
    let free = Tenure { slot: Slot::new(0).unwrap(), epoch: Epoch(0) };
    packets.extend([
        Packet::Ack { ack: 69_998 },
        Packet::Beat { coordinator: 6, version: 912 },
        Packet::Table {
            version: 913,
            changes: vec![
                Assignment { tenure: tenure(), owner: Some(NODE) },
                Assignment { tenure: free, owner: None },
            ],
        },
        Packet::Report { dead: ProcessId::from(NODE), silent_ms: 300 },
        Packet::Revoked { family: FAMILY, at: ago(15), user: Some(UserId(FAMILY)) },
        Packet::Evicted,
    ]);
    packets
}
