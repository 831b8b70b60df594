//! Does what the keeper says, in order.

use streamz_bus::Refused;
use streamz_cluster::keeper::{Effect, Input};
use streamz_protocol::bus::{Down, ToGateway, Up};
use streamz_protocol::cluster::{Packet, Routed};
use streamz_protocol::{CloseCode, GatewayId, ProcessId, UserId};

use super::coordinator::News;
use super::moves::Errand;
use super::{FleetNode, State};

impl FleetNode {
    pub(super) fn handle_locked(&self, state: &mut State, input: Input) {
        let effects = state.keeper.handle(input, self.node.clock().now());
        for effect in effects {
            self.carry_out(state, effect);
        }
    }

    fn carry_out(&self, state: &mut State, effect: Effect) {
        match effect {
            Effect::Send(gateway, frame) => send(state, gateway, frame),
            Effect::StartHub { user, hub_epoch, recover_from } => {
                self.node.start_hub(user, hub_epoch, recover_from);
            }
            Effect::HubInput(user, up) => self.give(state, user, up),
            Effect::Load { user, hub_epoch } => self.node.load(user, hub_epoch),
            Effect::DropHubs(slot) => self.node.drop_hubs(slot),
            Effect::Flush(tenure) => {
                self.node.drop_hubs(tenure.slot);
                self.errand(Errand::Flush(tenure));
            }
            Effect::HandOver(tenure) => self.errand(Errand::HandOver(tenure)),
            Effect::Confirmed(tenure) => {
                state.takeovers.confirmed(tenure, self.node.clock().now());
                if self.left.try_send(tenure).is_err() {
                    tracing::warn!("rows of a slot are not put right: too many slots wait for it");
                }
            }
            Effect::Publish { version, change } => {
                let packet = Packet::Table { version, changes: vec![change] };
                let gateways = state.gateways.iter().map(|gateway| ProcessId::from(*gateway));
                let nodes = state.nodes.iter().map(|node| ProcessId::from(*node));
                Self::tell_all(state, gateways.chain(nodes), &packet);
                // This node may coordinate as well.
                state.news(News::Hint(version));
            }
            Effect::Read => {
                if let Some(lease) = &state.lease {
                    lease.want_read();
                }
            }
            Effect::Ignored(gateway, why) => {
                metrics::counter!("streamz_frames_ignored_total").increment(1);
                tracing::debug!(?gateway, ?why, "a gateway said something that does not count");
            }
        }
    }

    /// What may be refused has an answer; the rest is always taken.
    fn give(&self, state: &State, user: UserId, up: Up) {
        let refusal = match &up {
            Up::Attach(conn, _) => Some(*conn),
            _ => None,
        };
        if let Err(refused) = self.node.give(user, up) {
            tracing::debug!(%user, %refused, "a hub did not take an input");
            // A message stays open at its gateway until its time is over. A connection is asked to come back.
            if let (Some(conn), Some(tenure)) =
                (refusal, state.keeper.tenure(streamz_protocol::cluster::Slot::of(user)))
            {
                let frame = ToGateway::Conn(conn, Down::Refused(CloseCode::Unavailable), None);
                send(state, conn.gateway, Routed::ToGateway { tenure, frame });
            }
        }
    }

    fn errand(&self, errand: Errand) {
        if self.moves.try_send(errand).is_err() {
            // Each slot has one errand at a time, and there is room for more than all of them.
            tracing::error!("a move of a slot waits for ever: too many errands");
        }
    }
}

fn send(state: &State, gateway: GatewayId, frame: Routed) {
    let Some(peers) = &state.peers else { return };
    let lost = match &frame {
        Routed::ToGateway { tenure, frame: ToGateway::Conn(conn, ..) } => Some((*tenure, *conn)),
        _ => None,
    };
    match peers.send(gateway.into(), frame) {
        Ok(()) | Err(Refused::NoReceiver | Refused::Later) => {}
        Err(Refused::Full) => {
            // The connection's copy is not whole any more; the hub's is, and the device resumes from it.
            if let Some((tenure, conn)) = lost {
                metrics::counter!("streamz_links_overflowed_total").increment(1);
                let frame = ToGateway::Conn(conn, Down::Close(CloseCode::SlowConsumer), None);
                let _ = peers.send(gateway.into(), Routed::ToGateway { tenure, frame });
            }
        }
    }
}
