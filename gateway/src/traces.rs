//! The spans of one connection's messages: each from when it came to its outcome.

use std::collections::HashMap;

use axum::http::{HeaderMap, Uri};
use streamz_platform::spans::{self, Kind, Span};
use streamz_protocol::bus::Message;
use streamz_protocol::client::Command;
use streamz_protocol::cluster::Slot;
use streamz_protocol::{TraceContext, UserId};
use streamz_session::Settled;

/// Those that wait for their outcome: no more than a session may have open. Nothing for nearly all connections.
#[derive(Default)]
#[allow(clippy::box_collection, reason = "a word for each connection that has none")]
pub(crate) struct Traces(Option<Box<HashMap<u64, Span>>>);

impl Traces {
    /// A message goes to the hub. A ring begins a trace, if the sampler takes it; the rest has a span if it belongs to a trace.
    pub(crate) fn message(&mut self, message: &mut Message, user: UserId) {
        if !spans::are_made() {
            message.trace = message.trace.filter(TraceContext::is_sampled);
            return;
        }
        let name = message.command.name();
        let mut span = match (message.trace, &message.command) {
            (None, Command::StreamStart { .. }) => Span::root(name, Kind::Server),
            (None, _) => return,
            (parent, _) => Span::of_request(name, Kind::Server, parent),
        };
        message.trace = span.context();
        if !span.is_recorded() {
            return;
        }
        span.set("network.protocol.name", "websocket");
        span.set("streamz.message.type", name);
        span.set("streamz.slot", i64::from(Slot::of(user).number()));
        if let Some(stream) = message.command.stream() {
            span.set("streamz.stream.id", stream.0.to_string());
        }
        if message.id.is_some() {
            self.0.get_or_insert_default().insert(message.number, span);
        } else {
            span.set("streamz.outcome", "unconfirmed");
        }
    }

    /// A message has its outcome.
    pub(crate) fn settled(&mut self, settled: &Settled) {
        let Some(open) = &mut self.0 else { return };
        if let Some(mut span) = open.remove(&settled.number) {
            span.set("streamz.outcome", settled.outcome);
            // Nobody there, or somebody else was faster: that is an answer, and no failure.
            if !matches!(settled.outcome, "delivered" | "offline" | "busy" | "answered_elsewhere") {
                span.fail(settled.outcome);
            }
        }
        if open.is_empty() {
            self.0 = None;
        }
    }
}

/// What a hub says reaches its connection: a span until it was handed to the socket's queue.
pub(crate) fn arrival(trace: Option<TraceContext>) -> Span {
    let mut span = Span::child("deliver", Kind::Consumer, trace);
    span.set("messaging.system", "streamz");
    span.set("messaging.operation.name", "deliver");
    span.set("messaging.operation.type", "process");
    span
}

/// A device connects: in the trace that it names, in the header or (browsers cannot set one) in the query; or in a new one.
pub(crate) fn connect(headers: &HeaderMap, uri: &Uri) -> Span {
    if !spans::are_made() {
        return Span::NONE;
    }
    let header = headers.get("traceparent").and_then(|text| text.to_str().ok());
    let query = || uri.query()?.split('&').find_map(|pair| pair.strip_prefix("traceparent="));
    let parent = header.or_else(query).and_then(|text| text.parse().ok());
    let mut span = Span::of_request("GET /ws", Kind::Server, parent);
    span.set("http.request.method", "GET");
    span.set("http.route", "/ws");
    span.set("network.protocol.name", "http");
    span
}

/// The hub is asked for a session.
pub(crate) fn attach(connect: &Span, user: UserId) -> Span {
    let mut span = Span::child("attach", Kind::Producer, connect.context());
    span.set("messaging.system", "streamz");
    span.set("messaging.operation.name", "attach");
    span.set("messaging.operation.type", "send");
    span.set("streamz.slot", i64::from(Slot::of(user).number()));
    span
}
