//! What the hub says: the copy that is kept of it, and the queue to the socket.

use streamz_protocol::bus::{Class, Frame, Item, LiveStream, OVER_KEPT, Over, Up, note_heard};
use streamz_protocol::{Limits, Millis};

use crate::copy::{Copy, OpenEntry};
use crate::effect::{Effect, Outgoing};
use crate::planted::planted;
use crate::session::Session;

/// Senders that a session remembers; the one that it heard first is forgotten.
const HEARD_MAX: usize = 256;

impl Session {
    pub(crate) fn item(&mut self, item: Item, now: Millis, out: &mut Vec<Effect>) {
        let limits = self.limits.clone();
        let Some(copy) = &mut self.copy else { return };
        match item {
            Item::Frame(frame) => {
                // A frame that came before was seen.
                if frame.seq <= copy.last_seq {
                    return;
                }
                let outgoing = Outgoing { seq: Some(frame.seq), body: frame.body.clone() };
                // The device was told by this side that the message was given up: it hears no second outcome.
                let told = matches!(frame.class, Class::Outcome { number } if !copy.is_open(number));
                let settled = copy.take(frame, &limits, now);
                if let Some(entry) = settled {
                    self.note_outcome(&entry, &outgoing.body, now);
                }
                if !told {
                    self.send_or_give_up(outgoing, now, out);
                }
            }
            Item::Plain(body) => self.send_or_give_up(Outgoing { seq: None, body }, now, out),
            Item::Stream(stream) => copy.put_stream(*stream),
            Item::StreamOver(over) => copy.drop_stream(over),
        }
    }

    /// A device that does not read keeps nothing waiting: its socket is closed, and it may resume.
    fn send_or_give_up(&mut self, outgoing: Outgoing, now: Millis, out: &mut Vec<Effect>) {
        if self.queued + outgoing.weight() > self.limits.outbound_bytes && !planted!(self, QueueUnbounded) {
            self.close_slow(now, out);
        } else {
            self.send(outgoing, out);
        }
    }

    /// The socket took what was sent. That is as much as a simple client confirms.
    pub(crate) fn written(&mut self, bytes: usize, seq: Option<u64>, out: &mut Vec<Effect>) {
        self.queued = self.queued.saturating_sub(bytes);
        if let Some(seq) = seq
            && (!self.attach.caps.acks || planted!(self, TakenIsConfirmed))
        {
            self.confirm(seq, out);
        }
    }

    /// Everything up to `seq` has arrived.
    pub(crate) fn confirm(&mut self, seq: u64, out: &mut Vec<Effect>) {
        if let Some(copy) = &mut self.copy
            && seq > copy.acked
        {
            copy.acked = seq;
            while copy.window.front().is_some_and(|frame| frame.seq <= seq) {
                if let Some(Frame { class: Class::Message { mid, .. }, .. }) = copy.pop_window() {
                    copy.confirm(mid);
                }
            }
            out.push(Effect::Up(Up::Ack(self.conn, seq)));
        }
    }
}

impl Copy {
    fn is_open(&self, number: u64) -> bool {
        self.open.iter().any(|entry| entry.known.number == number)
    }

    /// The message of the device that the frame settles, if it is an outcome.
    fn take(&mut self, frame: Frame, limits: &Limits, now: Millis) -> Option<OpenEntry> {
        let mut settled = None;
        self.last_seq = frame.seq;
        match &frame.class {
            Class::Message { mid, late } => {
                note_heard(&mut self.heard, *mid, *late);
                if self.heard.len() > HEARD_MAX {
                    self.heard.remove(0);
                }
            }
            Class::Presence { device, online } => {
                self.view.retain(|known| known != device);
                if *online {
                    self.view.push(device.clone());
                }
            }
            Class::Outcome { number } => {
                if let Some(at) = self.open.iter().position(|entry| entry.known.number == *number)
                    && let Some(entry) = self.open.remove(at)
                {
                    self.open_bytes -= entry.weight();
                    self.remember(
                        entry.known.id.clone(),
                        entry.known.digest,
                        frame.body.clone(),
                        now,
                        limits,
                    );
                    settled = Some(entry);
                }
            }
            Class::State => {}
        }
        self.window_bytes += frame.body.len();
        self.window.push_back(frame);
        while self.window.len() > limits.window_frames || self.window_bytes > limits.window_bytes {
            match self.pop_window() {
                Some(Frame { class: Class::Message { .. }, .. }) => self.lossy = true,
                Some(frame) => self.floor = frame.seq,
                None => break,
            }
        }
        settled
    }

    fn pop_window(&mut self) -> Option<Frame> {
        let frame = self.window.pop_front()?;
        self.window_bytes -= frame.body.len();
        Some(frame)
    }

    fn put_stream(&mut self, stream: LiveStream) {
        match self.live.iter_mut().find(|live| live.id == stream.id) {
            Some(live) => *live = stream,
            None => self.live.push(stream),
        }
    }

    fn drop_stream(&mut self, over: Over) {
        self.live.retain(|live| live.id != over.id);
        if self.over.len() >= OVER_KEPT {
            self.over.pop_front();
        }
        self.over.push_back(over);
    }
}
