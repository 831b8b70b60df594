//! The limits of HTTP (section 6 of the design), each at the limit and one past it.

use std::time::{Duration, Instant};

use serde_json::json;
use streamz_tests::{Answer, Server, Topology, User, scenarios, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::support::{Database, assert_delivered, offer, talk, text};

scenarios![
    a_body_of_the_limit_is_read_and_one_byte_more_is_not,
    an_early_answer_does_not_cost_the_next_request,
    a_head_that_does_not_come_is_not_waited_for,
    an_account_is_tried_five_times_a_minute,
    an_address_tries_five_times_a_minute,
    a_sign_in_that_succeeds_forgets_the_failures,
    a_storm_of_sign_ins_delays_no_relay,
    passwords_that_wait_are_bounded,
];

async fn a_body_of_the_limit_is_read_and_one_byte_more_is_not(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let http = server.http();
    let body = |bytes: usize| {
        let empty = json!({"device_name": "n", "x": ""}).to_string().len();
        json!({"device_name": "n", "x": text(bytes - empty)}).to_string()
    };
    for (bytes, problem) in [(64 * 1024, (404, "device_not_found")), (64 * 1024 + 1, (413, "body_too_large"))]
    {
        let body = body(bytes);
        assert_eq!(body.len(), bytes);
        // With its length in the head, and in chunks.
        let request = http.request(reqwest::Method::PUT, "/api/devices/none").bearer_auth(user.token());
        let request = request.header("content-type", "application/json").body(body.clone());
        assert_eq!(http.send(request).await.problem(), (problem.0, problem.1.to_owned()));
        let head = format!(
            "PUT /api/devices/none HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
             authorization: Bearer {}\r\ntransfer-encoding: chunked\r\n\r\n",
            user.token()
        );
        let (one, two) = body.split_at(bytes / 2);
        let chunks = format!("{head}{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n", one.len(), two.len());
        let answer = talk(&server, chunks.as_bytes()).await;
        assert!(answer.contains(&format!("\"code\":\"{}\"", problem.1)), "{answer}");
    }
}

/// The head, then the body a moment later, then another request on the same connection.
async fn an_early_answer_does_not_cost_the_next_request(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let bearer = format!("authorization: Bearer {}\r\n", user.token());
    let json = "content-type: application/json\r\n";
    for (line, headers, status, bytes) in [
        ("POST /api/devices", json.to_owned(), 401, 20),
        ("POST /api/nothing", json.to_owned(), 404, 20),
        ("POST /ping", json.to_owned(), 405, 20),
        ("POST /api/devices", format!("{bearer}content-type: text/plain\r\n"), 415, 20),
        ("POST /api/devices", format!("{bearer}{json}"), 413, 70_000),
    ] {
        let mut stream = TcpStream::connect(server.url().trim_start_matches("http://")).await.unwrap();
        let head = format!("{line} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {bytes}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        // The server may have ended the connection, and said so.
        let _ = stream.write_all(&vec![b'x'; bytes]).await;
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            assert!(soon(stream.read_buf(&mut answer)).await.unwrap() > 0, "{line} {status}: closed");
        }
        let answer = String::from_utf8_lossy(&answer).to_lowercase();
        assert!(answer.starts_with(&format!("http/1.1 {status}")), "{line}: {answer}");
        if answer.contains("connection: close") {
            assert_eq!(status, 413, "{answer}");
            continue;
        }
        stream.write_all(b"GET /ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let read = soon(stream.read_to_end(&mut answer)).await;
        assert!(answer.ends_with(b"pong"), "{line} {status}: {read:?}");
    }
}

async fn a_head_that_does_not_come_is_not_waited_for(topology: Topology) {
    let server = Server::start(topology, &[("HEADER_TIMEOUT", "500ms")]).await;
    let mut slow = TcpStream::connect(server.url().trim_start_matches("http://")).await.unwrap();
    let began = Instant::now();
    slow.write_all(b"GET /ping HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let mut answer = Vec::new();
    // It is told or not, but it is let go.
    let _ = soon(slow.read_to_end(&mut answer)).await;
    let after = began.elapsed();
    assert!(after >= Duration::from_millis(400) && after < Duration::from_secs(5), "{after:?}");
    // A head that comes slowly, but in time, is read.
    let mut slow = TcpStream::connect(server.url().trim_start_matches("http://")).await.unwrap();
    for part in ["GET /ping HTTP/1.1\r\n", "host: x\r\nconnection: close\r\n", "\r\n"] {
        slow.write_all(part.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut answer = String::new();
    soon(slow.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Addresses of their own, as a proxy of ours reports them.
const PROXY: (&str, &str) = ("TRUSTED_PROXIES", "127.0.0.1");
const FIVE: (&str, &str) = ("LOGINS_PER_MINUTE", "5");

async fn sign_in(server: &Server, address: &str, email: &str, password: &str) -> Answer {
    let http = server.http();
    let request = http.request(reqwest::Method::POST, "/api/auth/login").header("x-forwarded-for", address);
    http.send(request.json(&json!({"email": email, "password": password}))).await
}

async fn an_account_is_tried_five_times_a_minute(topology: Topology) {
    let server = Server::start(topology, &[FIVE, PROXY]).await;
    let user = User::new(&server).await;
    for email in [user.email.as_str(), "nobody@example.org"] {
        for attempt in 0..5 {
            let answer = sign_in(&server, &format!("10.0.0.{attempt}"), email, "wrong").await;
            assert_eq!(answer.problem(), (401, "invalid_credentials".into()), "{email} {attempt}");
        }
        let answer = sign_in(&server, "10.0.0.9", email, "wrong").await;
        assert_eq!(answer.problem(), (429, "rate_limited".into()), "{email}");
        let wait: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
    }
    // The right password does not help now, and another account is not touched.
    let password = "correct horse battery staple";
    assert_eq!(sign_in(&server, "10.0.0.10", &user.email, password).await.status, 429);
    let other = User::new(&server).await;
    assert_eq!(sign_in(&server, "10.0.0.11", &other.email, password).await.status, 200);
}

async fn an_address_tries_five_times_a_minute(topology: Topology) {
    let server = Server::start(topology, &[FIVE, PROXY]).await;
    for attempt in 0..5 {
        let answer = sign_in(&server, "10.0.0.1", &format!("a{attempt}@example.org"), "wrong").await;
        assert_eq!(answer.status, 401, "{attempt}");
    }
    let answer = sign_in(&server, "10.0.0.1", "other@example.org", "wrong").await;
    assert_eq!(answer.problem(), (429, "rate_limited".into()));
    assert_eq!(sign_in(&server, "10.0.0.2", "other@example.org", "wrong").await.status, 401);
    // What stands before the proxy's own entry is the client's invention.
    assert_eq!(sign_in(&server, "10.0.0.3, 10.0.0.1", "new@example.org", "wrong").await.status, 429);
}

async fn a_sign_in_that_succeeds_forgets_the_failures(topology: Topology) {
    let server = Server::start(topology, &[FIVE, PROXY]).await;
    let user = User::new(&server).await;
    let password = "correct horse battery staple";
    for round in 0..3 {
        for attempt in 0..4 {
            let address = format!("10.{round}.0.{attempt}");
            assert_eq!(sign_in(&server, &address, &user.email, "wrong").await.status, 401);
        }
        assert_eq!(sign_in(&server, &format!("10.{round}.1.0"), &user.email, password).await.status, 200);
    }
}

#[test]
fn a_process_has_as_many_database_connections_as_is_allowed() {
    streamz_tests::run(Topology::EmbeddedPostgres, async |topology| {
        let server = Server::start(topology, &[("DATABASE_POOL", "3")]).await;
        let user = User::new(&server).await;
        let asked: Vec<_> = (0..60)
            .map(|_| {
                let user = user.clone();
                tokio::spawn(async move { user.get("/api/devices").await.status })
            })
            .collect();
        let connections = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                           AND pid <> pg_backend_pid()";
        let database = Database::of(&server);
        let most = database.count(connections).await;
        assert!((1..=3).contains(&most), "{most}");
        for answer in asked {
            assert_eq!(answer.await.unwrap(), 200, "whoever finds them taken waits");
        }
        let most = database.count(connections).await;
        assert!((1..=3).contains(&most), "{most}");
    });
}

/// Sign-ins of this many accounts at once.
fn storm(server: &Server, count: usize) -> Vec<JoinHandle<Answer>> {
    let sign_in = |number| {
        let http = server.http();
        let body = json!({"email": format!("a{number}@example.org"), "password": "some password"});
        tokio::spawn(async move { http.post("/api/auth/login", &body).await })
    };
    (0..count).map(sign_in).collect()
}

async fn a_storm_of_sign_ins_delays_no_relay(topology: Topology) {
    let server = Server::start(topology, &[("PASSWORD_WORKERS", "1")]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    phone.barrier().await;
    let began = Instant::now();
    let storm = storm(&server, 60);
    let relays = tokio::spawn(async move {
        let mut slowest = Duration::ZERO;
        for number in 0..50 {
            let began = Instant::now();
            phone.say(offer(&format!("m-{number}"), "tv", "v=0")).await;
            tv.until("sdp_offer").await;
            tv.ack().await;
            assert_delivered(&phone.outcome(&format!("m-{number}")).await);
            slowest = slowest.max(began.elapsed());
        }
        slowest
    });
    for answer in storm {
        assert_eq!(answer.await.unwrap().status, 401);
    }
    let whole = began.elapsed();
    let slowest = relays.await.unwrap();
    // A relay that waited behind the passwords would have waited for most of them.
    assert!(slowest < whole / 3, "{slowest:?} of {whole:?}");
}

async fn passwords_that_wait_are_bounded(topology: Topology) {
    let server = Server::start(topology, &[("PASSWORD_WORKERS", "1"), ("PASSWORD_QUEUE", "1")]).await;
    let (mut checked, mut refused) = (0, 0);
    for answer in storm(&server, 20) {
        let answer = answer.await.unwrap();
        if answer.status == 401 {
            checked += 1;
        } else {
            assert_eq!(answer.problem(), (503, "busy".into()));
            assert!(!answer.header("retry-after").is_empty());
            refused += 1;
        }
    }
    assert!(checked >= 2, "one is checked and one waits: {checked}");
    assert!(refused >= 1, "twenty came at once");
}
