"""Puts codec segments on an imaginary wire, and makes the answers that routers and hosts would send."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import TYPE_CHECKING, TypeAlias

from traceprobe.config import AddressFamily, FlowStrategy, Protocol
from traceprobe.model import Probe, ProbeId, make_probe_id
from traceprobe.packets import (
    EchoMessage,
    IcmpError,
    IpProtocol,
    build_icmp_error,
    build_ipv4,
    build_ipv6,
    parse_icmp,
)
from traceprobe.sockets.codec import IcmpCodec, TcpCodec, UdpCodec

if TYPE_CHECKING:
    from traceprobe.packets import IcmpOther

Address: TypeAlias = IPv4Address | IPv6Address
Codec: TypeAlias = IcmpCodec | UdpCodec | TcpCodec

SOURCE_PORT = 40001
SECRET = b"a secret of exactly 32 bytes ...".ljust(32, b".")
QUARANTINE_NS = 10_000

KINDS = [
    (family, protocol, flow)
    for family in AddressFamily
    for protocol in (Protocol.ICMP, Protocol.UDP)
    for flow in (FlowStrategy.PARIS, FlowStrategy.CLASSIC)
]
KIND_IDS = [f"{protocol.value}{family.value}-{flow.value}" for family, protocol, flow in KINDS]
ALL_KINDS = [
    (family, protocol, flow) for family in AddressFamily for protocol in Protocol for flow in FlowStrategy
]
ALL_KIND_IDS = [f"{protocol.value}{family.value}-{flow.value}" for family, protocol, flow in ALL_KINDS]


def make_codec(
    family: AddressFamily,
    protocol: Protocol,
    flow: FlowStrategy,
    *,
    seed: int = 1,
    quarantine_ns: int = QUARANTINE_NS,
    secret: bytes = SECRET,
) -> Codec:
    if protocol is Protocol.ICMP:
        return IcmpCodec(
            family, flow, identifier=0x1234, quarantine_ns=quarantine_ns, random=Random(seed), secret=secret
        )
    kind = TcpCodec if protocol is Protocol.TCP else UdpCodec
    return kind(
        family,
        flow,
        source_port=SOURCE_PORT,
        quarantine_ns=quarantine_ns,
        random=Random(seed),
        secret=secret,
    )


def address(family: AddressFamily, host: int) -> Address:
    if family is AddressFamily.IPV4:
        return IPv4Address("192.0.2.0") + host
    return IPv6Address("2001:db8::") + host


def make_probe(
    family: AddressFamily, index: int = 0, *, trace: int = 1, host: int = 9, **fields: int
) -> Probe:
    return Probe(
        make_probe_id(trace, index),
        address(family, host),
        ttl=1 + index % 255,
        attempt=1,
        flow=fields.get("flow", 0),
        size=fields.get("size"),
        port=fields.get("port"),
    )


def source(family: AddressFamily) -> Address:
    return address(family, 1)


def ip_protocol(codec: Codec) -> IpProtocol:
    if isinstance(codec, UdpCodec):
        return IpProtocol.UDP
    if isinstance(codec, TcpCodec):
        return IpProtocol.TCP
    return IpProtocol.ICMP if codec.family is AddressFamily.IPV4 else IpProtocol.ICMPV6


def datagram(
    codec: Codec,
    segment: bytes,
    destination: Address,
    *,
    ttl: int = 1,
    traffic_class: int = 0,
    identification: int = 0,
    protocol: int | None = None,
    sender: Address | None = None,
) -> bytes:
    """The IP datagram of a segment, as a router sees it."""
    protocol = ip_protocol(codec) if protocol is None else protocol
    sender = source(codec.family) if sender is None else sender
    if isinstance(destination, IPv4Address):
        assert isinstance(sender, IPv4Address)
        return build_ipv4(
            segment,
            source=sender,
            destination=destination,
            protocol=protocol,
            ttl=ttl,
            traffic_class=traffic_class,
            identification=identification,
        )
    assert isinstance(sender, IPv6Address)
    return build_ipv6(
        segment,
        source=sender,
        destination=IPv6Address(int(destination)),
        next_header=protocol,
        hop_limit=ttl,
        traffic_class=traffic_class,
        flow_label=identification,
    )


def time_exceeded(codec: Codec, quote: bytes) -> IcmpError:
    """The error that a router sends about what it quotes, parsed."""
    version = int(codec.family)
    kind = 11 if version == 4 else 3
    message = parse_icmp(version, build_icmp_error(version, type=kind, code=0, quoted=quote))
    assert isinstance(message, IcmpError)
    return message


def echo_reply(codec: Codec, segment: bytes) -> EchoMessage | IcmpError | IcmpOther:
    """The echo reply to an echo request, parsed."""
    kind = 0 if codec.family is AddressFamily.IPV4 else 129
    return parse_icmp(int(codec.family), bytes([kind]) + segment[1:])


def identifier_of(codec: Codec, segment: bytes) -> bytes:
    """The bytes that tell one probe from another, destination left out."""
    if isinstance(codec, UdpCodec):
        return segment[2:4] if codec.flow is FlowStrategy.CLASSIC else segment[6:8]
    return segment[4:8] if isinstance(codec, TcpCodec) else segment[6:8]


def ids(probes: list[Probe]) -> list[ProbeId]:
    return [probe.id for probe in probes]
