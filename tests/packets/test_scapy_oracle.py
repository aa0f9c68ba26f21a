"""The codecs against scapy's: each reads what the other has built, checksums included."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.packets import golden
from tests.packets.reference import extension_structure
from tests.packets.strategies import (
    bits3,
    bits8,
    bits13,
    bits16,
    bits20,
    bits32,
    ipv4_addresses,
    ipv6_addresses,
    payloads,
)
from traceprobe.packets import (
    EchoMessage,
    IcmpError,
    IcmpOther,
    InterfaceObject,
    InterfaceObjectRole,
    IPv4Header,
    IPv6Header,
    LabelStackEntry,
    TcpOption,
    TcpOptionKind,
    build_extensions,
    build_icmp_echo,
    build_icmp_error,
    build_ipv4,
    build_ipv6,
    build_tcp,
    build_tcp_options,
    build_udp,
    build_udp_with_checksum,
    parse_extensions,
    parse_icmp,
    parse_ip,
    parse_tcp,
    parse_tcp_options,
    parse_udp,
)

inet: Any = pytest.importorskip("scapy.layers.inet")
inet6: Any = pytest.importorskip("scapy.layers.inet6")
mpls: Any = pytest.importorskip("scapy.contrib.mpls")
Raw: Any = pytest.importorskip("scapy.packet").Raw

A4, B4 = IPv4Address("192.0.2.77"), IPv4Address("203.0.113.9")
A6, B6 = IPv6Address("2001:db8:0:1::77"), IPv6Address("2001:db8:9::9")
MPLS = extension_structure(bytes.fromhex("0008 0101 03e8 1101"))


def resummed(packet: Any, *fields: tuple[Any, str]) -> bytes:
    """The packet as scapy builds it once it has to compute the checksums itself."""
    for layer, field in fields:
        delattr(packet[layer], field)
    return bytes(packet)


# --- what we build, scapy reads ----------------------------------------------------------------------


@given(
    ipv4_addresses,
    ipv4_addresses,
    bits8,
    bits8,
    bits16,
    bits3,
    bits13,
    payloads,
)
def test_scapy_reads_our_ipv4(
    source: IPv4Address,
    destination: IPv4Address,
    ttl: int,
    traffic_class: int,
    identification: int,
    flags: int,
    fragment_offset: int,
    payload: bytes,
) -> None:
    data = build_ipv4(
        payload,
        source=source,
        destination=destination,
        protocol=253,
        ttl=ttl,
        traffic_class=traffic_class,
        identification=identification,
        flags=flags,
        fragment_offset=fragment_offset,
    )
    packet = inet.IP(data)
    assert (packet.src, packet.dst) == (str(source), str(destination))
    assert (packet.version, packet.ihl, packet.len, packet.proto) == (4, 5, len(data), 253)
    assert (packet.ttl, packet.tos, packet.id) == (ttl, traffic_class, identification)
    assert (packet.flags.value, packet.frag) == (flags, fragment_offset)
    assert bytes(packet.payload) == payload
    assert resummed(packet, (inet.IP, "chksum"), (inet.IP, "len")) == data


@given(ipv6_addresses, ipv6_addresses, bits8, bits8, bits20, payloads)
def test_scapy_reads_our_ipv6(
    source: IPv6Address,
    destination: IPv6Address,
    hop_limit: int,
    traffic_class: int,
    flow_label: int,
    payload: bytes,
) -> None:
    data = build_ipv6(
        payload,
        source=source,
        destination=destination,
        next_header=253,
        hop_limit=hop_limit,
        traffic_class=traffic_class,
        flow_label=flow_label,
    )
    packet = inet6.IPv6(data)
    assert (IPv6Address(packet.src), IPv6Address(packet.dst)) == (source, destination)
    assert (packet.version, packet.plen, packet.nh) == (6, len(payload), 253)
    assert (packet.hlim, packet.tc, packet.fl) == (hop_limit, traffic_class, flow_label)
    assert bytes(packet.payload) == payload
    assert resummed(packet, (inet6.IPv6, "plen")) == data


@given(bits16, bits16, payloads, st.integers(1, 0xFFFE))
def test_scapy_agrees_with_our_udp(
    source_port: int, destination_port: int, payload: bytes, checksum: int
) -> None:
    segments4 = [build_udp(A4, B4, source_port, destination_port, payload)]
    segments6 = [build_udp(A6, B6, source_port, destination_port, payload)]
    if len(payload) >= 2:
        segments4.append(build_udp_with_checksum(A4, B4, source_port, destination_port, checksum, payload))
        segments6.append(build_udp_with_checksum(A6, B6, source_port, destination_port, checksum, payload))
    for segment in segments4:
        data = build_ipv4(segment, source=A4, destination=B4, protocol=17)
        packet = inet.IP(data)
        udp = packet[inet.UDP]
        assert (udp.sport, udp.dport, udp.len) == (source_port, destination_port, len(segment))
        assert resummed(packet, (inet.IP, "chksum"), (inet.UDP, "chksum"), (inet.UDP, "len")) == data
    for segment in segments6:
        data = build_ipv6(segment, source=A6, destination=B6, next_header=17)
        packet = inet6.IPv6(data)
        assert resummed(packet, (inet.UDP, "chksum"), (inet.UDP, "len")) == data
    if len(payload) >= 2:
        assert inet.UDP(segments4[1]).chksum == inet.UDP(segments6[1]).chksum == checksum


@given(bits16, bits16, payloads, st.booleans())
def test_scapy_agrees_with_our_echoes(identifier: int, sequence: int, payload: bytes, request: bool) -> None:
    data = build_ipv4(
        build_icmp_echo(4, identifier=identifier, sequence=sequence, payload=payload, request=request),
        source=A4,
        destination=B4,
        protocol=1,
    )
    packet = inet.IP(data)
    icmp = packet[inet.ICMP]
    assert (icmp.type, icmp.code, icmp.id, icmp.seq) == (8 if request else 0, 0, identifier, sequence)
    assert bytes(icmp.payload) == payload
    assert resummed(packet, (inet.ICMP, "chksum")) == data

    data = build_ipv6(
        build_icmp_echo(
            6,
            identifier=identifier,
            sequence=sequence,
            payload=payload,
            request=request,
            source=A6,
            destination=B6,
        ),
        source=A6,
        destination=B6,
        next_header=58,
    )
    packet = inet6.IPv6(data)
    kind = inet6.ICMPv6EchoRequest if request else inet6.ICMPv6EchoReply
    echo = packet[kind]
    assert (echo.code, echo.id, echo.seq, echo.data) == (0, identifier, sequence, payload)
    assert resummed(packet, (kind, "cksum")) == data


@pytest.mark.parametrize("extension", [b"", MPLS], ids=["plain", "extended"])
@pytest.mark.parametrize(("kind", "code", "rest"), [(3, 3, 0), (3, 4, 1400), (11, 0, 0), (12, 0, 9 << 24)])
def test_scapy_reads_our_icmp_errors(kind: int, code: int, rest: int, extension: bytes) -> None:
    message = build_icmp_error(4, type=kind, code=code, rest=rest, quoted=golden.UDP4, extension=extension)
    data = build_ipv4(message, source=B4, destination=A4, protocol=1)
    packet = inet.IP(data)
    icmp = packet[inet.ICMP]
    assert (icmp.type, icmp.code, icmp.length) == (kind, code, 32 if extension else 0)
    if kind == 3:
        assert icmp.nexthopmtu == rest
    if kind == 12:
        assert icmp.ptr == 9
    assert (packet[inet.IPerror].dst, packet[inet.IPerror].ttl) == ("203.0.113.9", 1)
    assert (packet[inet.UDPerror].sport, packet[inet.UDPerror].dport) == (45123, 33434)
    if extension:
        assert bytes(icmp.ext) == MPLS
    assert inet.checksum(message) == 0


@pytest.mark.parametrize("extension", [b"", MPLS], ids=["plain", "extended"])
@pytest.mark.parametrize(
    ("kind", "code", "name"), [(1, 4, "ICMPv6DestUnreach"), (3, 0, "ICMPv6TimeExceeded")]
)
def test_scapy_reads_our_icmpv6_errors(kind: int, code: int, name: str, extension: bytes) -> None:
    message = build_icmp_error(
        6,
        type=kind,
        code=code,
        quoted=golden.UDP6,
        extension=extension,
        source=B6,
        destination=A6,
    )
    packet = inet6.IPv6(build_ipv6(message, source=B6, destination=A6, next_header=58))
    layer = packet[getattr(inet6, name)]
    assert (layer.type, layer.code, layer.length) == (kind, code, 16 if extension else 0)
    assert packet[inet6.IPerror6].dst == str(B6)
    assert packet[inet.UDPerror].dport == 33434
    if extension:
        assert bytes(layer.ext) == MPLS
    assert inet6.in6_chksum(58, packet, message) == 0


# --- what scapy builds, we read ----------------------------------------------------------------------


@given(ipv4_addresses, bits8, bits8, bits16, bits3, bits13, payloads)
def test_we_read_ipv4_of_scapy(
    source: IPv4Address, ttl: int, tos: int, identification: int, flags: int, frag: int, payload: bytes
) -> None:
    packet = inet.IP(
        src=str(source), dst=str(B4), ttl=ttl, tos=tos, id=identification, flags=flags, frag=frag, proto=253
    ) / Raw(payload)
    datagram = parse_ip(bytes(packet), verify=True)
    header = datagram.header
    assert isinstance(header, IPv4Header)
    assert header._replace(checksum=0) == IPv4Header(
        tos, 20 + len(payload), identification, flags, frag, ttl, 253, 0, source, B4
    )
    assert datagram.payload == payload


@pytest.mark.parametrize(
    "options",
    [
        ["IPOption_NOP"],
        ["IPOption_Router_Alert"],
        ["IPOption_NOP", "IPOption_NOP", "IPOption_Router_Alert", "IPOption_EOL"],
    ],
)
def test_we_read_options_of_scapy(options: list[str]) -> None:
    packet = inet.IP(src=str(A4), dst=str(B4), options=[getattr(inet, name)() for name in options])
    header = parse_ip(bytes(packet / inet.UDP() / b"payload"), verify=True).header
    assert isinstance(header, IPv4Header)
    written = b"".join(bytes(getattr(inet, name)()) for name in options)
    assert header.options == written.ljust(-(-len(written) // 4) * 4, b"\0")


@given(ipv6_addresses, bits8, bits8, bits20, payloads)
def test_we_read_ipv6_of_scapy(
    source: IPv6Address, hop_limit: int, traffic_class: int, flow_label: int, payload: bytes
) -> None:
    packet = inet6.IPv6(
        src=str(source), dst=str(B6), hlim=hop_limit, tc=traffic_class, fl=flow_label, nh=253
    ) / Raw(payload)
    datagram = parse_ip(bytes(packet))
    assert datagram.header == IPv6Header(traffic_class, flow_label, len(payload), 253, hop_limit, source, B6)
    assert datagram.payload == payload


@given(bits16, bits16, payloads)
def test_we_read_udp_of_scapy(source_port: int, destination_port: int, payload: bytes) -> None:
    udp = inet.UDP(sport=source_port, dport=destination_port) / Raw(payload)
    for packet in (inet.IP(src=str(A4), dst=str(B4)) / udp, inet6.IPv6(src=str(A6), dst=str(B6)) / udp):
        datagram = parse_ip(bytes(packet))
        segment = parse_udp(datagram.payload, pseudo=(datagram.source, datagram.destination))
        assert (segment.source_port, segment.destination_port) == (source_port, destination_port)
        assert (segment.length, bytes(segment.payload)) == (8 + len(payload), payload)
        assert segment.checksum != 0


@given(bits16, bits16, payloads)
def test_we_read_echoes_of_scapy(identifier: int, sequence: int, payload: bytes) -> None:
    packets = [
        inet.IP(src=str(A4), dst=str(B4)) / inet.ICMP(type=8, id=identifier, seq=sequence) / Raw(payload),
        inet6.IPv6(src=str(A6), dst=str(B6))
        / inet6.ICMPv6EchoRequest(id=identifier, seq=sequence, data=payload),
    ]
    for packet in packets:
        datagram = parse_ip(bytes(packet), verify=True)
        message = parse_icmp(
            datagram.version, datagram.payload, pseudo=(datagram.source, datagram.destination), verify=True
        )
        assert message == EchoMessage(True, identifier, sequence, memoryview(payload))


@pytest.mark.parametrize("chain", ["hop", "destination", "routing", "fragment", "all"])
def test_we_walk_over_extension_headers_of_scapy(chain: str) -> None:
    headers = {
        "hop": inet6.IPv6ExtHdrHopByHop(options=[inet6.RouterAlert()]),
        "destination": inet6.IPv6ExtHdrDestOpt(options=[inet6.PadN(optdata=bytes(20))]),
        "routing": inet6.IPv6ExtHdrRouting(addresses=["2001:db8::5", "2001:db8::6"]),
        "fragment": inet6.IPv6ExtHdrFragment(m=1, id=7),
    }
    packet = inet6.IPv6(src=str(A6), dst=str(B6))
    for name, header in headers.items():
        if chain in {name, "all"}:
            packet /= header
    udp = inet.UDP(sport=1, dport=2, chksum=3) / Raw(b"payload")
    datagram = parse_ip(bytes(packet / udp))
    assert datagram.protocol == 17
    assert datagram.payload == bytes(udp)
    assert datagram.more_fragments == (chain in {"fragment", "all"})


@pytest.mark.parametrize("extended", [False, True], ids=["plain", "extended"])
def test_we_read_errors_of_scapy(extended: bool) -> None:
    information: Any = (
        inet.ICMPExtension_Header() / inet.ICMPExtension_InterfaceInformation(has_ifindex=1, ifindex=7)
        if extended
        else None
    )
    packets = [
        inet.IP(src=str(B4), dst=str(A4))
        / inet.ICMP(type=11, code=0, length=32 * extended, ext=information)
        / inet.IPerror(golden.UDP4),
        inet6.IPv6(src=str(B6), dst=str(A6))
        / inet6.ICMPv6TimeExceeded(length=16 * extended, ext=information)
        / inet6.IPerror6(golden.UDP6),
    ]
    for packet in packets:
        datagram = parse_ip(bytes(packet), verify=True)
        message = parse_icmp(
            datagram.version, datagram.payload, pseudo=(datagram.source, datagram.destination), verify=True
        )
        assert isinstance(message, IcmpError)
        assert message.quoted.ttl == 1
        segment = parse_udp(message.quoted.transport, quoted=True)
        assert (segment.source_port, segment.destination_port) == (45123, 33434)
        assert segment.payload == golden.UDP4[28:]
        assert bytes(message.extension) == (bytes(information) if extended else b"")


def test_we_know_no_more_of_scapys_other_messages() -> None:
    assert parse_icmp(4, bytes(inet.ICMP(type=13)), verify=True) == IcmpOther(13, 0)
    assert parse_icmp(6, bytes(inet6.ICMPv6ND_NS(cksum=1))) == IcmpOther(135, 0)


# --- TCP ---------------------------------------------------------------------------------------------

ANY_OPTIONS = st.lists(
    st.sampled_from([
        (TcpOption(TcpOptionKind.MAXIMUM_SEGMENT_SIZE, b"\x05\xb4"), ("MSS", 1460)),
        (TcpOption(TcpOptionKind.WINDOW_SCALE, b"\x07"), ("WScale", 7)),
        (TcpOption(TcpOptionKind.SACK_PERMITTED), ("SAckOK", b"")),
        (TcpOption(TcpOptionKind.TIMESTAMPS, bytes(range(8))), ("Timestamp", (0x00010203, 0x04050607))),
    ]),
    max_size=4,
    unique_by=lambda pair: pair[1][0],
)


@given(bits16, bits16, bits32, bits32, bits8, bits16, ANY_OPTIONS, payloads)
def test_scapy_reads_our_segments_and_we_read_scapys(
    source_port: int,
    destination_port: int,
    sequence: int,
    acknowledgement: int,
    flags: int,
    window: int,
    options: list[tuple[TcpOption, tuple[str, object]]],
    payload: bytes,
) -> None:
    ours = [option for option, _ in options]
    theirs = [option for _, option in options]
    for source, destination, head in (
        (A4, B4, inet.IP(src=str(A4), dst=str(B4))),
        (A6, B6, inet6.IPv6(src=str(A6), dst=str(B6))),
    ):
        segment = build_tcp(
            source,
            destination,
            source_port,
            destination_port,
            sequence=sequence,
            acknowledgement=acknowledgement,
            flags=flags,
            window=window,
            options=build_tcp_options(ours),
            payload=payload,
        )
        read = inet.TCP(segment)
        assert (read.sport, read.dport, read.seq, read.ack) == (
            source_port,
            destination_port,
            sequence,
            acknowledgement,
        )
        assert (int(read.flags), read.window, bytes(read.payload)) == (flags, window, payload)
        assert [option for option in read.options if option[0] not in {"EOL", "NOP"}] == theirs
        packet = head / inet.TCP(
            sport=source_port,
            dport=destination_port,
            seq=sequence,
            ack=acknowledgement,
            flags=flags,
            window=window,
            options=theirs,
        )
        built = parse_ip(bytes(packet / Raw(payload)))
        parsed = parse_tcp(built.payload, pseudo=(source, destination))
        assert parsed[:6] == (source_port, destination_port, sequence, acknowledgement, flags, window)
        assert parse_tcp_options(parsed.options) == tuple(ours)
        assert bytes(parsed.payload) == payload
        assert resummed(head / inet.TCP(segment), (inet.TCP, "chksum"))[-len(segment) :] == segment


# --- extension structures ----------------------------------------------------------------------------


@given(st.lists(st.tuples(bits20, bits3, bits8), min_size=1, max_size=5))
def test_scapy_reads_our_label_stacks(entries: list[tuple[int, int, int]]) -> None:
    labels = [
        LabelStackEntry(label, tc, int(index == len(entries) - 1), ttl)
        for index, (label, tc, ttl) in enumerate(entries)
    ]
    structure = build_extensions(mpls=labels)
    read = inet.ICMPExtension_Header(structure)
    assert read.version == 2
    (entry,) = read[mpls.ICMPExtension_MPLS].stack
    found = []
    while isinstance(entry, mpls.MPLS):
        found.append((entry.label, entry.cos, entry.s, entry.ttl))
        entry = entry.payload
    assert found == labels
    assert parse_extensions(structure).mpls == tuple(labels)


@given(
    st.sampled_from(InterfaceObjectRole),
    st.none() | bits32,
    st.none() | ipv4_addresses | ipv6_addresses,
    st.none() | bits32,
)
def test_scapy_reads_our_interface_information(
    role: InterfaceObjectRole,
    index: int | None,
    address: IPv4Address | IPv6Address | None,
    mtu: int | None,
) -> None:
    interface = InterfaceObject(role, index, address, mtu=mtu)
    structure = build_extensions(interfaces=[interface])
    read = inet.ICMPExtension_Header(structure)
    assert resummed(read, (inet.ICMPExtension_Header, "chksum")) == structure
    told = read[inet.ICMPExtension_InterfaceInformation]
    assert told.classtype == role
    assert (told.ifindex if told.has_ifindex else None) == index
    assert (told.mtu if told.has_mtu else None) == mtu
    shown = None if not told.has_ipaddr else told.ip4 if told.afi == 1 else told.ip6
    # As addresses: there are two ways to write those that hold one of IPv4.
    assert (None if shown is None else ip_address(shown)) == address
    assert parse_extensions(structure).interfaces == (interface,)
