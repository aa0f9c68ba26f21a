"""IPv4 (RFC 791) and IPv6 (RFC 8200) datagrams that are complete, as a raw socket or a tunnel sees them.

Datagrams quoted inside ICMP errors follow laxer rules; they are read in ``_quote``.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final, NamedTuple

from traceprobe.errors import PacketError
from traceprobe.packets._arguments import as_view, check_bits, check_families
from traceprobe.packets._checksum import internet_checksum
from traceprobe.packets._extension_headers import EXTENSION_HEADERS, find_upper_layer
from traceprobe.packets._ip_layout import IPV4_HEADER, IPV6_HEADER, IPV6_HEADER_SIZE, MIN_IPV4_HEADER

if TYPE_CHECKING:
    from traceprobe.packets._arguments import Buffer, IPAddress

_MAX_IPV4_OPTIONS: Final = 40


class IPv4Header(NamedTuple):
    """Header of an IPv4 datagram (RFC 791 section 3.1)."""

    traffic_class: int
    """The type-of-service byte: DSCP and ECN."""
    total_length: int
    """Bytes, header included."""
    identification: int
    flags: int
    """Three bits: 4 reserved, 2 don't fragment, 1 more fragments."""
    fragment_offset: int
    """In units of eight bytes."""
    ttl: int
    protocol: int
    checksum: int
    source: IPv4Address
    destination: IPv4Address
    options: bytes = b""


class IPv6Header(NamedTuple):
    """Fixed header of an IPv6 datagram (RFC 8200 section 3)."""

    traffic_class: int
    flow_label: int
    payload_length: int
    """Bytes behind the fixed header, extension headers included."""
    next_header: int
    """What follows the fixed header; the upper layer is ``IPDatagram.protocol``."""
    hop_limit: int
    source: IPv6Address
    destination: IPv6Address


class IPDatagram(NamedTuple):
    """A complete IP datagram."""

    header: IPv4Header | IPv6Header
    protocol: int
    """Upper-layer protocol: behind the extension headers in IPv6."""
    payload: memoryview
    """What the upper layer gets: a view of the bytes that were parsed, not a copy."""
    fragment_offset: int = 0
    """In units of eight bytes; unless it is 0, ``payload`` does not begin with a transport header."""
    more_fragments: bool = False

    @property
    def version(self) -> int:
        """4 or 6."""
        return 4 if isinstance(self.header, IPv4Header) else 6

    @property
    def source(self) -> IPAddress:
        """Source address."""
        return self.header.source

    @property
    def destination(self) -> IPAddress:
        """Destination address."""
        return self.header.destination

    @property
    def ttl(self) -> int:
        """TTL or hop limit."""
        header = self.header
        return header.ttl if isinstance(header, IPv4Header) else header.hop_limit


def parse_ip(data: Buffer, *, verify: bool = False, ignore_length: bool = False) -> IPDatagram:
    """Parse a complete datagram of either version.

    Bytes behind the datagram's own length, such as the padding of a short Ethernet frame, are cut.

    Args:
        data: The datagram, from the first byte of its header.
        verify: Check the IPv4 header checksum too; kernels have already done so. IPv6 has none.
        ignore_length: Take all bytes for the datagram, whatever length it claims: raw IPv4 sockets of some
            kernels hand out that field in host byte order, or less the header. Their fragment field, and
            with it ``flags`` and ``fragment_offset``, deserves no more trust.

    Raises:
        PacketError: It is no whole datagram of version 4 or 6.
    """
    view = as_view(data)
    if not view:
        raise PacketError("no IP datagram: no bytes at all")
    version = view[0] >> 4
    if version == 4:
        return _parse_ipv4(view, verify, ignore_length)
    if version == 6:
        return _parse_ipv6(view, ignore_length)
    raise PacketError(f"IP version {version}")


def _parse_ipv4(view: memoryview, verify: bool, ignore_length: bool) -> IPDatagram:
    available = len(view)
    if available < MIN_IPV4_HEADER:
        raise PacketError(f"IPv4 header cut short: {available} of at least 20 bytes", available)
    first, traffic_class, total_length, identification, fragment, ttl, protocol, checksum, source, target = (
        IPV4_HEADER.unpack_from(view)
    )
    header_length = (first & 0xF) * 4
    if header_length < MIN_IPV4_HEADER:
        raise PacketError(f"IPv4 header length of {header_length} bytes", 0)
    end = available if ignore_length else total_length
    if end < header_length:
        raise PacketError(f"IPv4 total length {end} below the header's {header_length} bytes", 2)
    if end > available:
        raise PacketError(f"IPv4 total length {end}, but only {available} bytes", 2)
    if verify and internet_checksum(view[:header_length]):
        raise PacketError(f"IPv4 header checksum {checksum:#06x} is wrong", 10)
    header = IPv4Header(
        traffic_class,
        total_length,
        identification,
        fragment >> 13,
        fragment & 0x1FFF,
        ttl,
        protocol,
        checksum,
        IPv4Address(source),
        IPv4Address(target),
        bytes(view[MIN_IPV4_HEADER:header_length]) if header_length > MIN_IPV4_HEADER else b"",
    )
    payload = view[header_length:end]
    return IPDatagram(header, protocol, payload, fragment & 0x1FFF, bool(fragment & 0x2000))


def _parse_ipv6(view: memoryview, ignore_length: bool) -> IPDatagram:
    available = len(view)
    if available < IPV6_HEADER_SIZE:
        raise PacketError(f"IPv6 header cut short: {available} of 40 bytes", available)
    first, payload_length, next_header, hop_limit, source_high, source_low, target_high, target_low = (
        IPV6_HEADER.unpack_from(view)
    )
    end = available if ignore_length else IPV6_HEADER_SIZE + payload_length
    if end > available:
        raise PacketError(
            f"IPv6 payload length {payload_length}, but only {available - IPV6_HEADER_SIZE} bytes", 4
        )
    header = IPv6Header(
        first >> 20 & 0xFF,
        first & 0xFFFFF,
        payload_length,
        next_header,
        hop_limit,
        IPv6Address(source_high << 64 | source_low),
        IPv6Address(target_high << 64 | target_low),
    )
    if next_header not in EXTENSION_HEADERS:
        return IPDatagram(header, next_header, view[IPV6_HEADER_SIZE:end])
    upper = find_upper_layer(view, next_header, IPV6_HEADER_SIZE, end)
    if upper.truncated:
        raise PacketError("IPv6 extension header reaches beyond the payload", end)
    return IPDatagram(
        header, upper.protocol, view[upper.offset : end], upper.fragment_offset, upper.more_fragments
    )


def build_ipv4(
    payload: Buffer = b"",
    *,
    source: IPAddress,
    destination: IPAddress,
    protocol: int,
    ttl: int = 64,
    traffic_class: int = 0,
    identification: int = 0,
    flags: int = 0,
    fragment_offset: int = 0,
    options: Buffer = b"",
) -> bytes:
    """Build an IPv4 datagram; total length and header checksum are filled in (RFC 791 section 3.1).

    Args:
        payload: What the protocol brings, its header included.
        source: Source address.
        destination: Destination address.
        protocol: Protocol number, such as :attr:`IpProtocol.UDP`.
        ttl: Time to live.
        traffic_class: Type-of-service byte.
        identification: Identification field.
        flags: Three bits: 4 reserved, 2 don't fragment, 1 more fragments.
        fragment_offset: In units of eight bytes.
        options: Options, up to 40 bytes; padded with zeros to a multiple of four.

    Raises:
        PacketError: A field does not fit, or the datagram is longer than 65535 bytes.
    """
    payload = as_view(payload)
    padded = bytes(options)
    padded += bytes(-len(padded) % 4)
    if len(padded) > _MAX_IPV4_OPTIONS:
        raise PacketError(f"{len(padded)} bytes of IPv4 options, at most 40 fit", MIN_IPV4_HEADER)
    header_length = MIN_IPV4_HEADER + len(padded)
    total_length = header_length + len(payload)
    check_bits(
        ("total length", total_length, 16, 2),
        ("traffic class", traffic_class, 8, 1),
        ("identification", identification, 16, 4),
        ("flags", flags, 3, 6),
        ("fragment offset", fragment_offset, 13, 6),
        ("ttl", ttl, 8, 8),
        ("protocol", protocol, 8, 9),
    )
    check_families(4, source, destination)
    header = bytearray(header_length)
    IPV4_HEADER.pack_into(
        header,
        0,
        4 << 4 | header_length // 4,
        traffic_class,
        total_length,
        identification,
        flags << 13 | fragment_offset,
        ttl,
        protocol,
        0,
        int(source),
        int(destination),
    )
    header[MIN_IPV4_HEADER:] = padded
    header[10:12] = internet_checksum(header).to_bytes(2, "big")
    return b"".join((header, payload))


def build_ipv6(
    payload: Buffer = b"",
    *,
    source: IPAddress,
    destination: IPAddress,
    next_header: int,
    hop_limit: int = 64,
    traffic_class: int = 0,
    flow_label: int = 0,
) -> bytes:
    """Build an IPv6 datagram; the payload length is filled in (RFC 8200 section 3).

    Args:
        payload: All that follows the fixed header; extension headers, if any, come with it.
        source: Source address.
        destination: Destination address.
        next_header: What ``payload`` begins with, such as :attr:`IpProtocol.ICMPV6`.
        hop_limit: Hop limit.
        traffic_class: DSCP and ECN.
        flow_label: Twenty bits.

    Raises:
        PacketError: A field does not fit, or the payload is longer than 65535 bytes.
    """
    payload = as_view(payload)
    check_bits(
        ("payload length", len(payload), 16, 4),
        ("traffic class", traffic_class, 8, 0),
        ("flow label", flow_label, 20, 1),
        ("next header", next_header, 8, 6),
        ("hop limit", hop_limit, 8, 7),
    )
    check_families(6, source, destination)
    first = 6 << 28 | traffic_class << 20 | flow_label
    fixed = struct.pack("!IHBB", first, len(payload), next_header, hop_limit)
    return b"".join((fixed, source.packed, destination.packed, payload))
