//! One asymmetric key, from a file in PEM: its algorithm follows from what it is, never from what a token says.

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use pkcs8::der::pem::PemLabel;
use pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use pkcs8::{Document, ObjectIdentifier, PrivateKeyInfo, SecretDocument};

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The bits of an RSA modulus: what NIST calls too weak is below, what nobody uses and every check pays for above.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// What a key file holds.
pub(crate) struct PemKey {
    pub(crate) algorithm: Algorithm,
    /// Of a private key only.
    pub(crate) signs: Option<EncodingKey>,
    pub(crate) verifies: DecodingKey,
    /// The public half, without a name.
    pub(crate) public: Jwk,
}

/// Why a key file is not used, in the words that follow its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemProblem {
    /// There is no PEM in it that holds one key.
    #[error("is no key in PEM (PKCS#8: BEGIN PRIVATE KEY, or BEGIN PUBLIC KEY)")]
    NotPem,
    /// PEM of an older form.
    #[error("is a private key in an old form; convert it: openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW")]
    OldForm,
    /// It wants a passphrase, and nobody is there to give it.
    #[error("is encrypted; store it without a passphrase, readable by Streamz only")]
    Encrypted,
    /// A certificate.
    #[error("is a certificate; write its public key instead: openssl x509 -pubkey -noout -in CERTIFICATE")]
    Certificate,
    /// Another kind of key.
    #[error("is a key of another kind: Ed25519 (EdDSA), P-256 (ES256) and RSA (RS256) are understood")]
    Unsupported,
    /// An RSA key that can be broken, or that is too slow to check.
    #[error("is an RSA key of {bits} bits; from 2048 to 4096 are taken: weaker ones can be broken")]
    RsaBits {
        /// Of its modulus.
        bits: usize,
    },
    /// Its numbers are no key.
    #[error("is damaged: its numbers are no key")]
    Damaged,
}

impl PemKey {
    /// Reads one key, private or public.
    ///
    /// # Errors
    /// [`PemProblem`]. Nothing of the key is in it.
    pub(crate) fn parse(text: &str) -> Result<Self, PemProblem> {
        match label(text)? {
            PrivateKeyInfo::PEM_LABEL => Self::private(text),
            "PUBLIC KEY" => Self::public(text),
            "RSA PRIVATE KEY" | "EC PRIVATE KEY" => Err(PemProblem::OldForm),
            "ENCRYPTED PRIVATE KEY" => Err(PemProblem::Encrypted),
            "CERTIFICATE" => Err(PemProblem::Certificate),
            _ => Err(PemProblem::NotPem),
        }
    }

    fn private(text: &str) -> Result<Self, PemProblem> {
        let (_, document) = SecretDocument::from_pem(text).map_err(|_| PemProblem::NotPem)?;
        let info: PrivateKeyInfo<'_> = document.decode_msg().map_err(|_| PemProblem::Damaged)?;
        let algorithm = algorithm(&info.algorithm)?;
        // Without the public half, which some programs add: the library computes it.
        let plain = PrivateKeyInfo::new(info.algorithm, info.private_key);
        let plain = SecretDocument::encode_msg(&plain).map_err(|_| PemProblem::Damaged)?;
        let signs = match algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_der(info.private_key),
            Algorithm::ES256 => EncodingKey::from_ec_der(plain.as_bytes()),
            _ => EncodingKey::from_ed_der(plain.as_bytes()),
        };
        let public = Jwk::from_encoding_key(&signs, algorithm).map_err(|_| PemProblem::Damaged)?;
        let key = Self::of(algorithm, Some(signs), public)?;
        key.proves_itself()?;
        Ok(key)
    }

    fn public(text: &str) -> Result<Self, PemProblem> {
        let (_, document) = Document::from_pem(text).map_err(|_| PemProblem::NotPem)?;
        let info: SubjectPublicKeyInfoRef<'_> = document.decode_msg().map_err(|_| PemProblem::Damaged)?;
        let algorithm = algorithm(&info.algorithm)?;
        let bytes = info.subject_public_key.as_bytes().ok_or(PemProblem::Damaged)?;
        let key = match algorithm {
            Algorithm::RS256 => DecodingKey::from_rsa_der(bytes),
            Algorithm::ES256 => DecodingKey::from_ec_der(bytes),
            _ if bytes.len() == 32 => DecodingKey::from_ed_der(bytes),
            _ => return Err(PemProblem::Damaged),
        };
        let public = Jwk::from_decoding_key(&key, Some(algorithm)).map_err(|_| PemProblem::Damaged)?;
        Self::of(algorithm, None, public)
    }

    fn of(algorithm: Algorithm, signs: Option<EncodingKey>, mut public: Jwk) -> Result<Self, PemProblem> {
        if let AlgorithmParameters::RSA(rsa) = &public.algorithm {
            let bits = bits(&rsa.n)?;
            if !RSA_BITS.contains(&bits) {
                return Err(PemProblem::RsaBits { bits });
            }
        }
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        let verifies = DecodingKey::from_jwk(&public).map_err(|_| PemProblem::Damaged)?;
        // A point that is not on the curve is found when it is first used, which is here.
        jsonwebtoken::crypto::verify("", b"", &verifies, algorithm).map_err(|_| PemProblem::Damaged)?;
        Ok(Self { algorithm, signs, verifies, public })
    }

    /// What is signed with the private half must pass with the public one.
    fn proves_itself(&self) -> Result<(), PemProblem> {
        let Some(signs) = &self.signs else { return Ok(()) };
        let proof = b"streamz";
        let proven = jsonwebtoken::crypto::sign(proof, signs, self.algorithm).and_then(|signature| {
            jsonwebtoken::crypto::verify(&signature, proof, &self.verifies, self.algorithm)
        });
        if proven.unwrap_or(false) { Ok(()) } else { Err(PemProblem::Damaged) }
    }
}

/// What the first block of a PEM text calls itself.
fn label(text: &str) -> Result<&str, PemProblem> {
    let (_, rest) = text.split_once("-----BEGIN ").ok_or(PemProblem::NotPem)?;
    let (label, _) = rest.split_once("-----").ok_or(PemProblem::NotPem)?;
    Ok(label)
}

fn algorithm(identifier: &AlgorithmIdentifierRef<'_>) -> Result<Algorithm, PemProblem> {
    match identifier.oid {
        ED25519 => Ok(Algorithm::EdDSA),
        RSA => Ok(Algorithm::RS256),
        EC if identifier.parameters_oid().is_ok_and(|curve| curve == P256) => Ok(Algorithm::ES256),
        _ => Err(PemProblem::Unsupported),
    }
}

/// How long a number of JWK is.
fn bits(number: &str) -> Result<usize, PemProblem> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(number);
    let bytes = bytes.map_err(|_| PemProblem::Damaged)?;
    let first = bytes.iter().position(|byte| *byte != 0).ok_or(PemProblem::Damaged)?;
    let leading = usize::try_from(bytes[first].leading_zeros()).unwrap_or(0);
    Ok((bytes.len() - first) * 8 - leading)
}

#[cfg(test)]
#[path = "pem_tests.rs"]
mod tests;
