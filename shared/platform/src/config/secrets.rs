//! Which secrets are none.

/// What HS256 needs at least (RFC 7518 section 3.2), in bytes.
pub(super) const SECRET_MIN_BYTES: usize = 32;

/// What examples, templates and tired people write, in lower case without separators. All are long enough
/// that a random secret does not contain one by chance.
const DEFAULTS: &[&str] = &[
    "changeme",
    "changethis",
    "changein",
    "replaceme",
    "replacethis",
    "yoursecret",
    "yourjwt",
    "mysecret",
    "secretkey",
    "supersecret",
    "jwtsecret",
    "topsecret",
    "notsecret",
    "password",
    "example",
    "placeholder",
    "development",
    "streamz",
    "insecure",
    "default",
    "qwerty",
    "123456789",
];

/// Fewer different bytes than this do not make a secret. (32 random hexadecimal digits have 14 on average.)
const VARIETY_MIN: usize = 8;

/// Why a secret is weak, in the words that follow "it"; None if nothing speaks against it.
pub(super) fn weakness(secret: &str) -> Option<String> {
    if secret.len() < SECRET_MIN_BYTES {
        return Some(format!("has {} bytes and needs at least {SECRET_MIN_BYTES}", secret.len()));
    }
    let plain: String = secret.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    if DEFAULTS.iter().any(|default| plain.contains(default)) {
        return Some("looks like the default of an example".to_owned());
    }
    let bytes = secret.as_bytes();
    let mut seen = [false; 256];
    for byte in bytes {
        seen[usize::from(*byte)] = true;
    }
    if seen.iter().filter(|seen| **seen).count() < VARIETY_MIN {
        return Some("repeats a few characters".to_owned());
    }
    let repeats = |period: usize| bytes.iter().zip(&bytes[period..]).all(|(a, b)| a == b);
    if (1..=bytes.len() / 2).any(repeats) {
        return Some("repeats the same text".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            assert!(weakness(weak).is_some(), "{weak}");
        }
    }

    #[test]
    fn what_a_generator_writes_is_not() {
        for strong in [
            "3f8a1d0c9b7e6254f1a0d8c3b6e97542",             // openssl rand -hex 16
            "pUoDkU5Lk0T4mK1o9yZ4b0d3Q1jYw6Xn8vR2sT7uVwE=", // openssl rand -base64 32
            "correct horse battery staple on the wire",
        ] {
            assert_eq!(weakness(strong), None, "{strong}");
        }
    }
}
