//! A process that speaks TLS itself.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use streamz_tests::{PATIENCE, Server, Topology, command, eventually, run, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

fn address(server: &Server) -> String {
    server.url().strip_prefix("https://").unwrap().to_owned()
}

/// A certificate for `localhost` in these files.
fn make(certificate: &Path, key: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    write(certificate, key, &cert.pem(), &signing_key);
    cert.der().clone()
}

fn write(certificate: &Path, key: &Path, pem: &str, signing: &KeyPair) {
    std::fs::write(key, signing.serialize_pem()).unwrap();
    std::fs::write(certificate, pem).unwrap();
}

/// A connection to a server that shows this certificate, under this name.
async fn connect(
    address: &str,
    trusted: &CertificateDer<'static>,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await
}

/// The answer to one request, head and body.
async fn ask(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Whoever does not say goodbye in TLS has said all, too.
    let _ = soon(stream.read_to_end(&mut answer)).await;
    String::from_utf8(answer).unwrap()
}

const PING: &str = "GET /ping HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

#[test]
fn pages_and_sockets_come_over_tls_and_a_renewed_certificate_is_taken() {
    run(Topology::EmbeddedSqlite, |topology| async move {
        let folder = tempfile::tempdir().unwrap();
        let files = ["certificate.pem", "key.pem"].map(|name| folder.path().join(name));
        let [certificate, key] = &files;
        let first = make(certificate, key);
        let variables = [("TLS_CERT", certificate.to_str().unwrap()), ("TLS_KEY", key.to_str().unwrap())];
        let server = Server::start(topology, &variables).await;
        let address = address(&server);
        assert!(ask(connect(&address, &first, "localhost").await.unwrap(), PING).await.ends_with("pong"));

        // An account, and a device of it that hears another one come.
        let body = json!({"email": "ada@example.org", "password": "correct horse battery"}).to_string();
        let request = format!(
            "POST /api/auth/register HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = ask(connect(&address, &first, "localhost").await.unwrap(), &request).await;
        let account: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        let token = account["access_token"].as_str().unwrap();
        let open = async |device: &str| {
            let stream = connect(&address, &first, "localhost").await.unwrap();
            let mut request = format!("wss://localhost/ws?device_id={device}").into_client_request().unwrap();
            let offered = format!("streamz.v1, bearer.{token}");
            request.headers_mut().insert("sec-websocket-protocol", offered.parse().unwrap());
            tokio_tungstenite::client_async(request, stream).await.unwrap().0
        };
        let mut phone = open("phone").await;
        hears(&mut phone, "welcome").await;
        let mut tv = open("tv").await;
        hears(&mut tv, "welcome").await;
        hears(&mut phone, "device_online").await;

        // What is no certificate is not taken; the next one is, and sockets stay.
        std::fs::write(certificate, "not a certificate").unwrap();
        eventually(|| async { server.log().contains("the certificate stays the old one").then_some(()) })
            .await;
        assert!(ask(connect(&address, &first, "localhost").await.unwrap(), PING).await.ends_with("pong"));
        let second = make(certificate, key);
        let stream = eventually(|| async { connect(&address, &second, "localhost").await.ok() }).await;
        assert!(ask(stream, PING).await.ends_with("pong"));
        assert!(connect(&address, &first, "localhost").await.is_err());
        futures_util::SinkExt::send(&mut tv, r#"{"type":"ping","payload":{}}"#.into()).await.unwrap();
        hears(&mut tv, "pong").await;
    });
}

async fn hears<S>(socket: &mut tokio_tungstenite::WebSocketStream<S>, kind: &str)
where
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    let frame = soon(futures_util::StreamExt::next(socket)).await.unwrap().unwrap();
    let frame: Value = serde_json::from_str(frame.to_text().unwrap()).unwrap();
    assert_eq!(frame["type"], kind, "{frame}");
}

#[test]
fn a_certificate_for_this_machine_is_made_and_kept() {
    run(Topology::EmbeddedSqlite, |topology| async move {
        let mut server = Server::start(topology, &[("TLS_SELF_SIGNED", "true"), ("HOST", "0.0.0.0")]).await;
        let folder = server.data_dir().join("tls");
        let pem = std::fs::read(folder.join("certificate.pem")).unwrap();
        let trusted = CertificateDer::from_pem_slice(&pem).unwrap();
        for name in ["localhost", "127.0.0.1"] {
            assert!(
                ask(connect(&address(&server), &trusted, name).await.unwrap(), PING).await.ends_with("pong")
            );
        }
        let port = server.url().rsplit(':').next().unwrap();
        assert!(server.log().contains(&format!("https://localhost:{port}/")), "{}", server.log());
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(folder.join("key.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // It is made anew while the process runs, when its end is near.
        let note = std::fs::read_to_string(folder.join("names")).unwrap();
        let (_, names) = note.split_once('\n').unwrap();
        std::fs::write(folder.join("names"), format!("2026-01-01T00:00:00Z\n{names}")).unwrap();
        let renewed = eventually(|| async {
            let pem = std::fs::read(folder.join("certificate.pem")).ok()?;
            let renewed = CertificateDer::from_pem_slice(&pem).ok().filter(|renewed| *renewed != trusted)?;
            let stream = connect(&address(&server), &renewed, "localhost").await.ok()?;
            Some((pem, stream))
        });
        let (pem, stream) = renewed.await;
        assert!(ask(stream, PING).await.ends_with("pong"));
        assert!(connect(&address(&server), &trusted, "localhost").await.is_err());
        // Whoever trusted it need not do so again.
        server.stop().await;
        server.start_again(&[]).await;
        assert_eq!(std::fs::read(folder.join("certificate.pem")).unwrap(), pem);
        // Until names are missing in it.
        server.stop().await;
        std::fs::write(folder.join("names"), "2999-01-01T00:00:00Z\nlocalhost\n").unwrap();
        server.start_again(&[]).await;
        assert_ne!(std::fs::read(folder.join("certificate.pem")).unwrap(), pem);
    });
}

#[test]
fn plain_http_is_sent_to_https_and_whoever_says_nothing_is_cut_off() {
    run(Topology::EmbeddedSqlite, |topology| async move {
        let server =
            Server::start(topology, &[("TLS_SELF_SIGNED", "true"), ("HEADER_TIMEOUT", "500ms")]).await;
        let address = address(&server);
        let plain = async |request: &str| ask(TcpStream::connect(&address).await.unwrap(), request).await;
        let get = "GET /docs?x=1 HTTP/1.1\r\nhost: laptop.local:8080\r\nconnection: close\r\n\r\n";
        let answer = plain(get).await;
        assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
        assert!(answer.contains("location: https://laptop.local:8080/docs?x=1\r\n"), "{answer}");
        // A password is not to be sent in the open a second time.
        let post = "POST /api/auth/login HTTP/1.1\r\nhost: laptop.local\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
        let answer = plain(post).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("This port speaks https"), "{answer}");

        // Silence, the beginning of a handshake, and the beginning of a head.
        for beginning in [&b""[..], &[0x16, 3, 1], b"GET / HT"] {
            let began = Instant::now();
            let mut stream = TcpStream::connect(&address).await.unwrap();
            stream.write_all(beginning).await.unwrap();
            let mut rest = Vec::new();
            let _ = soon(stream.read_to_end(&mut rest)).await;
            assert!(began.elapsed() < PATIENCE / 4, "{beginning:?}");
        }
    });
}

#[test]
fn a_certificate_that_cannot_be_used_is_said_in_a_sentence() {
    run(Topology::EmbeddedSqlite, |_| async move {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key, other, text, missing] =
            ["a.pem", "a.key", "b.key", "text", "missing"].map(|name| folder.path().join(name));
        make(&certificate, &key);
        make(&folder.path().join("b.pem"), &other);
        std::fs::write(&text, "text").unwrap();
        for (certificate, key, code, said) in [
            (&missing, &key, 1, "TLS_CERT: "),
            (&text, &key, 1, "is no certificate in PEM."),
            (&certificate, &text, 1, "is no private key in PEM."),
            (&certificate, &other, 1, "TLS_CERT, TLS_KEY: certificate and key cannot be used"),
        ] {
            let variables = [("TLS_CERT", certificate.to_str().unwrap()), ("TLS_KEY", key.to_str().unwrap())];
            let (status, err) = start(folder.path(), &variables).await;
            assert_eq!(status, Some(code), "{err}");
            assert!(err.contains(said), "{err}");
        }
        let (status, err) = start(folder.path(), &[("TLS_CERT", "a.pem")]).await;
        assert_eq!(status, Some(2), "{err}");
        assert!(err.contains("TLS_KEY is missing"), "{err}");
    });
}

async fn start(folder: &Path, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let variables = [&[("PORT", "0"), ("TURN_PORT", "off")], variables].concat();
    let output = soon(command(folder, &[], &variables)).await;
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}
