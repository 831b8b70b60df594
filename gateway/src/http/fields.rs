//! The rules for the values in bodies and queries, and the list of those that break them.

use std::fmt::Display;

use crate::problem::{FieldError, Problem};

/// The longest name of a person or of a device, in characters.
pub const NAME_MAX_CHARS: usize = 255;
/// The longest type of a device, in characters.
pub const DEVICE_TYPE_MAX_CHARS: usize = 64;

/// Collects what is wrong, so that a client hears of everything at once.
#[derive(Default)]
pub(super) struct Fields {
    errors: Vec<FieldError>,
}

impl Fields {
    /// A field that must be there; `None` if that is not so, or if it breaks its rule.
    pub(super) fn required<V, T, E: Display>(
        &mut self,
        field: &'static str,
        value: Option<V>,
        rule: impl FnOnce(V) -> Result<T, E>,
    ) -> Option<T> {
        if value.is_none() {
            self.errors.push(FieldError::new(field, "is required"));
        }
        self.optional(field, value, rule)
    }

    /// A field that may be missing.
    pub(super) fn optional<V, T, E: Display>(
        &mut self,
        field: &'static str,
        value: Option<V>,
        rule: impl FnOnce(V) -> Result<T, E>,
    ) -> Option<T> {
        match rule(value?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.errors.push(FieldError::new(field, error.to_string()));
                None
            }
        }
    }

    /// Whether nothing is wrong.
    pub(super) fn good(&self) -> bool {
        self.errors.is_empty()
    }

    /// What is wrong.
    pub(super) fn into_errors(self) -> Vec<FieldError> {
        self.errors
    }

    /// What is wrong with a body.
    pub(super) fn into_problem(self) -> Problem {
        Problem::fields(self.errors)
    }
}

/// Why a text is no name or no type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// Nothing but blanks.
    #[error("must not be empty")]
    Empty,
    /// Longer than so many characters.
    #[error("must have at most {0} characters")]
    TooLong(usize),
    /// A line break, a NUL or the like.
    #[error("must not have control characters")]
    ControlCharacter,
}

/// What people call a device, without the blanks around it: 1 to 255 characters, no control characters.
///
/// # Errors
/// [`InvalidText`].
pub fn device_name(text: &str) -> Result<&str, InvalidText> {
    line(text, NAME_MAX_CHARS)
}

/// The type of a device, without the blanks around it: 1 to 64 characters, no control characters.
///
/// # Errors
/// [`InvalidText`].
pub fn device_type(text: &str) -> Result<&str, InvalidText> {
    line(text, DEVICE_TYPE_MAX_CHARS)
}

/// A given or a family name; an empty one is none.
pub(super) fn person_name(text: String) -> Result<Option<String>, InvalidText> {
    match line(&text, NAME_MAX_CHARS) {
        Ok(name) => Ok(Some(name.to_owned())),
        Err(InvalidText::Empty) => Ok(None),
        Err(error) => Err(error),
    }
}

fn line(text: &str, most: usize) -> Result<&str, InvalidText> {
    let text = text.trim();
    if text.is_empty() {
        Err(InvalidText::Empty)
    } else if text.chars().nth(most).is_some() {
        Err(InvalidText::TooLong(most))
    } else if text.chars().any(char::is_control) {
        Err(InvalidText::ControlCharacter)
    } else {
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_at_the_limit() {
        assert_eq!(device_name(" Küche "), Ok("Küche"));
        assert!(device_name(&"é".repeat(255)).is_ok());
        assert_eq!(device_name(&"é".repeat(256)), Err(InvalidText::TooLong(255)));
        assert!(device_type(&"x".repeat(64)).is_ok());
        assert_eq!(device_type(&"x".repeat(65)), Err(InvalidText::TooLong(64)));
        assert_eq!(device_name(" \n "), Err(InvalidText::Empty));
        assert_eq!(device_name("a\u{0}b"), Err(InvalidText::ControlCharacter));
        assert_eq!(person_name("  ".to_owned()), Ok(None));
    }

    #[test]
    fn everything_that_is_wrong_is_listed() {
        let mut fields = Fields::default();
        assert_eq!(fields.required("a", None::<&str>, device_name), None);
        assert_eq!(fields.optional("b", Some(""), device_name), None);
        assert_eq!(fields.optional("c", None::<&str>, device_name), None);
        assert!(!fields.good());
        let names: Vec<_> = fields.into_errors().into_iter().map(|error| error.field).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
