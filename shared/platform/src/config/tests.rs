use std::net::Ipv6Addr;

use secrecy::ExposeSecret;

use super::sections::DAY;
use super::*;

mod production;
mod signing;

const STRONG: &str = "pUoDkU5Lk0T4mK1o9yZ4b0d3Q1jYw6Xn8vR2sT7uVwE=";
const POSTGRES: &str = "postgres://ann:pass%20word@db.example:5432/streamz?sslmode=require";

fn read(role: Role, vars: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    Config::from_args(role, &ConfigArgs::from_vars(vars.iter().copied()).unwrap())
}

fn good(vars: &[(&str, &str)]) -> Config {
    read(Role::Embedded, vars).unwrap()
}

/// The one problem that these variables have.
#[track_caller]
fn problem(role: Role, vars: &[(&str, &str)]) -> Problem {
    let errors = read(role, vars).expect_err("this is to be refused");
    assert_eq!(errors.0.len(), 1, "{vars:?}: {errors}");
    errors.0.into_iter().next().unwrap()
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let config = good(&[]);
    assert_eq!(config.environment, Environment::Development);
    assert_eq!(config.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.admin, None);
    assert!(
        matches!(&config.database, DatabaseConfig::Sqlite { path } if path == Path::new("./data/streamz.db"))
    );
    assert!(matches!(config.bus, BusConfig::InProcess));
    assert!(matches!(&config.signing, SigningSource::KeyFile(path) if path == Path::new("./data/key")));
    assert_eq!(config.limits, Limits::default());
    assert_eq!((config.message_rate.per_second.get(), config.message_rate.burst.get()), (50, 200));
    assert_eq!(config.http.body_bytes, 64 * 1024);
    assert_eq!(config.http.header_timeout, Duration::from_secs(10));
    assert_eq!(config.http.body_timeout, Duration::from_secs(10));
    assert_eq!(config.http.connections.get(), 1_000_000);
    assert_eq!(config.http.connections_per_second.get(), 5000);
    assert_eq!((config.http.requests.get(), config.http.requests_per_address.get()), (1024, 256));
    assert_eq!((config.http.memory, config.http.audit_addresses), (None, false));
    assert_eq!(config.http.logins_per_minute.get(), 5);
    assert_eq!(config.tokens.access, Duration::from_secs(900));
    assert_eq!(config.tokens.leeway, Duration::ZERO);
    assert_eq!(config.tokens.refresh, 30 * DAY);
    assert_eq!(config.database_pool.get(), 25);
    assert_eq!(config.passwords, PoolSize::default());
    assert_eq!(config.hub_idle, Duration::from_secs(5));
    assert_eq!(config.retention, Retention { streams: 90 * DAY, tokens: 30 * DAY });
    assert_eq!(config.drain_timeout, Duration::from_secs(30));
    assert_eq!(config.warnings, [""; 0]);
    assert!(config.ice.at("ann", None, chrono::Utc::now()).is_empty());
    assert!(!config.telemetry.json);
}

#[test]
fn the_fleet_listens_everywhere_and_needs_what_it_shares() {
    let vars =
        [("DATABASE_URL", POSTGRES), ("REDIS_URL", "redis://r1:6379,rediss://r2"), ("JWT_SECRET", STRONG)];
    for role in [Role::Gateway, Role::Node] {
        let config = read(role, &vars).unwrap();
        assert_eq!(config.listen, "0.0.0.0:8080".parse().unwrap());
        assert!(
            matches!(&config.database, DatabaseConfig::Postgres { url } if url.expose_secret() == POSTGRES)
        );
        assert!(matches!(&config.bus, BusConfig::Redis { urls } if urls.len() == 2));
        let missing: Vec<_> = read(role, &[]).unwrap_err().0.iter().map(|problem| problem.variable).collect();
        assert_eq!(missing, ["DATABASE_URL", "REDIS_URL", "JWT_SECRET"]);
    }
    let sqlite = problem(Role::Node, &[("DATABASE_URL", "sqlite:x.db"), vars[1], vars[2]]);
    assert_eq!(sqlite.variable, "DATABASE_URL");
}

#[test]
fn an_embedded_process_can_grow_into_a_fleet() {
    let config = good(&[("DATABASE_URL", POSTGRES)]);
    assert!(matches!(config.signing, SigningSource::KeyFile(_)), "one process needs no shared secret");
    let redis = ("REDIS_URL", "redis://r1");
    assert!(good(&[("DATABASE_URL", POSTGRES), redis, ("JWT_SECRET", STRONG)]).bus.is_shared());
    assert_eq!(problem(Role::Embedded, &[redis, ("JWT_SECRET", STRONG)]).variable, "REDIS_URL");
    assert_eq!(problem(Role::Embedded, &[("DATABASE_URL", POSTGRES), redis]).variable, "JWT_SECRET");
}

/// For every variable: what is taken, and what is refused with which advice.
#[test]
fn every_variable_takes_the_good_and_names_the_bad() {
    type Row = (&'static str, &'static [&'static str], &'static [&'static str], &'static str);
    let size: &[&str] = &["", "x", "-1", "1.5KiB", "64GiB", "1023", "99999999999999999999", "KiB"];
    let time: &[&str] = &["", "30", "x", "-1s", "1 fortnight", "99999d"];
    let count: &[&str] = &["", "0", "-1", "1.5", "x", "99999999999"];
    let rows: &[Row] = &[
        ("ENV", &["development", "dev", "DEVELOPMENT"], &["staging", "test"], "development or production"),
        (
            "HOST",
            &["::1", "[::]", "localhost", "10.0.0.1"],
            &["example.org", "1.2.3", "0.0.0.0:80"],
            "IP address",
        ),
        ("PORT", &["0", "1", "65535"], &["65536", "-1", "http", "80a"], "0 to 65535"),
        ("ADMIN_PORT", &["0", "9090"], &["65536", "x"], "0 to 65535"),
        ("TLS_CERT", &[], &[], ""),
        ("TLS_KEY", &[], &[], ""),
        ("TLS_SELF_SIGNED", &["true", "false"], &["yes", "1"], "true or false"),
        ("DATA_DIR", &["/var/lib/streamz", "x y"], &[], ""),
        (
            "DATABASE_URL",
            &[
                "postgres://db/streamz",
                "postgresql://u:p@db:1/x?sslmode=verify-full",
                "postgres:///x?host=/run",
                "sqlite:a.db",
                "sqlite:///a.db",
            ],
            &[
                "mysql://db/x",
                "db.example",
                "postgres://db",
                "postgres://db:port/x",
                "sqlite:",
                "sqlite::memory:",
            ],
            "write ",
        ),
        ("DATABASE_POOL", &["1", "1000"], count, "1 to 1000"),
        (
            "REDIS_URL",
            &["redis://r1", "redis://:p@r1:6379/0,rediss://r2", " redis://r1 , "],
            &["r1:6379", "http://r1", "redis://", "redis://r1,r2"],
            "redis://host:6379",
        ),
        ("JWT_SECRET", &[STRONG, "short"], &[], ""),
        ("BUS_SECRET", &[STRONG, "short"], &[], ""),
        ("JWT_KEYS_DIR", &["/etc/streamz/keys", "keys"], &[], ""),
        ("JWT_SIGNING_KEY", &["2026-11", "a.pem", "A_b.c"], &["a/b", "a b", ".a"], "without .pem"),
        ("JWT_EXPIRY", &["24h", "15m", "1h 30m", "1s", "30d"], time, "with its unit"),
        ("JWT_LEEWAY", &["0s", "5s"], &["6s", "5"], "from 0s to 5s"),
        ("REFRESH_EXPIRY", &["30d", "400d", "15m"], time, "with its unit"),
        (
            "ALLOWED_ORIGINS",
            &["*", "https://a.example, http://b.example:8080", "capacitor://localhost", "http://[::1]:3000"],
            &[
                "app.example",
                "https://",
                "https://a.example/",
                "https://a.example/app",
                "https://*.example",
                "https://a.example,*",
                "https://u@a.example",
                "https://a.example:0",
                "https://ä.example",
                "null",
                "://a",
                "ftp://x",
                "wss://a.example",
                "file://a",
            ],
            "",
        ),
        (
            "TRUSTED_PROXIES",
            &["10.0.0.0/8", "10.1.2.3, fd00::/8", "0.0.0.0/0"],
            &["10.0.0.1/8", "10.0.0.0/33", "proxy", "10.0.0"],
            "such as 10.0.0.0/8",
        ),
        ("TURN_URLS", &["stun:a.example", "stun:a,stuns:b:5349"], &["a.example", "turn://a", "stun:a:x"], ""),
        ("TURN_SECRET", &["north"], &[], ""),
        ("TURN_TTL", &["12h", "1s", "7d"], time, "from 1s to 7d"),
        ("TURN_PORT", &["off", "0", "3478"], &["65536", "-1", "on", "x"], "or off"),
        ("TURN_HOST", &["::", "localhost", "10.0.0.1"], &["example.org", "1.2.3.4:80"], "IP address"),
        (
            "TURN_PUBLIC_IP",
            &["198.51.100.7", "2001:db8::7"],
            &["0.0.0.0", "::", "example.org"],
            "198.51.100.7",
        ),
        (
            "TURN_RELAY_PORTS",
            &["1-65535", "50000 - 50009", "7-7"],
            &["50000", "0-5", "9-8", "1-65536", "a-b", "-"],
            " port",
        ),
        ("TURN_ALLOCATIONS_PER_USER", &["1", "10000"], count, "1 to 10000"),
        ("TURN_BANDWIDTH", &["1KiB", "1024MiB"], &["", "0", "x", "1025MiB"], "1KiB to 1024MiB"),
        ("TURN_ALLOW_PRIVATE", &["true", "false"], &["yes", "1", "TRUE"], "true or false"),
        (
            "RUST_LOG",
            &["debug", "info,streamz=trace"],
            &["streamz=chatty", "a=b=c", "loud", "info,loud", "hyper"],
            "levels",
        ),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            &["http://collector:4317", "http://c.example/v1"],
            &["collector:4317", "grpc://collector", "https://collector", "x"],
            "http://",
        ),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &["http://c:4318/v1/traces"], &["https://c", "x"], "http://"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            &["http://c:4318/v1/metrics"],
            &["https://c", "x"],
            "http://",
        ),
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            &["grpc", "http/protobuf"],
            &["http", "http/json"],
            "grpc or http/protobuf",
        ),
        ("OTEL_EXPORTER_OTLP_HEADERS", &["a=b", "a=b, c=d%20e"], &["a", "=b", "a b=c"], "key=value"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", &["1", "10000"], &["0", "10s"], "1 to 3600000"),
        ("OTEL_TRACES_EXPORTER", &["otlp", "none"], &["zipkin", "console"], "otlp or none"),
        ("OTEL_METRICS_EXPORTER", &["otlp", "none"], &["prometheus"], "otlp or none"),
        ("OTEL_TRACES_SAMPLER", &["always_off", "parentbased_traceidratio"], &["xray"], "always_on"),
        ("OTEL_TRACES_SAMPLER_ARG", &["0", "0.25", "1"], &["-1", "1.1", "NaN", "x"], "from 0 to 1"),
        ("OTEL_SERVICE_NAME", &["mine"], &[], ""),
        ("OTEL_RESOURCE_ATTRIBUTES", &["a=b", "a=b,c.d=e"], &["a", "=b"], "key=value"),
        ("OTEL_METRIC_EXPORT_INTERVAL", &["1000", "60000"], &["0", "60s"], "1 to 3600000"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", &["1", "2048"], count, "1 to 1000000"),
        ("OTEL_SDK_DISABLED", &["true", "false", "anything"], &[], ""),
        ("MAX_FRAME_BYTES", &["1024", "64KiB", "256 kib", "65536"], size, "1KiB to 1MiB"),
        ("MESSAGES_PER_SECOND", &["1", "200"], count, "1 to 100000"),
        ("MESSAGE_BURST", &["50", "1000000"], count, "1 to 1000000"),
        ("OUTBOUND_QUEUE_BYTES", &["256KiB", "64MiB"], size, "1KiB to 64MiB"),
        ("HEARTBEAT_INTERVAL", &["100ms", "25s", "5m"], time, "100ms to 5m"),
        ("HEARTBEATS_MISSED", &["1", "10"], count, "1 to 10"),
        ("DEVICES_PER_USER", &["1", "128"], count, "1 to 10000"),
        ("REGISTERED_DEVICES_PER_USER", &["32", "10000"], count, "1 to 10000"),
        ("RESUME_WINDOW", &["10s", "1h"], time, "100ms to 1h"),
        ("OFFLINE_GRACE", &["0s", "60s"], time, "0s to 1h"),
        ("RING_TIMEOUT", &["100ms", "10m"], time, "100ms to 10m"),
        ("DELIVERY_TIMEOUT", &["100ms", "10m"], time, "100ms to 10m"),
        ("REPLAY_WINDOW_FRAMES", &["1", "65536"], count, "1 to 65536"),
        ("REPLAY_WINDOW_BYTES", &["64KiB", "512KiB"], size, "1KiB to 64MiB"),
        ("UNSETTLED_MESSAGES", &["1", "65536"], count, "1 to 65536"),
        ("UNSETTLED_BYTES", &["64KiB", "64MiB"], size, "1KiB to 64MiB"),
        ("HUB_IDLE", &["100ms", "1h"], time, "100ms to 1h"),
        ("USER_CHECK_INTERVAL", &["100ms", "1d"], time, "100ms to 1d"),
        ("MAX_BODY_BYTES", &["1KiB", "16MiB"], size, "1KiB to 16MiB"),
        ("HEADER_TIMEOUT", &["100ms", "5m"], time, "100ms to 5m"),
        ("BODY_TIMEOUT", &["100ms", "5m"], time, "100ms to 5m"),
        ("MAX_CONNECTIONS", &["1", "10000000"], count, "1 to 10000000"),
        ("CONNECTIONS_PER_SECOND", &["1", "1000000"], count, "1 to 1000000"),
        ("MAX_REQUESTS", &["1", "1000000"], count, "1 to 1000000"),
        ("REQUESTS_PER_ADDRESS", &["1", "1000000"], count, "1 to 1000000"),
        ("MEMORY_LIMIT", &["1MiB", "1073741824"], &["x", "-1", "1023", "KiB", "10GiB"], "1MiB to 1048576MiB"),
        ("AUDIT_ADDRESSES", &["true", "false"], &["yes", "1"], "true or false"),
        ("LOGINS_PER_MINUTE", &["1", "10000"], count, "1 to 10000"),
        ("PASSWORD_WORKERS", &["1", "256"], count, "1 to 256"),
        ("PASSWORD_QUEUE", &["1", "10000"], count, "1 to 10000"),
        ("STREAM_RETENTION", &["1m", "3650d"], time, "1m to 3650d"),
        ("TOKEN_RETENTION", &["1m", "3650d"], time, "1m to 3650d"),
        ("DRAIN_TIMEOUT", &["0s", "10m"], time, "0s to 10m"),
    ];
    for (name, goods, bads, advice) in rows {
        // These ask for company.
        let company: &[_] = match *name {
            "REDIS_URL" => &[("DATABASE_URL", POSTGRES), ("JWT_SECRET", STRONG)],
            "JWT_KEYS_DIR" => &[("JWT_SECRET", STRONG)],
            "JWT_SIGNING_KEY" => &[("JWT_KEYS_DIR", "keys")],
            _ => &[],
        };
        let with = |value| [&[(*name, value)], company].concat();
        for value in *goods {
            if let Err(errors) = read(Role::Embedded, &with(value)) {
                panic!("{name}={value} is to be taken: {errors}");
            }
        }
        // An empty value is no value, and that is fine in the embedded role.
        good(&[(name, "")]);
        good(&[(name, "  ")]);
        for value in bads.iter().filter(|value| !value.is_empty()) {
            let problem = problem(Role::Embedded, &with(value));
            assert_eq!(problem.variable, *name, "{value}");
            assert!(problem.message.contains(advice), "{name}={value}: {problem}");
            assert!(problem.message.ends_with('.'), "a sentence: {problem}");
        }
    }
    let tested: Vec<_> = rows.iter().map(|row| row.0).collect();
    for variable in reference() {
        assert!(tested.contains(&variable.name), "{} has no row here", variable.name);
    }
}

#[test]
fn values_arrive_where_they_belong() {
    let config = good(&[
        ("HOST", "::"),
        ("PORT", "0"),
        ("ADMIN_PORT", "9090"),
        ("DATA_DIR", "/srv/x"),
        ("JWT_EXPIRY", "24h"),
        ("MAX_FRAME_BYTES", "32KiB"),
        ("UNSETTLED_MESSAGES", "1000"),
        ("PASSWORD_WORKERS", "3"),
        ("PASSWORD_QUEUE", "7"),
    ]);
    assert_eq!(config.listen, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)));
    assert_eq!(config.admin, Some(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 9090))));
    assert!(
        matches!(&config.database, DatabaseConfig::Sqlite { path } if path == Path::new("/srv/x/streamz.db"))
    );
    assert_eq!(config.tokens.access, Duration::from_secs(86_400));
    assert_eq!(config.limits.frame_bytes, 32 * 1024);
    assert_eq!((config.limits.unsettled, config.limits.remembered_outcomes), (1000, 1000));
    assert_eq!((config.passwords.workers.get(), config.passwords.waiting), (3, 7));
}

#[test]
fn rules_between_variables_are_kept() {
    for (vars, variable) in [
        (&[("PORT", "9000"), ("ADMIN_PORT", "9000")][..], "ADMIN_PORT"),
        (&[("JWT_EXPIRY", "2h"), ("REFRESH_EXPIRY", "1h")], "REFRESH_EXPIRY"),
        (&[("OFFLINE_GRACE", "61s")], "OFFLINE_GRACE"),
        (&[("MESSAGES_PER_SECOND", "201")], "MESSAGE_BURST"),
        (&[("DEVICES_PER_USER", "129")], "DEVICES_PER_USER"),
        (&[("OUTBOUND_QUEUE_BYTES", "128KiB")], "OUTBOUND_QUEUE_BYTES"),
        (&[("MAX_FRAME_BYTES", "257KiB")], "REPLAY_WINDOW_BYTES"),
        (&[("UNSETTLED_BYTES", "63KiB")], "UNSETTLED_BYTES"),
        (&[("TURN_URLS", "turn:t.example")], "TURN_SECRET"),
        (&[("TLS_CERT", "a.pem")], "TLS_KEY"),
        (&[("TLS_KEY", "a.key")], "TLS_CERT"),
        (&[("TLS_CERT", "a.pem"), ("TLS_KEY", "a.key"), ("TLS_SELF_SIGNED", "true")], "TLS_SELF_SIGNED"),
        (
            &[("DATABASE_URL", POSTGRES), ("JWT_SECRET", STRONG), ("REDIS_URL", "redis://a,redis://a")],
            "REDIS_URL",
        ),
    ] {
        assert_eq!(problem(Role::Embedded, vars).variable, variable, "{vars:?}");
    }
    // Two free ports are not the same port.
    good(&[("PORT", "0"), ("ADMIN_PORT", "0")]);
    good(&[("TURN_URLS", "turn:t.example"), ("TURN_SECRET", "north")]);
    let files = good(&[("TLS_CERT", "a.pem"), ("TLS_KEY", "a.key")]).tls;
    assert_eq!(files, Some(TlsConfig::Files { certificate: "a.pem".into(), key: "a.key".into() }));
    let own = good(&[("TLS_SELF_SIGNED", "true"), ("DATA_DIR", "/srv/x")]).tls;
    assert_eq!(own, Some(TlsConfig::SelfSigned { folder: "/srv/x/tls".into() }));
    assert_eq!(good(&[]).tls, None);
}

#[test]
fn one_process_has_its_own_turn_server_unless_there_is_another() {
    let turn = |vars: &[(&str, &str)]| good(vars).turn.map(|turn| turn.listen.to_string());
    assert_eq!(turn(&[]).as_deref(), Some("127.0.0.1:3478"));
    assert_eq!(turn(&[("HOST", "0.0.0.0")]).as_deref(), Some("0.0.0.0:3478"));
    assert_eq!(turn(&[("TURN_HOST", "::1"), ("TURN_PORT", "0")]).as_deref(), Some("[::1]:0"));
    assert_eq!(turn(&[("TURN_PORT", "off")]), None);
    assert!(turn(&[("TURN_URLS", "stun:s.example")]).is_some());
    let elsewhere = [("TURN_URLS", "stun:s.example, turn:t.example"), ("TURN_SECRET", "north")];
    assert_eq!(turn(&elsewhere), None);
    assert!(turn(&[&elsewhere[..], &[("TURN_PORT", "3478")]].concat()).is_some(), "both, if that is said");
    let fleet = [
        ("DATABASE_URL", POSTGRES),
        ("REDIS_URL", "redis://r1"),
        ("JWT_SECRET", STRONG),
        ("TURN_PORT", "3478"),
    ];
    assert_eq!(read(Role::Gateway, &fleet).unwrap().turn, None, "a fleet has coturn");
    let turn = good(&[("TURN_RELAY_PORTS", "50000-50009"), ("TURN_PUBLIC_IP", "198.51.100.7")]).turn.unwrap();
    assert_eq!((turn.ports, turn.public_ip), (50_000..=50_009, Some("198.51.100.7".parse().unwrap())));
    assert_eq!((turn.allocations_per_user, turn.bandwidth, turn.allow_private), (32, 8 << 20, false));
}

#[test]
fn every_problem_is_reported_at_once() {
    let errors = read(
        Role::Gateway,
        &[
            ("PORT", "eighty"),
            ("JWT_EXPIRY", "900"),
            ("ALLOWED_ORIGINS", "a.example,https://ok.example,b.example"),
            ("OFFLINE_GRACE", "2h"),
            ("DEVICES_PER_USER", "200"),
            ("REDIS_URL", "redis://:s3cret@r1,http://:s3cret@r2"),
        ],
    )
    .unwrap_err();
    let names: Vec<_> = errors.0.iter().map(|problem| problem.variable).collect();
    let wanted = [
        "PORT",
        "DATABASE_URL",
        "REDIS_URL",
        "JWT_SECRET",
        "JWT_EXPIRY",
        "ALLOWED_ORIGINS",
        "ALLOWED_ORIGINS",
        "OFFLINE_GRACE",
        "DEVICES_PER_USER",
    ];
    assert_eq!(names, wanted, "{errors}");
    let text = errors.to_string();
    assert_eq!(text.lines().count(), wanted.len());
    assert!(text.starts_with("PORT is \"eighty\": write a port from 0 to 65535, such as 8080.\n"), "{text}");
    assert!(text.contains("ALLOWED_ORIGINS has entry 3, \"b.example\": it has no scheme;"), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
}

#[test]
fn debug_shows_no_secret() {
    let args = ConfigArgs::from_vars([
        ("DATABASE_URL", "postgres://u:s3cret@db/x"),
        ("REDIS_URL", "redis://:s3cret@r"),
        ("JWT_SECRET", "s3cret"),
        ("JWT_KEYS_DIR", "keys"),
        ("BUS_SECRET", "s3cret"),
        ("TURN_URLS", "turn:t"),
        ("TURN_SECRET", "s3cret"),
    ])
    .unwrap();
    let config = Config::from_args(Role::Embedded, &args).unwrap();
    assert!(!format!("{args:?} {config:?}").contains("s3cret"));
}

#[test]
fn a_secret_s_value_is_in_no_message() {
    for (name, value) in
        [("DATABASE_URL", "mysql://u:s3cret@db/x"), ("DATABASE_URL", "postgres://u:s3cret@d:b/x")]
    {
        let problem = problem(Role::Embedded, &[(name, value)]);
        assert!(!problem.to_string().contains("s3cret"), "{problem}");
    }
}

#[test]
fn a_long_or_strange_value_is_shown_short_and_escaped() {
    let long = "x".repeat(10_000);
    assert!(problem(Role::Embedded, &[("PORT", &long)]).message.len() < 200);
    let strange = problem(Role::Embedded, &[("PORT", "8\u{1b}[31m0")]);
    assert!(!strange.message.contains('\u{1b}'), "{strange}");
}

#[test]
fn the_key_comes_from_the_secret_or_from_the_file() {
    let home = tempfile::tempdir().unwrap();
    let config = good(&[("DATA_DIR", home.path().to_str().unwrap())]);
    config.signing.load().unwrap();
    assert!(home.path().join("key").is_file());
    std::fs::write(home.path().join("key"), "short").unwrap();
    assert!(config.signing.load().unwrap_err().to_string().contains("key"));
    good(&[("JWT_SECRET", STRONG)]).signing.load().unwrap();
}

#[test]
fn every_variable_has_its_flag_its_environment_and_its_line() {
    let command = <ConfigArgs as clap::Args>::augment_args(clap::Command::new("streamz"));
    let reference = reference();
    assert_eq!(command.get_arguments().count(), reference.len());
    for doc in reference {
        let flag = doc.name.to_ascii_lowercase().replace('_', "-");
        let argument = command.get_arguments().find(|argument| argument.get_long() == Some(&flag)).unwrap();
        assert_eq!(argument.get_env().unwrap(), doc.name);
        let help = argument.get_help().unwrap().to_string();
        assert!(help.contains(doc.default) && help.contains(doc.meaning), "{help}");
    }
}

#[test]
fn flags_are_read_and_unknown_names_are_not() {
    use clap::FromArgMatches;
    let command = <ConfigArgs as clap::Args>::augment_args(clap::Command::new("streamz"));
    let matches =
        command.try_get_matches_from(["streamz", "--port", "9", "--max-frame-bytes=32KiB"]).unwrap();
    let args = ConfigArgs::from_arg_matches(&matches).unwrap();
    assert_eq!(args.written("PORT"), Some("9"));
    assert_eq!(args.written("MAX_FRAME_BYTES"), Some("32KiB"));
    assert!(ConfigArgs::from_vars([("PROT", "9")]).is_err());
}
