use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use streamz_protocol::UserId;
use uuid::Uuid;

use super::*;
use crate::{TokenIssuer, TokenVerifier};

const SECRET: &str = "3f8a1d0c9b7e6254f1a0d8c3b6e97542";

fn pem(name: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/keys/{name}.pem", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn secret() -> SigningKey {
    SigningKey::from_secret(&SECRET.into())
}

/// Of these files, each called as it is, with a secret or without one.
fn keys(files: &[&str], secret: Option<&SigningKey>, signing: Option<&str>) -> Option<Keys> {
    let keys = files.iter().map(|name| ((*name).to_owned(), PemKey::parse(&pem(name)).unwrap()));
    KeySet::of_keys(keys.collect(), secret, signing).map(Keys::new)
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap()
}

fn token(keys: &Keys) -> String {
    let issuer = TokenIssuer::new(keys, Duration::from_secs(900));
    issuer.issue(UserId(Uuid::from_u128(7)), Uuid::from_u128(8), now()).expose().to_owned()
}

fn verify(keys: &Keys, token: &str) -> Result<(), TokenError> {
    TokenVerifier::new(keys).verify_at(token, now()).map(|claims| assert_eq!(claims.user.0.as_u128(), 7))
}

fn head(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap()).unwrap()
}

fn claims() -> String {
    let iat = now().timestamp();
    json!({"sub": Uuid::from_u128(7), "fam": Uuid::from_u128(8), "iat": iat, "exp": iat + 900, "iss": ISSUER})
        .to_string()
}

/// A token with any header, signed by any key in any way.
fn forged(header: &Value, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims()));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

#[test]
fn every_kind_of_key_signs_with_its_name_and_its_public_half_verifies() {
    for (name, algorithm) in [("ed25519", "EdDSA"), ("p256", "ES256"), ("rsa2048", "RS256")] {
        let signing = keys(&[name], None, Some(name)).unwrap();
        let signed = token(&signing);
        assert_eq!(head(&signed), json!({"typ": "JWT", "alg": algorithm, "kid": name}));
        assert_eq!(verify(&signing, &signed), Ok(()));
        // Somebody who has the public half alone, under the same name.
        let public = PemKey::parse(&pem(&format!("{name}.pub"))).unwrap();
        let public = KeySet::of_keys(vec![(name.to_owned(), public)], Some(&secret()), None).unwrap();
        assert_eq!(verify(&Keys::new(public), &signed), Ok(()));
        // Another one of that name.
        let other = if name == "ed25519" { "p256" } else { "ed25519" };
        let other = PemKey::parse(&pem(other)).unwrap();
        let other = KeySet::of_keys(vec![(name.to_owned(), other)], Some(&secret()), None).unwrap();
        assert_eq!(verify(&Keys::new(other), &signed), Err(TokenError::WrongAlgorithm));
    }
}

#[test]
fn from_the_secret_to_keys_and_on_to_others_nobody_is_signed_out() {
    // The way of a fleet, in which two neighbouring steps run side by side: each takes what the other signs.
    let secret = secret();
    let steps = [
        Keys::from(&secret),
        keys(&["ed25519"], Some(&secret), None).unwrap(),
        keys(&["ed25519"], Some(&secret), Some("ed25519")).unwrap(),
        keys(&["ed25519"], None, Some("ed25519")).unwrap(),
        keys(&["ed25519", "p256"], None, Some("ed25519")).unwrap(),
        keys(&["ed25519", "p256"], None, Some("p256")).unwrap(),
        keys(&["p256"], None, Some("p256")).unwrap(),
    ];
    for (step, pair) in steps.windows(2).enumerate() {
        // The third step drops the secret, the sixth the old key: their tokens have lapsed by then.
        let dropped = matches!(step, 2 | 5);
        assert_eq!(verify(&pair[1], &token(&pair[0])), Ok(()), "{step}: old tokens");
        if !dropped {
            assert_eq!(verify(&pair[0], &token(&pair[1])), Ok(()), "{step}: new tokens");
        }
    }
    // In the end the first ones are strangers.
    for step in [0, 1, 3] {
        assert_eq!(verify(&steps[6], &token(&steps[step])), Err(TokenError::UnknownKey), "{step}");
    }
}

#[test]
fn a_running_process_goes_on_with_other_keys() {
    let live = Keys::from(&secret());
    let (issuer, verifier) = (TokenIssuer::new(&live, Duration::from_secs(900)), TokenVerifier::new(&live));
    let issue = || issuer.issue(UserId(Uuid::from_u128(7)), Uuid::from_u128(8), now());
    let old = issue();
    let files = vec![("new".to_owned(), PemKey::parse(&pem("ed25519")).unwrap())];
    live.replace(KeySet::of_keys(files, None, Some("new")).unwrap());
    assert_eq!(head(issue().expose())["kid"], "new");
    assert!(verifier.verify_at(issue().expose(), now()).is_ok());
    assert_eq!(verifier.verify_at(old.expose(), now()), Err(TokenError::UnknownKey));
}

#[test]
fn without_a_key_that_signs_there_is_no_set() {
    assert!(keys(&["ed25519"], None, None).is_none());
    assert!(keys(&["ed25519"], None, Some("p256")).is_none());
    assert!(keys(&["ed25519.pub"], None, Some("ed25519.pub")).is_none());
    // The secret does not step in for a key that was named.
    assert!(keys(&["ed25519.pub"], Some(&secret()), Some("ed25519.pub")).is_none());
}

#[test]
fn the_header_of_a_token_does_not_choose_how_it_is_checked() {
    let live = keys(&["ed25519", "p256", "rsa2048"], Some(&secret()), Some("ed25519")).unwrap();
    // `none`, under a name, without one, and without a signature.
    for kid in [json!("ed25519"), Value::Null] {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": "none", "kid": kid}).to_string());
        let unsigned = format!("{header}.{}.", URL_SAFE_NO_PAD.encode(claims()));
        assert_eq!(verify(&live, &unsigned), Err(TokenError::WrongAlgorithm));
    }
    // The confusion: HMAC with the public key, in every form in which it is published, as the secret.
    for name in ["ed25519", "p256", "rsa2048"] {
        let public = pem(&format!("{name}.pub"));
        let der: String = public.lines().filter(|line| !line.starts_with('-')).collect();
        let der = base64::engine::general_purpose::STANDARD.decode(der).unwrap();
        let jwk = live.now().public().find(name).unwrap().clone();
        let jwk = serde_json::to_value(jwk).unwrap();
        let numbers = ["x", "n"].into_iter().find_map(|member| jwk[member].as_str()).unwrap();
        let number = URL_SAFE_NO_PAD.decode(numbers).unwrap();
        for bytes in [public.as_bytes(), public.trim_end().as_bytes(), &der, &number] {
            let key = EncodingKey::from_secret(bytes);
            for (kid, refusal) in [
                (json!(name), TokenError::WrongAlgorithm),
                (Value::Null, TokenError::BadSignature),
                (json!("JWT_SECRET"), TokenError::UnknownKey),
            ] {
                let token = forged(&json!({"alg": "HS256", "kid": kid}), &key, Algorithm::HS256);
                assert_eq!(verify(&live, &token), Err(refusal), "{name} as {kid}");
            }
        }
    }
    // The secret under a key's name, and each key under another's.
    let by_secret = EncodingKey::from_secret(SECRET.as_bytes());
    for (kid, alg) in [("ed25519", "EdDSA"), ("p256", "ES256"), ("rsa2048", "RS256")] {
        let token = forged(&json!({"alg": alg, "kid": kid}), &by_secret, Algorithm::HS256);
        assert_eq!(verify(&live, &token), Err(TokenError::BadSignature), "{kid}");
        let token = forged(&json!({"alg": "HS256", "kid": kid}), &by_secret, Algorithm::HS256);
        assert_eq!(verify(&live, &token), Err(TokenError::WrongAlgorithm), "{kid}");
        let signs = PemKey::parse(&pem(kid)).unwrap();
        for other in ["ed25519", "p256", "rsa2048"].into_iter().filter(|other| *other != kid) {
            let token =
                forged(&json!({"alg": alg, "kid": other}), signs.signs.as_ref().unwrap(), signs.algorithm);
            assert_eq!(verify(&live, &token), Err(TokenError::WrongAlgorithm), "{kid} as {other}");
        }
    }
    // A neighbour of the algorithm, under the same key.
    let rsa = PemKey::parse(&pem("rsa2048")).unwrap().signs.unwrap();
    for algorithm in [Algorithm::RS512, Algorithm::PS256] {
        let header = serde_json::to_value(Header { kid: Some("rsa2048".into()), ..Header::new(algorithm) });
        let token = forged(&header.unwrap(), &rsa, algorithm);
        assert_eq!(verify(&live, &token), Err(TokenError::WrongAlgorithm), "{algorithm:?}");
        let token = forged(&json!({"alg": "RS256", "kid": "rsa2048"}), &rsa, algorithm);
        assert_eq!(verify(&live, &token), Err(TokenError::BadSignature), "{algorithm:?}");
    }
    // A key that the token brings along is not looked at.
    let own = PemKey::parse(&pem("p256")).unwrap();
    let header =
        json!({"alg": "ES256", "kid": "stranger", "jwk": own.public, "jku": "https://example.org/jwks.json"});
    let token = forged(&header, own.signs.as_ref().unwrap(), Algorithm::ES256);
    assert_eq!(verify(&live, &token), Err(TokenError::UnknownKey));
    // Without a secret a token without a name has no key.
    let without = keys(&["ed25519"], None, Some("ed25519")).unwrap();
    let token = forged(&json!({"alg": "HS256"}), &by_secret, Algorithm::HS256);
    assert_eq!(verify(&without, &token), Err(TokenError::UnknownKey));
}

#[test]
fn what_is_published_is_public_and_has_names() {
    let live = keys(&["ed25519", "p256.pub", "rsa2048"], Some(&secret()), Some("ed25519")).unwrap();
    let shown = serde_json::to_value(live.now().public()).unwrap();
    let shown = shown["keys"].as_array().unwrap();
    let said: Vec<_> = shown
        .iter()
        .map(|key| ["kid", "kty", "alg", "use"].map(|name| key[name].as_str().unwrap()))
        .collect();
    assert_eq!(
        said,
        [
            ["ed25519", "OKP", "EdDSA", "sig"],
            ["p256.pub", "EC", "ES256", "sig"],
            ["rsa2048", "RSA", "RS256", "sig"]
        ]
    );
    let text = serde_json::to_string(live.now().public()).unwrap();
    for private in ["\"d\"", "\"p\"", "\"q\"", "\"k\"", SECRET] {
        assert!(!text.contains(private), "{private}: {text}");
    }
    assert!(Keys::from(&secret()).now().public().keys.is_empty());
}

#[test]
fn words_for_people_name_every_key_and_no_secret() {
    let secret = secret();
    let said = |keys: Keys| format!("{}", keys.now());
    assert_eq!(said(Keys::from(&secret)), "JWT_SECRET (HS256) signs");
    assert_eq!(
        said(keys(&["p256", "ed25519"], Some(&secret), Some("ed25519")).unwrap()),
        "ed25519 (EdDSA) signs; p256 (ES256), JWT_SECRET (HS256) verify"
    );
    let live = keys(&["p256"], Some(&secret), None).unwrap();
    assert_eq!(said(live.clone()), "JWT_SECRET (HS256) signs; p256 (ES256) verifies");
    assert!(!format!("{live:?}").contains(SECRET));
}
