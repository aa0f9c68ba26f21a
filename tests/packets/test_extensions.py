"""The objects of extension structures, and structures behind quotes whose front is missing."""

from __future__ import annotations

from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.packets import golden
from tests.packets.reference import extension_structure, slow_checksum
from tests.packets.strategies import bits8, bits32, ipv4_addresses, ipv6_addresses, versions
from traceprobe.errors import PacketError, UsageError
from traceprobe.packets import (
    Extensions,
    IcmpError,
    InterfaceObject,
    InterfaceObjectRole,
    LabelStackEntry,
    UnknownObject,
    build_extensions,
    find_extension,
    parse_extensions,
    parse_icmp,
    parse_ip,
)

if TYPE_CHECKING:
    from collections.abc import Callable

STACK = bytes.fromhex("200074dc 00100101 05dc1001 49320a01 00010101")
STACK_ENTRIES = (
    LabelStackEntry(24001, 0, 0, 1),
    LabelStackEntry(299808, 5, 0, 1),
    LabelStackEntry(16, 0, 1, 1),
)
INTERFACE4 = bytes.fromhex(
    "20003d35 0024020f 00000212 00010000 c6336401 1078652d 302f302f 332e3533 30000000 000005ea"
)
INTERFACE4_FIELDS = InterfaceObject(
    InterfaceObjectRole.INCOMING, 530, IPv4Address("198.51.100.1"), "xe-0/0/3.530", 1514
)
INTERFACE6 = bytes.fromhex(
    "20005cf7 0030028f 0000002a 00020000 20010db8 000000ff 00000000 00000001"
    "1048756e 64726564 47696745 30000000 00002328"
)
INTERFACE6_FIELDS = InterfaceObject(
    InterfaceObjectRole.OUTGOING, 42, IPv6Address("2001:db8:0:ff::1"), "HundredGigE0", 9000
)
VECTORS = {
    "a stack of three labels": (STACK, Extensions(mpls=STACK_ENTRIES)),
    "an interface with an IPv4 address": (INTERFACE4, Extensions(interfaces=(INTERFACE4_FIELDS,))),
    "an interface with an IPv6 address": (INTERFACE6, Extensions(interfaces=(INTERFACE6_FIELDS,))),
    "a label and two interfaces": (
        # 16001 at the bottom; address of the sub-IP component; index of the next hop.
        bytes.fromhex("200002e4 00080101 03e81101 000c0244 00010000 c0000201 000802c8 00000007"),
        Extensions(
            mpls=(LabelStackEntry(16001, 0, 1, 1),),
            interfaces=(
                InterfaceObject(InterfaceObjectRole.SUB_IP, address=IPv4Address("192.0.2.1")),
                InterfaceObject(InterfaceObjectRole.NEXT_HOP, if_index=7),
            ),
        ),
    ),
    "objects of other kinds": (
        # RFC 8335's interface identification, and one of a class for private use (RFC 4884 section 7.3).
        bytes.fromhex("200065c4 00080302 0000002a 0005f701 80"),
        Extensions(unknown=(UnknownObject(3, 2, b"\0\0\0\x2a"), UnknownObject(0xF7, 1, b"\x80"))),
    ),
    "nothing": (bytes.fromhex("2000dfff"), Extensions()),
}
EACH = pytest.mark.parametrize(("data", "meaning"), list(VECTORS.values()), ids=list(VECTORS))


def refused(parse: Callable[[bytes], object], data: bytes) -> PacketError | None:
    """How parsing refuses the bytes, if it does. Everything but PacketError gets through."""
    try:
        parse(data)
    except PacketError as error:
        return error
    return None


# --- structures --------------------------------------------------------------------------------------


@EACH
def test_a_structure_byte_by_byte(data: bytes, meaning: Extensions) -> None:
    assert slow_checksum(data) == 0
    assert parse_extensions(data) == meaning
    assert build_extensions(mpls=meaning.mpls, interfaces=meaning.interfaces, unknown=meaning.unknown) == data


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("TE4_STACK", Extensions(mpls=STACK_ENTRIES)),
        ("TE4_MPLS", Extensions(mpls=(LabelStackEntry(16001, 0, 1, 1),))),
        ("TE6_MPLS", Extensions(mpls=(LabelStackEntry(16001, 0, 1, 1),))),
        (
            "TE4_MPLS_LEGACY",
            Extensions(mpls=(LabelStackEntry(24017, 0, 0, 1), LabelStackEntry(16001, 0, 1, 1))),
        ),
        ("TE6_MPLS_LEGACY", Extensions(mpls=(LabelStackEntry(16001, 0, 1, 1),))),
        ("TE4_INTERFACE", Extensions(interfaces=(INTERFACE4_FIELDS,))),
        ("TE6_INTERFACE", Extensions(interfaces=(INTERFACE6_FIELDS,))),
    ],
)
def test_a_structure_in_a_real_message(name: str, meaning: Extensions) -> None:
    datagram = parse_ip(golden.DATAGRAMS[name], verify=True)
    message = parse_icmp(
        datagram.version, datagram.payload, pseudo=(datagram.source, datagram.destination), verify=True
    )
    assert isinstance(message, IcmpError)
    assert parse_extensions(message.extension) == meaning


@EACH
def test_every_cut_is_refused_or_ends_between_objects(data: bytes, meaning: Extensions) -> None:
    objects = len(meaning.interfaces) + len(meaning.unknown) + bool(meaning.mpls)
    for length in range(len(data)):
        error = refused(parse_extensions, data[:length])
        assert error is not None
        assert 0 <= error.offset <= length
    # Without a checksum, a cut between two objects can't be noticed.
    bare = data[:2] + b"\0\0" + data[4:]
    whole = [length for length in range(len(bare)) if refused(parse_extensions, bare[:length]) is None]
    assert len(whole) == objects


@EACH
def test_every_flipped_bit_is_refused(data: bytes, meaning: Extensions) -> None:
    for place in range(len(data)):
        for bit in range(8):
            spoilt = data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
            if any(spoilt[2:4]):
                error = refused(parse_extensions, spoilt)
                assert error is not None, (place, bit, meaning)
                assert 0 <= error.offset <= len(data)
            bare = spoilt[:2] + b"\0\0" + spoilt[4:]
            error = refused(parse_extensions, bare)
            assert error is None or 0 <= error.offset <= len(data)


@given(st.binary(max_size=120))
@example(b"")
def test_any_objects_give_a_value_or_a_packet_error(objects: bytes) -> None:
    for checksum in (False, True):
        error = refused(parse_extensions, extension_structure(objects, checksum=checksum))
        assert error is None or 0 <= error.offset <= len(objects) + 4
    refused(parse_extensions, objects)


@pytest.mark.parametrize("version", [0, 1, 3, 15])
def test_another_version_is_refused(version: int) -> None:
    with pytest.raises(PacketError, match=f"version {version}") as caught:
        parse_extensions(extension_structure(STACK[4:], version=version))
    assert caught.value.offset == 0


def test_a_checksum_of_zero_is_none() -> None:
    assert parse_extensions(extension_structure(STACK[4:], checksum=False)).mpls == STACK_ENTRIES
    assert build_extensions(mpls=STACK_ENTRIES, checksum=False) == b"\x20\0\0\0" + STACK[4:]


def test_reserved_bits_say_nothing() -> None:
    assert parse_extensions(b"\x2f\xff\0\0" + STACK[4:]).mpls == STACK_ENTRIES


@pytest.mark.parametrize(
    ("objects", "offset"),
    [("0003 0101", 4), ("0000 0000", 4), ("0009 0101 00010101", 4), ("0004f701 00 01 02", 8)],
)
def test_lengths_that_can_not_be(objects: str, offset: int) -> None:
    with pytest.raises(PacketError, match="extension object") as caught:
        parse_extensions(extension_structure(bytes.fromhex(objects)))
    assert caught.value.offset == offset


# --- label stacks ------------------------------------------------------------------------------------


entries = st.builds(LabelStackEntry, st.integers(0, 0xFFFFF), st.integers(0, 7), st.integers(0, 1), bits8)


@given(st.lists(entries, min_size=1, max_size=20))
def test_label_stacks_come_back_as_they_were_built(stack: list[LabelStackEntry]) -> None:
    assert parse_extensions(build_extensions(mpls=stack)).mpls == tuple(stack)


@pytest.mark.parametrize("payload", ["", "0001 01", "0001 0101 00"])
def test_a_label_stack_of_no_whole_entries_is_kept_as_bytes(payload: str) -> None:
    data = bytes.fromhex(payload)
    structure = build_extensions(unknown=[UnknownObject(1, 1, data)])
    assert parse_extensions(structure) == Extensions(unknown=(UnknownObject(1, 1, data),))


def test_another_type_of_label_object_is_kept_as_bytes() -> None:
    unknown = (UnknownObject(1, 2, STACK[8:]),)
    assert parse_extensions(build_extensions(unknown=unknown)) == Extensions(unknown=unknown)


# --- interface information ---------------------------------------------------------------------------


names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40).filter(
    lambda name: len(name.encode()) <= 63
)
interface_objects = st.builds(
    InterfaceObject,
    st.sampled_from(InterfaceObjectRole),
    st.none() | bits32,
    st.none() | ipv4_addresses | ipv6_addresses,
    st.none() | names,
    st.none() | bits32,
)


@given(st.lists(interface_objects, max_size=6))
def test_interfaces_come_back_as_they_were_built(interfaces: list[InterfaceObject]) -> None:
    assert parse_extensions(build_extensions(interfaces=interfaces)).interfaces == tuple(interfaces)


@pytest.mark.parametrize(
    ("c_type", "payload"),
    [
        pytest.param(0x08, "000002", id="index cut short"),
        pytest.param(0x04, "0001", id="address header cut short"),
        pytest.param(0x04, "0001 0000 c63364", id="IPv4 address cut short"),
        pytest.param(0x04, "0002 0000 c6336401", id="IPv6 address cut short"),
        pytest.param(0x04, "0006 0000 c6336401", id="an address family that is not known"),
        pytest.param(0x02, "", id="no name"),
        pytest.param(0x02, "00", id="a name shorter than its own length"),
        pytest.param(0x02, "08 65746830", id="name cut short"),
        pytest.param(0x02, "44" + "61" * 67, id="a name longer than 64 bytes"),
        pytest.param(0x01, "0000", id="MTU cut short"),
        pytest.param(0x01, "000005dc 00000001", id="something behind the last sub-object"),
        pytest.param(0x00, "01", id="something where nothing was announced"),
    ],
)
def test_sub_objects_that_make_no_sense_are_kept_as_bytes(c_type: int, payload: str) -> None:
    unknown = (UnknownObject(2, c_type, bytes.fromhex(payload)),)
    assert parse_extensions(build_extensions(unknown=unknown)) == Extensions(unknown=unknown)


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        ("08 65746830 000000", "eth0"),
        ("05 65746830", "eth0"),
        ("04 c3a4 ff", "ä\N{REPLACEMENT CHARACTER}"),
        ("01", ""),
        ("05 65746830 000000", "eth0"),
    ],
)
def test_names_however_they_are_padded(payload: str, name: str) -> None:
    structure = build_extensions(unknown=[UnknownObject(2, 0x02, bytes.fromhex(payload))])
    assert parse_extensions(structure).interfaces == (
        InterfaceObject(InterfaceObjectRole.INCOMING, name=name),
    )


def test_reserved_bits_of_the_type_say_nothing() -> None:
    structure = build_extensions(unknown=[UnknownObject(2, 0x39, b"\0\0\0\x01\0\0\x05\xdc")])
    assert parse_extensions(structure).interfaces == (
        InterfaceObject(InterfaceObjectRole.INCOMING, if_index=1, mtu=1500),
    )


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (partial(build_extensions, mpls=[LabelStackEntry(1 << 20, 0, 0, 0)]), "MPLS label"),
        (partial(build_extensions, mpls=[LabelStackEntry(0, 8, 0, 0)]), "traffic class"),
        (partial(build_extensions, mpls=[LabelStackEntry(0, 0, 2, 0)]), "S bit"),
        (partial(build_extensions, mpls=[LabelStackEntry(0, 0, 0, 256)]), "TTL"),
        (partial(build_extensions, mpls=[LabelStackEntry(0, 0, 0, 0)] * 16384), "length"),
        (partial(build_extensions, interfaces=[InterfaceObject(InterfaceObjectRole(0), 1 << 32)]), "ifIndex"),
        (partial(build_extensions, interfaces=[InterfaceObject(InterfaceObjectRole(0), mtu=-1)]), "MTU"),
        (
            partial(build_extensions, interfaces=[InterfaceObject(InterfaceObjectRole(0), name="x" * 64)]),
            "at most 63",
        ),
        (partial(build_extensions, unknown=[UnknownObject(256, 0, b"")]), "class number"),
        (partial(build_extensions, unknown=[UnknownObject(0, 256, b"")]), "C-Type"),
    ],
)
def test_what_does_not_fit(build: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(PacketError, match=reason):
        build()


# --- behind a quote whose front is missing -----------------------------------------------------------

# Offset of what an error queue shows inside the quoted datagram: behind the UDP header, or behind the IP
# header where the ICMP or TCP header is shown too.
SKIPPED = [(4, 28), (4, 20), (6, 48), (6, 40)]
EACH_PLACE = pytest.mark.parametrize(("version", "skipped"), SKIPPED)


@EACH_PLACE
def test_the_fixed_place_behind_missing_headers(version: int, skipped: int) -> None:
    payload = b"payload".ljust(128 - skipped, b"\0") + STACK
    found = find_extension(version, payload, skipped)
    assert found == STACK
    assert parse_extensions(found).mpls == STACK_ENTRIES


@EACH_PLACE
@pytest.mark.parametrize("size", [128, 136, 576, 1016])
def test_a_length_that_is_known_is_believed_without_a_checksum(version: int, skipped: int, size: int) -> None:
    bare = extension_structure(STACK[4:], checksum=False)
    payload = bytes(size - skipped) + bare
    assert find_extension(version, payload, skipped, quoted_length=size) == bare
    assert not find_extension(version, payload, skipped)


@EACH_PLACE
def test_a_length_beyond_the_message_is_not_believed(version: int, skipped: int) -> None:
    payload = bytes(128 - skipped) + STACK
    assert find_extension(version, payload, skipped, quoted_length=1016) == STACK
    assert not find_extension(version, bytes(40), skipped, quoted_length=1016)


@EACH_PLACE
def test_a_short_length_needs_a_right_checksum(version: int, skipped: int) -> None:
    payload = bytes(8) + STACK
    assert find_extension(version, payload, skipped, quoted_length=skipped + 8) == STACK
    assert not find_extension(version, bytes(8) + STACK[:-1], skipped, quoted_length=skipped + 8)
    # A length that ends inside the headers that are missing can't be looked at.
    assert not find_extension(version, STACK, skipped, quoted_length=skipped - 4)


@EACH_PLACE
def test_no_place_lies_before_the_first_byte(version: int, skipped: int) -> None:
    empty = bytes.fromhex("2000dfff")
    payload = bytes(20) + empty
    assert not find_extension(version, payload, skipped, quoted_length=skipped - len(empty))
    assert not find_extension(version, payload, 128 + len(empty))


@given(versions, st.binary(max_size=200), st.integers(0, 300), st.integers(0, 1100))
def test_any_payload_ends_in_what_is_found(
    version: int, payload: bytes, skipped: int, quoted_length: int
) -> None:
    found = find_extension(version, payload, skipped, quoted_length=quoted_length)
    assert payload.endswith(bytes(found))
    assert not found or len(found) >= 4
    refused(parse_extensions, bytes(found))


@EACH_PLACE
def test_every_cut_and_flip_of_what_an_error_queue_shows(version: int, skipped: int) -> None:
    payload = bytes(128 - skipped) + STACK
    for length in range(len(payload)):
        assert not find_extension(version, payload[:length], skipped)
    for place in range(128 - skipped, len(payload)):
        spoilt = payload[:place] + bytes([payload[place] ^ 0x04]) + payload[place + 1 :]
        assert not find_extension(version, spoilt, skipped)


def test_only_versions_that_there_are() -> None:
    with pytest.raises(UsageError, match="version=5"):
        find_extension(5, b"", 28)
