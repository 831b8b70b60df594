//! W3C trace context, with which whoever looks at traces follows a message from process to process.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};

/// Which trace a message belongs to: what a `traceparent` says
/// ([Trace Context, section 3.2](https://www.w3.org/TR/trace-context/#traceparent-header)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct TraceContext {
    #[n(0)]
    trace_high: u64,
    #[n(1)]
    trace_low: u64,
    #[n(2)]
    span: u64,
    #[n(3)]
    flags: u8,
}

/// A text that is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a traceparent is 00-, 32 hexadecimal digits, -, 16 of them, -, and two of flags, in lower case")]
pub struct InvalidTraceParent;

impl TraceContext {
    /// Of a span of a trace; neither id is 0.
    #[must_use]
    pub fn new(trace_id: u128, span_id: u64, sampled: bool) -> Self {
        let half = |shift: u32| u64::try_from((trace_id >> shift) & u128::from(u64::MAX)).unwrap_or_default();
        Self { trace_high: half(64), trace_low: half(0), span: span_id, flags: u8::from(sampled) }
    }

    /// The trace's id.
    #[must_use]
    pub fn trace_id(&self) -> u128 {
        u128::from(self.trace_high) << 64 | u128::from(self.trace_low)
    }

    /// The id of the span that caused this.
    #[must_use]
    pub fn span_id(&self) -> u64 {
        self.span
    }

    /// Whether whoever began the trace records it.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }
}

impl FromStr for TraceContext {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        let mut parts = text.split('-');
        let mut part = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            let is_hex = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            is_hex.then_some(part)
        };
        let (version, trace, span, flags) = (part(2), part(32), part(16), part(2));
        let number = |part: Option<&str>| part.and_then(|part| u64::from_str_radix(part, 16).ok());
        let halves = trace.map(|trace| trace.split_at(16));
        let context = Self {
            trace_high: number(halves.map(|halves| halves.0)).ok_or(InvalidTraceParent)?,
            trace_low: number(halves.map(|halves| halves.1)).ok_or(InvalidTraceParent)?,
            span: number(span).ok_or(InvalidTraceParent)?,
            flags: number(flags).and_then(|flags| u8::try_from(flags).ok()).ok_or(InvalidTraceParent)?,
        };
        // Later versions may say more behind the flags; this one says nothing there.
        let version = version.filter(|version| *version != "ff").ok_or(InvalidTraceParent)?;
        let is_whole = version != "00" || parts.next().is_none();
        let is_valid = context.trace_id() != 0 && context.span != 0;
        if is_whole && is_valid { Ok(context) } else { Err(InvalidTraceParent) }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id(), self.span, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_and_written() {
        let context: TraceContext = EXAMPLE.parse().unwrap();
        assert_eq!(context.trace_id(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(context.span_id(), 0x00f0_67aa_0ba9_02b7);
        assert!(context.is_sampled());
        assert_eq!(context.to_string(), EXAMPLE);
        let later = EXAMPLE.replacen("00", "cc", 1) + "-what-comes";
        assert_eq!(later.parse(), Ok(context), "a later version may say more");
    }

    #[test]
    fn one_can_be_made_of_its_parts() {
        let context: TraceContext = EXAMPLE.parse().unwrap();
        assert_eq!(TraceContext::new(context.trace_id(), context.span_id(), true), context);
        assert!(!TraceContext::new(1, 2, false).is_sampled());
    }

    #[test]
    fn what_is_none_is_refused() {
        let zero_trace = EXAMPLE.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
        let zero_span = EXAMPLE.replace("00f067aa0ba902b7", &"0".repeat(16));
        let longer = format!("{EXAMPLE}-00");
        let (upper, ff) = (EXAMPLE.replace("4bf9", "4BF9"), EXAMPLE.replacen("00", "ff", 1));
        for text in [&zero_trace, &zero_span, &longer, &upper, &ff, "", "00", &EXAMPLE[..54], "00-é-1-2"] {
            assert_eq!(text.parse::<TraceContext>(), Err(InvalidTraceParent), "{text}");
        }
    }
}
