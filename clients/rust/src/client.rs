//! The handle: what a program holds. Its other half, the task, is in `task.rs`.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use streamz_protocol::client_encode::Outgoing;
use streamz_protocol::{DeviceId, MessageId, StreamId};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::builder::Builder;
use crate::dial::Target;
use crate::error::{Ended, SendError};
use crate::event::{Events, Outcome, State};
use crate::session::{Counters, Session};
use crate::task::Task;
use crate::token::TokenSource;

/// Whoever waits for an outcome.
pub(crate) type Waiter = oneshot::Sender<Result<Answer, SendError>>;

/// An outcome with what belongs to it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) outcome: Outcome,
    pub(crate) stream: Option<StreamId>,
}

/// What the handle and the task share.
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    /// There is something to send, or a switch was turned.
    pub(crate) wake: Notify,
    pub(crate) state: watch::Sender<State>,
}

pub(crate) struct Inner {
    pub(crate) session: Session<Waiter>,
    pub(crate) switches: Switches,
    ended: Option<Ended>,
}

/// What the program wants of the connection.
#[derive(Clone, Copy, Default)]
pub(crate) struct Switches {
    /// Drop the connection that there is now.
    pub(crate) drop: bool,
    /// Have none.
    pub(crate) away: bool,
    /// Leave what arrives unread.
    pub(crate) paused: bool,
}

impl Shared {
    /// Never held across an await, and nothing in it panics while it is held.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends everything that waits, once.
    pub(crate) fn end(&self, ended: &Ended) {
        let waiters = {
            let mut inner = self.lock();
            inner.ended = Some(ended.clone());
            inner.session.hang_up();
            inner.session.give_up()
        };
        for waiter in waiters {
            // Whoever no longer waits does not want to know.
            let _ = waiter.send(Err(SendError::Closed(ended.clone())));
        }
        self.state.send_replace(State::Closed(ended.clone()));
    }
}

/// A device's connection to Streamz, kept up until it is closed. Clones are the same client.
///
/// When the last clone is dropped, the connection is dropped too, without a goodbye: other devices see this one
/// offline some seconds later. [`Client::close`] says goodbye.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    owner: Arc<Owner>,
}

struct Owner {
    closing: CancellationToken,
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// Starts the one task of a client.
pub(crate) fn start(builder: Builder, target: Target, first_must_do: bool) -> (Client, Events) {
    let (state, _) = watch::channel(State::Connecting);
    let shared = Arc::new(Shared {
        inner: Mutex::new(Inner {
            session: Session::new(builder.options.clone()),
            switches: Switches::default(),
            ended: None,
        }),
        wake: Notify::new(),
        state,
    });
    let (sender, receiver) = mpsc::channel(builder.event_capacity);
    let closing = CancellationToken::new();
    let task = Task::new(builder, target, Arc::clone(&shared), sender, first_must_do);
    let task = tokio::spawn(task.run(closing.clone()));
    let owner = Owner { closing, task: Mutex::new(Some(AbortOnDropHandle::new(task))) };
    let client = Client { shared, owner: Arc::new(owner) };
    (client, Events { receiver })
}

impl Client {
    /// A client of the server at `url` (`http`, `https`, `ws` or `wss`; the path `/ws` unless it has one), for the
    /// device that this program is, signed in by `token`.
    pub fn builder(url: &str, device: DeviceId, token: impl Into<TokenSource>) -> Builder {
        Builder::new(url, device, token.into())
    }

    /// Sends a message and waits for its outcome.
    ///
    /// While there is no connection it waits for one, and it is sent again after every reconnect, until its outcome
    /// is there. Dropping the future takes nothing back.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(&self, message: impl Into<Outgoing>) -> Result<Outcome, SendError> {
        self.try_send(message)?.await
    }

    /// Hands a message over, in order with all others, and returns what its outcome will come by.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn try_send(&self, message: impl Into<Outgoing>) -> Result<PendingOutcome, SendError> {
        self.submit(&message.into(), None)
    }

    /// The same, under an `id` of the program's own, which must be unique within the session.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn try_send_as(
        &self,
        id: MessageId,
        message: impl Into<Outgoing>,
    ) -> Result<PendingOutcome, SendError> {
        self.submit(&message.into(), Some(id))
    }

    /// Hands a message over without asking for an outcome: it is sent on the present connection or never.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn send_unconfirmed(&self, message: impl Into<Outgoing>) -> Result<(), SendError> {
        let message = message.into();
        self.locked(|inner| inner.session.submit_unconfirmed(&message))
    }

    /// Starts a stream with [`Outgoing::start`], and waits until the devices ring.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_stream(&self, start: Outgoing) -> Result<StreamId, StartError> {
        let answer = self.try_send(start)?.answer().await?;
        match (answer.outcome, answer.stream) {
            (Outcome::Delivered, Some(stream)) => Ok(stream),
            (outcome, _) => Err(StartError::NotStarted(outcome)),
        }
    }

    /// Sends a `ping`; the `pong` comes as an event.
    ///
    /// # Errors
    /// [`SendError::Away`] if there is no connection.
    pub fn ping(&self) -> Result<(), SendError> {
        self.locked(|inner| inner.session.ping())
    }

    /// Where the client stands, to look at and to wait for.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// Waits until the client is online.
    ///
    /// # Errors
    /// [`Ended`] if it is over instead.
    pub async fn online(&self) -> Result<(), Ended> {
        let mut state = self.state();
        loop {
            match &*state.borrow_and_update() {
                State::Online { .. } => return Ok(()),
                State::Closed(ended) => return Err(ended.clone()),
                State::Connecting | State::Away(_) => {}
            }
            if state.changed().await.is_err() {
                return Err(Ended::ByClient);
            }
        }
    }

    /// Messages that wait for their outcome or for the socket.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.shared.lock().session.backlog()
    }

    /// What was counted since the client began.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.lock().session.counters()
    }

    /// Says goodbye to the server and ends. What was handed over before is sent first, but not waited for: its
    /// senders get [`SendError::Closed`]. Takes two seconds at most.
    pub async fn close(&self) {
        self.owner.closing.cancel();
        let task = {
            let mut task = self.owner.task.lock();
            task.as_mut().unwrap_or_else(|poisoned| poisoned.get_mut()).take()
        };
        match task {
            // It was not aborted, and what it could panic with has been printed.
            Some(task) => drop(task.await),
            None => {
                let mut state = self.state();
                // An error means that the task is gone, which is as good.
                let _ = state.wait_for(|s| matches!(s, State::Closed(_))).await;
            }
        }
    }

    /// For tests: drops the connection without a goodbye, as a network loss does. The client comes back by itself,
    /// without the back-off of a failure.
    pub fn drop_connection(&self) {
        self.switch(|switches| switches.drop = true);
    }

    /// For tests: drops the connection in the same way and stays away until [`Client::come_back`].
    pub fn stay_away(&self) {
        self.switch(|switches| switches.away = true);
    }

    /// For tests: ends [`Client::stay_away`].
    pub fn come_back(&self) {
        self.switch(|switches| switches.away = false);
    }

    /// For tests: leaves unread what arrives, as a program that hangs does. Nothing is acknowledged, pings stay
    /// unanswered, and the client itself does not miss the server.
    pub fn pause_reading(&self) {
        self.switch(|switches| switches.paused = true);
    }

    /// For tests: ends [`Client::pause_reading`].
    pub fn resume_reading(&self) {
        self.switch(|switches| switches.paused = false);
    }

    fn submit(&self, message: &Outgoing, id: Option<MessageId>) -> Result<PendingOutcome, SendError> {
        let (waiter, answer) = oneshot::channel();
        let id = self.locked(|inner| inner.session.submit(message, id, waiter))?;
        Ok(PendingOutcome { id, answer })
    }

    fn locked<T>(&self, f: impl FnOnce(&mut Inner) -> Result<T, SendError>) -> Result<T, SendError> {
        let done = {
            let mut inner = self.shared.lock();
            if let Some(ended) = &inner.ended {
                return Err(SendError::Closed(ended.clone()));
            }
            f(&mut inner)?
        };
        self.shared.wake.notify_one();
        Ok(done)
    }

    fn switch(&self, turn: impl FnOnce(&mut Switches)) {
        turn(&mut self.shared.lock().switches);
        self.shared.wake.notify_one();
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("state", &*self.shared.state.borrow()).finish_non_exhaustive()
    }
}

/// A message on its way: a future of its outcome. Dropping it takes nothing back.
#[derive(Debug)]
pub struct PendingOutcome {
    id: MessageId,
    answer: oneshot::Receiver<Result<Answer, SendError>>,
}

impl PendingOutcome {
    /// The `id` that the message carries.
    #[must_use]
    pub fn id(&self) -> &MessageId {
        &self.id
    }

    async fn answer(self) -> Result<Answer, SendError> {
        self.answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Future for PendingOutcome {
    type Output = Result<Outcome, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(cx).map(|answer| {
            let answer = answer.unwrap_or_else(|_| Err(gone()))?;
            Ok(answer.outcome)
        })
    }
}

/// The last handle was dropped while the message waited.
fn gone() -> SendError {
    SendError::Closed(Ended::ByClient)
}

/// Why a stream did not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The message was not sent, or its outcome is unknown.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The server said no.
    #[error("the stream did not start: {0:?}")]
    NotStarted(Outcome),
}
