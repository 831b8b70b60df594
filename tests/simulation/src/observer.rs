//! The same model client and the same checker, for devices on real sockets.
//!
//! A shell that owns sockets and a clock asks an [`Observer`] what a device says, tells it what the device heard, and
//! lets it judge the history in the end. What only a simulation can see, hubs and gateways from within, is not in such a
//! history: `checker/edge.rs` says what resuming and presence mean to those who see the edges alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use streamz_protocol::bus::Resume;
use streamz_protocol::client::RelayKind;
use streamz_protocol::client_encode::{self, Description, Outgoing};
use streamz_protocol::objects::StreamType;
use streamz_protocol::server::{ServerFrame, ServerMessage};
use streamz_protocol::{CloseCode, DeviceId, Limits, MessageId, Millis, StreamId};
use uuid::Uuid;

use crate::checker::{self, Violation};
use crate::client::{Client, Follow, Open};
use crate::history::{Act, Entry, History, Parted, Profile, Rested, Said, What, Written};
use crate::seen;

/// Messages without an outcome, beyond which a device waits before it says more.
const OPEN: usize = 64;

/// What a device is to do after a frame, beside writing [`Turn::write`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Go,
    /// Somebody rings it.
    Answer(StreamId),
    /// Its call was answered.
    Talk(StreamId),
    /// Its gateway drains: connect anew after this long.
    Leave(Duration),
}

/// What follows from a frame.
#[derive(Debug)]
pub struct Turn {
    /// Frames to write, in order.
    pub write: Vec<String>,
    /// What else.
    pub then: Then,
}

/// What a message is about.
#[derive(Clone, Debug)]
pub enum Deed {
    /// A numbered text for another device of the user.
    Chat(DeviceId),
    /// A ring for another device of the user.
    Ring(DeviceId),
    /// Answers a ring.
    Accept(StreamId),
    /// Hangs up.
    End(StreamId),
}

/// A message that arrived: when it was first written, and when it was heard.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// Whose.
    pub user: usize,
    /// Written for the first time.
    pub sent: Millis,
    /// Out of the socket of the device that it was for.
    pub heard: Millis,
}

/// How things stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Devices that are welcome on a connection.
    pub online: usize,
    /// Messages without an outcome.
    pub open: usize,
    /// Devices whose picture of the others is not what is so.
    pub astray: usize,
}

/// What was allowed while a fault lasted.
#[derive(Clone, Debug)]
pub(crate) struct Spell {
    pub(crate) from: Millis,
    pub(crate) to: Millis,
    /// Sessions may begin anew: a gateway and a node were lost together.
    pub(crate) fresh: bool,
}

/// Watches the devices of several users, whose devices all have the same names.
pub struct Observer {
    begun: Millis,
    limits: Limits,
    transit: Duration,
    users: Vec<Uuid>,
    clients: Vec<Client>,
    entries: Vec<Entry>,
    written: Vec<Written>,
    pipes: BTreeMap<usize, usize>,
    next_pipe: usize,
    spells: Vec<Spell>,
    /// When each message was first written.
    sent: Vec<Millis>,
    deliveries: Vec<Delivery>,
}

impl Observer {
    /// For users with as many devices each. `transit` is the longest that a frame may be on its way, on a machine as busy
    /// as this one, when nothing troubles it.
    #[must_use]
    pub fn new(begun: Millis, limits: Limits, transit: Duration, users: &[Uuid], names: &[DeviceId]) -> Self {
        let clients = (0..users.len())
            .flat_map(|user| names.iter().map(move |name| (user, name.clone())))
            .map(|(user, name)| Client::new(user, name, false, 1, Uuid::nil()))
            .collect();
        Self {
            begun,
            limits,
            transit,
            users: users.to_vec(),
            clients,
            entries: Vec::new(),
            written: Vec::new(),
            pipes: BTreeMap::new(),
            next_pipe: 0,
            spells: Vec::new(),
            sent: Vec::new(),
            deliveries: Vec::new(),
        }
    }

    fn saw(&mut self, at: Millis, what: What) {
        self.entries.push(Entry { at, what });
    }

    /// A device opens a connection to a gateway; what it resumes, if anything.
    pub fn connects(&mut self, now: Millis, device: usize, gateway: usize) -> (usize, Option<Resume>) {
        let client = &mut self.clients[device];
        let resume = client.session.map(|session| Resume { session, last_seq: client.last_seq });
        let pipe = self.next_pipe;
        self.next_pipe += 1;
        client.pipe = Some(pipe);
        client.live = false;
        self.pipes.insert(pipe, gateway);
        self.saw(now, What::Connects { device, pipe, resume });
        (pipe, resume)
    }

    /// A frame came out of a socket.
    ///
    /// # Errors
    /// It is none that a client can read.
    pub fn hears(&mut self, now: Millis, device: usize, pipe: usize, text: &str) -> Result<Turn, String> {
        let mut turn = Turn { write: Vec::new(), then: Then::Go };
        let frame: ServerFrame = serde_json::from_str(text).map_err(|error| format!("{text}: {error}"))?;
        if self.clients[device].pipe != Some(pipe) {
            return Ok(turn);
        }
        if let ServerMessage::Welcome(welcome) = &frame.message {
            self.saw(now, seen::welcomed(device, pipe, &self.clients[device].id, welcome));
            let session = welcome.session_id;
            self.saw(now, What::Attached { device, pipe, gateway: self.pipes[&pipe], session });
        } else if let Some(session) = self.clients[device].session {
            let said = seen::said(&frame.message);
            if let Said::Relayed { tag: Some(tag), .. } = said
                && let Some(sent) = self.sent.get(tag)
            {
                let user = self.clients[device].user;
                self.deliveries.push(Delivery { user, sent: *sent, heard: now });
            }
            self.saw(now, What::Heard { device, session, seq: frame.seq, mid: frame.mid, said });
        }
        if let ServerMessage::Reconnect { after_ms } = frame.message {
            turn.then = Then::Leave(Duration::from_millis(after_ms));
        }
        match self.clients[device].hear(frame) {
            Some(Follow::SendAgain(open)) => {
                for Open { tag, text, .. } in open {
                    self.transmits(now, device, pipe, tag);
                    turn.write.push(text);
                }
            }
            Some(Follow::Rung(stream)) => turn.then = Then::Answer(stream),
            Some(Follow::Connected(stream)) => turn.then = Then::Talk(stream),
            Some(Follow::TokenLapses) | None => {}
        }
        Ok(turn)
    }

    fn transmits(&mut self, now: Millis, device: usize, pipe: usize, tag: usize) {
        if let Some(session) = self.clients[device].session {
            self.saw(now, What::Sent { device, pipe, session, tag });
            self.saw(now, What::Took { device, session, tag });
        }
    }

    /// The acknowledgement that is due, if one is.
    pub fn acknowledges(&mut self, device: usize) -> Option<String> {
        let client = &mut self.clients[device];
        (client.live && client.last_seq > client.acked).then(|| {
            client.acked = client.last_seq;
            client_encode::ack(client.acked)
        })
    }

    /// A device says something new. `None` if it is not welcome now, or has too much without an outcome.
    pub fn says(&mut self, now: Millis, device: usize, deed: Deed) -> Option<String> {
        let client = &mut self.clients[device];
        let pipe = client.pipe.filter(|_| client.live && client.open.len() < OPEN)?;
        let tag = self.written.len();
        client.next_id += 1;
        let id = MessageId::new(&format!("m{}", client.next_id)).ok()?;
        let (act, to, outgoing) = match deed {
            Deed::Chat(to) => {
                let sdp = format!("t={tag};");
                let description = Description { to_device_id: None, stream_id: None, sdp };
                let act = Act::Relay { kind: RelayKind::SdpOffer, stream: None, ufrag: None };
                (act, Some(to), Outgoing::SdpOffer(description))
            }
            Deed::Ring(to) => (Act::Start, Some(to), Outgoing::start(StreamType::Data)),
            Deed::Accept(stream) => (Act::Accept(stream), None, Outgoing::accept(stream)),
            Deed::End(stream) => {
                client.streams.remove(&stream);
                (Act::End(stream), None, Outgoing::end(stream, None))
            }
        };
        let outgoing = match &to {
            Some(to) => outgoing.to(to.clone()),
            None => outgoing,
        };
        let text = outgoing.encode(Some(&id));
        client.open.push(Open { id: id.clone(), tag, text: text.clone() });
        self.written.push(Written { device, id: Some(id), to, act });
        self.sent.push(now);
        self.transmits(now, device, pipe, tag);
        Some(text)
    }

    /// The streams that a device believes to be part of.
    #[must_use]
    pub fn streams(&self, device: usize) -> Vec<StreamId> {
        self.clients[device].streams.keys().copied().collect()
    }

    /// A connection is over.
    pub fn closed(&mut self, now: Millis, device: usize, pipe: usize, code: Option<u16>) {
        let code = code.and_then(CloseCode::from_code);
        self.saw(now, What::Closed { device, pipe, code });
        let client = &mut self.clients[device];
        if client.pipe != Some(pipe) {
            return;
        }
        let session = client.session.filter(|_| client.live);
        client.pipe = None;
        client.live = false;
        if let Some(session) = session {
            self.saw(now, What::Detached { device, pipe, session, how: Parted::Lost });
        }
        if code.is_some_and(|code| !code.come_back()) {
            self.clients[device].forget();
        }
    }

    /// Something is wrong with a gateway from here: its connections are not to be relied on.
    pub fn gateway_troubled(&mut self, now: Millis, gateway: usize) {
        let pipes: Vec<usize> =
            self.pipes.iter().filter(|(_, at)| **at == gateway).map(|(pipe, _)| *pipe).collect();
        for pipe in pipes {
            self.saw(now, What::Troubled { pipe });
        }
    }

    /// A fault lasted this long, until its last trace was gone. `fresh`: sessions may have begun anew meanwhile.
    pub fn fault(&mut self, from: Millis, to: Millis, fresh: bool) {
        self.spells.push(Spell { from, to, fresh });
        for user in 0..self.users.len() {
            self.saw(to, What::BusStalled { user, since: from, until: to });
            if fresh {
                self.saw(from, What::HubCrashed { user, planned: false });
                self.saw(to, What::HubRecovered { user });
            }
        }
        if fresh {
            self.saw(from, What::GatewayCrashed { gateway: usize::MAX });
        }
    }

    /// How many devices are welcome at a gateway.
    #[must_use]
    pub fn devices_at(&self, gateway: usize) -> usize {
        let at = |client: &&Client| {
            client.live && client.pipe.and_then(|pipe| self.pipes.get(&pipe)) == Some(&gateway)
        };
        self.clients.iter().filter(at).count()
    }

    /// How things stand.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let online = |client: &&Client| client.live;
        let astray = self.clients.iter().filter(|client| {
            let others = self.clients.iter().filter(online).filter(|other| other.user == client.user);
            let others: BTreeSet<&DeviceId> =
                others.map(|other| &other.id).filter(|id| **id != client.id).collect();
            client.live && others != client.online.iter().collect()
        });
        Standing {
            astray: astray.count(),
            online: self.clients.iter().filter(online).count(),
            open: self.clients.iter().map(|client| client.open.len()).sum(),
        }
    }

    /// Messages from one device to another that arrived, in the order in which they did.
    #[must_use]
    pub fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    /// For each device, how often it was welcome between two moments, and how often of that with a new session.
    #[must_use]
    pub fn welcomes(&self, from: Millis, to: Millis) -> Vec<(usize, usize)> {
        let mut counts = vec![(0, 0); self.clients.len()];
        for Entry { at, what } in &self.entries {
            if let What::Welcomed { device, resumed, .. } = what
                && (from..to).contains(at)
            {
                counts[*device].0 += 1;
                counts[*device].1 += usize::from(!resumed);
            }
        }
        counts
    }

    /// How relayed messages that were first sent between two moments ended: delivered, expired, otherwise.
    #[must_use]
    pub fn outcomes(&self, from: Millis, to: Millis) -> (usize, usize, usize) {
        checker::outcomes_between(&self.written, &self.entries, from, to)
    }

    /// Everything that was seen, a line each, with the time since the beginning in seconds.
    #[must_use]
    pub fn trace(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for Entry { at, what } in &self.entries {
            let elapsed = at.since(self.begun).as_millis();
            // Writing to a string does not fail.
            let _ = writeln!(text, "{:>4}.{:03} {what:?}", elapsed / 1000, elapsed % 1000);
        }
        text
    }

    /// Judges the history. `streams` is whose each stream in the store is; one that a node took with it before the store
    /// had its record is whose device called first.
    #[must_use]
    pub fn verdict(mut self, now: Millis, mut streams: BTreeMap<StreamId, usize>) -> Vec<Violation> {
        for Entry { what, .. } in &self.entries {
            if let What::Heard { device, said: Said::Ringing { stream, .. }, .. } = what {
                streams.entry(*stream).or_insert(self.clients[*device].user);
            }
        }
        // Faults were noted when they were over.
        self.entries.sort_by_key(|entry| entry.at);
        let live = |client: &Client| client.live && client.pipe.is_some();
        let rested = Rested {
            rows: vec![None; self.clients.len()],
            connected: self.clients.iter().map(|client| client.session.filter(|_| live(client))).collect(),
            views: self.clients.iter().map(|client| client.online.iter().cloned().collect()).collect(),
            open: self.clients.iter().map(|c| c.open.iter().map(|open| open.id.clone()).collect()).collect(),
            ..Rested::default()
        };
        let history = History {
            cluster: true,
            begun: self.begun,
            over: now,
            limits: self.limits,
            users: self.users,
            devices: self
                .clients
                .iter()
                .map(|client| Profile { user: client.user, id: client.id.clone(), slow: false })
                .collect(),
            written: self.written,
            entries: self.entries,
            transit: self.transit,
            streams,
            rested,
        };
        checker::check_edges(&history, &self.spells)
    }
}
