//! Counters of what should not happen, or seldom does: they are there from the start, at 0. An alert on their growth would
//! miss the first time otherwise, for what was not there before has not grown.

/// Names and values of the labels of one series.
type Labels = &'static [(&'static str, &'static str)];

/// What is counted, with each set of labels.
const COUNTERS: &[(&str, &[Labels])] = &[
    ("streamz_bus_dropped_total", &[&[("cause", "full")], &[("cause", "stale")]]),
    ("streamz_bus_envelopes_refused_total", &[&[]]),
    ("streamz_bus_evidence_total", &[&[]]),
    ("streamz_bus_packets_unreadable_total", &[&[]]),
    ("streamz_connections_refused_total", &[&[]]),
    ("streamz_evictions_total", &[&[]]),
    ("streamz_fenced_writes_total", &[&[]]),
    ("streamz_frames_ignored_total", &[&[]]),
    ("streamz_hub_failures_total", &[&[]]),
    ("streamz_inbox_overflows_total", &[&[]]),
    ("streamz_links_overflowed_total", &[&[]]),
    ("streamz_links_retransmitted_total", &[&[]]),
    ("streamz_presence_writes_forgotten_total", &[&[]]),
    ("streamz_sign_ins_refused_total", &[&[("by", "account")], &[("by", "address")]]),
    ("streamz_telemetry_export_failures_total", &[&[("signal", "traces")], &[("signal", "metrics")]]),
    ("streamz_telemetry_spans_dropped_total", &[&[]]),
];

pub(super) fn register() {
    for (name, series) in COUNTERS {
        for labels in *series {
            let labels: Vec<metrics::Label> =
                labels.iter().map(|(key, value)| metrics::Label::from_static_parts(key, value)).collect();
            drop(metrics::counter!(*name, labels));
        }
    }
}
