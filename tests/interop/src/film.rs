//! Pictures that a decoder takes: VP8 frames (RFC 6386) in RTP (RFC 7741), sent to a browser and received from one.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rtc::rtp::codec::vp8::{Vp8Packet, Vp8Payloader};
use rtc::rtp::header::Header;
use rtc::rtp::packet::Packet;
use rtc::rtp::packetizer::{Depacketizer, Payloader};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;

use crate::media::{Codec, Listener, MediaError};
use crate::peer::PeerError;

/// What fits into a packet on every path.
const MTU: usize = 1200;

/// The sending side of a track of pictures, each of them a key frame.
pub struct Projector {
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

impl Projector {
    pub(crate) fn new(ssrc: u32) -> Self {
        Self { track: Codec::Vp8.track(ssrc), ssrc, sequence: 0, timestamp: 0 }
    }

    pub(crate) fn track(&self) -> Arc<dyn TrackLocal> {
        Arc::clone(&self.track) as Arc<dyn TrackLocal>
    }

    /// Sends one key frame, as an encoder made it.
    ///
    /// # Errors
    /// [`PeerError::WebRtc`] if the track is not negotiated, or the connection over.
    pub async fn show(&mut self, frame: &Bytes) -> Result<(), PeerError> {
        let payloads = Vp8Payloader::default().payload(MTU, frame)?;
        let last = payloads.len().saturating_sub(1);
        for (at, payload) in payloads.into_iter().enumerate() {
            let header = Header {
                version: 2,
                marker: at == last,
                payload_type: Codec::Vp8.payload_type(),
                sequence_number: self.sequence,
                timestamp: self.timestamp,
                ssrc: self.ssrc,
                ..Header::default()
            };
            self.track.write_rtp(Packet { header, payload }).await?;
            self.sequence = self.sequence.wrapping_add(1);
        }
        self.timestamp = self.timestamp.wrapping_add(Codec::Vp8.step());
        Ok(())
    }
}

/// What a [`Viewer`] has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Frames of which every packet came.
    pub frames: usize,
    /// Those among them that need no other.
    pub key_frames: usize,
    /// Width and height of the last key frame, in pixels.
    pub size: Option<(u16, u16)>,
    /// Key frames that were decoded.
    pub decoded: usize,
    /// The colour of the last one: the mean of its pixels in red, green and blue.
    pub colour: Option<[u8; 3]>,
}

/// Puts the packets of a track together to frames.
pub struct Viewer {
    listener: Listener,
    frames: Frames,
}

impl Viewer {
    /// Watches a track of pictures.
    #[must_use]
    pub fn new(listener: Listener) -> Self {
        Self { listener, frames: Frames::default() }
    }

    /// Waits until so many more frames are whole.
    ///
    /// # Errors
    /// [`MediaError::Ended`] if they do not come.
    pub async fn watch(&mut self, frames: usize) -> Result<Seen, MediaError> {
        let until = self.frames.seen.frames + frames;
        while self.frames.seen.frames < until {
            let packet = self.listener.packet().await;
            self.frames.take(&packet.ok_or(MediaError::Ended { packets: self.frames.seen.frames })?);
        }
        Ok(self.frames.seen)
    }
}

/// The frames of which the packets are.
#[derive(Default)]
struct Frames {
    seen: Seen,
    /// What has come of the present frame, and the number that its next packet has.
    open: Option<(BytesMut, u16)>,
}

impl Frames {
    fn take(&mut self, packet: &Packet) {
        let mut descriptor = Vp8Packet::default();
        // Padding, which a sender uses to probe the path, is no picture.
        let Ok(part) = descriptor.depacketize(&packet.payload) else {
            return;
        };
        let sequence = packet.header.sequence_number;
        if descriptor.s == 1 && descriptor.pid == 0 {
            self.open = Some((BytesMut::new(), sequence));
        }
        // Of a frame whose beginning, or a packet before this one, was lost: wait for the next.
        let Some((mut frame, next)) = self.open.take().filter(|(_, next)| *next == sequence) else {
            return;
        };
        frame.extend_from_slice(&part);
        if packet.header.marker {
            self.whole(&frame);
        } else {
            self.open = Some((frame, next.wrapping_add(1)));
        }
    }

    fn whole(&mut self, frame: &[u8]) {
        self.seen.frames += 1;
        // A key frame says so in its first bit, and its size behind a start code (RFC 6386 §9.1); the upper two bits
        // of each number are a scale.
        if let [tag, _, _, 0x9d, 0x01, 0x2a, width @ .., _, _] = frame.get(..10).unwrap_or_default()
            && tag & 1 == 0
            && let [low, high] = *width
        {
            let size = |low, high| u16::from_le_bytes([low, high]) & 0x3fff;
            self.seen.key_frames += 1;
            self.seen.size = Some((size(low, high), size(frame[8], frame[9])));
            if let Some(colour) = colour(frame) {
                self.seen.decoded += 1;
                self.seen.colour = Some(colour);
            }
        }
    }
}

/// Decodes a key frame; the mean of its pixels. A simple WebP file is one such frame in a RIFF container
/// (RFC 9649 §2.5).
fn colour(frame: &[u8]) -> Option<[u8; 3]> {
    let length = u32::try_from(frame.len()).ok()?;
    let padding = length % 2;
    let mut file = Vec::with_capacity(frame.len() + 21);
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(12 + length + padding).to_le_bytes());
    file.extend_from_slice(b"WEBPVP8 ");
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(frame);
    file.resize(file.len() + usize::from(padding == 1), 0);
    let mut decoder = image_webp::WebPDecoder::new(std::io::Cursor::new(file)).ok()?;
    let mut pixels = vec![0; decoder.output_buffer_size()?];
    decoder.read_image(&mut pixels).ok()?;
    let mut sums = [0_u64; 3];
    for pixel in pixels.chunks_exact(3) {
        for (sum, part) in sums.iter_mut().zip(pixel) {
            *sum += u64::from(*part);
        }
    }
    let count = u64::try_from(pixels.len() / 3).ok().filter(|count| *count > 0)?;
    Some(sums.map(|sum| u8::try_from(sum / count).unwrap_or(u8::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: &[u8] = include_bytes!("../pictures/red.vp8");

    /// The packets of a key frame in pieces of so many bytes.
    fn packets(first: u16, mtu: usize) -> Vec<Packet> {
        let payloads = Vp8Payloader::default().payload(mtu, &Bytes::from_static(RED)).unwrap();
        let last = payloads.len() - 1;
        let numbered = payloads.into_iter().enumerate();
        numbered
            .map(|(at, payload)| {
                let sequence_number = first.wrapping_add(u16::try_from(at).unwrap());
                let header = Header { version: 2, marker: at == last, sequence_number, ..Header::default() };
                Packet { header, payload }
            })
            .collect()
    }

    #[test]
    fn packets_make_a_frame_whose_size_is_read() {
        let mut frames = Frames::default();
        let pieces = packets(u16::MAX, 50);
        assert!(pieces.len() > 2);
        for piece in &pieces {
            frames.take(piece);
        }
        let Seen { frames, key_frames, size, decoded, colour } = frames.seen;
        assert_eq!((frames, key_frames, size, decoded), (1, 1, Some((320, 180)), 1));
        let [red, green, blue] = colour.unwrap();
        assert!(red > 150 && green < 90 && blue < 90, "{colour:?}");
    }

    #[test]
    fn a_frame_that_is_cut_short_has_no_colour() {
        assert_eq!(colour(&RED[..20]), None);
        assert_eq!(colour(b""), None);
    }

    #[test]
    fn a_frame_that_lacks_a_packet_is_none() {
        let pieces = packets(7, 50);
        for lost in 0..pieces.len() {
            let mut frames = Frames::default();
            for piece in pieces.iter().enumerate().filter(|(at, _)| *at != lost).map(|(_, piece)| piece) {
                frames.take(piece);
            }
            assert_eq!(frames.seen.frames, 0, "without packet {lost}");
            packets(100, 1200).iter().for_each(|piece| frames.take(piece));
            assert_eq!(frames.seen.frames, 1, "the next one is whole");
        }
    }
}
