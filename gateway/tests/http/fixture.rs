//! A gateway without sockets, and what a test asks it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::routing::get;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde_json::Value;
use streamz_auth::{PasswordPool, PoolSize, SigningKey, TokenIssuer, TokenVerifier};
use streamz_bus::{Bus, HubReceiver, InProcess, Refused};
use streamz_gateway::Connections;
use streamz_gateway::http::router;
use streamz_gateway::hubs::Hubs;
use streamz_gateway::readiness::Readiness;
use streamz_gateway::revoked::{REVOKED_MAX, RevokedFamilies};
use streamz_gateway::state::{AppState, Parts, Settings};
use streamz_gateway::status::StatusSource;
use streamz_platform::{Clock, Config, ConfigArgs, Role, metrics};
use streamz_protocol::bus::{ToGateway, ToHub, Up};
use streamz_protocol::{DeviceId, GatewayId, UserId};
use streamz_status::{Role as Kind, Status};
use streamz_store::{NewUser, Store, StoreOptions, User};
use tempfile::TempDir;
use tower::ServiceExt;
use uuid::Uuid;

const GATEWAY: GatewayId = GatewayId(1);

/// Hubs that note what they are told and know who is online.
pub(crate) struct NotingHubs {
    bus: Mutex<Option<Arc<InProcess>>>,
    told: Mutex<Vec<ToHub>>,
    /// `None`: no hub answers.
    pub(crate) online: Mutex<Option<Vec<DeviceId>>>,
}

impl HubReceiver for NotingHubs {
    fn receive(&self, frame: ToHub) -> Result<(), Refused> {
        if let Up::WhoIsOnline { gateway, request } = frame.up {
            let devices = self.online.lock().clone().ok_or(Refused::Full)?;
            let bus = self.bus.lock().clone().ok_or(Refused::NoReceiver)?;
            return bus.to_gateway(gateway, ToGateway::Online { request, devices });
        }
        self.told.lock().push(frame);
        Ok(())
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Asserts success with this status and returns the body.
    #[track_caller]
    pub(crate) fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// Asserts this status, whatever the body is.
    #[track_caller]
    pub(crate) fn ok_text(&self, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
    }

    /// Asserts that this is a whole problem with this code, and returns it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let body = self.json();
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["status"], status, "{body}");
        assert_eq!(body["type"], format!("urn:streamz:problem:{code}"));
        assert!(!body["title"].as_str().unwrap().is_empty());
        assert!(!body["detail"].as_str().unwrap().is_empty());
        assert_eq!(body["request_id"].as_str(), self.header("x-request-id"), "{self:?}");
        match status {
            401 => assert!(self.header("www-authenticate").unwrap().starts_with("Bearer"), "{self:?}"),
            405 => assert!(self.header("allow").is_some(), "{self:?}"),
            429 | 503 => assert!(self.header("retry-after").unwrap().parse::<u64>().unwrap() > 0),
            _ => {}
        }
        body
    }
}

/// A gateway.
pub(crate) struct Api {
    pub(crate) router: Router,
    pub(crate) state: AppState,
    pub(crate) hubs: Arc<NotingHubs>,
    time: Arc<Mutex<DateTime<Utc>>>,
    _data: TempDir,
}

/// Changes what a gateway is made of before it is.
pub(crate) type Change = fn(&mut Parts);

impl Api {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: Change) -> Self {
        let data = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", data.path().join("streamz.db").display());
        let store = Store::connect(&url, &StoreOptions::default()).await.unwrap();
        store.migrate().await.unwrap();
        let bus = InProcess::new();
        let hubs = Arc::new(NotingHubs {
            bus: Mutex::new(Some(Arc::clone(&bus))),
            told: Mutex::default(),
            online: Mutex::new(Some(Vec::new())),
        });
        bus.serve_hubs(Arc::clone(&hubs) as Arc<dyn HubReceiver>);
        let handle = Hubs::new(GATEWAY, Arc::clone(&bus) as Arc<dyn Bus>);
        bus.serve_gateway(
            GATEWAY,
            Connections::new(GATEWAY, Arc::clone(&bus) as Arc<dyn Bus>, handle.clone()),
        );
        let args = ConfigArgs::from_vars([
            ("ALLOWED_ORIGINS", "https://app.example.org"),
            ("TRUSTED_PROXIES", "10.0.0.0/8"),
            ("TURN_URLS", "stun:stun.example.org:3478,turn:turn.example.org:3478?transport=udp"),
            ("TURN_SECRET", "north"),
            ("REGISTERED_DEVICES_PER_USER", "40"),
        ]);
        let config = Config::from_args(Role::Embedded, &args.unwrap()).unwrap();
        let key = SigningKey::generate();
        let time = Arc::new(Mutex::new(Utc::now()));
        let wall = Arc::clone(&time);
        let life = config.tokens.access + config.tokens.leeway;
        let mut parts = Parts {
            readiness: Readiness::new().with_store(store.clone()),
            store,
            issuer: TokenIssuer::new(&key, config.tokens.access),
            verifier: TokenVerifier::with_leeway(&key, config.tokens.leeway),
            passwords: PasswordPool::new(PoolSize::default()),
            ice: config.ice.clone(),
            hubs: handle,
            clock: Clock::start(),
            wall: Arc::new(move || *wall.lock()),
            revoked: RevokedFamilies::new(life, REVOKED_MAX),
            metrics: metrics::install().unwrap(),
            status: StatusSource::new(|| async { Status::new(Kind::Embedded, "here", "0") }),
            settings: Settings::of(&config),
        };
        change(&mut parts);
        let state = AppState::new(parts);
        // What the WebSocket answers is its own matter; that problems come from it too is not.
        let router = router(state.clone(), get(|| async { StatusCode::UPGRADE_REQUIRED }));
        Self { router, state, hubs, time, _data: data }
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, time: Duration) {
        *self.time.lock() += time;
    }

    /// An account that cannot sign in by password, with an access token.
    pub(crate) async fn somebody(&self, email: &str) -> Somebody {
        let new = NewUser { email, password_hash: "$none", first_name: Some("Ada"), last_name: None };
        let user = self.state.store().create_user(new, self.state.now()).await.unwrap();
        let refresh = streamz_auth::RefreshToken::generate();
        let (now, hash) = (self.state.now(), refresh.hash());
        let family = self.state.store().create_family(user.id, &hash, now, now + Duration::from_secs(86_400));
        let family = family.await.unwrap();
        let token = self.state.issuer().issue(UserId(user.id), family, now).expose().to_owned();
        Somebody { user, family, token, refresh_token: refresh.expose().to_owned() }
    }

    /// What the hubs were told since the last call.
    pub(crate) fn told(&self) -> Vec<ToHub> {
        std::mem::take(&mut *self.hubs.told.lock())
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        answer(&self.router, request).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(request(Method::GET, path, token).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn delete(&self, path: &str, token: &str) -> Answer {
        self.send(request(Method::DELETE, path, token).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: Value) -> Answer {
        self.send(json(request(Method::POST, path, token), &body)).await
    }

    pub(crate) async fn put(&self, path: &str, token: &str, body: Value) -> Answer {
        self.send(json(request(Method::PUT, path, token), &body)).await
    }

    /// Posts without a token, as a client at this address.
    pub(crate) async fn post_from(&self, address: &str, path: &str, body: Value) -> Answer {
        let peer: std::net::SocketAddr = address.parse().unwrap();
        self.send(json(request(Method::POST, path, "").extension(ConnectInfo(peer)), &body)).await
    }
}

pub(crate) async fn answer(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 64 << 20).await.unwrap();
    // What is not text is not looked into.
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Answer { status: parts.status, headers: parts.headers, text }
}

/// A request, with a token unless that is empty.
pub(crate) fn request(method: Method, path: &str, token: &str) -> axum::http::request::Builder {
    let request = Request::builder().method(method).uri(path);
    if token.is_empty() { request } else { request.header(AUTHORIZATION, format!("Bearer {token}")) }
}

pub(crate) fn json(request: axum::http::request::Builder, body: &Value) -> Request<Body> {
    request.header(CONTENT_TYPE, "application/json").body(Body::from(body.to_string())).unwrap()
}

/// A user who is signed in.
pub(crate) struct Somebody {
    pub(crate) user: User,
    pub(crate) family: Uuid,
    pub(crate) token: String,
    pub(crate) refresh_token: String,
}

impl Somebody {
    pub(crate) fn id(&self) -> UserId {
        UserId(self.user.id)
    }
}
