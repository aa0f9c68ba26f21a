"""What all ways of probing read out of a configuration, in the form that they need it in, and are called.

Which options a way of probing honours is in ``_catalogue``.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from traceprobe.errors import FamilyMismatchError

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import AddressFamily, Mode, Protocol, TracerouteConfig

_NS = 1_000_000_000
_ECN_BITS = 2


def mode_line(mode: Mode, protocol: Protocol, family: AddressFamily, verdict: str) -> str:
    """What is said of one way of probing, such as ``linux_raw (icmp, IPv4): usable``."""
    return f"{mode.value} ({protocol.value}, IPv{family.value}): {verdict}"


def quarantine_ns(config: TracerouteConfig) -> int:
    """How long identifiers rest, in nanoseconds."""
    return round(config.timing.identifier_quarantine * _NS)


def source_address(family: AddressFamily, config: TracerouteConfig) -> IPv4Address | IPv6Address | None:
    """The source address that was asked for, if one was.

    Raises:
        FamilyMismatchError: It is of the other family.
    """
    if config.source is None:
        return None
    address = ipaddress.ip_address(config.source)
    if address.version != family:
        raise FamilyMismatchError("source", config.source, f"an IPv{family.value} address")
    return address


def traffic_class(config: TracerouteConfig) -> int:
    """The byte that holds DSCP and ECN bits (RFC 2474 section 3, RFC 3168 section 5)."""
    return (config.dscp or 0) << _ECN_BITS | (config.ecn or 0)
