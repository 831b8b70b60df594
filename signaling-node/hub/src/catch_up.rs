//! After a recovery: streams as each session last heard of them, brought up to date.
//!
//! The hub that died may have told one party of a change and not yet another. The copy with the highest revision
//! rules (see `recovery`); whoever has an older one, or none, is told here what it missed.

use streamz_protocol::bus::{Item, LiveStream, Over, Replica};
use streamz_protocol::server::{Body, ServerMessage};
use streamz_protocol::{DeviceId, EndReason, Millis, SessionId, StreamId};

use crate::effect::Out;
use crate::hub::Hub;
use crate::streams::is_party;

/// What one session knew of streams.
pub(crate) struct Known {
    session: SessionId,
    device: DeviceId,
    live: Vec<LiveStream>,
    over: Vec<Over>,
    /// The numbers of its messages without an outcome: their answers come by themselves.
    open: Vec<u64>,
}

impl Known {
    pub(crate) fn of(replica: &Replica) -> Self {
        let open = replica.open.iter().map(|message| match message {
            streamz_protocol::bus::OpenMessage::Whole(message)
            | streamz_protocol::bus::OpenMessage::Again(message) => message.number,
            streamz_protocol::bus::OpenMessage::Awaited(open) => open.number,
        });
        Self {
            session: replica.session,
            device: replica.device.device_id.clone(),
            live: replica.live.clone(),
            over: replica.over.clone(),
            open: open.collect(),
        }
    }

    fn revision(&self, id: StreamId) -> Option<u64> {
        self.live.iter().find(|copy| copy.id == id).map(|copy| copy.revision)
    }
}

impl Hub {
    /// Tells each session what it missed of the streams that are live.
    pub(crate) fn catch_up(&mut self, sessions: &[Known], now: Millis, out: &mut Out) {
        let streams: Vec<LiveStream> = self.streams.iter().map(|live| live.stream.clone()).collect();
        for known in sessions {
            for stream in &streams {
                match known.revision(stream.id) {
                    Some(revision) if revision >= stream.revision => {}
                    Some(_) if !is_party(stream, &known.device) => {
                        self.tell_left_out(known, stream, now, out)
                    }
                    Some(_) => self.tell_progress(known, stream, now, out),
                    None if is_party(stream, &known.device) => self.tell_new(known, stream, now, out),
                    None => {}
                }
            }
        }
    }

    /// It rang there, and does not any more.
    fn tell_left_out(&mut self, known: &Known, stream: &LiveStream, now: Millis, out: &mut Out) {
        let reason =
            if stream.accepted.is_some() { EndReason::AnsweredElsewhere } else { EndReason::Declined };
        self.forget_stream(&known.device, stream, false, out);
        let body = Self::end_body(stream.id, None, reason.as_str());
        self.tell_device(&known.device, &body, now, out);
    }

    /// It knows the stream as it was.
    fn tell_progress(&mut self, known: &Known, stream: &LiveStream, now: Millis, out: &mut Out) {
        self.give_copy(known, stream, out);
        let copy = known.live.iter().find(|copy| copy.id == stream.id);
        let waits = copy.is_some_and(|copy| copy.accepted.is_none());
        if let (true, Some(winner)) = (waits && stream.initiator == known.device, &stream.accepted) {
            self.tell_accepted(stream, winner, now, out);
        }
    }

    /// It knows nothing of the stream.
    fn tell_new(&mut self, known: &Known, stream: &LiveStream, now: Millis, out: &mut Out) {
        if known.over.iter().any(|over| over.id == stream.id) {
            return;
        }
        self.give_copy(known, stream, out);
        if stream.ringing.contains(&known.device) {
            self.tell_device(&known.device, &Self::ring_body(stream), now, out);
        }
        let asked = stream.origin.session == known.session && known.open.contains(&stream.origin.number);
        if stream.initiator == known.device && !asked {
            let to = stream.rung.clone();
            let ringing = Body::of(&ServerMessage::StreamRinging { stream_id: stream.id, to, id: None });
            self.tell_device(&known.device, &ringing, now, out);
        }
        if let (true, Some(winner)) = (stream.initiator == known.device, &stream.accepted) {
            self.tell_accepted(stream, winner, now, out);
        }
    }

    fn tell_accepted(&mut self, stream: &LiveStream, winner: &DeviceId, now: Millis, out: &mut Out) {
        let accept = ServerMessage::StreamAccept { stream_id: stream.id, from_device_id: winner.clone() };
        self.tell_device(&stream.initiator, &Body::of(&accept), now, out);
    }

    fn give_copy(&self, known: &Known, stream: &LiveStream, out: &mut Out) {
        let conn = self.member_by_session(known.session).and_then(|at| self.members[at].conn);
        if let Some(conn) = conn {
            out.item(conn, Item::Stream(Box::new(stream.clone())));
        }
    }

    /// Writes the records of all live streams: the hub before this one may not have come to it.
    pub(crate) fn write_live_records(&self, out: &mut Out) {
        for live in &self.streams {
            self.record(&live.stream, None, out);
        }
    }
}
