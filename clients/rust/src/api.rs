//! The HTTP half: accounts, devices, stream records. Small and typed; every call is one request.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use streamz_protocol::objects::{ConnectionType, Device, DeviceRef, IceServer, StreamType};
use streamz_protocol::{DeviceId, Millis, StreamId, UserId};
use uuid::Uuid;

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A server's HTTP API. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
    base: String,
}

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The server answered with a problem (RFC 9457).
    #[error("{status} {code}: {detail}")]
    Problem {
        /// The HTTP status.
        status: u16,
        /// The documented code; empty if something in between answered.
        code: String,
        /// What is wrong, for people.
        detail: String,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// There was no answer, or it could not be read.
    #[error("the request failed: {0}")]
    Transport(#[from] reqwest::Error),
}

impl ApiError {
    /// The documented code, if the server gave one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            ApiError::Problem { code, .. } => Some(code),
            ApiError::Transport(_) => None,
        }
    }

    /// The HTTP status, if there was an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            ApiError::Problem { status, .. } => Some(*status),
            ApiError::Transport(error) => error.status().map(|status| status.as_u16()),
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn temporary(&self) -> bool {
        match self.status() {
            Some(status) => status >= 500 || matches!(status, 408 | 425 | 429),
            None => true,
        }
    }
}

/// A person's account.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct User {
    /// The row's key.
    pub id: UserId,
    /// What they sign in with.
    pub email: String,
    /// As they gave it.
    pub first_name: Option<String>,
    /// As they gave it.
    pub last_name: Option<String>,
    /// When they registered.
    pub created_at: Millis,
    /// When the account last changed.
    pub updated_at: Millis,
}

/// A sign-in. Its `Debug` form shows no token.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Who.
    pub user: User,
    /// For requests and connections.
    pub access_token: SecretString,
    /// For [`Api::refresh`], once.
    pub refresh_token: SecretString,
    /// How long the access token lasts.
    pub expires_in: Duration,
}

/// A stream's record.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StreamRecord {
    /// The record's key.
    pub id: StreamId,
    /// Whose it is.
    pub user_id: UserId,
    /// The row of the device that sent the media; absent once that device was removed.
    pub source_device_id: Option<Uuid>,
    /// The row of the device that received it; absent while nobody accepted.
    pub target_device_id: Option<Uuid>,
    /// What flowed.
    pub stream_type: StreamType,
    /// When the ring began.
    pub started_at: Millis,
    /// When it ended; absent while it lives.
    pub ended_at: Option<Millis>,
    /// The path of the media, if a party said it.
    pub connection_type: Option<ConnectionType>,
    /// The quality, if a party said it.
    pub quality: Option<String>,
    /// Round-trip time in milliseconds, if a party said it.
    pub latency_ms: Option<u32>,
    /// The device that sent the media.
    #[serde(default)]
    pub source_device: Option<DeviceRef>,
    /// The device that received it.
    #[serde(default)]
    pub target_device: Option<DeviceRef>,
}

/// Which stream records are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamFilter {
    /// Only live ones, or only ended ones.
    pub active: Option<bool>,
    /// Only those of this device.
    pub device: Option<DeviceId>,
    /// At most so many.
    pub limit: Option<u32>,
    /// Where the last page ended.
    pub cursor: Option<String>,
}

/// A page of stream records, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StreamPage {
    /// The records.
    pub streams: Vec<StreamRecord>,
    /// For [`StreamFilter::cursor`], if there are more.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct RawSignedIn {
    user: User,
    access_token: String,
    refresh_token: String,
    expires_in: u64,
}

#[derive(Deserialize)]
struct Devices {
    devices: Vec<Device>,
}

#[derive(Deserialize)]
struct IceServers {
    ice_servers: Vec<IceServer>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Problem {
    code: String,
    title: String,
    detail: String,
}

#[derive(Serialize)]
struct Registration<'a> {
    email: &'a str,
    password: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_name: Option<&'a str>,
}

#[derive(Serialize)]
struct DeviceBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<&'a DeviceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_type: Option<&'a str>,
}

impl Api {
    /// The API of the server at `url`: `http://host:port`, without a path.
    ///
    /// # Errors
    /// The HTTP client could not be set up.
    pub fn new(url: &str) -> Result<Self, ApiError> {
        let http = http_client().timeout(TIMEOUT).build()?;
        let base = url.trim_end_matches('/').to_owned();
        Ok(Self { http, base })
    }

    /// `POST /api/auth/register`: a new account, signed in.
    ///
    /// # Errors
    /// [`ApiError`]; 409 if the address is taken.
    pub async fn register(
        &self,
        email: &str,
        password: &str,
        first_name: Option<&str>,
        last_name: Option<&str>,
    ) -> Result<SignedIn, ApiError> {
        let body = Registration { email, password, first_name, last_name };
        let request = self.request(Method::POST, "/api/auth/register");
        signed_in(request.json(&body)).await
    }

    /// `POST /api/auth/login`.
    ///
    /// # Errors
    /// [`ApiError`]; 401 for a wrong password and an unknown account alike.
    pub async fn login(&self, email: &str, password: &str) -> Result<SignedIn, ApiError> {
        let body = serde_json::json!({"email": email, "password": password});
        let request = self.request(Method::POST, "/api/auth/login");
        signed_in(request.json(&body)).await
    }

    /// `POST /api/auth/refresh`: a new pair; the old refresh token is spent.
    ///
    /// # Errors
    /// [`ApiError`]; 401 if it was spent before, which ends the sign-in.
    pub async fn refresh(&self, refresh_token: &SecretString) -> Result<SignedIn, ApiError> {
        let body = serde_json::json!({"refresh_token": refresh_token.expose_secret()});
        let request = self.request(Method::POST, "/api/auth/refresh");
        signed_in(request.json(&body)).await
    }

    /// `POST /api/auth/logout`: ends the sign-in and closes its connections.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn logout(&self, token: &SecretString) -> Result<(), ApiError> {
        let request = self.signed(Method::POST, "/api/auth/logout", token);
        send(request).await.map(drop)
    }

    /// `GET /api/auth/me`.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn me(&self, token: &SecretString) -> Result<User, ApiError> {
        read(self.signed(Method::GET, "/api/auth/me", token)).await
    }

    /// `GET /api/devices`: all devices of the account, with their presence.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn devices(&self, token: &SecretString) -> Result<Vec<Device>, ApiError> {
        let request = self.signed(Method::GET, "/api/devices", token);
        Ok(read::<Devices>(request).await?.devices)
    }

    /// `POST /api/devices`: registers a device ahead of its first connection.
    ///
    /// # Errors
    /// [`ApiError`]; 409 if there is one of that name.
    pub async fn add_device(
        &self,
        token: &SecretString,
        device: &DeviceId,
        name: &str,
        device_type: Option<&str>,
    ) -> Result<Device, ApiError> {
        let body = DeviceBody { device_id: Some(device), device_name: Some(name), device_type };
        let request = self.signed(Method::POST, "/api/devices", token);
        read(request.json(&body)).await
    }

    /// `PUT /api/devices/{device_id}`: changes what is given.
    ///
    /// # Errors
    /// [`ApiError`]; 404 if there is none of that name.
    pub async fn change_device(
        &self,
        token: &SecretString,
        device: &DeviceId,
        name: Option<&str>,
        device_type: Option<&str>,
    ) -> Result<Device, ApiError> {
        let body = DeviceBody { device_id: None, device_name: name, device_type };
        let request = self.signed(Method::PUT, &device_path(device), token);
        read(request.json(&body)).await
    }

    /// `DELETE /api/devices/{device_id}`: its connection closes and its streams end.
    ///
    /// # Errors
    /// [`ApiError`]; 404 if there is none of that name.
    pub async fn remove_device(&self, token: &SecretString, device: &DeviceId) -> Result<(), ApiError> {
        let request = self.signed(Method::DELETE, &device_path(device), token);
        send(request).await.map(drop)
    }

    /// `GET /api/streams`.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn streams(&self, token: &SecretString, filter: &StreamFilter) -> Result<StreamPage, ApiError> {
        let given = [
            ("active", filter.active.map(|active| active.to_string())),
            ("device_id", filter.device.as_ref().map(DeviceId::to_string)),
            ("limit", filter.limit.map(|limit| limit.to_string())),
            ("cursor", filter.cursor.clone()),
        ];
        let mut path = "/api/streams".to_owned();
        for (name, value) in given {
            if let Some(value) = value {
                path.push(if path.contains('?') { '&' } else { '?' });
                path.push_str(name);
                path.push('=');
                path.extend(utf8_percent_encode(&value, NON_ALPHANUMERIC));
            }
        }
        read(self.signed(Method::GET, &path, token)).await
    }

    /// `GET /api/streams/{id}`.
    ///
    /// # Errors
    /// [`ApiError`]; 404 if it is not one of this account.
    pub async fn stream(&self, token: &SecretString, stream: StreamId) -> Result<StreamRecord, ApiError> {
        let path = format!("/api/streams/{stream}");
        read(self.signed(Method::GET, &path, token)).await
    }

    /// `GET /api/ice-servers`: with fresh credentials.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn ice_servers(&self, token: &SecretString) -> Result<Vec<IceServer>, ApiError> {
        let request = self.signed(Method::GET, "/api/ice-servers", token);
        Ok(read::<IceServers>(request).await?.ice_servers)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    fn signed(&self, method: Method, path: &str, token: &SecretString) -> RequestBuilder {
        self.request(method, path).bearer_auth(token.expose_secret())
    }
}

fn http_client() -> reqwest::ClientBuilder {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none())
}

fn device_path(device: &DeviceId) -> String {
    let name = utf8_percent_encode(device.as_str(), NON_ALPHANUMERIC);
    format!("/api/devices/{name}")
}

async fn signed_in(request: RequestBuilder) -> Result<SignedIn, ApiError> {
    let raw: RawSignedIn = read(request).await?;
    Ok(SignedIn {
        user: raw.user,
        access_token: raw.access_token.into(),
        refresh_token: raw.refresh_token.into(),
        expires_in: Duration::from_secs(raw.expires_in),
    })
}

async fn read<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, ApiError> {
    Ok(send(request).await?.json().await?)
}

async fn send(request: RequestBuilder) -> Result<Response, ApiError> {
    // The URL may hold a device's name; what a caller logs of an error needs it as little.
    let response = request.send().await.map_err(reqwest::Error::without_url)?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    Err(problem(status, response).await)
}

async fn problem(status: StatusCode, response: Response) -> ApiError {
    let retry_after = response.headers().get("retry-after");
    let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    // Whatever is not a problem came from something in between.
    let problem: Problem = response.json().await.unwrap_or_default();
    ApiError::Problem {
        status: status.as_u16(),
        code: problem.code,
        detail: if problem.detail.is_empty() { problem.title } else { problem.detail },
        retry_after: retry_after.map(Duration::from_secs),
    }
}
