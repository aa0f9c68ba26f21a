"""The messages that nearly all replies are, taken apart by one call each: what stands where in them.

Ordinary is an IPv4 datagram without options that holds a time-exceeded message without extensions, whose
quote nobody has changed, or an echo reply. Which probe it answers is for the codec to find out.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from traceprobe.model import ReplyKind

if TYPE_CHECKING:
    from collections.abc import Callable

PLAIN_IPV4: Final = 0x45
"""Version 4, five words of header."""
LAST_HOP: Final = 1
"""Quoted TTL or hop limit where nothing is odd."""
BUT_FOR_ONE_HOP: Final = 0xFFFF - 0x0100
"""What is left of the sum of a header without that TTL."""
FRAGMENT_OFFSET: Final = 0x1FFF
ICMP_AT: Final = 20

EXPIRED: Final = b"\x0b\0\xf4\xff\0\0\0\0"
"""Header of a time-exceeded message that quotes a whole probe. Both the IP header and the ICMP message that
it quotes sum up to nothing, as whatever has a checksum does, so that its own checksum can only be this."""
EXPIRED_BUT_SUM: Final = b"\x0b\0\0\0\0\0"
"""The same without the checksum, which depends on how much of a probe is quoted."""
ECHO_REPLY: Final = 0

_QUOTE_AT: Final = 48
_SHORTEST: Final = _QUOTE_AT + 8
_LONGEST: Final = 20 + 8 + 128 + 2
"""A longer datagram may hold an extension structure (RFC 4884 section 5)."""
LONGEST_SEGMENT: Final = _LONGEST - _QUOTE_AT


class Ordinary(NamedTuple):
    """What an ordinary message says, whichever probe it answers."""

    kind: ReplyKind
    icmp_type: int
    icmp_code: int
    quoted_ttl: int | None


TIME_EXCEEDED: Final = Ordinary(ReplyKind.TIME_EXCEEDED, 11, 0, 1)
ECHOED: Final = Ordinary(ReplyKind.ECHO_REPLY, 0, 0, None)


class _Readers(dict[int, "Callable[[memoryview, int], tuple[Any, ...]] | None"]):
    """What takes a datagram of a length apart; None for lengths that ordinary ones don't have.

    In order: the first byte, TTL and source of the datagram; the header of its ICMP message; and of what
    that quotes the first four bytes, identification with fragment, TTL with protocol, header checksum, both
    addresses, and the transport header with all that follows.
    """

    def __missing__(self, length: int) -> Callable[[memoryview, int], tuple[Any, ...]] | None:
        if not _SHORTEST <= length <= _LONGEST or length & 1:
            return None
        reader = self[length] = Struct(f"!B7xB3x4s4x8s4sIHH8s{length - _QUOTE_AT}s").unpack_from
        return reader


READERS: Final = _Readers()

EXPIRED_IPV6: Final = (b"\x03\0", b"\0\0\0\0")
"""Header of a time-exceeded message without its checksum, which the kernel has verified (RFC 4443)."""
ECHO_REPLY_IPV6: Final = b"\x81\0"
NO_LABEL: Final = 0xFFF00000
"""The first word of an IPv6 header without its flow label."""
_LONGEST_IPV6: Final = 8 + 128 + 2


class _Ipv6Readers(dict[int, "Callable[[memoryview, int], tuple[Any, ...]] | None"]):
    """The same for ICMPv6 messages.

    In order: type with code and the rest of the header but its checksum; and of what that quotes the first
    word, payload length, next header with hop limit, both addresses, and the transport header with all that
    follows.
    """

    def __missing__(self, length: int) -> Callable[[memoryview, int], tuple[Any, ...]] | None:
        if not _SHORTEST <= length <= _LONGEST_IPV6:
            return None
        reader = self[length] = Struct(f"!2s2x4sIHH32s{length - _QUOTE_AT}s").unpack_from
        return reader


IPV6_READERS: Final = _Ipv6Readers()

IPV6_TIME_EXCEEDED: Final = Ordinary(ReplyKind.TIME_EXCEEDED, 3, 0, 1)
IPV6_ECHOED: Final = Ordinary(ReplyKind.ECHO_REPLY, 129, 0, None)
