"""TCP segments (RFC 9293 section 3.1): whole ones, and what an ICMP error quotes of one.

Knows the header and the options' shape, not the protocol: no states, no windows, no retransmission.
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Final, NamedTuple

from traceprobe.errors import PacketError
from traceprobe.packets._arguments import as_view, check_bits
from traceprobe.packets._checksum import internet_checksum, ones_complement_sum, pseudo_header_sum
from traceprobe.packets._constants import IpProtocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceprobe.packets._arguments import Buffer, IPAddress

_HEADER: Final = struct.Struct("!HHIIHHHH")
_HEADER_SIZE: Final = 20
_FRONT: Final = struct.Struct("!HHI")
_FRONT_SIZE: Final = 8
_MAX_OPTIONS: Final = 40
_FLAG_BITS: Final = 0xFFF
_TCP: Final = int(IpProtocol.TCP)


class TcpFlag(IntFlag):
    """Control bits (RFC 9293 section 3.1)."""

    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    ACK = 0x10
    URG = 0x20
    ECE = 0x40  # RFC 3168 section 6.1
    CWR = 0x80  # RFC 3168 section 6.1
    AE = 0x100  # RFC 9768 section 3.1


class TcpOptionKind(IntEnum):
    """Kinds of options that open a connection."""

    END_OF_LIST = 0  # RFC 9293 section 3.2
    NO_OPERATION = 1  # RFC 9293 section 3.2
    MAXIMUM_SEGMENT_SIZE = 2  # RFC 9293 section 3.2
    WINDOW_SCALE = 3  # RFC 7323 section 2.2
    SACK_PERMITTED = 4  # RFC 2018 section 2
    TIMESTAMPS = 8  # RFC 7323 section 3.2
    FAST_OPEN = 34  # RFC 7413 section 4.1.1


class TcpOption(NamedTuple):
    """One option."""

    kind: int
    data: bytes = b""
    """What stands behind kind and length."""


class TcpSegment(NamedTuple):
    """A whole segment."""

    source_port: int
    destination_port: int
    sequence: int
    acknowledgement: int
    flags: int
    """The control bits, see :class:`TcpFlag`, with the reserved bits above them: twelve in all."""
    window: int
    checksum: int
    options: bytes
    """Undecoded and with their padding; see :func:`parse_tcp_options`."""
    payload: memoryview
    """A view of the bytes that were parsed, not a copy."""
    urgent_pointer: int = 0


class QuotedTcp(NamedTuple):
    """What was quoted of a segment: RFC 792 asks routers for no more than the first eight bytes."""

    source_port: int
    destination_port: int
    sequence: int
    acknowledgement: int | None
    """None, like everything below, if it was not quoted."""
    flags: int | None
    window: int | None
    checksum: int | None
    options: bytes | None
    """None unless all of them were quoted."""


def parse_tcp(data: Buffer, *, pseudo: tuple[IPAddress, IPAddress] | None = None) -> TcpSegment:
    """Parse a whole segment.

    Args:
        data: The segment, from the first byte of its header; TCP has no length of its own.
        pseudo: Source and destination address: verify the checksum with them.

    Raises:
        PacketError: It is cut short, its data offset is impossible, or its checksum is wrong.
    """
    view = as_view(data)
    available = len(view)
    if available < _HEADER_SIZE:
        raise PacketError(f"TCP header cut short: {available} of at least 20 bytes", available)
    source_port, destination_port, sequence, acknowledgement, bits, window, checksum, urgent = (
        _HEADER.unpack_from(view)
    )
    header_length = (bits >> 12) * 4
    if header_length < _HEADER_SIZE:
        raise PacketError(f"TCP header length of {header_length} bytes", 12)
    if header_length > available:
        raise PacketError(f"TCP header of {header_length} bytes, but only {available} bytes", 12)
    if pseudo is not None:
        total = ones_complement_sum(view, pseudo_header_sum(*pseudo, _TCP, available))
        if total != 0xFFFF:
            raise PacketError(f"TCP checksum {checksum:#06x} is wrong", 16)
    return TcpSegment(
        source_port,
        destination_port,
        sequence,
        acknowledgement,
        bits & _FLAG_BITS,
        window,
        checksum,
        bytes(view[_HEADER_SIZE:header_length]),
        view[header_length:],
        urgent,
    )


def parse_quoted_tcp(data: Buffer) -> QuotedTcp:
    """Parse what an ICMP error quotes of a segment, cut off anywhere behind the sequence number.

    Args:
        data: ``QuotedDatagram.transport``, or what an error queue hands out behind the IP header.

    Raises:
        PacketError: Ports and sequence number are incomplete.
    """
    view = as_view(data)
    available = len(view)
    if available < _FRONT_SIZE:
        raise PacketError(f"quoted TCP header cut short: {available} of at least 8 bytes", available)
    source_port, destination_port, sequence = _FRONT.unpack_from(view)
    acknowledgement = int.from_bytes(view[8:12], "big") if available >= 12 else None
    bits = int.from_bytes(view[12:14], "big") if available >= 14 else None
    window = int.from_bytes(view[14:16], "big") if available >= 16 else None
    checksum = int.from_bytes(view[16:18], "big") if available >= 18 else None
    options = None
    if bits is not None:
        end = (bits >> 12) * 4
        if _HEADER_SIZE <= end <= available:
            options = bytes(view[_HEADER_SIZE:end])
        bits &= _FLAG_BITS
    return QuotedTcp(
        source_port, destination_port, sequence, acknowledgement, bits, window, checksum, options
    )


def build_tcp(
    source: IPAddress,
    destination: IPAddress,
    source_port: int,
    destination_port: int,
    *,
    sequence: int,
    acknowledgement: int = 0,
    flags: int = TcpFlag.SYN,
    window: int,
    options: Buffer = b"",
    payload: Buffer = b"",
) -> bytes:
    """Build a segment with its checksum over the pseudo-header.

    Args:
        source: Source address that the segment will be sent from.
        destination: Destination address.
        source_port: Source port.
        destination_port: Destination port.
        sequence: Sequence number.
        acknowledgement: Acknowledgement number; it has a meaning only with the flag ACK.
        flags: Control bits.
        window: Window as it stands in the header, unscaled.
        options: Encoded options, padded to 32 bits by :func:`build_tcp_options` or here with zeros.
        payload: Data.

    Raises:
        PacketError: A field does not fit, the options take more than 40 bytes, or the addresses are of
            different families.
    """
    option_bytes = bytes(options)
    option_bytes += bytes(-len(option_bytes) % 4)
    if len(option_bytes) > _MAX_OPTIONS:
        raise PacketError(f"TCP options of {len(option_bytes)} bytes: at most 40", _HEADER_SIZE)
    check_bits(
        ("source port", source_port, 16, 0),
        ("destination port", destination_port, 16, 2),
        ("sequence number", sequence, 32, 4),
        ("acknowledgement number", acknowledgement, 32, 8),
        ("flags", flags, 12, 12),
        ("window", window, 16, 14),
    )
    header_length = _HEADER_SIZE + len(option_bytes)
    bits = header_length // 4 << 12 | flags
    segment = bytearray(header_length) + as_view(payload)
    _HEADER.pack_into(
        segment, 0, source_port, destination_port, sequence, acknowledgement, bits, window, 0, 0
    )
    segment[_HEADER_SIZE:header_length] = option_bytes
    initial = pseudo_header_sum(source, destination, _TCP, len(segment))
    segment[16:18] = internet_checksum(segment, initial).to_bytes(2, "big")
    return bytes(segment)


def parse_tcp_options(data: Buffer) -> tuple[TcpOption, ...]:
    """Decode options up to the end of the list; no-operations are left out (RFC 9293 section 3.2).

    Raises:
        PacketError: An option is cut short or has an impossible length.
    """
    view = as_view(data)
    size = len(view)
    found: list[TcpOption] = []
    offset = 0
    while offset < size:
        kind = view[offset]
        if kind == TcpOptionKind.END_OF_LIST:
            break
        if kind == TcpOptionKind.NO_OPERATION:
            offset += 1
            continue
        length = view[offset + 1] if offset + 1 < size else 0
        if length < 2 or offset + length > size:
            raise PacketError(f"TCP option {kind} of {length} bytes", offset)
        found.append(TcpOption(kind, bytes(view[offset + 2 : offset + length])))
        offset += length
    return tuple(found)


def build_tcp_options(options: Iterable[TcpOption]) -> bytes:
    """Encode options one behind the other, padded with zeros (end of list) to 32 bits.

    Raises:
        PacketError: An option does not fit, or all of them take more than 40 bytes.
    """
    encoded = bytearray()
    for kind, data in options:
        check_bits(("TCP option kind", kind, 8, len(encoded)))
        encoded.append(kind)
        if kind not in {TcpOptionKind.END_OF_LIST, TcpOptionKind.NO_OPERATION}:
            check_bits(("TCP option length", len(data) + 2, 8, len(encoded)))
            encoded.append(len(data) + 2)
            encoded += data
    encoded += bytes(-len(encoded) % 4)
    if len(encoded) > _MAX_OPTIONS:
        raise PacketError(f"TCP options of {len(encoded)} bytes: at most 40", _HEADER_SIZE)
    return bytes(encoded)
