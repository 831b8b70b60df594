//! From flags, variables and `.env` to a configuration that cannot express a bad state.
//!
//! Three steps: clap collects texts into [`ConfigArgs`] and checks nothing; a `.env` file fills in what neither a
//! flag nor the environment says; [`Config::from_args`] reads every text into a type and either returns a
//! [`Config`] or [`ConfigErrors`], with *every* problem in it, each a sentence that names the variable, what is
//! wrong with it and what to write instead. A secret's value never appears in a message.
//!
//! [`reference()`] lists all variables with their defaults and meanings, for the documentation.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use streamz_auth::{IceServers, IceUrl, KeyError, PoolSize, SigningKey};
use streamz_protocol::Limits;

use crate::telemetry::{LogFilter, TelemetryConfig};

mod args;
mod dotenv;
mod network;
mod reader;
mod secrets;
mod services;

pub use args::{ConfigArgs, UnknownVariable, VariableDoc, reference};
pub use network::{AllowedOrigins, Origin, TrustedProxies};
pub use reader::{ConfigErrors, Problem};
pub use services::{BusConfig, DatabaseConfig};

use reader::{DurationText, Reader, SizeText};

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
    /// `DATA_DIR`.
    pub data_dir: PathBuf,
    /// `DATABASE_URL`.
    pub database: DatabaseConfig,
    /// `DATABASE_POOL`: connections of this process.
    pub database_pool: NonZeroU32,
    /// `REDIS_URL`.
    pub bus: BusConfig,
    /// `JWT_SECRET`, or where the generated key is.
    pub signing: SigningSource,
    /// `JWT_EXPIRY`, `JWT_LEEWAY`, `REFRESH_EXPIRY`.
    pub tokens: TokenConfig,
    /// `ALLOWED_ORIGINS`.
    pub origins: AllowedOrigins,
    /// `TRUSTED_PROXIES`.
    pub trusted_proxies: TrustedProxies,
    /// `TURN_URLS`, `TURN_SECRET`, `TURN_TTL`.
    pub ice: IceServers,
    /// `RUST_LOG`, `OTEL_EXPORTER_OTLP_ENDPOINT`.
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
    /// What is kept how long.
    pub retention: Retention,
    /// `DRAIN_TIMEOUT`: how long an orderly end may take.
    pub drain_timeout: Duration,
    /// What is fine here and would not be in production; to be logged at the start.
    pub warnings: Vec<String>,
}

/// Where the key behind the access tokens comes from.
#[derive(Clone, Debug)]
pub enum SigningSource {
    /// `JWT_SECRET`.
    Secret(SecretString),
    /// A file that is made on the first start.
    KeyFile(PathBuf),
}

impl SigningSource {
    /// The key. Reads or makes the file, so once, at the start.
    ///
    /// # Errors
    /// [`KeyError`], which names the file.
    pub fn load(&self) -> Result<SigningKey, KeyError> {
        match self {
            Self::Secret(secret) => Ok(SigningKey::from_secret(secret)),
            Self::KeyFile(path) => SigningKey::load_or_create(path),
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

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const YEARS_10: Duration = Duration::from_secs(3650 * 86_400);
const TENTH: Duration = Duration::from_millis(100);
const KIB: usize = 1024;
const MIB: usize = 1024 * 1024;

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
        let environment = read_environment(r);
        let (listen, admin) = read_listeners(r, role);
        let data_dir = PathBuf::from(r.text("DATA_DIR").unwrap_or_default());
        let (database, bus) = read_services(r, role, &data_dir);
        let shared = role.is_fleet() || bus.is_shared();
        let config = Self {
            role,
            environment,
            listen,
            admin,
            database_pool: read_nonzero(r, "DATABASE_POOL", 1000),
            signing: read_signing(r, environment, shared, &data_dir, &mut warnings),
            tokens: read_tokens(r),
            origins: read_origins(r, environment, &mut warnings),
            trusted_proxies: TrustedProxies(r.list("TRUSTED_PROXIES", network::parse_network)),
            ice: read_ice(r),
            telemetry: read_telemetry(r, environment),
            limits: read_limits(r),
            message_rate: read_message_rate(r),
            http: HttpLimits {
                body_bytes: r.size("MAX_BODY_BYTES", KIB..=16 * MIB),
                header_timeout: r.duration("HEADER_TIMEOUT", TENTH..=5 * MINUTE),
                logins_per_minute: read_nonzero(r, "LOGINS_PER_MINUTE", 10_000),
            },
            passwords: read_passwords(r),
            hub_idle: r.duration("HUB_IDLE", TENTH..=HOUR),
            retention: Retention {
                streams: r.duration("STREAM_RETENTION", MINUTE..=YEARS_10),
                tokens: r.duration("TOKEN_RETENTION", MINUTE..=YEARS_10),
            },
            drain_timeout: r.duration("DRAIN_TIMEOUT", Duration::ZERO..=10 * MINUTE),
            data_dir,
            database,
            bus,
            warnings,
        };
        reader.finish(config)
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
        let database = read_database(&mut reader, Role::Embedded, &data_dir);
        reader.finish(database)
    }
}

fn read_environment(r: &mut Reader<'_>) -> Environment {
    r.parsed("ENV", |text| match text.to_ascii_lowercase().as_str() {
        "development" | "dev" => Ok(Environment::Development),
        "production" | "prod" => Ok(Environment::Production),
        _ => Err("write development or production"),
    })
    // Of an unknown environment the strict checks are reported too.
    .unwrap_or(Environment::Production)
}

fn read_listeners(r: &mut Reader<'_>, role: Role) -> (SocketAddr, Option<SocketAddr>) {
    let port = |text: &str| text.parse::<u16>().map_err(|_| "write a port from 0 to 65535, such as 8080");
    let default = if role.is_fleet() { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    let host = r.parsed("HOST", network::parse_host).unwrap_or(IpAddr::V4(default));
    let main = r.parsed("PORT", port).unwrap_or_default();
    let admin = r.parsed("ADMIN_PORT", port);
    r.require(["ADMIN_PORT", "PORT"], main == 0 || admin != Some(main), || {
        "is the same as PORT: write another one, or leave it out to serve operations on PORT.".to_owned()
    });
    (SocketAddr::new(host, main), admin.map(|port| SocketAddr::new(host, port)))
}

fn read_services(r: &mut Reader<'_>, role: Role, data_dir: &Path) -> (DatabaseConfig, BusConfig) {
    let database = read_database(r, role, data_dir);
    let written = r.text("REDIS_URL").is_some();
    let urls = r.list("REDIS_URL", services::parse_redis);
    let same = |i: usize| urls[..i].iter().any(|url| url.expose_secret() == urls[i].expose_secret());
    if (0..urls.len()).any(same) {
        r.problem("REDIS_URL", "names the same instance twice: write independent ones, or one.");
    }
    if role.is_fleet() && !written {
        r.problem(
            "REDIS_URL",
            "is missing: the processes of a fleet talk over Redis; write redis://host:6379, or run `streamz` \
             alone.",
        );
    }
    if !role.is_fleet() && written && matches!(database, DatabaseConfig::Sqlite { .. }) {
        r.problem(
            "REDIS_URL",
            "is set, but the processes of a fleet share a Postgres: write a postgres:// DATABASE_URL, or \
             leave REDIS_URL out.",
        );
    }
    let bus = if urls.is_empty() { BusConfig::InProcess } else { BusConfig::Redis { urls } };
    (database, bus)
}

fn read_database(r: &mut Reader<'_>, role: Role, data_dir: &Path) -> DatabaseConfig {
    let missing = r.text("DATABASE_URL").is_none();
    let database = r.parsed("DATABASE_URL", services::parse_database);
    if role.is_fleet() && (missing || matches!(database, Some(DatabaseConfig::Sqlite { .. }))) {
        let what = if missing { "is missing" } else { "is an SQLite file" };
        r.problem(
            "DATABASE_URL",
            format!("{what}: a fleet shares a Postgres; write postgres://user:password@host:5432/database."),
        );
    }
    database.unwrap_or_else(|| services::sqlite_default(data_dir))
}

fn read_signing(
    r: &mut Reader<'_>,
    environment: Environment,
    shared: bool,
    data_dir: &Path,
    warnings: &mut Vec<String>,
) -> SigningSource {
    let advice = "write at least 32 random bytes, such as the output of `openssl rand -base64 32`";
    let production = environment == Environment::Production;
    let Some(secret) = r.text("JWT_SECRET") else {
        if production {
            r.problem("JWT_SECRET", format!("is missing: with ENV=production {advice}."));
        } else if shared {
            r.problem("JWT_SECRET", format!("is missing: all processes of a fleet share it; {advice}."));
        }
        return SigningSource::KeyFile(data_dir.join("key"));
    };
    match secrets::weakness(secret) {
        Some(weakness) if production => {
            r.problem("JWT_SECRET", format!("is weak: it {weakness}; {advice}."));
        }
        Some(weakness) => {
            warnings.push(format!("JWT_SECRET is weak (it {weakness}); ENV=production would refuse it."));
        }
        None => {}
    }
    SigningSource::Secret(secret.into())
}

fn read_tokens(r: &mut Reader<'_>) -> TokenConfig {
    let second = Duration::from_secs(1);
    let tokens = TokenConfig {
        access: r.duration("JWT_EXPIRY", second..=30 * DAY),
        leeway: r.duration("JWT_LEEWAY", Duration::ZERO..=streamz_auth::access::LEEWAY_MAX),
        refresh: r.duration("REFRESH_EXPIRY", second..=400 * DAY),
    };
    r.require(["REFRESH_EXPIRY", "JWT_EXPIRY"], tokens.refresh >= tokens.access, || {
        format!(
            "is {}, less than JWT_EXPIRY ({}): write at least as much.",
            DurationText(tokens.refresh),
            DurationText(tokens.access)
        )
    });
    tokens
}

fn read_origins(r: &mut Reader<'_>, environment: Environment, warnings: &mut Vec<String>) -> AllowedOrigins {
    let production = environment == Environment::Production;
    let Some(text) = r.text("ALLOWED_ORIGINS") else {
        return AllowedOrigins::Only { listed: Vec::new(), localhost: !production };
    };
    if text.split(',').any(|entry| entry.trim() == "*") {
        if production {
            r.problem(
                "ALLOWED_ORIGINS",
                "allows every page (*): with ENV=production write the origins of your pages, such as \
                 https://app.example.org.",
            );
        } else if text == "*" {
            warnings
                .push("ALLOWED_ORIGINS allows every page (*); ENV=production would refuse it.".to_owned());
        } else {
            r.problem("ALLOWED_ORIGINS", "has * among others: write * alone, or only the others.");
        }
        return AllowedOrigins::Any;
    }
    AllowedOrigins::Only { listed: r.list("ALLOWED_ORIGINS", Origin::parse), localhost: false }
}

fn read_ice(r: &mut Reader<'_>) -> IceServers {
    let urls = r.list("TURN_URLS", |text| IceUrl::parse(text).map_err(|error| error.problem));
    let secret = r.text("TURN_SECRET").map(SecretString::from);
    let ttl = r.duration("TURN_TTL", MINUTE..=7 * DAY);
    IceServers::new(urls, secret, ttl).unwrap_or_else(|_| {
        r.problem(
            "TURN_SECRET",
            "is missing: TURN_URLS names a turn: server; write the secret that the server has \
             (coturn's static-auth-secret).",
        );
        IceServers::default()
    })
}

fn read_telemetry(r: &mut Reader<'_>, environment: Environment) -> TelemetryConfig {
    let filter = r.parsed("RUST_LOG", |text| {
        LogFilter::parse(text).map_err(|_| "write levels, such as info or info,streamz_gateway=debug")
    });
    TelemetryConfig {
        filter: filter.unwrap_or_default(),
        json: environment == Environment::Production,
        otlp_endpoint: r.parsed("OTEL_EXPORTER_OTLP_ENDPOINT", services::parse_collector),
    }
}

fn read_limits(r: &mut Reader<'_>) -> Limits {
    let fixed = Limits::default();
    let unsettled = r.count("UNSETTLED_MESSAGES", 1..=65_536);
    let limits = Limits {
        frame_bytes: r.size("MAX_FRAME_BYTES", KIB..=MIB),
        outbound_bytes: r.size("OUTBOUND_QUEUE_BYTES", KIB..=64 * MIB),
        heartbeat: r.duration("HEARTBEAT_INTERVAL", TENTH..=5 * MINUTE),
        missed_heartbeats: r.number("HEARTBEATS_MISSED", 1..=10),
        devices_online: r.count("DEVICES_PER_USER", 1..=10_000),
        devices_registered: r.count("REGISTERED_DEVICES_PER_USER", 1..=10_000),
        resume_window: r.duration("RESUME_WINDOW", TENTH..=HOUR),
        offline_grace: r.duration("OFFLINE_GRACE", Duration::ZERO..=HOUR),
        ring: r.duration("RING_TIMEOUT", TENTH..=10 * MINUTE),
        delivery: r.duration("DELIVERY_TIMEOUT", TENTH..=10 * MINUTE),
        window_frames: r.count("REPLAY_WINDOW_FRAMES", 1..=65_536),
        window_bytes: r.size("REPLAY_WINDOW_BYTES", KIB..=64 * MIB),
        unsettled,
        unsettled_bytes: r.size("UNSETTLED_BYTES", KIB..=64 * MIB),
        // An outcome is remembered at least for every message that may wait for one.
        remembered_outcomes: fixed.remembered_outcomes.max(unsettled),
        ..fixed
    };
    let frame = SizeText(limits.frame_bytes);
    for (name, bytes) in [
        ("OUTBOUND_QUEUE_BYTES", limits.outbound_bytes),
        ("REPLAY_WINDOW_BYTES", limits.window_bytes),
        ("UNSETTLED_BYTES", limits.unsettled_bytes),
    ] {
        r.require([name, "MAX_FRAME_BYTES"], bytes >= limits.frame_bytes, || {
            format!(
                "is {}: one frame of MAX_FRAME_BYTES ({frame}) must fit; write at least that.",
                SizeText(bytes)
            )
        });
    }
    r.require(["OUTBOUND_QUEUE_BYTES", "REPLAY_WINDOW_BYTES"], limits.outbound_bytes >= limits.window_bytes, || {
        let window = SizeText(limits.window_bytes);
        format!("is less than REPLAY_WINDOW_BYTES ({window}): a returning device is sent all of it at once; write at least that.")
    });
    r.require(["OFFLINE_GRACE", "RESUME_WINDOW"], limits.offline_grace <= limits.resume_window, || {
        let window = DurationText(limits.resume_window);
        format!("is more than RESUME_WINDOW ({window}): a device is not shown online without a session; write at most that.")
    });
    r.require(
        ["DEVICES_PER_USER", "REGISTERED_DEVICES_PER_USER"],
        limits.devices_online <= limits.devices_registered,
        || {
            let most = limits.devices_registered;
            format!("is more than REGISTERED_DEVICES_PER_USER ({most}): write at most that.")
        },
    );
    limits
}

fn read_message_rate(r: &mut Reader<'_>) -> MessageRate {
    let rate = MessageRate {
        per_second: read_nonzero(r, "MESSAGES_PER_SECOND", 100_000),
        burst: read_nonzero(r, "MESSAGE_BURST", 1_000_000),
    };
    r.require(["MESSAGE_BURST", "MESSAGES_PER_SECOND"], rate.burst >= rate.per_second, || {
        format!("is less than MESSAGES_PER_SECOND ({}): write at least that.", rate.per_second)
    });
    rate
}

fn read_passwords(r: &mut Reader<'_>) -> PoolSize {
    let workers = |text: &str| match text.parse::<NonZeroUsize>() {
        Ok(number) if number.get() <= 256 => Ok(number),
        _ => Err("write a whole number from 1 to 256"),
    };
    let workers = r.parsed("PASSWORD_WORKERS", workers).unwrap_or(PoolSize::default().workers);
    PoolSize { workers, waiting: r.count("PASSWORD_QUEUE", 1..=10_000) }
}

fn read_nonzero(r: &mut Reader<'_>, name: &'static str, most: u32) -> NonZeroU32 {
    NonZeroU32::new(r.number(name, 1..=most)).unwrap_or(NonZeroU32::MIN)
}
