//! What the device says: checks, numbers, repeated messages, the backlog.

use streamz_protocol::bus::{Detach, Message, Open, Up};
use streamz_protocol::client::{ClientFrame, ClientMessage, Draft};
use streamz_protocol::server::{Body, ServerMessage};
use streamz_protocol::{CloseCode, DeviceId, ErrorCode, MessageId, Mid, Millis, Reason};

use crate::effect::{Context, Effect, Outgoing, TokenFacts};
use crate::planted::planted;
use crate::session::{OpenEntry, Session};

impl Session {
    pub(crate) fn text(&mut self, text: &str, cx: &mut Context<'_>, out: &mut Vec<Effect>) {
        let frame = ClientFrame::decode(text);
        if !frame.as_ref().is_ok_and(|frame| self.is_exempt(frame)) && !(cx.permit)() {
            let id = frame.as_ref().map_or_else(|rejected| rejected.id.clone(), |frame| frame.id.clone());
            return self.over_rate(id.as_ref(), cx.now, out);
        }
        self.strikes = 0;
        let frame = match frame {
            Ok(frame) => frame,
            Err(rejected) => {
                return self.error(rejected.code, rejected.message, rejected.id.as_ref(), out);
            }
        };
        match frame.message {
            ClientMessage::Command { to, command } => self.command(frame.id, to, command, cx.now, out),
            ClientMessage::Ack { seq } => self.ack(seq, frame.id.as_ref(), out),
            ClientMessage::Ping => {
                self.plain(Body::with(&ServerMessage::Pong {}, frame.id.as_ref(), None), out);
                self.taken(frame.id.as_ref(), out);
            }
            ClientMessage::Auth { token } => {
                self.auth_id = frame.id;
                out.push(Effect::CheckToken(token));
            }
        }
    }

    /// Whether the frame does not count against the device's rate: confirmations are the answer to what others send,
    /// and what the device sends again after `welcome`, as it must, was counted on its last connection. Some of
    /// that may have got its outcome meanwhile.
    fn is_exempt(&mut self, frame: &ClientFrame) -> bool {
        match (&frame.message, &frame.id) {
            (ClientMessage::Ack { seq }, _) => {
                self.copy.as_ref().is_some_and(|copy| *seq > copy.acked && *seq <= copy.last_seq)
            }
            (ClientMessage::Command { .. }, Some(id)) if self.repeats > 0 && self.knows(id) => {
                self.repeats -= 1;
                true
            }
            _ => false,
        }
    }

    /// Whether the `id` is of a message that has an outcome, or will.
    fn knows(&self, id: &MessageId) -> bool {
        self.copy.as_ref().is_some_and(|copy| {
            copy.open.iter().any(|entry| entry.known.id == *id)
                || copy.settled.iter().any(|settled| settled.id == *id)
        })
    }

    fn over_rate(&mut self, id: Option<&MessageId>, now: Millis, out: &mut Vec<Effect>) {
        self.strikes += 1;
        if self.strikes > self.limits.rate_strikes {
            return self.close(CloseCode::RateLimited, Detach::Lost, now, out);
        }
        let text = "This device sends faster than the rate allows; the message was not taken. Slow down.";
        // The error is no outcome of a message that was taken before.
        let id = id.filter(|id| !self.knows(id));
        self.error(ErrorCode::RateLimited, text.to_owned(), id, out);
    }

    /// A frame that no client of this protocol sends.
    pub(crate) fn violation(&mut self, what: &'static str, now: Millis, out: &mut Vec<Effect>) {
        if self.phase() == crate::Phase::Live {
            let code =
                if what == "frame_too_large" { ErrorCode::FrameTooLarge } else { ErrorCode::MalformedFrame };
            let text = match code {
                ErrorCode::FrameTooLarge => {
                    format!("A frame has at most {} bytes; send less at a time.", self.limits.frame_bytes)
                }
                _ => "Frames are JSON text in UTF-8; binary frames are not taken.".to_owned(),
            };
            self.error(code, text, None, out);
            self.close(CloseCode::ProtocolViolation, Detach::Lost, now, out);
        }
    }

    fn ack(&mut self, seq: u64, id: Option<&MessageId>, out: &mut Vec<Effect>) {
        let last_seq = self.copy.as_ref().map_or(0, |copy| copy.last_seq);
        if seq > last_seq {
            let text = format!("seq {seq} was not sent yet; the last one is {last_seq}.");
            return self.error(ErrorCode::InvalidPayload, text, id, out);
        }
        self.confirm(seq, out);
        self.taken(id, out);
    }

    fn command(
        &mut self,
        id: Option<MessageId>,
        to: Option<DeviceId>,
        draft: Draft,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        let digest = draft.digest(to.as_ref());
        if let Some(id) = &id
            && self.repeated(id, &to, &draft, digest, out)
        {
            return;
        }
        let limits = self.limits.clone();
        let Some(copy) = &mut self.copy else { return };
        let number = copy.next_number;
        let mid = Mid { session: copy.session, number };
        let command = draft.finish(&copy.device.device_id, mid);
        if let Some(id) = &id {
            let weight = command.weight();
            let full =
                copy.open.len() >= limits.unsettled || copy.open_bytes + weight > limits.unsettled_bytes;
            if full && !planted!(self, BacklogUnbounded) {
                return self.plain(Body::not_delivered(id, Reason::Backlog, Vec::new()), out);
            }
            copy.open_bytes += weight;
        }
        copy.next_number += 1;
        let message = Box::new(Message { number, id: id.clone(), to, digest, accepted_at: now, command });
        if let Some(id) = id {
            copy.open.push_back(OpenEntry {
                known: Open { number, id, digest, accepted_at: now },
                message: Some(message.clone()),
                inherited: false,
                hand_overs: 0,
            });
        }
        out.push(Effect::Up(Up::Message(self.conn, message)));
    }

    /// Whether the `id` was used before; if so, says what there is to say.
    fn repeated(
        &mut self,
        id: &MessageId,
        to: &Option<DeviceId>,
        draft: &Draft,
        digest: u64,
        out: &mut Vec<Effect>,
    ) -> bool {
        let (conn, limits) = (self.conn, self.limits.clone());
        let Some(copy) = &mut self.copy else { return true };
        let session = copy.session;
        if let Some(entry) = copy.open.iter_mut().find(|entry| entry.known.id == *id) {
            if entry.known.digest != digest {
                self.id_reused(id, out);
            } else if entry.message.is_none() {
                // The device sends it again after a reconnect: a hub that is started anew may need the content. It
                // is kept if there is room beside what was sent since.
                let mid = Mid { session, number: entry.known.number };
                let message = Box::new(Message {
                    number: entry.known.number,
                    id: Some(id.clone()),
                    to: to.clone(),
                    digest,
                    accepted_at: entry.known.accepted_at,
                    command: draft.clone().finish(&copy.device.device_id, mid),
                });
                let weight = message.command.weight();
                if copy.open_bytes + weight <= limits.unsettled_bytes {
                    copy.open_bytes += weight;
                    entry.message = Some(message.clone());
                }
                out.push(Effect::Up(Up::Message(conn, message)));
            }
            return true;
        }
        if let Some(settled) = copy.settled.iter().find(|settled| settled.id == *id) {
            if settled.digest == digest {
                let outcome = settled.outcome.clone();
                self.plain(outcome, out);
            } else {
                self.id_reused(id, out);
            }
            return true;
        }
        false
    }

    fn id_reused(&mut self, id: &MessageId, out: &mut Vec<Effect>) {
        let text = "This id was used in this session for another message; choose a new one.";
        self.error(ErrorCode::IdReused, text.to_owned(), Some(id), out);
    }

    /// The hub's queue is full: the message was never taken, which is certain, unless an earlier connection of the
    /// session had handed it over.
    pub(crate) fn hub_full(&mut self, number: u64, out: &mut Vec<Effect>) {
        let Some(copy) = &mut self.copy else { return };
        let refused = |entry: &OpenEntry| entry.known.number == number && !entry.inherited;
        let Some(at) = copy.open.iter().position(refused) else { return };
        if let Some(entry) = copy.open.remove(at) {
            copy.open_bytes -= entry.weight();
            self.plain(Body::not_delivered(&entry.known.id, Reason::Backlog, Vec::new()), out);
        }
    }

    pub(crate) fn token_checked(&mut self, facts: Option<TokenFacts>, now: Millis, out: &mut Vec<Effect>) {
        let id = self.auth_id.take();
        let valid = facts.filter(|facts| {
            facts.user == self.user && facts.family == self.attach.family && facts.expires > now
        });
        match valid {
            Some(facts) => {
                self.set_token(facts.expires, now);
                self.taken(id.as_ref(), out);
            }
            None => {
                let text =
                    "auth takes a valid access token of the same sign-in; refresh it and send it again.";
                self.error(ErrorCode::InvalidToken, text.to_owned(), id.as_ref(), out);
            }
        }
    }

    /// The outcome of a message that the gateway itself acts on.
    fn taken(&mut self, id: Option<&MessageId>, out: &mut Vec<Effect>) {
        if let Some(id) = id {
            self.plain(Body::delivered(id), out);
        }
    }

    fn error(&mut self, code: ErrorCode, text: String, id: Option<&MessageId>, out: &mut Vec<Effect>) {
        self.plain(Body::error(code, text, id), out);
    }

    fn plain(&mut self, body: Body, out: &mut Vec<Effect>) {
        self.send(Outgoing { seq: None, body }, out);
    }
}
