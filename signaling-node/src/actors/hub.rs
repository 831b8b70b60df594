//! The actor around one user's hub: it moves inputs in and effects out, and keeps one timer.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ractor::concurrency::JoinHandle;
use ractor::{Actor, ActorProcessingErr, ActorRef, MessagingErr};
use streamz_bus::Bus;
use streamz_cluster::keeper::HUB_EPOCH_BITS;
use streamz_hub::{Context, Effect, Hub, Input, Rest};
use streamz_platform::Clock;
use streamz_platform::spans::{self, Span};
use streamz_protocol::bus::{ToGateway, Up};
use streamz_protocol::cluster::{Epoch, Slot, Tenure};
use streamz_protocol::{GatewayId, Millis, StreamId, TraceContext, UserId};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::Permit;
use super::shard::ShardMsg;
use super::steward::Steward;
use crate::desk::{Desk, New};
use crate::figures;
use crate::traces::{self, Whose};

/// What all hubs of a node share.
pub(crate) struct Surroundings {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) desk: Desk,
    pub(crate) clock: Clock,
    /// How long a hub is quiet before it is put to sleep.
    pub(crate) idle: Duration,
    /// How often it is checked that the users are in the store.
    pub(crate) check_users: Duration,
    /// In a cluster.
    pub(crate) steward: OnceLock<Arc<dyn Steward>>,
}

impl Surroundings {
    fn to_gateway(&self, user: UserId, hub_epoch: u64, gateway: GatewayId, frame: ToGateway) {
        if let Some(steward) = self.steward.get() {
            return steward.says(user, hub_epoch, gateway, frame);
        }
        // A connection that is gone says so itself, and so does one that does not keep up.
        if let Err(refused) = self.bus.to_gateway(gateway, frame) {
            tracing::debug!(?gateway, %refused, "a gateway did not take a frame");
        }
    }

    /// In whose name a hub writes, in a cluster.
    fn tenure(&self, user: UserId, hub_epoch: u64) -> Option<Tenure> {
        self.steward.get()?;
        Some(Tenure { slot: Slot::of(user), epoch: Epoch(hub_epoch >> HUB_EPOCH_BITS) })
    }
}

/// What a hub actor is told.
pub(crate) enum HubMsg {
    /// By a gateway, through the shard.
    Up(Up, Permit),
    /// By the store.
    Answer(Input),
    /// By its timer.
    Timer,
    /// By the shard: the user's devices may be read now.
    Load,
    /// By the shard: hand the hub back and stop.
    Retire,
    /// By the shard: which streams live?
    Streams(oneshot::Sender<Vec<StreamId>>),
}

pub(crate) struct HubActor;

pub(crate) struct HubState {
    hub: Option<Box<Hub>>,
    surroundings: Arc<Surroundings>,
    shard: ActorRef<ShardMsg>,
    user: UserId,
    epoch: u64,
    /// Inputs of the shard that were handled.
    handled: u64,
    last_input: Millis,
    timer: Option<(Millis, Timer)>,
    /// The span of what it does now, if that belongs to a recorded trace.
    trace: Option<TraceContext>,
    /// That of a connection that waits for the store.
    waits: Option<TraceContext>,
}

type Timer = JoinHandle<Result<(), MessagingErr<HubMsg>>>;

/// What a hub actor starts with.
pub(crate) struct HubStart {
    pub(crate) hub: Box<Hub>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) surroundings: Arc<Surroundings>,
    pub(crate) shard: ActorRef<ShardMsg>,
}

impl Actor for HubActor {
    type Msg = HubMsg;
    type State = HubState;
    type Arguments = HubStart;

    async fn pre_start(
        &self,
        myself: ActorRef<HubMsg>,
        start: HubStart,
    ) -> Result<HubState, ActorProcessingErr> {
        let now = start.surroundings.clock.now();
        let mut state = HubState {
            user: start.hub.user(),
            epoch: start.hub.epoch(),
            hub: Some(start.hub),
            surroundings: start.surroundings,
            shard: start.shard,
            handled: 0,
            last_input: now,
            timer: None,
            trace: None,
            waits: None,
        };
        state.carry_out(start.effects, &myself);
        state.arm(now, &myself);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<HubMsg>,
        message: HubMsg,
        state: &mut HubState,
    ) -> Result<(), ActorProcessingErr> {
        let now = state.surroundings.clock.now();
        match message {
            HubMsg::Up(up, _permit) => {
                state.handled += 1;
                state.last_input = now;
                let span = if spans::are_made() { traces::input(&up, state.whose()) } else { Span::NONE };
                let context = span.context();
                if let Up::Attach(..) = &up {
                    state.waits = context.or(state.waits);
                }
                state.step_traced(Input::Up(up), context, now, &myself);
            }
            HubMsg::Answer(input) => {
                let waits = state.waits.take();
                state.step_traced(input, waits, now, &myself);
            }
            HubMsg::Load => {
                let desk = &state.surroundings.desk;
                desk.load(state.user, myself.clone(), state.waits);
            }
            HubMsg::Timer => {
                state.timer = None;
                state.step(Input::Tick, now, &myself);
                state.offer_rest(now, &myself)?;
            }
            HubMsg::Streams(answer) => {
                // Whoever asked may have gone; of a hub that does not know yet there is no answer.
                if let Some(streams) = streams(state.hub.as_deref()) {
                    let _ = answer.send(streams);
                }
            }
            HubMsg::Retire => {
                if let Some((_, timer)) = state.timer.take() {
                    timer.abort();
                }
                if let Some(mut hub) = state.hub.take() {
                    hub.shrink(now);
                    state.shard.cast(ShardMsg::Retired(state.user, hub))?;
                }
                myself.stop(None);
                return Ok(());
            }
        }
        state.arm(now, &myself);
        Ok(())
    }
}

impl HubState {
    fn whose(&self) -> Whose {
        let tenure = self.surroundings.tenure(self.user, self.epoch);
        Whose { user: self.user, epoch: tenure.map(|tenure| tenure.epoch.0) }
    }

    /// The same as [`step`](Self::step), for a span.
    fn step_traced(
        &mut self,
        input: Input,
        context: Option<TraceContext>,
        now: Millis,
        myself: &ActorRef<HubMsg>,
    ) {
        self.trace = context;
        let entered = context.map(|context| spans::enter(Some(context)));
        if context.is_some() {
            tracing::debug!(user = %self.user, "an input of a recorded trace");
        }
        self.step(input, now, myself);
        drop(entered);
        self.trace = None;
    }

    fn step(&mut self, input: Input, now: Millis, myself: &ActorRef<HubMsg>) {
        let Some(hub) = &mut self.hub else { return };
        let mut context = Context {
            now,
            new_id: &mut Uuid::new_v4,
            record_room: self.surroundings.desk.has_room(),
            may_decide: self.surroundings.steward.get().is_none_or(|steward| steward.may_decide()),
        };
        let effects = hub.handle(input, &mut context);
        let calls = hub.take_calls();
        for call in calls {
            figures::call(&call);
            traces::call(&call, self.whose());
        }
        self.carry_out(effects, myself);
    }

    fn carry_out(&mut self, effects: Vec<Effect>, myself: &ActorRef<HubMsg>) {
        let surroundings = self.surroundings.clone();
        let desk = &surroundings.desk;
        let tenure = surroundings.tenure(self.user, self.epoch);
        for effect in effects {
            match effect {
                Effect::Down(conn, down) => {
                    let frame = ToGateway::Conn(conn, down, self.trace);
                    surroundings.to_gateway(self.user, self.epoch, conn.gateway, frame);
                }
                Effect::Gateway(gateway, frame) => {
                    surroundings.to_gateway(self.user, self.epoch, gateway, frame);
                }
                Effect::Load => match surroundings.steward.get() {
                    Some(steward) => steward.wants_devices(self.user, self.epoch),
                    None => desk.load(self.user, myself.clone(), self.trace.or(self.waits)),
                },
                Effect::Register { conn, device, name, device_type } => {
                    let new = New { user: self.user, device, name, device_type };
                    self.waits = self.trace.or(self.waits);
                    desk.register(new, conn, myself.clone(), self.waits);
                }
                Effect::Presence { row, online, at } => {
                    figures::presence(online);
                    desk.presence(tenure, row, online, at);
                }
                Effect::Record(record) => {
                    let trace = self.trace.or(record.trace);
                    desk.record(tenure, *record, trace);
                }
            }
        }
    }

    /// Whether the shard should take the hub back.
    fn offer_rest(&mut self, now: Millis, myself: &ActorRef<HubMsg>) -> Result<(), ActorProcessingErr> {
        let rest = self.hub.as_ref().map_or(Rest::Empty, |hub| hub.rest());
        let idle = now >= self.last_input + self.surroundings.idle;
        if rest == Rest::Empty || (rest == Rest::Quiet && idle) {
            let idle = ShardMsg::Idle { user: self.user, actor: myself.get_id(), handled: self.handled };
            self.shard.cast(idle)?;
        }
        Ok(())
    }

    /// Keeps one timer for the first thing that is due. A timer that comes too early finds nothing to do.
    fn arm(&mut self, now: Millis, myself: &ActorRef<HubMsg>) {
        let Some(hub) = &self.hub else { return };
        let sleep_at = match hub.rest() {
            Rest::Busy => None,
            Rest::Quiet => {
                Some((self.last_input + self.surroundings.idle).max(now + Duration::from_millis(1)))
            }
            Rest::Empty => Some(now + Duration::from_millis(1)),
        };
        let Some(due) = hub.next_deadline().into_iter().chain(sleep_at).min() else { return };
        match &self.timer {
            Some((armed, _)) if *armed <= due => return,
            Some((_, timer)) => timer.abort(),
            None => {}
        }
        let timer = myself.send_after(due.since(now), || HubMsg::Timer);
        self.timer = Some((due, timer));
    }
}

/// The streams of a hub, once it knows all of them.
pub(crate) fn streams(hub: Option<&Hub>) -> Option<Vec<StreamId>> {
    let hub = hub.filter(|hub| !hub.is_recovering())?;
    Some(hub.live_streams().map(|stream| stream.id).collect())
}
