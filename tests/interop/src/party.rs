//! One party of a call: a device of Streamz and the peer that it signals for.

use std::collections::VecDeque;

use streamz_client::protocol::StreamId;
use streamz_client::protocol::server::{ServerFrame, ServerMessage};
use streamz_client::{
    Candidate, Client, DeviceId, Event, Events, Outcome, Outgoing, PendingOutcome, SendError,
};

use crate::channel::Channel;
use crate::media::{Codec, Listener};
use crate::peer::{Peer, PeerError, PeerEvent, PeerEvents, PeerState};

/// What one side tells the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// An offer.
    Offer(String),
    /// An answer.
    Answer(String),
    /// A candidate; an empty line is the end of a generation's.
    Candidate(Candidate),
}

impl Signal {
    /// Whether it ends a generation's candidates.
    #[must_use]
    pub fn is_end_of_candidates(&self) -> bool {
        matches!(self, Signal::Candidate(candidate) if candidate.candidate.is_empty())
    }

    /// Whether it is a candidate that names an address.
    #[must_use]
    pub fn is_address(&self) -> bool {
        matches!(self, Signal::Candidate(candidate) if !candidate.candidate.is_empty())
    }
}

/// What a [`Party`] just did.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It handed this to Streamz.
    Sent(Signal),
    /// It heard this of the other side and gave it to its peer.
    Heard(Signal),
    /// Its connection stands differently.
    State(PeerState),
    /// The other side opened a data channel: see [`Party::channel`].
    Channel,
    /// Media began to arrive: see [`Party::listener`].
    Track(Codec),
    /// Streamz said something else.
    Other(Box<Event>),
}

/// Why a call did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The peer refused.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// Streamz did not take a signal.
    #[error("a signal was not sent: {0}")]
    Send(#[from] SendError),
    /// A signal did not arrive.
    #[error("{signal:?} did not arrive: {outcome:?}")]
    Undelivered {
        /// What was signaled.
        signal: Box<Signal>,
        /// What became of it.
        outcome: Outcome,
    },
    /// The connection to Streamz is over for good.
    #[error("the connection to Streamz is over")]
    NoSignaling,
    /// The connection to the other side failed.
    #[error("no media can flow")]
    NoMedia,
}

/// One party of a call. Nothing happens unless [`Party::step`] is being awaited, which [`Party::until`] repeats.
pub struct Party {
    /// Its connection to Streamz.
    pub client: Client,
    /// What it hears of Streamz.
    pub events: Events,
    /// Its media.
    pub peer: Peer,
    /// All that it signaled, in order.
    pub sent: Vec<Signal>,
    /// All that was signaled to it, in order.
    pub heard: Vec<Signal>,
    peer_events: PeerEvents,
    to: DeviceId,
    stream: Option<StreamId>,
    /// Whether the outcome of each signal is asked for.
    confirmed: bool,
    connected: bool,
    channels: VecDeque<Channel>,
    listeners: VecDeque<Listener>,
    outcomes: Vec<(Signal, PendingOutcome)>,
}

impl Party {
    /// A party that signals with the device `to`, within `stream` if there is one.
    ///
    /// # Errors
    /// [`CallError::Peer`].
    pub async fn new(
        client: Client,
        events: Events,
        to: DeviceId,
        stream: Option<StreamId>,
    ) -> Result<Self, CallError> {
        let peer = Peer::new().await?;
        Ok(Self::with(client, events, to, stream, peer))
    }

    /// The same, with a peer that is already there.
    #[must_use]
    pub fn with(
        client: Client,
        events: Events,
        to: DeviceId,
        stream: Option<StreamId>,
        (peer, peer_events): (Peer, PeerEvents),
    ) -> Self {
        Self {
            client,
            events,
            peer,
            sent: Vec::new(),
            heard: Vec::new(),
            peer_events,
            to,
            stream,
            confirmed: true,
            connected: false,
            channels: VecDeque::new(),
            listeners: VecDeque::new(),
            outcomes: Vec::new(),
        }
    }

    /// Sends without an `id`, as the apps of the first Streamz do.
    #[must_use]
    pub fn unconfirmed(mut self) -> Self {
        self.confirmed = false;
        self
    }

    /// Offers what its peer has to send and receive.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn offer(&mut self) -> Result<(), CallError> {
        let offer = self.peer.offer().await?;
        self.signal(Signal::Offer(offer))
    }

    /// Offers a new ICE generation.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn restart(&mut self) -> Result<(), CallError> {
        let offer = self.peer.restart().await?;
        self.signal(Signal::Offer(offer))
    }

    /// Tells the other side.
    ///
    /// # Errors
    /// [`CallError::Send`].
    pub fn signal(&mut self, signal: Signal) -> Result<(), CallError> {
        let message = match signal.clone() {
            Signal::Offer(sdp) => Outgoing::offer(sdp),
            Signal::Answer(sdp) => Outgoing::answer(sdp),
            Signal::Candidate(candidate) => candidate.into(),
        };
        let message = match self.stream {
            Some(stream) => message.in_stream(stream).to(self.to.clone()),
            None => message.to(self.to.clone()),
        };
        if self.confirmed {
            self.outcomes.push((signal.clone(), self.client.try_send(message)?));
        } else {
            self.client.send_unconfirmed(message)?;
        }
        self.sent.push(signal);
        Ok(())
    }

    /// Waits for the next thing that happens on either side of it, and does what it calls for: passes its peer's
    /// candidates on, answers an offer, takes an answer or a candidate. Not cancel-safe.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn step(&mut self) -> Result<Step, CallError> {
        tokio::select! {
            event = self.peer_events.recv() => self.happened(event.ok_or(PeerError::Closed)?),
            event = self.events.recv() => self.told(event.ok_or(CallError::NoSignaling)?).await,
        }
    }

    /// Steps until `done` says so.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn until(&mut self, done: impl Fn(&Self) -> bool) -> Result<(), CallError> {
        self.until_telling(done, |_| {}).await
    }

    /// The same, and `tell`s each step.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn until_telling(
        &mut self,
        done: impl Fn(&Self) -> bool,
        mut tell: impl FnMut(&Step),
    ) -> Result<(), CallError> {
        while !done(self) {
            tell(&self.step().await?);
        }
        Ok(())
    }

    /// Steps until Streamz says something that is no signal and for which `pick` has an answer.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn hears<T>(
        &mut self,
        mut pick: impl FnMut(&ServerMessage) -> Option<T>,
    ) -> Result<T, CallError> {
        loop {
            if let Step::Other(event) = self.step().await?
                && let Event::Message(frame) = *event
                && let Some(found) = pick(&frame.message)
            {
                return Ok(found);
            }
        }
    }

    /// Whether it is connected, and has said and heard all candidates.
    #[must_use]
    pub fn negotiated(&self) -> bool {
        let ended = |signals: &[Signal]| signals.iter().any(Signal::is_end_of_candidates);
        self.connected && ended(&self.sent) && ended(&self.heard)
    }

    /// Whether media can flow.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.connected
    }

    /// The data channel that the other side opened.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn channel(&mut self) -> Result<Channel, CallError> {
        loop {
            match self.channels.pop_front() {
                Some(channel) => return Ok(channel),
                None => drop(self.step().await?),
            }
        }
    }

    /// The track that the other side sends; there is one when its first packet is.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn listener(&mut self) -> Result<Listener, CallError> {
        loop {
            match self.listeners.pop_front() {
                Some(listener) => return Ok(listener),
                None => drop(self.step().await?),
            }
        }
    }

    /// Waits for the outcomes of all signals so far, and returns how many there were.
    ///
    /// # Errors
    /// [`CallError::Undelivered`] for the first that did not arrive.
    pub async fn delivered(&mut self) -> Result<usize, CallError> {
        let outcomes = std::mem::take(&mut self.outcomes);
        let count = outcomes.len();
        for (signal, outcome) in outcomes {
            match outcome.await? {
                Outcome::Delivered => {}
                outcome => return Err(CallError::Undelivered { signal: Box::new(signal), outcome }),
            }
        }
        Ok(count)
    }

    fn happened(&mut self, event: PeerEvent) -> Result<Step, CallError> {
        Ok(match event {
            PeerEvent::Candidate(candidate) => {
                let signal = Signal::Candidate(candidate);
                self.signal(signal.clone())?;
                Step::Sent(signal)
            }
            PeerEvent::State(PeerState::Failed) => return Err(CallError::NoMedia),
            PeerEvent::State(state) => {
                self.connected = state == PeerState::Connected;
                Step::State(state)
            }
            PeerEvent::Channel(channel) => {
                self.channels.push_back(channel);
                Step::Channel
            }
            PeerEvent::Track(listener) => {
                let codec = listener.codec();
                self.listeners.push_back(listener);
                Step::Track(codec)
            }
        })
    }

    async fn told(&mut self, event: Event) -> Result<Step, CallError> {
        let signal = match event {
            Event::Message(frame) => match signal(*frame) {
                Ok(signal) => signal,
                Err(frame) => return Ok(Step::Other(Box::new(Event::Message(frame)))),
            },
            other => return Ok(Step::Other(Box::new(other))),
        };
        match &signal {
            Signal::Offer(offer) => {
                let answer = self.peer.answer(offer).await?;
                self.signal(Signal::Answer(answer))?;
            }
            Signal::Answer(answer) => self.peer.accept(answer).await?,
            Signal::Candidate(candidate) => self.peer.add_candidate(candidate.clone()).await?,
        }
        self.heard.push(signal.clone());
        Ok(Step::Heard(signal))
    }
}

fn signal(frame: ServerFrame) -> Result<Signal, Box<ServerFrame>> {
    match frame.message {
        ServerMessage::SdpOffer(offer) => Ok(Signal::Offer(offer.sdp)),
        ServerMessage::SdpAnswer(answer) => Ok(Signal::Answer(answer.sdp)),
        ServerMessage::IceCandidate { candidate, sdp_mline_index, sdp_mid, username_fragment, .. } => {
            Ok(Signal::Candidate(Candidate {
                candidate,
                sdp_mline_index,
                sdp_mid,
                username_fragment,
                ..Candidate::default()
            }))
        }
        _ => Err(Box::new(frame)),
    }
}
