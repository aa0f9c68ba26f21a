"""Socket addresses and control messages are read as the kernel writes them, and garbage is survived."""

from __future__ import annotations

import socket
import struct
import sys
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

if sys.platform != "linux":
    pytest.skip("structures of Linux", allow_module_level=True)

from traceprobe.ffi import linux
from traceprobe.sockets.linux._control import (
    CONTROL_SIZE,
    Control,
    ExtendedError,
    read_control,
    read_expiry,
    read_stamp_columns,
    read_stamps,
)
from traceprobe.sockets.linux._sockaddr import NAME_SIZE, pack_name, unpack_name, with_port, zone_index

ADDRESSES = [
    IPv4Address("192.0.2.9"),
    IPv4Address("0.0.0.0"),
    IPv6Address("2001:db8::9"),
    IPv6Address("::ffff:192.0.2.9"),
    IPv6Address("fe80::9%lo"),
]


@pytest.mark.parametrize("address", ADDRESSES, ids=str)
@pytest.mark.parametrize("port", [0, 53, 65535])
def test_addresses_go_there_and_back(address: IPv4Address | IPv6Address, port: int) -> None:
    name = pack_name(address, port)
    assert len(name) <= NAME_SIZE
    assert unpack_name(memoryview(name)) == (address, port)
    assert unpack_name(memoryview(with_port(name, b"\x12\x34"))) == (address, 0x1234)


def test_the_kernel_takes_and_gives_the_same_form() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as opened:
        opened.bind(("::1", 0))
        host, port, *_ = opened.getsockname()
        assert unpack_name(memoryview(pack_name(IPv6Address(host), port))) == (IPv6Address("::1"), port)


def test_zones_are_names_or_numbers_of_interfaces() -> None:
    index = socket.if_nametoindex("lo")
    assert zone_index(IPv6Address("fe80::1")) == 0
    assert zone_index(IPv6Address("fe80::1%lo")) == zone_index(IPv6Address(f"fe80::1%{index}")) == index
    with pytest.raises(OSError, match="interface"):
        zone_index(IPv6Address("fe80::1%nowhere"))
    for zone in ("nowhere", "4294967296", "9" * 5000, "a\0b"):
        with pytest.raises(OSError, match="interface"):
            pack_name(IPv6Address(f"fe80::1%{zone}"))


def test_an_interface_without_a_name_keeps_its_number() -> None:
    name = linux.SOCKADDR_IN6.pack(socket.AF_INET6, b"\0\0", 0, IPv6Address("fe80::1").packed, 999_999)
    assert unpack_name(memoryview(name)) == (IPv6Address("fe80::1%999999"), 0)
    # Only link-local addresses mean anything with a zone.
    name = linux.SOCKADDR_IN6.pack(socket.AF_INET6, b"\0\0", 0, IPv6Address("2001:db8::1").packed, 1)
    assert unpack_name(memoryview(name)) == (IPv6Address("2001:db8::1"), 0)


@given(st.binary(max_size=40))
def test_any_name_gives_an_address_or_nothing(name: bytes) -> None:
    found = unpack_name(memoryview(name))
    assert found is None or 0 <= found[1] <= 0xFFFF


def message(level: int, kind: int, data: bytes) -> bytes:
    length = linux.CONTROL_HEADER.size + len(data)
    return linux.CONTROL_HEADER.pack(length, level, kind) + data + bytes(-length % 8)


STAMP = message(1, linux.SO_TIMESTAMPING, struct.pack("=qqqqqq", 1_700_000_000, 123, 0, 0, 0, 0))
NO_STAMP = message(1, linux.SO_TIMESTAMPING, bytes(48))
TTL = message(0, linux.IP_TTL, struct.pack("=i", 63))
HOP_LIMIT = message(41, linux.IPV6_HOPLIMIT, struct.pack("=i", 62))
UNKNOWN = message(1, 4711, b"12345")


def icmp_error(offender: IPv4Address | IPv6Address) -> bytes:
    fields = linux.EXTENDED_ERROR.pack(113, linux.SO_EE_ORIGIN_ICMP, 11, 0, 0, 1400, 100)
    if isinstance(offender, IPv4Address):
        return message(0, linux.IP_RECVERR, fields + pack_name(offender))
    return message(41, linux.IPV6_RECVERR, fields + pack_name(offender))


def test_control_messages_are_read_in_any_order() -> None:
    router = IPv4Address("192.0.2.1")
    error = ExtendedError(linux.SO_EE_ORIGIN_ICMP, 11, 0, 1400, 100, router)
    expected = Control(1_700_000_000_000_000_123, 63, error)
    parts = [STAMP, TTL, icmp_error(router), UNKNOWN]
    assert read_control(memoryview(b"".join(parts))) == expected
    assert read_control(memoryview(b"".join(reversed(parts)))) == expected


def test_the_older_stamp_is_read_too() -> None:
    stamp = message(1, linux.SO_TIMESTAMPNS, linux.TIMESPEC.pack(5, 6))
    assert read_control(memoryview(stamp)) == Control(5_000_000_006, None, None)


def test_control_messages_of_ipv6() -> None:
    router = IPv6Address("2001:db8::1")
    control = read_control(memoryview(HOP_LIMIT + icmp_error(router)))
    assert control.ttl == 62
    assert control.error is not None
    assert control.error.offender == router


def test_what_is_not_there_is_none() -> None:
    assert read_control(memoryview(b"")) == Control(None, None, None)
    assert read_control(memoryview(NO_STAMP)).stamp_ns is None
    local = message(0, linux.IP_RECVERR, linux.EXTENDED_ERROR.pack(90, 1, 0, 0, 0, 1500, 0) + bytes(16))
    error = read_control(memoryview(local)).error
    assert error == ExtendedError(linux.SO_EE_ORIGIN_LOCAL, 0, 0, 1500, 0, None)


@pytest.mark.parametrize("length", [0, 15, 25, 2**63])
def test_an_impossible_length_ends_the_walk(length: int) -> None:
    broken = linux.CONTROL_HEADER.pack(length, 1, 4711) + bytes(8)
    assert read_control(memoryview(TTL + broken)) == Control(None, 63, None)


def padded(entry: bytes) -> bytes:
    """An entry in its slot."""
    return entry.ljust(CONTROL_SIZE, b"\xaa")


def stamp_entry(version: int, number: int, stamp: bytes = STAMP) -> bytes:
    """An entry of the error queue that holds a transmit stamp."""
    level, kind = (0, linux.IP_RECVERR) if version == 4 else (41, linux.IPV6_RECVERR)
    fields = linux.EXTENDED_ERROR.pack(42, linux.SO_EE_ORIGIN_TIMESTAMPING, 0, 0, 0, 0, number)
    return stamp + message(level, kind, fields + bytes(16))


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("number", [0, 1000, 2**32 - 1])
def test_both_ways_read_a_transmit_stamp_alike(version: int, number: int) -> None:
    entry = stamp_entry(version, number)
    slots = padded(STAMP) + padded(entry) + padded(entry)
    lengths = [(len(STAMP), 0), (len(entry), 0), (len(entry), 0)]
    stamp = (number, 1_700_000_000_000_000_123)
    assert read_stamps(memoryview(slots), lengths) == [None, stamp, stamp]
    assert read_stamp_columns(memoryview(slots), [length for length, _ in lengths]) is None
    columns = read_stamp_columns(memoryview(slots[CONTROL_SIZE:]), [len(entry)] * 2)
    assert columns == ([number, number], [1_700_000_000_000_000_123] * 2)
    control = read_control(memoryview(entry))
    assert control.error is not None
    assert (control.error.data, control.stamp_ns) == (number, 1_700_000_000_000_000_123)


@pytest.mark.parametrize(
    "entry",
    [
        STAMP + TTL + icmp_error(IPv4Address("192.0.2.1")),
        STAMP + icmp_error(IPv4Address("192.0.2.1")),
        TTL + stamp_entry(4, 7),
        stamp_entry(4, 7, NO_STAMP),
        stamp_entry(4, 7)[:40],
        UNKNOWN * 5,
    ],
)
def test_what_is_no_plain_stamp_is_left_to_the_other_way(entry: bytes) -> None:
    assert read_stamps(memoryview(padded(entry)), [(len(entry), 0)]) == [None]
    assert read_stamp_columns(memoryview(padded(entry)), [len(entry)]) is None
    mixed = memoryview(padded(stamp_entry(4, 7)) + padded(entry))
    assert read_stamp_columns(mixed, [len(stamp_entry(4, 7)), len(entry)]) is None
    # What stands behind an entry's own bytes is left over from another one.
    assert read_stamps(memoryview(padded(stamp_entry(4, 7))), [(64, 0)]) == [None]
    assert read_stamp_columns(memoryview(padded(stamp_entry(4, 7))), [64]) is None


def expiry(version: int) -> bytes:
    """What comes with a time-exceeded, as the kernel lays it out."""
    router: IPv4Address | IPv6Address
    if version == 4:
        router, level, kind, origin, icmp_type = IPv4Address("192.0.2.1"), 0, linux.IP_RECVERR, 2, 11
    else:
        router, level, kind, origin, icmp_type = IPv6Address("2001:db8::1"), 41, linux.IPV6_RECVERR, 3, 3
    cause = linux.EXTENDED_ERROR.pack(113, origin, icmp_type, 0, 0, 0, 0)
    return STAMP + (TTL if version == 4 else HOP_LIMIT) + message(level, kind, cause + pack_name(router))


@pytest.mark.parametrize("version", [4, 6])
def test_both_ways_read_a_time_exceeded_alike(version: int) -> None:
    entry = expiry(version)
    found = read_expiry(memoryview(bytes(256) + entry), 256, len(entry))
    control = read_control(memoryview(entry))
    assert control.error is not None
    assert control.error.offender is not None
    assert found == (control.stamp_ns, control.ttl, control.error.offender.packed, 0)


@pytest.mark.parametrize("version", [4, 6])
def test_a_time_exceeded_that_differs_in_anything_is_left_to_the_other_way(version: int) -> None:
    """Or says the same both ways: the stamp, the TTL and the offender may be any."""
    entry = expiry(version)
    left = 0
    for bit in range(8 * len(entry)):
        changed = bytearray(entry)
        changed[bit // 8] ^= 1 << bit % 8
        found = read_expiry(memoryview(changed), 0, len(entry))
        if found is None:
            left += 1
            continue
        control = read_control(memoryview(changed))
        assert control.error is not None
        error_type = 11 if version == 4 else 3
        assert (control.error.type, control.error.info, control.error.data) == (error_type, 0, 0)
        assert control.error.offender is not None
        assert found[:3] == (control.stamp_ns, control.ttl, control.error.offender.packed)
    assert left > 500
    assert read_expiry(memoryview(entry), 0, len(entry) - 8) is None
