//! One function for each part of the configuration.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use streamz_auth::{IceServers, IceUrl, PoolSize};
use streamz_protocol::Limits;

use super::network::{self, AllowedOrigins, Origin, TrustedProxies};
use super::otlp::read_otlp;
use super::reader::{DurationText, Reader, SizeText};
use super::secrets;
use super::services::{self, BusConfig, DatabaseConfig};
use super::{Environment, HttpLimits, MessageRate, Retention, Role, TokenConfig};
use crate::telemetry::{LogFilter, TelemetryConfig};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);
pub(super) const YEARS_10: Duration = Duration::from_secs(3650 * 86_400);
pub(super) const TENTH: Duration = Duration::from_millis(100);
pub(super) const KIB: usize = 1024;
pub(super) const MIB: usize = 1024 * 1024;

pub(super) fn read_environment(r: &mut Reader<'_>) -> Environment {
    r.parsed("ENV", |text| match text.to_ascii_lowercase().as_str() {
        "development" | "dev" => Ok(Environment::Development),
        "production" | "prod" => Ok(Environment::Production),
        _ => Err("write development or production"),
    })
    // An unknown one is reported; what only production asks for is not guessed.
    .unwrap_or(Environment::Development)
}

pub(super) fn read_listeners(r: &mut Reader<'_>, role: Role) -> (SocketAddr, Option<SocketAddr>) {
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

pub(super) fn read_services(r: &mut Reader<'_>, role: Role, data_dir: &Path) -> (DatabaseConfig, BusConfig) {
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

pub(super) fn read_database(r: &mut Reader<'_>, role: Role, data_dir: &Path) -> DatabaseConfig {
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

/// A weak secret is a problem in production, and worth a word in development.
pub(super) fn judge(
    r: &mut Reader<'_>,
    environment: Environment,
    warnings: &mut Vec<String>,
    (name, secret): (&'static str, &str),
    least: usize,
    advice: &str,
) {
    let Some(weakness) = secrets::weakness(secret, least) else { return };
    if environment == Environment::Production {
        r.problem(name, format!("is weak: it {weakness}; {advice}."));
    } else {
        warnings.push(format!("{name} is weak (it {weakness}); ENV=production would refuse it."));
    }
}

pub(super) fn read_tokens(r: &mut Reader<'_>) -> TokenConfig {
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

pub(super) fn read_origins(
    r: &mut Reader<'_>,
    environment: Environment,
    warnings: &mut Vec<String>,
) -> AllowedOrigins {
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

pub(super) fn read_ice(
    r: &mut Reader<'_>,
    environment: Environment,
    warnings: &mut Vec<String>,
) -> IceServers {
    let urls = r.list("TURN_URLS", |text| IceUrl::parse(text).map_err(|error| error.problem));
    let secret = r.text("TURN_SECRET");
    if let Some(secret) = secret {
        let advice =
            "give it and your TURN servers 32 random bytes, such as the output of `openssl rand -base64 32`";
        judge(r, environment, warnings, ("TURN_SECRET", secret), secrets::TURN_MIN_BYTES, advice);
    }
    let secret = secret.map(SecretString::from);
    let ttl = r.duration("TURN_TTL", SECOND..=7 * DAY);
    IceServers::new(urls, secret, ttl).unwrap_or_else(|_| {
        r.problem(
            "TURN_SECRET",
            "is missing: TURN_URLS names a turn: server; write the secret that the server has \
             (coturn's static-auth-secret).",
        );
        IceServers::default()
    })
}

pub(super) fn read_telemetry(
    r: &mut Reader<'_>,
    environment: Environment,
    role: Role,
    listen: SocketAddr,
) -> TelemetryConfig {
    let filter = r.parsed("RUST_LOG", LogFilter::parse);
    TelemetryConfig {
        filter: filter.unwrap_or_default(),
        json: environment == Environment::Production,
        otlp: read_otlp(r, role, listen),
    }
}

pub(super) fn read_limits(r: &mut Reader<'_>) -> Limits {
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

pub(super) fn read_message_rate(r: &mut Reader<'_>) -> MessageRate {
    let rate = MessageRate {
        per_second: read_nonzero(r, "MESSAGES_PER_SECOND", 100_000),
        burst: read_nonzero(r, "MESSAGE_BURST", 1_000_000),
    };
    r.require(["MESSAGE_BURST", "MESSAGES_PER_SECOND"], rate.burst >= rate.per_second, || {
        format!("is less than MESSAGES_PER_SECOND ({}): write at least that.", rate.per_second)
    });
    rate
}

pub(super) fn read_passwords(r: &mut Reader<'_>) -> PoolSize {
    let workers = |text: &str| match text.parse::<NonZeroUsize>() {
        Ok(number) if number.get() <= 256 => Ok(number),
        _ => Err("write a whole number from 1 to 256"),
    };
    let workers = r.parsed("PASSWORD_WORKERS", workers).unwrap_or(PoolSize::default().workers);
    PoolSize { workers, waiting: r.count("PASSWORD_QUEUE", 1..=10_000) }
}

pub(super) fn read_nonzero(r: &mut Reader<'_>, name: &'static str, most: u32) -> NonZeroU32 {
    NonZeroU32::new(r.number(name, 1..=most)).unwrap_or(NonZeroU32::MIN)
}

pub(super) fn read_proxies(
    r: &mut Reader<'_>,
    environment: Environment,
    warnings: &mut Vec<String>,
) -> TrustedProxies {
    let networks = r.list("TRUSTED_PROXIES", network::parse_network);
    // Then every client is a proxy, whose word on its own address is believed.
    if let Some(all) = networks.iter().find(|network| network.prefix_len() == 0) {
        if environment == Environment::Production {
            r.problem(
                "TRUSTED_PROXIES",
                format!(
                    "trusts everybody ({all}), so that any client may claim any address: with ENV=production write \
                     the networks of your proxies, such as 10.0.0.0/8."
                ),
            );
        } else {
            warnings
                .push(format!("TRUSTED_PROXIES trusts everybody ({all}); ENV=production would refuse it."));
        }
    }
    TrustedProxies(networks)
}

pub(super) fn read_http(r: &mut Reader<'_>) -> HttpLimits {
    HttpLimits {
        body_bytes: r.size("MAX_BODY_BYTES", KIB..=16 * MIB),
        header_timeout: r.duration("HEADER_TIMEOUT", TENTH..=5 * MINUTE),
        body_timeout: r.duration("BODY_TIMEOUT", TENTH..=5 * MINUTE),
        connections: NonZeroUsize::new(r.count("MAX_CONNECTIONS", 1..=10_000_000))
            .unwrap_or(NonZeroUsize::MIN),
        connections_per_second: read_nonzero(r, "CONNECTIONS_PER_SECOND", 1_000_000),
        requests: read_nonzero(r, "MAX_REQUESTS", 1_000_000),
        requests_per_address: read_nonzero(r, "REQUESTS_PER_ADDRESS", 1_000_000),
        memory: r
            .text("MEMORY_LIMIT")
            .is_some()
            .then(|| r.size("MEMORY_LIMIT", MIB..=1024 * 1024 * MIB) as u64),
        audit_addresses: r
            .parsed("AUDIT_ADDRESSES", |text| text.parse::<bool>().map_err(|_| "write true or false"))
            .unwrap_or_default(),
        logins_per_minute: read_nonzero(r, "LOGINS_PER_MINUTE", 10_000),
    }
}

pub(super) fn read_retention(r: &mut Reader<'_>) -> Retention {
    Retention {
        streams: r.duration("STREAM_RETENTION", MINUTE..=YEARS_10),
        tokens: r.duration("TOKEN_RETENTION", MINUTE..=YEARS_10),
    }
}
