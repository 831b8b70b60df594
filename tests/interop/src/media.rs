//! Synthetic media: RTP packets whose payload follows from their header, so that every one can be checked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_OPUS, MIME_TYPE_VP8};
use rtc::rtp::header::Header;
use rtc::rtp::packet::Packet;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use tokio::time::{MissedTickBehavior, interval};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};

use crate::pattern::pattern;
use crate::peer::PeerError;

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Sound (RFC 7587): 20 ms a packet.
    Opus,
    /// Pictures (RFC 7741): a frame in one packet.
    Vp8,
}

impl Codec {
    fn kind(self) -> RtpCodecKind {
        match self {
            Codec::Opus => RtpCodecKind::Audio,
            Codec::Vp8 => RtpCodecKind::Video,
        }
    }

    pub(crate) fn of(kind: RtpCodecKind) -> Self {
        match kind {
            RtpCodecKind::Video => Codec::Vp8,
            _ => Codec::Opus,
        }
    }

    fn parameters(self) -> RTCRtpCodec {
        let (mime_type, clock_rate, channels, sdp_fmtp_line) = match self {
            Codec::Opus => (MIME_TYPE_OPUS, 48_000, 2, "minptime=10;useinbandfec=1"),
            Codec::Vp8 => (MIME_TYPE_VP8, 90_000, 0, ""),
        };
        RTCRtpCodec {
            mime_type: mime_type.to_owned(),
            clock_rate,
            channels,
            sdp_fmtp_line: sdp_fmtp_line.to_owned(),
            rtcp_feedback: Vec::new(),
        }
    }

    /// As the default media engine numbers them.
    pub(crate) fn payload_type(self) -> u8 {
        match self {
            Codec::Opus => 111,
            Codec::Vp8 => 96,
        }
    }

    /// Clock ticks from one packet to the next; of pictures, from one to the next.
    pub(crate) fn step(self) -> u32 {
        match self {
            Codec::Opus => 960,
            Codec::Vp8 => 3000,
        }
    }

    /// A track that carries it from this source.
    pub(crate) fn track(self, ssrc: u32) -> Arc<TrackLocalStaticRTP> {
        let coding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() },
            codec: self.parameters(),
            ..Default::default()
        };
        let name = format!("{self:?}").to_lowercase();
        let track = MediaStreamTrack::new(
            "synthetic".to_owned(),
            format!("{name}-{ssrc}"),
            name,
            self.kind(),
            vec![coding],
        );
        Arc::new(TrackLocalStaticRTP::new(track))
    }

    /// What a packet of this header must carry.
    fn payload(self, ssrc: u32, sequence: u16) -> Vec<u8> {
        let seed = u64::from(ssrc) << 16 | u64::from(sequence);
        match self {
            Codec::Opus => pattern(seed, 80 + usize::from(sequence % 40)),
            Codec::Vp8 => {
                // The start of a partition that others may refer to (RFC 7741 §4.2).
                let mut payload = vec![0x10];
                payload.extend(pattern(seed, 900 + usize::from(sequence % 200)));
                payload
            }
        }
    }
}

/// The sending side of a track.
pub struct Speaker {
    track: Arc<TrackLocalStaticRTP>,
    codec: Codec,
    ssrc: u32,
    next: u16,
}

impl Speaker {
    pub(crate) fn new(codec: Codec, ssrc: u32) -> Self {
        Self { track: codec.track(ssrc), codec, ssrc, next: 0 }
    }

    pub(crate) fn track(&self) -> Arc<dyn TrackLocal> {
        Arc::clone(&self.track) as Arc<dyn TrackLocal>
    }

    /// What it sends.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Sends so many packets, one every `pace`.
    ///
    /// # Errors
    /// [`PeerError::WebRtc`] if the track is not negotiated, or the connection over.
    pub async fn send(&mut self, packets: u16, pace: Duration) -> Result<(), PeerError> {
        let mut pace = interval(pace);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..packets {
            pace.tick().await;
            self.track.write_rtp(self.packet()).await?;
            self.next = self.next.wrapping_add(1);
        }
        Ok(())
    }

    fn packet(&self) -> Packet {
        let header = Header {
            version: 2,
            // The last packet of a frame, or the first of a talk.
            marker: self.codec == Codec::Vp8 || self.next == 0,
            payload_type: self.codec.payload_type(),
            sequence_number: self.next,
            timestamp: u32::from(self.next).wrapping_mul(self.codec.step()),
            ssrc: self.ssrc,
            ..Header::default()
        };
        Packet { header, payload: Bytes::from(self.codec.payload(self.ssrc, self.next)) }
    }
}

/// The receiving side of a track.
pub struct Listener {
    track: Arc<dyn TrackRemote>,
    codec: Codec,
}

/// What a [`Listener`] got: distinct packets, every one of them as it was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Packets.
    pub packets: usize,
    /// Bytes of payload in them.
    pub bytes: usize,
    /// Sequence numbers between the first and the last that never came.
    pub lost: usize,
}

/// Why media was not what it should have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// A packet's payload is not what its header calls for.
    #[error("packet {sequence} of source {ssrc:#x} arrived with another payload than it was sent with")]
    Corrupt {
        /// The source (RFC 3550 §3).
        ssrc: u32,
        /// Its sequence number.
        sequence: u16,
    },
    /// The track is over.
    #[error("the track ended after {packets} packets")]
    Ended {
        /// Those before.
        packets: usize,
    },
}

impl Listener {
    pub(crate) fn new(track: Arc<dyn TrackRemote>, codec: Codec) -> Self {
        Self { track, codec }
    }

    /// What it hears.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The next packet; none when the track is over.
    pub(crate) async fn packet(&self) -> Option<Packet> {
        loop {
            if let TrackRemoteEvent::OnRtpPacket(packet) = self.track.poll().await? {
                return Some(packet);
            }
        }
    }

    /// Waits for so many different packets, and checks each byte of them.
    ///
    /// # Errors
    /// [`MediaError`].
    pub async fn receive(&self, packets: usize) -> Result<Received, MediaError> {
        let mut seen = BTreeSet::new();
        let mut bytes = 0;
        while seen.len() < packets {
            let packet = self.packet().await.ok_or(MediaError::Ended { packets: seen.len() })?;
            let (ssrc, sequence) = (packet.header.ssrc, packet.header.sequence_number);
            if packet.payload != self.codec.payload(ssrc, sequence) {
                return Err(MediaError::Corrupt { ssrc, sequence });
            }
            if seen.insert(sequence) {
                bytes += packet.payload.len();
            }
        }
        let span = match (seen.first(), seen.last()) {
            (Some(first), Some(last)) => usize::from(last - first) + 1,
            _ => 0,
        };
        Ok(Received { packets: seen.len(), bytes, lost: span - seen.len() })
    }
}
