//! The one node that evicts the dead and assigns slots (*Leases and slots*, *Evict rule*, *Assign*).
//!
//! Every node runs a candidate. Whoever finds the coordinator's lease lapsed takes it, by compare-and-swap on its
//! epoch; so does whoever has evidence that its holder is dead and that it has not renewed since. Every write names
//! the term and changes nothing once the term is over, so a coordinator that does not know yet that it was deposed
//! does no harm.
//!
//! Work is done level by level, never by memory of what was asked: read the rows, write the one thing that is most
//! urgent (evict, then assign, then order moves), read again. One write is under way at a time, and only rows whose
//! reading began after the last write ended are planned with. So an answer that is lost costs a reading.
//!
//! # Bounds
//! One reading and one write under way; at most [`EVIDENCE_MAX`] reports are remembered, and [`EVICTED_MAX`] processes
//! are told that they are gone; moves are ordered up to [`MOVES_MAX`] in flight to or from a node.

mod term;
mod work;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use streamz_protocol::cluster::{Assignment, SLOTS, Slot, Tenure};
use streamz_protocol::{Millis, NodeId, ProcessId};

use crate::authority::LEASE;
use crate::slots::SlotRow;

/// How often the lease is renewed, rows are read and beats are sent.
pub const PERIOD: Duration = Duration::from_secs(1);
/// Renewals that are further apart than this leave a gap: the store was away, for others too maybe.
pub const GAP: Duration = Duration::from_secs(2);
/// For how long this node must have renewed without a gap before it takes another's lapsed lease at its word: a lease,
/// and the time for one renewal. So after an outage of the store everybody has time to renew first.
pub const GRACE: Duration = Duration::from_secs(5);
/// Rows are not read more often than this, however many hints come.
pub const READ_PAUSE: Duration = Duration::from_millis(50);
/// Moves that are ordered at a time, to or from a node. It carries out a few of them at once
/// ([`SEALED_MAX`](crate::keeper::SEALED_MAX)); the rest wait for their turn there, so that it need not wait for orders.
pub const MOVES_MAX: usize = 512;
/// For how long a process whose row is gone is told so: one that does not reach the store does not find out by itself.
pub const TELL_EVICTED: Duration = Duration::from_secs(120);
/// Processes that are told; of more, the first ones are not told any longer.
pub const EVICTED_MAX: usize = 256;
/// Reports that are remembered; later ones are dropped, and come again.
pub const EVIDENCE_MAX: usize = 1024;

/// The coordinator's row in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TermRow {
    /// Who holds it.
    pub holder: Option<NodeId>,
    /// Raised each time that it is taken.
    pub epoch: u64,
    /// The time since it was renewed, by the store's clock.
    pub age: Duration,
}

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A gateway.
    Gateway,
    /// A signaling node.
    Node,
}

/// A process's row in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessRow {
    /// Which.
    pub id: ProcessId,
    /// What it is.
    pub kind: Kind,
    /// The time since it was renewed, by the store's clock.
    pub age: Duration,
    /// It wants to go.
    pub draining: bool,
}

/// What a coordinator, or a candidate, is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// This process's own lease was renewed.
    Renewed {
        /// When the question was sent.
        sent_at: Millis,
        /// The coordinator's row, read with it.
        term: TermRow,
    },
    /// The answer to [`Effect::TryTake`] or [`Effect::RenewTerm`]: the term of this node, or `None` if it is another's.
    /// Without an answer nothing is told.
    Term {
        /// When the question was sent.
        sent_at: Millis,
        /// The epoch of the term that this node holds.
        epoch: Option<u64>,
    },
    /// The answer to [`Effect::ReadRows`].
    Rows {
        /// Which reading.
        read: u64,
        /// When it was sent.
        sent_at: Millis,
        /// All processes.
        processes: Vec<ProcessRow>,
        /// The slots that changed since the version that was named.
        slots: Vec<SlotRow>,
        /// The version of the table.
        version: u64,
    },
    /// The store did not answer [`Effect::ReadRows`].
    RowsFailed {
        /// Which reading.
        read: u64,
    },
    /// The answer to [`Effect::Write`].
    Written {
        /// Which write.
        write: u64,
        /// How it went.
        outcome: Outcome,
    },
    /// Nobody receives what is sent to this process, and has not for so long; see *The bus* for what is evidence.
    Report {
        /// Who is thought dead.
        dead: ProcessId,
        /// For how long, up to now.
        silent: Duration,
    },
    /// The table is known to have this version.
    Hint(u64),
    /// This node is about to leave: another is to take over at once.
    Resign,
    /// Time has passed; due when [`Coordinator::next_deadline`] says so.
    Tick,
}

/// How a write went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was made, as far as the rows still were as they were thought to be.
    Applied {
        /// The version of the table with it.
        version: u64,
        /// Slots whose owner or epoch changed.
        changes: Vec<Assignment>,
    },
    /// The term is over; nothing changed.
    Deposed,
    /// No answer came: it may or may not be made.
    Unknown,
}

/// What a coordinator, or a candidate, is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Take the term, if its epoch is still this and it was not renewed for that long by the store's clock, raising
    /// the epoch by one. Answer with [`Input::Term`].
    TryTake {
        /// The epoch that was seen.
        seen: u64,
        /// For how long it must not have been renewed.
        older_than: Duration,
    },
    /// Renew the term, if it is still this node's. Answer with [`Input::Term`].
    RenewTerm {
        /// Its epoch.
        epoch: u64,
    },
    /// Let the term lapse at once, if it is still this node's.
    GiveUp {
        /// Its epoch.
        epoch: u64,
    },
    /// Read the processes and the slots that changed since. Always answered: with [`Input::Rows`] or
    /// [`Input::RowsFailed`].
    ReadRows {
        /// Which reading.
        read: u64,
        /// The version since which slots are wanted.
        since: u64,
    },
    /// Make a change, in one transaction, if the term is still this node's (`FOR SHARE` on the row). Always answered,
    /// with [`Input::Written`].
    Write {
        /// Which write.
        write: u64,
        /// The epoch of the term.
        epoch: u64,
        /// The change.
        change: Change,
    },
    /// Tell these nodes that the coordinator is there:
    /// [`Packet::Beat`](streamz_protocol::cluster::Packet::Beat).
    Beat {
        /// To whom.
        nodes: Vec<NodeId>,
        /// The epoch of the term.
        epoch: u64,
        /// The version of the table.
        version: u64,
    },
    /// Tell a process that its row is gone: [`Packet::Evicted`](streamz_protocol::cluster::Packet::Evicted). Comes
    /// every period for a while.
    TellEvicted(ProcessId),
    /// That process is not told any longer: nothing of it need be kept.
    Forget(ProcessId),
    /// Tell all processes what changed: [`Packet::Table`](streamz_protocol::cluster::Packet::Table).
    Publish {
        /// The version of the table.
        version: u64,
        /// What changed.
        changes: Vec<Assignment>,
    },
}

/// One change to the store.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Delete the rows of processes that were not renewed, clear `moving_to` where it names one whose row was deleted,
    /// and assign. A slot whose owner's row was *not* deleted stays.
    Evict {
        /// Who, and for how long it must not have been renewed by the store's clock.
        dead: Vec<(ProcessId, Duration)>,
        /// Slots to assign with it.
        assign: Vec<Assign>,
    },
    /// Assign slots that have no owner, or one without a row.
    Assign(Vec<Assign>),
    /// Have owners hand slots over.
    Order(Vec<Order>),
}

/// A slot that gets an owner, and with it the next epoch; `moving_to` is cleared. Only if its epoch is still this, and
/// its owner has no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assign {
    /// The slot, at the epoch that was read.
    pub tenure: Tenure,
    /// Its new owner.
    pub to: NodeId,
}

/// Sets `moving_to`, only if the slot's epoch is still this. The epoch stays: the owner raises it when it hands over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The slot, at the epoch that was read.
    pub tenure: Tenure,
    /// To whom; nobody takes an earlier order back.
    pub moving_to: Option<NodeId>,
}

/// Whom evidence of a death is told: the coordinator; or, if it is the one that is thought dead, every candidate for its
/// office.
#[must_use]
pub fn evidence_for(coordinator: Option<NodeId>, dead: ProcessId, nodes: &[NodeId]) -> Vec<NodeId> {
    match coordinator.filter(|node| ProcessId::from(*node) != dead) {
        Some(coordinator) => vec![coordinator],
        None => nodes.iter().copied().filter(|node| ProcessId::from(*node) != dead).collect(),
    }
}

/// Candidate or coordinator, for one incarnation of a node.
#[derive(Clone, Debug)]
pub struct Coordinator {
    node: NodeId,
    /// What the store said last of the coordinator's row.
    seen: Option<TermRow>,
    /// The term of this node.
    term: Option<Held>,
    resigned: bool,
    /// Since when this process has renewed its own lease without a gap, and when last.
    gapless: Option<(Millis, Millis)>,
    /// When the store answered last.
    answered: Option<Millis>,
    /// When each process renewed last, at the latest, by this node's clock. The store's may jump.
    renewals: BTreeMap<ProcessId, Millis>,
    /// Since when a process is silent, by reports that the store has not refuted.
    evidence: BTreeMap<ProcessId, Millis>,
    next_period: Millis,
    /// Processes whose rows have gone, in the order in which they did, and when.
    evicted: VecDeque<(ProcessId, Millis)>,
    rows: Rows,
    reads: u64,
    writes: u64,
    #[cfg(feature = "planted-bugs")]
    pub(crate) bug: Option<crate::Bug>,
}

/// A term of this node.
#[derive(Clone, Copy, Debug)]
struct Held {
    epoch: u64,
    /// When the renewal that succeeded last was sent.
    renewed: Millis,
}

/// What the store has, as it was read last.
#[derive(Clone, Debug)]
struct Rows {
    processes: Vec<ProcessRow>,
    /// When the processes were read: their ages are of that time.
    read_at: Millis,
    slots: Vec<SlotRow>,
    version: u64,
    /// A reading that is under way, and when it was sent.
    reading: Option<u64>,
    last_read: Millis,
    /// A write that is under way.
    writing: Option<u64>,
    /// Readings below this began before the last write ended.
    usable_from: u64,
    /// Rows are to be read again, without waiting for the period.
    wanted: bool,
}

impl Coordinator {
    /// A candidate.
    #[must_use]
    pub fn new(node: NodeId) -> Self {
        Self::with_slots(node, SLOTS)
    }

    /// A candidate for a table of fewer slots, the first so many: what models use, to be quick.
    #[must_use]
    pub fn with_slots(node: NodeId, slots: u16) -> Self {
        let row = |slot: Slot| SlotRow {
            assignment: Assignment { tenure: Tenure { slot, epoch: Default::default() }, owner: None },
            moving_to: None,
        };
        let rows = Rows {
            processes: Vec::new(),
            read_at: Millis(0),
            slots: (0..slots).filter_map(|number| Slot::new(number).ok()).map(row).collect(),
            version: 0,
            reading: None,
            last_read: Millis(0),
            writing: None,
            usable_from: 0,
            wanted: false,
        };
        Self {
            node,
            seen: None,
            term: None,
            resigned: false,
            gapless: None,
            answered: None,
            renewals: BTreeMap::new(),
            evidence: BTreeMap::new(),
            next_period: Millis(0),
            evicted: VecDeque::new(),
            rows,
            reads: 0,
            writes: 0,
            #[cfg(feature = "planted-bugs")]
            bug: None,
        }
    }

    /// The epoch of this node's term, as far as it knows.
    #[must_use]
    pub fn term(&self) -> Option<u64> {
        self.term.map(|term| term.epoch)
    }

    /// Who the coordinator is, as far as this node knows: where reports of evidence go.
    #[must_use]
    pub fn holder(&self) -> Option<NodeId> {
        if self.term.is_some() { Some(self.node) } else { self.seen.and_then(|seen| seen.holder) }
    }

    /// When [`Input::Tick`] is due; a candidate has no use for one.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        self.term?;
        let idle = self.rows.wanted && self.rows.reading.is_none();
        let read = idle.then(|| self.rows.last_read + READ_PAUSE);
        read.into_iter().chain([self.next_period]).min()
    }

    /// Takes one input and returns what is to be done, in order.
    #[must_use]
    pub fn handle(&mut self, input: Input, now: Millis) -> Vec<Effect> {
        let mut out = Vec::new();
        match input {
            Input::Renewed { sent_at, term } => self.renewed(sent_at, term, now, &mut out),
            Input::Term { sent_at, epoch } => self.term_answered(sent_at, epoch, now, &mut out),
            Input::Rows { read, sent_at, processes, slots, version } => {
                self.answered = Some(now);
                self.find_evicted(&processes, now, &mut out);
                self.rows_read(read, sent_at, processes, &slots, version);
                self.work(read, now, &mut out);
            }
            Input::RowsFailed { read } => {
                self.rows.reading = self.rows.reading.filter(|reading| *reading != read);
            }
            Input::Written { write, outcome } => self.written(write, outcome, now, &mut out),
            Input::Report { dead, silent } => self.report(dead, silent, now, &mut out),
            Input::Hint(version) => self.rows.wanted |= version > self.rows.version,
            Input::Resign => self.resign(&mut out),
            Input::Tick => {}
        }
        self.on_time(now, &mut out);
        out
    }

    /// Gives this coordinator a fault.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(&mut self, bug: crate::Bug) {
        self.bug = Some(bug);
    }
}

#[cfg(test)]
mod tests;
