"""A real receiver of OTLP, `rotel`, by gRPC and HTTP; what it takes it passes on to this process, which keeps it to be looked at."""

import collections
import gzip
import http.server
import sysconfig
import threading
from pathlib import Path

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fleet import Fleet, free_port, until

Span = collections.namedtuple("Span", "trace id parent name kind start end attributes failed service instance resource")


def value(any_value):
    return getattr(any_value, any_value.WhichOneof("value"))


def values(pairs) -> dict:
    return {pair.key: value(pair.value) for pair in pairs}


class Sink(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.collector.take(self.path, body)
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Collector:
    """Ends with the fleet whose folder it uses."""

    def __init__(self, fleet: Fleet):
        agent = Path(sysconfig.get_path("purelib")) / "rotel/rotel-agent"
        assert agent.exists(), f"{agent} is not there: run `make test-deploy`, or `pip install -r deploy/tests/requirements.txt`"
        self.lock, self.spans, self.metrics = threading.Lock(), {}, {}
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
        self.server.collector = self
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.grpc, self.http = (f"127.0.0.1:{free_port()}" for _ in range(2))
        fleet._start("rotel", [str(agent), "start", "--otlp-grpc-endpoint", self.grpc, "--otlp-http-endpoint", self.http, "--batch-timeout", "50ms",
                               "--exporter", "otlp", "--otlp-exporter-protocol", "http",
                               "--otlp-exporter-endpoint", f"http://127.0.0.1:{self.server.server_port}",
                               "--pid-file", str(fleet.folder / "rotel.pid"), "--log-file", str(fleet.folder / "rotel-agent.log")], {})

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def take(self, path: str, body: bytes):
        with self.lock:
            if path.endswith("/traces"):
                for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                    resource = values(group.resource.attributes)
                    for span in (span for scope in group.scope_spans for span in scope.spans):
                        self.spans[span.span_id.hex()] = Span(
                            span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), span.name, span.kind, span.start_time_unix_nano,
                            span.end_time_unix_nano, values(span.attributes), span.status.code == 2, resource["service.name"],
                            resource["service.instance.id"], resource)
            elif path.endswith("/metrics"):
                for group in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                    resource = values(group.resource.attributes)
                    for metric in (metric for scope in group.scope_metrics for metric in scope.metrics):
                        self.metrics[resource["service.instance.id"], metric.name] = metric

    def of(self, trace: str) -> list[Span]:
        with self.lock:
            return [span for span in self.spans.values() if span.trace == trace]

    def all(self) -> list[Span]:
        with self.lock:
            return list(self.spans.values())

    def until_there(self, trace: str, *names: str) -> list[Span]:
        """The spans of a trace, once these are among them and no more have come for a moment."""
        until(f"{names} in the trace {trace}", lambda: set(names) <= {span.name for span in self.of(trace)})
        known = -1
        while known != (known := len(self.of(trace))):
            threading.Event().wait(1)
        return self.of(trace)
