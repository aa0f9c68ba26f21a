"""Socket addresses as the BSDs and macOS store them, to and from address objects.

A length comes first, the family second; the kernels compare the length with what is passed.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

from traceprobe.config import AddressFamily
from traceprobe.ffi.bsd import SOCKADDR_IN, SOCKADDR_IN6
from traceprobe.sockets._addresses import ipv4_address, ipv6_address, zone_index

if TYPE_CHECKING:
    from traceprobe.ffi.bsd import BsdAbi
    from traceprobe.sockets.bsd._kernel import SocketName

NAME_SIZES: Final = {AddressFamily.IPV4: SOCKADDR_IN.size, AddressFamily.IPV6: SOCKADDR_IN6.size}
"""Bytes of a socket address."""


def pack_name(abi: BsdAbi, address: IPv4Address | IPv6Address, port: int = 0) -> bytes:
    """The socket address of a destination.

    Raises:
        OSError: The zone of a link-local address is no interface of this machine.
    """
    network_port = port.to_bytes(2, "big")
    if isinstance(address, IPv4Address):
        return SOCKADDR_IN.pack(SOCKADDR_IN.size, abi.af_inet, network_port, address.packed)
    return SOCKADDR_IN6.pack(
        SOCKADDR_IN6.size, abi.af_inet6, network_port, 0, address.packed, zone_index(address)
    )


def with_port(name: bytes, port: bytes) -> bytes:
    """The same socket address with another port, given in network order."""
    return b"".join((name[:2], port, name[4:]))


def unpack_name(abi: BsdAbi, name: memoryview) -> tuple[IPv4Address | IPv6Address, int] | None:
    """Address and port of a packed socket address; None if it is of neither family."""
    if len(name) >= SOCKADDR_IN6.size:
        _, family, port, _, packed, index = SOCKADDR_IN6.unpack_from(name)
        if family == abi.af_inet6:
            return ipv6_address(packed, index), int.from_bytes(port, "big")
    if len(name) >= SOCKADDR_IN.size:
        _, family, port, packed = SOCKADDR_IN.unpack_from(name)
        if family == abi.af_inet:
            return ipv4_address(packed), int.from_bytes(port, "big")
    return None


def family_number(abi: BsdAbi, family: AddressFamily) -> int:
    """The system's number of an address family."""
    return abi.af_inet if family is AddressFamily.IPV4 else abi.af_inet6


def python_name(address: IPv4Address | IPv6Address | None, family: AddressFamily, port: int) -> SocketName:
    """An address as Python's socket module takes it; None is any address.

    Raises:
        OSError: The zone of a link-local address is no interface of this machine.
    """
    if family is AddressFamily.IPV4:
        return ("" if address is None else str(address), port)
    if not isinstance(address, IPv6Address):
        return ("", port, 0, 0)
    return (str(address).partition("%")[0], port, 0, zone_index(address))
