"""The chart: lint, schemas of Kubernetes, and what has to agree between the objects that it makes."""

import base64
import json
import re
import shlex
import subprocess
import unittest
from pathlib import Path

import helm_python
import kubernetes_validate
import yaml

from chart import CHART, EXAMPLES, Rendered, defaults, example, load, merged, rendered
from configuration import SCHEMA, schema_of_config, variables

CRDS = Path(__file__).parent / "crds"
OLDEST, NEWEST = "1.30", "1.37"
CUSTOM = ("monitoring.coreos.com/v1", "gateway.networking.k8s.io/v1")
# The program's last writes after DRAIN_TIMEOUT (streamz/src/process.rs), and a margin.
LAST_WRITES = 5

# What is set beside the program's own variables: for the libraries of TLS, and for what stands in other values.
OTHER_VARIABLES = {"SSL_CERT_FILE", "POD_NAME"}


class EveryExample(unittest.TestCase):
    def each(self):
        return [(name, rendered(name)) for name in EXAMPLES]

    def test_lint_finds_nothing(self):
        for name, _ in self.each():
            for version in (OLDEST, NEWEST):
                report = helm_python.lint(str(CHART), example(name), strict=True, kube_version=f"v{version}.0")
                # Level 1 is advice (an icon).
                self.assertEqual([each for each in report["messages"] if each["severity"] > 1], [])
                self.assertEqual(report["errors"], [])

    def test_objects_fit_the_schemas_of_kubernetes(self):
        for _, made in self.each():
            for item in made.objects:
                if item["apiVersion"] not in CUSTOM:
                    for version in (OLDEST, NEWEST):
                        kubernetes_validate.validate(item, version, strict=True)

    def test_custom_objects_fit_their_schemas(self):
        objects = [item for _, made in self.each() for item in made.objects if item["apiVersion"] in CUSTOM]
        self.assertEqual({item["kind"] for item in objects}, {"ServiceMonitor", "PrometheusRule", "HTTPRoute"})
        ran = subprocess.run(["node", "check.mjs"], cwd=CRDS, input=json.dumps(objects), capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertEqual(json.loads(ran.stdout), [None] * len(objects))

    def test_names_are_single_and_short(self):
        long = Rendered(example("everything") | {"fullnameOverride": ""}, release="a-release-with-a-name-that-is-as-long-as-it-may-be-53")
        for made in [*map(rendered, EXAMPLES), long]:
            names = [(item["kind"], item["metadata"]["name"]) for item in made.objects]
            self.assertEqual(len(names), len(set(names)))
            for _, name in names:
                self.assertRegex(name, r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")

    def test_selectors_match(self):
        for _, made in self.each():
            for item in made.objects:
                spec, kind = item.get("spec", {}), item["kind"]
                component = item["metadata"]["labels"]["app.kubernetes.io/component"]
                if kind == "Service":
                    self.assertEqual(made.selected(spec["selector"]), [component.removesuffix("-operations")])
                elif kind in ("Deployment", "StatefulSet"):
                    self.assertEqual(made.selected(spec["selector"]["matchLabels"]), [component])
                    for spread in spec["template"]["spec"].get("topologySpreadConstraints", []):
                        self.assertEqual(made.selected(spread["labelSelector"]["matchLabels"]), [component])
                elif kind == "PodDisruptionBudget":
                    self.assertEqual(made.selected(spec["selector"]["matchLabels"]), [component])
                elif kind == "NetworkPolicy":
                    self.assertEqual(made.selected(spec["podSelector"]["matchLabels"]), [component])
                elif kind == "HorizontalPodAutoscaler":
                    self.assertTrue(made.one(spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"]))
                elif kind == "ServiceMonitor":
                    labels = spec["selector"]["matchLabels"]
                    services = [each for each in made.of("Service") if labels.items() <= each["metadata"]["labels"].items()]
                    self.assertEqual(len(services), 1)
                    for endpoint in spec["endpoints"]:
                        self.assertIn(endpoint["port"], [port["name"] for port in services[0]["spec"]["ports"]])

    def test_ports_exist(self):
        for _, made in self.each():
            pods = made.pods()
            names = {component: {port["name"]: port for container in pod["spec"]["containers"] for port in container.get("ports", [])}
                     for component, pod in pods.items()}
            for component, pod in pods.items():
                for container in pod["spec"]["containers"]:
                    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                        action = container.get(probe, {})
                        for target in (action.get("httpGet"), action.get("tcpSocket")):
                            if target:
                                self.assertIn(target["port"], names[component])
            for service in made.of("Service"):
                (component,) = made.selected(service["spec"]["selector"])
                for port in service["spec"]["ports"]:
                    if isinstance(port["targetPort"], str):
                        target = names[component][port["targetPort"]]
                        self.assertEqual(target.get("protocol", "TCP"), port.get("protocol", "TCP"))
            for policy in made.of("NetworkPolicy"):
                (component,) = made.selected(policy["spec"]["podSelector"]["matchLabels"])
                for rule in policy["spec"].get("ingress", []):
                    for port in rule["ports"]:
                        if isinstance(port["port"], str):
                            self.assertIn(port["port"], names[component])
            # The variables of the program say the same as the ports of its containers.
            for component, container in made.streamz().items():
                env = {each["name"]: each.get("value") for each in container["env"]}
                ports = {name: str(port["containerPort"]) for name, port in names[component].items()}
                if component == "gateway":
                    self.assertEqual(ports, {"http": env["PORT"], "operations": env["ADMIN_PORT"]})
                elif component == "node":
                    self.assertEqual(ports, {"operations": env["PORT"]})

    def test_routes_lead_to_a_service(self):
        for _, made in self.each():
            services = {each["metadata"]["name"]: each["spec"]["ports"] for each in made.of("Service")}
            for ingress in made.of("Ingress"):
                self.assertGreaterEqual(int(ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-read-timeout"]), 60)
                for rule in ingress["spec"]["rules"]:
                    for path in rule["http"]["paths"]:
                        backend = path["backend"]["service"]
                        self.assertIn(backend["port"]["name"], [port["name"] for port in services[backend["name"]]])
            for route in made.of("HTTPRoute"):
                for rule in route["spec"]["rules"]:
                    for backend in rule["backendRefs"]:
                        self.assertIn(backend["port"], [port["port"] for port in services[backend["name"]]])
                (websocket,) = [rule for rule in route["spec"]["rules"] if rule["matches"][0]["path"]["value"] == "/ws"]
                self.assertEqual(websocket["timeouts"], {"request": "0s", "backendRequest": "0s"})

    def test_every_variable_is_known_to_the_program(self):
        known = variables().keys() | OTHER_VARIABLES
        for _, made in self.each():
            self.assertEqual(set(made.streamz()), {"gateway", "node", "migration", "test"})
            for component, container in made.streamz().items():
                names = [each["name"] for each in container["env"]]
                self.assertEqual(len(names), len(set(names)), names)
                self.assertLessEqual(set(names), known)
                self.assertIn(container["args"][0], {"gateway", "node", "migrate", "check"})

    def test_secrets_are_there(self):
        for name, made in self.each():
            made_here = {each["metadata"]["name"]: each for each in made.of("Secret")}
            yours = {section["existingSecret"]: {section.get("existingSecretKey")}
                     for section in made.values.values() if isinstance(section, dict) and section.get("existingSecret")}
            for component, pod in made.pods().items():
                for container in pod["spec"]["containers"]:
                    for variable in container.get("env", []):
                        reference = variable.get("valueFrom", {}).get("secretKeyRef")
                        if reference and reference["name"] in yours:
                            self.assertIn(reference["key"], yours[reference["name"]])
                        elif reference:
                            self.assertIn(reference["key"], made_here[reference["name"]]["data"], component)
                for volume in pod["spec"].get("volumes", []):
                    if "secret" in volume:
                        self.assertIn(volume["secret"]["secretName"], yours)
            if name == "production":
                self.assertEqual(made_here, {}, "with Secrets of one's own none is made")

    def test_pods_are_restricted(self):
        host = Rendered(merged(example("everything"), {"coturn": {"hostNetwork": True}}))
        for made in [*map(rendered, EXAMPLES), host]:
            for component, pod in made.pods().items():
                spec = pod["spec"]
                self.assertIs(spec["automountServiceAccountToken"], False)
                self.assertIs(spec["securityContext"]["runAsNonRoot"], True)
                self.assertGreater(spec["securityContext"]["runAsUser"], 0)
                self.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
                self.assertFalse(spec.keys() & {"hostPID", "hostIPC"})
                self.assertEqual("hostNetwork" in spec, made is host and component == "coturn")
                for volume in spec.get("volumes", []):
                    self.assertLessEqual(volume.keys() - {"name"}, {"configMap", "secret", "emptyDir"})
                for container in spec["containers"]:
                    security = container["securityContext"]
                    self.assertIs(security["allowPrivilegeEscalation"], False)
                    self.assertIs(security["readOnlyRootFilesystem"], True)
                    self.assertEqual(security["capabilities"]["drop"], ["ALL"])
                    self.assertLessEqual(set(security["capabilities"].get("add", [])), {"NET_BIND_SERVICE"})
                    self.assertIn("memory", container["resources"]["limits"])
                    self.assertLessEqual({"cpu", "memory"}, container["resources"]["requests"].keys())
                    self.assertRegex(container["image"], r"^[\w./-]+(:[\w.-]+|@sha256:[0-9a-f]{64})$")
                    self.assertFalse(container["image"].endswith(":latest"))

    def test_a_rollout_has_time_and_nobody_is_missed(self):
        for _, made in self.each():
            for component, kind in (("gateway", "Deployment"), ("node", "StatefulSet")):
                pod = made.one(kind, f"-{component}")["spec"]["template"]["spec"]
                (container,) = pod["containers"]
                env = {each["name"]: each.get("value") for each in container["env"]}
                drain = int(env["DRAIN_TIMEOUT"].removesuffix("s"))
                self.assertEqual(drain, made.values["drainTimeoutSeconds"])
                before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
                self.assertGreaterEqual(pod["terminationGracePeriodSeconds"], before + drain + LAST_WRITES)
                if component == "gateway":
                    self.assertGreater(before, 0)
                # Liveness never asks another service.
                self.assertEqual(container["livenessProbe"]["httpGet"]["path"], "/health")
                self.assertEqual(container["readinessProbe"]["httpGet"]["path"], "/ready")
            strategy = made.one("Deployment", "-gateway")["spec"]["strategy"]["rollingUpdate"]
            self.assertEqual(strategy, {"maxSurge": "100%", "maxUnavailable": 0})
            scaled = bool(made.of("HorizontalPodAutoscaler"))
            self.assertEqual("replicas" in made.one("Deployment", "-gateway")["spec"], not scaled)

    def test_hooks_need_nothing_that_comes_later(self):
        for _, made in self.each():
            def hook(item):
                return item["metadata"].get("annotations", {}).get("helm.sh/hook")
            weights = {(each["kind"], each["metadata"]["name"]): int(each["metadata"]["annotations"]["helm.sh/hook-weight"])
                       for each in made.objects if hook(each) == "pre-install,pre-upgrade"}
            job = made.one("Job", "-migration")
            weight = weights["Job", job["metadata"]["name"]]
            pod = job["spec"]["template"]["spec"]
            self.assertEqual(pod["serviceAccountName"], "default")
            for each in made.of("Secret"):
                for variable in pod["containers"][0]["env"]:
                    if variable.get("valueFrom", {}).get("secretKeyRef", {}).get("name") == each["metadata"]["name"]:
                        self.assertLess(weights["Secret", each["metadata"]["name"]], weight)
            self.assertLess(weights["NetworkPolicy", job["metadata"]["name"]], weight)

    def test_network_policies_allow_only_the_arrows(self):
        expected = {
            "minimal": {5432, 6379},
            "production": {5432, 6380, 4317},
            "everything": {6432, 6379, 6380, 4318},
        }
        for name, made in self.each():
            policies = {made.selected(each["spec"]["podSelector"]["matchLabels"])[0]: each["spec"] for each in made.of("NetworkPolicy")}
            self.assertEqual(set(policies), set(made.pods()))
            for policy in policies.values():
                self.assertEqual(policy["policyTypes"], ["Ingress", "Egress"])
            for role in ("gateway", "node"):
                ports = {port["port"] for rule in policies[role]["egress"] for port in rule["ports"]}
                self.assertEqual(ports, expected[name] | {53})
                # No process reaches another: nothing in their rules takes a pod of the release.
                for rule in policies[role]["egress"]:
                    for peer in rule.get("to", []):
                        self.assertFalse("podSelector" in peer and "namespaceSelector" not in peer, peer)
                inbound = {port["port"]: rule.get("from") for rule in policies[role]["ingress"] for port in rule["ports"]}
                self.assertEqual(set(inbound), {"http", "operations"} if role == "gateway" else {"operations"})
                self.assertEqual(inbound["operations"][:-1], made.values["networkPolicy"]["monitoringFrom"])
                self.assertEqual(made.selected(inbound["operations"][-1]["podSelector"]["matchLabels"]), ["test"])
            clients = made.values["networkPolicy"]["clientsFrom"]
            public = next(rule for rule in policies["gateway"]["ingress"] if rule["ports"][0]["port"] == "http").get("from")
            self.assertEqual(public[:-1] if public else [], clients)
            migration = policies["migration"]
            self.assertFalse(migration.get("ingress"))
            database = made.values["networkPolicy"]["databasePort"] if name == "production" else max(expected[name] & {5432, 6432})
            self.assertEqual({port["port"] for rule in migration["egress"] for port in rule["ports"]}, {53, database})
            if "coturn" in policies:
                for rule in policies["coturn"]["egress"]:
                    for peer in rule["to"]:
                        self.assertTrue(peer["ipBlock"]["except"])

    def test_monitoring_is_that_of_the_files(self):
        for name in ("production", "everything"):
            made = rendered(name)
            (rule,) = made.of("PrometheusRule")
            self.assertEqual(rule["spec"], yaml.safe_load((CHART / "files/alerts.yaml").read_text()))
            files = {path.name: path.read_text() for path in (CHART / "files/dashboards").glob("*.json")}
            maps = {key: text for each in made.of("ConfigMap") if "dashboard" in each["metadata"]["name"] for key, text in each["data"].items()}
            self.assertEqual({f"streamz-{name}": text for name, text in files.items()}, maps)
            jobs = {each["spec"]["endpoints"][0]["relabelings"][0]["replacement"] for each in made.of("ServiceMonitor")}
            scraped = yaml.safe_load((CHART / "../../deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
            self.assertLessEqual(jobs, {each["job_name"] for each in scraped})


class Values(unittest.TestCase):
    def test_schema_and_values_have_the_same_keys(self):
        schema = json.loads(SCHEMA.read_text())

        def compare(values, part, path):
            properties = part.get("properties")
            if not isinstance(values, dict) or properties is None or path == "config":
                return
            # `global` is Helm's own.
            self.assertEqual(set(values), set(properties) - {"global"}, path or "values.yaml")
            for key, value in values.items():
                compare(value, properties[key], f"{path}.{key}".strip("."))

        compare(defaults(), schema, "")

    def test_config_takes_every_variable_of_the_program(self):
        self.assertEqual(json.loads(SCHEMA.read_text())["properties"]["config"], schema_of_config(), "run `make update-docs`")

    def test_bad_values_are_refused(self):
        bad = [
            ({"replicas": 3}, "replicas"),
            ({"gateway": {"replica": 3}}, "replica"),
            ({"gateway": {"replicas": 0}}, "replicas"),
            ({"gateway": {"replicas": "two"}}, "replicas"),
            ({"gateway": {"maxSurge": 0}}, "maxSurge"),
            ({"gateway": {"service": {"type": "Loadbalancer"}}}, "type"),
            ({"gateway": {"service": {"port": 70000}}}, "port"),
            ({"gateway": {"topologySpread": {"zones": "Never"}}}, "zones"),
            ({"gateway": {"resources": {"requests": {"memory": "256 MB"}}}}, "memory"),
            ({"gateway": {"extraEnv": [{"name": "max-frame", "value": "1"}]}}, "extraEnv"),
            ({"node": {"autoscaling": {"enabled": True}}}, "autoscaling"),
            ({"drainTimeoutSeconds": "30s"}, "drainTimeoutSeconds"),
            ({"config": {"MESAGES_PER_SECOND": 10}}, "MESAGES_PER_SECOND"),
            ({"config": {"JWT_SECRET": "x"}}, "JWT_SECRET"),
            ({"config": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4317"}}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
            ({"allowedOrigins": ["*"]}, "allowedOrigins"),
            ({"allowedOrigins": ["https://app.example.org/path"]}, "allowedOrigins"),
            ({"trustedProxies": ["0.0.0.0/0"]}, "trustedProxies"),
            ({"database": {"url": "mysql://u:p@host/streamz"}}, "url"),
            ({"redis": {"urls": ["redis://a:6379,redis://b:6379"]}}, "urls"),
            ({"redis": {"urls": ["redis://a:6379", "redis://a:6379"]}}, "urls"),
            ({"turn": {"urls": ["http://turn.example.org"]}}, "urls"),
            ({"jwt": {"existingSecret": "My_Secret"}}, "existingSecret"),
            ({"signingKeys": {"signing": "2026-11"}}, "existingSecret"),
            ({"signingKeys": {"secretVerifies": False}}, "existingSecret"),
            ({"signingKeys": {"existingSecret": "keys", "signing": "a/b"}}, "signing"),
            ({"signingKeys": {"existingSecret": "keys", "secretVerifies": False}}, "signing"),
            ({"image": {"digest": "sha256:abc"}}, "digest"),
            ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
            ({"networkPolicy": {"databaseTo": ["10.0.0.0/8"]}}, "databaseTo"),
            ({"coturn": {"minPort": 80}}, "minPort"),
            ({"coturn": {"extraArgs": ["user-quota=3"]}}, "extraArgs"),
            # Not the schema's business, but that of the templates.
            ({"database": {"url": ""}}, "database: write database.url"),
            ({"redis": {"urls": []}}, "redis: write redis.urls"),
            ({"ingress": {"enabled": True}}, "ingress.hosts: write at least one name"),
            ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs: name the Gateway"),
            ({"coturn": {"enabled": True}}, "coturn.host: write the name"),
            ({"coturn": {"enabled": True, "host": "t.example", "externalIP": "203.0.113.7", "replicas": 2}}, "coturn.replicas"),
            ({"coturn": {"enabled": True, "host": "t.example", "externalIP": "203.0.113.7", "maxPort": 65535}}, "at most 500"),
            ({"coturn": {"enabled": True, "host": "t.example"}}, "coturn.externalIP"),
            ({"gateway": {"autoscaling": {"enabled": True, "targetCPU": 0}}}, "write targetCPU, targetSessions or both"),
            ({"gateway": {"autoscaling": {"enabled": True, "minReplicas": 20}}}, "minReplicas is more than maxReplicas"),
        ]
        for change, said in bad:
            with self.subTest(change=change):
                values = merged(example("minimal"), change)
                with self.assertRaisesRegex(helm_python.HelmError, re.escape(said)):
                    load().validate_schema(values)
                    Rendered(values)

    def test_signing_keys_are_the_gateways_alone(self):
        def signing(keys: dict) -> dict:
            made = Rendered(merged(example("minimal"), {"signingKeys": keys}))
            said = {}
            for component, container in made.streamz().items():
                variables = {each["name"]: each for each in container.get("env", [])}
                mounted = {each["mountPath"] for each in container.get("volumeMounts", [])}
                volumes = made.pods()[component]["spec"].get("volumes", [])
                secrets = {each["secret"]["secretName"] for each in volumes if "secret" in each}
                self.assertEqual("/etc/streamz/keys" in mounted, "JWT_KEYS_DIR" in variables, component)
                self.assertEqual("own-keys" in secrets, "JWT_KEYS_DIR" in variables, component)
                said[component] = variables
            return said

        beside = signing({"existingSecret": "own-keys"})
        self.assertEqual(beside["gateway"]["JWT_KEYS_DIR"]["value"], "/etc/streamz/keys")
        self.assertNotIn("JWT_SIGNING_KEY", beside["gateway"], "the secret signs")
        self.assertNotIn("JWT_KEYS_DIR", beside["node"])
        signs = signing({"existingSecret": "own-keys", "signing": "2026-11"})
        self.assertEqual(signs["gateway"]["JWT_SIGNING_KEY"]["value"], "2026-11")
        # The same value under another name: processes go on knowing each other.
        without = signing({"existingSecret": "own-keys", "signing": "2026-11", "secretVerifies": False})
        for component in ("gateway", "node"):
            self.assertNotIn("JWT_SECRET", without[component])
            self.assertNotIn("BUS_SECRET", signs[component])
            self.assertEqual(without[component]["BUS_SECRET"]["valueFrom"], signs[component]["JWT_SECRET"]["valueFrom"])

    def test_the_commands_of_the_documentation_are_right(self):
        text = (CHART / "../../docs/kubernetes.md").read_text()
        install, upgrade = (shlex.split(re.search(rf"^(helm {word} .*?[^\\])$", text, re.MULTILINE | re.DOTALL)[1]) for word in ("install", "upgrade"))
        values = {}
        for command in (install, upgrade):
            self.assertEqual(command[2:4], ["streamz", "helm/streamz"])
            for option, expression in zip(command, command[1:]):
                if option == "--set":
                    values = merged(values, helm_python.parse_set_string(expression))
        made = Rendered(values)
        self.assertEqual(made.pods()["gateway"]["spec"]["containers"][0]["image"], "registry.example.org/streamz:0.2.0")
        self.assertEqual(len(base64.b64decode(made.one("Secret", "-urls")["data"]["REDIS_URL"]).split(b",")), 2)
        self.assertTrue(made.of("Ingress"))
        # And what is said of names and numbers.
        for name in re.findall(r"(?:job|svc|deploy|sts)/(streamz[\w-]*)", text) + re.findall(r"Secret `([\w-]+)`", text):
            self.assertIn(name, {each["metadata"]["name"] for each in made.objects})
        for value in re.findall(r"`((?:gateway|migration|networkPolicy|jwt|ca|config)\.\w+)", text):
            section, key = value.split(".")
            self.assertIn(key, made.values[section], value)

    def test_switched_off_is_not_there(self):
        off = merged(example("minimal"), {"networkPolicy": {"enabled": False}, "migration": {"enabled": False}, "serviceAccount": {"create": False},
                                          "gateway": {"podDisruptionBudget": {"enabled": False}}, "node": {"podDisruptionBudget": {"enabled": False}}})
        kinds = {each["kind"] for each in Rendered(off).objects}
        self.assertEqual(kinds, {"Deployment", "StatefulSet", "Service", "Secret", "Pod"})

    def test_the_notes_warn(self):
        warned = Rendered(merged(example("minimal"), {"ingress": {"enabled": True, "hosts": ["a.example"]}, "node": {"replicas": 1}})).notes
        self.assertIn("trustedProxies is empty", warned)
        self.assertIn("with one node", warned)
        self.assertNotIn("WARNING", rendered("production").notes)

    def test_chart_and_program_have_one_version(self):
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        program = re.search(r'^version = "(.*)"$', (CHART / "../../Cargo.toml").read_text(), re.MULTILINE)[1]
        self.assertEqual((chart["version"], chart["appVersion"]), (program, program))


if __name__ == "__main__":
    unittest.main()
