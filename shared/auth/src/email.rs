//! The address that names an account.
//!
//! Only a message that arrives proves an address, so the check here is small: what certainly is none is
//! refused, and what is the same address to a person is the same account.

use std::fmt;
use std::str::FromStr;

/// The longest address, in characters (RFC 5321 section 4.5.3.1.3 leaves 254 for it).
pub const EMAIL_MAX_CHARS: usize = 254;

/// An address in its normal form: trimmed and in lower case.
///
/// Lower case for the part before the `@` too. RFC 5321 lets a host tell `Ann` from `ann`; hosts that do are
/// unheard of, and people who type their address in another way on another device are not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Email(String);

impl Email {
    /// The normal form of what a person typed.
    ///
    /// # Errors
    /// [`InvalidEmail`] if it has more than 254 characters, whitespace or control characters, or not exactly
    /// one `@` with something on both sides.
    pub fn parse(text: &str) -> Result<Self, InvalidEmail> {
        let trimmed = text.trim();
        // Counted before anything is copied, and again after: a letter may become two in lower case.
        if trimmed.chars().nth(EMAIL_MAX_CHARS).is_some() {
            return Err(InvalidEmail::TooLong);
        }
        if trimmed.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(InvalidEmail::ForbiddenCharacter);
        }
        match trimmed.split_once('@') {
            Some((local, domain)) if !local.is_empty() && !domain.is_empty() && !domain.contains('@') => {}
            _ => return Err(InvalidEmail::NotAnAddress),
        }
        let normal = trimmed.to_lowercase();
        if normal.chars().nth(EMAIL_MAX_CHARS).is_some() {
            return Err(InvalidEmail::TooLong);
        }
        Ok(Self(normal))
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address, for the store.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl FromStr for Email {
    type Err = InvalidEmail;
    fn from_str(text: &str) -> Result<Self, InvalidEmail> {
        Self::parse(text)
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not an address. The message may be shown to the person who typed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEmail {
    /// More than [`EMAIL_MAX_CHARS`] characters.
    #[error("an e-mail address has at most {EMAIL_MAX_CHARS} characters")]
    TooLong,
    /// A space, a line break or the like inside.
    #[error("an e-mail address has no spaces or control characters")]
    ForbiddenCharacter,
    /// Not `name@domain`.
    #[error("an e-mail address looks like name@example.org")]
    NotAnAddress,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_types_becomes_one_normal_form() {
        for typed in ["ann@example.org", "  Ann@Example.ORG\n", "ANN@EXAMPLE.ORG"] {
            assert_eq!(Email::parse(typed).unwrap().as_str(), "ann@example.org");
        }
        assert_eq!(Email::parse("Jörg+tv@exämple.org").unwrap().to_string(), "jörg+tv@exämple.org");
    }

    #[test]
    fn the_length_is_counted_in_characters_of_the_normal_form() {
        let domain = "@example.org";
        let longest = format!("{}{domain}", "ä".repeat(EMAIL_MAX_CHARS - domain.len()));
        assert!(Email::parse(&longest).is_ok());
        assert_eq!(Email::parse(&format!("a{longest}")), Err(InvalidEmail::TooLong));
        // U+0130 is two characters in lower case.
        let grows = longest.replacen('ä', "İ", 1);
        assert_eq!(Email::parse(&grows), Err(InvalidEmail::TooLong));
        assert_eq!(Email::parse(&"a@".repeat(1 << 20)), Err(InvalidEmail::TooLong));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        use InvalidEmail::{ForbiddenCharacter, NotAnAddress};
        for (typed, why) in [
            ("", NotAnAddress),
            ("ann", NotAnAddress),
            ("@", NotAnAddress),
            ("@example.org", NotAnAddress),
            ("ann@", NotAnAddress),
            ("ann@home@example.org", NotAnAddress),
            ("ann smith@example.org", ForbiddenCharacter),
            ("ann@example.org\r\nBcc: all", ForbiddenCharacter),
            ("ann\0@example.org", ForbiddenCharacter),
            ("ann\u{a0}b@example.org", ForbiddenCharacter),
        ] {
            assert_eq!(Email::parse(typed), Err(why), "{typed:?}");
        }
    }
}
