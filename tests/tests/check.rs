//! What `streamz check` says of certificates and relays.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use streamz_tests::{Server, Topology, TurnServer, command, run, soon};

/// Its verdict, and the lines that are said.
async fn check(folder: &Path, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let variables = [&[("PORT", "0"), ("TURN_PORT", "off")], variables].concat();
    let output = soon(command(folder, &["check"], &variables)).await;
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

fn line<'a>(said: &'a str, start: &str) -> &'a str {
    said.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start:?} in {said}"))
}

/// A certificate that ends in so many days, and its key.
fn make(folder: &Path, name: &str, days: i64) {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let epoch = date_time_ymd(1970, 1, 1);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    params.not_before = epoch;
    params.not_after = epoch + now + std::time::Duration::from_secs(3600);
    let shift = std::time::Duration::from_secs(days.unsigned_abs() * 86_400);
    params.not_after = if days < 0 { params.not_after - shift } else { params.not_after + shift };
    let key = KeyPair::generate().unwrap();
    std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), params.self_signed(&key).unwrap().pem()).unwrap();
}

#[test]
fn a_certificate_is_looked_at_before_anybody_is_served_with_it() {
    run(Topology::EmbeddedSqlite, async |_| {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path();
        make(folder, "good", 64);
        make(folder, "soon", 13);
        make(folder, "over", -2);
        for (certificate, key, code, start, words) in [
            (
                "good.pem",
                "good.key",
                0,
                "  ok         certificate: ",
                "good.pem fits its key, and is valid for 64 more days",
            ),
            ("soon.pem", "soon.key", 0, "  note       certificate: ", "13 more days: less than 14"),
            ("over.pem", "over.key", 1, "  problem    certificate: ", "was valid until "),
            ("good.pem", "soon.key", 1, "  problem    certificate: ", "certificate and key cannot be used"),
            ("none.pem", "good.key", 1, "  problem    certificate: ", "none.pem cannot be read"),
        ] {
            let (status, said) = check(folder, &[("TLS_CERT", certificate), ("TLS_KEY", key)]).await;
            assert_eq!(status, Some(code), "{said}");
            assert!(line(&said, start).contains(words), "{words}: {said}");
        }
        let (status, said) = check(folder, &[("TLS_SELF_SIGNED", "true")]).await;
        assert_eq!(status, Some(0), "{said}");
        assert!(line(&said, "  ok         certificate: ").ends_with("will be made at the start"), "{said}");
        assert!(!folder.join("data").exists(), "nothing was made");
    });
}

#[test]
fn relays_are_asked_for_a_port_with_a_credential_of_now() {
    run(Topology::EmbeddedSqlite, async |_| {
        let home = tempfile::tempdir().unwrap();
        let (server, coturn) = TurnServer::Coturn.start(&[]).await;
        let port = coturn.as_ref().unwrap().port();
        let urls = format!(
            "stun:127.0.0.1:{port},turn:127.0.0.1:{port}?transport=udp,turn:localhost:{port}?transport=tcp"
        );
        let variables = [("TURN_URLS", &*urls), ("TURN_SECRET", TurnServer::SECRET)];
        let (code, said) = check(home.path(), &variables).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(&format!("  ok         TURN: stun:127.0.0.1:{port} answers\n")), "{said}");
        for transport in
            [format!("127.0.0.1:{port}?transport=udp"), format!("localhost:{port}?transport=tcp")]
        {
            let wanted = format!("TURN: turn:{transport} gave a relayed port for a fresh credential\n");
            assert!(said.contains(&wanted), "{wanted}: {said}");
        }
        assert!(!said.contains(TurnServer::SECRET), "{said}");
        let wrong = [("TURN_URLS", &*urls), ("TURN_SECRET", "another-harbour-Kx8-bridge")];
        let (code, said) = check(home.path(), &wrong).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(
            line(&said, "  problem    TURN: TURN_URLS: turn:")
                .contains("does not take a credential made with TURN_SECRET")
        );
        drop(server);

        // Nobody is there, whoever is silent, a name that leads nowhere: devices may see more than this machine does. But
        // who answers with anything else is useless to them, too.
        let web = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let web_port = web.local_addr().unwrap().port();
        let web = tokio::spawn(async move {
            let (mut stream, _) = web.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, &[b'x'; 4096]).await.unwrap();
        });
        let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let silent = (silent.local_addr().unwrap().port(), silent);
        let away = format!(
            "turn:127.0.0.1:1?transport=tcp,turn:127.0.0.1:{}?transport=udp,stun:no-such-host.invalid",
            silent.0
        );
        let began = std::time::Instant::now();
        let (code, said) =
            check(home.path(), &[("TURN_URLS", &away), ("TURN_SECRET", TurnServer::SECRET)]).await;
        assert_eq!(code, Some(0), "{said}");
        for words in
            ["127.0.0.1:1?transport=tcp cannot be reached", "does not answer within 4 s", "leads nowhere"]
        {
            let note =
                said.lines().find(|line| line.starts_with("  note       TURN: ") && line.contains(words));
            assert!(note.is_some_and(|note| note.ends_with("can devices reach it?")), "{words}: {said}");
        }
        let other = format!("turn:127.0.0.1:{web_port}?transport=tcp");
        let (code, said) =
            check(home.path(), &[("TURN_URLS", &other), ("TURN_SECRET", TurnServer::SECRET)]).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(line(&said, "  problem    TURN: ").contains("answers something that is no STUN"), "{said}");
        web.await.unwrap();
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "all are asked at once");
    });
}

#[test]
fn the_port_of_the_server_in_the_process_is_tried() {
    run(Topology::EmbeddedSqlite, async |topology| {
        let server = Server::start(topology, &[]).await;
        let taken = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = taken.local_addr().unwrap().port().to_string();
        let home = tempfile::tempdir().unwrap();
        let (code, said) = check(home.path(), &[("TURN_PORT", &port)]).await;
        assert_eq!(code, Some(0), "the rest starts without it: {said}");
        assert!(line(&said, "  note       TURN: UDP ").contains("cannot be listened on"), "{said}");
        drop(taken);
        let (code, said) = check(home.path(), &[("TURN_PORT", &port)]).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(line(&said, "  ok         TURN: UDP ").ends_with("is free"), "{said}");
        drop(server);
    });
}
