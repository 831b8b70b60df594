//! The task of a client: the one place where socket, clock and queue meet the session's rules.

use std::collections::VecDeque;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use secrecy::{ExposeSecret, SecretString};
use streamz_protocol::server::Welcome;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::builder::Builder;
use crate::client::{Answer, Shared, Waiter};
use crate::dial::{Failed, Target};
use crate::error::{Ended, Lost, SendError, TokenError};
use crate::event::{Event, State};
use crate::retry::{MAX_WAIT, Next, Retry};
use crate::session::{Duty, Heard};
use crate::token::{Need, TokenSource};
use crate::wire::Wire;

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long the other side may take to hear its goodbye answered.
const ANSWER: Duration = Duration::from_millis(250);
/// What a server may call a heartbeat.
const HEARTBEATS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(600));

pub(crate) struct Task {
    target: Target,
    token: TokenSource,
    shared: Arc<Shared>,
    welcome_timeout: Duration,
    events: mpsc::Sender<Event>,
    /// Events for which there was no room: while there are any, nothing is read and nothing dialled, so they are a
    /// message and the loss of its connection at most.
    parked: VecDeque<Event>,
    retry: Retry,
    /// The server asked to stay away until then.
    not_before: Option<Instant>,
    wire: Option<Wire>,
}

/// What is known of one connection.
struct Connection {
    welcomed: Option<Instant>,
    heard: Instant,
    /// How long the server may be silent.
    patience: Duration,
    /// When to connect anew, if the server asked for it.
    leave: Option<Instant>,
}

/// What woke the task.
enum Turn {
    Frame(Result<Message, Lost>),
    Room,
    Token(Result<SecretString, TokenError>),
    Look,
}

type Renewal = Pin<Box<dyn Future<Output = Result<SecretString, TokenError>> + Send>>;

impl Task {
    pub(crate) fn new(
        builder: Builder,
        target: Target,
        shared: Arc<Shared>,
        events: mpsc::Sender<Event>,
        first_must_do: bool,
    ) -> Self {
        let (base, cap) = builder.backoff;
        Self {
            target,
            token: builder.token,
            shared,
            welcome_timeout: builder.connect_timeout,
            events,
            parked: VecDeque::new(),
            retry: Retry::new(Backoff::new(base, cap), first_must_do),
            not_before: None,
            wire: None,
        }
    }

    /// Runs until the client is over.
    pub(crate) async fn run(mut self, closing: CancellationToken) {
        let ended = tokio::select! {
            biased;
            () = closing.cancelled() => {
                self.goodbye().await;
                Ended::ByClient
            }
            ended = self.keep_connected() => ended,
        };
        tracing::debug!(reason = %ended, "client ended");
        self.wire = None;
        self.shared.end(&ended);
        // What arrived before a final close still reaches the program, unless it closed the client itself.
        tokio::select! {
            biased;
            () = closing.cancelled() => {}
            () = self.unpark() => {}
        }
    }

    async fn goodbye(&mut self) {
        if let Some(wire) = &mut self.wire {
            match timeout(GOODBYE, wire.goodbye(&self.shared)).await {
                Ok(Ok(())) => {}
                Ok(Err(lost)) => tracing::debug!(%lost, "lost while saying goodbye"),
                Err(_) => tracing::debug!("the server did not answer the goodbye"),
            }
        }
    }

    async fn keep_connected(&mut self) -> Ended {
        loop {
            // A program that does not read its events holds up its own client here, and nobody else.
            self.unpark().await;
            self.wait_until_wanted().await;
            let _ = self.shared.state.send_replace(State::Connecting);
            let mut online_for = Duration::ZERO;
            let failed = match Box::pin(self.dial()).await {
                Ok(wire) => {
                    self.wire = Some(wire);
                    let (lost, welcomed) = self.serve().await;
                    self.wire = None;
                    if let Some(since) = welcomed {
                        online_for = since.elapsed();
                        self.tell(Event::Offline(lost.clone()));
                    }
                    lost.into()
                }
                Err(failed) => failed,
            };
            let waiters = self.shared.lock().session.hang_up();
            for waiter in waiters {
                let _ = waiter.send(Err(SendError::ConnectionLost));
            }
            let wait = match self.retry.lost(&failed, online_for, &mut rand::rng()) {
                Next::Again(wait) => wait,
                Next::End(ended) => return ended,
            };
            tracing::debug!(lost = %failed.lost, ?wait, "not connected");
            self.shared.state.send_replace(State::Away(failed.lost));
            let until = Instant::now() + wait;
            sleep_until(self.not_before.take().map_or(until, |asked| asked.max(until))).await;
        }
    }

    async fn wait_until_wanted(&mut self) {
        loop {
            {
                let switches = &mut self.shared.lock().switches;
                switches.drop = false;
                if !switches.away {
                    return;
                }
            }
            self.shared.wake.notified().await;
        }
    }

    async fn dial(&mut self) -> Result<Wire, Failed> {
        let token = self.token.token(self.retry.need()).await;
        let token = token.map_err(Lost::Token)?;
        self.retry.got_token();
        let resume = self.shared.lock().session.resume_point();
        let wire = self.target.dial(&token, resume).await?;
        self.shared.lock().session.dial();
        Ok(wire)
    }

    /// Drives one connection to its end; says when it was welcomed, if it was.
    async fn serve(&mut self) -> (Lost, Option<Instant>) {
        let mut connection = Connection::new(self.welcome_timeout);
        let mut renewal: Option<Renewal> = None;
        let timer = sleep_until(connection.deadline());
        tokio::pin!(timer);
        let lost = loop {
            let switches = self.shared.lock().switches;
            if switches.drop || switches.away {
                break Lost::Dropped;
            }
            let Some(wire) = &mut self.wire else {
                break Lost::Dropped;
            };
            let reading = self.parked.is_empty() && !switches.paused;
            // In random order: a flood on one side must starve neither the clock nor the other side.
            let turn = tokio::select! {
                message = wire.turn(&self.shared, reading) => Turn::Frame(message),
                () = self.shared.wake.notified() => Turn::Look,
                // Only this task sends, so the room is still there after the permit.
                _ = self.events.reserve(), if !self.parked.is_empty() => Turn::Room,
                token = renewed(&mut renewal) => Turn::Token(token),
                () = &mut timer => Turn::Look,
            };
            match turn {
                Turn::Frame(frame) => {
                    if let Err(lost) = self.take(frame, &mut connection, &mut renewal).await {
                        break lost;
                    }
                }
                Turn::Room => self.retell(),
                Turn::Token(token) => {
                    renewal = None;
                    match token {
                        Ok(token) => self.shared.lock().session.authenticate(token.expose_secret()),
                        // The server closes with 4001 in time, and then there is another attempt.
                        Err(error) => tracing::warn!(%error, "no new token before the old one lapses"),
                    }
                }
                Turn::Look => {}
            }
            if !reading {
                // Who does not listen cannot say that the other is silent.
                connection.heard = Instant::now();
            }
            if let Some(lost) = connection.overdue() {
                // If it was this process that stood still, what arrived meanwhile is there to be read.
                let wire = self.wire.as_mut().filter(|_| reading && lost != Lost::Moved);
                let arrived = wire.and_then(|wire| wire.turn(&self.shared, reading).now_or_never());
                let Some(frame) = arrived else { break lost };
                if let Err(lost) = self.take(frame, &mut connection, &mut renewal).await {
                    break lost;
                }
            }
            // Moved only when it must be: most frames put the deadline off, and the timer looks again when it fires.
            if timer.is_elapsed() || connection.deadline() < timer.deadline() {
                timer.as_mut().reset(connection.deadline());
            }
        };
        if let Some(leave) = connection.leave {
            self.not_before = Some(leave);
        }
        (lost, connection.welcomed)
    }

    /// Takes what the socket brought.
    async fn take(
        &mut self,
        frame: Result<Message, Lost>,
        connection: &mut Connection,
        renewal: &mut Option<Renewal>,
    ) -> Result<(), Lost> {
        connection.heard = Instant::now();
        match frame? {
            Message::Text(text) => {
                let heard = self.shared.lock().session.receive(&text)?;
                self.handle(heard, connection, renewal);
                Ok(())
            }
            Message::Close(frame) => {
                if let Some(wire) = &mut self.wire {
                    // It is going away: whether it hears the answer makes no difference.
                    let _ = timeout(ANSWER, wire.answer_close()).await;
                }
                // Without a code it is 1005 (RFC 6455 §7.1.5).
                let code = frame.map_or(1005, |frame| frame.code.into());
                Err(Lost::Closed { code })
            }
            Message::Ping(_) => {
                // The library answers it.
                self.shared.lock().session.heartbeat();
                Ok(())
            }
            // No binary frame means anything.
            _ => Ok(()),
        }
    }

    fn handle(&mut self, heard: Heard<Waiter>, connection: &mut Connection, renewal: &mut Option<Renewal>) {
        if let Some(settled) = heard.settled {
            // Whoever no longer waits does not want to know.
            let _ = settled.waiter.send(Ok(Answer { outcome: settled.outcome, stream: settled.stream }));
        }
        match heard.duty {
            Some(Duty::Move { after }) => {
                connection.leave = Some(Instant::now() + after.min(MAX_WAIT));
            }
            Some(Duty::RenewToken { .. }) if renewal.is_none() => {
                let source = self.token.clone();
                *renewal = Some(Box::pin(async move { source.token(Need::New).await }));
            }
            Some(Duty::RenewToken { .. }) | None => {}
        }
        if let Some(event) = heard.event {
            if let Event::Welcome(welcome) = &event {
                connection.welcome(welcome);
                self.retry.online();
                self.shared
                    .state
                    .send_replace(State::Online { session: welcome.session_id, resumed: welcome.resumed });
            }
            self.tell(event);
            if self.parked.is_empty() {
                self.shared.lock().session.taken();
            }
        }
    }

    /// Puts an event in the queue, or aside until there is room. A program that dropped its end wants none.
    fn tell(&mut self, event: Event) {
        if !self.parked.is_empty() {
            self.parked.push_back(event);
        } else if let Err(TrySendError::Full(event)) = self.events.try_send(event) {
            self.parked.push_back(event);
        }
    }

    /// Tells what was put aside, as far as there is room.
    fn retell(&mut self) {
        for event in std::mem::take(&mut self.parked) {
            self.tell(event);
        }
        if self.parked.is_empty() {
            self.shared.lock().session.taken();
        }
    }

    /// Waits until there is room for all that was put aside.
    async fn unpark(&mut self) {
        while !self.parked.is_empty() {
            // An error means that the program dropped its end, and then all of it goes.
            let _ = self.events.reserve().await;
            self.retell();
        }
    }
}

/// The new token, if one was asked for; else nothing, ever.
async fn renewed(renewal: &mut Option<Renewal>) -> Result<SecretString, TokenError> {
    match renewal {
        Some(renewal) => renewal.await,
        None => pending().await,
    }
}

impl Connection {
    fn new(welcome_timeout: Duration) -> Self {
        Self { welcomed: None, heard: Instant::now(), patience: welcome_timeout, leave: None }
    }

    fn welcome(&mut self, welcome: &Welcome) {
        let heartbeat = Duration::from_millis(welcome.heartbeat_interval_ms);
        self.patience = heartbeat.clamp(HEARTBEATS.0, HEARTBEATS.1).mul_f64(2.5);
        self.welcomed = Some(Instant::now());
    }

    /// When to look again.
    fn deadline(&self) -> Instant {
        let silent = self.heard + self.patience;
        self.leave.map_or(silent, |leave| leave.min(silent))
    }

    fn overdue(&self) -> Option<Lost> {
        let now = Instant::now();
        if self.leave.is_some_and(|leave| leave <= now) {
            return Some(Lost::Moved);
        }
        (self.heard + self.patience <= now).then_some(match self.welcomed {
            Some(_) => Lost::Silent,
            None => Lost::TimedOut,
        })
    }
}
