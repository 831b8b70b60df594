//! Frames that the other side may not have.

use std::collections::VecDeque;
use std::time::Duration;

use streamz_protocol::Millis;

use crate::{Class, Effect, FRAME_OVERHEAD, Full, Settings, Weigh};

/// An empty queue gives back what it has beyond this, in frames.
const KEPT_CAPACITY: usize = 8;

#[derive(Debug)]
pub(crate) struct Outgoing<F> {
    /// The frames after `confirmed`, in order.
    queue: VecDeque<Kept<F>>,
    bytes: usize,
    /// Everything up to this number has arrived.
    confirmed: u64,
    /// How many frames of the queue, from its front, are under way, and their weight.
    under_way: usize,
    under_way_bytes: usize,
    /// What `under_way_bytes` may reach for now.
    window: usize,
    /// The highest number that was ever put on the bus.
    highest: u64,
    rto: Duration,
    /// When everything goes again. There is one if and only if something is under way.
    timer: Option<Millis>,
    /// When something was confirmed last, or the first frame of the queue came: if there is a queue.
    progress: Millis,
    pub(crate) transmitted: u64,
    pub(crate) retransmitted: u64,
    pub(crate) timeouts: u64,
    pub(crate) impossible: u64,
}

#[derive(Debug)]
struct Kept<F> {
    frame: F,
    weight: usize,
}

impl<F: Weigh> Outgoing<F> {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            confirmed: 0,
            under_way: 0,
            under_way_bytes: 0,
            window: settings.burst_bytes.min(settings.window_bytes),
            highest: 0,
            rto: settings.rto_min,
            timer: None,
            progress: Millis(0),
            transmitted: 0,
            retransmitted: 0,
            timeouts: 0,
            impossible: 0,
        }
    }

    pub(crate) fn push(&mut self, settings: &Settings, frame: F, now: Millis) -> Result<(), Full> {
        let weight = frame.bytes().saturating_add(FRAME_OVERHEAD);
        let total = self.bytes.saturating_add(weight);
        if total > settings.max_bytes {
            if frame.class() == Class::Refusable {
                return Err(Full::Refusable);
            }
            if total > settings.max_bytes.saturating_add(settings.must_bytes) {
                return Err(Full::Exhausted);
            }
        }
        if self.queue.is_empty() {
            self.progress = now;
        }
        self.bytes = total;
        self.queue.push_back(Kept { frame, weight });
        Ok(())
    }

    /// Puts on the bus what the window lets go. Whether that was anything.
    pub(crate) fn pump(
        &mut self,
        settings: &Settings,
        ack: u64,
        now: Millis,
        effects: &mut Vec<Effect<F>>,
    ) -> bool {
        let mut any = false;
        while let Some(kept) = self.queue.get(self.under_way) {
            // A frame larger than the window goes alone.
            if self.under_way > 0 && self.under_way_bytes + kept.weight > self.window {
                break;
            }
            self.under_way += 1;
            self.under_way_bytes += kept.weight;
            let seq = self.confirmed + self.under_way as u64;
            self.transmitted += 1;
            if seq <= self.highest {
                self.retransmitted += 1;
            }
            self.highest = self.highest.max(seq);
            effects.push(Effect::Transmit { seq, ack, frame: kept.frame.clone() });
            any = true;
        }
        if any && self.timer.is_none() {
            self.timer = Some(now + self.rto.min(settings.rto_max));
        }
        any
    }

    /// Everything up to `ack` has arrived.
    pub(crate) fn confirm(&mut self, settings: &Settings, ack: u64, now: Millis) {
        if ack > self.highest {
            self.impossible += 1;
            return;
        }
        let mut confirmed_bytes = 0;
        // After a time-out frames that are not under way any more may be confirmed as well.
        while self.confirmed < ack {
            let Some(kept) = self.queue.pop_front() else { break };
            self.confirmed += 1;
            self.bytes -= kept.weight;
            confirmed_bytes += kept.weight;
            if self.under_way > 0 {
                self.under_way -= 1;
                self.under_way_bytes -= kept.weight;
            }
        }
        if confirmed_bytes == 0 {
            return;
        }
        self.progress = now;
        self.window = (self.window + confirmed_bytes.min(self.window)).min(settings.window_bytes);
        self.rto = settings.rto_min;
        self.timer = (self.under_way > 0).then(|| now + self.rto);
        if self.queue.is_empty() && self.queue.capacity() > KEPT_CAPACITY {
            self.queue = VecDeque::new();
        }
    }

    /// If nothing was confirmed for too long, everything is to go again.
    pub(crate) fn time_out(&mut self, settings: &Settings, now: Millis) {
        if self.timer.is_none_or(|due| due > now) {
            return;
        }
        self.timeouts += 1;
        self.again(settings);
        self.rto = (self.rto * 2).min(settings.rto_max);
    }

    /// If anything is unconfirmed, everything is to go again, in the first rhythm.
    pub(crate) fn retry(&mut self, settings: &Settings) {
        if self.timer.is_some() {
            self.again(settings);
            self.rto = settings.rto_min;
        }
    }

    fn again(&mut self, settings: &Settings) {
        self.timer = None;
        self.under_way = 0;
        self.under_way_bytes = 0;
        self.window = settings.burst_bytes.min(settings.window_bytes);
    }

    pub(crate) fn deadline(&self) -> Option<Millis> {
        self.timer
    }

    pub(crate) fn waits_since(&self) -> Option<Millis> {
        (!self.queue.is_empty()).then_some(self.progress)
    }

    pub(crate) fn frames(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.queue.capacity()
    }
}
