//! The error answers that many operations share, as they stand in the OpenAPI document.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use crate::problem::PROBLEM_JSON;

/// One error answer.
pub(super) fn problem(description: &str) -> RefOr<Response> {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    RefOr::T(ResponseBuilder::new().description(description).content(PROBLEM_JSON, content).build())
}

macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident { $($status:literal: $description:literal),* })*) => {$(
        $(#[$doc])*
        pub(super) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                BTreeMap::from([$(($status.to_owned(), problem($description))),*])
            }
        }
    )*};
}

problems! {
    /// Of whatever demands an access token.
    NeedsToken { "401": "`invalid_token`, `token_expired` or `revoked`: no valid access token" }
    /// Of whatever takes a body.
    TakesBody {
        "400": "`malformed_json`, `malformed_path` or `bad_request`",
        "413": "`body_too_large`",
        "415": "`unsupported_media_type`: send `application/json`",
        "422": "`invalid_fields`: see `errors`"
    }
    /// Of whatever asks the store.
    NeedsStore { "503": "`unavailable`: the store cannot be reached; see `Retry-After`" }
    /// Of whatever checks a password.
    ChecksPassword {
        "429": "`rate_limited`: too many attempts of this account or address; see `Retry-After`",
        "503": "`unavailable` or `busy`; see `Retry-After`"
    }
    /// Of whatever names a device in its path.
    NamesDevice {
        "400": "`malformed_path`",
        "404": "`device_not_found`"
    }
    /// Of whatever names a sign-in in its path.
    NamesSession {
        "400": "`malformed_path`",
        "404": "`session_not_found`"
    }
    /// Of every operation.
    Any { "default": "Any other error: `timeout`, `internal`, …" }
}
