//! The way to Postgres and back: slow, sometimes away, and an answer may be lost after what was asked is done.

use std::time::Duration;

use streamz_cluster::SlotRow;
use streamz_cluster::coordinator::{self, Outcome, TermRow};
use streamz_cluster::keeper::{self, HandOver};
use streamz_cluster::router;
use streamz_protocol::cluster::Tenure;
use streamz_protocol::{GatewayId, Millis, NodeId, ProcessId};

use super::Ev;
use super::process::Role;
use crate::nodes::Write;
use crate::world::World;

/// A question that got no answer is given up after so long.
const PATIENCE: Duration = Duration::from_millis(900);

/// A question.
#[derive(Debug)]
pub(crate) enum Ask {
    Renew {
        sent_at: Millis,
    },
    /// With the gateways as they were before the last question, for who believes that this is as good.
    Poll {
        since: u64,
        early: Vec<GatewayId>,
    },
    Coordinator {
        effect: Box<coordinator::Effect>,
        sent_at: Millis,
    },
    HandOver(Tenure),
    Write(Vec<(Tenure, Write)>),
}

/// An answer.
#[derive(Debug)]
pub(crate) enum Answer {
    Renewed { row: bool, term: TermRow, sent_at: Millis },
    Polled(Option<Polled>),
    Coordinator(Box<coordinator::Input>),
    HandedOver(Tenure, HandOver),
    Written(bool),
}

#[derive(Debug)]
pub(crate) struct Polled {
    version: u64,
    rows: Vec<SlotRow>,
    gateways: Vec<GatewayId>,
    nodes: Vec<NodeId>,
}

/// How old the list of gateways is that a node with a fault goes by.
const STALE: Duration = Duration::from_secs(20);

impl World {
    pub(super) fn renew(&mut self, id: ProcessId) {
        if self.cluster.processes.contains_key(&id) {
            let sent_at = self.clock_of(id);
            self.ask(id, Ask::Renew { sent_at });
            self.at_clock(id, sent_at + Duration::from_secs(1), Ev::Renew(id));
        }
    }

    pub(super) fn poll_again(&mut self, id: ProcessId) {
        if self.cluster.processes.contains_key(&id) {
            self.poll(id);
            self.later(Duration::from_secs(1), Ev::Poll(id));
        }
    }

    /// Reads the slot table, one question at a time.
    pub(super) fn poll(&mut self, id: ProcessId) {
        let Some(process) = self.cluster.processes.get_mut(&id) else { return };
        if std::mem::replace(&mut process.polling, true) {
            process.poll_again = true;
            return;
        }
        let since = match &process.role {
            Role::Node(node) => node.keeper.version(),
            Role::Gateway { router, .. } => router.table().version(),
        };
        let (now, gateways) = (self.now, self.cluster.postgres.gateways());
        let Some(process) = self.cluster.processes.get_mut(&id) else { return };
        process.before.push((now, gateways));
        // The last that is old enough, and what is younger.
        let old = process.before.iter().rposition(|(at, _)| *at + STALE <= now).unwrap_or(0);
        process.before.drain(..old);
        let early = process.before[0].1.clone();
        self.ask(id, Ask::Poll { since, early });
    }

    pub(super) fn ask(&mut self, who: ProcessId, ask: Ask) {
        let delay = self.postgres_delay();
        self.later(delay, Ev::Asks { who, ask });
    }

    fn postgres_delay(&mut self) -> Duration {
        let most = self.plan.cluster.as_ref().map_or(0, |terrain| terrain.postgres_delay);
        self.dice.millis(0, most)
    }

    pub(crate) fn is_cut(&self, who: ProcessId) -> bool {
        self.cluster.cut.get(&who).is_some_and(|until| *until > self.now)
    }

    pub(super) fn asked(&mut self, who: ProcessId, ask: Ask) {
        let away = self.store_away || self.is_cut(who);
        let lost = !self.healed && self.dice.below(1_000) < 5;
        let failure = failure(&ask);
        let answer = if away { None } else { self.execute(who, ask) };
        self.check_evicted();
        let (answer, delay) = match answer.filter(|_| !lost) {
            Some(answer) => (Some(answer), self.postgres_delay()),
            None => (failure, PATIENCE),
        };
        if let Some(answer) = answer {
            self.later(delay, Ev::Answers { who, answer });
        }
    }

    fn execute(&mut self, who: ProcessId, ask: Ask) -> Option<Answer> {
        let (now, node) = (self.now, NodeId(who.0));
        let stale = planted!(self, StaleGateways);
        let postgres = &mut self.cluster.postgres;
        Some(match ask {
            Ask::Renew { sent_at } => {
                let row = postgres.renew(who, now);
                Answer::Renewed { row, term: postgres.term_row(now), sent_at }
            }
            Ask::Poll { since, early } => Answer::Polled(Some(Polled {
                version: postgres.version(),
                rows: postgres.rows_since(since),
                gateways: if stale { early } else { postgres.gateways() },
                nodes: postgres.nodes(),
            })),
            Ask::HandOver(tenure) => {
                let done = postgres.hand_over(node, tenure);
                Answer::HandedOver(
                    tenure,
                    done.map_or(HandOver::Refused, |(version, owner)| HandOver::Done { version, owner }),
                )
            }
            Ask::Write(writes) => {
                for (tenure, write) in writes {
                    if self.cluster.postgres.admits(tenure) {
                        self.check_write(who, tenure);
                        self.written_down(write);
                    } else {
                        self.note(|| format!("    fenced: {tenure:?} {write:?}"));
                    }
                }
                Answer::Written(true)
            }
            Ask::Coordinator { effect, sent_at } => {
                let input = match *effect {
                    coordinator::Effect::TryTake { seen, older_than } => {
                        let epoch = postgres.try_take(node, seen, older_than, now);
                        coordinator::Input::Term { sent_at, epoch }
                    }
                    coordinator::Effect::RenewTerm { epoch } => {
                        coordinator::Input::Term { sent_at, epoch: postgres.renew_term(node, epoch, now) }
                    }
                    coordinator::Effect::GiveUp { epoch } => {
                        postgres.give_up(node, epoch);
                        return None;
                    }
                    coordinator::Effect::ReadRows { read, since } => coordinator::Input::Rows {
                        read,
                        sent_at,
                        processes: postgres.process_rows(now),
                        slots: postgres.rows_since(since),
                        version: postgres.version(),
                    },
                    coordinator::Effect::Write { write, epoch, change } => coordinator::Input::Written {
                        write,
                        outcome: postgres.write(node, epoch, change, now),
                    },
                    coordinator::Effect::Beat { .. }
                    | coordinator::Effect::Publish { .. }
                    | coordinator::Effect::TellEvicted(_)
                    | coordinator::Effect::Forget(_) => return None,
                };
                Answer::Coordinator(Box::new(input))
            }
        })
    }

    pub(super) fn answered(&mut self, who: ProcessId, answer: Answer) {
        match answer {
            Answer::Renewed { row: false, .. } => self.evicted(who),
            Answer::Renewed { term, sent_at, .. } => {
                if let Some(process) = self.cluster.processes.get_mut(&who) {
                    process.holder = term.holder;
                }
                self.authority(who, streamz_cluster::authority::Input::Coordinator(term.epoch));
                self.authority(who, streamz_cluster::authority::Input::Renewed { sent_at });
                self.coordinate(who, coordinator::Input::Renewed { sent_at, term });
            }
            Answer::Polled(polled) => {
                let Some(process) = self.cluster.processes.get_mut(&who) else { return };
                process.polling = false;
                let again = std::mem::take(&mut process.poll_again);
                if let Some(polled) = polled {
                    self.polled(who, polled);
                }
                if again {
                    self.poll(who);
                }
            }
            Answer::Coordinator(input) => self.coordinate(who, *input),
            Answer::HandedOver(tenure, how) => self.keep(who, keeper::Input::HandedOver(tenure, how)),
            Answer::Written(done) => self.desk_answered(who, done),
        }
    }

    fn polled(&mut self, who: ProcessId, polled: Polled) {
        let Polled { version, rows, gateways, nodes } = polled;
        if self.node(who).is_some() {
            // First the links: what the keeper says next goes to who lives.
            let live: Vec<ProcessId> = gateways.iter().map(|id| (*id).into()).collect();
            self.bury(who, &live);
            self.keep(who, keeper::Input::Read { version, rows, gateways });
        } else {
            let live: Vec<ProcessId> = nodes.iter().map(|id| (*id).into()).collect();
            self.bury(who, &live);
            let changes = rows.iter().map(|row| row.assignment).collect();
            self.router_input(who, router::Input::Read { version, changes, nodes });
            self.gateway_opens(who);
        }
    }
}

fn failure(ask: &Ask) -> Option<Answer> {
    Some(match ask {
        Ask::Renew { .. } => return None,
        Ask::Poll { .. } => Answer::Polled(None),
        Ask::HandOver(tenure) => Answer::HandedOver(*tenure, HandOver::Unknown),
        Ask::Write(_) => Answer::Written(false),
        Ask::Coordinator { effect, .. } => Answer::Coordinator(Box::new(match **effect {
            coordinator::Effect::ReadRows { read, .. } => coordinator::Input::RowsFailed { read },
            coordinator::Effect::Write { write, .. } => {
                coordinator::Input::Written { write, outcome: Outcome::Unknown }
            }
            _ => return None,
        })),
    })
}
