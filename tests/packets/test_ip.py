"""Complete IPv4 and IPv6 datagrams, built and parsed."""

from __future__ import annotations

import struct
from array import array
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.packets import golden
from tests.packets.reference import slow_checksum
from tests.packets.strategies import (
    bits3,
    bits8,
    bits13,
    bits16,
    bits20,
    ipv4_addresses,
    ipv6_addresses,
    payloads,
)
from traceprobe.errors import PacketError
from traceprobe.packets import IpProtocol, IPv4Header, IPv6Header, build_ipv4, build_ipv6, parse_ip

A4, B4 = IPv4Address("192.0.2.77"), IPv4Address("203.0.113.9")
A6, B6 = IPv6Address("2001:db8:0:1::77"), IPv6Address("2001:db8:9::9")


@given(
    st.fixed_dictionaries({
        "source": ipv4_addresses,
        "destination": ipv4_addresses,
        "protocol": bits8,
        "ttl": bits8,
        "traffic_class": bits8,
        "identification": bits16,
        "flags": bits3,
        "fragment_offset": bits13,
    }),
    st.binary(max_size=40),
    payloads,
)
def test_ipv4_comes_back_as_it_was_built(fields: dict[str, Any], options: bytes, payload: bytes) -> None:
    data = build_ipv4(payload, options=options, **fields)
    datagram = parse_ip(data, verify=True)
    header = datagram.header
    assert isinstance(header, IPv4Header)
    assert {name: getattr(header, name) for name in fields} == fields
    assert header.total_length == len(data)
    assert header.options == options + bytes(-len(options) % 4)
    assert datagram.payload == payload
    assert datagram.protocol == fields["protocol"]
    assert slow_checksum(data[: len(data) - len(payload)]) == 0
    assert (datagram.version, datagram.source, datagram.destination, datagram.ttl) == (
        4,
        fields["source"],
        fields["destination"],
        fields["ttl"],
    )
    assert (datagram.fragment_offset, datagram.more_fragments) == (
        fields["fragment_offset"],
        bool(fields["flags"] & 1),
    )


@given(
    st.fixed_dictionaries({
        "source": ipv6_addresses,
        "destination": ipv6_addresses,
        "next_header": bits8.filter(lambda number: number not in {0, 43, 44, 51, 60}),
        "hop_limit": bits8,
        "traffic_class": bits8,
        "flow_label": bits20,
    }),
    payloads,
)
def test_ipv6_comes_back_as_it_was_built(fields: dict[str, Any], payload: bytes) -> None:
    data = build_ipv6(payload, **fields)
    datagram = parse_ip(data)
    header = datagram.header
    assert isinstance(header, IPv6Header)
    assert {name: getattr(header, name) for name in fields} == fields
    assert header.payload_length == len(payload)
    assert datagram.payload == payload
    assert datagram.protocol == fields["next_header"]
    assert (datagram.version, datagram.source, datagram.destination, datagram.ttl) == (
        6,
        fields["source"],
        fields["destination"],
        fields["hop_limit"],
    )
    assert (datagram.fragment_offset, datagram.more_fragments) == (0, False)


def test_the_fields_of_a_real_ipv4_datagram() -> None:
    datagram = parse_ip(golden.UDP4, verify=True)
    assert datagram.header == IPv4Header(
        traffic_class=0,
        total_length=60,
        identification=0xD431,
        flags=0,
        fragment_offset=0,
        ttl=1,
        protocol=17,
        checksum=0xE728,
        source=A4,
        destination=B4,
    )
    assert datagram.protocol == IpProtocol.UDP
    assert datagram.payload == golden.UDP4[20:]


def test_the_fields_of_a_real_ipv6_datagram() -> None:
    datagram = parse_ip(golden.UDP6)
    assert datagram.header == IPv6Header(
        traffic_class=0,
        flow_label=0xABCDE,
        payload_length=40,
        next_header=17,
        hop_limit=1,
        source=A6,
        destination=B6,
    )
    assert datagram.protocol == IpProtocol.UDP
    assert datagram.payload == golden.UDP6[40:]


def test_options_of_a_real_header() -> None:
    datagram = parse_ip(golden.ALERT4, verify=True)
    assert isinstance(datagram.header, IPv4Header)
    assert datagram.header.options == bytes.fromhex("94040000")
    assert datagram.payload == golden.ALERT4[24:]


@pytest.mark.parametrize("name", sorted(golden.DATAGRAMS))
def test_a_real_datagram_is_rebuilt_to_the_bit(name: str) -> None:
    data = golden.DATAGRAMS[name]
    datagram = parse_ip(data, verify=True)
    header = datagram.header
    if isinstance(header, IPv4Header):
        rebuilt = build_ipv4(
            datagram.payload,
            source=header.source,
            destination=header.destination,
            protocol=header.protocol,
            ttl=header.ttl,
            traffic_class=header.traffic_class,
            identification=header.identification,
            flags=header.flags,
            fragment_offset=header.fragment_offset,
            options=header.options,
        )
    else:
        rebuilt = build_ipv6(
            data[40:],
            source=header.source,
            destination=header.destination,
            next_header=header.next_header,
            hop_limit=header.hop_limit,
            traffic_class=header.traffic_class,
            flow_label=header.flow_label,
        )
    assert rebuilt == data


@pytest.mark.parametrize("name", sorted(golden.DATAGRAMS))
def test_bytes_behind_the_datagram_are_cut(name: str) -> None:
    data = golden.DATAGRAMS[name]
    assert parse_ip(data + b"padding of a short frame") == parse_ip(data)


@pytest.mark.parametrize("name", sorted(golden.DATAGRAMS))
def test_every_truncation_of_a_datagram_is_refused(name: str) -> None:
    data = golden.DATAGRAMS[name]
    for length in range(len(data)):
        with pytest.raises(PacketError) as caught:
            parse_ip(data[:length])
        assert 0 <= caught.value.offset <= length


def _changed(data: bytes, offset: int, value: bytes) -> bytes:
    return data[:offset] + value + data[offset + len(value) :]


@pytest.mark.parametrize(
    ("data", "reason", "offset"),
    [
        (b"", "no bytes", 0),
        (b"\x00" * 40, "IP version 0", 0),
        (b"\x55" * 40, "IP version 5", 0),
        (b"\xf5" * 40, "IP version 15", 0),
        (_changed(golden.UDP4, 0, b"\x44"), "header length of 16", 0),
        (_changed(golden.UDP4, 0, b"\x40"), "header length of 0", 0),
        (_changed(golden.UDP4[:24], 0, b"\x4f"), "only 24 bytes", 2),
        (_changed(golden.UDP4[:24], 0, b"\x4f\x00\x00\x18"), "below the header's 60", 2),
        (_changed(golden.UDP4, 2, b"\x00\x13"), "total length 19 below", 2),
        (_changed(golden.UDP4, 2, b"\x00\x00"), "total length 0 below", 2),
        (_changed(golden.UDP4, 2, b"\x00\x3d"), "total length 61, but only 60", 2),
        (_changed(golden.UDP4, 2, b"\xff\xff"), "total length 65535", 2),
        (_changed(golden.UDP6, 4, b"\x00\x29"), "payload length 41, but only 40", 4),
        (_changed(golden.UDP6, 4, b"\xff\xff"), "payload length 65535", 4),
    ],
)
def test_impossible_lengths_are_refused(data: bytes, reason: str, offset: int) -> None:
    with pytest.raises(PacketError, match=reason) as caught:
        parse_ip(data)
    assert caught.value.offset == offset


def test_a_header_may_be_all_there_is() -> None:
    assert not parse_ip(build_ipv4(source=A4, destination=B4, protocol=1)).payload
    assert not parse_ip(build_ipv6(source=A6, destination=B6, next_header=59)).payload


@pytest.mark.parametrize("offset", [1, 4, 5, 8, 9, 10, 11, 12, 19])
def test_a_wrong_header_checksum_is_found_on_request_only(offset: int) -> None:
    data = _changed(golden.UDP4, offset, bytes([golden.UDP4[offset] ^ 0x20]))
    parse_ip(data)
    with pytest.raises(PacketError, match="checksum") as caught:
        parse_ip(data, verify=True)
    assert caught.value.offset == 10


def test_the_largest_datagrams() -> None:
    assert len(parse_ip(build_ipv4(bytes(65515), source=A4, destination=B4, protocol=1)).payload) == 65515
    assert len(parse_ip(build_ipv6(bytes(65535), source=A6, destination=B6, next_header=58)).payload) == 65535
    with pytest.raises(PacketError, match="total length 65536"):
        build_ipv4(bytes(65516), source=A4, destination=B4, protocol=1)
    with pytest.raises(PacketError, match="payload length 65536"):
        build_ipv6(bytes(65536), source=A6, destination=B6, next_header=58)


@pytest.mark.parametrize(
    ("field", "value", "offset"),
    [
        ("protocol", 256, 9),
        ("protocol", -1, 9),
        ("ttl", 256, 8),
        ("ttl", -1, 8),
        ("traffic_class", 256, 1),
        ("identification", 65536, 4),
        ("flags", 8, 6),
        ("fragment_offset", 8192, 6),
        ("options", bytes(41), 20),
        ("payload", bytes(65516), 2),
        ("source", A6, 0),
        ("destination", B6, 0),
    ],
)
def test_ipv4_fields_that_do_not_fit(field: str, value: object, offset: int) -> None:
    fields: dict[str, Any] = {"source": A4, "destination": B4, "protocol": 1} | {field: value}
    with pytest.raises(PacketError) as caught:
        build_ipv4(**fields)
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    ("field", "value", "offset"),
    [
        ("next_header", 256, 6),
        ("hop_limit", 256, 7),
        ("hop_limit", -1, 7),
        ("traffic_class", 256, 0),
        ("flow_label", 1 << 20, 1),
        ("flow_label", -1, 1),
        ("payload", bytes(65536), 4),
        ("source", A4, 0),
        ("destination", B4, 0),
    ],
)
def test_ipv6_fields_that_do_not_fit(field: str, value: object, offset: int) -> None:
    fields: dict[str, Any] = {"source": A6, "destination": B6, "next_header": 58} | {field: value}
    with pytest.raises(PacketError) as caught:
        build_ipv6(**fields)
    assert caught.value.offset == offset


def test_what_fields_are_if_nothing_is_said() -> None:
    assert build_ipv4(source=A4, destination=B4, protocol=1) == bytes.fromhex(
        "45000014 00000000 4001 7c92 c000024d cb007109"
    )
    assert build_ipv6(source=A6, destination=B6, next_header=58) == bytes.fromhex(
        "60000000 0000 3a 40 20010db8 00000001 00000000 00000077 20010db8 00090000 00000000 00000009"
    )


def test_the_longest_header_of_ipv4() -> None:
    options = bytes(range(1, 41))
    data = build_ipv4(b"payload", source=A4, destination=B4, protocol=1, options=options)
    datagram = parse_ip(data, verify=True)
    assert data[0] == 0x4F
    assert isinstance(datagram.header, IPv4Header)
    assert (datagram.header.options, bytes(datagram.payload)) == (options, b"payload")


def test_the_payload_is_a_view_and_not_a_copy() -> None:
    buffer = bytearray(golden.UDP4)
    payload = parse_ip(buffer).payload
    buffer[20] = 0xEE
    assert payload[0] == 0xEE
    assert payload.obj is buffer


def test_parsing_reads_memory_of_any_layout() -> None:
    wide = memoryview(array("H", struct.unpack("30H", golden.UDP4)))
    spread = memoryview(bytes(byte for pair in zip(golden.UDP4, bytes(60), strict=True) for byte in pair))[
        ::2
    ]
    table = memoryview(golden.UDP4).cast("B", (6, 10))
    characters = memoryview(golden.UDP4).cast("c")
    views: list[Any] = [wide, spread, table, characters]
    for view in views:
        assert parse_ip(view) == parse_ip(golden.UDP4)


def test_building_reads_memory_of_any_layout() -> None:
    wide = memoryview(array("H", [0x0102, 0x0304]))
    data = build_ipv4(wide, source=A4, destination=B4, protocol=1, options=wide)
    header = parse_ip(data, verify=True).header
    assert isinstance(header, IPv4Header)
    assert (header.total_length, header.options) == (28, wide.tobytes())
    assert parse_ip(build_ipv6(wide, source=A6, destination=B6, next_header=58)).payload == wide.tobytes()


def test_values_are_immutable() -> None:
    datagram = parse_ip(golden.UDP4)
    with pytest.raises(AttributeError):
        datagram.protocol = 1  # type: ignore[misc]
    with pytest.raises(AttributeError):
        datagram.header.source = A4  # type: ignore[misc]


@pytest.mark.parametrize(
    "claimed",
    [0, 20, 40, 60, 61, 0x3C00, 0x2800, 0xFFFF],
    ids=lambda claimed: f"ip_len={claimed}",
)
def test_a_length_that_the_kernel_rewrote_can_be_ignored(claimed: int) -> None:
    payload = bytes(range(40))
    data = bytearray(build_ipv4(payload, source=A4, destination=B4, protocol=1))
    data[2:4] = claimed.to_bytes(2, "big")
    datagram = parse_ip(data, ignore_length=True)
    assert datagram.payload.tobytes() == payload
    assert (datagram.source, datagram.destination, datagram.protocol) == (A4, B4, 1)


def test_ignoring_the_length_still_takes_a_whole_header() -> None:
    data = build_ipv4(b"", source=A4, destination=B4, protocol=1, options=bytes(8))
    assert parse_ip(data, ignore_length=True).payload.nbytes == 0
    for cut in range(len(data)):
        with pytest.raises(PacketError):
            parse_ip(data[:cut], ignore_length=True)
    long = bytearray(build_ipv6(b"12345678", source=A6, destination=B6, next_header=58))
    long[4:6] = b"\x03\xe8"
    assert parse_ip(long, ignore_length=True).payload.tobytes() == b"12345678"
