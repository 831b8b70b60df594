//! Who calls: bearer tokens (RFC 6750), checked without asking anyone.

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use streamz_auth::TokenError;
use streamz_protocol::{CloseCode, UserId};
use uuid::Uuid;

use crate::audit::About;
use crate::problem::{Code, Problem};
use crate::revoked::Standing;
use crate::state::AppState;

/// Who a valid access token stands for. As an argument of a handler it demands one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub user: UserId,
    /// The sign-in, by its refresh family.
    pub family: Uuid,
    /// From when on the token is void.
    pub expires_at: DateTime<Utc>,
}

/// Why nobody is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthFailure {
    /// There is no token.
    #[error("there is no access token")]
    Missing,
    /// It is not one of ours.
    #[error("{0}")]
    Invalid(TokenError),
    /// It lapsed: refresh it.
    #[error("the access token expired")]
    Expired,
    /// The sign-in was ended: sign in again.
    #[error("the sign-in was revoked")]
    Revoked,
}

/// Who `token` stands for, right now. A few microseconds, no I/O: fit for the path of every connection.
///
/// A token says nothing about whether its user still exists; whoever reads the user's rows finds out.
///
/// # Errors
/// [`AuthFailure`], never [`AuthFailure::Missing`].
pub fn authenticate(state: &AppState, token: &str) -> Result<Identity, AuthFailure> {
    let claims = state.verifier().verify_at(token, state.now()).map_err(|error| match error {
        TokenError::Expired { .. } => AuthFailure::Expired,
        error => AuthFailure::Invalid(error),
    })?;
    match state.revoked().standing(claims.family, claims.issued_at) {
        Standing::Good => {
            Ok(Identity { user: claims.user, family: claims.family, expires_at: claims.expires_at })
        }
        Standing::Revoked => Err(AuthFailure::Revoked),
        Standing::Outdated => Err(AuthFailure::Expired),
    }
}

/// The token in `Authorization: Bearer TOKEN`, if there is exactly one such header.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

impl AuthFailure {
    /// How a WebSocket is closed because of it.
    #[must_use]
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::Missing | Self::Invalid(_) => CloseCode::InvalidToken,
            Self::Expired => CloseCode::TokenExpired,
            Self::Revoked => CloseCode::Revoked,
        }
    }
}

impl From<AuthFailure> for Problem {
    fn from(failure: AuthFailure) -> Self {
        match failure {
            AuthFailure::Missing => Problem::new(
                Code::InvalidToken,
                "Send an access token: Authorization: Bearer TOKEN. POST /api/auth/login gives one.",
            ),
            AuthFailure::Invalid(error) => {
                let detail = format!("Send an access token of this server: {error}.");
                Problem::new(Code::InvalidToken, detail)
                    .challenge("Bearer realm=\"streamz\", error=\"invalid_token\"")
            }
            AuthFailure::Expired => {
                Problem::new(Code::TokenExpired, "Get a new access token from POST /api/auth/refresh.")
                    .challenge(
                        "Bearer realm=\"streamz\", error=\"invalid_token\", error_description=\"expired\"",
                    )
            }
            AuthFailure::Revoked => Problem::new(Code::Revoked, "This sign-in was ended: sign in again.")
                .challenge(
                    "Bearer realm=\"streamz\", error=\"invalid_token\", error_description=\"revoked\"",
                ),
        }
    }
}

impl FromRequestParts<AppState> for Identity {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let token = bearer(&parts.headers).ok_or(AuthFailure::Missing)?;
        authenticate(state, token).map_err(|failure| {
            let reason = match failure {
                AuthFailure::Invalid(_) => Some("invalid_token"),
                AuthFailure::Revoked => Some("revoked"),
                AuthFailure::Missing | AuthFailure::Expired => None,
            };
            if reason.is_some() {
                state.audit().refused("access.refused", About { reason, ..About::default() });
            }
            failure.into()
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_bearer_token_is_found() {
        assert_eq!(bearer(&headers(&["Bearer abc"])), Some("abc"));
        assert_eq!(bearer(&headers(&["bearer  abc "])), Some("abc"));
    }

    #[test]
    fn anything_else_is_none() {
        for values in
            [&[] as &[_], &["abc"], &["Basic abc"], &["Bearer"], &["Bearer "], &["Bearer a", "Bearer b"]]
        {
            assert_eq!(bearer(&headers(values)), None, "{values:?}");
        }
    }

    #[test]
    fn a_socket_learns_by_its_close_code_whether_to_come_back() {
        assert!(AuthFailure::Expired.close_code().come_back());
        for failure in
            [AuthFailure::Missing, AuthFailure::Invalid(TokenError::Malformed), AuthFailure::Revoked]
        {
            assert!(!failure.close_code().come_back(), "{failure}");
        }
    }
}
