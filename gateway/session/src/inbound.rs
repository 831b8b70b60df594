//! What the device says: checks, numbers, repeated messages, the backlog.

use std::time::Duration;

use streamz_protocol::bus::{Detach, Message, Open, Up};
use streamz_protocol::client::{ANSWER_WEIGHT, Answer, ClientFrame, ClientMessage, Command, Draft};
use streamz_protocol::server::{Body, ServerMessage};
use streamz_protocol::{CloseCode, DeviceId, ErrorCode, MessageId, Mid, Millis, Reason, TraceContext};

use crate::copy::OpenEntry;
use crate::effect::{Context, Effect, Outgoing, TokenFacts, Violation};
use crate::planted::planted;
use crate::session::{Own, Phase, Session};

/// How long a message over the rate is held against a device.
const STRIKE: Duration = Duration::from_secs(1);

impl Session {
    pub(crate) fn text(&mut self, text: &str, cx: &mut Context<'_>, out: &mut Vec<Effect>) {
        let frame = ClientFrame::decode(text);
        let (id, digest, trace, message) = match frame {
            Ok(ClientFrame { id, trace, message }) => (id, message.digest(), trace, Ok(message)),
            Err(rejected) => (rejected.id, rejected.digest, None, Err((rejected.code, rejected.message))),
        };
        if !self.is_exempt(id.as_ref(), &message) && !(cx.permit)() {
            let text = "This device sends faster than the rate allows; the message was not taken. Slow down.";
            return self.over_rate(id.as_ref(), text, cx.now, out);
        }
        if self.is_refused(id.as_ref(), digest, &message, out) {
            return;
        }
        let own = Own { id, digest, trace };
        match message {
            Ok(ClientMessage::Command { to, command }) => {
                self.command(own, to, command, cx.now, out);
            }
            Ok(ClientMessage::Ack { seq }) => self.ack(seq, own, cx.now, out),
            Ok(ClientMessage::Ping) => {
                self.plain(Body::with(&ServerMessage::Pong {}, own.id.as_ref(), None), out);
                self.answer(own, Answer::Taken, cx.now, out);
            }
            Ok(ClientMessage::Auth { .. }) if self.checking.is_some() => match &own.id {
                None => {
                    let text = "Another token is being checked; send this one again.";
                    self.plain(Body::error(ErrorCode::Unavailable, text, None), out);
                }
                // The one that is being checked will have its outcome.
                Some(id) if self.checking.as_ref().is_some_and(|checked| checked.id.as_ref() == Some(id)) => {
                }
                // An earlier one, sent again: what came of it is said again.
                Some(_) => self.answer(own, Answer::Taken, cx.now, out),
            },
            Ok(ClientMessage::Auth { token }) => {
                self.checking = Some(own);
                out.push(Effect::CheckToken(token));
            }
            Err((code, text)) => self.answer(own, Answer::Refused(code, text), cx.now, out),
        }
    }

    /// Whether the message is refused before anybody acts on it: its `id` was used for another one, or there is no
    /// room. What the hub acts on finds out later whether there is room for it: it may be large.
    fn is_refused(
        &mut self,
        id: Option<&MessageId>,
        digest: u64,
        message: &Result<ClientMessage, (ErrorCode, String)>,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Some(id) = id else { return false };
        if let Some(known) = self.digest_of(id) {
            if known != digest {
                let text = "This id was used in this session for another message; choose a new one.";
                self.plain(Body::error(ErrorCode::IdReused, text, Some(id)), out);
            }
            return known != digest;
        }
        let waits = matches!(message, Ok(ClientMessage::Auth { .. })) && self.checking.is_some();
        let own = !matches!(message, Ok(ClientMessage::Command { .. }));
        let refused = waits || (own && !self.has_room(ANSWER_WEIGHT));
        if refused {
            self.plain(Body::not_delivered(id, Reason::Backlog, Vec::new()), out);
        }
        refused
    }

    /// Whether the frame does not count against the device's rate: confirmations are the answer to what others send,
    /// and what the device sends again after `welcome`, as it must, was counted on its last connection. Some of
    /// that may have got its outcome meanwhile.
    fn is_exempt<E>(&mut self, id: Option<&MessageId>, message: &Result<ClientMessage, E>) -> bool {
        if let Ok(ClientMessage::Ack { seq }) = message {
            return self.copy.as_ref().is_some_and(|copy| *seq > copy.acked && *seq <= copy.last_seq);
        }
        let repeats = self.repeats > 0 && id.is_some_and(|id| self.digest_of(id).is_some());
        self.repeats -= usize::from(repeats);
        repeats
    }

    /// The content of the message with this `id`, if there is one that has an outcome or will.
    fn digest_of(&self, id: &MessageId) -> Option<u64> {
        if let Some(own) = self.checking.as_ref().filter(|own| own.id.as_ref() == Some(id)) {
            return Some(own.digest);
        }
        let copy = self.copy.as_ref()?;
        let open = copy.open.iter().find(|entry| entry.known.id == *id).map(|entry| entry.known.digest);
        let settled = || copy.settled.iter().find(|settled| settled.id == *id).map(|settled| settled.digest);
        open.or_else(settled)
    }

    /// Whether one more message of this weight may be without an outcome.
    fn has_room(&self, weight: usize) -> bool {
        let limits = &self.limits;
        self.copy.as_ref().is_some_and(|copy| {
            copy.open.len() < limits.unsettled && copy.open_bytes + weight <= limits.unsettled_bytes
        })
    }

    /// Frames that bring nothing cost something too.
    pub(crate) fn idle(&mut self, cx: &mut Context<'_>, out: &mut Vec<Effect>) {
        if self.phase() != Phase::Live {
            return;
        }
        if !(cx.permit)() {
            let text = "This device sends more pings, pongs and fragments than the rate allows. Slow down.";
            self.over_rate(None, text, cx.now, out);
        }
    }

    fn over_rate(&mut self, id: Option<&MessageId>, text: &'static str, now: Millis, out: &mut Vec<Effect>) {
        // Each is a second, and one passes every second. What was permitted in between excuses nothing: of a device that
        // sends at twice its rate, every second message is.
        self.strikes_until = self.strikes_until.max(now) + STRIKE;
        if self.strikes_until > now + STRIKE * self.limits.rate_strikes {
            return self.close(CloseCode::RateLimited, Detach::Lost, now, out);
        }
        // The error is no outcome of a message that was taken before. Nor is the `id` of one that was not taken used.
        let id = id.filter(|id| self.digest_of(id).is_none());
        self.plain(Body::error(ErrorCode::RateLimited, text, id), out);
    }

    /// A frame that no client of this protocol sends.
    pub(crate) fn violation(&mut self, what: Violation, now: Millis, out: &mut Vec<Effect>) {
        if self.phase() == Phase::Live {
            let error = match what {
                Violation::TooLarge => {
                    let most = self.limits.frame_bytes;
                    let text = format!("A frame has at most {most} bytes; send less at a time.");
                    Body::error(ErrorCode::FrameTooLarge, text, None)
                }
                Violation::Broken(text) => Body::error(ErrorCode::MalformedFrame, text, None),
            };
            self.plain(error, out);
            self.close(CloseCode::ProtocolViolation, Detach::Lost, now, out);
        }
    }

    fn ack(&mut self, seq: u64, own: Own, now: Millis, out: &mut Vec<Effect>) {
        let last_seq = self.copy.as_ref().map_or(0, |copy| copy.last_seq);
        let answer = if seq > last_seq {
            let text = format!("seq {seq} was not sent yet; the last one is {last_seq}.");
            Answer::Refused(ErrorCode::InvalidPayload, text)
        } else {
            self.confirm(seq, out);
            Answer::Taken
        };
        self.answer(own, answer, now, out);
    }

    fn command(&mut self, own: Own, to: Option<DeviceId>, draft: Draft, now: Millis, out: &mut Vec<Effect>) {
        let Own { id, digest, trace } = own;
        if let Some(id) = &id
            && self.repeated(id, &to, &draft, digest, out)
        {
            return;
        }
        let Some(copy) = &self.copy else { return };
        let number = copy.next_number;
        let mid = Mid { session: copy.session, number };
        let command = draft.finish(&copy.device.device_id, mid);
        let weight = id.as_ref().map_or(0, |_| command.weight());
        if let Some(id) = &id
            && !self.has_room(weight)
            && !planted!(self, BacklogUnbounded)
        {
            self.note_settled(number, command.name(), Reason::Backlog.as_str(), Duration::ZERO);
            return self.plain(Body::not_delivered(id, Reason::Backlog, Vec::new()), out);
        }
        let (kind, confirmed) = (command.name(), id.is_some());
        let trace = copy.trace_of(&command, trace);
        let Some(copy) = &mut self.copy else { return };
        copy.open_bytes += weight;
        copy.next_number += 1;
        let message = Message { number, id: id.clone(), to, digest, accepted_at: now, command, trace };
        let message = Box::new(message);
        if let Some(id) = id {
            let mut kept = message.clone();
            // Who is told of it later need not hear of a trace that is not recorded.
            kept.trace = kept.trace.filter(TraceContext::is_sampled);
            copy.open.push_back(OpenEntry {
                known: Open { number, id, digest, accepted_at: now },
                message: Some(kept),
                inherited: false,
                hand_overs: 0,
            });
        }
        out.push(Effect::Up(Up::Message(self.conn, message)));
        if !confirmed {
            self.note_settled(number, kind, "unconfirmed", Duration::ZERO);
        }
    }

    /// Whether the same message was sent before; if so, says what there is to say.
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
            if entry.message.is_none() {
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
                    trace: None,
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
        let settled = copy.settled.iter().find(|settled| settled.id == *id);
        let outcome = settled.map(|settled| settled.outcome.clone());
        let known = outcome.is_some();
        if let Some(outcome) = outcome {
            self.plain(outcome, out);
        }
        known
    }

    /// The hub's queue is full: the message was never taken, which is certain, unless an earlier connection of the
    /// session had handed it over.
    pub(crate) fn hub_full(&mut self, number: u64, now: Millis, out: &mut Vec<Effect>) {
        let Some(copy) = &mut self.copy else { return };
        let refused = |entry: &OpenEntry| entry.known.number == number && !entry.inherited;
        let Some(at) = copy.open.iter().position(refused) else { return };
        if let Some(entry) = copy.open.remove(at) {
            copy.open_bytes -= entry.weight();
            let body = Body::not_delivered(&entry.known.id, Reason::Backlog, Vec::new());
            self.note_outcome(&entry, &body, now);
            self.plain(body, out);
        }
    }

    pub(crate) fn token_checked(&mut self, facts: Option<TokenFacts>, now: Millis, out: &mut Vec<Effect>) {
        // Nobody is there to hear of it; whoever comes back brings a token, and sends this one again.
        let Some(own) = self.checking.take().filter(|_| self.phase() == Phase::Live) else { return };
        let valid = facts.filter(|facts| {
            facts.user == self.user && facts.family == self.attach.family && facts.expires > now
        });
        let answer = match valid {
            Some(facts) => {
                self.set_token(facts.expires, now);
                Answer::Taken
            }
            None => {
                let text =
                    "auth takes a valid access token of the same sign-in; refresh it and send it again.";
                Answer::Refused(ErrorCode::InvalidToken, text.to_owned())
            }
        };
        self.answer(own, answer, now, out);
    }

    /// Ends a message that concerns the gateway alone. If it has an `id` its outcome takes the way of all outcomes,
    /// through the hub: so it has a `seq`, and is remembered wherever the session goes.
    fn answer(&mut self, own: Own, answer: Answer, now: Millis, out: &mut Vec<Effect>) {
        match answer {
            answer if own.id.is_some() => {
                let draft = Draft::Whole(Command::Answered(answer));
                self.command(own, None, draft, now, out);
            }
            Answer::Refused(code, text) => self.plain(Body::error(code, text, None), out),
            Answer::Taken => {}
        }
    }

    fn plain(&mut self, body: Body, out: &mut Vec<Effect>) {
        self.send(Outgoing { seq: None, body }, out);
    }
}
