//! Keys that sign access tokens: taken, changed and retired without signing anybody out.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData, SignatureAlgorithm};
use serde_json::{Value, json};
use streamz_tests::{Http, Place, Server, Topology, User, eventually, run};

const SECRET: &str = "vUzs6w9GgE4M0uRCHn2q7dYkXbPpLtA3";

fn make(folder: &Path, kid: &str, algorithm: &'static SignatureAlgorithm) -> KeyPair {
    let key = KeyPair::generate_for(algorithm).unwrap();
    // As a whole: whoever looks at the folder meanwhile finds the old or the new file.
    let draft = folder.join("draft");
    std::fs::write(&draft, key.serialize_pem()).unwrap();
    std::fs::rename(draft, folder.join(format!("{kid}.pem"))).unwrap();
    key
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../shared/auth/tests/keys/{name}.pem"))
}

fn head(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap()).unwrap()
}

/// The names and algorithms that are published.
async fn published(http: &Http) -> Vec<(String, String)> {
    let answer = http.get("/.well-known/jwks.json").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let keys = answer.json();
    let text = |key: &Value, member: &str| key[member].as_str().unwrap().to_owned();
    let keys = keys["keys"].as_array().unwrap();
    for key in keys {
        assert!(["d", "k", "p", "q"].iter().all(|private| key.get(private).is_none()), "{key}");
    }
    keys.iter().map(|key| (text(key, "kid"), text(key, "alg"))).collect()
}

fn named(names: &[(&str, &str)]) -> Vec<(String, String)> {
    names.iter().map(|(kid, alg)| ((*kid).to_owned(), (*alg).to_owned())).collect()
}

async fn status(http: &Http, token: &str) -> u16 {
    http.get_as(token, "/api/auth/me").await.status
}

#[test]
fn keys_come_and_go_while_the_process_runs() {
    run(Topology::EmbeddedSqlite, async |topology| {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let ed = make(folder, "2026-11", &PKCS_ED25519);
        let variables = [("JWT_KEYS_DIR", folder.to_str().unwrap()), ("JWT_SIGNING_KEY", "2026-11")];
        let mut server = Server::start(topology, &variables).await;
        let user = User::new(&server).await;
        assert_eq!(head(user.token()), json!({"typ": "JWT", "alg": "EdDSA", "kid": "2026-11"}));
        assert_eq!(published(&server.http()).await, named(&[("2026-11", "EdDSA")]));
        let shown = server.http().get("/.well-known/jwks.json").await.json();
        assert_eq!(shown["keys"][0]["x"], URL_SAFE_NO_PAD.encode(ed.der_bytes()));
        assert!(!server.data_dir().join("key").exists(), "no other key was made");

        // The next one is there for everybody, long before it signs.
        make(folder, "2026-12", &PKCS_ECDSA_P256_SHA256);
        let both = named(&[("2026-11", "EdDSA"), ("2026-12", "ES256")]);
        eventually(|| async { (published(&server.http()).await == both).then_some(()) }).await;
        // What is no key changes nothing, and is said.
        std::fs::copy(fixture("rsa1024"), folder.join("2027-01.pem")).unwrap();
        eventually(|| async {
            server.log().contains("2027-01.pem is an RSA key of 1024 bits").then_some(())
        })
        .await;
        assert_eq!(published(&server.http()).await, both);
        assert_eq!(status(&server.http(), user.token()).await, 200);
        std::fs::remove_file(folder.join("2027-01.pem")).unwrap();

        // It signs. A device that was connected comes back with its old token, and so does one with a new.
        let phone = user.raw("phone").await;
        server.stop().await;
        server.start_again(&[("JWT_SIGNING_KEY", "2026-12")]).await;
        drop(phone);
        user.raw("phone").await;
        assert_eq!(status(&server.http(), user.token()).await, 200);
        let fresh = user.sign_in_again().await.unwrap();
        assert_eq!(head(fresh.token())["kid"], "2026-12");
        fresh.raw("tv").await;

        // The old one retires.
        std::fs::remove_file(folder.join("2026-11.pem")).unwrap();
        let gone = eventually(|| async {
            let answer = server.http().get_as(user.token(), "/api/auth/me").await;
            (answer.status == 401).then(|| answer.problem())
        });
        assert_eq!(gone.await, (401, "invalid_token".to_owned()));
        user.dial("phone").refused(4500).await;
        assert_eq!(status(&server.http(), fresh.token()).await, 200);
        // Without a key that signs the folder is not taken.
        std::fs::remove_file(folder.join("2026-12.pem")).unwrap();
        eventually(|| async { server.log().contains("there is no 2026-12.pem in ").then_some(()) }).await;
        assert_eq!(status(&server.http(), fresh.token()).await, 200);
    });
}

#[test]
fn a_public_key_passed_off_as_a_secret_opens_nothing() {
    run(Topology::EmbeddedSqlite, async |topology| {
        let folder = tempfile::tempdir().unwrap();
        let key = make(folder.path(), "k", &PKCS_ED25519);
        let variables = [
            ("JWT_KEYS_DIR", folder.path().to_str().unwrap()),
            ("JWT_SIGNING_KEY", "k"),
            ("JWT_SECRET", SECRET),
        ];
        let server = Server::start(topology, &variables).await;
        let user = User::new(&server).await;
        let claims = user.token().split('.').nth(1).unwrap();
        for secret in [key.public_key_pem().as_bytes(), key.der_bytes(), SECRET.as_bytes()] {
            for header in [
                json!({"alg": "HS256", "kid": "k"}),
                json!({"alg": "EdDSA", "kid": "k"}),
                json!({"alg": "none", "kid": "k"}),
                json!({"alg": "HS256", "kid": "x"}),
                json!({"alg": "EdDSA"}),
            ] {
                let message = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(header.to_string()));
                let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret).unwrap();
                mac.update(message.as_bytes());
                let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
                let answer = server.http().get_as(&forged, "/api/auth/me").await;
                assert_eq!(answer.problem(), (401, "invalid_token".into()), "{header}");
            }
        }
    });
}

/// A fleet goes from a secret to keys, process by process. Whatever a gateway signs, every other one takes.
#[test]
fn a_fleet_goes_from_a_secret_to_keys_and_nobody_signs_in_again() {
    run(Topology::Fleet { gateways: 2, nodes: 1, redis: 1 }, async |topology| {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), "2026-11", &PKCS_ED25519);
        let path = folder.path().to_str().unwrap();
        let mut server = Server::start(
            topology,
            &[("JWT_SECRET", SECRET), ("RESUME_WINDOW", "10m"), ("DRAIN_TIMEOUT", "5s")],
        )
        .await;
        let user = User::new(&server).await;
        let mut device = Some(user.raw("phone").await);
        let (session, seen) = device.as_ref().map(|device| (device.session(), device.last_seq)).unwrap();
        assert_eq!(published(&server.http()).await, named(&[]));
        let steps: [&[(&str, &str)]; 3] = [
            &[("JWT_KEYS_DIR", path)],
            &[("JWT_KEYS_DIR", path), ("JWT_SIGNING_KEY", "2026-11"), ("BUS_SECRET", SECRET)],
            &[
                ("JWT_KEYS_DIR", path),
                ("JWT_SIGNING_KEY", "2026-11"),
                ("BUS_SECRET", SECRET),
                ("JWT_SECRET", ""),
            ],
        ];
        for (step, variables) in steps.into_iter().enumerate() {
            let variables: BTreeMap<String, String> =
                variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            for turn in 0..2 {
                let place = Place { variables: variables.clone(), ..Place::default() };
                server.add_gateway_at(place).await;
                server.gateways.last().unwrap().ready().await;
                let mut leaving = server.gateways.remove(0);
                let sent_away = async {
                    if let Some(mut device) = device.take() {
                        device.closes(4000).await;
                    }
                };
                tokio::join!(leaving.stop(), sent_away);
                let (old, new) = (&server.gateways[0], &server.gateways[1]);
                // Only the last step parts with what the secret has signed; its tokens have lapsed by then.
                let first = status(&Http::new(new.url()), user.token()).await;
                assert_eq!(first, if step == 2 { 401 } else { 200 }, "step {step}, turn {turn}");
                for (signs, takes) in [(old, new), (new, old)] {
                    let signed = user.through(signs).sign_in_again().await.unwrap();
                    let taken = status(&Http::new(takes.url()), signed.token()).await;
                    assert_eq!(taken, 200, "step {step}, turn {turn}: {}", head(signed.token()));
                }
            }
            let url = &server.gateways[0];
            let kid = user.through(url).sign_in_again().await.unwrap();
            let kid = head(kid.token())["kid"].clone();
            assert_eq!(kid, if step == 0 { Value::Null } else { json!("2026-11") });
        }
        // The refresh token of the first sign-in is as good as ever, and the device's session lives.
        let fresh =
            user.through(&server.gateways[0]).api.refresh(&user.signed_in.refresh_token).await.unwrap();
        let user = user.through(&server.gateways[0]).with(fresh);
        let again = user.dial("phone").resume(&session, seen).welcomed().await;
        assert_eq!(again.welcome["resumed"], true);
        // A node needs the fleet's secret alone.
        let place = Place {
            variables: [("JWT_SECRET", ""), ("BUS_SECRET", SECRET)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..Place::default()
        };
        server.add_node_at(place).await;
        server.nodes[1].ready().await;
        let keys = eventually(|| async { Some(published(&server.http()).await) }).await;
        assert_eq!(keys, named(&[("2026-11", "EdDSA")]));
    });
}

#[test]
fn keys_that_cannot_be_used_end_the_start_with_a_sentence() {
    run(Topology::EmbeddedSqlite, async |topology| {
        let server = Server::start(topology, &[]).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let home = tempfile::tempdir().unwrap();
        let home = home.path().to_str().unwrap();
        let check = async |kid: &str| {
            let variables =
                [("PORT", "0"), ("DATA_DIR", home), ("JWT_KEYS_DIR", path), ("JWT_SIGNING_KEY", kid)];
            let start = server.beside(&[], &variables);
            let check = server.beside(&["check"], &variables).await;
            let said = String::from_utf8(check.stdout).unwrap();
            if check.status.code() == Some(0) {
                return (Some(0), said, String::new());
            }
            let start = start.await;
            assert_eq!(start.status.code(), check.status.code());
            (check.status.code(), said, String::from_utf8(start.stderr).unwrap())
        };
        for (file, words) in [
            ("rsa1024", "is an RSA key of 1024 bits; from 2048 to 4096 are taken"),
            ("p384", "is a key of another kind"),
            ("p256.sec1", "convert it: openssl pkcs8"),
            ("ed25519.encrypted", "is encrypted"),
            ("ed25519.pub", "is a public key: it verifies, and cannot sign"),
        ] {
            std::fs::copy(fixture(file), folder.path().join("k.pem")).unwrap();
            let (code, said, start) = check("k").await;
            assert_eq!(code, Some(1), "{file}: {said}");
            let problem = said.lines().find(|line| line.starts_with("  problem    signing key: ")).unwrap();
            assert!(problem.contains(words) && start.contains(words), "{file}: {said}{start}");
        }
        let (code, said, _) = check("other").await;
        assert!(code == Some(1) && said.contains("there is no other.pem in "), "{said}");
        std::fs::copy(fixture("rsa2048"), folder.path().join("k.pem")).unwrap();
        std::fs::copy(fixture("p256.pub"), folder.path().join("theirs.pem")).unwrap();
        let (code, said, _) = check("k").await;
        assert_eq!(code, Some(0), "{said}");
        assert!(
            said.contains("  ok         signing key: k (RS256) signs; theirs (ES256) verifies\n"),
            "{said}"
        );
    });
}
