"""What an upgrade keeps: keys, and how many gateways autoscaling has made. Helm finds them at an API server that has nothing else."""

import base64
import json
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import helm_python

from chart import NAMESPACE, Rendered, example, load, merged, rendered

SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"


def kinds(version: str, name: str, kind: str) -> dict:
    resource = {"name": name, "kind": kind, "namespaced": True, "verbs": ["get", "list"]}
    return {"kind": "APIResourceList", "groupVersion": version, "resources": [resource]}


APPS = {"groupVersion": "apps/v1", "version": "v1"}
DISCOVERY = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [{"name": "apps", "versions": [APPS], "preferredVersion": APPS}]},
    "/api/v1": kinds("v1", "secrets", "Secret"),
    "/apis/apps/v1": kinds("apps/v1", "deployments", "Deployment"),
    "/version": {"major": "1", "minor": "30", "gitVersion": "v1.30.0"},
}


class Cluster:
    """Answers what a rendering asks: which kinds there are, and for objects by their path."""

    def __init__(self, objects: dict[str, dict]):
        self.asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler):
                path = handler.path.split("?")[0]
                self.asked.append(path)
                answer = DISCOVERY.get(path) or objects.get(path)
                body = json.dumps(answer or {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}).encode()
                handler.send_response(200 if answer else 404)
                handler.send_header("content-type", "application/json")
                handler.send_header("content-length", str(len(body)))
                handler.end_headers()
                handler.wfile.write(body)

            def log_message(handler, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def kubeconfig(self) -> str:
        address = f"http://127.0.0.1:{self.server.server_port}"
        return json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {}}],
                           "clusters": [{"name": "c", "cluster": {"server": address}}],
                           "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}}]})

    def rendered(self, values: dict) -> Rendered:
        with helm_python.Config(kubeconfig_content=self.kubeconfig(), namespace=NAMESPACE) as config:
            return Rendered(values, render=lambda values, **how: config.render(load(), values, is_upgrade=True, **how))

    def keys(self, values: dict) -> dict:
        return self.rendered(values).one("Secret", "-keys")["data"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


WITH_TURN = {"turn": {"urls": ["turn:turn.example.org:3478"]}}


class Keys(unittest.TestCase):
    def test_are_made_at_the_first_install(self):
        values = merged(example("minimal"), WITH_TURN)
        keys = Rendered(values).one("Secret", "-keys")
        self.assertEqual(keys["metadata"]["annotations"]["helm.sh/resource-policy"], "keep")
        for key in ("JWT_SECRET", "TURN_SECRET"):
            self.assertGreaterEqual(len(base64.b64decode(keys["data"][key])), 32)
        self.assertNotEqual(keys["data"]["JWT_SECRET"], keys["data"]["TURN_SECRET"])
        self.assertNotEqual(Rendered(values).one("Secret", "-keys")["data"], keys["data"])

    def test_are_kept_by_an_upgrade(self):
        old = {"JWT_SECRET": base64.b64encode(b"the one of the first install").decode()}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "streamz-keys", "namespace": NAMESPACE}, "data": old}
        with Cluster({f"{SECRETS}/streamz-keys": secret}) as cluster:
            self.assertEqual(cluster.keys(example("minimal")), old)
            # One that is new is made beside those that are there, and kept from then on.
            both = cluster.keys(merged(example("minimal"), WITH_TURN))
            self.assertEqual(both["JWT_SECRET"], old["JWT_SECRET"])
            self.assertIn(f"{SECRETS}/streamz-keys", cluster.asked)
        with Cluster({f"{SECRETS}/streamz-keys": secret | {"data": both}}) as cluster:
            self.assertEqual(cluster.keys(merged(example("minimal"), WITH_TURN)), both)

    def test_none_is_made_beside_yours(self):
        self.assertEqual(rendered("production").of("Secret"), [])
        mixed = merged(example("minimal"), {"jwt": {"existingSecret": "mine"}} | WITH_TURN)
        self.assertEqual(list(Rendered(mixed).one("Secret", "-keys")["data"]), ["TURN_SECRET"])


class Replicas(unittest.TestCase):
    def test_are_those_that_autoscaling_has_made(self):
        scaled = merged(example("minimal"), {"gateway": {"autoscaling": {"enabled": True}}})
        there = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "streamz-gateway", "namespace": NAMESPACE}, "spec": {"replicas": 7}}
        with Cluster({f"{DEPLOYMENTS}/streamz-gateway": there}) as cluster:
            self.assertEqual(cluster.rendered(scaled).one("Deployment", "-gateway")["spec"]["replicas"], 7)
        with Cluster({}) as cluster:
            self.assertNotIn("replicas", cluster.rendered(scaled).one("Deployment", "-gateway")["spec"])


if __name__ == "__main__":
    unittest.main()
