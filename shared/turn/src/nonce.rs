//! Nonces (RFC 8489 §9.2) that need no memory.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use streamz_protocol::Millis;

/// How long one is good; a client that is told that it has lapsed takes the next.
const LIFE: Duration = Duration::from_secs(3600);
/// The time of the end, in hex.
const ENDS: usize = 16;
/// Of the tag, in hex.
const TAG: usize = 32;

/// What nonces are made with: random, for each process anew.
#[derive(Clone)]
pub struct NonceKey([u8; 32]);

impl std::fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NonceKey")
    }
}

impl NonceKey {
    /// A key of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A nonce for `client`, with its end in it.
    pub(crate) fn make(&self, client: SocketAddr, now: Millis) -> String {
        self.write(client, (now + LIFE).0)
    }

    /// Whether it was made here for `client` and has not lapsed.
    pub(crate) fn holds(&self, nonce: &str, client: SocketAddr, now: Millis) -> bool {
        let Some(Ok(ends)) = nonce.get(..ENDS).map(|ends| u64::from_str_radix(ends, 16)) else {
            return false;
        };
        now.0 < ends && nonce == self.write(client, ends)
    }

    fn write(&self, client: SocketAddr, ends: u64) -> String {
        let mut nonce = format!("{ends:016x}");
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(nonce.as_bytes()).update(client.to_string().as_bytes());
        let _ = write!(nonce, "{}", &hasher.finalize().to_hex()[..TAG]);
        nonce
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_for_its_client_its_key_and_an_hour() {
        let (key, other) = (NonceKey::new([1; 32]), NonceKey::new([2; 32]));
        let client: SocketAddr = "192.0.2.1:4000".parse().unwrap();
        let now = Millis(1_000_000);
        let nonce = key.make(client, now);
        assert_eq!(nonce.len(), 48);
        assert!(key.holds(&nonce, client, now) && key.holds(&nonce, client, now + Duration::from_secs(3599)));
        assert!(!key.holds(&nonce, client, now + LIFE));
        assert!(!other.holds(&nonce, client, now));
        assert!(!key.holds(&nonce, "192.0.2.1:4001".parse().unwrap(), now));
        for wrong in
            ["", "x", "ä", &nonce[1..], &format!("{nonce}0"), &nonce.replace('0', "1"), &"f".repeat(48)]
        {
            assert!(!key.holds(wrong, client, now), "{wrong}");
        }
        assert_eq!(format!("{key:?}"), "NonceKey");
    }
}
