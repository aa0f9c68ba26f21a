"""Socket addresses as Winsock stores them, to and from address objects."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from traceprobe.errors import ConfigError
from traceprobe.ffi import windows
from traceprobe.ffi.windows import KNOWN_LAYOUTS
from traceprobe.sockets._addresses import ipv4_address, ipv6_address, zone_index
from traceprobe.sockets._modes import source_address

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import AddressFamily, TracerouteConfig

_IPV4: Final = Struct("<H2s4s8x")
_IPV6: Final = Struct("<H2s4x16sI")

NAME_SIZE: Final = _IPV6.size
"""Bytes of the longest socket address in use."""

assert _IPV4.size == KNOWN_LAYOUTS["sockaddr_in"][0]
assert _IPV6.size == KNOWN_LAYOUTS["sockaddr_in6"][0]

FAMILY_NUMBER: Final = {4: windows.AF_INET, 6: windows.AF_INET6}
"""Winsock's name for an address family, by IP version."""

ANY_NAME: Final = {
    4: _IPV4.pack(windows.AF_INET, bytes(2), bytes(4)),
    6: _IPV6.pack(windows.AF_INET6, bytes(2), bytes(16), 0),
}
"""The socket address that leaves everything to Windows, by IP version."""


def pack_name(address: IPv4Address | IPv6Address, port: int = 0) -> bytes:
    """The socket address of a destination.

    Raises:
        OSError: The zone of a link-local address is no interface of this machine.
    """
    network_port = port.to_bytes(2, "big")
    if address.version == 4:
        return _IPV4.pack(windows.AF_INET, network_port, address.packed)
    return _IPV6.pack(windows.AF_INET6, network_port, address.packed, zone_index(address))


def source_name(family: AddressFamily, config: TracerouteConfig) -> bytes:
    """The socket address to send from: the one that was asked for, or the one that leaves it to Windows.

    Raises:
        FamilyMismatchError: It is of the other family.
        ConfigError: Its zone is no interface of this machine.
    """
    source = source_address(family, config)
    if source is None:
        return ANY_NAME[family]
    try:
        return pack_name(source)
    except OSError:
        raise ConfigError("source", config.source, "an address of this machine") from None


def with_port(name: bytes, port: int) -> bytes:
    """The same socket address with another port."""
    return name[:2] + port.to_bytes(2, "big") + name[4:]


def unpack_name(name: bytes) -> tuple[IPv4Address | IPv6Address, int] | None:
    """Address and port of a packed socket address; None if it is of neither family."""
    family = int.from_bytes(name[:2], "little")
    if family == windows.AF_INET6 and len(name) >= _IPV6.size:
        _, port, packed, index = _IPV6.unpack_from(name)
        return ipv6_address(packed, index), int.from_bytes(port, "big")
    if family == windows.AF_INET and len(name) >= _IPV4.size:
        _, port, packed = _IPV4.unpack_from(name)
        return ipv4_address(packed), int.from_bytes(port, "big")
    return None
