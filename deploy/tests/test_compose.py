"""The image and the compose file, as far as that can be said without building them."""

import fnmatch
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import yaml

from chart import REPOSITORY
from configuration import variables
from fleet import binary

DEPLOY = REPOSITORY / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
# What gcr.io/distroless/cc-debian12 has beside certificates: glibc and libgcc.
IN_THE_BASE = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "linux-vdso.so.1",
               "libdl.so.2", "libpthread.so.0", "librt.so.1"}
# Beside the base, uncompressed.
LARGEST = 25_000_000


def in_the_context(path: str) -> bool:
    """What deploy/Dockerfile.dockerignore leaves of a path: the last pattern that matches it, or a folder above it, counts."""
    kept = True
    for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern, keep = line.removeprefix("!"), line.startswith("!")
        parts = Path(path).parts
        for above in ("/".join(parts[:length]) for length in range(1, len(parts) + 1)):
            if fnmatch.fnmatch(above, pattern) or pattern.startswith("**/") and fnmatch.fnmatch(Path(above).name, pattern[3:]):
                kept = keep
    return kept


class Image(unittest.TestCase):
    def test_hadolint_finds_nothing(self):
        ran = subprocess.run([Path(sys.executable).with_name("hadolint"), DEPLOY / "Dockerfile"], capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)

    def test_cargo_finds_every_member_in_the_context(self):
        kept = []
        for folder, folders, files in os.walk(REPOSITORY):
            folders[:] = [name for name in folders if name not in (".git", "target", "node_modules")]
            kept += [path for path in (str(Path(folder, name).relative_to(REPOSITORY)) for name in files) if in_the_context(path)]
        for needed in ("Cargo.lock", "streamz/src/main.rs", "migrations", "console/src", "clients/js/src"):
            self.assertTrue(any(path == needed or path.startswith(needed + "/") for path in kept), needed)
        self.assertFalse([path for path in kept if path.startswith(("docs/", "helm/", "deploy/", ".git"))])
        with tempfile.TemporaryDirectory() as folder:
            for path in kept:
                target = Path(folder, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(REPOSITORY / path)
            # Resolves the workspace and the lock file; asks no registry.
            ran = subprocess.run(["cargo", "metadata", "--locked", "--offline", "--no-deps", "--format-version=1"], cwd=folder, capture_output=True, text=True)
            self.assertEqual(ran.returncode, 0, ran.stderr)
            packages = {package["name"] for package in json.loads(ran.stdout)["packages"]}
            self.assertIn("streamz", packages)

    def test_what_the_sources_embed_is_in_the_context(self):
        for source in [path for folder in ("streamz", "gateway", "signaling-node", "shared") for path in (REPOSITORY / folder).rglob("*.rs")]:
            if "tests" in source.relative_to(REPOSITORY).parts or "target" in source.parts:
                continue
            text = source.read_text().split("#[cfg(test)]")[0]
            crate = next(above for above in source.parents if (above / "Cargo.toml").exists())
            embedded = [crate / path for path in re.findall(r'#\[folder = "([^"]+)"\]|migrate!\("([^"]+)"\)', text) for path in path if path]
            embedded += [source.parent / path for path in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', text)]
            for path in embedded:
                self.assertTrue(in_the_context(str(path.resolve().relative_to(REPOSITORY))), f"{source}: {path}")

    def test_toolchain_is_that_of_the_workspace(self):
        wanted = re.search(r'^rust-version = "(.*)"$', (REPOSITORY / "Cargo.toml").read_text(), re.MULTILINE)[1]
        self.assertEqual(re.search(r"^FROM rust:([0-9.]+)-slim-bookworm AS build$", DOCKERFILE, re.MULTILINE)[1], wanted)

    def test_the_program_needs_no_more_than_the_base_has(self):
        needed = subprocess.run(["ldd", binary()], check=True, capture_output=True, text=True).stdout
        names = {Path(line.split()[0]).name for line in needed.splitlines()}
        self.assertLessEqual(names, IN_THE_BASE)
        self.assertIn("libc.so.6", names)

    def test_the_final_stage_is_locked(self):
        final = DOCKERFILE[DOCKERFILE.rindex("\nFROM "):]
        self.assertIn("FROM gcr.io/distroless/cc-debian12:nonroot", final)
        self.assertRegex(final, r"\nUSER 65532:65532\n")
        self.assertIn('\nENTRYPOINT ["/usr/local/bin/streamz"]', final)
        self.assertIn("\nEXPOSE 8080\n", final)
        self.assertNotIn("RUN", final)
        for name in re.findall(r"(\w+)=", re.search(r"^ENV (.*)$", final, re.MULTILINE)[1]):
            self.assertIn(name, variables())
        # The program, and an empty folder.
        self.assertEqual(re.findall(r"^COPY .* (\S+)$", final, re.MULTILINE), ["/usr/local/bin/streamz", "/data"])

    def test_the_program_is_small(self):
        release = REPOSITORY / "target/release/streamz"
        if release.exists():
            self.assertLess(release.stat().st_size, LARGEST)


class Compose(unittest.TestCase):
    def setUp(self):
        self.file = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
        self.services = self.file["services"]

    def test_services_are_there_and_pinned(self):
        self.assertLessEqual({"gateway", "node", "migrate", "postgres", "redis-1", "redis-2", "coturn", "otel-collector", "tempo", "prometheus", "grafana"},
                             self.services.keys())
        for name, service in self.services.items():
            if "build" in service:
                self.assertEqual((DEPLOY / service["build"]["context"]).resolve(), REPOSITORY)
                self.assertTrue((REPOSITORY / service["build"]["dockerfile"]).exists())
            else:
                self.assertRegex(service["image"], r":v?\d+[\w.-]*$", name)
            for other in service.get("depends_on", []):
                self.assertIn(other, self.services)

    def test_mounts_exist(self):
        for service in self.services.values():
            for mount in service.get("volumes", []):
                source = mount.split(":")[0]
                if source.startswith("."):
                    self.assertTrue((DEPLOY / source).exists(), mount)
                else:
                    self.assertIn(source, self.file["volumes"])

    def test_variables_are_known_and_no_secret_is_written_down(self):
        for name in ("gateway", "node", "migrate"):
            service = self.services[name]
            self.assertLessEqual(service["environment"].keys(), variables().keys())
            self.assertIs(service["read_only"], True)
            self.assertEqual(service["cap_drop"], ["ALL"])
            self.assertIn(service["command"][0], {"gateway", "node", "migrate"})
        for service in self.services.values():
            for name, value in service.get("environment", {}).items():
                if name.endswith(("_SECRET", "_PASSWORD")):
                    self.assertRegex(str(value), r"^\$\{\w+:\?")

    def test_addresses_name_services_and_their_ports(self):
        environment = self.services["gateway"]["environment"]
        hosts = re.findall(r"(?://|@)([a-z][\w-]*):(\d+)", " ".join(environment[name] for name in ("DATABASE_URL", "REDIS_URL", "OTEL_EXPORTER_OTLP_ENDPOINT")))
        self.assertEqual(hosts, [("postgres", "5432"), ("redis-1", "6379"), ("redis-2", "6379"), ("otel-collector", "4317")])
        for job in yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"]:
            for found in job.get("dns_sd_configs", []):
                (name,) = found["names"]
                env = self.services[name]["environment"]
                self.assertEqual(str(found["port"]), env.get("ADMIN_PORT", env["PORT"]))
            for static in job.get("static_configs", []):
                self.assertIn(static["targets"][0].split(":")[0], self.services)
        for source in yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/datasources.yaml").read_text())["datasources"]:
            self.assertIn(re.match(r"http://([\w-]+):", source["url"])[1], self.services)

    def test_collector_is_wired(self):
        config = yaml.safe_load((DEPLOY / "otel-collector/config.yaml").read_text())
        for pipeline in config["service"]["pipelines"].values():
            for part in ("receivers", "processors", "exporters"):
                self.assertLessEqual(set(pipeline[part]), config[part].keys())
        sampling = config["processors"]["tail_sampling"]
        policies = {policy["name"]: policy for policy in sampling["policies"]}
        for name, policy in policies.items():
            self.assertIn(policy["type"], policy, name)
        self.assertEqual(policies["errors"]["status_code"]["status_codes"], ["ERROR"])
        self.assertLessEqual(policies["slow"]["latency"]["threshold_ms"], 1000)
        self.assertIn("takeover", str(policies["takeovers"]))
        # A ring ends after RING_TIMEOUT; until then its trace is not decided on.
        self.assertGreater(int(sampling["decision_wait"].removesuffix("s")), 30)
        tempo = yaml.safe_load((DEPLOY / "tempo/tempo.yaml").read_text())
        self.assertEqual(config["exporters"]["otlp/tempo"]["endpoint"].split(":")[1],
                         tempo["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].split(":")[1])


if __name__ == "__main__":
    unittest.main()
