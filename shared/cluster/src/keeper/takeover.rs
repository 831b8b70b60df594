//! Slots that begin and end, and the gateways that confirm them.

use streamz_protocol::bus::{ToGateway, Up};
use streamz_protocol::cluster::{Assignment, Routed, Slot, Tenure};
use streamz_protocol::{GatewayId, Millis, UserId};

use super::{CLAIM_MAX, Effect, Held, Ignored, Keeper, Peer, Rolls, Stage};
use crate::planted::planted;
use crate::slots::SlotRow;

impl Keeper {
    /// The gateways that live. Ids are never used twice, so who is not there any more does not come back.
    pub(super) fn gateways_read(&mut self, live: &[GatewayId], out: &mut Vec<Effect>) {
        let gone: Vec<GatewayId> =
            self.gateways.keys().copied().filter(|known| !live.contains(known)).collect();
        for gateway in gone {
            self.gateway_gone(gateway, out);
        }
        for gateway in live {
            if self.gateways.contains_key(gateway) {
                continue;
            }
            // It has registered after the slots were assigned, and read the table after that: it can know no older
            // epoch, and its confirmation is not waited for. But it serves nobody before it has confirmed.
            self.gateways.insert(*gateway, Peer::default());
            let claims = self.held.iter().filter(|(_, held)| !held.is_sealed());
            let tenures: Vec<Tenure> =
                claims.map(|(slot, held)| Tenure { slot: *slot, epoch: held.epoch }).collect();
            self.claim(*gateway, &tenures, out);
        }
    }

    fn claim(&self, gateway: GatewayId, tenures: &[Tenure], out: &mut Vec<Effect>) {
        for batch in tenures.chunks(CLAIM_MAX) {
            let claim = Routed::Claim { node: self.node, tenures: batch.to_vec() };
            out.push(Effect::Send(gateway, claim));
        }
    }

    /// Nothing more comes from it: it has confirmed everything, with nobody, and its connections are gone.
    fn gateway_gone(&mut self, gateway: GatewayId, out: &mut Vec<Effect>) {
        self.gateways.remove(&gateway);
        for (slot, held) in &mut self.held {
            if held.is_sealed() {
                continue;
            }
            for (user, hub) in &mut held.hubs {
                hub.gateway_gone(*user, gateway, out);
            }
            held.confirmed_by(*slot, gateway, out);
        }
    }

    /// What the store says. A row that names this node anew begins a tenure; the list of gateways is as new.
    pub(super) fn rows(&mut self, rows: Vec<SlotRow>, now: Millis, out: &mut Vec<Effect>) {
        let mut begun = Vec::new();
        for row in rows {
            let Assignment { tenure, owner } = row.assignment;
            if self.held.get(&tenure.slot).is_some_and(|held| held.epoch == tenure.epoch) {
                if let Some(held) = self.held.get_mut(&tenure.slot) {
                    held.heir = row.moving_to.filter(|heir| *heir != self.node);
                }
                continue;
            }
            if !self.fence.learn(tenure) {
                continue;
            }
            self.end(tenure.slot, out);
            if owner == Some(self.node) {
                self.held.insert(tenure.slot, Held::new(tenure, row.moving_to, now));
                begun.push(tenure);
            }
        }
        self.begin(&begun, now, out);
    }

    /// What another process says: enough to stop, and to ask the store whether to begin or to hand over.
    pub(super) fn hint(&mut self, changes: &[Assignment], out: &mut Vec<Effect>) {
        let mut reads = false;
        for Assignment { tenure, owner } in changes {
            let newer = tenure.epoch > self.fence.epoch(tenure.slot);
            if newer && *owner == Some(self.node) {
                // Learned with the read, which has the list of gateways with it.
                reads = true;
            } else if !newer && self.tenure(tenure.slot) == Some(*tenure) {
                // Something of this node's own has changed: where it is to go.
                reads = true;
            } else if newer {
                self.fence.learn(*tenure);
                self.end(tenure.slot, out);
            }
        }
        if reads {
            out.push(Effect::Read);
        }
    }

    /// The slot is somebody else's, or its tenure begins anew.
    pub(super) fn end(&mut self, slot: Slot, out: &mut Vec<Effect>) {
        for peer in self.gateways.values_mut() {
            peer.confirmed.remove(slot);
        }
        if let Some(held) = self.held.remove(&slot)
            && !held.is_sealed()
        {
            out.push(Effect::DropHubs(slot));
        }
    }

    /// Asks every gateway to confirm.
    pub(super) fn begin(&mut self, tenures: &[Tenure], now: Millis, out: &mut Vec<Effect>) {
        if tenures.is_empty() {
            return;
        }
        let gateways: Vec<GatewayId> = self.gateways.keys().copied().collect();
        for gateway in &gateways {
            self.claim(*gateway, tenures, out);
        }
        let early = self.early();
        for tenure in tenures {
            let Some(held) = self.held.get_mut(&tenure.slot) else { continue };
            held.since = now;
            held.stage = Stage::Claiming(if early { Vec::new() } else { gateways.clone() });
            held.settle(tenure.slot, out);
        }
    }

    /// A gateway confirms; from here on its link brings what concerns these slots.
    pub(super) fn claimed(
        &mut self,
        gateway: GatewayId,
        tenures: &[Tenure],
        users: &[UserId],
        out: &mut Vec<Effect>,
    ) {
        let stale_too = planted!(self, StaleClaimedAccepted);
        let silent = planted!(self, SilentConfirmation);
        let forgets = planted!(self, HeldRollDropped);
        let Some(peer) = self.gateways.get_mut(&gateway) else {
            return out.push(Effect::Ignored(gateway, Ignored::Unconfirmed));
        };
        let mut accepted = Vec::new();
        for tenure in tenures {
            match self.held.get(&tenure.slot) {
                Some(held) if held.epoch != tenure.epoch && !stale_too => {
                    out.push(Effect::Ignored(gateway, Ignored::NotMine));
                }
                Some(held) if held.is_sealed() => out.push(Effect::Ignored(gateway, Ignored::Sealed)),
                // A second one says nothing new: since the first, everything from there is taken.
                Some(_) if peer.confirmed.insert(tenure.slot) => accepted.push(tenure.slot),
                Some(_) => {}
                None => out.push(Effect::Ignored(gateway, Ignored::NotMine)),
            }
        }
        for user in users {
            let slot = Slot::of(*user);
            if accepted.contains(&slot)
                && let Some(held) = self.held.get_mut(&slot)
            {
                held.listed(*user, slot, gateway, forgets, out);
            }
        }
        for slot in accepted {
            let Some(held) = self.held.get_mut(&slot) else { continue };
            if !silent {
                for (user, hub) in &mut held.hubs {
                    hub.nobody_at(*user, gateway, out);
                }
            }
            held.confirmed_by(slot, gateway, out);
        }
    }
}

impl Held {
    pub(super) fn new(tenure: Tenure, heir: Option<streamz_protocol::NodeId>, now: Millis) -> Self {
        Self {
            epoch: tenure.epoch,
            stage: Stage::Claiming(Vec::new()),
            heir,
            since: now,
            hubs: std::collections::BTreeMap::new(),
            started: 0,
        }
    }

    pub(super) fn is_sealed(&self) -> bool {
        matches!(self.stage, Stage::Flushing | Stage::HandingOver(_))
    }

    /// The gateways that have not confirmed.
    pub(super) fn awaited(&self) -> &[GatewayId] {
        match &self.stage {
            Stage::Claiming(awaited) => awaited,
            _ => &[],
        }
    }

    fn confirmed_by(&mut self, slot: Slot, gateway: GatewayId, out: &mut Vec<Effect>) {
        if let Stage::Claiming(awaited) = &mut self.stage {
            awaited.retain(|other| *other != gateway);
        }
        self.settle(slot, out);
    }

    /// Confirmed, if nobody is awaited any more.
    fn settle(&mut self, slot: Slot, out: &mut Vec<Effect>) {
        if !matches!(&self.stage, Stage::Claiming(awaited) if awaited.is_empty()) {
            return;
        }
        self.stage = Stage::Confirmed;
        out.push(Effect::Confirmed(Tenure { slot, epoch: self.epoch }));
        for (user, hub) in &mut self.hubs {
            if std::mem::take(&mut hub.loads) {
                out.push(Effect::Load { user: *user, hub_epoch: hub.epoch });
            }
        }
    }

    /// A gateway that confirms has connections of this user.
    fn listed(&mut self, user: UserId, slot: Slot, gateway: GatewayId, forgets: bool, out: &mut Vec<Effect>) {
        let Some(hub) = self.hubs.get_mut(&user) else {
            // Those that confirmed before have nobody of this user; the others have still to say.
            let mut held = self.awaited().to_vec();
            held.retain(|other| *other != gateway && !forgets);
            return self.start(user, slot, Rolls { held, asked: vec![gateway] }, out);
        };
        if let Some(rolls) = &mut hub.rolls
            && rolls.held.contains(&gateway)
        {
            rolls.held.retain(|other| *other != gateway);
            rolls.asked.push(gateway);
        }
        // If the gateway was not to be asked, these are connections of one that came late, whose request was refused
        // there until now: the question has them put it again, and the hub needs no other answer.
        out.push(roll(user, Tenure { slot, epoch: self.epoch }, hub.epoch, gateway));
    }
}

/// Asks a gateway for its connections of a user.
pub(super) fn roll(user: UserId, tenure: Tenure, hub_epoch: u64, gateway: GatewayId) -> Effect {
    let frame = ToGateway::Roll { user, epoch: hub_epoch };
    Effect::Send(gateway, Routed::ToGateway { tenure, frame })
}

/// What a gateway that has nobody answers to a question.
pub(super) fn nobody(gateway: GatewayId, epoch: u64) -> Up {
    Up::Roster { gateway, epoch, conns: Vec::new() }
}
