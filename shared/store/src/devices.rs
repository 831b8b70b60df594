//! A user's devices.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Store, StoreError, text};

/// What a device is called whose type nobody told.
pub const UNKNOWN_DEVICE_TYPE: &str = "unknown";

/// The most devices that a list holds. Registration stops far earlier, at the limit that its caller passes.
const MAX_LIST: i64 = 1000;

/// A device of a user.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow, serde::Serialize, utoipa::ToSchema)]
pub struct Device {
    /// The row's id; streams refer to it.
    pub id: Uuid,
    /// Its user.
    pub user_id: Uuid,
    /// The name that the client chose; unique for the user. Paths and messages use it.
    pub device_id: String,
    /// The name for people.
    pub device_name: String,
    /// What kind it is: phone, laptop, tv, camera, …
    pub device_type: String,
    /// Whether it was connected when last written; hubs know better.
    pub is_online: bool,
    /// When it was last connected.
    #[serde(serialize_with = "crate::json::optional_time")]
    pub last_seen: Option<DateTime<Utc>>,
    /// When it was registered.
    #[serde(serialize_with = "crate::json::time")]
    pub created_at: DateTime<Utc>,
}

/// A device to be registered.
#[derive(Clone, Copy, Debug)]
pub struct NewDevice<'a> {
    /// Its user.
    pub user_id: Uuid,
    /// The client's name for it, 1..255 characters.
    pub device_id: &'a str,
    /// The name for people.
    pub device_name: &'a str,
    /// The kind; [`UNKNOWN_DEVICE_TYPE`] if nobody told.
    pub device_type: &'a str,
}

/// What to change; `None` leaves it.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeviceChange<'a> {
    /// The name for people.
    pub device_name: Option<&'a str>,
    /// The kind.
    pub device_type: Option<&'a str>,
}

/// Why a device was not registered by hand.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CreateDeviceError {
    /// The user has a device with this `device_id`.
    #[error("the user has a device with this device_id")]
    AlreadyExists,
    /// The user has as many devices as allowed.
    #[error("the user has as many devices as allowed")]
    TooMany,
    /// There is no such user (any more).
    #[error("there is no such user")]
    UnknownUser,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a connecting device was not registered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EnsureDeviceError {
    /// It is new, and the user has as many devices as allowed.
    #[error("the user has as many devices as allowed")]
    TooMany,
    /// There is no such user (any more).
    #[error("there is no such user")]
    UnknownUser,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A device that is registered now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ensured {
    /// It was before; its name and type are as they were.
    Known(Device),
    /// It was not.
    Registered(Device),
}

impl Ensured {
    /// The device, either way.
    #[must_use]
    pub fn into_device(self) -> Device {
        match self {
            Self::Known(device) | Self::Registered(device) => device,
        }
    }
}

macro_rules! columns {
    () => {
        "id, user_id, device_id, device_name, device_type, is_online, last_seen, created_at"
    };
}

const LIST: &str =
    concat!("SELECT ", columns!(), " FROM devices WHERE user_id = $1 ORDER BY created_at, id LIMIT $2");
const GET: &str = concat!("SELECT ", columns!(), " FROM devices WHERE user_id = $1 AND device_id = $2");
// Changes nothing, but takes the row's lock: registrations of one user queue up, so that the count holds. (SQLite has
// no FOR UPDATE.) It does not disturb foreign-key checks, which share-lock the key alone.
const LOCK_USER: &str = "UPDATE users SET updated_at = updated_at WHERE id = $1";
const COUNT: &str = "SELECT count(*) FROM (SELECT 1 FROM devices WHERE user_id = $1 LIMIT $2) AS registered";
const INSERT: &str = concat!(
    "INSERT INTO devices (id, user_id, device_id, device_name, device_type, is_online, last_seen, created_at) ",
    "VALUES ($1, $2, $3, $4, $5, FALSE, NULL, $6) RETURNING ",
    columns!()
);
const UPDATE: &str = concat!(
    "UPDATE devices SET device_name = COALESCE($3, device_name), device_type = COALESCE($4, device_type) ",
    "WHERE user_id = $1 AND device_id = $2 RETURNING ",
    columns!()
);
const DELETE: &str =
    concat!("DELETE FROM devices WHERE user_id = $1 AND device_id = $2 RETURNING ", columns!());
const USER_EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM users WHERE id = $1)";

enum Registration {
    Known(Device),
    New(Device),
    TooMany,
    UnknownUser,
}

impl Store {
    /// The user's devices, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn devices(&self, user_id: Uuid) -> Result<Vec<Device>, StoreError> {
        on_conn!(self, |conn| sqlx::query_as::<_, Device>(LIST)
            .bind(user_id)
            .bind(MAX_LIST)
            .fetch_all(conn)
            .await)
    }

    /// What a hub needs when it wakes: the user's devices, or `None` if there is no such user.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn user_with_devices(&self, user_id: Uuid) -> Result<Option<Vec<Device>>, StoreError> {
        on_conn!(self, |conn| {
            let devices =
                sqlx::query_as::<_, Device>(LIST).bind(user_id).bind(MAX_LIST).fetch_all(&mut *conn).await?;
            // A device proves its user.
            let exists = !devices.is_empty()
                || sqlx::query_scalar::<_, bool>(USER_EXISTS).bind(user_id).fetch_one(&mut *conn).await?;
            Ok(exists.then_some(devices))
        })
    }

    /// One device of the user, by the client's name for it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn device(&self, user_id: Uuid, device_id: &str) -> Result<Option<Device>, StoreError> {
        if !text::findable(device_id) {
            return Ok(None);
        }
        on_conn!(self, |conn| sqlx::query_as::<_, Device>(GET)
            .bind(user_id)
            .bind(device_id)
            .fetch_optional(conn)
            .await)
    }

    /// Registers a device that must be new; the user may have `limit` devices in all.
    ///
    /// # Errors
    /// [`CreateDeviceError`].
    pub async fn create_device(
        &self,
        new: NewDevice<'_>,
        limit: u32,
        now: DateTime<Utc>,
    ) -> Result<Device, CreateDeviceError> {
        match self.register(new, limit, now).await? {
            Registration::New(device) => Ok(device),
            Registration::Known(_) => Err(CreateDeviceError::AlreadyExists),
            Registration::TooMany => Err(CreateDeviceError::TooMany),
            Registration::UnknownUser => Err(CreateDeviceError::UnknownUser),
        }
    }

    /// The device that connects: as registered, or registered now if the user has fewer than `limit`. One read if it
    /// is known.
    ///
    /// # Errors
    /// [`EnsureDeviceError`].
    pub async fn ensure_device(
        &self,
        new: NewDevice<'_>,
        limit: u32,
        now: DateTime<Utc>,
    ) -> Result<Ensured, EnsureDeviceError> {
        if let Some(known) = self.device(new.user_id, new.device_id).await? {
            return Ok(Ensured::Known(known));
        }
        match self.register(new, limit, now).await? {
            Registration::New(device) => Ok(Ensured::Registered(device)),
            Registration::Known(device) => Ok(Ensured::Known(device)),
            Registration::TooMany => Err(EnsureDeviceError::TooMany),
            Registration::UnknownUser => Err(EnsureDeviceError::UnknownUser),
        }
    }

    /// Changes a device; `None` if the user has no such device.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn update_device(
        &self,
        user_id: Uuid,
        device_id: &str,
        change: DeviceChange<'_>,
    ) -> Result<Option<Device>, StoreError> {
        text::optional("device_name", change.device_name)?;
        text::optional("device_type", change.device_type)?;
        if !text::findable(device_id) {
            return Ok(None);
        }
        on_conn!(self, |conn| sqlx::query_as::<_, Device>(UPDATE)
            .bind(user_id)
            .bind(device_id)
            .bind(change.device_name)
            .bind(change.device_type)
            .fetch_optional(conn)
            .await)
    }

    /// Removes a device and returns what it was; its streams stay, without it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete_device(&self, user_id: Uuid, device_id: &str) -> Result<Option<Device>, StoreError> {
        if !text::findable(device_id) {
            return Ok(None);
        }
        on_conn!(self, |conn| sqlx::query_as::<_, Device>(DELETE)
            .bind(user_id)
            .bind(device_id)
            .fetch_optional(conn)
            .await)
    }

    async fn register(
        &self,
        new: NewDevice<'_>,
        limit: u32,
        now: DateTime<Utc>,
    ) -> Result<Registration, StoreError> {
        text::key("device_id", new.device_id)?;
        text::plain("device_name", new.device_name)?;
        text::plain("device_type", new.device_type)?;
        let id = Uuid::now_v7();
        let now = text::micros(now);
        let limit = i64::from(limit).min(MAX_LIST);
        in_tx!(self, |tx| {
            let locked = sqlx::query(LOCK_USER).bind(new.user_id).execute(&mut *tx).await?;
            if locked.rows_affected() == 0 {
                return Ok(Registration::UnknownUser);
            }
            let known = sqlx::query_as::<_, Device>(GET)
                .bind(new.user_id)
                .bind(new.device_id)
                .fetch_optional(&mut *tx)
                .await?;
            if let Some(known) = known {
                return Ok(Registration::Known(known));
            }
            let registered: i64 =
                sqlx::query_scalar(COUNT).bind(new.user_id).bind(limit).fetch_one(&mut *tx).await?;
            if registered >= limit {
                return Ok(Registration::TooMany);
            }
            let device = sqlx::query_as::<_, Device>(INSERT)
                .bind(id)
                .bind(new.user_id)
                .bind(new.device_id)
                .bind(new.device_name)
                .bind(new.device_type)
                .bind(now)
                .fetch_one(&mut *tx)
                .await?;
            Ok(Registration::New(device))
        })
    }
}
