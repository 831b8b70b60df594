//! Messages, their targets and their outcomes (§4.4 of the design).

use streamz_protocol::bus::{Class, Item, Message, Settled};
use streamz_protocol::client::{Command, RelayKind};
use streamz_protocol::server::{Body, Failed};
use streamz_protocol::{ConnId, ErrorCode, MessageId, Mid, Millis, Reason, SessionId, StreamId};

use crate::call::Reached;
use crate::effect::{Context, Out};
use crate::hub::{Hub, Loading};
use crate::ice::Place;
use crate::member::{Entry, Member, Stage, Target, TargetState, Verdict};
use crate::planted::planted;
use crate::sending::{Outcome, Sending, Turn, UNKNOWN_STREAM};
use crate::streams::is_party;

/// When a message is put into its receivers' sessions, in relation to its sender's other messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timing {
    /// In order.
    Prompt,
    /// In order, but it could have been held back.
    PromptCandidate,
    /// After having been held back.
    Late,
}

impl Hub {
    /// A connection hands over a message.
    pub(crate) fn message(&mut self, conn: ConnId, message: Message, cx: &mut Context<'_>, out: &mut Out) {
        let Some(at) = self.member_of(conn) else {
            return;
        };
        let member = &mut self.members[at];
        if member.away.is_some() {
            return;
        }
        let mut turn = Turn::First;
        if message.number <= member.accepted {
            let awaited = |entry: &Entry| entry.stage == Stage::Awaited;
            if !member.open.get(&message.number).is_some_and(awaited) {
                return;
            }
            member.open.remove(&message.number);
            turn = Turn::Again;
        }
        member.accepted = member.accepted.max(message.number);
        self.submit(at, message, turn, cx, out);
    }

    /// Acts on a message, for the first time or once more after a hub was lost.
    pub(crate) fn submit(
        &mut self,
        at: usize,
        message: Message,
        turn: Turn,
        cx: &mut Context<'_>,
        out: &mut Out,
    ) {
        let sending = Sending::of(&self.members[at], &message, turn);
        // It may have been on its way, or have waited here, for its whole life.
        if sending.accepted_at + self.limits.hub_delivery() <= cx.now {
            return self.answer(&sending, Outcome::NotDelivered(Reason::Expired, Vec::new()), cx.now, out);
        }
        match message.command {
            command @ Command::Relay { .. } => self.relay(&sending, command, cx.now, out),
            Command::Answered(answer) => self.answer(&sending, answer.into(), cx.now, out),
            command => {
                let outcome = self.stream_command(&sending, command, cx, out);
                self.answer(&sending, outcome, cx.now, out);
            }
        }
    }

    fn relay(&mut self, sending: &Sending, command: Command, now: Millis, out: &mut Out) {
        let Command::Relay { kind, stream, ufrags, body } = command else {
            return;
        };
        let receivers = match self.receivers(sending, stream) {
            Ok(receivers) => receivers,
            // A hub before this one may have relayed the message when the stream was there, or its candidate current.
            Err(Outcome::Error(..)) if sending.resubmitted => {
                return self.answer(sending, Outcome::NotDelivered(Reason::Expired, Vec::new()), now, out);
            }
            Err(outcome) => return self.answer(sending, outcome, now, out),
        };
        let Some(stream) = stream else {
            return self.deliver(sending, &receivers, &body, Timing::Prompt, now, out);
        };
        match kind {
            RelayKind::SdpOffer => self.reach_negotiated(stream, Reached::Offered, now),
            RelayKind::SdpAnswer => self.reach_negotiated(stream, Reached::Answered, now),
            RelayKind::IceCandidate => {}
        }
        match self.place(sending, stream, kind, &ufrags, &body, out) {
            Place::Now if kind == RelayKind::IceCandidate => {
                self.deliver(sending, &receivers, &body, Timing::PromptCandidate, now, out);
            }
            Place::Now => {
                self.deliver(sending, &receivers, &body, Timing::Prompt, now, out);
                self.release_candidates(stream, &sending.device, now, out);
            }
            Place::Held => self.put_open(sending, Vec::new(), Stage::Held),
            Place::Refused(Outcome::Error(..)) if sending.resubmitted => {
                self.answer(sending, Outcome::NotDelivered(Reason::Expired, Vec::new()), now, out);
            }
            Place::Refused(outcome) => self.answer(sending, outcome, now, out),
        }
    }

    /// Puts a message into its receivers' sessions and waits for them.
    pub(crate) fn deliver(
        &mut self,
        sending: &Sending,
        receivers: &[SessionId],
        body: &Body,
        timing: Timing,
        now: Millis,
        out: &mut Out,
    ) {
        let mid = sending.mid();
        let target = |session: &SessionId| {
            let member = &self.members[self.member_by_session(*session)?];
            Some(Target { session: *session, device: member.device.clone(), state: TargetState::Pending })
        };
        let targets = receivers.iter().filter_map(target).collect();
        if planted!(self, OutcomeBeforeDelivery) {
            self.answer(sending, Outcome::Delivered, now, out);
        } else {
            self.put_open(sending, targets, Stage::Sent);
        }
        for session in receivers {
            let Some(at) = self.member_by_session(*session) else {
                continue;
            };
            let member = &self.members[at];
            if sending.resubmitted && member.holds(mid) {
                continue;
            }
            // One that was held by the hub before this one had been passed by later numbers, but was not heard.
            let heard = match timing {
                Timing::Late => member.has_heard_late(mid),
                Timing::Prompt | Timing::PromptCandidate => member.has_heard(mid),
            };
            if sending.resubmitted && heard && !planted!(self, NoDedupeOnRecovery) {
                // It was put into the session and is not there any more. Unless it is known to be confirmed, it may have
                // been lost from the window, or withdrawn, or passed by later numbers of its sender.
                let state = match member.confirmed.contains(&mid) {
                    true => TargetState::Delivered,
                    false => TargetState::Failed(Reason::Expired),
                };
                self.judge(vec![Verdict { mid, by: *session, state }], now, out);
                continue;
            }
            let class = Class::Message { mid, late: timing == Timing::Late };
            self.tell(at, class, body.clone(), now, out);
        }
    }

    fn put_open(&mut self, sending: &Sending, targets: Vec<Target>, stage: Stage) {
        let entry = sending.entry(targets, stage, self.is_doubtful(sending));
        if let (Some(entry), Some(at)) = (entry, self.member_by_session(sending.session)) {
            self.members[at].open.insert(sending.number, entry);
        }
    }

    /// Whether a hub before this one may have meant a message to all for a session that is gone since.
    fn is_doubtful(&self, sending: &Sending) -> bool {
        let gone = |device| self.member_by_device(device).is_none();
        sending.resubmitted
            && sending.to.is_none()
            && (sending.accepted_at + self.limits.offline_grace <= self.recovered_at
                || self.loading != Loading::Done
                || self.missed.iter().any(|(device, _)| gone(device))
                // One that said goodbye since is offline, as is one that never was there: nobody knows which.
                || self.devices.iter().any(|known| gone(&known.device.device_id)))
    }

    /// The sessions that a message is meant for, fixed when it is accepted.
    pub(crate) fn receivers(
        &self,
        sending: &Sending,
        stream: Option<StreamId>,
    ) -> Result<Vec<SessionId>, Outcome> {
        let nobody = |reason| Outcome::NotDelivered(sending.certain(reason), Vec::new());
        let is_party =
            |device| stream.is_none_or(|id| self.live(id).is_some_and(|live| is_party(&live.stream, device)));
        if !is_party(&sending.device) {
            return Err(UNKNOWN_STREAM);
        }
        let Some(to) = &sending.to else {
            // Online as the others see it: attached, or in its grace. One that left is reached by name only.
            let online = |device| self.known(device).is_some_and(|known| known.device.is_online);
            // Of a message that a hub before this one had taken, it was also meant for who has left since.
            let was_online = |member: &Member| {
                sending.resubmitted && member.away.is_some_and(|(since, _)| since >= sending.accepted_at)
            };
            let others = self.members.iter().filter(|member| member.session != sending.session);
            let others: Vec<SessionId> = others
                .filter(|member| online(&member.device) || was_online(member))
                .map(|member| member.session)
                .collect();
            return if others.is_empty() { Err(nobody(Reason::Offline)) } else { Ok(others) };
        };
        if *to == sending.device {
            return Err(Outcome::error(
                ErrorCode::InvalidPayload,
                "to_device_id must name another device than the sender.",
            ));
        }
        if self.known(to).is_none() {
            return Err(self.no_such_device(sending));
        }
        if !is_party(to) {
            return Err(UNKNOWN_STREAM);
        }
        match self.member_by_device(to) {
            Some(at) => Ok(vec![self.members[at].session]),
            None => Err(nobody(Reason::Offline)),
        }
    }

    /// What is said of a device that this hub does not know.
    pub(crate) fn no_such_device(&self, sending: &Sending) -> Outcome {
        match self.loading {
            Loading::Done => Outcome::NotDelivered(sending.certain(Reason::UnknownDevice), Vec::new()),
            _ if sending.resubmitted => Outcome::NotDelivered(Reason::Expired, Vec::new()),
            _ => Outcome::error(
                ErrorCode::Unavailable,
                "The list of devices cannot be read right now; send the message again later.",
            ),
        }
    }

    /// Notes what sessions did with messages, and tells the senders whose last receiver that was.
    pub(crate) fn judge(&mut self, verdicts: Vec<Verdict>, now: Millis, out: &mut Out) {
        self.verdicts.extend(verdicts);
        // Telling a sender may push something out of its window, which is a verdict again: a loop, not a recursion.
        if std::mem::replace(&mut self.judging, true) {
            return;
        }
        while let Some(verdict) = self.verdicts.pop_front() {
            let Some(at) = self.member_by_session(verdict.mid.session) else {
                continue;
            };
            let Some(entry) = self.members[at].open.get_mut(&verdict.mid.number) else {
                continue;
            };
            let pending = |target: &&mut Target| target.state == TargetState::Pending;
            if let Some(target) =
                entry.targets.iter_mut().filter(pending).find(|target| target.session == verdict.by)
            {
                target.state = verdict.state;
            }
            if entry.stage == Stage::Sent
                && entry.targets.iter().all(|target| target.state != TargetState::Pending)
            {
                self.conclude(at, verdict.mid.number, now, out);
            }
        }
        self.judging = false;
    }

    /// All receivers of a message are done with it.
    fn conclude(&mut self, at: usize, number: u64, now: Millis, out: &mut Out) {
        let Some(entry) = self.members[at].open.remove(&number) else {
            return;
        };
        let failed: Vec<Failed> = entry
            .targets
            .iter()
            .filter_map(|target| match target.state {
                TargetState::Failed(reason) => Some(Failed { device_id: target.device.clone(), reason }),
                _ => None,
            })
            .collect();
        let outcome = match failed.first() {
            None if entry.doubtful => Outcome::NotDelivered(Reason::Expired, Vec::new()),
            None => Outcome::Delivered,
            Some(first) => {
                // One reason for all, or the uncertain one.
                let same = failed.iter().all(|other| other.reason == first.reason);
                let reason = if same { first.reason } else { Reason::Expired };
                Outcome::NotDelivered(reason, if entry.broadcast { failed } else { Vec::new() })
            }
        };
        self.settle(at, number, &entry.id, entry.digest, outcome, now, out);
    }

    /// The outcome of a message that waits for nobody.
    pub(crate) fn answer(&mut self, sending: &Sending, outcome: Outcome, now: Millis, out: &mut Out) {
        let Some(at) = self.member_by_session(sending.session) else {
            return;
        };
        match &sending.id {
            Some(id) => self.settle(at, sending.number, id, sending.digest, outcome, now, out),
            None => {
                if let (Outcome::Error(code, text), Some(conn)) = (outcome, self.members[at].conn) {
                    out.item(conn, Item::Plain(Body::error(code, text, None)));
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one settled message")]
    fn settle(
        &mut self,
        at: usize,
        number: u64,
        id: &MessageId,
        digest: u64,
        outcome: Outcome,
        now: Millis,
        out: &mut Out,
    ) {
        let body = match outcome {
            Outcome::Delivered => Body::delivered(id),
            Outcome::NotDelivered(reason, failed) => Body::not_delivered(id, reason, failed),
            Outcome::Error(code, text) => Body::error(code, text, Some(id)),
        };
        let limits = self.limits.clone();
        let settled = Settled { id: id.clone(), digest, outcome: body.clone(), at: now };
        self.members[at].open.remove(&number);
        self.members[at].remember(settled, &limits);
        self.tell(at, Class::Outcome { number }, body, now, out);
    }

    /// Messages that nobody confirmed in time.
    pub(crate) fn expire_messages(&mut self, now: Millis, out: &mut Out) {
        let life = self.limits.hub_delivery();
        for at in 0..self.members.len() {
            let session = self.members[at].session;
            while let Some((number, entry)) = self.members[at].open.first_key_value() {
                if entry.accepted_at + life > now {
                    break;
                }
                let mid = Mid { session, number: *number };
                let targets: Vec<SessionId> = entry.targets.iter().map(|target| target.session).collect();
                for target in targets {
                    if let Some(target) = self.member_by_session(target) {
                        self.members[target].withdraw(mid);
                    }
                }
                self.expire(at, mid.number, now, out);
            }
        }
    }

    fn expire(&mut self, at: usize, number: u64, now: Millis, out: &mut Out) {
        let Some(entry) = self.members[at].open.get_mut(&number) else {
            return;
        };
        if entry.targets.is_empty() {
            let (id, digest) = (entry.id.clone(), entry.digest);
            let outcome = Outcome::NotDelivered(Reason::Expired, Vec::new());
            return self.settle(at, number, &id, digest, outcome, now, out);
        }
        for target in &mut entry.targets {
            if target.state == TargetState::Pending {
                target.state = TargetState::Failed(Reason::Expired);
            }
        }
        self.conclude(at, number, now, out);
    }
}
