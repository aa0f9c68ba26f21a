"""Address objects out of what kernels store, and what the socket module calls an address family.

Link-local IPv6 addresses carry their zone: as a name or number in the address object, as an interface
index in the kernel. How a kernel lays out a socket address is not known here.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from traceprobe.config import AddressFamily

_ADDRESSES_KEPT: Final = 4096


def zone_index(address: IPv6Address) -> int:
    """Interface index of an address's zone, 0 if it has none.

    Raises:
        OSError: There is no such interface.
    """
    zone = address.scope_id
    if zone is None:
        return 0
    return int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)


def family_number(family: AddressFamily) -> socket.AddressFamily:
    """The socket module's name for an address family."""
    return socket.AF_INET if family == 4 else socket.AF_INET6


@lru_cache(maxsize=_ADDRESSES_KEPT)
def ipv4_address(packed: bytes) -> IPv4Address:
    """The address of four bytes."""
    return IPv4Address(packed)


@lru_cache(maxsize=_ADDRESSES_KEPT)
def ipv6_address(packed: bytes, index: int) -> IPv6Address:
    """The address of sixteen bytes, with its zone if it is link-local.

    Args:
        packed: The address.
        index: Index of the interface that it was seen on, 0 if that is not known.
    """
    address = IPv6Address(packed)
    if not address.is_link_local or not index:
        return address
    try:
        zone = socket.if_indextoname(index)
    except OSError:
        zone = str(index)
    return IPv6Address(f"{address}%{zone}")
