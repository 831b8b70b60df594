//! A request's JSON body: declared, bounded, an object, and every complaint about it names the field.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use secrecy::SecretString;

use crate::problem::{Code, FieldError, Problem};
use crate::state::AppState;

/// The body as a `T`. Unknown fields are ignored. The last argument of a handler: who calls is checked first.
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<AppState> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let most = state.settings().http.body_bytes;
        if declared_length(request.headers()).is_some_and(|length| length > most) {
            return Err(too_large(most));
        }
        if !is_json(request.headers()) {
            return Err(Problem::for_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        // Bounded by the router's `DefaultBodyLimit`.
        let whole = Bytes::from_request(request, state);
        let Ok(bytes) = tokio::time::timeout(state.settings().http.body_timeout, whole).await else {
            return Err(Problem::new(Code::Timeout, "The body came too slowly; send all of it at once."));
        };
        let bytes = bytes.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                too_large(most)
            } else {
                Problem::new(Code::BadRequest, "The body did not arrive whole; send it again.")
            }
        })?;
        parse(&bytes).map(Self)
    }
}

fn too_large(most: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("A body has at most {most} bytes; send less."))
}

fn declared_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// `application/json` or `application/…+json`, with any parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let essence = || {
        let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        essence.strip_prefix("application/").map(ToOwned::to_owned)
    };
    essence().is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let malformed = || {
        Problem::new(
            Code::MalformedJson,
            "The body is not valid JSON (RFC 8259) in UTF-8; correct it and try again.",
        )
    };
    let text = std::str::from_utf8(bytes).map_err(|_| malformed())?;
    // serde would take an array for a struct's fields in order.
    if !text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') {
        return Err(match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Problem::fields(vec![FieldError::new("", "the body must be a JSON object")]),
            Err(_) => malformed(),
        });
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        if error.inner().is_data() { Problem::fields(vec![complaint(&error)]) } else { malformed() }
    })?;
    reader.end().map_err(|_| malformed())?;
    Ok(value)
}

/// What is wrong with which field, in words that never repeat the client's text: it may be a password.
fn complaint(error: &serde_path_to_error::Error<serde_json::Error>) -> FieldError {
    let text = error.inner().to_string();
    if let Some(rest) = text.strip_prefix("duplicate field `") {
        let field = rest.split('`').next().unwrap_or_default();
        return FieldError::new(field.to_owned(), "is given twice");
    }
    let path = error.path().to_string();
    let field = if path == "." { String::new() } else { path };
    // The client's text stands before the last of these words and may hold the same words itself.
    match text.rsplit_once(", expected ") {
        Some((_, expected)) => {
            let expected = expected.split(" at line ").next().unwrap_or_default();
            FieldError::new(field, format!("must be {expected}"))
        }
        None => FieldError::new(field, "has a value that is not allowed"),
    }
}

/// Reads a field that must not show up in any `Debug`.
pub(super) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(SecretString::from))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Example {
        name: Option<String>,
        #[serde(default, deserialize_with = "secret")]
        password: Option<SecretString>,
    }

    fn refusal(body: &str) -> serde_json::Value {
        let problem = parse::<Example>(body.as_bytes()).unwrap_err();
        serde_json::from_str(&problem.to_json(None)).unwrap()
    }

    #[test]
    fn content_types() {
        for (value, json) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/merge-patch+json", true),
            ("text/json", false),
            ("application/jsonp", false),
            ("application/x-www-form-urlencoded", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
            assert_eq!(is_json(&headers), json, "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }

    #[test]
    fn unknown_fields_are_ignored_and_absent_ones_are_none() {
        let example: Example = parse(br#" {"other": [1, {"x": null}], "name": "a"} "#).unwrap();
        assert_eq!(example.name.as_deref(), Some("a"));
        assert!(example.password.is_none());
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        for body in ["", "{", "nope", "{\"name\": \"a\"} x", "{\"name\": \"\\ud800\"}", "{name: 1}", "[1,"] {
            assert_eq!(refusal(body)["code"], "malformed_json", "{body}");
        }
        let invalid_utf8 = parse::<Example>(b"{\"name\": \"\xff\"}").unwrap_err();
        assert_eq!(invalid_utf8.code(), Code::MalformedJson);
        let deep = format!("{{\"name\": {}1{}}}", "[".repeat(20_000), "]".repeat(20_000));
        assert!(["malformed_json", "invalid_fields"].contains(&refusal(&deep)["code"].as_str().unwrap()));
    }

    #[test]
    fn a_field_of_the_wrong_type_is_named_and_not_repeated() {
        let body = refusal(r#"{"name": 5}"#);
        assert_eq!(body["errors"], serde_json::json!([{"field": "name", "message": "must be a string"}]));
        let body = refusal(r#"{"password": {"hunter2, expected me": 1}}"#);
        assert_eq!(body["errors"], serde_json::json!([{"field": "password", "message": "must be a string"}]));
        assert!(!body.to_string().contains("hunter2"));
        assert_eq!(refusal(r#"{"name": "a", "name": "b"}"#)["errors"][0]["field"], "name");
        for body in ["[]", "null", "\"x\"", "5", "[\"a\", \"b\"]"] {
            assert_eq!(refusal(body)["errors"][0]["field"], "", "{body}");
        }
    }
}
