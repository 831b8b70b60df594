//! The server loop on a real socket.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::routing::get;
use hyper_util::rt::TokioIo;
use streamz_gateway::serve::{ServeOptions, ServeReport, Socket, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const OPTIONS: ServeOptions = ServeOptions {
    header_timeout: Duration::from_millis(200),
    keep_alive: Duration::from_secs(60),
    max_connections: NonZeroUsize::new(100).unwrap(),
    drain: Duration::from_secs(5),
};

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<ServeReport>,
}

impl Server {
    async fn start(router: Router, options: ServeOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, router, options, stop.clone()));
        Self { address, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn stop(self) -> ServeReport {
        self.stop.cancel();
        self.task.await.unwrap()
    }
}

/// Everything until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

/// One answer with a body that ends in `end`; the connection stays.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let mut byte = [0; 256];
        let n = stream.read(&mut byte).await.unwrap();
        assert!(n > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&byte[..n]).unwrap());
    }
    text
}

fn pong() -> Router {
    Router::new().route("/ping", get(|| async { "pong" }))
}

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let whoami = get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { format!("{peer}!") });
    let server = Server::start(pong().route("/who", whoami), OPTIONS).await;
    let mut stream = server.connect().await;
    let me = stream.local_addr().unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(until(&mut stream, "pong").await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    stream.write_all(b"GET /who HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(until(&mut stream, "!").await.ends_with(&format!("\r\n{me}!")));
    assert_eq!(server.stop().await, ServeReport { cut_off: 0 });
}

#[tokio::test]
async fn a_client_that_sends_its_head_slowly_is_cut_off() {
    let server = Server::start(pong(), OPTIONS).await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET /ping HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
    let mut idle = server.connect().await;
    // Both end by themselves; nothing was answered.
    assert_eq!(rest(&mut slow).await, "");
    assert_eq!(rest(&mut idle).await, "");
    server.stop().await;
}

#[tokio::test]
async fn a_connection_that_was_used_may_be_idle_for_longer_but_not_slow() {
    let server = Server::start(pong(), OPTIONS).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until(&mut stream, "pong").await;
    // Another connection's time for its head passes: so long this one has been idle.
    assert_eq!(rest(&mut server.connect().await).await, "");
    stream.write_all(b"GET /ping HTTP/1.1\r\n").await.unwrap();
    stream.write_all(b"host: x\r\n\r\n").await.unwrap();
    assert!(until(&mut stream, "pong").await.starts_with("HTTP/1.1 200 "));
    // From its first byte on, a head has its time and no more.
    stream.write_all(b"GET /ping").await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_ends_some_day() {
    let short = ServeOptions { keep_alive: Duration::from_millis(100), ..OPTIONS };
    let server = Server::start(pong(), short).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(rest(&mut stream).await.ends_with("pong"));
    server.stop().await;
}

#[tokio::test]
async fn a_head_is_bounded() {
    let server =
        Server::start(pong(), ServeOptions { header_timeout: Duration::from_secs(10), ..OPTIONS }).await;
    let mut stream = server.connect().await;
    let head = format!("GET /ping HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(17 * 1024));
    // The server may close before it has read everything.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = [0; 16];
    let n = stream.read(&mut answer).await.unwrap_or(0);
    assert!(n == 0 || answer.starts_with(b"HTTP/1.1 431"), "{:?}", String::from_utf8_lossy(&answer));
    server.stop().await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let one = ServeOptions {
        max_connections: NonZeroUsize::MIN,
        header_timeout: Duration::from_secs(10),
        ..OPTIONS
    };
    let server = Server::start(pong(), one).await;
    let mut first = server.connect().await;
    first.write_all(b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until(&mut first, "pong").await;
    let mut second = server.connect().await;
    let refused = rest(&mut second).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("retry-after: 1") && refused.contains("\"code\":\"busy\""), "{refused}");
    // Also if it has sent its request by then: what it is told is not lost with the connection.
    for _ in 0..20 {
        let mut third = server.connect().await;
        third.write_all(b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let refused = rest(&mut third).await;
        assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    }
    // The first one is served on.
    first.write_all(b"GET /ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(rest(&mut first).await.ends_with("pong"));
    server.stop().await;
}

#[tokio::test]
async fn an_upgraded_connection_leaves_the_loop_but_not_the_count() {
    let (give, mut take) = mpsc::channel(1);
    let upgrade = get(move |request: Request| async move {
        let upgraded = hyper::upgrade::on(request);
        give.send(upgraded).await.unwrap();
        let headers = [("connection", "upgrade"), ("upgrade", "echo")];
        (axum::http::StatusCode::SWITCHING_PROTOCOLS, headers)
    });
    let one = ServeOptions { max_connections: NonZeroUsize::MIN, ..OPTIONS };
    let server = Server::start(pong().route("/up", upgrade), one).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /up HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nhi")
        .await
        .unwrap();
    assert!(until(&mut stream, "\r\n\r\n").await.starts_with("HTTP/1.1 101 "));
    let upgraded = take.recv().await.unwrap().await.unwrap();
    // Whoever upgraded gets the socket itself, with what had been read ahead.
    let parts = upgraded.downcast::<TokioIo<Socket>>().unwrap();
    let mut socket = parts.io.into_inner();
    let mut ahead = parts.read_buf.to_vec();
    while ahead.len() < 2 {
        ahead.push(socket.read_u8().await.unwrap());
    }
    assert_eq!(ahead, b"hi");
    assert!(rest(&mut server.connect().await).await.starts_with("HTTP/1.1 503 "));
    // The loop does not wait for it, and it goes on after the loop.
    let address = server.address;
    assert_eq!(server.stop().await, ServeReport { cut_off: 0 });
    assert!(TcpStream::connect(address).await.is_err(), "the listener is closed");
    socket.write_all(b"bye").await.unwrap();
    drop(socket);
    assert_eq!(rest(&mut stream).await, "bye");
}

#[tokio::test]
async fn a_request_that_is_being_answered_may_finish() {
    let (begun, mut began) = mpsc::channel::<()>(1);
    let (finish, finished) = tokio::sync::watch::channel(false);
    let slow = get(move || {
        let (begun, mut finished) = (begun.clone(), finished.clone());
        async move {
            begun.send(()).await.unwrap();
            finished.wait_for(|done| *done).await.unwrap();
            "done"
        }
    });
    let server = Server::start(pong().route("/slow", slow), OPTIONS).await;
    let mut idle = server.connect().await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    began.recv().await.unwrap();
    server.stop.cancel();
    assert_eq!(rest(&mut idle).await, "", "a connection without a request ends at once");
    finish.send(true).unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.contains("connection: close") && answer.ends_with("done"), "{answer}");
    assert_eq!(server.task.await.unwrap(), ServeReport { cut_off: 0 });
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_off() {
    let (begun, mut began) = mpsc::channel::<()>(1);
    let stuck = get(move || {
        let begun = begun.clone();
        async move {
            begun.send(()).await.unwrap();
            std::future::pending::<()>().await;
        }
    });
    let short = ServeOptions { drain: Duration::from_millis(50), ..OPTIONS };
    let server = Server::start(Router::new().route("/stuck", stuck), short).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /stuck HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    began.recv().await.unwrap();
    assert_eq!(server.stop().await, ServeReport { cut_off: 1 });
    assert_eq!(rest(&mut stream).await, "");
}

/// A request that is answered before its body has come.
async fn refused_early(head: &str, body: &[u8]) -> (TcpStream, String) {
    let refuse = axum::routing::post(|| async { (axum::http::StatusCode::UNAUTHORIZED, "no") });
    let server = Server::start(pong().route("/refuse", refuse), OPTIONS).await;
    let mut stream = server.connect().await;
    stream.write_all(format!("POST /refuse HTTP/1.1\r\nhost: x\r\n{head}\r\n").as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    stream.write_all(body).await.unwrap();
    let answer = until(&mut stream, "\r\n\r\nno").await.to_lowercase();
    assert!(answer.starts_with("http/1.1 401"), "{answer}");
    (stream, answer)
}

#[tokio::test]
async fn an_early_answer_does_not_end_the_connection() {
    for (head, body) in [
        ("content-length: 5\r\n", &b"hello"[..]),
        ("transfer-encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
        ("content-length: 65536\r\n", &[b'x'; 65536]),
    ] {
        let (mut stream, answer) = refused_early(head, body).await;
        assert!(!answer.contains("connection: close"), "{answer}");
        stream.write_all(b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        until(&mut stream, "pong").await;
    }
}

#[tokio::test]
async fn an_early_answer_says_if_it_is_the_last() {
    for head in [
        // Too large to be read for nothing.
        "content-length: 65537\r\n",
        // It does not come.
        "content-length: 5\r\n",
        // It will not come: the client waits for leave to send it.
        "content-length: 5\r\nexpect: 100-continue\r\n",
    ] {
        let (mut stream, answer) = refused_early(head, b"").await;
        assert!(answer.contains("connection: close"), "{head}: {answer}");
        assert_eq!(rest(&mut stream).await, "");
    }
}
