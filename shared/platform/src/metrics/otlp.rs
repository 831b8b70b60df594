//! The same figures for OTLP: a recorder beside that of Prometheus.
//!
//! Counters and gauges are numbers that the exporter reads when its time has come, so that they cost those who count one more
//! addition. What a histogram is told goes to an instrument of OpenTelemetry at once.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use metrics_util::registry::{Registry, Storage};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use parking_lot::Mutex;

use super::SECONDS;

/// Where figures go by OTLP, if they do.
static METER: OnceLock<Meter> = OnceLock::new();

/// From now on [`install`](super::install) counts for this meter as well.
pub(crate) fn send_to(meter: Meter) {
    // Telemetry is started once.
    let _ = METER.set(meter);
}

pub(super) fn recorder() -> Option<Otlp> {
    METER.get().cloned().map(Otlp::new)
}

/// Keeps what was counted for a meter.
pub(super) struct Otlp {
    meter: Meter,
    registry: Arc<Registry<Key, Values>>,
    /// Names that the meter knows.
    known: Mutex<HashSet<KeyName>>,
}

impl Otlp {
    fn new(meter: Meter) -> Self {
        let registry = Arc::new(Registry::new(Values(meter.clone())));
        Self { meter, registry, known: Mutex::default() }
    }

    fn is_new(&self, key: &Key) -> bool {
        self.known.lock().insert(KeyName::from(key.name().to_owned()))
    }

    fn counter(&self, key: &Key) -> Arc<AtomicU64> {
        if self.is_new(key) {
            let (registry, name) = (self.registry.clone(), key.name().to_owned());
            let read = move |observer: &dyn opentelemetry::metrics::AsyncInstrument<u64>| {
                registry.visit_counters(|key, value| {
                    if key.name() == name {
                        observer.observe(value.load(Ordering::Relaxed), &attributes(key));
                    }
                });
            };
            self.meter
                .u64_observable_counter(key.name().to_owned())
                .with_unit(unit(key))
                .with_callback(read)
                .build();
        }
        self.registry.get_or_create_counter(key, Arc::clone)
    }

    fn gauge(&self, key: &Key) -> Arc<AtomicU64> {
        if self.is_new(key) {
            let (registry, name) = (self.registry.clone(), key.name().to_owned());
            let read = move |observer: &dyn opentelemetry::metrics::AsyncInstrument<f64>| {
                registry.visit_gauges(|key, value| {
                    if key.name() == name {
                        observer.observe(f64::from_bits(value.load(Ordering::Relaxed)), &attributes(key));
                    }
                });
            };
            self.meter
                .f64_observable_gauge(key.name().to_owned())
                .with_unit(unit(key))
                .with_callback(read)
                .build();
        }
        self.registry.get_or_create_gauge(key, Arc::clone)
    }

    fn histogram(&self, key: &Key) -> Arc<Distribution> {
        self.registry.get_or_create_histogram(key, Arc::clone)
    }
}

/// The unit that a name ends with, as UCUM has it.
fn unit(key: &Key) -> &'static str {
    let name = key.name().trim_end_matches("_total");
    match name.rsplit('_').next() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        _ => "1",
    }
}

fn attributes(key: &Key) -> Vec<KeyValue> {
    key.labels().map(|label| KeyValue::new(label.key().to_owned(), label.value().to_owned())).collect()
}

struct Values(Meter);

impl Storage<Key> for Values {
    type Counter = Arc<AtomicU64>;
    type Gauge = Arc<AtomicU64>;
    type Histogram = Arc<Distribution>;

    fn counter(&self, _: &Key) -> Self::Counter {
        Arc::default()
    }

    fn gauge(&self, _: &Key) -> Self::Gauge {
        Arc::default()
    }

    fn histogram(&self, key: &Key) -> Self::Histogram {
        // Of a name that it knows the meter returns the instrument that it has.
        let instrument = self.0.f64_histogram(key.name().to_owned()).with_unit(unit(key));
        let instrument = instrument.with_boundaries(SECONDS.to_vec()).build();
        Arc::new(Distribution { instrument, attributes: attributes(key) })
    }
}

/// A histogram's series.
struct Distribution {
    instrument: opentelemetry::metrics::Histogram<f64>,
    attributes: Vec<KeyValue>,
}

impl HistogramFn for Distribution {
    fn record(&self, value: f64) {
        self.instrument.record(value, &self.attributes);
    }
}

/// Counts for Prometheus and for OTLP.
pub(super) struct Both<P> {
    prometheus: P,
    otlp: Otlp,
}

impl<P> Both<P> {
    pub(super) fn new(prometheus: P, otlp: Otlp) -> Self {
        Self { prometheus, otlp }
    }
}

impl<P: Recorder> Recorder for Both<P> {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.prometheus.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.prometheus.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.prometheus.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        let one = self.prometheus.register_counter(key, metadata);
        Counter::from_arc(Arc::new(Pair(one, Counter::from_arc(self.otlp.counter(key)))))
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        let one = self.prometheus.register_gauge(key, metadata);
        Gauge::from_arc(Arc::new(Pair(one, Gauge::from_arc(self.otlp.gauge(key)))))
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        let one = self.prometheus.register_histogram(key, metadata);
        Histogram::from_arc(Arc::new(Pair(one, Histogram::from_arc(self.otlp.histogram(key)))))
    }
}

/// Both get all.
struct Pair<T>(T, T);

impl CounterFn for Pair<Counter> {
    fn increment(&self, value: u64) {
        self.0.increment(value);
        self.1.increment(value);
    }

    fn absolute(&self, value: u64) {
        self.0.absolute(value);
        self.1.absolute(value);
    }
}

impl GaugeFn for Pair<Gauge> {
    fn increment(&self, value: f64) {
        self.0.increment(value);
        self.1.increment(value);
    }

    fn decrement(&self, value: f64) {
        self.0.decrement(value);
        self.1.decrement(value);
    }

    fn set(&self, value: f64) {
        self.0.set(value);
        self.1.set(value);
    }
}

impl HistogramFn for Pair<Histogram> {
    fn record(&self, value: f64) {
        self.0.record(value);
        self.1.record(value);
    }
}
