//! Gateways: the router, and sessions that only know whether they are attached.

use std::collections::BTreeMap;
use std::sync::Arc;

use streamz_cluster::Router;
use streamz_cluster::coordinator::Kind;
use streamz_cluster::router::{BySlot, Effect, Ignored, Input};
use streamz_protocol::bus::{Attach, Caps, Down, Replica, ToGateway, ToHub, Up};
use streamz_protocol::cluster::{Epoch, Routed, Slot, Tenure};
use streamz_protocol::objects::Device;
use streamz_protocol::{ConnId, DeviceId, GatewayId, Millis, ProcessId, SessionId, UserId};
use uuid::Uuid;

use crate::store::Process;
use crate::world::{Event, Polled, World};

pub(crate) struct Gateway {
    pub(crate) id: GatewayId,
    pub(crate) router: Router,
    directory: BySlot,
    pub(crate) conns: BTreeMap<u64, Conn>,
    next: u64,
    /// The highest epochs that it was ever told, by an account of its own.
    told: BTreeMap<Slot, Epoch>,
    pub(crate) polling: bool,
    pub(crate) poll_again: bool,
}

pub(crate) struct Conn {
    pub(crate) user: UserId,
    pub(crate) attached: bool,
    /// Its last request: an answer to an earlier one counts for nothing.
    attempt: u32,
}

impl World {
    pub(crate) fn start_gateway(&mut self) {
        if self.store.away {
            return self.after(500, Event::Start { gateway: true });
        }
        let id = GatewayId((self.dice.next() >> 1) | 1);
        // First the row, then the table.
        let row = Process { kind: Kind::Gateway, renewed: self.now, draining: false };
        self.store.processes.insert(id.into(), row);
        let mut router = Router::new(id);
        if let Some(bug) = self.bug {
            router.plant(bug);
        }
        let gateway = Gateway {
            id,
            router,
            directory: BySlot::default(),
            conns: BTreeMap::new(),
            next: 1,
            told: BTreeMap::new(),
            polling: false,
            poll_again: false,
        };
        self.gateways.insert(id.into(), gateway);
        if !self.healed && self.dice.chance(30) {
            // Its first words to one node take long.
            let nodes: Vec<ProcessId> = self.nodes.keys().copied().collect();
            if let Some(node) = self.dice.pick(&nodes) {
                let until = self.now + std::time::Duration::from_millis(self.dice.range(500, 9_000));
                self.blocked.insert((id.into(), node), until);
            }
        }
        self.after(1_000, Event::Renew(id.into()));
        self.after(0, Event::Poll(id.into()));
    }

    /// Its lease is gone: the sockets are closed, and it goes on as another one.
    pub(crate) fn gateway_evicted(&mut self, id: ProcessId) {
        self.gateways.remove(&id);
        self.after(0, Event::Start { gateway: true });
    }

    pub(crate) fn gateway_polled(&mut self, id: ProcessId, polled: Polled) {
        let changes = polled.rows.iter().map(|row| row.assignment).collect();
        let input = Input::Read { version: polled.version, changes, nodes: polled.nodes };
        self.gateway_input(id, input);
    }

    pub(crate) fn gateway_hears(&mut self, from: ProcessId, to: ProcessId, frame: Routed) {
        self.gateway_input(to, Input::FromNode { node: streamz_protocol::NodeId(from.0), frame });
    }

    pub(crate) fn gateway_input(&mut self, id: ProcessId, input: Input) {
        let now = self.now;
        let Some(gateway) = self.gateways.get_mut(&id) else { return };
        let mut speaks = None;
        let tenures: Vec<Tenure> = match &input {
            Input::Read { changes, .. } | Input::Hint { changes, .. } => {
                changes.iter().map(|change| change.tenure).collect()
            }
            Input::FromNode { frame: Routed::Claim { tenures, .. }, .. } => tenures.clone(),
            Input::FromNode { frame: Routed::ToGateway { tenure, .. }, .. } => {
                speaks = Some(*tenure);
                Vec::new()
            }
            _ => Vec::new(),
        };
        for tenure in tenures {
            let told = gateway.told.entry(tenure.slot).or_default();
            *told = tenure.epoch.max(*told);
        }
        let told = speaks.and_then(|tenure| gateway.told.get(&tenure.slot)).copied().unwrap_or_default();
        let effects = gateway.router.handle(input, &gateway.directory, now);
        for effect in effects {
            match effect {
                Effect::Deliver(frame) => {
                    let tenure = speaks.unwrap();
                    if tenure.epoch < told {
                        self.breaks(format!("{id:?} knows epoch {told:?} and applies {tenure:?}"));
                    }
                    self.deliver(id, tenure, frame);
                }
                Effect::Send(node, frame) => self.send(id, node.into(), frame),
                Effect::Read => self.poll(id),
                Effect::Ignored(_, Ignored::Older) => self.totals.fenced += 1,
                Effect::Ignored(..) => {}
                Effect::Contradiction(contradiction) => self.breaks(contradiction.to_string()),
            }
        }
    }

    fn deliver(&mut self, id: ProcessId, tenure: Tenure, frame: ToGateway) {
        let Some(gateway) = self.gateways.get_mut(&id) else { return };
        match frame {
            ToGateway::Conn(conn, Down::Batch(items), _) => {
                if let Some(conn) = gateway.conns.get_mut(&conn.number) {
                    conn.attached |= items.len() == conn.attempt as usize;
                }
            }
            ToGateway::Conn(..) => {}
            ToGateway::Online { request, .. } => {
                if request >> streamz_cluster::keeper::HUB_EPOCH_BITS != tenure.epoch.0 {
                    self.breaks(format!("a hub of epoch {request:#x} speaks in {tenure:?}"));
                }
            }
            ToGateway::Roll { user, epoch } => self.roll(id, user, epoch),
        }
    }

    fn roll(&mut self, id: ProcessId, user: UserId, epoch: u64) {
        let Some(gateway) = self.gateways.get(&id) else { return };
        let conns: Vec<(ConnId, bool)> = gateway
            .conns
            .iter()
            .filter(|(_, conn)| conn.user == user)
            .map(|(number, conn)| (ConnId { gateway: gateway.id, number: *number }, conn.attached))
            .collect();
        let roster =
            Up::Roster { gateway: gateway.id, epoch, conns: conns.iter().map(|(conn, _)| *conn).collect() };
        // Each connection answers by itself: some before the roster, some after it.
        let first = self.dice.range(0, conns.len() as u64) as usize;
        let mut roster = Some(roster);
        for (at, (conn, attached)) in conns.into_iter().enumerate() {
            if at == first {
                let _ = roster.take().map(|roster| self.say(id, user, roster));
            }
            if attached {
                self.say(id, user, Up::Announce { conn, epoch, replica: replica(user) });
            } else {
                self.say(id, user, Up::Gone(conn));
                let state =
                    self.gateways.get_mut(&id).and_then(|gateway| gateway.conns.get_mut(&conn.number));
                let Some(state) = state else { continue };
                state.attempt += 1;
                let attempt = state.attempt;
                self.say(id, user, attach(conn, attempt));
            }
        }
        let _ = roster.map(|roster| self.say(id, user, roster));
    }

    fn say(&mut self, id: ProcessId, user: UserId, up: Up) {
        let Some(gateway) = self.gateways.get(&id) else { return };
        match gateway.router.address(ToHub { user, up }) {
            Ok((node, frame)) => self.send(id, node.into(), frame),
            Err(_) => self.totals.refused += 1,
        }
    }

    /// A device comes, goes, or sees that its connection is gone.
    pub(crate) fn device(&mut self, number: usize) {
        let again = if self.healed { 1_000 } else { self.dice.range(300, 6_000) };
        self.after(again, Event::Device(number));
        let user = self.devices[number].user;
        let held = self.devices[number].conn.filter(|(gateway, conn)| {
            self.gateways.get(gateway).is_some_and(|gateway| gateway.conns.contains_key(conn))
        });
        let stalled =
            |world: &Self, id: &ProcessId| world.paused.get(id).is_some_and(|until| *until > world.now);
        match held {
            Some((gateway, conn)) => {
                if !self.healed && !stalled(self, &gateway) && self.dice.chance(40) {
                    self.end(gateway, conn);
                }
            }
            None => {
                let able: Vec<ProcessId> =
                    self.gateways.keys().copied().filter(|id| !stalled(self, id)).collect();
                let Some(id) = self.dice.pick(&able) else { return };
                let Some(gateway) = self.gateways.get_mut(&id) else { return };
                let conn = gateway.next;
                gateway.next += 1;
                gateway.conns.insert(conn, Conn { user, attached: false, attempt: 0 });
                gateway.directory.insert(user);
                let name = ConnId { gateway: gateway.id, number: conn };
                self.devices[number].conn = Some((id, conn));
                self.say(id, user, attach(name, 0));
                self.after(10_000, Event::AttachTimeout { gateway: id, conn });
            }
        }
    }

    pub(crate) fn attach_timeout(&mut self, gateway: ProcessId, conn: u64) {
        let waits = self.gateways.get(&gateway).and_then(|gateway| gateway.conns.get(&conn));
        if waits.is_some_and(|conn| !conn.attached) {
            self.end(gateway, conn);
        }
    }

    fn end(&mut self, id: ProcessId, number: u64) {
        let Some(gateway) = self.gateways.get_mut(&id) else { return };
        let Some(conn) = gateway.conns.remove(&number) else { return };
        let user = conn.user;
        if gateway.conns.values().all(|conn| conn.user != user) {
            gateway.directory.remove(user);
        }
        let name = ConnId { gateway: gateway.id, number };
        self.say(id, user, Up::Gone(name));
    }
}

fn attach(conn: ConnId, attempt: u32) -> Up {
    let attach = Attach {
        attempt,
        device: DeviceId::new("d").unwrap(),
        name: None,
        device_type: None,
        family: Uuid::nil(),
        caps: Caps { acks: true, max_streams: 1 },
        resume: None,
        trace: None,
    };
    Up::Attach(conn, Box::new(attach))
}

fn replica(user: UserId) -> Box<Replica> {
    let device = Device {
        id: Uuid::nil(),
        user_id: user,
        device_id: DeviceId::new("d").unwrap(),
        device_name: Arc::from("d"),
        device_type: Arc::from("d"),
        is_online: true,
        last_seen: None,
        created_at: Millis(0),
    };
    Box::new(Replica {
        session: SessionId(Uuid::nil()),
        generation: 1,
        device,
        family: Uuid::nil(),
        caps: Caps { acks: true, max_streams: 1 },
        away: None,
        acked: 0,
        last_seq: 0,
        window: Vec::new(),
        next_number: 1,
        open: Vec::new(),
        settled: Vec::new(),
        heard: Vec::new(),
        view: Vec::new(),
        live: Vec::new(),
        over: Vec::new(),
        lossy: false,
        floor: 0,
        confirmed: vec![],
    })
}
