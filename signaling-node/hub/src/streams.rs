//! Rings, accepts, declines, ends (§4.3 of the design). The one hub decides, so that a ring has one winner.

use streamz_protocol::bus::{Class, Item, LiveStream, Over, Progress};
use streamz_protocol::client::Command;
use streamz_protocol::objects::{DeviceRef, Stream, StreamState, StreamStats, StreamType};
use streamz_protocol::server::{Body, Failed, ServerMessage};
use streamz_protocol::{DeviceId, EndReason, ErrorCode, Millis, Reason, StreamId};

use crate::call::Reached;
use crate::effect::{Context, Effect, Out, Record};
use crate::hub::{Hub, Live};
use crate::planted::planted;
use crate::sending::{Outcome, Sending, UNKNOWN_STREAM};

const NOT_RINGING: Outcome =
    Outcome::error(ErrorCode::WrongState, "This stream does not ring for this device.");

/// Whether the device takes part: it began the stream, it rings, or it accepted.
pub(crate) fn is_party(stream: &LiveStream, device: &DeviceId) -> bool {
    stream.initiator == *device || stream.accepted.as_ref() == Some(device) || stream.ringing.contains(device)
}

/// Everybody who takes part.
fn parties(stream: &LiveStream) -> Vec<DeviceId> {
    let mut parties = vec![stream.initiator.clone()];
    parties.extend(stream.accepted.iter().cloned());
    parties.extend(stream.ringing.iter().cloned());
    parties
}

impl Hub {
    pub(crate) fn live(&self, id: StreamId) -> Option<&Live> {
        self.streams.iter().find(|live| live.stream.id == id)
    }

    pub(crate) fn live_mut(&mut self, id: StreamId) -> Option<&mut Live> {
        self.streams.iter_mut().find(|live| live.stream.id == id)
    }

    pub(crate) fn stream_command(
        &mut self,
        sending: &Sending,
        command: Command,
        cx: &mut Context<'_>,
        out: &mut Out,
    ) -> Outcome {
        match command {
            Command::StreamStart { stream_type, source } => {
                let outcome = self.start(sending, stream_type, source, cx, out);
                self.explain_failed_start(sending, &outcome, out);
                outcome
            }
            Command::StreamAccept { stream } => self.accept(sending, stream, cx.now, out),
            Command::StreamDecline { stream, reason } => self.decline(sending, stream, reason, cx.now, out),
            Command::StreamEnd { stream, reason } => self.hang_up(sending, stream, reason, cx.now, out),
            Command::StreamStats { stream, stats } => self.measure(sending, stream, stats, cx.now, out),
            Command::Relay { .. } | Command::Answered(_) => UNKNOWN_STREAM,
        }
    }

    /// Whoever rings without an `id` must hear as well that it came to nothing.
    fn explain_failed_start(&self, sending: &Sending, outcome: &Outcome, out: &mut Out) {
        let Outcome::NotDelivered(reason, _) = outcome else {
            return;
        };
        let conn = self.member_by_session(sending.session).and_then(|at| self.members[at].conn);
        if let (None, Some(conn)) = (&sending.id, conn) {
            let text = format!("The ring reached nobody: {reason}.");
            out.item(conn, Item::Plain(Body::error(ErrorCode::NotDelivered, text, None)));
        }
    }

    fn start(
        &mut self,
        sending: &Sending,
        stream_type: StreamType,
        source: Option<DeviceId>,
        cx: &mut Context<'_>,
        out: &mut Out,
    ) -> Outcome {
        let known = self.streams.iter().find(|live| live.stream.origin == sending.mid());
        if let Some(stream) = known.map(|live| live.stream.clone()) {
            // A hub before this one began it, and its caller does not know.
            self.announce_ringing(sending, &stream, cx.now, out);
            return Outcome::Delivered;
        }
        if self.streams.len() >= self.limits.streams {
            return Outcome::error(ErrorCode::TooManyStreams, "End another stream before starting one.");
        }
        if source
            .as_ref()
            .is_some_and(|source| *source != sending.device && Some(source) != sending.to.as_ref())
        {
            return Outcome::error(
                ErrorCode::InvalidPayload,
                "source_device_id must name the sender or the device in to_device_id.",
            );
        }
        let targets = match self.ring_targets(sending) {
            Ok(targets) => targets,
            Err(outcome) => return outcome,
        };
        if !cx.record_room {
            return Outcome::error(
                ErrorCode::Unavailable,
                "The store cannot be reached and its queue is full; start the stream again later.",
            );
        }
        let stream = LiveStream {
            id: StreamId((cx.new_id)()),
            revision: 1,
            origin: sending.mid(),
            initiator: sending.device.clone(),
            source: source.unwrap_or_else(|| sending.device.clone()),
            stream_type,
            started_at: cx.now,
            rung: targets.clone(),
            ringing: targets.clone(),
            accepted: None,
            stats: StreamStats::default(),
            ice: Vec::new(),
            progress: sending
                .trace
                .map(|trace| Box::new(Progress { trace: Some(trace), ..Progress::default() })),
        };
        self.streams.push(Live { stream: stream.clone(), held: Vec::new() });
        self.copy_stream(stream.id, out);
        self.announce_ringing(sending, &stream, cx.now, out);
        let ring = Self::ring_body(&stream);
        for target in &targets {
            self.tell_device(target, &ring, cx.now, out);
        }
        self.record(&stream, None, out);
        Outcome::Delivered
    }

    pub(crate) fn ring_body(stream: &LiveStream) -> Body {
        let ring = ServerMessage::StreamStart {
            stream_id: stream.id,
            from_device_id: stream.initiator.clone(),
            stream_type: stream.stream_type,
            source_device_id: stream.source.clone(),
        };
        Body::with(&ring, None, Some(stream.origin))
    }

    fn announce_ringing(&mut self, sending: &Sending, stream: &LiveStream, now: Millis, out: &mut Out) {
        let ringing = ServerMessage::StreamRinging {
            stream_id: stream.id,
            to: stream.ringing.clone(),
            id: sending.id.clone(),
        };
        let body = Body::with(&ringing, sending.id.as_ref(), None);
        self.tell_device(&stream.initiator, &body, now, out);
    }

    /// The devices to ring, or why there is none.
    fn ring_targets(&self, sending: &Sending) -> Result<Vec<DeviceId>, Outcome> {
        let addressed = sending.to.is_some();
        let mut free = Vec::new();
        let mut busy = Vec::new();
        for session in self.receivers(sending, None)? {
            let Some(at) = self.member_by_session(session) else {
                continue;
            };
            let device = self.members[at].device.clone();
            if self.is_busy(&device) {
                busy.push(Failed { device_id: device, reason: Reason::Busy });
            } else {
                free.push(device);
            }
        }
        if free.is_empty() {
            let failed = if addressed { Vec::new() } else { busy };
            return Err(Outcome::NotDelivered(Reason::Busy, failed));
        }
        Ok(free)
    }

    /// Whether the device is in as many streams as it takes. A ring that it has not answered does not count.
    fn is_busy(&self, device: &DeviceId) -> bool {
        let engaged = self
            .streams
            .iter()
            .filter(|live| live.stream.accepted.as_ref() == Some(device) || live.stream.initiator == *device);
        let takes = self.member_by_device(device).map_or(1, |at| self.members[at].caps.max_streams);
        engaged.count() >= usize::from(takes)
    }

    fn accept(&mut self, sending: &Sending, id: StreamId, now: Millis, out: &mut Out) -> Outcome {
        let Some(live) = self.live(id) else {
            return UNKNOWN_STREAM;
        };
        let device = &sending.device;
        match &live.stream.accepted {
            Some(winner) if winner == device => return Outcome::Delivered,
            Some(_) if planted!(self, TwoWinners) && live.stream.rung.contains(device) => {}
            Some(_) if live.stream.rung.contains(device) => {
                return Outcome::NotDelivered(Reason::AnsweredElsewhere, Vec::new());
            }
            None if live.stream.ringing.contains(device) => {}
            None if live.stream.rung.contains(device) || live.stream.initiator == *device => {
                return NOT_RINGING;
            }
            _ => return UNKNOWN_STREAM,
        }
        if self.is_busy(device) {
            return Outcome::NotDelivered(Reason::Busy, Vec::new());
        }
        let Some(live) = self.live_mut(id) else {
            return UNKNOWN_STREAM;
        };
        let losers: Vec<DeviceId> = live.stream.ringing.drain(..).filter(|other| other != device).collect();
        live.stream.accepted = Some(device.clone());
        live.stream.revision += 1;
        self.reach(id, Reached::Accepted, now);
        let Some(live) = self.live(id) else {
            return UNKNOWN_STREAM;
        };
        let stream = live.stream.clone();
        self.copy_stream(id, out);
        let elsewhere = Self::end_body(id, None, EndReason::AnsweredElsewhere.as_str());
        for loser in losers {
            self.forget_stream(&loser, &stream, false, out);
            self.tell_device(&loser, &elsewhere, now, out);
        }
        let accept = ServerMessage::StreamAccept { stream_id: id, from_device_id: device.clone() };
        self.tell_device(&stream.initiator, &Body::with(&accept, None, Some(sending.mid())), now, out);
        self.record(&stream, None, out);
        Outcome::Delivered
    }

    fn decline(
        &mut self,
        sending: &Sending,
        id: StreamId,
        reason: Option<String>,
        now: Millis,
        out: &mut Out,
    ) -> Outcome {
        let device = &sending.device;
        let Some(live) = self.live_mut(id) else {
            return UNKNOWN_STREAM;
        };
        if !live.stream.rung.contains(device) {
            return if live.stream.initiator == *device { NOT_RINGING } else { UNKNOWN_STREAM };
        }
        if live.stream.accepted.as_ref() == Some(device) {
            return Outcome::error(ErrorCode::WrongState, "The stream was accepted; end it with stream_end.");
        }
        if !live.stream.ringing.contains(device) {
            return Outcome::Delivered;
        }
        let decline = ServerMessage::StreamDecline { stream_id: id, from_device_id: device.clone(), reason };
        let initiator = live.stream.initiator.clone();
        self.tell_device(&initiator, &Body::with(&decline, None, Some(sending.mid())), now, out);
        self.stop_ringing(id, device, EndReason::Declined, now, out);
        Outcome::Delivered
    }

    /// One device rings no more; the ring ends with the last one.
    fn stop_ringing(
        &mut self,
        id: StreamId,
        device: &DeviceId,
        reason: EndReason,
        now: Millis,
        out: &mut Out,
    ) {
        let Some(live) = self.live_mut(id) else {
            return;
        };
        live.stream.ringing.retain(|other| other != device);
        live.stream.revision += 1;
        let stream = live.stream.clone();
        self.forget_stream(device, &stream, false, out);
        if stream.ringing.is_empty() && stream.accepted.is_none() {
            self.end_stream(id, None, reason.as_str(), now, out);
        } else {
            self.copy_stream(id, out);
        }
    }

    fn hang_up(
        &mut self,
        sending: &Sending,
        id: StreamId,
        reason: Option<String>,
        now: Millis,
        out: &mut Out,
    ) -> Outcome {
        let device = &sending.device;
        let Some(live) = self.live(id) else {
            return UNKNOWN_STREAM;
        };
        let stream = &live.stream;
        if stream.ringing.contains(device) {
            return self.decline(sending, id, reason, now, out);
        }
        if !is_party(stream, device) {
            return UNKNOWN_STREAM;
        }
        let default = if stream.accepted.is_some() { EndReason::Ended } else { EndReason::Cancelled };
        let reason = reason.unwrap_or_else(|| default.as_str().to_owned());
        self.end_stream(id, Some(device), &reason, now, out);
        Outcome::Delivered
    }

    fn measure(
        &mut self,
        sending: &Sending,
        id: StreamId,
        stats: StreamStats,
        now: Millis,
        out: &mut Out,
    ) -> Outcome {
        let Some(live) = self.live_mut(id) else {
            return UNKNOWN_STREAM;
        };
        if !is_party(&live.stream, &sending.device) {
            return UNKNOWN_STREAM;
        }
        let known = &mut live.stream.stats;
        known.connection_type = stats.connection_type.or(known.connection_type);
        known.quality = stats.quality.or(known.quality.take());
        known.latency_ms = stats.latency_ms.or(known.latency_ms);
        live.stream.revision += 1;
        self.reach(id, Reached::Connected, now);
        let Some(live) = self.live(id) else {
            return UNKNOWN_STREAM;
        };
        let stream = live.stream.clone();
        self.copy_stream(id, out);
        self.record(&stream, None, out);
        Outcome::Delivered
    }

    /// Ends a stream; everybody but `by` hears it.
    pub(crate) fn end_stream(
        &mut self,
        id: StreamId,
        by: Option<&DeviceId>,
        reason: &str,
        now: Millis,
        out: &mut Out,
    ) {
        let Some(at) = self.streams.iter().position(|live| live.stream.id == id) else {
            return;
        };
        let Live { stream, held } = self.streams.remove(at);
        self.note_end(&stream, reason, now);
        let body = Self::end_body(id, by, reason);
        for party in parties(&stream) {
            self.forget_stream(&party, &stream, true, out);
            if Some(&party) != by {
                self.tell_device(&party, &body, now, out);
            }
        }
        self.drop_held(held, now, out);
        self.record(&stream, Some((now, reason)), out);
    }

    pub(crate) fn end_body(id: StreamId, by: Option<&DeviceId>, reason: &str) -> Body {
        Body::of(&ServerMessage::StreamEnd {
            stream_id: id,
            from_device_id: by.cloned(),
            reason: reason.to_owned(),
        })
    }

    /// A device takes part in nothing any more.
    pub(crate) fn drop_from_streams(
        &mut self,
        device: &DeviceId,
        reason: EndReason,
        now: Millis,
        out: &mut Out,
    ) {
        if planted!(self, StreamsOutliveParties) {
            return;
        }
        let involved: Vec<(StreamId, bool)> = self
            .streams
            .iter()
            .filter(|live| is_party(&live.stream, device))
            .map(|live| (live.stream.id, live.stream.ringing.contains(device)))
            .collect();
        for (id, rings) in involved {
            if rings {
                self.stop_ringing(id, device, reason, now, out);
            } else {
                self.end_stream(id, None, reason.as_str(), now, out);
            }
        }
    }

    pub(crate) fn expire_rings(&mut self, now: Millis, out: &mut Out) {
        let life = self.limits.ring;
        let over: Vec<StreamId> = self
            .streams
            .iter()
            .filter(|live| live.stream.accepted.is_none() && live.stream.started_at + life <= now)
            .map(|live| live.stream.id)
            .collect();
        for id in over {
            self.end_stream(id, None, EndReason::Timeout.as_str(), now, out);
        }
    }

    /// Puts a frame about a stream into a device's session, if it has one.
    pub(crate) fn tell_device(&mut self, device: &DeviceId, body: &Body, now: Millis, out: &mut Out) {
        if let Some(at) = self.member_by_device(device) {
            self.tell(at, Class::State, body.clone(), now, out);
        }
    }

    /// Gives the gateways of all parties the stream as it is now.
    pub(crate) fn copy_stream(&self, id: StreamId, out: &mut Out) {
        let Some(live) = self.live(id) else { return };
        for party in parties(&live.stream) {
            if let Some(conn) = self.member_by_device(&party).and_then(|at| self.members[at].conn) {
                out.item(conn, Item::Stream(Box::new(live.stream.clone())));
            }
        }
    }

    pub(crate) fn forget_stream(&self, device: &DeviceId, stream: &LiveStream, ended: bool, out: &mut Out) {
        if let Some(conn) = self.member_by_device(device).and_then(|at| self.members[at].conn) {
            out.item(conn, Item::StreamOver(Over { id: stream.id, origin: stream.origin, ended }));
        }
    }

    /// The device at the other end of the source, once it is known.
    fn sink(stream: &LiveStream) -> Option<&DeviceId> {
        if stream.source != stream.initiator {
            return Some(&stream.initiator);
        }
        match (&stream.accepted, stream.rung.as_slice()) {
            (Some(winner), _) => Some(winner),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }

    fn device_ref(&self, device: &DeviceId) -> Option<DeviceRef> {
        self.known(device).map(|known| DeviceRef {
            id: known.device.id,
            device_id: device.clone(),
            device_name: known.device.device_name.clone(),
        })
    }

    pub(crate) fn record(&self, stream: &LiveStream, end: Option<(Millis, &str)>, out: &mut Out) {
        let row = |device: &DeviceId| self.known(device).map(|known| known.device.id);
        out.push(Effect::Record(Box::new(Record {
            id: stream.id,
            user: self.user,
            source: row(&stream.source),
            target: Self::sink(stream).and_then(row),
            stream_type: stream.stream_type,
            started_at: stream.started_at,
            ended_at: end.map(|(at, _)| at),
            end_reason: end.map(|(_, reason)| reason.to_owned()),
            connection_type: stream.stats.connection_type,
            quality: stream.stats.quality.clone(),
            latency_ms: stream.stats.latency_ms,
            trace: stream.progress.as_ref().and_then(|progress| progress.trace),
        })));
    }

    /// The stream as `welcome` shows it.
    pub(crate) fn describe(&self, stream: &LiveStream) -> Stream {
        let source = self.device_ref(&stream.source);
        let target = Self::sink(stream).and_then(|device| self.device_ref(device));
        Stream {
            id: stream.id,
            user_id: self.user,
            source_device_id: source.as_ref().map(|device| device.id),
            target_device_id: target.as_ref().map(|device| device.id),
            stream_type: stream.stream_type,
            started_at: stream.started_at,
            ended_at: None,
            connection_type: stream.stats.connection_type,
            quality: stream.stats.quality.clone(),
            latency_ms: stream.stats.latency_ms,
            source_device: source,
            target_device: target,
            state: if stream.accepted.is_some() { StreamState::Active } else { StreamState::Ringing },
            from_device_id: stream.initiator.clone(),
            to: stream.accepted.iter().chain(&stream.ringing).cloned().collect(),
        }
    }
}
