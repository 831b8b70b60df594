//! One session without I/O: what is sent, what is confirmed, what is told to the program, and what survives a
//! connection. The rules are those of `docs/protocol.md`, delivery.
//!
//! A connection's life is [`Session::dial`], [`Session::receive`] and [`Session::next_frame`] as often as needed,
//! [`Session::hang_up`]. After each `receive` that has an event, [`Session::taken`] says that the program has it:
//! only then may it be acknowledged, because the sender is told `delivered` for it.

use std::collections::VecDeque;

use streamz_protocol::client_encode::{self, Outgoing};
use streamz_protocol::server::{ServerFrame, ServerMessage};
use streamz_protocol::{MessageId, SessionId, StreamId};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::error::{SendError, Violation};
use crate::event::{Event, Outcome, Unknown};
use crate::inbound::{Envelope, read_welcome};
use crate::seen::Seen;

pub use types::{Counters, Duty, Heard, Options, Settled};

/// Sequenced frames after which an `ack` is due even if more can be read at once.
pub const ACK_EVERY: u32 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down,
    /// Connected, and the `welcome` is still to come.
    Greeting,
    Up,
}

#[derive(Debug)]
struct Entry<W> {
    text: Utf8Bytes,
    /// With an `id`, it stays until its outcome; without, until it is sent.
    open: Option<Open<W>>,
}

#[derive(Debug)]
struct Open<W> {
    id: MessageId,
    waiter: W,
    /// Sent at least once in the present session.
    sent: bool,
    /// Said by `stream_ringing`.
    stream: Option<StreamId>,
}

/// One device's session. `W` is whatever waits for an outcome.
#[derive(Debug)]
pub struct Session<W> {
    options: Options,
    link: Link,
    id: Option<SessionId>,
    /// The highest `seq` received.
    last_seq: u64,
    /// The highest `seq` that the program has.
    taken_seq: u64,
    acked_seq: u64,
    taken_since_ack: u32,
    ack_due: bool,
    /// Among what is unconfirmed is something that another device may wait for. Nobody waits for the confirmation of
    /// an outcome.
    awaited: bool,
    /// Something came twice: the server may have missed an `ack`.
    ack_again: bool,
    seen: Seen,
    /// In the order in which they were given; those before `cursor` were sent on this connection.
    queue: VecDeque<Entry<W>>,
    queue_bytes: usize,
    cursor: usize,
    token: Option<Utf8Bytes>,
    ping: bool,
    next_id: u64,
    counters: Counters,
}

impl<W> Session<W> {
    /// A session that has never been connected.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            link: Link::Down,
            id: None,
            last_seq: 0,
            taken_seq: 0,
            acked_seq: 0,
            taken_since_ack: 0,
            ack_due: false,
            awaited: false,
            ack_again: false,
            seen: Seen::default(),
            queue: VecDeque::new(),
            queue_bytes: 0,
            cursor: 0,
            token: None,
            ping: false,
            next_id: 1,
            counters: Counters::default(),
        }
    }

    /// What the next connection asks to go on with: the session and the last `seq` that arrived.
    #[must_use]
    pub fn resume_point(&self) -> Option<(SessionId, u64)> {
        let id = self.id.filter(|_| self.options.reliable)?;
        Some((id, self.last_seq))
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Messages that wait for their outcome or for the socket.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.queue.len()
    }

    /// A connection was made; its first frame must be `welcome`.
    pub fn dial(&mut self) {
        self.link = Link::Greeting;
    }

    /// The connection is gone. Gives back who waits in vain: nobody, unless the client is a simple one.
    pub fn hang_up(&mut self) -> Vec<W> {
        self.link = Link::Down;
        self.cursor = 0;
        self.ack_due = false;
        self.ack_again = false;
        self.token = None;
        self.ping = false;
        if !self.options.reliable {
            return self.give_up();
        }
        let before = self.queue.len();
        self.queue.retain(|entry| entry.open.is_some());
        self.counters.unsent += (before - self.queue.len()) as u64;
        self.queue_bytes = self.queue.iter().map(|entry| entry.text.len()).sum();
        Vec::new()
    }

    /// Forgets all messages and gives back who waits for them: the client is over.
    pub fn give_up(&mut self) -> Vec<W> {
        self.cursor = 0;
        self.queue_bytes = 0;
        let entries = self.queue.drain(..);
        entries.filter_map(|entry| Some(entry.open?.waiter)).collect()
    }

    /// Takes a message that will have an outcome, under a new `id` or the program's own. It is sent once connected,
    /// and again after every reconnect until its outcome is there.
    ///
    /// # Errors
    /// [`SendError::Backlog`], [`SendError::TooLarge`], [`SendError::IdInUse`]; [`SendError::Away`] for a simple
    /// client that is not connected.
    pub fn submit(
        &mut self,
        message: &Outgoing,
        id: Option<MessageId>,
        waiter: W,
    ) -> Result<MessageId, SendError> {
        let id = match id {
            Some(id) if self.position(&id).is_some() => return Err(SendError::IdInUse),
            Some(id) => id,
            None => self.fresh_id(),
        };
        let open = Open { id: id.clone(), waiter, sent: false, stream: None };
        self.push(message.encode(Some(&id)), Some(open))?;
        Ok(id)
    }

    /// Takes a message without an `id`: it is sent at most once, on this connection or never.
    ///
    /// # Errors
    /// [`SendError::Away`], [`SendError::Backlog`], [`SendError::TooLarge`].
    pub fn submit_unconfirmed(&mut self, message: &Outgoing) -> Result<(), SendError> {
        self.push(message.encode(None), None)
    }

    /// Sends a `ping`.
    ///
    /// # Errors
    /// [`SendError::Away`] if there is no connection.
    pub fn ping(&mut self) -> Result<(), SendError> {
        if self.link != Link::Up {
            return Err(SendError::Away);
        }
        self.ping = true;
        Ok(())
    }

    /// Sends a new access token if there is a connection; the next one begins with its own.
    pub fn authenticate(&mut self, token: &str) {
        if self.link == Link::Up {
            self.token = Some(client_encode::auth(token).into());
        }
    }

    /// The next frame for the socket. Acknowledgements go first: other devices wait for them.
    pub fn next_frame(&mut self) -> Option<Utf8Bytes> {
        if self.link != Link::Up {
            return None;
        }
        if self.ack_due {
            self.ack_due = false;
            self.ack_again = false;
            self.taken_since_ack = 0;
            self.acked_seq = self.taken_seq;
            self.awaited &= self.last_seq > self.acked_seq;
            self.counters.acks += 1;
            return Some(client_encode::ack(self.taken_seq).into());
        }
        if let Some(token) = self.token.take() {
            return Some(token);
        }
        if std::mem::take(&mut self.ping) {
            return Some(client_encode::ping().into());
        }
        let entry = self.queue.get_mut(self.cursor)?;
        let text = entry.text.clone();
        match &mut entry.open {
            Some(open) => {
                self.cursor += 1;
                if std::mem::replace(&mut open.sent, true) {
                    self.counters.sent_again += 1;
                } else {
                    self.counters.sent += 1;
                }
            }
            None => {
                self.queue.remove(self.cursor);
                self.queue_bytes -= text.len();
                self.counters.sent += 1;
            }
        }
        Some(text)
    }

    /// Takes a frame from the server.
    ///
    /// # Errors
    /// [`Violation`]: the connection is of no use any more.
    pub fn receive(&mut self, text: &str) -> Result<Heard<W>, Violation> {
        self.counters.received += 1;
        let envelope = Envelope::read(text).ok_or(Violation::Malformed)?;
        let mut heard = match (self.link, envelope.is_welcome()) {
            (Link::Up, true) => return Err(Violation::SecondWelcome),
            (Link::Up, false) if self.is_new(&envelope) => self.sort(envelope.open(text)),
            (Link::Up, false) => Heard::nothing(),
            (_, true) => self.welcome(text)?,
            (_, false) => return Err(Violation::NoWelcome),
        };
        self.awaited |= heard.settled.is_none() && self.last_seq > self.acked_seq;
        if heard.event.is_none() {
            self.taken();
        } else if let Some(Event::Message(frame)) = &heard.event {
            heard.duty = Duty::of(&frame.message);
        }
        Ok(heard)
    }

    /// The program has all that was received.
    pub fn taken(&mut self) {
        if self.taken_seq < self.last_seq {
            self.taken_seq = self.last_seq;
            self.taken_since_ack += 1;
            self.ack_due |= self.taken_since_ack >= ACK_EVERY;
        }
    }

    /// Nothing more can be read at once: what is unconfirmed is confirmed now, unless it is outcomes alone. Says
    /// whether there is an `ack` to send.
    pub fn idle(&mut self) -> bool {
        let unconfirmed = (self.taken_seq > self.acked_seq && self.awaited) || self.ack_again;
        self.ack_due |= self.link == Link::Up && unconfirmed;
        self.ack_due
    }

    /// The server sent a ping: what is still unconfirmed is confirmed at the next [`Session::idle`], so that the server
    /// need not keep it any longer.
    pub fn heartbeat(&mut self) {
        self.awaited |= self.last_seq > self.acked_seq;
    }

    fn welcome(&mut self, text: &str) -> Result<Heard<W>, Violation> {
        let mut welcome = read_welcome(text).ok_or(Violation::NoWelcome)?;
        let same = self.options.reliable && self.id == Some(welcome.session_id);
        welcome.resumed &= same;
        if !welcome.resumed {
            // What was seen of other sessions stays true, and closes the gap that a lost hub and gateway leave.
            self.id = Some(welcome.session_id);
            self.last_seq = 0;
            self.taken_seq = 0;
            for open in self.queue.iter_mut().filter_map(|e| e.open.as_mut()) {
                open.sent = false;
                open.stream = None;
            }
        }
        self.link = Link::Up;
        // Said with the connection's request.
        self.acked_seq = self.last_seq;
        self.awaited = false;
        self.taken_since_ack = 0;
        self.cursor = 0;
        Ok(Heard { event: Some(Event::Welcome(welcome)), settled: None, duty: None })
    }

    /// Whether neither its `seq` nor its `mid` has been there. Sequence numbers may be skipped, never repeated.
    fn is_new(&mut self, envelope: &Envelope<'_>) -> bool {
        if !self.options.reliable {
            return true;
        }
        if let Some(seq) = envelope.seq {
            if seq <= self.last_seq {
                self.counters.repeated_seq += 1;
                self.ack_again = true;
                return false;
            }
            self.last_seq = seq;
        }
        if envelope.mid.is_some_and(|mid| !self.seen.insert(mid)) {
            self.counters.repeated_mid += 1;
            return false;
        }
        true
    }

    fn sort(&mut self, frame: Result<ServerFrame, Unknown>) -> Heard<W> {
        let frame = match frame {
            Ok(frame) => frame,
            Err(unknown) => return Heard::event(Event::Unknown(Box::new(unknown))),
        };
        match frame.message {
            ServerMessage::Delivered { id } => self.settle(&id, Outcome::Delivered),
            ServerMessage::NotDelivered { id, reason, failed } => {
                self.settle(&id, Outcome::NotDelivered { reason, failed })
            }
            ServerMessage::Error { code, message, id: Some(id) } => {
                self.settle(&id, Outcome::Error { code, message })
            }
            ServerMessage::StreamRinging { stream_id, id: Some(ref id), .. } => {
                let at = self.position(id);
                if let Some(open) = at.and_then(|at| self.queue[at].open.as_mut()) {
                    open.stream = Some(stream_id);
                }
                Heard::event(Event::Message(Box::new(frame)))
            }
            _ => Heard::event(Event::Message(Box::new(frame))),
        }
    }

    fn settle(&mut self, id: &MessageId, outcome: Outcome) -> Heard<W> {
        let sent = |entry: &Entry<W>| entry.open.as_ref().is_some_and(|open| open.sent);
        let at = self.position(id).filter(|at| sent(&self.queue[*at]));
        let entry = at.and_then(|at| {
            self.cursor -= usize::from(at < self.cursor);
            self.queue.remove(at)
        });
        let Some((open, bytes)) = entry.and_then(|e| Some((e.open?, e.text.len()))) else {
            self.counters.stray_outcomes += 1;
            return Heard::nothing();
        };
        self.queue_bytes -= bytes;
        Heard {
            settled: Some(Settled { waiter: open.waiter, outcome, stream: open.stream }),
            ..Heard::nothing()
        }
    }

    fn push(&mut self, text: String, open: Option<Open<W>>) -> Result<(), SendError> {
        let waits = self.options.reliable && open.is_some();
        if self.link != Link::Up && !waits {
            return Err(SendError::Away);
        }
        let bytes = text.len();
        if bytes > self.options.max_frame {
            let limit = self.options.max_frame;
            return Err(SendError::TooLarge { bytes, limit });
        }
        if self.queue.len() >= self.options.max_messages || self.queue_bytes + bytes > self.options.max_bytes
        {
            return Err(SendError::Backlog);
        }
        self.queue_bytes += bytes;
        let text = text.into();
        self.queue.push_back(Entry { text, open });
        Ok(())
    }

    fn fresh_id(&mut self) -> MessageId {
        loop {
            let text = format!("m{}", self.next_id);
            self.next_id += 1;
            let id = MessageId::new(&text).expect("a letter and at most 20 digits");
            if self.position(&id).is_none() {
                return id;
            }
        }
    }

    /// Outcomes come roughly in order, so the one that is sought stands near the front.
    fn position(&self, id: &MessageId) -> Option<usize> {
        let is = |entry: &Entry<W>| entry.open.as_ref().is_some_and(|open| open.id == *id);
        self.queue.iter().position(is)
    }
}

#[cfg(test)]
mod tests;
mod types;
