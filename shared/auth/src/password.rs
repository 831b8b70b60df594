//! The rules for a password, and what is stored of it.
//!
//! Stored is an argon2id hash (RFC 9106) in the PHC format, with the parameters that OWASP recommends: 19 MiB
//! of memory, two passes, one lane. Hashes of the first Streamz (bcrypt, `$2a$`, `$2b$`, `$2y$`) are
//! checked too, and reported as due for replacement.
//!
//! The functions here take tens of milliseconds; [`crate::PasswordPool`] runs them where that does not hurt.

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use secrecy::{ExposeSecret, SecretString};

/// The fewest characters of a new password.
pub const PASSWORD_MIN_CHARS: usize = 8;
/// The most characters of a new password.
pub const PASSWORD_MAX_CHARS: usize = 128;

/// Memory of one hash, in KiB.
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over that memory.
const PASSES: u32 = 2;
/// Lanes.
const LANES: u32 = 1;
/// The most memory that a stored hash may ask for, in KiB. Hashes come from our own database; this keeps a
/// mistaken import from taking the process down.
const STORED_MEMORY_MAX_KIB: u32 = 256 * 1024;
/// The same for its passes.
const STORED_PASSES_MAX: u32 = 16;
/// The same for bcrypt's cost: 15 is about three seconds.
const STORED_BCRYPT_COST_MAX: u32 = 15;

/// A hash of no password, with the parameters of a new one: checking against it costs what a real check
/// costs.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c3RyZWFtei1ub2JvZHkhIQ$bm9ib2R5IGtub3dzIHRoaXMgcGFzc3dvcmQsIHN1cmU";

/// A password that keeps the rules for a new one. Its `Debug` does not show it.
///
/// Only new passwords are held to the rules. Whoever signs in may present anything: that is right or wrong.
#[derive(Clone, Debug)]
pub struct NewPassword(SecretString);

impl NewPassword {
    /// Takes the text as it is: nothing is trimmed or changed.
    ///
    /// # Errors
    /// [`PasswordRule`], the rule that it breaks.
    pub fn new(password: SecretString) -> Result<Self, PasswordRule> {
        // `nth` stops early; counting all of a huge text is not needed to refuse it.
        let mut characters = password.expose_secret().chars();
        if characters.nth(PASSWORD_MIN_CHARS - 1).is_none() {
            return Err(PasswordRule::TooShort);
        }
        if characters.nth(PASSWORD_MAX_CHARS - PASSWORD_MIN_CHARS).is_some() {
            return Err(PasswordRule::TooLong);
        }
        Ok(Self(password))
    }
}

/// The rule that a new password breaks. The message may be shown to the person who chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRule {
    /// Fewer than [`PASSWORD_MIN_CHARS`] characters.
    #[error("a password has at least {PASSWORD_MIN_CHARS} characters")]
    TooShort,
    /// More than [`PASSWORD_MAX_CHARS`] characters.
    #[error("a password has at most {PASSWORD_MAX_CHARS} characters")]
    TooLong,
}

/// What a check of a password found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The password is right.
    Correct {
        /// The stored hash is of an older kind; hash the password again and store that.
        rehash_needed: bool,
    },
    /// It is not.
    Wrong,
}

/// The hashing itself failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HashError {
    /// The stored hash is neither argon2 nor bcrypt, or asks for more work than is allowed.
    #[error("the stored hash is of an unknown kind")]
    UnsupportedHash,
    /// No randomness, or no memory.
    #[error("argon2 failed: {0}")]
    Argon2(argon2::password_hash::Error),
}

fn argon2id() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the parameters are in range");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// A new hash with a new salt.
pub(crate) fn hash(password: &NewPassword) -> Result<String, HashError> {
    rehash(&password.0)
}

/// The same for a password that was accepted before the rules were what they are.
pub(crate) fn rehash(password: &SecretString) -> Result<String, HashError> {
    let password = password.expose_secret().as_bytes();
    let hash: PasswordHash = argon2id().hash_password(password).map_err(HashError::Argon2)?;
    Ok(hash.to_string())
}

/// Checks a password against a stored hash.
pub(crate) fn verify(stored: &str, password: &SecretString) -> Result<Verdict, HashError> {
    let password = password.expose_secret().as_bytes();
    if stored.starts_with("$2") {
        return verify_bcrypt(stored, password);
    }
    let hash = PasswordHash::new(stored).map_err(|_| HashError::UnsupportedHash)?;
    // Without an output every password would be called wrong.
    if hash.hash.is_none() || !hash.algorithm.as_str().starts_with("argon2") {
        return Err(HashError::UnsupportedHash);
    }
    let params = Params::try_from(&hash).map_err(|_| HashError::UnsupportedHash)?;
    if params.m_cost() > STORED_MEMORY_MAX_KIB || params.t_cost() > STORED_PASSES_MAX {
        return Err(HashError::UnsupportedHash);
    }
    match argon2id().verify_password(password, &hash) {
        Ok(()) => Ok(Verdict::Correct { rehash_needed: !is_current(&hash, &params) }),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(Verdict::Wrong),
        Err(error) => Err(HashError::Argon2(error)),
    }
}

/// Takes the time of [`verify`], for an account that does not exist.
pub(crate) fn verify_nobody(password: &SecretString) -> Result<(), HashError> {
    verify(NOBODY, password).map(|_| ())
}

fn is_current(hash: &PasswordHash, params: &Params) -> bool {
    hash.algorithm.as_str() == "argon2id"
        && hash.version == Some(0x13)
        && (params.m_cost(), params.t_cost(), params.p_cost()) == (MEMORY_KIB, PASSES, LANES)
}

/// bcrypt looks at the first 72 bytes only, as it did when the hash was made.
fn verify_bcrypt(stored: &str, password: &[u8]) -> Result<Verdict, HashError> {
    let parts: bcrypt::HashParts = stored.parse().map_err(|_| HashError::UnsupportedHash)?;
    if parts.get_cost() > STORED_BCRYPT_COST_MAX {
        return Err(HashError::UnsupportedHash);
    }
    match bcrypt::verify(password, stored) {
        Ok(true) => Ok(Verdict::Correct { rehash_needed: true }),
        Ok(false) => Ok(Verdict::Wrong),
        Err(_) => Err(HashError::UnsupportedHash),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretString {
        text.into()
    }

    #[test]
    fn a_password_is_counted_in_characters() {
        let new = |text: String| NewPassword::new(text.into()).map(|_| ());
        assert_eq!(new("ä".repeat(7)), Err(PasswordRule::TooShort));
        assert_eq!(new("ä".repeat(8)), Ok(()));
        assert_eq!(new("😀".repeat(128)), Ok(()));
        assert_eq!(new("😀".repeat(129)), Err(PasswordRule::TooLong));
        assert_eq!(new(String::new()), Err(PasswordRule::TooShort));
        assert_eq!(new(" ".repeat(8)), Ok(()), "nothing is trimmed");
    }

    #[test]
    fn a_hash_is_argon2id_with_the_documented_parameters_and_a_salt_of_its_own() {
        let password = NewPassword::new(secret("correct horse")).unwrap();
        let (one, other) = (hash(&password).unwrap(), hash(&password).unwrap());
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert_ne!(one, other);
        let verify = |text| verify(&one, &secret(text)).unwrap();
        assert_eq!(verify("correct horse"), Verdict::Correct { rehash_needed: false });
        assert_eq!(verify("correct horsf"), Verdict::Wrong);
        assert_eq!(verify(""), Verdict::Wrong);
        assert!(!format!("{password:?}").contains("horse"));
    }

    #[test]
    fn hashes_of_the_first_streamz_are_right_and_due_for_replacement() {
        // From the tests of golang.org/x/crypto/bcrypt, which the first Streamz used.
        let go = "$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga";
        for kind in ["$2a$", "$2b$", "$2y$"] {
            let stored = go.replacen("$2a$", kind, 1);
            let right = verify(&stored, &secret("allmine")).unwrap();
            assert_eq!(right, Verdict::Correct { rehash_needed: true }, "{kind}");
            assert_eq!(verify(&stored, &secret("allmin")).unwrap(), Verdict::Wrong, "{kind}");
        }
    }

    #[test]
    fn bcrypt_looks_at_72_bytes_as_it_always_did() {
        let stored = bcrypt::hash("x".repeat(72), 4).unwrap();
        let verify = |length| verify(&stored, &secret(&"x".repeat(length))).unwrap();
        assert_eq!(verify(71), Verdict::Wrong);
        assert_eq!(verify(72), Verdict::Correct { rehash_needed: true });
        assert_eq!(verify(100), Verdict::Correct { rehash_needed: true });
    }

    #[test]
    fn a_hash_with_other_parameters_is_due_for_replacement() {
        let older = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(4096, 1, 1, None).unwrap());
        let stored: PasswordHash = older.hash_password(b"correct horse").unwrap();
        let verdict = verify(&stored.to_string(), &secret("correct horse")).unwrap();
        assert_eq!(verdict, Verdict::Correct { rehash_needed: true });
    }

    #[test]
    fn what_is_no_hash_or_asks_for_too_much_is_unsupported() {
        for stored in [
            "",
            "plain",
            "$argon2id",
            "$argon2id$v=19$m=19456,t=2,p=1$c3RyZWFtei1ub2JvZHkhIQ",
            "$1$md5",
            "$2a$",
            "$2a$10$short",
            "$2a$31$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga",
            "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E",
            "$argon2id$v=19$m=4194304,t=2,p=1$c3RyZWFtei1ub2JvZHkhIQ$bm9ib2R5IGtub3dzIHRoaXMgcGFzc3dvcmQsIHN1cmU",
            "$argon2id$v=19$m=19456,t=1000,p=1$c3RyZWFtei1ub2JvZHkhIQ$bm9ib2R5IGtub3dzIHRoaXMgcGFzc3dvcmQsIHN1cmU",
        ] {
            let result = verify(stored, &secret("password"));
            assert!(matches!(result, Err(HashError::UnsupportedHash)), "{stored}: {result:?}");
        }
    }

    #[test]
    fn nobody_s_hash_costs_what_a_new_one_costs() {
        let nobody = PasswordHash::new(NOBODY).unwrap();
        let params = Params::try_from(&nobody).unwrap();
        assert!(is_current(&nobody, &params));
        let new = PasswordHash::new(&rehash(&secret("x")).unwrap()).unwrap();
        let lengths =
            |hash: &PasswordHash| (hash.salt.map(|salt| salt.len()), hash.hash.map(|output| output.len()));
        assert_eq!(lengths(&nobody), lengths(&new));
        verify_nobody(&secret("whatever")).unwrap();
    }
}
