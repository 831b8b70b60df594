//! The servers start, obey, and never outlive whoever started them.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};

use streamz_testkit::{Postgres, Redis};

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// Of `NAME=scheme://…@host:port/…`.
fn port_of(line: &str) -> u16 {
    let after_host = line.rsplit_once("127.0.0.1:").unwrap().1;
    after_host.split('/').next().unwrap().parse().unwrap()
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
    assert_ne!(Postgres::shared().create_database(), Postgres::shared().create_database());
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

#[test]
fn a_killed_process_leaves_no_server() {
    let mut victim = Command::new(env!("CARGO_BIN_EXE_streamz-testkit"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let ports: Vec<u16> = BufReader::new(victim.stdout.take().unwrap())
        .lines()
        .take(2)
        .map(|line| port_of(&line.unwrap()))
        .collect();
    assert_eq!(ports.len(), 2);
    // Each connection sees its server's end without asking again and again. It is in use: Postgres takes up to its
    // authentication timeout over one that it accepted in the moment of its shutdown.
    const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
    let mut sockets: Vec<TcpStream> = ports
        .iter()
        .zip([SSL_REQUEST, b"PING\r\n"])
        .map(|(port, greeting)| {
            let mut socket = TcpStream::connect(("127.0.0.1", *port)).unwrap();
            socket.write_all(greeting).unwrap();
            assert!(socket.read(&mut [0; 64]).unwrap() > 0);
            socket
        })
        .collect();
    victim.kill().unwrap();
    victim.wait().unwrap();
    for socket in &mut sockets {
        socket.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
        // The end of the stream or a reset, not a timeout.
        let closed = match socket.read(&mut [0; 64]) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        };
        assert!(closed);
    }
}
