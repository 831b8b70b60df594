//! A node that cannot be sure that its slots are still its own relays, and decides nothing (§5 of the design).
//!
//! Another node may have taken the user over by now, and know sessions, accepts and ends that this hub does not.
//! What this hub says without knowing better must therefore be true whatever the other one does: a message that is
//! passed on to a session that is here, a confirmation that comes back, and `expired`. All else waits, in order for
//! each connection, and is carried out when the node is sure again; if that takes for longer than a message lives,
//! what was to be done by then is not done any more.
//!
//! Also waiting are connections that come and go: a session that is resumed here may go on elsewhere.

use std::collections::VecDeque;

use streamz_protocol::bus::{DeviceChange, Message, Up};
use streamz_protocol::client::{Command, RelayKind};
use streamz_protocol::{CloseCode, ConnId, Millis};

use crate::effect::{Context, Input, Out};
use crate::hub::Hub;
use crate::recovery::WAITING_MAX;
use crate::sending::{Sending, Turn};

/// What waits for the right to decide, and since when.
pub(crate) type Waiting = VecDeque<(Millis, Input)>;

impl Hub {
    /// Takes an input without deciding anything.
    pub(crate) fn while_undecided(&mut self, input: Input, cx: &mut Context<'_>, out: &mut Out) {
        match input {
            // It hears the gateways, and does not finish.
            Input::Up(up) if self.recovery.is_some() => self.while_recovering(up, cx, out),
            Input::Up(
                up @ (Up::Ack(..) | Up::WhoIsOnline { .. } | Up::Roster { .. } | Up::Announce { .. }),
            ) => {
                self.up(up, cx, out);
            }
            Input::Up(Up::Message(conn, message)) if self.only_relays(conn, &message) => {
                self.message(conn, *message, cx, out);
            }
            Input::Tick => self.tick(cx, out),
            other => self.hold(other, cx.now, out),
        }
    }

    /// Whether all that follows from a message is that sessions that are here get it.
    fn only_relays(&self, conn: ConnId, message: &Message) -> bool {
        let Some(sender) = self.member_of(conn).map(|at| &self.members[at]) else { return false };
        let Command::Relay { kind, stream, ufrags, .. } = &message.command else { return false };
        let first = message.number > sender.accepted && sender.away.is_none();
        // Whether everybody has it is only known to who knows everybody.
        let told = message.to.is_some() || message.id.is_none();
        if !first || !told || self.waiting.iter().any(|(_, input)| concerns(input, conn)) {
            return false;
        }
        let sending = Sending::of(sender, message, Turn::First);
        self.receivers(&sending, *stream).is_ok()
            && stream.is_none_or(|stream| {
                *kind != RelayKind::IceCandidate || self.may_place(&sending, stream, ufrags)
            })
    }

    fn hold(&mut self, input: Input, now: Millis, out: &mut Out) {
        let full = self.waiting.len() >= WAITING_MAX;
        match &input {
            Input::Up(Up::Attach(conn, _)) if full => {
                return Self::refuse(*conn, CloseCode::Unavailable, out);
            }
            // One with an `id` is open at its gateway, which hands it to the next hub or says `expired`.
            Input::Up(Up::Message(..)) if full => return,
            Input::Up(Up::Detach(conn, _) | Up::Gone(conn)) => {
                // A request of a connection that is gone is nobody's.
                self.waiting
                    .retain(|(_, waits)| !matches!(waits, Input::Up(Up::Attach(other, _)) if other == conn));
                self.joining.retain(|(waits, _)| waits != conn);
                if self.member_of(*conn).is_none() {
                    return;
                }
            }
            // Of several changes to one device the last counts.
            Input::Up(Up::Devices(change)) => {
                let device = subject(change);
                self.waiting.retain(
                    |(_, waits)| !matches!(waits, Input::Up(Up::Devices(other)) if subject(other) == device),
                );
            }
            Input::Up(Up::Revoke { .. }) => self.waiting.retain(|(_, waits)| *waits != input),
            _ => {}
        }
        self.waiting.push_back((now, input));
    }

    /// The node is sure again: does what waits.
    pub(crate) fn carry_out_waiting(&mut self, cx: &mut Context<'_>, out: &mut Out) {
        for (since, input) in std::mem::take(&mut self.waiting) {
            match input {
                // A device's time to come back began when its socket went.
                Input::Up(Up::Detach(conn, how)) => self.detach(conn, how, since, out),
                Input::Up(Up::Gone(conn)) => self.gone(conn, since, out),
                other => self.act(other, cx, out),
            }
        }
    }
}

fn subject(change: &DeviceChange) -> &streamz_protocol::DeviceId {
    match change {
        DeviceChange::Put(device) => &device.device_id,
        DeviceChange::Removed(device) => device,
    }
}

/// Whether a waiting input is of this connection.
fn concerns(input: &Input, conn: ConnId) -> bool {
    matches!(
        input,
        Input::Up(Up::Attach(of, _) | Up::Message(of, _) | Up::Detach(of, _) | Up::Gone(of)) if *of == conn
    )
}
