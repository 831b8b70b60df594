"""What the chart says, held against the program: a gateway and a node of the rendered arguments and variables, their probes, their
metrics, and a Prometheus that is asked every query of the dashboards and holds every alert against a fleet that is well."""

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import time
import unittest
import urllib.parse

import yaml
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from chart import EXAMPLES, REPOSITORY, rendered
from fleet import Fleet, binary, get, post, until
from metrics import alerts, asked_for, documented, exposed, filled_in, queries


def setUpModule():
    global FLEET, PROMETHEUS
    FLEET = Fleet()
    unittest.addModuleCleanup(FLEET.stop)
    made = rendered("production")
    FLEET.migrate(made)
    for component in ("node", "gateway"):
        FLEET.start(made, component)
    PROMETHEUS = FLEET.prometheus()
    try:
        for component in ("node", "gateway"):
            FLEET.ready(component)
    except AssertionError:
        print(FLEET.log("node"), FLEET.log("gateway"))
        raise


def receive_until(socket, kind: str) -> dict:
    while True:
        frame = json.loads(socket.recv(timeout=10))
        if frame["type"] == kind:
            return frame


# What a fleet that is well and has something to do counts. The others are of what should not happen.
WELL = {
    "streamz_bus_instance_healthy", "streamz_bus_loopback_seconds", "streamz_bus_publish_failures_total", "streamz_bus_published_bytes_total",
    "streamz_bus_publishes_total", "streamz_bus_publishes_without_receiver_total", "streamz_bus_queued_bytes", "streamz_bus_received_bytes_total",
    "streamz_bus_received_total", "streamz_bus_reconnects_total", "streamz_closes_total", "streamz_connections", "streamz_connects_total",
    "streamz_http_request_seconds", "streamz_http_requests_total", "streamz_hubs", "streamz_password_checks_total", "streamz_sign_ins_refused_total",
    "process_cpu_seconds_total", "process_max_fds", "process_open_fds", "process_resident_memory_bytes", "process_start_time_seconds", "process_threads",
    "process_virtual_memory_bytes", "process_virtual_memory_max_bytes", "streamz_build_info", "streamz_coordinator", "streamz_decides", "streamz_delivery_seconds",
    "streamz_hub_failures_total", "streamz_hub_inputs_waiting", "streamz_lease_age_seconds", "streamz_links_waiting_bytes", "streamz_links_waiting_frames",
    "streamz_messages_total", "streamz_messages_unsettled", "streamz_password_queue", "streamz_password_wait_seconds", "streamz_presence_changes_total",
    "streamz_records_waiting", "streamz_slots", "streamz_slots_unserved", "streamz_store_connections", "streamz_takeover_pause_seconds", "streamz_takeovers_total",
}


def looked_at_twice(name: str, matchers: str = "") -> bool:
    """A rate wants no less."""
    return bool(ask(f'count_over_time({{__name__=~"{name}(_count)?"{matchers}}}[1m]) >= 2'))


def ask(query: str) -> list[dict]:
    status, text = get(f"{PROMETHEUS}/api/v1/query?{urllib.parse.urlencode({'query': query})}")
    answer = json.loads(text)
    assert status == 200 and answer["status"] == "success", f"{query}: {answer}"
    return answer["data"]["result"]


class Configuration(unittest.TestCase):
    def problems(self, arguments: list[str], env: dict[str, str]) -> list[str]:
        """What `streamz check` finds wrong or worth a note. The port may be taken on this machine, and the relays of the
        examples are nowhere."""
        def check():
            ran = subprocess.run([binary(), *arguments], env=env, capture_output=True, text=True, cwd="/")
            # It gives Redis a second, which may be too short beside a build: that says nothing of the configuration.
            return ran if "in time" not in ran.stdout else None

        ran = until("check has its answers", check)
        self.assertTrue(ran.stdout.startswith("The configuration is valid.\n"), ran.stdout + ran.stderr)
        found = [line for line in ran.stdout.splitlines()[1:] if not line.startswith(("  ok", "  problem    address:", "  note       TURN:"))]
        self.assertEqual(ran.stdout.count("  ok         bus: "), 2 - len([line for line in found if "bus:" in line]), ran.stdout)
        return found

    def test_the_program_finds_it_valid(self):
        for name in EXAMPLES:
            made = rendered(name)
            arguments = made.streamz()["test"]["args"]
            self.assertEqual(arguments, ["check", "--role", "gateway"])
            self.assertEqual(self.problems(arguments, FLEET.environment(made, "test")), [])

    def test_the_program_finds_that_of_the_compose_file_valid(self):
        services = yaml.safe_load((REPOSITORY / "deploy/compose.yaml").read_text())["services"]
        for role in ("gateway", "node"):
            # Secrets as deploy/README.md makes them.
            env = {name: re.sub(r"\$\{(\w+):([?-])([^}]*)\}", lambda part: secrets.token_hex(24) if part[2] == "?" else part[3], value)
                   for name, value in services[role]["environment"].items()}
            self.assertNotIn("$", "".join(env.values()))
            env |= {"DATABASE_URL": FLEET.database + "disable", "REDIS_URL": ",".join(FLEET.redis_unencrypted)}
            self.assertEqual(self.problems(["check", "--role", role], env), [])

    def test_an_authority_that_is_not_given_is_not_believed(self):
        made = rendered("production")
        env = FLEET.environment(made, "test")
        del env["SSL_CERT_FILE"]
        (problem,) = self.problems(made.streamz()["test"]["args"], env)
        self.assertIn("invalid peer certificate", problem)

    def test_migration_may_run_again(self):
        for name in EXAMPLES:
            ran = FLEET.run(rendered(name), "migration")
            self.assertEqual((ran.returncode, ran.stdout), (0, "The database is up to date.\n"), ran.stderr)


class Routes(unittest.TestCase):
    def test_probes_and_scrapes_lead_to_answers(self):
        for name in EXAMPLES:
            made = rendered(name)
            asked = set()
            for component in ("gateway", "node"):
                container = made.streamz()[component]
                for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                    asked.add((component, container[probe]["httpGet"]["port"], container[probe]["httpGet"]["path"]))
                for monitor in made.of("ServiceMonitor"):
                    if monitor["metadata"]["name"].endswith(component):
                        asked |= {(component, end["port"], end["path"]) for end in monitor["spec"]["endpoints"]}
            self.assertGreaterEqual(len(asked), 4)
            for component, port, path in asked:
                status, _ = get(FLEET.url(component, port, path))
                self.assertEqual(status, 200, f"{component}: {port}{path}")

    def test_helm_test_passes(self):
        container = rendered("minimal").pods()["test"]["spec"]["containers"][1]
        env = {"PATH": os.environ["PATH"], "GATEWAY": FLEET.url("gateway", "http"), "OPERATIONS": FLEET.url("gateway", "operations")}
        self.assertEqual(env.keys() - {"PATH"}, {each["name"] for each in container["env"]})
        ran = subprocess.run([*container["command"], *container["args"]], env=env, capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
        self.assertIn("pong", ran.stdout)
        # And does not where there is no gateway.
        ran = subprocess.run([*container["command"], *container["args"]], env=env | {"GATEWAY": FLEET.url("node", "operations")}, capture_output=True)
        self.assertNotEqual(ran.returncode, 0)

    def test_operations_are_not_beside_the_api(self):
        for path in ("/metrics", "/health", "/ready"):
            self.assertEqual(get(FLEET.url("gateway", "http", path))[0], 404)


class Monitoring(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """Makes every metric move that a fleet which is well moves."""
        base = FLEET.url("gateway", "http")
        account = {"email": "ada@example.org", "password": "correct horse battery"}
        _, signed_up = post(f"{base}/api/auth/register", account)
        for _ in range(7):
            post(f"{base}/api/auth/login", account | {"password": "not this one at all"})
        cls.headers = {"Authorization": f"Bearer {signed_up['access_token']}"}
        stack = contextlib.ExitStack()
        cls.addClassCleanup(stack.close)
        cls.devices = [stack.enter_context(cls.device(name)) for name in ("phone", "tv")]
        for socket in cls.devices:
            receive_until(socket, "welcome")
        for number in range(20):
            cls.devices[0].send(json.dumps({"type": "sdp_offer", "id": str(number), "payload": {"to_device_id": "tv", "sdp": "v=0"}}))
            receive_until(cls.devices[0], "delivered")
        get(f"{base}/api/ice-servers")
        # One that is replaced is closed from here.
        with cls.device("phone-2"), cls.device("phone-2") as again:
            receive_until(again, "welcome")
        until("Prometheus has seen every metric", lambda: all(map(looked_at_twice, WELL)))

    @classmethod
    def device(cls, name: str):
        return connect(f"{FLEET.url('gateway', 'http', '/ws').replace('http', 'ws', 1)}?device_id={name}", additional_headers=cls.headers)

    def test_documented_is_what_is_exposed(self):
        known, seen = documented(), set()
        for component in ("gateway", "node"):
            found = exposed(get(FLEET.url(component, "operations", "/metrics"))[1])
            self.assertLessEqual(found.keys(), known.keys())
            for name, labels in found.items():
                self.assertEqual(labels, known[name], name)
            seen |= found.keys()
        self.assertLessEqual(WELL, seen)

    # A node has no API, and a fleet that is well loses no device.
    SILENT = {("node", "node.json: Requests"), ("node", "node.json: Time to the answer, p99"),
              ("node", "calls.json: Devices lost in the middle"), ("gateway", "calls.json: Devices lost in the middle")}

    def test_every_query_has_an_answer(self):
        there = {name for name in documented() if looked_at_twice(name)}
        for component in ("gateway", "node"):
            instance = f"127.0.0.1:{FLEET.ports[component, 'operations']}"
            mine = {name for name in there if looked_at_twice(name, f', instance="{instance}"')}
            for where, query in queries():
                with self.subTest(query=where, of=component):
                    answer = ask(filled_in(query, instance))
                    silent = where.startswith("Streamz") or (component, where) in self.SILENT
                    if not silent and asked_for(query).keys() <= (mine if "$instance" in query else there):
                        self.assertTrue(answer, query)

    def test_no_alert_is_raised_by_a_fleet_that_is_well(self):
        def rules():
            groups = json.loads(get(f"{PROMETHEUS}/api/v1/rules")[1])["data"]["groups"]
            found = [rule for group in groups for rule in group["rules"]]
            return found if all(rule["health"] != "unknown" for rule in found) else None

        found = until("the alerts are evaluated", rules)
        self.assertEqual([rule["name"] for rule in found], [rule["alert"] for rule in alerts()])
        for rule in found:
            self.assertEqual(rule["health"], "ok", rule)
            # What waits for its time is not raised: a fleet of seconds has few requests, and each weighs.
            self.assertNotEqual(rule["state"], "firing", rule["name"])


class Ending(unittest.TestCase):
    def test_a_gateway_takes_its_leave_within_the_grace_period(self):
        made = rendered("production")
        FLEET.start(made, "gateway", "leaving")
        FLEET.ready("leaving")
        base = FLEET.url("leaving", "http")
        _, signed_up = post(f"{base}/api/auth/register", {"email": "bob@example.org", "password": "correct horse battery"})
        with connect(base.replace("http", "ws", 1) + "/ws?device_id=phone", additional_headers={"Authorization": f"Bearer {signed_up['access_token']}"}) as phone:
            receive_until(phone, "welcome")
            began = time.monotonic()
            FLEET.processes["leaving"].send_signal(signal.SIGTERM)
            self.assertIn("after_ms", receive_until(phone, "reconnect")["payload"])
            with self.assertRaises(ConnectionClosed) as closed:
                phone.recv(timeout=10)
            self.assertEqual(closed.exception.rcvd.code, 4000)
        grace = made.pods()["gateway"]["spec"]["terminationGracePeriodSeconds"]
        self.assertEqual(FLEET.processes["leaving"].wait(grace), 0)
        self.assertLess(time.monotonic() - began, grace)

    def test_a_rollout_sends_every_device_away_once(self):
        made = rendered("production")
        self.assertEqual(made.one("Deployment", "-gateway")["spec"]["strategy"]["rollingUpdate"], {"maxSurge": "100%", "maxUnavailable": 0})
        old, new = ("old-1", "old-2"), ("new-1", "new-2")
        for name in (*old, *new):
            FLEET.start(made, "gateway", name)
        for name in (*old, *new):
            FLEET.ready(name)
        _, signed_up = post(FLEET.url("old-1", "http", "/api/auth/register"), {"email": "eve@example.org", "password": "correct horse battery"})
        headers = {"Authorization": f"Bearer {signed_up['access_token']}"}

        def device(stack: contextlib.ExitStack, name: str, gateway: str, resume: str = ""):
            address = FLEET.url(gateway, "http", "/ws").replace("http", "ws", 1)
            socket = connect(f"{address}?device_id={name}{resume}", additional_headers=headers, subprotocols=["streamz.v1"])
            return stack.enter_context(socket), receive_until(socket, "welcome")["payload"]

        with contextlib.ExitStack() as stack:
            devices = {name: device(stack, name, gateway) for name, gateway in zip(("phone", "tv", "camera", "laptop"), old * 2)}
            # All new ones are ready, so all old ones leave the Service together; after preStop they are told to end.
            for name in old:
                FLEET.processes[name].send_signal(signal.SIGTERM)
            back = {}
            for number, (name, (socket, welcome)) in enumerate(devices.items()):
                last = 0
                with self.assertRaises(ConnectionClosed) as closed:
                    while True:
                        last = json.loads(socket.recv(timeout=10)).get("seq", last)
                self.assertEqual(closed.exception.rcvd.code, 4000)
                back[name], again = device(stack, name, new[number % 2], f"&session_id={welcome['session_id']}&last_seq={last}")
                self.assertIs(again["resumed"], True, name)
            for name in old:
                self.assertEqual(FLEET.processes[name].wait(made.pods()["gateway"]["spec"]["terminationGracePeriodSeconds"]), 0)
            # Nobody was sent away again, and they hear each other.
            for number, (name, other) in enumerate(zip(back, reversed(back))):
                back[name].send(json.dumps({"type": "sdp_offer", "id": f"after-{number}", "payload": {"to_device_id": other, "sdp": "v=0"}}))
                offer = receive_until(back[other], "sdp_offer")
                self.assertEqual(offer["payload"]["from_device_id"], name)
                back[other].send(json.dumps({"type": "ack", "payload": {"seq": offer["seq"]}}))
                self.assertEqual(receive_until(back[name], "delivered")["payload"]["id"], f"after-{number}")


if __name__ == "__main__":
    unittest.main()
