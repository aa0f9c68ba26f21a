"""Other programs, measured the same way as far as they let one."""

from __future__ import annotations

import re
import time
from resource import RUSAGE_CHILDREN, getrusage
from typing import TYPE_CHECKING, Any

from tests.rigs.require import find_program

if TYPE_CHECKING:
    from tests.rigs.tun import SimulatedInternet

_HOP = re.compile(r"^ *(\d+) +(.*)$")


def traceroute(
    internet: SimulatedInternet, target: str, protocol: str, repetitions: int
) -> dict[str, Any] | None:
    """Run ``traceroute -N 90 -q 3``; None if it isn't installed.

    Its durations include the start of the process, which is a millisecond or two; its round-trip times
    are printed to the microsecond.
    """
    if find_program("traceroute") is None:
        return None
    return {"runs": [_run(internet, target, protocol) for _ in range(repetitions)]}


def _run(internet: SimulatedInternet, target: str, protocol: str) -> dict[str, Any]:
    used = getrusage(RUSAGE_CHILDREN)
    start = time.time_ns()
    output = internet.run([
        "traceroute",
        "-n",
        "-I" if protocol == "icmp" else "-U",
        "-N",
        "90",
        "-q",
        "3",
        target,
    ]).stdout
    end = time.time_ns()
    now = getrusage(RUSAGE_CHILDREN)
    rtts = []
    for line in output.splitlines()[1:]:
        hop = _HOP.match(line)
        if hop is None:
            continue
        words = hop[2].replace("*", "* ms").split(" ms")
        for attempt, word in enumerate(words, 1):
            if (rtt := re.search(r"([\d.]+)$", word)) is not None:
                rtts.append([int(hop[1]), attempt, round(float(rtt[1]) * 1e6)])
    return {
        "start_ns": start,
        "end_ns": end,
        "processor_ns": round((now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime) * 1e9),
        "waits": None,
        "submit_ns": None,
        "first_reply_ns": None,
        "overhead_ns": None,
        "replies": len(rtts),
        "rtts": rtts,
    }
