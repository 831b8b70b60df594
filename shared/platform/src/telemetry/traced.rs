//! Lines of the log say to which span they belong, if it is recorded.

use std::fmt;

use streamz_protocol::TraceContext;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Compact, Format, Full, Json, Pretty, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::spans;

/// Adds `trace_id` and `span_id` to the lines of a format.
pub(super) struct Traced<F>(pub(super) F);

/// How a finished line says more.
pub(super) trait Extend {
    /// Adds to a line, which has no end yet.
    fn extend(line: &mut String, context: TraceContext);
}

impl<T> Extend for Format<Json, T> {
    fn extend(line: &mut String, context: TraceContext) {
        // An object, so it can be gone on with.
        if line.pop() == Some('}') {
            let (trace, span) = (context.trace_id(), context.span_id());
            line.push_str(&format!(r#","trace_id":"{trace:032x}","span_id":"{span:016x}"}}"#));
        }
    }
}

macro_rules! readable {
    ($($style:ty),*) => {$(
        impl<T> Extend for Format<$style, T> {
            fn extend(line: &mut String, context: TraceContext) {
                let (trace, span) = (context.trace_id(), context.span_id());
                line.push_str(&format!(" trace_id={trace:032x} span_id={span:016x}"));
            }
        }
    )*};
}

readable!(Full, Compact, Pretty);

impl<S, N, F> FormatEvent<S, N> for Traced<F>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
    F: FormatEvent<S, N> + Extend,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(span) = spans::current() else { return self.0.format_event(context, writer, event) };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        line.truncate(line.trim_end().len());
        F::extend(&mut line, span);
        writeln!(writer, "{line}")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn lines(json: bool, context: Option<TraceContext>) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let layer = fmt::layer().with_ansi(false).with_writer(move || writer.clone());
        let log = || {
            let _entered = spans::enter(context);
            tracing::info!(answer = 42, "a line");
            tracing::info!("another");
        };
        if json {
            let layer = layer.json().event_format(Traced(fmt::format().json().flatten_event(true)));
            tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        } else {
            let layer = layer.event_format(Traced(fmt::format().with_ansi(false)));
            tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        }
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn both_formats_name_the_span_at_the_end_of_each_line() {
        let context = Some(TraceContext::new(0xabc, 0xdef, true));
        let (trace, span) = ("00000000000000000000000000000abc", "0000000000000def");
        for line in lines(true, context).lines() {
            assert!(
                line.starts_with('{')
                    && line.ends_with(&format!(r#","trace_id":"{trace}","span_id":"{span}"}}"#)),
                "{line}"
            );
        }
        for line in lines(false, context).lines() {
            assert!(line.ends_with(&format!(" trace_id={trace} span_id={span}")), "{line}");
        }
        assert_eq!(lines(true, context).lines().count(), 2);
    }

    #[test]
    fn outside_of_a_span_a_line_is_as_it_was() {
        assert!(!lines(true, None).contains("trace_id"));
        assert!(lines(false, None).lines().any(|line| line.ends_with("a line answer=42")));
    }
}
