//! A new hub learns from the gateways what the old one knew, and until then decides nothing (§5, *Takeover*).
//!
//! Each gateway names its connections of the user; each connection announces its session or is gone. What arrives
//! meanwhile from a connection that has announced waits its turn; what arrives from one that has not is in the
//! announcement to come.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use streamz_protocol::bus::{Detach, Down, LiveStream, Message, OpenMessage, Over, Replica, Up};
use streamz_protocol::objects::Device;
use streamz_protocol::server::{Body, ServerMessage};
use streamz_protocol::{CloseCode, ConnId, DeviceId, EndReason, GatewayId, Mid, Millis, Reason, SessionId};

use crate::catch_up;
use crate::effect::{Context, Effect, Out};
use crate::hub::{Hub, Known, Live, Loading};
use crate::member::{Entry, Member, Stage};
use crate::planted::planted;
use crate::sending::{Outcome, Sending, Turn};

/// Inputs that may wait for the end of a recovery, or for the right to decide; those without an outcome are dropped beyond it, and new
/// connections are asked to come back.
pub(crate) const WAITING_MAX: usize = 4096;

/// What is known so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recovery {
    gateways: BTreeSet<GatewayId>,
    conns: BTreeSet<ConnId>,
    /// Gone before their gateway has answered, which may name them all the same.
    gone: BTreeSet<ConnId>,
    announced: BTreeMap<ConnId, Replica>,
    waiting: VecDeque<Up>,
}

impl Recovery {
    pub(crate) fn new(gateways: &[GatewayId]) -> Self {
        Self { gateways: gateways.iter().copied().collect(), ..Self::default() }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn is_complete(&self, early: bool) -> bool {
        self.gateways.is_empty() && (early || self.conns.is_empty())
    }
}

impl Hub {
    pub(crate) fn while_recovering(&mut self, up: Up, cx: &mut Context<'_>, out: &mut Out) {
        let Some(recovery) = &mut self.recovery else {
            return;
        };
        match up {
            Up::Roster { gateway, epoch, conns } if epoch == self.epoch => {
                if recovery.gateways.remove(&gateway) {
                    let silent = |conn: &ConnId| {
                        !recovery.announced.contains_key(conn) && !recovery.gone.contains(conn)
                    };
                    recovery.conns.extend(conns.into_iter().filter(silent));
                    recovery.gone.retain(|conn| conn.gateway != gateway);
                }
            }
            Up::Announce { conn, epoch, replica } if epoch == self.epoch => {
                recovery.conns.remove(&conn);
                recovery.announced.insert(conn, *replica);
            }
            // It has asked for the list already.
            Up::Roster { .. } | Up::Announce { .. } | Up::Recheck => {}
            Up::Gone(conn) => {
                recovery.conns.remove(&conn);
                if recovery.gateways.contains(&conn.gateway) {
                    recovery.gone.insert(conn);
                }
                if recovery.announced.contains_key(&conn) {
                    recovery.waiting.push_back(Up::Gone(conn));
                }
                self.joining.retain(|(waiting, _)| *waiting != conn);
                recovery.waiting.retain(|up| !matches!(up, Up::Attach(waiting, _) if *waiting == conn));
            }
            Up::Attach(conn, _) if recovery.waiting.len() >= WAITING_MAX => {
                Self::refuse(conn, CloseCode::Unavailable, out);
            }
            Up::WhoIsOnline { .. } if recovery.waiting.len() >= WAITING_MAX => {}
            Up::Message(conn, message) => {
                let room = message.id.is_some() || recovery.waiting.len() < WAITING_MAX;
                if room && recovery.announced.contains_key(&conn) {
                    recovery.waiting.push_back(Up::Message(conn, message));
                }
            }
            Up::Ack(conn, seq) => {
                // The announcement may be behind it; the window of a replica is cut where it stands.
                if let Some(replica) = recovery.announced.get_mut(&conn)
                    && seq <= replica.last_seq
                {
                    replica.acked = replica.acked.max(seq);
                }
            }
            Up::Detach(conn, how) => {
                if recovery.announced.contains_key(&conn) {
                    recovery.waiting.push_back(Up::Detach(conn, how));
                }
            }
            other => recovery.waiting.push_back(other),
        }
        self.recover_if_complete(cx, out);
    }

    /// Goes on once everybody was heard, and the node may decide.
    pub(crate) fn recover_if_complete(&mut self, cx: &mut Context<'_>, out: &mut Out) {
        let early = planted!(self, EarlyDecision);
        let complete = self.recovery.as_ref().is_some_and(|recovery| recovery.is_complete(early));
        if complete && !self.undecided {
            self.finish_recovery(cx, out);
        }
    }

    fn finish_recovery(&mut self, cx: &mut Context<'_>, out: &mut Out) {
        let Some(recovery) = self.recovery.take() else {
            return;
        };
        self.recovered_at = cx.now;
        let Recovery { announced, waiting, .. } = *recovery;
        let chosen = Self::choose(announced, planted!(self, OlderGenerationWins), out);
        let mut over: Vec<Over> = Vec::new();
        for (_, replica) in &chosen {
            over.extend(
                replica.over.iter().copied().filter(|known| !over.contains(known)).collect::<Vec<_>>(),
            );
        }
        let known: Vec<_> = chosen.iter().map(|(_, replica)| catch_up::Known::of(replica)).collect();
        let mut open = Vec::new();
        let mut views = Vec::new();
        for (conn, mut replica) in chosen {
            self.restore_streams(std::mem::take(&mut replica.live));
            open.push((replica.session, std::mem::take(&mut replica.open)));
            views.push((replica.session, std::mem::take(&mut replica.view)));
            self.restore_member(conn, replica, cx, out);
        }
        self.miss_the_lost(&views, cx.now);
        self.correct_rows(cx.now, out);
        self.correct_views(&views, cx, out);
        self.end_lost_streams(&over, cx, out);
        self.catch_up(&known, cx.now, out);
        self.write_live_records(out);
        for (session, messages) in open {
            self.restore_open(session, messages, &over, cx, out);
        }
        for (conn, attach) in std::mem::take(&mut self.joining) {
            self.attach(conn, attach, cx, out);
        }
        for up in waiting {
            self.up(up, cx, out);
        }
        if self.loading == Loading::Needed {
            self.loading = Loading::Asked;
            out.push(Effect::Load);
        }
    }

    /// One session a device: the one of the highest generation. The others are told that they were replaced.
    fn choose(announced: BTreeMap<ConnId, Replica>, reversed: bool, out: &mut Out) -> Vec<(ConnId, Replica)> {
        let mut chosen: BTreeMap<DeviceId, (ConnId, Replica)> = BTreeMap::new();
        for (conn, replica) in announced {
            let device = replica.device.device_id.clone();
            match chosen.get(&device) {
                Some((_, other)) if (other.generation >= replica.generation) != reversed => {
                    out.down(conn, Down::Close(CloseCode::Replaced));
                }
                _ => {
                    if let Some((loser, _)) = chosen.insert(device, (conn, replica)) {
                        out.down(loser, Down::Close(CloseCode::Replaced));
                    }
                }
            }
        }
        chosen.into_values().collect()
    }

    fn restore_streams(&mut self, copies: Vec<LiveStream>) {
        for copy in copies {
            match self.live_mut(copy.id) {
                Some(live) if live.stream.revision >= copy.revision => {}
                Some(live) => live.stream = copy,
                None => self.streams.push(Live { stream: copy, held: Vec::new() }),
            }
        }
    }

    fn restore_member(&mut self, conn: ConnId, replica: Replica, cx: &Context<'_>, out: &mut Out) {
        let id = replica.device.device_id.clone();
        // As the store has it, if its list is here.
        let stored = self.known(&id).map(|known| known.device.is_online);
        if stored.is_none() {
            let device = Device { is_online: false, ..replica.device };
            self.devices.push(Known { device, offline_at: None });
        }
        let mut member =
            Member::new(replica.session, replica.generation, id.clone(), replica.family, replica.caps, conn);
        member.away = replica.away;
        member.next_seq = replica.last_seq + 1;
        if replica.away.is_some() {
            member.leap();
        }
        if planted!(self, SeqReuseOnRecovery) {
            member.next_seq = replica.acked + 1;
        }
        member.acked = replica.acked;
        member.lossy = replica.lossy;
        member.floor = replica.floor;
        member.heard = replica.heard;
        member.confirmed = replica.confirmed;
        member.accepted = replica.next_number.saturating_sub(1);
        member.restore_outcomes(replica.settled);
        let acked = replica.acked;
        member.restore_window(replica.window.into_iter().filter(|frame| frame.seq > acked).collect(), cx.now);
        let grace = self.limits.offline_grace;
        if let Some(known) = self.known_mut(&id) {
            let (online, offline_at) = match member.away {
                None => (true, None),
                Some((_, Detach::Clean)) => (false, None),
                Some((since, _)) => (since + grace > cx.now, Some(since + grace)),
            };
            known.device.is_online = online;
            known.offline_at = offline_at.filter(|_| online);
            if !online || stored == Some(false) {
                // The hub before this one may have died before it wrote so.
                out.push(Effect::Presence { row: known.device.id, online, at: cx.now });
            }
        }
        self.members.push(member);
    }

    /// Devices that sessions were told are online and that no gateway knows: lost with their gateway. They have the
    /// same while to come back as anybody who loses a socket.
    fn miss_the_lost(&mut self, views: &[(SessionId, Vec<DeviceId>)], now: Millis) {
        let seen: BTreeSet<&DeviceId> = views.iter().flat_map(|(_, view)| view).collect();
        let gone_at = now + self.limits.offline_grace;
        for device in seen {
            if self.member_by_device(device).is_some() {
                continue;
            }
            self.missed.push((device.clone(), gone_at));
            if let Some(known) = self.known_mut(device) {
                known.device.is_online = true;
                known.offline_at = Some(gone_at);
            }
        }
    }

    /// Writes down who is not there any more. What the store had said is what a device shows until now.
    fn correct_rows(&mut self, now: Millis, out: &mut Out) {
        for at in 0..self.devices.len() {
            let known = &self.devices[at];
            let there =
                known.offline_at.is_some() || self.member_by_device(&known.device.device_id).is_some();
            if known.device.is_online && !there {
                self.devices[at].device.is_online = false;
                out.push(Effect::Presence { row: self.devices[at].device.id, online: false, at: now });
            }
        }
    }

    /// Tells each session where what it was told of the others is not so any more.
    fn correct_views(&mut self, views: &[(SessionId, Vec<DeviceId>)], cx: &mut Context<'_>, out: &mut Out) {
        let online: Vec<Device> = self
            .devices
            .iter()
            .filter(|known| known.device.is_online)
            .map(|known| known.device.clone())
            .collect();
        for (session, view) in views {
            let Some(at) = self.member_by_session(*session) else {
                continue;
            };
            let own = self.members[at].device.clone();
            for device in online.iter().filter(|device| device.device_id != own) {
                // Of those that are missed, only who knows them will hear again.
                let there = self.member_by_device(&device.device_id).is_some();
                if there && !view.contains(&device.device_id) {
                    let body = Body::of(&ServerMessage::DeviceOnline {
                        device_id: device.device_id.clone(),
                        device_name: device.device_name.to_string(),
                        device_type: device.device_type.to_string(),
                    });
                    self.tell(at, Self::presence(&device.device_id, true), body, cx.now, out);
                }
            }
            for device in view.iter().filter(|device| **device != own) {
                let shown = online.iter().any(|other| other.device_id == *device)
                    || self.missed.iter().any(|(missed, _)| missed == device);
                if !shown {
                    let body = Body::of(&ServerMessage::DeviceOffline { device_id: device.clone() });
                    self.tell(at, Self::presence(device, false), body, cx.now, out);
                }
            }
        }
    }

    /// Ends streams that one party knows to be over, and those whose parties have no session any more.
    fn end_lost_streams(&mut self, over: &[Over], cx: &mut Context<'_>, out: &mut Out) {
        for over in over.iter().filter(|over| over.ended) {
            self.end_stream(over.id, None, EndReason::Ended.as_str(), cx.now, out);
        }
        let parties: BTreeSet<DeviceId> = self
            .streams
            .iter()
            .flat_map(|live| {
                std::iter::once(&live.stream.initiator)
                    .chain(&live.stream.accepted)
                    .chain(&live.stream.ringing)
            })
            .filter(|device| self.member_by_device(device).is_none())
            .cloned()
            .collect();
        for device in parties {
            self.drop_from_streams(&device, EndReason::DeviceLost, cx.now, out);
        }
    }

    fn restore_open(
        &mut self,
        session: SessionId,
        messages: Vec<OpenMessage>,
        over: &[Over],
        cx: &mut Context<'_>,
        out: &mut Out,
    ) {
        for message in messages {
            let Some(at) = self.member_by_session(session) else {
                return;
            };
            match message {
                OpenMessage::Awaited(open) => {
                    let entry = Entry {
                        id: open.id,
                        digest: open.digest,
                        accepted_at: open.accepted_at,
                        targets: Vec::new(),
                        broadcast: false,
                        doubtful: false,
                        stage: Stage::Awaited,
                    };
                    self.members[at].open.insert(open.number, entry);
                }
                OpenMessage::Whole(message) => {
                    self.restore_message(at, *message, Turn::Announced, over, cx, out)
                }
                OpenMessage::Again(message) => self.restore_message(at, *message, Turn::Again, over, cx, out),
            }
        }
    }

    fn restore_message(
        &mut self,
        at: usize,
        message: Message,
        turn: Turn,
        over: &[Over],
        cx: &mut Context<'_>,
        out: &mut Out,
    ) {
        let origin = Mid { session: self.members[at].session, number: message.number };
        let lives = self.streams.iter().any(|live| live.stream.origin == origin);
        if !lives && over.iter().any(|over| over.origin == origin) {
            self.conclude_ended_start(at, &message, cx, out);
        } else {
            self.submit(at, message, turn, cx, out);
        }
    }

    /// The stream that this message began is over before its caller learned of it.
    fn conclude_ended_start(&mut self, at: usize, message: &Message, cx: &mut Context<'_>, out: &mut Out) {
        let sending = Sending::of(&self.members[at], message, Turn::Announced);
        self.answer(&sending, Outcome::NotDelivered(Reason::Expired, Vec::new()), cx.now, out);
    }
}
