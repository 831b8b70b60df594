//! The keys of access tokens: one signs, all verify.
//!
//! Each key has its algorithm, and verifies nothing else (RFC 8725 section 3.1). A token names its key in its header
//! (`kid`); what else stands there only has to agree. A token without `kid` is one of the secret's.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::Deserialize;

use crate::access::{ISSUER, TokenError};
use crate::key::SigningKey;
use crate::pem::PemKey;

/// What signs.
pub(crate) struct Signer {
    pub(crate) header: Header,
    pub(crate) key: EncodingKey,
}

/// What verifies.
pub(crate) struct Verifier {
    /// `None`: the secret.
    kid: Option<String>,
    algorithm: Algorithm,
    /// The header of the tokens that Streamz itself signs with it, as it stands in them: most need no more look.
    usual: String,
    pub(crate) key: DecodingKey,
    pub(crate) validation: Validation,
}

impl Verifier {
    fn new(kid: Option<String>, algorithm: Algorithm, key: DecodingKey) -> Self {
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        // The library would ask the system for the time; here it is an argument.
        validation.validate_exp = false;
        let usual = serde_json::to_vec(&header(kid.as_deref(), algorithm)).unwrap_or_default();
        Self { kid, algorithm, usual: URL_SAFE_NO_PAD.encode(usual), key, validation }
    }
}

fn header(kid: Option<&str>, algorithm: Algorithm) -> Header {
    Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) }
}

/// The keys at one moment. Its `Debug` shows names and algorithms.
pub struct KeySet {
    pub(crate) signer: Signer,
    verifiers: Vec<Verifier>,
    public: JwkSet,
}

impl KeySet {
    /// One secret, which signs and verifies.
    #[must_use]
    pub fn of_secret(secret: &SigningKey) -> Self {
        Self {
            signer: Signer {
                header: header(None, Algorithm::HS256),
                key: EncodingKey::from_secret(secret.bytes()),
            },
            verifiers: vec![Self::secret(secret)],
            public: JwkSet::default(),
        }
    }

    fn secret(secret: &SigningKey) -> Verifier {
        Verifier::new(None, Algorithm::HS256, DecodingKey::from_secret(secret.bytes()))
    }

    /// Keys with names, and a secret that verifies, too. The key `signing` signs, or without it the secret; `None` if
    /// there is no such key, or it is no private one.
    pub(crate) fn of_keys(
        keys: Vec<(String, PemKey)>,
        secret: Option<&SigningKey>,
        signing: Option<&str>,
    ) -> Option<Self> {
        let mut signer = match (signing, secret) {
            (None, Some(secret)) => Some(Self::of_secret(secret).signer),
            _ => None,
        };
        let mut verifiers = Vec::with_capacity(keys.len() + 1);
        let mut public = JwkSet::default();
        for (kid, key) in keys {
            let mut jwk = key.public;
            jwk.common.key_id = Some(kid.clone());
            public.keys.push(jwk);
            if signing == Some(&*kid) {
                signer =
                    key.signs.map(|signs| Signer { header: header(Some(&kid), key.algorithm), key: signs });
            }
            verifiers.push(Verifier::new(Some(kid), key.algorithm, key.verifies));
        }
        verifiers.extend(secret.map(Self::secret));
        signer.map(|signer| Self { signer, verifiers, public })
    }

    /// The key of a token, by its header.
    pub(crate) fn verifier(&self, token: &str) -> Result<&Verifier, TokenError> {
        #[derive(Deserialize)]
        struct Head<'a> {
            #[serde(borrow)]
            alg: std::borrow::Cow<'a, str>,
            #[serde(borrow, default)]
            kid: Option<std::borrow::Cow<'a, str>>,
        }
        let (header, _) = token.split_once('.').ok_or(TokenError::Malformed)?;
        if let Some(usual) = self.verifiers.iter().find(|known| known.usual == header) {
            return Ok(usual);
        }
        let json = URL_SAFE_NO_PAD.decode(header).map_err(|_| TokenError::Malformed)?;
        let head: Head<'_> = serde_json::from_slice(&json).map_err(|_| TokenError::Malformed)?;
        let named = self.verifiers.iter().find(|known| known.kid.as_deref() == head.kid.as_deref());
        let named = named.ok_or(TokenError::UnknownKey)?;
        if name(named.algorithm) == head.alg { Ok(named) } else { Err(TokenError::WrongAlgorithm) }
    }

    /// The public halves, for whoever checks tokens himself (RFC 7517). A secret has none.
    #[must_use]
    pub fn public(&self) -> &JwkSet {
        &self.public
    }
}

/// `2026-12 (EdDSA) signs; 2026-11 (EdDSA), JWT_SECRET (HS256) verify`.
impl fmt::Display for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signs = self.signer.header.kid.as_deref();
        let called =
            |kid: Option<&str>, algorithm| format!("{} ({})", kid.unwrap_or("JWT_SECRET"), name(algorithm));
        write!(f, "{} signs", called(signs, self.signer.header.alg))?;
        let others = self.verifiers.iter().filter(|known| known.kid.as_deref() != signs);
        let others: Vec<String> = others.map(|known| called(known.kid.as_deref(), known.algorithm)).collect();
        match others.len() {
            0 => Ok(()),
            1 => write!(f, "; {} verifies", others[0]),
            _ => write!(f, "; {} verify", others.join(", ")),
        }
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeySet").field(&self.to_string()).finish()
    }
}

/// As it stands in a header.
fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::HS256 => "HS256",
        Algorithm::ES256 => "ES256",
        Algorithm::RS256 => "RS256",
        Algorithm::EdDSA => "EdDSA",
        _ => "unknown",
    }
}

/// The keys of a running process, which may change. Cheap to clone: all clones are the same.
#[derive(Clone, Debug)]
pub struct Keys(Arc<RwLock<Arc<KeySet>>>);

impl Keys {
    /// Begins with these.
    #[must_use]
    pub fn new(set: KeySet) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(set))))
    }

    /// Goes on with others. What is being checked right now is checked with the old ones.
    pub fn replace(&self, set: KeySet) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }

    /// The keys right now.
    #[must_use]
    pub fn now(&self) -> Arc<KeySet> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl From<&SigningKey> for Keys {
    fn from(secret: &SigningKey) -> Self {
        Self::new(KeySet::of_secret(secret))
    }
}

impl From<&Keys> for Keys {
    fn from(keys: &Keys) -> Self {
        keys.clone()
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
