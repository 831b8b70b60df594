//! What is published arrives.

use std::io::{Read, Write};
use std::net::TcpStream;

use bytes::Bytes;
use streamz_bus::redis::Health;
use streamz_testkit::Redis;

use crate::peer::{Peer, lines};

#[tokio::test]
async fn texts_arrive_in_order_and_collect_while_one_is_under_way() {
    let redis = Redis::start().unwrap();
    let (a, b) = Peer::two(&[&redis]).await;
    const TEXTS: usize = 20_000;
    for number in 0..TEXTS {
        a.send(&b, &number.to_string());
        if number % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    b.hears(&(TEXTS - 1).to_string()).await;
    let envelopes = b.all_received();
    let numbers: Vec<usize> = envelopes.iter().flat_map(lines).map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers, (0..TEXTS).collect::<Vec<_>>());
    assert!(envelopes.len() < TEXTS / 10, "{} envelopes", envelopes.len());
    a.transport.flushed().await;
    // To itself as well.
    a.send(&a, "echo");
    a.hears("echo").await;
    a.end().await;
    b.end().await;
}

#[tokio::test]
async fn everybody_reaches_everybody_over_three_instances() {
    let servers = [(); 3].map(|()| Redis::start().unwrap());
    let servers: Vec<&Redis> = servers.iter().collect();
    let peers =
        [Peer::ready(&servers, 1).await, Peer::ready(&servers, 2).await, Peer::ready(&servers, 3).await];
    for from in &peers {
        for to in &peers {
            from.send(to, &format!("from {}", from.id.0));
        }
    }
    for to in &peers {
        for from in 1..=3 {
            to.hears(&format!("from {from}")).await;
        }
    }
}

#[tokio::test]
async fn clusters_that_share_an_instance_do_not_hear_each_other() {
    let redis = Redis::start().unwrap();
    let a = Peer::ready(&[&redis], 1).await;
    let mut other = crate::peer::settings(&[&redis], 1);
    other.namespace = "other".to_owned();
    let namesake = Peer::start(other).await;
    namesake.health(0, Health::Healthy).await;
    a.send(&a, "mine");
    a.hears("mine").await;
    namesake.send(&namesake, "last");
    namesake.hears("last").await;
    assert_eq!(namesake.all_received(), ["last"]);
}

#[tokio::test]
async fn any_bytes_are_handed_up_as_they_are_and_signals_never() {
    let redis = Redis::start().unwrap();
    let peer = Peer::ready(&[&redis], 0xabc).await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let signal = |rest: &[u8]| [b"\0streamz-signal\0", rest].concat();
    let envelopes: [&[u8]; 5] = [b"", b"\0", &every_byte, b"*3\r\n$7\r\nmessage\r\n", &vec![b'x'; 3 << 20]];
    let signals = [
        signal(b""),
        signal(b"P"),
        signal(b"L"),
        signal(b"L123"),
        signal(&[b"L".as_slice(), &[0; 24]].concat()),
        signal(b"newer"),
    ];
    let mut socket = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
    for payload in signals.iter().map(Vec::as_slice).chain(envelopes).chain([b"end".as_slice()]) {
        assert_eq!(publish(&mut socket, "streamz:test:0000000000000abc", payload), ":1\r\n");
    }
    let received = peer.received(|all| all.last().is_some_and(|last| last == "end")).await;
    let expected: Vec<Bytes> =
        envelopes.iter().map(|envelope| Bytes::copy_from_slice(envelope)).chain(["end".into()]).collect();
    assert!(received == expected);
    assert_eq!(peer.transport.statuses()[0].health, Health::Healthy);
}

fn publish(socket: &mut TcpStream, channel: &str, payload: &[u8]) -> String {
    let head = format!("*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n${}\r\n", channel.len(), payload.len());
    socket.write_all(&[head.as_bytes(), payload, b"\r\n"].concat()).unwrap();
    let mut answer = [0; 64];
    let length = socket.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}
