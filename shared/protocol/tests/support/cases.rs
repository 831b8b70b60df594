//! One call, told in frames: Ada's phone rings her television, and everything that can be said is said once.

use streamz_protocol::client::{ClientFrame, ClientMessage, Command, Draft, RelayKind, Ufrag};
use streamz_protocol::client_encode::{self, Candidate, Outgoing};
use streamz_protocol::objects::{
    ConnectionType, Device, DeviceRef, IceServer, Stream, StreamState, StreamStats, StreamType,
};
use streamz_protocol::server::{Failed, SdpPayload, ServerFrame, ServerMessage, Welcome};
use streamz_protocol::{DeviceId, ErrorCode, MessageId, Mid, Millis, Reason, SessionId, StreamId, UserId};
use uuid::{Uuid, uuid};

const USER: UserId = UserId(uuid!("0198c2a4-5d10-7c3e-9a41-6f2b8d0e4c17"));
const PHONE_ROW: Uuid = uuid!("0198c2a4-61f2-7d09-8b3a-2e9c5f7a1d40");
const TV_ROW: Uuid = uuid!("0198c2a4-6b88-7a55-b1c6-90d3e4f82a6b");
const STREAM: StreamId = StreamId(uuid!("0198c2b1-0e4d-7f26-9c08-b7a15d3e6f92"));
/// The phone's session.
pub(crate) const PHONE_SESSION: SessionId = SessionId(uuid!("7d9e1c52-3b4f-4a86-8e07-c5d2f19b0a63"));
/// The television's session.
pub(crate) const TV_SESSION: SessionId = SessionId(uuid!("b3f0a7d8-92c1-4e5b-a6f4-1d8c7e2b5039"));

/// 2027-01-15T08:30:00.000Z.
const MORNING: u64 = 1_800_001_800_000;

const OFFER: &str = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:Vx3/\r\n\
    a=ice-pwd:p8Tq1Zs0mB7wYc4KdH2nLf6R\r\na=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\n";
const ANSWER: &str = "v=0\r\no=- 7720138562904410083 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:h+9K\r\n\
    a=ice-pwd:Jw5uE3xRt9Ga0VnQ7iPz1oMb\r\na=setup:active\r\na=mid:0\r\na=sctp-port:5000\r\n";
const CANDIDATE: &str =
    "candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 0.0.0.0 rport 0";
const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIwMTk4YzJhNCJ9.c2lnbmF0dXJl";

macro_rules! kinds {
    ($(#[$doc:meta])* $all:ident, $name_of:ident($message:ty) { $($pattern:pat => $name:literal,)* }) => {
        $(#[$doc])*
        pub(crate) const $all: &[&str] = &[$($name,)*];

        /// The `type` on the wire. A new kind of message does not compile until it has a name here, and does not
        /// pass until it has a golden file.
        pub(crate) fn $name_of(message: &$message) -> &'static str {
            match message { $($pattern => $name,)* }
        }
    };
}

kinds!(
    /// Everything that a server says.
    SERVER_KINDS, server_kind(ServerMessage) {
        ServerMessage::Welcome(_) => "welcome",
        ServerMessage::DeviceOnline { .. } => "device_online",
        ServerMessage::DeviceOffline { .. } => "device_offline",
        ServerMessage::DeviceUpdated(_) => "device_updated",
        ServerMessage::DeviceRemoved { .. } => "device_removed",
        ServerMessage::StreamRinging { .. } => "stream_ringing",
        ServerMessage::StreamStart { .. } => "stream_start",
        ServerMessage::StreamAccept { .. } => "stream_accept",
        ServerMessage::StreamDecline { .. } => "stream_decline",
        ServerMessage::StreamEnd { .. } => "stream_end",
        ServerMessage::SdpOffer(_) => "sdp_offer",
        ServerMessage::SdpAnswer(_) => "sdp_answer",
        ServerMessage::IceCandidate { .. } => "ice_candidate",
        ServerMessage::Delivered { .. } => "delivered",
        ServerMessage::NotDelivered { .. } => "not_delivered",
        ServerMessage::IceServers { .. } => "ice_servers",
        ServerMessage::TokenExpiring { .. } => "token_expiring",
        ServerMessage::Reconnect { .. } => "reconnect",
        ServerMessage::Pong {} => "pong",
        ServerMessage::Error { .. } => "error",
    }
);

kinds!(
    /// Everything that a device says.
    CLIENT_KINDS, client_kind(ClientMessage) {
        ClientMessage::Command { command: Draft::Whole(Command::StreamStart { .. }), .. } => "stream_start",
        ClientMessage::Command { command: Draft::Whole(Command::StreamAccept { .. }), .. } => "stream_accept",
        ClientMessage::Command { command: Draft::Whole(Command::StreamDecline { .. }), .. } => "stream_decline",
        ClientMessage::Command { command: Draft::Whole(Command::StreamEnd { .. }), .. } => "stream_end",
        ClientMessage::Command { command: Draft::Whole(Command::StreamStats { .. }), .. } => "stream_stats",
        ClientMessage::Command {
            command: Draft::Relay { kind: RelayKind::SdpOffer, .. }
                | Draft::Whole(Command::Relay { kind: RelayKind::SdpOffer, .. }),
            ..
        } => "sdp_offer",
        ClientMessage::Command {
            command: Draft::Relay { kind: RelayKind::SdpAnswer, .. }
                | Draft::Whole(Command::Relay { kind: RelayKind::SdpAnswer, .. }),
            ..
        } => "sdp_answer",
        ClientMessage::Command {
            command: Draft::Relay { kind: RelayKind::IceCandidate, .. }
                | Draft::Whole(Command::Relay { kind: RelayKind::IceCandidate, .. }),
            ..
        } => "ice_candidate",
        ClientMessage::Ack { .. } => "ack",
        // No device says `Answered`: it is what a gateway makes of a frame that it answers itself.
        ClientMessage::Ping | ClientMessage::Command { command: Draft::Whole(Command::Answered(_)), .. } => "ping",
        ClientMessage::Auth { .. } => "auth",
    }
);

/// The phone's name for itself.
pub(crate) fn phone() -> DeviceId {
    DeviceId::new("phone-7f3a").unwrap()
}

/// The television's name for itself.
pub(crate) fn tv() -> DeviceId {
    DeviceId::new("living-room-tv").unwrap()
}

fn porch() -> DeviceId {
    DeviceId::new("porch-camera").unwrap()
}

fn id(text: &str) -> Option<MessageId> {
    Some(MessageId::new(text).unwrap())
}

fn device(row: Uuid, device_id: DeviceId, name: &str, kind: &str) -> Device {
    Device {
        id: row,
        user_id: USER,
        device_id,
        device_name: name.into(),
        device_type: kind.into(),
        is_online: true,
        last_seen: Some(Millis(MORNING)),
        created_at: Millis(MORNING - 86_400_000),
    }
}

fn live_stream() -> Stream {
    let reference = |id, device_id, name: &str| DeviceRef { id, device_id, device_name: name.into() };
    Stream {
        id: STREAM,
        user_id: USER,
        source_device_id: Some(PHONE_ROW),
        target_device_id: Some(TV_ROW),
        stream_type: StreamType::Data,
        started_at: Millis(MORNING + 5_250),
        ended_at: None,
        connection_type: Some(ConnectionType::P2p),
        quality: Some("good".into()),
        latency_ms: Some(24),
        source_device: Some(reference(PHONE_ROW, phone(), "Ada's phone")),
        target_device: Some(reference(TV_ROW, tv(), "Living room")),
        state: StreamState::Active,
        from_device_id: phone(),
        to: vec![tv()],
    }
}

fn ice_servers() -> Vec<IceServer> {
    vec![
        IceServer { urls: vec!["stun:turn.example.org:3478".into()], username: None, credential: None },
        IceServer {
            urls: vec![
                "turn:turn.example.org:3478?transport=udp".into(),
                "turns:turn.example.org:5349?transport=tcp".into(),
            ],
            username: Some(format!("1800005400:{USER}")),
            credential: Some("6tHGDvZ0mHVxT5yKrM2bN4qC8eo=".into()),
        },
    ]
}

/// The frames as their receivers get them.
pub(crate) fn server_cases() -> Vec<ServerFrame> {
    let plain = |message| ServerFrame { seq: None, mid: None, id: None, message };
    let state = |seq, message| ServerFrame { seq: Some(seq), ..plain(message) };
    let outcome = |seq, id, message| ServerFrame { id, ..state(seq, message) };
    let relayed = |seq, session, number, message| ServerFrame {
        mid: Some(Mid { session, number }),
        ..state(seq, message)
    };
    let television = device(TV_ROW, tv(), "Living room", "tv");
    vec![
        plain(ServerMessage::Welcome(Box::new(Welcome {
            session_id: PHONE_SESSION,
            resumed: false,
            heartbeat_interval_ms: 25_000,
            resume_window_ms: 60_000,
            device: device(PHONE_ROW, phone(), "Ada's phone", "phone"),
            devices: vec![device(PHONE_ROW, phone(), "Ada's phone", "phone"), television.clone()],
            streams: vec![live_stream()],
            ice_servers: ice_servers(),
        }))),
        state(
            1,
            ServerMessage::DeviceOnline {
                device_id: tv(),
                device_name: "Living room".into(),
                device_type: "tv".into(),
            },
        ),
        outcome(
            2,
            id("m-1"),
            ServerMessage::StreamRinging { stream_id: STREAM, to: vec![tv()], id: id("m-1") },
        ),
        relayed(
            1,
            PHONE_SESSION,
            1,
            ServerMessage::StreamStart {
                stream_id: STREAM,
                from_device_id: phone(),
                stream_type: StreamType::Data,
                source_device_id: phone(),
            },
        ),
        relayed(4, TV_SESSION, 1, ServerMessage::StreamAccept { stream_id: STREAM, from_device_id: tv() }),
        relayed(
            4,
            TV_SESSION,
            1,
            ServerMessage::StreamDecline {
                stream_id: STREAM,
                from_device_id: tv(),
                reason: Some("do not disturb".into()),
            },
        ),
        relayed(
            2,
            PHONE_SESSION,
            2,
            ServerMessage::SdpOffer(SdpPayload {
                from_device_id: phone(),
                stream_id: Some(STREAM),
                sdp: OFFER.into(),
            }),
        ),
        relayed(
            6,
            TV_SESSION,
            2,
            ServerMessage::SdpAnswer(SdpPayload {
                from_device_id: tv(),
                stream_id: Some(STREAM),
                sdp: ANSWER.into(),
            }),
        ),
        relayed(
            3,
            PHONE_SESSION,
            3,
            ServerMessage::IceCandidate {
                from_device_id: phone(),
                stream_id: Some(STREAM),
                candidate: CANDIDATE.into(),
                sdp_mline_index: Some(0),
                sdp_mid: Some("0".into()),
                username_fragment: Some("Vx3/".into()),
            },
        ),
        outcome(5, id("m-2"), ServerMessage::Delivered { id: id("m-2").unwrap() }),
        outcome(
            9,
            id("m-5"),
            ServerMessage::NotDelivered {
                id: id("m-5").unwrap(),
                reason: Reason::Expired,
                failed: vec![Failed { device_id: porch(), reason: Reason::Expired }],
            },
        ),
        outcome(
            10,
            id("m-6"),
            ServerMessage::Error {
                code: ErrorCode::UnknownStream,
                message: "There is no live stream with this id that this device is a party of.".into(),
                id: id("m-6"),
            },
        ),
        state(
            11,
            ServerMessage::StreamEnd {
                stream_id: STREAM,
                from_device_id: Some(tv()),
                reason: "film is over".into(),
            },
        ),
        state(
            12,
            ServerMessage::DeviceUpdated(Box::new(Device { device_name: "Big screen".into(), ..television })),
        ),
        state(13, ServerMessage::DeviceOffline { device_id: tv() }),
        state(14, ServerMessage::DeviceRemoved { device_id: porch() }),
        plain(ServerMessage::IceServers { ice_servers: ice_servers() }),
        plain(ServerMessage::TokenExpiring { expires_in: 60 }),
        plain(ServerMessage::Reconnect { after_ms: 750 }),
        plain(ServerMessage::Pong {}),
    ]
}

/// A frame from a device: its text as our own client writes it, and what the server reads.
pub(crate) struct ClientCase {
    /// What goes over the wire.
    pub(crate) text: String,
    /// What is understood.
    pub(crate) frame: ClientFrame,
}

/// The frames as devices send them.
pub(crate) fn client_cases() -> Vec<ClientCase> {
    let command = |out: Outgoing, id: Option<MessageId>, to, command| ClientCase {
        text: out.encode(id.as_ref()),
        frame: ClientFrame { id, trace: None, message: ClientMessage::Command { to, command } },
    };
    let whole = |out, id, to, of| command(out, id, to, Draft::Whole(of));
    let relay = |out: Outgoing, id, to: DeviceId, kind, ufrag, content: String| {
        let fields = format!("\"stream_id\":\"{STREAM}\",{content}");
        let draft = Draft::Relay { kind, stream: Some(STREAM), ufrags: vec![Ufrag::of(ufrag)], fields };
        command(out.to(to.clone()).in_stream(STREAM), id, Some(to), draft)
    };
    let bare = |text, message| ClientCase { text, frame: ClientFrame { id: None, trace: None, message } };
    let json = |text: &str| serde_json::to_string(text).unwrap();
    let stats = StreamStats {
        connection_type: Some(ConnectionType::P2p),
        quality: Some("good".into()),
        latency_ms: Some(24),
    };
    let candidate = Candidate {
        sdp_mid: Some("0".into()),
        username_fragment: Some("Vx3/".into()),
        ..Candidate::line(CANDIDATE, 0)
    };
    vec![
        whole(
            Outgoing::start(StreamType::Data).to(tv()).from_source(phone()),
            id("m-1"),
            Some(tv()),
            Command::StreamStart { stream_type: StreamType::Data, source: Some(phone()) },
        ),
        whole(Outgoing::accept(STREAM), id("t-1"), None, Command::StreamAccept { stream: STREAM }),
        whole(
            Outgoing::decline(STREAM, Some("do not disturb")),
            id("t-1"),
            None,
            Command::StreamDecline { stream: STREAM, reason: Some("do not disturb".into()) },
        ),
        relay(
            Outgoing::offer(OFFER),
            id("m-2"),
            tv(),
            RelayKind::SdpOffer,
            "Vx3/",
            format!("\"sdp\":{}", json(OFFER)),
        ),
        relay(
            Outgoing::answer(ANSWER),
            id("t-2"),
            phone(),
            RelayKind::SdpAnswer,
            "h+9K",
            format!("\"sdp\":{}", json(ANSWER)),
        ),
        relay(
            candidate.into(),
            id("m-3"),
            tv(),
            RelayKind::IceCandidate,
            "Vx3/",
            format!(
                "\"candidate\":{},\"sdp_mline_index\":0,\"sdp_mid\":\"0\",\"username_fragment\":\"Vx3/\"",
                json(CANDIDATE)
            ),
        ),
        whole(
            Outgoing::stats(STREAM, stats.clone()),
            id("m-4"),
            None,
            Command::StreamStats { stream: STREAM, stats },
        ),
        whole(
            Outgoing::end(STREAM, Some("film is over")),
            id("t-3"),
            None,
            Command::StreamEnd { stream: STREAM, reason: Some("film is over".into()) },
        ),
        bare(client_encode::ack(6), ClientMessage::Ack { seq: 6 }),
        bare(client_encode::ping(), ClientMessage::Ping),
        bare(client_encode::auth(TOKEN), ClientMessage::Auth { token: TOKEN.into() }),
    ]
}
