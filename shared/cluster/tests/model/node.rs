//! Nodes: the keeper, the coordinator, hubs, and both kinds of process at the store.

use std::collections::{BTreeMap, VecDeque};

use streamz_cluster::authority::{self, Authority};
use streamz_cluster::coordinator::{self, Coordinator, Kind, Outcome};
use streamz_cluster::keeper::{Effect, HandOver, Input, Keeper};
use streamz_protocol::bus::ToGateway;
use streamz_protocol::cluster::{Routed, Slot};
use streamz_protocol::{GatewayId, Millis, NodeId, ProcessId, UserId};

use crate::hub::FakeHub;
use crate::store::Process;
use crate::world::{Answer, Ask, Event, Hint, Polled, SLOTS, World};

pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) keeper: Keeper,
    pub(crate) coordinator: Coordinator,
    authority: Authority,
    pub(crate) hubs: BTreeMap<UserId, FakeHub>,
    polling: bool,
    poll_again: bool,
    armed: Option<Millis>,
}

impl World {
    pub(crate) fn start_node(&mut self) {
        if self.store.away {
            return self.after(500, Event::Start { gateway: false });
        }
        let id = NodeId((self.dice.next() >> 1) | 1);
        let row = Process { kind: Kind::Node, renewed: self.now, draining: false };
        self.store.processes.insert(id.into(), row);
        let mut node = Node {
            id,
            keeper: Keeper::new(id),
            coordinator: Coordinator::with_slots(id, SLOTS),
            authority: Authority::new(),
            hubs: BTreeMap::new(),
            polling: false,
            poll_again: false,
            armed: None,
        };
        if let Some(bug) = self.bug {
            node.keeper.plant(bug);
            node.coordinator.plant(bug);
        }
        self.nodes.insert(id.into(), node);
        self.after(0, Event::Renew(id.into()));
        self.after(0, Event::Poll(id.into()));
    }

    pub(crate) fn node_hears(&mut self, from: ProcessId, to: ProcessId, frame: Routed) {
        let gateway = GatewayId(from.0);
        match frame {
            Routed::ToHub { tenure, frame } => self.keep(to, Input::Frame { gateway, tenure, frame }),
            Routed::Claimed { tenures, users, .. } => {
                self.keep(to, Input::Claimed { gateway, tenures, users });
            }
            _ => {}
        }
    }

    /// Tells a keeper, and carries out all that follows.
    pub(crate) fn keep(&mut self, id: ProcessId, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let now = self.now;
            let Some(node) = self.nodes.get_mut(&id) else { return };
            for effect in node.keeper.handle(input, now) {
                self.note(|| format!("    {effect:?}"));
                self.carry_out(id, effect, &mut inputs);
            }
        }
    }

    fn carry_out(&mut self, id: ProcessId, effect: Effect, inputs: &mut VecDeque<Input>) {
        match effect {
            Effect::Send(gateway, frame) => self.send(id, gateway.into(), frame),
            Effect::StartHub { user, hub_epoch, recover_from } => {
                let Some(node) = self.nodes.get_mut(&id) else { return };
                node.hubs.insert(user, FakeHub::start(user, hub_epoch, &recover_from));
                inputs.push_back(Input::HubLoads { user, hub_epoch });
                if recover_from.is_empty() {
                    self.check_decision(id, user);
                } else {
                    self.totals.recoveries += 1;
                }
            }
            Effect::HubInput(user, up) => {
                let hub = self.nodes.get_mut(&id).and_then(|node| node.hubs.get_mut(&user));
                let Some(hub) = hub.filter(|hub| !hub.down) else { return };
                let (says, decides) = hub.hears(up);
                let (hub_epoch, empty) = (hub.epoch, hub.is_empty());
                for (gateway, frame) in says {
                    inputs.push_back(Input::HubSays { user, hub_epoch, gateway, frame });
                }
                if decides {
                    self.check_decision(id, user);
                }
                if empty {
                    inputs.push_back(Input::HubGone { user, hub_epoch, failed: false });
                    self.nodes.get_mut(&id).and_then(|node| node.hubs.remove(&user));
                }
            }
            Effect::Load { user, hub_epoch } => {
                let hub = self.nodes.get_mut(&id).and_then(|node| node.hubs.get_mut(&user));
                if let Some(hub) = hub.filter(|hub| hub.epoch == hub_epoch) {
                    hub.loaded = true;
                }
            }
            Effect::DropHubs(slot) => self.drop_hubs(id, slot),
            Effect::Flush(tenure) => {
                self.drop_hubs(id, tenure.slot);
                let written = !self.store.away;
                let at = self.dice.range(0, 200);
                let input = Box::new(Input::Flushed(tenure, written));
                self.after(at, Event::Keeper { node: id, input });
            }
            Effect::HandOver(tenure) => self.ask(id, Ask::HandOver(tenure)),
            Effect::Confirmed(tenure) => self.check_confirmed(id, tenure),
            Effect::Publish { version, change } => {
                self.totals.moved += 1;
                self.tell_all(id, &Hint::Table { version, changes: vec![change] });
            }
            Effect::Read => self.poll(id),
            Effect::Ignored(..) => {}
        }
    }

    /// A hub that is dropped may say something more before it notices.
    fn drop_hubs(&mut self, id: ProcessId, slot: Slot) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let users: Vec<UserId> = node.hubs.keys().copied().filter(|user| Slot::of(*user) == slot).collect();
        for user in users {
            let Some(hub) = self.nodes.get_mut(&id).and_then(|node| node.hubs.remove(&user)) else {
                continue;
            };
            for conn in hub.conns {
                let frame = ToGateway::Online { request: hub.epoch, devices: Vec::new() };
                let (hub_epoch, gateway) = (hub.epoch, conn.gateway);
                let input = Box::new(Input::HubSays { user, hub_epoch, gateway, frame });
                let at = self.dice.range(0, 300);
                self.after(at, Event::Keeper { node: id, input });
            }
        }
    }

    pub(crate) fn coordinate(&mut self, id: ProcessId, input: coordinator::Input) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if input == coordinator::Input::Tick {
            node.armed = None;
        }
        let effects = node.coordinator.handle(input, now);
        let due = node.coordinator.next_deadline();
        if let Some(due) = due.filter(|due| node.armed.is_none_or(|armed| *due < armed)) {
            node.armed = Some(due);
            self.at(due, Event::Timer(id));
        }
        for effect in effects {
            match effect {
                coordinator::Effect::Beat { nodes, epoch, .. } => {
                    for node in nodes {
                        self.tell(node.into(), Hint::Beat { coordinator: epoch });
                    }
                }
                coordinator::Effect::Publish { version, changes } => {
                    let hint = Hint::Table { version, changes };
                    self.tell_all(id, &hint);
                    self.hinted(id, hint);
                }
                // In the model whoever is evicted finds out when it renews.
                coordinator::Effect::TellEvicted(_) | coordinator::Effect::Forget(_) => {}
                asks => self.ask(id, Ask::Coordinator(Box::new(asks))),
            }
        }
    }

    pub(crate) fn hinted(&mut self, to: ProcessId, hint: Hint) {
        match hint {
            Hint::Table { version, changes } if self.gateways.contains_key(&to) => {
                let input = streamz_cluster::router::Input::Hint { version, changes };
                self.gateway_input(to, input);
            }
            Hint::Table { version, changes } => {
                self.keep(to, Input::Hint(changes));
                self.coordinate(to, coordinator::Input::Hint(version));
            }
            Hint::Beat { coordinator } => {
                let now = self.now;
                if let Some(node) = self.nodes.get_mut(&to) {
                    node.authority.handle(authority::Input::Beat { coordinator }, now);
                }
            }
            Hint::Report { dead, silent } => {
                let silent = std::time::Duration::from_millis(silent);
                self.coordinate(to, coordinator::Input::Report { dead, silent });
            }
        }
    }

    pub(crate) fn renew(&mut self, id: ProcessId) {
        if self.lives(id) {
            self.ask(id, Ask::Renew);
            self.after(1_000, Event::Renew(id));
        }
    }

    pub(crate) fn poll_again(&mut self, id: ProcessId) {
        if self.lives(id) {
            self.poll(id);
            self.after(1_000, Event::Poll(id));
        }
    }

    /// Reads the table, one question at a time.
    pub(crate) fn poll(&mut self, id: ProcessId) {
        let (polling, again, since) = match (self.nodes.get_mut(&id), self.gateways.get_mut(&id)) {
            (Some(node), _) => (&mut node.polling, &mut node.poll_again, node.keeper.version()),
            (_, Some(gateway)) => {
                (&mut gateway.polling, &mut gateway.poll_again, gateway.router.table().version())
            }
            _ => return,
        };
        if std::mem::replace(polling, true) {
            *again = true;
        } else {
            self.ask(id, Ask::Poll { since });
        }
    }

    fn ask(&mut self, who: ProcessId, ask: Ask) {
        let at = self.dice.range(0, 8);
        self.after(at, Event::Store { who, ask });
    }

    /// The store is asked; it may be away, out of reach, or heard no more.
    pub(crate) fn asked(&mut self, who: ProcessId, ask: Ask) {
        let away = self.store.away || self.cut.get(&who).is_some_and(|until| *until > self.now);
        let lost = !self.healed && self.dice.chance(2);
        self.totals.lost_answers += u64::from(lost && !away);
        let (now, node) = (self.now, NodeId(who.0));
        let sent_at = now;
        let answer = if away { None } else { Some(self.execute(who, node, &ask, sent_at)) };
        self.check_evicted();
        let (answer, delay) = match answer.filter(|_| !lost) {
            Some(answer) => (answer, self.dice.range(0, 8)),
            None => (Self::failure(&ask), 300),
        };
        if let Some(answer) = answer {
            self.after(delay, Event::Answer { who, answer });
        }
    }

    fn failure(ask: &Ask) -> Option<Answer> {
        match ask {
            Ask::Poll { .. } => Some(Answer::Polled(None)),
            Ask::HandOver(tenure) => Some(Answer::HandedOver(*tenure, HandOver::Unknown)),
            Ask::Coordinator(effect) => {
                let input = match **effect {
                    coordinator::Effect::ReadRows { read, .. } => coordinator::Input::RowsFailed { read },
                    coordinator::Effect::Write { write, .. } => {
                        coordinator::Input::Written { write, outcome: Outcome::Unknown }
                    }
                    _ => return None,
                };
                Some(Answer::Coordinator(Box::new(input)))
            }
            Ask::Renew => None,
        }
    }

    fn execute(&mut self, who: ProcessId, node: NodeId, ask: &Ask, sent_at: Millis) -> Option<Answer> {
        let (now, store) = (self.now, &mut self.store);
        let input = match ask {
            Ask::Renew => {
                let row = store.renew(who, now);
                return Some(Answer::Renewed { row, term: store.term_row(now), sent_at });
            }
            Ask::Poll { since } => {
                let nodes = store.live(Kind::Node).into_iter().map(NodeId).collect();
                let (version, rows, gateways) = (store.version, store.rows_since(*since), store.gateways());
                return Some(Answer::Polled(Some(Polled { version, rows, gateways, nodes })));
            }
            Ask::HandOver(tenure) => {
                let done = store.hand_over(node, *tenure);
                let how =
                    done.map_or(HandOver::Refused, |(version, owner)| HandOver::Done { version, owner });
                return Some(Answer::HandedOver(*tenure, how));
            }
            Ask::Coordinator(effect) => match &**effect {
                coordinator::Effect::TryTake { seen, older_than } => {
                    let epoch = store.try_take(node, *seen, *older_than, now);
                    coordinator::Input::Term { sent_at, epoch }
                }
                coordinator::Effect::RenewTerm { epoch } => {
                    let epoch = store.renew_term(node, *epoch, now);
                    coordinator::Input::Term { sent_at, epoch }
                }
                coordinator::Effect::GiveUp { epoch } => {
                    if store.holder == Some(node) && store.term == *epoch {
                        store.term_renewed = Millis(0);
                    }
                    return None;
                }
                coordinator::Effect::ReadRows { read, since } => coordinator::Input::Rows {
                    read: *read,
                    sent_at,
                    processes: store.process_rows(now),
                    slots: store.rows_since(*since),
                    version: store.version,
                },
                coordinator::Effect::Write { write, epoch, change } => coordinator::Input::Written {
                    write: *write,
                    outcome: store.write(node, *epoch, change.clone(), now),
                },
                _ => return None,
            },
        };
        Some(Answer::Coordinator(Box::new(input)))
    }

    pub(crate) fn answered(&mut self, who: ProcessId, answer: Answer) {
        match answer {
            Answer::Renewed { row: false, .. } if self.gateways.contains_key(&who) => {
                self.gateway_evicted(who)
            }
            Answer::Renewed { row: false, .. } if self.nodes.contains_key(&who) => {
                self.keep(who, Input::Evicted);
                self.nodes.remove(&who);
                self.start_node();
            }
            Answer::Renewed { term, sent_at, .. } => {
                let now = self.now;
                if let Some(node) = self.nodes.get_mut(&who) {
                    node.authority.handle(authority::Input::Renewed { sent_at }, now);
                    self.coordinate(who, coordinator::Input::Renewed { sent_at, term });
                }
            }
            Answer::Polled(polled) => {
                let again = match (self.nodes.get_mut(&who), self.gateways.get_mut(&who)) {
                    (Some(node), _) => {
                        node.polling = false;
                        std::mem::take(&mut node.poll_again)
                    }
                    (_, Some(gateway)) => {
                        gateway.polling = false;
                        std::mem::take(&mut gateway.poll_again)
                    }
                    _ => return,
                };
                if let Some(polled) = polled {
                    if self.gateways.contains_key(&who) {
                        self.gateway_polled(who, polled);
                    } else {
                        let Polled { version, rows, gateways, .. } = polled;
                        self.keep(who, Input::Read { version, rows, gateways });
                    }
                    if again {
                        self.poll(who);
                    }
                }
            }
            Answer::Coordinator(input) => self.coordinate(who, *input),
            Answer::HandedOver(tenure, how) => self.keep(who, Input::HandedOver(tenure, how)),
        }
    }
}
