//! Bytes in and out of one WebSocket, without waiting for a slow peer.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{Sink, Stream};
use streamz_protocol::CloseCode;
use streamz_session::{Outgoing, Violation};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

use crate::upgrade::WebSocket;

/// Bytes that are handed to the socket before it is asked to take them.
const BURST: usize = 32 * 1024;

/// Said of a frame that is no text.
const BINARY: &str = "Frames are JSON text in UTF-8; binary frames are not taken.";
/// Said of a text frame that is no text either.
const NOT_UTF8: &str = "A text frame must be valid UTF-8.";

/// Something for the socket.
#[derive(Debug)]
pub(crate) enum Out {
    Frame(Outgoing),
    Ping,
    Close(CloseCode),
}

/// What happened on the socket.
#[derive(Debug)]
pub(crate) enum Event {
    /// The system took this many bytes of frames, up to this `seq`.
    Written { bytes: usize, seq: Option<u64> },
    /// A text frame.
    Text(Utf8Bytes),
    /// Any other sign of life.
    Alive,
    /// As many frames without a message as weigh one.
    Idle,
    /// A frame that no client of this protocol sends.
    Violation(Violation),
    /// The socket is gone; `clean` if the device closed it.
    Gone { clean: bool },
}

/// A WebSocket and what waits for it. How much may wait is the session's business.
pub(crate) struct Wire {
    socket: WebSocket,
    waiting: VecDeque<Out>,
    /// What was handed over and not yet taken.
    bytes: usize,
    seq: Option<u64>,
    dirty: bool,
    broken: bool,
    /// Pings that the device has not answered.
    pings: u32,
}

impl Wire {
    pub(crate) fn new(socket: WebSocket, waiting: VecDeque<Out>) -> Self {
        Self { socket, waiting, bytes: 0, seq: None, dirty: false, broken: false, pings: 0 }
    }

    pub(crate) fn push(&mut self, out: Out) {
        self.waiting.push_back(out);
    }

    /// Writes what can be written, then reads what can be read.
    pub(crate) async fn next(&mut self) -> Event {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Poll::Ready(event) = self.poll_write(cx) {
            return Poll::Ready(event);
        }
        self.poll_read(cx)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        const GONE: Poll<Event> = Poll::Ready(Event::Gone { clean: false });
        while self.bytes < BURST && !self.waiting.is_empty() {
            match Pin::new(&mut self.socket).poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return GONE,
                Poll::Pending => break,
            }
            let Some(out) = self.waiting.pop_front() else { break };
            if self.waiting.is_empty() {
                self.waiting.shrink_to_fit();
            }
            let message = self.message(out);
            if Pin::new(&mut self.socket).start_send(message).is_err() {
                return GONE;
            }
            self.dirty = true;
        }
        if !self.dirty {
            return Poll::Pending;
        }
        if ready!(Pin::new(&mut self.socket).poll_flush(cx)).is_err() {
            return GONE;
        }
        self.dirty = false;
        let written = Event::Written { bytes: std::mem::take(&mut self.bytes), seq: self.seq.take() };
        Poll::Ready(written)
    }

    fn message(&mut self, out: Out) -> Message {
        match out {
            Out::Frame(outgoing) => {
                self.bytes += outgoing.weight();
                self.seq = outgoing.seq.or(self.seq);
                Message::Text(outgoing.render().into())
            }
            Out::Ping => {
                self.pings += 1;
                Message::Ping(Default::default())
            }
            Out::Close(code) => Message::Close(Some(CloseFrame {
                code: code.code().into(),
                reason: Utf8Bytes::from_static(code.as_str()),
            })),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if self.broken {
            return Poll::Pending;
        }
        if self.socket.get_mut().weigh() {
            return Poll::Ready(Event::Idle);
        }
        let Poll::Ready(next) = Pin::new(&mut self.socket).poll_next(cx) else {
            // Many of them, and the socket waits until they are weighed.
            return if self.socket.get_mut().weigh() { Poll::Ready(Event::Idle) } else { Poll::Pending };
        };
        let event = match next {
            Some(Ok(Message::Text(text))) => Event::Text(text),
            Some(Ok(Message::Ping(_))) => {
                // The answer waits in the socket for the next flush.
                self.dirty = true;
                Event::Alive
            }
            Some(Ok(Message::Pong(_))) => {
                if let Some(left) = self.pings.checked_sub(1) {
                    self.pings = left;
                    self.socket.get_mut().forgive();
                }
                Event::Alive
            }
            Some(Ok(Message::Binary(_))) => Event::Violation(Violation::Broken(BINARY)),
            Some(Ok(Message::Close(_))) => Event::Gone { clean: true },
            // Only handed out to those who read frame by frame.
            Some(Ok(Message::Frame(_))) => Event::Alive,
            Some(Err(error)) => self.read_error(&error),
            None => Event::Gone { clean: false },
        };
        Poll::Ready(event)
    }

    /// After a broken frame nothing can be read any more, but the device can still be told.
    fn read_error(&mut self, error: &tungstenite::Error) -> Event {
        let what = match error {
            tungstenite::Error::Capacity(_) => Violation::TooLarge,
            tungstenite::Error::Utf8(_) => Violation::Broken(NOT_UTF8),
            tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                return Event::Gone { clean: false };
            }
            tungstenite::Error::Protocol(error) => Violation::Broken(complaint(error)),
            _ => return Event::Gone { clean: false },
        };
        self.broken = true;
        Event::Violation(what)
    }

    /// Whether everything was said and nothing can be heard any more.
    pub(crate) fn is_mute(&self) -> bool {
        self.broken && self.waiting.is_empty() && !self.dirty
    }
}

/// What is wrong with a frame that is none (RFC 6455 section 5).
fn complaint(error: &ProtocolError) -> &'static str {
    match error {
        ProtocolError::NonZeroReservedBits => {
            "The reserved bits of a frame must be zero: no extension was agreed on."
        }
        ProtocolError::UnmaskedFrameFromClient => "A client must mask its frames (RFC 6455 section 5.3).",
        ProtocolError::UnknownControlFrameType(_)
        | ProtocolError::UnknownDataFrameType(_)
        | ProtocolError::InvalidOpcode(_) => "The frame has an opcode that RFC 6455 does not define.",
        ProtocolError::ControlFrameTooBig => "A control frame has at most 125 bytes.",
        ProtocolError::FragmentedControlFrame => "A control frame must not be fragmented.",
        ProtocolError::UnexpectedContinueFrame => "A continuation came without a message that it continues.",
        ProtocolError::ExpectedFragment(_) => "A message began before the last one had ended.",
        ProtocolError::InvalidCloseSequence => "The close frame is malformed.",
        _ => "This is not a WebSocket frame as RFC 6455 describes it.",
    }
}
