"""The answers of the simulated internet, which another program built: all read right, none a surprise.

The file is written by ``tests/kernel/test_internet_manners.py`` with ``TRACEPROBE_UPDATE_GOLDEN=1``.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from traceprobe.errors import PacketError
from traceprobe.packets import (
    IcmpError,
    IPDatagram,
    IpProtocol,
    TcpFlag,
    UdpDatagram,
    parse_extensions,
    parse_icmp,
    parse_ip,
    parse_quoted_tcp,
    parse_tcp,
    parse_tcp_options,
    parse_udp,
)

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "internet_vectors.json").read_text(encoding="ascii")
)
ERRORS = [vector for vector in VECTORS if vector["type"] not in {None, 0, 129}]

SHORT_QUOTES = {2: 8, 3: 8, 4: 8, 7: 0, 8: 20, 9: 8}
"""Bytes of the transport header and payload that the routers of ``quotes`` quote, by TTL."""


def name_of(vector: dict[str, Any]) -> str:
    return str(vector["name"])


def found(name: str) -> dict[str, Any]:
    return next(vector for vector in VECTORS if vector["name"] == name)


def read_error(vector: dict[str, Any]) -> IcmpError:
    datagram = parse_ip(bytes.fromhex(vector["answer"]), verify=True)
    pseudo = (datagram.source, datagram.destination)
    message = parse_icmp(datagram.version, datagram.payload, pseudo=pseudo, verify=True)
    assert isinstance(message, IcmpError)
    return message


def read_extension(message: IcmpError) -> dict[str, Any] | None:
    """What the extension says, in the words of the file; None if there is none to be believed."""
    try:
        read = parse_extensions(message.extension)
    except PacketError:
        return None
    return {
        "mpls": [list(entry) for entry in read.mpls],
        "interfaces": [
            [
                one.role.name.lower(),
                one.if_index,
                None if one.address is None else str(one.address),
                one.name,
                one.mtu,
            ]
            for one in read.interfaces
        ],
        "objects": [[one.class_num, one.c_type, one.payload.hex()] for one in read.unknown],
    }


@pytest.mark.parametrize("vector", ERRORS, ids=name_of)
def test_type_code_and_extension_are_read_right(vector: dict[str, Any]) -> None:
    message = read_error(vector)
    assert (message.type, message.code) == (vector["type"], vector["code"])
    assert read_extension(message) == vector["extension"]


@pytest.mark.parametrize(
    "vector", [one for one in ERRORS if not one["name"].startswith("path_changes")], ids=name_of
)
def test_the_quote_is_the_beginning_of_the_probe(vector: dict[str, Any]) -> None:
    quoted = read_error(vector).quoted
    sent = parse_ip(bytes.fromhex(vector["probe"]))
    assert (quoted.source, quoted.destination) == (sent.source, sent.destination)
    assert quoted.total_length == len(bytes.fromhex(vector["probe"]))
    scenario, ttl = vector["name"].split(":")[0], vector["name"].split()[-1]
    length = min(len(quoted.transport), len(sent.payload))
    if scenario == "quotes":
        length = min(length, SHORT_QUOTES.get(int(ttl), length))
    assert quoted.transport[:length] == sent.payload[:length]
    assert not any(quoted.transport[length:])  # padding, up to where the extension begins


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("protocol", ["icmp", "udp", "tcp"])
def test_what_the_path_changed_is_read_as_changed(version: int, protocol: str) -> None:
    def quoted(ttl: int) -> Any:
        return read_error(found(f"path_changes: {protocol}{version} at {ttl}")).quoted

    assert [quoted(ttl).ttl for ttl in range(1, 11)] == [1] * 10
    assert [quoted(ttl).traffic_class for ttl in (1, 2, 3)] == [0, 0x28, 0x03]
    if version == 4:
        assert quoted(4).identification == 0x1234
        assert (quoted(1).flags, quoted(5).flags) == (0, 2)
        assert quoted(6).total_length == 56
    else:
        assert quoted(4).flow_label == 0xABCDE
        assert (quoted(5).traffic_class, quoted(5).flow_label) == (255, 1)
        assert quoted(6).total_length == 52
    inside = "100.64.0.9" if version == 4 else "2001:db8:4e41:54::9"
    assert [str(quoted(ttl).source) == inside for ttl in (7, 8, 9, 10)] == [False, True, False, True]


@pytest.mark.parametrize("version", [4, 6])
def test_a_ttl_of_zero_is_read(version: int) -> None:
    ttls = [read_error(found(f"ttl_zero: udp{version} at {ttl}")).quoted.ttl for ttl in range(1, 6)]
    assert ttls == [1, 1, 0, 1, 1]


@pytest.mark.parametrize("version", [4, 6])
def test_mtu_and_pointer_are_read(version: int) -> None:
    messages = [read_error(one) for one in ERRORS if one["name"].startswith("unreachables")]
    mine = [message for message in messages if message.quoted.version == version]
    assert [message.mtu for message in mine if message.mtu is not None] == [1400 if version == 4 else 1280]
    pointers = {(one.type, one.code): one.pointer for one in mine if one.pointer is not None}
    problem = 12 if version == 4 else 4
    assert {kind for kind, _ in pointers} == {problem}
    assert pointers[problem, 0] == (20 if version == 4 else 40)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("port", "flags"), [(80, TcpFlag.SYN), (443, TcpFlag.SYN), (9, TcpFlag.RST)])
def test_segments_are_read_right(version: int, port: int, flags: TcpFlag) -> None:
    datagram = parse_ip(bytes.fromhex(found(f"ports: tcp{version} port {port}")["answer"]))
    segment = parse_tcp(datagram.payload, pseudo=(datagram.source, datagram.destination))
    assert (segment.source_port, segment.destination_port) == (port, 45123)
    assert segment.flags == flags | TcpFlag.ACK
    assert segment.acknowledgement == 0x10000000 + 5 + 1
    assert len(parse_tcp_options(segment.options)) == (1 if flags is TcpFlag.SYN else 0)


@pytest.mark.parametrize("version", [4, 6])
def test_data_is_read_right(version: int) -> None:
    datagram = parse_ip(bytes.fromhex(found(f"ports: udp{version} port 53")["answer"]))
    answer = parse_udp(datagram.payload, pseudo=(datagram.source, datagram.destination))
    assert (answer.source_port, answer.destination_port) == (53, 45123)
    assert answer.payload == bytes(range(32))


def read_everything(data: bytes) -> None:
    """Read a datagram, and all that may be in it, as far as it goes."""
    try:
        datagram: IPDatagram = parse_ip(data)
        if datagram.protocol == IpProtocol.TCP:
            parse_tcp_options(parse_tcp(datagram.payload).options)
        elif datagram.protocol == IpProtocol.UDP:
            assert isinstance(parse_udp(datagram.payload), UdpDatagram)
        else:
            message = parse_icmp(datagram.version, datagram.payload)
            if isinstance(message, IcmpError):
                read_extension(message)
                parse_quoted_tcp(message.quoted.transport)
    except PacketError:
        return


@pytest.mark.parametrize("scenario", sorted({name_of(vector).split(":")[0] for vector in VECTORS}))
def test_spoilt_or_cut_anywhere_they_raise_nothing_else(scenario: str) -> None:
    random = Random(4884)
    for vector in VECTORS:
        if not vector["name"].startswith(scenario):
            continue
        data = bytes.fromhex(vector["answer"])
        for place in range(min(len(data), 300)):
            spoilt = bytearray(data)
            spoilt[place] ^= random.randrange(1, 256)
            read_everything(bytes(spoilt))
            read_everything(data[:place])
