"""Networks, exchanges and parts of a path: what only those traces know that look networks up.

All text in here comes from the network or from files, and is hostile until shown otherwise.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import attrs

from traceprobe._frozen import frozen


class Segment(StrEnum):
    """Which part of the path a responder belongs to."""

    LAN = "LAN"
    ISP = "ISP"
    TRANSIT = "TRANSIT"
    DESTINATION = "DESTINATION"
    UNKNOWN = "UNKNOWN"


class SegmentReason(StrEnum):
    """Why a responder was put into its segment: a short stable code; :attr:`sentence` says it in words."""

    LOCAL_ADDRESS = "local_address"
    SOURCE_NETWORK = "source_network"
    SHARED_ADDRESS_SPACE = "shared_address_space"
    ISP_ASN = "isp_asn"
    DESTINATION_ASN = "destination_asn"
    TARGET_ADDRESS = "target_address"
    EXCHANGE = "exchange"
    OTHER_ASN = "other_asn"
    BETWEEN_ISP = "between_isp"
    BETWEEN_DESTINATION = "between_destination"
    UNANNOUNCED = "unannounced"
    PRIVATE_BEYOND_LAN = "private_beyond_lan"
    NOT_COMPARABLE = "not_comparable"
    NOT_LOOKED_UP = "not_looked_up"

    @property
    def sentence(self) -> str:
        """The reason as a sentence."""
        return _SENTENCES[self]


_SENTENCES: Final = {
    SegmentReason.LOCAL_ADDRESS: "The address is for local use, and nothing public lies before it.",
    SegmentReason.SOURCE_NETWORK: "It shares its /64 with the address that the probes came from.",
    SegmentReason.SHARED_ADDRESS_SPACE: "The address is of those that providers share out (RFC 6598).",
    SegmentReason.ISP_ASN: "Its network is the one that connects this machine.",
    SegmentReason.DESTINATION_ASN: "Its network is that of the target.",
    SegmentReason.TARGET_ADDRESS: "It is the target.",
    SegmentReason.EXCHANGE: "It is on the peering network of an Internet exchange.",
    SegmentReason.OTHER_ASN: "Its network is not known to be the provider's or the target's.",
    SegmentReason.BETWEEN_ISP: "No network is known for it, and it lies between hops of the provider.",
    SegmentReason.BETWEEN_DESTINATION: "No network is known for it, and the target's lie on both sides.",
    SegmentReason.UNANNOUNCED: "Nobody announces it, and it lies between different networks.",
    SegmentReason.PRIVATE_BEYOND_LAN: "The address is for local use, but something public lies before it.",
    SegmentReason.NOT_COMPARABLE: "Neither the network of this machine nor that of the target is known.",
    SegmentReason.NOT_LOOKED_UP: "Nobody has told which network it belongs to.",
}


@frozen
class Asn:
    """The autonomous system that announces an address."""

    number: int
    prefix: str | None = None
    """The most specific prefix that is announced, such as ``192.0.2.0/24``."""
    country: str | None = None
    """Where the prefix was registered: two letters (ISO 3166-1). It says nothing of where a router stands."""
    registry: str | None = None
    name: str | None = None
    origins: tuple[int, ...] = ()
    """Further autonomous systems that announce the same prefix."""

    def merged(self, other: Asn) -> Asn:
        """This one, with what only ``other`` knows filled in, as long as both speak of the same thing."""
        if other.number != self.number:
            return self
        name = _first(self.name, other.name)
        if self.prefix is not None and other.prefix is not None and self.prefix != other.prefix:
            return attrs.evolve(self, name=name)
        return Asn(
            self.number,
            prefix=_first(self.prefix, other.prefix),
            country=_first(self.country, other.country),
            registry=_first(self.registry, other.registry),
            name=name,
            origins=self.origins or other.origins,
        )


@frozen
class Exchange:
    """An Internet exchange whose peering network an address is in."""

    name: str
    prefix: str
    """The peering network, such as ``192.0.2.0/24``."""
    city: str | None = None
    country: str | None = None
    """Two letters (ISO 3166-1)."""
    member_asn: int | None = None
    """Autonomous system of the member that uses the address."""


def _first(mine: str | None, theirs: str | None) -> str | None:
    return mine if mine is not None else theirs
