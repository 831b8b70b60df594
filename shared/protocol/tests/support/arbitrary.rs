//! Arbitrary values of everything that is said on the wire.
//!
//! Boxed wherever much comes together: unoptimised, the generators would fill the stack of a test's thread.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};
use streamz_protocol::client::WORD_MAX_CHARS;
use streamz_protocol::objects::{
    ConnectionType, Device, DeviceRef, IceServer, Stream, StreamState, StreamType,
};
use streamz_protocol::server::{Failed, SdpPayload, ServerMessage, Welcome};
use streamz_protocol::{DeviceId, ErrorCode, MessageId, Mid, Millis, Reason, SessionId, StreamId, UserId};
use uuid::Uuid;

/// The last millisecond that RFC 3339 can write.
const YEAR_9999: u64 = 253_402_300_799_999;

/// All of them.
pub(crate) const STREAM_TYPES: [StreamType; 5] =
    [StreamType::Video, StreamType::Audio, StreamType::Both, StreamType::Screen, StreamType::Data];
/// Both of them.
pub(crate) const PATHS: [ConnectionType; 2] = [ConnectionType::P2p, ConnectionType::Relay];

/// Any text, and text that is likely to break out of its quotes.
pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        vec(any::<char>(), 0..40).prop_map(String::from_iter),
        // What is most likely to break a string out of its quotes.
        vec(prop::sample::select(vec!['"', '\\', '{', '}', ',', 'u', '\u{0}', '\u{2028}', '😀']), 0..20)
            .prop_map(String::from_iter),
    ]
}

/// A device by the client's own name.
pub(crate) fn device_id() -> impl Strategy<Value = DeviceId> {
    text().prop_filter_map("1 to 255 characters", |text| {
        DeviceId::new(&text.replace(char::is_control, "")).ok()
    })
}

/// The `id` of a message.
pub(crate) fn message_id() -> impl Strategy<Value = MessageId> {
    text().prop_filter_map("1 to 128 bytes", |text| MessageId::new(&text).ok())
}

/// Any.
pub(crate) fn uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

/// Any.
pub(crate) fn stream_id() -> impl Strategy<Value = StreamId> {
    uuid().prop_map(StreamId)
}

/// What a relayed frame is known by.
pub(crate) fn mid() -> impl Strategy<Value = Mid> {
    (uuid(), any::<u64>()).prop_map(|(session, number)| Mid { session: SessionId(session), number })
}

/// A time that RFC 3339 can write.
pub(crate) fn time() -> impl Strategy<Value = Millis> {
    (0..=YEAR_9999).prop_map(Millis)
}

/// A row.
pub(crate) fn device() -> BoxedStrategy<Device> {
    ((uuid(), uuid(), device_id(), text(), text()), (any::<bool>(), option::of(time()), time()))
        .prop_map(|((id, user, device_id, name, kind), (is_online, last_seen, created_at))| Device {
            id,
            user_id: UserId(user),
            device_id,
            device_name: name.into(),
            device_type: kind.into(),
            is_online,
            last_seen,
            created_at,
        })
        .boxed()
}

fn device_ref() -> BoxedStrategy<DeviceRef> {
    (uuid(), device_id(), text())
        .prop_map(|(id, device_id, name)| DeviceRef { id, device_id, device_name: name.into() })
        .boxed()
}

/// A stream as clients see it.
pub(crate) fn stream() -> BoxedStrategy<Stream> {
    (
        (stream_id(), uuid(), option::of(uuid()), option::of(uuid()), time(), option::of(time())),
        (
            prop::sample::select(&STREAM_TYPES),
            option::of(prop::sample::select(&PATHS)),
            option::of(text()),
            option::of(any::<u32>()),
        ),
        (option::of(device_ref()), option::of(device_ref()), any::<bool>()),
        (device_id(), vec(device_id(), 0..4)),
    )
        .prop_map(|(ids, figures, devices, (from_device_id, to))| Stream {
            id: ids.0,
            user_id: UserId(ids.1),
            source_device_id: ids.2,
            target_device_id: ids.3,
            started_at: ids.4,
            ended_at: ids.5,
            stream_type: figures.0,
            connection_type: figures.1,
            quality: figures.2,
            latency_ms: figures.3,
            source_device: devices.0,
            target_device: devices.1,
            state: if devices.2 { StreamState::Active } else { StreamState::Ringing },
            from_device_id,
            to,
        })
        .boxed()
}

fn ice_server() -> impl Strategy<Value = IceServer> {
    (vec(text(), 0..3), option::of(text()), option::of(text()))
        .prop_map(|(urls, username, credential)| IceServer { urls, username, credential })
}

fn welcome() -> BoxedStrategy<ServerMessage> {
    (
        (uuid(), any::<bool>(), any::<u64>(), any::<u64>()),
        (device(), vec(device(), 0..4), vec(stream(), 0..3), vec(ice_server(), 0..3)),
    )
        .prop_map(|(session, (device, devices, streams, ice_servers))| {
            ServerMessage::Welcome(Box::new(Welcome {
                session_id: SessionId(session.0),
                resumed: session.1,
                heartbeat_interval_ms: session.2,
                resume_window_ms: session.3,
                device,
                devices,
                streams,
                ice_servers,
            }))
        })
        .boxed()
}

fn stream_message() -> BoxedStrategy<ServerMessage> {
    let start = (stream_id(), device_id(), prop::sample::select(&STREAM_TYPES), device_id());
    let one = prop_oneof![
        (stream_id(), vec(device_id(), 0..4), option::of(message_id()))
            .prop_map(|(stream_id, to, id)| ServerMessage::StreamRinging { stream_id, to, id }),
        start.prop_map(|(stream_id, from_device_id, stream_type, source_device_id)| {
            ServerMessage::StreamStart { stream_id, from_device_id, stream_type, source_device_id }
        }),
        (stream_id(), device_id()).prop_map(|(stream_id, from_device_id)| {
            ServerMessage::StreamAccept { stream_id, from_device_id }
        }),
        (stream_id(), device_id(), option::of(text())).prop_map(|(stream_id, from_device_id, reason)| {
            ServerMessage::StreamDecline { stream_id, from_device_id, reason }
        }),
        (stream_id(), option::of(device_id()), text()).prop_map(|(stream_id, from_device_id, reason)| {
            ServerMessage::StreamEnd { stream_id, from_device_id, reason }
        }),
    ];
    one.boxed()
}

fn relayed() -> impl Strategy<Value = ServerMessage> {
    let sdp = || {
        (device_id(), option::of(stream_id()), text())
            .prop_map(|(from_device_id, stream_id, sdp)| SdpPayload { from_device_id, stream_id, sdp })
    };
    prop_oneof![
        sdp().prop_map(ServerMessage::SdpOffer),
        sdp().prop_map(ServerMessage::SdpAnswer),
        (
            (device_id(), option::of(stream_id()), text()),
            (option::of(any::<u16>()), option::of(text()), option::of(text())),
        )
            .prop_map(|((from_device_id, stream_id, candidate), media)| {
                ServerMessage::IceCandidate {
                    from_device_id,
                    stream_id,
                    candidate,
                    sdp_mline_index: media.0,
                    sdp_mid: media.1,
                    username_fragment: media.2,
                }
            }),
    ]
}

/// Anything that a server may say.
pub(crate) fn server_message() -> BoxedStrategy<ServerMessage> {
    let failed = (device_id(), prop::sample::select(Reason::ALL))
        .prop_map(|(device_id, reason)| Failed { device_id, reason });
    let one = prop_oneof![
        welcome(),
        stream_message(),
        relayed(),
        (device_id(), text(), text()).prop_map(|(device_id, device_name, device_type)| {
            ServerMessage::DeviceOnline { device_id, device_name, device_type }
        }),
        device_id().prop_map(|device_id| ServerMessage::DeviceOffline { device_id }),
        device().prop_map(|device| ServerMessage::DeviceUpdated(Box::new(device))),
        device_id().prop_map(|device_id| ServerMessage::DeviceRemoved { device_id }),
        message_id().prop_map(|id| ServerMessage::Delivered { id }),
        (message_id(), prop::sample::select(Reason::ALL), vec(failed, 0..3))
            .prop_map(|(id, reason, failed)| ServerMessage::NotDelivered { id, reason, failed }),
        vec(ice_server(), 0..3).prop_map(|ice_servers| ServerMessage::IceServers { ice_servers }),
        any::<u64>().prop_map(|expires_in| ServerMessage::TokenExpiring { expires_in }),
        any::<u64>().prop_map(|after_ms| ServerMessage::Reconnect { after_ms }),
        Just(ServerMessage::Pong {}),
        (prop::sample::select(ErrorCode::ALL), text(), option::of(message_id()))
            .prop_map(|(code, message, id)| ServerMessage::Error { code, message, id }),
    ];
    one.boxed()
}

/// A payload that a device may send: its type, and each field with its value.
pub(crate) fn payload() -> impl Strategy<Value = (&'static str, Vec<(&'static str, Value)>)> {
    let to = || option::of(device_id());
    let word = || option::of(any::<String>().prop_map(|text| short(&text)));
    let kinds = prop::sample::select(vec!["sdp_offer", "sdp_answer"]);
    let reasons = prop::sample::select(vec!["stream_decline", "stream_end", "stream_accept"]);
    prop_oneof![
        (kinds, to(), option::of(stream_id()), text()).prop_map(|(kind, to, stream, sdp)| (
            kind,
            vec![("to_device_id", json!(to)), ("stream_id", json!(stream)), ("sdp", json!(sdp))]
        )),
        (
            (to(), option::of(stream_id()), text()),
            (option::of(any::<u16>()), option::of(text()), option::of(text()))
        )
            .prop_map(|((to, stream, candidate), (index, mid, fragment))| (
                "ice_candidate",
                vec![
                    ("to_device_id", json!(to)),
                    ("stream_id", json!(stream)),
                    ("candidate", json!(candidate)),
                    ("sdp_mline_index", json!(index)),
                    ("sdp_mid", json!(mid)),
                    ("username_fragment", json!(fragment)),
                ]
            )),
        (to(), prop::sample::select(&STREAM_TYPES), to()).prop_map(|(to, kind, source)| (
            "stream_start",
            vec![
                ("to_device_id", json!(to)),
                ("stream_type", json!(kind)),
                ("source_device_id", json!(source)),
            ]
        )),
        (reasons, stream_id(), word()).prop_map(|(kind, stream, reason)| (
            kind,
            vec![("stream_id", json!(stream)), ("reason", json!(reason))]
        )),
        (stream_id(), option::of(prop::sample::select(&PATHS)), word(), option::of(any::<u32>())).prop_map(
            |(stream, path, quality, latency)| (
                "stream_stats",
                vec![
                    ("stream_id", json!(stream)),
                    ("connection_type", json!(path)),
                    ("quality", json!(quality)),
                    ("latency_ms", json!(latency)),
                ]
            )
        ),
        any::<u64>().prop_map(|seq| ("ack", vec![("seq", json!(seq))])),
        Just(("ping", vec![])),
        text().prop_map(|token| ("auth", vec![("token", json!(token))])),
    ]
}

fn short(text: &str) -> String {
    text.replace(char::is_control, "").chars().take(WORD_MAX_CHARS).collect()
}
