"""What is known of an address beyond its round trips: names, networks, its part of the path."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address


class Segment(StrEnum):
    """Which part of the path a responder belongs to."""

    LAN = "LAN"
    ISP = "ISP"
    TRANSIT = "TRANSIT"
    DESTINATION = "DESTINATION"
    UNKNOWN = "UNKNOWN"


@attrs.frozen
class Asn:
    """The autonomous system that announces an address."""

    number: int
    prefix: str | None = None
    country: str | None = None
    registry: str | None = None
    name: str | None = None


@attrs.frozen
class Knowledge:
    """What look-ups have found out about one address; None is absent knowledge, never a guess."""

    hostname: str | None = None
    asn: Asn | None = None
    segment: Segment | None = None

    def merged(self, other: Knowledge) -> Knowledge:
        """This knowledge, with what only ``other`` knows filled in."""
        return Knowledge(
            hostname=self.hostname if self.hostname is not None else other.hostname,
            asn=self.asn if self.asn is not None else other.asn,
            segment=self.segment if self.segment is not None else other.segment,
        )


NOTHING_KNOWN = Knowledge()


@attrs.frozen
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
    def segment(self) -> Segment | None:
        """Part of the path that the address belongs to."""
        return self.knowledge.segment
