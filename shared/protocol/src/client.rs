//! What a device says: decoding with every rule checked, and encoding for clients.
//!
//! SDP and candidates stay what they are: raw JSON text that is checked to be a string, moved once into the
//! relayed frame and never looked at again, but for the ICE user fragment of messages that belong to a stream
//! (RFC 8839 §5.4; it tells the ICE generation).

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::hash::stable_hash;
use crate::json::{self, JsonString, push_json};
use crate::objects::{ConnectionType, StreamStats, StreamType};
use crate::{DeviceId, ErrorCode, MessageId, StreamId, TraceContext};

pub use crate::command::{ANSWER_WEIGHT, Answer, Command, Draft, RelayKind, Ufrag};

/// The longest free-text `reason` of a decline or an end, and the longest `quality`, in characters.
pub const WORD_MAX_CHARS: usize = 32;

/// A frame from a device, decoded and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientFrame {
    /// The client's own name for the message, if it wants an outcome.
    pub id: Option<MessageId>,
    /// The trace that it belongs to, if the client keeps one.
    pub trace: Option<TraceContext>,
    /// What it says.
    pub message: ClientMessage,
}

/// What a device may say. Its `Debug` leaves out the token.
#[derive(Clone, PartialEq)]
pub enum ClientMessage {
    /// Something that the hub acts on.
    Command {
        /// The device it is meant for; without it, all the user's others.
        to: Option<DeviceId>,
        /// What is meant.
        command: Draft,
    },
    /// Everything up to this `seq` has arrived.
    Ack {
        /// The highest `seq` in a row.
        seq: u64,
    },
    /// Wants a `pong`.
    Ping,
    /// A new access token for this session.
    Auth {
        /// The token.
        token: String,
    },
}

impl ClientMessage {
    /// What two messages must share to be the same message: type, target and content.
    #[must_use]
    pub fn digest(&self) -> u64 {
        match self {
            ClientMessage::Command { to, command } => command.digest(to.as_ref()),
            ClientMessage::Ack { seq } => stable_hash(&("ack", seq)),
            ClientMessage::Ping => stable_hash(&"ping"),
            ClientMessage::Auth { token } => stable_hash(&("auth", token)),
        }
    }
}

impl fmt::Debug for ClientMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientMessage::Command { to, command } => {
                f.debug_struct("Command").field("to", to).field("command", command).finish()
            }
            ClientMessage::Ack { seq } => f.debug_struct("Ack").field("seq", seq).finish(),
            ClientMessage::Ping => f.write_str("Ping"),
            ClientMessage::Auth { token: _ } => f.debug_struct("Auth").finish_non_exhaustive(),
        }
    }
}

/// A frame that was not taken, and what to tell the device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Rejected {
    /// The documented code.
    pub code: ErrorCode,
    /// What is wrong and what to do, in a sentence.
    pub message: String,
    /// The message that the error answers, if it could be read.
    pub id: Option<MessageId>,
    /// See [`ClientMessage::digest`]; 0 without an `id`.
    pub digest: u64,
}

#[derive(Deserialize)]
struct RawFrame<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    /// Not worth an error: one that cannot be read is as good as none.
    #[serde(borrow, default)]
    traceparent: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct SdpPayload<'a> {
    #[serde(default)]
    to_device_id: Option<DeviceId>,
    #[serde(default)]
    stream_id: Option<StreamId>,
    #[serde(borrow)]
    sdp: &'a RawValue,
}

#[derive(Deserialize)]
struct CandidatePayload<'a> {
    #[serde(default)]
    to_device_id: Option<DeviceId>,
    #[serde(default)]
    stream_id: Option<StreamId>,
    #[serde(borrow)]
    candidate: &'a RawValue,
    #[serde(default)]
    sdp_mline_index: Option<u16>,
    #[serde(borrow, default)]
    sdp_mid: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    username_fragment: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct StartPayload {
    #[serde(default)]
    to_device_id: Option<DeviceId>,
    #[serde(deserialize_with = "json::word")]
    stream_type: StreamType,
    #[serde(default)]
    source_device_id: Option<DeviceId>,
}

#[derive(Deserialize)]
struct StreamPayload {
    stream_id: StreamId,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize)]
struct StatsPayload {
    stream_id: StreamId,
    // Not flattened: serde would keep and check the fields that are to be ignored.
    #[serde(default, deserialize_with = "json::optional_word")]
    connection_type: Option<ConnectionType>,
    #[serde(default)]
    quality: Option<String>,
    #[serde(default)]
    latency_ms: Option<u32>,
}

#[derive(Deserialize)]
struct AckPayload {
    seq: u64,
}

#[derive(Deserialize)]
struct NoPayload {}

#[derive(Deserialize)]
struct AuthPayload {
    token: String,
}

impl ClientFrame {
    /// Decodes and checks one text frame.
    ///
    /// # Errors
    /// [`Rejected`] with the code and the sentence for the device.
    pub fn decode(text: &str) -> Result<Self, Rejected> {
        let malformed = |what: &str| Rejected {
            code: ErrorCode::MalformedFrame,
            message: format!(
                "A frame is JSON text: {{\"type\": string, \"payload\": object, \"id\"?: string}}; {what}."
            ),
            id: None,
            digest: 0,
        };
        if !json::is_object(text) {
            return Err(malformed("this is not an object"));
        }
        let raw: RawFrame<'_> = json::read(text).map_err(|what| malformed(&what))?;
        let id = match raw.id.as_deref().map(MessageId::new).transpose() {
            Ok(id) => id,
            Err(error) => {
                return Err(Rejected {
                    code: ErrorCode::MalformedFrame,
                    message: format!("{error}."),
                    id: None,
                    digest: 0,
                });
            }
        };
        match decode_message(&raw.r#type, raw.payload) {
            Ok(message) => {
                let parent =
                    raw.traceparent.and_then(|text| serde_json::from_str::<Cow<'_, str>>(text.get()).ok());
                let trace = parent.and_then(|parent| parent.parse().ok());
                Ok(ClientFrame { id, trace, message })
            }
            Err((code, message)) => {
                // What cannot be read is the same only if it is so to the letter.
                let content = (&*raw.r#type, raw.payload.map(RawValue::get));
                let digest = id.as_ref().map_or(0, |_| stable_hash(&content));
                Err(Rejected { code, message, id, digest })
            }
        }
    }
}

type Refusal = (ErrorCode, String);

fn decode_message(kind: &str, payload: Option<&RawValue>) -> Result<ClientMessage, Refusal> {
    let whole = |to, command| Ok(ClientMessage::Command { to, command: Draft::Whole(command) });
    match kind {
        "sdp_offer" => decode_sdp(RelayKind::SdpOffer, payload),
        "sdp_answer" => decode_sdp(RelayKind::SdpAnswer, payload),
        "ice_candidate" => decode_candidate(payload),
        "ack" => read::<AckPayload>(payload).map(|ack| ClientMessage::Ack { seq: ack.seq }),
        "ping" => read::<NoPayload>(payload).map(|_| ClientMessage::Ping),
        "auth" => read::<AuthPayload>(payload).map(|auth| ClientMessage::Auth { token: auth.token }),
        "stream_start" => {
            let start: StartPayload = read(payload)?;
            whole(
                start.to_device_id,
                Command::StreamStart { stream_type: start.stream_type, source: start.source_device_id },
            )
        }
        "stream_accept" => {
            let accept: StreamPayload = read(payload)?;
            whole(None, Command::StreamAccept { stream: accept.stream_id })
        }
        "stream_decline" => {
            let decline: StreamPayload = read(payload)?;
            let reason = word("reason", decline.reason)?;
            whole(None, Command::StreamDecline { stream: decline.stream_id, reason })
        }
        "stream_end" => {
            let end: StreamPayload = read(payload)?;
            let reason = word("reason", end.reason)?;
            whole(None, Command::StreamEnd { stream: end.stream_id, reason })
        }
        "stream_stats" => {
            let measured: StatsPayload = read(payload)?;
            let stats = StreamStats {
                connection_type: measured.connection_type,
                quality: word("quality", measured.quality)?,
                latency_ms: measured.latency_ms,
            };
            whole(None, Command::StreamStats { stream: measured.stream_id, stats })
        }
        _ => Err((
            ErrorCode::UnknownType,
            "A device sends stream_start, stream_accept, stream_decline, stream_end, stream_stats, \
             sdp_offer, sdp_answer, ice_candidate, ack, ping or auth."
                .to_owned(),
        )),
    }
}

fn decode_sdp(kind: RelayKind, payload: Option<&RawValue>) -> Result<ClientMessage, Refusal> {
    let sdp: SdpPayload<'_> = read(payload)?;
    let text = string("sdp", sdp.sdp)?;
    let ufrags = sdp.stream_id.map(|_| ufrags_after(&text.readable, "a=ice-ufrag:")).unwrap_or_default();
    let mut fields = String::with_capacity(text.raw.len() + 64);
    push_stream(&mut fields, sdp.stream_id);
    fields.push_str("\"sdp\":");
    fields.push_str(text.raw);
    Ok(ClientMessage::Command {
        to: sdp.to_device_id,
        command: Draft::Relay { kind, stream: sdp.stream_id, ufrags, fields },
    })
}

fn decode_candidate(payload: Option<&RawValue>) -> Result<ClientMessage, Refusal> {
    let ice: CandidatePayload<'_> = read(payload)?;
    let text = string("candidate", ice.candidate)?;
    let ufrags = match (&ice.stream_id, &ice.username_fragment) {
        (None, _) => Vec::new(),
        (Some(_), Some(fragment)) if !fragment.is_empty() => vec![Ufrag::of(fragment)],
        (Some(_), _) => ufrags_after(&text.readable, " ufrag "),
    };
    let mut fields = String::with_capacity(text.raw.len() + 160);
    push_stream(&mut fields, ice.stream_id);
    fields.push_str("\"candidate\":");
    fields.push_str(text.raw);
    fields.push_str(",\"sdp_mline_index\":");
    push_json(&mut fields, &ice.sdp_mline_index);
    fields.push_str(",\"sdp_mid\":");
    push_json(&mut fields, &ice.sdp_mid);
    if let Some(fragment) = &ice.username_fragment {
        fields.push_str(",\"username_fragment\":");
        push_json(&mut fields, fragment);
    }
    Ok(ClientMessage::Command {
        to: ice.to_device_id,
        command: Draft::Relay { kind: RelayKind::IceCandidate, stream: ice.stream_id, ufrags, fields },
    })
}

fn push_stream(fields: &mut String, stream: Option<StreamId>) {
    if let Some(stream) = stream {
        fields.push_str("\"stream_id\":");
        push_json(fields, &stream);
        fields.push(',');
    }
}

fn read<'a, T: Deserialize<'a>>(payload: Option<&'a RawValue>) -> Result<T, Refusal> {
    let text = payload.map_or("{}", RawValue::get);
    if !json::is_object(text) {
        return Err((ErrorCode::InvalidPayload, "payload must be an object.".to_owned()));
    }
    json::read(text).map_err(|what| (ErrorCode::InvalidPayload, format!("payload: {what}.")))
}

fn string<'a>(name: &str, value: &'a RawValue) -> Result<JsonString<'a>, Refusal> {
    JsonString::read(value).map_err(|what| (ErrorCode::InvalidPayload, format!("payload: {name} {what}.")))
}

fn word(name: &str, text: Option<String>) -> Result<Option<String>, Refusal> {
    match text {
        Some(text) if text.chars().count() > WORD_MAX_CHARS || text.chars().any(char::is_control) => Err((
            ErrorCode::InvalidPayload,
            format!(
                "payload: {name} must have at most {WORD_MAX_CHARS} characters and no control characters."
            ),
        )),
        Some(text) if text.is_empty() => Ok(None),
        text => Ok(text),
    }
}

/// The distinct ICE user fragments that follow `marker`, at most 16. Their characters are letters, digits, `+` and
/// `/` (RFC 8839 §5.4).
fn ufrags_after(text: &str, marker: &str) -> Vec<Ufrag> {
    let mut found = Vec::new();
    for at in memchr::memmem::find_iter(text.as_bytes(), marker.as_bytes()).take(16) {
        let rest = text.get(at + marker.len()..).unwrap_or_default();
        let end = rest
            .bytes()
            .take(256)
            .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/' | b'-' | b'_'))
            .count();
        let ufrag = Ufrag::of(rest.get(..end).unwrap_or_default());
        if end > 0 && !found.contains(&ufrag) {
            found.push(ufrag);
        }
    }
    found
}
