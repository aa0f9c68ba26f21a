"""Has tshark read datagrams, and says what it objects to; it knows every protocol and trusts no checksum."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.rigs.capture import write_pcap
from tests.rigs.namespaces import PATIENCE, program
from tests.rigs.require import missing_program

if TYPE_CHECKING:
    from collections.abc import Sequence

_GOOD = "1"
"""https://www.wireshark.org/docs/dfref/u/udp.html: of 0 (bad), 1 (good), 2 (not verified) and more."""
_WARNING = 0x600000
"""Severity of expert information from which on it is an objection; notes say that a TTL is small."""
_CHECKSUMS = ("ip", "udp", "tcp", "icmp", "icmpv6")
_OPAQUE = ("udp.port==1-65535,data",)
"""What a probe carries behind its UDP header is nobody's protocol, whatever its port is registered for."""
_PREFERENCES = ("ip.check_checksum:TRUE", "udp.check_checksum:TRUE", "tcp.check_checksum:TRUE")


@dataclass(frozen=True)
class Dissection:
    """What tshark makes of one datagram."""

    protocols: tuple[str, ...]
    """From the outside in, such as ``ip``, ``udp``, ``data``."""
    checksums: dict[str, bool]
    """Whether each checksum that there is is good."""
    objections: tuple[str, ...]
    """Warnings and errors, malformed packets among them."""


def missing_tshark() -> str | None:
    """Why tshark can't be asked, or None if it can."""
    return missing_program("tshark")


def dissect(datagrams: Sequence[bytes]) -> list[Dissection]:
    """Read IP datagrams with tshark."""
    fields = ["frame.protocols", *(f"{name}.checksum.status" for name in _CHECKSUMS)]
    fields += ["_ws.expert.severity", "_ws.expert.message", "_ws.malformed"]
    with tempfile.TemporaryDirectory(prefix="traceprobe-rig-") as folder:
        file = Path(folder) / "capture.pcap"
        write_pcap(file, list(datagrams))
        command = [program("tshark"), "-n", "-r", str(file), "-T", "fields"]
        command += ["-E", "separator=/t", "-E", "aggregator=;", "-E", "quote=n", "-E", "occurrence=a"]
        for preference in _PREFERENCES:
            command += ["-o", preference]
        for rule in _OPAQUE:
            command += ["-d", rule]
        for field in fields:
            command += ["-e", field]
        finished = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    dissections = [_read(line.split("\t")) for line in finished.stdout.splitlines()]
    assert len(dissections) == len(datagrams), finished.stderr
    return dissections


def _read(values: list[str]) -> Dissection:
    protocols, *statuses = values[: 1 + len(_CHECKSUMS)]
    severities, messages, malformed = values[1 + len(_CHECKSUMS) :]
    objections = ["malformed"] if malformed else []
    if severities:
        worst = max(int(severity) for severity in severities.split(";"))
        if worst >= _WARNING:
            objections.append(messages)
    return Dissection(
        tuple(protocols.split(":")[1:]),
        {
            name: all(one == _GOOD for one in status.split(";"))
            for name, status in zip(_CHECKSUMS, statuses, strict=True)
            if status
        },
        tuple(objections),
    )
