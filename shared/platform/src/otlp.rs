//! Traces and metrics on their way to a collector, by OTLP over gRPC or HTTP.
//!
//! Nothing waits for the collector: spans wait in a bounded line, and what finds no room there is dropped and counted. The
//! exporters of OpenTelemetry work in threads of their own; what they await lives in the process's runtime.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::{Link, SpanKind, TraceId, TraceState, TracerProvider as _};
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, SpanExporter as OtlpSpans, WithExportConfig, WithHttpConfig,
    WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SamplingDecision, SamplingResult, SdkTracerProvider,
    ShouldSample, Span, SpanData, SpanExporter, SpanProcessor,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::Handle;
use url::Url;

use crate::{metrics, spans};

/// How long the end of a process waits for what is still to be sent.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// What is sent where.
#[derive(Clone, Debug)]
pub struct OtlpConfig {
    /// Where traces go, if they do.
    pub traces: Option<Target>,
    /// Where metrics go, if they do.
    pub metrics: Option<Target>,
    /// `OTEL_EXPORTER_OTLP_HEADERS`: what each request says beside.
    pub headers: Vec<(String, SecretString)>,
    /// `OTEL_EXPORTER_OTLP_TIMEOUT`: how long a batch may take.
    pub timeout: Duration,
    /// `OTEL_METRIC_EXPORT_INTERVAL`: how often metrics are sent.
    pub interval: Duration,
    /// `OTEL_BSP_MAX_QUEUE_SIZE`: spans that may wait.
    pub queue: usize,
    /// `OTEL_TRACES_SAMPLER`: which traces are recorded.
    pub sampling: Sampling,
    /// `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`: who says all this.
    pub resource: Vec<(String, String)>,
}

/// A collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its address; with the path, by HTTP.
    pub url: Url,
    /// How it is spoken to.
    pub protocol: Protocol,
}

/// How OTLP is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `grpc`.
    Grpc,
    /// `http/protobuf`.
    Http,
}

/// Which traces are recorded that begin here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Of them, this share: 0 to 1.
    pub ratio: f64,
    /// What belongs to a trace of somebody else is recorded if that one does; otherwise the share counts for it as well.
    pub parent_based: bool,
}

/// What was started; ends with [`Exporting::end`].
#[derive(Debug, Default)]
pub(crate) struct Exporting {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
}

/// Starts what is configured. To be called in a runtime, once.
pub(crate) fn start(config: &OtlpConfig) -> Result<Exporting, ExporterBuildError> {
    let attributes = config.resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let resource = Resource::builder().with_attributes(attributes).build();
    let mut exporting = Exporting::default();
    if let Some(target) = &config.traces {
        let provider = traces(config, target, resource.clone())?;
        spans::record_with(provider.tracer("streamz"));
        exporting.traces = Some(provider);
    }
    if let Some(target) = &config.metrics {
        let provider = figures(config, target, resource)?;
        metrics::otlp::send_to(provider.meter("streamz"));
        exporting.metrics = Some(provider);
    }
    Ok(exporting)
}

impl Exporting {
    /// Sends what waits, for a few seconds at most.
    pub(crate) fn end(self) {
        let Self { traces, metrics } = self;
        if traces.is_none() && metrics.is_none() {
            return;
        }
        let (done, wait) = mpsc::channel();
        // A thread of its own: the exporter of metrics waits for as long as it likes.
        std::thread::spawn(move || {
            let ended = [
                traces.map(|traces| traces.shutdown_with_timeout(LAST_WORDS)),
                metrics.map(|metrics| metrics.shutdown_with_timeout(LAST_WORDS)),
            ];
            // Nobody may be waiting any more.
            let _ = done.send(ended.into_iter().flatten().all(|ended| ended.is_ok()));
        });
        if !matches!(wait.recv_timeout(LAST_WORDS), Ok(true)) {
            tracing::warn!("the last traces or metrics were not taken by the collector");
        }
    }
}

fn over_grpc<B: WithExportConfig + WithTonicConfig>(exporter: B, config: &OtlpConfig, target: &Target) -> B {
    let exporter = exporter.with_metadata(metadata(&config.headers));
    exporter.with_endpoint(target.url.as_str()).with_timeout(config.timeout)
}

fn over_http<B: WithExportConfig + WithHttpConfig>(exporter: B, config: &OtlpConfig, target: &Target) -> B {
    let exporter = exporter.with_headers(headers(&config.headers));
    let exporter = exporter.with_protocol(opentelemetry_otlp::Protocol::HttpBinary);
    exporter.with_endpoint(target.url.as_str()).with_timeout(config.timeout)
}

fn traces(
    config: &OtlpConfig,
    target: &Target,
    resource: Resource,
) -> Result<SdkTracerProvider, ExporterBuildError> {
    let exporter = match target.protocol {
        Protocol::Grpc => over_grpc(OtlpSpans::builder().with_tonic(), config, target).build()?,
        Protocol::Http => over_http(OtlpSpans::builder().with_http(), config, target).build()?,
    };
    let waiting = Arc::new(AtomicUsize::new(0));
    let exporter = Sender {
        exporter,
        runtime: Handle::current(),
        waiting: waiting.clone(),
        health: Health::new("traces"),
    };
    // The line before it is shorter: its own is never full.
    let batches = BatchConfigBuilder::default().with_max_queue_size(config.queue.saturating_add(1)).build();
    let next = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(config.sampling)
        .with_span_processor(Line { next, waiting, most: config.queue })
        .build();
    Ok(provider)
}

fn figures(
    config: &OtlpConfig,
    target: &Target,
    resource: Resource,
) -> Result<SdkMeterProvider, ExporterBuildError> {
    let exporter = match target.protocol {
        Protocol::Grpc => over_grpc(MetricExporter::builder().with_tonic(), config, target).build()?,
        Protocol::Http => over_http(MetricExporter::builder().with_http(), config, target).build()?,
    };
    let waiting = Arc::default();
    let exporter = Sender { exporter, runtime: Handle::current(), waiting, health: Health::new("metrics") };
    let reader = PeriodicReader::builder(exporter).with_interval(config.interval).build();
    Ok(SdkMeterProvider::builder().with_resource(resource).with_reader(reader).build())
}

fn headers(headers: &[(String, SecretString)]) -> std::collections::HashMap<String, String> {
    headers.iter().map(|(key, value)| (key.clone(), value.expose_secret().to_owned())).collect()
}

fn metadata(headers: &[(String, SecretString)]) -> MetadataMap {
    let pair = |(key, value): &(String, SecretString)| {
        let value = HeaderValue::from_str(value.expose_secret()).ok()?;
        Some((HeaderName::from_bytes(key.as_bytes()).ok()?, value))
    };
    // The configuration has looked at them: all are good.
    MetadataMap::from_headers(headers.iter().filter_map(pair).collect::<HeaderMap>())
}

impl ShouldSample for Sampling {
    fn should_sample(
        &self,
        parent: Option<&opentelemetry::Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        if name == spans::TAKEOVER && self.ratio > 0.0 {
            return SamplingResult {
                decision: SamplingDecision::RecordAndSample,
                attributes: Vec::new(),
                trace_state: TraceState::default(),
            };
        }
        let share = Sampler::TraceIdRatioBased(self.ratio);
        if self.parent_based {
            Sampler::ParentBased(Box::new(share)).should_sample(parent, trace, name, kind, attributes, links)
        } else {
            share.should_sample(parent, trace, name, kind, attributes, links)
        }
    }
}

/// The line before the exporter: what finds no room is dropped, and counted.
#[derive(Debug)]
struct Line<P> {
    next: P,
    /// Spans that ended and were not sent.
    waiting: Arc<AtomicUsize>,
    most: usize,
}

impl<P: SpanProcessor> SpanProcessor for Line<P> {
    fn on_start(&self, span: &mut Span, cx: &opentelemetry::Context) {
        self.next.on_start(span, cx);
    }

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            ::metrics::counter!("streamz_telemetry_spans_dropped_total").increment(1);
            return;
        }
        self.next.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

/// An exporter that works in the process's runtime, and counts what the collector does not take.
#[derive(Debug)]
struct Sender<E> {
    exporter: E,
    runtime: Handle,
    waiting: Arc<AtomicUsize>,
    health: Health,
}

impl<E> Sender<E> {
    async fn send(&self, sending: impl Future<Output = OTelSdkResult>) -> OTelSdkResult {
        let mut sending = pin!(sending);
        let sent = poll_fn(|cx| {
            let _inside = self.runtime.enter();
            sending.as_mut().poll(cx)
        })
        .await;
        self.health.note(&sent);
        sent
    }
}

impl<E: SpanExporter> SpanExporter for Sender<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let sent = self.send(self.exporter.export(batch)).await;
        self.waiting.fetch_sub(count, Ordering::Relaxed);
        if sent.is_err() {
            ::metrics::counter!("streamz_telemetry_spans_dropped_total").increment(count as u64);
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Sender<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.send(self.exporter.export(metrics)).await
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

/// Whether the collector takes what it is sent. Said when it changes, for it may be away for long.
#[derive(Debug)]
struct Health {
    signal: &'static str,
    failing: AtomicBool,
}

impl Health {
    fn new(signal: &'static str) -> Self {
        Self { signal, failing: AtomicBool::new(false) }
    }

    fn note(&self, sent: &OTelSdkResult) {
        let failed = sent.is_err();
        if failed {
            ::metrics::counter!("streamz_telemetry_export_failures_total", "signal" => self.signal)
                .increment(1);
        }
        match (self.failing.swap(failed, Ordering::Relaxed), sent) {
            (false, Err(error)) => {
                tracing::warn!(%error, signal = self.signal, "the collector takes nothing; what it misses is lost")
            }
            (true, Ok(())) => {
                tracing::info!(signal = self.signal, "the collector takes what it is sent again")
            }
            _ => {}
        }
    }
}
