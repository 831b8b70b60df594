//! Requests that no client of ours sends.

use streamz_tests::{Dial, Server, Topology, User, scenarios};

use crate::support::talk;

scenarios![
    a_huge_head_is_refused,
    a_websocket_of_another_version_is_refused,
    paths_that_are_wrong_are_problems,
    what_is_not_http_is_let_go,
];

async fn a_huge_head_is_refused(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let huge = format!("GET /ping HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(2 << 20));
    let answer = talk(&server, huge.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many = format!("GET /ping HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(10_000));
    let answer = talk(&server, many.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "x".repeat(100_000));
    let answer = talk(&server, long.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{}", &answer[..answer.len().min(200)]);
    let dial = user.dial("phone").header("x-more", &"x".repeat(8000));
    dial.welcomed().await.close().await;
}

async fn a_websocket_of_another_version_is_refused(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    for (wrong, status) in [
        ("sec-websocket-version: 8\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "400"),
        ("sec-websocket-version: 13\r\n", "400"),
    ] {
        let head = format!(
            "GET /ws?device_id=a HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nupgrade: websocket\r\n\
             connection: upgrade, close\r\n{wrong}\r\n",
            user.token()
        );
        let answer = talk(&server, head.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.contains("sec-websocket-version: 13"), "{answer}");
    }
    // Two tokens are none.
    let dial = Dial::new(server.url(), "a").bearer(user.token()).bearer(user.token());
    assert_eq!(dial.open().await.unwrap_err().status, 401);
}

async fn paths_that_are_wrong_are_problems(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let ask = async |method: &str, path: &str| {
        let bearer = format!("authorization: Bearer {}\r\n", user.token());
        let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{bearer}connection: close\r\n\r\n");
        let answer = talk(&server, head.as_bytes()).await;
        assert!(answer.contains("application/problem+json"), "{path}: {answer}");
        answer
    };
    for path in ["/api/devices/%", "/api/devices/%zz", "/api/devices/a%2", "/api/%ff", "/api/streams/%zz"] {
        for method in ["GET", "PUT", "DELETE"] {
            let answer = ask(method, path).await;
            assert!(answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
            assert!(answer.contains("\"malformed_path\""), "{path}: {answer}");
        }
    }
    for query in ["limit=%zz", "limit=%", "device_id=%ff", "unknown=%zz"] {
        let answer = ask("GET", &format!("/api/streams?{query}")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{query}: {answer}");
        assert!(answer.contains("\"malformed_query\""), "{query}: {answer}");
    }
    assert!(ask("GET", "/api/streams/%00").await.starts_with("HTTP/1.1 400"));
}

async fn what_is_not_http_is_let_go(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    for bytes in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"\0\0\0\0\r\n\r\n", b"HELO x\r\n\r\n"]
    {
        let answer = talk(&server, bytes).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    // HTTP/2 without an agreement.
    let answer = talk(&server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    assert_eq!(server.http().get("/ping").await.text, "pong");
}
