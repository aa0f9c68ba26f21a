"""What routers add to their error messages: label stacks, their interfaces, and what has no meaning here.

Few of them add anything, so that this is imported when the first one does.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from traceprobe._frozen import frozen

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address


@frozen
class MplsLabel:
    """One entry of an MPLS label stack (RFC 4950 section 3, RFC 3032 section 2.1)."""

    label: int
    tc: int
    s: int
    ttl: int


class InterfaceRole(StrEnum):
    """Which interface of the responder an interface information object describes (RFC 5837 section 4.1)."""

    INCOMING = "incoming"
    SUB_IP = "sub_ip"
    OUTGOING = "outgoing"
    NEXT_HOP = "next_hop"


@frozen
class InterfaceInformation:
    """What a responder tells about one of its interfaces (RFC 5837); None is what it left out."""

    role: InterfaceRole
    index: int | None = None
    """Its ``ifIndex``."""
    address: IPv4Address | IPv6Address | None = None
    name: str | None = None
    """Its ``ifName``, as the network told it: hostile until shown otherwise."""
    mtu: int | None = None


@frozen
class ExtensionObject:
    """An object of an ICMP extension structure that has no meaning here (RFC 4884 section 8)."""

    class_num: int
    c_type: int
    payload: bytes
