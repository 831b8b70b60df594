//! Every variable: its name, its flag, its default and what it means, in one table.

use secrecy::{ExposeSecret, SecretString};

/// A variable's default: a value that is read like any other, or a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preset {
    Value(&'static str),
    Rule(&'static str),
}

impl Preset {
    const fn text(self) -> &'static str {
        match self {
            Self::Value(text) | Self::Rule(text) => text,
        }
    }
}

/// One line of the configuration's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VariableDoc {
    /// The variable, such as `MAX_FRAME_BYTES`. Its flag is the same in lower case: `--max-frame-bytes`.
    pub name: &'static str,
    /// Its default, in words if it is not one value.
    pub default: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// Whether its value is kept out of messages and logs.
    pub secret: bool,
}

pub(super) struct Variable {
    pub(super) doc: VariableDoc,
    pub(super) default: Preset,
}

macro_rules! variables {
    ($($field:ident $name:literal $kind:ident($default:literal) $visibility:ident $meaning:literal;)*) => {
        /// The configuration as it was written: flags and variables, not yet understood.
        ///
        /// Made for `#[command(flatten)]`. Every flag is its variable in lower case (`--max-frame-bytes`,
        /// `MAX_FRAME_BYTES`) and wins over it. Nothing is checked by clap, so that
        /// [`Config::load`](super::Config::load) can report every problem at once. `Debug` shows no value.
        #[derive(Clone, Debug, Default, clap::Args)]
        #[command(next_help_heading = "Configuration")]
        pub struct ConfigArgs {
            $(
                #[doc = concat!("The text of `", $name, "`; [`reference()`] says what it means.")]
                #[arg(
                    long, env = $name, value_name = "VALUE", hide_env_values = true,
                    help = concat!($meaning, " [default: ", $default, "]"),
                )]
                pub $field: Option<SecretString>,
            )*
        }

        pub(super) const VARIABLES: &[Variable] = &[$(Variable {
            doc: VariableDoc {
                name: $name,
                default: Preset::$kind($default).text(),
                meaning: $meaning,
                secret: variables!(@secret $visibility),
            },
            default: Preset::$kind($default),
        },)*];

        impl ConfigArgs {
            fn slot(&mut self, name: &str) -> Option<&mut Option<SecretString>> {
                match name {
                    $($name => Some(&mut self.$field),)*
                    _ => None,
                }
            }

            fn value(&self, name: &str) -> Option<&SecretString> {
                match name {
                    $($name => self.$field.as_ref(),)*
                    _ => None,
                }
            }
        }
    };
    (@secret shown) => { false };
    (@secret secret) => { true };
}

variables! {
    env "ENV" Value("development") shown
        "development or production; production refuses weak secrets, wildcard origins and proxies, and logs JSON";
    host "HOST" Rule("127.0.0.1; 0.0.0.0 in the fleet roles") shown
        "Address to listen on";
    port "PORT" Value("8080") shown
        "Port to listen on; 0 takes a free one";
    admin_port "ADMIN_PORT" Rule("none: they are served on PORT") shown
        "Port of its own for /metrics, /health and /ready";
    tls_cert "TLS_CERT" Rule("none: plain http") shown
        "File of the certificate and its issuers, in PEM, with which PORT speaks https; read again when it changes";
    tls_key "TLS_KEY" Rule("none; required with TLS_CERT") shown
        "File of the certificate's key, in PEM";
    tls_self_signed "TLS_SELF_SIGNED" Value("false") shown
        "true: https with a certificate for this machine, made in DATA_DIR; browsers warn of it";
    data_dir "DATA_DIR" Value("./data") shown
        "Folder of the embedded database and of the generated key";
    database_url "DATABASE_URL" Rule("embedded: streamz.db in DATA_DIR; required in the fleet roles") secret
        "postgres://user:password@host/database, with ?sslmode= if wanted; embedded also sqlite:path";
    database_pool "DATABASE_POOL" Value("25") shown
        "Database connections of one process";
    redis_url "REDIS_URL" Rule("embedded: none; required in the fleet roles") secret
        "Comma list of independent Redis instances, redis:// or rediss://; one is enough, two survive a failure";
    jwt_secret "JWT_SECRET" Rule("development, embedded: a key generated in DATA_DIR; else required, or JWT_KEYS_DIR") secret
        "Secret that signs access tokens, the same in the whole fleet; at least 32 bytes in production";
    jwt_keys_dir "JWT_KEYS_DIR" Rule("none: the secret signs") shown
        "Folder of key files for access tokens, KID.pem each: Ed25519, P-256 or RSA; read again when they change";
    jwt_signing_key "JWT_SIGNING_KEY" Rule("none: the secret signs, the key files verify") shown
        "Name (without .pem) of the private key in JWT_KEYS_DIR that signs; the others, and the secret if there is one, verify";
    bus_secret "BUS_SECRET" Rule("JWT_SECRET") secret
        "Secret by which the processes of a fleet know each other, the same in all; at least 32 bytes in production";
    jwt_expiry "JWT_EXPIRY" Value("15m") shown
        "Life of an access token";
    jwt_leeway "JWT_LEEWAY" Value("0s") shown
        "How far the clocks of a fleet may disagree when an access token expires";
    refresh_expiry "REFRESH_EXPIRY" Value("30d") shown
        "Life of a refresh token";
    allowed_origins "ALLOWED_ORIGINS" Rule("the same origin; in development localhost too") shown
        "Comma list of origins whose pages may use the API, such as https://app.example.org; * for all";
    trusted_proxies "TRUSTED_PROXIES" Rule("none") shown
        "Comma list of networks whose X-Forwarded-For is believed, such as 10.0.0.0/8";
    turn_urls "TURN_URLS" Rule("none") shown
        "Comma list of STUN and TURN servers for the devices, such as turn:turn.example.org:3478?transport=udp";
    turn_secret "TURN_SECRET" Rule("embedded server: made at each start; required with a turn: URL") secret
        "Secret shared with the TURN servers (coturn's static-auth-secret); at least 16 bytes in production";
    turn_ttl "TURN_TTL" Value("12h") shown
        "Life of TURN credentials; some servers end a relayed stream that outlives them";
    turn_port "TURN_PORT" Rule("embedded: 3478, unless TURN_URLS has a turn: URL; else off") shown
        "UDP port of the TURN server in this process (role `streamz` only); 0 takes a free one; off: none";
    turn_host "TURN_HOST" Rule("HOST") shown
        "Address on which that TURN server listens, and relays";
    turn_public_ip "TURN_PUBLIC_IP" Rule("the host by which a device reached the API") shown
        "Address that devices are told, if the server is behind a NAT";
    turn_relay_ports "TURN_RELAY_PORTS" Value("49152-65535") shown
        "UDP ports of relayed streams, one each";
    turn_allocations_per_user "TURN_ALLOCATIONS_PER_USER" Value("32") shown
        "Relayed ports that one user may have at the same time";
    turn_bandwidth "TURN_BANDWIDTH" Value("8MiB") shown
        "Bytes that may be relayed for one user in a second, both ways together; what is over is dropped";
    turn_allow_private "TURN_ALLOW_PRIVATE" Value("false") shown
        "true: relay into private networks and to this machine, too; for tests, or a network of your own";
    rust_log "RUST_LOG" Value("info") shown
        "What is logged, such as info,streamz_gateway=debug; never passwords, tokens or signaling";
    otel_exporter_otlp_endpoint "OTEL_EXPORTER_OTLP_ENDPOINT" Rule("none: nothing is sent") shown
        "Where traces and metrics are sent by OTLP, such as http://collector:4317";
    otel_exporter_otlp_traces_endpoint "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" Rule("as above") shown
        "Where traces are sent, if that is elsewhere; the whole address";
    otel_exporter_otlp_metrics_endpoint "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT" Rule("as above") shown
        "Where metrics are sent, if that is elsewhere; the whole address";
    otel_exporter_otlp_protocol "OTEL_EXPORTER_OTLP_PROTOCOL" Rule("grpc; to port 4318 http/protobuf") shown
        "How they are sent: grpc or http/protobuf";
    otel_exporter_otlp_headers "OTEL_EXPORTER_OTLP_HEADERS" Rule("none") secret
        "Comma list of key=value that is sent along, such as api-key=…";
    otel_exporter_otlp_timeout "OTEL_EXPORTER_OTLP_TIMEOUT" Value("10000") shown
        "How long the collector may take for one batch, in milliseconds";
    otel_traces_exporter "OTEL_TRACES_EXPORTER" Value("otlp") shown
        "none: no traces";
    otel_metrics_exporter "OTEL_METRICS_EXPORTER" Value("otlp") shown
        "none: no metrics by OTLP; /metrics stays";
    otel_traces_sampler "OTEL_TRACES_SAMPLER" Value("parentbased_always_on") shown
        "Which traces are recorded: always_on, always_off or traceidratio, alone or after parentbased_";
    otel_traces_sampler_arg "OTEL_TRACES_SAMPLER_ARG" Value("1") shown
        "The share of traces for traceidratio, from 0 to 1";
    otel_service_name "OTEL_SERVICE_NAME" Rule("streamz, streamz-gateway, streamz-node") shown
        "What the process is called in traces and metrics";
    otel_resource_attributes "OTEL_RESOURCE_ATTRIBUTES" Rule("none") shown
        "Comma list of key=value that is said of the process, such as deployment.environment.name=staging";
    otel_metric_export_interval "OTEL_METRIC_EXPORT_INTERVAL" Value("60000") shown
        "Time between two metrics exports, in milliseconds";
    otel_bsp_max_queue_size "OTEL_BSP_MAX_QUEUE_SIZE" Value("2048") shown
        "Spans that may wait to be sent; more are dropped and counted";
    otel_sdk_disabled "OTEL_SDK_DISABLED" Value("false") shown
        "true: nothing is sent, whatever else is set";
    max_frame_bytes "MAX_FRAME_BYTES" Value("64KiB") shown
        "Largest WebSocket frame that a device may send";
    messages_per_second "MESSAGES_PER_SECOND" Value("50") shown
        "Messages per second that a device may send";
    message_burst "MESSAGE_BURST" Value("200") shown
        "Messages that a device may send at once after a pause";
    outbound_queue_bytes "OUTBOUND_QUEUE_BYTES" Value("512KiB") shown
        "What may wait for a device's socket before it is closed as too slow (4002)";
    heartbeat_interval "HEARTBEAT_INTERVAL" Value("25s") shown
        "Time between two pings of the server";
    heartbeats_missed "HEARTBEATS_MISSED" Value("2") shown
        "Pings that may go unanswered before a socket is closed (4003)";
    devices_per_user "DEVICES_PER_USER" Value("32") shown
        "Devices of one user that may be online at the same time";
    registered_devices_per_user "REGISTERED_DEVICES_PER_USER" Value("128") shown
        "Devices that one user may register";
    resume_window "RESUME_WINDOW" Value("60s") shown
        "How long a session waits for a device that lost its socket";
    offline_grace "OFFLINE_GRACE" Value("10s") shown
        "How long a device that lost its socket is still shown online";
    ring_timeout "RING_TIMEOUT" Value("30s") shown
        "How long a stream rings without an answer";
    delivery_timeout "DELIVERY_TIMEOUT" Value("30s") shown
        "How long a message may be without an outcome";
    replay_window_frames "REPLAY_WINDOW_FRAMES" Value("256") shown
        "Unacknowledged frames that a session keeps for a device's return";
    replay_window_bytes "REPLAY_WINDOW_BYTES" Value("256KiB") shown
        "The same in bytes";
    unsettled_messages "UNSETTLED_MESSAGES" Value("256") shown
        "Messages of one session that may be without an outcome";
    unsettled_bytes "UNSETTLED_BYTES" Value("512KiB") shown
        "The same in bytes";
    hub_idle "HUB_IDLE" Value("5s") shown
        "How long a user's hub is quiet before it is put away in its compact form";
    user_check_interval "USER_CHECK_INTERVAL" Value("5m") shown
        "How often it is checked that the accounts of connected devices still exist";
    max_body_bytes "MAX_BODY_BYTES" Value("64KiB") shown
        "Largest body of an HTTP request";
    header_timeout "HEADER_TIMEOUT" Value("10s") shown
        "How long a client may take to send a request's headers";
    body_timeout "BODY_TIMEOUT" Value("10s") shown
        "How long a client may take to send a request's body";
    max_connections "MAX_CONNECTIONS" Value("1000000") shown
        "Connections that a process takes at the same time; the system's limit on open files may come first";
    connections_per_second "CONNECTIONS_PER_SECOND" Value("5000") shown
        "New connections that a process takes in a second, and at once after a pause";
    max_requests "MAX_REQUESTS" Value("1024") shown
        "HTTP requests that a process answers at the same time";
    requests_per_address "REQUESTS_PER_ADDRESS" Value("256") shown
        "The same, for one client address (IPv6: for its /64)";
    memory_limit "MEMORY_LIMIT" Rule("that of the control group, if it has one") shown
        "Memory of a process; beyond 90 % of it new connections are turned away";
    audit_addresses "AUDIT_ADDRESSES" Value("false") shown
        "true: the audit log names clients' addresses, which are personal data";
    logins_per_minute "LOGINS_PER_MINUTE" Value("5") shown
        "Sign-ins that may fail per minute, for an account and for an address";
    password_workers "PASSWORD_WORKERS" Rule("half of the cores, at least 1") shown
        "Passwords that are checked at the same time";
    password_queue "PASSWORD_QUEUE" Value("64") shown
        "Passwords that wait to be checked; more are refused for a moment";
    stream_retention "STREAM_RETENTION" Value("90d") shown
        "How long the records of ended streams are kept";
    token_retention "TOKEN_RETENTION" Value("30d") shown
        "How long spent refresh tokens are kept, to recognise their reuse";
    drain_timeout "DRAIN_TIMEOUT" Value("30s") shown
        "How long a process that was told to end may take to do it in order";
}

impl ConfigArgs {
    /// The arguments as if these variables were set and no others; for tests and for embedding.
    ///
    /// # Errors
    /// The first name that is not a variable of Streamz.
    pub fn from_vars<'a>(
        vars: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, UnknownVariable> {
        let mut args = Self::default();
        for (name, value) in vars {
            *args.slot(name).ok_or_else(|| UnknownVariable(name.to_owned()))? = Some(value.into());
        }
        Ok(args)
    }

    /// Takes `value` for `name` unless there is one; does nothing for a name that is not ours.
    pub(super) fn fill(&mut self, name: &str, value: String) {
        if let Some(slot @ None) = self.slot(name) {
            *slot = Some(value.into());
        }
    }

    /// What was written for `name`, without the blanks around it. An empty value is none: that is what
    /// `PORT=` in a compose file means.
    pub(super) fn written(&self, name: &str) -> Option<&str> {
        let text = self.value(name)?.expose_secret().trim();
        (!text.is_empty()).then_some(text)
    }
}

/// A name that is not a variable of Streamz.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a variable of Streamz")]
pub struct UnknownVariable(pub String);

/// Every variable, in the order of the documentation.
#[must_use]
pub fn reference() -> Vec<VariableDoc> {
    VARIABLES.iter().map(|variable| variable.doc).collect()
}
