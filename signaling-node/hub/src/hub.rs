//! The state of one user's hub, and the dispatch of inputs.

use std::collections::VecDeque;
use std::sync::Arc;

use streamz_protocol::bus::{Attach, DeviceChange, LiveStream, ToGateway, Up};
use streamz_protocol::objects::Device;
use streamz_protocol::{CloseCode, ConnId, DeviceId, GatewayId, Limits, Millis, SessionId, UserId};

use crate::call::Call;
use crate::effect::{Context, Effect, Input, Out, Rest};
use crate::ice::HeldCandidate;
use crate::member::{Member, Verdict};
use crate::planted::planted;
use crate::recovery::Recovery;
use crate::undecided::Waiting;

/// How long a hub waits before it asks the store again.
pub(crate) const LOAD_AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

/// One user's devices, sessions, messages and streams.
#[derive(Clone, Debug)]
pub struct Hub {
    pub(crate) user: UserId,
    pub(crate) limits: Arc<Limits>,
    pub(crate) epoch: u64,
    pub(crate) devices: Vec<Known>,
    pub(crate) loading: Loading,
    pub(crate) members: Vec<Member>,
    pub(crate) streams: Vec<Live>,
    /// Connections that wait for the device list or for their registration.
    pub(crate) joining: Vec<(ConnId, Box<Attach>)>,
    /// Devices that were removed while the list was read: it may still show them.
    pub(crate) removed: Vec<DeviceId>,
    pub(crate) recovery: Option<Box<Recovery>>,
    /// Devices that sessions were told are online, that no gateway knows; and when to say that they
    /// are gone.
    pub(crate) missed: Vec<(DeviceId, Millis)>,
    /// It follows another and has not seen the rows yet, of which some may be left wrong.
    pub(crate) unread: bool,
    /// When it had heard from all gateways.
    pub(crate) recovered_at: Millis,
    /// What sessions did with messages, until the senders know; see `relay`.
    pub(crate) verdicts: VecDeque<Verdict>,
    pub(crate) judging: bool,
    /// The node may not decide: what waits until it may.
    pub(crate) undecided: bool,
    pub(crate) waiting: Waiting,
    /// How far streams have come by the last input.
    pub(crate) calls: Vec<Call>,
    #[cfg(feature = "planted-bugs")]
    pub(crate) bug: Option<crate::planted::Bug>,
}

/// A device of the user.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) device: Device,
    /// It lost its socket: when to tell the others.
    pub(crate) offline_at: Option<Millis>,
}

/// What is known of the store's list of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loading {
    /// Not asked.
    Needed,
    /// Asked.
    Asked,
    /// It did not answer; ask again then.
    Failed(Millis),
    /// The list is here.
    Done,
}

/// A live stream and what is not copied to gateways.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) stream: LiveStream,
    pub(crate) held: Vec<HeldCandidate>,
}

impl Hub {
    /// A hub that starts from nothing: no session of this user exists anywhere.
    #[must_use]
    pub fn new(user: UserId, epoch: u64, limits: Arc<Limits>) -> Self {
        Self {
            user,
            limits,
            epoch,
            devices: Vec::new(),
            loading: Loading::Needed,
            members: Vec::new(),
            streams: Vec::new(),
            joining: Vec::new(),
            removed: Vec::new(),
            recovery: None,
            missed: Vec::new(),
            unread: false,
            recovered_at: Millis(0),
            verdicts: VecDeque::new(),
            judging: false,
            undecided: false,
            waiting: Waiting::new(),
            calls: Vec::new(),
            #[cfg(feature = "planted-bugs")]
            bug: None,
        }
    }

    /// A hub that follows one that died: it asks every gateway for the sessions of this user, and decides nothing
    /// before each has answered.
    #[must_use]
    pub fn recover(
        user: UserId,
        epoch: u64,
        limits: Arc<Limits>,
        gateways: &[GatewayId],
    ) -> (Self, Vec<Effect>) {
        let mut hub = Self::new(user, epoch, limits);
        // Without a gateway there is nobody to wait for.
        hub.recovery = (!gateways.is_empty()).then(|| Box::new(Recovery::new(gateways)));
        hub.loading = Loading::Asked;
        hub.unread = true;
        let mut effects = vec![Effect::Load];
        effects.extend(
            gateways.iter().map(|gateway| Effect::Gateway(*gateway, ToGateway::Roll { user, epoch })),
        );
        (hub, effects)
    }

    /// Whose hub it is.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Which incarnation it is.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether it still waits for the gateways' announcements.
    #[must_use]
    pub fn is_recovering(&self) -> bool {
        self.recovery.is_some()
    }

    /// Takes one input and returns what is to be done, in order.
    #[must_use]
    pub fn handle(&mut self, input: Input, cx: &mut Context<'_>) -> Vec<Effect> {
        let mut out = Out::default();
        self.calls.clear();
        self.dispatch(input, cx, &mut out);
        if planted!(self, WrongConnection) {
            for effect in &mut out.effects {
                if let Effect::Down(conn, _) = effect {
                    conn.number ^= 1;
                }
            }
        }
        out.effects
    }

    fn dispatch(&mut self, input: Input, cx: &mut Context<'_>, out: &mut Out) {
        self.undecided = !cx.may_decide && !planted!(self, DecidesWithoutAuthority);
        if self.undecided {
            return self.while_undecided(input, cx, out);
        }
        if !self.waiting.is_empty() {
            self.carry_out_waiting(cx, out);
        }
        self.act(input, cx, out);
    }

    pub(crate) fn act(&mut self, input: Input, cx: &mut Context<'_>, out: &mut Out) {
        match input {
            Input::Up(up) if self.recovery.is_some() => self.while_recovering(up, cx, out),
            Input::Up(up) => self.up(up, cx, out),
            Input::Loaded(result) => self.loaded(result, cx, out),
            Input::Registered(conn, result) => self.registered(conn, result, cx, out),
            Input::Tick => self.tick(cx, out),
        }
    }

    pub(crate) fn up(&mut self, up: Up, cx: &mut Context<'_>, out: &mut Out) {
        match up {
            Up::Attach(conn, attach) => self.attach(conn, attach, cx, out),
            Up::Message(conn, message) => self.message(conn, *message, cx, out),
            Up::Ack(conn, seq) => {
                if let Some(at) = self.member_of(conn) {
                    let confirmed = self.members[at].ack(seq);
                    self.judge(confirmed, cx.now, out);
                }
            }
            Up::Detach(conn, how) => self.detach(conn, how, cx.now, out),
            Up::Gone(conn) => self.gone(conn, cx.now, out),
            // Answers to an incarnation of this hub that is over.
            Up::Roster { .. } | Up::Announce { .. } => {}
            Up::Devices(DeviceChange::Put(device)) => self.device_put(*device, cx.now, out),
            Up::Devices(DeviceChange::Removed(device)) => self.device_removed(&device, cx.now, out),
            Up::Revoke { family } => self.revoke(family, cx.now, out),
            Up::Recheck if self.loading == Loading::Done => {
                self.loading = Loading::Asked;
                out.push(Effect::Load);
            }
            // It is about to look.
            Up::Recheck => {}
            Up::WhoIsOnline { gateway, request } => {
                let devices = self
                    .devices
                    .iter()
                    .filter(|known| known.device.is_online)
                    .map(|known| known.device.device_id.clone())
                    .collect();
                out.push(Effect::Gateway(gateway, ToGateway::Online { request, devices }));
            }
        }
    }

    pub(crate) fn tick(&mut self, cx: &mut Context<'_>, out: &mut Out) {
        if let Loading::Failed(at) = self.loading
            && at <= cx.now
        {
            self.loading = Loading::Asked;
            out.push(Effect::Load);
        }
        if self.recovery.is_some() {
            return self.recover_if_complete(cx, out);
        }
        self.expire_messages(cx.now, out);
        self.expire_held(cx.now);
        if self.undecided {
            return;
        }
        self.expire_rings(cx.now, out);
        self.expire_grace(cx.now, out);
        self.expire_sessions(cx.now, out);
    }

    /// When [`Input::Tick`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        self.deadline(!self.undecided)
    }

    /// What is due first; `all` includes what the node must be sure for.
    fn deadline(&self, all: bool) -> Option<Millis> {
        let reload = match self.loading {
            Loading::Failed(at) => Some(at),
            _ => None,
        };
        if self.recovery.is_some() {
            return reload;
        }
        let messages = self.members.iter().filter_map(|member| {
            member.open.values().next().map(|entry| entry.accepted_at + self.limits.hub_delivery())
        });
        let sessions = self
            .members
            .iter()
            .filter_map(|member| member.away.map(|(since, _)| since + self.limits.resume_window));
        let grace = self.devices.iter().filter_map(|known| known.offline_at);
        let missed = self.missed.iter().map(|(_, at)| *at);
        let rings = self
            .streams
            .iter()
            .filter(|live| live.stream.accepted.is_none())
            .map(|live| live.stream.started_at + self.limits.ring);
        let held = self
            .streams
            .iter()
            .flat_map(|live| &live.held)
            .map(|held| held.accepted_at + self.limits.hub_delivery());
        let certain = sessions.chain(grace).chain(missed).chain(rings).filter(|_| all);
        reload.into_iter().chain(messages).chain(held).chain(certain).min()
    }

    /// Whether it may sleep or go.
    #[must_use]
    pub fn rest(&self) -> Rest {
        let asks = self.loading == Loading::Asked || !self.joining.is_empty();
        if self.recovery.is_some() || asks || !self.waiting.is_empty() || self.deadline(true).is_some() {
            Rest::Busy
        } else if self.members.is_empty() && self.streams.is_empty() {
            Rest::Empty
        } else if self.members.iter().all(Member::is_quiet) {
            Rest::Quiet
        } else {
            Rest::Busy
        }
    }

    /// Gives back memory before a long sleep.
    pub fn shrink(&mut self, now: Millis) {
        for member in &mut self.members {
            member.shrink(now);
        }
        self.members.shrink_to_fit();
        self.devices.shrink_to_fit();
        self.streams.shrink_to_fit();
        self.joining.shrink_to_fit();
        self.verdicts.shrink_to_fit();
        self.waiting.shrink_to_fit();
    }

    /// Sessions, attached and away.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn member_of(&self, conn: ConnId) -> Option<usize> {
        self.members.iter().position(|member| member.conn == Some(conn))
    }

    pub(crate) fn member_by_session(&self, session: SessionId) -> Option<usize> {
        self.members.iter().position(|member| member.session == session)
    }

    pub(crate) fn member_by_device(&self, device: &DeviceId) -> Option<usize> {
        self.members.iter().position(|member| member.device == *device)
    }

    pub(crate) fn known(&self, device: &DeviceId) -> Option<&Known> {
        self.devices.iter().find(|known| known.device.device_id == *device)
    }

    pub(crate) fn known_mut(&mut self, device: &DeviceId) -> Option<&mut Known> {
        self.devices.iter_mut().find(|known| known.device.device_id == *device)
    }

    pub(crate) fn refuse(conn: ConnId, code: CloseCode, out: &mut Out) {
        out.down(conn, streamz_protocol::bus::Down::Refused(code));
    }
}
