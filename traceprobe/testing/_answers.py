"""What a station of a simulated path makes of a datagram: refuses it, ignores it, or answers it, in bytes.

Knows packets and how stations behave; knows nothing of paths, chance or time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from traceprobe.errors import PacketError
from traceprobe.packets import (
    EchoMessage,
    IcmpType,
    IcmpUnreachableCode,
    Icmpv6Type,
    IpProtocol,
    IPv4Header,
    TcpFlag,
    build_icmp_echo,
    build_icmp_error,
    build_ipv4,
    build_ipv6,
    build_tcp,
    build_udp,
    parse_icmp,
    parse_ip,
    parse_tcp,
    parse_udp,
)
from traceprobe.testing import _extensions
from traceprobe.testing._stations import Target, TcpAnswer, UdpAnswer, Unreachability

if TYPE_CHECKING:
    from random import Random

    from traceprobe.packets import IPDatagram
    from traceprobe.testing._checks import Address
    from traceprobe.testing._stations import Responder, Router

_ICMP: Final = frozenset({IpProtocol.ICMP, IpProtocol.ICMPV6})
_DONT_FRAGMENT: Final = 2
_IPV6_HEADER: Final = 40

# Most bytes of a datagram that an error quotes: it must fit into 576 bytes (RFC 1812 section 4.3.2.3) or
# the minimum MTU (RFC 4443 section 2.4), with an IP header and eight bytes of ICMP in front.
_LONGEST_QUOTE: Final = {4: 576 - 20 - 8, 6: 1280 - 40 - 8}

_TOO_BIG: Final = {
    4: (int(IcmpType.DESTINATION_UNREACHABLE), int(IcmpUnreachableCode.FRAGMENTATION_NEEDED)),
    6: (int(Icmpv6Type.PACKET_TOO_BIG), 0),
}
_NEXT_HEADER_AT: Final = 6
"""Where an IPv6 header names the protocol, which is what RFC 4443 section 3.4 has the error point at."""

_EXTENSIBLE: Final[dict[int, set[int]]] = {
    4: {IcmpType.DESTINATION_UNREACHABLE, IcmpType.TIME_EXCEEDED, IcmpType.PARAMETER_PROBLEM},
    6: {Icmpv6Type.DESTINATION_UNREACHABLE, Icmpv6Type.TIME_EXCEEDED},
}
"""Errors that can have an extension structure (RFC 4884 section 4)."""

_EXTENDED_QUOTE: Final = 128
"""Bytes of the quote in front of a structure: the fewest, and all that there was before RFC 4884."""

_SEQUENCE: Final = 0x1234_5678
_WINDOW: Final = 64240
"""What a listening service begins with; probers don't look at it."""


def router_refusal(router: Router, parsed: IPDatagram) -> tuple[int, int, int] | None:
    """Why a router does not forward a datagram that has not expired, as type, code and rest."""
    if router.refuses is None and router.mtu is None:
        return None
    version = parsed.version
    if router.refuses is not None:
        pointer = version == 6 and router.refuses is Unreachability.PROTOCOL
        return (*router.refuses.icmp(version), _NEXT_HEADER_AT if pointer else 0)
    header = parsed.header
    if isinstance(header, IPv4Header):
        size, may_fragment = header.total_length, not header.flags & _DONT_FRAGMENT
    else:
        size, may_fragment = _IPV6_HEADER + header.payload_length, False
    if router.mtu is not None and size > router.mtu and not may_fragment:
        return (*_TOO_BIG[version], router.mtu)
    return None


def target_refusal(target: Target, parsed: IPDatagram) -> tuple[int, int, int] | None:
    """Why a target does not take a datagram, as type, code and rest."""
    version = parsed.version
    if parsed.protocol in _ICMP or parsed.protocol == IpProtocol.TCP:
        return None
    if parsed.protocol != IpProtocol.UDP:
        return (*Unreachability.PROTOCOL.icmp(version), _NEXT_HEADER_AT if version == 6 else 0)
    return (*Unreachability.PORT.icmp(version), 0) if target.udp is UdpAnswer.PORT_UNREACHABLE else None


def silence_of(target: Target, parsed: IPDatagram) -> str:
    """Why a target has no answer to what has reached it; empty if it has one."""
    pseudo = (parsed.source, parsed.destination)
    try:
        if parsed.protocol == IpProtocol.UDP:
            parse_udp(parsed.payload, pseudo=pseudo)
            return f"{parsed.destination} ignores UDP" if target.udp is UdpAnswer.SILENT else ""
        if parsed.protocol == IpProtocol.TCP:
            segment = parse_tcp(parsed.payload, pseudo=pseudo)
            asked = segment.flags & TcpFlag.SYN and not segment.flags & TcpFlag.ACK
            return "" if asked and target.tcp is not TcpAnswer.SILENT else f"{parsed.destination} ignores TCP"
        if parsed.protocol in _ICMP:
            message = parse_icmp(parsed.version, parsed.payload, pseudo=pseudo, verify=True)
            wanted = isinstance(message, EchoMessage) and message.is_request
            return "" if wanted and target.echo else f"{parsed.destination} ignores it"
    except PacketError as error:
        return f"refused by {parsed.destination}: {error}"
    return ""


def answering_segment(
    responder: Responder,
    error: tuple[int, int, int] | None,
    datagram: bytes,
    source: Address,
    prober: Address,
) -> tuple[IpProtocol, bytes]:
    """The transport segment of an answer.

    Args:
        responder: Who answers.
        error: Type, code and rest of the ICMP error that it is; None if the datagram has arrived.
        datagram: What is answered, as the responder got it.
        source: Where the answer comes from.
        prober: Where it goes.
    """
    parsed = parse_ip(datagram)
    version = parsed.version
    icmp = IpProtocol.ICMP if version == 4 else IpProtocol.ICMPV6
    if error is not None:
        return icmp, _error_message(responder, error, datagram, source, prober)
    if parsed.protocol == IpProtocol.UDP:
        asked = parse_udp(parsed.payload)
        ports = (asked.destination_port, asked.source_port)
        return IpProtocol.UDP, build_udp(source, prober, *ports, asked.payload)
    if parsed.protocol == IpProtocol.TCP:
        assert isinstance(responder, Target)
        return IpProtocol.TCP, _tcp_answer(responder, parsed, source, prober)
    request = parse_icmp(version, parsed.payload)
    assert isinstance(request, EchoMessage)
    return icmp, build_icmp_echo(
        version,
        identifier=request.identifier,
        sequence=request.sequence,
        payload=request.payload,
        request=False,
        source=source,
        destination=prober,
    )


def _tcp_answer(target: Target, parsed: IPDatagram, source: Address, prober: Address) -> bytes:
    asked = parse_tcp(parsed.payload)
    is_open = target.tcp is TcpAnswer.OPEN
    return build_tcp(
        source,
        prober,
        asked.destination_port,
        asked.source_port,
        sequence=_SEQUENCE if is_open else 0,
        # RFC 9293 section 3.10.7.1: a SYN counts as one, and so does each byte of data.
        acknowledgement=asked.sequence + 1 + (0 if is_open else len(asked.payload)) & 0xFFFFFFFF,
        flags=TcpFlag.ACK | (TcpFlag.SYN if is_open else TcpFlag.RST),
        window=_WINDOW if is_open else 0,
    )


def _error_message(
    responder: Responder, error: tuple[int, int, int], datagram: bytes, source: Address, prober: Address
) -> bytes:
    kind, code, rest = error
    version = source.version
    header = len(datagram) - len(parse_ip(datagram).payload)
    structure = b""
    if kind in _EXTENSIBLE[version]:
        structure = _extensions.encode(responder.mpls, responder.interfaces, responder.extensions)
    # Quotes in front of a structure are whole words of 64 bits (RFC 4884 section 4).
    longest = (_LONGEST_QUOTE[version] - len(structure)) // 8 * 8 if structure else _LONGEST_QUOTE[version]
    quoted = datagram[: longest if responder.quote is None else header + responder.quote]
    if structure and responder.legacy_extensions:
        quoted = quoted[:_EXTENDED_QUOTE].ljust(_EXTENDED_QUOTE, b"\0") + structure
        structure = b""
    return build_icmp_error(
        version,
        type=kind,
        code=code,
        rest=rest,
        quoted=quoted,
        extension=structure,
        source=source,
        destination=prober,
    )


def wrap(
    segment: bytes, protocol: IpProtocol, source: Address, destination: Address, ttl: int, random: Random
) -> bytes:
    """The datagram around a segment."""
    if source.version == 6:
        return build_ipv6(
            segment, source=source, destination=destination, next_header=protocol, hop_limit=ttl
        )
    return build_ipv4(
        segment,
        source=source,
        destination=destination,
        protocol=protocol,
        ttl=ttl,
        identification=random.randrange(0x10000),
    )
