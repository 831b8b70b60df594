//! The way past a shard: inputs for a hub that is awake go to its actor directly, which saves them a task switch.
//!
//! Order is kept by a count. Inputs that go through the shard are counted until the shard has handed them on, and while
//! there are any of a user, all others of that user queue up behind them.

use std::collections::HashMap;

use parking_lot::Mutex;
use ractor::{ActorId, ActorRef};
use streamz_hub::Input;
use streamz_protocol::UserId;
use streamz_protocol::bus::Up;
use streamz_protocol::cluster::Slot;

use super::Permit;
use super::hub::HubMsg;

/// The lanes of one shard's users.
#[derive(Default)]
pub(crate) struct Express {
    lanes: Mutex<HashMap<UserId, Lane>>,
}

/// One user's, for as long as the hub is awake or something is on its way through the shard.
#[derive(Default)]
struct Lane {
    actor: Option<ActorRef<HubMsg>>,
    /// Inputs that were handed to this actor.
    handed: u64,
    /// Inputs on their way through the shard.
    queued: usize,
}

impl Lane {
    fn hand(&mut self, up: Up, permit: Permit) -> Option<(Up, Permit)> {
        let Some(actor) = &self.actor else { return Some((up, permit)) };
        self.handed += 1;
        // An actor that just failed takes nothing; its gateways will tell the next one.
        let _ = actor.cast(HubMsg::Up(up, permit));
        None
    }
}

impl Express {
    /// Hands an input to a hub that is awake, or counts it and gives it back: it has to go through the shard.
    pub(crate) fn pass(&self, user: UserId, up: Up, permit: Permit) -> Option<(Up, Permit)> {
        let mut lanes = self.lanes.lock();
        let lane = lanes.entry(user).or_default();
        let rest = if lane.queued == 0 { lane.hand(up, permit) } else { Some((up, permit)) };
        lane.queued += usize::from(rest.is_some());
        rest
    }

    /// The shard has an input that [`Express::pass`] counted: hands it to the hub, which is awake.
    pub(crate) fn hand(&self, user: UserId, up: Up, permit: Permit) {
        if let Some(lane) = self.lanes.lock().get_mut(&user) {
            lane.hand(up, permit);
        }
    }

    /// Hands what the store says to a hub, if it is awake. It keeps no order with what gateways say.
    pub(crate) fn answer(&self, user: UserId, input: Input) -> bool {
        let lanes = self.lanes.lock();
        let actor = lanes.get(&user).and_then(|lane| lane.actor.as_ref());
        actor.is_some_and(|actor| actor.cast(HubMsg::Answer(input)).is_ok())
    }

    /// The shard has done with an input that [`Express::pass`] counted.
    pub(crate) fn settled(&self, user: UserId) {
        let mut lanes = self.lanes.lock();
        if let Some(lane) = lanes.get_mut(&user) {
            lane.queued = lane.queued.saturating_sub(1);
            if lane.queued == 0 && lane.actor.is_none() {
                lanes.remove(&user);
            }
        }
    }

    /// A hub is awake: first it is handed what waited for it.
    pub(crate) fn open(&self, user: UserId, actor: ActorRef<HubMsg>, waiting: Vec<(Up, Permit)>) {
        let mut lanes = self.lanes.lock();
        let lane = lanes.entry(user).or_default();
        lane.actor = Some(actor);
        lane.handed = 0;
        for (up, permit) in waiting {
            lane.hand(up, permit);
        }
    }

    /// Tells a hub to retire, unless it was handed more than it has `handled`. Nothing reaches it any more then.
    pub(crate) fn retire(&self, user: UserId, who: ActorId, handled: u64) -> bool {
        let mut lanes = self.lanes.lock();
        let Some(lane) = lanes.get_mut(&user) else { return false };
        let Some(actor) = lane.actor.take_if(|actor| actor.get_id() == who && lane.handed == handled) else {
            return false;
        };
        // An actor that fails instead comes back as a failure.
        let _ = actor.cast(HubMsg::Retire);
        if lane.queued == 0 {
            lanes.remove(&user);
        }
        true
    }

    /// Another hub is to be started, by a message to the shard that counts as an input: whatever comes from now on is
    /// for that one.
    pub(crate) fn await_start(&self, user: UserId) {
        let mut lanes = self.lanes.lock();
        let lane = lanes.entry(user).or_default();
        lane.actor = None;
        lane.queued += 1;
    }

    /// The hubs of a slot are over: nothing is handed to them any more.
    pub(crate) fn close_slot(&self, slot: Slot) {
        self.lanes.lock().retain(|user, lane| {
            if Slot::of(*user) == slot {
                lane.actor = None;
            }
            lane.actor.is_some() || lane.queued > 0
        });
    }

    /// Whether nothing is on its way to a user's hub, which is not awake.
    pub(crate) fn is_clear(&self, user: UserId) -> bool {
        !self.lanes.lock().contains_key(&user)
    }

    /// A hub failed: nothing is handed to it any more.
    pub(crate) fn close(&self, user: UserId) {
        let mut lanes = self.lanes.lock();
        if let Some(lane) = lanes.get_mut(&user) {
            lane.actor = None;
            if lane.queued == 0 {
                lanes.remove(&user);
            }
        }
    }
}
