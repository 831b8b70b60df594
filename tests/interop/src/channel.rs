//! A data channel (RFC 8831): bytes both ways, reliable and in order.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use webrtc::data_channel::{DataChannel, DataChannelEvent};

use crate::peer::PeerError;

/// What every implementation takes as one message (RFC 8831 §6.6).
const MESSAGE: usize = 16 * 1024;

/// One side's end of a data channel.
pub struct Channel {
    inner: Arc<dyn DataChannel>,
}

impl Channel {
    pub(crate) fn new(inner: Arc<dyn DataChannel>) -> Self {
        Self { inner }
    }

    /// The label that its opener gave it.
    ///
    /// # Errors
    /// [`PeerError::WebRtc`] if the connection is over.
    pub async fn label(&self) -> Result<String, PeerError> {
        Ok(self.inner.label().await?)
    }

    /// Waits until it can carry bytes. To be called once, before all else.
    ///
    /// # Errors
    /// [`PeerError::Closed`] if it closes instead.
    pub async fn opened(&self) -> Result<(), PeerError> {
        while let Some(event) = self.inner.poll().await {
            if matches!(event, DataChannelEvent::OnOpen) {
                return Ok(());
            }
        }
        Err(PeerError::Closed)
    }

    /// Sends all of `bytes`, as as many messages as that takes.
    ///
    /// # Errors
    /// [`PeerError::WebRtc`] if the channel is closed.
    pub async fn send(&self, bytes: &[u8]) -> Result<(), PeerError> {
        for message in bytes.chunks(MESSAGE) {
            self.inner.send(BytesMut::from(message)).await?;
        }
        Ok(())
    }

    /// The next message.
    ///
    /// # Errors
    /// [`PeerError::Closed`] if none comes any more.
    pub async fn receive(&self) -> Result<Bytes, PeerError> {
        while let Some(event) = self.inner.poll().await {
            match event {
                DataChannelEvent::OnMessage(message) => return Ok(message.data.freeze()),
                DataChannelEvent::OnClose => break,
                _ => {}
            }
        }
        Err(PeerError::Closed)
    }

    /// Messages until there are `len` bytes of them.
    ///
    /// # Errors
    /// [`PeerError::Closed`] if they stop before.
    pub async fn receive_bytes(&self, len: usize) -> Result<Vec<u8>, PeerError> {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            bytes.extend(self.receive().await?);
        }
        Ok(bytes)
    }
}
