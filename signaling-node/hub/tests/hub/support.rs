//! A hub on a bench: time, randomness and the store in the test's hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use streamz_hub::{Context, Effect, Hub, Input, Record};
use streamz_protocol::bus::{
    Attach, Attached, Caps, Detach, DeviceChange, Down, Item, Message, Replica, Resume, ToGateway, Up,
};
use streamz_protocol::client::{ClientFrame, ClientMessage};
use streamz_protocol::objects::Device;
use streamz_protocol::{CloseCode, ConnId, DeviceId, GatewayId, Limits, Mid, Millis, SessionId, UserId};
use uuid::Uuid;

/// The gateway of every connection that does not say otherwise.
pub(crate) const GATEWAY: GatewayId = GatewayId(1);
/// When every test begins.
pub(crate) const START: Millis = Millis(1_000_000);
/// The sign-in of every connection that does not say otherwise.
pub(crate) const FAMILY: Uuid = Uuid::from_u128(0xfa);

pub(crate) fn user() -> UserId {
    UserId(Uuid::from_u128(0x05e2))
}

pub(crate) fn conn(number: u64) -> ConnId {
    ConnId { gateway: GATEWAY, number }
}

pub(crate) fn id(device: &str) -> DeviceId {
    DeviceId::new(device).unwrap()
}

pub(crate) fn row(device: &str) -> Uuid {
    device.bytes().fold(Uuid::nil(), |row, byte| Uuid::from_u128(row.as_u128() * 257 + u128::from(byte)))
}

pub(crate) fn device(name: &str) -> Device {
    Device {
        id: row(name),
        user_id: user(),
        device_id: id(name),
        device_name: name.into(),
        device_type: "thing".into(),
        is_online: false,
        last_seen: None,
        created_at: Millis(1),
    }
}

pub(crate) fn attach(device: &str) -> Attach {
    Attach {
        attempt: 0,
        device: id(device),
        name: None,
        device_type: None,
        family: FAMILY,
        caps: Caps { acks: true, max_streams: 1 },
        resume: None,
        trace: None,
    }
}

pub(crate) fn simple(device: &str) -> Attach {
    Attach { caps: Caps { acks: false, max_streams: 1 }, ..attach(device) }
}

pub(crate) fn resume(device: &str, session: SessionId, last_seq: u64) -> Attach {
    Attach { resume: Some(Resume { session, last_seq }), ..attach(device) }
}

/// A session without anything in it, as its gateway announces it.
pub(crate) fn replica(device_name: &str, session: u128) -> Replica {
    Replica {
        session: SessionId(Uuid::from_u128(session)),
        generation: 1,
        device: device(device_name),
        family: FAMILY,
        caps: Caps { acks: true, max_streams: 1 },
        away: None,
        acked: 0,
        last_seq: 0,
        window: Vec::new(),
        next_number: 1,
        open: Vec::new(),
        settled: Vec::new(),
        heard: Vec::new(),
        view: Vec::new(),
        live: Vec::new(),
        over: Vec::new(),
        lossy: false,
        floor: 0,
        confirmed: vec![],
    }
}

/// A relayed offer as its gateway hands it over; `to` is empty for all others.
pub(crate) fn offer(
    session: SessionId,
    from: &str,
    number: u64,
    name: &str,
    to: &str,
    at: Millis,
) -> Message {
    let mut payload = json!({"sdp": name});
    if !to.is_empty() {
        payload["to_device_id"] = to.into();
    }
    message(session, from, number, &json!({"type": "sdp_offer", "payload": payload, "id": name}), at)
}

/// What a gateway makes of a frame from a device.
pub(crate) fn message(session: SessionId, from: &str, number: u64, frame: &Value, at: Millis) -> Message {
    let frame = ClientFrame::decode(&frame.to_string()).unwrap();
    let ClientMessage::Command { to, command } = frame.message else { panic!("a command") };
    let digest = command.digest(to.as_ref());
    let command = command.finish(&id(from), Mid { session, number });
    Message { number, id: frame.id, to, digest, accepted_at: at, command, trace: frame.trace }
}

pub(crate) struct Bench {
    pub(crate) hub: Hub,
    pub(crate) now: Millis,
    pub(crate) room: bool,
    /// Whether the node may decide.
    pub(crate) sure: bool,
    /// What the store answers to a load.
    pub(crate) stored: Vec<Device>,
    ids: u128,
    sessions: BTreeMap<ConnId, (SessionId, DeviceId, u64)>,
}

impl Bench {
    pub(crate) fn new(devices: &[&str]) -> Self {
        Self::with(Limits::default(), devices)
    }

    pub(crate) fn with(limits: Limits, devices: &[&str]) -> Self {
        Self::of(Hub::new(user(), 1, Arc::new(limits)), devices)
    }

    /// A hub that follows one that died, and what it asks first.
    pub(crate) fn recovering(devices: &[&str], gateways: &[GatewayId]) -> (Self, Seen) {
        let (hub, effects) = Hub::recover(user(), 2, Arc::default(), gateways);
        (Self::of(hub, devices), Seen(effects))
    }

    fn of(hub: Hub, devices: &[&str]) -> Self {
        let stored = devices.iter().map(|name| device(name)).collect();
        Self { hub, now: START, room: true, sure: true, stored, ids: 0, sessions: BTreeMap::new() }
    }

    /// All of these devices are connected, by connections that count from 1.
    pub(crate) fn online(devices: &[&str]) -> Self {
        Self::online_with(Limits::default(), devices)
    }

    pub(crate) fn online_with(limits: Limits, devices: &[&str]) -> Self {
        let mut bench = Self::with(limits, devices);
        for (at, device) in devices.iter().enumerate() {
            let number = at as u64 + 1;
            assert!(bench.attach(number, attach(device)).attached(number).is_some());
        }
        bench
    }

    pub(crate) fn input(&mut self, input: Input) -> Seen {
        let ids = &mut self.ids;
        let mut new_id = || {
            *ids += 1;
            Uuid::from_u128(0x1000 + *ids)
        };
        let mut cx =
            Context { now: self.now, new_id: &mut new_id, record_room: self.room, may_decide: self.sure };
        let effects = self.hub.handle(input, &mut cx);
        for effect in &effects {
            if let Effect::Down(conn, Down::Attached(attached)) = effect {
                let known = (attached.session, attached.device.device_id.clone(), attached.next_number);
                self.sessions.insert(*conn, known);
            }
        }
        Seen(effects)
    }

    pub(crate) fn up(&mut self, up: Up) -> Seen {
        self.input(Input::Up(up))
    }

    /// A connection asks for a session; the store answers if it is asked for the list.
    pub(crate) fn attach(&mut self, number: u64, attach: Attach) -> Seen {
        let mut seen = self.up(Up::Attach(conn(number), Box::new(attach)));
        if seen.0.contains(&Effect::Load) {
            seen.0.extend(self.load().0);
        }
        seen
    }

    pub(crate) fn load(&mut self) -> Seen {
        let devices = self.stored.clone();
        self.input(Input::Loaded(Ok(Some(devices))))
    }

    /// A device says something; its gateway numbers it.
    pub(crate) fn say(&mut self, number: u64, frame: Value) -> Seen {
        let now = self.now;
        let (session, device, next) = self.sessions.get_mut(&conn(number)).unwrap();
        let message = message(*session, device.as_str(), *next, &frame, now);
        *next += 1;
        self.up(Up::Message(conn(number), Box::new(message)))
    }

    /// Sends an offer; `to` is empty for all others. Its `id` and its text are `name`.
    pub(crate) fn offer(&mut self, number: u64, name: &str, to: &str) -> Seen {
        let mut payload = json!({"sdp": name});
        if !to.is_empty() {
            payload["to_device_id"] = to.into();
        }
        self.say(number, json!({"type": "sdp_offer", "payload": payload, "id": name}))
    }

    pub(crate) fn ack(&mut self, number: u64, seq: u64) -> Seen {
        self.up(Up::Ack(conn(number), seq))
    }

    pub(crate) fn detach(&mut self, number: u64, how: Detach) -> Seen {
        self.up(Up::Detach(conn(number), how))
    }

    pub(crate) fn removed(&mut self, device: &str) -> Seen {
        self.stored.retain(|stored| stored.device_id.as_str() != device);
        self.up(Up::Devices(DeviceChange::Removed(id(device))))
    }

    pub(crate) fn announce(&mut self, number: u64, replica: Replica) -> Seen {
        let known = (replica.session, replica.device.device_id.clone(), replica.next_number);
        self.sessions.insert(conn(number), known);
        self.up(Up::Announce { conn: conn(number), epoch: 2, replica: Box::new(replica) })
    }

    pub(crate) fn roster(&mut self, numbers: &[u64]) -> Seen {
        let conns = numbers.iter().map(|number| conn(*number)).collect();
        self.up(Up::Roster { gateway: GATEWAY, epoch: 2, conns })
    }

    pub(crate) fn session(&self, number: u64) -> SessionId {
        self.sessions[&conn(number)].0
    }

    /// Lets time pass and tells the hub.
    pub(crate) fn after(&mut self, time: Duration) -> Seen {
        self.now = self.now + time;
        self.input(Input::Tick)
    }

    /// Who is shown online.
    pub(crate) fn shown(&mut self) -> Vec<String> {
        let seen = self.up(Up::WhoIsOnline { gateway: GATEWAY, request: 7 });
        match &seen.0[..] {
            [Effect::Gateway(GATEWAY, ToGateway::Online { request: 7, devices })] => {
                devices.iter().map(ToString::to_string).collect()
            }
            other => panic!("{other:?}"),
        }
    }
}

/// What a hub wanted done.
#[derive(Debug)]
pub(crate) struct Seen(pub(crate) Vec<Effect>);

impl Seen {
    fn downs(&self, number: u64) -> impl Iterator<Item = &Down> {
        self.0.iter().filter_map(move |effect| match effect {
            Effect::Down(to, down) if *to == conn(number) => Some(down),
            _ => None,
        })
    }

    pub(crate) fn items(&self, number: u64) -> Vec<&Item> {
        self.downs(number)
            .flat_map(|down| match down {
                Down::Batch(items) => items.as_slice(),
                _ => &[],
            })
            .collect()
    }

    /// The sequenced frames for a connection, as the device reads them.
    pub(crate) fn frames(&self, number: u64) -> Vec<Value> {
        let frame = |item: &&Item| match item {
            Item::Frame(frame) => Some(parse(&frame.body.render(Some(frame.seq)))),
            _ => None,
        };
        self.items(number).iter().filter_map(frame).collect()
    }

    /// Nobody is told anything.
    pub(crate) fn is_silent(&self) -> bool {
        !self.0.iter().any(|effect| matches!(effect, Effect::Down(..)))
    }

    /// All frames for a connection in a few words each.
    pub(crate) fn heard(&self, number: u64) -> Vec<String> {
        let frame = |item: &&Item| match item {
            Item::Frame(frame) => Some(words(&parse(&frame.body.render(None)))),
            Item::Plain(body) => Some(words(&parse(&body.render(None)))),
            _ => None,
        };
        self.items(number).iter().filter_map(frame).collect()
    }

    pub(crate) fn attached(&self, number: u64) -> Option<&Attached> {
        self.downs(number).find_map(|down| match down {
            Down::Attached(attached) => Some(&**attached),
            _ => None,
        })
    }

    pub(crate) fn refused(&self, number: u64) -> Option<CloseCode> {
        self.downs(number).find_map(|down| match down {
            Down::Refused(code) => Some(*code),
            _ => None,
        })
    }

    pub(crate) fn closed(&self, number: u64) -> Option<CloseCode> {
        self.downs(number).find_map(|down| match down {
            Down::Close(code) => Some(*code),
            _ => None,
        })
    }

    pub(crate) fn forgotten(&self, number: u64) -> bool {
        self.downs(number).any(|down| *down == Down::Forget)
    }

    pub(crate) fn records(&self) -> Vec<&Record> {
        self.0
            .iter()
            .filter_map(|effect| match effect {
                Effect::Record(record) => Some(&**record),
                _ => None,
            })
            .collect()
    }

    /// Which rows are written online and offline.
    pub(crate) fn presences(&self) -> Vec<(Uuid, bool)> {
        self.0
            .iter()
            .filter_map(|effect| match effect {
                Effect::Presence { row, online, .. } => Some((*row, *online)),
                _ => None,
            })
            .collect()
    }
}

pub(crate) fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// A frame in a few words: what tests compare.
pub(crate) fn words(frame: &Value) -> String {
    let payload = &frame["payload"];
    let mut said = vec![frame["type"].as_str().unwrap().to_owned()];
    if frame["type"] != "stream_ringing" {
        said.extend(frame["id"].as_str().map(str::to_owned));
    }
    for field in ["device_id", "from_device_id", "reason", "code", "sdp", "candidate"] {
        said.extend(payload[field].as_str().map(str::to_owned));
    }
    let failed =
        |one: &Value| format!("{}:{}", one["device_id"].as_str().unwrap(), one["reason"].as_str().unwrap());
    said.extend(payload["failed"].as_array().into_iter().flatten().map(failed));
    said.extend(
        payload["to"].as_array().into_iter().flatten().filter_map(|to| to.as_str()).map(str::to_owned),
    );
    said.join(" ")
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
