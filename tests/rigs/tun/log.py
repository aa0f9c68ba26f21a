"""The simulated internet's log of ground truth: when each probe came and each reply left.

Times are nanoseconds; ``realtime_ns`` is the clock that the kernel stamps packets by. The layout is that
of ``struct record`` in ``record.h``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from tests.rigs.tun.scenario import FAULTS

if TYPE_CHECKING:
    from traceprobe.testing.topology import FaultKind

_RECORD = struct.Struct("=QqqqBBBBBBBBhhHHHHHHI16s16sII4x")
_PROBE = 1


class Outcome(IntEnum):
    """What became of a probe; ``enum outcome`` in ``record.h``."""

    ANSWERED = 0
    SILENT = 1
    LOST_FORWARD = 2
    LOST_REPLY = 3
    RATE_LIMITED = 4
    NO_PATH = 5
    BAD_CHECKSUM = 6
    IGNORED = 7


@dataclass(frozen=True, slots=True)
class ReplyRecord:
    """A reply that left."""

    probe: int
    """Number of the probe that it answers."""
    monotonic_ns: int
    """When it left; the kernel had it in its hands at once."""
    realtime_ns: int
    due_ns: int
    """When it should have left, on the monotonic clock."""
    address: IPv4Address | IPv6Address
    station: int
    """How many hops away the responder is."""
    icmp_type: int | None
    """None for UDP data and TCP segments."""
    icmp_code: int | None
    ttl: int
    """TTL that it arrives with."""
    fault: FaultKind | None
    length: int
    error: int
    """What the write failed with, 0 if it didn't."""
    forgery: int = 0
    """The number of the forgery that it is, counted from 1; 0 if it is true."""


@dataclass(frozen=True, slots=True)
class ProbeRecord:
    """A datagram that came from the prober."""

    number: int
    """In the order of arrival, from 0."""
    monotonic_ns: int
    realtime_ns: int
    version: int
    protocol: int
    """As in the IP header: 1, 6, 17 or 58."""
    ttl: int
    traffic_class: int
    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    identifier: int
    """Of an echo request; the source port of UDP and TCP."""
    sequence: int
    """Of an echo request; the destination port of UDP and TCP."""
    checksum: int
    checksum_right: bool
    label: int
    """IPv6 flow label, or IPv4 identification."""
    segment: int
    """Sequence number of TCP; 0 for the others."""
    length: int
    outcome: Outcome
    station: int
    """How far it came; 0 if no path leads to its destination."""
    replies: list[ReplyRecord] = field(default_factory=list)
    forgeries: list[ReplyRecord] = field(default_factory=list)
    """What others made of it."""

    @property
    def hold_ns(self) -> int:
        """From its arrival until its first reply left: the round trip without the prober's own share."""
        return self.replies[0].monotonic_ns - self.monotonic_ns


@dataclass(frozen=True)
class Log:
    """What came and what left since the network began, in that order."""

    probes: list[ProbeRecord]
    replies: list[ReplyRecord]
    """The true ones."""
    forgeries: list[ReplyRecord]
    ignored: list[ProbeRecord]
    """What the prober's kernel sent beside probes."""


def parse_log(data: bytes) -> Log:
    """Read a log that the simulated internet has written."""
    log = Log([], [], [], [])
    numbered: dict[int, ProbeRecord] = {}
    orphans: list[ReplyRecord] = []
    for values in _RECORD.iter_unpack(data):
        (number, monotonic_ns, realtime_ns, due_ns, kind, version, protocol, ttl, traffic_class) = values[:9]
        (outcome, station, fault, icmp_type, icmp_code, identifier, sequence) = values[9:16]
        (checksum, checksum_right, length, error, label, source, destination) = values[16:23]
        tcp_sequence, forgery = values[23:]
        if kind == _PROBE:
            probe = ProbeRecord(
                number=number,
                monotonic_ns=monotonic_ns,
                realtime_ns=realtime_ns,
                version=version,
                protocol=protocol,
                ttl=ttl,
                traffic_class=traffic_class,
                source=_address(version, source),
                destination=_address(version, destination),
                identifier=identifier,
                sequence=sequence,
                checksum=checksum,
                checksum_right=bool(checksum_right),
                label=label,
                segment=tcp_sequence,
                length=length,
                outcome=Outcome(outcome),
                station=station,
            )
            if probe.outcome is Outcome.IGNORED:
                log.ignored.append(probe)
            else:
                log.probes.append(probe)
                numbered[number] = probe
        else:
            orphans.append(
                ReplyRecord(
                    probe=number,
                    monotonic_ns=monotonic_ns,
                    realtime_ns=realtime_ns,
                    due_ns=due_ns,
                    address=_address(version, source),
                    station=station,
                    icmp_type=None if icmp_type < 0 else icmp_type,
                    icmp_code=None if icmp_type < 0 else icmp_code,
                    ttl=ttl,
                    fault=FAULTS[fault],
                    length=length,
                    error=error,
                    forgery=forgery,
                )
            )
    for reply in orphans:
        of_log, of_probe = (
            (log.forgeries, numbered[reply.probe].forgeries)
            if reply.forgery
            else (log.replies, numbered[reply.probe].replies)
        )
        of_log.append(reply)
        of_probe.append(reply)
    return log


def _address(version: int, data: bytes) -> IPv4Address | IPv6Address:
    return IPv6Address(data) if version == 6 else IPv4Address(data[:4])
