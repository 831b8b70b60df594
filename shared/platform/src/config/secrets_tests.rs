use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

fn signing(secret: &str) -> Option<String> {
    weakness(secret, SIGNING_MIN_BYTES)
}

#[test]
fn what_people_write_is_weak() {
    for weak in [
        "",
        "secret",
        "changeme",
        "0123456789abcdef0123456789abcde",
        "your-secret-key-change-in-production",
        "YOUR_SECRET_KEY_0000000000000000000000",
        "please-change-me-before-you-deploy-this!",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "abcabcabcabcabcabcabcabcabcabcabcabcabcabc",
        "0123456789abcdef0123456789abcdef",
        "streamz-streamz-2024-prod-key-value-xx",
        // Of jwt.io, as they are and over again.
        "your-256-bit-secretyour-256-bit-secret",
        "your-256-bit-secret-your-256-bit-secret",
        "a-string-secret-at-least-256-bits-long",
        "Your 512 Bit Secret, oh your 512 bit secret",
        "super-secret-jwt-token-with-at-least-32-characters-long",
        // Along the alphabet and the keyboard.
        "abcdefghijklmnopqrstuvwxyz123456",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
        "zyxwvutsrqponmlkjihgfedcba987654",
        "12345678901234567890123456789012",
        "qwertyuiopasdfghjklzxcvbnm1234567890",
        "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/",
        "abcd1234efgh5678ijkl9012mnop3456",
        "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6",
        // A short text again and again, not to the end.
        "kT9x-kT9x-kT9x-kT9x-kT9x-kT9x-kT9x-kT",
        "u7Gq2Lw9Zr4Bu7Gq2Lw9Zr4Bu7Gq2Lw9Zr4Bx",
        "wV3nwV3n.wV3nwV3n!wV3nwV3n?wV3nwV3n",
        "P@55w0rd-P@55w0rd-of-the-whole-team-77",
        "correct-horse-battery-staple-correct",
    ] {
        assert!(signing(weak).is_some(), "{weak}");
    }
}

#[test]
fn what_a_generator_writes_is_not() {
    for strong in [
        "3f8a1d0c9b7e6254f1a0d8c3b6e97542",             // openssl rand -hex 16
        "pUoDkU5Lk0T4mK1o9yZ4b0d3Q1jYw6Xn8vR2sT7uVwE=", // openssl rand -base64 32
        "walrus trumpet seven lanterns on the wire",
        "6f9619ff-8b86-d011-b42d-00c04fc964ff", // a UUID
    ] {
        assert_eq!(signing(strong), None, "{strong}");
    }
}

#[test]
fn random_secrets_are_never_refused() {
    // Always the same ones, so that this passes always or never.
    let mut dice = StdRng::seed_from_u64(1);
    for round in 0..10_000 {
        let bytes: [u8; 32] = dice.random();
        assert_eq!(signing(&STANDARD.encode(bytes)), None, "{bytes:?}");
        // The same rules; fewer, for it takes its time.
        if round % 10 > 0 {
            continue;
        }
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        for secret in
            [URL_SAFE_NO_PAD.encode(bytes), STANDARD.encode(&bytes[..24]), hex(&bytes), hex(&bytes[..16])]
        {
            assert_eq!(signing(&secret), None, "{secret}");
        }
        for secret in [STANDARD.encode(&bytes[..12]), hex(&bytes[..8])] {
            assert_eq!(weakness(&secret, TURN_MIN_BYTES), None, "{secret}");
        }
    }
}

#[test]
fn a_turn_secret_may_be_shorter_but_not_weaker() {
    for weak in
        ["north", "15-bytes-random", "my-turn-secret-of-coturn", "1234567890123456", "aB3-aB3-aB3-aB3-aB3"]
    {
        assert!(weakness(weak, TURN_MIN_BYTES).is_some(), "{weak}");
    }
    assert_eq!(weakness("gT5wQz8LmX2vRk0p", TURN_MIN_BYTES), None);
    assert_eq!(signing("gT5wQz8LmX2vRk0p").unwrap(), "has 16 bytes and needs at least 32");
}
