"""Which SYN segments of a constant flow are to be sent again, because their destination was busy.

A host takes up one connection of a flow at a time: the SYN that comes first gets its SYN-ACK, and those
with other sequence numbers that come before the connection is reset again get nothing that names them
(RFC 9293 section 3.10.7.4; Linux sends an acknowledgement of the first, at most). That is no loss. When a
SYN-ACK has come, the kernel has reset the connection, and the next SYN of the flow finds the port free. So
the probes that went just as far are sent again one by one, each when some SYN-ACK has come, under
identities of their own: whichever of its segments is answered first, a probe's time is right.

It may be the SYN-ACK of a probe that nobody waits for any more, such as one of those that were sent beyond
the destination before it was found. While the destination was busy with that one, what was sent again has
come to nothing, and is sent once more.

Knows no socket and no packet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from traceprobe.model import PROBE_INDEX_BITS, ProbeId, Reply, ReplyKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from traceprobe.model import Probe

Connection: TypeAlias = tuple[int, int, int]
"""Source port, destination address as a number, and its port."""

_REPEAT_BITS: Final = 3
_REPEAT_AT: Final = PROBE_INDEX_BITS - _REPEAT_BITS
_REPEATS: Final = ((1 << _REPEAT_BITS) - 1) << _REPEAT_AT
"""Bits of an identity that no trace has so many probes to need; they count how often it was sent again."""
MOST_REPEATS: Final = (1 << _REPEAT_BITS) - 1


class _Group:
    """Outstanding probes of one connection, in the order in which they were sent."""

    __slots__ = ("connection", "distance", "repeated", "waiting")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.waiting: dict[ProbeId, Probe] = {}
        self.repeated: dict[ProbeId, int] = {}
        """How often those have been sent again that have been."""
        self.distance: int | None = None
        """The lowest TTL that has come as far as the destination."""


class Handshakes:
    """Keeps account of the probes of one socket.

    Args:
        connection_of: Tells the connection that a probe would open.
    """

    def __init__(self, connection_of: Callable[[Probe], Connection]) -> None:
        self._connection_of = connection_of
        self._groups: dict[Connection, _Group] = {}
        self._group_of: dict[ProbeId, _Group] = {}

    def sent(self, probes: Iterable[Probe]) -> None:
        """Note probes that are sent for the first time."""
        for probe in probes:
            self._forget(probe.id)
            connection = self._connection_of(probe)
            group = self._groups.get(connection)
            if group is None:
                group = self._groups[connection] = _Group(connection)
            group.waiting[probe.id] = probe
            self._group_of[probe.id] = group

    def released(self, probes: Iterable[ProbeId]) -> list[ProbeId]:
        """Forget probes; return the identities that some of them have been sent again under."""
        return [again for probe in probes for again in self._forget(probe)]

    def read(
        self, replies: Sequence[Reply], freed: Iterable[Connection] = ()
    ) -> tuple[list[Reply], list[ProbeId], list[Probe]]:
        """Go through replies that have just come.

        Args:
            replies: The replies.
            freed: Connections that SYN-ACKs have come of to probes which had been given up.

        Returns:
            The replies, each under the identity of the probe that it answers; the identities that probes were
            sent again under and that are of no use any more, since they were answered; the probes to send
            again.
        """
        named: list[Reply] = []
        useless: list[ProbeId] = []
        free = {connection: group for connection in freed if (group := self._groups.get(connection))}
        for reply in replies:
            probe = ProbeId(reply.probe_id & ~_REPEATS)
            group = self._group_of.get(probe)
            if group is not None:
                if reply.kind is ReplyKind.SYN_ACK:
                    ttl, before = group.waiting[probe].ttl, group.distance
                    group.distance = ttl if before is None else min(ttl, before)
                    free[group.connection] = group
                useless += self._forget(probe)
            named.append(reply if reply.probe_id == probe else attrs.evolve(reply, probe_id=probe))
        return named, useless, [again for group in free.values() if (again := _next_of(group)) is not None]

    def _forget(self, probe: ProbeId) -> list[ProbeId]:
        """Forget a probe; the identities that it has been sent again under."""
        group = self._group_of.pop(probe, None)
        if group is None:
            return []
        del group.waiting[probe]
        if not group.waiting:
            del self._groups[group.connection]
        return [again_id(probe, number) for number in range(1, group.repeated.pop(probe, 0) + 1)]


def again_id(probe: ProbeId, number: int = 1) -> ProbeId:
    """The identity that a probe is sent again under, by how often that has happened with this time."""
    return ProbeId(probe | number << _REPEAT_AT)


def _next_of(group: _Group) -> Probe | None:
    """The probe to send again when the destination is free: of the nearest, the one with fewest chances."""
    repeated = group.repeated
    nearest = (probe for probe in group.waiting.values() if probe.ttl == group.distance)
    probe = min(nearest, key=lambda probe: repeated.get(probe.id, 0), default=None)
    if probe is None or repeated.get(probe.id, 0) == MOST_REPEATS:
        return None
    number = repeated[probe.id] = repeated.get(probe.id, 0) + 1
    return attrs.evolve(probe, id=again_id(probe.id, number))
