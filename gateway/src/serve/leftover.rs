//! What is left of a request's body once there is an answer.
//!
//! A request may be answered before its body has arrived: 401, 404 and their kin. hyper closes such a connection without
//! a word, and a client that meant to keep it loses its next request. Here a small rest is read and dropped, as the
//! client means to send it anyway; of a large or a slow one the answer says that the connection ends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONNECTION, EXPECT};
use axum::http::{HeaderValue, Request, Response};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use parking_lot::Mutex;

/// The most that is read and dropped, in bytes.
const DROPPED_MAX: u64 = 64 * 1024;
/// How long the rest may take.
const DROPPED_WITHIN: Duration = Duration::from_secs(1);

/// A body that is handed back when it is dropped unread.
struct Lent {
    body: Option<Incoming>,
    home: Arc<Mutex<Option<Incoming>>>,
}

/// Where the body of a request will be if nobody read it to its end.
pub(super) struct Leftover {
    home: Arc<Mutex<Option<Incoming>>>,
    /// The client waits for leave before it sends its body: then it will not come after an answer.
    asks: bool,
}

impl Leftover {
    /// Follows the body of a request.
    pub(super) fn of(request: Request<Incoming>) -> (Request<Body>, Option<Self>) {
        if request.body().is_end_stream() {
            return (request.map(|_| Body::empty()), None);
        }
        let home = Arc::<Mutex<Option<Incoming>>>::default();
        let asks = request.headers().contains_key(EXPECT);
        let leftover = Self { home: home.clone(), asks };
        (request.map(|body| Body::new(Lent { body: Some(body), home })), Some(leftover))
    }

    /// Makes the connection fit for another request, or says in the answer that there will be none.
    pub(super) async fn settle(self, mut response: Response<Body>) -> Response<Body> {
        let Some(body) = self.home.lock().take() else { return response };
        if response.headers().contains_key(CONNECTION) {
            return response;
        }
        let read = tokio::time::timeout(DROPPED_WITHIN, read_and_drop(body));
        if self.asks || !read.await.unwrap_or(false) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Whether the body came to its end in time.
async fn read_and_drop(mut body: Incoming) -> bool {
    let mut left = DROPPED_MAX;
    if body.size_hint().lower() > left {
        return false;
    }
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(frame) = frame else { return false };
        let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
        let Some(rest) = left.checked_sub(bytes) else { return false };
        left = rest;
    }
    true
}

impl hyper::body::Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if let Poll::Ready(None | Some(Err(_))) = polled {
            // Nothing is left of it.
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.home.lock() = Some(body);
        }
    }
}
