//! The server loop: accepts connections, speaks HTTP/1.1 on each, and ends in order.
//!
//! `axum::serve` has neither a limit on the time for a request's headers nor one on connections, and leaves Nagle's
//! algorithm on. A socket that was upgraded leaves this loop (whoever upgraded it owns it) but not the count of
//! connections: its place goes with it.

mod leftover;
mod socket;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service;

pub use socket::Socket;
pub use tls::{Tls, UnusableCertificate};

use crate::gate::{Gate, Shed};
use crate::problem::{Code, PROBLEM_JSON, Problem};
use leftover::Leftover;
use socket::{HeadTimer, Stream};
use tls::Accepted;

/// How long a connection may be idle between two requests by default: longer than the minute after which common load
/// balancers give theirs up, so that none is closed here just when a request comes.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// The most that is read ahead, and so the longest head of a request, in bytes. It is freed by an upgrade.
const BUFFER_MAX: usize = 16 * 1024;
/// How long a client that was turned away may take to read why,
const LEAVE_WITHIN: Duration = Duration::from_secs(1);
/// and how many are told at a time; others are not.
const LEAVING_MAX: usize = 256;
/// How long to wait when the process can open no more sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What bounds a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeOptions {
    /// How long a client may take to send a request's head, once it has begun or connected.
    pub header_timeout: Duration,
    /// How long a connection may be idle between two requests: [`KEEP_ALIVE`].
    pub keep_alive: Duration,
    /// Connections at the same time, upgraded ones included; the next one is told to come again.
    pub max_connections: NonZeroUsize,
    /// How long requests may take to finish after the shutdown began; then they are cut off.
    pub drain: Duration,
}

/// How a listener ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServeReport {
    /// Connections that were cut off because their requests did not end in time.
    pub cut_off: usize,
}

/// Serves `router` until `shutdown` is cancelled and every request has been answered, or cut off after
/// [`ServeOptions::drain`]. WebSockets are not waited for: they are their owner's.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: ServeOptions,
    shutdown: CancellationToken,
) -> ServeReport {
    serve_with(listener, router, options, None, None, shutdown).await
}

/// The same behind a gate, over TLS if there is a certificate. A handshake may take as long as the head of a request;
/// plain HTTP is sent to `https://`.
pub async fn serve_guarded(
    listener: TcpListener,
    router: Router,
    options: ServeOptions,
    tls: Option<Tls>,
    gate: Gate,
    shutdown: CancellationToken,
) -> ServeReport {
    serve_with(listener, router, options, tls, Some(gate), shutdown).await
}

async fn serve_with(
    listener: TcpListener,
    router: Router,
    options: ServeOptions,
    tls: Option<Tls>,
    gate: Option<Gate>,
    shutdown: CancellationToken,
) -> ServeReport {
    let places = Arc::new(Semaphore::new(options.max_connections.get().min(Semaphore::MAX_PERMITS)));
    let leaving = Arc::new(Semaphore::new(LEAVING_MAX));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            // Whoever has ended gives its memory back.
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match let_in(&places, gate.as_ref()) {
                    Ok(place) => {
                        prepare(&stream);
                        let (router, shutdown) = (router.clone(), shutdown.clone());
                        match &tls {
                            None => {
                                let socket = Socket::new(Stream::Plain(stream), place);
                                connections.spawn(connection(socket, peer, router, options, shutdown))
                            }
                            Some(tls) => {
                                let tls = tls.clone();
                                connections.spawn(shake_hands(stream, place, peer, router, options, tls, shutdown))
                            }
                        };
                    }
                    Err(cause) => {
                        metrics::counter!("streamz_connections_refused_total").increment(1);
                        Gate::count(cause);
                        // Over TLS it would take a handshake to say anything.
                        if tls.is_none() && let Ok(place) = Arc::clone(&leaving).try_acquire_owned() {
                            connections.spawn(turn_away(stream, place));
                        }
                    }
                },
                Err(error) => pause_after(&error, &shutdown).await,
            },
        }
    }
    // From here on the system refuses new connections.
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    let in_time = tokio::time::timeout(options.drain, all).await.is_ok();
    let cut_off = if in_time { 0 } else { connections.len() };
    connections.shutdown().await;
    ServeReport { cut_off }
}

fn let_in(places: &Arc<Semaphore>, gate: Option<&Gate>) -> Result<OwnedSemaphorePermit, Shed> {
    gate.map_or(Ok(()), Gate::connection)?;
    Arc::clone(places).try_acquire_owned().map_err(|_| Shed::Connections)
}

/// Finds out what a new connection speaks, and goes on with that.
async fn shake_hands(
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    peer: SocketAddr,
    router: Router,
    options: ServeOptions,
    tls: Tls,
    shutdown: CancellationToken,
) {
    let accepted = tls.accept(stream, options.header_timeout);
    let (stream, router) = match shutdown.run_until_cancelled(accepted).await.flatten() {
        Some(Accepted::Tls(stream)) => (Stream::Tls(stream), router),
        Some(Accepted::Plain(stream)) => (Stream::Plain(stream), Router::new().fallback(tls::go_to_https)),
        None => return,
    };
    connection(Socket::new(stream, place), peer, router, options, shutdown).await;
}

async fn connection(
    socket: Socket,
    peer: SocketAddr,
    router: Router,
    options: ServeOptions,
    shutdown: CancellationToken,
) {
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let (request, leftover) = Leftover::of(request);
        // A router is always ready.
        let answer = router.clone().call(request);
        async move {
            let answer = answer.await?;
            match leftover {
                Some(leftover) => Ok(leftover.settle(answer).await),
                None => Ok::<_, std::convert::Infallible>(answer),
            }
        }
    });
    let timer = HeadTimer::new(&socket, options.header_timeout, options.keep_alive);
    let connection = http1::Builder::new()
        .timer(timer)
        // The timer knows better: see there.
        .header_read_timeout(options.header_timeout)
        .max_buf_size(BUFFER_MAX)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            // The request that is being answered is the last one; a connection without one ends.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // A client that went away, was too slow or spoke no HTTP.
        tracing::debug!(%error, "a connection ended early");
    }
}

fn prepare(stream: &TcpStream) {
    // A small frame is not kept back until another one is acknowledged.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a socket keeps small frames back");
    }
}

/// Says why. A connection that is closed before its request was read is reset, and the answer that waits at the client is
/// lost with it: so what the client sends is read, and thrown away, until it has read and closed.
async fn turn_away(mut stream: TcpStream, _place: OwnedSemaphorePermit) {
    let problem = Problem::new(Code::Busy, "This server has more to do than it can; come again in a moment.");
    let body = problem.to_json(None);
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {PROBLEM_JSON}\r\ncontent-length: {}\r\n\
         retry-after: 1\r\nx-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\n\
         content-security-policy: default-src 'none'; frame-ancestors 'none'\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let told = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        let mut scrap = [0; 1024];
        let mut left = BUFFER_MAX;
        loop {
            let bytes = stream.read(&mut scrap).await?;
            left = left.saturating_sub(bytes);
            if bytes == 0 || left == 0 {
                return io::Result::Ok(());
            }
        }
    };
    // A client that is gone, or that does not listen, needs no answer.
    let _ = tokio::time::timeout(LEAVE_WITHIN, told).await;
}

/// A connection that failed before it was accepted concerns nobody; that the process can open no more sockets
/// passes when others close.
async fn pause_after(error: &io::Error, shutdown: &CancellationToken) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    tracing::error!(%error, "no connection can be accepted right now");
    shutdown.run_until_cancelled(tokio::time::sleep(ACCEPT_PAUSE)).await;
}
