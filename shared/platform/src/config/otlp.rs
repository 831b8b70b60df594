//! The variables of OpenTelemetry (its specification's "Environment Variable Specification" and "OTLP Exporter").

use std::net::SocketAddr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;

use super::Role;
use super::reader::Reader;
use super::services::parse_collector;
use crate::otlp::{OtlpConfig, Protocol, Sampling, Target};

/// The port that OTLP over HTTP is served on by convention.
const HTTP_PORT: u16 = 4318;

/// Both signals: the variable of its exporter, of its own endpoint, and its path.
const TRACES: [&str; 3] = ["OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "v1/traces"];
const METRICS: [&str; 3] = ["OTEL_METRICS_EXPORTER", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "v1/metrics"];

pub(super) fn read_otlp(r: &mut Reader<'_>, role: Role, listen: SocketAddr) -> Option<OtlpConfig> {
    // As the specification has it: true, and everything else is false.
    let disabled = r.text("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let everything = r.parsed("OTEL_EXPORTER_OTLP_ENDPOINT", parse_collector);
    let protocol = r.parsed("OTEL_EXPORTER_OTLP_PROTOCOL", |text| match text {
        "grpc" => Ok(Protocol::Grpc),
        "http/protobuf" => Ok(Protocol::Http),
        _ => Err("write grpc or http/protobuf"),
    });
    let [traces, metrics] =
        [TRACES, METRICS].map(|signal| read_target(r, signal, everything.as_ref(), protocol));
    let config = OtlpConfig {
        traces,
        metrics,
        headers: r.list("OTEL_EXPORTER_OTLP_HEADERS", parse_header),
        timeout: milliseconds(r, "OTEL_EXPORTER_OTLP_TIMEOUT"),
        interval: milliseconds(r, "OTEL_METRIC_EXPORT_INTERVAL"),
        queue: r.count("OTEL_BSP_MAX_QUEUE_SIZE", 1..=1_000_000),
        sampling: read_sampling(r),
        resource: read_resource(r, role, listen),
    };
    (!disabled && (config.traces.is_some() || config.metrics.is_some())).then_some(config)
}

fn milliseconds(r: &mut Reader<'_>, name: &'static str) -> Duration {
    Duration::from_millis(u64::from(r.number(name, 1..=3_600_000)))
}

fn read_target(
    r: &mut Reader<'_>,
    [exporter, endpoint, path]: [&'static str; 3],
    everything: Option<&Url>,
    protocol: Option<Protocol>,
) -> Option<Target> {
    let own = r.parsed(endpoint, parse_collector);
    let wanted = r.parsed(exporter, |text| match text {
        "otlp" => Ok(true),
        "none" => Ok(false),
        _ => Err("write otlp or none"),
    });
    let url = own.as_ref().or(everything).filter(|_| wanted != Some(false))?;
    let protocol = protocol.unwrap_or(match url.port() {
        Some(HTTP_PORT) => Protocol::Http,
        _ => Protocol::Grpc,
    });
    let mut url = url.clone();
    // What is written for one signal is its whole address.
    if protocol == Protocol::Http && own.is_none() {
        let whole = format!("{}/{path}", url.path().trim_end_matches('/'));
        url.set_path(&whole);
    }
    Some(Target { url, protocol })
}

fn read_sampling(r: &mut Reader<'_>) -> Sampling {
    let ratio = r.parsed("OTEL_TRACES_SAMPLER_ARG", |text| match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("write the share of traces that are recorded, from 0 to 1, such as 0.1"),
    });
    let sampler = r.parsed("OTEL_TRACES_SAMPLER", |text| {
        let (parent_based, root) = match text.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, text),
        };
        match root {
            "always_on" => Ok(Sampling { ratio: 1.0, parent_based }),
            "always_off" => Ok(Sampling { ratio: 0.0, parent_based }),
            "traceidratio" => Ok(Sampling { ratio: ratio.unwrap_or(1.0), parent_based }),
            _ => Err("write always_on, always_off or traceidratio, or one of them after parentbased_"),
        }
    });
    sampler.unwrap_or(Sampling { ratio: 1.0, parent_based: true })
}

/// `key=value`, the value with percent signs for what cannot stand there.
fn parse_pair(text: &str) -> Option<(String, String)> {
    let (key, value) = text.split_once('=')?;
    let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
    let key = key.trim();
    (!key.is_empty()).then(|| (key.to_owned(), value.into_owned()))
}

fn parse_header(text: &str) -> Result<(String, secrecy::SecretString), &'static str> {
    let is_name =
        |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    match parse_pair(text) {
        Some((name, value)) if is_name(&name) && value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) => {
            Ok((name.to_ascii_lowercase(), value.into()))
        }
        _ => Err("write key=value pairs, separated by commas, such as api-key=s3cret"),
    }
}

fn read_resource(r: &mut Reader<'_>, role: Role, listen: SocketAddr) -> Vec<(String, String)> {
    let written = r.list("OTEL_RESOURCE_ATTRIBUTES", |text| {
        parse_pair(text)
            .ok_or("write key=value pairs, separated by commas, such as deployment.environment.name=staging")
    });
    let service = match role {
        Role::Embedded => "streamz",
        Role::Gateway => "streamz-gateway",
        Role::Node => "streamz-node",
    };
    let mut resource = vec![
        ("service.name".to_owned(), service.to_owned()),
        ("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id".to_owned(), format!("{}:{}", crate::machine(), listen.port())),
    ];
    let mut put = |key: String, value: String| match resource.iter_mut().find(|(known, _)| *known == key) {
        Some((_, known)) => *known = value,
        None => resource.push((key, value)),
    };
    for (key, value) in written {
        put(key, value);
    }
    if let Some(name) = r.text("OTEL_SERVICE_NAME") {
        put("service.name".to_owned(), name.to_owned());
    }
    resource
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, ConfigArgs, Role};
    use crate::otlp::{OtlpConfig, Protocol, Sampling};

    fn read(vars: &[(&str, &str)]) -> Result<Option<OtlpConfig>, String> {
        let args = ConfigArgs::from_vars(vars.iter().copied()).unwrap();
        Config::from_args(Role::Embedded, &args)
            .map(|config| config.telemetry.otlp)
            .map_err(|error| error.to_string())
    }

    fn good(vars: &[(&str, &str)]) -> OtlpConfig {
        read(vars).unwrap().unwrap()
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");

    #[test]
    fn it_is_off_unless_there_is_somewhere_to_send_to() {
        assert!(read(&[]).unwrap().is_none());
        assert!(read(&[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")]).unwrap().is_none());
        assert!(read(&[ENDPOINT, ("OTEL_SDK_DISABLED", "yes")]).unwrap().is_some(), "only true is true");
        let none = [ENDPOINT, ("OTEL_TRACES_EXPORTER", "none"), ("OTEL_METRICS_EXPORTER", "none")];
        assert!(read(&none).unwrap().is_none());
        let traces = good(&none[..2]);
        assert!(traces.traces.is_none() && traces.metrics.is_some());
    }

    #[test]
    fn the_port_tells_the_protocol_unless_it_is_written() {
        let grpc = good(&[ENDPOINT]).traces.unwrap();
        assert_eq!((grpc.protocol, grpc.url.as_str()), (Protocol::Grpc, "http://collector:4317/"));
        let http = good(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/otlp/")]);
        let (traces, metrics) = (http.traces.unwrap(), http.metrics.unwrap());
        assert_eq!((traces.protocol, traces.url.path()), (Protocol::Http, "/otlp/v1/traces"));
        assert_eq!(metrics.url.path(), "/otlp/v1/metrics");
        let own = good(&[
            ENDPOINT,
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:80/here"),
        ]);
        assert_eq!(own.traces.unwrap().url.path(), "/here", "the whole address");
        assert_eq!(own.metrics.unwrap().url.path(), "/v1/metrics");
    }

    #[test]
    fn samplers_are_those_of_the_specification() {
        let of = |name, arg| {
            good(&[ENDPOINT, ("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", arg)]).sampling
        };
        assert_eq!(good(&[ENDPOINT]).sampling, Sampling { ratio: 1.0, parent_based: true });
        assert_eq!(of("parentbased_traceidratio", "0.25"), Sampling { ratio: 0.25, parent_based: true });
        assert_eq!(of("traceidratio", "0.25"), Sampling { ratio: 0.25, parent_based: false });
        assert_eq!(of("always_off", "0.25"), Sampling { ratio: 0.0, parent_based: false });
        for (name, arg) in [("xray", "1"), ("traceidratio", "2"), ("traceidratio", "NaN")] {
            assert!(
                read(&[ENDPOINT, ("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", arg)]).is_err(),
                "{name} {arg}"
            );
        }
    }

    #[test]
    fn who_speaks_is_named_and_can_be_renamed() {
        let of = |config: &OtlpConfig, key: &str| {
            config.resource.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone())
        };
        let plain = good(&[ENDPOINT]);
        assert_eq!(of(&plain, "service.name").as_deref(), Some("streamz"));
        assert!(of(&plain, "service.instance.id").unwrap().ends_with(":8080"));
        let named = good(&[
            ENDPOINT,
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other, k8s.pod.name=pod%2D1"),
            ("OTEL_SERVICE_NAME", "mine"),
        ]);
        assert_eq!(of(&named, "service.name").as_deref(), Some("mine"));
        assert_eq!(of(&named, "k8s.pod.name").as_deref(), Some("pod-1"));
    }

    #[test]
    fn what_cannot_be_sent_is_refused_and_no_header_is_shown() {
        let error = read(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_HEADERS", "api key=hunter2")]).unwrap_err();
        assert!(error.contains("OTEL_EXPORTER_OTLP_HEADERS") && !error.contains("hunter2"), "{error}");
        for url in ["https://collector:4317", "collector:4317", "http://"] {
            let error = read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", url)]).unwrap_err();
            assert!(error.contains("write an http:// address"), "{error}");
        }
        let headers = good(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_HEADERS", "API-Key=a%20b,x=y")]).headers;
        assert_eq!(headers.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["api-key", "x"]);
        assert!(!format!("{headers:?}").contains("a b"));
    }
}
