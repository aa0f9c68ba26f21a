"""Datagrams quoted inside ICMP errors: whole at the front, cut off anywhere behind the fixed header.

RFC 792 asks routers for the header and eight bytes, RFC 1812 section 4.3.2.3 for as much as fits into 576
bytes, RFC 4443 section 2.4 for as much as fits into the minimum MTU; all of it is met in practice. What
is quoted has gone through other routers, and perhaps through translators: nothing but the shape of the
header is a reason to refuse it.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, NamedTuple

from traceprobe.errors import PacketError
from traceprobe.packets._arguments import as_view, check_version
from traceprobe.packets._extension_headers import EXTENSION_HEADERS, find_upper_layer
from traceprobe.packets._ip_layout import IPV4_HEADER, IPV6_HEADER, IPV6_HEADER_SIZE, MIN_IPV4_HEADER

if TYPE_CHECKING:
    from traceprobe.packets._arguments import Buffer, IPAddress


class QuotedDatagram(NamedTuple):
    """What an ICMP error shows of the datagram that caused it, as the responder saw it."""

    version: int
    source: IPAddress
    destination: IPAddress
    ttl: int
    """TTL or hop limit on arrival at the responder."""
    traffic_class: int
    protocol: int
    """Upper-layer protocol, behind the IPv6 extension headers as far as they are quoted."""
    total_length: int
    """Bytes of the whole datagram by its own header, fixed header included; not checked."""
    identification: int | None
    """IPv4 only."""
    flags: int
    """Three bits: 4 reserved, 2 don't fragment, 1 more fragments (also of an IPv6 fragment header)."""
    fragment_offset: int
    """In units of eight bytes; unless it is 0, ``transport`` does not begin with a transport header."""
    header_checksum: int | None
    """IPv4 only; not checked, since routers on the way quote it before or after they change the TTL."""
    flow_label: int | None
    """IPv6 only."""
    transport: memoryview
    """What was quoted behind the IP headers, padding included; possibly nothing. A view, not a copy."""


def parse_quoted(version: int, data: Buffer) -> QuotedDatagram:
    """Parse a quoted datagram of any legal length.

    Args:
        version: IP version of the ICMP message that quotes it, 4 or 6.
        data: The quote, from the first byte of the quoted header.

    Raises:
        PacketError: The fixed header is incomplete or impossible, or of another version.
        UsageError: ``version`` is neither 4 nor 6.
    """
    check_version(version)
    view = as_view(data)
    parse = parse_quoted_ipv4 if version == 4 else parse_quoted_ipv6
    return parse(view, 0, len(view))


def parse_quoted_ipv4(view: memoryview, start: int, end: int) -> QuotedDatagram:
    """Parse the quote between two offsets of a message; errors name offsets of the message."""
    if end - start < MIN_IPV4_HEADER:
        raise PacketError(f"quoted IPv4 header cut short: {end - start} of at least 20 bytes", end)
    first, traffic_class, total_length, identification, fragment, ttl, protocol, checksum, source, target = (
        IPV4_HEADER.unpack_from(view, start)
    )
    if first >> 4 != 4:
        raise PacketError(f"quoted datagram of IP version {first >> 4} in an ICMPv4 error", start)
    header_length = (first & 0xF) * 4
    if header_length < MIN_IPV4_HEADER:
        raise PacketError(f"quoted IPv4 header length of {header_length} bytes", start)
    return QuotedDatagram(
        4,
        IPv4Address(source),
        IPv4Address(target),
        ttl,
        traffic_class,
        protocol,
        total_length,
        identification,
        fragment >> 13,
        fragment & 0x1FFF,
        checksum,
        None,
        view[min(start + header_length, end) : end],
    )


def parse_quoted_ipv6(view: memoryview, start: int, end: int) -> QuotedDatagram:
    """Parse the quote between two offsets of a message; errors name offsets of the message."""
    if end - start < IPV6_HEADER_SIZE:
        raise PacketError(f"quoted IPv6 header cut short: {end - start} of 40 bytes", end)
    first, payload_length, protocol, hop_limit, source_high, source_low, target_high, target_low = (
        IPV6_HEADER.unpack_from(view, start)
    )
    if first >> 28 != 6:
        raise PacketError(f"quoted datagram of IP version {first >> 28} in an ICMPv6 error", start)
    offset = start + IPV6_HEADER_SIZE
    flags = fragment_offset = 0
    if protocol in EXTENSION_HEADERS:
        upper = find_upper_layer(view, protocol, offset, end)
        protocol, offset, fragment_offset = upper.protocol, upper.offset, upper.fragment_offset
        flags = int(upper.more_fragments)
    return QuotedDatagram(
        6,
        IPv6Address(source_high << 64 | source_low),
        IPv6Address(target_high << 64 | target_low),
        hop_limit,
        first >> 20 & 0xFF,
        protocol,
        IPV6_HEADER_SIZE + payload_length,
        None,
        flags,
        fragment_offset,
        None,
        first & 0xFFFFF,
        view[offset:end],
    )
