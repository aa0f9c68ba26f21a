"""A probe on its way out: what the engine asks for, and what a socket reports of sending it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NewType

from traceprobe._frozen import frozen
from traceprobe.model._open import open_kind_of
from traceprobe.model._quick import build_quickly

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.errors import SendError

ProbeId = NewType("ProbeId", int)
"""Identity of a probe within one process: ``trace_id << PROBE_INDEX_BITS | index``. Never on the wire."""

PROBE_INDEX_BITS = 20
"""Low bits of a :data:`ProbeId` that number the probes of one trace."""


def make_probe_id(trace_id: int, index: int) -> ProbeId:
    """Identity of the ``index``-th probe of a trace."""
    return ProbeId(trace_id << PROBE_INDEX_BITS | index)


def trace_of(probe_id: ProbeId) -> int:
    """The trace that a probe belongs to."""
    return probe_id >> PROBE_INDEX_BITS


@frozen(weakref_slot=False)
class Probe:
    """One datagram to send. Sockets give it a wire identifier; the engine never sees that."""

    id: ProbeId
    destination: IPv4Address | IPv6Address
    ttl: int
    """TTL (IPv4) or hop limit (IPv6), 1 to 255."""
    attempt: int
    """Which probe of its hop this is, from 1."""
    flow: int = 0
    """Flow number: probes with equal numbers share a flow identifier where the mode can hold one."""
    size: int | None = None
    """Bytes, IP header included; None is the mode's default."""
    port: int | None = None
    """Destination port (first one, where the flow varies by port); None is the protocol's default."""
    timeout: float = 0.0
    """Seconds after which nobody waits for a reply any more."""


open_probe = open_kind_of(Probe)
"""Makes a :class:`Probe` without fields in innermost loops."""


@frozen(weakref_slot=False)
class SentProbe:
    """What became of sending one probe."""

    probe_id: ProbeId
    sent_ns: int
    """Monotonic clock just before it was handed to the kernel, nanoseconds."""
    sent_at_ns: int
    """Wall clock at the same moment, nanoseconds since the epoch."""
    source: IPv4Address | IPv6Address | None = None
    """Source address of the datagram, where the socket knows it."""
    error: SendError | None = None
    """Why the kernel refused it; None if it took it."""
    accepted_ns: int | None = None
    """Monotonic clock when the system call that handed it over returned, where the socket knows it."""


build_sent_probe = build_quickly(SentProbe)
"""Builds a :class:`SentProbe` in innermost loops."""
