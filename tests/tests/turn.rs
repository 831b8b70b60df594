//! Relaying, without media: who gets a relayed port, of the server in the process and of coturn with the settings that are
//! shipped.
#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::HOST;
use serde_json::{Value, json};
use sha1::Sha1;
use streamz_tests::{
    Http, Server, Topology, TurnClient, TurnServer, User, eventually, on_both_turn_servers, run, soon,
};
use tokio::net::UdpSocket;

on_both_turn_servers![
    a_device_gets_a_relayed_port_with_what_it_was_told,
    a_forged_credential_is_refused,
    a_lapsed_credential_is_refused_and_what_it_began_goes_on,
    nothing_is_relayed_into_private_networks,
    a_user_has_so_many_ports,
    whoever_is_revoked_is_told_nothing_new,
];

/// The entry with credentials, of what a device is told.
fn relay(ice_servers: &Value) -> Value {
    let servers = ice_servers.as_array().unwrap();
    servers.iter().find(|server| server.get("credential").is_some()).unwrap().clone()
}

async fn told(user: &User) -> Value {
    relay(&user.get("/api/ice-servers").await.json()["ice_servers"])
}

/// What the secret's owner would make for this name.
fn credential(username: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(TurnServer::SECRET.as_bytes()).unwrap();
    mac.update(username.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Waits until these credentials are refused.
async fn lapses(told: &Value) {
    // Their ports are not given to others meanwhile: coturn knows a client by its port a little longer.
    let clients = Mutex::new(Vec::new());
    eventually(|| async {
        let client = TurnClient::told(told).await;
        let answer = client.allocate().await;
        if answer.is_ok() {
            client.refresh(0).await.unwrap();
        }
        clients.lock().unwrap().push(client);
        match answer {
            Err(401) => Some(()),
            // coturn counts a port that has ended a moment later.
            Ok(_) | Err(486) => None,
            Err(code) => panic!("{code}"),
        }
    })
    .await;
}

async fn a_device_gets_a_relayed_port_with_what_it_was_told(turn: TurnServer) {
    let (server, _coturn) = turn.start(&[]).await;
    let user = User::new(&server).await;
    let phone = user.raw("phone").await;
    for told in [told(&user).await, relay(&phone.welcome["ice_servers"])] {
        let client = TurnClient::told(&told).await;
        let relayed = client.allocate().await.unwrap();
        assert_eq!(relayed.ip().to_string(), "127.0.0.1");
        assert!((49152..=65535).contains(&relayed.port()));
        assert_eq!(client.refresh(600).await, Ok(()));
        assert_eq!(client.permit("8.8.8.8:9").await, Ok(()));
        assert_eq!(client.refresh(0).await, Ok(()));
        // coturn answers a little longer.
        if turn == TurnServer::Embedded {
            assert_eq!(client.refresh(600).await, Err(437), "it has ended");
        }
    }
}

async fn a_forged_credential_is_refused(turn: TurnServer) {
    let (server, _coturn) = turn.start(&[]).await;
    let user = User::new(&server).await;
    let told = told(&user).await;
    let name = told["username"].as_str().unwrap();
    let (expiry, id) = name.split_once(':').unwrap();
    let later = format!("{}:{id}", expiry.parse::<u64>().unwrap() + 1);
    for (username, password) in [
        (&*format!("{expiry}:{}", uuid::Uuid::new_v4()), told["credential"].as_str().unwrap()),
        (&*later, told["credential"].as_str().unwrap()),
        (name, "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        (name, TurnServer::SECRET),
        ("ann", "ann"),
    ] {
        let mut forged = told.clone();
        (forged["username"], forged["credential"]) = (json!(username), json!(password));
        assert_eq!(TurnClient::told(&forged).await.allocate().await, Err(401), "{username} {password}");
    }
    // With the secret one makes any: the refusals above are not for want of something else.
    let mut made = told.clone();
    (made["username"], made["credential"]) = (json!(later), json!(credential(&later)));
    TurnClient::told(&made).await.allocate().await.unwrap();
}

async fn a_lapsed_credential_is_refused_and_what_it_began_goes_on(turn: TurnServer) {
    let (server, _coturn) = turn.start(&[("TURN_TTL", "2s")]).await;
    let user = User::new(&server).await;
    let told = told(&user).await;
    let begun = TurnClient::told(&told).await;
    begun.allocate().await.unwrap();
    lapses(&told).await;
    assert_eq!(begun.refresh(600).await, Ok(()), "a call outlives its credentials");
    assert_eq!(begun.permit("8.8.8.8:9").await, Ok(()));
    let new = self::told(&user).await;
    assert_ne!(new["username"], told["username"]);
    // coturn counts ports that have ended a moment later.
    eventually(|| async { TurnClient::told(&new).await.allocate().await.ok() }).await;
    let long_ago = format!("1:{}", user.signed_in.user.id);
    let mut old = told.clone();
    (old["username"], old["credential"]) = (json!(long_ago), json!(credential(&long_ago)));
    assert_eq!(TurnClient::told(&old).await.allocate().await, Err(401));
}

async fn nothing_is_relayed_into_private_networks(turn: TurnServer) {
    let (server, _coturn) = turn.start(&[]).await;
    let user = User::new(&server).await;
    let client = TurnClient::told(&told(&user).await).await;
    client.allocate().await.unwrap();
    for peer in [
        "10.0.0.1:80",
        "100.64.0.1:80",
        "127.0.0.2:80",
        "169.254.169.254:80",
        "172.16.0.1:80",
        "172.31.255.255:80",
        "192.168.0.1:80",
        "198.18.0.1:80",
        "224.0.0.251:5353",
        "255.255.255.255:9",
    ] {
        assert_eq!(client.permit(peer).await, Err(403), "{peer}");
    }
    for peer in ["8.8.8.8:53", "172.15.255.255:80", "100.128.0.1:80"] {
        assert_eq!(client.permit(peer).await, Ok(()), "{peer}");
    }
}

async fn a_user_has_so_many_ports(turn: TurnServer) {
    let (server, _coturn) = turn.start(&[]).await;
    let (ann, bob) = (User::new(&server).await, User::new(&server).await);
    let told = [told(&ann).await, told(&bob).await];
    let mut clients = Vec::new();
    for _ in 0..32 {
        let client = TurnClient::told(&told[0]).await;
        client.allocate().await.unwrap();
        clients.push(client);
    }
    assert_eq!(TurnClient::told(&told[0]).await.allocate().await, Err(486));
    TurnClient::told(&told[1]).await.allocate().await.unwrap();
    clients[7].refresh(0).await.unwrap();
    // coturn counts one that has ended a moment later.
    eventually(|| async { TurnClient::told(&told[0]).await.allocate().await.ok() }).await;
}

async fn whoever_is_revoked_is_told_nothing_new(turn: TurnServer) {
    let (server, _coturn) = turn.start(&[("TURN_TTL", "4s")]).await;
    let user = User::new(&server).await;
    let gone = user.sign_in_again().await.unwrap();
    let (mut phone, mut tv) = (user.raw("phone").await, gone.raw("tv").await);
    let told = relay(&tv.welcome["ice_servers"]);
    TurnClient::told(&told).await.allocate().await.unwrap();
    assert_eq!(
        server
            .http()
            .send_as(gone.token(), reqwest::Method::POST, "/api/auth/logout", &json!({}))
            .await
            .status,
        204
    );
    tv.closes(4502).await;
    assert_eq!(gone.get("/api/ice-servers").await.status, 401);
    // The sign-in that was not ended is told new ones, in band.
    let renewed = relay(&soon(phone.until("ice_servers")).await["payload"]["ice_servers"]);
    assert_ne!(renewed["username"], told["username"]);
    TurnClient::told(&renewed).await.allocate().await.unwrap();
    lapses(&told).await;
}

#[test]
fn limits_of_the_own_server_are_those_that_are_configured() {
    run(Topology::EmbeddedSqlite, |topology| async move {
        let limits = [
            ("TURN_PORT", "0"),
            ("TURN_ALLOCATIONS_PER_USER", "2"),
            ("TURN_PUBLIC_IP", "198.51.100.7"),
            ("TURN_HOST", "127.0.0.1"),
            ("TURN_ALLOW_PRIVATE", "true"),
        ];
        let server = Server::start(topology, &limits).await;
        let user = User::new(&server).await;
        let mut told = told(&user).await;
        let url = told["urls"][0].as_str().unwrap().to_owned();
        assert!(url.starts_with("turn:198.51.100.7:"), "{url}");
        told["urls"][0] = json!(url.replace("198.51.100.7", "127.0.0.1"));
        let clients =
            [TurnClient::told(&told).await, TurnClient::told(&told).await, TurnClient::told(&told).await];
        for client in &clients[..2] {
            assert_eq!(client.allocate().await.unwrap().ip().to_string(), "198.51.100.7");
        }
        assert_eq!(clients[2].allocate().await, Err(486));
        assert_eq!(clients[0].permit("127.0.0.1:80").await, Ok(()));
        assert_eq!(clients[0].permit("0.0.0.0:80").await, Err(403));
        let wanted = [
            "streamz_turn_allocations 2",
            "streamz_turn_allocated_total 2",
            "streamz_turn_refused_total{reason=\"quota\"} 1",
            "streamz_turn_refused_total{reason=\"peer\"} 1",
            "streamz_turn_refused_total{reason=\"credentials\"} 0",
        ];
        eventually(|| async {
            let text = server.http().get("/metrics").await.text;
            wanted.iter().all(|line| text.contains(line)).then_some(())
        })
        .await;
    });
}

#[test]
fn ports_that_run_out_are_said_and_come_back() {
    run(Topology::EmbeddedSqlite, |topology| async move {
        let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let ports = format!("{port}-{port}");
        let server = Server::start(topology, &[("TURN_PORT", "0"), ("TURN_RELAY_PORTS", &ports)]).await;
        let user = User::new(&server).await;
        let told = told(&user).await;
        assert_eq!(TurnClient::told(&told).await.allocate().await, Err(508));
        drop(taken);
        assert_eq!(TurnClient::told(&told).await.allocate().await.unwrap().port(), port);
    });
}

#[test]
fn a_port_in_use_is_said_and_the_rest_works() {
    run(Topology::EmbeddedSqlite, |topology| async move {
        let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = taken.local_addr().unwrap().port().to_string();
        let server = Server::start(topology, &[("TURN_PORT", &port)]).await;
        let why = format!("TURN      none: UDP 127.0.0.1:{port} cannot be listened on");
        eventually(|| async { server.log().contains(&why).then_some(()) }).await;
        let user = User::new(&server).await;
        assert_eq!(user.get("/api/ice-servers").await.json(), json!({"ice_servers": [], "expires_at": null}));
        assert_eq!(user.raw("phone").await.welcome["ice_servers"], json!([]));
    });
}

#[test]
fn on_all_addresses_a_device_is_told_the_one_that_it_knows() {
    run(Topology::EmbeddedSqlite, |topology| async move {
        let all = [("TURN_PORT", "0"), ("TURN_HOST", "0.0.0.0"), ("TURN_TTL", "2s")];
        let server = Server::start(topology, &all).await;
        let user = User::new(&server).await;
        let http = Http::new(server.url());
        for (reached, host) in
            [("laptop.example:8080", "laptop.example"), ("[::1]:8080", "[::1]"), ("10.1.2.3", "10.1.2.3")]
        {
            let request = http.request(reqwest::Method::GET, "/api/ice-servers").bearer_auth(user.token());
            let told = relay(&http.send(request.header(HOST, reached)).await.json()["ice_servers"]);
            let url = told["urls"][0].as_str().unwrap();
            assert!(url.starts_with(&format!("turn:{host}:")), "{url}");
        }
        let mut phone = user.raw("phone").await;
        let told = relay(&phone.welcome["ice_servers"]);
        let relayed = TurnClient::told(&told).await.allocate().await.unwrap();
        assert_eq!(relayed.ip().to_string(), "127.0.0.1", "the address that faces this client");
        let renewed = relay(&soon(phone.until("ice_servers")).await["payload"]["ice_servers"]);
        assert_eq!(renewed["urls"], told["urls"]);
    });
}
