//! One WebSocket: writes what the session has to say and reads, in one place and without a second task.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::client::Shared;
use crate::error::Lost;

/// Allocated for as long as the connection lives.
const READ_BUFFER: usize = 4 * 1024;
/// Small frames up to this many bytes go out in one write.
const WRITE_BUFFER: usize = 4 * 1024;
/// The largest frame that is read. A `welcome` lists all devices and streams of an account, so it may exceed the
/// limit of what devices send.
const MAX_INBOUND: usize = 1024 * 1024;

/// A connection after its upgrade.
pub(crate) struct Wire {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Something was written that may not have reached the network.
    unflushed: bool,
    /// Writing failed. What had arrived before is still read: it may say why.
    broken: Option<Lost>,
}

/// The buffers of every connection: small, because there may be ten thousand in one process.
pub(crate) fn buffers() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        // At most one frame is buffered beyond the small ones, and no frame is nearly that large.
        .max_write_buffer_size(16 * 1024 * 1024)
        .max_message_size(Some(MAX_INBOUND))
        .max_frame_size(Some(MAX_INBOUND))
}

impl Wire {
    pub(crate) fn new(socket: WebSocketStream<MaybeTlsStream<TcpStream>>) -> Self {
        Self { socket, unflushed: false, broken: None }
    }

    /// Writes whatever the session has to say and, if `reading` and not paused, gives back the next frame. Whenever
    /// there is none, the session confirms what the program has. Cancel-safe.
    pub(crate) async fn turn(&mut self, shared: &Shared, reading: bool) -> Result<Message, Lost> {
        poll_fn(|cx| {
            loop {
                let written = self.poll_write(cx, shared);
                let reading = reading && !shared.lock().switches.paused;
                if let Poll::Ready(message) = self.poll_read(cx, reading) {
                    return Poll::Ready(message);
                }
                // With nothing left to write, what the session says now is written in another round.
                if !shared.lock().session.idle() || written.is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Writes what is left, says goodbye and waits for the other side to hang up.
    pub(crate) async fn goodbye(&mut self, shared: &Shared) -> Result<(), Lost> {
        poll_fn(|cx| self.poll_write(cx, shared)).await?;
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        self.socket.close(Some(frame)).await.map_err(lost)?;
        while let Some(Ok(_)) = self.socket.next().await {}
        Ok(())
    }

    /// Answers the other side's close frame.
    pub(crate) async fn answer_close(&mut self) {
        // It is going away; whether it hears the answer makes no difference.
        let _ = self.socket.flush().await;
    }

    /// Ready once there is nothing more to write and all of it is on the network.
    fn poll_write(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Poll<Result<(), Lost>> {
        if let Some(lost) = &self.broken {
            return Poll::Ready(Err(lost.clone()));
        }
        let written = self.poll_write_all(cx, shared);
        if let Poll::Ready(Err(lost)) = &written {
            self.broken = Some(lost.clone());
        }
        written
    }

    fn poll_write_all(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Poll<Result<(), Lost>> {
        loop {
            ready!(self.socket.poll_ready_unpin(cx)).map_err(lost)?;
            let Some(text) = shared.lock().session.next_frame() else {
                break;
            };
            self.socket.start_send_unpin(Message::Text(text)).map_err(lost)?;
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(self.socket.poll_flush_unpin(cx)).map_err(lost)?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, reading: bool) -> Poll<Result<Message, Lost>> {
        let read = if reading { self.socket.poll_next_unpin(cx) } else { Poll::Pending };
        let message = match read {
            Poll::Ready(Some(Ok(message))) => message,
            Poll::Ready(Some(Err(error))) => {
                return Poll::Ready(Err(self.broken.take().unwrap_or_else(|| lost(error))));
            }
            Poll::Ready(None) => {
                let end = Lost::Io(io::ErrorKind::UnexpectedEof);
                return Poll::Ready(Err(self.broken.take().unwrap_or(end)));
            }
            Poll::Pending => {
                return match self.broken.take() {
                    Some(lost) => Poll::Ready(Err(lost)),
                    None => Poll::Pending,
                };
            }
        };
        // The library queued a pong; a flush sends it.
        self.unflushed |= message.is_ping();
        Poll::Ready(Ok(message))
    }
}

/// What a failure of the library means.
pub(crate) fn lost(error: Error) -> Lost {
    match error {
        Error::Io(error) => Lost::Io(error.kind()),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            Lost::Io(io::ErrorKind::UnexpectedEof)
        }
        Error::Http(response) => Lost::Refused { status: response.status().as_u16() },
        error => Lost::WebSocket(error.to_string()),
    }
}
