"""A datagram ready but for its identifier, and what its replies must show and may differ in.

One template serves all probes of a trace with the same flow and size; it holds numbers and bytes that are
worked out once, so that sending and matching a probe cost a few stores and comparisons.
"""

from __future__ import annotations

from array import array
from struct import unpack
from sys import byteorder
from typing import TYPE_CHECKING, Final, NamedTuple

from traceprobe.config import AddressFamily
from traceprobe.model import PROBE_INDEX_BITS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.model import Probe

TRANSPORT_HEADER: Final = 8
"""Bytes of an ICMP echo header (RFC 792) and of a UDP header (RFC 768)."""

COOKIE_SIZE: Final = 4
"""Bytes at the head of every token that are the same for all probes of a socket, so that a filter in the
kernel can know its packets even if a translator has changed their identifiers."""

TOKEN_SIZE: Final = COOKIE_SIZE + 8
"""Bytes of the token: the cookie, and 64 bits for each trace, beyond guessing within the life of a probe."""

BALANCE_SIZE: Final = 2
"""Bytes of the word that keeps the checksum where it shall be."""

IP_HEADER: Final = {AddressFamily.IPV4: 20, AddressFamily.IPV6: 40}
DEFAULT_SIZE: Final = {AddressFamily.IPV4: 60, AddressFamily.IPV6: 80}


class SentHeader(NamedTuple):
    """What a socket knows of the IP header that its kernel puts in front of each probe.

    None is what it does not know: changes of that are not reported, since they could be the kernel's.
    """

    traffic_class: int | None = None
    """DSCP and ECN bits (RFC 2474, RFC 3168)."""
    dont_fragment: bool | None = None
    """IPv4 only."""
    identification: int | None = None
    """IPv4 only."""


class Template:
    """A datagram ready but for its identifier."""

    __slots__ = (
        "address",
        "base",
        "buffer",
        "destination",
        "header_sum",
        "key",
        "label",
        "packed",
        "port",
        "probes",
        "quote",
        "source",
        "source_number",
        "tail",
        "token",
        "token_end",
    )

    def __init__(
        self,
        key: tuple[int, int, int, int],
        destination: IPv4Address | IPv6Address,
        source: IPv4Address | IPv6Address | None,
        port: int,
        buffer: bytearray,
        label: int | None,
    ) -> None:
        self.key = key
        self.destination = destination
        self.address = int(destination)
        """The destination as packets show it: without the zone of a link-local address."""
        self.packed = destination.packed
        """The same, as bytes."""
        self.source = source
        self.source_number = None if source is None else int(source)
        self.port = port
        self.token = b""
        """The token, as much of it as the packet has room for."""
        self.token_end = len(buffer)
        """Where the payload begins that identifies nothing."""
        self.buffer = buffer
        self.label = label
        """IPv6 flow label (the first one, where it varies); None if the kernel chooses."""
        self.tail: bytes | None = None
        """What stands from there on, once somebody has asked for it."""
        self.header_sum = 0
        """Sum of what never changes in the IPv4 header, which is never 0, once somebody has asked for it."""
        self.quote: tuple[bytes | int, ...] | None = None
        """What an error that changes nothing shows of the IP header, once somebody has asked for it."""
        self.base = 0
        """Ones' complement sum of everything but the identifier and the balancing word."""
        self.probes = 0
        """How many identifiers refer to this template, resting ones included."""

    @property
    def flow(self) -> int:
        """The flow number."""
        return self.key[1]

    def fill(self, start: int, pattern: bytes) -> None:
        """Repeat a pattern from an offset to the end."""
        room = len(self.buffer) - start
        if room > 0 and pattern:
            self.buffer[start:] = (pattern * (room // len(pattern) + 1))[:room]


def copies(buffer: bytearray, count: int, *columns: tuple[int, list[int]]) -> list[bytes]:
    """Copies of a datagram, each with some words of its own.

    Args:
        buffer: What they are copies of.
        count: How many.
        columns: Where in it a word stands, an even offset, and which it is in each copy.
    """
    size = len(buffer)
    padding = size & 1
    room = bytearray((buffer + bytes(padding)) * count)
    words = memoryview(room).cast("H")
    for place, values in columns:
        column = array("H", values)
        if byteorder == "little":
            column.byteswap()
        words[place // 2 :: (size + padding) // 2] = column
    return list(unpack(f"{size}s{'x' * padding}" * count, room))


def are_alike(probes: Sequence[Probe]) -> bool:
    """Whether all probes take one route and are made from one template, as those of most batches are."""
    first = probes[0]
    trace, destination = first.id >> PROBE_INDEX_BITS, first.destination
    flow, size, port = first.flow, first.size, first.port
    for probe in probes:
        if (
            # Probes of a trace share one address object; comparing two costs ten times as much.
            probe.destination is not destination
            or probe.id >> PROBE_INDEX_BITS != trace
            or probe.flow != flow
            or probe.size != size
            or probe.port != port
        ):
            return False
    return True


def end_of_run(probes: Sequence[Probe], start: int) -> int:
    """Where the probes end that are made from the same template as the first."""
    first = probes[start]
    trace, destination = first.id >> PROBE_INDEX_BITS, first.destination
    flow, size, port = first.flow, first.size, first.port
    place = start
    for probe in probes[start:]:
        other = probe.destination
        if (
            # Probes of a trace share one address object; comparing two costs ten times as much.
            (other is not destination and other != destination)
            or probe.id >> PROBE_INDEX_BITS != trace
            or probe.flow != flow
            or probe.size != size
            or probe.port != port
        ):
            return place
        place += 1
    return place
