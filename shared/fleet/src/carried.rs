//! What a link carries, and what it weighs.

use std::sync::Arc;

use streamz_link::{Class, Weigh};
use streamz_protocol::bus::{Down, Item, OpenMessage, ToGateway, Up};
use streamz_protocol::cluster::Routed;

/// About what a frame takes beside its texts.
const SMALL: usize = 128;

/// A frame on its way.
#[derive(Clone, Debug)]
pub(crate) enum Carried {
    /// A frame that can be read.
    Frame(Arc<Routed>),
    /// One that came and that this version cannot read: it has its place in the link, and is dropped there.
    Unreadable,
}

impl Weigh for Carried {
    fn bytes(&self) -> usize {
        let Self::Frame(frame) = self else { return 0 };
        SMALL
            + match &**frame {
                Routed::ToHub { frame, .. } => up(&frame.up),
                Routed::ToGateway { frame: ToGateway::Conn(_, down, _), .. } => self::down(down),
                Routed::ToGateway { frame: ToGateway::Online { devices, .. }, .. } => SMALL * devices.len(),
                Routed::Claim { tenures, .. } => 16 * tenures.len(),
                Routed::Claimed { tenures, users, .. } => 16 * (tenures.len() + users.len()),
                Routed::ToGateway { .. } | Routed::NotMine { .. } => 0,
            }
    }

    fn class(&self) -> Class {
        let Self::Frame(frame) = self else { return Class::Must };
        match &**frame {
            Routed::ToHub { frame, .. } => match frame.up {
                Up::Message(..) | Up::Attach(..) | Up::WhoIsOnline { .. } => Class::Refusable,
                _ => Class::Must,
            },
            // A connection that misses one is told to close, which is small.
            Routed::ToGateway {
                frame: ToGateway::Conn(_, Down::Batch(_) | Down::Attached(_), _), ..
            }
            | Routed::ToGateway { frame: ToGateway::Online { .. }, .. } => Class::Refusable,
            _ => Class::Must,
        }
    }
}

fn up(up: &Up) -> usize {
    match up {
        Up::Message(_, message) => message.command.weight(),
        Up::Announce { replica, .. } => {
            let window: usize = replica.window.iter().map(|frame| frame.body.len() + 64).sum();
            let open: usize = replica
                .open
                .iter()
                .map(|open| match open {
                    OpenMessage::Whole(message) | OpenMessage::Again(message) => message.command.weight(),
                    OpenMessage::Awaited(_) => SMALL,
                })
                .sum();
            let settled: usize = replica.settled.iter().map(|settled| settled.outcome.len() + 64).sum();
            let rest = replica.heard.len() + replica.view.len() + 4 * replica.live.len();
            4 * SMALL + window + open + settled + SMALL * rest
        }
        Up::Roster { conns, .. } => 16 * conns.len(),
        Up::Attach(..) | Up::Devices(_) => 4 * SMALL,
        _ => 0,
    }
}

fn down(down: &Down) -> usize {
    match down {
        Down::Attached(attached) => {
            let replay: usize = attached.replay.iter().map(|frame| frame.body.len() + 64).sum();
            let settled: usize = attached.settled.iter().map(|settled| settled.outcome.len() + 64).sum();
            let rest = attached.devices.len() + attached.open.len() + attached.heard.len();
            8 * SMALL + replay + settled + 2 * SMALL * (rest + 4 * attached.streams.len())
        }
        Down::Batch(items) => items
            .iter()
            .map(|item| match item {
                Item::Frame(frame) => frame.body.len() + 64,
                Item::Plain(body) => body.len(),
                Item::Stream(_) => 8 * SMALL,
                Item::StreamOver(_) => 32,
            })
            .sum(),
        _ => 0,
    }
}
