"""The Internet checksum and the pseudo-headers, against the RFCs' own examples and a slow computation."""

from __future__ import annotations

from array import array
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.packets.reference import pseudo_header, slow_checksum
from tests.packets.strategies import address_pairs, bits8, bits16
from traceprobe.errors import PacketError
from traceprobe.packets import IPAddress, internet_checksum, ones_complement_sum, pseudo_header_sum


def test_the_example_of_rfc_1071() -> None:
    data = bytes.fromhex("0001 f203 f4f5 f6f7")
    assert ones_complement_sum(data) == 0xDDF2
    assert internet_checksum(data) == 0x220D


@pytest.mark.parametrize(
    ("words", "checksum"),
    [
        # RFC 1624 section 4: a sum of the other words of 0xcd7a, before and after a field changes.
        ("cd7a 5555", 0xDD2F),
        ("cd7a 3285", 0x0000),
        # The header that textbooks show.
        ("4500 0073 0000 4000 4011 0000 c0a8 0001 c0a8 00c7", 0xB861),
        # The echo request that the ping command of Windows sends, identifier 1, sequence number 1.
        ("0800 0000 0001 0001" + b"abcdefghijklmnopqrstuvwabcdefghi".hex(), 0x4D5A),
    ],
)
def test_known_checksums(words: str, checksum: int) -> None:
    assert internet_checksum(bytes.fromhex(words)) == checksum


@pytest.mark.parametrize(
    ("data", "total"),
    [
        (b"", 0),
        (b"\x00", 0),
        (bytes(1500), 0),
        (b"\x12", 0x1200),
        (b"\xff\xff", 0xFFFF),
        (b"\xff\xff" * 700, 0xFFFF),
        (b"\x80\x00\x80\x00", 0x0001),
        (b"\x00\x01\xff", 0xFF01),
    ],
)
def test_edges_of_the_sum(data: bytes, total: int) -> None:
    assert ones_complement_sum(data) == total
    assert internet_checksum(data) == 0xFFFF - total


@given(st.binary(max_size=400))
def test_the_sum_is_that_of_the_slow_computation(data: bytes) -> None:
    assert internet_checksum(data) == slow_checksum(data)


@given(st.binary(max_size=100).filter(lambda data: len(data) % 2 == 0), st.binary(max_size=100))
def test_a_sum_can_be_continued(front: bytes, back: bytes) -> None:
    assert ones_complement_sum(back, ones_complement_sum(front)) == ones_complement_sum(front + back)


@given(st.binary(max_size=100).filter(lambda data: len(data) % 2 == 0))
def test_data_with_their_checksum_sum_up_to_all_ones(data: bytes) -> None:
    whole = data + internet_checksum(data).to_bytes(2, "big")
    assert ones_complement_sum(whole) == 0xFFFF
    assert internet_checksum(whole) == 0


def test_the_sum_of_the_largest_datagram() -> None:
    data = bytes(range(256)) * 256
    assert internet_checksum(data) == slow_checksum(data)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_kind_of_buffer_sums_alike(kind: type[bytes]) -> None:
    assert ones_complement_sum(kind(b"\x00\x01\xf2\x03\xf4")) == 0xE605


def test_a_view_of_wider_items_counts_its_bytes() -> None:
    view = memoryview(array("H", [0x0102, 0x0304, 0x0506]))
    assert ones_complement_sum(view) == ones_complement_sum(view.tobytes())
    assert ones_complement_sum(memoryview(bytes(range(9)))[::2]) == ones_complement_sum(
        bytes([0, 2, 4, 6, 8])
    )


@given(address_pairs, bits8, bits16)
def test_a_pseudo_header_sums_like_its_bytes(
    addresses: tuple[IPAddress, IPAddress], protocol: int, length: int
) -> None:
    assert pseudo_header_sum(*addresses, protocol, length) == ones_complement_sum(
        pseudo_header(*addresses, protocol, length)
    )


def test_a_pseudo_header_of_ipv6_holds_lengths_of_32_bits() -> None:
    source, destination = IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2")
    assert pseudo_header_sum(source, destination, 17, 0x12345) == ones_complement_sum(
        pseudo_header(source, destination, 17, 0x12345)
    )


def test_a_pseudo_header_with_both_ends_of_the_number_range() -> None:
    assert pseudo_header_sum(IPv4Address(0), IPv4Address(0), 0, 0) == 0
    assert pseudo_header_sum(IPv4Address(0xFFFFFFFF), IPv4Address(0), 0, 0) == 0xFFFF


@pytest.mark.parametrize(
    ("source", "destination"), [("192.0.2.1", "2001:db8::1"), ("2001:db8::1", "192.0.2.1")]
)
def test_a_pseudo_header_has_one_family(source: str, destination: str) -> None:
    with pytest.raises(PacketError, match="is no IPv"):
        pseudo_header_sum(ip_address(source), ip_address(destination), 17, 8)
