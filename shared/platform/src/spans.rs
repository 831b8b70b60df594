//! Spans of traces, made where a process does something, and never by the state machines.
//!
//! Without [OTLP](crate::otlp) there are none: then every function here is one look at a static, and every [`Span`] is empty.
//! A span is made for a request that a sampler takes, and for what belongs to a trace that is recorded already. What travels
//! between processes is its [`TraceContext`].

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
    TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::SdkTracer;
use streamz_protocol::{Millis, TraceContext};

/// The span of a takeover, which every sampler takes that takes anything: they are few, and each is worth a look.
pub const TAKEOVER: &str = "takeover";

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

thread_local! {
    /// The span that this thread works for, for the log.
    static CURRENT: Cell<Option<TraceContext>> = const { Cell::new(None) };
}

/// From now on spans are made.
pub(crate) fn record_with(tracer: SdkTracer) {
    // Telemetry is started once.
    let _ = TRACER.set(tracer);
}

/// Whether spans are made in this process.
#[must_use]
pub fn are_made() -> bool {
    TRACER.get().is_some()
}

/// What a span is to its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It answers a request of a client.
    Server,
    /// It asks somebody and waits: a database.
    Client,
    /// It hands something to a queue or bus.
    Producer,
    /// It takes something from there.
    Consumer,
    /// Neither.
    Internal,
}

impl From<Kind> for SpanKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Server => Self::Server,
            Kind::Client => Self::Client,
            Kind::Producer => Self::Producer,
            Kind::Consumer => Self::Consumer,
            Kind::Internal => Self::Internal,
        }
    }
}

/// A span that is recorded, or nothing. It ends when it is dropped.
#[derive(Debug, Default)]
pub struct Span(Option<Box<opentelemetry_sdk::trace::Span>>);

impl Span {
    /// Nothing.
    pub const NONE: Self = Self(None);

    /// The first span of a trace, if the sampler takes it.
    #[must_use]
    pub fn root(name: &'static str, kind: Kind) -> Self {
        Self::start(name, kind, None, None)
    }

    /// A span of a trace that is recorded; nothing of any other, or of none.
    #[must_use]
    pub fn child(name: &'static str, kind: Kind, parent: Option<TraceContext>) -> Self {
        match parent {
            Some(parent) if parent.is_sampled() => Self::start(name, kind, Some(parent), None),
            _ => Self::NONE,
        }
    }

    /// The same, of something that began at a time in the past.
    #[must_use]
    pub fn child_since(name: &'static str, kind: Kind, parent: Option<TraceContext>, since: Millis) -> Self {
        match parent {
            Some(parent) if parent.is_sampled() => Self::start(name, kind, Some(parent), Some(since)),
            _ => Self::NONE,
        }
    }

    /// The same, of a trace of its own.
    #[must_use]
    pub fn root_since(name: &'static str, kind: Kind, since: Millis) -> Self {
        Self::start(name, kind, None, Some(since))
    }

    /// What a client asks for: a span of the trace that it has, or the first one of a new trace.
    #[must_use]
    pub fn of_request(name: &'static str, kind: Kind, parent: Option<TraceContext>) -> Self {
        Self::start(name, kind, parent, None)
    }

    fn start(name: &'static str, kind: Kind, parent: Option<TraceContext>, since: Option<Millis>) -> Self {
        let Some(tracer) = TRACER.get() else { return Self::NONE };
        let mut builder = SpanBuilder::from_name(name).with_kind(kind.into());
        if let Some(since) = since {
            builder = builder.with_start_time(time(since));
        }
        let around = match parent {
            Some(parent) => Context::new().with_remote_span_context(remote(parent)),
            None => Context::new(),
        };
        let span = tracer.build_with_context(builder, &around);
        Self(span.is_recording().then(|| Box::new(span)))
    }

    /// Whether it is recorded.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// What a span that it causes has as its parent; `None` if it is not recorded.
    #[must_use]
    pub fn context(&self) -> Option<TraceContext> {
        let context = self.0.as_ref()?.span_context();
        let trace = u128::from_be_bytes(context.trace_id().to_bytes());
        let span = u64::from_be_bytes(context.span_id().to_bytes());
        Some(TraceContext::new(trace, span, true))
    }

    /// Says something of it. Never what devices say to each other, a token, an address or a name of a user.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// Gives it another name: one that is made only for spans that are recorded.
    pub fn rename(&mut self, name: String) {
        if let Some(span) = &mut self.0 {
            span.update_name(name);
        }
    }

    /// It failed, for this reason, in a word.
    pub fn fail(&mut self, why: &'static str) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new("error.type", why));
            span.set_status(Status::error(why));
        }
    }

    /// It has ended at a time in the past.
    pub fn end_at(mut self, at: Millis) {
        if let Some(span) = &mut self.0 {
            span.end_with_timestamp(time(at));
        }
    }
}

fn remote(context: TraceContext) -> SpanContext {
    let flags = if context.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::default() };
    SpanContext::new(
        TraceId::from_bytes(context.trace_id().to_be_bytes()),
        SpanId::from_bytes(context.span_id().to_be_bytes()),
        flags,
        true,
        TraceState::default(),
    )
}

fn time(at: Millis) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(at.0)
}

/// While it lives, what this thread logs says to which span it belongs.
#[derive(Debug)]
pub struct Entered(Option<TraceContext>);

/// What is logged from now on belongs to this span, if there is one.
#[must_use]
pub fn enter(context: Option<TraceContext>) -> Entered {
    Entered(CURRENT.replace(context))
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Does `work` for a span: what it logs says so.
pub async fn within<T>(context: Option<TraceContext>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|cx| {
        let _entered = enter(context);
        work.as_mut().poll(cx)
    })
    .await
}

/// The span that this thread works for.
#[must_use]
pub fn current() -> Option<TraceContext> {
    CURRENT.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_otlp_there_are_none() {
        let parent = Some(TraceContext::new(1, 2, true));
        assert!(!are_made());
        assert!(!Span::root("a", Kind::Internal).is_recorded());
        assert!(!Span::child("a", Kind::Internal, parent).is_recorded());
        assert_eq!(Span::of_request("a", Kind::Server, parent).context(), None);
    }

    #[tokio::test]
    async fn work_knows_its_span_across_awaits_and_nobody_else_does() {
        let (one, two) = (TraceContext::new(1, 1, true), TraceContext::new(2, 2, true));
        let work = |context| {
            within(Some(context), async move {
                tokio::task::yield_now().await;
                current()
            })
        };
        assert_eq!(tokio::join!(work(one), work(two)), (Some(one), Some(two)));
        assert_eq!(current(), None);
        let outer = enter(Some(one));
        drop(enter(Some(two)));
        assert_eq!(current(), Some(one));
        drop(outer);
        assert_eq!(current(), None);
    }
}
