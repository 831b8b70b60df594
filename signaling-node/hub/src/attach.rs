//! A connection becomes a session; a session loses its connection; a session ends.

use std::sync::Arc;

use streamz_protocol::bus::{Attach, Attached, Detach, Down};
use streamz_protocol::objects::Device;
use streamz_protocol::{CloseCode, ConnId, DeviceId, EndReason, Millis, SessionId, StreamId};
use uuid::Uuid;

use crate::effect::{Context, Effect, Out, RegisterFailure, StoreAway};
use crate::hub::{Hub, Known, LOAD_AGAIN, Live, Loading};
use crate::member::Member;
use crate::planted::planted;
use crate::streams::is_party;

/// Connections that may wait for the store at the same time.
const JOINING_MAX: usize = 64;

impl Hub {
    pub(crate) fn attach(&mut self, conn: ConnId, attach: Box<Attach>, cx: &mut Context<'_>, out: &mut Out) {
        match self.known(&attach.device) {
            Some(_) => self.join(conn, &attach, cx, out),
            None if self.joining.len() >= JOINING_MAX => Self::refuse(conn, CloseCode::Unavailable, out),
            None if self.loading == Loading::Done => self.register(conn, attach, out),
            None => {
                self.joining.push((conn, attach));
                if self.loading != Loading::Asked {
                    self.loading = Loading::Asked;
                    out.push(Effect::Load);
                }
            }
        }
    }

    fn register(&mut self, conn: ConnId, attach: Box<Attach>, out: &mut Out) {
        if self.devices.len() >= self.limits.devices_registered || self.is_crowded(&attach.device) {
            return Self::refuse(conn, CloseCode::TooManyDevices, out);
        }
        let default_name = || -> Arc<str> { attach.device.as_str().into() };
        out.push(Effect::Register {
            conn,
            device: attach.device.clone(),
            name: attach.name.clone().unwrap_or_else(default_name),
            device_type: attach.device_type.clone().unwrap_or_else(|| "unknown".into()),
        });
        self.joining.push((conn, attach));
    }

    /// The store answered with the user's devices.
    pub(crate) fn loaded(
        &mut self,
        result: Result<Option<Vec<Device>>, StoreAway>,
        cx: &mut Context<'_>,
        out: &mut Out,
    ) {
        let removed = std::mem::take(&mut self.removed);
        match result {
            Ok(Some(devices)) => {
                self.loading = Loading::Done;
                self.correct_stored(&devices, cx.now, out);
                self.unread = false;
                for device in devices {
                    if self.known(&device.device_id).is_none() && !removed.contains(&device.device_id) {
                        self.learn(device, cx.now, out);
                    }
                }
                if self.recovery.is_none() {
                    for (conn, attach) in std::mem::take(&mut self.joining) {
                        self.attach(conn, attach, cx, out);
                    }
                }
            }
            Ok(None) => {
                self.loading = Loading::Needed;
                self.unread = false;
                for (conn, _) in std::mem::take(&mut self.joining) {
                    Self::refuse(conn, CloseCode::InvalidToken, out);
                }
                let streams: Vec<StreamId> = self.streams.iter().map(|live| live.stream.id).collect();
                for stream in streams {
                    self.end_stream(stream, None, EndReason::DeviceRemoved.as_str(), cx.now, out);
                }
                let everyone: Vec<SessionId> = self.members.iter().map(|member| member.session).collect();
                for session in everyone {
                    self.end_session(session, CloseCode::InvalidToken, cx.now, out);
                }
                self.devices.clear();
            }
            Err(StoreAway) => {
                for (conn, _) in std::mem::take(&mut self.joining) {
                    Self::refuse(conn, CloseCode::Unavailable, out);
                }
                let waits = !self.members.is_empty() || self.unread;
                self.loading = if waits { Loading::Failed(cx.now + LOAD_AGAIN) } else { Loading::Needed };
            }
        }
    }

    /// A device of the list, of which no session is known.
    pub(crate) fn learn(&mut self, device: Device, now: Millis, out: &mut Out) {
        if self.recovery.is_some() {
            // Who is there shows in the end.
            return self.devices.push(Known { device, offline_at: None });
        }
        let missed = self.missed.iter().find(|(missed, _)| *missed == device.device_id);
        let offline_at = missed.map(|(_, at)| *at);
        if device.is_online && offline_at.is_none() {
            // Left so by a process that died.
            out.push(Effect::Presence { row: device.id, online: false, at: now });
        }
        let device = Device { is_online: offline_at.is_some(), ..device };
        self.devices.push(Known { device, offline_at });
    }

    /// The store answered to a registration.
    pub(crate) fn registered(
        &mut self,
        conn: ConnId,
        result: Result<Device, RegisterFailure>,
        cx: &mut Context<'_>,
        out: &mut Out,
    ) {
        // The connection may have gone while the store worked, and the device as well: the list will tell.
        let Some(at) = self.joining.iter().position(|(waiting, _)| *waiting == conn) else {
            if result.is_ok() && self.loading == Loading::Done && !self.members.is_empty() {
                self.loading = Loading::Asked;
                out.push(Effect::Load);
            }
            return;
        };
        if let Ok(device) = &result
            && self.known(&device.device_id).is_none()
        {
            let device = Device { is_online: false, ..device.clone() };
            self.devices.push(Known { device, offline_at: None });
        }
        let (conn, attach) = self.joining.remove(at);
        match result {
            Ok(_) => self.join(conn, &attach, cx, out),
            Err(RegisterFailure::StoreAway) => Self::refuse(conn, CloseCode::Unavailable, out),
            Err(RegisterFailure::TooMany) => Self::refuse(conn, CloseCode::TooManyDevices, out),
            Err(RegisterFailure::NoSuchUser) => Self::refuse(conn, CloseCode::InvalidToken, out),
        }
    }

    /// Whether as many other devices are online as is allowed.
    fn is_crowded(&self, device: &DeviceId) -> bool {
        let others = self.members.iter().filter(|member| {
            member.device != *device
                && (member.away.is_none()
                    || self.known(&member.device).is_some_and(|known| known.device.is_online))
        });
        others.count() >= self.limits.devices_online
    }

    /// A known device gets its session: the one that it had, or a new one.
    fn join(&mut self, conn: ConnId, attach: &Attach, cx: &mut Context<'_>, out: &mut Out) {
        if self.is_crowded(&attach.device) {
            return Self::refuse(conn, CloseCode::TooManyDevices, out);
        }
        let existing = self.member_by_device(&attach.device);
        // Generations follow the clock, so that a session that nobody remembers is still the older one.
        let generation = cx.now.0.max(existing.map_or(0, |at| self.members[at].generation + 1));
        let resumable = existing.filter(|at| {
            attach.resume.is_some_and(|resume| {
                let member = &self.members[*at];
                attach.caps.acks
                    && member.session == resume.session
                    && (member.can_resume(resume.last_seq) || planted!(self, PartialReplay))
            })
        });
        let mut session = match resumable {
            // What it settles for itself goes into the replay: nothing is sent before `Attached`.
            Some(at) => self.resume(at, conn, attach, generation, cx.now, out),
            None => self.begin(conn, attach, generation, cx, out),
        };
        self.show_online(&attach.device, cx.now, out);
        // What that settled was said to this session too, and may have pushed out what its client has not got.
        let whole = |member: &Member| attach.resume.is_some_and(|resume| member.can_resume(resume.last_seq));
        let mut resumed = resumable.is_some();
        if resumed
            && !planted!(self, PartialReplay)
            && !self.member_by_session(session).is_some_and(|at| whole(&self.members[at]))
        {
            session = self.begin(conn, attach, generation, cx, out);
            resumed = false;
        }
        if let Some(at) = self.member_by_session(session) {
            self.members[at].conn = Some(conn);
        }
        let attached =
            self.member_by_session(session).and_then(|at| self.snapshot(at, attach.attempt, resumed, cx.now));
        if let Some(attached) = attached {
            out.down(conn, Down::Attached(Box::new(attached)));
        }
    }

    /// Starts a session, and ends the one that the device had.
    fn begin(
        &mut self,
        conn: ConnId,
        attach: &Attach,
        generation: u64,
        cx: &mut Context<'_>,
        out: &mut Out,
    ) -> SessionId {
        if let Some(at) = self.member_by_device(&attach.device) {
            self.end_session(self.members[at].session, CloseCode::Replaced, cx.now, out);
        }
        let session = SessionId((cx.new_id)());
        let device = attach.device.clone();
        self.members.push(Member::new(session, generation, device, attach.family, attach.caps, conn));
        session
    }

    fn resume(
        &mut self,
        at: usize,
        conn: ConnId,
        attach: &Attach,
        generation: u64,
        now: Millis,
        out: &mut Out,
    ) -> SessionId {
        let member = &mut self.members[at];
        if let Some(old) = member.conn.take()
            && old != conn
        {
            out.down(old, Down::Close(CloseCode::Replaced));
        }
        member.generation = generation;
        member.away = None;
        member.family = attach.family;
        member.caps = attach.caps;
        let confirmed = attach.resume.map(|resume| member.ack(resume.last_seq)).unwrap_or_default();
        let session = self.members[at].session;
        self.judge(confirmed, now, out);
        session
    }

    fn snapshot(&mut self, at: usize, attempt: u32, resumed: bool, now: Millis) -> Option<Attached> {
        let limits = self.limits.clone();
        let replay = self.members[at].replay(now, &limits);
        let member = &self.members[at];
        let device = self.known(&member.device)?.device.clone();
        let mine = |live: &&Live| is_party(&live.stream, &member.device);
        Some(Attached {
            attempt,
            session: member.session,
            generation: member.generation,
            resumed,
            device,
            devices: self.devices.iter().map(|known| known.device.clone()).collect(),
            missed: self.missed.iter().map(|(device, _)| device.clone()).collect(),
            streams: self.streams.iter().map(|live| self.describe(&live.stream)).collect(),
            acked: member.acked,
            last_seq: member.next_seq - 1,
            lossy: member.lossy,
            floor: member.floor,
            replay,
            next_number: member.accepted + 1,
            open: member.open_messages(),
            settled: member.outcomes().cloned().collect(),
            heard: member.heard.clone(),
            live: self.streams.iter().filter(mine).map(|live| live.stream.clone()).collect(),
        })
    }

    /// The socket is gone.
    pub(crate) fn detach(&mut self, conn: ConnId, how: Detach, now: Millis, out: &mut Out) {
        self.joining.retain(|(waiting, _)| *waiting != conn);
        let Some(at) = self.member_of(conn) else {
            return;
        };
        let member = &mut self.members[at];
        if member.away.is_some() {
            return;
        }
        let (session, device, acks) = (member.session, member.device.clone(), member.caps.acks);
        if acks {
            member.away = Some((now, how));
        } else {
            let handed = match how {
                Detach::Slow { handed } => Some(handed),
                Detach::Clean | Detach::Lost => None,
            };
            self.remove_session(session, handed, None, now, out);
        }
        match how {
            Detach::Clean => self.show_offline(&device, now, out),
            Detach::Lost | Detach::Slow { .. } => self.start_grace(&device, now),
        }
    }

    /// The gateway holds nothing of the connection any more.
    pub(crate) fn gone(&mut self, conn: ConnId, now: Millis, out: &mut Out) {
        self.detach(conn, Detach::Lost, now, out);
        if let Some(at) = self.member_of(conn) {
            self.members[at].conn = None;
        }
    }

    /// Sessions that were away for their whole resume window.
    pub(crate) fn expire_sessions(&mut self, now: Millis, out: &mut Out) {
        let window = self.limits.resume_window;
        let over: Vec<SessionId> = self
            .members
            .iter()
            .filter(|member| member.away.is_some_and(|(since, _)| since + window <= now))
            .map(|member| member.session)
            .collect();
        for session in over {
            let Some(at) = self.member_by_session(session) else {
                continue;
            };
            let device = self.members[at].device.clone();
            self.remove_session(session, None, Some(Down::Forget), now, out);
            self.show_offline(&device, now, out);
            self.drop_from_streams(&device, EndReason::DeviceLost, now, out);
        }
    }

    /// Ends a session from here; its socket is closed with `code`.
    pub(crate) fn end_session(&mut self, session: SessionId, code: CloseCode, now: Millis, out: &mut Out) {
        self.remove_session(session, None, Some(Down::Close(code)), now, out);
    }

    /// Takes a session out. `handed` is the last of its frames that can have arrived, if that is known.
    fn remove_session(
        &mut self,
        session: SessionId,
        handed: Option<u64>,
        farewell: Option<Down>,
        now: Millis,
        out: &mut Out,
    ) {
        let Some(at) = self.member_by_session(session) else {
            return;
        };
        let mut member = self.members.remove(at);
        if let (Some(conn), Some(farewell)) = (member.conn, farewell) {
            out.down(conn, farewell);
        }
        for live in &mut self.streams {
            live.held.retain(|held| held.mid.session != session);
        }
        for other in &mut self.members {
            other.heard.retain(|heard| heard.sender != session);
        }
        let verdicts = member.abandon(handed);
        self.judge(verdicts, now, out);
    }

    /// A device was removed from the account.
    pub(crate) fn device_removed(&mut self, device: &DeviceId, now: Millis, out: &mut Out) {
        if self.loading == Loading::Asked && !self.removed.contains(device) {
            self.removed.push(device.clone());
        }
        for (conn, _) in self.joining.extract_if(.., |(_, attach)| attach.device == *device) {
            Self::refuse(conn, CloseCode::DeviceRemoved, out);
        }
        self.drop_from_streams(device, EndReason::DeviceRemoved, now, out);
        if let Some(at) = self.member_by_device(device) {
            self.end_session(self.members[at].session, CloseCode::DeviceRemoved, now, out);
        }
        let gone = self.devices.extract_if(.., |known| known.device.device_id == *device).next();
        if let Some(gone) = gone {
            if gone.device.is_online {
                // The removal may have been on its way while the device was registered anew: that row is not shown any more.
                out.push(Effect::Presence { row: gone.device.id, online: false, at: now });
            }
            let message =
                streamz_protocol::server::ServerMessage::DeviceRemoved { device_id: device.clone() };
            let body = streamz_protocol::server::Body::of(&message);
            self.tell_others(device, &Self::presence(device, false), &body, now, out);
        }
    }

    /// A sign-in was revoked.
    pub(crate) fn revoke(&mut self, family: Uuid, now: Millis, out: &mut Out) {
        for (conn, _) in self.joining.extract_if(.., |(_, attach)| attach.family == family) {
            Self::refuse(conn, CloseCode::Revoked, out);
        }
        let revoked: Vec<(SessionId, DeviceId)> = self
            .members
            .iter()
            .filter(|member| member.family == family)
            .map(|member| (member.session, member.device.clone()))
            .collect();
        for (session, device) in revoked {
            self.drop_from_streams(&device, EndReason::SignedOut, now, out);
            self.end_session(session, CloseCode::Revoked, now, out);
            self.show_offline(&device, now, out);
        }
    }
}
