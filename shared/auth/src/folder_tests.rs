use std::path::Path;

use tempfile::TempDir;

use super::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/keys/{name}.pem"))
}

/// A folder with these files, each a copy of a key.
fn folder(files: &[(&str, &str)], signs: Signs) -> (TempDir, KeyFolder) {
    let home = tempfile::tempdir().unwrap();
    for (name, key) in files {
        fs::copy(fixture(key), home.path().join(name)).unwrap();
    }
    let path = home.path().to_owned();
    (home, KeyFolder { path, signs })
}

fn key(kid: &str) -> Signs {
    Signs::Key { kid: kid.to_owned(), secret: None }
}

#[test]
fn each_file_is_a_key_of_its_name_and_the_rest_is_passed_over() {
    let (home, keys) = folder(&[("2026-11.pem", "ed25519"), ("2026-12.pem", "p256.pub")], key("2026-11"));
    // As Kubernetes mounts a Secret, and as an editor leaves a folder.
    fs::create_dir(home.path().join("..2026_11_27")).unwrap();
    fs::copy(fixture("rsa2048"), home.path().join("..2026_11_27/2026-10.pem")).unwrap();
    std::os::unix::fs::symlink("..2026_11_27", home.path().join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/2026-10.pem", home.path().join("2026-10.pem")).unwrap();
    fs::write(home.path().join("README"), "text").unwrap();
    fs::write(home.path().join(".2026-11.pem"), "text").unwrap();
    assert_eq!(
        keys.load().unwrap().to_string(),
        "2026-11 (EdDSA) signs; 2026-10 (RS256), 2026-12 (ES256) verify"
    );
}

#[test]
fn whether_anything_changed_is_seen_without_reading_keys() {
    let (home, keys) = folder(&[("a.pem", "ed25519"), ("b.pem", "p256")], key("a"));
    let first = keys.read().unwrap().fingerprint();
    assert_eq!(keys.read().unwrap().fingerprint(), first);
    fs::rename(home.path().join("b.pem"), home.path().join("c.pem")).unwrap();
    let renamed = keys.read().unwrap().fingerprint();
    assert_ne!(renamed, first);
    fs::copy(fixture("rsa2048"), home.path().join("c.pem")).unwrap();
    assert_ne!(keys.read().unwrap().fingerprint(), renamed);
}

#[test]
fn what_cannot_be_used_is_a_sentence_with_the_file() {
    let bad = |files: &[(&str, &str)], signs: Signs| folder(files, signs).1.load().unwrap_err().to_string();
    for (files, signs, words) in [
        (&[][..], key("a"), "JWT_SIGNING_KEY: there is no a.pem in "),
        (&[][..], key("a"), ": it holds no key at all."),
        (&[("b.pem", "p256"), ("c.pem", "ed25519")][..], key("a"), ", but b, c."),
        (&[("a.pem", "ed25519.pub")][..], key("a"), "JWT_SIGNING_KEY: a.pem in "),
        (&[("a.pem", "ed25519"), ("b.pem", "rsa1024")][..], key("a"), "/b.pem is an RSA key of 1024 bits"),
        (&[("a.pem", "ed25519"), ("b.pem", "rsa1024.pub")][..], key("a"), "weaker ones can be broken"),
        (&[("a.pem", "p256.sec1")][..], key("a"), "convert it: openssl pkcs8 -topk8"),
        (&[("a b.pem", "p256")][..], key("a"), "is called by its name in every token"),
        (&[("a.pem", "certificate")][..], key("a"), "is a certificate"),
    ] {
        let said = bad(files, signs);
        assert!(said.contains(words), "{words}: {said}");
        assert!(said.ends_with('.'), "{said}");
    }
    let (home, keys) = folder(&[("a.pem", "ed25519")], key("a"));
    fs::write(home.path().join("b.pem"), vec![b'x'; 20_000]).unwrap();
    assert!(matches!(keys.load(), Err(KeysError::TooLong { .. })));
    fs::write(home.path().join("b.pem"), [0xff, 0xfe]).unwrap();
    assert!(matches!(keys.load(), Err(KeysError::File { problem: PemProblem::NotPem, .. })));
    fs::remove_file(home.path().join("b.pem")).unwrap();
    for number in 0..KEYS_MAX {
        fs::copy(fixture("ed25519"), home.path().join(format!("more-{number}.pem"))).unwrap();
    }
    assert!(matches!(keys.load(), Err(KeysError::TooMany { .. })));
    let gone = KeyFolder { path: home.path().join("none"), signs: key("a") };
    let said = gone.load().unwrap_err().to_string();
    assert!(said.starts_with("JWT_KEYS_DIR: ") && said.contains("none cannot be read"), "{said}");
}

#[test]
fn a_secret_may_sign_or_verify_beside_the_keys() {
    let secret = SigningKey::generate();
    let (_home, keys) = folder(&[("a.pem", "ed25519")], Signs::Secret(secret.clone()));
    assert_eq!(keys.load().unwrap().to_string(), "JWT_SECRET (HS256) signs; a (EdDSA) verifies");
    let (_home, keys) = folder(&[("a.pem", "ed25519")], Signs::Key { kid: "a".into(), secret: Some(secret) });
    assert_eq!(keys.load().unwrap().to_string(), "a (EdDSA) signs; JWT_SECRET (HS256) verifies");
}

#[test]
fn names_of_keys() {
    for good in ["a", "2026-11", "A_b.c", &"x".repeat(64)] {
        assert!(is_kid(good), "{good}");
    }
    for bad in ["", ".", ".a", "a b", "a/b", "ä", "a\n", &"x".repeat(65)] {
        assert!(!is_kid(bad), "{bad:?}");
    }
}
