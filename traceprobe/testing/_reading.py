"""From a received datagram to a reply: what a kernel checks, then what a socket's codec finds out.

Sans-IO; knows nothing of simulations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprobe.config import AddressFamily, Protocol
from traceprobe.errors import PacketError
from traceprobe.model import Reply, TimestampSource
from traceprobe.packets import (
    IpProtocol,
    ones_complement_sum,
    parse_icmp,
    parse_ip,
    parse_tcp,
    parse_udp,
    pseudo_header_sum,
)
from traceprobe.sockets.codec import Refusal, read_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from traceprobe.model import ProbeId
    from traceprobe.packets import EchoMessage, IcmpError, IcmpOther, IPDatagram, TcpSegment, UdpDatagram
    from traceprobe.sockets.codec import ProbeCodec

_WIRE_PROTOCOL = {
    (Protocol.ICMP, AddressFamily.IPV4): IpProtocol.ICMP,
    (Protocol.ICMP, AddressFamily.IPV6): IpProtocol.ICMPV6,
    (Protocol.UDP, AddressFamily.IPV4): IpProtocol.UDP,
    (Protocol.UDP, AddressFamily.IPV6): IpProtocol.UDP,
    (Protocol.TCP, AddressFamily.IPV4): IpProtocol.TCP,
    (Protocol.TCP, AddressFamily.IPV6): IpProtocol.TCP,
}


def wire_protocol(codec: ProbeCodec) -> IpProtocol:
    """The protocol number of a codec's probes."""
    return _WIRE_PROTOCOL[codec.protocol, codec.family]


def read_reply(
    codec: ProbeCodec, datagram: bytes, sent_ns: Mapping[ProbeId, int], now_ns: int
) -> Reply | Refusal:
    """Read a datagram that has come in.

    Args:
        codec: Knows the probes that are outstanding.
        datagram: All of it, from the IP header on.
        sent_ns: When each of them was sent, monotonic nanoseconds.
        now_ns: When the datagram came.

    Returns:
        The reply, or why it is none.
    """
    try:
        parsed = parse_ip(datagram, verify=True)
        if not _is_sound(parsed):
            return Refusal.BAD_CHECKSUM
        message = _parse(parsed)
    except PacketError:
        return Refusal.MALFORMED
    answer = read_answer(codec, message, parsed.source)
    if isinstance(answer, Refusal):
        return answer
    return Reply(
        probe_id=answer.probe_id,
        kind=answer.kind,
        address=parsed.source,
        rtt_ns=now_ns - sent_ns[answer.probe_id],
        received_ns=now_ns,
        timestamp_source=TimestampSource.SIMULATED,
        icmp_type=answer.icmp_type,
        icmp_code=answer.icmp_code,
        reply_ttl=parsed.ttl,
        quoted_ttl=answer.quoted_ttl,
        mtu=answer.mtu,
        mpls=answer.extension.mpls,
        interfaces=answer.extension.interfaces,
        extensions=answer.extension.extensions,
        changes=answer.changes,
    )


def _is_sound(parsed: IPDatagram) -> bool:
    payload = parsed.payload
    if parsed.protocol == IpProtocol.UDP and parsed.version == 4 and not any(payload[6:8]):
        return True  # no checksum (RFC 768)
    initial = 0
    if parsed.protocol != IpProtocol.ICMP:
        initial = pseudo_header_sum(parsed.source, parsed.destination, parsed.protocol, len(payload))
    return ones_complement_sum(payload, initial) == 0xFFFF


def _parse(parsed: IPDatagram) -> EchoMessage | IcmpError | IcmpOther | UdpDatagram | TcpSegment:
    if parsed.protocol == IpProtocol.UDP:
        return parse_udp(parsed.payload)
    if parsed.protocol == IpProtocol.TCP:
        return parse_tcp(parsed.payload)
    if parsed.protocol in {IpProtocol.ICMP, IpProtocol.ICMPV6}:
        return parse_icmp(parsed.version, parsed.payload)
    raise PacketError(f"protocol {parsed.protocol}")
