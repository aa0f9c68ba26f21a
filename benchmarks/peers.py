"""Other programs: how each is asked for thirty hops of three probes, and how its answer is read.

Each is run with its own defaults where nothing else is said, without names. A peer that isn't installed is
skipped with the reason. What is read of an answer are addresses by TTL, and times where they are told.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.rigs.require import find_program, missing_module
from tests.rigs.under_wine import under_wine

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = 15.0
"""Seconds of one trace after which there is no second one."""

_ADDRESS = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])")
_HOP = re.compile(r"^ *(\d+) +(.*)$")


@dataclass(frozen=True)
class Peer:
    """A program to compare with."""

    name: str
    arguments: tuple[str, ...]
    """Command line; ``{target}`` stands for the target."""
    read: Callable[[str], dict[int, str]]
    """From its output to addresses by TTL."""
    where: str = "linux"
    """The platform that it is run on."""
    slow: bool = False
    """It takes seconds: few repetitions have to do."""
    read_rtts: Callable[[str], list[list[int]]] | None = None

    def missing(self) -> str | None:
        """Why it can't be run here, or None if it can."""
        if sys.platform != self.where:
            return f"it is compared with on {self.where} only"
        if sys.platform == "win32" and under_wine():
            return "Wine's own tracert is not what Windows has"
        return None if self.path() else f"{self.arguments[0]} is not installed"

    def path(self) -> str | None:
        """Where the program is."""
        name = self.arguments[0]
        return find_program(name) or shutil.which(name, path=_cargo_folder())

    def command(self, target: str) -> list[str]:
        """The command line for a target."""
        return [
            self.path() or self.arguments[0],
            *(word.format(target=target) for word in self.arguments[1:]),
        ]


def _cargo_folder() -> str:
    return str(Path(os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))) / "bin")


def read_lines(output: str) -> dict[int, str]:
    """Lines that begin with a TTL: traceroute, scamper, tracert."""
    found: dict[int, str] = {}
    for line in output.splitlines():
        hop = _HOP.match(line)
        address = _ADDRESS.search(hop[2]) if hop else None
        if hop and address:
            found.setdefault(int(hop[1]), address[0])
    return found


def read_mtr(output: str) -> dict[int, str]:
    """Comma-separated values: version, start, status, host, hop, address and so on."""
    rows = [line.split(",") for line in output.splitlines()]
    return {
        int(row[4]): row[5]
        for row in rows
        if len(row) > 5 and row[4].isdigit() and _ADDRESS.fullmatch(row[5])
    }


def read_ftr(output: str) -> dict[int, str]:
    """A JSON document."""
    return {hop["ttl"]: hop["address"] for hop in _document(output)["hops"] if hop["address"]}


def read_trip(output: str) -> dict[int, str]:
    """A JSON document."""
    hops = {hop["ttl"]: hop["hosts"][0]["ip"] for hop in _document(output)["hops"] if hop["hosts"]}
    return {ttl: address for ttl, address in hops.items() if _ADDRESS.fullmatch(address)}


def _document(output: str) -> dict[str, Any]:
    start = output.find("{")
    document: dict[str, Any] = {"hops": []}  # of a program that was ended before it said anything
    with contextlib.suppress(json.JSONDecodeError):
        document = json.loads(output[start:]) if start >= 0 else document
    return document


def read_traceroute_rtts(output: str) -> list[list[int]]:
    """TTL, attempt and nanoseconds of each reply that ``traceroute`` prints."""
    rtts = []
    for line in output.splitlines()[1:]:
        hop = _HOP.match(line)
        if hop is None:
            continue
        words = hop[2].replace("*", "* ms").split(" ms")
        for attempt, word in enumerate(words, 1):
            if (rtt := re.search(r"([\d.]+)$", word)) is not None:
                rtts.append([int(hop[1]), attempt, round(float(rtt[1]) * 1e6)])
    return rtts


_SCAMPER = "trace -P icmp-paris -q 3 -Q -w 1 {target}"

_NO_NAMES = ("--dns-resolve-method", "cloudflare", "--dns-timeout", "1ms")
"""It can't be told to leave names alone; this is the shortest time that it wastes on them in a namespace."""

PEERS = (
    Peer("traceroute", ("traceroute", "-n", "{target}"), read_lines, read_rtts=read_traceroute_rtts),
    Peer(
        "traceroute -N 90 -q 3",
        ("traceroute", "-n", "-N", "90", "-q", "3", "{target}"),
        read_lines,
        read_rtts=read_traceroute_rtts,
    ),
    Peer(
        "traceroute -I -N 90 -q 3",
        ("traceroute", "-n", "-I", "-N", "90", "-q", "3", "{target}"),
        read_lines,
        read_rtts=read_traceroute_rtts,
    ),
    Peer("mtr", ("mtr", "-n", "-C", "-c", "3", "{target}"), read_mtr, slow=True),
    Peer("scamper", ("scamper", "-p", "1000", "-I", _SCAMPER), read_lines, slow=True),
    Peer("ftr", ("ftr", "--json", "--no-enrich", "--no-rdns", "-q", "3", "{target}"), read_ftr),
    Peer("trip", ("trip", "-m", "json", "-C", "3", *_NO_NAMES, "{target}"), read_trip, slow=True),
    Peer("tracert -d", ("tracert", "-d", "{target}"), read_lines, where="win32", slow=True),
)


@dataclass(frozen=True)
class LibraryPeer:
    """A Python library to compare with, in a warm interpreter as traceprobe."""

    name: str
    module: str
    call: Callable[[str, int], dict[str, Any]]

    def missing(self) -> str | None:
        """Why it can't be run here, or None if it can."""
        if sys.platform != "linux":
            return "it is compared with on linux only"
        return missing_module(self.module)


def icmplib_repeatedly(target: str, repetitions: int) -> dict[str, Any]:
    """Trace with ``icmplib``, three probes a hop."""
    import icmplib  # type: ignore[import-untyped, import-not-found, unused-ignore]

    def trace() -> dict[int, str]:
        return {hop.distance: hop.address for hop in icmplib.traceroute(target, count=3)}

    return _repeatedly(trace, repetitions)


def scapy_repeatedly(target: str, repetitions: int) -> dict[str, Any]:
    """Trace with ``scapy``: its own function, with ICMP, one probe a hop."""
    from scapy.config import conf
    from scapy.layers.inet import ICMP, traceroute

    conf.verb = 0

    def trace() -> dict[int, str]:
        answered, _ = traceroute(target, l4=ICMP(), maxttl=30, timeout=2, verbose=0)
        found = {sent.ttl: received.src for sent, received in answered}
        ends = [ttl for ttl, address in found.items() if address == target]
        return {ttl: address for ttl, address in found.items() if not ends or ttl <= min(ends)}

    return _repeatedly(trace, repetitions)


LIBRARIES = (
    LibraryPeer("icmplib", "icmplib", icmplib_repeatedly),
    LibraryPeer("scapy", "scapy", scapy_repeatedly),
)


def _repeatedly(trace: Callable[[], dict[int, str]], repetitions: int) -> dict[str, Any]:
    import time

    from benchmarks.inside import PATIENCE, peak_memory_kb

    runs: list[dict[str, Any]] = []
    for _ in range(repetitions):
        cpu, start = time.process_time_ns(), time.time_ns()
        found, cut = _within(PATIENCE, trace)
        end = time.time_ns()
        runs.append({
            "cut": cut,
            "start_ns": start,
            "end_ns": end,
            "cpu_ns": time.process_time_ns() - cpu,
            "hops": in_order(found),
        })
        if (end - start) / 1e9 > LONG:
            break
    return {"runs": runs, "memory_kb": peak_memory_kb()}


def _within(seconds: float, trace: Callable[[], dict[int, str]]) -> tuple[dict[int, str], bool]:
    """What a trace finds, and whether it had to be ended because it took too long."""
    import signal

    def end(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return trace(), False
    except TimeoutError:
        return {}, True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def in_order(found: dict[int, str]) -> list[str | None]:
    """Addresses by TTL, as a list from TTL 1 on."""
    return [found.get(ttl) for ttl in range(1, max(found, default=0) + 1)]
