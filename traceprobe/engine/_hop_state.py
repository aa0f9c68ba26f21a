"""One TTL while its trace runs: its probes, what they have shown, and whether anything is still open.

Owns the bookkeeping of a single hop. Knows neither the hops around it nor where the path ends.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

import attr

from traceprobe.engine._results import results_of
from traceprobe.engine._states import SENT
from traceprobe.model import NOTHING_KNOWN, Hop, ReplyKind, answers_for
from traceprobe.model._hop import hop_of_one

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.engine._states import ProbeRecord
    from traceprobe.model import Knowledge, Reply


class Meaning(Enum):
    """What a reply says about where the path goes."""

    ON_THE_WAY = auto()
    """The TTL ran out here: the path goes on."""
    DESTINATION = auto()
    """The destination has answered."""
    UNREACHABLE = auto()
    """Somebody says that nothing goes beyond."""


def meaning_of(reply: Reply, destination: IPv4Address | IPv6Address) -> Meaning:
    """Tell what a reply means."""
    if reply.kind is ReplyKind.TIME_EXCEEDED:
        return Meaning.ON_THE_WAY
    if answers_for(destination, reply.kind, reply.address):
        return Meaning.DESTINATION
    return Meaning.UNREACHABLE


_ON_THE_WAY: Final = Meaning.ON_THE_WAY


class HopState:
    """What is known of one TTL so far."""

    __slots__ = (
        "accepted_ns",
        "address",
        "announced",
        "announced_as",
        "answered",
        "gave_up",
        "mixed",
        "on_the_way",
        "pending",
        "quotes_zero",
        "records",
        "settled",
        "settled_ns",
        "shown",
        "shown_forwarding_zero",
        "ttl",
        "unreachable",
    )

    ttl: int
    records: list[ProbeRecord]
    pending: int
    """How many probes have not ended yet."""
    answered: int
    gave_up: bool
    """Some probe was given up; it may have been answered after all."""
    on_the_way: bool
    """Some probe's TTL ran out here."""
    unreachable: bool
    """Some probe was said to get nowhere from here."""
    address: IPv4Address | IPv6Address | None
    """Who has answered first."""
    mixed: bool
    """More than one address has answered, or an answer is no time-exceeded."""
    quotes_zero: bool
    """Every answer is a time-exceeded that quotes a TTL of 0."""
    accepted_ns: int
    """When the destination last accepted a connection here; its other probes are waited for from then on.

    Of all SYN segments of one flow that reach it at the same time, a host answers one. The others may
    have been sent again when it had, so they are given as long again.
    """
    settled: bool
    """Every probe has ended, and no other will be sent."""
    settled_ns: int
    """When the last of them ended."""
    announced: bool
    announced_as: Hop | None
    """What was announced, if anybody has asked, or if it has changed since."""
    shown_forwarding_zero: bool
    """What was last announced of it: that the router here forwards what has no TTL left."""
    shown: Hop | None
    """The hop as it stands, if nothing has changed since it was last looked at."""

    @classmethod
    def each(cls, ttls: Iterable[int], records: list[ProbeRecord], queries: int) -> list[HopState]:
        """The hops of a path before anything is sent; made in place, as their probes are by ``plan``.

        Args:
            ttls: Theirs.
            records: Their probes, in TTL-major order.
            queries: How many of them each hop has.
        """
        hops: list[HopState] = []
        first = 0
        for ttl in ttls:
            hop = cls()
            hop.ttl = ttl
            hop.records = records[first : first + queries]
            hop.pending = queries
            hop.gave_up = hop.on_the_way = hop.unreachable = hop.mixed = hop.quotes_zero = False
            hop.settled = hop.announced = hop.shown_forwarding_zero = False
            hop.answered = hop.accepted_ns = hop.settled_ns = 0
            hop.address = hop.announced_as = hop.shown = None
            hops.append(hop)
            first += queries
        return hops

    def add(self, record: ProbeRecord) -> None:
        """One more probe for this hop."""
        self.records.append(record)
        self.pending += 1
        self.shown = None

    def withdraw(self, record: ProbeRecord) -> None:
        """A probe that was added and never handed out is not needed after all."""
        self.records.remove(record)
        self.pending -= 1
        self.shown = None

    def ended(self, moment_ns: int) -> None:
        """A pending probe has ended."""
        self.pending -= 1
        self.shown = None
        if moment_ns > self.settled_ns:
            self.settled_ns = moment_ns

    def changed(self) -> None:
        """A probe was cancelled, or more is known of one that has ended."""
        self.shown = None

    def answer(self, reply: Reply, meaning: Meaning, *, awaited: bool) -> bool:
        """Note what a probe's first reply shows.

        Args:
            reply: The reply.
            meaning: What it says of the path.
            awaited: The probe was outstanding: it has ended by this. A hop that has been answered is not
                silent, so that it has settled when nothing more is awaited of it.

        Returns:
            Whether it may tell where the path goes; False for one that says what the hop's first one did.
        """
        self.shown = None
        self.answered += 1
        received_ns = reply.received_ns
        if received_ns > self.settled_ns:
            self.settled_ns = received_ns
        if awaited:
            self.pending -= 1
            if not self.pending:
                self.settled = True
        first, address = self.address, reply.address
        on_the_way = meaning is _ON_THE_WAY
        zero = on_the_way and reply.quoted_ttl == 0
        if first is None:
            self.address = address
            same = True
        else:
            # Objects of one address are mostly one object, and comparing their values is slow.
            same = address is first or address == first
        if on_the_way:
            if same and self.on_the_way and zero is self.quotes_zero:
                return False
            self.on_the_way = True
            self.quotes_zero = zero and (self.quotes_zero or self.answered == 1)
            if not same:
                self.mixed = True
            return True
        self.quotes_zero = False
        self.mixed = True
        if meaning is Meaning.UNREACHABLE:
            self.unreachable = True
        elif reply.kind is ReplyKind.SYN_ACK and received_ns > self.accepted_ns:
            self.accepted_ns = received_ns
        return True

    @property
    def silent(self) -> bool:
        """Whether probes were sent and given up, and none was answered."""
        return self.gave_up and not self.answered

    @property
    def loop_address(self) -> IPv4Address | IPv6Address | None:
        """The one router that the TTL of every answered probe ran out at; None if there is no such."""
        return None if self.mixed else self.address

    def outstanding(self) -> list[ProbeRecord]:
        """The probes that a reply is awaited of."""
        return [record for record in self.records if record.state is SENT] if self.pending else []

    def awaited_since_ns(self, *, in_order: bool) -> int | None:
        """From when on the oldest outstanding probe is waited for; None if none is outstanding.

        Args:
            in_order: Probes were sent in the order in which they are listed.
        """
        earliest: int | None = None
        for record in self.records:
            if record.state is SENT and (earliest is None or _sent_ns(record) < earliest):
                earliest = _sent_ns(record)
                if in_order:
                    break
        return max(earliest, self.accepted_ns) if earliest is not None and self.accepted_ns else earliest

    def hop(self, knowledge: Mapping[IPv4Address | IPv6Address, Knowledge] | None) -> Hop:
        """The hop as it stands: the probes that have ended. Built once for each change."""
        shown = self.shown
        if shown is None:
            ended = results_of(self.records)
            if self.address is not None and self.answered == len(ended) and not self.mixed:
                shown = hop_of_one(self.ttl, ended, self.address)
            else:
                shown = Hop.from_probes(self.ttl, ended)
            self.shown = shown
        if not knowledge or not shown.responders:
            return shown
        responders = tuple(
            attr.evolve(responder, knowledge=knowledge.get(responder.address, NOTHING_KNOWN))
            for responder in shown.responders
        )
        return attr.evolve(shown, responders=responders)


def _sent_ns(record: ProbeRecord) -> int:
    assert record.sent_ns is not None
    return record.sent_ns
