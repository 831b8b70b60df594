use super::*;

fn read(name: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/keys/{name}.pem", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn parse(name: &str) -> Result<PemKey, PemProblem> {
    PemKey::parse(&read(name))
}

#[test]
fn a_key_s_algorithm_follows_from_what_it_is() {
    for (name, algorithm) in
        [("ed25519", Algorithm::EdDSA), ("p256", Algorithm::ES256), ("rsa2048", Algorithm::RS256)]
    {
        let private = parse(name).unwrap();
        let public = parse(&format!("{name}.pub")).unwrap();
        assert_eq!((private.algorithm, public.algorithm), (algorithm, algorithm));
        assert!(private.signs.is_some() && public.signs.is_none());
        // The same key, whichever half was read; and nothing private in it.
        assert_eq!(private.public, public.public);
        let shown = serde_json::to_value(&private.public).unwrap();
        for member in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(shown.get(member).is_none(), "{member}: {shown}");
        }
        let signature =
            jsonwebtoken::crypto::sign(b"text", private.signs.as_ref().unwrap(), algorithm).unwrap();
        assert!(jsonwebtoken::crypto::verify(&signature, b"text", &public.verifies, algorithm).unwrap());
        assert!(!jsonwebtoken::crypto::verify(&signature, b"test", &public.verifies, algorithm).unwrap());
    }
}

#[test]
fn what_is_no_usable_key_is_told_apart() {
    for (name, problem) in [
        ("rsa1024", PemProblem::RsaBits { bits: 1024 }),
        ("rsa1024.pub", PemProblem::RsaBits { bits: 1024 }),
        ("p384", PemProblem::Unsupported),
        ("p256.sec1", PemProblem::OldForm),
        ("ed25519.encrypted", PemProblem::Encrypted),
        ("certificate", PemProblem::Certificate),
    ] {
        assert_eq!(parse(name).err(), Some(problem), "{name}");
    }
    for text in ["", "secret", "-----BEGIN PRIVATE KEY-----", "-----BEGIN DOG-----\n-----END DOG-----\n"] {
        assert_eq!(PemKey::parse(text).err(), Some(PemProblem::NotPem), "{text:?}");
    }
    // The right frame around something else.
    let empty = "-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n";
    assert_eq!(PemKey::parse(empty).err(), Some(PemProblem::Damaged));
}

#[test]
fn a_damaged_key_is_not_taken_and_breaks_nothing() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    for name in ["ed25519", "ed25519.pub", "p256", "p256.pub", "rsa2048.pub"] {
        let text = read(name);
        let label = label(&text).unwrap();
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(body).unwrap();
        // Cut off anywhere, and with any byte of its frame changed.
        for length in 0..der.len() {
            let cut = format!(
                "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
                STANDARD.encode(&der[..length])
            );
            assert!(PemKey::parse(&cut).is_err(), "{name} cut to {length}");
        }
        for at in 0..der.len() {
            let mut changed = der.clone();
            changed[at] ^= 0x55;
            let lines: Vec<String> = STANDARD
                .encode(changed)
                .as_bytes()
                .chunks(64)
                .map(|line| String::from_utf8_lossy(line).into_owned())
                .collect();
            let text = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"));
            // It may be another key by now; it must not be one that fails later.
            if let Ok(key) = PemKey::parse(&text) {
                assert!(jsonwebtoken::crypto::verify("", b"", &key.verifies, key.algorithm).is_ok());
            }
        }
    }
}

#[test]
fn text_around_a_key_does_no_harm() {
    let text = format!("Made by hand.\r\n{}", read("ed25519").replace('\n', "\r\n"));
    assert!(PemKey::parse(&text).is_ok());
}

#[test]
fn a_public_point_in_short_form_is_refused() {
    assert_eq!(parse("p256.compressed.pub").err(), Some(PemProblem::Damaged));
}
