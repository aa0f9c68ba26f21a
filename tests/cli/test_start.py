"""What the program has imported when its first probes leave: nothing that can wait until then."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.test_program import environment

# Prints what is imported at the moment when a socket has taken the first probes.
SCRIPT = """
import importlib.util, sys

class Watcher:
    def find_spec(self, name, path=None, target=None):
        if name != "traceprobe.sockets.linux.udp":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            from traceprobe.sockets.linux._socket import LinuxProbeSocket

            send = LinuxProbeSocket.send_probes

            async def send_probes(self, probes):
                reports = await send(self, probes)
                LinuxProbeSocket.send_probes = send
                print(*sorted(sys.modules), file=sys.stderr)
                return reports

            LinuxProbeSocket.send_probes = send_probes

        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Watcher())
from traceprobe.cli import main
sys.exit(main(sys.argv[1:]))
"""

LATER = {
    "aiodns",
    "anyio.from_thread",
    "datetime",
    "json",
    "rich",
    "shutil",
    "traceprobe.render.live",
    "traceprobe.render.text",
    "traceprobe.enrich._ends",
    "traceprobe.enrich._networks",
    "traceprobe.enrich._resolver",
    "traceprobe.enrich._reverse",
    "traceprobe.enrich._special",
    "traceprobe.sockets._report",
    "traceprobe.sockets.linux._remedies",
    "urllib.parse",
}


NOBODY = "127.0.0.1:9"
"""Where no name server is."""


@pytest.mark.skipif(sys.platform != "linux", reason="the mode that it watches is of Linux")
@pytest.mark.parametrize("look_ups", [["-n", "--no-asn"], ["--resolver", NOBODY]], ids=["off", "on"])
def test_what_can_wait_is_imported_behind_the_first_probes(look_ups: list[str]) -> None:
    arguments = ["--mode", "linux_udp", *look_ups, "-m", "1", "127.0.0.1"]
    uncovered = {name: value for name, value in environment().items() if not name.startswith("COVERAGE")}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=uncovered,
    )
    imported = set(run.stderr.split())
    assert "traceprobe.sockets.linux.udp" in imported
    assert not imported & LATER
    assert "Reached 127.0.0.1" in run.stdout
