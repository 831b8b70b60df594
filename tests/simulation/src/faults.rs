//! Faults: which strike when, and the end of all of them.

use std::time::Duration;

use streamz_protocol::bus::{DeviceChange, Up};

use crate::history::What;
use crate::world::{Event, Strike, World};

impl World {
    pub(crate) fn plan_strikes(&mut self) {
        let faults = self.plan.faults;
        let strikes = [
            Strike::Cut,
            Strike::Silence,
            Strike::Restart,
            Strike::Stall,
            Strike::HubCrash,
            Strike::GatewayCrash,
            Strike::BusStall,
            Strike::Overflow,
            Strike::Store,
            Strike::Account,
        ];
        for strike in strikes {
            if let Some(mean) = faults.mean(strike) {
                let after = self.dice.around(mean);
                self.after(after, Event::Strike(strike));
            }
        }
    }

    pub(crate) fn strike(&mut self, strike: Strike) {
        if self.healed {
            return;
        }
        if let Some(mean) = self.plan.faults.mean(strike) {
            let after = self.dice.around(mean);
            self.after(after, Event::Strike(strike));
        }
        match strike {
            Strike::Cut => {
                if let Some(pipe) = self.any_pipe() {
                    self.break_pipe(pipe);
                }
            }
            Strike::Silence => {
                if let Some(pipe) = self.any_pipe() {
                    self.saw(What::Troubled { pipe });
                    self.pipes[pipe].silent = true;
                    let noticed = self.dice.pick(&[500, 5_000, 40_000, 70_000]);
                    self.after(Duration::from_millis(noticed), Event::DeviceNotices { pipe });
                }
            }
            Strike::Restart => self.restart_device(),
            Strike::Stall => {
                if let Some(pipe) = self.any_pipe() {
                    self.saw(What::Troubled { pipe });
                    let until = self.now + self.dice.millis(200, 20_000);
                    self.pipes[pipe].stalled = until;
                }
            }
            Strike::HubCrash => {
                let user = self.dice.size(0, self.hubs.len() - 1);
                self.crash_hub(user);
            }
            Strike::GatewayCrash => {
                let alive: Vec<usize> =
                    (0..self.gateways.len()).filter(|at| self.gateways[*at].alive).collect();
                let gateway = self.dice.pick(&alive);
                self.crash_gateway(gateway);
            }
            Strike::BusStall => self.stall_bus(),
            Strike::Overflow => {
                if let Some(pipe) = self.any_pipe() {
                    self.saw(What::Troubled { pipe });
                    self.feed(pipe, streamz_session::Input::Overflowed);
                }
            }
            Strike::Store => {
                self.saw(What::StoreAway);
                self.store_away = true;
                let back = self.dice.millis(500, 20_000);
                self.after(back, Event::StoreBack);
            }
            Strike::Account => self.change_account(),
        }
    }

    /// A connection that both ends hold.
    fn any_pipe(&mut self) -> Option<usize> {
        let held: Vec<usize> =
            self.clients.iter().filter_map(|client| client.pipe).filter(|at| !self.pipes[*at].cut).collect();
        if held.is_empty() { None } else { Some(self.dice.pick(&held)) }
    }

    fn restart_device(&mut self) {
        let device = self.dice.size(0, self.clients.len() - 1);
        self.saw(What::Restarts { device });
        let old = self.clients[device].pipe.take();
        self.clients[device].live = false;
        self.clients[device].forget();
        if let Some(pipe) = old {
            self.pipes[pipe].held = false;
            self.saw(What::Closed { device, pipe, code: None });
            if self.dice.chance(50) {
                self.pipes[pipe].silent = true;
            } else {
                self.break_pipe(pipe);
            }
        }
        let after = self.dice.millis(0, 3_000);
        self.after(after, Event::Connect { device });
    }

    fn stall_bus(&mut self) {
        let links: Vec<(usize, usize)> = self.links.keys().copied().collect();
        if links.is_empty() {
            return;
        }
        let at = self.dice.pick(&links);
        let until = self.now + self.dice.millis(50, 6_000);
        self.saw(What::BusStalled { user: at.0, since: self.now, until });
        let both = self.dice.chance(50);
        let links = self.links.entry(at).or_default();
        links.up.stall(until);
        if both {
            links.down.stall(until);
        }
    }

    fn change_account(&mut self) {
        let device = self.dice.size(0, self.clients.len() - 1);
        let (user, id) = (self.clients[device].user, self.clients[device].id.clone());
        let up = match self.dice.below(3) {
            0 => {
                let name = format!("renamed at {}", self.now.0 % 100_000);
                let devices = &mut self.stores[user].devices;
                let Some(known) = devices.iter_mut().find(|known| known.device_id == id) else { return };
                known.device_name = name.as_str().into();
                Up::Devices(DeviceChange::Put(Box::new(known.clone())))
            }
            1 => {
                if !self.stores[user].remove(&id) {
                    return;
                }
                Up::Devices(DeviceChange::Removed(id))
            }
            _ => {
                let family = self.clients[device].family;
                self.clients[device].family = self.dice.uuid();
                Up::Revoke { family }
            }
        };
        let delay = self.dice.millis(0, 20);
        self.after(delay, Event::AccountChanged { user, device, up: Box::new(up) });
    }

    /// No more faults, no more work; some devices stay, some leave, some users leave altogether.
    pub(crate) fn heal(&mut self) {
        self.healed = true;
        self.saw(What::Healed);
        if self.store_away {
            self.store_back();
        }
        self.heal_cluster();
        for user in 0..self.plan.users.len() {
            let all_leave = self.dice.chance(30);
            for device in 0..self.clients.len() {
                if self.clients[device].user != user {
                    continue;
                }
                if all_leave || self.dice.chance(20) {
                    self.leave(device);
                } else {
                    self.clients[device].speed = None;
                    self.clients[device].wanted = true;
                    if let Some(pipe) = self.clients[device].pipe {
                        self.pipes[pipe].stalled = self.now;
                    } else {
                        let after = self.dice.millis(0, 2_000);
                        self.after(after, Event::Connect { device });
                    }
                }
            }
        }
    }

    /// A device goes for good, with or without a word.
    fn leave(&mut self, device: usize) {
        self.clients[device].wanted = false;
        let Some(pipe) = self.clients[device].pipe else { return };
        if self.dice.chance(50) {
            self.close_cleanly(device);
        } else {
            self.clients[device].pipe = None;
            self.clients[device].live = false;
            self.pipes[pipe].held = false;
            self.saw(What::Closed { device, pipe, code: None });
            self.break_pipe(pipe);
        }
    }
}
