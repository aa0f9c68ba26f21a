"""Changes to packets that a network makes, on purpose or by mistake: TTLs, forgeries, damage.

Works on bytes. Knows no topology and no time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprobe.packets import (
    IpProtocol,
    internet_checksum,
    ones_complement_sum,
    parse_ip,
    pseudo_header_sum,
)
from traceprobe.testing._stations import FaultKind

if TYPE_CHECKING:
    from collections.abc import Container
    from random import Random

    from traceprobe.packets import IPDatagram
    from traceprobe.testing._checks import Address

_HEADER = 8
"""Bytes of an ICMP echo header (RFC 792, RFC 4443 section 4.1) and of a UDP header (RFC 768)."""

_TCP_HEADER = 20
"""Bytes of a TCP header (RFC 9293 section 3.1) without options, which are what tells its sender."""

# Offsets of what tells probers and probes apart: identifier and sequence number, or the two ports.
_IDENTIFIER_AT = {IpProtocol.ICMP: 4, IpProtocol.ICMPV6: 4, IpProtocol.UDP: 0, IpProtocol.TCP: 0}
_SEQUENCE_AT = {IpProtocol.ICMP: 6, IpProtocol.ICMPV6: 6, IpProtocol.UDP: 2, IpProtocol.TCP: 4}
_NUMBERS = 0xFFFF
"""Of those fields; 0 is none of them."""
_CHECKSUM_AT = {IpProtocol.ICMP: 2, IpProtocol.ICMPV6: 2, IpProtocol.UDP: 6, IpProtocol.TCP: 16}

PROBED = frozenset(_IDENTIFIER_AT)
"""Protocols that probes are made of."""

FORGERIES = frozenset({
    FaultKind.WRONG_IDENTIFIER,
    FaultKind.WRONG_SEQUENCE,
    FaultKind.WRONG_TOKEN,
    FaultKind.REWRITTEN,
})
"""What is done to the probe that a reply shows; the reply itself is sound."""


def with_ttl(datagram: bytes, ttl: int) -> bytes:
    """The datagram as it is after some routers: with another TTL, and in IPv4 another header checksum."""
    changed = bytearray(datagram)
    if changed[0] >> 4 == 6:
        changed[7] = ttl
        return bytes(changed)
    changed[8] = ttl
    changed[10:12] = b"\0\0"
    changed[10:12] = internet_checksum(changed[: (changed[0] & 0xF) * 4]).to_bytes(2, "big")
    return bytes(changed)


def with_traffic_class(datagram: bytes, traffic_class: int) -> bytes:
    """The datagram with another code point and other congestion bits."""
    changed = bytearray(datagram)
    if changed[0] >> 4 == 6:
        changed[0] = changed[0] & 0xF0 | traffic_class >> 4
        changed[1] = (traffic_class & 0xF) << 4 | changed[1] & 0xF
        return bytes(changed)
    changed[1] = traffic_class
    return with_ttl(bytes(changed), changed[8])


def with_source(datagram: bytes, source: Address) -> bytes:
    """The datagram as an address translator sends it on: from another address, with right checksums."""
    parsed = parse_ip(datagram)
    segment = bytearray(parsed.payload)
    changed = bytearray(datagram)
    at = 8 if parsed.version == 6 else 12
    changed[at : at + len(source.packed)] = source.packed
    checksum_at = _CHECKSUM_AT.get(IpProtocol(parsed.protocol)) if parsed.protocol in PROBED else None
    if checksum_at is not None and len(segment) >= checksum_at + 2:
        set_checksum(segment, IpProtocol(parsed.protocol), source, parsed.destination)
        changed[len(datagram) - len(segment) :] = segment
    return bytes(changed) if parsed.version == 6 else with_ttl(bytes(changed), changed[8])


def flow_key(parsed: IPDatagram) -> bytes:
    """What routers look at to balance load; see :func:`traceprobe.testing.topology.branch_of`."""
    icmp = parsed.protocol in {IpProtocol.ICMP, IpProtocol.ICMPV6}
    key = parsed.source.packed + parsed.destination.packed + bytes((parsed.protocol,))
    key += bytes(parsed.payload[: 6 if icmp else 4])
    label = getattr(parsed.header, "flow_label", None)
    return key if label is None else key + label.to_bytes(4, "big")


def sequence_of(parsed: IPDatagram) -> bytes:
    """The sequence number or destination port of a probe."""
    at = _SEQUENCE_AT[IpProtocol(parsed.protocol)]
    return bytes(parsed.payload[at : at + 2])


def forge(kind: FaultKind, datagram: bytes, random: Random, used: Container[bytes]) -> bytes:
    """The probe as a forged reply shows it.

    Args:
        kind: One of :data:`FORGERIES`.
        datagram: The probe.
        random: Source of what is made up.
        used: Sequence numbers or destination ports that probes have.
    """
    parsed = parse_ip(datagram)
    protocol = IpProtocol(parsed.protocol)
    segment = bytearray(parsed.payload)
    if kind in {FaultKind.WRONG_IDENTIFIER, FaultKind.REWRITTEN}:
        _change(segment, _IDENTIFIER_AT[protocol], random, ())
    if kind is FaultKind.WRONG_SEQUENCE:
        _change(segment, _SEQUENCE_AT[protocol], random, used)
    if kind is not FaultKind.REWRITTEN:
        header = _TCP_HEADER if protocol is IpProtocol.TCP else _HEADER
        segment[header:] = random.randbytes(len(segment) - header)
    if kind is not FaultKind.WRONG_TOKEN:
        set_checksum(segment, protocol, parsed.source, parsed.destination)
    return datagram[: len(datagram) - len(segment)] + segment


def damage(segment: bytes, random: Random) -> bytes:
    """Flip one bit behind the checksum."""
    changed = bytearray(segment)
    changed[random.randrange(_HEADER // 2, len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def truncate(segment: bytes, protocol: IpProtocol, source: Address, destination: Address) -> bytes:
    """Leave less than a header; in an error, less than the header that it quotes."""
    if protocol is IpProtocol.UDP:
        return segment[: _HEADER // 2]
    if protocol is IpProtocol.TCP:
        cut = bytearray(segment[: _TCP_HEADER - 2])
        set_checksum(cut, protocol, source, destination)
        return bytes(cut)
    shortest = 6 if len(segment) < _HEADER or _is_echo(segment, protocol) else 2 * _HEADER
    cut = bytearray(segment[:shortest])
    set_checksum(cut, protocol, source, destination)
    return bytes(cut)


def _is_echo(segment: bytes, protocol: IpProtocol) -> bool:
    return segment[0] in ({0, 8} if protocol is IpProtocol.ICMP else {128, 129})


def set_checksum(segment: bytearray, protocol: IpProtocol, source: Address, destination: Address) -> None:
    """Fill in the checksum of an ICMP, ICMPv6, UDP or TCP segment."""
    at = _CHECKSUM_AT[protocol]
    segment[at : at + 2] = b"\0\0"
    initial = 0
    if protocol is not IpProtocol.ICMP:
        initial = pseudo_header_sum(source, destination, protocol, len(segment))
    checksum = 0xFFFF - ones_complement_sum(segment, initial)
    if protocol is IpProtocol.UDP:
        # 0 would say that there is none (RFC 768).
        checksum = checksum or 0xFFFF
    segment[at : at + 2] = checksum.to_bytes(2, "big")


def _change(segment: bytearray, at: int, random: Random, used: Container[bytes]) -> None:
    """Put another number in, one that no probe has if there is one left."""
    old = bytes(segment[at : at + 2])
    drawn = random.randrange(_NUMBERS)
    numbers = ((1 + (drawn + step) % _NUMBERS).to_bytes(2, "big") for step in range(_NUMBERS))
    others = (number for number in numbers if number != old)
    last = next(others)
    segment[at : at + 2] = last if last not in used else next((n for n in others if n not in used), last)
