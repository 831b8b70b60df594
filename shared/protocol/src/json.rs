//! Reading JSON that may be hostile: strict where serde is lenient, and silent about what it read.

use std::borrow::Cow;

use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Appends a value whose serialisation cannot fail: strings, numbers, ids.
pub(crate) fn push_json<T: Serialize>(text: &mut String, value: &T) {
    let json = serde_json::to_string(value).expect("strings, numbers and ids always serialise");
    text.push_str(&json);
}

/// Whether JSON text can only be an object. serde would take an array for a struct's fields in order.
pub(crate) fn is_object(text: &str) -> bool {
    text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{')
}

/// A JSON string that is passed on as it was written.
pub(crate) struct JsonString<'a> {
    /// As it was written, with its quotes.
    pub(crate) raw: &'a str,
    /// What it says, where a search finds letters, digits, `+`, `/`, `=` and `:` as themselves. Line breaks and
    /// quotes may still be escaped.
    pub(crate) readable: Cow<'a, str>,
}

/// Why a value is not a [`JsonString`], as the end of a sentence about it.
pub(crate) type NotAString = &'static str;

impl<'a> JsonString<'a> {
    /// Decodes only what has to be: most session descriptions escape nothing but their line breaks.
    pub(crate) fn read(value: &'a RawValue) -> Result<Self, NotAString> {
        let raw = value.get();
        if !raw.starts_with('"') {
            return Err("must be a string");
        }
        let bytes = raw.as_bytes();
        let escaped = [b"\\u", b"\\/"].iter().any(|escape| memchr::memmem::find(bytes, *escape).is_some());
        let readable = if escaped {
            // A raw value may hold half of a surrogate pair, which a receiver need not be able to read (RFC 8259
            // §8.2).
            let text: String =
                serde_json::from_str(raw).map_err(|_| "has an escape that is not a character")?;
            Cow::Owned(text)
        } else {
            Cow::Borrowed(raw)
        };
        Ok(Self { raw, readable })
    }
}

/// Reads an enum from a string only. serde would take `{"video": null}` for it as well.
pub(crate) fn word<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    T::deserialize(text.as_ref().into_deserializer())
}

/// The same for a field that may be `null`.
pub(crate) fn optional_word<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    Option::<Cow<'de, str>>::deserialize(deserializer)?
        .map(|text| T::deserialize(text.as_ref().into_deserializer()))
        .transpose()
}

/// Reads an object, or says what is wrong with which of its fields: without a position, and without the client's own
/// text, which may be a secret.
pub(crate) fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    // Where it went wrong is sought only if it did: most frames are right, and the search is not free.
    serde_json::from_str(text).map_err(|error| {
        if !error.is_data() {
            return "this is not valid JSON".to_owned();
        }
        let mut reader = serde_json::Deserializer::from_str(text);
        match serde_path_to_error::deserialize::<_, T>(&mut reader) {
            Err(error) => describe(&error),
            Ok(_) => "a field has a value that is not allowed".to_owned(),
        }
    })
}

fn describe(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let text = error.inner().to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    if text.starts_with("missing field") || text.starts_with("duplicate field") {
        // These name a field of the protocol.
        return text.to_owned();
    }
    let path = error.path().to_string();
    let field = if path == "." { "a field".to_owned() } else { path };
    if let Some(rule) = text.strip_prefix("device_id ") {
        return format!("{field} {rule}");
    }
    // The client's text stands before the last of these words and may hold the same words itself.
    match error.inner().to_string().rsplit_once(", expected ") {
        Some((_, expected)) => {
            let expected = match expected.split(" at line ").next().unwrap_or_default() {
                "u16" => "a whole number from 0 to 65535",
                "u32" | "u64" => "a whole number from 0",
                other => other,
            };
            format!("{field} must be {expected}")
        }
        None => format!("{field} has a value that is not allowed"),
    }
}
