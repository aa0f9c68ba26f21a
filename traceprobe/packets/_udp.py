"""UDP (RFC 768, over IPv6 RFC 8200 section 8.1), and datagrams whose checksum is chosen beforehand."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from traceprobe.errors import PacketError
from traceprobe.packets._arguments import as_view, check_bits
from traceprobe.packets._checksum import ones_complement_sum, pseudo_header_sum
from traceprobe.packets._constants import IpProtocol

if TYPE_CHECKING:
    from traceprobe.packets._arguments import Buffer, IPAddress

_HEADER: Final = struct.Struct("!HHHH")
_HEADER_SIZE: Final = 8
_UDP: Final = int(IpProtocol.UDP)


class UdpDatagram(NamedTuple):
    """A UDP datagram, or what was quoted of one."""

    source_port: int
    destination_port: int
    length: int
    """Bytes by its own header, which is included."""
    checksum: int
    """0 if the sender computed none."""
    payload: memoryview
    """A view of the bytes that were parsed, not a copy."""


def parse_udp(
    data: Buffer,
    *,
    quoted: bool = False,
    pseudo: tuple[IPAddress, IPAddress] | None = None,
) -> UdpDatagram:
    """Parse a UDP datagram; bytes behind its own length are cut.

    Args:
        data: The datagram, from the first byte of its header.
        quoted: It is ``QuotedDatagram.transport``: it may be cut short anywhere behind the header, and its
            length is reported, whatever it is.
        pseudo: Source and destination address: verify the checksum with them. In IPv4 a checksum of 0
            means that there is none (RFC 768); in IPv6 it is wrong (RFC 8200 section 8.1).

    Raises:
        PacketError: It is no UDP datagram, its checksum is wrong, or it is too short to tell.
    """
    view = as_view(data)
    available = len(view)
    if available < _HEADER_SIZE:
        raise PacketError(f"UDP header cut short: {available} of 8 bytes", available)
    source_port, destination_port, length, checksum = _HEADER.unpack_from(view)
    if length < _HEADER_SIZE:
        if not quoted or pseudo is not None:
            raise PacketError(f"UDP length {length} below the header's 8 bytes", 4)
        return UdpDatagram(source_port, destination_port, length, checksum, view[_HEADER_SIZE:])
    if length > available and (not quoted or pseudo is not None):
        raise PacketError(f"UDP length {length}, but only {available} bytes", 4)
    if pseudo is not None and (checksum or pseudo[0].version == 6):
        total = ones_complement_sum(view[:length], pseudo_header_sum(*pseudo, _UDP, length))
        if not checksum or total != 0xFFFF:
            raise PacketError(f"UDP checksum {checksum:#06x} is wrong", 6)
    return UdpDatagram(source_port, destination_port, length, checksum, view[_HEADER_SIZE:length])


def build_udp(
    source: IPAddress, destination: IPAddress, source_port: int, destination_port: int, payload: Buffer = b""
) -> bytes:
    """Build a UDP datagram with its checksum over the pseudo-header.

    Raises:
        PacketError: A port or the length does not fit, or the addresses are of different families.
    """
    payload = as_view(payload)
    length = _check(source_port, destination_port, payload)
    total = pseudo_header_sum(source, destination, _UDP, length) + source_port + destination_port + length
    # RFC 768: a computed checksum of 0 is sent as its other form, for 0 says that there is none.
    checksum = 0xFFFF - ones_complement_sum(payload, total) or 0xFFFF
    return b"".join((_HEADER.pack(source_port, destination_port, length, checksum), payload))


def build_udp_with_checksum(
    source: IPAddress,
    destination: IPAddress,
    source_port: int,
    destination_port: int,
    checksum: int,
    payload: Buffer,
) -> bytes:
    """Build a valid UDP datagram whose checksum field holds the value asked for.

    The last two bytes of the payload are replaced by what makes the checksum come out so. As in Paris
    traceroute the checksum can then number a probe, while the fields that routers balance load by stay
    what they are.

    Args:
        source: Source address that the datagram will be sent from.
        destination: Destination address.
        source_port: Source port.
        destination_port: Destination port.
        checksum: The checksum wanted, 1 to 0xffff; 0 would say that there is none.
        payload: At least two bytes; the last two don't matter.

    Raises:
        PacketError: A field does not fit, or the payload has no room for two bytes.
    """
    if not 1 <= checksum <= 0xFFFF:
        raise PacketError(f"UDP checksum {checksum}: must be 1 to 65535", 6)
    payload = as_view(payload)
    if len(payload) < 2:
        raise PacketError(f"UDP payload of {len(payload)} bytes has no room for two", _HEADER_SIZE)
    length = _check(source_port, destination_port, payload)
    kept = payload[:-2]
    total = pseudo_header_sum(source, destination, _UDP, length)
    total += source_port + destination_port + length + checksum
    missing = 0xFFFF - ones_complement_sum(kept, total)
    # With an odd length the two bytes straddle a word boundary: they count with their bytes swapped.
    return b"".join((
        _HEADER.pack(source_port, destination_port, length, checksum),
        kept,
        missing.to_bytes(2, "little" if length & 1 else "big"),
    ))


def _check(source_port: int, destination_port: int, payload: memoryview) -> int:
    length = _HEADER_SIZE + len(payload)
    check_bits(
        ("source port", source_port, 16, 0),
        ("destination port", destination_port, 16, 2),
        ("length", length, 16, 4),
    )
    return length
