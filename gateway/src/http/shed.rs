//! Requests beyond what may be under way at a time are told to come again.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::client::ClientAddress;
use crate::gate::{Gate, Shed};
use crate::problem::{Code, Problem};
use crate::state::AppState;

/// What machines ask that watch this process costs nothing, and is answered above all when there is too much to do.
const ALWAYS: [&str; 5] = ["/ping", "/health", "/ready", "/metrics", "/status"];

pub(super) async fn shed(
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    // A WebSocket is bounded as a connection. After an outage all devices wait for their hubs at the same moment, whole
    // networks of them behind one address: they are to be let in, not told to come again.
    if path == super::WS_PATH || ALWAYS.contains(&path) {
        return next.run(request).await;
    }
    match state.gate().request(address) {
        // Until there is an answer; its body is in memory then.
        Ok(_place) => next.run(request).await,
        Err(cause) => {
            Gate::count(cause);
            refusal(cause).into_response()
        }
    }
}

/// What is said to whoever is one too many.
fn refusal(cause: Shed) -> Problem {
    if cause == Shed::Address {
        let detail = "Too many requests from this address are under way; wait for the answers to some.";
        return Problem::new(Code::RateLimited, detail).retry_after(1);
    }
    Problem::new(Code::Busy, "This server has more to do than it can; come again in a moment.").retry_after(1)
}
