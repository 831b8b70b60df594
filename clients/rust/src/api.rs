//! The HTTP half: accounts, devices, stream records. Small and typed; every call is one request.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use streamz_protocol::objects::{Device, IceServer};
use streamz_protocol::{DeviceId, StreamId};

mod objects;

pub use objects::{ApiError, SignedIn, StreamFilter, StreamPage, StreamRecord, User};

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A server's HTTP API. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
    base: String,
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
