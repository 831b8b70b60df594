//! Frames from the other side.

use std::collections::BTreeMap;

use streamz_protocol::Millis;

use crate::{Effect, FRAME_OVERHEAD, Settings, Weigh};

#[derive(Debug)]
pub(crate) struct Incoming<F> {
    /// Everything up to this number was delivered.
    received: u64,
    /// What came before its turn.
    early: BTreeMap<u64, F>,
    early_bytes: usize,
    /// When the other side is to be told; `None` while it knows.
    due: Option<Millis>,
    /// What has come since it was told.
    frames: u32,
    bytes: u32,
    pub(crate) duplicates: u64,
    pub(crate) dropped: u64,
}

impl<F: Weigh> Incoming<F> {
    pub(crate) fn new() -> Self {
        Self {
            received: 0,
            early: BTreeMap::new(),
            early_bytes: 0,
            due: None,
            frames: 0,
            bytes: 0,
            duplicates: 0,
            dropped: 0,
        }
    }

    pub(crate) fn receive(
        &mut self,
        settings: &Settings,
        seq: u64,
        frame: F,
        now: Millis,
        effects: &mut Vec<Effect<F>>,
    ) {
        let weight = weight(&frame);
        if seq <= self.received {
            // The confirmation was lost, or is on its way: say it again. Frame 0 is nobody's.
            self.duplicates += 1;
        } else if seq == self.received + 1 {
            self.received = seq;
            effects.push(Effect::Deliver(frame));
            self.deliver_early(effects);
        } else {
            self.keep_early(settings, seq, frame, weight);
        }
        self.want_acknowledgement(settings, weight, now);
    }

    /// The other side is told with what goes now.
    pub(crate) fn acknowledged(&mut self) {
        self.due = None;
        self.frames = 0;
        self.bytes = 0;
    }

    pub(crate) fn deadline(&self) -> Option<Millis> {
        self.due
    }

    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    pub(crate) fn waiting(&self) -> usize {
        self.early.len()
    }

    pub(crate) fn waiting_bytes(&self) -> usize {
        self.early_bytes
    }

    fn deliver_early(&mut self, effects: &mut Vec<Effect<F>>) {
        while let Some(entry) = self.early.first_entry() {
            if *entry.key() != self.received + 1 {
                break;
            }
            let (seq, frame) = entry.remove_entry();
            self.received = seq;
            self.early_bytes -= weight(&frame);
            effects.push(Effect::Deliver(frame));
        }
    }

    fn keep_early(&mut self, settings: &Settings, seq: u64, frame: F, weight: usize) {
        if self.early.contains_key(&seq) {
            self.duplicates += 1;
            return;
        }
        // What is nearer to its turn goes before what is further.
        while self.early_bytes.saturating_add(weight) > settings.reorder_bytes {
            match self.early.last_entry() {
                Some(last) if *last.key() > seq => {
                    self.early_bytes -= self::weight(&last.remove());
                    self.dropped += 1;
                }
                _ => {
                    self.dropped += 1;
                    return;
                }
            }
        }
        self.early_bytes += weight;
        self.early.insert(seq, frame);
    }

    fn want_acknowledgement(&mut self, settings: &Settings, weight: usize, now: Millis) {
        self.frames += 1;
        self.bytes = self.bytes.saturating_add(u32::try_from(weight).unwrap_or(u32::MAX));
        let much = self.frames >= settings.ack_frames || self.bytes >= settings.ack_bytes;
        let due = if much { now } else { now + settings.ack_delay };
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }
}

fn weight<F: Weigh>(frame: &F) -> usize {
    frame.bytes().saturating_add(FRAME_OVERHEAD)
}
