"""UDP datagrams, and those whose checksum was chosen beforehand."""

from __future__ import annotations

from array import array
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.packets import golden
from tests.packets.reference import pseudo_header, slow_checksum
from tests.packets.strategies import address_pairs, bits16, payloads
from traceprobe.errors import PacketError
from traceprobe.packets import (
    IPAddress,
    UdpDatagram,
    build_udp,
    build_udp_with_checksum,
    parse_ip,
    parse_udp,
)

A4, B4 = IPv4Address("192.0.2.77"), IPv4Address("203.0.113.9")
A6, B6 = IPv6Address("2001:db8:0:1::77"), IPv6Address("2001:db8:9::9")
PAIRS = pytest.mark.parametrize("pair", [(A4, B4), (A6, B6)], ids=["v4", "v6"])


def is_valid(pair: tuple[IPAddress, IPAddress], segment: bytes) -> bool:
    """What a receiver computes over pseudo-header and segment, checksum included."""
    return slow_checksum(pseudo_header(*pair, 17, len(segment)) + segment) == 0


@given(address_pairs, bits16, bits16, payloads)
def test_a_datagram_comes_back_as_it_was_built(
    pair: tuple[IPAddress, IPAddress], source_port: int, destination_port: int, payload: bytes
) -> None:
    segment = build_udp(*pair, source_port, destination_port, payload)
    datagram = parse_udp(segment, pseudo=pair)
    assert datagram == UdpDatagram(
        source_port, destination_port, 8 + len(payload), datagram.checksum, memoryview(payload)
    )
    assert datagram.checksum != 0
    assert is_valid(pair, segment)


@given(address_pairs, bits16, bits16, st.integers(1, 0xFFFF), st.binary(min_size=2, max_size=100))
@example((A4, B4), 45123, 33434, 0xFFFF, b"\x00\x00")
@example((A4, B4), 45123, 33434, 1, b"odd")
@example((A6, B6), 45123, 33434, 0xFFFF, b"\xff\xff\xff")
@example((IPv4Address(0), IPv4Address(0)), 0, 0, 0xFFFF, b"\x00\x00")
def test_a_checksum_chosen_beforehand(
    pair: tuple[IPAddress, IPAddress], source_port: int, destination_port: int, checksum: int, payload: bytes
) -> None:
    segment = build_udp_with_checksum(*pair, source_port, destination_port, checksum, payload)
    datagram = parse_udp(segment, pseudo=pair)
    assert datagram.checksum == checksum
    assert (datagram.source_port, datagram.destination_port) == (source_port, destination_port)
    assert datagram.length == len(segment) == 8 + len(payload)
    assert datagram.payload[:-2] == payload[:-2]
    assert is_valid(pair, segment)


@PAIRS
def test_all_checksums_of_a_flow_differ_in_nothing_else(pair: tuple[IPAddress, IPAddress]) -> None:
    seen = set()
    for checksum in range(1, 0x10000, 97):
        segment = build_udp_with_checksum(*pair, 45123, 33434, checksum, b"token...")
        assert segment[:6] == build_udp(*pair, 45123, 33434, b"token...")[:6]
        assert segment[6:8] == checksum.to_bytes(2, "big")
        assert segment[8:14] == b"token."
        seen.add(segment)
    assert len(seen) == len(range(1, 0x10000, 97))


@PAIRS
def test_a_checksum_of_zero_is_written_as_ones(pair: tuple[IPAddress, IPAddress]) -> None:
    # The payload is what makes the rest sum up to all ones, so that the complement is 0.
    missing = slow_checksum(pseudo_header(*pair, 17, 10) + bytes.fromhex("b043 829a 000a 0000"))
    segment = build_udp(*pair, 45123, 33434, missing.to_bytes(2, "big"))
    assert parse_udp(segment).checksum == 0xFFFF
    assert is_valid(pair, segment)
    assert parse_udp(segment, pseudo=pair).checksum == 0xFFFF


@pytest.mark.parametrize("data", [golden.UDP4, golden.UDP6], ids=["v4", "v6"])
def test_a_real_datagram(data: bytes) -> None:
    outer = parse_ip(data)
    pair = outer.source, outer.destination
    datagram = parse_udp(outer.payload, pseudo=pair)
    assert (datagram.source_port, datagram.destination_port, datagram.length) == (45123, 33434, 40)
    assert datagram.payload == bytes(range(0x40, 0x60))
    assert build_udp(*pair, 45123, 33434, datagram.payload) == outer.payload


def test_every_truncation_is_refused_unless_it_is_a_quote() -> None:
    segment = golden.UDP4[20:]
    for length in range(len(segment)):
        with pytest.raises(PacketError) as caught:
            parse_udp(segment[:length])
        assert 0 <= caught.value.offset <= length
        if length < 8:
            with pytest.raises(PacketError, match="cut short"):
                parse_udp(segment[:length], quoted=True)
        else:
            quoted = parse_udp(segment[:length], quoted=True)
            assert (quoted.length, quoted.checksum) == (40, 0xD963)
            assert quoted.payload == segment[8:length]


@pytest.mark.parametrize("length", range(8))
def test_a_length_below_the_header(length: int) -> None:
    segment = golden.UDP4[20:24] + length.to_bytes(2, "big") + golden.UDP4[26:]
    with pytest.raises(PacketError, match="below the header") as caught:
        parse_udp(segment)
    assert caught.value.offset == 4
    quoted = parse_udp(segment, quoted=True)
    assert (quoted.length, bytes(quoted.payload)) == (length, segment[8:])


def test_bytes_behind_the_length_are_cut() -> None:
    segment = golden.UDP4[20:]
    assert parse_udp(segment + bytes(20)) == parse_udp(segment)
    assert parse_udp(segment + bytes(20), quoted=True) == parse_udp(segment)


@PAIRS
@pytest.mark.parametrize("place", [0, 3, 6, 7, 8, 15])
def test_a_wrong_checksum_is_found(pair: tuple[IPAddress, IPAddress], place: int) -> None:
    segment = bytearray(build_udp(*pair, 45123, 33434, b"payload!"))
    segment[place] ^= 0x10
    parse_udp(segment)
    with pytest.raises(PacketError, match="checksum") as caught:
        parse_udp(segment, pseudo=pair)
    assert caught.value.offset == 6


def test_a_checksum_of_other_addresses_is_wrong() -> None:
    segment = build_udp(A4, B4, 1, 2, b"x")
    with pytest.raises(PacketError, match="checksum"):
        parse_udp(segment, pseudo=(A4, IPv4Address("203.0.113.10")))


def test_no_checksum_is_legal_over_ipv4_only() -> None:
    segment = build_udp(A4, B4, 1, 2, b"x")[:6] + b"\x00\x00x"
    assert parse_udp(segment, pseudo=(A4, B4)).checksum == 0
    with pytest.raises(PacketError, match="checksum 0x0000 is wrong"):
        parse_udp(segment, pseudo=(A6, B6))


@pytest.mark.parametrize("length", [4, 40])
def test_a_checksum_over_bytes_that_are_not_there_is_no_check(length: int) -> None:
    segment = golden.UDP4[20:24] + length.to_bytes(2, "big") + golden.UDP4[26:30]
    with pytest.raises(PacketError, match="UDP length") as caught:
        parse_udp(segment, quoted=True, pseudo=(A4, B4))
    assert caught.value.offset == 4


@pytest.mark.parametrize(
    ("source_port", "destination_port", "size", "offset"),
    [(65536, 1, 2, 0), (1, 65536, 2, 2), (-1, 1, 2, 0), (1, -1, 2, 2), (1, 1, 65528, 4)],
)
def test_what_does_not_fit(source_port: int, destination_port: int, size: int, offset: int) -> None:
    with pytest.raises(PacketError) as caught:
        build_udp(A4, B4, source_port, destination_port, bytes(size))
    assert caught.value.offset == offset
    with pytest.raises(PacketError) as caught:
        build_udp_with_checksum(A4, B4, source_port, destination_port, 7, bytes(size))
    assert caught.value.offset == offset


def test_the_largest_datagram() -> None:
    segment = build_udp(A6, B6, 65535, 65535, bytes(65527))
    assert parse_udp(segment, pseudo=(A6, B6)).length == 65535


@pytest.mark.parametrize(
    ("source", "destination"), [("192.0.2.1", "2001:db8::1"), ("2001:db8::1", "192.0.2.1")]
)
def test_addresses_of_one_family(source: str, destination: str) -> None:
    pair = ip_address(source), ip_address(destination)
    with pytest.raises(PacketError, match="is no IPv"):
        build_udp(*pair, 1, 2, b"payload")
    with pytest.raises(PacketError, match="is no IPv"):
        build_udp_with_checksum(*pair, 1, 2, 3, b"payload")


@pytest.mark.parametrize("checksum", [0, -1, 65536])
def test_checksums_that_can_not_be_had(checksum: int) -> None:
    with pytest.raises(PacketError, match="must be 1 to 65535") as caught:
        build_udp_with_checksum(A4, B4, 1, 2, checksum, b"token")
    assert caught.value.offset == 6


@pytest.mark.parametrize("payload", [b"", b"x"])
def test_no_room_for_what_balances_the_checksum(payload: bytes) -> None:
    with pytest.raises(PacketError, match="no room") as caught:
        build_udp_with_checksum(A4, B4, 1, 2, 7, payload)
    assert caught.value.offset == 8


def test_building_reads_memory_of_any_layout() -> None:
    wide = memoryview(array("H", [0x0102, 0x0304]))
    assert build_udp(A4, B4, 1, 2, wide) == build_udp(A4, B4, 1, 2, wide.tobytes())
    assert build_udp_with_checksum(A4, B4, 1, 2, 3, wide) == build_udp_with_checksum(
        A4, B4, 1, 2, 3, wide.tobytes()
    )
