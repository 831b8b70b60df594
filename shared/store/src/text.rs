//! Which text and which times both databases keep unchanged.

use chrono::{DateTime, SubsecRound, Utc};

use crate::StoreError;

/// The longest text in an indexed column, in bytes: 255 characters of four bytes each. A Postgres index row ends
/// at 2,704 bytes; SQLite would take any length, and the two must agree.
pub const MAX_KEY_BYTES: usize = 1020;

/// The longest text in any other column, in bytes.
pub const MAX_TEXT_BYTES: usize = 4096;

/// Why a text cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextProblem {
    /// It contains U+0000, which Postgres cannot hold.
    Nul,
    /// It is longer than [`MAX_KEY_BYTES`] or [`MAX_TEXT_BYTES`].
    TooLong,
}

impl std::fmt::Display for TextProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nul => "contains a NUL character",
            Self::TooLong => "is too long",
        })
    }
}

/// Checks a text for an indexed column.
pub(crate) fn key(field: &'static str, text: &str) -> Result<(), StoreError> {
    check(field, text, MAX_KEY_BYTES)
}

/// Checks a text for any other column.
pub(crate) fn plain(field: &'static str, text: &str) -> Result<(), StoreError> {
    check(field, text, MAX_TEXT_BYTES)
}

/// Checks a text that may be absent.
pub(crate) fn optional(field: &'static str, text: Option<&str>) -> Result<(), StoreError> {
    text.map_or(Ok(()), |text| plain(field, text))
}

/// Whether an indexed column may hold this text at all; a look-up of any other finds nothing.
pub(crate) fn findable(text: &str) -> bool {
    problem(text, MAX_KEY_BYTES).is_none()
}

fn check(field: &'static str, text: &str, max_bytes: usize) -> Result<(), StoreError> {
    problem(text, max_bytes).map_or(Ok(()), |problem| Err(StoreError::InvalidText { field, problem }))
}

fn problem(text: &str, max_bytes: usize) -> Option<TextProblem> {
    if text.len() > max_bytes {
        Some(TextProblem::TooLong)
    } else if text.contains('\0') {
        Some(TextProblem::Nul)
    } else {
        None
    }
}

/// Cuts to microseconds, the precision of Postgres, so that what was written equals what is read.
pub(crate) fn micros(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(6)
}
