"""The kernel's filters let through exactly what may be about a packet of this socket."""

from __future__ import annotations

import socket
import sys
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sockets.wire import Codec, address, datagram, make_codec, make_probe, source
from traceprobe.config import AddressFamily, FlowStrategy, Protocol
from traceprobe.packets import TcpFlag, build_icmp_echo, build_icmp_error, build_ipv4, build_tcp

if sys.platform != "linux":
    pytest.skip("filters of Linux", allow_module_level=True)

from traceprobe.ffi import linux
from traceprobe.sockets.codec import TcpCodec
from traceprobe.sockets.linux._filters import REJECT_ALL, packet_filter, segment_filter, type_filter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from traceprobe.ffi.linux import FilterInstruction

KINDS = [
    (family, protocol, flow)
    for family in AddressFamily
    for protocol in Protocol
    for flow in (FlowStrategy.PARIS, FlowStrategy.CLASSIC)
]
every_kind = pytest.mark.parametrize(("family", "protocol", "flow"), KINDS)

IDENTIFIERS = {Protocol.ICMP: 0x1234, Protocol.UDP: 40001, Protocol.TCP: 40001}


def passes(program: Sequence[FilterInstruction] | bytes, packet: bytes) -> bool:
    """Ask the kernel: the program runs on a socket of a kind whose packets are all payload."""
    with closing_pair() as (sender, taker):
        linux.attach_filter(taker, program)
        sender.send(packet)
        try:
            received = taker.recv(65536)
        except BlockingIOError:
            return False
        assert received == packet, "the filter cuts the packet"
        return True


class closing_pair:  # noqa: N801 - used as a function
    def __enter__(self) -> tuple[socket.socket, socket.socket]:
        self._pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for opened in self._pair:
            opened.setblocking(False)
        return self._pair

    def __exit__(self, *_: object) -> None:
        for opened in self._pair:
            opened.close()


def program_for(codec: Codec) -> bytes:
    return packet_filter(
        codec.family,
        codec.protocol,
        IDENTIFIERS[codec.protocol],
        codec.cookie,
        codec.cookie_at,
        count=codec.source_ports if isinstance(codec, TcpCodec) else 1,
    )


def as_seen(codec: Codec, message: bytes, *, options: bytes = b"") -> bytes:
    """An ICMP message as a raw socket's filter sees it: IPv4 with its header, IPv6 without."""
    if codec.family is AddressFamily.IPV6:
        return message
    return build_ipv4(
        message,
        source=IPv4Address("198.51.100.7"),
        destination=IPv4Address("192.0.2.1"),
        protocol=1,
        options=options,
    )


def error_about(codec: Codec, quote: bytes) -> bytes:
    kind = 11 if codec.family is AddressFamily.IPV4 else 3
    return build_icmp_error(int(codec.family), type=kind, code=0, quoted=quote)


def quotes(codec: Codec) -> Iterator[tuple[bytes, bytes]]:
    """A segment of a probe, and the datagram that it left in."""
    probe = make_probe(codec.family)
    segment = codec.encode(probe, source(codec.family), 0)
    yield segment, datagram(codec, segment, probe.destination)


@every_kind
def test_errors_about_our_packets_pass(family: AddressFamily, protocol: Protocol, flow: FlowStrategy) -> None:
    codec = make_codec(family, protocol, flow)
    program = program_for(codec)
    for _, sent in quotes(codec):
        for cut in range(codec.header_size + 8, len(sent) + 1, 4):
            assert passes(program, as_seen(codec, error_about(codec, sent[:cut])))
        assert passes(program, as_seen(codec, error_about(codec, sent + bytes(100))))


@every_kind
def test_errors_about_other_packets_do_not(
    family: AddressFamily, protocol: Protocol, flow: FlowStrategy
) -> None:
    codec = make_codec(family, protocol, flow)
    program = program_for(codec)
    identifier_at = 4 if protocol is Protocol.ICMP else 0
    for segment, _ in quotes(codec):
        other = bytearray(segment)
        other[identifier_at] ^= 0x20
        other[codec.cookie_at] ^= 0x80
        destination = address(family, 9)
        foreign = datagram(codec, bytes(other), destination)
        assert not passes(program, as_seen(codec, error_about(codec, foreign)))
        assert not passes(program, as_seen(codec, error_about(codec, foreign[: codec.header_size + 8])))
        # Another protocol, whatever stands in its ports.
        sctp = datagram(codec, segment, destination, protocol=132)
        assert not passes(program, as_seen(codec, error_about(codec, sctp)))
        # Less than what shows whose packet it was.
        assert not passes(program, as_seen(codec, error_about(codec, sctp[: codec.header_size])))


@every_kind
def test_a_rewritten_identifier_passes_by_its_cookie(
    family: AddressFamily, protocol: Protocol, flow: FlowStrategy
) -> None:
    codec = make_codec(family, protocol, flow)
    program = program_for(codec)
    identifier_at = 4 if protocol is Protocol.ICMP else 0
    for segment, _ in quotes(codec):
        rewritten = bytearray(segment)
        rewritten[identifier_at] ^= 0x20
        sent = datagram(codec, bytes(rewritten), address(family, 9))
        assert passes(program, as_seen(codec, error_about(codec, sent)))
        if protocol is Protocol.ICMP:
            reply = bytes([0 if family is AddressFamily.IPV4 else 129]) + bytes(rewritten[1:])
            assert passes(program, as_seen(codec, reply))


@pytest.mark.parametrize("family", list(AddressFamily))
def test_echo_replies_pass_by_their_identifier(family: AddressFamily) -> None:
    program = program_for(make_codec(family, Protocol.ICMP, FlowStrategy.PARIS))
    codec = make_codec(family, Protocol.ICMP, FlowStrategy.PARIS)
    for identifier, passed in ((0x1234, True), (0x1235, False)):
        reply = build_icmp_echo(
            int(family), identifier=identifier, sequence=1, payload=bytes(32), request=False
        )
        assert passes(program, as_seen(codec, reply)) is passed
    udp = make_codec(family, Protocol.UDP, FlowStrategy.PARIS)
    payload = b"\xff" * 60
    reply = build_icmp_echo(int(family), identifier=40001, sequence=1, payload=payload, request=False)
    assert not passes(program_for(udp), as_seen(udp, reply))


@pytest.mark.parametrize("length", [4, 20, 40])
def test_ip_options_do_not_confuse_it(length: int) -> None:
    codec = make_codec(AddressFamily.IPV4, Protocol.UDP, FlowStrategy.PARIS)
    program = program_for(codec)
    options = b"\x01" * length
    for segment, sent in quotes(codec):
        assert passes(program, as_seen(codec, error_about(codec, sent), options=options))
        quoted = build_ipv4(
            segment,
            source=IPv4Address("192.0.2.1"),
            destination=IPv4Address("192.0.2.9"),
            protocol=17,
            options=options,
        )
        assert passes(program, as_seen(codec, error_about(codec, quoted), options=options))
        assert passes(program, as_seen(codec, error_about(codec, quoted[: 20 + length + 8])))


@pytest.mark.parametrize("extension", [0, 43, 44, 60])
def test_extension_headers_are_left_to_the_parser(extension: int) -> None:
    codec = make_codec(AddressFamily.IPV6, Protocol.ICMP, FlowStrategy.PARIS)
    for segment, _ in quotes(codec):
        quoted = datagram(codec, bytes([58, 0, 0, 0, 0, 0, 0, 0]) + segment, address(codec.family, 9))
        quoted = quoted[:6] + bytes([extension]) + quoted[7:]
        assert passes(program_for(codec), error_about(codec, quoted))


@pytest.mark.parametrize("family", list(AddressFamily))
@pytest.mark.parametrize(("first", "count"), [(16384, 512), (65535, 1), (0xFE00, 512)])
def test_segments_pass_by_port_and_flags(family: AddressFamily, first: int, count: int) -> None:
    program = segment_filter(family, first, count)
    here, there = address(family, 1), address(family, 9)
    answers = {TcpFlag.SYN | TcpFlag.ACK, TcpFlag.RST | TcpFlag.ACK}

    def passed(port: int, flags: int, options: bytes = b"") -> bool:
        data = build_tcp(there, here, 80, port, sequence=1, flags=flags, window=1)
        if family is AddressFamily.IPV4:
            data = build_ipv4(
                data,
                source=IPv4Address(int(there)),
                destination=IPv4Address(int(here)),
                protocol=6,
                options=options,
            )
        return passes(program, data)

    for flags in (*answers, TcpFlag.SYN, TcpFlag.ACK, TcpFlag.RST, TcpFlag.FIN | TcpFlag.ACK, 0x18):
        assert passed(first, flags) is (flags in answers)
        # Other control bits, such as those of congestion notification, make no difference.
        assert passed(first + count - 1, flags | TcpFlag.ECE) is (flags in answers)
        assert passed(first, flags, b"\x01" * 8) is (flags in answers)
        for port in {first - 1, first + count} & set(range(1, 65536)):
            assert not passed(port, flags)
    assert not passes(program, bytes(13))


def test_nothing_passes_to_a_socket_that_only_sends() -> None:
    assert not passes(REJECT_ALL, b"anything")


@given(kind=st.sampled_from(KINDS), packet=st.binary(min_size=1, max_size=120))
@settings(deadline=None, max_examples=200)
def test_any_bytes_are_survived(kind: tuple[AddressFamily, Protocol, FlowStrategy], packet: bytes) -> None:
    assert passes(program_for(make_codec(*kind)), packet) in {True, False}


@pytest.mark.parametrize(
    ("family", "protocol", "passed"),
    [
        (AddressFamily.IPV4, Protocol.ICMP, {0, 3, 11, 12}),
        (AddressFamily.IPV4, Protocol.UDP, {3, 11, 12}),
        (AddressFamily.IPV4, Protocol.TCP, {3, 11, 12}),
        (AddressFamily.IPV6, Protocol.ICMP, {1, 2, 3, 4, 129}),
        (AddressFamily.IPV6, Protocol.UDP, {1, 2, 3, 4}),
        (AddressFamily.IPV6, Protocol.TCP, {1, 2, 3, 4}),
    ],
)
def test_types_are_rejected_by_a_set_bit(family: AddressFamily, protocol: Protocol, passed: set[int]) -> None:
    value = type_filter(family, protocol)
    assert len(value) == (4 if family is AddressFamily.IPV4 else 32)
    words = [int.from_bytes(value[at : at + 4], sys.byteorder) for at in range(0, len(value), 4)]
    clear = {32 * index + bit for index, word in enumerate(words) for bit in range(32) if not word >> bit & 1}
    assert clear == passed
