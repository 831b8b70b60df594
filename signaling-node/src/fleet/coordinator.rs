//! The task around the coordinator: asks the store what it wants to know, and writes what it decides.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use streamz_cluster::SlotRow;
use streamz_cluster::authority::LEASE;
use streamz_cluster::coordinator::{
    Assign, Change, Coordinator, Effect, Input, Kind, Outcome, ProcessRow, TermRow,
};
use streamz_platform::Complaint;
use streamz_protocol::Millis;
use streamz_protocol::cluster::{Assignment, Packet, Slot};
use streamz_protocol::{NodeId, ProcessId};
use streamz_store::{
    Changed, CoordinatorState, CoordinatorTerm, Eviction, Move, NewOwner, ProcessKind, Staleness, StoreError,
    TakeCoordinator, TermError,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::FleetNode;
use super::describe::Evicted;

/// What the task is told.
#[derive(Debug)]
pub(super) enum News {
    /// The lease of this node was renewed.
    Renewed { sent_at: Millis, coordinator: CoordinatorState },
    /// Nobody receives what is sent to a process.
    Report { dead: ProcessId, silent: Duration },
    /// The table is known to have this version.
    Hint(u64),
}

struct Office {
    fleet: Arc<FleetNode>,
    id: NodeId,
    machine: Coordinator,
    /// Who owns what, as it was read last.
    owners: BTreeMap<Slot, NodeId>,
    /// Who was there when it was read last: what it is, its name, and how old its lease was.
    members: BTreeMap<ProcessId, (Kind, String, Duration)>,
    /// That the database does not answer to the lease.
    lease: Complaint,
    /// That it does not answer to a reading.
    reading: Complaint,
}

/// How often the log hears that the database is still away.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// Is a candidate, and the coordinator while it can be, until `stopping`.
pub(super) async fn run(
    fleet: Arc<FleetNode>,
    id: NodeId,
    mut news: mpsc::Receiver<News>,
    stopping: CancellationToken,
) {
    let mut office = Office {
        fleet,
        id,
        machine: Coordinator::new(id),
        owners: BTreeMap::new(),
        members: BTreeMap::new(),
        lease: Complaint::new(COMPLAIN_EVERY),
        reading: Complaint::new(COMPLAIN_EVERY),
    };
    let clock = office.fleet.node.clock();
    loop {
        let due = office.machine.next_deadline();
        let tick = async {
            match due {
                Some(due) => tokio::time::sleep_until(clock.instant(due)).await,
                None => std::future::pending().await,
            }
        };
        let input = tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            news = news.recv() => match news {
                Some(News::Renewed { sent_at, coordinator }) => Input::Renewed {
                    sent_at,
                    term: TermRow {
                        holder: coordinator.holder,
                        epoch: coordinator.epoch,
                        age: coordinator.age,
                    },
                },
                Some(News::Report { dead, silent }) => Input::Report { dead, silent },
                Some(News::Hint(version)) => Input::Hint(version),
                None => return,
            },
            () = tick => Input::Tick,
        };
        office.handle(input).await;
    }
}

impl Office {
    async fn handle(&mut self, input: Input) {
        let clock = self.fleet.node.clock();
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for effect in self.machine.handle(input, clock.now()) {
                inputs.extend(self.carry_out(effect).await);
            }
            self.fleet.term.store(self.machine.term().unwrap_or(0), Ordering::Relaxed);
        }
    }

    /// What the store answers, for what is asked of it.
    async fn carry_out(&mut self, effect: Effect) -> Option<Input> {
        let sent_at = self.fleet.node.clock().now();
        match effect {
            Effect::TryTake { older_than, .. } => {
                match self.fleet.store.try_take(self.id, older_than).await {
                    Ok(TakeCoordinator::Taken(term)) => {
                        self.answered();
                        tracing::info!(epoch = term.epoch, "this node coordinates");
                        Some(Input::Term { sent_at, epoch: Some(term.epoch) })
                    }
                    Ok(TakeCoordinator::Held(_) | TakeCoordinator::Evicted) => {
                        self.answered();
                        Some(Input::Term { sent_at, epoch: None })
                    }
                    Err(error) => self.unanswered(&error),
                }
            }
            Effect::RenewTerm { epoch } => match self.fleet.store.renew_coordinator(self.term(epoch)).await {
                Ok(renewed) => {
                    self.answered();
                    Some(Input::Term { sent_at, epoch: renewed.then_some(epoch) })
                }
                Err(error) => self.unanswered(&error),
            },
            // The end of the node's own row does that.
            Effect::GiveUp { .. } => None,
            Effect::ReadRows { read, since } => Some(match self.read(since).await {
                Ok((processes, slots, version)) => {
                    self.reading.works();
                    Input::Rows { read, sent_at, processes, slots, version }
                }
                Err(error) => {
                    if let Some(kept_back) = self.reading.failed(Instant::now()) {
                        tracing::warn!(%error, kept_back, "the coordinator could not read");
                    }
                    Input::RowsFailed { read }
                }
            }),
            Effect::Write { write, epoch, change } => {
                let outcome = self.write(epoch, change).await;
                Some(Input::Written { write, outcome })
            }
            Effect::Beat { nodes, epoch, version } => {
                let packet = Packet::Beat { coordinator: epoch, version };
                let state = self.fleet.state.lock();
                FleetNode::tell_all(&state, nodes.into_iter().map(ProcessId::from), &packet);
                drop(state);
                // Its own word is as good as to anybody else.
                self.fleet.authorize(streamz_cluster::authority::Input::Beat { coordinator: epoch });
                None
            }
            Effect::TellEvicted(process) => {
                if let Some(peers) = &self.fleet.state.lock().peers {
                    peers.tell(process, Packet::Evicted);
                }
                None
            }
            Effect::Forget(process) => {
                if let Some(peers) = &self.fleet.state.lock().peers {
                    peers.forget(process);
                }
                None
            }
            Effect::Publish { version, changes } => {
                let state = self.fleet.state.lock();
                let gateways = state.gateways.iter().map(|gateway| ProcessId::from(*gateway));
                let nodes = state.nodes.iter().map(|node| ProcessId::from(*node));
                FleetNode::tell_all(&state, gateways.chain(nodes), &Packet::Table { version, changes });
                if let Some(lease) = &state.lease {
                    lease.want_read();
                }
                None
            }
        }
    }

    /// The database answers to the lease.
    fn answered(&mut self) {
        if self.lease.works() {
            tracing::info!("the coordinator's lease: the database answers again");
        }
    }

    /// It does not. A candidate tries again within a fraction of a second, so this is not said each time.
    fn unanswered(&mut self, error: &StoreError) -> Option<Input> {
        if let Some(kept_back) = self.lease.failed(Instant::now()) {
            tracing::warn!(%error, kept_back, "the coordinator's lease: no answer");
        }
        None
    }

    fn term(&self, epoch: u64) -> CoordinatorTerm {
        CoordinatorTerm { holder: self.id, epoch }
    }

    async fn read(&mut self, since: u64) -> Result<(Vec<ProcessRow>, Vec<SlotRow>, u64), StoreError> {
        let store = &self.fleet.store;
        let table = match since {
            0 => store.read_slots().await?,
            since => store.slot_changes_since(since).await?,
        };
        let mut processes = Vec::new();
        self.members.clear();
        for (kind, stored) in [(Kind::Node, ProcessKind::Node), (Kind::Gateway, ProcessKind::Gateway)] {
            let members = self.fleet.store.live_processes(stored).await?;
            let known = members.processes.iter().map(|row| (row.id, (kind, row.name.clone(), row.age)));
            self.members.extend(known);
            processes.extend(members.processes.iter().map(|row| ProcessRow {
                id: row.id,
                kind,
                age: row.age,
                draining: row.draining,
            }));
        }
        let slots: Vec<SlotRow> = table
            .rows
            .into_iter()
            .map(|row| SlotRow {
                assignment: Assignment { tenure: row.tenure, owner: row.owner },
                moving_to: row.moving_to,
            })
            .collect();
        for row in &slots {
            if let Some(owner) = row.assignment.owner {
                self.owners.insert(row.assignment.tenure.slot, owner);
            }
        }
        Ok((processes, slots, table.version))
    }

    /// For whoever asks how the fleet is.
    fn note_eviction(&self, id: ProcessId, cause: &'static str, silent: Duration, slots: usize) {
        let (kind, name, age) =
            self.members.get(&id).cloned().unwrap_or((Kind::Gateway, id.0.to_string(), silent));
        let kind = match kind {
            Kind::Gateway => streamz_status::Kind::Gateway,
            Kind::Node => streamz_status::Kind::Node,
        };
        // A lapsed lease is older than the least that it has to be.
        let silent = if silent >= LEASE { silent.max(age) } else { silent };
        let slots = if kind == streamz_status::Kind::Node { slots } else { 0 };
        let at = self.fleet.node.clock().now();
        self.fleet.evictions.lock().note(Evicted { at, id, kind, name, cause, silent, slots });
    }

    async fn write(&self, epoch: u64, change: Change) -> Outcome {
        let (store, term) = (&self.fleet.store, self.term(epoch));
        let changed = match change {
            Change::Evict { dead, assign } => {
                let lapsed =
                    dead.iter().filter(|(_, older_than)| *older_than >= LEASE).map(|(process, _)| *process);
                let lapsed: Vec<ProcessId> = lapsed.collect();
                let silent: BTreeMap<ProcessId, Duration> = dead.iter().copied().collect();
                let evictions: Vec<Eviction> = dead
                    .into_iter()
                    .map(|(process, older_than)| Eviction { process, stale: Staleness::Lease(older_than) })
                    .collect();
                store.evict(term, &evictions, &owners(assign)).await.map(|evicted| {
                    for process in &evicted.processes {
                        let by_lease = lapsed.contains(process);
                        let cause = if by_lease { "its lease has lapsed" } else { "nobody receives" };
                        tracing::warn!(process = process.0, cause, "evicted");
                        let silent = silent.get(process).copied().unwrap_or_default();
                        self.note_eviction(*process, cause, silent, evicted.slots.applied.len());
                    }
                    evicted.slots
                })
            }
            Change::Assign(assign) => store.assign(term, &owners(assign)).await,
            Change::Order(orders) => {
                let moves: Vec<Move> = orders
                    .iter()
                    .filter_map(|order| {
                        let owner = *self.owners.get(&order.tenure.slot)?;
                        // To move to its owner is to stay.
                        Some(Move { tenure: order.tenure, owner, to: order.moving_to.unwrap_or(owner) })
                    })
                    .collect();
                store.plan_moves(term, &moves).await
            }
        };
        match changed {
            Ok(Changed { version, applied }) => {
                Outcome::Applied { version, changes: applied.into_iter().map(Assignment::from).collect() }
            }
            Err(TermError::Deposed(_)) => Outcome::Deposed,
            Err(TermError::Store(error)) => {
                tracing::warn!(%error, "whether the coordinator's change was made is not known");
                Outcome::Unknown
            }
        }
    }
}

fn owners(assign: Vec<Assign>) -> Vec<NewOwner> {
    assign.into_iter().map(|assign| NewOwner { tenure: assign.tenure, owner: assign.to }).collect()
}
