"""Address objects out of what kernels store, and what the socket module calls an address family.

Link-local IPv6 addresses carry their zone: as a name or number in the address object, as an interface
index in the kernel. How a kernel lays out a socket address is not known here.
"""

from __future__ import annotations

import errno
import socket
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from traceprobe.config import AddressFamily

_ADDRESSES_KEPT: Final = 4096
_LARGEST_INDEX: Final = 0xFFFFFFFF
"""Kernels keep indices in 32 bits (RFC 3493 section 4)."""


def zone_index(address: IPv6Address) -> int:
    """Interface index of an address's zone, 0 if it has none.

    Raises:
        OSError: There is no such interface.
    """
    return 0 if address.scope_id is None else interface_index(address.scope_id)


def interface_index(interface: str) -> int:
    """Index of an interface.

    Args:
        interface: Its name, or the index itself.

    Raises:
        OSError: There is no such interface.
    """
    try:
        index = int(interface) if interface.isdecimal() else socket.if_nametoindex(interface)
    except ValueError as error:  # too many digits, or a name that C can't hold
        raise OSError(errno.ENXIO, f"no interface has this name: {error}") from None
    if index > _LARGEST_INDEX:
        raise OSError(errno.ENXIO, f"no interface has the index {index}")
    return index


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
