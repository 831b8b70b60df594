//! Nodes: the shell around each user's hub, its links to the gateways, and its desk at the store.

use std::time::Duration;

use streamz_hub::{Context, Effect, Hub, Input, RegisterFailure, Rest, StoreAway};
use streamz_protocol::bus::{DeviceChange, Down, Item, ToGateway, Up};
use streamz_protocol::objects::Device;
use streamz_protocol::{ConnId, EndReason, Millis, SessionId};

use crate::history::What;
use crate::world::{Event, World};

/// The place of one user's hub.
#[derive(Default)]
pub(crate) struct HubSlot {
    pub(crate) hub: Option<Hub>,
    /// It crashed and is not replaced yet.
    pub(crate) down: bool,
    /// The incarnation that is there, or was there last.
    pub(crate) epoch: u64,
    armed: Option<Millis>,
    last_input: Millis,
    /// Whose frames go to which connection, as the last attach or announcement said.
    sessions: std::collections::BTreeMap<ConnId, SessionId>,
}

/// The two directions between one gateway and the place of one user's hub.
#[derive(Default)]
pub(crate) struct Links {
    pub(crate) up: Link,
    pub(crate) down: Link,
}

/// Keeps order; loses a run of frames if one of its ends dies.
#[derive(Default)]
pub(crate) struct Link {
    free: Millis,
    sent: u64,
    arrived: u64,
    lost: Vec<(u64, u64)>,
}

impl Link {
    fn send(&mut self, at: Millis) -> (Millis, u64) {
        self.free = self.free.max(at);
        self.sent += 1;
        (self.free, self.sent)
    }

    fn arrives(&mut self, order: u64) -> bool {
        self.arrived = order;
        !self.lost.iter().any(|(from, to)| (*from..=*to).contains(&order))
    }

    /// What is on its way to a process that died in its mailbox: the first of it.
    fn lose_first(&mut self, count: u64) {
        self.lost.push((self.arrived + 1, (self.arrived + count).min(self.sent)));
    }

    /// What a process had not quite sent when it died: the last of it.
    fn lose_last(&mut self, count: u64) {
        self.lost.push(((self.sent + 1).saturating_sub(count).max(self.arrived + 1), self.sent));
    }

    fn on_its_way(&self) -> u64 {
        self.sent - self.arrived
    }

    pub(crate) fn stall(&mut self, until: Millis) {
        self.free = self.free.max(until);
    }
}

/// An answer of the store.
#[derive(Debug)]
pub(crate) enum Answer {
    Devices(Result<Option<Vec<Device>>, StoreAway>),
    Registered(ConnId, Result<Device, RegisterFailure>),
}

impl World {
    /// A connection tells its hub.
    pub(crate) fn send_up(&mut self, pipe: usize, up: Up) {
        let gateway = self.pipes[pipe].gateway;
        let user = self.clients[self.pipes[pipe].device].user;
        self.up(user, gateway, up);
    }

    pub(crate) fn up(&mut self, user: usize, gateway: usize, up: Up) {
        let at = self.now + self.dice.millis(0, self.plan.bus_delay);
        let (at, order) = self.links.entry((user, gateway)).or_default().up.send(at);
        self.at(at, Event::ToHub { user, gateway, order, up: Box::new(up) });
    }

    fn down(&mut self, user: usize, gateway: usize, frame: ToGateway) {
        let at = self.now + self.dice.millis(0, self.plan.bus_delay);
        let (at, order) = self.links.entry((user, gateway)).or_default().down.send(at);
        self.at(at, Event::FromHub { user, gateway, order, frame: Box::new(frame) });
    }

    pub(crate) fn up_arrives(&mut self, user: usize, gateway: usize, order: u64, up: Up) {
        if !self.links.entry((user, gateway)).or_default().up.arrives(order) || self.hubs[user].down {
            return;
        }
        if self.hubs[user].hub.is_none() {
            // Nobody is there whom anything but a new connection could concern.
            if !matches!(up, Up::Attach(..)) {
                return;
            }
            let slot = &mut self.hubs[user];
            slot.epoch += 1;
            slot.armed = None;
            let hub = Hub::new(self.user_ids[user], slot.epoch, self.plan.limits.clone());
            self.hubs[user].hub = Some(self.prepared(hub));
        }
        // The worst moment for a crash is when a session changes hands.
        let handover = matches!(up, Up::Attach(..)) && self.plan.faults.hub_crash.is_some() && !self.healed;
        if handover && self.dice.chance(10) {
            let soon = self.dice.millis(0, 1 + self.plan.bus_delay);
            self.after(soon, Event::Crash { user });
        }
        if let Up::Announce { conn, replica, .. } = &up {
            self.hubs[user].sessions.insert(*conn, replica.session);
        }
        self.tell_hub(user, Input::Up(up));
    }

    /// The account's changes are told by HTTP handlers, which know whether a hub has heard them.
    pub(crate) fn account_changed(&mut self, user: usize, device: usize, up: Box<Up>) {
        if self.hubs[user].down || self.hubs[user].hub.as_ref().is_some_and(Hub::is_recovering) {
            return self.after(Duration::from_millis(50), Event::AccountChanged { user, device, up });
        }
        match *up {
            Up::Devices(DeviceChange::Removed(_)) => self.saw(What::Removed { device }),
            Up::Revoke { .. } => self.saw(What::Revoked { device }),
            _ => {}
        }
        if self.hubs[user].hub.is_some() {
            self.tell_hub(user, Input::Up(*up));
        }
    }

    pub(crate) fn down_arrives(&mut self, user: usize, gateway: usize, order: u64, frame: ToGateway) {
        if self.links.entry((user, gateway)).or_default().down.arrives(order) {
            self.gateway_hears(gateway, frame);
        }
    }

    #[cfg_attr(not(feature = "planted-bugs"), allow(unused_mut, clippy::unused_self))]
    fn prepared(&self, mut hub: Hub) -> Hub {
        #[cfg(feature = "planted-bugs")]
        if let Some(crate::Bug::Hub(bug)) = self.bug {
            hub.plant(bug);
        }
        hub
    }

    fn tell_hub(&mut self, user: usize, input: Input) {
        let room = !self.store_away || self.stores[user].waiting < self.plan.record_queue;
        let slot = &mut self.hubs[user];
        let Some(hub) = &mut slot.hub else { return };
        if !matches!(input, Input::Tick) {
            slot.last_input = self.now;
        }
        let recovering = hub.is_recovering();
        let dice = &mut self.dice;
        let mut context =
            Context { now: self.now, new_id: &mut || dice.uuid(), record_room: room, may_decide: true };
        let effects = hub.handle(input, &mut context);
        if recovering && !hub.is_recovering() {
            self.saw(What::HubRecovered { user });
            self.close_orphans(user);
        }
        self.check_hub(user);
        self.carry_out_for_hub(user, effects);
        self.arm_hub(user);
    }

    fn carry_out_for_hub(&mut self, user: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Down(conn, down) => {
                    self.number(user, conn, &down);
                    if let Some(gateway) = self.gateway_of(conn) {
                        self.down(user, gateway, ToGateway::Conn(conn, down));
                    }
                }
                Effect::Gateway(id, frame) => {
                    if let Some(at) = self.gateways.iter().position(|gateway| gateway.id == id) {
                        self.down(user, at, frame);
                    }
                }
                Effect::Load => self.load(user),
                Effect::Register { conn, device, .. } => self.register(user, conn, &device),
                Effect::Presence { row, online, .. } => {
                    self.saw(What::Presence { user, row, online });
                    match self.row_owner(row) {
                        Some(owner) if owner == user => self.stores[user].write_presence(row, online),
                        _ => self.breaks(format!("P7: the hub of user {user} wrote another's row {row}")),
                    }
                }
                Effect::Record(record) => {
                    self.saw(What::Recorded { user, record: record.clone() });
                    if self.store_away {
                        self.stores[user].waiting += 1;
                    }
                    self.stores[user].records.insert(record.id, *record);
                }
            }
        }
    }

    fn gateway_of(&self, conn: ConnId) -> Option<usize> {
        self.gateways.iter().position(|gateway| gateway.id == conn.gateway)
    }

    /// Notes which frame got which number.
    fn number(&mut self, user: usize, conn: ConnId, down: &Down) {
        let replayed = matches!(down, Down::Attached(_));
        let frames: Vec<_> = match down {
            Down::Attached(attached) => {
                self.hubs[user].sessions.insert(conn, attached.session);
                let (session, last_seq) = (attached.session, attached.last_seq);
                self.saw(What::Offered { session, last_seq });
                attached.replay.clone()
            }
            Down::Batch(items) => items
                .iter()
                .filter_map(|item| match item {
                    Item::Frame(frame) => Some(frame.clone()),
                    _ => None,
                })
                .collect(),
            _ => return,
        };
        let Some(session) = self.hubs[user].sessions.get(&conn).copied() else { return };
        for frame in frames {
            let bytes = frame.body.len();
            self.saw(What::Numbered { user, session, seq: frame.seq, class: frame.class, bytes, replayed });
        }
    }

    fn load(&mut self, user: usize) {
        let answer =
            if self.store_away { Err(StoreAway) } else { Ok(Some(self.stores[user].devices.clone())) };
        self.answer(user, Answer::Devices(answer));
    }

    fn register(&mut self, user: usize, conn: ConnId, device: &streamz_protocol::DeviceId) {
        let answer = if self.store_away {
            Err(RegisterFailure::StoreAway)
        } else {
            let row = self.dice.uuid();
            let limit = self.plan.limits.devices_registered;
            self.stores[user].register(self.user_ids[user], row, device, limit, self.now)
        };
        self.answer(user, Answer::Registered(conn, answer));
    }

    fn answer(&mut self, user: usize, answer: Answer) {
        let delay = self.dice.millis(0, self.plan.store_delay);
        let epoch = self.hubs[user].epoch;
        self.after(delay, Event::Stored { user, epoch, answer });
    }

    pub(crate) fn stored(&mut self, user: usize, epoch: u64, answer: Answer) {
        if self.hubs[user].epoch != epoch {
            return;
        }
        let input = match answer {
            Answer::Devices(devices) => Input::Loaded(devices),
            Answer::Registered(conn, device) => Input::Registered(conn, device),
        };
        self.tell_hub(user, input);
    }

    fn arm_hub(&mut self, user: usize) {
        let idle = self.plan.idle;
        let now = self.now;
        let slot = &mut self.hubs[user];
        let Some(hub) = &slot.hub else { return };
        let epoch = slot.epoch;
        let due = hub.next_deadline();
        let rest = hub.rest();
        let since = slot.last_input;
        if let Some(due) = due
            && slot.armed.is_none_or(|armed| due < armed)
        {
            slot.armed = Some(due);
            self.at(due, Event::HubTimer { user, epoch, due });
        }
        match rest {
            Rest::Busy => {}
            Rest::Quiet => self.at(
                (since + idle).max(now + Duration::from_millis(1)),
                Event::HubRest { user, epoch, since },
            ),
            Rest::Empty => self.after(Duration::from_millis(1), Event::HubRest { user, epoch, since }),
        }
    }

    pub(crate) fn hub_timer(&mut self, user: usize, epoch: u64, due: Millis) {
        let slot = &mut self.hubs[user];
        if slot.epoch == epoch && slot.armed == Some(due) {
            slot.armed = None;
            self.tell_hub(user, Input::Tick);
            self.arm_hub(user);
        }
    }

    /// Ends the records of streams that only the dead hub knew: it is for the node that takes over to do, for no hub
    /// can know of them.
    fn close_orphans(&mut self, user: usize) {
        let Some(hub) = &self.hubs[user].hub else { return };
        let live: Vec<_> = hub.live_streams().map(|stream| stream.id).collect();
        for record in self.stores[user].records.values_mut() {
            if record.ended_at.is_none() && !live.contains(&record.id) {
                record.ended_at = Some(self.now);
                record.end_reason = Some(EndReason::ServerRestart.as_str().to_owned());
            }
        }
    }

    /// Puts a quiet hub to sleep, which is to shrink and to move it, and lets an empty one go.
    pub(crate) fn hub_rest(&mut self, user: usize, epoch: u64, since: Millis) {
        let slot = &mut self.hubs[user];
        if slot.epoch != epoch || slot.last_input != since {
            return;
        }
        let Some(hub) = &mut slot.hub else { return };
        match hub.rest() {
            Rest::Busy => {}
            Rest::Quiet => {
                hub.shrink(self.now);
                slot.hub = Some(hub.clone());
                self.check_hub(user);
            }
            Rest::Empty => slot.hub = None,
        }
    }

    /// A hub dies; what was in its mailbox and what it had not quite sent is lost.
    pub(crate) fn crash_hub(&mut self, user: usize) {
        if self.hubs[user].down || self.hubs[user].hub.is_none() {
            return;
        }
        self.saw(What::HubCrashed { user });
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
        slot.sessions.clear();
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
