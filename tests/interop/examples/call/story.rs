//! How the call is told.

use std::time::Instant;

use streamz_client::DeviceId;
use streamz_interop::{Codec, PeerState, Received, Signal, Step};

/// Prints what happens, with the milliseconds since it began.
pub(crate) struct Story {
    began: Instant,
}

impl Story {
    pub(crate) fn begin(first: &str) -> Self {
        let story = Self { began: Instant::now() };
        story.tell(first);
        story
    }

    pub(crate) fn tell(&self, what: &str) {
        println!("{:>6} ms  {what}", self.began.elapsed().as_millis());
    }

    /// A step of `own`, whose other side is `other`.
    pub(crate) fn step(&self, own: &DeviceId, other: &DeviceId, step: &Step) {
        match step {
            Step::Sent(signal) => self.signaled(own, other, Some(signal)),
            Step::Heard(Signal::Offer(_)) => self.tell(&format!("{own} has the offer, and answers it")),
            Step::Heard(Signal::Answer(sdp)) => {
                self.tell(&format!("{own} has the answer, {} bytes", sdp.len()))
            }
            Step::Heard(Signal::Candidate(_)) => {}
            Step::State(PeerState::Connected) => self.tell(&format!("{own} is connected to {other}")),
            _ => {}
        }
    }

    pub(crate) fn signaled(&self, from: &DeviceId, to: &DeviceId, signal: Option<&Signal>) {
        let what = match signal {
            Some(Signal::Offer(sdp)) => format!("offer, {} bytes", sdp.len()),
            Some(Signal::Answer(sdp)) => format!("answer, {} bytes", sdp.len()),
            Some(Signal::Candidate(candidate)) if candidate.candidate.is_empty() => {
                "end of candidates".to_owned()
            }
            Some(Signal::Candidate(candidate)) => candidate.candidate.clone(),
            None => return,
        };
        self.tell(&format!("{from} -> Streamz -> {to}: {what}"));
    }

    pub(crate) fn bytes(&self, from: &DeviceId, to: &DeviceId, bytes: usize, hash: &str) {
        self.tell(&format!("{from} => {to}: {bytes} bytes, SHA-256 {} on both sides", &hash[..16]));
    }

    pub(crate) fn packets(&self, from: &DeviceId, to: &DeviceId, codec: Codec, received: Received) {
        let Received { packets, bytes, lost } = received;
        let codec = match codec {
            Codec::Opus => "Opus",
            Codec::Vp8 => "VP8",
        };
        let what = format!("{packets} {codec} packets, {bytes} bytes, each as it was sent, {lost} lost");
        self.tell(&format!("{from} => {to}: {what}"));
    }
}
