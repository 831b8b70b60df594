//! What faces the devices, the same in one process and in a fleet: the API, the WebSockets, and their listeners.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use governor::Quota;
use streamz_auth::{IceServers, PasswordPool, TokenIssuer, TokenVerifier};
use streamz_bus::Bus;
use streamz_gateway::hubs::Hubs;
use streamz_gateway::readiness::Readiness;
use streamz_gateway::revoked::{REVOKED_MAX, RevokedFamilies};
use streamz_gateway::serve::{KEEP_ALIVE, ServeOptions, ServeReport, Tls, serve, serve_guarded};
use streamz_gateway::state::{AppState, Parts, Settings};
use streamz_gateway::ws::{self, StateAuthority, WebSockets};
use streamz_gateway::{Connections, Identity, Sockets, http};
use streamz_platform::{Clock, Config, Tasks};
use streamz_store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::exit::Failure;
use crate::figures;
use crate::keys;
use crate::status::Source;
use crate::tls::{self, Certificate};
use crate::{maintenance, pressure};

/// Over how long devices come back that are sent away.
const COME_BACK_WITHIN: Duration = Duration::from_secs(5);

/// Where the devices and the operators come in.
pub(crate) struct Listeners {
    main: TcpListener,
    admin: Option<TcpListener>,
    /// What `main` speaks; `None`: plain HTTP.
    certificate: Option<Certificate>,
    /// Of `main`, with the port that it got.
    pub(crate) address: SocketAddr,
    /// Where operations are served.
    pub(crate) operations: SocketAddr,
}

impl Listeners {
    pub(crate) async fn open(config: &Config) -> Result<Self, Failure> {
        let certificate = config.tls.as_ref().map(Certificate::open).transpose()?;
        let main = listen(config.listen, "HOST, PORT").await?;
        let address = main.local_addr().map_err(Failure::unable)?;
        let admin = match config.admin {
            Some(address) => Some(listen(address, "HOST, ADMIN_PORT").await?),
            None => None,
        };
        let operations = match &admin {
            Some(admin) => admin.local_addr().map_err(Failure::unable)?,
            None => address,
        };
        Ok(Self { main, admin, certificate, address, operations })
    }

    /// `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.certificate.is_some() { "https" } else { "http" }
    }

    /// Where people on other machines can open the page, if that is known.
    pub(crate) fn urls(&self) -> Vec<String> {
        match &self.certificate {
            Some(certificate) if self.address.ip().is_unspecified() => {
                tls::urls(&certificate.names, self.address)
            }
            _ => Vec::new(),
        }
    }
}

pub(crate) async fn listen(address: SocketAddr, variables: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address)
        .await
        .map_err(|error| Failure::unable(format!("{variables}: {address} cannot be listened on: {error}")))
}

/// What an [`Edge`] is joined to.
pub(crate) struct Inside {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    /// The way to the hubs.
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) identity: Identity,
    pub(crate) readiness: Readiness,
    pub(crate) status: Source,
    /// The STUN and TURN servers that devices are told.
    pub(crate) ice: IceServers,
}

/// The part of a process that devices see.
pub(crate) struct Edge {
    pub(crate) state: AppState,
    sockets: Arc<Sockets>,
    web_sockets: TaskTracker,
    accepting: CancellationToken,
    /// Operators look on until all is over.
    watched: CancellationToken,
    listeners: Tasks,
}

impl Edge {
    pub(crate) async fn compose(config: &Config, inside: Inside, tasks: &Tasks) -> Result<Self, Failure> {
        let Inside { store, clock, bus, identity, readiness, status, ice } = inside;
        let keys = keys::load(&config.signing, tasks).await?;
        let hubs = Hubs::new(identity.clone(), bus.clone());
        let connections = Connections::new(identity, bus, hubs.clone());
        status.serves(&connections);
        let revoked = RevokedFamilies::new(config.tokens.access + config.tokens.leeway, REVOKED_MAX);
        revoked.sync(&store, clock.utc()).await.map_err(Failure::unable)?;
        let metrics = streamz_platform::metrics::install().map_err(Failure::unable)?;
        figures::of_connections(&metrics, connections.clone());
        tasks.spawn("retention", maintenance::sweep(store.clone(), config.retention, tasks.stopping()));
        let state = AppState::new(Parts {
            store,
            issuer: TokenIssuer::new(&keys, config.tokens.access),
            verifier: TokenVerifier::with_leeway(&keys, config.tokens.leeway),
            passwords: PasswordPool::new(config.passwords),
            ice,
            hubs,
            clock,
            wall: Arc::new(move || clock.utc()),
            revoked,
            readiness,
            metrics: metrics.clone(),
            status: status.source(),
            settings: Settings::of(config),
        });
        figures::of_passwords(&metrics, state.clone());
        let watch = pressure::watch(state.gate().clone(), config.http.memory, tasks.stopping());
        tasks.spawn("pressure", watch);
        let sockets = Arc::new(Sockets {
            connections,
            authority: Arc::new(StateAuthority(state.clone())),
            limits: Arc::new(config.limits.clone()),
            rate: Quota::per_second(config.message_rate.per_second).allow_burst(config.message_rate.burst),
            clock,
            stopping: CancellationToken::new(),
        });
        Ok(Self {
            state,
            sockets,
            web_sockets: TaskTracker::new(),
            accepting: CancellationToken::new(),
            watched: CancellationToken::new(),
            listeners: Tasks::new(),
        })
    }

    /// Who takes the frames of hubs.
    pub(crate) fn connections(&self) -> Arc<Connections> {
        self.sockets.connections.clone()
    }

    /// Serves until [`stop_accepting`](Self::stop_accepting), and until what was asked is answered.
    pub(crate) fn serve(&self, config: &Config, listeners: Listeners) {
        let web_sockets = WebSockets {
            sockets: self.sockets.clone(),
            tasks: self.web_sockets.clone(),
            max_connections: config.http.connections.get(),
        };
        let options = ServeOptions {
            header_timeout: config.http.header_timeout,
            keep_alive: KEEP_ALIVE,
            max_connections: config.http.connections,
            drain: config.drain_timeout,
        };
        let routes = http::router(self.state.clone(), ws::route(web_sockets));
        let tls: Option<Tls> = listeners.certificate.as_ref().map(|certificate| certificate.tls.clone());
        let gate = self.state.gate().clone();
        let main = serve_guarded(listeners.main, routes, options, tls, gate, self.accepting.clone());
        self.listeners.spawn("listener", async move { report(main.await) });
        if let Some(certificate) = listeners.certificate {
            self.listeners.spawn("certificate", certificate.watch(self.accepting.clone()));
        }
        if let Some(admin) = listeners.admin {
            let operations = http::operations(self.state.clone());
            let admin = serve(admin, operations, options, self.watched.clone());
            self.listeners.spawn("admin listener", async move { report(admin.await) });
        }
    }

    /// Not ready, and nobody new, from now on.
    pub(crate) fn stop_accepting(&self) {
        self.state.start_draining();
        self.accepting.cancel();
    }

    /// The last thing: a port of its own for operations has answered until here.
    pub(crate) fn stop_operations(&self) {
        self.watched.cancel();
    }

    /// Sends every device away, and waits until they have gone.
    pub(crate) async fn send_away(&self, config: &Config) {
        self.sockets.connections.drain(COME_BACK_WITHIN.min(config.drain_timeout));
        self.wait_for_devices(config.drain_timeout).await;
    }

    /// The same one after the other, for there are other gateways.
    pub(crate) async fn send_away_in_turn(&self, config: &Config) {
        let turns = config.drain_timeout * 3 / 4;
        self.sockets.connections.drain_in_turn(turns).await;
        self.wait_for_devices(config.drain_timeout - turns).await;
    }

    async fn wait_for_devices(&self, within: Duration) {
        self.sockets.stopping.cancel();
        self.web_sockets.close();
        if tokio::time::timeout(within, self.web_sockets.wait()).await.is_err() {
            tracing::warn!(left = self.web_sockets.len(), "some devices did not take their leave in time");
        }
    }

    /// The tasks of the listeners, which end by themselves.
    pub(crate) fn listeners(&self) -> &Tasks {
        &self.listeners
    }
}

fn report(served: ServeReport) {
    if served.cut_off > 0 {
        tracing::warn!(requests = served.cut_off, "some requests did not end in time");
    }
}
