//! What a device says, written by a client: the other half of [`crate::client`], which reads it.

use serde::Serialize;

use crate::json::push_json;
use crate::objects::{StreamStats, StreamType};
use crate::{DeviceId, MessageId, StreamId};

/// A message for the user's other devices, or for the hub. [`crate::client::ClientFrame::decode`] is its reader.
///
/// ```
/// use streamz_protocol::{DeviceId, client_encode::Outgoing};
///
/// let tv = DeviceId::new("tv").expect("a valid name");
/// let text = Outgoing::offer("v=0…").to(tv).encode(None);
/// assert_eq!(text, r#"{"type":"sdp_offer","payload":{"to_device_id":"tv","sdp":"v=0…"}}"#);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", content = "payload", rename_all = "snake_case")]
pub enum Outgoing {
    /// Ring a device, or all the others.
    StreamStart {
        /// The device to ring; without it, all the user's others.
        #[serde(skip_serializing_if = "Option::is_none")]
        to_device_id: Option<DeviceId>,
        /// What will flow.
        stream_type: StreamType,
        /// The device that is to send the media, if it is not this one.
        #[serde(skip_serializing_if = "Option::is_none")]
        source_device_id: Option<DeviceId>,
    },
    /// Take a ring.
    StreamAccept {
        /// Which.
        stream_id: StreamId,
    },
    /// Refuse a ring.
    StreamDecline {
        /// Which.
        stream_id: StreamId,
        /// A word for the other side, at most [`crate::client::WORD_MAX_CHARS`] characters.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// End a stream, or give up a ring.
    StreamEnd {
        /// Which.
        stream_id: StreamId,
        /// A word for the other side, at most [`crate::client::WORD_MAX_CHARS`] characters.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// What this party measured.
    StreamStats {
        /// Of which stream.
        stream_id: StreamId,
        /// The figures.
        #[serde(flatten)]
        stats: StreamStats,
    },
    /// An SDP offer, passed on as it is.
    SdpOffer(Description),
    /// An SDP answer, passed on as it is.
    SdpAnswer(Description),
    /// An ICE candidate, passed on as it is.
    IceCandidate(Candidate),
}

/// The payload of an offer or an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    /// The device that it is meant for; without it, all the user's others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_device_id: Option<DeviceId>,
    /// The stream that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<StreamId>,
    /// The session description.
    pub sdp: String,
}

/// The payload of a candidate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// The device that it is meant for; without it, all the user's others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_device_id: Option<DeviceId>,
    /// The stream that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<StreamId>,
    /// The candidate line; empty means end of candidates.
    pub candidate: String,
    /// The media section by number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sdp_mline_index: Option<u16>,
    /// The media section by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sdp_mid: Option<String>,
    /// The ICE generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username_fragment: Option<String>,
}

impl Outgoing {
    /// An SDP offer to all the user's other devices; narrow it with [`Outgoing::to`] and [`Outgoing::in_stream`].
    #[must_use]
    pub fn offer(sdp: impl Into<String>) -> Self {
        Outgoing::SdpOffer(Description::of(sdp.into()))
    }

    /// An SDP answer to all the user's other devices; narrow it with [`Outgoing::to`] and [`Outgoing::in_stream`].
    #[must_use]
    pub fn answer(sdp: impl Into<String>) -> Self {
        Outgoing::SdpAnswer(Description::of(sdp.into()))
    }

    /// A ring of all the user's other devices; narrow it with [`Outgoing::to`].
    #[must_use]
    pub fn start(stream_type: StreamType) -> Self {
        Outgoing::StreamStart { to_device_id: None, stream_type, source_device_id: None }
    }

    /// Takes a ring.
    #[must_use]
    pub fn accept(stream_id: StreamId) -> Self {
        Outgoing::StreamAccept { stream_id }
    }

    /// Refuses a ring.
    #[must_use]
    pub fn decline(stream_id: StreamId, reason: Option<&str>) -> Self {
        Outgoing::StreamDecline { stream_id, reason: reason.map(str::to_owned) }
    }

    /// Ends a stream.
    #[must_use]
    pub fn end(stream_id: StreamId, reason: Option<&str>) -> Self {
        Outgoing::StreamEnd { stream_id, reason: reason.map(str::to_owned) }
    }

    /// Reports what was measured.
    #[must_use]
    pub fn stats(stream_id: StreamId, stats: StreamStats) -> Self {
        Outgoing::StreamStats { stream_id, stats }
    }

    /// Addresses it to one device. What names a stream already (accept, decline, end, stats) has no
    /// addressee and stays as it is.
    #[must_use]
    pub fn to(mut self, device: DeviceId) -> Self {
        match &mut self {
            Outgoing::StreamStart { to_device_id, .. }
            | Outgoing::SdpOffer(Description { to_device_id, .. })
            | Outgoing::SdpAnswer(Description { to_device_id, .. })
            | Outgoing::IceCandidate(Candidate { to_device_id, .. }) => *to_device_id = Some(device),
            _ => {}
        }
        self
    }

    /// Says which stream an offer, an answer or a candidate belongs to; changes nothing else.
    #[must_use]
    pub fn in_stream(mut self, stream: StreamId) -> Self {
        match &mut self {
            Outgoing::SdpOffer(Description { stream_id, .. })
            | Outgoing::SdpAnswer(Description { stream_id, .. })
            | Outgoing::IceCandidate(Candidate { stream_id, .. }) => *stream_id = Some(stream),
            _ => {}
        }
        self
    }

    /// Asks `device` to send the media of the stream that this starts; changes nothing else.
    #[must_use]
    pub fn from_source(mut self, device: DeviceId) -> Self {
        if let Outgoing::StreamStart { source_device_id, .. } = &mut self {
            *source_device_id = Some(device);
        }
        self
    }

    /// The text that goes to the socket.
    #[must_use]
    pub fn encode(&self, id: Option<&MessageId>) -> String {
        let mut text = serde_json::to_string(self).expect("messages have string keys only");
        if let Some(id) = id {
            text.pop();
            text.push_str(",\"id\":");
            push_json(&mut text, id);
            text.push('}');
        }
        text
    }
}

impl Description {
    fn of(sdp: String) -> Self {
        Self { to_device_id: None, stream_id: None, sdp }
    }
}

impl Candidate {
    /// A candidate line for the media section `sdp_mline_index`; empty means end of candidates.
    #[must_use]
    pub fn line(candidate: impl Into<String>, sdp_mline_index: u16) -> Self {
        Self { candidate: candidate.into(), sdp_mline_index: Some(sdp_mline_index), ..Self::default() }
    }
}

impl From<Candidate> for Outgoing {
    fn from(candidate: Candidate) -> Self {
        Outgoing::IceCandidate(candidate)
    }
}

/// `ack`: everything up to this `seq` has arrived.
#[must_use]
pub fn ack(seq: u64) -> String {
    format!("{{\"type\":\"ack\",\"payload\":{{\"seq\":{seq}}}}}")
}

/// `ping`, to which the server says `pong`.
#[must_use]
pub fn ping() -> String {
    "{\"type\":\"ping\"}".to_owned()
}

/// `auth`: a new access token for this session.
#[must_use]
pub fn auth(token: &str) -> String {
    let mut text = "{\"type\":\"auth\",\"payload\":{\"token\":".to_owned();
    push_json(&mut text, &token);
    text.push_str("}}");
    text
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::client::{ClientFrame, ClientMessage, Command, Draft, RelayKind};
    use crate::objects::ConnectionType;

    const STREAM: StreamId = StreamId(Uuid::from_u128(7));

    fn tv() -> DeviceId {
        DeviceId::new("tv").unwrap()
    }

    fn read_back(outgoing: &Outgoing) -> ClientMessage {
        let id = MessageId::new("a \"quoted\" id").unwrap();
        let frame = ClientFrame::decode(&outgoing.encode(Some(&id))).unwrap();
        assert_eq!(frame.id, Some(id));
        assert_eq!(ClientFrame::decode(&outgoing.encode(None)).unwrap().id, None);
        frame.message
    }

    fn whole(to: Option<DeviceId>, command: Command) -> ClientMessage {
        ClientMessage::Command { to, command: Draft::Whole(command) }
    }

    #[test]
    fn the_reader_understands_every_stream_message() {
        let start = Outgoing::start(StreamType::Both).to(tv()).from_source(tv());
        let command = Command::StreamStart { stream_type: StreamType::Both, source: Some(tv()) };
        assert_eq!(read_back(&start), whole(Some(tv()), command));
        let accept = Command::StreamAccept { stream: STREAM };
        assert_eq!(read_back(&Outgoing::accept(STREAM)), whole(None, accept));
        let decline = Command::StreamDecline { stream: STREAM, reason: Some("no".into()) };
        assert_eq!(read_back(&Outgoing::decline(STREAM, Some("no"))), whole(None, decline));
        let end = Command::StreamEnd { stream: STREAM, reason: None };
        assert_eq!(read_back(&Outgoing::end(STREAM, None)), whole(None, end));
        let stats = StreamStats {
            connection_type: Some(ConnectionType::P2p),
            quality: Some("good".into()),
            latency_ms: Some(12),
        };
        let command = Command::StreamStats { stream: STREAM, stats: stats.clone() };
        assert_eq!(read_back(&Outgoing::stats(STREAM, stats)), whole(None, command));
    }

    #[test]
    fn the_reader_understands_every_relayed_message() {
        let candidate = Candidate {
            sdp_mid: Some("audio".into()),
            username_fragment: Some("abcd".into()),
            ..Candidate::line("candidate:1 1 udp", 3)
        };
        for (outgoing, expected, content) in [
            (Outgoing::offer("v=0\r\n"), RelayKind::SdpOffer, "\"sdp\":\"v=0\\r\\n\""),
            (Outgoing::answer("v=0\r\n"), RelayKind::SdpAnswer, "\"sdp\":\"v=0\\r\\n\""),
            (
                candidate.into(),
                RelayKind::IceCandidate,
                "\"candidate\":\"candidate:1 1 udp\",\"sdp_mline_index\":3,\"sdp_mid\":\"audio\",\
                 \"username_fragment\":\"abcd\"",
            ),
        ] {
            let message = read_back(&outgoing.to(tv()).in_stream(STREAM));
            let ClientMessage::Command { to, command: Draft::Relay { kind, stream, fields, .. } } = message
            else {
                panic!("not relayed: {message:?}");
            };
            assert_eq!((to, kind, stream), (Some(tv()), expected, Some(STREAM)));
            assert!(fields.ends_with(content), "{fields}");
        }
    }

    #[test]
    fn the_reader_understands_what_is_for_the_server() {
        let read = |text: String| ClientFrame::decode(&text).unwrap().message;
        assert_eq!(read(ack(9)), ClientMessage::Ack { seq: 9 });
        assert_eq!(read(ping()), ClientMessage::Ping);
        let token = "a.\"b\".c".to_owned();
        assert_eq!(read(auth(&token)), ClientMessage::Auth { token });
    }
}
