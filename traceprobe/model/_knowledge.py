"""What is known of an address beyond its round trips: names, networks, its part of the path.

All text in here comes from the network or from files, and is hostile until shown otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprobe._frozen import frozen
from traceprobe.model._open import open_kind_of

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.model._networks import Asn, Exchange, Segment, SegmentReason


@frozen
class EnrichmentError:
    """A look-up that failed: something may be missing that it would have told."""

    enricher: str
    """Name of the enricher."""
    reason: str


@frozen
class Knowledge:
    """What look-ups have found out about one address; None is absent knowledge, never a guess."""

    hostname: str | None = None
    asn: Asn | None = None
    segment: Segment | None = None
    segment_reason: SegmentReason | None = None
    country: str | None = None
    """Where the address is said to be: two letters (ISO 3166-1)."""
    city: str | None = None
    exchange: Exchange | None = None
    announced: bool | None = None
    """Whether anybody announces the address; False was looked up, None wasn't."""
    errors: tuple[EnrichmentError, ...] = ()
    """Look-ups that failed."""

    def merged(self, other: Knowledge) -> Knowledge:
        """This knowledge, with what only ``other`` knows filled in, and the errors of both.

        A segment and its reason, a country and its city come from the same side: one of each alone would
        say something that nobody has found out.
        """
        placed = self if self.country is not None or self.city is not None else other
        sorted_out = self if self.segment is not None else other
        asn, announced = (
            self.asn or other.asn,
            self.announced if self.announced is not None else other.announced,
        )
        if self.asn is not None and other.asn is not None:
            asn = self.asn.merged(other.asn)
        return Knowledge(
            hostname=self.hostname if self.hostname is not None else other.hostname,
            asn=asn,
            segment=sorted_out.segment,
            segment_reason=sorted_out.segment_reason,
            country=placed.country,
            city=placed.city,
            exchange=self.exchange if self.exchange is not None else other.exchange,
            announced=True if asn is not None else announced,
            errors=(*self.errors, *(error for error in other.errors if error not in self.errors)),
        )


NOTHING_KNOWN = Knowledge()


@frozen(weakref_slot=False)
class Responder:
    """One address that answered at a hop, and what is known of it."""

    address: IPv4Address | IPv6Address
    replies: int
    knowledge: Knowledge = NOTHING_KNOWN

    @property
    def hostname(self) -> str | None:
        """Name of the address, as the network told it: hostile until shown otherwise."""
        return self.knowledge.hostname

    @property
    def asn(self) -> Asn | None:
        """Autonomous system of the address."""
        return self.knowledge.asn

    @property
    def announced(self) -> bool | None:
        """Whether anybody announces the address; False was looked up, None wasn't."""
        return self.knowledge.announced

    @property
    def segment(self) -> Segment | None:
        """Part of the path that the address belongs to."""
        return self.knowledge.segment

    @property
    def segment_reason(self) -> SegmentReason | None:
        """Why it is taken for that part."""
        return self.knowledge.segment_reason

    @property
    def country(self) -> str | None:
        """Where the address is said to be: two letters (ISO 3166-1)."""
        return self.knowledge.country

    @property
    def city(self) -> str | None:
        """Where the address is said to be."""
        return self.knowledge.city

    @property
    def exchange(self) -> Exchange | None:
        """Internet exchange whose peering network the address is in."""
        return self.knowledge.exchange

    @property
    def enrichment_errors(self) -> tuple[EnrichmentError, ...]:
        """Look-ups of the address that failed."""
        return self.knowledge.errors


open_responder = open_kind_of(Responder)
"""Makes a :class:`Responder` without fields in innermost loops."""
