"""Socket addresses as the kernel of Linux stores them, to and from address objects.

Link-local IPv6 addresses carry their zone both ways: as a name or number in the address object, as an
interface index in the kernel.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from traceprobe.ffi.linux import SOCKADDR_IN, SOCKADDR_IN6
from traceprobe.sockets._addresses import family_number as family_number
from traceprobe.sockets._addresses import ipv4_address, ipv6_address
from traceprobe.sockets._addresses import zone_index as zone_index

NAME_SIZE: Final = SOCKADDR_IN6.size
"""Bytes of the longest socket address in use."""


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


def with_label(name: bytes, label: int) -> bytes:
    """The same IPv6 socket address with a flow label (``sin6_flowinfo``, RFC 3493 section 3.3)."""
    return b"".join((name[:4], label.to_bytes(4, "big"), name[8:]))


def unpack_name(name: memoryview) -> tuple[IPv4Address | IPv6Address, int] | None:
    """Address and port of a packed socket address; None if it is of neither family."""
    if len(name) >= SOCKADDR_IN6.size:
        family, port, _, packed, index = SOCKADDR_IN6.unpack_from(name)
        if family == socket.AF_INET6:
            return ipv6_address(packed, index), int.from_bytes(port, "big")
    if len(name) >= SOCKADDR_IN.size:
        family, port, packed = SOCKADDR_IN.unpack_from(name)
        if family == socket.AF_INET:
            return ipv4_address(packed), int.from_bytes(port, "big")
    return None
