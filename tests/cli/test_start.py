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
        if name not in {"traceprobe.sockets.linux." + mode for mode in ("raw", "ping", "udp")}:
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
    "attrs",
    "datetime",
    "dns",
    "json",
    "rich",
    "shutil",
    "traceprobe._trace_options",
    "traceprobe.cli._exit",
    "traceprobe.enrich._ends",
    "traceprobe.enrich._networks",
    "traceprobe.enrich._resolver",
    "traceprobe.enrich._reverse",
    "traceprobe.enrich._special",
    "traceprobe.loops._datagrams",
    "traceprobe.loops._interruptible",
    "traceprobe.loops._threads",
    "traceprobe.model._extension_objects",
    "traceprobe.model._networks",
    "traceprobe.packets._codes",
    "traceprobe.packets._extensions",
    "traceprobe.packets._ip",
    "traceprobe.packets._tcp",
    "traceprobe.render.live",
    "traceprobe.render.text",
    "traceprobe.sockets._report",
    "traceprobe.sockets.codec._extension_objects",
    "traceprobe.sockets.codec._tcp",
    "traceprobe.sockets.linux._handshakes",
    "traceprobe.sockets.linux._remedies",
    "urllib.parse",
}
NOT_FOR_PLAIN_COMMANDS = {"argparse", "gettext", "traceprobe.cli._parser"}

NOBODY = "127.0.0.1:9"
"""Where no name server is."""


def imported_by(*arguments: str) -> set[str]:
    """The modules that a trace of this machine has imported when its first probes have left."""
    uncovered = {name: value for name, value in environment().items() if not name.startswith("COVERAGE")}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments, "-m", "1", "127.0.0.1"],
        capture_output=True,
        text=True,
        check=True,
        env=uncovered,
    )
    assert "Reached 127.0.0.1" in run.stdout
    return set(run.stderr.split())


@pytest.mark.skipif(sys.platform != "linux", reason="the modes that it watches are of Linux")
@pytest.mark.parametrize("look_ups", [["-n", "--no-asn"], ["--resolver", NOBODY]], ids=["off", "on"])
def test_what_can_wait_is_imported_behind_the_first_probes(look_ups: list[str]) -> None:
    imported = imported_by("--mode", "linux_udp", *look_ups)
    assert "traceprobe.sockets.linux.udp" in imported
    assert not imported & LATER


@pytest.mark.skipif(sys.platform != "linux", reason="the modes that it watches are of Linux")
def test_a_plain_command_line_is_understood_without_the_parser() -> None:
    imported = imported_by("-n", "--no-asn")
    assert "traceprobe.cli._plain" in imported
    assert not imported & (LATER | NOT_FOR_PLAIN_COMMANDS)
