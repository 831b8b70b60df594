"""A fleet on this machine, of the very arguments and variables that the chart gives its pods, with a private Postgres and Redis
and, if wanted, a Prometheus that watches it. With a certificate authority in the values, Postgres and one Redis are reached by TLS."""

import base64
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from chart import REPOSITORY, Rendered

DEADLINE = 30.0


def binary() -> str:
    path = Path(os.environ.get("STREAMZ_BIN") or REPOSITORY / "target/debug/streamz")
    assert path.exists(), f"{path} is not there: run `cargo build`, or `make test-deploy`"
    return str(path)


def program(name: str, package: str, *elsewhere: str) -> str:
    found = shutil.which(name) or next((str(path) for pattern in elsewhere for path in sorted(Path("/").glob(pattern))), None)
    assert found, f"{name} is not installed: apt-get install {package}"
    return found


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(what: str, asked, deadline: float = DEADLINE):
    """Asks until the answer is neither false nor an error of the network."""
    last, end = None, time.monotonic() + deadline
    while time.monotonic() < end:
        try:
            if answer := asked():
                return answer
        except OSError as error:
            last = error
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {deadline} s ({last})")


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def post(url: str, body: dict) -> tuple[int, dict]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


class Fleet:
    """One gateway and one node."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="streamz-deploy-"))
        self.processes: dict[str, subprocess.Popen] = {}
        self.ports: dict[tuple[str, str], int] = {}
        try:
            self._certificates()
            self._postgres()
            self.redis = [self._redis(), self._redis(encrypted=True)]
            self.redis_unencrypted = [self.redis[0], self._redis()]
        except BaseException:
            self.stop()
            raise

    def _certificates(self):
        """A certificate authority, and a certificate of it for this machine."""
        def openssl(*arguments: str):
            subprocess.run([program("openssl", "openssl"), *arguments], cwd=self.folder, check=True, capture_output=True)

        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "ca.key", "-out", "ca.crt",
                "-subj", "/CN=an authority of one's own", "-days", "2")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "server.key", "-out", "server.csr",
                "-subj", "/CN=server")
        (self.folder / "names").write_text("subjectAltName=IP:127.0.0.1")
        openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names",
                "-out", "server.crt")

    def _postgres(self):
        port, data = free_port(), self.folder / "postgres"
        initdb, postgres = (program(name, "postgresql", f"usr/lib/postgresql/*/bin/{name}") for name in ("initdb", "postgres"))
        as_postgres = []
        if os.getuid() == 0:
            self.folder.chmod(0o755)
            shutil.chown(self.folder, "postgres")
            shutil.chown(self.folder / "server.key", "postgres")
            as_postgres = ["runuser", "-u", "postgres", "--"]
        subprocess.run([*as_postgres, initdb, "-D", str(data), "-A", "trust", "-U", "postgres", "--no-sync", "--no-locale", "-E", "UTF8"],
                       check=True, capture_output=True, cwd="/")
        self._start("postgres", [*as_postgres, postgres, "-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1",
                                 "-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "ssl=on",
                                 "-c", f"ssl_cert_file={self.folder}/server.crt", "-c", f"ssl_key_file={self.folder}/server.key"], {})
        self.database = f"postgres://postgres@127.0.0.1:{port}/postgres?sslmode="

    def _redis(self, encrypted: bool = False) -> str:
        port = free_port()
        ports = ["--port", str(port)]
        if encrypted:
            ports = ["--port", "0", "--tls-port", str(port), "--tls-cert-file", "server.crt", "--tls-key-file", "server.key", "--tls-ca-cert-file", "ca.crt",
                     "--tls-auth-clients", "no"]
        self._start(f"redis-{port}", [program("redis-server", "redis-server"), *ports, "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)], {})
        return f"{'rediss' if encrypted else 'redis'}://127.0.0.1:{port}"

    def _start(self, name: str, command: list[str], env: dict[str, str]):
        with open(self.folder / f"{name}.log", "w") as log:
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder,
                                                    env={"PATH": os.environ["PATH"], "LC_ALL": "C", **env})

    def environment(self, made: Rendered, component: str) -> dict[str, str]:
        """What Kubernetes would put into the container, but for where Postgres and Redis are."""
        secrets = {each["metadata"]["name"]: each["data"] for each in made.of("Secret")}
        env = {}
        for variable in made.streamz()[component]["env"]:
            source = variable.get("valueFrom", {})
            if "secretKeyRef" in source:
                reference = source["secretKeyRef"]
                # A Secret that is not the chart's: it holds what such a one would.
                data = secrets.get(reference["name"], {}).get(reference["key"])
                env[variable["name"]] = base64.b64decode(data).decode() if data else "Vh2bK7qXr0Tn5sLw9eZc3uYd8gJm4aPf6iQo1R"
            elif "fieldRef" in source:
                env[variable["name"]] = f"{component}-0"
            else:
                env[variable["name"]] = variable["value"]
        # What the chart mounts as /etc/streamz/ca/ca.crt is here.
        authority = made.values["ca"]["existingSecret"] and str(self.folder / "ca.crt")
        env["DATABASE_URL"] = self.database + (f"verify-full&sslrootcert={authority}" if authority else "disable")
        if "REDIS_URL" in env:
            env["REDIS_URL"] = ",".join(self.redis if authority else self.redis_unencrypted)
        for name, value in env.items():
            if value.startswith("/etc/streamz/ca/"):
                assert {"name": "ca", "mountPath": "/etc/streamz/ca", "readOnly": True} in made.streamz()[component]["volumeMounts"]
                env[name] = value.replace("/etc/streamz/ca", str(self.folder))
        if "JWT_KEYS_DIR" in env:
            mounts = {mount["name"]: mount["mountPath"] for mount in made.streamz()[component]["volumeMounts"]}
            assert mounts["signing-keys"] == env["JWT_KEYS_DIR"]
            env["JWT_KEYS_DIR"] = str(self._signing_keys(env["JWT_SIGNING_KEY"]))
        return env

    def _signing_keys(self, name: str) -> Path:
        """A folder with one key, as a Secret of somebody's own would be mounted."""
        keys = self.folder / "keys"
        keys.mkdir(exist_ok=True)
        if not (keys / f"{name}.pem").exists():
            subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(keys / f"{name}.pem")], check=True, capture_output=True)
        return keys

    def run(self, made: Rendered, component: str) -> subprocess.CompletedProcess:
        """A container that ends by itself."""
        command = [binary(), *made.streamz()[component]["args"]]
        return subprocess.run(command, env=self.environment(made, component), capture_output=True, text=True, cwd="/", timeout=DEADLINE)

    def migrate(self, made: Rendered):
        until("migration", lambda: self.run(made, "migration").returncode == 0)

    def start(self, made: Rendered, component: str, name: str | None = None, more: dict[str, str] | None = None):
        """A gateway or node, on ports of this machine instead of the pod's own. It is called by its component if nothing is said."""
        name = name or component
        env = self.environment(made, component) | {"HOST": "127.0.0.1"} | (more or {})
        names = {str(port["containerPort"]): port["name"] for port in made.streamz()[component]["ports"]}
        for variable in ("PORT", "ADMIN_PORT"):
            if variable in env:
                port = free_port()
                self.ports[name, names[env[variable]]] = port
                env[variable] = str(port)
        self._start(name, [binary(), *made.streamz()[component]["args"]], env)

    def url(self, name: str, port: str, path: str = "") -> str:
        return f"http://127.0.0.1:{self.ports[name, port]}{path}"

    def ready(self, name: str):
        until(f"{name} is ready", lambda: get(self.url(name, "operations", "/ready"))[0] == 200)

    def prometheus(self) -> str:
        """Prometheus with the configuration of deploy/, but for where the processes are and how often it looks."""
        config = yaml.safe_load((REPOSITORY / "deploy/prometheus/prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
        config["rule_files"] = [str(REPOSITORY / "helm/streamz/files/alerts.yaml")]
        jobs = []
        for job in config["scrape_configs"]:
            component = job["job_name"].removeprefix("streamz-")
            if (component, "operations") in self.ports:
                del job["dns_sd_configs"]
                job["static_configs"] = [{"targets": [f"127.0.0.1:{self.ports[component, 'operations']}"]}]
                jobs.append(job)
        config["scrape_configs"] = jobs
        path, port = self.folder / "prometheus.yml", free_port()
        path.write_text(yaml.safe_dump(config))
        self._start("prometheus", [program("prometheus", "prometheus"), f"--config.file={path}", f"--storage.tsdb.path={self.folder / 'tsdb'}",
                                   f"--web.listen-address=127.0.0.1:{port}"], {})
        url = f"http://127.0.0.1:{port}"
        until("Prometheus is ready", lambda: get(f"{url}/-/ready")[0] == 200)
        return url

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def stop(self):
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in reversed(self.processes.values()):
            try:
                process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
