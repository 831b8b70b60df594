//! A connection's socket, and the timer that watches it.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::server::TlsStream;

/// How long a client may leave an answer unread before it is cut off.
const WRITE_STALL: Duration = Duration::from_secs(60);

/// A connection and its place in the count. What a handler that upgrades gets is a `TokioIo<Socket>`.
///
/// It fails with [`io::ErrorKind::TimedOut`] when nothing could be written for a minute.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    /// Whether bytes came since the timer last asked.
    heard: Arc<AtomicBool>,
    /// Only while a write waits.
    stall: Option<Pin<Box<tokio::time::Sleep>>>,
    _place: OwnedSemaphorePermit,
}

/// What bytes go through.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    /// Boxed: it is much larger, and there are not many where a proxy is.
    Tls(Box<TlsStream<TcpStream>>),
}

/// The same for both.
macro_rules! either {
    ($stream:expr, $inner:ident => $then:expr) => {
        match $stream {
            Stream::Plain($inner) => $then,
            Stream::Tls($inner) => $then,
        }
    };
}

impl Socket {
    pub(super) fn new(stream: Stream, place: OwnedSemaphorePermit) -> Self {
        Self { stream, heard: Arc::default(), stall: None, _place: place }
    }

    /// A write moved on, or waits: then not for ever.
    fn progress<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_STALL)));
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = either!(&mut self.stream, stream => Pin::new(stream).poll_read(cx, buf));
        if buf.filled().len() > before {
            self.heard.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = either!(&mut self.stream, stream => Pin::new(stream).poll_write(cx, buf));
        self.progress(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = either!(&mut self.stream, stream => Pin::new(stream).poll_write_vectored(cx, bufs));
        self.progress(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        either!(&self.stream, stream => stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut self.stream, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut self.stream, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// Tells hyper when to stop waiting for a request's head.
///
/// hyper starts its one timer when it begins to wait, so a connection that is idle between two requests would end as
/// soon as one whose head trickles in. Here the time for the head starts with its first byte; before that, a
/// connection that had a request may be idle for longer.
pub(super) struct HeadTimer {
    heard: Arc<AtomicBool>,
    used: AtomicBool,
    head: Duration,
    idle: Duration,
}

impl HeadTimer {
    pub(super) fn new(socket: &Socket, head: Duration, idle: Duration) -> Self {
        Self { heard: Arc::clone(&socket.heard), used: AtomicBool::new(false), head, idle }
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now())
    }

    /// For the next head; hyper's own deadline counts for nothing.
    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn Sleep>> {
        let used = self.used.swap(true, Ordering::Relaxed);
        self.heard.store(false, Ordering::Relaxed);
        let wait = if used { self.idle } else { self.head };
        Box::pin(HeadSleep {
            sleep: Box::pin(tokio::time::sleep(wait)),
            heard: used.then(|| Arc::clone(&self.heard)),
            head: self.head,
        })
    }
}

struct HeadSleep {
    sleep: Pin<Box<tokio::time::Sleep>>,
    /// While nothing of the head has come.
    heard: Option<Arc<AtomicBool>>,
    head: Duration,
}

impl Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    // hyper polls it whenever a head is not whole, so right after its first bytes.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.heard.as_ref().is_some_and(|heard| heard.load(Ordering::Relaxed)) {
            self.heard = None;
            let deadline = tokio::time::Instant::now() + self.head;
            self.sleep.as_mut().reset(deadline);
        }
        self.sleep.as_mut().poll(cx)
    }
}
