//! What devices do of their own will: ring, answer, negotiate, chat, repeat themselves, misbehave.

use std::time::Duration;

use streamz_protocol::client::RelayKind;
use streamz_protocol::client_encode::{Candidate, Description, Outgoing};
use streamz_protocol::objects::{ConnectionType, StreamStats, StreamType};
use streamz_protocol::{DeviceId, MessageId, StreamId};
use uuid::Uuid;

use crate::client::{Open, Role};
use crate::history::{Act, Part, What, Written};
use crate::world::{Event, FromDevice, World};

/// Something that a device decided to do later.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Accept(StreamId),
    Decline(StreamId),
    Negotiate(StreamId),
    End(StreamId),
    /// An offer or answer with a fragment, whose candidates may have gone before it.
    Describe(StreamId, RelayKind, String),
    Candidate(StreamId, String),
}

/// The number of the message in a text that a device wrote.
pub(crate) fn tag_of(text: &str) -> Option<usize> {
    text.strip_prefix("t=").and_then(|rest| rest.split(';').next()).and_then(|tag| tag.parse().ok())
}

impl World {
    pub(crate) fn act(&mut self, device: usize) {
        if self.healed {
            return;
        }
        let next = self.dice.around(self.plan.pace);
        self.after(next, Event::Act { device });
        if !self.clients[device].live {
            return;
        }
        match self.dice.below(100) {
            0..34 => self.chat(device),
            34..44 => self.ring(device),
            44..60 => self.follow_up(device),
            60..70 => {
                let count = self.dice.pick(&[4, 20, 60]);
                for _ in 0..count {
                    self.chat(device);
                }
            }
            70..74 => self.burst(device),
            74..79 => self.repeat(device),
            79..83 => self.misaddress(device),
            83..86 => self.trouble_the_gateway(device),
            86..89 => self.leave_for_a_while(device),
            89..92 => self.meddle(device),
            _ => {}
        }
    }

    /// Another device of the same user.
    fn someone(&mut self, device: usize) -> DeviceId {
        let user = self.clients[device].user;
        let others: Vec<DeviceId> = (0..self.clients.len())
            .filter(|other| *other != device && self.clients[*other].user == user)
            .map(|other| self.clients[other].id.clone())
            .collect();
        self.dice.pick(&others)
    }

    fn target(&mut self, device: usize) -> Option<DeviceId> {
        self.dice.chance(70).then(|| self.someone(device))
    }

    pub(crate) fn fresh_id(&mut self, device: usize) -> Option<MessageId> {
        // A client may go a little past what the server takes, to hear that it did.
        if self.dice.chance(20) || self.clients[device].open.len() > self.plan.limits.unsettled + 8 {
            return None;
        }
        let client = &mut self.clients[device];
        client.next_id += 1;
        MessageId::new(&format!("m{}", client.next_id)).ok()
    }

    /// A text that carries its number, and sometimes words that mean something to a careless reader.
    fn content(&mut self, tag: usize, ufrag: Option<&str>) -> String {
        let mut text = format!("t={tag};");
        if let Some(ufrag) = ufrag {
            text.push_str("\r\na=ice-ufrag:");
            text.push_str(ufrag);
            text.push_str("\r\n");
        }
        if self.dice.chance(10) {
            let user = self.dice.size(0, self.user_ids.len() - 1);
            let victim = self.user_ids[user];
            text.push_str(&format!(
                "\"}},\"to_device_id\":\"d0\",\"from_device_id\":\"d1\",\"user_id\":\"{victim}\",\"id\":\"m1\",\"seq\":1,\"mid\":\"x"
            ));
        }
        let most = self.plan.text;
        let size = match self.dice.below(10) {
            0..7 => self.dice.size(0, 120),
            7..9 => self.dice.size(0, most / 4),
            _ => self.dice.size(0, most),
        };
        text.extend(std::iter::repeat_n('x', size));
        text
    }

    /// Writes a message for the first time.
    fn write(
        &mut self,
        device: usize,
        id: Option<MessageId>,
        to: Option<DeviceId>,
        act: Act,
        reuses: bool,
        outgoing: impl FnOnce(&mut Self, usize) -> Outgoing,
    ) {
        let tag = self.written.len();
        self.written.push(Written { device, id: id.clone(), to: to.clone(), act });
        let outgoing = outgoing(self, tag);
        let outgoing = match to {
            Some(to) => outgoing.to(to),
            None => outgoing,
        };
        self.send_new(device, id.clone(), tag, outgoing.encode(id.as_ref()), reuses);
    }

    /// Sends a text for the first time.
    pub(crate) fn send_new(
        &mut self,
        device: usize,
        id: Option<MessageId>,
        tag: usize,
        text: String,
        reuses: bool,
    ) {
        if let (Some(id), false) = (id, reuses) {
            self.clients[device].open.push(Open { id, tag, text: text.clone() });
        }
        self.transmit(device, tag, text);
    }

    /// Puts a message on the connection, for the first time or again.
    pub(crate) fn transmit(&mut self, device: usize, tag: usize, text: String) {
        let client = &self.clients[device];
        if let (Some(pipe), Some(session)) = (client.pipe, client.session) {
            self.saw(What::Sent { device, pipe, session, tag });
            self.put_on_pipe(pipe, FromDevice::Text { text, tag: Some(tag) });
        }
    }

    fn relay(
        &mut self,
        device: usize,
        id: Option<MessageId>,
        to: Option<DeviceId>,
        kind: RelayKind,
        place: Option<(StreamId, String)>,
        reuses: bool,
    ) {
        let (stream, ufrag) = place.unzip();
        let act = Act::Relay { kind, stream, ufrag: ufrag.clone() };
        self.write(device, id, to, act, reuses, |world, tag| {
            let described = ufrag.as_deref().filter(|_| kind != RelayKind::IceCandidate);
            let text = world.content(tag, described);
            let description = |sdp: String| Description { to_device_id: None, stream_id: stream, sdp };
            match kind {
                RelayKind::SdpOffer => Outgoing::SdpOffer(description(text)),
                RelayKind::SdpAnswer => Outgoing::SdpAnswer(description(text)),
                RelayKind::IceCandidate => Outgoing::IceCandidate(Candidate {
                    stream_id: stream,
                    username_fragment: ufrag,
                    ..Candidate::line(text, 0)
                }),
            }
        });
    }

    fn chat(&mut self, device: usize) {
        let id = self.fresh_id(device);
        let to = self.target(device);
        let kind = self.dice.pick(&[RelayKind::SdpOffer, RelayKind::SdpAnswer, RelayKind::IceCandidate]);
        self.relay(device, id, to, kind, None, false);
    }

    /// More at once than some limit allows.
    fn burst(&mut self, device: usize) {
        let to = Some(self.someone(device));
        for _ in 0..self.dice.pick(&[100, 300]) {
            let id = self.fresh_id(device);
            self.relay(device, id, to.clone(), RelayKind::IceCandidate, None, false);
        }
    }

    /// An `id` again: with the same content, or with other content.
    fn repeat(&mut self, device: usize) {
        // A device that is far behind would ask for outcomes that the server has long forgotten.
        let open = self.clients[device].open.clone();
        if open.is_empty() || self.clients[device].speed.is_some() {
            return;
        }
        let known = self.dice.pick(&open);
        if self.dice.chance(60) {
            self.transmit(device, known.tag, known.text);
        } else if self.dice.chance(50) {
            self.relay(device, Some(known.id), None, RelayKind::SdpOffer, None, true);
        } else {
            self.own(device, Some(known.id), true);
        }
    }

    /// Devices that do not exist, or only for somebody else.
    fn misaddress(&mut self, device: usize) {
        let name = self.dice.pick(&["nobody", "d7", "d4", "d3"]);
        let to = DeviceId::new(name).ok().filter(|to| *to != self.clients[device].id);
        let id = self.fresh_id(device);
        self.relay(device, id, to, RelayKind::SdpOffer, None, false);
    }

    /// Meddles with a stream that is another user's, another device's, or nobody's.
    fn meddle(&mut self, device: usize) {
        let known: Vec<StreamId> =
            self.stores.iter().flat_map(|store| store.records.keys().copied()).collect();
        let stream = if known.is_empty() || self.dice.chance(10) {
            StreamId(Uuid::from_u128(7))
        } else {
            self.dice.pick(&known)
        };
        let id = self.fresh_id(device);
        match self.dice.below(4) {
            0 => self.command(device, id, Act::Stats(stream)),
            1 | 2 if !self.clients[device].streams.contains_key(&stream) => {
                // It may be a party and not know it yet: what it hears later of this stream tells nothing.
                let unsure = Role { part: Part::Unsure, peer: None };
                self.clients[device].streams.insert(stream, unsure);
                let act = if self.dice.chance(50) { Act::Accept(stream) } else { Act::End(stream) };
                self.command(device, id, act);
            }
            _ => {
                let to = Some(self.someone(device));
                self.relay(device, id, to, RelayKind::SdpOffer, Some((stream, "meddler".to_owned())), false);
            }
        }
    }

    fn command(&mut self, device: usize, id: Option<MessageId>, act: Act) {
        let outgoing = match act {
            Act::Accept(stream) => Outgoing::accept(stream),
            Act::Decline(stream) => Outgoing::decline(stream, None),
            Act::End(stream) => Outgoing::end(stream, None),
            Act::Stats(stream) => {
                let stats = StreamStats {
                    connection_type: Some(ConnectionType::P2p),
                    quality: None,
                    latency_ms: Some(u32::try_from(self.dice.below(100)).unwrap_or(0)),
                };
                Outgoing::stats(stream, stats)
            }
            Act::Start | Act::Relay { .. } | Act::Own => return,
        };
        self.write(device, id, None, act, false, |_, _| outgoing);
    }

    fn ring(&mut self, device: usize) {
        let id = self.fresh_id(device);
        let to = self.target(device);
        let pull = to.clone().filter(|_| self.dice.chance(25));
        let stream_type = self.dice.pick(&[StreamType::Video, StreamType::Data]);
        self.write(device, id, to, Act::Start, false, |_, _| {
            let start = Outgoing::start(stream_type);
            match pull {
                Some(source) => start.from_source(source),
                None => start,
            }
        });
    }

    pub(crate) fn decide_on_ring(&mut self, device: usize, stream: StreamId) {
        let deed = match self.dice.below(10) {
            0..6 => Deed::Accept(stream),
            6..8 => Deed::Decline(stream),
            _ => return,
        };
        // Often at the same moment as others.
        let after = Duration::from_millis(self.dice.pick(&[50, 50, 800, 9_000, 40_000]));
        self.after(after, Event::Do { device, deed });
    }

    /// Offers, answers and candidates of a stream that was accepted, the candidates sometimes ahead.
    pub(crate) fn negotiate(&mut self, device: usize, stream: StreamId) {
        if self.healed {
            return;
        }
        let kind = self.dice.pick(&[RelayKind::SdpOffer, RelayKind::SdpAnswer]);
        let ufrag = format!("u{}", self.dice.below(1_000_000));
        let mut at = 0;
        let early = self.dice.chance(40);
        let description = Deed::Describe(stream, kind, ufrag.clone());
        if !early {
            self.after(Duration::ZERO, Event::Do { device, deed: description.clone() });
        }
        for _ in 0..self.dice.below(6) {
            at += self.dice.range(0, 400);
            let deed = Deed::Candidate(stream, ufrag.clone());
            self.after(Duration::from_millis(at), Event::Do { device, deed });
        }
        if early && self.dice.chance(85) {
            at += self.dice.pick(&[0, 300, 6_000, 29_200]);
            self.after(Duration::from_millis(at), Event::Do { device, deed: description });
        }
        if self.dice.chance(30) {
            let after = self.dice.millis(1_000, 20_000);
            self.after(after, Event::Do { device, deed: Deed::Negotiate(stream) });
        }
        if self.dice.chance(60) {
            let after = self.dice.millis(500, 30_000);
            self.after(after, Event::Do { device, deed: Deed::End(stream) });
        }
    }

    /// Something about a stream that the device knows.
    fn follow_up(&mut self, device: usize) {
        let known: Vec<StreamId> = self.clients[device].streams.keys().copied().collect();
        if known.is_empty() {
            return;
        }
        let stream = self.dice.pick(&known);
        let id = self.fresh_id(device);
        match self.dice.below(10) {
            0..3 => self.command(device, id, Act::Stats(stream)),
            3..5 => self.negotiate(device, stream),
            5 => self.perform(device, Deed::End(stream)),
            6 => self.command(device, id, Act::Accept(stream)),
            _ => self.perform(device, Deed::Candidate(stream, "never".to_owned())),
        }
    }

    pub(crate) fn perform(&mut self, device: usize, deed: Deed) {
        let client = &self.clients[device];
        if !client.live || self.healed {
            return;
        }
        let (Deed::Accept(stream)
        | Deed::Decline(stream)
        | Deed::Negotiate(stream)
        | Deed::End(stream)
        | Deed::Describe(stream, ..)
        | Deed::Candidate(stream, _)) = deed;
        let Some(role) = client.streams.get(&stream).cloned() else { return };
        let id = self.fresh_id(device);
        match deed {
            Deed::Accept(_) => {
                if id.is_none() {
                    self.unsure(device, stream);
                }
                self.command(device, id, Act::Accept(stream));
            }
            Deed::Decline(_) => {
                self.unsure(device, stream);
                self.command(device, id, Act::Decline(stream));
            }
            Deed::End(_) => {
                self.unsure(device, stream);
                self.command(device, id, Act::End(stream));
            }
            Deed::Negotiate(_) => self.negotiate(device, stream),
            Deed::Describe(_, kind, ufrag) => {
                if let Some(peer) = role.peer {
                    self.relay(device, id, Some(peer), kind, Some((stream, ufrag)), false);
                }
            }
            Deed::Candidate(_, ufrag) => {
                if let Some(peer) = role.peer {
                    self.relay(device, id, Some(peer), RelayKind::IceCandidate, Some((stream, ufrag)), false);
                }
            }
        }
    }

    /// Until an outcome says otherwise, the device cannot rely on what it believes of this stream.
    fn unsure(&mut self, device: usize, stream: StreamId) {
        if let Some(role) = self.clients[device].streams.get_mut(&stream) {
            role.part = Part::Unsure;
        }
    }

    fn leave_for_a_while(&mut self, device: usize) {
        self.close_cleanly(device);
        let back = self.away_for();
        self.after(back, Event::Connect { device });
    }
}
