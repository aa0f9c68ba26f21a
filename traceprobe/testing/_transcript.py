"""What happened on a simulated network, packet by packet, and as text that snapshot tests can keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs

from traceprobe.config import AddressFamily
from traceprobe.errors import PacketError
from traceprobe.packets import (
    EchoMessage,
    IcmpError,
    IcmpOther,
    IpProtocol,
    TcpFlag,
    parse_icmp,
    parse_ip,
    parse_quoted_tcp,
    parse_udp,
)
from traceprobe.sockets.codec import error_kind

if TYPE_CHECKING:
    from traceprobe.model import Probe, Reply
    from traceprobe.packets import IPDatagram
    from traceprobe.sockets.codec import Refusal

_NS_PER_MS = 1_000_000
_ARROWS = {"sent": "->", "received": "<-", "lost": "--"}


@attrs.frozen
class PacketRecord:
    """One packet that was sent, received, or lost on its way."""

    at_ns: int
    """Virtual time, nanoseconds since the network began."""
    direction: Literal["sent", "received", "lost"]
    datagram: bytes
    """All of it, from the IP header on; of a lost one, as it was when it got lost."""
    probe: Probe | None = None
    """The probe that was sent."""
    reply: Reply | None = None
    """What the socket made of a packet that was received; None if it refused it."""
    remark: str = ""
    """Why it was lost or refused."""

    def __str__(self) -> str:
        line = f"{self.at_ns / _NS_PER_MS:12.6f} ms  {_ARROWS[self.direction]}  {describe(self.datagram)}"
        return f"{line}  [{self.remark}]" if self.remark else line


def refused(reason: Refusal) -> str:
    """The remark on a packet that a socket refused."""
    return f"refused: {reason.value}"


def describe(datagram: bytes) -> str:
    """One line about a datagram: addresses, TTL, and what its headers say."""
    try:
        parsed = parse_ip(datagram)
    except PacketError as error:
        return f"{len(datagram)} bytes: {error}"
    head = f"{parsed.source} > {parsed.destination}  ttl {parsed.ttl}  {len(datagram)} bytes  "
    try:
        return head + _transport(parsed)
    except PacketError as error:
        return f"{head}protocol {parsed.protocol}: {error}"


def _transport(parsed: IPDatagram) -> str:
    if parsed.protocol == IpProtocol.UDP:
        return _ports(parsed.payload)
    if parsed.protocol == IpProtocol.TCP:
        return _segment(parsed.payload)
    if parsed.protocol not in {IpProtocol.ICMP, IpProtocol.ICMPV6}:
        return f"protocol {parsed.protocol}"
    message = parse_icmp(parsed.version, parsed.payload)
    if isinstance(message, EchoMessage):
        return _echo(message)
    if isinstance(message, IcmpOther):
        return f"icmp type {message.type} code {message.code}"
    return _error(message)


def _ports(segment: memoryview) -> str:
    udp = parse_udp(segment, quoted=True)
    return f"udp {udp.source_port} > {udp.destination_port} checksum {udp.checksum:#06x}"


def _segment(segment: memoryview) -> str:
    tcp = parse_quoted_tcp(segment)
    text = f"tcp {tcp.source_port} > {tcp.destination_port} seq {tcp.sequence:#010x}"
    if tcp.flags is None:
        return text
    names = [flag.name or "" for flag in TcpFlag if tcp.flags & flag]
    answered = f" ack {tcp.acknowledgement:#010x}" if tcp.flags & TcpFlag.ACK else ""
    return f"{text}{answered} {' '.join(names).lower() or 'no flags'}"


def _echo(message: EchoMessage) -> str:
    word = "request" if message.is_request else "reply"
    return f"echo {word} id {message.identifier:#06x} seq {message.sequence:#06x}"


def _error(message: IcmpError) -> str:
    quoted = message.quoted
    kind = error_kind(AddressFamily(quoted.version), message.type, message.code)
    name = "icmp error" if kind is None else kind.value.replace("_", " ")
    text = f"{name} ({message.type}/{message.code})"
    if message.mtu is not None:
        text += f" mtu {message.mtu}"
    return f"{text} quoting {quoted.destination} ttl {quoted.ttl} {_quoted_transport(message)}"


def _quoted_transport(message: IcmpError) -> str:
    quoted = message.quoted
    try:
        if quoted.protocol == IpProtocol.UDP:
            return _ports(quoted.transport)
        if quoted.protocol == IpProtocol.TCP:
            return _segment(quoted.transport)
        echo = parse_icmp(quoted.version, quoted.transport)
    except PacketError:
        return f"{len(quoted.transport)} bytes of protocol {quoted.protocol}"
    return _echo(echo) if isinstance(echo, EchoMessage) else f"protocol {quoted.protocol}"
