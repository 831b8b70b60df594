//! The phases of a connection, and the dispatch of inputs.

use std::collections::VecDeque;
use std::sync::Arc;

use streamz_protocol::TraceContext;
use streamz_protocol::bus::{Attach, Attached, Detach, Down, Up};
use streamz_protocol::objects::IceServer;
use streamz_protocol::server::{Body, ServerMessage, Welcome};
use streamz_protocol::{CloseCode, ConnId, DeviceId, Limits, MessageId, Millis, Reason, SessionId, UserId};
use uuid::Uuid;

use crate::copy::{Copy, OpenEntry};
use crate::effect::{Context, Effect, Facts, Input, Outgoing};
use crate::settled::Settled;

/// How often a message is handed to a new hub before it is given up: it may be what the hubs die of.
const HAND_OVERS_MAX: u8 = 3;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The hub was asked for a session.
    Attaching,
    /// The session is there and so is the socket.
    Live,
    /// The socket is gone; the session waits for its device.
    Away {
        /// Since when.
        since: Millis,
        /// How it went.
        how: Detach,
    },
    /// The hub let go of it.
    Over,
}

/// One connection's session.
#[derive(Clone, Debug)]
pub struct Session {
    pub(crate) conn: ConnId,
    pub(crate) user: UserId,
    pub(crate) limits: Arc<Limits>,
    pub(crate) attach: Box<Attach>,
    pub(crate) phase: Phase,
    pub(crate) copy: Option<Box<Copy>>,
    pub(crate) token_expires: Millis,
    /// When its end is to be announced; `None` once it was.
    pub(crate) token_notice_at: Option<Millis>,
    /// The `auth` whose token is being checked.
    pub(crate) checking: Option<Own>,
    pub(crate) ice_servers: Vec<IceServer>,
    pub(crate) ice_renew_at: Option<Millis>,
    pub(crate) next_ping: Millis,
    pub(crate) missed_pings: u32,
    /// Up to when messages over the rate are held against the device.
    pub(crate) strikes_until: Millis,
    /// Bytes that were sent and not yet taken by the socket.
    pub(crate) queued: usize,
    /// The highest `seq` that was handed to the socket.
    pub(crate) handed: u64,
    /// Messages that the device may still send again without a permit.
    pub(crate) repeats: usize,
    /// What the last input settled.
    pub(crate) settled: Vec<Settled>,
    #[cfg(feature = "planted-bugs")]
    pub(crate) bug: Option<crate::planted::Bug>,
}

/// A message that the gateway acts on by itself, and whose outcome is still to be found.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) id: Option<MessageId>,
    /// See [`streamz_protocol::client::ClientMessage::digest`].
    pub(crate) digest: u64,
    pub(crate) trace: Option<TraceContext>,
}

impl Session {
    /// A connection that asks for its session.
    #[must_use]
    pub fn open(facts: Facts, now: Millis) -> (Self, Vec<Effect>) {
        let attach = Up::Attach(facts.conn, Box::new(facts.attach.clone()));
        let mut session = Self {
            conn: facts.conn,
            user: facts.user,
            next_ping: now + facts.limits.heartbeat,
            limits: facts.limits,
            attach: Box::new(facts.attach),
            phase: Phase::Attaching,
            copy: None,
            token_expires: facts.token_expires,
            token_notice_at: None,
            checking: None,
            ice_servers: facts.ice_servers,
            ice_renew_at: facts.ice_renew_at,
            missed_pings: 0,
            strikes_until: now,
            queued: 0,
            handed: 0,
            repeats: 0,
            settled: Vec::new(),
            #[cfg(feature = "planted-bugs")]
            bug: None,
        };
        session.set_token(facts.token_expires, now);
        (session, vec![Effect::Up(attach)])
    }

    /// Where it stands. Text frames are welcome in [`Phase::Live`] only.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whose it is.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.user
    }

    /// The session's name, once the hub has given it.
    #[must_use]
    pub fn id(&self) -> Option<SessionId> {
        self.copy.as_ref().map(|copy| copy.session)
    }

    /// Messages of its device that have no outcome yet.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.copy.as_ref().map_or(0, |copy| copy.open.len())
    }

    /// The sign-in that it came with.
    #[must_use]
    pub fn family(&self) -> Uuid {
        self.attach.family
    }

    /// Takes one input and returns what is to be done, in order.
    #[must_use]
    pub fn handle(&mut self, input: Input<'_>, cx: &mut Context<'_>) -> Vec<Effect> {
        let mut out = Vec::new();
        self.settled.clear();
        if self.phase == Phase::Over {
            return out;
        }
        match input {
            Input::Text(text) if self.phase == Phase::Live => {
                self.missed_pings = 0;
                let before = self.queued;
                self.text(text, cx, &mut out);
                // A device that does not read may not go on asking either.
                if self.queued > before.max(self.limits.outbound_bytes) {
                    self.close_slow(cx.now, &mut out);
                }
            }
            Input::Text(_) => {}
            Input::Violation(what) => self.violation(what, cx.now, &mut out),
            Input::Alive => self.missed_pings = 0,
            Input::Idle => self.idle(cx, &mut out),
            Input::Down(down) => self.down(down, cx.now, &mut out),
            Input::Roll { epoch } => self.roll(epoch, cx.now, &mut out),
            Input::HubFull { number } => self.hub_full(number, cx.now, &mut out),
            Input::Written { bytes, seq } => self.written(bytes, seq, &mut out),
            Input::SocketGone { clean } => {
                let how = if clean { Detach::Clean } else { Detach::Lost };
                self.lose_socket(how, cx.now, &mut out);
            }
            Input::TokenChecked(facts) => self.token_checked(facts, cx.now, &mut out),
            Input::IceServers { servers, renew_at } => {
                self.ice_renew_at = renew_at;
                self.say(&ServerMessage::IceServers { ice_servers: servers }, &mut out);
            }
            Input::Drain { after_ms } => self.say(&ServerMessage::Reconnect { after_ms }, &mut out),
            Input::Close(code) => self.close(code, Detach::Lost, cx.now, &mut out),
            Input::Overflowed => {
                // The copy is not whole any more and of no use; the hub's is.
                self.close_slow(cx.now, &mut out);
                if self.phase != Phase::Over {
                    self.end(&mut out);
                }
            }
            Input::Tick => self.tick(cx.now, &mut out),
        }
        out
    }

    fn down(&mut self, down: Down, now: Millis, out: &mut Vec<Effect>) {
        match down {
            Down::Attached(attached) => self.attached(*attached, out),
            Down::Refused(code) => {
                out.push(Effect::Close(code));
                self.end(out);
            }
            Down::Batch(items) => {
                for item in items {
                    self.item(item, now, out);
                }
            }
            Down::Close(code) => {
                if self.phase == Phase::Live || self.phase == Phase::Attaching {
                    out.push(Effect::Close(code));
                }
                self.end(out);
            }
            Down::Forget => self.end(out),
        }
    }

    fn attached(&mut self, attached: Attached, out: &mut Vec<Effect>) {
        // A hub may answer twice to a connection that had to ask twice: it goes by the last request.
        if self.phase != Phase::Attaching || attached.attempt != self.attach.attempt {
            return;
        }
        let welcome = ServerMessage::Welcome(Box::new(Welcome {
            session_id: attached.session,
            resumed: attached.resumed,
            heartbeat_interval_ms: millis(self.limits.heartbeat),
            resume_window_ms: if self.attach.caps.acks { millis(self.limits.resume_window) } else { 0 },
            device: attached.device.clone(),
            devices: attached.devices.clone(),
            streams: attached.streams,
            ice_servers: std::mem::take(&mut self.ice_servers),
        }));
        let open = attached
            .open
            .into_iter()
            .map(|known| OpenEntry { known, message: None, inherited: true, hand_overs: 0 })
            .collect();
        let online = attached.devices.into_iter().filter(|device| device.is_online);
        let mut view: Vec<DeviceId> = online.map(|device| device.device_id).collect();
        view.extend(attached.missed.into_iter().filter(|missed| !view.contains(missed)).collect::<Vec<_>>());
        self.copy = Some(Box::new(Copy {
            session: attached.session,
            generation: attached.generation,
            device: attached.device,
            acked: attached.acked,
            last_seq: attached.last_seq,
            window: attached.replay.iter().cloned().collect(),
            window_bytes: attached.replay.iter().map(|frame| frame.body.len()).sum(),
            lossy: attached.lossy,
            floor: attached.floor,
            next_number: attached.next_number,
            open,
            open_bytes: 0,
            settled: attached.settled.into(),
            heard: attached.heard,
            confirmed: VecDeque::new(),
            confirmed_by: None,
            view,
            live: attached.live,
            over: VecDeque::new(),
        }));
        self.phase = Phase::Live;
        // After `welcome` the device sends again what it has open, as it must: that is not its rate's business.
        self.repeats = self.copy.as_ref().map_or(0, |copy| copy.open.len() + copy.settled.len());
        self.say(&welcome, out);
        for frame in attached.replay {
            self.send(Outgoing { seq: Some(frame.seq), body: frame.body }, out);
        }
    }

    /// A new hub asks: everything that this side knows goes up, as one.
    fn roll(&mut self, epoch: u64, now: Millis, out: &mut Vec<Effect>) {
        let limits = self.limits.clone();
        let Some(copy) = &mut self.copy else {
            // The question went to the hub that died: the new one need not wait for this connection, only serve it.
            self.attach.attempt += 1;
            out.push(Effect::Up(Up::Gone(self.conn)));
            out.push(Effect::Up(Up::Attach(self.conn, self.attach.clone())));
            return;
        };
        let mut given_up = Vec::new();
        copy.open.retain_mut(|entry| {
            entry.hand_overs += 1;
            let keep = entry.hand_overs <= HAND_OVERS_MAX;
            if !keep {
                given_up.push(entry.clone());
            }
            keep
        });
        copy.open_bytes = copy.open.iter().map(OpenEntry::weight).sum();
        let mut lost = Vec::new();
        let mut settled = Vec::new();
        for entry in given_up {
            let kind = entry.message.as_ref().map_or("other", |message| message.command.name());
            let known = entry.known;
            let (number, after) = (known.number, now.since(known.accepted_at));
            settled.push(Settled { number, kind, outcome: Reason::Expired.as_str(), after });
            let body = Body::not_delivered(&known.id, Reason::Expired, Vec::new());
            copy.remember(known.id, known.digest, body.clone(), now, &limits);
            lost.push(body);
        }
        let away = match self.phase {
            Phase::Away { since, how } => Some((since, how)),
            _ => None,
        };
        let replica = copy.replica(self.attach.family, self.attach.caps, away);
        out.push(Effect::Up(Up::Announce { conn: self.conn, epoch, replica: Box::new(replica) }));
        self.settled.append(&mut settled);
        for body in lost {
            self.send(Outgoing { seq: None, body }, out);
        }
    }

    /// Closes the socket of a device that does not read.
    pub(crate) fn close_slow(&mut self, now: Millis, out: &mut Vec<Effect>) {
        self.close(CloseCode::SlowConsumer, Detach::Slow { handed: self.handed }, now, out);
    }

    /// Closes the socket from here.
    pub(crate) fn close(&mut self, code: CloseCode, how: Detach, now: Millis, out: &mut Vec<Effect>) {
        match self.phase {
            Phase::Live => {
                out.push(Effect::Close(code));
                self.lose_socket(how, now, out);
            }
            Phase::Attaching => {
                out.push(Effect::Close(code));
                self.end(out);
            }
            Phase::Away { .. } | Phase::Over => {}
        }
    }

    pub(crate) fn lose_socket(&mut self, how: Detach, now: Millis, out: &mut Vec<Effect>) {
        self.queued = 0;
        match self.phase {
            Phase::Live => {
                out.push(Effect::Up(Up::Detach(self.conn, how)));
                if self.attach.caps.acks {
                    self.phase = Phase::Away { since: now, how };
                } else {
                    self.end(out);
                }
            }
            Phase::Attaching => self.end(out),
            Phase::Away { .. } | Phase::Over => {}
        }
    }

    pub(crate) fn end(&mut self, out: &mut Vec<Effect>) {
        self.phase = Phase::Over;
        self.copy = None;
        out.push(Effect::Up(Up::Gone(self.conn)));
        out.push(Effect::End);
    }

    /// Sends a frame that has no place in the session.
    pub(crate) fn say(&mut self, message: &ServerMessage, out: &mut Vec<Effect>) {
        self.send(Outgoing { seq: None, body: Body::of(message) }, out);
    }

    pub(crate) fn send(&mut self, outgoing: Outgoing, out: &mut Vec<Effect>) {
        if self.phase == Phase::Live {
            self.queued += outgoing.weight();
            self.handed = outgoing.seq.unwrap_or(self.handed);
            out.push(Effect::Send(outgoing));
        }
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
