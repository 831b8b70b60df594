"""The configuration of coturn, in the chart and in the compose file, read by a real one."""

import os
import re
import socket
import struct
import subprocess
import tempfile
import unittest
from pathlib import Path

import yaml

from chart import REPOSITORY, rendered
from configuration import TURNSERVER, TURNSERVER_OF_THE_CHART
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



class Coturn(unittest.TestCase):
    def arguments(self) -> dict[str, list[str]]:
        """What comes after `turnserver`, in the chart and in the compose file."""
        (container,) = rendered("everything").pods()["coturn"]["spec"]["containers"]
        self.assertEqual(container["command"], ["turnserver"])
        compose = yaml.safe_load((REPOSITORY / "deploy/compose.yaml").read_text())["services"]["coturn"]["command"]
        return {"chart": container["args"], "compose": [argument.replace("$$TURN_SECRET", "$(TURN_SECRET)") for argument in compose]}

    def test_the_chart_has_the_file(self):
        self.assertEqual(TURNSERVER_OF_THE_CHART.read_text(), TURNSERVER.read_text(), "run `make update-docs`")
        self.assertEqual(rendered("everything").one("ConfigMap", "-coturn")["data"]["turnserver.conf"].strip(), TURNSERVER.read_text().strip())

    def test_relay_ports_are_those_of_the_service(self):
        made = rendered("everything")
        first, last = (int(re.search(rf"--{name}-port=(\d+)", " ".join(self.arguments()["chart"]))[1]) for name in ("min", "max"))
        ports = [port["port"] for port in made.one("Service", "-coturn")["spec"]["ports"] if port["name"].startswith("relay-")]
        self.assertEqual(ports, list(range(first, last + 1)))

    def test_coturn_takes_it_and_asks_for_credentials(self):
        for name, arguments in self.arguments().items():
            with self.subTest(of=name), tempfile.TemporaryDirectory() as folder:
                port, own = free_port(), {"$(TURN_SECRET)": "Vh2bK7qXr0Tn5sLw9eZc", "$(POD_IP)": "127.0.0.1", "/etc/coturn/turnserver.conf": str(TURNSERVER)}
                for text, value in own.items():
                    arguments = [argument.replace(text, value) for argument in arguments]
                self.assertNotIn("$", " ".join(arguments))
                # The last one counts.
                arguments += ["--listening-ip=127.0.0.1", f"--listening-port={port}", f"--pidfile={folder}/pid", f"--userdb={folder}/db"]
                log = Path(folder, "log")
                with log.open("w") as output:
                    process = subprocess.Popen([program("turnserver", "coturn"), *arguments], stdout=output, stderr=subprocess.STDOUT)
                try:
                    until("coturn answers", lambda: ask(port, BINDING)[0] == 0x0101)
                    kind, body = ask(port, ALLOCATE)
                    self.assertEqual(kind, 0x0113, "an allocation without credentials")
                    # ERROR-CODE 401 and a NONCE.
                    self.assertIn(b"\x00\x09", body)
                    self.assertRegex(body, rb"\x04\x01")
                finally:
                    process.terminate()
                    process.wait(10)
                said = log.read_text()
                self.assertNotRegex(said, r"(?i)bad configuration|unknown (option|argument)|unrecognized|invalid option|CONFIG ERROR", said)


if __name__ == "__main__":
    unittest.main()
