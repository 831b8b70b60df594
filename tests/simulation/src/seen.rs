//! What a device hears, as the history keeps it.

use streamz_protocol::DeviceId;
use streamz_protocol::client::RelayKind;
use streamz_protocol::server::{Failed, ServerMessage, Welcome};

use crate::history::{DeviceNo, Outcome, PipeNo, Said, What};
use crate::workload::tag_of;

/// The first frame of a connection.
pub(crate) fn welcomed(device: DeviceNo, pipe: PipeNo, own: &DeviceId, welcome: &Welcome) -> What {
    let others = welcome.devices.iter().filter(|other| other.device_id != *own);
    let online = others.filter(|other| other.is_online).map(|other| other.device_id.clone()).collect();
    let mut owners: Vec<_> = welcome.devices.iter().map(|other| other.user_id.0).collect();
    owners.push(welcome.device.user_id.0);
    owners.extend(welcome.streams.iter().map(|stream| stream.user_id.0));
    let streams = welcome.streams.iter().map(|stream| stream.id).collect();
    let (session, resumed) = (welcome.session_id, welcome.resumed);
    What::Welcomed { device, pipe, session, resumed, online, owners, streams }
}

/// What a frame said.
pub(crate) fn said(message: &ServerMessage) -> Said {
    let outcome = |id: &streamz_protocol::MessageId, outcome| Said::Outcome { id: id.clone(), outcome };
    match message {
        ServerMessage::DeviceOnline { device_id, .. } => Said::Online(device_id.clone()),
        ServerMessage::DeviceOffline { device_id } => Said::Offline(device_id.clone()),
        ServerMessage::DeviceRemoved { device_id } => Said::Removed(device_id.clone()),
        ServerMessage::DeviceUpdated(device) => Said::Updated { owner: device.user_id.0 },
        ServerMessage::StreamRinging { stream_id, to, .. } => {
            Said::Ringing { stream: *stream_id, to: to.clone() }
        }
        ServerMessage::StreamStart { stream_id, from_device_id, .. } => {
            Said::Start { stream: *stream_id, from: from_device_id.clone() }
        }
        ServerMessage::StreamAccept { stream_id, from_device_id } => {
            Said::Accept { stream: *stream_id, from: from_device_id.clone() }
        }
        ServerMessage::StreamDecline { stream_id, from_device_id, .. } => {
            Said::Decline { stream: *stream_id, from: from_device_id.clone() }
        }
        ServerMessage::StreamEnd { stream_id, reason, .. } => {
            Said::End { stream: *stream_id, reason: reason.clone() }
        }
        ServerMessage::SdpOffer(payload) => Said::Relayed {
            kind: RelayKind::SdpOffer,
            from: payload.from_device_id.clone(),
            stream: payload.stream_id,
            tag: tag_of(&payload.sdp),
        },
        ServerMessage::SdpAnswer(payload) => Said::Relayed {
            kind: RelayKind::SdpAnswer,
            from: payload.from_device_id.clone(),
            stream: payload.stream_id,
            tag: tag_of(&payload.sdp),
        },
        ServerMessage::IceCandidate { from_device_id, stream_id, candidate, .. } => Said::Relayed {
            kind: RelayKind::IceCandidate,
            from: from_device_id.clone(),
            stream: *stream_id,
            tag: tag_of(candidate),
        },
        ServerMessage::Delivered { id } => outcome(id, Outcome::Delivered),
        ServerMessage::NotDelivered { id, reason, failed } => {
            let failed =
                failed.iter().map(|Failed { device_id, reason }| (device_id.clone(), *reason)).collect();
            outcome(id, Outcome::NotDelivered { reason: *reason, failed })
        }
        ServerMessage::Error { code, id: Some(id), .. } => outcome(id, Outcome::Error(*code)),
        ServerMessage::Error { code, .. } => Said::Error(*code),
        _ => Said::Other,
    }
}
