//! A shard keeps the hubs of the users of its slots: awake as actors, asleep as plain values.

mod ruled;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use streamz_hub::{Effect, Hub, Input, Rest};
use streamz_protocol::bus::{ToGateway, ToHub, Up};
use streamz_protocol::cluster::Slot;
use streamz_protocol::{GatewayId, Limits, Millis, StreamId, UserId};
use tokio::sync::oneshot;

use super::Permit;
use super::express::Express;
use super::hub::{HubActor, HubMsg, HubStart, Surroundings};
use super::steward::Steward;
use crate::node::Gauges;

/// A hub that fails again within this time is started with a delay that doubles.
const TROUBLED: Duration = Duration::from_secs(60);
/// The first such delay.
const RESTART_DELAY: Duration = Duration::from_millis(50);
/// The longest.
const RESTART_DELAY_MAX: Duration = Duration::from_secs(5);
/// Inputs that are kept for a hub that is down.
const KEPT_WHILE_DOWN: usize = 1024;

/// What a shard is told.
pub(crate) enum ShardMsg {
    /// By the bus, counted by the [`Express`].
    Frame(ToHub, Permit),
    /// A hub has nothing to do, having handled this many inputs.
    Idle { user: UserId, actor: ActorId, handled: u64 },
    /// A hub that was told to retire.
    Retired(UserId, Box<Hub>),
    /// The delay before a restart is over.
    Restart(UserId),
    /// By the steward: start a hub that recovers from these gateways. Counted by the [`Express`].
    Start { user: UserId, epoch: u64, recover_from: Vec<GatewayId> },
    /// By the steward: a hub may read its user's devices.
    Load { user: UserId, epoch: u64 },
    /// By the steward: the hubs of a slot are over.
    Drop(Slot),
    /// By the steward: answered once all that was said before is done.
    Barrier(oneshot::Sender<()>),
    /// By the steward: the node may decide again.
    Decide,
    /// By the steward: which streams does a user's hub know?
    Streams(UserId, oneshot::Sender<Vec<StreamId>>),
    /// It is time to see whether all its users are in the store.
    CheckUsers,
    /// These are not: somebody deleted their accounts.
    Missing(Vec<UserId>),
}

pub(crate) struct ShardActor;

pub(crate) struct ShardStart {
    pub(crate) surroundings: Arc<Surroundings>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) gauges: Arc<Gauges>,
    pub(crate) express: Arc<Express>,
    /// When it looks for the first time whether its users are in the store. Shards take turns.
    pub(crate) first_check: Duration,
}

pub(crate) struct ShardState {
    surroundings: Arc<Surroundings>,
    limits: Arc<Limits>,
    gauges: Arc<Gauges>,
    express: Arc<Express>,
    users: HashMap<UserId, Resident>,
    /// Whose hub an actor is, and which, for those that are awake.
    awake: HashMap<ActorId, (UserId, u64)>,
    troubles: HashMap<UserId, Trouble>,
    next_epoch: u64,
}

enum Resident {
    /// Inputs are handed to it by the [`Express`].
    Awake {
        actor: ActorRef<HubMsg>,
        epoch: u64,
    },
    /// It was told to hand its hub back; what arrives meanwhile waits.
    Retiring {
        epoch: u64,
        waiting: Vec<(Up, Permit)>,
    },
    Asleep(Box<Hub>),
    /// It failed and starts anew after a delay. What arrives meanwhile, its gateways will tell again, but for what
    /// is kept here.
    Down {
        epoch: u64,
        kept: Vec<(Up, Permit)>,
    },
}

impl Resident {
    fn epoch(&self) -> u64 {
        match self {
            Self::Awake { epoch, .. } | Self::Retiring { epoch, .. } | Self::Down { epoch, .. } => *epoch,
            Self::Asleep(hub) => hub.epoch(),
        }
    }
}

struct Trouble {
    last: Millis,
    count: u32,
}

impl Actor for ShardActor {
    type Msg = ShardMsg;
    type State = ShardState;
    type Arguments = ShardStart;

    async fn pre_start(
        &self,
        myself: ActorRef<ShardMsg>,
        start: ShardStart,
    ) -> Result<ShardState, ActorProcessingErr> {
        drop(myself.send_after(start.first_check, || ShardMsg::CheckUsers));
        Ok(ShardState {
            surroundings: start.surroundings,
            limits: start.limits,
            gauges: start.gauges,
            express: start.express,
            users: HashMap::new(),
            awake: HashMap::new(),
            troubles: HashMap::new(),
            next_epoch: 1,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<ShardMsg>,
        message: ShardMsg,
        state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ShardMsg::Frame(frame, permit) => {
                let user = frame.user;
                state.frame(frame, permit, &myself).await;
                state.express.settled(user);
            }
            ShardMsg::Idle { user, actor, handled } => state.idle(user, actor, handled),
            ShardMsg::Retired(user, hub) => state.retired(user, hub, &myself).await,
            ShardMsg::Restart(user) => state.restart(user, &myself).await,
            ShardMsg::Start { user, epoch, recover_from } => {
                state.start(user, epoch, &recover_from, &myself).await;
                state.express.settled(user);
            }
            ShardMsg::Load { user, epoch } => state.load(user, epoch),
            ShardMsg::Drop(slot) => state.drop_slot(slot).await,
            // Whoever asked may have gone.
            ShardMsg::Barrier(answer) => drop(answer.send(())),
            ShardMsg::Decide => state.decide(),
            ShardMsg::Streams(user, answer) => state.streams(user, answer),
            ShardMsg::CheckUsers => state.check_users(&myself),
            ShardMsg::Missing(users) => {
                for user in users {
                    state.missing(user, &myself).await;
                }
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<ShardMsg>,
        event: SupervisionEvent,
        state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(cell, error) => {
                if let Some((user, epoch)) = state.ended(cell.get_id()) {
                    state.failed(user, epoch, &error, &myself);
                }
            }
            SupervisionEvent::ActorTerminated(cell, ..) => drop(state.ended(cell.get_id())),
            _ => {}
        }
        Ok(())
    }
}

impl ShardState {
    async fn frame(&mut self, frame: ToHub, permit: Permit, myself: &ActorRef<ShardMsg>) {
        let ToHub { user, up } = frame;
        match self.users.get_mut(&user) {
            Some(Resident::Awake { .. }) => self.express.hand(user, up, permit),
            Some(Resident::Retiring { waiting, .. }) => waiting.push((up, permit)),
            Some(Resident::Down { kept, .. }) => {
                if kept.len() < KEPT_WHILE_DOWN && is_said_once(&up) {
                    kept.push((up, permit));
                }
            }
            Some(Resident::Asleep(_)) => {
                if let Some(Resident::Asleep(hub)) = self.users.remove(&user) {
                    self.gauges.asleep.sub(1);
                    self.wake(hub, Vec::new(), vec![(up, permit)], myself).await;
                }
            }
            None => self.first(user, up, permit, myself).await,
        }
    }

    /// Something for a user without a hub.
    async fn first(&mut self, user: UserId, up: Up, permit: Permit, myself: &ActorRef<ShardMsg>) {
        if self.surroundings.steward.get().is_some() {
            // The steward starts hubs before it gives them anything: this one is over.
            return;
        }
        match up {
            Up::Attach(..) => {
                let hub = Box::new(Hub::new(user, self.epoch(), self.limits.clone()));
                self.wake(hub, Vec::new(), vec![(up, permit)], myself).await;
            }
            Up::WhoIsOnline { gateway, request } => {
                let nobody = ToGateway::Online { request, devices: Vec::new() };
                if let Err(refused) = self.surroundings.bus.to_gateway(gateway, nobody) {
                    tracing::debug!(?gateway, %refused, "a gateway did not take an answer");
                }
            }
            // Nobody is there whom it could concern.
            _ => {}
        }
    }

    fn epoch(&mut self) -> u64 {
        self.next_epoch += 1;
        self.next_epoch
    }

    /// Makes an actor of a hub and hands it what waits.
    async fn wake(
        &mut self,
        hub: Box<Hub>,
        effects: Vec<Effect>,
        waiting: Vec<(Up, Permit)>,
        myself: &ActorRef<ShardMsg>,
    ) {
        let (user, epoch) = (hub.user(), hub.epoch());
        let start = HubStart { hub, effects, surroundings: self.surroundings.clone(), shard: myself.clone() };
        let actor = match HubActor::spawn_linked(None, HubActor, start, myself.get_cell()).await {
            Ok((actor, _)) => actor,
            Err(error) => {
                self.users.insert(user, Resident::Retiring { epoch, waiting });
                return self.failed(user, epoch, &error, myself);
            }
        };
        self.gauges.awake.add(1);
        self.awake.insert(actor.get_id(), (user, epoch));
        self.users.insert(user, Resident::Awake { actor: actor.clone(), epoch });
        self.express.open(user, actor, waiting);
    }

    fn idle(&mut self, user: UserId, who: ActorId, handled: u64) {
        if let Some(Resident::Awake { epoch, .. }) = self.users.get(&user)
            && self.express.retire(user, who, handled)
        {
            let epoch = *epoch;
            self.users.insert(user, Resident::Retiring { epoch, waiting: Vec::new() });
        }
    }

    async fn retired(&mut self, user: UserId, hub: Box<Hub>, myself: &ActorRef<ShardMsg>) {
        let Some(Resident::Retiring { epoch, waiting }) = self.users.get_mut(&user) else { return };
        if *epoch != hub.epoch() {
            return;
        }
        let waiting = std::mem::take(waiting);
        self.users.remove(&user);
        if !waiting.is_empty() {
            return self.wake(hub, Vec::new(), waiting, myself).await;
        }
        if hub.rest() == Rest::Empty {
            let is_clear = || self.express.is_clear(user);
            let stays = |steward: &Arc<dyn Steward>| !steward.may_go(user, hub.epoch(), &is_clear);
            if !self.surroundings.steward.get().is_some_and(stays) {
                return;
            }
            // Something is on its way, and wakes it.
        }
        self.gauges.asleep.add(1);
        self.users.insert(user, Resident::Asleep(hub));
    }

    /// An actor is gone: whose hub it was, and which.
    fn ended(&mut self, actor: ActorId) -> Option<(UserId, u64)> {
        let hub = self.awake.remove(&actor)?;
        self.gauges.awake.sub(1);
        Some(hub)
    }

    /// Starts a hub anew: at once the first time, then after a delay.
    fn failed(
        &mut self,
        user: UserId,
        epoch: u64,
        error: &dyn std::fmt::Display,
        myself: &ActorRef<ShardMsg>,
    ) {
        tracing::error!(%user, %error, "a hub failed and is started anew");
        metrics::counter!("streamz_hub_failures_total").increment(1);
        if self.users.get(&user).is_none_or(|resident| resident.epoch() != epoch) {
            // Another one is there already, or it was to end anyway.
            return;
        }
        self.express.close(user);
        if let Some(steward) = self.surroundings.steward.get() {
            steward.failed(user, epoch);
        }
        let now = self.surroundings.clock.now();
        self.troubles.retain(|_, trouble| trouble.last + TROUBLED > now);
        let trouble = self.troubles.entry(user).or_insert(Trouble { last: now, count: 0 });
        trouble.last = now;
        trouble.count += 1;
        let repeats = trouble.count - 1;
        let kept = match self.users.remove(&user) {
            Some(Resident::Retiring { waiting, .. } | Resident::Down { kept: waiting, .. }) => {
                waiting.into_iter().filter(|(up, _)| is_said_once(up)).collect()
            }
            _ => Vec::new(),
        };
        self.users.insert(user, Resident::Down { epoch, kept });
        let delay = match repeats {
            0 => Duration::ZERO,
            more => RESTART_DELAY.saturating_mul(2_u32.saturating_pow(more.min(16))).min(RESTART_DELAY_MAX),
        };
        // Ends with the shard: a message to an actor that is gone goes nowhere.
        drop(myself.send_after(delay, move || ShardMsg::Restart(user)));
    }

    /// An account may be deleted where no process hears of it, with the database's own tools. The hubs need not wake to
    /// find out.
    fn check_users(&mut self, myself: &ActorRef<ShardMsg>) {
        if !self.users.is_empty() {
            self.surroundings.desk.find_missing(self.users.keys().copied().collect(), myself.clone());
        }
        drop(myself.send_after(self.surroundings.check_users, || ShardMsg::CheckUsers));
    }

    async fn missing(&mut self, user: UserId, myself: &ActorRef<ShardMsg>) {
        if matches!(self.users.get(&user), Some(Resident::Asleep(_)))
            && let Some(Resident::Asleep(hub)) = self.users.remove(&user)
        {
            self.gauges.asleep.sub(1);
            self.wake(hub, Vec::new(), Vec::new(), myself).await;
        }
        // Whose hub is about to fall asleep or to start anew is found the next time.
        if self.express.answer(user, Input::Loaded(Ok(None))) {
            tracing::info!(%user, "an account is gone; its sockets are closed");
        }
    }

    async fn restart(&mut self, user: UserId, myself: &ActorRef<ShardMsg>) {
        let Some(Resident::Down { kept, .. }) = self.users.get_mut(&user) else { return };
        if let Some(steward) = self.surroundings.steward.get() {
            return steward.restart(user);
        }
        let kept = std::mem::take(kept);
        let gateways = self.surroundings.bus.gateways();
        let (hub, effects) = Hub::recover(user, self.epoch(), self.limits.clone(), &gateways);
        self.wake(Box::new(hub), effects, kept, myself).await;
    }
}

/// Whether a hub that is started anew would not hear of it again from its gateways.
fn is_said_once(up: &Up) -> bool {
    matches!(up, Up::Revoke { .. } | Up::Devices(_))
}
