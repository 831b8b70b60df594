//! How many frames came that bring no message: pings, pongs, and pieces of a message that goes on.
//!
//! The WebSocket library answers and gathers them by itself, as many as come. Each costs little, but not nothing, so they
//! are counted here, in the bytes on their way to it, and weighed against the device's rate.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So many of them weigh as much as one message.
pub(crate) const WEIGHT: i32 = 8;
/// More are not read before somebody has asked for their weight.
const UNWEIGHED_MAX: i32 = 8 * WEIGHT;

/// The longest head of a frame (RFC 6455 §5.2).
const HEAD_MAX: usize = 14;

/// A stream whose incoming frames are counted.
pub(crate) struct Counted<S> {
    stream: S,
    head: [u8; HEAD_MAX],
    /// Bytes of the head that have come.
    have: usize,
    /// Bytes of the payload that are to come.
    skip: u64,
    /// May be below zero: what answers a ping of this side does not count.
    unweighed: i32,
}

impl<S> Counted<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, head: [0; HEAD_MAX], have: 0, skip: 0, unweighed: 0 }
    }

    /// The stream, for what goes out.
    pub(crate) fn inner(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Whether as many have come since as weigh one message.
    pub(crate) fn weigh(&mut self) -> bool {
        let heavy = self.unweighed >= WEIGHT;
        self.unweighed -= if heavy { WEIGHT } else { 0 };
        heavy
    }

    /// One of them was asked for.
    pub(crate) fn forgive(&mut self) {
        self.unweighed -= 1;
    }

    fn count(&mut self, mut bytes: &[u8]) {
        while let Some((&first, rest)) = bytes.split_first() {
            if self.skip > 0 {
                let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                self.skip -= skipped as u64;
                bytes = &bytes[skipped..];
                continue;
            }
            self.head[self.have] = first;
            self.have += 1;
            bytes = rest;
            if let Some(length) = payload(&self.head[..self.have]) {
                let ends_message = self.head[0] & 0x80 != 0 && self.head[0] & 0x0f < 8;
                self.unweighed = self.unweighed.saturating_add(i32::from(!ends_message));
                self.skip = length;
                self.have = 0;
            }
        }
    }
}

/// The length of the payload after this head; `None` if the head is not whole.
fn payload(head: &[u8]) -> Option<u64> {
    let second = *head.get(1)?;
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    if head.len() < 2 + extended + mask {
        return None;
    }
    match extended {
        0 => Some(u64::from(second & 0x7f)),
        more => Some(head[2..2 + more].iter().fold(0, |length, byte| length << 8 | u64::from(*byte))),
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unweighed >= UNWEIGHED_MAX {
            // Whoever polls weighs them and polls again.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.count(&buf.filled()[before..]);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match length {
            0..126 => bytes.push(0x80 | u8::try_from(length).unwrap()),
            126..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(MASK);
        // Payloads that look like heads must not be taken for any.
        bytes.extend(std::iter::repeat_n(0x89, length));
        bytes
    }

    fn counted(bytes: &[u8], piece: usize) -> i32 {
        let mut counted = Counted::new(());
        bytes.chunks(piece).for_each(|piece| counted.count(piece));
        counted.unweighed
    }

    #[test]
    fn frames_without_a_message_are_counted_however_they_are_cut() {
        let mut all = Vec::new();
        for length in [0, 1, 125, 126, 300, 65_535, 65_536, 70_000] {
            // A message, its beginning, a piece of it, its end.
            for first in [0x81, 0x01, 0x00, 0x80] {
                all.extend(frame(first, length));
            }
        }
        for first in [0x89, 0x8a] {
            all.extend(frame(first, 0));
            all.extend(frame(first, 125));
        }
        for piece in [1, 2, 3, 7, 1024, all.len()] {
            assert_eq!(counted(&all, piece), 8 * 2 + 4, "in pieces of {piece}");
        }
    }

    #[test]
    fn eight_weigh_as_much_as_a_message_and_answers_nothing() {
        let mut counted = Counted::new(());
        counted.forgive();
        for _ in 0..8 {
            assert!(!counted.weigh());
            counted.count(&frame(0x8a, 0));
        }
        assert!(!counted.weigh(), "one was asked for");
        counted.count(&frame(0x89, 0));
        assert!(counted.weigh());
        assert!(!counted.weigh());
    }
}
