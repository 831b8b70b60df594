//! Refresh tokens: 256 random bits, of which only the SHA-256 is stored.
//!
//! A hash without salt or stretching is enough: nobody finds a 256-bit preimage by trying, and the store can
//! look the token up by its hash.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// What every refresh token begins with, so that one that leaked is recognised by secret scanners.
pub const PREFIX: &str = "srt_";
const RANDOM_BYTES: usize = 32;
/// 32 bytes in base64url without padding.
const ENCODED_CHARS: usize = 43;

/// A refresh token that is well formed. Its `Debug` does not show it.
#[derive(Clone)]
pub struct RefreshToken(SecretString);

impl RefreshToken {
    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        let random = rand::random::<[u8; RANDOM_BYTES]>();
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random)).into())
    }

    /// One that a client sent. Whether it is known, spent or expired is for the store to say.
    ///
    /// # Errors
    /// [`InvalidRefreshToken`] if it cannot be one: there is nothing to look up.
    pub fn parse(text: &str) -> Result<Self, InvalidRefreshToken> {
        let random = text.strip_prefix(PREFIX).ok_or(InvalidRefreshToken)?;
        if random.len() != ENCODED_CHARS || URL_SAFE_NO_PAD.decode(random).is_err() {
            return Err(InvalidRefreshToken);
        }
        Ok(Self(text.into()))
    }

    /// The token itself, for the one response that carries it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What is stored in its place: the SHA-256 of the whole text.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.expose()).into()
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(srt_…)")
    }
}

/// The text is not a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a refresh token")]
pub struct InvalidRefreshToken;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_text_and_its_hash_is_the_sha_256_of_it() {
        let token = RefreshToken::generate();
        let again = RefreshToken::parse(token.expose()).unwrap();
        assert_eq!(token.hash(), again.hash());
        let known = RefreshToken::parse("srt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
        // printf srt_AAAA… | sha256sum
        let hex: String = known.hash().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "d533bfebf2a00363b70a2359b1fa98fe90af2b0c53aa2c6b658630edf972c419");
    }

    #[test]
    fn tokens_differ_and_are_not_shown() {
        let (one, other) = (RefreshToken::generate(), RefreshToken::generate());
        assert_ne!(one.expose(), other.expose());
        assert!(!format!("{one:?}").contains(&one.expose()[4..]));
    }

    #[test]
    fn what_cannot_be_a_token_is_refused() {
        let good = RefreshToken::generate().expose().to_owned();
        for bad in [
            "",
            "srt_",
            &good[4..],
            &good[..good.len() - 1],
            &format!("{good}A"),
            &good.replace("srt_", "SRT_"),
            &format!("srt_{}", "+".repeat(ENCODED_CHARS)),
            // The last character's unused bits must be zero: one token, one text, one hash.
            &format!("srt_{}B", "A".repeat(ENCODED_CHARS - 1)),
            &format!("srt_{}ä", "A".repeat(ENCODED_CHARS - 2)),
            &"x".repeat(100_000),
        ] {
            assert_eq!(RefreshToken::parse(bad).unwrap_err(), InvalidRefreshToken, "{bad:.60}");
        }
    }
}
