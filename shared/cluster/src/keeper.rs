//! The node's side of a takeover: takes slots over, stands between their hubs and the gateways, and hands slots on
//! (*Takeover, node side*).
//!
//! A keeper serves any number of slots; a node may have one, or one for each of its shards. Everything about a slot,
//! its hubs included, is told to one keeper.
//!
//! # A slot's life
//! *Claiming*: the table names this node as the owner. Every gateway is asked to confirm; a user who is listed gets a
//! hub that recovers. *Confirmed*: every gateway that lived has confirmed or is gone; new users get a new hub.
//! *Flushing* and *handing over*: the coordinator has ordered a move; hubs are gone, their writes are finished, and
//! the table is changed by this node. Whatever comes in between, but for a success, makes it *claiming* again, at the
//! same epoch: what was dropped meanwhile is in the announcements. Nothing happens on a time-out.
//!
//! # Bounds
//! No frame waits here. A frame from a gateway that has not confirmed the slot is dropped, for its announcement has
//! all of it; such frames come only from a gateway that breaks the handshake. For each hub the keeper holds its
//! connections and, while it recovers, the gateways that have still to answer: no more than the gateways have
//! connections. Claims are of at most [`CLAIM_MAX`] slots.

mod hubs;
mod moves;
mod takeover;

use std::collections::BTreeMap;

use streamz_protocol::bus::{ToGateway, ToHub, Up};
use streamz_protocol::cluster::{Assignment, Epoch, Routed, Slot, Tenure};
use streamz_protocol::{ConnId, GatewayId, Millis, NodeId, UserId};

use crate::planted::planted;
use crate::slots::{SlotRow, SlotSet};
use crate::table::Fence;

/// The most slots of one claim.
pub const CLAIM_MAX: usize = 64;
/// Slots that are sealed at a time, for their hubs stand still until the heir serves them.
pub const SEALED_MAX: usize = 64;
/// The bits of a hub's epoch that count the hubs of one tenure; the slot's epoch is above them. When they are used up
/// they begin anew: what has to differ are the hubs of one user that follow each other.
pub const HUB_EPOCH_BITS: u32 = 24;

/// What a keeper is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// What the store answered: all rows newer than [`Keeper::version`] (as it was when the question was put; hints do
    /// not raise it), and the gateways that live. The list is read with the rows or after them: every gateway that may
    /// know an older epoch of them is on it, or is gone. One question at a time.
    Read {
        /// The version of the store's table.
        version: u64,
        /// Rows that changed; more are no harm.
        rows: Vec<SlotRow>,
        /// All gateways with a lease.
        gateways: Vec<GatewayId>,
    },
    /// What another process says about the table.
    Hint(Vec<Assignment>),
    /// A frame of the link from a gateway: [`Routed::ToHub`].
    Frame {
        /// The gateway at the other end of the link.
        gateway: GatewayId,
        /// With what it is addressed.
        tenure: Tenure,
        /// The frame.
        frame: ToHub,
    },
    /// A frame of the link from a gateway: [`Routed::Claimed`]. It answers one claim, so with several keepers all of
    /// it is of one of them.
    Claimed {
        /// The gateway at the other end of the link.
        gateway: GatewayId,
        /// What it confirms.
        tenures: Vec<Tenure>,
        /// Its users in these slots.
        users: Vec<UserId>,
    },
    /// What a hub says to a gateway. Its rolls are dropped, for the keeper asks on its behalf. The rest may as well go
    /// past the keeper, with the tenure that the hub was started in, until [`Effect::Flush`] or [`Effect::DropHubs`].
    HubSays {
        /// Whose hub.
        user: UserId,
        /// Which incarnation.
        hub_epoch: u64,
        /// To whom.
        gateway: GatewayId,
        /// The frame.
        frame: ToGateway,
    },
    /// A hub wants to read its user's devices. Answered with [`Effect::Load`], once no gateway can be about to tell a
    /// predecessor of a change that this read would miss.
    HubLoads {
        /// Whose hub.
        user: UserId,
        /// Which incarnation.
        hub_epoch: u64,
    },
    /// A hub is gone, and nothing waits for it.
    HubGone {
        /// Whose hub.
        user: UserId,
        /// Which incarnation.
        hub_epoch: u64,
        /// It failed: [`Input::HubRestart`] will follow.
        failed: bool,
    },
    /// A hub that failed is to be started anew.
    HubRestart(UserId),
    /// The answer to [`Effect::Flush`]: whether all writes of the slot are in the store.
    Flushed(Tenure, bool),
    /// The answer to [`Effect::HandOver`].
    HandedOver(Tenure, HandOver),
    /// This node's lease is gone: it owns nothing any more, and goes on as another one.
    Evicted,
}

/// How a hand-over ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandOver {
    /// The slot has its new owner.
    Done {
        /// The version of the table with it.
        version: u64,
        /// Who owns it now. The order may have changed since this node read it.
        owner: NodeId,
    },
    /// The row is not as it was thought to be; nothing changed.
    Refused,
    /// No answer came: it may or may not be done. (If it is, the gateways will know the higher epoch, and this node's
    /// claims of the lower one find nobody.)
    Unknown,
}

/// What a node is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send this on the link to a gateway.
    Send(GatewayId, Routed),
    /// Start a hub: `Hub::recover` with these gateways. (With none it may as well be `Hub::new`, but the first hub of
    /// a user in a tenure has rows to put right that a predecessor may have left.) Of its effects, those to gateways
    /// and those to the store's list of devices come back as [`Input::HubSays`] and [`Input::HubLoads`].
    StartHub {
        /// Whose.
        user: UserId,
        /// Its incarnation.
        hub_epoch: u64,
        /// Whom it has to hear before it decides anything.
        recover_from: Vec<GatewayId>,
    },
    /// Give this to a hub.
    HubInput(UserId, Up),
    /// Read this user's devices and tell the hub.
    Load {
        /// Whose.
        user: UserId,
        /// For which incarnation of the hub.
        hub_epoch: u64,
    },
    /// Drop all hubs of a slot, with what waits for them and their writes: another node owns it.
    DropHubs(Slot),
    /// Drop all hubs of a slot, then finish their writes; answer with [`Input::Flushed`], be it that the store is
    /// away.
    Flush(Tenure),
    /// Give the slot to whom its row in the store says, if that is still (this node, this epoch, moving to another one),
    /// raising the epoch by one. Answer with [`Input::HandedOver`].
    HandOver(Tenure),
    /// Every gateway has confirmed: rows of the slot's users without a hub, left so by an earlier owner, can be put
    /// right: presence, and streams that nobody knows.
    Confirmed(Tenure),
    /// Tell all processes: [`Packet::Table`](streamz_protocol::cluster::Packet::Table).
    Publish {
        /// The version of the table with it.
        version: u64,
        /// The change.
        change: Assignment,
    },
    /// Read the slot table and the gateways from the store soon. (May come often; one question at a time is enough.)
    Read,
    /// Count this: a gateway said something that does not count.
    Ignored(GatewayId, Ignored),
}

/// Why something does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// The slot is not owned at that epoch.
    NotMine,
    /// The slot is being handed over.
    Sealed,
    /// The gateway has not confirmed the slot, or is gone.
    Unconfirmed,
    /// The user is not of that slot.
    WrongSlot,
}

/// Serves slots, for one incarnation of a node.
#[derive(Clone, Debug)]
pub struct Keeper {
    node: NodeId,
    fence: Fence,
    held: BTreeMap<Slot, Held>,
    gateways: BTreeMap<GatewayId, Peer>,
    version: u64,
    #[cfg(feature = "planted-bugs")]
    pub(crate) bug: Option<crate::Bug>,
}

/// A slot that this node owns.
#[derive(Clone, Debug)]
struct Held {
    epoch: Epoch,
    stage: Stage,
    /// To whom it is to be handed.
    heir: Option<NodeId>,
    /// When the present claim began.
    since: Millis,
    hubs: BTreeMap<UserId, HubRecord>,
    /// Counts the hubs of this tenure.
    started: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// These gateways have not confirmed yet.
    Claiming(Vec<GatewayId>),
    Confirmed,
    Flushing,
    HandingOver(NodeId),
}

/// A gateway that lives.
#[derive(Clone, Debug, Default)]
struct Peer {
    /// What it has confirmed.
    confirmed: SlotSet,
}

/// A hub that runs, sleeps, or is about to be started anew.
#[derive(Clone, Debug)]
struct HubRecord {
    epoch: u64,
    /// Connections that a gateway has spoken of: they end with it.
    conns: Vec<ConnId>,
    /// While it recovers.
    rolls: Option<Box<Rolls>>,
    /// It waits for its devices.
    loads: bool,
}

#[derive(Clone, Debug, Default)]
struct Rolls {
    /// Gateways whose question is held until they have confirmed.
    held: Vec<GatewayId>,
    /// Gateways that were asked and have not answered.
    asked: Vec<GatewayId>,
}

/// What a keeper holds, for metrics and status pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Slots that this node owns.
    pub slots: usize,
    /// Those that wait for a gateway's confirmation.
    pub claiming: usize,
    /// Those that are being handed over.
    pub sealed: usize,
    /// Hubs.
    pub hubs: usize,
}

impl Keeper {
    /// It owns nothing yet.
    #[must_use]
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            fence: Fence::default(),
            held: BTreeMap::new(),
            gateways: BTreeMap::new(),
            version: 0,
            #[cfg(feature = "planted-bugs")]
            bug: None,
        }
    }

    /// The version of the table that was read last: what is newer is to be read next.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What it holds.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats { slots: self.held.len(), ..Stats::default() };
        for held in self.held.values() {
            stats.hubs += held.hubs.len();
            match held.stage {
                Stage::Claiming(_) => stats.claiming += 1,
                Stage::Flushing | Stage::HandingOver(_) => stats.sealed += 1,
                Stage::Confirmed => {}
            }
        }
        stats
    }

    /// The epoch in which this node owns a slot.
    #[must_use]
    pub fn tenure(&self, slot: Slot) -> Option<Tenure> {
        self.held.get(&slot).map(|held| Tenure { slot, epoch: held.epoch })
    }

    /// Whether a user has a hub here.
    #[must_use]
    pub fn serves(&self, user: UserId) -> bool {
        self.held.get(&Slot::of(user)).is_some_and(|held| held.hubs.contains_key(&user))
    }

    /// Whether every gateway has confirmed a slot, and it is not being handed over: its hubs may decide.
    #[must_use]
    pub fn is_confirmed(&self, slot: Slot) -> bool {
        self.held.get(&slot).is_some_and(|held| held.stage == Stage::Confirmed)
    }

    /// Gateways that hold up a slot, with the time since it waits for them, for status pages.
    pub fn awaited(&self) -> impl Iterator<Item = (Slot, &[GatewayId], Millis)> {
        self.held.iter().filter_map(|(slot, held)| match &held.stage {
            Stage::Claiming(awaited) => Some((*slot, &awaited[..], held.since)),
            _ => None,
        })
    }

    /// Takes one input and returns what is to be done, in order.
    #[must_use]
    pub fn handle(&mut self, input: Input, now: Millis) -> Vec<Effect> {
        let mut out = Vec::new();
        match input {
            Input::Read { version, rows, gateways } => {
                self.version = self.version.max(version);
                self.gateways_read(&gateways, &mut out);
                self.rows(rows, now, &mut out);
                self.start_moves(&mut out);
            }
            Input::Hint(changes) => self.hint(&changes, &mut out),
            Input::Frame { gateway, tenure, frame } => self.frame(gateway, tenure, frame, &mut out),
            Input::Claimed { gateway, tenures, users } => self.claimed(gateway, &tenures, &users, &mut out),
            Input::HubSays { user, hub_epoch, gateway, frame } => {
                self.hub_says(user, hub_epoch, gateway, frame, &mut out);
            }
            Input::HubLoads { user, hub_epoch } => self.hub_loads(user, hub_epoch, &mut out),
            Input::HubGone { user, hub_epoch, failed } => self.hub_gone(user, hub_epoch, failed),
            Input::HubRestart(user) => self.hub_restart(user, &mut out),
            Input::Flushed(tenure, written) => self.flushed(tenure, written, now, &mut out),
            Input::HandedOver(tenure, how) => self.handed_over(tenure, how, now, &mut out),
            Input::Evicted => {
                out.extend(std::mem::take(&mut self.held).into_keys().map(Effect::DropHubs));
                self.gateways.clear();
            }
        }
        out
    }

    /// Gives this keeper a fault.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(&mut self, bug: crate::Bug) {
        self.bug = Some(bug);
    }

    fn early(&self) -> bool {
        planted!(self, EarlyActivation)
    }
}

#[cfg(test)]
mod tests;
