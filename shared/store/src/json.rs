//! How rows look as JSON: every time has the same form, on every path to a client.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

fn text(time: &DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// RFC 3339 in UTC with milliseconds and `Z`, as on the WebSocket. Databases and clocks know more digits.
///
/// # Errors
/// The serializer's own.
pub fn time<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(time))
}

/// The same for a time that may be missing.
///
/// # Errors
/// The serializer's own.
#[allow(clippy::ref_option, reason = "serde hands over a reference to the field")]
pub fn optional_time<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    time.as_ref().map(text).serialize(serializer)
}
