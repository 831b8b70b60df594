//! What passes between gateways and hubs.

use streamz_protocol::bus::{ToGateway, ToHub, Up};
use streamz_protocol::cluster::{Epoch, Routed, Slot, Tenure};
use streamz_protocol::{ConnId, GatewayId, UserId};

use super::takeover::{nobody, roll};
use super::{Effect, HUB_EPOCH_BITS, Held, HubRecord, Ignored, Keeper, Rolls, Stage};
use crate::planted::planted;

impl Keeper {
    /// From a gateway.
    pub(super) fn frame(&mut self, gateway: GatewayId, tenure: Tenure, frame: ToHub, out: &mut Vec<Effect>) {
        let forgets = planted!(self, HeldRollDropped);
        let ToHub { user, up } = frame;
        let slot = tenure.slot;
        if Slot::of(user) != slot {
            return out.push(Effect::Ignored(gateway, Ignored::WrongSlot));
        }
        let Some(held) = self.held.get_mut(&slot).filter(|held| held.epoch == tenure.epoch) else {
            let known = Tenure { slot, epoch: self.fence.epoch(slot) };
            out.push(Effect::Ignored(gateway, Ignored::NotMine));
            return out.push(Effect::Send(gateway, Routed::NotMine { tenure: known }));
        };
        if held.is_sealed() {
            return out.push(Effect::Ignored(gateway, Ignored::Sealed));
        }
        if !self.gateways.get(&gateway).is_some_and(|peer| peer.confirmed.contains(slot)) {
            return out.push(Effect::Ignored(gateway, Ignored::Unconfirmed));
        }
        if let Some(hub) = held.hubs.get_mut(&user) {
            hub.hears(&up);
            return out.push(Effect::HubInput(user, up));
        }
        match up {
            Up::Attach(conn, _) => {
                let waits = if forgets { Vec::new() } else { held.awaited().to_vec() };
                held.start(user, slot, Rolls { held: waits, asked: Vec::new() }, out);
                if let Some(hub) = held.hubs.get_mut(&user) {
                    hub.conns.push(conn);
                }
                out.push(Effect::HubInput(user, up));
            }
            // Whether nobody is there is not known before every gateway has confirmed; who asks has the store's answer.
            Up::WhoIsOnline { gateway, request } if held.stage == Stage::Confirmed => {
                let frame = ToGateway::Online { request, devices: Vec::new() };
                out.push(Effect::Send(gateway, Routed::ToGateway { tenure, frame }));
            }
            // Nobody is there whom it could concern.
            _ => {}
        }
    }

    /// From a hub.
    pub(super) fn hub_says(
        &mut self,
        user: UserId,
        hub_epoch: u64,
        gateway: GatewayId,
        frame: ToGateway,
        out: &mut Vec<Effect>,
    ) {
        let slot = Slot::of(user);
        if matches!(frame, ToGateway::Roll { .. }) {
            return;
        }
        let ghosts = planted!(self, GhostSpeaks);
        let Some(held) = self.held.get(&slot) else { return };
        let tenure = Tenure { slot, epoch: held.epoch };
        // A hub that was dropped may not have noticed yet.
        let speaks = held.hubs.get(&user).is_some_and(|hub| hub.epoch == hub_epoch) || ghosts;
        let confirmed = self.gateways.get(&gateway).is_some_and(|peer| peer.confirmed.contains(slot));
        if speaks && confirmed {
            out.push(Effect::Send(gateway, Routed::ToGateway { tenure, frame }));
        }
    }

    pub(super) fn hub_loads(&mut self, user: UserId, hub_epoch: u64, out: &mut Vec<Effect>) {
        let Some(held) = self.held.get_mut(&Slot::of(user)) else { return };
        let confirmed = held.stage == Stage::Confirmed;
        if let Some(hub) = held.hubs.get_mut(&user).filter(|hub| hub.epoch == hub_epoch) {
            hub.loads = !confirmed;
            if confirmed {
                out.push(Effect::Load { user, hub_epoch });
            }
        }
    }

    pub(super) fn hub_gone(&mut self, user: UserId, hub_epoch: u64, failed: bool) {
        let Some(held) = self.held.get_mut(&Slot::of(user)) else { return };
        let Some(hub) = held.hubs.get_mut(&user).filter(|hub| hub.epoch == hub_epoch) else { return };
        if failed {
            // What it still hears, it does not remember; its successor asks for all of it.
            hub.conns = Vec::new();
            hub.rolls = None;
            hub.loads = false;
        } else {
            held.hubs.remove(&user);
        }
    }

    /// Unlike the first hub of a tenure, this one cannot know of any gateway that it has nobody.
    pub(super) fn hub_restart(&mut self, user: UserId, out: &mut Vec<Effect>) {
        let slot = Slot::of(user);
        let confirmed = self.gateways.iter().filter(|(_, peer)| peer.confirmed.contains(slot));
        let asked: Vec<GatewayId> = confirmed.map(|(gateway, _)| *gateway).collect();
        let Some(held) = self.held.get_mut(&slot) else { return };
        if held.hubs.contains_key(&user) {
            let waits = held.awaited().to_vec();
            held.start(user, slot, Rolls { held: waits, asked }, out);
        }
    }
}

impl Held {
    /// Starts a hub that has to hear these gateways, and asks those that can be asked.
    pub(super) fn start(&mut self, user: UserId, slot: Slot, rolls: Rolls, out: &mut Vec<Effect>) {
        self.started += 1;
        let hub_epoch = hub_epoch(self.epoch, self.started);
        let mut recover_from = rolls.held.clone();
        recover_from.extend_from_slice(&rolls.asked);
        recover_from.sort_unstable();
        out.push(Effect::StartHub { user, hub_epoch, recover_from });
        let tenure = Tenure { slot, epoch: self.epoch };
        out.extend(rolls.asked.iter().map(|gateway| roll(user, tenure, hub_epoch, *gateway)));
        let rolls = (!rolls.held.is_empty() || !rolls.asked.is_empty()).then(|| Box::new(rolls));
        self.hubs.insert(user, HubRecord { epoch: hub_epoch, conns: Vec::new(), rolls, loads: false });
    }
}

/// The incarnation of a hub: the slot's epoch, and how many hubs the tenure has had.
fn hub_epoch(epoch: Epoch, count: u64) -> u64 {
    (epoch.0 << HUB_EPOCH_BITS) | (count & ((1 << HUB_EPOCH_BITS) - 1))
}

impl HubRecord {
    /// Notes which connections there are, and which gateways have answered.
    fn hears(&mut self, up: &Up) {
        match up {
            Up::Attach(conn, _) | Up::Announce { conn, .. } => self.meets(*conn),
            Up::Roster { gateway, epoch, conns } if *epoch == self.epoch => {
                conns.iter().for_each(|conn| self.meets(*conn));
                self.answered(*gateway);
            }
            Up::Gone(conn) => self.conns.retain(|known| known != conn),
            _ => {}
        }
    }

    fn meets(&mut self, conn: ConnId) {
        if !self.conns.contains(&conn) {
            self.conns.push(conn);
        }
    }

    /// Whether this gateway was to answer, or to be asked.
    fn answered(&mut self, gateway: GatewayId) -> bool {
        let Some(rolls) = &mut self.rolls else { return false };
        let Rolls { held, asked } = &mut **rolls;
        let before = held.len() + asked.len();
        held.retain(|other| *other != gateway);
        asked.retain(|other| *other != gateway);
        let after = held.len() + asked.len();
        if after == 0 {
            self.rolls = None;
        }
        after < before
    }

    /// A gateway has confirmed; if it was still to be asked, it has not listed this user.
    pub(super) fn nobody_at(&mut self, user: UserId, gateway: GatewayId, out: &mut Vec<Effect>) {
        let held = self.rolls.as_ref().is_some_and(|rolls| rolls.held.contains(&gateway));
        if held && self.answered(gateway) {
            out.push(Effect::HubInput(user, nobody(gateway, self.epoch)));
        }
    }

    pub(super) fn gateway_gone(&mut self, user: UserId, gateway: GatewayId, out: &mut Vec<Effect>) {
        if self.answered(gateway) {
            out.push(Effect::HubInput(user, nobody(gateway, self.epoch)));
        }
        let conns = &mut self.conns;
        let gone: Vec<ConnId> = conns.iter().copied().filter(|conn| conn.gateway == gateway).collect();
        conns.retain(|conn| conn.gateway != gateway);
        out.extend(gone.into_iter().map(|conn| Effect::HubInput(user, Up::Gone(conn))));
    }
}
