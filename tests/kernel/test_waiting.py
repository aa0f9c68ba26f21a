"""While a trace waits it does nothing: one blocking wait until its deadline, seen from outside by strace."""

from __future__ import annotations

import itertools
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.kernel import inside
from tests.rigs.require import missing_program, require
from tests.rigs.tun.simulated import load_scenario

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rigs.tun import SimulatedInternet

pytestmark = pytest.mark.tun

TARGET = "203.0.113.9"
WAIT = 1.0
"""Seconds that the default timing waits for a tail in which nothing has answered."""

_LINE = re.compile(r"^(?:(?P<thread>\d+) +)?(?P<time>\d+\.\d+) (?:<\.\.\. )?(?P<call>\w+)")
_SENDS = {"sendmmsg", "sendmsg", "sendto"}
_WAITS = {"epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6"}


@dataclass(frozen=True)
class SystemCall:
    thread: str
    time: float
    name: str
    text: str


@pytest.fixture(autouse=True)
def _silent_target(internet: SimulatedInternet) -> None:
    internet.load(load_scenario("silent_target"))


def system_calls(internet: SimulatedInternet, loop: str, folder: Path) -> list[SystemCall]:
    """Trace the silent target on an event loop, and list every system call of every thread."""
    require("strace", missing_program("strace"))
    output = folder / "calls"
    program = f"""
import anyio
from tests.kernel import inside
options = {{"mode": "linux_raw", "first_ttl": 3, "max_ttl": 3, "queries": 1}}
backend, backend_options = {inside.backend_of(loop)!r}
document = anyio.run(inside.trace, {TARGET!r}, options, backend=backend, backend_options=backend_options)
assert document["hops"][0]["address"] is None
"""
    internet.run(["strace", "-f", "-ttt", "-o", str(output), sys.executable, "-c", program])
    calls = []
    for line in output.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _LINE.match(line)
        if match is not None:
            calls.append(SystemCall(match["thread"] or "", float(match["time"]), match["call"], line))
    return calls


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
def test_one_wait_and_nothing_else(internet: SimulatedInternet, loop: str, tmp_path: Path) -> None:
    calls = while_outstanding(system_calls(internet, loop, tmp_path))
    assert len(internet.log().probes) == 1
    blocking = [call for call in calls if call.name in _WAITS and _blocks(call.text)]
    assert len(blocking) == 1, [call.text for call in blocking]
    # While it lasted there was no system call in any thread.
    longest, call = max((later.time - earlier.time, earlier) for earlier, later in itertools.pairwise(calls))
    assert call is blocking[0], call.text
    assert longest > 0.9 * WAIT


def while_outstanding(calls: list[SystemCall]) -> list[SystemCall]:
    """The system calls from the sending of the probe to the closing of its socket."""
    first = max(index for index, call in enumerate(calls) if call.name in _SENDS and TARGET in call.text)
    descriptor = re.search(r"\((\d+),", calls[first].text)
    assert descriptor is not None
    closing = f"close({descriptor[1]})"
    last = next(index for index, call in enumerate(calls) if index > first and closing in call.text)
    return calls[first : last + 1]


def _blocks(text: str) -> bool:
    """Whether a wait was told to wait."""
    if "resumed>" in text:
        return False  # the end of one that has been counted
    call = text.split(" = ")[0]
    if re.match(r".*\bepoll_p?wait\(", call):
        # epoll_wait(4, [...], 1024, TIMEOUT) and epoll_pwait(4, [...], 1024, TIMEOUT, NULL, 8)
        return re.search(r", 0(, NULL, \d+)?\)\s*$", call) is None
    return "tv_sec=0, tv_nsec=0" not in call and re.search(r", 0\)\s*$", call) is None


def test_waiting_costs_no_voluntary_switches(internet: SimulatedInternet) -> None:
    for loop in ("asyncio", "uvloop", "trio"):
        switches = internet.call(inside.switches_while_waiting, TARGET, backend=loop)
        # One wait for the deadline; and a few for what surrounds it, such as opening the sockets.
        assert switches <= 10, loop
