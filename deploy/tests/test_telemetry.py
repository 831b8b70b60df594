"""Traces and metrics as a real collector receives them: of a call across two gateways and a node, by gRPC and by HTTP."""

import contextlib
import json
import re
import secrets
import signal
import time
import unittest

from websockets.sync.client import connect

from chart import rendered
from collector import Collector
from fleet import Fleet, free_port, get, post, until

OFTEN = {"OTEL_BSP_SCHEDULE_DELAY": "200", "OTEL_METRIC_EXPORT_INTERVAL": "1000"}
EMAIL, SDP = "ada@example.org", "v=0 a secret description"


def setUpModule():
    global FLEET, COLLECTOR, MADE, GRPC
    FLEET = Fleet()
    unittest.addModuleCleanup(FLEET.stop)
    COLLECTOR = Collector(FLEET)
    unittest.addModuleCleanup(COLLECTOR.stop)
    MADE = rendered("production")
    FLEET.migrate(MADE)
    GRPC = OFTEN | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{COLLECTOR.grpc}", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    http = OFTEN | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{COLLECTOR.http}", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    for name, component, more in (("node", "node", GRPC | {"RUST_LOG": "info,streamz_signaling_node=debug"}), ("one", "gateway", GRPC), ("two", "gateway", http)):
        FLEET.start(MADE, component, name, more | called(name))
    try:
        for name in ("node", "one", "two"):
            FLEET.ready(name)
    except AssertionError:
        print(*map(FLEET.log, ("node", "one", "two", "rotel")))
        raise


def called(name: str) -> dict[str, str]:
    return {"OTEL_RESOURCE_ATTRIBUTES": f"service.instance.id={name},k8s.pod.name={name}"}


def traceparent(trace: str, sampled: bool = True) -> str:
    return f"00-{trace}-{secrets.token_hex(8)}-0{int(sampled)}"


def receive_until(socket, kind: str) -> dict:
    while True:
        frame = json.loads(socket.recv(timeout=10))
        if frame["type"] == kind:
            return frame


class Traces(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """A phone on one gateway calls a television on the other."""
        status, signed_up = post(FLEET.url("one", "http", "/api/auth/register"), {"email": EMAIL, "password": "correct horse battery"})
        assert status == 201, signed_up
        cls.token = signed_up["access_token"]
        cls.connected, cls.called = secrets.token_hex(16), secrets.token_hex(16)
        cls.parent = traceparent(cls.called)
        with contextlib.ExitStack() as stack:
            phone = stack.enter_context(cls.device("phone", "one", cls.connected))
            tv = stack.enter_context(cls.device("tv", "two"))
            for socket in (phone, tv):
                receive_until(socket, "welcome")
            # What belongs to no trace has no span.
            cls.say(phone, "ice_candidate", "plain", to_device_id="tv", candidate="", sdp_mid="0", sdp_mline_index=0)
            receive_until(phone, "delivered")
            cls.say(phone, "sdp_offer", "unsampled", traceparent(secrets.token_hex(16), sampled=False), to_device_id="tv", sdp=SDP)
            receive_until(phone, "delivered")
            # Two parties, one trace: only the first message names it, and what the other names is not followed.
            cls.say(phone, "stream_start", "start", cls.parent, stream_type="video", to_device_id="tv")
            cls.stream = receive_until(tv, "stream_start")["payload"]["stream_id"]
            of_call = {"stream_id": cls.stream}
            time.sleep(0.3)
            cls.say(tv, "stream_accept", "accept", traceparent(secrets.token_hex(16)), **of_call)
            receive_until(phone, "stream_accept")
            cls.say(phone, "sdp_offer", "offer", to_device_id="tv", sdp=SDP, **of_call)
            receive_until(tv, "sdp_offer")
            cls.say(tv, "sdp_answer", "answer", to_device_id="phone", sdp=SDP, **of_call)
            receive_until(phone, "sdp_answer")
            cls.say(phone, "stream_stats", "stats", connection_type="p2p", latency_ms=3, **of_call)
            receive_until(phone, "delivered")
            cls.say(phone, "stream_end", "end", **of_call)
            receive_until(tv, "stream_end")
        cls.spans = COLLECTOR.until_there(cls.called, "call", "UPSERT streams", "stream_end", "process stream_end")

    @classmethod
    def device(cls, name: str, gateway: str, trace: str | None = None):
        headers = {"Authorization": f"Bearer {cls.token}"} | ({"traceparent": traceparent(trace)} if trace else {})
        return connect(f"{FLEET.url(gateway, 'http', '/ws').replace('http', 'ws', 1)}?device_id={name}", additional_headers=headers)

    @staticmethod
    def say(socket, kind: str, name: str, parent: str | None = None, **payload):
        socket.send(json.dumps({"type": kind, "id": name, "payload": payload} | ({"traceparent": parent} if parent else {})))

    def assert_one_tree(self, spans, root: str):
        known = {span.id for span in spans}
        orphans = [span for span in spans if span.parent not in known and span.parent != root]
        self.assertEqual(orphans, [])

    def test_a_call_is_one_tree_over_all_processes(self):
        self.assert_one_tree(self.spans, self.parent.split("-")[2])
        names = {(span.instance, span.name) for span in self.spans}
        for by, kind in (("one", "stream_start"), ("two", "stream_accept"), ("one", "sdp_offer"), ("two", "sdp_answer"), ("one", "stream_stats"), ("one", "stream_end")):
            self.assertLessEqual({(by, kind), ("node", f"process {kind}")}, names)
        self.assertLessEqual({("one", "deliver"), ("two", "deliver"), ("node", "UPSERT streams")}, names)
        self.assertEqual({span.service for span in self.spans}, {"streamz-gateway", "streamz-node"})
        # A hub's span is the child of the gateway's that handed it the message, and what it says has its children at both gateways.
        by_id = {span.id: span for span in self.spans}
        for span in self.spans:
            if span.name.startswith("process "):
                self.assertEqual(by_id[span.parent].name, span.name.removeprefix("process "))
                children = {child.instance for child in self.spans if child.parent == span.id and child.name == "deliver"}
                self.assertEqual(children, {"one", "two"} if "stats" not in span.name and "end" not in span.name else children | {"one"}, span.name)

    def test_a_call_tells_where_its_time_went(self):
        (call,) = [span for span in self.spans if span.name == "call"]
        self.assertEqual({key: call.attributes[key] for key in ("streamz.outcome", "streamz.path", "streamz.stream.id", "streamz.stream.type")},
                         {"streamz.outcome": "connected", "streamz.path": "p2p", "streamz.stream.id": self.stream, "streamz.stream.type": "video"})
        self.assertGreaterEqual(call.attributes["streamz.epoch"], 1)
        self.assertIn(call.attributes["streamz.slot"], range(4096))
        stages = sorted((span for span in self.spans if span.parent == call.id), key=lambda span: (span.start, span.end))
        self.assertEqual([span.name for span in stages], ["call ring", "call offer", "call answer", "call connect"])
        self.assertEqual([call.start, *(span.end for span in stages)], [*(span.start for span in stages), call.end], "one after the other, without a gap")
        self.assertGreaterEqual(stages[0].end - stages[0].start, 300_000_000)

    def test_messages_have_their_outcome(self):
        for span in self.spans:
            if span.service == "streamz-gateway" and span.name != "deliver":
                self.assertEqual(span.attributes["streamz.outcome"], "delivered", span.name)
                self.assertFalse(span.failed)

    def test_a_connect_is_one_trace(self):
        spans = COLLECTOR.until_there(self.connected, "GET /ws", "attach", "process attach", "SELECT devices", "INSERT devices")
        (request,) = [span for span in spans if span.name == "GET /ws"]
        self.assert_one_tree(spans, request.parent)
        self.assertEqual({span.instance for span in spans}, {"one", "node"})
        self.assertEqual({key: request.attributes[key] for key in ("http.request.method", "http.route", "http.response.status_code", "streamz.outcome")},
                         {"http.request.method": "GET", "http.route": "/ws", "http.response.status_code": 101, "streamz.outcome": "accepted"})
        (select,) = [span for span in spans if span.name == "SELECT devices"]
        self.assertEqual(select.attributes, {"db.system.name": "postgresql", "db.operation.name": "SELECT", "db.collection.name": "devices"})

    def test_what_belongs_to_no_recorded_trace_has_no_span(self):
        kinds = [span for span in COLLECTOR.all() if "candidate" in span.name]
        self.assertEqual(kinds, [])
        offers = {span.trace for span in COLLECTOR.all() if "sdp_offer" in span.name}
        self.assertEqual(offers, {self.called})

    def test_nothing_in_a_span_is_secret(self):
        allowed = re.compile(r"(http|db|messaging|network|error|streamz)\.[a-z_.]+")
        for span in COLLECTOR.all():
            self.assertTrue(all(map(allowed.fullmatch, span.attributes)), span)
            said = json.dumps(span.attributes) + span.name
            for secret in (SDP, "v=0", EMAIL, "@", self.token, "127.0.0.1", "phone", "Bearer"):
                self.assertNotIn(secret, said)

    def test_a_takeover_has_a_trace_of_its_own(self):
        found = [span for span in COLLECTOR.all() if span.name == "takeover"]
        self.assertTrue(found)
        for span in found:
            self.assertEqual((span.parent, span.instance), ("", "node"))
            self.assertEqual(span.attributes["streamz.takeover.cause"], "first")

    def test_the_log_names_the_trace(self):
        lines = [json.loads(line) for line in FLEET.log("node").splitlines() if line.startswith("{")]
        spans = {line["span_id"] for line in lines if line.get("trace_id") == self.called}
        self.assertTrue(spans)
        self.assertLessEqual(spans, {span.id for span in self.spans})


class Metrics(unittest.TestCase):
    def test_they_arrive_by_grpc_and_by_http(self):
        for name in ("node", "one", "two"):
            for metric in ("process_resident_memory_bytes", "streamz_build_info", "streamz_bus_publishes_total", "streamz_lease_age_seconds"):
                until(f"{metric} of {name}", lambda: (name, metric) in COLLECTOR.metrics)
            memory = COLLECTOR.metrics[name, "process_resident_memory_bytes"]
            self.assertEqual((memory.unit, memory.WhichOneof("data")), ("By", "gauge"))
            self.assertGreater(memory.gauge.data_points[0].as_double, 1 << 20)
            publishes = COLLECTOR.metrics[name, "streamz_bus_publishes_total"].sum
            self.assertTrue(publishes.is_monotonic)
            self.assertEqual(publishes.aggregation_temporality, 2, "since the start")
            self.assertTrue(all({pair.key for pair in point.attributes} == {"redis"} for point in publishes.data_points))

    def test_histograms_are_those_of_prometheus(self):
        def same():
            text = get(FLEET.url("one", "operations", "/metrics"))[1]
            count = sum(int(found) for found in re.findall(r"^streamz_bus_loopback_seconds_count\{.*\} (\d+)$", text, re.MULTILINE))
            metric = COLLECTOR.metrics.get(("one", "streamz_bus_loopback_seconds"))
            # It goes on being counted between the two looks.
            return metric if metric and abs(count - sum(point.count for point in metric.histogram.data_points)) <= 6 else None

        metric = until("the histograms agree", same)
        self.assertEqual(metric.unit, "s")
        for point in metric.histogram.data_points:
            self.assertEqual((point.explicit_bounds[0], point.explicit_bounds[-1]), (0.000_05, 30.0))
            self.assertEqual(sum(point.bucket_counts), point.count)


class Away(unittest.TestCase):
    def test_an_absent_collector_holds_up_nobody(self):
        gone = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
        FLEET.start(MADE, "gateway", "alone", OFTEN | gone)
        FLEET.ready("alone")

        def noticed():
            text = get(FLEET.url("alone", "operations", "/metrics"))[1]
            return re.search(r'^streamz_telemetry_export_failures_total\{signal="metrics"\} [1-9]', text, re.MULTILINE)

        until("the failure is counted", noticed)
        began = time.monotonic()
        FLEET.processes["alone"].send_signal(signal.SIGTERM)
        self.assertEqual(FLEET.processes["alone"].wait(30), 0)
        self.assertLess(time.monotonic() - began, 10)
        self.assertIn("the collector takes nothing", FLEET.log("alone"))

    def test_what_was_not_sent_yet_is_sent_at_the_end(self):
        late = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{COLLECTOR.grpc}", "OTEL_BSP_SCHEDULE_DELAY": "600000"}
        FLEET.start(MADE, "gateway", "late", late)
        FLEET.ready("late")
        trace = secrets.token_hex(16)
        url = FLEET.url("late", "http", "/ws").replace("http", "ws", 1)
        with self.assertRaises(Exception):
            connect(f"{url}?device_id=x", additional_headers={"traceparent": traceparent(trace)})
        self.assertEqual(COLLECTOR.of(trace), [])
        FLEET.processes["late"].send_signal(signal.SIGTERM)
        self.assertEqual(FLEET.processes["late"].wait(30), 0)
        (span,) = COLLECTOR.until_there(trace, "GET /ws")
        self.assertEqual(span.attributes["http.response.status_code"], 401)


class WithoutItsNode(unittest.TestCase):
    """The last of this file: the node is gone afterwards."""

    def test_a_takeover_tells_why_it_was(self):
        FLEET.start(MADE, "node", "other", GRPC | called("other"))
        FLEET.ready("other")
        FLEET.processes["node"].kill()

        def taken_over():
            return [span for span in COLLECTOR.all() if span.name == "takeover" and span.instance == "other"
                    and span.attributes["streamz.takeover.cause"] == "owner_gone"]

        for span in until("the takeover is told", taken_over):
            self.assertEqual(span.parent, "")
            self.assertGreater(span.attributes["streamz.takeover.slots"], 0)
            self.assertGreaterEqual(span.end, span.start)

        def counted():
            metric = COLLECTOR.metrics.get(("other", "streamz_takeover_pause_seconds"))
            causes = {value.value.string_value for point in metric.histogram.data_points for value in point.attributes} if metric else set()
            return "owner_gone" in causes

        until("its pause is counted", counted)


if __name__ == "__main__":
    unittest.main()
