//! What waits to be published.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use streamz_protocol::ProcessId;
use tokio::time::Instant;

/// The queue to a process has no room. Nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue to the other process is full")]
pub struct Full;

/// The bounds of an [`Outbox`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Bytes that may wait for one process. A single packet may be larger.
    pub destination_bytes: usize,
    /// Bytes that may wait for all processes together.
    pub total_bytes: usize,
    /// What has waited longer is dropped: it has lost its meaning, or its sender sends it again.
    pub max_age: Duration,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self { destination_bytes: 4 << 20, total_bytes: 64 << 20, max_age: Duration::from_secs(1) }
    }
}

/// Packets that wait for a `PUBLISH` to their destination, in order.
///
/// They collect while one is under way; [`Endpoint::next`](super::Endpoint::next) then takes them as one envelope. What
/// an empty queue held is given back.
#[derive(Debug)]
pub struct Outbox<P> {
    limits: OutboxLimits,
    inner: Mutex<Inner<P>>,
    queued: metrics::Gauge,
}

#[derive(Debug)]
struct Inner<P> {
    queues: HashMap<ProcessId, Queue<P>>,
    bytes: usize,
}

#[derive(Debug)]
struct Queue<P> {
    packets: VecDeque<(P, usize, Instant)>,
    bytes: usize,
}

impl<P> Outbox<P> {
    /// An empty one.
    #[must_use]
    pub fn new(limits: OutboxLimits) -> Self {
        Self {
            limits,
            inner: Mutex::new(Inner { queues: HashMap::new(), bytes: 0 }),
            queued: metrics::gauge!("streamz_bus_queued_bytes"),
        }
    }

    /// Puts a packet of about `bytes` bytes behind the others. Then [wake](super::Transport::wake) the transport.
    ///
    /// # Errors
    /// [`Full`]: it was not taken.
    pub fn push(&self, destination: ProcessId, packet: P, bytes: usize) -> Result<(), Full> {
        self.push_at(destination, packet, bytes, Instant::now())
    }

    fn push_at(&self, destination: ProcessId, packet: P, bytes: usize, now: Instant) -> Result<(), Full> {
        let inner = &mut *self.inner.lock();
        let queue =
            inner.queues.entry(destination).or_insert_with(|| Queue { packets: VecDeque::new(), bytes: 0 });
        let fits = |queue: &Queue<P>, total: usize| {
            queue.packets.is_empty()
                || queue.bytes.saturating_add(bytes) <= self.limits.destination_bytes
                    && total.saturating_add(bytes) <= self.limits.total_bytes
        };
        if !fits(queue, inner.bytes) {
            inner.bytes -= queue.drop_stale(now, self.limits.max_age);
            if !fits(queue, inner.bytes) {
                metrics::counter!("streamz_bus_dropped_total", "cause" => "full").increment(1);
                return Err(Full);
            }
        }
        queue.packets.push_back((packet, bytes, now));
        queue.bytes += bytes;
        inner.bytes += bytes;
        self.report(inner.bytes);
        Ok(())
    }

    /// Takes what waits for a process, up to `max_bytes` but at least one packet; empty if nothing does.
    #[must_use]
    pub fn take(&self, destination: ProcessId, max_bytes: usize) -> Vec<P> {
        self.take_at(destination, max_bytes, Instant::now())
    }

    fn take_at(&self, destination: ProcessId, max_bytes: usize, now: Instant) -> Vec<P> {
        let inner = &mut *self.inner.lock();
        let Some(queue) = inner.queues.get_mut(&destination) else { return Vec::new() };
        let before = queue.bytes;
        queue.drop_stale(now, self.limits.max_age);
        let mut taken = Vec::new();
        let mut bytes = 0_usize;
        while let Some((_, size, _)) = queue.packets.front() {
            bytes = bytes.saturating_add(*size);
            if bytes > max_bytes && !taken.is_empty() {
                break;
            }
            if let Some((packet, size, _)) = queue.packets.pop_front() {
                queue.bytes -= size;
                taken.push(packet);
            }
        }
        inner.bytes -= before - queue.bytes;
        if queue.packets.is_empty() {
            inner.queues.remove(&destination);
        }
        self.report(inner.bytes);
        taken
    }

    /// Drops what waits for a process that is dead.
    pub fn forget(&self, destination: ProcessId) {
        let inner = &mut *self.inner.lock();
        if let Some(queue) = inner.queues.remove(&destination) {
            inner.bytes -= queue.bytes;
            self.report(inner.bytes);
        }
    }

    /// Bytes that wait for all processes together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.inner.lock().bytes
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    fn report(&self, bytes: usize) {
        self.queued.set(bytes as f64);
    }
}

impl<P> Default for Outbox<P> {
    fn default() -> Self {
        Self::new(OutboxLimits::default())
    }
}

impl<P> Queue<P> {
    /// The bytes that it dropped.
    fn drop_stale(&mut self, now: Instant, max_age: Duration) -> usize {
        let before = self.bytes;
        let mut dropped = 0;
        while self.packets.front().is_some_and(|(_, _, since)| now.duration_since(*since) > max_age) {
            if let Some((_, size, _)) = self.packets.pop_front() {
                self.bytes -= size;
                dropped += 1;
            }
        }
        if dropped > 0 {
            metrics::counter!("streamz_bus_dropped_total", "cause" => "stale").increment(dropped);
        }
        before - self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ProcessId = ProcessId(1);
    const B: ProcessId = ProcessId(2);

    fn small() -> Outbox<u32> {
        Outbox::new(OutboxLimits {
            destination_bytes: 100,
            total_bytes: 150,
            max_age: Duration::from_secs(1),
        })
    }

    #[test]
    fn packets_leave_in_order_and_in_portions() {
        let outbox = small();
        for packet in 0..10 {
            outbox.push(A, packet, 10).unwrap();
        }
        assert_eq!(outbox.take(A, 35), [0, 1, 2]);
        assert_eq!(outbox.take(A, 0), [3], "at least one");
        assert_eq!(outbox.take(A, 1000), [4, 5, 6, 7, 8, 9]);
        assert_eq!(outbox.take(A, 1000), [0; 0]);
        assert_eq!(outbox.bytes(), 0);
        assert!(outbox.inner.lock().queues.is_empty());
    }

    #[test]
    fn each_queue_and_all_together_are_bounded() {
        let outbox = small();
        outbox.push(A, 1, 90).unwrap();
        assert_eq!(outbox.push(A, 2, 11), Err(Full));
        outbox.push(B, 3, 40).unwrap();
        assert_eq!(outbox.push(B, 4, 30), Err(Full));
        assert_eq!(outbox.bytes(), 130);
        outbox.forget(A);
        assert_eq!(outbox.bytes(), 40);
        outbox.push(B, 4, 30).unwrap();
    }

    #[test]
    fn what_is_stale_is_dropped() {
        let outbox = small();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        outbox.push_at(A, 1, 90, at(0)).unwrap();
        outbox.push_at(A, 2, 5, at(700)).unwrap();
        assert_eq!(outbox.take_at(A, 1000, at(1400)), [2]);
        outbox.push_at(A, 3, 100, at(1400)).unwrap();
        outbox.push_at(A, 4, 100, at(3400)).unwrap();
        assert_eq!(outbox.take_at(A, 1000, at(3400)), [4]);
        assert_eq!(outbox.bytes(), 0);
    }
}
