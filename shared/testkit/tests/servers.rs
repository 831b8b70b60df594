//! The servers start, obey, and never outlive whoever started them.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};

use streamz_testkit::{Postgres, Redis};

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn redis_ping(redis: &Redis) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
    socket.write_all(b"PING\r\n").unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn postgres_starts_stops_and_keeps_its_data() {
    let postgres = Postgres::start().unwrap();
    let url = postgres.create_database();
    assert_eq!(url, postgres.url("test_0"));
    postgres.sql("test_0", "CREATE TABLE t (n INT); INSERT INTO t VALUES (7)");
    postgres.stop();
    assert!(!listens(postgres.port()));
    postgres.start_again();
    assert_eq!(postgres.sql("test_0", "SELECT n FROM t"), "7");
    postgres.crash();
    postgres.start_again();
    assert!(postgres.log().contains("database system is ready"));
    let port = postgres.port();
    drop(postgres);
    assert!(!listens(port));
}

#[test]
fn each_test_has_its_own_database() {
    assert_ne!(
        Postgres::shared().create_database(),
        Postgres::shared().create_database()
    );
}

#[test]
fn redis_starts_stops_and_pauses() {
    let redis = Redis::start().unwrap();
    assert_eq!(redis_ping(&redis), "+PONG\r\n");
    redis.stop();
    assert!(!listens(redis.port()));
    redis.start_again();
    redis.pause();
    redis.resume();
    assert_eq!(redis_ping(&redis), "+PONG\r\n");
    redis.pause();
    let port = redis.port();
    drop(redis);
    assert!(!listens(port));
}

/// Not a test by itself: what the test below kills.
#[test]
fn victim() {
    if std::env::var_os("STREAMZ_TESTKIT_VICTIM").is_none() {
        return;
    }
    let (postgres, redis) = (Postgres::shared(), Redis::shared());
    println!("\nports {} {}", postgres.port(), redis.port());
    // Until killed.
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn a_killed_process_leaves_no_server() {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture"])
        .env("STREAMZ_TESTKIT_VICTIM", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let ports: Vec<u16> = BufReader::new(victim.stdout.take().unwrap())
        .lines()
        .find_map(|line| Some(line.unwrap().strip_prefix("ports ")?.to_owned()))
        .unwrap()
        .split(' ')
        .map(|port| port.parse().unwrap())
        .collect();
    // Each holds a connection open and so sees the server's end without asking again and again.
    let mut sockets: Vec<TcpStream> = ports
        .iter()
        .map(|port| TcpStream::connect(("127.0.0.1", *port)).unwrap())
        .collect();
    victim.kill().unwrap();
    victim.wait().unwrap();
    for socket in &mut sockets {
        socket
            .set_read_timeout(Some(std::time::Duration::from_secs(30)))
            .unwrap();
        // The end of the stream or a reset, not a timeout.
        let closed = match socket.read(&mut [0; 64]) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        };
        assert!(closed);
    }
}
