//! What every handler can reach: made once, where the process is composed, and passed on explicitly.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use streamz_auth::{IceServers, PasswordPool, TokenIssuer, TokenVerifier};
use streamz_platform::config::{AllowedOrigins, HttpLimits, TokenConfig, TrustedProxies};
use streamz_platform::{Clock, Config, MetricsHandle};
use streamz_protocol::Limits;
use streamz_store::Store;

use crate::audit::Audit;
use crate::gate::Gate;
use crate::http::KnownClients;
use crate::http::Operations;
use crate::hubs::Hubs;
use crate::readiness::Readiness;
use crate::revoked::RevokedFamilies;
use crate::status::StatusSource;

/// How long a request may take, its body included.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The wall clock, as an argument: tokens, records and login counters are stamped with it.
pub type WallClock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// The part of the configuration that requests are handled by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What bounds sessions, hubs and an account's devices.
    pub limits: Limits,
    /// What bounds requests.
    pub http: HttpLimits,
    /// How long tokens live.
    pub tokens: TokenConfig,
    /// Which pages may use the API.
    pub origins: AllowedOrigins,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// `/health`, `/ready`, `/metrics` and `/status` are served by a listener of their own, not beside the API.
    pub operations_elsewhere: bool,
    /// How long a request may take, its body included: [`REQUEST_TIMEOUT`].
    pub request_timeout: Duration,
}

impl Settings {
    /// As configured.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            limits: config.limits.clone(),
            http: config.http,
            tokens: config.tokens,
            origins: config.origins.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
            operations_elsewhere: config.admin.is_some(),
            request_timeout: REQUEST_TIMEOUT,
        }
    }
}

/// What an [`AppState`] is made of.
pub struct Parts {
    /// Accounts, devices, streams, sign-ins.
    pub store: Store,
    /// Makes access tokens.
    pub issuer: TokenIssuer,
    /// Checks them.
    pub verifier: TokenVerifier,
    /// Hashes and checks passwords.
    pub passwords: PasswordPool,
    /// STUN and TURN.
    pub ice: IceServers,
    /// The users' hubs.
    pub hubs: Hubs,
    /// The clock of the state machines.
    pub clock: Clock,
    /// The wall clock; `Arc::new(move || clock.utc())`, but for tests.
    pub wall: WallClock,
    /// The sign-ins that were ended; synced with the store before anybody is served.
    pub revoked: RevokedFamilies,
    /// What `/ready` asks.
    pub readiness: Readiness,
    /// What `/metrics` shows.
    pub metrics: MetricsHandle,
    /// What `/status` asks.
    pub status: StatusSource,
    /// The configuration.
    pub settings: Settings,
}

/// What every handler can reach. Cheap to clone: all clones are the same.
#[derive(Clone)]
pub struct AppState {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
    known: KnownClients,
    operations: Operations,
    audit: Audit,
    gate: Gate,
}

impl AppState {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let known = KnownClients::default();
        let operations =
            Operations::new(parts.readiness.clone(), parts.metrics.clone(), parts.status.clone());
        let audit = Audit::new(parts.settings.http.audit_addresses);
        let gate = Gate::new(&parts.settings.http);
        Self { inner: Arc::new(Inner { parts, known, operations, audit, gate }) }
    }

    /// Accounts, devices, streams, sign-ins.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.parts.store
    }

    /// Makes access tokens.
    #[must_use]
    pub fn issuer(&self) -> &TokenIssuer {
        &self.inner.parts.issuer
    }

    /// Checks them; [`crate::authenticate::authenticate`] also knows what was revoked.
    #[must_use]
    pub fn verifier(&self) -> &TokenVerifier {
        &self.inner.parts.verifier
    }

    /// Hashes and checks passwords.
    #[must_use]
    pub fn passwords(&self) -> &PasswordPool {
        &self.inner.parts.passwords
    }

    /// STUN and TURN.
    #[must_use]
    pub fn ice(&self) -> &IceServers {
        &self.inner.parts.ice
    }

    /// The users' hubs.
    #[must_use]
    pub fn hubs(&self) -> &Hubs {
        &self.inner.parts.hubs
    }

    /// The clock of the state machines.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.inner.parts.clock
    }

    /// The time on the wall.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        (self.inner.parts.wall)()
    }

    /// The sign-ins that were ended.
    #[must_use]
    pub fn revoked(&self) -> &RevokedFamilies {
        &self.inner.parts.revoked
    }

    /// What operators ask about.
    #[must_use]
    pub fn operations(&self) -> &Operations {
        &self.inner.operations
    }

    /// The configuration.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.parts.settings
    }

    /// Writes down who signed in, who was refused, what was revoked.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.inner.audit
    }

    /// Who is let in while there is too much to do.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.inner.gate
    }

    /// From where accounts were signed in to.
    pub(crate) fn known(&self) -> &KnownClients {
        &self.inner.known
    }

    /// From now on `/ready` says no, so that a load balancer sends nobody new.
    pub fn start_draining(&self) {
        self.inner.operations.start_draining();
    }

    /// Whether this process is on its way out.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.inner.operations.is_draining()
    }
}
