//! A model of a client that keeps the rules of §4.4, small enough to be believed.

use std::collections::{BTreeMap, BTreeSet};

use streamz_protocol::objects::StreamState;
use streamz_protocol::server::{ServerFrame, ServerMessage, Welcome};
use streamz_protocol::{DeviceId, MessageId, Mid, SessionId, StreamId};
use uuid::Uuid;

use crate::history::Part;

/// One device.
pub(crate) struct Client {
    pub(crate) user: usize,
    pub(crate) id: DeviceId,
    pub(crate) simple: bool,
    pub(crate) max_streams: u16,
    /// Its sign-in.
    pub(crate) family: Uuid,
    /// The connection that it has, welcome or not.
    pub(crate) pipe: Option<usize>,
    /// Whether that connection brought its `welcome`.
    pub(crate) live: bool,
    pub(crate) session: Option<SessionId>,
    pub(crate) last_seq: u64,
    pub(crate) acked: u64,
    /// It is about to confirm what it has.
    pub(crate) confirming: bool,
    seen: BTreeSet<Mid>,
    /// Messages without an outcome, in order.
    pub(crate) open: Vec<Open>,
    pub(crate) next_id: u64,
    /// The others that it was told are online.
    pub(crate) online: BTreeSet<DeviceId>,
    pub(crate) streams: BTreeMap<StreamId, Role>,
    /// Whether it wants to be connected.
    pub(crate) wanted: bool,
    /// Bytes a second that it reads; `None` if more than it is sent.
    pub(crate) speed: Option<u64>,
}

/// A message without an outcome.
#[derive(Clone)]
pub(crate) struct Open {
    pub(crate) id: MessageId,
    pub(crate) tag: usize,
    pub(crate) text: String,
}

/// What a device takes a stream for.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    pub(crate) part: Part,
    /// The device at the other end, if there is one only.
    pub(crate) peer: Option<DeviceId>,
}

/// What follows from a frame.
pub(crate) enum Follow {
    /// Write these again.
    SendAgain(Vec<Open>),
    /// A ring came in.
    Rung(StreamId),
    /// The other side accepted, or this one did and knows it.
    Connected(StreamId),
    /// The token lapses.
    TokenLapses,
}

impl Client {
    pub(crate) fn new(user: usize, id: DeviceId, simple: bool, max_streams: u16, family: Uuid) -> Self {
        Self {
            user,
            id,
            simple,
            max_streams,
            family,
            pipe: None,
            live: false,
            session: None,
            last_seq: 0,
            acked: 0,
            confirming: false,
            seen: BTreeSet::new(),
            open: Vec::new(),
            next_id: 0,
            online: BTreeSet::new(),
            streams: BTreeMap::new(),
            wanted: true,
            speed: None,
        }
    }

    /// Everything that it kept in memory is gone; its `id`s go on, so that a checker can tell them apart.
    pub(crate) fn forget(&mut self) {
        self.session = None;
        self.last_seq = 0;
        self.acked = 0;
        self.seen.clear();
        self.open.clear();
        self.online.clear();
        self.streams.clear();
    }

    /// Takes a frame. Those that were seen before are dropped.
    pub(crate) fn hear(&mut self, frame: ServerFrame) -> Option<Follow> {
        if let Some(seq) = frame.seq {
            if seq <= self.last_seq {
                return None;
            }
            self.last_seq = seq;
        }
        if let Some(mid) = frame.mid
            && !self.seen.insert(mid)
        {
            return None;
        }
        match frame.message {
            ServerMessage::Welcome(welcome) => return Some(self.welcome(&welcome)),
            ServerMessage::DeviceOnline { device_id, .. } => {
                self.online.insert(device_id);
            }
            ServerMessage::DeviceOffline { device_id } | ServerMessage::DeviceRemoved { device_id } => {
                self.online.remove(&device_id);
            }
            ServerMessage::StreamRinging { stream_id, to, .. } => {
                let peer = if to.len() == 1 { to.first().cloned() } else { None };
                let role = self.streams.entry(stream_id).or_insert(Role { part: Part::Calling, peer: None });
                role.peer = role.peer.take().or(peer);
            }
            ServerMessage::StreamStart { stream_id, from_device_id, .. } => {
                if let std::collections::btree_map::Entry::Vacant(free) = self.streams.entry(stream_id) {
                    free.insert(Role { part: Part::Rung, peer: Some(from_device_id) });
                    return Some(Follow::Rung(stream_id));
                }
            }
            ServerMessage::StreamAccept { stream_id, from_device_id } => {
                // It may have given up already, and its word be on its way.
                let known = self.streams.get(&stream_id).map(|role| role.part);
                let part = known.filter(|part| *part == Part::Unsure).unwrap_or(Part::Active);
                self.streams.insert(stream_id, Role { part, peer: Some(from_device_id) });
                return Some(Follow::Connected(stream_id));
            }
            ServerMessage::StreamEnd { stream_id, .. } => {
                self.streams.remove(&stream_id);
            }
            ServerMessage::Delivered { id }
            | ServerMessage::NotDelivered { id, .. }
            | ServerMessage::Error { id: Some(id), .. } => {
                self.open.retain(|open| open.id != id);
            }
            ServerMessage::TokenExpiring { .. } => return Some(Follow::TokenLapses),
            _ => {}
        }
        None
    }

    fn welcome(&mut self, welcome: &Welcome) -> Follow {
        self.live = true;
        if !welcome.resumed {
            self.session = Some(welcome.session_id);
            self.last_seq = 0;
            self.acked = 0;
            let others = welcome.devices.iter().filter(|device| device.device_id != self.id);
            self.online =
                others.filter(|device| device.is_online).map(|device| device.device_id.clone()).collect();
            self.streams.clear();
            for stream in &welcome.streams {
                let active = stream.state == StreamState::Active;
                let calls = stream.from_device_id == self.id;
                if !calls && !stream.to.contains(&self.id) {
                    continue;
                }
                let part = match (active, calls) {
                    (true, _) => Part::Active,
                    (false, true) => Part::Calling,
                    (false, false) => Part::Rung,
                };
                let only = if stream.to.len() == 1 { stream.to.first().cloned() } else { None };
                let peer = if calls { only } else { Some(stream.from_device_id.clone()) };
                self.streams.insert(stream.id, Role { part, peer });
            }
        }
        if self.simple {
            self.open.clear();
        }
        Follow::SendAgain(self.open.clone())
    }
}
