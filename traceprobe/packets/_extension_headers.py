"""The chain of IPv6 extension headers (RFC 8200 section 4), on the way in only.

Finds where the upper layer begins; knows nothing of what the options and routes say.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from traceprobe.errors import PacketError
from traceprobe.packets._constants import IpProtocol

_HOP_BY_HOP: Final = int(IpProtocol.HOP_BY_HOP_OPTIONS)
_FRAGMENT: Final = int(IpProtocol.IPV6_FRAGMENT)
_AUTHENTICATION: Final = int(IpProtocol.AUTHENTICATION_HEADER)

EXTENSION_HEADERS: Final = frozenset({
    _HOP_BY_HOP,
    int(IpProtocol.IPV6_ROUTING),
    _FRAGMENT,
    _AUTHENTICATION,
    int(IpProtocol.DESTINATION_OPTIONS),
})
"""Next-header values that are walked over. ESP is none: what follows it is encrypted (RFC 4303)."""

MAX_EXTENSION_HEADERS: Final = 16
"""Longest chain that is followed. A datagram in the recommended order has six (RFC 8200 section 4.1);
hosts may set limits of their own (RFC 8504 section 5.3)."""


class UpperLayer(NamedTuple):
    """Where a chain of extension headers ends."""

    protocol: int
    """The first header that is none of the chain, or that the bytes end in front of."""
    offset: int
    """Where it begins."""
    fragment_offset: int
    """In units of eight bytes, 0 without a fragment header."""
    more_fragments: bool
    truncated: bool
    """Whether the bytes end before the chain does."""


def find_upper_layer(view: memoryview, next_header: int, start: int, end: int) -> UpperLayer:
    """Walk over the extension headers.

    Args:
        view: The bytes that hold the chain.
        next_header: What the fixed header says comes first.
        start: Where the chain begins.
        end: Where the bytes end.

    Raises:
        PacketError: Hop-by-hop options stand behind another header (RFC 8200 section 4.1), or the chain
            has more than :data:`MAX_EXTENSION_HEADERS` headers.
    """
    offset = start
    fragment = 0
    for _ in range(MAX_EXTENSION_HEADERS + 1):
        if next_header not in EXTENSION_HEADERS:
            return UpperLayer(next_header, offset, fragment >> 3, bool(fragment & 1), False)
        if next_header == _HOP_BY_HOP and offset != start:
            raise PacketError("hop-by-hop options behind another header", offset)
        left = end - offset
        following = view[offset] if left > 0 else next_header
        if left < 2:
            return UpperLayer(following, end, fragment >> 3, bool(fragment & 1), True)
        if next_header == _FRAGMENT:
            length = 8
            if left >= 4:
                fragment = view[offset + 2] << 8 | view[offset + 3]
        elif next_header == _AUTHENTICATION:
            length = (view[offset + 1] + 2) * 4  # RFC 4302 section 2.2: 32-bit words, less two
        else:
            length = (view[offset + 1] + 1) * 8  # RFC 8200 section 4.3: 64-bit words, less the first
        if left < length:
            return UpperLayer(following, end, fragment >> 3, bool(fragment & 1), True)
        offset += length
        if fragment >> 3:
            # Behind the first fragment comes the middle of something: no header of the chain any more.
            return UpperLayer(following, offset, fragment >> 3, bool(fragment & 1), False)
        next_header = following
    raise PacketError(f"more than {MAX_EXTENSION_HEADERS} extension headers", offset)
