//! `/api/streams`: the records of what was streamed.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use streamz_store::{MAX_PAGE, PageError, Stream, StreamPage, StreamQuery};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::must_exist;
use super::fields::Fields;
use super::responses::{Any, NeedsStore, NeedsToken};
use super::uri::{IdPath, QueryOf};
use crate::authenticate::Identity;
use crate::problem::{Code, FieldError, Problem, ProblemBody};
use crate::state::AppState;

/// Streams on a page if nobody says how many.
const PAGE: u32 = 20;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list_streams)).routes(routes!(get_stream))
}

/// An empty parameter is the same as none.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// `true`: only live ones; `false`: only ended ones.
    #[param(value_type = Option<bool>)]
    active: Option<String>,
    /// Only those from or to this device, by your name for it. An unknown one gives an empty page.
    device_id: Option<String>,
    /// How many.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100, default = 20)]
    limit: Option<String>,
    /// The `next_cursor` of the page before, with the same filters.
    cursor: Option<String>,
}

/// List your streams, newest first.
#[utoipa::path(
    get, path = "/api/streams", tag = "streams", security(("bearer" = [])), params(ListQuery),
    responses(
        (status = 200, description = "A page of them; `next_cursor` is null on the last one", body = StreamPage),
        (status = 400, description = "`malformed_query`: see `errors`", body = ProblemBody,
            content_type = "application/problem+json"),
        NeedsToken, NeedsStore, Any,
    ),
)]
async fn list_streams(
    State(state): State<AppState>,
    identity: Identity,
    QueryOf(query): QueryOf<ListQuery>,
) -> Result<Json<StreamPage>, Problem> {
    let given = |text: &'_ Option<String>| text.clone().filter(|text| !text.is_empty());
    let mut fields = Fields::default();
    let active = fields.optional("active", given(&query.active), |text| match text.as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false"),
    });
    let limit = fields.optional("limit", given(&query.limit), |text| match text.parse() {
        Ok(limit) if (1..=MAX_PAGE).contains(&limit) => Ok(limit),
        _ => Err("must be a whole number from 1 to 100"),
    });
    if !fields.good() {
        return Err(Problem::query(fields.into_errors()));
    }
    let (device_id, cursor) = (given(&query.device_id), given(&query.cursor));
    let wanted = StreamQuery {
        active,
        device_id: device_id.as_deref(),
        limit: limit.unwrap_or(PAGE),
        cursor: cursor.as_deref(),
    };
    let page = state.store().streams(identity.user.0, wanted).await.map_err(|error| match error {
        PageError::BadCursor => {
            Problem::query(vec![FieldError::new("cursor", "must be the next_cursor of a page before")])
        }
        PageError::Store(error) => error.into(),
    })?;
    if page.streams.is_empty() {
        must_exist(&state, identity.user).await?;
    }
    Ok(Json(page))
}

/// Get one stream.
#[utoipa::path(
    get, path = "/api/streams/{id}", tag = "streams", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The stream's id")),
    responses(
        (status = 200, description = "The stream", body = Stream),
        (status = 400, description = "`malformed_path`: the id is no UUID", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "`stream_not_found`", body = ProblemBody,
            content_type = "application/problem+json"),
        NeedsToken, NeedsStore, Any,
    ),
)]
async fn get_stream(
    State(state): State<AppState>,
    identity: Identity,
    IdPath(id): IdPath,
) -> Result<Json<Stream>, Problem> {
    if let Some(stream) = state.store().stream(identity.user.0, id).await? {
        return Ok(Json(stream));
    }
    must_exist(&state, identity.user).await?;
    Err(Problem::new(
        Code::StreamNotFound,
        "Your account has no stream with this id; GET /api/streams lists them.",
    ))
}
