//! A session on a bench: time and the rate limiter in the test's hand.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use streamz_protocol::bus::{Attach, Attached, Caps, Class, Down, Frame, Item, Message, Open, Replica, Up};
use streamz_protocol::objects::Device;
use streamz_protocol::server::{Body, ServerMessage};
use streamz_protocol::{
    CloseCode, ConnId, DeviceId, GatewayId, Limits, MessageId, Mid, Millis, SessionId, UserId,
};
use streamz_session::{Context, Effect, Facts, Input, Session};
use uuid::Uuid;

pub(crate) const START: Millis = Millis(1_000_000);
pub(crate) const CONN: ConnId = ConnId { gateway: GatewayId(1), number: 5 };
pub(crate) const FAMILY: Uuid = Uuid::from_u128(0xfa);

pub(crate) fn user() -> UserId {
    UserId(Uuid::from_u128(0x05e2))
}

pub(crate) fn session() -> SessionId {
    SessionId(Uuid::from_u128(9))
}

pub(crate) fn id(device: &str) -> DeviceId {
    DeviceId::new(device).unwrap()
}

pub(crate) fn device(name: &str, is_online: bool) -> Device {
    Device {
        id: Uuid::from_u128(name.len() as u128),
        user_id: user(),
        device_id: id(name),
        device_name: name.into(),
        device_type: "thing".into(),
        is_online,
        last_seen: None,
        created_at: Millis(1),
    }
}

pub(crate) fn attached() -> Attached {
    Attached {
        attempt: 0,
        session: session(),
        generation: 7,
        resumed: false,
        device: device("laptop", true),
        devices: vec![device("laptop", true), device("tv", true), device("phone", false)],
        missed: Vec::new(),
        streams: Vec::new(),
        acked: 0,
        last_seq: 0,
        lossy: false,
        floor: 0,
        replay: Vec::new(),
        next_number: 1,
        open: Vec::new(),
        settled: Vec::new(),
        heard: Vec::new(),
        live: Vec::new(),
    }
}

pub(crate) fn open(number: u64, name: &str, digest: u64, accepted_at: Millis) -> Open {
    Open { number, id: MessageId::new(name).unwrap(), digest, accepted_at }
}

/// An offer to the TV; its `id` and its text are `name`.
pub(crate) fn offer(name: &str) -> String {
    json!({"type": "sdp_offer", "payload": {"to_device_id": "tv", "sdp": name}, "id": name}).to_string()
}

pub(crate) fn mid(sender: u128, number: u64) -> Mid {
    Mid { session: SessionId(Uuid::from_u128(sender)), number }
}

pub(crate) fn pong() -> Body {
    Body::of(&ServerMessage::Pong {})
}

pub(crate) fn state(seq: u64) -> Frame {
    Frame { seq, class: Class::State, body: pong() }
}

pub(crate) fn relayed(seq: u64, number: u64) -> Frame {
    Frame { seq, class: Class::Message { mid: mid(1, number), late: false }, body: pong() }
}

/// The hub's word that the message with this number was delivered.
pub(crate) fn delivered(seq: u64, number: u64, name: &str) -> Frame {
    let body = Body::delivered(&MessageId::new(name).unwrap());
    Frame { seq, class: Class::Outcome { number }, body }
}

pub(crate) struct Bench {
    pub(crate) session: Session,
    pub(crate) now: Millis,
    /// What the rate limiter answers.
    pub(crate) permit: bool,
    /// How often it was asked.
    pub(crate) asked: usize,
}

pub(crate) fn facts(limits: Limits, acks: bool) -> Facts {
    Facts {
        conn: CONN,
        user: user(),
        attach: Attach {
            attempt: 0,
            device: id("laptop"),
            name: None,
            device_type: None,
            family: FAMILY,
            caps: Caps { acks, max_streams: 1 },
            resume: None,
            trace: None,
        },
        token_expires: START + Duration::from_secs(900),
        ice_servers: Vec::new(),
        ice_renew_at: None,
        limits: Arc::new(limits),
    }
}

impl Bench {
    pub(crate) fn open(facts: Facts) -> (Self, Vec<Effect>) {
        let (session, effects) = Session::open(facts, START);
        (Self { session, now: START, permit: true, asked: 0 }, effects)
    }

    /// A session that is live, of a client that acknowledges.
    pub(crate) fn live() -> Self {
        Self::live_with(Limits::default(), true, attached())
    }

    pub(crate) fn simple() -> Self {
        Self::live_with(Limits::default(), false, attached())
    }

    pub(crate) fn live_with(limits: Limits, acks: bool, attached: Attached) -> Self {
        let (mut bench, _) = Self::open(facts(limits, acks));
        bench.handle(Input::Down(Down::Attached(Box::new(attached))));
        bench
    }

    pub(crate) fn handle(&mut self, input: Input<'_>) -> Vec<Effect> {
        let (permit, asked) = (self.permit, &mut self.asked);
        let mut ask = || {
            *asked += 1;
            permit
        };
        self.session.handle(input, &mut Context { now: self.now, permit: &mut ask })
    }

    pub(crate) fn text(&mut self, text: &str) -> Vec<Effect> {
        self.handle(Input::Text(text))
    }

    pub(crate) fn down(&mut self, items: Vec<Item>) -> Vec<Effect> {
        self.handle(Input::Down(Down::Batch(items)))
    }

    pub(crate) fn frames(&mut self, frames: impl IntoIterator<Item = Frame>) -> Vec<Effect> {
        self.down(frames.into_iter().map(Item::Frame).collect())
    }

    pub(crate) fn ack(&mut self, seq: u64) -> Vec<Effect> {
        self.text(&json!({"type": "ack", "payload": {"seq": seq}}).to_string())
    }

    /// Lets time pass and tells the session.
    pub(crate) fn after(&mut self, time: Duration) -> Vec<Effect> {
        self.now = self.now + time;
        self.handle(Input::Tick)
    }

    /// What the session would announce to a new hub.
    pub(crate) fn replica(&mut self) -> Replica {
        let effects = self.handle(Input::Roll { epoch: 2 });
        let announced = effects.into_iter().find_map(|effect| match effect {
            Effect::Up(Up::Announce { conn: CONN, epoch: 2, replica }) => Some(*replica),
            _ => None,
        });
        announced.unwrap()
    }
}

/// The messages that were handed to the hub.
pub(crate) fn messages(effects: &[Effect]) -> Vec<&Message> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Up(Up::Message(CONN, message)) => Some(&**message),
            _ => None,
        })
        .collect()
}

/// Effects in a few words each: what tests compare.
pub(crate) fn words(effects: &[Effect]) -> Vec<String> {
    let word = |effect: &Effect| match effect {
        Effect::Send(outgoing) => sent(&serde_json::from_str(&outgoing.render()).unwrap()),
        Effect::Ping => "ping".into(),
        Effect::Close(code) => close(*code),
        Effect::CheckToken(token) => format!("check {token}"),
        Effect::RenewIce => "renew ice".into(),
        Effect::End => "end".into(),
        Effect::Up(Up::Attach(..)) => "up attach".into(),
        Effect::Up(Up::Message(_, message)) => {
            format!("up message {} {:?}", message.number, message.id.as_ref().map_or("-", MessageId::as_str))
        }
        Effect::Up(Up::Ack(_, seq)) => format!("up ack {seq}"),
        Effect::Up(Up::Detach(_, how)) => {
            format!("up detach {}", format!("{how:?}").split(' ').next().unwrap())
        }
        Effect::Up(Up::Gone(_)) => "up gone".into(),
        Effect::Up(Up::Announce { epoch, .. }) => format!("up announce {epoch}"),
        Effect::Up(other) => format!("up {other:?}"),
    };
    effects.iter().map(word).collect()
}

fn close(code: CloseCode) -> String {
    format!("close {}", code.code())
}

fn sent(frame: &Value) -> String {
    let payload = &frame["payload"];
    let mut said = Vec::new();
    said.extend(frame["seq"].as_u64().map(|seq| format!("#{seq}")));
    said.push(frame["type"].as_str().unwrap().to_owned());
    said.extend(frame["id"].as_str().map(str::to_owned));
    for field in ["reason", "code"] {
        said.extend(payload[field].as_str().map(str::to_owned));
    }
    for field in ["expires_in", "after_ms"] {
        said.extend(payload[field].as_u64().map(|number| number.to_string()));
    }
    said.join(" ")
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
