//! Nodes: the shell around each user's hub, its links to the gateways, and its desk at the store.

use std::time::Duration;

use streamz_hub::{Context, Effect, Hub, Input, Record, RegisterFailure, Rest, StoreAway};
use streamz_protocol::bus::{DeviceChange, Down, Item, ToGateway, Up};
use streamz_protocol::cluster::Tenure;
use streamz_protocol::objects::Device;
use streamz_protocol::{ConnId, EndReason, GatewayId, Millis, ProcessId, StreamId};

use uuid::Uuid;

use crate::history::What;
use crate::world::{Event, World};

/// The place of one user's hub. In one process there is one for each user; in a cluster each hub has its own.
#[derive(Default)]
pub(crate) struct HubSlot {
    pub(crate) user: usize,
    /// In a cluster: the node, and the tenure in which it serves the user.
    pub(crate) home: Option<(ProcessId, Tenure)>,
    pub(crate) hub: Option<Hub>,
    /// It crashed and is not replaced yet.
    pub(crate) down: bool,
    /// The incarnation that is there, or was there last.
    pub(crate) epoch: u64,
    pub(crate) armed: Option<Millis>,
    pub(crate) last_input: Millis,
}

/// Something that a hub, or who looks after it, has written to the store.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Presence {
        user: usize,
        row: Uuid,
        online: bool,
    },
    Record {
        user: usize,
        record: Box<Record>,
    },
    /// Streams that are not among these are over.
    Orphans {
        user: usize,
        live: Vec<StreamId>,
    },
    /// No device of the user is there.
    Nobody {
        user: usize,
    },
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
        if self.plan.cluster.is_some() {
            return self.route_up(user, gateway, up);
        }
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
            self.sessions.insert(*conn, replica.session);
            self.attached.insert(*conn, replica.session);
        }
        self.tell_hub(user, Input::Up(up));
    }

    /// The account's changes are told by HTTP handlers, which know whether a hub has heard them.
    pub(crate) fn account_changed(&mut self, user: usize, device: usize, up: Box<Up>) {
        let Some(place) = self.listening(user) else {
            return self.after(Duration::from_millis(50), Event::AccountChanged { user, device, up });
        };
        match *up {
            Up::Devices(DeviceChange::Removed(_)) => self.saw(What::Removed { device }),
            Up::Revoke { .. } => self.saw(What::Revoked { device }),
            _ => {}
        }
        if let Some(place) = place {
            self.tell_hub(place, Input::Up(*up));
        }
    }

    /// The place of the hub that hears what is said to a user now; `None` within if nobody is there to hear it.
    fn listening(&self, user: usize) -> Option<Option<usize>> {
        if self.plan.cluster.is_some() {
            return self.listening_in_cluster(user);
        }
        let slot = &self.hubs[user];
        let deaf = slot.down || slot.hub.as_ref().is_some_and(Hub::is_recovering);
        (!deaf).then(|| slot.hub.is_some().then_some(user))
    }

    pub(crate) fn down_arrives(&mut self, user: usize, gateway: usize, order: u64, frame: ToGateway) {
        if self.links.entry((user, gateway)).or_default().down.arrives(order) {
            self.gateway_hears(gateway, frame);
        }
    }

    #[cfg_attr(not(feature = "planted-bugs"), allow(unused_mut, clippy::unused_self))]
    pub(crate) fn prepared(&self, mut hub: Hub) -> Hub {
        #[cfg(feature = "planted-bugs")]
        if let Some(crate::Bug::Hub(bug)) = self.bug {
            hub.plant(bug);
        }
        hub
    }

    pub(crate) fn tell_hub(&mut self, place: usize, input: Input) {
        let (room, may_decide) = self.circumstances(place);
        let user = self.hubs[place].user;
        let slot = &mut self.hubs[place];
        let Some(hub) = &mut slot.hub else { return };
        if !matches!(input, Input::Tick) {
            slot.last_input = self.now;
        }
        let recovering = hub.is_recovering();
        let announced = match &input {
            Input::Up(Up::Announce { epoch, replica, .. }) if *epoch == slot.epoch => {
                Some((replica.session, replica.generation, replica.last_seq))
            }
            _ => None,
        };
        let dice = &mut self.dice;
        let mut context =
            Context { now: self.now, new_id: &mut || dice.uuid(), record_room: room, may_decide };
        let effects = hub.handle(input, &mut context);
        let recovered = recovering && !hub.is_recovering();
        if let Some((session, generation, last_seq)) = announced.filter(|_| recovering) {
            self.saw(What::Announced { user, session, generation, last_seq });
        }
        if recovered {
            let hub_epoch = self.hubs[place].epoch;
            self.hub_is_back(user, hub_epoch);
            self.close_orphans(place);
        }
        self.check_hub(place);
        self.carry_out_for_hub(place, effects);
        self.arm_hub(place);
    }

    /// Whether records have room, and whether the node may decide.
    fn circumstances(&self, place: usize) -> (bool, bool) {
        let slot = &self.hubs[place];
        match slot.home {
            Some((node, _)) => self.node_circumstances(node),
            None => (!self.store_away || self.stores[slot.user].waiting < self.plan.record_queue, true),
        }
    }

    pub(crate) fn carry_out_for_hub(&mut self, place: usize, effects: Vec<Effect>) {
        let user = self.hubs[place].user;
        for effect in effects {
            match effect {
                Effect::Down(conn, down) => {
                    if self.hubs[place].home.is_none() {
                        self.number(user, conn, &down, self.now);
                    } else {
                        self.note_said(conn, &down);
                    }
                    self.say_down(place, conn.gateway, ToGateway::Conn(conn, down, None));
                }
                Effect::Gateway(id, frame) => self.say_down(place, id, frame),
                Effect::Load if self.hubs[place].home.is_some() => self.ask_keeper_to_load(place),
                Effect::Load => self.load(place),
                Effect::Register { conn, device, .. } => self.register(place, conn, &device),
                Effect::Presence { row, online, .. } => {
                    self.saw(What::Presence { user, row, online });
                    match self.row_owner(row) {
                        Some(owner) if owner == user => {
                            self.put_down(place, Write::Presence { user, row, online })
                        }
                        _ => self.breaks(format!("P7: the hub of user {user} wrote another's row {row}")),
                    }
                }
                Effect::Record(record) => {
                    self.saw(What::Recorded { user, record: record.clone() });
                    self.put_down(place, Write::Record { user, record });
                }
            }
        }
    }

    /// Notes what is on its way.
    fn note_said(&mut self, conn: ConnId, down: &Down) {
        if let Down::Attached(attached) = down {
            self.sessions.insert(conn, attached.session);
        }
        let (Down::Batch(items), Some(session)) = (down, self.sessions.get(&conn).copied()) else { return };
        for item in items {
            if let Item::Frame(frame) = item {
                self.saw(What::Said { session, seq: frame.seq, bytes: frame.body.len() });
            }
        }
    }

    fn say_down(&mut self, place: usize, id: GatewayId, frame: ToGateway) {
        if self.hubs[place].home.is_some() {
            return self.hub_says(place, id, frame);
        }
        if let Some(gateway) = self.gateways.iter().position(|gateway| gateway.id == id) {
            self.down(self.hubs[place].user, gateway, frame);
        }
    }

    /// Writes to the store: in one process at once, in a cluster by way of the node's desk.
    fn put_down(&mut self, place: usize, write: Write) {
        if let Some((node, tenure)) = self.hubs[place].home {
            return self.put_on_desk(node, tenure, write);
        }
        if let (true, Write::Record { user, .. }) = (self.store_away, &write) {
            self.stores[*user].waiting += 1;
        }
        self.written_down(write);
    }

    /// The store does what is written to it.
    pub(crate) fn written_down(&mut self, write: Write) {
        match write {
            Write::Presence { user, row, online } => self.stores[user].write_presence(row, online),
            Write::Record { user, record } => {
                self.stores[user].records.insert(record.id, *record);
            }
            Write::Orphans { user, live } => {
                for record in self.stores[user].records.values_mut() {
                    if record.ended_at.is_none() && !live.contains(&record.id) {
                        record.ended_at = Some(self.now);
                        record.end_reason = Some(EndReason::ServerRestart.as_str().to_owned());
                    }
                }
            }
            Write::Nobody { user } => self.stores[user].nobody_is_online(),
        }
    }

    /// Notes which frame got which number.
    pub(crate) fn number(&mut self, user: usize, conn: ConnId, down: &Down, said: Millis) {
        let replayed = matches!(down, Down::Attached(_));
        let island = self.is_island(conn.gateway);
        let frames: Vec<_> = match down {
            Down::Attached(attached) => {
                self.attached.insert(conn, attached.session);
                let (session, last_seq) = (attached.session, attached.last_seq);
                self.saw(What::Offered { user, session, last_seq });
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
        let Some(session) = self.attached.get(&conn).copied() else { return };
        for frame in frames {
            let bytes = frame.body.len();
            let (seq, class) = (frame.seq, frame.class);
            self.saw(What::Numbered { user, session, seq, class, bytes, replayed, island, said });
        }
    }

    /// Whether the store answers whoever serves this hub.
    fn store_answers(&self, place: usize) -> bool {
        !self.store_away && self.hubs[place].home.is_none_or(|(node, _)| !self.is_cut(node))
    }

    pub(crate) fn load(&mut self, place: usize) {
        let user = self.hubs[place].user;
        let answer = if self.store_answers(place) {
            Ok(Some(self.stores[user].devices.clone()))
        } else {
            Err(StoreAway)
        };
        self.answer(place, Answer::Devices(answer));
    }

    fn register(&mut self, place: usize, conn: ConnId, device: &streamz_protocol::DeviceId) {
        let user = self.hubs[place].user;
        let answer = if self.store_answers(place) {
            let row = self.dice.uuid();
            let limit = self.plan.limits.devices_registered;
            self.stores[user].register(self.user_ids[user], row, device, limit, self.now)
        } else {
            Err(RegisterFailure::StoreAway)
        };
        self.answer(place, Answer::Registered(conn, answer));
    }

    fn answer(&mut self, place: usize, answer: Answer) {
        let delay = self.dice.millis(0, self.plan.store_delay);
        let epoch = self.hubs[place].epoch;
        self.after(delay, Event::Stored { place, epoch, answer });
    }

    pub(crate) fn stored(&mut self, place: usize, epoch: u64, answer: Answer) {
        if self.hubs[place].epoch != epoch {
            return;
        }
        let input = match answer {
            Answer::Devices(devices) => Input::Loaded(devices),
            Answer::Registered(conn, device) => Input::Registered(conn, device),
        };
        self.tell_hub(place, input);
    }

    pub(crate) fn arm_hub(&mut self, place: usize) {
        let idle = self.plan.idle;
        let now = self.now;
        let slot = &mut self.hubs[place];
        let Some(hub) = &slot.hub else { return };
        let epoch = slot.epoch;
        let due = hub.next_deadline();
        let rest = hub.rest();
        let since = slot.last_input;
        if let Some(due) = due
            && slot.armed.is_none_or(|armed| due < armed)
        {
            slot.armed = Some(due);
            self.at(due, Event::HubTimer { place, epoch, due });
        }
        match rest {
            Rest::Busy => {}
            Rest::Quiet => self.at(
                (since + idle).max(now + Duration::from_millis(1)),
                Event::HubRest { place, epoch, since },
            ),
            Rest::Empty => self.after(Duration::from_millis(1), Event::HubRest { place, epoch, since }),
        }
    }

    pub(crate) fn hub_timer(&mut self, place: usize, epoch: u64, due: Millis) {
        let slot = &mut self.hubs[place];
        if slot.epoch == epoch && slot.armed == Some(due) {
            slot.armed = None;
            self.tell_hub(place, Input::Tick);
            self.arm_hub(place);
        }
    }

    /// Ends the records of streams that only the dead hub knew: it is for the node that takes over to do, for no hub
    /// can know of them.
    pub(crate) fn close_orphans(&mut self, place: usize) {
        let Some(hub) = &self.hubs[place].hub else { return };
        let live = hub.live_streams().map(|stream| stream.id).collect();
        self.put_down(place, Write::Orphans { user: self.hubs[place].user, live });
    }

    /// Puts a quiet hub to sleep, which is to shrink and to move it, and lets an empty one go.
    pub(crate) fn hub_rest(&mut self, place: usize, epoch: u64, since: Millis) {
        let slot = &mut self.hubs[place];
        if slot.epoch != epoch || slot.last_input != since {
            return;
        }
        let Some(hub) = &mut slot.hub else { return };
        match hub.rest() {
            Rest::Busy => {}
            Rest::Quiet => {
                hub.shrink(self.now);
                slot.hub = Some(hub.clone());
                self.check_hub(place);
            }
            Rest::Empty => {
                slot.hub = None;
                self.hub_went(place);
            }
        }
    }
}
