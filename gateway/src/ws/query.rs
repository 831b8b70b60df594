//! What a device says of itself in the query of `/ws`.
//!
//! Each complaint says what to do, and fits into a close frame: a client that learns it by close code reads it there.

use axum::extract::Query;
use axum::http::Uri;
use serde::Deserialize;
use serde::de::IgnoredAny;
use streamz_protocol::{DeviceId, SessionId};

use crate::http::{fields, is_well_formed};
use crate::problem::{Code, Problem};

/// The most streams that a device may say it takes.
const MAX_STREAMS: u16 = 64;

/// The query parameters of the route, checked.
pub(super) struct WsQuery {
    pub(super) device_id: DeviceId,
    pub(super) device_name: Option<String>,
    pub(super) device_type: Option<String>,
    pub(super) session_id: Option<SessionId>,
    pub(super) last_seq: u64,
    pub(super) max_streams: u16,
}

#[derive(Deserialize)]
struct Given {
    device_id: Option<String>,
    device_name: Option<String>,
    device_type: Option<String>,
    session_id: Option<String>,
    last_seq: Option<String>,
    max_streams: Option<String>,
    token: Option<IgnoredAny>,
    access_token: Option<IgnoredAny>,
}

impl WsQuery {
    pub(super) fn parse(uri: &Uri) -> Result<Self, Problem> {
        if !uri.query().is_none_or(is_well_formed) {
            return Err(bad("Percent-encode the query as UTF-8 (RFC 3986 section 2.5)."));
        }
        let Query(given) = Query::<Given>::try_from_uri(uri).map_err(|rejection| {
            let text = rejection.body_text();
            let twice = text.split_once("duplicate field `").and_then(|(_, rest)| rest.split('`').next());
            match twice {
                Some(field) => bad(format!("{field} is given twice.")),
                None => bad("The query cannot be read; percent-encode each parameter."),
            }
        })?;
        if given.token.is_some() || given.access_token.is_some() {
            return Err(bad(
                "A token in a URL ends up in logs: send Authorization: Bearer TOKEN, or the subprotocol bearer.TOKEN.",
            ));
        }
        let device_id =
            given.device_id.ok_or_else(|| bad("device_id is missing: your own name for the device."))?;
        let last_seq = given.last_seq.map(|text| text.parse()).transpose();
        let session_id = given.session_id.map(|text| text.parse()).transpose();
        let max_streams = given.max_streams.map(|text| text.parse()).transpose().unwrap_or(Some(0));
        let max_streams = max_streams.unwrap_or(1);
        if !(1..=MAX_STREAMS).contains(&max_streams) {
            return Err(bad(format!("max_streams must be a number from 1 to {MAX_STREAMS}.")));
        }
        Ok(Self {
            device_id: DeviceId::new(&device_id).map_err(|error| bad(format!("{error}.")))?,
            device_name: checked("device_name", given.device_name, fields::device_name)?,
            device_type: checked("device_type", given.device_type, fields::device_type)?,
            session_id: session_id
                .map_err(|_| bad("session_id must be the UUID that welcome said, or be left out."))?,
            last_seq: last_seq.map_err(|_| bad("last_seq must be a number from 0."))?.unwrap_or(0),
            max_streams,
        })
    }
}

fn bad(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(Code::MalformedQuery, detail)
}

/// A parameter by the rules of the API's fields.
fn checked(
    key: &str,
    value: Option<String>,
    rule: impl Fn(&str) -> Result<&str, fields::InvalidText>,
) -> Result<Option<String>, Problem> {
    let checked = value.map(|value| rule(&value).map(str::to_owned)).transpose();
    checked.map_err(|error| bad(format!("{key} {error}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(query: &str) -> String {
        let uri: Uri = format!("/ws?{query}").parse().unwrap();
        WsQuery::parse(&uri).err().map(|problem| problem.detail().to_owned()).unwrap_or_default()
    }

    #[test]
    fn every_complaint_names_its_parameter_and_fits_into_a_close_frame() {
        for (query, word) in [
            ("", "device_id is missing"),
            ("device_id=", "device_id must have 1 to 255 characters"),
            ("device_id=a%00b", "no control characters"),
            ("device_id=a&device_id=b", "device_id is given twice"),
            ("device_id=%zz", "Percent-encode"),
            ("device_id=%ff", "Percent-encode"),
            ("device_id=a&session_id=x", "session_id"),
            ("device_id=a&last_seq=-1", "last_seq"),
            ("device_id=a&max_streams=0", "max_streams"),
            ("device_id=a&max_streams=65", "max_streams"),
            ("device_id=a&max_streams=x", "max_streams"),
            ("device_id=a&device_name=%0A", "device_name must not be empty"),
            ("device_id=a&device_type=a%00b", "device_type must not have control characters"),
            ("device_id=a&token=x", "Authorization: Bearer"),
            ("device_id=a&access_token=x", "Authorization: Bearer"),
        ] {
            let said = complaint(query);
            assert!(said.contains(word), "{query}: {said}");
            assert!(said.len() <= super::super::REASON_MAX, "{} bytes: {said}", said.len());
        }
        assert_eq!(complaint("device_id=a&unknown=x&max_streams=64&last_seq=0"), "");
    }
}
