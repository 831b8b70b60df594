//! One loop per connection: take an input, carry out all effects, take the next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::MonotonicClock;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use streamz_bus::Refused;
use streamz_platform::{Clock, spans};
use streamz_protocol::bus::{Down, Up};
use streamz_protocol::objects::IceServer;
use streamz_protocol::{CloseCode, Limits, Millis, SessionId, UserId};
use streamz_session::{Context, Effect, Facts, Input, Phase, Session, TokenFacts};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_util::sync::CancellationToken;

use crate::connections::{Connections, Registration};
use crate::figures;
use crate::inbox::{Received, ToSession};
use crate::traces::{self, Traces};
use crate::upgrade::Upgrading;
use crate::wire::{Event, Out, Wire};

/// How long a hub may take to answer a new connection.
const ATTACH_WITHIN: Duration = Duration::from_secs(10);
/// How long a peer may take to read what was said last.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Says what tokens are worth, and which servers for ICE a user gets.
pub trait Authority: Send + Sync + 'static {
    /// What a token says, if it is valid now.
    fn check(&self, token: &str) -> Option<TokenFacts>;
    /// Servers with fresh credentials, and when to renew them.
    /// `host` is the one by which the device reached this server, if that makes a difference.
    fn ice_servers(&self, user: UserId, host: Option<&str>) -> (Vec<IceServer>, Option<Millis>);
}

/// What all connections of a gateway share.
pub struct Sockets {
    /// The connections themselves.
    pub connections: Arc<Connections>,
    /// The judge of tokens.
    pub authority: Arc<dyn Authority>,
    /// The limits in force.
    pub limits: Arc<Limits>,
    /// The rate of messages that a device may send.
    pub rate: Quota,
    /// The time.
    pub clock: Clock,
    /// Cancelled when this process ends: sessions do not wait for their devices any more.
    pub stopping: CancellationToken,
}

/// A connection, before, during and after its WebSocket. Always boxed: whole, it would stand several times in the
/// futures that pass it on.
pub(crate) struct Connection {
    sockets: Arc<Sockets>,
    session: Session,
    registration: Registration,
    limiter: RateLimiter<NotKeyed, InMemoryState, MonotonicClock>,
    /// What waits for the socket while it is not there yet.
    early: VecDeque<Out>,
    /// See [`Authority::ice_servers`].
    host: Option<Box<str>>,
    wire: Option<Wire>,
    ended: bool,
    traces: Traces,
}

impl Connection {
    /// Asks the hub for a session.
    ///
    /// # Errors
    /// The close code with which the hub refuses.
    pub(crate) async fn attach(
        sockets: Arc<Sockets>,
        registration: Registration,
        facts: Facts,
        host: Option<Box<str>>,
    ) -> Result<Box<Self>, CloseCode> {
        let limiter = RateLimiter::direct_with_clock(sockets.rate, MonotonicClock);
        let (session, effects) = Session::open(facts, sockets.clock.now());
        let early = VecDeque::new();
        let mut connection = Box::new(Self {
            sockets,
            session,
            registration,
            limiter,
            early,
            host,
            wire: None,
            ended: false,
            traces: Traces::default(),
        });
        connection.carry_out(effects);
        let deadline = tokio::time::sleep(ATTACH_WITHIN);
        tokio::pin!(deadline);
        while connection.session.phase() == Phase::Attaching {
            let inbox = connection.registration.inbox.clone();
            tokio::select! {
                received = inbox.receive() => connection.received(received),
                () = &mut deadline => connection.feed(Input::Close(CloseCode::Unavailable)),
            }
        }
        if connection.session.phase() != Phase::Over {
            return Ok(connection);
        }
        let refused = connection.early.iter().find_map(|out| match out {
            Out::Close(code) => Some(*code),
            _ => None,
        });
        Err(refused.unwrap_or(CloseCode::Unavailable))
    }

    /// The session that it has.
    pub(crate) fn session(&self) -> Option<SessionId> {
        self.session.id()
    }

    /// Runs the session on its socket, and goes on without one until the hub lets go of it.
    pub(crate) async fn run(mut self: Box<Self>, upgrading: Upgrading, config: WebSocketConfig) {
        // Boxed: what a beginning needs, an idle connection should not keep.
        if Box::pin(self.begin(upgrading, config)).await {
            self.serve().await;
        }
    }

    /// Says what is to be said already, the `welcome`, and takes the socket. `false` if there is none.
    async fn begin(&mut self, upgrading: Upgrading, config: WebSocketConfig) -> bool {
        let Some(mut raw) = upgrading.finish().await else { return false };
        let (mut texts, mut bytes, mut seq) = (Vec::new(), 0, None);
        while let Some(Out::Frame(_)) = self.early.front() {
            if let Some(Out::Frame(outgoing)) = self.early.pop_front() {
                bytes += outgoing.weight();
                seq = outgoing.seq.or(seq);
                texts.push(outgoing.render());
            }
        }
        // A new socket takes it at once.
        let greeted = tokio::time::timeout(CLOSE_WITHIN, raw.greet(texts)).await;
        if !matches!(greeted, Ok(Ok(()))) {
            self.feed(Input::SocketGone { clean: false });
            return true;
        }
        self.wire = Some(Wire::new(raw.web_socket(config).await, std::mem::take(&mut self.early)));
        self.feed(Input::Written { bytes, seq });
        true
    }

    async fn serve(&mut self) {
        let inbox = self.registration.inbox.clone();
        let stopping = self.sockets.stopping.clone();
        let clock = self.sockets.clock;
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer);
        let mut armed: Option<Millis> = None;
        // The session has left the socket, which still has to say so.
        let mut close_by: Option<Millis> = None;
        loop {
            if self.wire.is_some() && close_by.is_none() && self.session.phase() != Phase::Live {
                close_by = Some(clock.now() + CLOSE_WITHIN);
            }
            if self.wire.as_ref().is_some_and(|wire| close_by.is_some() && wire.is_mute()) {
                self.wire = None;
            }
            if self.wire.is_none() && (self.ended || stopping.is_cancelled()) {
                return;
            }
            let closing = close_by.filter(|_| self.wire.is_some());
            let due = closing.into_iter().chain(self.session.next_deadline()).min();
            if let Some(due) = due
                && armed != Some(due)
            {
                timer.as_mut().reset(clock.instant(due));
            }
            armed = due;
            tokio::select! {
                received = inbox.receive(), if !self.ended => self.received(received),
                event = next_event(&mut self.wire), if self.wire.is_some() => match event {
                    Event::Gone { .. } if close_by.is_some() => self.wire = None,
                    _ if close_by.is_some() => {}
                    event => self.event(event),
                },
                () = &mut timer, if armed.is_some() => {
                    armed = None;
                    if close_by.is_some_and(|by| by <= clock.now()) {
                        self.wire = None;
                    }
                    self.feed(Input::Tick);
                }
                () = stopping.cancelled(), if self.wire.is_none() => return,
            }
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Text(text) => self.feed(Input::Text(text.as_str())),
            Event::Written { bytes, seq } => self.feed(Input::Written { bytes, seq }),
            Event::Alive => self.feed(Input::Alive),
            Event::Idle => self.feed(Input::Idle),
            Event::Violation(what) => self.feed(Input::Violation(what)),
            Event::Gone { clean } => {
                self.wire = None;
                self.feed(Input::SocketGone { clean });
            }
        }
    }

    fn received(&mut self, received: Received) {
        match received {
            Received::Items(items) => {
                for item in items {
                    match item {
                        ToSession::Down(down, trace) => {
                            let span = traces::arrival(trace);
                            let _entered = span.is_recorded().then(|| spans::enter(span.context()));
                            self.feed(Input::Down(down));
                        }
                        ToSession::Roll { epoch } => self.feed(Input::Roll { epoch }),
                        ToSession::Drain { after_ms } => self.feed(Input::Drain { after_ms }),
                        ToSession::Close(code) => self.feed(Input::Close(code)),
                        ToSession::Revoked(families) => {
                            if families.contains(&self.session.family()) {
                                self.feed(Input::Down(Down::Close(CloseCode::Revoked)));
                            }
                        }
                    }
                }
            }
            Received::Overflowed => {
                metrics::counter!("streamz_inbox_overflows_total").increment(1);
                // Frames are missing in the copy: it is of no use to anybody. The hub has them.
                self.feed(Input::Overflowed);
            }
        }
    }

    fn feed(&mut self, input: Input<'_>) {
        let limiter = &self.limiter;
        let mut permit = || limiter.check().is_ok();
        let mut context = Context { now: self.sockets.clock.now(), permit: &mut permit };
        let effects = self.session.handle(input, &mut context);
        for settled in self.session.take_settled() {
            figures::settled(&settled);
            self.traces.settled(&settled);
        }
        self.registration.inbox.note_unsettled(self.session.unsettled());
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        if effects.contains(&Effect::End) {
            self.registration.leave();
        }
        for effect in effects {
            match effect {
                Effect::Send(outgoing) => self.put(Out::Frame(outgoing)),
                Effect::Ping => self.put(Out::Ping),
                Effect::Close(code) => {
                    metrics::counter!("streamz_closes_total", "code" => code.as_str()).increment(1);
                    self.put(Out::Close(code));
                }
                Effect::Up(up) => self.up(up),
                Effect::CheckToken(token) => {
                    let facts = self.sockets.authority.check(&token);
                    self.feed(Input::TokenChecked(facts));
                }
                Effect::RenewIce => {
                    let (user, host) = (self.registration.user, self.host.as_deref());
                    let (servers, renew_at) = self.sockets.authority.ice_servers(user, host);
                    self.feed(Input::IceServers { servers, renew_at });
                }
                Effect::End => self.ended = true,
            }
        }
    }

    fn put(&mut self, out: Out) {
        match &mut self.wire {
            Some(wire) => wire.push(out),
            None => self.early.push_back(out),
        }
    }

    fn up(&mut self, mut up: Up) {
        let number = match &mut up {
            Up::Message(_, message) => {
                self.traces.message(message, self.registration.user);
                Some(message.number)
            }
            _ => None,
        };
        let attaching = matches!(up, Up::Attach(..));
        match self.registration.tell_hub(up) {
            // The next owner of the user's slot asks what this session knows.
            Ok(()) | Err(Refused::Later) => {}
            Err(Refused::Full | Refused::NoReceiver) if attaching => {
                self.feed(Input::Down(Down::Refused(CloseCode::Unavailable)));
            }
            Err(Refused::Full | Refused::NoReceiver) => {
                if let Some(number) = number {
                    self.feed(Input::HubFull { number });
                }
            }
        }
    }
}

async fn next_event(wire: &mut Option<Wire>) -> Event {
    match wire {
        Some(wire) => wire.next().await,
        None => std::future::pending().await,
    }
}
