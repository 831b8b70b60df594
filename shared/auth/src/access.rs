//! Access tokens: JWT (RFC 7519), checked without asking anyone.
//!
//! The algorithm is the key's, see [`keys`](crate::keys): a token that names another one is refused before any signature
//! is looked at, so neither `alg: none` nor a public key passed off as a secret gets further (RFC 8725 section 3.1).

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::JwkSet;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use streamz_protocol::UserId;
use uuid::Uuid;

use crate::keys::Keys;

/// The `iss` of every token.
pub const ISSUER: &str = "streamz";
/// The longest token that is looked at, in bytes.
pub const TOKEN_MAX_BYTES: usize = 4096;
/// The most that clocks may disagree, see [`TokenVerifier::with_leeway`].
pub const LEEWAY_MAX: Duration = Duration::from_secs(5);

/// What a valid token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Whose token it is (`sub`).
    pub user: UserId,
    /// The refresh family that it came from (`fam`): a logout revokes the family.
    pub family: Uuid,
    /// When it was issued (`iat`), to the second.
    pub issued_at: DateTime<Utc>,
    /// From when on it is void (`exp`), to the second.
    pub expires_at: DateTime<Utc>,
}

/// The claims as they stand in a token.
#[derive(Serialize, Deserialize)]
struct WireClaims {
    sub: Uuid,
    fam: Uuid,
    iat: i64,
    exp: i64,
    iss: String,
}

/// A token that was just issued. Its `Debug` does not show the token.
#[derive(Clone, Debug)]
pub struct AccessToken {
    token: SecretString,
    /// From when on it is void.
    pub expires_at: DateTime<Utc>,
    /// Its whole life: the `expires_in` of a token response.
    pub lifetime: Duration,
}

impl AccessToken {
    /// The token itself, for the one response that carries it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.token.expose_secret()
    }
}

/// Makes access tokens. Cheap to clone.
#[derive(Clone)]
pub struct TokenIssuer {
    keys: Keys,
    lifetime: Duration,
}

impl TokenIssuer {
    /// Signs with what signs among `keys` at that moment; every token lives for `lifetime` (whole seconds, at least one).
    #[must_use]
    pub fn new(keys: impl Into<Keys>, lifetime: Duration) -> Self {
        Self { keys: keys.into(), lifetime: Duration::from_secs(lifetime.as_secs().max(1)) }
    }

    /// A token for `user`, in the refresh family `family`, issued `now`.
    #[must_use]
    pub fn issue(&self, user: UserId, family: Uuid, now: DateTime<Utc>) -> AccessToken {
        let iat = now.timestamp();
        let exp = iat.saturating_add_unsigned(self.lifetime.as_secs());
        let claims = WireClaims { sub: user.0, fam: family, iat, exp, iss: ISSUER.to_owned() };
        let keys = self.keys.now();
        let token = jsonwebtoken::encode(&keys.signer.header, &claims, &keys.signer.key)
            .expect("a key that signed when it was read signs, and these claims are plain JSON");
        AccessToken {
            token: token.into(),
            expires_at: DateTime::from_timestamp(exp, 0).unwrap_or(DateTime::<Utc>::MAX_UTC),
            lifetime: self.lifetime,
        }
    }
}

impl fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenIssuer").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// Checks access tokens, in a few microseconds (a public key's: some tens) and without I/O. Cheap to clone.
#[derive(Clone)]
pub struct TokenVerifier {
    keys: Keys,
    leeway: chrono::Duration,
}

impl TokenVerifier {
    /// Accepts what was signed with any of `keys`, until the second it expires.
    #[must_use]
    pub fn new(keys: impl Into<Keys>) -> Self {
        Self::with_leeway(keys, Duration::ZERO)
    }

    /// The same, for a fleet whose clocks differ: a token is accepted until `leeway` after its end, which
    /// is cut to whole seconds and [`LEEWAY_MAX`].
    #[must_use]
    pub fn with_leeway(keys: impl Into<Keys>, leeway: Duration) -> Self {
        let leeway = leeway.min(LEEWAY_MAX).as_secs();
        Self { keys: keys.into(), leeway: chrono::Duration::seconds(i64::try_from(leeway).unwrap_or(0)) }
    }

    /// The public halves of the keys right now, for whoever checks tokens himself.
    #[must_use]
    pub fn public_keys(&self) -> JwkSet {
        self.keys.now().public().clone()
    }

    /// What `token` says, if it is ours and still good at `now`.
    ///
    /// # Errors
    /// See [`TokenError`]. The signature is checked before anything that the token claims: only a token
    /// that we signed is ever called expired.
    pub fn verify_at(&self, token: &str, now: DateTime<Utc>) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(TokenError::TooLong);
        }
        let keys = self.keys.now();
        let by = keys.verifier(token)?;
        let wire =
            jsonwebtoken::decode::<WireClaims>(token, &by.key, &by.validation).map_err(refusal)?.claims;
        let time = |seconds| DateTime::from_timestamp(seconds, 0).ok_or(TokenError::Malformed);
        let claims = Claims {
            user: UserId(wire.sub),
            family: wire.fam,
            issued_at: time(wire.iat)?,
            expires_at: time(wire.exp)?,
        };
        // "on or after which the JWT MUST NOT be accepted" (RFC 7519 section 4.1.4).
        if now.signed_duration_since(claims.expires_at) >= self.leeway {
            return Err(TokenError::Expired { at: claims.expires_at });
        }
        Ok(claims)
    }

    /// [`TokenVerifier::verify_at`] with the system's time.
    ///
    /// # Errors
    /// As [`TokenVerifier::verify_at`].
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        self.verify_at(token, Utc::now())
    }
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenVerifier").field("leeway", &self.leeway).finish_non_exhaustive()
    }
}

fn refusal(error: jsonwebtoken::errors::Error) -> TokenError {
    match error.kind() {
        ErrorKind::InvalidSignature => TokenError::BadSignature,
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => TokenError::WrongAlgorithm,
        ErrorKind::InvalidIssuer => TokenError::WrongIssuer,
        _ => TokenError::Malformed,
    }
}

/// Why an access token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`TOKEN_MAX_BYTES`]; it was not looked at.
    #[error("the token is longer than {TOKEN_MAX_BYTES} bytes")]
    TooLong,
    /// Not three base64url parts with the claims that an access token has.
    #[error("the token is not an access token")]
    Malformed,
    /// Unsigned, or signed in another way than its key does.
    #[error("the token is not signed in the way of its key")]
    WrongAlgorithm,
    /// Its `kid` names no key that we have (any more); or it has none, and we have no secret.
    #[error("the token is signed with a key that is not known here")]
    UnknownKey,
    /// Signed with another key, or changed since.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// Signed with our key, but not by a Streamz.
    #[error("the token was issued by somebody else")]
    WrongIssuer,
    /// It was good until `at`.
    #[error("the token expired at {at}")]
    Expired {
        /// Its `exp`.
        at: DateTime<Utc>,
    },
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
