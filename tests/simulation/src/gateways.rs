//! Gateways: the shell around each session, as the one in `streamz-gateway` is, without its sockets.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use streamz_protocol::bus::{Attach, Caps, Detach, ToGateway, Up};
use streamz_protocol::{CloseCode, ConnId, GatewayId, Millis};
use streamz_session::{Context, Effect, Facts, Input, Outgoing, Phase, Session, TokenFacts};

use crate::history::{Parted, What};
use crate::world::{Event, FromDevice, World};

/// How long a hub may take to answer a new connection.
const ATTACH_WITHIN: Duration = Duration::from_secs(10);
/// How long a peer may take to read what was said last.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// One incarnation of a gateway process.
pub(crate) struct Gateway {
    pub(crate) id: GatewayId,
    pub(crate) alive: bool,
    /// Whether hubs still believe so.
    pub(crate) believed: bool,
    /// The connections whose sessions are not over.
    pub(crate) pipes: BTreeSet<usize>,
}

impl Gateway {
    pub(crate) fn new(number: usize) -> Self {
        let id = GatewayId(number as u64 + 1);
        Self { id, alive: true, believed: true, pipes: BTreeSet::new() }
    }
}

/// One connection, from both its ends.
pub(crate) struct Pipe {
    pub(crate) device: usize,
    pub(crate) gateway: usize,
    pub(crate) session: Option<Session>,
    /// The gateway holds the socket.
    pub(crate) socket: bool,
    /// The device holds its end.
    pub(crate) held: bool,
    /// What is on its way is lost, and so is all that follows.
    pub(crate) cut: bool,
    /// Nothing passes and nobody is told.
    pub(crate) silent: bool,
    /// The device reads nothing until then.
    pub(crate) stalled: Millis,
    pub(crate) waiting: VecDeque<Out>,
    /// What the system took and has not reported.
    pub(crate) taken: Option<(usize, Option<u64>)>,
    pub(crate) draining: bool,
    pub(crate) closing: bool,
    armed: Option<Millis>,
    tokens: u64,
    filled: Millis,
    /// When the last frame in each direction arrives.
    pub(crate) up_free: Millis,
    pub(crate) down_free: Millis,
}

/// Something for the socket.
pub(crate) enum Out {
    Frame(Outgoing),
    Ping,
    Close(CloseCode),
}

impl World {
    /// A connection that a device begins; its request is on its way.
    pub(crate) fn new_pipe(&mut self, device: usize, gateway: usize) -> usize {
        self.pipes.push(Pipe {
            device,
            gateway,
            session: None,
            socket: true,
            held: true,
            cut: false,
            silent: false,
            stalled: Millis(0),
            waiting: VecDeque::new(),
            taken: None,
            draining: false,
            closing: false,
            armed: None,
            tokens: self.plan.rate.1,
            filled: self.now,
            up_free: Millis(0),
            down_free: Millis(0),
        });
        self.pipes.len() - 1
    }

    pub(crate) fn conn(&self, pipe: usize) -> ConnId {
        ConnId { gateway: self.gateways[self.pipes[pipe].gateway].id, number: pipe as u64 }
    }

    pub(crate) fn gateway_reads(&mut self, pipe: usize, frame: FromDevice) {
        let state = &self.pipes[pipe];
        if state.cut || state.silent || !state.socket || !self.gateways[state.gateway].alive {
            return;
        }
        match frame {
            FromDevice::Open { resume } => self.accept_connection(pipe, resume),
            FromDevice::Text { text, tag } => {
                let live = state.session.as_ref().filter(|session| session.phase() == Phase::Live);
                if let (Some(tag), Some(session)) = (tag, live.and_then(Session::id)) {
                    let device = state.device;
                    self.saw(What::Took { device, session, tag });
                }
                self.reading = tag;
                self.feed(pipe, Input::Text(&text));
                self.reading = None;
            }
            FromDevice::Pong => self.feed(pipe, Input::Alive),
            FromDevice::Close => self.socket_gone(pipe, true),
        }
    }

    fn accept_connection(&mut self, pipe: usize, resume: Option<streamz_protocol::bus::Resume>) {
        let conn = self.conn(pipe);
        let client = &self.clients[self.pipes[pipe].device];
        let user = client.user;
        let attach = Attach {
            attempt: 0,
            device: client.id.clone(),
            name: None,
            device_type: None,
            family: client.family,
            caps: Caps { acks: !client.simple, max_streams: client.max_streams },
            resume,
            trace: None,
        };
        let life = self.dice.millis(70_000, 900_000);
        let facts = Facts {
            conn,
            user: self.user_ids[user],
            attach,
            token_expires: self.now + life,
            ice_servers: Vec::new(),
            ice_renew_at: self.dice.chance(20).then(|| self.now + life / 2),
            limits: self.plan.limits.clone(),
        };
        #[cfg_attr(not(feature = "planted-bugs"), allow(unused_mut))]
        let (mut session, effects) = Session::open(facts, self.now);
        #[cfg(feature = "planted-bugs")]
        if let Some(crate::Bug::Session(bug)) = self.bug {
            session.plant(bug);
        }
        self.pipes[pipe].session = Some(session);
        self.gateways[self.pipes[pipe].gateway].pipes.insert(pipe);
        self.enlist(self.pipes[pipe].gateway, user);
        self.after(ATTACH_WITHIN, Event::AttachTimeout { pipe });
        self.carry_out(pipe, effects);
        self.arm_session(pipe);
    }

    /// Gives a session one input and carries out what follows.
    pub(crate) fn feed(&mut self, pipe: usize, input: Input<'_>) {
        let (per_second, burst) = self.plan.rate;
        let now = self.now;
        let state = &mut self.pipes[pipe];
        let Some(session) = &mut state.session else { return };
        let before = session.phase();
        let id = session.id();
        let (tokens, filled) = (&mut state.tokens, &mut state.filled);
        let mut permit = || {
            let gained = now.since(*filled).as_millis() as u64 * per_second / 1000;
            if gained > 0 {
                *tokens = burst.min(*tokens + gained);
                *filled = now;
            }
            let taken = *tokens > 0;
            *tokens -= u64::from(taken);
            taken
        };
        let effects = session.handle(input, &mut Context { now, permit: &mut permit });
        let after = session.phase();
        let (device, gateway, id) = (state.device, state.gateway, session.id().or(id));
        let detach = effects.iter().find_map(|effect| match effect {
            Effect::Up(Up::Detach(_, how)) => Some(*how),
            _ => None,
        });
        if let (Phase::Attaching, Phase::Live, Some(session)) = (before, after, id) {
            self.saw(What::Attached { device, pipe, gateway, session });
        }
        if before == Phase::Live
            && after != Phase::Live
            && let Some(session) = id
        {
            let how = match detach {
                Some(Detach::Clean) => Parted::Clean,
                Some(Detach::Lost) => Parted::Lost,
                Some(Detach::Slow { .. }) => Parted::Slow,
                None => Parted::Ended,
            };
            self.saw(What::Detached { device, pipe, session, how });
        }
        if let (Phase::Over, Some(session)) = (after, id) {
            self.saw(What::Released { pipe, session });
        }
        self.check_session(pipe);
        self.carry_out(pipe, effects);
        self.arm_session(pipe);
        let over = self.pipes[pipe].session.as_ref().is_none_or(|session| session.phase() != Phase::Live);
        if before == Phase::Live && over && self.pipes[pipe].socket && !self.pipes[pipe].closing {
            self.pipes[pipe].closing = true;
            self.after(CLOSE_WITHIN, Event::CloseTimeout { pipe });
        }
    }

    fn carry_out(&mut self, pipe: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send(outgoing) => self.put(pipe, Out::Frame(outgoing)),
                Effect::Ping => self.put(pipe, Out::Ping),
                Effect::Close(code) => self.put(pipe, Out::Close(code)),
                Effect::Up(up) => {
                    if let (Some(tag), Up::Message(_, message)) = (self.reading, &up)
                        && let Some(session) = self.pipes[pipe].session.as_ref().and_then(Session::id)
                    {
                        let (number, accepted_at) = (message.number, message.accepted_at);
                        self.saw(What::Submitted { session, tag, number, accepted_at });
                    }
                    self.send_up(pipe, up);
                }
                Effect::CheckToken(token) => {
                    let client = &self.clients[self.pipes[pipe].device];
                    let (user, family) = (self.user_ids[client.user], client.family);
                    let expires = self.now + self.dice.millis(70_000, 600_000);
                    let facts = (token == "good").then_some(TokenFacts { user, family, expires });
                    let delay = self.dice.millis(0, 50);
                    self.after(delay, Event::TokenChecked { pipe, facts, tag: self.reading });
                }
                Effect::RenewIce => {
                    let delay = self.dice.millis(0, 50);
                    self.after(delay, Event::IceRenewed { pipe });
                }
                Effect::End => {
                    self.pipes[pipe].session = None;
                    let gateway = self.pipes[pipe].gateway;
                    self.gateways[gateway].pipes.remove(&pipe);
                    self.delist(gateway, self.clients[self.pipes[pipe].device].user);
                }
            }
        }
    }

    pub(crate) fn ice_renewed(&mut self, pipe: usize) {
        let renew_at = Some(self.now + Duration::from_secs(300));
        self.feed(pipe, Input::IceServers { servers: Vec::new(), renew_at });
    }

    fn arm_session(&mut self, pipe: usize) {
        let state = &mut self.pipes[pipe];
        let due = state.session.as_ref().and_then(Session::next_deadline);
        if let Some(due) = due
            && state.armed.is_none_or(|armed| due < armed)
        {
            state.armed = Some(due);
            self.at(due, Event::SessionTimer { pipe, due });
        }
    }

    pub(crate) fn session_timer(&mut self, pipe: usize, due: Millis) {
        if self.pipes[pipe].armed == Some(due) {
            self.pipes[pipe].armed = None;
            self.feed(pipe, Input::Tick);
            self.arm_session(pipe);
        }
    }

    pub(crate) fn attach_timeout(&mut self, pipe: usize) {
        let phase = self.pipes[pipe].session.as_ref().map(Session::phase);
        if phase == Some(Phase::Attaching) {
            self.feed(pipe, Input::Close(CloseCode::Unavailable));
        }
    }

    /// A new hub asks for this gateway's connections of a user.
    pub(crate) fn roll(&mut self, gateway: usize, user: usize, epoch: u64) {
        let pipes: Vec<usize> = self.gateways[gateway]
            .pipes
            .iter()
            .copied()
            .filter(|pipe| self.clients[self.pipes[*pipe].device].user == user)
            .collect();
        let conns = pipes.iter().map(|pipe| self.conn(*pipe)).collect();
        let roster = Up::Roster { gateway: self.gateways[gateway].id, epoch, conns };
        // Each connection answers by itself: some before the roster, some after it.
        let first = self.dice.size(0, pipes.len());
        for pipe in &pipes[..first] {
            self.feed(*pipe, Input::Roll { epoch });
        }
        self.up(user, gateway, roster);
        for pipe in &pipes[first..] {
            self.feed(*pipe, Input::Roll { epoch });
        }
    }

    /// A frame from a hub reaches its gateway.
    pub(crate) fn gateway_hears(&mut self, gateway: usize, frame: ToGateway) {
        if !self.gateways[gateway].alive {
            return;
        }
        match frame {
            ToGateway::Conn(conn, down, _) => {
                let pipe = usize::try_from(conn.number).unwrap_or(usize::MAX);
                if self.gateways[gateway].pipes.contains(&pipe) {
                    self.feed(pipe, Input::Down(down));
                }
            }
            ToGateway::Roll { user, epoch } => {
                if let Some(user) = self.user_no(user) {
                    self.roll(gateway, user, epoch);
                }
            }
            ToGateway::Online { .. } => {}
        }
    }

    /// A gateway process dies with all that it holds; another one takes its place.
    pub(crate) fn crash_gateway(&mut self, gateway: usize) {
        self.saw(What::GatewayCrashed { gateway });
        self.gateways[gateway].alive = false;
        let pipes = std::mem::take(&mut self.gateways[gateway].pipes);
        for pipe in 0..self.pipes.len() {
            if self.pipes[pipe].gateway != gateway {
                continue;
            }
            let state = &mut self.pipes[pipe];
            let device = state.device;
            let session = state.session.take();
            if let Some(id) = session.filter(|session| session.phase() == Phase::Live).and_then(|s| s.id()) {
                self.saw(What::Detached { device, pipe, session: id, how: Parted::Crashed });
            }
            if std::mem::replace(&mut self.pipes[pipe].socket, false) || pipes.contains(&pipe) {
                self.break_pipe(pipe);
            }
        }
        if self.plan.cluster.is_some() {
            return;
        }
        self.lose_links_of(gateway);
        let number = self.gateways.len();
        self.gateways.push(Gateway::new(number));
        let missed = self.dice.millis(200, 4_000);
        self.after(missed, Event::GatewayMissed { gateway });
    }
}
