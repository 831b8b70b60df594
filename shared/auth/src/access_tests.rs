use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::SigningKey;

/// The header of every token that a secret signs: `{"typ":"JWT","alg":"HS256"}`.
const USUAL_HEADER: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9";

const SECRET: &str = "3f8a1d0c9b7e6254f1a0d8c3b6e97542";
const LIFETIME: Duration = Duration::from_secs(900);

fn key(secret: &str) -> SigningKey {
    SigningKey::from_secret(&secret.into())
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap()
}

fn user() -> UserId {
    UserId(Uuid::from_u128(0x6f1c_9a52))
}

fn family() -> Uuid {
    Uuid::from_u128(0xfa)
}

fn issued() -> String {
    TokenIssuer::new(&key(SECRET), LIFETIME).issue(user(), family(), now()).expose().to_owned()
}

fn verify(token: &str) -> Result<Claims, TokenError> {
    TokenVerifier::new(&key(SECRET)).verify_at(token, now())
}

fn claims() -> Value {
    let iat = now().timestamp();
    json!({"sub": user().0, "fam": family(), "iat": iat, "exp": iat + 900, "iss": ISSUER})
}

/// A token with any header and any claims, rightly signed with HMAC-SHA256 under `secret`.
fn forged(header: &str, claims: &str, secret: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = EncodingKey::from_secret(secret.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

fn with_claims(change: impl FnOnce(&mut Value)) -> String {
    let mut claims = claims();
    change(&mut claims);
    forged(r#"{"alg":"HS256"}"#, &claims.to_string(), SECRET)
}

#[test]
fn a_token_says_whose_it_is_and_until_when() {
    let later = now() + TimeDelta::milliseconds(999);
    let token = TokenIssuer::new(&key(SECRET), LIFETIME).issue(user(), family(), later);
    assert_eq!(token.lifetime, LIFETIME);
    assert_eq!(token.expires_at, now() + TimeDelta::seconds(900));
    let claims = verify(token.expose()).unwrap();
    let wanted = Claims { user: user(), family: family(), issued_at: now(), expires_at: token.expires_at };
    assert_eq!(claims, wanted);
    assert!(token.expose().starts_with(USUAL_HEADER), "the fast path is the usual one");
}

#[test]
fn the_system_s_time_is_taken_when_none_is_given() {
    let verifier = TokenVerifier::new(&key(SECRET));
    let issuer = TokenIssuer::new(&key(SECRET), LIFETIME);
    assert!(verifier.verify(issuer.issue(user(), family(), Utc::now()).expose()).is_ok());
    let old = issuer.issue(user(), family(), Utc::now() - TimeDelta::days(1));
    assert!(matches!(verifier.verify(old.expose()), Err(TokenError::Expired { .. })));
}

#[test]
fn a_token_is_good_until_the_second_it_expires() {
    let verifier = TokenVerifier::new(&key(SECRET));
    let at = now() + TimeDelta::seconds(900);
    let token = issued();
    assert!(verifier.verify_at(&token, at - TimeDelta::milliseconds(1)).is_ok());
    assert_eq!(verifier.verify_at(&token, at), Err(TokenError::Expired { at }));
}

#[test]
fn leeway_is_whole_seconds_and_at_most_five() {
    let at = now() + TimeDelta::seconds(900);
    for (leeway, seconds) in [(0, 0), (1999, 1), (5000, 5), (3_600_000, 5)] {
        let verifier = TokenVerifier::with_leeway(&key(SECRET), Duration::from_millis(leeway));
        let end = at + TimeDelta::seconds(seconds);
        assert!(verifier.verify_at(&issued(), end - TimeDelta::milliseconds(1)).is_ok());
        assert_eq!(verifier.verify_at(&issued(), end), Err(TokenError::Expired { at }), "{leeway} ms");
    }
}

#[test]
fn an_unsigned_token_is_refused() {
    let body = URL_SAFE_NO_PAD.encode(claims().to_string());
    for alg in ["none", "None", "NONE", "nOnE"] {
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#));
        assert_eq!(verify(&format!("{header}.{body}.")), Err(TokenError::WrongAlgorithm), "{alg}");
    }
    // Without the last part, and with a header that lies about an absent signature.
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    assert_eq!(verify(&format!("{header}.{body}")), Err(TokenError::WrongAlgorithm));
    assert_eq!(verify(&format!("{USUAL_HEADER}.{body}.")), Err(TokenError::BadSignature));
}

#[test]
fn another_key_is_refused() {
    let other = key("another-3f8a1d0c9b7e6254f1a0d8c3b6e97542");
    let token = TokenIssuer::new(&other, LIFETIME).issue(user(), family(), now());
    assert_eq!(verify(token.expose()), Err(TokenError::BadSignature));
}

#[test]
fn another_algorithm_is_refused_even_under_our_key() {
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let token = jsonwebtoken::encode(&Header::new(algorithm), &claims(), &key).unwrap();
        assert_eq!(verify(&token), Err(TokenError::WrongAlgorithm), "{algorithm:?}");
    }
    // The confusion of a public key with a secret: an asymmetric name over an HMAC.
    for alg in ["RS256", "PS512", "ES256", "EdDSA", "HS257", ""] {
        let token = forged(&format!(r#"{{"alg":"{alg}"}}"#), &claims().to_string(), SECRET);
        assert_eq!(verify(&token), Err(TokenError::WrongAlgorithm), "{alg}");
    }
    // And an HMAC header over another HMAC's signature.
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let message = format!("{USUAL_HEADER}.{}", URL_SAFE_NO_PAD.encode(claims().to_string()));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS512).unwrap();
    assert_eq!(verify(&format!("{message}.{signature}")), Err(TokenError::BadSignature));
}

#[test]
fn a_changed_payload_is_refused_before_it_is_believed() {
    let token = issued();
    let parts: Vec<_> = token.split('.').collect();
    let mut changed = claims();
    changed["sub"] = json!(Uuid::from_u128(1));
    let forged = URL_SAFE_NO_PAD.encode(changed.to_string());
    assert_eq!(verify(&format!("{}.{forged}.{}", parts[0], parts[2])), Err(TokenError::BadSignature));
    // Not even as expired: nobody learns anything about a token that is not ours.
    changed["exp"] = json!(1);
    let forged = URL_SAFE_NO_PAD.encode(changed.to_string());
    assert_eq!(verify(&format!("{}.{forged}.{}", parts[0], parts[2])), Err(TokenError::BadSignature));
    // A payload that is not UTF-8.
    let binary = URL_SAFE_NO_PAD.encode([0xff, 0xfe, 0x00]);
    assert_eq!(verify(&format!("{}.{binary}.{}", parts[0], parts[2])), Err(TokenError::BadSignature));
}

#[test]
fn claims_that_are_not_ours_are_refused_though_signed() {
    assert!(verify(&with_claims(|_| {})).is_ok());
    let foreign = with_claims(|claims| claims["iss"] = json!("somebody"));
    assert_eq!(verify(&foreign), Err(TokenError::WrongIssuer));
    for name in ["sub", "fam", "iat", "exp", "iss"] {
        for value in [Value::Null, json!({}), json!([]), json!("x"), json!(1.5), json!(true)] {
            let token = with_claims(|claims| claims[name] = value.clone());
            let error = verify(&token).unwrap_err();
            let issuer = name == "iss" && error == TokenError::WrongIssuer;
            assert!(error == TokenError::Malformed || issuer, "{name} = {value}: {error:?}");
        }
        let token = with_claims(|claims| drop(claims.as_object_mut().unwrap().remove(name)));
        assert_eq!(verify(&token), Err(TokenError::Malformed), "without {name}");
    }
    // A time that no calendar has.
    assert_eq!(verify(&with_claims(|claims| claims["exp"] = json!(i64::MAX))), Err(TokenError::Malformed));
    // The same claim twice: which one counts is nobody's guess.
    let twice = claims().to_string().replacen('{', r#"{"sub":"00000000-0000-0000-0000-000000000001","#, 1);
    assert_eq!(verify(&forged(r#"{"alg":"HS256"}"#, &twice, SECRET)), Err(TokenError::Malformed));
    let binary = forged(r#"{"alg":"HS256"}"#, "x", SECRET);
    assert_eq!(verify(&binary), Err(TokenError::Malformed));
}

#[test]
fn what_is_no_token_is_malformed() {
    let token = issued();
    let not_utf8 = URL_SAFE_NO_PAD.encode([0xff, 0xfe]);
    for text in [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "Bearer x",
        &token.replace('.', ""),
        &format!("{token}.x"),
        &token.replacen('.', "=.", 1),
        &format!("{token}="),
        &format!("{not_utf8}.{not_utf8}.{not_utf8}"),
        &format!("{}.e30.x", URL_SAFE_NO_PAD.encode("[]")),
        &format!("{}.e30.x", URL_SAFE_NO_PAD.encode("{}")),
        &format!("{}.e30.x", URL_SAFE_NO_PAD.encode(r#"{"alg":["HS256"]}"#)),
        "ä.ö.ü",
        "\0.\0.\0",
    ] {
        assert_eq!(verify(text), Err(TokenError::Malformed), "{text:?}");
    }
}

#[test]
fn an_oversize_token_is_not_looked_at() {
    // Rightly signed, and one byte over the limit; then the largest that fits.
    let padded = |pad: usize| with_claims(|claims| claims["pad"] = json!("x".repeat(pad)));
    let length = |pad| padded(pad).len();
    let fits = (0..TOKEN_MAX_BYTES).rev().find(|pad| length(*pad) <= TOKEN_MAX_BYTES).unwrap();
    assert!(verify(&padded(fits)).is_ok());
    assert_eq!(verify(&padded(fits + 1)), Err(TokenError::TooLong));
    assert_eq!(verify(&"x".repeat(10 << 20)), Err(TokenError::TooLong));
}

#[test]
fn debug_shows_neither_keys_nor_tokens() {
    let issuer = TokenIssuer::new(&key(SECRET), LIFETIME);
    let token = issuer.issue(user(), family(), now());
    let text = format!("{issuer:?} {:?} {token:?}", TokenVerifier::new(&key(SECRET)));
    assert!(!text.contains(SECRET) && !text.contains(USUAL_HEADER), "{text}");
}

proptest! {
    #[test]
    fn every_user_and_time_comes_back(user: u128, family: u128, seconds in 0_i64..4_102_444_800) {
        let now = DateTime::from_timestamp(seconds, 0).unwrap();
        let key = key(SECRET);
        let token = TokenIssuer::new(&key, LIFETIME).issue(UserId(Uuid::from_u128(user)), Uuid::from_u128(family), now);
        let claims = TokenVerifier::new(&key).verify_at(token.expose(), now).unwrap();
        prop_assert_eq!((claims.user.0.as_u128(), claims.family.as_u128()), (user, family));
        prop_assert_eq!(claims.issued_at, now);
    }

    #[test]
    fn any_changed_character_voids_a_token(place: prop::sample::Index, other in "[A-Za-z0-9_.=+/ -]") {
        let token = issued();
        let place = place.index(token.len());
        prop_assume!(token[place..=place] != other);
        let changed = format!("{}{other}{}", &token[..place], &token[place + 1..]);
        prop_assert!(verify(&changed).is_err(), "{}", changed);
    }

    #[test]
    fn any_text_is_refused_without_a_panic(text in ".{0,200}") {
        prop_assert!(verify(&text).is_err());
    }

    #[test]
    fn any_three_parts_are_refused_without_a_panic(header: Vec<u8>, body: Vec<u8>, signature: Vec<u8>) {
        let text = [header, body, signature].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        prop_assert!(verify(&text).is_err());
    }
}
