"""Which SYN segments of a constant flow are to be sent again, because their destination was busy.

A host takes up one connection of a flow at a time: the SYN that comes first gets its SYN-ACK, and those
with other sequence numbers that come before the connection is reset again get nothing that names them
(RFC 9293 section 3.10.7.4; Linux sends an acknowledgement of the first, at most). That is no loss. When the
SYN-ACK has come, the kernel has reset the connection, and the next SYN of the flow finds the port free. So
the probes that went to the same place are sent again one by one, each when the one before is answered,
under identities of their own: whichever of its two segments is answered first, a probe's time is right.

Knows no socket and no packet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from traceprobe.model import PROBE_INDEX_BITS, ProbeId, Reply, ReplyKind, trace_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from ipaddress import IPv4Address, IPv6Address
    from typing import TypeAlias

    from traceprobe.model import Probe

    _Key: TypeAlias = tuple[int, IPv4Address | IPv6Address, int | None, int, int]
    """Trace, destination, its port, flow, and TTL."""

_AGAIN: Final = 1 << (PROBE_INDEX_BITS - 1)
"""The bit of an identity that no trace has so many probes to need: set in a probe that is sent again."""


class _Group:
    """Outstanding probes of one flow that go equally far, in the order in which they were sent."""

    __slots__ = ("key", "repeated", "waiting")

    def __init__(self, key: _Key) -> None:
        self.key = key
        self.waiting: dict[ProbeId, Probe] = {}
        self.repeated: set[ProbeId] = set()


class Handshakes:
    """Keeps account of the probes of one socket.

    Args:
        is_port_shared: Whether flows of equal number are one connection in whatever trace; otherwise each
            trace has connections of its own.
    """

    def __init__(self, *, is_port_shared: bool = False) -> None:
        self._is_port_shared = is_port_shared
        self._groups: dict[_Key, _Group] = {}
        self._group_of: dict[ProbeId, _Group] = {}

    def sent(self, probes: Iterable[Probe]) -> None:
        """Note probes that are sent for the first time."""
        for probe in probes:
            self._forget(probe.id)
            trace = 0 if self._is_port_shared else trace_of(probe.id)
            key = (trace, probe.destination, probe.port, probe.flow, probe.ttl)
            group = self._groups.get(key)
            if group is None:
                group = self._groups[key] = _Group(key)
            group.waiting[probe.id] = probe
            self._group_of[probe.id] = group

    def released(self, probes: Iterable[ProbeId]) -> list[ProbeId]:
        """Forget probes; return the identities that some of them have been sent again under."""
        return [again_id(probe) for probe in probes if self._forget(probe)]

    def read(self, replies: Sequence[Reply]) -> tuple[list[Reply], list[ProbeId], list[Probe]]:
        """Go through replies that have just come.

        Returns:
            The replies, each under the identity of the probe that it answers; the identities that probes were
            sent again under and that are of no use any more, since they were answered; the probes to send
            again.
        """
        named: list[Reply] = []
        useless: list[ProbeId] = []
        freed: dict[int, _Group] = {}
        for reply in replies:
            probe = ProbeId(reply.probe_id & ~_AGAIN)
            group = self._group_of.get(probe)
            if group is not None:
                if self._forget(probe):
                    useless.append(again_id(probe))
                if reply.kind is ReplyKind.SYN_ACK:
                    freed[id(group)] = group
            named.append(reply if reply.probe_id == probe else attrs.evolve(reply, probe_id=probe))
        return named, useless, [again for group in freed.values() if (again := _next_of(group)) is not None]

    def _forget(self, probe: ProbeId) -> bool:
        """Forget a probe; whether it has been sent again."""
        group = self._group_of.pop(probe, None)
        if group is None:
            return False
        del group.waiting[probe]
        if not group.waiting:
            self._groups.pop(group.key, None)
        if probe not in group.repeated:
            return False
        group.repeated.remove(probe)
        return True


def again_id(probe: ProbeId) -> ProbeId:
    """The identity that a probe is sent again under."""
    return ProbeId(probe | _AGAIN)


def _next_of(group: _Group) -> Probe | None:
    for probe in group.waiting.values():
        if probe.id not in group.repeated:
            group.repeated.add(probe.id)
            return attrs.evolve(probe, id=again_id(probe.id))
    return None
