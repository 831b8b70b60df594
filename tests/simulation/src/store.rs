//! A model of the store: one user's rows.

use std::collections::BTreeMap;

use streamz_hub::{Record, RegisterFailure};
use streamz_protocol::objects::Device;
use streamz_protocol::{DeviceId, Millis, StreamId, UserId};
use uuid::Uuid;

/// The rows of one user.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) devices: Vec<Device>,
    /// Rows that were removed: what is written about them later is not a leak.
    removed: Vec<Uuid>,
    pub(crate) records: BTreeMap<StreamId, Record>,
    pub(crate) online: BTreeMap<Uuid, bool>,
    /// Records that wait while the store is away.
    pub(crate) waiting: usize,
}

impl Store {
    pub(crate) fn register(
        &mut self,
        user: UserId,
        id: Uuid,
        device_id: &DeviceId,
        limit: usize,
        now: Millis,
    ) -> Result<Device, RegisterFailure> {
        if let Some(known) = self.devices.iter().find(|device| device.device_id == *device_id) {
            return Ok(known.clone());
        }
        if self.devices.len() >= limit {
            return Err(RegisterFailure::TooMany);
        }
        let device = Device {
            id,
            user_id: user,
            device_id: device_id.clone(),
            device_name: device_id.as_str().into(),
            device_type: "phone".into(),
            is_online: false,
            last_seen: None,
            created_at: now,
        };
        self.devices.push(device.clone());
        Ok(device)
    }

    pub(crate) fn row(&self, device: &DeviceId) -> Option<Uuid> {
        self.devices.iter().find(|known| known.device_id == *device).map(|known| known.id)
    }

    pub(crate) fn remove(&mut self, device: &DeviceId) -> bool {
        let Some(at) = self.devices.iter().position(|known| known.device_id == *device) else {
            return false;
        };
        let row = self.devices.remove(at).id;
        self.online.remove(&row);
        self.removed.push(row);
        true
    }

    pub(crate) fn has_row(&self, row: Uuid) -> bool {
        self.removed.contains(&row) || self.devices.iter().any(|device| device.id == row)
    }

    /// The rows that are and were there.
    pub(crate) fn all_rows(&self) -> impl Iterator<Item = Uuid> {
        self.devices.iter().map(|device| device.id).chain(self.removed.iter().copied())
    }

    pub(crate) fn nobody_is_online(&mut self) {
        for device in &mut self.devices {
            device.is_online = false;
        }
        self.online.values_mut().for_each(|online| *online = false);
    }

    pub(crate) fn write_presence(&mut self, row: Uuid, online: bool) {
        if let Some(device) = self.devices.iter_mut().find(|device| device.id == row) {
            device.is_online = online;
            self.online.insert(row, online);
        }
    }
}
