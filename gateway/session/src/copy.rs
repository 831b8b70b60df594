//! The copy of the hub's side of a session: what a hub that is started anew is told.

use std::collections::VecDeque;

use streamz_protocol::bus::{
    CONFIRMED_KEPT, Caps, Detach, Frame, Heard, LiveStream, Message, Open, OpenMessage, Over, Replica,
    Settled,
};
use streamz_protocol::client::Command;
use streamz_protocol::objects::Device;
use streamz_protocol::server::Body;
use streamz_protocol::{DeviceId, Limits, MessageId, Mid, Millis, SessionId, TraceContext};
use uuid::Uuid;

/// What the hub knows of the session, as far as it came through here.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) session: SessionId,
    pub(crate) generation: u64,
    pub(crate) device: Device,
    pub(crate) acked: u64,
    pub(crate) last_seq: u64,
    pub(crate) window: VecDeque<Frame>,
    pub(crate) window_bytes: usize,
    pub(crate) lossy: bool,
    pub(crate) floor: u64,
    pub(crate) next_number: u64,
    pub(crate) open: VecDeque<OpenEntry>,
    pub(crate) open_bytes: usize,
    pub(crate) settled: VecDeque<Settled>,
    pub(crate) heard: Vec<Heard>,
    /// At most [`CONFIRMED_KEPT`]; forgotten when nothing was confirmed for longer than a message may be open.
    pub(crate) confirmed: VecDeque<Mid>,
    /// The first heartbeat after the last of them; `None` until then.
    pub(crate) confirmed_by: Option<Millis>,
    pub(crate) view: Vec<DeviceId>,
    pub(crate) live: Vec<LiveStream>,
    pub(crate) over: VecDeque<Over>,
}

/// A message without an outcome.
#[derive(Clone, Debug)]
pub(crate) struct OpenEntry {
    pub(crate) known: Open,
    /// Its content; absent until the device has sent it on this connection.
    pub(crate) message: Option<Box<Message>>,
    /// An earlier connection of the session had handed it to the hub.
    pub(crate) inherited: bool,
    pub(crate) hand_overs: u8,
}

impl OpenEntry {
    pub(crate) fn weight(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.command.weight())
    }
}

impl Copy {
    /// The trace that a message belongs to: that of its call if that is recorded, or the one that its device has named.
    pub(crate) fn trace_of(&self, command: &Command, named: Option<TraceContext>) -> Option<TraceContext> {
        let live = command.stream().and_then(|id| self.live.iter().find(|live| live.id == id));
        let call = live.and_then(|live| live.progress.as_ref()?.trace);
        let Some(call) = call else { return named };
        // A call has one trace, whatever its parties name.
        let deeper = |named: &TraceContext| named.is_sampled() && named.trace_id() == call.trace_id();
        named.filter(deeper).or(Some(call))
    }

    /// The device has this message.
    pub(crate) fn confirm(&mut self, mid: Mid) {
        if self.confirmed.len() >= CONFIRMED_KEPT {
            self.confirmed.pop_front();
        }
        self.confirmed.push_back(mid);
        self.confirmed_by = None;
    }

    /// At a heartbeat: gives memory back once no sender can wait for what was confirmed.
    pub(crate) fn forget_confirmed(&mut self, now: Millis, limits: &Limits) {
        let by = *self.confirmed_by.get_or_insert(now);
        if by + limits.delivery <= now {
            self.confirmed = VecDeque::new();
        }
    }

    pub(crate) fn remember(
        &mut self,
        id: MessageId,
        digest: u64,
        outcome: Body,
        now: Millis,
        limits: &Limits,
    ) {
        while self.settled.len() >= limits.outcomes() {
            self.settled.pop_front();
        }
        self.settled.push_back(Settled { id, digest, outcome, at: now });
    }

    pub(crate) fn replica(&self, family: Uuid, caps: Caps, away: Option<(Millis, Detach)>) -> Replica {
        let open = self.open.iter().map(|entry| match &entry.message {
            Some(message) if entry.inherited => OpenMessage::Again(message.clone()),
            Some(message) => OpenMessage::Whole(message.clone()),
            None => OpenMessage::Awaited(entry.known.clone()),
        });
        Replica {
            session: self.session,
            generation: self.generation,
            device: self.device.clone(),
            family,
            caps,
            away,
            acked: self.acked,
            last_seq: self.last_seq,
            window: self.window.iter().cloned().collect(),
            next_number: self.next_number,
            open: open.collect(),
            settled: self.settled.iter().cloned().collect(),
            heard: self.heard.clone(),
            view: self.view.clone(),
            live: self.live.clone(),
            over: self.over.iter().copied().collect(),
            lossy: self.lossy,
            floor: self.floor,
            confirmed: self.confirmed.iter().copied().collect(),
        }
    }
}
