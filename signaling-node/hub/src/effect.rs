//! What goes in and what comes out.

use std::sync::Arc;

use streamz_protocol::bus::{Down, Item, ToGateway, Up};
use streamz_protocol::objects::{ConnectionType, Device, StreamType};
use streamz_protocol::{ConnId, DeviceId, GatewayId, Millis, StreamId, TraceContext, UserId};
use uuid::Uuid;

/// What the shell gives to each call: the time, and the randomness.
pub struct Context<'a> {
    /// The time.
    pub now: Millis,
    /// Makes a new random identifier.
    pub new_id: &'a mut dyn FnMut() -> Uuid,
    /// Whether the queue of stream records has room; without it no stream starts.
    pub record_room: bool,
    /// Whether this node is sure that the user's slot is still its own. If not, the hub relays and decides nothing; when
    /// that changes, it is to be told [`Input::Tick`].
    pub may_decide: bool,
}

/// What a hub is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// By a gateway.
    Up(Up),
    /// The answer to [`Effect::Load`]: the user's devices, or `None` if there is no such user.
    Loaded(Result<Option<Vec<Device>>, StoreAway>),
    /// The answer to [`Effect::Register`].
    Registered(ConnId, Result<Device, RegisterFailure>),
    /// Time has passed; due when [`crate::Hub::next_deadline`] says so.
    Tick,
}

/// The store did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be reached")]
pub struct StoreAway;

/// Why a device was not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterFailure {
    /// The store did not answer.
    #[error("the store cannot be reached")]
    StoreAway,
    /// The user has as many devices as is allowed.
    #[error("the user has too many devices")]
    TooMany,
    /// The user is gone.
    #[error("there is no such user")]
    NoSuchUser,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Tell this connection.
    Down(ConnId, Down),
    /// Tell this gateway.
    Gateway(GatewayId, ToGateway),
    /// Read the user's devices; answer with [`Input::Loaded`].
    Load,
    /// Register a device; answer with [`Input::Registered`].
    Register {
        /// The connection that waits for it.
        conn: ConnId,
        /// The client's name for the device.
        device: DeviceId,
        /// What people call it.
        name: Arc<str>,
        /// Its type.
        device_type: Arc<str>,
    },
    /// Write what is shown of a device.
    Presence {
        /// The device's row.
        row: Uuid,
        /// Online.
        online: bool,
        /// Since when.
        at: Millis,
    },
    /// Write a stream's record, whole; a later one replaces an earlier one.
    Record(Box<Record>),
}

/// A stream's record as it should stand in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The stream.
    pub id: StreamId,
    /// Whose.
    pub user: UserId,
    /// The row of the device that sends the media.
    pub source: Option<Uuid>,
    /// The row of the device that receives it; `None` while several ring.
    pub target: Option<Uuid>,
    /// What flows.
    pub stream_type: StreamType,
    /// When the ring began.
    pub started_at: Millis,
    /// When it ended.
    pub ended_at: Option<Millis>,
    /// Why it ended.
    pub end_reason: Option<String>,
    /// The path of the media.
    pub connection_type: Option<ConnectionType>,
    /// The quality.
    pub quality: Option<String>,
    /// Round-trip time in milliseconds.
    pub latency_ms: Option<u32>,
    /// The trace of the call, if that is recorded.
    pub trace: Option<TraceContext>,
}

/// How much a hub has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It waits for a time or an answer.
    Busy,
    /// It waits for inputs only: it may sleep.
    Quiet,
    /// It holds nothing: it may go.
    Empty,
}

/// Collects effects; what goes to one connection in one call goes as one batch.
#[derive(Default)]
pub(crate) struct Out {
    pub(crate) effects: Vec<Effect>,
}

impl Out {
    pub(crate) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(crate) fn down(&mut self, conn: ConnId, down: Down) {
        self.effects.push(Effect::Down(conn, down));
    }

    /// Adds to the connection's batch, unless something else was said to it since.
    pub(crate) fn item(&mut self, conn: ConnId, item: Item) {
        let last = self.effects.iter_mut().rev().find_map(|effect| match effect {
            Effect::Down(to, down) if *to == conn => Some(down),
            _ => None,
        });
        match last {
            Some(Down::Batch(items)) => items.push(item),
            _ => self.effects.push(Effect::Down(conn, Down::Batch(vec![item]))),
        }
    }
}
