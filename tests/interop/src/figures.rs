//! What a peer measures of its connection, as the record of a stream wants it.

use std::time::Duration;

use rtc::peer_connection::transport::RTCIceCandidatePair;
use streamz_client::protocol::objects::{ConnectionType, StreamStats};
use webrtc::peer_connection::{RTCIceCandidate, RTCIceCandidateType, RTCStatsReport, RTCStatsReportEntry};

/// The path that media take, and how good it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Directly, or through a TURN server.
    pub path: ConnectionType,
    /// The nearer end of it, `address:port`.
    pub local: String,
    /// The farther end of it, `address:port`.
    pub remote: String,
    /// The last measured round trip of a connectivity check.
    pub round_trip: Duration,
    /// Packets of media that should have come and did not.
    pub lost: u64,
}

impl Figures {
    /// Of the selected pair of candidates.
    ///
    /// The pair comes from the transport: in the report, it refers to its ends by other ids than they have, and a
    /// peer-reflexive end (RFC 8445 §7.3.1.3) is missing.
    pub(crate) fn of(pair: &RTCIceCandidatePair, report: &RTCStatsReport) -> Self {
        let ends = [pair.local(), pair.remote()];
        let relayed = ends.iter().any(|end| end.typ == RTCIceCandidateType::Relay);
        let selected = report.transport().map(|transport| &transport.selected_candidate_pair_id);
        let round_trip = match selected.and_then(|id| report.get(id)) {
            Some(RTCStatsReportEntry::IceCandidatePair(pair)) => pair.current_round_trip_time,
            _ => 0.0,
        };
        let lost = report.inbound_rtp_streams().map(|stream| stream.received_rtp_stream_stats.packets_lost);
        Self {
            path: if relayed { ConnectionType::Relay } else { ConnectionType::P2p },
            local: address(ends[0]),
            remote: address(ends[1]),
            round_trip: Duration::try_from_secs_f64(round_trip).unwrap_or_default(),
            lost: lost.filter_map(|lost| u64::try_from(lost).ok()).sum(),
        }
    }

    /// For `stream_stats`: milliseconds are rounded up, a loss makes the quality `fair`.
    #[must_use]
    pub fn stats(&self) -> StreamStats {
        let millis = self.round_trip.as_micros().div_ceil(1000);
        StreamStats {
            connection_type: Some(self.path),
            quality: Some(if self.lost == 0 { "good" } else { "fair" }.to_owned()),
            latency_ms: Some(u32::try_from(millis).unwrap_or(u32::MAX)),
        }
    }
}

fn address(candidate: &RTCIceCandidate) -> String {
    format!("{}:{}", candidate.address, candidate.port)
}
