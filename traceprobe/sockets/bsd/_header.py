"""IPv4 headers for kernels that want the whole datagram (``IP_HDRINCL``, ip(4)).

The kernel fills in identification and checksum, and the source address if it is left empty. Length and
fragment field stand in the byte order that the kernel is known to want; it refuses the other one.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from traceprobe.ffi.bsd import SOCKADDR_IN

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

_VERSION_AND_LENGTH: Final = 0x45  # version 4, five words (RFC 791 section 3.1)
_HEADER_SIZE: Final = 20
_DONT_FRAGMENT: Final = 0x4000
_ANY_ADDRESS: Final = bytes(4)
_ADDRESS_AT: Final = 4
_NETWORK_ORDER: Final = Struct("!BBHHHBBH4s4s")
_HOST_ORDER: Final = Struct("=BBHHHBBH4s4s")

assert _HOST_ORDER.size == _NETWORK_ORDER.size == _HEADER_SIZE
assert SOCKADDR_IN.size == _ADDRESS_AT + len(_ANY_ADDRESS) + 8


class HeaderMaker:
    """Puts headers in front of the segments of one socket.

    Args:
        protocol: Protocol number.
        in_host_order: Whether length and fragment field are wanted in host byte order.
        traffic_class: Type-of-service byte.
        dont_fragment: Whether routers must not fragment the datagrams.
    """

    def __init__(
        self, protocol: int, *, in_host_order: bool, traffic_class: int, dont_fragment: bool
    ) -> None:
        # Identification and checksum are 0, so only these two fields depend on the order.
        self._layout = _HOST_ORDER if in_host_order else _NETWORK_ORDER
        self._protocol = protocol
        self._traffic_class = traffic_class
        self._fragment = _DONT_FRAGMENT if dont_fragment else 0

    def with_header(
        self, segment: bytes, name: bytes, source: IPv4Address | IPv6Address | None, ttl: int
    ) -> bytes:
        """A whole datagram.

        Args:
            segment: What the protocol brings.
            name: Socket address of the destination.
            source: Source address; None lets the kernel fill it in.
            ttl: Time to live.
        """
        header = self._layout.pack(
            _VERSION_AND_LENGTH,
            self._traffic_class,
            _HEADER_SIZE + len(segment),
            0,
            self._fragment,
            ttl,
            self._protocol,
            0,
            _ANY_ADDRESS if source is None else source.packed,
            name[_ADDRESS_AT : _ADDRESS_AT + len(_ANY_ADDRESS)],
        )
        return header + segment
