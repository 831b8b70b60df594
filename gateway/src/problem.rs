//! How the API says that something went wrong: `application/problem+json` (RFC 9457).
//!
//! A program reads `code`, which never changes its meaning; a person reads `detail`, which says what to do. A handler
//! returns a [`Problem`]; the outermost layer (`http::observe`) adds the `request_id`, and turns whatever other error
//! answer somebody made into a problem too.

use std::borrow::Cow;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use streamz_auth::PasswordError;
use streamz_store::StoreError;
use utoipa::ToSchema;

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What every `type` begins with; the code follows.
pub const TYPE_PREFIX: &str = "urn:streamz:problem:";

/// When to come again if the store is away, in seconds.
const STORE_RETRY_AFTER: u64 = 2;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal, $status:ident, $title:literal;)*) => {
        /// What went wrong, as programs read it. A code keeps its meaning for ever; new ones may come.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Code { $($(#[doc = $doc])+ $variant,)* }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The word on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text,)* }
            }

            /// The HTTP status that it comes with.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Code::$variant => StatusCode::$status,)* }
            }

            /// A few words for people, the same whenever the code is.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)* }
            }
        }
    };
}

codes! {
    /// The body is not JSON.
    MalformedJson = "malformed_json", BAD_REQUEST, "The body is not JSON";
    /// The path has an invalid percent-encoding, or an id that is none.
    MalformedPath = "malformed_path", BAD_REQUEST, "The path is malformed";
    /// A query parameter is not what it should be; `errors` says which.
    MalformedQuery = "malformed_query", BAD_REQUEST, "The query is malformed";
    /// The request is wrong in another way.
    BadRequest = "bad_request", BAD_REQUEST, "The request was refused";
    /// There is no access token, or it is not one of ours, or its user is gone.
    InvalidToken = "invalid_token", UNAUTHORIZED, "No valid access token";
    /// The access token lapsed: refresh it.
    TokenExpired = "token_expired", UNAUTHORIZED, "The access token expired";
    /// The sign-in was ended: sign in again.
    Revoked = "revoked", UNAUTHORIZED, "The sign-in was revoked";
    /// No account has this address with this password.
    InvalidCredentials = "invalid_credentials", UNAUTHORIZED, "Wrong address or password";
    /// The refresh token is unknown or too old: sign in again.
    InvalidRefreshToken = "invalid_refresh_token", UNAUTHORIZED, "No valid refresh token";
    /// The refresh token had been used before; its whole sign-in is revoked now.
    RefreshTokenReused = "refresh_token_reused", UNAUTHORIZED, "The refresh token was used twice";
    /// A page of this origin may not do this.
    ForbiddenOrigin = "forbidden_origin", FORBIDDEN, "This origin is not allowed";
    /// The password that was asked for is not that of the account.
    WrongPassword = "wrong_password", FORBIDDEN, "Wrong password";
    /// There is nothing at this path.
    NotFound = "not_found", NOT_FOUND, "No such resource";
    /// The account has no device with this `device_id`.
    DeviceNotFound = "device_not_found", NOT_FOUND, "No such device";
    /// The account has no stream with this id.
    StreamNotFound = "stream_not_found", NOT_FOUND, "No such stream";
    /// The account has no sign-in with this id, or it has ended.
    SessionNotFound = "session_not_found", NOT_FOUND, "No such sign-in";
    /// The resource does not know this method; the `Allow` header has those that it knows.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The method is not allowed here";
    /// The request took too long to arrive or to be answered.
    Timeout = "timeout", REQUEST_TIMEOUT, "The request took too long";
    /// There is an account with this address.
    EmailTaken = "email_taken", CONFLICT, "The address is in use";
    /// The account has a device with this `device_id`.
    DeviceExists = "device_exists", CONFLICT, "The device exists";
    /// The body is larger than the limit.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// The body is not declared as JSON.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body must be JSON";
    /// The body is JSON, but fields are missing or not what they should be; `errors` says which.
    InvalidFields = "invalid_fields", UNPROCESSABLE_ENTITY, "Some fields are not valid";
    /// The account has as many devices as is allowed.
    TooManyDevices = "too_many_devices", UNPROCESSABLE_ENTITY, "Too many devices";
    /// This resource is a WebSocket.
    UpgradeRequired = "upgrade_required", UPGRADE_REQUIRED, "This is a WebSocket";
    /// Too many attempts; `Retry-After` says when to come again.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "Too many attempts";
    /// Something failed that should not have; the log has it under the `request_id`.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something went wrong";
    /// The store cannot be reached; `Retry-After` says when to come again.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "Temporarily unavailable";
    /// There is more to do than the process can; `Retry-After` says when to come again.
    Busy = "busy", SERVICE_UNAVAILABLE, "Temporarily overloaded";
    /// A dependency is missing, or the process is draining; `checks` says which.
    NotReady = "not_ready", SERVICE_UNAVAILABLE, "Not ready";
}

/// One field that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Its name, or its path such as `a.b`; empty if the whole body is meant.
    pub field: Cow<'static, str>,
    /// What is wrong with it, for people.
    pub message: Cow<'static, str>,
}

impl FieldError {
    /// `field` is wrong because `message`.
    pub fn new(field: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// An error answer. Cheap to move.
#[derive(Clone, Debug)]
pub struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    code: Code,
    status: StatusCode,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    retry_after: Option<u64>,
    challenge: Option<HeaderValue>,
    more: serde_json::Map<String, serde_json::Value>,
}

/// A problem as it stands in a body.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody<'a> {
    /// `urn:streamz:problem:` and the code.
    #[schema(example = "urn:streamz:problem:device_not_found")]
    #[serde(rename = "type")]
    pub kind: String,
    /// A few words, the same whenever the code is.
    pub title: &'a str,
    /// The HTTP status.
    #[schema(example = 404)]
    pub status: u16,
    /// What programs read.
    pub code: Code,
    /// What went wrong this time, and what to do.
    pub detail: &'a str,
    /// The fields or parameters that are wrong.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    #[schema(value_type = Vec<FieldError>, required = false)]
    pub errors: &'a [FieldError],
    /// Under which the request is found in the logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = true)]
    pub request_id: Option<&'a str>,
    /// What else this code has to say.
    #[serde(flatten)]
    #[schema(ignore)]
    more: &'a serde_json::Map<String, serde_json::Value>,
}

impl Problem {
    /// A problem with the status of its code.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Parts {
            code,
            status: code.status(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            challenge: None,
            more: serde_json::Map::new(),
        }))
    }

    /// Something failed that should not have. `cause` goes to the log, not to the client.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed");
        Self::new(Code::Internal, "This is not your fault. If it stays, report it with the request_id.")
    }

    /// Fields that are not what they should be.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let mut problem = Self::new(Code::InvalidFields, "Correct the fields in `errors` and try again.");
        problem.0.errors = errors;
        problem
    }

    /// Query parameters that are not what they should be.
    pub fn query(errors: Vec<FieldError>) -> Self {
        let mut problem =
            Self::new(Code::MalformedQuery, "Correct the parameters in `errors` and try again.");
        problem.0.errors = errors;
        problem
    }

    /// The access token belongs to a user who is gone.
    pub fn user_gone() -> Self {
        Self::new(Code::InvalidToken, "The account of this access token does not exist (any more).")
    }

    /// The same problem, with a `Retry-After` of so many seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds.max(1));
        self
    }

    /// The same problem, with this challenge as its `WWW-Authenticate` (RFC 6750 section 3).
    #[must_use]
    pub fn challenge(mut self, challenge: &'static str) -> Self {
        self.0.challenge = Some(HeaderValue::from_static(challenge));
        self
    }

    /// The same problem, with another member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.0.more.insert(name.to_owned(), value.into());
        self
    }

    /// What an error answer that somebody else made is called.
    #[must_use]
    pub(crate) fn for_status(status: StatusCode) -> Self {
        let (code, detail) = match status {
            StatusCode::NOT_FOUND => (Code::NotFound, "There is nothing here; /docs has the paths."),
            StatusCode::METHOD_NOT_ALLOWED => {
                (Code::MethodNotAllowed, "Use one of the methods in the Allow header; /docs has them.")
            }
            StatusCode::PAYLOAD_TOO_LARGE => (Code::BodyTooLarge, "Send less."),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                (Code::UnsupportedMediaType, "Send JSON with Content-Type: application/json.")
            }
            StatusCode::UNAUTHORIZED => (Code::InvalidToken, "Send a valid access token."),
            StatusCode::UPGRADE_REQUIRED => (Code::UpgradeRequired, "Connect with a WebSocket client."),
            StatusCode::REQUEST_TIMEOUT => (Code::Timeout, "Try again."),
            StatusCode::TOO_MANY_REQUESTS => (Code::RateLimited, "Come again later."),
            StatusCode::SERVICE_UNAVAILABLE => (Code::Unavailable, "Come again in a moment."),
            status if status.is_client_error() => {
                (Code::BadRequest, "The request does not fit this resource; /docs says how it looks.")
            }
            _ => (Code::Internal, "This is not your fault. If it stays, report it with the request_id."),
        };
        let mut problem = Self::new(code, detail);
        problem.0.status = status;
        problem
    }

    /// Its code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Its HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// What a client is told to do.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The body.
    #[must_use]
    pub fn to_json(&self, request_id: Option<&str>) -> String {
        let Parts { code, status, detail, errors, more, .. } = &*self.0;
        let body = ProblemBody {
            kind: format!("{TYPE_PREFIX}{}", code.as_str()),
            title: code.title(),
            status: status.as_u16(),
            code: *code,
            detail,
            errors,
            request_id,
            more,
        };
        serde_json::to_string(&body).expect("a problem has string keys only")
    }
}

impl IntoResponse for Problem {
    /// The answer without a `request_id`; the outermost layer finds the problem in the extensions and adds it.
    fn into_response(self) -> Response {
        let mut response = (self.0.status, self.to_json(None)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.0.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.0.status == StatusCode::UNAUTHORIZED {
            // A 401 must carry a challenge (RFC 9110 section 15.5.2).
            let challenge = self.0.challenge.clone();
            let challenge = challenge.unwrap_or(HeaderValue::from_static("Bearer realm=\"streamz\""));
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(cause) => {
                tracing::warn!(%cause, "a request found the store away");
                Self::new(Code::Unavailable, "The store cannot be reached right now; come again in a moment.")
                    .retry_after(STORE_RETRY_AFTER)
            }
            StoreError::Internal(cause) => Self::internal(&cause),
            StoreError::InvalidText { field, problem } => {
                Self::fields(vec![FieldError::new(field, problem.to_string())])
            }
        }
    }
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy { retry_after } => {
                Self::new(Code::Busy, "Many people sign in right now; come again in a moment.")
                    .retry_after(retry_after.as_secs())
            }
            PasswordError::Stopped => {
                Self::new(Code::Unavailable, "This server is ending; come again in a moment.").retry_after(1)
            }
            error @ (PasswordError::UnsupportedHash | PasswordError::Failed(_)) => Self::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_equal_their_json_and_are_different() {
        let mut words: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        for code in Code::ALL {
            assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{}\"", code.as_str()));
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Code::ALL.len());
    }

    #[test]
    fn any_error_status_has_a_problem_of_that_status() {
        for status in (400..600).filter_map(|status| StatusCode::from_u16(status).ok()) {
            let problem = Problem::for_status(status);
            assert_eq!(problem.status(), status);
            let client = problem.code().status().is_client_error();
            assert_eq!(client, status.is_client_error(), "{status}");
        }
    }

    #[test]
    fn every_code_is_in_the_documentation() {
        let documentation = include_str!("../../docs/http.md");
        for code in Code::ALL {
            let row = format!("| `{}` | {} |", code.as_str(), code.status().as_u16());
            assert!(documentation.contains(&row), "docs/http.md misses: {row}");
        }
    }
}
