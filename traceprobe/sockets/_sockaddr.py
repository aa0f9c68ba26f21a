"""Socket addresses as the kernel stores them, to and from address objects.

Link-local IPv6 addresses carry their zone both ways: as a name or number in the address object, as an
interface index in the kernel.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

from traceprobe.ffi.linux import SOCKADDR_IN, SOCKADDR_IN6

if TYPE_CHECKING:
    from traceprobe.config import AddressFamily

NAME_SIZE: Final = SOCKADDR_IN6.size
"""Bytes of the longest socket address in use."""

_ADDRESSES_KEPT: Final = 4096


def pack_name(address: IPv4Address | IPv6Address, port: int = 0) -> bytes:
    """The socket address of a destination.

    Raises:
        OSError: The zone of a link-local address is no interface of this machine.
    """
    network_port = port.to_bytes(2, "big")
    if isinstance(address, IPv4Address):
        return SOCKADDR_IN.pack(socket.AF_INET, network_port, address.packed)
    return SOCKADDR_IN6.pack(socket.AF_INET6, network_port, 0, address.packed, zone_index(address))


def with_port(name: bytes, port: bytes) -> bytes:
    """The same socket address with another port, given in network order."""
    return b"".join((name[:2], port, name[4:]))


def unpack_name(name: memoryview) -> tuple[IPv4Address | IPv6Address, int] | None:
    """Address and port of a packed socket address; None if it is of neither family."""
    if len(name) >= SOCKADDR_IN6.size:
        family, port, _, packed, index = SOCKADDR_IN6.unpack_from(name)
        if family == socket.AF_INET6:
            return _ipv6(packed, index), int.from_bytes(port, "big")
    if len(name) >= SOCKADDR_IN.size:
        family, port, packed = SOCKADDR_IN.unpack_from(name)
        if family == socket.AF_INET:
            return _ipv4(packed), int.from_bytes(port, "big")
    return None


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
def _ipv4(packed: bytes) -> IPv4Address:
    return IPv4Address(packed)


@lru_cache(maxsize=_ADDRESSES_KEPT)
def _ipv6(packed: bytes, index: int) -> IPv6Address:
    address = IPv6Address(packed)
    if not address.is_link_local or not index:
        return address
    try:
        zone = socket.if_indextoname(index)
    except OSError:
        zone = str(index)
    return IPv6Address(f"{address}%{zone}")
