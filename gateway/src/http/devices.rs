//! `/api/devices`: what an account has registered, and what of it is online.

use axum::Json;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use chrono::{DateTime, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use streamz_protocol::bus::DeviceChange as HubChange;
use streamz_protocol::{DeviceId, Millis, UserId, objects};
use streamz_store::{CreateDeviceError, Device, DeviceChange, NewDevice, UNKNOWN_DEVICE_TYPE};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{gone, must_exist};
use super::body::JsonBody;
use super::fields::{Fields, device_name, device_type};
use super::responses::{Any, NamesDevice, NeedsStore, NeedsToken, TakesBody};
use super::uri::DevicePath;
use crate::authenticate::Identity;
use crate::problem::{Code, FieldError, Problem, ProblemBody};
use crate::state::AppState;

/// What stands for itself in a path segment (RFC 3986 section 2.3); everything else is percent-encoded.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_devices, create_device))
        .routes(routes!(update_device, remove_device))
}

pub(super) fn not_found() -> Problem {
    Problem::new(
        Code::DeviceNotFound,
        "Your account has no device with this device_id; GET /api/devices lists them.",
    )
}

/// The devices of an account.
#[derive(Serialize, ToSchema)]
struct DeviceList {
    /// The devices, the one registered first first.
    devices: Vec<Device>,
}

/// List your devices.
///
/// `is_online` is what your other devices are told right now, and `last_seen` of an online device is now. If that
/// cannot be found out, both are what was last stored.
#[utoipa::path(
    get, path = "/api/devices", tag = "devices", security(("bearer" = [])),
    responses((status = 200, description = "The devices", body = DeviceList), NeedsToken, NeedsStore, Any),
)]
async fn list_devices(
    State(state): State<AppState>,
    identity: Identity,
) -> Result<Json<DeviceList>, Problem> {
    let user = identity.user;
    let (devices, online) =
        tokio::join!(state.store().user_with_devices(user.0), state.hubs().who_is_online(user));
    let mut devices = devices?.ok_or_else(|| gone(&state, user))?;
    if let Some(online) = online {
        show_live(&mut devices, &online, &state);
    }
    Ok(Json(DeviceList { devices }))
}

fn show_live(devices: &mut [Device], online: &[DeviceId], state: &AppState) {
    let now = state.now();
    for device in devices {
        device.is_online = online.iter().any(|id| id.as_str() == device.device_id);
        if device.is_online {
            device.last_seen = device.last_seen.max(Some(now));
        }
    }
}

/// A device to be registered.
#[derive(Deserialize, ToSchema)]
struct CreateDeviceRequest {
    /// Your name for it, unique in your account: 1 to 255 characters, no control characters.
    #[schema(value_type = String, example = "living-room-tv", min_length = 1, max_length = 255)]
    device_id: Option<String>,
    /// What people call it.
    #[schema(value_type = String, example = "Living room", min_length = 1, max_length = 255)]
    device_name: Option<String>,
    /// `phone`, `laptop`, `tv`, `camera`, … ; `unknown` if you do not say.
    #[schema(example = "tv", max_length = 64)]
    device_type: Option<String>,
}

/// Register a device.
///
/// A device that connects is registered by that; this is for those that are to be known before.
#[utoipa::path(
    post, path = "/api/devices", tag = "devices", security(("bearer" = [])), request_body = CreateDeviceRequest,
    responses(
        TakesBody, NeedsToken, NeedsStore, Any,
        (status = 201, description = "The device", body = Device,
            headers(("location" = String, description = "Its path"))),
        (status = 409, description = "`device_exists`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_fields`: see `errors`; or `too_many_devices`", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
)]
async fn create_device(
    State(state): State<AppState>,
    identity: Identity,
    JsonBody(body): JsonBody<CreateDeviceRequest>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Device>), Problem> {
    let mut fields = Fields::default();
    let id = fields.required("device_id", body.device_id.as_deref(), DeviceId::new);
    let name = fields.required("device_name", body.device_name.as_deref(), device_name);
    let kind = fields.optional("device_type", body.device_type.as_deref(), device_type);
    let (Some(id), Some(name), true) = (id, name, fields.good()) else {
        return Err(fields.into_problem());
    };
    let new = NewDevice {
        user_id: identity.user.0,
        device_id: id.as_str(),
        device_name: name,
        device_type: kind.unwrap_or(UNKNOWN_DEVICE_TYPE),
    };
    let most = state.settings().limits.devices_registered;
    let limit = u32::try_from(most).unwrap_or(u32::MAX);
    let device = match state.store().create_device(new, limit, state.now()).await {
        Ok(device) => device,
        Err(CreateDeviceError::AlreadyExists) => {
            let detail =
                "Your account has a device with this device_id: change it with PUT, or choose another id.";
            return Err(Problem::new(Code::DeviceExists, detail));
        }
        Err(CreateDeviceError::TooMany) => {
            let detail = format!("An account has at most {most} devices: remove one first.");
            return Err(Problem::new(Code::TooManyDevices, detail));
        }
        Err(CreateDeviceError::UnknownUser) => return Err(gone(&state, identity.user)),
        Err(CreateDeviceError::Store(error)) => return Err(error.into()),
    };
    tell_hub(&state, &device);
    let path = format!("/api/devices/{}", utf8_percent_encode(id.as_str(), SEGMENT));
    Ok((StatusCode::CREATED, [(LOCATION, path)], Json(device)))
}

/// What is to change; at least one of them.
#[derive(Deserialize, ToSchema)]
struct UpdateDeviceRequest {
    /// What people call it.
    #[schema(example = "Bedroom", min_length = 1, max_length = 255)]
    device_name: Option<String>,
    /// Its type.
    #[schema(example = "tv", min_length = 1, max_length = 64)]
    device_type: Option<String>,
}

/// Change a device.
///
/// Your other devices hear `device_updated`.
#[utoipa::path(
    put, path = "/api/devices/{device_id}", tag = "devices", security(("bearer" = [])),
    params(("device_id" = String, Path, description = "Your name for it, percent-encoded")),
    request_body = UpdateDeviceRequest,
    responses(
        NamesDevice, TakesBody, NeedsToken, NeedsStore, Any,
        (status = 200, description = "The device as it is now", body = Device),
    ),
)]
async fn update_device(
    State(state): State<AppState>,
    identity: Identity,
    DevicePath(id): DevicePath,
    JsonBody(body): JsonBody<UpdateDeviceRequest>,
) -> Result<Json<Device>, Problem> {
    let mut fields = Fields::default();
    let change = DeviceChange {
        device_name: fields.optional("device_name", body.device_name.as_deref(), device_name),
        device_type: fields.optional("device_type", body.device_type.as_deref(), device_type),
    };
    if !fields.good() {
        return Err(fields.into_problem());
    }
    if change.device_name.is_none() && change.device_type.is_none() {
        let error = FieldError::new("", "give device_name, device_type or both");
        return Err(Problem::fields(vec![error]));
    }
    let changed = state.store().update_device(identity.user.0, id.as_str(), change).await?;
    let Some(device) = changed else { return Err(unknown(&state, identity.user).await) };
    tell_hub(&state, &device);
    Ok(Json(device))
}

/// Remove a device.
///
/// Its socket closes, its streams end, and your other devices hear `device_removed`. Its records stay.
#[utoipa::path(
    delete, path = "/api/devices/{device_id}", tag = "devices", security(("bearer" = [])),
    params(("device_id" = String, Path, description = "Your name for it, percent-encoded")),
    responses((status = 204, description = "Removed"), NamesDevice, NeedsToken, NeedsStore, Any),
)]
async fn remove_device(
    State(state): State<AppState>,
    identity: Identity,
    DevicePath(id): DevicePath,
) -> Result<StatusCode, Problem> {
    if state.store().delete_device(identity.user.0, id.as_str()).await?.is_none() {
        return Err(unknown(&state, identity.user).await);
    }
    state.hubs().device_changed(identity.user, HubChange::Removed(id));
    Ok(StatusCode::NO_CONTENT)
}

/// Why a device was not found: perhaps there is nobody to have it.
async fn unknown(state: &AppState, user: UserId) -> Problem {
    must_exist(state, user).await.err().unwrap_or_else(not_found)
}

/// Tells the user's hub of a device as it is stored now.
fn tell_hub(state: &AppState, device: &Device) {
    match on_the_wire(device) {
        Some(device) => state.hubs().device_changed(device.user_id, HubChange::Put(Box::new(device))),
        // Rows of the first Streamz may break rules that are new; such a device cannot connect either.
        None => tracing::warn!(device = %device.id, "a device has a device_id that is not allowed any more"),
    }
}

fn on_the_wire(device: &Device) -> Option<objects::Device> {
    let millis = |time: DateTime<Utc>| Millis(u64::try_from(time.timestamp_millis()).unwrap_or_default());
    Some(objects::Device {
        id: device.id,
        user_id: UserId(device.user_id),
        device_id: DeviceId::new(&device.device_id).ok()?,
        device_name: device.device_name.as_str().into(),
        device_type: device.device_type.as_str().into(),
        is_online: device.is_online,
        last_seen: device.last_seen.map(millis),
        created_at: millis(device.created_at),
    })
}
