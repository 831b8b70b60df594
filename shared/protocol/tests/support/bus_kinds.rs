//! The names of all that a process tells another.

use streamz_protocol::bus::{Detach, DeviceChange, Down, ToGateway, Up};
use streamz_protocol::cluster::{Packet, Routed};

macro_rules! kinds {
    ($($of:ident($value:ty) { $($pattern:pat => $name:expr,)* })*) => {
        $(fn $of(value: &$value) -> String {
            match value { $($pattern => $name.to_string(),)* }
        })*
    };
}

// A new kind does not compile until it has a name here, and does not pass until it has a golden file.
kinds!(
    packet_kind(Packet) {
        Packet::Frame { frame, .. } => routed_kind(frame),
        Packet::Ack { .. } => "ack",
        Packet::Beat { .. } => "beat",
        Packet::Table { .. } => "table",
        Packet::Report { .. } => "report",
        Packet::Revoked { .. } => "revoked",
        Packet::Evicted => "evicted",
    }
    routed_kind(Routed) {
        Routed::ToHub { frame, .. } => format!("up_{}", up_kind(&frame.up)),
        Routed::ToGateway { frame: ToGateway::Conn(_, down, _), .. } => format!("down_{}", down_kind(down)),
        Routed::ToGateway { frame: ToGateway::Roll { .. }, .. } => "roll",
        Routed::ToGateway { frame: ToGateway::Online { .. }, .. } => "online",
        Routed::Claim { .. } => "claim",
        Routed::Claimed { .. } => "claimed",
        Routed::NotMine { .. } => "not_mine",
    }
    up_kind(Up) {
        Up::Attach(..) => "attach",
        Up::Message(_, message) => format!("message_{}", message.command.name()),
        Up::Ack(..) => "ack",
        Up::Detach(_, Detach::Clean) => "detach_clean",
        Up::Detach(_, Detach::Lost) => "detach_lost",
        Up::Detach(_, Detach::Slow { .. }) => "detach_slow",
        Up::Gone(_) => "gone",
        Up::Roster { .. } => "roster",
        Up::Announce { .. } => "announce",
        Up::Devices(DeviceChange::Put(_)) => "devices_put",
        Up::Devices(DeviceChange::Removed(_)) => "devices_removed",
        Up::Recheck => "recheck",
        Up::Revoke { .. } => "revoke",
        Up::WhoIsOnline { .. } => "who_is_online",
    }
    down_kind(Down) {
        Down::Attached(_) => "attached",
        Down::Refused(_) => "refused",
        Down::Batch(_) => "batch",
        Down::Close(_) => "close",
        Down::Forget => "forget",
    }
);

/// The name of the golden file of a packet's kind.
pub(crate) fn kind(packet: &Packet) -> String {
    packet_kind(packet)
}

/// Every kind of packet: no more, no less.
pub(crate) const KINDS: [&str; 37] = [
    "ack",
    "beat",
    "claim",
    "claimed",
    "down_attached",
    "down_batch",
    "down_close",
    "down_forget",
    "down_refused",
    "evicted",
    "not_mine",
    "online",
    "report",
    "revoked",
    "roll",
    "table",
    "up_ack",
    "up_announce",
    "up_attach",
    "up_detach_clean",
    "up_detach_lost",
    "up_detach_slow",
    "up_devices_put",
    "up_devices_removed",
    "up_gone",
    "up_message_ice_candidate",
    "up_message_sdp_answer",
    "up_message_sdp_offer",
    "up_message_stream_accept",
    "up_message_stream_decline",
    "up_message_stream_end",
    "up_message_stream_start",
    "up_message_stream_stats",
    "up_recheck",
    "up_revoke",
    "up_roster",
    "up_who_is_online",
];
