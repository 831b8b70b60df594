//! In one process: hubs and gateways that die, what is lost with them, and what follows.

use std::time::Duration;

use streamz_hub::Hub;
use streamz_protocol::bus::Up;

use crate::history::What;
use crate::world::{Event, World};

impl World {
    /// A hub dies; what was in its mailbox and what it had not quite sent is lost.
    pub(crate) fn crash_hub(&mut self, user: usize) {
        if self.hubs[user].down || self.hubs[user].hub.is_none() {
            return;
        }
        self.saw(What::HubCrashed { user, planned: false });
        let node = self.dice.chance(50);
        for gateway in 0..self.gateways.len() {
            let Some(links) = self.links.get_mut(&(user, gateway)) else { continue };
            let up = self.dice.range(0, links.up.on_its_way());
            links.up.lose_first(up);
            if node {
                let down = self.dice.range(0, links.down.on_its_way());
                links.down.lose_last(down);
            }
        }
        let slot = &mut self.hubs[user];
        slot.hub = None;
        slot.armed = None;
        slot.down = true;
        slot.epoch += 1;
        let back = match self.dice.below(10) {
            0..4 => Duration::ZERO,
            4..9 => self.dice.millis(1, 1_500),
            _ => self.dice.millis(5_000, 50_000),
        };
        self.after(back, Event::HubBack { user });
    }

    pub(crate) fn hub_back(&mut self, user: usize) {
        let gateways: Vec<_> =
            self.gateways.iter().filter(|gateway| gateway.believed).map(|gateway| gateway.id).collect();
        let slot = &mut self.hubs[user];
        slot.down = false;
        slot.epoch += 1;
        slot.last_input = self.now;
        let (hub, effects) =
            Hub::recover(self.user_ids[user], slot.epoch, self.plan.limits.clone(), &gateways);
        self.hubs[user].hub = Some(self.prepared(hub));
        self.carry_out_for_hub(user, effects);
        self.arm_hub(user);
    }

    /// A gateway died: of what it had not quite sent some is lost, and nothing reaches it any more.
    pub(crate) fn lose_links_of(&mut self, gateway: usize) {
        for user in 0..self.hubs.len() {
            if let Some(links) = self.links.get_mut(&(user, gateway)) {
                let lost = self.dice.range(0, links.up.on_its_way());
                links.up.lose_last(lost);
            }
        }
    }

    /// Hubs learn that a gateway is dead: nothing more will come from it, not even its answer to a roll.
    pub(crate) fn gateway_missed(&mut self, gateway: usize) {
        self.saw(What::GatewayMissed { gateway });
        self.gateways[gateway].believed = false;
        let id = self.gateways[gateway].id;
        for user in 0..self.hubs.len() {
            let epoch = self.hubs[user].epoch;
            self.up(user, gateway, Up::Roster { gateway: id, epoch, conns: Vec::new() });
            for pipe in 0..self.pipes.len() {
                if self.pipes[pipe].gateway == gateway && self.clients[self.pipes[pipe].device].user == user {
                    let conn = self.conn(pipe);
                    self.up(user, gateway, Up::Gone(conn));
                }
            }
        }
    }

    pub(crate) fn store_back(&mut self) {
        self.saw(What::StoreBack);
        self.store_away = false;
        for store in &mut self.stores {
            store.waiting = 0;
        }
    }
}
