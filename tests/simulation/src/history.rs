//! What was seen at the edges: what devices sent and heard, what sockets and hubs did, which faults struck.
//!
//! The checker reads nothing else, but for the [`Rested`] state after the run.

use std::collections::BTreeMap;

use streamz_hub::Record;
use streamz_protocol::bus::{Class, LiveStream, Resume};
use streamz_protocol::client::RelayKind;
use streamz_protocol::{
    CloseCode, DeviceId, ErrorCode, Limits, MessageId, Mid, Millis, Reason, SessionId, StreamId,
};
use uuid::Uuid;

/// A device of the run, by its number. Devices of different users share their names.
pub(crate) type DeviceNo = usize;
/// A connection of the run, by its number.
pub(crate) type PipeNo = usize;

/// Something that happened.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) at: Millis,
    pub(crate) what: What,
}

/// What happened.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "what no check reads, people do, in the trace")]
pub(crate) enum What {
    // At the devices.
    /// A device opens a connection.
    Connects {
        device: DeviceNo,
        pipe: PipeNo,
        resume: Option<Resume>,
    },
    /// Its first frame arrived.
    Welcomed {
        device: DeviceNo,
        pipe: PipeNo,
        session: SessionId,
        resumed: bool,
        /// The devices that the snapshot shows online.
        online: Vec<DeviceId>,
        /// Every user that the snapshot names.
        owners: Vec<Uuid>,
        streams: Vec<StreamId>,
    },
    /// It wrote a message to its socket.
    Sent {
        device: DeviceNo,
        pipe: PipeNo,
        session: SessionId,
        tag: usize,
    },
    /// A frame came out of its socket.
    Heard {
        device: DeviceNo,
        session: SessionId,
        seq: Option<u64>,
        mid: Option<Mid>,
        said: Said,
    },
    /// It knows that its connection is over.
    Closed {
        device: DeviceNo,
        pipe: PipeNo,
        code: Option<CloseCode>,
    },
    /// It lost its memory.
    Restarts {
        device: DeviceNo,
    },

    // At the gateways.
    /// A session took a message from its socket.
    Took {
        device: DeviceNo,
        session: SessionId,
        tag: usize,
    },
    /// A session gave a message a number and handed it to its hub.
    Submitted {
        session: SessionId,
        tag: usize,
        number: u64,
        accepted_at: Millis,
    },
    /// A session began or went on.
    Attached {
        device: DeviceNo,
        pipe: PipeNo,
        gateway: usize,
        session: SessionId,
    },
    /// The gateway let go of the socket, or lost it.
    Detached {
        device: DeviceNo,
        pipe: PipeNo,
        session: SessionId,
        how: Parted,
    },
    /// The gateway holds nothing of the session any more.
    Released {
        pipe: PipeNo,
        session: SessionId,
    },
    /// The system took a relayed frame from the gateway.
    Wrote {
        device: DeviceNo,
        session: SessionId,
        mid: Mid,
    },

    // At the hubs.
    /// A frame with its number goes to a session's connection.
    Numbered {
        user: usize,
        session: SessionId,
        seq: u64,
        class: Class,
        bytes: usize,
        replayed: bool,
        /// It goes to a gateway that the others do not count on any more.
        island: bool,
        /// When the hub said so. In a cluster it is seen when the gateway takes it.
        said: Millis,
    },
    /// In a cluster: a hub says a frame, which may or may not reach a gateway that takes it.
    Said {
        session: SessionId,
        seq: u64,
        bytes: usize,
    },
    /// A session is handed to a connection; this was its last number.
    Offered {
        user: usize,
        session: SessionId,
        last_seq: u64,
    },
    /// A hub that learns anew has this copy of a session.
    Announced {
        user: usize,
        session: SessionId,
        generation: u64,
        last_seq: u64,
    },
    /// A row was to be written.
    Presence {
        user: usize,
        row: Uuid,
        online: bool,
    },
    /// A record was to be written.
    Recorded {
        user: usize,
        record: Box<Record>,
    },

    // Faults and their ends.
    /// This connection is not to be relied on from here.
    Troubled {
        pipe: PipeNo,
    },
    /// A user's hub is gone; `planned` if its slot moves to another node.
    HubCrashed {
        user: usize,
        planned: bool,
    },
    HubRecovered {
        user: usize,
    },
    GatewayCrashed {
        gateway: usize,
    },
    GatewayMissed {
        gateway: usize,
    },
    /// The others go on without a gateway that is still there, cut off from the store: its devices count as lost.
    GatewayEvicted {
        gateway: usize,
    },
    BusStalled {
        user: usize,
        since: Millis,
        until: Millis,
    },
    StoreAway,
    StoreBack,
    /// The account lost this device.
    Removed {
        device: DeviceNo,
    },
    /// The sign-in of this device was revoked.
    Revoked {
        device: DeviceNo,
    },
    /// No faults and no work from here.
    Healed,
}

/// How a gateway and a socket parted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parted {
    /// With the device's close frame.
    Clean,
    /// Without it.
    Lost,
    /// The device read too slowly.
    Slow,
    /// The hub ended the session, or gave it to another connection.
    Ended,
    /// The gateway crashed.
    Crashed,
}

/// What a frame said, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Online(DeviceId),
    Offline(DeviceId),
    Removed(DeviceId),
    Updated {
        owner: Uuid,
    },
    Ringing {
        stream: StreamId,
        to: Vec<DeviceId>,
    },
    Start {
        stream: StreamId,
        from: DeviceId,
    },
    Accept {
        stream: StreamId,
        from: DeviceId,
    },
    Decline {
        stream: StreamId,
        from: DeviceId,
    },
    End {
        stream: StreamId,
        reason: String,
    },
    Relayed {
        kind: RelayKind,
        from: DeviceId,
        stream: Option<StreamId>,
        tag: Option<usize>,
    },
    Outcome {
        id: MessageId,
        outcome: Outcome,
    },
    /// An error without an `id`.
    Error(ErrorCode),
    /// Nothing that a promise speaks of.
    Other,
}

/// The end of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Delivered,
    NotDelivered { reason: Reason, failed: Vec<(DeviceId, Reason)> },
    Error(ErrorCode),
}

/// A message that a device wrote, whether or not for the first time.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) device: DeviceNo,
    pub(crate) id: Option<MessageId>,
    pub(crate) to: Option<DeviceId>,
    pub(crate) act: Act,
}

/// What a message asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Relay {
        kind: RelayKind,
        stream: Option<StreamId>,
        ufrag: Option<String>,
    },
    Start,
    Accept(StreamId),
    Decline(StreamId),
    End(StreamId),
    Stats(StreamId),
    /// Something that concerns the gateway alone.
    Own,
}

/// A device, as the checker must know it.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) user: usize,
    pub(crate) id: DeviceId,
    /// It reads slowly until all is healed.
    pub(crate) slow: bool,
}

/// The state after the run, when nothing has happened for longer than any timeout.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rested {
    /// The hub of each user: `None` if it is gone.
    pub(crate) hubs: Vec<Option<RestedHub>>,
    /// The store's records.
    pub(crate) records: Vec<BTreeMap<StreamId, Record>>,
    /// What the store shows of each device's row.
    pub(crate) online_rows: BTreeMap<Uuid, bool>,
    /// Whose each row is or was.
    pub(crate) row_owners: BTreeMap<Uuid, usize>,
    /// Each device's row, if it has one.
    pub(crate) rows: Vec<Option<Uuid>>,
    /// Each device's last session, if it is connected.
    pub(crate) connected: Vec<Option<SessionId>>,
    /// The devices that each device believes to be online, if it is connected.
    pub(crate) views: Vec<Vec<DeviceId>>,
    /// The streams that each device believes to be part of, and how.
    pub(crate) parts: Vec<Vec<(StreamId, Part)>>,
    /// Messages without an outcome at each device.
    pub(crate) open: Vec<Vec<MessageId>>,
}

/// A hub that rests.
#[derive(Clone, Debug)]
pub(crate) struct RestedHub {
    pub(crate) recovering: bool,
    pub(crate) quiet: bool,
    pub(crate) sessions: usize,
    pub(crate) streams: Vec<LiveStream>,
}

/// What a device takes a stream for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// It began it, and nobody has accepted.
    Calling,
    /// It rings here.
    Rung,
    /// It was accepted, here or there.
    Active,
    /// Not to be relied on: a message about it ended without a certain outcome.
    Unsure,
}

/// All that a run leaves behind.
pub(crate) struct History {
    /// Whether it is of a cluster.
    pub(crate) cluster: bool,
    pub(crate) begun: Millis,
    pub(crate) over: Millis,
    pub(crate) limits: Limits,
    pub(crate) users: Vec<Uuid>,
    pub(crate) devices: Vec<Profile>,
    pub(crate) written: Vec<Written>,
    pub(crate) entries: Vec<Entry>,
    /// The longest that a frame may be on its way when nothing troubles it.
    pub(crate) transit: std::time::Duration,
    /// Whose a stream is, as far as the records in the history do not say.
    pub(crate) streams: BTreeMap<StreamId, usize>,
    pub(crate) rested: Rested,
}

impl History {
    /// When nothing more happened.
    pub(crate) fn ended(&self) -> Millis {
        self.over
    }

    /// A time as the trace shows it.
    pub(crate) fn clock(&self, at: Millis) -> String {
        let elapsed = at.since(self.begun).as_millis();
        format!("{}.{:03}", elapsed / 1000, elapsed % 1000)
    }
}
