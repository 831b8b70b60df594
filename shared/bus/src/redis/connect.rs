//! Connecting to one instance, and what can be wrong with it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, ProtocolVersion};
use redis::{RedisError, ServerErrorKind};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::Settings;

/// The first version with the commands that are used here.
const OLDEST: u32 = 6;

/// An instance cannot be used. No sentence holds a password, nor what a server said: that may quote one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Redis at {instance} {problem}")]
pub struct ConnectError {
    /// Host and port.
    pub instance: Arc<str>,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The URL is none of a Redis.
    Url,
    /// Nobody answers, or not in time. May pass.
    Unreachable(String),
    /// It answers with an error that may pass, such as too many clients. The code of the error.
    Refuses(String),
    /// It speaks something else.
    NotRedis,
    /// It wants a password, and the URL has none.
    PasswordMissing,
    /// It wants another name or password.
    PasswordWrong,
    /// Its user may not do what is needed.
    Forbidden,
    /// It is older than 6.0.
    TooOld,
    /// Its certificate is not accepted, or it speaks no TLS.
    Tls(String),
}

impl Problem {
    /// Whether waiting may help.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Refuses(_))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => {
                f.write_str("has no valid URL; write redis://host:6379 or rediss://user:password@host:6379")
            }
            Self::Unreachable(why) => write!(f, "cannot be reached: {why}"),
            Self::Refuses(code) => write!(f, "refuses with the error {code}"),
            Self::NotRedis => f.write_str("is no Redis: it answers in another protocol"),
            Self::PasswordMissing => f.write_str("wants a password; write redis://:password@host:6379"),
            Self::PasswordWrong => f.write_str("does not accept the user and password of its URL"),
            Self::Forbidden => {
                f.write_str("forbids its user PUBLISH or SUBSCRIBE; allow both, and the channels streamz:*")
            }
            Self::TooOld => write!(f, "is too old: version {OLDEST}.0 or a newer one is needed"),
            Self::Tls(why) => write!(f, "has a TLS problem: {why}"),
        }
    }
}

/// A server that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its version, if it says so.
    pub version: Option<String>,
    /// Differs with each start of the server.
    pub(crate) run_id: Option<String>,
    /// When it was started, at the latest; of a server that does not say so, the moment it was asked.
    pub(crate) started: Instant,
}

/// How to connect to one instance.
#[derive(Clone)]
pub(crate) struct Address {
    /// Host and port, for people.
    pub(crate) name: Arc<str>,
    client: Client,
    connect_timeout: Duration,
    response_timeout: Duration,
}

impl Address {
    pub(crate) fn new(
        url: &SecretString,
        position: usize,
        settings: &Settings,
    ) -> Result<Self, ConnectError> {
        let bad =
            || ConnectError { instance: format!("position {}", position + 1).into(), problem: Problem::Url };
        let info = url.expose_secret().into_connection_info().map_err(|_| bad())?;
        let name: Arc<str> = info.addr().to_string().into();
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            // Fails if somebody has installed one before: then that one is used.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let redis =
            info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
        // Envelopes to several processes are under way at a time: none waits until those before it are acknowledged.
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let client = Client::open(info.set_redis_settings(redis).set_tcp_settings(tcp)).map_err(|_| bad())?;
        let (connect_timeout, response_timeout) = (settings.connect_timeout, settings.response_timeout);
        Ok(Self { name, client, connect_timeout, response_timeout })
    }

    /// A connection. `pushes` gets what the server says without being asked, and is dropped when the connection ends.
    pub(crate) async fn connect(
        &self,
        pushes: impl AsyncPushSender,
    ) -> Result<MultiplexedConnection, ConnectError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.response_timeout))
            .set_push_sender(pushes);
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        connecting.await.map_err(|error| self.error(&error))
    }

    /// Asks who is there.
    pub(crate) async fn ask(&self, connection: &mut MultiplexedConnection) -> Result<Server, ConnectError> {
        let asked = Instant::now();
        let info: Result<String, RedisError> = redis::cmd("INFO").arg("server").query_async(connection).await;
        let info = match info {
            Ok(info) => info,
            // Its user may not ask; then nothing is known of its start but that it was before now.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => String::new(),
            Err(error) => return Err(self.error(&error)),
        };
        let problem = |problem| Err(ConnectError { instance: Arc::clone(&self.name), problem });
        let field = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(|value| value.trim().to_owned())
        };
        let version = field("redis_version");
        let major: Option<u32> = version.as_ref().and_then(|version| version.split('.').next()?.parse().ok());
        if major.is_none() && !info.is_empty() {
            return problem(Problem::NotRedis);
        }
        if major.is_some_and(|major| major < OLDEST) {
            return problem(Problem::TooOld);
        }
        let uptime = field("uptime_in_seconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
        let started = asked.checked_sub(Duration::from_secs(uptime)).unwrap_or(asked);
        Ok(Server { version, run_id: field("run_id"), started })
    }

    pub(crate) fn error(&self, error: &RedisError) -> ConnectError {
        ConnectError { instance: Arc::clone(&self.name), problem: classify(error) }
    }
}

/// Connects to each instance of the settings and asks who is there: for a check of the configuration.
pub async fn check(settings: &Settings) -> Vec<Result<Server, ConnectError>> {
    let checks = settings.urls.iter().enumerate().map(|(position, url)| async move {
        let address = Address::new(url, position, settings)?;
        let mut connection = address.connect(ignore).await?;
        address.ask(&mut connection).await
    });
    futures_util::future::join_all(checks).await
}

fn ignore(_: redis::PushInfo) -> Result<(), redis::aio::SendError> {
    Ok(())
}

fn classify(error: &RedisError) -> Problem {
    if let Some(problem) = error.code().and_then(of_code) {
        return problem;
    }
    match error.kind() {
        ErrorKind::RESP3NotSupported => Problem::TooOld,
        ErrorKind::AuthenticationFailed => Problem::PasswordWrong,
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Problem::NotRedis,
        // The text quotes the command with its arguments, so only its beginning is looked at.
        ErrorKind::Server(ServerErrorKind::ResponseError)
            if error.detail().is_some_and(|detail| detail.starts_with("unknown command")) =>
        {
            Problem::TooOld
        }
        ErrorKind::Server(_) | ErrorKind::Extension => {
            Problem::Refuses(error.code().unwrap_or("ERR").to_owned())
        }
        _ if error.is_timeout() => Problem::Unreachable("it does not answer in time".to_owned()),
        ErrorKind::Io => of_io(error),
        _ => Problem::Unreachable(error.category().to_owned()),
    }
}

fn of_code(code: &str) -> Option<Problem> {
    match code {
        "NOAUTH" => Some(Problem::PasswordMissing),
        "WRONGPASS" => Some(Problem::PasswordWrong),
        "NOPERM" => Some(Problem::Forbidden),
        _ => None,
    }
}

fn of_io(error: &RedisError) -> Problem {
    use std::error::Error;
    // The cause is wrapped in an `Arc`.
    let cause = error.source().and_then(|cause| cause.downcast_ref::<Arc<dyn Error + Send + Sync>>());
    match cause.and_then(|cause| cause.downcast_ref::<std::io::Error>()) {
        Some(io) if io.kind() == std::io::ErrorKind::InvalidData => Problem::Tls(io.to_string()),
        Some(io) => Problem::Unreachable(io.to_string()),
        // A name or certificate that TLS cannot use, or an end of the connection.
        None => Problem::Unreachable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use streamz_protocol::ProcessId;

    use super::*;

    #[test]
    fn no_envelope_waits_for_the_acknowledgement_of_another() {
        let settings = Settings::new(vec!["redis://127.0.0.1:1".to_owned().into()], "test", ProcessId(1));
        let address = Address::new(&settings.urls[0], 0, &settings).unwrap();
        assert!(address.client.get_connection_info().tcp_settings().nodelay());
    }
}
