"""The tools of the table: how each is called, what it prints, and which version it is."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import traceprobe
from tests.kernel import hostile
from tests.rigs.require import find_program

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.rigs.tun import SimulatedInternet

    Lines = set[tuple[int, str]]

LAST_TTL: Final = 8
"""Three lines more than there are hops: what is shown behind the target counts too."""
ADDRESSES: Final = {4: r"\d+\.\d+\.\d+\.\d+", 6: r"[0-9a-f]*:[0-9a-f:]+"}


def read_lines(output: str, version: int) -> Lines:
    """TTLs and addresses of lines that begin with a TTL, or that go on with the one before."""
    found: Lines = set()
    ttl = 0
    for line in output.splitlines():
        begin = re.match(r"\s*(\d+)\s", line)
        if begin:
            ttl = int(begin[1])
        elif not line.startswith("  "):
            continue
        rest = line[begin.end() :] if begin else line
        for text in re.findall(rf"(?<![\w.:]){ADDRESSES[version]}(?![\w.:])", rest):
            try:
                found.add((ttl, str(ip_address(text))))
            except ValueError:
                continue
    return found


def read_csv(output: str, version: int) -> Lines:
    """What mtr writes: each hop with one address."""
    del version
    rows = csv.DictReader(io.StringIO(output))
    return {(int(row["Hop"]), row["Ip"]) for row in rows if row.get("Ip") and row["Ip"] != "???"}


@dataclass(frozen=True)
class Tool:
    """One column: a tool and its way of probing."""

    name: str
    protocol: str
    command: tuple[str, ...]
    read: Callable[[str, int], Lines] = read_lines
    versions: tuple[int, ...] = (4, 6)
    mode: str | None = None
    """Of traceprobe: it runs in a process for many traces, as in a program that it is part of."""

    def missing(self) -> str | None:
        """Why it can't run here."""
        found = self.mode is not None or find_program(self.command[0]) is not None
        return None if found else f"{self.command[0]} is not installed"

    def trace(self, internet: SimulatedInternet, targets: Sequence[str], version: int) -> list[Lines]:
        """What it shows of each target."""
        if self.mode is not None:
            options = {
                "mode": self.mode, "protocol": self.protocol, "queries": 1, "max_ttl": LAST_TTL,
            }  # fmt: skip
            documents = internet.call(hostile.trace_each, list(targets), options, backend="asyncio")
            return [
                {(hop["ttl"], address) for hop in document["hops"] for address in hop["addresses"]}
                for document in documents
            ]
        shown = []
        for target in targets:
            command = [word.format(target=target, version=version) for word in self.command]
            shown.append(self.read(internet.run(command, check=False).stdout, version))
        return shown


def _traceroute(*options: str) -> tuple[str, ...]:
    return ("traceroute", "-{version}", "-n", "-q", "1", "-w", "1", "-m", str(LAST_TTL), *options, "{target}")


def _mtr(*options: str) -> tuple[str, ...]:
    return (
        "mtr",
        "-{version}",
        "-n",
        "-C",
        "-c",
        "1",
        "-m",
        str(LAST_TTL),
        "-Z",
        "1",
        "-G",
        "1",
        *options,
        "{target}",
    )


def _inetutils(*options: str) -> tuple[str, ...]:
    return ("inetutils-traceroute", "-q", "1", "-w", "1", "-m", str(LAST_TTL), *options, "{target}")


def _scamper(options: str) -> tuple[str, ...]:
    return ("scamper", "-p", "1000", "-I", f"trace -q 1 -w 1 -m {LAST_TTL} {options} {{target}}")


TOOLS: Final = (
    Tool("traceprobe, raw", "icmp", (), mode="linux_raw"),
    Tool("traceprobe, ping socket", "icmp", (), mode="linux_ping"),
    Tool("traceroute", "icmp", _traceroute("-I")),
    Tool("inetutils", "icmp", _inetutils("-M", "icmp"), versions=(4,)),
    Tool("mtr", "icmp", _mtr(), read_csv),
    Tool("scamper", "icmp", _scamper("-P icmp-paris")),
    Tool("traceprobe, raw", "udp", (), mode="linux_raw"),
    Tool("traceprobe, unprivileged", "udp", (), mode="linux_udp"),
    Tool("traceroute", "udp", _traceroute()),
    Tool("inetutils", "udp", _inetutils(), versions=(4,)),
    Tool("mtr", "udp", _mtr("--udp"), read_csv),
    Tool("scamper", "udp", _scamper("-P udp-paris")),
    Tool("traceprobe, raw", "tcp", (), mode="linux_raw"),
    Tool("traceprobe, unprivileged", "tcp", (), mode="linux_tcp"),
    Tool("traceroute", "tcp", _traceroute("-T", "-p", "80")),
    Tool("mtr", "tcp", _mtr("--tcp", "-P", "80"), read_csv),
)
"""inetutils' traceroute knows neither IPv6 nor TCP. scamper sends TCP probes as frames of Ethernet, and so
nothing at all through a TUN device: it has no column for TCP."""


def versions_of(internet: SimulatedInternet) -> list[str]:
    """The tools with their versions."""
    found = [f"traceprobe {traceprobe.__version__}"]
    for name, command in {
        "traceroute": ["traceroute", "--version"],
        "inetutils-traceroute": ["inetutils-traceroute", "--version"],
        "mtr": ["mtr", "--version"],
        "scamper": ["scamper", "-v"],
    }.items():
        if find_program(command[0]) is not None:
            finished = internet.run(command, check=False)
            number = re.search(r"\d+(\.\d+)+|\d{8}\w*", finished.stdout + finished.stderr)
            found.append(f"{name} {number[0] if number else '(which does not say)'}")
    return found
