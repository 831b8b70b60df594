//! Who is shown online, and what the others are told of it.

use streamz_protocol::bus::Class;
use streamz_protocol::objects::Device;
use streamz_protocol::server::{Body, ServerMessage};
use streamz_protocol::{DeviceId, Millis};

use crate::effect::{Effect, Out};
use crate::hub::Hub;
use crate::planted::planted;

impl Hub {
    /// The device is there: nobody is told twice.
    pub(crate) fn show_online(&mut self, device: &DeviceId, now: Millis, out: &mut Out) {
        // Some may have been told that a device is gone that was missed after a recovery.
        let missed = self.missed.extract_if(.., |(missed, _)| missed == device).count() > 0;
        let Some(known) = self.known_mut(device) else {
            return;
        };
        known.offline_at = None;
        known.device.last_seen = Some(now);
        let was_online = std::mem::replace(&mut known.device.is_online, true);
        if was_online && !missed {
            return;
        }
        let row = known.device.id;
        let message = ServerMessage::DeviceOnline {
            device_id: device.clone(),
            device_name: known.device.device_name.to_string(),
            device_type: known.device.device_type.to_string(),
        };
        out.push(Effect::Presence { row, online: true, at: now });
        self.tell_others(device, &Self::presence(device, true), &Body::of(&message), now, out);
    }

    /// The device is not there any more.
    pub(crate) fn show_offline(&mut self, device: &DeviceId, now: Millis, out: &mut Out) {
        if self.known(device).is_some() {
            self.missed.retain(|(missed, _)| missed != device);
        }
        let Some(known) = self.known_mut(device) else {
            return;
        };
        known.offline_at = None;
        if !std::mem::replace(&mut known.device.is_online, false) {
            return;
        }
        known.device.last_seen = Some(now);
        let row = known.device.id;
        out.push(Effect::Presence { row, online: false, at: now });
        self.tell_offline(device, now, out);
        if self.member_by_device(device).is_none() {
            self.drop_from_streams(device, streamz_protocol::EndReason::DeviceLost, now, out);
        }
    }

    fn tell_offline(&mut self, device: &DeviceId, now: Millis, out: &mut Out) {
        let body = Body::of(&ServerMessage::DeviceOffline { device_id: device.clone() });
        self.tell_others(device, &Self::presence(device, false), &body, now, out);
    }

    /// The device lost its socket without a word: it has a while to come back.
    pub(crate) fn start_grace(&mut self, device: &DeviceId, since: Millis) {
        let mut grace = self.limits.offline_grace;
        if planted!(self, NoGrace) {
            grace = std::time::Duration::ZERO;
        }
        if let Some(known) = self.known_mut(device)
            && known.device.is_online
        {
            known.offline_at = Some(since + grace);
        }
    }

    pub(crate) fn expire_grace(&mut self, now: Millis, out: &mut Out) {
        let gone: Vec<DeviceId> = self
            .devices
            .iter()
            .filter(|known| known.offline_at.is_some_and(|at| at <= now))
            .map(|known| known.device.device_id.clone())
            .collect();
        for device in gone {
            self.show_offline(&device, now, out);
        }
        for (device, _) in self.missed.extract_if(.., |(_, at)| *at <= now).collect::<Vec<_>>() {
            self.tell_offline(&device, now, out);
        }
    }

    pub(crate) fn presence(device: &DeviceId, online: bool) -> Class {
        Class::Presence { device: device.clone(), online }
    }

    /// Puts a frame into every session but the device's own.
    pub(crate) fn tell_others(
        &mut self,
        device: &DeviceId,
        class: &Class,
        body: &Body,
        now: Millis,
        out: &mut Out,
    ) {
        for at in 0..self.members.len() {
            if self.members[at].device != *device {
                self.tell(at, class.clone(), body.clone(), now, out);
            }
        }
    }

    /// Puts a frame into one session.
    pub(crate) fn tell(&mut self, at: usize, class: Class, body: Body, now: Millis, out: &mut Out) {
        let mut limits = self.limits.clone();
        if planted!(self, WindowUnbounded) {
            let unbounded = std::sync::Arc::make_mut(&mut limits);
            unbounded.window_frames = usize::MAX;
            unbounded.window_bytes = usize::MAX;
        }
        let fallen = self.members[at].push(class, body, &limits, now, out);
        self.judge(fallen, now, out);
    }

    /// The account's list was changed by HTTP: the others see the device as it is now.
    pub(crate) fn device_put(&mut self, device: Device, now: Millis, out: &mut Out) {
        self.removed.retain(|removed| *removed != device.device_id);
        let id = device.device_id.clone();
        match self.known_mut(&id) {
            Some(known) => {
                known.device.device_name = device.device_name;
                known.device.device_type = device.device_type;
            }
            None => self.learn(device, now, out),
        }
        let Some(shown) = self.known(&id).map(|known| known.device.clone()) else {
            return;
        };
        let body = Body::of(&ServerMessage::DeviceUpdated(Box::new(shown)));
        self.tell_others(&id, &Class::State, &body, now, out);
    }

    /// What the hub before this one wrote last may never have reached the store.
    pub(crate) fn correct_stored(&self, stored: &[Device], now: Millis, out: &mut Out) {
        if !self.unread || self.recovery.is_some() {
            return;
        }
        for device in stored {
            let shown = self.known(&device.device_id).map(|known| &known.device);
            if let Some(shown) = shown.filter(|shown| shown.is_online != device.is_online) {
                out.push(Effect::Presence { row: device.id, online: shown.is_online, at: now });
            }
        }
    }
}
