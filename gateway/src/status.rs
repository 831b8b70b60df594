//! Where the answer to `GET /status` comes from, and who may have it beside the API.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use streamz_platform::config::TrustedProxies;
use streamz_status::Status;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::problem::{Code, Problem};
use crate::state::AppState;

/// How long an answer is good for whoever asks next: to be watched must not be a load.
const FRESH: Duration = Duration::from_millis(500);

/// What a proxy adds, or a page of a browser.
const BY_OTHERS: [&str; 6] =
    ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "forwarded", "via"];

type Asked = Pin<Box<dyn Future<Output = Status> + Send>>;

/// Asks the parts of this process how they are. Cheap to clone.
#[derive(Clone)]
pub struct StatusSource {
    ask: Arc<dyn Fn() -> Asked + Send + Sync>,
    last: Arc<Mutex<Option<(Instant, Status)>>>,
}

impl StatusSource {
    /// `ask` is called at most twice a second. It has to end by itself within a few seconds, whatever stands still.
    #[must_use]
    pub fn new<F, Fut>(ask: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Status> + Send + 'static,
    {
        Self { ask: Arc::new(move || Box::pin(ask())), last: Arc::default() }
    }

    /// How it is: of several callers one asks.
    pub async fn status(&self) -> Status {
        let mut last = self.last.lock().await;
        if let Some((at, status)) = &*last
            && at.elapsed() < FRESH
        {
            return status.clone();
        }
        let status = (self.ask)().await;
        *last = Some((Instant::now(), status.clone()));
        status
    }
}

impl std::fmt::Debug for StatusSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatusSource").finish_non_exhaustive()
    }
}

/// On the port of the API the status is for programs on this machine alone; for everybody else there is nothing.
pub(crate) async fn only_from_here(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    if peer.is_some_and(|peer| is_from_here(peer, request.headers(), &state.settings().trusted_proxies)) {
        return next.run(request).await;
    }
    Problem::new(Code::NotFound, "There is nothing here; /docs has the paths.").into_response()
}

/// Whether a request was made on this machine, for this machine, by a program: no proxy has passed it on, and no page has
/// its browser ask. If a proxy on this machine is trusted, the world comes from here, and nobody can be told apart.
fn is_from_here(peer: IpAddr, headers: &HeaderMap, proxies: &TrustedProxies) -> bool {
    let passed_on = BY_OTHERS.iter().any(|name| headers.contains_key(*name)) || headers.contains_key(ORIGIN);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    peer.to_canonical().is_loopback()
        && !proxies.contains(peer)
        && !passed_on
        && host.is_some_and(names_loopback)
}

/// Whether a `Host` is this machine by its name or address, so that no page has led its browser here by a name of its own.
fn names_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};
    use streamz_platform::config::Role;
    use streamz_platform::{Config, ConfigArgs};

    use super::*;

    fn proxies(text: &str) -> TrustedProxies {
        let args = ConfigArgs::from_vars([("TRUSTED_PROXIES", text)]).unwrap();
        Config::from_args(Role::Embedded, &args).unwrap().trusted_proxies
    }

    fn asks(peer: &str, headers: &[(&'static str, &'static str)], trusted: &str) -> bool {
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        is_from_here(peer.parse().unwrap(), &headers.iter().map(header).collect(), &proxies(trusted))
    }

    #[test]
    fn a_program_on_this_machine_may_ask() {
        for host in
            ["localhost", "localhost:8080", "LOCALHOST", "127.0.0.1:8080", "127.3.2.1", "[::1]:8080", "[::1]"]
        {
            for peer in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
                assert!(asks(peer, &[("host", host)], "10.0.0.0/8"), "{peer} {host}");
            }
        }
    }

    #[test]
    fn nobody_else_may() {
        let here = ("host", "localhost:8080");
        for peer in ["10.0.0.1", "192.0.2.1", "2001:db8::1", "0.0.0.0", "::ffff:10.0.0.1"] {
            assert!(!asks(peer, &[here], "10.0.0.0/8"), "{peer}");
        }
        for host in [
            "app.example.org",
            "localhost.example.org",
            "127.0.0.1.example.org",
            "192.0.2.1:8080",
            "[2001:db8::1]",
            "",
        ] {
            assert!(!asks("127.0.0.1", &[("host", host)], "10.0.0.0/8"), "{host}");
        }
        assert!(!asks("127.0.0.1", &[], "10.0.0.0/8"), "without a Host");
        for name in BY_OTHERS {
            assert!(!asks("127.0.0.1", &[here, (name, "127.0.0.1")], "10.0.0.0/8"), "{name}");
        }
        assert!(!asks("127.0.0.1", &[here, ("origin", "http://localhost:8080")], "10.0.0.0/8"));
        assert!(!asks("127.0.0.1", &[here], "127.0.0.1"), "a proxy is here");
        assert!(!asks("::ffff:127.0.0.1", &[here], "127.0.0.0/8"), "a proxy is here");
    }
}
