"""The Internet checksum (RFC 1071) and the pseudo-headers that UDP and ICMPv6 put in front of it.

Knows numbers only: which field a checksum goes to is the business of the codec that owns the field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprobe.packets._arguments import check_families

if TYPE_CHECKING:
    from traceprobe.packets._arguments import Buffer, IPAddress


def ones_complement_sum(data: Buffer, initial: int = 0) -> int:
    """Add 16-bit words in ones' complement (RFC 1071 section 1).

    The words are read as one large number: 65536 leaves the remainder 1 when divided by 65535, so the
    number's remainder is the folded sum of its words, and the work is done in C in linear time.

    Args:
        data: What to add up; an odd number of bytes is padded with a zero byte.
        initial: A sum to go on from, such as that of a pseudo-header; 0 or more.

    Returns:
        The folded sum, 0 to 0xffff, not inverted. It is 0 only if every word is 0.
    """
    number = int.from_bytes(data, "big")
    size = data.nbytes if isinstance(data, memoryview) else len(data)
    if size & 1:
        number <<= 8
    number += initial
    return number % 0xFFFF or (0xFFFF if number else 0)


def internet_checksum(data: Buffer, initial: int = 0) -> int:
    """Compute the checksum of a header or message whose checksum field is 0 (RFC 1071).

    Over data that contain their right checksum the result is 0.
    """
    return 0xFFFF - ones_complement_sum(data, initial)


def pseudo_header_sum(source: IPAddress, destination: IPAddress, protocol: int, length: int) -> int:
    """Add up a pseudo-header, to be continued with the transport's bytes.

    The words of the IPv4 form (RFC 768) and of the IPv6 form (RFC 8200 section 8.1) are the same but for
    the addresses, so one sum serves both.

    Args:
        source: Source address of the datagram.
        destination: Its destination, of the same family.
        protocol: Protocol number of the transport.
        length: Bytes of the transport, its header included.

    Raises:
        PacketError: The addresses are of different families.
    """
    if type(source) is not type(destination):
        check_families(source.version, destination)
    number = int(source) + int(destination) + protocol + length
    return number % 0xFFFF or (0xFFFF if number else 0)
