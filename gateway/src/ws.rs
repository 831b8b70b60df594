//! `GET /ws`: who may have a session, and how everybody else learns that they may not.
//!
//! A client that offered the subprotocol `streamz.v1` is let in and learns a refusal by its close code; any other
//! learns it by the HTTP status. So the hub is asked before the request is answered.

mod query;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE};
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use streamz_platform::spans::{self, Span};
use streamz_protocol::bus::{Attach, Caps, Resume};
use streamz_protocol::objects::IceServer;
use streamz_protocol::{CloseCode, Limits, Millis, UserId};
use streamz_session::{Facts, TokenFacts};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_util::task::TaskTracker;

use crate::audit::About;
use crate::authenticate::{AuthFailure, Identity, authenticate, bearer};
use crate::figures;
use crate::problem::{Code, Problem};
use crate::socket::{Authority, Connection, Sockets};
use crate::state::AppState;
use crate::traces;
use crate::upgrade::{self, Upgrade, Upgrading};
use query::WsQuery;

/// The subprotocol of clients that acknowledge and resume.
pub const SUBPROTOCOL: &str = "streamz.v1";
/// What precedes an access token among the offered subprotocols: a browser cannot set headers.
const BEARER_PREFIX: &str = "bearer.";
/// The longest reason in a close frame, in bytes (RFC 6455 §5.5).
const REASON_MAX: usize = 123;
/// What tungstenite reads at once. Its default of 128 KiB is allocated for every connection.
const READ_BUFFER: usize = 1024;
/// Up to so many bytes of frames are gathered for one write. It is allocated when it is needed, and kept.
const WRITE_BUFFER: usize = 4096;

/// Everything the route needs.
#[derive(Clone)]
pub struct WebSockets {
    /// What the connections share.
    pub sockets: Arc<Sockets>,
    /// Follows the tasks of all connections, so that the process can wait for them.
    pub tasks: TaskTracker,
    /// Connections that this process takes.
    pub max_connections: usize,
}

/// The route.
pub fn route(web_sockets: WebSockets) -> MethodRouter<AppState> {
    get(move |state: State<AppState>, request: Request| connect(state, web_sockets, request))
}

async fn connect(State(state): State<AppState>, web_sockets: WebSockets, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let offered = Offered::of(&parts.headers);
    let Some(upgrade) = Upgrade::of(&mut parts) else {
        return no_handshake(&parts.headers);
    };
    let config = config(&web_sockets.sockets.limits);
    let protocol = offered.v1.then_some(SUBPROTOCOL);
    let mut span = traces::connect(&parts.headers, &parts.uri);
    let context = span.context();
    let admitted = admit(&state, &web_sockets, &parts.headers, &parts.uri, &offered, &mut span);
    let response = match spans::within(context, admitted).await {
        Ok(connection) => {
            metrics::counter!("streamz_connects_total", "outcome" => "accepted").increment(1);
            let (response, upgrading) = upgrade.accept(protocol);
            web_sockets.tasks.spawn(connection.run(upgrading, config));
            span.set("streamz.outcome", "accepted");
            response
        }
        Err(refusal) => {
            metrics::counter!("streamz_connects_total", "outcome" => refusal.label()).increment(1);
            span.set("streamz.outcome", refusal.label());
            if matches!(refusal, Refusal::Closed(CloseCode::Unavailable)) {
                span.fail(CloseCode::Unavailable.as_str());
            }
            refusal.note(&state);
            match refusal {
                refusal if offered.v1 => {
                    let (response, upgrading) = upgrade.accept(protocol);
                    web_sockets.tasks.spawn(close(upgrading, config, refusal.close_frame()));
                    response
                }
                Refusal::Failed(_, failure) => Problem::from(failure).into_response(),
                Refusal::Closed(code) => refused(code).into_response(),
                Refusal::Problem(problem) => problem.into_response(),
            }
        }
    };
    span.set("http.response.status_code", i64::from(response.status().as_u16()));
    response
}

/// A request that is no WebSocket handshake (RFC 6455 section 4.2.1). One that did not want one learns that it should,
/// with the header that RFC 9110 section 15.5.22 asks for; one that is wrong learns which version is right.
fn no_handshake(headers: &HeaderMap) -> Response {
    let detail = "This route speaks WebSocket only (RFC 6455, version 13).";
    if headers.contains_key(UPGRADE) {
        let version = [(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(upgrade::VERSION))];
        (version, Problem::new(Code::BadRequest, detail)).into_response()
    } else {
        let websocket = [(UPGRADE, HeaderValue::from_static("websocket"))];
        (websocket, Problem::new(Code::UpgradeRequired, detail)).into_response()
    }
}

/// Small buffers: there are very many of them.
fn config(limits: &Limits) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        // Frames that wait together leave together, in one call to the system.
        .write_buffer_size(WRITE_BUFFER.min(limits.outbound_bytes))
        .max_write_buffer_size(2 * limits.outbound_bytes)
        .max_message_size(Some(limits.frame_bytes))
        .max_frame_size(Some(limits.frame_bytes))
}

/// Why there is no session.
enum Refusal {
    /// A client of ours learns it by this code.
    Closed(CloseCode),
    /// The same, with what to say over HTTP.
    Failed(CloseCode, AuthFailure),
    /// The request itself is wrong, and will be the next time: a client of ours learns by 4503 and the sentence that it
    /// need not come back as it is. A browser would hide a status from it.
    Problem(Problem),
}

impl Refusal {
    fn label(&self) -> &'static str {
        match self {
            Refusal::Closed(code) | Refusal::Failed(code, _) => code.as_str(),
            Refusal::Problem(_) => "bad_request",
        }
    }

    /// For the audit log: that somebody is not who they should be, or a page not one of ours. That a token has lapsed, or
    /// that there is none, is everyday.
    fn note(&self, state: &AppState) {
        let reason = match self {
            Refusal::Failed(_, AuthFailure::Invalid(_)) => "invalid_token",
            Refusal::Failed(_, AuthFailure::Revoked) | Refusal::Closed(CloseCode::Revoked) => "revoked",
            Refusal::Closed(CloseCode::InvalidToken) => "user_gone",
            Refusal::Problem(problem) if problem.code() == Code::ForbiddenOrigin => "forbidden_origin",
            _ => return,
        };
        state.audit().refused("connect.refused", About { reason: Some(reason), ..About::default() });
    }

    fn close_frame(&self) -> CloseFrame {
        match self {
            Refusal::Closed(code) | Refusal::Failed(code, _) => {
                CloseFrame { code: code.code().into(), reason: Utf8Bytes::from_static(code.as_str()) }
            }
            Refusal::Problem(problem) => {
                let detail = problem.detail();
                let reason = detail.get(..detail.floor_char_boundary(REASON_MAX)).unwrap_or_default();
                CloseFrame { code: CloseCode::ProtocolViolation.code().into(), reason: reason.into() }
            }
        }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Refusal::Problem(problem)
    }
}

/// What the client offered as subprotocols.
struct Offered {
    v1: bool,
    token: Option<String>,
}

impl Offered {
    fn of(headers: &HeaderMap) -> Self {
        let mut offered = Self { v1: false, token: None };
        let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
        for protocol in values.flat_map(|value| value.split(',')).map(str::trim) {
            match protocol.strip_prefix(BEARER_PREFIX) {
                Some(token) if offered.token.is_none() => offered.token = Some(token.to_owned()),
                _ => offered.v1 |= protocol == SUBPROTOCOL,
            }
        }
        offered
    }
}

async fn admit(
    state: &AppState,
    web_sockets: &WebSockets,
    headers: &HeaderMap,
    uri: &Uri,
    offered: &Offered,
    span: &mut Span,
) -> Result<Box<Connection>, Refusal> {
    check_origin(state, headers)?;
    let query = WsQuery::parse(uri)?;
    let token = bearer(headers).or(offered.token.as_deref());
    let identity = token
        .ok_or(AuthFailure::Missing)
        .and_then(|token| authenticate(state, token))
        .map_err(|failure| Refusal::Failed(failure.close_code(), failure))?;
    let sockets = &web_sockets.sockets;
    if state.is_draining() || sockets.stopping.is_cancelled() {
        return Err(Refusal::Closed(CloseCode::Draining));
    }
    if sockets.connections.len() >= web_sockets.max_connections {
        return Err(Refusal::Closed(CloseCode::Unavailable));
    }
    let registration = sockets.connections.register(identity.user, sockets.limits.outbound_bytes);
    let host = host(headers).filter(|_| state.ice().depend_on_host());
    let (ice_servers, ice_renew_at) = sockets.authority.ice_servers(identity.user, host);
    let resume = query.session_id.map(|session| Resume { session, last_seq: query.last_seq });
    let asking = traces::attach(span, identity.user);
    let facts = Facts {
        conn: registration.conn,
        user: identity.user,
        attach: Attach {
            attempt: 0,
            device: query.device_id,
            name: query.device_name.map(Into::into),
            device_type: query.device_type.map(Into::into),
            family: identity.family,
            caps: Caps { acks: offered.v1, max_streams: query.max_streams },
            resume,
            trace: asking.context(),
        },
        token_expires: expires(state, &identity),
        ice_servers,
        ice_renew_at,
        limits: sockets.limits.clone(),
    };
    let connection = Connection::attach(sockets.clone(), registration, facts, host.map(Into::into))
        .await
        .map_err(Refusal::Closed)?;
    drop(asking);
    if let Some(resume) = resume {
        let resumed = connection.session() == Some(resume.session);
        figures::resumed(resumed);
        span.set("streamz.resumed", resumed);
    }
    // A revocation that reached the hub before this connection did has been noted here before.
    authenticate(state, token.unwrap_or_default())
        .map_err(|failure| Refusal::Failed(failure.close_code(), failure))?;
    Ok(connection)
}

/// A page of a foreign origin must not use the cookies or the network place of its reader.
fn check_origin(state: &AppState, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let host = host(headers);
    let allowed = origin.to_str().is_ok_and(|origin| state.settings().origins.allows(origin, host));
    if allowed {
        Ok(())
    } else {
        let detail = "A page of this origin may not connect: the server's ALLOWED_ORIGINS must name it.";
        Err(Problem::new(Code::ForbiddenOrigin, detail))
    }
}

/// By which name the client reached this server.
pub(crate) fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(HOST).and_then(|host| host.to_str().ok())
}

/// The token's end on the clock of the state machines.
fn expires(state: &AppState, identity: &Identity) -> Millis {
    let left = (identity.expires_at - state.now()).to_std().unwrap_or_default();
    state.clock().now() + left
}

/// A refusal of the hub, for clients that learn it by the HTTP status.
fn refused(code: CloseCode) -> Problem {
    match code {
        CloseCode::InvalidToken => Problem::user_gone(),
        CloseCode::TokenExpired => Problem::from(AuthFailure::Expired),
        CloseCode::Revoked => Problem::from(AuthFailure::Revoked),
        CloseCode::TooManyDevices => {
            Problem::new(Code::TooManyDevices, "Disconnect or remove another device of this account first.")
        }
        CloseCode::DeviceRemoved => Problem::new(Code::NotFound, "This device was removed from the account."),
        _ => Problem::new(Code::Unavailable, "Come back in a moment.").retry_after(2),
    }
}

async fn close(upgrading: Upgrading, config: WebSocketConfig, frame: CloseFrame) {
    let Some(raw) = upgrading.finish().await else { return };
    let mut socket = raw.web_socket(config).await;
    // A peer that does not read it is gone anyway.
    let said = socket.close(Some(frame));
    let _ = tokio::time::timeout(std::time::Duration::from_secs(5), said).await;
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), socket.close(None)).await;
}

/// The state of the API judges tokens and makes credentials.
pub struct StateAuthority(pub AppState);

impl Authority for StateAuthority {
    fn check(&self, token: &str) -> Option<TokenFacts> {
        let identity = authenticate(&self.0, token).ok()?;
        Some(TokenFacts {
            user: identity.user,
            family: identity.family,
            expires: expires(&self.0, &identity),
        })
    }

    fn ice_servers(&self, user: UserId, host: Option<&str>) -> (Vec<IceServer>, Option<Millis>) {
        let state = &self.0;
        let now = state.now();
        let servers = state.ice().at(&user.to_string(), host, now).into_iter().map(Into::into).collect();
        let renew_at = state.ice().renew_at(now).map(|at| {
            let left = (at - now).to_std().unwrap_or_default();
            state.clock().now() + left
        });
        (servers, renew_at)
    }
}
