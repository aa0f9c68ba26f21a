"""What is known of one hop: its probes, its responders and their round-trip times."""

from __future__ import annotations

import math
from collections import Counter
from enum import StrEnum
from operator import attrgetter
from typing import TYPE_CHECKING, cast

from traceprobe._frozen import frozen
from traceprobe.model._knowledge import NOTHING_KNOWN, Responder, open_responder
from traceprobe.model._open import open_kind_of
from traceprobe.model._route_facts import forward_path_length, return_path_length, translated

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.model._extension_objects import ExtensionObject, InterfaceInformation, MplsLabel
    from traceprobe.model._knowledge import EnrichmentError, Knowledge
    from traceprobe.model._networks import Asn, Exchange, Segment, SegmentReason
    from traceprobe.model._reply import Change, ReplyKind, TimestampSource

_NS_PER_SECOND = 1_000_000_000


def wall_time(ns: int) -> datetime:
    """Nanoseconds since the epoch as an aware ``datetime`` in UTC, exact to the microsecond."""
    from datetime import UTC, datetime, timedelta

    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1000)


class ProbeStatus(StrEnum):
    """How a probe ended."""

    REPLY = "reply"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    SEND_ERROR = "send_error"


@frozen(weakref_slot=False)
class ProbeResult:
    """How one probe ended, and what its reply said."""

    attempt: int
    """Which probe of its hop, from 1."""
    flow: int
    status: ProbeStatus
    late: bool = False
    """The reply came after the probe had been given up."""
    address: IPv4Address | IPv6Address | None = None
    rtt_ns: int | None = None
    sent_at_ns: int | None = None
    """Wall clock when it left, nanoseconds since the epoch, whole microseconds; None if never sent."""
    waited_ns: int | None = None
    """How long a reply was waited for, if none came."""
    timestamp_source: TimestampSource | None = None
    reply: ReplyKind | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    reply_ttl: int | None = None
    quoted_ttl: int | None = None
    mtu: int | None = None
    mpls: tuple[MplsLabel, ...] = ()
    interfaces: tuple[InterfaceInformation, ...] = ()
    """What the responder tells about its interfaces (RFC 5837)."""
    extensions: tuple[ExtensionObject, ...] = ()
    """Extension objects of kinds that have no field of their own here."""
    changes: tuple[Change, ...] = ()
    """What the path did to the probe, as far as the mode can see the quote."""
    error: str | None = None
    """Why the kernel refused to send it: the symbolic error number, such as ``ENETUNREACH``."""

    @property
    def rtt(self) -> float | None:
        """Round-trip time in seconds."""
        return None if self.rtt_ns is None else self.rtt_ns / _NS_PER_SECOND

    @property
    def return_path_length(self) -> int | None:
        """How many hops the reply came, by its TTL and the usual initial ones; None if that is unknown."""
        return return_path_length(self.reply_ttl)

    @property
    def sent_at(self) -> datetime | None:
        """When it left the machine (UTC)."""
        return None if self.sent_at_ns is None else wall_time(self.sent_at_ns)


open_probe_result = open_kind_of(ProbeResult)
"""Makes a :class:`ProbeResult` without fields in innermost loops."""


@frozen
class RttStatistics:
    """Round-trip times of one hop, in seconds; ``stddev`` is the population's."""

    min: float
    avg: float
    max: float
    stddev: float

    @classmethod
    def of(cls, rtts_ns: Iterable[int]) -> RttStatistics | None:
        """Summarise round-trip times given in nanoseconds; None if there are none."""
        values = list(rtts_ns)
        if not values:
            return None
        mean = sum(values) / len(values)
        deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
        return cls(
            min(values) / _NS_PER_SECOND,
            mean / _NS_PER_SECOND,
            max(values) / _NS_PER_SECOND,
            deviation / _NS_PER_SECOND,
        )


@frozen(weakref_slot=False)
class Hop:
    """One hop of a path. Silent if ``address`` is None.

    Attributes:
        ttl: TTL or hop limit of its probes.
        probes: One result for each probe, by attempt.
        responders: Who answered, most replies first, ties by the earliest attempt.
        ttl_zero_forwarding: The router here forwards what has no TTL left, and the next one has answered for
            it: who answered here is the next hop, quoting a TTL of 0.
    """

    ttl: int
    probes: tuple[ProbeResult, ...]
    responders: tuple[Responder, ...] = ()
    ttl_zero_forwarding: bool = False

    @classmethod
    def from_probes(
        cls,
        ttl: int,
        probes: Iterable[ProbeResult],
        knowledge: Mapping[IPv4Address | IPv6Address, Knowledge] | None = None,
        *,
        ttl_zero_forwarding: bool = False,
    ) -> Hop:
        """Build a hop out of its probes and what is known of the addresses that answered."""
        ordered = tuple(probes)
        if len(ordered) > 1:
            ordered = tuple(sorted(ordered, key=attrgetter("attempt")))
        known = knowledge or {}
        # Counter keeps the order of first appearance, and most_common is stable: ties go to the
        # earliest attempt.
        counted = Counter(probe.address for probe in ordered if probe.address is not None)
        responders = tuple(
            Responder(address, replies, known.get(address, NOTHING_KNOWN))
            for address, replies in counted.most_common()
        )
        return cls(ttl, ordered, responders, ttl_zero_forwarding)

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """The most frequent responder; None if the hop is silent."""
        return self.responders[0].address if self.responders else None

    @property
    def addresses(self) -> tuple[IPv4Address | IPv6Address, ...]:
        """Every responder."""
        return tuple(responder.address for responder in self.responders)

    @property
    def hostname(self) -> str | None:
        """Name of ``address``."""
        return self.responders[0].hostname if self.responders else None

    @property
    def asn(self) -> Asn | None:
        """Autonomous system of ``address``."""
        return self.responders[0].asn if self.responders else None

    @property
    def announced(self) -> bool | None:
        """Whether anybody announces ``address``; False was looked up, None wasn't."""
        return self.responders[0].announced if self.responders else None

    @property
    def segment(self) -> Segment | None:
        """Part of the path that ``address`` belongs to."""
        return self.responders[0].segment if self.responders else None

    @property
    def segment_reason(self) -> SegmentReason | None:
        """Why ``address`` is taken for that part."""
        return self.responders[0].segment_reason if self.responders else None

    @property
    def country(self) -> str | None:
        """Where ``address`` is said to be: two letters (ISO 3166-1)."""
        return self.responders[0].country if self.responders else None

    @property
    def city(self) -> str | None:
        """Where ``address`` is said to be."""
        return self.responders[0].city if self.responders else None

    @property
    def exchange(self) -> Exchange | None:
        """Internet exchange whose peering network ``address`` is in."""
        return self.responders[0].exchange if self.responders else None

    @property
    def enrichment_errors(self) -> tuple[EnrichmentError, ...]:
        """Look-ups of any of its addresses that failed, each thing once."""
        errors = (error for responder in self.responders for error in responder.enrichment_errors)
        return tuple(dict.fromkeys(errors))

    @property
    def sent(self) -> int:
        """Probes that count: those sent, but for the ones that were cancelled."""
        return sum(p.status in {ProbeStatus.REPLY, ProbeStatus.TIMEOUT} for p in self.probes)

    @property
    def received(self) -> int:
        """Probes that were answered, late ones included."""
        return sum(p.status is ProbeStatus.REPLY for p in self.probes)

    @property
    def loss(self) -> float | None:
        """Share of the probes that count which no reply came for, 0.0 to 1.0; None if none counts."""
        return None if not self.sent else (self.sent - self.received) / self.sent

    @property
    def statistics(self) -> RttStatistics | None:
        """Round-trip times of the hop; None if it is silent."""
        return RttStatistics.of(p.rtt_ns for p in self.probes if p.rtt_ns is not None)

    @property
    def rtt(self) -> float | None:
        """Fastest round-trip time in seconds; None if the hop is silent."""
        return None if self.statistics is None else self.statistics.min

    @property
    def nat(self) -> bool | None:
        """Whether probes had gone through an address translator before they ended here.

        It is so for every hop behind the translator. None where no reply shows the probe's headers: nothing
        answered, only echo replies did, or the mode can't see them.
        """
        return translated(self.probes)

    @property
    def forward_path_length(self) -> int | None:
        """How many hops away who answered is, by the TTL that an error other than time-exceeded quotes.

        Less than ``ttl`` where the path is shorter than that. None where it can't be told.
        """
        return forward_path_length(self.ttl, self.probes)

    def __lt__(self, other: object) -> bool:
        """Whether this hop is nearer than another one."""
        if not isinstance(other, Hop):
            return NotImplemented
        return self.ttl < other.ttl

    def __str__(self) -> str:
        """One line: ``7  192.0.2.1  1.25 ms  (2 of 3 answered)``."""
        if self.address is None or self.rtt is None:
            return f"{self.ttl}  *"
        line = f"{self.ttl}  {printable(str(self.address))}  {self.rtt * 1000:.3f} ms"
        return line if self.received == self.sent else f"{line}  ({self.received} of {self.sent} answered)"


def printable(text: str) -> str:
    """A line that no terminal obeys: the zone of an address, and a target, may hold anything."""
    return text if text.isprintable() else "".join(one if one.isprintable() else "?" for one in text)


_open_hop = open_kind_of(Hop)


def hop_of_one(ttl: int, probes: tuple[ProbeResult, ...], address: IPv4Address | IPv6Address) -> Hop:
    """The ordinary hop: one router, of which nothing is known yet, has answered every probe.

    Args:
        ttl: TTL or hop limit of the probes.
        probes: What became of them, by attempt.
        address: The router's.
    """
    responder = open_responder()
    responder.address = address
    responder.replies = len(probes)
    responder.knowledge = NOTHING_KNOWN
    responder.__class__ = Responder
    hop = _open_hop()
    hop.ttl = ttl
    hop.probes = probes
    hop.responders = (responder,)
    hop.ttl_zero_forwarding = False
    hop.__class__ = Hop
    return cast("Hop", hop)
