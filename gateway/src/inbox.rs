//! The queue from the bus to one connection.
//!
//! A channel would do, but for its memory: tokio's allocates room for 32 items at once, more than all else that an
//! idle connection costs. This one holds nothing while nothing waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use streamz_protocol::bus::{Down, Item};
use streamz_protocol::{CloseCode, TraceContext};
use uuid::Uuid;

/// Items that may wait, whatever their size.
const ITEMS_MAX: usize = 4096;

/// What a connection's task is told.
#[derive(Debug)]
pub(crate) enum ToSession {
    /// By its hub; with the trace that it belongs to, if that is recorded.
    Down(Down, Option<TraceContext>),
    /// By a hub that was started anew.
    Roll {
        /// The hub's incarnation.
        epoch: u64,
    },
    /// By this process: it is ending, and the device should come back after this time.
    Drain {
        /// How long the device should wait, in milliseconds.
        after_ms: u64,
    },
    /// By this process: close the socket.
    Close(CloseCode),
    /// By this process: these sign-ins were revoked; end if it is yours.
    Revoked(Arc<[Uuid]>),
}

impl ToSession {
    fn weight(&self) -> usize {
        let ToSession::Down(Down::Batch(items), _) = self else { return 0 };
        let weight = |item: &Item| match item {
            Item::Frame(frame) => frame.body.len(),
            Item::Plain(body) => body.len(),
            Item::Stream(_) | Item::StreamOver(_) => 0,
        };
        items.iter().map(weight).sum()
    }
}

/// The queue was full: the connection does not keep up and must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

/// What the connection's task finds.
#[derive(Debug)]
pub(crate) enum Received {
    /// Everything that waited, in order.
    Items(VecDeque<ToSession>),
    /// Something was lost; the copy of the session is not whole any more.
    Overflowed,
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    waker: AtomicWaker,
    bytes_max: usize,
    /// What the session of this connection has not settled, for whoever asks how the gateway is.
    unsettled: AtomicU32,
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<ToSession>,
    bytes: usize,
    overflowed: bool,
}

impl Inbox {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { queue: Mutex::default(), waker: AtomicWaker::new(), bytes_max, unsettled: AtomicU32::new(0) }
    }

    /// The session has so many messages without an outcome.
    pub(crate) fn note_unsettled(&self, count: usize) {
        self.unsettled.store(u32::try_from(count).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// What was noted last.
    pub(crate) fn unsettled(&self) -> u32 {
        self.unsettled.load(Ordering::Relaxed)
    }

    /// Adds an item. Once full, the queue stays so: what was in it is dropped, and its task is told.
    pub(crate) fn push(&self, item: ToSession) -> Result<(), Overflow> {
        {
            let mut queue = self.queue.lock();
            if queue.overflowed {
                return Err(Overflow);
            }
            queue.bytes += item.weight();
            queue.items.push_back(item);
            if queue.bytes > self.bytes_max || queue.items.len() > ITEMS_MAX {
                *queue = Queue { overflowed: true, ..Queue::default() };
            }
        }
        self.waker.wake();
        Ok(())
    }

    fn take(&self) -> Option<Received> {
        let mut queue = self.queue.lock();
        if queue.overflowed {
            return Some(Received::Overflowed);
        }
        if queue.items.is_empty() {
            return None;
        }
        queue.bytes = 0;
        Some(Received::Items(std::mem::take(&mut queue.items)))
    }

    /// Waits until there is something, and takes all of it. One task only may wait.
    pub(crate) async fn receive(&self) -> Received {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Received> {
        if let Some(received) = self.take() {
            return Poll::Ready(received);
        }
        self.waker.register(cx.waker());
        // Something may have come between the look and the registration.
        self.take().map_or(Poll::Pending, Poll::Ready)
    }
}

#[cfg(test)]
mod tests {
    use streamz_protocol::server::{Body, ServerMessage};

    use super::*;

    fn roll(epoch: u64) -> ToSession {
        ToSession::Roll { epoch }
    }

    #[tokio::test]
    async fn items_come_in_order_and_all_at_once() {
        let inbox = Arc::new(Inbox::new(100));
        let reader = tokio::spawn({
            let inbox = inbox.clone();
            async move { inbox.receive().await }
        });
        inbox.push(roll(1)).unwrap();
        assert!(matches!(reader.await.unwrap(), Received::Items(items) if items.len() == 1));
        inbox.push(roll(2)).unwrap();
        inbox.push(roll(3)).unwrap();
        let Received::Items(items) = inbox.receive().await else { panic!("not overflowed") };
        let epochs: Vec<u64> = items
            .iter()
            .map(|item| match item {
                ToSession::Roll { epoch } => *epoch,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(epochs, [2, 3]);
    }

    #[tokio::test]
    async fn one_item_past_the_limit_ends_it() {
        let inbox = Inbox::new(100);
        for epoch in 0..ITEMS_MAX as u64 {
            inbox.push(roll(epoch)).unwrap();
        }
        inbox.push(roll(0)).unwrap();
        assert!(matches!(inbox.receive().await, Received::Overflowed));
        assert_eq!(inbox.push(roll(1)), Err(Overflow));
    }

    #[tokio::test]
    async fn bytes_are_counted() {
        let body = Body::of(&ServerMessage::Pong {});
        let inbox = Inbox::new(2 * body.len());
        let item = || ToSession::Down(Down::Batch(vec![Item::Plain(body.clone())]), None);
        inbox.push(item()).unwrap();
        inbox.push(item()).unwrap();
        assert!(matches!(inbox.receive().await, Received::Items(_)));
        for _ in 0..3 {
            inbox.push(item()).unwrap();
        }
        assert!(matches!(inbox.receive().await, Received::Overflowed));
    }
}
