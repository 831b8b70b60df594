//! A shard keeps the hubs of the users that hash to it: awake as actors, asleep as plain values.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use streamz_hub::{Effect, Hub, Rest};
use streamz_protocol::bus::{ToGateway, ToHub, Up};
use streamz_protocol::{Limits, Millis, UserId};

use super::Permit;
use super::express::Express;
use super::hub::{HubActor, HubStart, Surroundings};
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
}

pub(crate) struct ShardActor;

pub(crate) struct ShardStart {
    pub(crate) surroundings: Arc<Surroundings>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) gauges: Arc<Gauges>,
    pub(crate) express: Arc<Express>,
}

pub(crate) struct ShardState {
    surroundings: Arc<Surroundings>,
    limits: Arc<Limits>,
    gauges: Arc<Gauges>,
    express: Arc<Express>,
    users: HashMap<UserId, Resident>,
    /// Whose hub an actor is, for those that are awake.
    awake: HashMap<ActorId, UserId>,
    troubles: HashMap<UserId, Trouble>,
    next_epoch: u64,
}

enum Resident {
    /// Its actor is known to the [`Express`].
    Awake,
    /// It was told to hand its hub back; what arrives meanwhile waits.
    Retiring(Vec<(Up, Permit)>),
    Asleep(Box<Hub>),
    /// It failed and starts anew after a delay. What arrives meanwhile, its gateways will tell again, but for what
    /// is kept here.
    Down(Vec<(Up, Permit)>),
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
        _: ActorRef<ShardMsg>,
        start: ShardStart,
    ) -> Result<ShardState, ActorProcessingErr> {
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
                if let Some(user) = state.ended(cell.get_id()) {
                    state.failed(user, &error, &myself);
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
            Some(Resident::Awake) => self.express.hand(user, up, permit),
            Some(Resident::Retiring(waiting)) => waiting.push((up, permit)),
            Some(Resident::Down(kept)) => {
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
        let user = hub.user();
        let start = HubStart { hub, effects, surroundings: self.surroundings.clone(), shard: myself.clone() };
        let actor = match HubActor::spawn_linked(None, HubActor, start, myself.get_cell()).await {
            Ok((actor, _)) => actor,
            Err(error) => {
                self.users.insert(user, Resident::Retiring(waiting));
                return self.failed(user, &error, myself);
            }
        };
        self.gauges.awake.add(1);
        self.awake.insert(actor.get_id(), user);
        self.users.insert(user, Resident::Awake);
        self.express.open(user, actor, waiting);
    }

    fn idle(&mut self, user: UserId, who: ActorId, handled: u64) {
        if self.express.retire(user, who, handled) {
            self.users.insert(user, Resident::Retiring(Vec::new()));
        }
    }

    async fn retired(&mut self, user: UserId, hub: Box<Hub>, myself: &ActorRef<ShardMsg>) {
        let Some(Resident::Retiring(waiting)) = self.users.remove(&user) else { return };
        if !waiting.is_empty() {
            return self.wake(hub, Vec::new(), waiting, myself).await;
        }
        if hub.rest() != Rest::Empty {
            self.gauges.asleep.add(1);
            self.users.insert(user, Resident::Asleep(hub));
        }
    }

    /// An actor is gone: whose hub it was.
    fn ended(&mut self, actor: ActorId) -> Option<UserId> {
        let user = self.awake.remove(&actor)?;
        self.gauges.awake.sub(1);
        Some(user)
    }

    /// Starts a hub anew: at once the first time, then after a delay.
    fn failed(&mut self, user: UserId, error: &dyn std::fmt::Display, myself: &ActorRef<ShardMsg>) {
        tracing::error!(%user, %error, "a hub failed and is started anew");
        metrics::counter!("streamz_hub_failures_total").increment(1);
        self.express.close(user);
        let now = self.surroundings.clock.now();
        self.troubles.retain(|_, trouble| trouble.last + TROUBLED > now);
        let trouble = self.troubles.entry(user).or_insert(Trouble { last: now, count: 0 });
        trouble.last = now;
        trouble.count += 1;
        let repeats = trouble.count - 1;
        let kept = match self.users.remove(&user) {
            Some(Resident::Retiring(waiting) | Resident::Down(waiting)) => {
                waiting.into_iter().filter(|(up, _)| is_said_once(up)).collect()
            }
            _ => Vec::new(),
        };
        self.users.insert(user, Resident::Down(kept));
        let delay = match repeats {
            0 => Duration::ZERO,
            more => RESTART_DELAY.saturating_mul(2_u32.saturating_pow(more.min(16))).min(RESTART_DELAY_MAX),
        };
        // Ends with the shard: a message to an actor that is gone goes nowhere.
        drop(myself.send_after(delay, move || ShardMsg::Restart(user)));
    }

    async fn restart(&mut self, user: UserId, myself: &ActorRef<ShardMsg>) {
        let Some(Resident::Down(kept)) = self.users.get_mut(&user) else { return };
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
