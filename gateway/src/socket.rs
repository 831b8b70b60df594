//! One loop per connection: take an input, carry out all effects, take the next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::WebSocket;
use governor::clock::MonotonicClock;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use streamz_bus::Refused;
use streamz_platform::Clock;
use streamz_protocol::bus::{Down, Up};
use streamz_protocol::objects::IceServer;
use streamz_protocol::{CloseCode, Limits, Millis, UserId};
use streamz_session::{Context, Effect, Facts, Input, Phase, Session, TokenFacts};
use tokio_util::sync::CancellationToken;

use crate::connections::{Connections, Registration};
use crate::inbox::{Received, ToSession};
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
    fn ice_servers(&self, user: UserId) -> (Vec<IceServer>, Option<Millis>);
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

/// A connection between its request and its WebSocket, or without one.
pub(crate) struct Connection {
    sockets: Arc<Sockets>,
    session: Session,
    registration: Registration,
    limiter: RateLimiter<NotKeyed, InMemoryState, MonotonicClock>,
    /// What waits for the socket while it is not there yet.
    early: VecDeque<Out>,
    ended: bool,
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
    ) -> Result<Self, CloseCode> {
        let limiter = RateLimiter::direct_with_clock(sockets.rate, MonotonicClock);
        let (session, effects) = Session::open(facts, sockets.clock.now());
        let mut connection =
            Self { sockets, session, registration, limiter, early: VecDeque::new(), ended: false };
        connection.carry_out(effects, &mut None);
        let deadline = tokio::time::sleep(ATTACH_WITHIN);
        tokio::pin!(deadline);
        while connection.session.phase() == Phase::Attaching {
            let inbox = connection.registration.inbox.clone();
            tokio::select! {
                received = inbox.receive() => connection.received(received, &mut None),
                () = &mut deadline => connection.feed(Input::Close(CloseCode::Unavailable), &mut None),
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

    /// Runs the session on its socket, and goes on without one until the hub lets go of it.
    pub(crate) async fn run(mut self, socket: WebSocket) {
        let mut wire = Some(Wire::new(socket, std::mem::take(&mut self.early)));
        let inbox = self.registration.inbox.clone();
        let stopping = self.sockets.stopping.clone();
        let clock = self.sockets.clock;
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer);
        let mut armed: Option<Millis> = None;
        // The session has left the socket, which still has to say so.
        let mut close_by: Option<Millis> = None;
        loop {
            if wire.is_some() && close_by.is_none() && self.session.phase() != Phase::Live {
                close_by = Some(clock.now() + CLOSE_WITHIN);
            }
            if wire.as_ref().is_some_and(|wire| close_by.is_some() && wire.is_mute()) {
                wire = None;
            }
            if wire.is_none() && (self.ended || stopping.is_cancelled()) {
                return;
            }
            let closing = close_by.filter(|_| wire.is_some());
            let due = closing.into_iter().chain(self.session.next_deadline()).min();
            if let Some(due) = due
                && armed != Some(due)
            {
                timer.as_mut().reset(clock.instant(due));
            }
            armed = due;
            tokio::select! {
                received = inbox.receive(), if !self.ended => self.received(received, &mut wire),
                event = next_event(&mut wire), if wire.is_some() => match event {
                    Event::Gone { .. } if close_by.is_some() => wire = None,
                    _ if close_by.is_some() => {}
                    event => self.event(event, &mut wire),
                },
                () = &mut timer, if armed.is_some() => {
                    armed = None;
                    if close_by.is_some_and(|by| by <= clock.now()) {
                        wire = None;
                    }
                    self.feed(Input::Tick, &mut wire);
                }
                () = stopping.cancelled(), if wire.is_none() => return,
            }
        }
    }

    fn event(&mut self, event: Event, wire: &mut Option<Wire>) {
        match event {
            Event::Text(text) => self.feed(Input::Text(text.as_str()), wire),
            Event::Written { bytes, seq } => self.feed(Input::Written { bytes, seq }, wire),
            Event::Alive => self.feed(Input::Alive, wire),
            Event::Violation(what) => self.feed(Input::Violation(what), wire),
            Event::Gone { clean } => {
                *wire = None;
                self.feed(Input::SocketGone { clean }, wire);
            }
        }
    }

    fn received(&mut self, received: Received, wire: &mut Option<Wire>) {
        match received {
            Received::Items(items) => {
                for item in items {
                    match item {
                        ToSession::Down(down) => self.feed(Input::Down(down), wire),
                        ToSession::Roll { epoch } => self.feed(Input::Roll { epoch }, wire),
                        ToSession::Drain { after_ms } => self.feed(Input::Drain { after_ms }, wire),
                        ToSession::Close(code) => self.feed(Input::Close(code), wire),
                    }
                }
            }
            Received::Overflowed => {
                // Frames are missing in the copy: it is of no use to anybody. The hub has them.
                self.feed(Input::Overflowed, wire);
            }
        }
    }

    fn feed(&mut self, input: Input<'_>, wire: &mut Option<Wire>) {
        let limiter = &self.limiter;
        let mut permit = || limiter.check().is_ok();
        let mut context = Context { now: self.sockets.clock.now(), permit: &mut permit };
        let effects = self.session.handle(input, &mut context);
        self.carry_out(effects, wire);
    }

    fn carry_out(&mut self, effects: Vec<Effect>, wire: &mut Option<Wire>) {
        if effects.contains(&Effect::End) {
            self.registration.leave();
        }
        for effect in effects {
            match effect {
                Effect::Send(outgoing) => self.put(Out::Frame(outgoing), wire),
                Effect::Ping => self.put(Out::Ping, wire),
                Effect::Close(code) => {
                    metrics::counter!("streamz_closes_total", "code" => code.as_str()).increment(1);
                    self.put(Out::Close(code), wire);
                }
                Effect::Up(up) => self.up(up, wire),
                Effect::CheckToken(token) => {
                    let facts = self.sockets.authority.check(&token);
                    self.feed(Input::TokenChecked(facts), wire);
                }
                Effect::RenewIce => {
                    let (servers, renew_at) = self.sockets.authority.ice_servers(self.registration.user);
                    self.feed(Input::IceServers { servers, renew_at }, wire);
                }
                Effect::End => self.ended = true,
            }
        }
    }

    fn put(&mut self, out: Out, wire: &mut Option<Wire>) {
        match wire {
            Some(wire) => wire.push(out),
            None => self.early.push_back(out),
        }
    }

    fn up(&mut self, up: Up, wire: &mut Option<Wire>) {
        let number = match &up {
            Up::Message(_, message) => Some(message.number),
            _ => None,
        };
        let attaching = matches!(up, Up::Attach(..));
        match self.registration.tell_hub(up) {
            Ok(()) => {}
            Err(Refused::Full | Refused::NoReceiver) if attaching => {
                self.feed(Input::Down(Down::Refused(CloseCode::Unavailable)), wire);
            }
            Err(Refused::Full | Refused::NoReceiver) => {
                if let Some(number) = number {
                    self.feed(Input::HubFull { number }, wire);
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
