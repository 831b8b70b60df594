//! From flags, variables and `.env` to a configuration that cannot express a bad state.
//!
//! Three steps: clap collects texts into [`ConfigArgs`] and checks nothing; a `.env` file fills in what neither a
//! flag nor the environment says; [`Config::from_args`] reads every text into a type and either returns a
//! [`Config`] or [`ConfigErrors`], with *every* problem in it, each a sentence that names the variable, what is
//! wrong with it and what to write instead. A secret's value never appears in a message.
//!
//! [`reference()`] lists all variables with their defaults and meanings, for the documentation.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use streamz_auth::{IceServers, KeyFolder, KeySet, KeysError, PoolSize, SigningKey};
use streamz_protocol::Limits;

use crate::telemetry::TelemetryConfig;

mod args;
mod dotenv;
mod network;
mod otlp;
mod reader;
mod secrets;
mod sections;
mod services;
mod signing;
mod tls;
mod turn;

pub use args::{ConfigArgs, UnknownVariable, VariableDoc, reference};
pub use network::{AllowedOrigins, Origin, TrustedProxies};
pub use reader::{ConfigErrors, Problem};
pub use services::{BusConfig, DatabaseConfig};
pub use tls::TlsConfig;
pub use turn::TurnConfig;

use reader::Reader;

/// Which processes this one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Gateway and signaling node in one, with an embedded database if no other is named.
    Embedded,
    /// A gateway of a fleet.
    Gateway,
    /// A signaling node of a fleet.
    Node,
}

impl Role {
    /// Whether it is a role of a fleet, which shares Postgres, Redis and the secret.
    #[must_use]
    pub fn is_fleet(self) -> bool {
        matches!(self, Self::Gateway | Self::Node)
    }
}

/// `ENV`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Environment {
    /// Convenient.
    Development,
    /// Strict.
    Production,
}

/// The configuration of a process, understood and checked. Its `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which processes this one is.
    pub role: Role,
    /// `ENV`.
    pub environment: Environment,
    /// `HOST` and `PORT`; port 0 takes a free one.
    pub listen: SocketAddr,
    /// `HOST` and `ADMIN_PORT`, if operations have a listener of their own.
    pub admin: Option<SocketAddr>,
    /// How `listen` speaks TLS, if it does; `admin` never does.
    pub tls: Option<TlsConfig>,
    /// `DATA_DIR`.
    pub data_dir: PathBuf,
    /// `DATABASE_URL`.
    pub database: DatabaseConfig,
    /// `DATABASE_POOL`: connections of this process.
    pub database_pool: NonZeroU32,
    /// `REDIS_URL`.
    pub bus: BusConfig,
    /// `JWT_SECRET`, `JWT_KEYS_DIR` and `JWT_SIGNING_KEY`, or where the generated key is. A node has no use for it.
    pub signing: SigningSource,
    /// `BUS_SECRET`, or else `JWT_SECRET`; there is one in the roles of a fleet.
    pub bus_secret: Option<SecretString>,
    /// `JWT_EXPIRY`, `JWT_LEEWAY`, `REFRESH_EXPIRY`.
    pub tokens: TokenConfig,
    /// `ALLOWED_ORIGINS`.
    pub origins: AllowedOrigins,
    /// `TRUSTED_PROXIES`.
    pub trusted_proxies: TrustedProxies,
    /// `TURN_URLS`, `TURN_SECRET`, `TURN_TTL`.
    pub ice: IceServers,
    /// The TURN server in this process, if it is to have one.
    pub turn: Option<TurnConfig>,
    /// `RUST_LOG`, and the variables of OpenTelemetry.
    pub telemetry: TelemetryConfig,
    /// What bounds a session and a hub.
    pub limits: Limits,
    /// What bounds a device's messages.
    pub message_rate: MessageRate,
    /// What bounds an HTTP request.
    pub http: HttpLimits,
    /// `PASSWORD_WORKERS`, `PASSWORD_QUEUE`.
    pub passwords: PoolSize,
    /// `HUB_IDLE`: how long a hub is quiet before it is put away.
    pub hub_idle: Duration,
    /// `USER_CHECK_INTERVAL`: how often it is checked that the accounts of connected devices still exist.
    pub user_check_interval: Duration,
    /// What is kept how long.
    pub retention: Retention,
    /// `DRAIN_TIMEOUT`: how long an orderly end may take.
    pub drain_timeout: Duration,
    /// What is fine here and would not be in production; to be logged at the start.
    pub warnings: Vec<String>,
}

/// Where the keys behind the access tokens come from.
#[derive(Clone, Debug)]
pub enum SigningSource {
    /// `JWT_SECRET`.
    Secret(SecretString),
    /// A file that is made on the first start.
    KeyFile(PathBuf),
    /// `JWT_KEYS_DIR`, and what else there is.
    Folder(KeyFolder),
}

impl SigningSource {
    /// The keys. Reads the files, or makes the one; blocking.
    ///
    /// # Errors
    /// [`KeysError`], which names the file.
    pub fn load(&self) -> Result<KeySet, KeysError> {
        match self {
            Self::Secret(secret) => Ok(KeySet::of_secret(&SigningKey::from_secret(secret))),
            Self::KeyFile(path) => Ok(KeySet::of_secret(&SigningKey::load_or_create(path)?)),
            Self::Folder(folder) => folder.load(),
        }
    }
}

/// How long tokens live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenConfig {
    /// Of an access token.
    pub access: Duration,
    /// How far clocks may disagree about its end.
    pub leeway: Duration,
    /// Of a refresh token.
    pub refresh: Duration,
}

/// How many messages a device may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageRate {
    /// `MESSAGES_PER_SECOND`.
    pub per_second: NonZeroU32,
    /// `MESSAGE_BURST`, never below `per_second`.
    pub burst: NonZeroU32,
}

/// What bounds HTTP requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// `MAX_BODY_BYTES`.
    pub body_bytes: usize,
    /// `HEADER_TIMEOUT`.
    pub header_timeout: Duration,
    /// `BODY_TIMEOUT`.
    pub body_timeout: Duration,
    /// `MAX_CONNECTIONS`, upgraded ones included.
    pub connections: NonZeroUsize,
    /// `CONNECTIONS_PER_SECOND`.
    pub connections_per_second: NonZeroU32,
    /// `MAX_REQUESTS`, at the same time.
    pub requests: NonZeroU32,
    /// `REQUESTS_PER_ADDRESS`, at the same time.
    pub requests_per_address: NonZeroU32,
    /// `MEMORY_LIMIT`, in bytes, if one was written.
    pub memory: Option<u64>,
    /// `AUDIT_ADDRESSES`.
    pub audit_addresses: bool,
    /// `LOGINS_PER_MINUTE`, for an account and for an address.
    pub logins_per_minute: NonZeroU32,
}

/// How long records are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// `STREAM_RETENTION`: ended streams.
    pub streams: Duration,
    /// `TOKEN_RETENTION`: spent refresh tokens.
    pub tokens: Duration,
}

impl Config {
    /// Understands `args`, completed by a `.env` file in the working directory if there is one.
    ///
    /// # Errors
    /// [`ConfigErrors`]: all problems, those of the `.env` file first.
    pub fn load(role: Role, args: ConfigArgs) -> Result<Self, ConfigErrors> {
        Self::load_with(role, args, Path::new(".env"))
    }

    /// [`Config::load`] with another file for `.env`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with(role: Role, mut args: ConfigArgs, dotenv: &Path) -> Result<Self, ConfigErrors> {
        let problems = dotenv::fill(&mut args, dotenv).err().into_iter().collect();
        Self::read(role, Reader::new(&args, problems))
    }

    /// Understands `args` alone.
    ///
    /// # Errors
    /// [`ConfigErrors`]: all problems.
    pub fn from_args(role: Role, args: &ConfigArgs) -> Result<Self, ConfigErrors> {
        Self::read(role, Reader::new(args, Vec::new()))
    }

    fn read(role: Role, mut reader: Reader<'_>) -> Result<Self, ConfigErrors> {
        let r = &mut reader;
        let mut warnings = Vec::new();
        let environment = sections::read_environment(r);
        let (listen, admin) = sections::read_listeners(r, role);
        let data_dir = PathBuf::from(r.text("DATA_DIR").unwrap_or_default());
        let (database, bus) = sections::read_services(r, role, &data_dir);
        let shared = role.is_fleet() || bus.is_shared();
        let config = Self {
            role,
            environment,
            listen,
            admin,
            tls: tls::read_tls(r, role, &data_dir),
            database_pool: sections::read_nonzero(r, "DATABASE_POOL", 1000),
            signing: signing::read_signing(r, role, environment, shared, &data_dir, &mut warnings),
            bus_secret: signing::read_bus_secret(r, role, environment, &mut warnings),
            tokens: sections::read_tokens(r),
            origins: sections::read_origins(r, environment, &mut warnings),
            trusted_proxies: sections::read_proxies(r, environment, &mut warnings),
            ice: sections::read_ice(r, environment, &mut warnings),
            turn: turn::read_turn(r, role, listen.ip()),
            telemetry: sections::read_telemetry(r, environment, role, listen),
            limits: sections::read_limits(r),
            message_rate: sections::read_message_rate(r),
            http: sections::read_http(r),
            passwords: sections::read_passwords(r),
            hub_idle: r.duration("HUB_IDLE", sections::TENTH..=sections::HOUR),
            user_check_interval: r.duration("USER_CHECK_INTERVAL", sections::TENTH..=sections::DAY),
            retention: sections::read_retention(r),
            drain_timeout: r.duration("DRAIN_TIMEOUT", Duration::ZERO..=10 * sections::MINUTE),
            data_dir,
            database,
            bus,
            warnings,
        };
        reader.finish(config)
    }
}

/// Where a process listens, for whoever wants to ask it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenConfig {
    /// `HOST` and `PORT`.
    pub listen: SocketAddr,
    /// `HOST` and `ADMIN_PORT`, if operations have a listener of their own.
    pub admin: Option<SocketAddr>,
}

impl ListenConfig {
    /// The addresses alone, completed by `.env` in the working directory: as [`Config::load`], but nothing else has to be
    /// right.
    ///
    /// # Errors
    /// [`ConfigErrors`].
    pub fn load(mut args: ConfigArgs) -> Result<Self, ConfigErrors> {
        let problems = dotenv::fill(&mut args, Path::new(".env")).err().into_iter().collect();
        let mut reader = Reader::new(&args, problems);
        let (listen, admin) = sections::read_listeners(&mut reader, Role::Embedded);
        reader.finish(Self { listen, admin })
    }
}

impl DatabaseConfig {
    /// The database alone, for what needs nothing else (`streamz migrate`), completed by `.env` in the working
    /// directory: as [`Config::load`], but nothing else has to be right.
    ///
    /// # Errors
    /// [`ConfigErrors`].
    pub fn load(mut args: ConfigArgs) -> Result<Self, ConfigErrors> {
        let problems = dotenv::fill(&mut args, Path::new(".env")).err().into_iter().collect();
        let mut reader = Reader::new(&args, problems);
        let data_dir = PathBuf::from(reader.text("DATA_DIR").unwrap_or_default());
        let database = sections::read_database(&mut reader, Role::Embedded, &data_dir);
        reader.finish(database)
    }
}

#[cfg(test)]
mod tests;
