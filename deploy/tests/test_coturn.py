"""The configuration of coturn, in the chart and in the compose file, read by a real one."""

import os
import re
import socket
import struct
import tempfile
import unittest
from pathlib import Path

import subprocess
import yaml

from chart import REPOSITORY, Rendered, example, merged
from fleet import free_port, program, until

BINDING, ALLOCATE = 0x0001, 0x0003
COOKIE = 0x2112A442


def ask(port: int, method: int) -> tuple[int, bytes]:
    """A request without attributes by UDP, and the answer's type and body."""
    transport = b"\x00\x19\x00\x04\x11\x00\x00\x00" if method == ALLOCATE else b""
    request = struct.pack("!HHI12s", method, len(transport), COOKIE, os.urandom(12)) + transport
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(0.5)
        asking.sendto(request, ("127.0.0.1", port))
        answer = asking.recv(2048)
    return struct.unpack("!H", answer[:2])[0], answer[20:]


def configurations() -> dict[str, str]:
    chart = Rendered(merged(example("everything"), {"coturn": {"externalIP": "", "hostNetwork": True}}))
    compose = yaml.safe_load((REPOSITORY / "deploy/compose.yaml").read_text())
    return {
        "chart": chart.one("ConfigMap", "-coturn")["data"]["turnserver.conf"],
        "compose": compose["configs"]["turnserver"]["content"].replace("${TURN_HOST:-localhost}", "localhost"),
    }


class Coturn(unittest.TestCase):
    def test_both_configurations_are_the_same(self):
        def lines(text):
            own = ("#", "realm=", "external-ip=")
            return [line for line in text.splitlines() if not line.startswith(own)]

        chart, compose = configurations().values()
        self.assertEqual(lines(chart), lines(compose))

    def test_private_networks_are_refused(self):
        for text in configurations().values():
            denied = re.findall(r"^denied-peer-ip=(\S+)", text, re.MULTILINE)
            for network in ("10.0.0.0-10.255.255.255", "127.0.0.0-127.255.255.255", "169.254.0.0-169.254.255.255", "172.16.0.0-172.31.255.255",
                            "192.168.0.0-192.168.255.255", "::1"):
                self.assertIn(network, denied)
            self.assertIn("\nuse-auth-secret\n", text)

    def test_coturn_takes_them_and_asks_for_credentials(self):
        for name, text in configurations().items():
            with self.subTest(of=name), tempfile.TemporaryDirectory() as folder:
                port = free_port()
                changed = {"listening-port": port, "pidfile": f"{folder}/pid", "userdb": f"{folder}/db"}
                for key, value in changed.items():
                    text, count = re.subn(rf"^{key}=.*$", f"{key}={value}", text, flags=re.MULTILINE)
                    self.assertEqual(count, 1, key)
                path = Path(folder, "turnserver.conf")
                path.write_text(text + "listening-ip=127.0.0.1\n")
                log = Path(folder, "log")
                with log.open("w") as output:
                    process = subprocess.Popen([program("turnserver", "coturn"), "-c", str(path), "--static-auth-secret=Vh2bK7qXr0Tn5sLw9eZc"],
                                               stdout=output, stderr=subprocess.STDOUT)
                try:
                    until("coturn answers", lambda: ask(port, BINDING)[0] == 0x0101)
                    kind, body = ask(port, ALLOCATE)
                    self.assertEqual(kind, 0x0113, "an allocation without credentials")
                    self.assertIn(b"\x00\x09", body)
                    self.assertRegex(body, rb"\x04\x01")
                finally:
                    process.terminate()
                    process.wait(10)
                said = log.read_text()
                self.assertNotRegex(said, r"(?i)bad configuration|unknown (option|argument)|unrecognized|CONFIG ERROR", said)


if __name__ == "__main__":
    unittest.main()
