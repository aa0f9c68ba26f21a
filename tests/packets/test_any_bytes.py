"""Whatever the bytes: a value whose every part can be read, or PacketError that says where."""

from __future__ import annotations

import ast
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings

import traceprobe.packets
from tests.packets import golden
from tests.packets.strategies import any_bytes, versions
from traceprobe.errors import PacketError
from traceprobe.packets import (
    IcmpError,
    IPAddress,
    IPDatagram,
    QuotedDatagram,
    UdpDatagram,
    parse_extensions,
    parse_icmp,
    parse_ip,
    parse_quoted,
    parse_quoted_tcp,
    parse_tcp,
    parse_udp,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ADDRESSES: dict[int, tuple[IPAddress, IPAddress]] = {
    4: (IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")),
    6: (IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2")),
}

OFTEN = settings(max_examples=500)


def outcome(parse: Callable[..., object], data: bytes | memoryview, **options: object) -> object:
    """What parsing gives; None if it gives a well-formed PacketError. Everything else gets through."""
    refusal = None
    try:
        return parse(data, **options)
    except PacketError as error:
        refusal = error
    assert refusal.reason
    assert 0 <= refusal.offset <= len(data)
    return None


def read_quote(quoted: QuotedDatagram, size: int) -> None:
    assert quoted.source.version == quoted.destination.version == quoted.version
    assert 0 <= quoted.ttl <= 255
    assert 0 <= quoted.protocol <= 255
    assert 0 <= quoted.flags <= 7
    assert 0 <= quoted.fragment_offset < 1 << 13
    assert len(quoted.transport) <= size - (20 if quoted.version == 4 else 40)


@OFTEN
@given(any_bytes)
@example(b"")
def test_a_datagram(data: bytes) -> None:
    for verify in (False, True):
        datagram = outcome(parse_ip, data, verify=verify)
        if datagram is not None:
            assert isinstance(datagram, IPDatagram)
            assert datagram.version == data[0] >> 4
            assert datagram.source.version == datagram.destination.version == datagram.version
            assert 0 <= datagram.ttl <= 255
            assert len(datagram.payload) <= len(data) - (20 if datagram.version == 4 else 40)


@OFTEN
@given(versions, any_bytes)
def test_a_quoted_datagram(version: int, data: bytes) -> None:
    quoted = outcome(partial(parse_quoted, version), data)
    if quoted is not None:
        assert isinstance(quoted, QuotedDatagram)
        read_quote(quoted, len(data))


@OFTEN
@given(versions, any_bytes)
def test_an_icmp_message(version: int, data: bytes) -> None:
    for verify in (False, True):
        message = outcome(partial(parse_icmp, version), data, pseudo=ADDRESSES[version], verify=verify)
        if isinstance(message, IcmpError):
            read_quote(message.quoted, len(data) - 8 - len(message.extension))
            assert message.mtu is None or message.mtu > 0
            assert message.pointer is None or message.pointer >= 0
            outcome(parse_extensions, message.extension)
            outcome(parse_quoted_tcp, message.quoted.transport)


@OFTEN
@given(versions, any_bytes)
def test_a_udp_datagram(version: int, data: bytes) -> None:
    for quoted in (False, True):
        for pseudo in (None, ADDRESSES[version]):
            datagram = outcome(parse_udp, data, quoted=quoted, pseudo=pseudo)
            if datagram is not None:
                assert isinstance(datagram, UdpDatagram)
                assert len(datagram.payload) <= len(data) - 8
                assert quoted or len(datagram.payload) == datagram.length - 8


@OFTEN
@given(any_bytes)
def test_a_datagram_and_what_is_in_it(data: bytes) -> None:
    datagram = outcome(parse_ip, data)
    if isinstance(datagram, IPDatagram):
        outcome(partial(parse_icmp, datagram.version), datagram.payload)
        outcome(parse_udp, datagram.payload)


@pytest.mark.parametrize("name", sorted(golden.DATAGRAMS))
def test_every_byte_spoilt(name: str) -> None:
    data = golden.DATAGRAMS[name]
    for place in range(len(data)):
        for value in (0x00, 0xFF, data[place] ^ 0x80, data[place] ^ 0x01):
            datagram = outcome(parse_ip, data[:place] + bytes([value]) + data[place + 1 :])
            if isinstance(datagram, IPDatagram):
                message = outcome(partial(parse_icmp, datagram.version), datagram.payload)
                if isinstance(message, IcmpError):
                    outcome(parse_extensions, message.extension)
                outcome(parse_udp, datagram.payload)
                outcome(parse_tcp, datagram.payload)


@pytest.mark.parametrize("version", [4, 6])
def test_the_largest_messages(version: int) -> None:
    for filler in (b"\x00", b"\x2c", b"\x20", b"\x45", b"\x60", b"\xff", b"\x3c\x00\x00\x00\x00\x00\x00\x00"):
        data = (filler * 65535)[:65535]
        outcome(parse_ip, data)
        outcome(partial(parse_quoted, version), data)
        outcome(parse_udp, data)
        for kind in (1, 3, 11):
            outcome(partial(parse_icmp, version), bytes([kind, 0, 0, 0]) + data[4:])


def test_the_codecs_import_little() -> None:
    allowed = {
        "__future__",
        "collections",
        "enum",
        "importlib",
        "ipaddress",
        "struct",
        "typing",
        "traceprobe",
    }
    for path in Path(traceprobe.packets.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name.partition(".")[0] in allowed, f"{path.name} imports {name}"
                if name.startswith("traceprobe"):
                    ground = name in {"traceprobe.errors", "traceprobe._late"}
                    assert ground or name.startswith("traceprobe.packets."), path.name
