//! A person with an account, and their devices.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::Value;
use streamz_client::api::{ApiError, SignedIn};
use streamz_client::protocol::server::{ServerFrame, ServerMessage, Welcome};
use streamz_client::{Api, Builder, Client, Event, Events, TokenSource};
use streamz_protocol::DeviceId;

use crate::http::{Answer, Http};
use crate::member::Member;
use crate::raw::{Dial, Raw};
use crate::scenario::soon;
use crate::server::Server;

/// A person, signed in once.
#[derive(Clone, Debug)]
pub struct User {
    /// The address of the gateway that answers their HTTP requests.
    pub url: String,
    /// All gateways; each connection takes the next one.
    gateways: Arc<[String]>,
    turn: Arc<AtomicUsize>,
    /// What they sign in with.
    pub email: String,
    /// The HTTP API.
    pub api: Api,
    /// The first sign-in.
    pub signed_in: SignedIn,
}

/// The password of everybody.
pub const PASSWORD: &str = "correct horse battery staple";

impl User {
    /// A new account.
    pub async fn new(server: &Server) -> Self {
        let url = server.url().to_owned();
        let gateways = server.gateways.iter().map(|gateway| gateway.url().to_owned()).collect();
        let email = format!("{}@example.org", uuid::Uuid::new_v4().simple());
        let api = Api::new(&url).unwrap();
        let signed_in = api.register(&email, PASSWORD, None, None).await.unwrap();
        Self { url, gateways, turn: Arc::default(), email, api, signed_in }
    }

    /// The same person, who talks to this gateway alone.
    #[must_use]
    pub fn through(&self, gateway: &Member) -> Self {
        let url = gateway.url().to_owned();
        let api = Api::new(&url).unwrap();
        Self { gateways: Arc::new([url.clone()]), url, api, ..self.clone() }
    }

    /// A gateway for the next connection: a load balancer knows of no device.
    fn gateway(&self) -> &str {
        &self.gateways[self.turn.fetch_add(1, Ordering::Relaxed) % self.gateways.len()]
    }

    /// The same person at another server that has their account, with a new sign-in.
    pub async fn sign_in_at(&self, server: &Server) -> Self {
        let url = server.url().to_owned();
        let api = Api::new(&url).unwrap();
        let gateways = server.gateways.iter().map(|gateway| gateway.url().to_owned()).collect();
        let signed_in = api.login(&self.email, PASSWORD).await.unwrap();
        Self { url, gateways, turn: Arc::default(), email: self.email.clone(), api, signed_in }
    }

    /// The same person, with another sign-in.
    pub async fn sign_in_again(&self) -> Result<Self, ApiError> {
        let signed_in = self.api.login(&self.email, PASSWORD).await?;
        Ok(self.with(signed_in))
    }

    /// The same person, with these tokens.
    #[must_use]
    pub fn with(&self, signed_in: SignedIn) -> Self {
        Self { signed_in, ..self.clone() }
    }

    /// The access token.
    #[must_use]
    pub fn token(&self) -> &str {
        self.signed_in.access_token.expose_secret()
    }

    /// A native client, not connected yet; it comes back quickly.
    #[must_use]
    pub fn client(&self, device: &str) -> Builder {
        Client::builder(self.gateway(), DeviceId::new(device).unwrap(), TokenSource::fixed(self.token()))
            .backoff(Duration::from_millis(5), Duration::from_millis(100))
    }

    /// A connected native client.
    pub async fn device(&self, device: &str) -> Device {
        Device::connect(self.client(device)).await
    }

    /// A raw connection, not opened yet, that speaks `streamz.v1`.
    #[must_use]
    pub fn dial(&self, device: &str) -> Dial {
        self.dial_simple(device).v1()
    }

    /// A raw connection, not opened yet, of a simple client.
    #[must_use]
    pub fn dial_simple(&self, device: &str) -> Dial {
        Dial::new(self.gateway(), device).bearer(self.token())
    }

    /// A raw connection that was welcomed and speaks `streamz.v1`.
    pub async fn raw(&self, device: &str) -> Raw {
        self.dial(device).welcomed().await
    }

    /// A raw connection that was welcomed, of a simple client.
    pub async fn simple(&self, device: &str) -> Raw {
        self.dial_simple(device).welcomed().await
    }

    /// GET with the access token.
    pub async fn get(&self, path: &str) -> Answer {
        Http::new(&self.url).get_as(self.token(), path).await
    }

    /// Whether `GET /api/devices` shows the device online; `None` if it does not show it.
    pub async fn is_online(&self, device: &str) -> Option<bool> {
        let devices = self.get("/api/devices").await.json();
        let devices = devices["devices"].as_array().unwrap().clone();
        let device = devices.into_iter().find(|known| known["device_id"] == device)?;
        device["is_online"].as_bool()
    }

    /// The record of a stream.
    pub async fn record(&self, stream: &str) -> Value {
        let answer = self.get(&format!("/api/streams/{stream}")).await;
        if answer.status == 200 { answer.json() } else { Value::Null }
    }
}

/// A connected native client.
#[derive(Debug)]
pub struct Device {
    /// The client.
    pub client: Client,
    /// What it hears.
    pub events: Events,
    /// What it was welcomed with.
    pub welcome: Welcome,
}

impl Device {
    /// Connects.
    pub async fn connect(builder: Builder) -> Self {
        let (client, mut events) = soon(builder.connect()).await.unwrap();
        let welcome = soon(events.find(welcome)).await.unwrap();
        Self { client, events, welcome }
    }

    /// The next `welcome`, after a reconnect; other events are passed over.
    pub async fn welcomed_again(&mut self) -> Welcome {
        soon(self.events.find(welcome)).await.expect("the client lives")
    }

    /// The next message for which `pick` has an answer; other events are passed over.
    pub async fn hears<T>(&mut self, mut pick: impl FnMut(&ServerMessage) -> Option<T>) -> T {
        let found = self.events.find(|event| match event {
            Event::Message(frame) => pick(&frame.message),
            _ => None,
        });
        soon(found).await.expect("the client lives")
    }

    /// The next message, whatever it is; other events are passed over.
    pub async fn next(&mut self) -> ServerFrame {
        let message = |event| match event {
            Event::Message(frame) => Some(*frame),
            _ => None,
        };
        soon(self.events.find(message)).await.expect("the client lives")
    }

    /// The text of the next offer; other events are passed over.
    pub async fn offer(&mut self) -> String {
        self.hears(|message| match message {
            ServerMessage::SdpOffer(offer) => Some(offer.sdp.clone()),
            _ => None,
        })
        .await
    }
}

fn welcome(event: Event) -> Option<Welcome> {
    match event {
        Event::Welcome(welcome) => Some(*welcome),
        _ => None,
    }
}
