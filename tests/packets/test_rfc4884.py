"""Where a quoted datagram ends and an RFC 4884 extension structure begins, in its new and its old form."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.packets import golden
from tests.packets.reference import extension_structure
from tests.packets.strategies import bits8, payloads, versions
from traceprobe.errors import PacketError
from traceprobe.packets import (
    IcmpError,
    IPAddress,
    build_icmp_error,
    internet_checksum,
    parse_icmp,
    parse_ip,
    parse_quoted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

QUOTES = {4: golden.UDP4, 6: golden.UDP6}
HEADERS = {4: 20, 6: 40}
UNITS = {4: 4, 6: 8}
SHIFTS = {4: 16, 6: 24}
EXTENSIBLE = {4: (3, 11, 12), 6: (1, 3)}
INEXTENSIBLE = {4: (4, 5), 6: (2, 4)}
TIME_EXCEEDED = {4: 11, 6: 3}
# One object with one MPLS label: 16001, traffic class 0, bottom of the stack, TTL 1 (RFC 4950).
LABEL = bytes.fromhex("0008 0101 03e8 1101")
MPLS = extension_structure(LABEL)
PAIR: tuple[IPAddress, IPAddress] = (IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2"))


def parsed(version: int, message: bytes) -> IcmpError:
    result = parse_icmp(version, message)
    assert isinstance(result, IcmpError)
    return result


def raw(version: int, kind: int, length: int, body: bytes, *, rest: int = 0) -> bytes:
    """A message whose length field holds anything."""
    rest |= length << SHIFTS[version]
    return bytes([kind, 0, 0, 0]) + rest.to_bytes(4, "big") + body


def padded(version: int, size: int) -> bytes:
    return QUOTES[version].ljust(size, b"\0")


def by_version() -> Iterator[tuple[int, int]]:
    for version, kinds in EXTENSIBLE.items():
        for kind in kinds:
            yield version, kind


EVERY_EXTENSIBLE = pytest.mark.parametrize(("version", "kind"), list(by_version()))
BOTH = pytest.mark.parametrize("version", [4, 6])


# --- real messages -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "extension", "length"),
    [
        ("TE4_MPLS", "2000ca0d 00080101 03e81101", 32 << 16),
        ("TE4_MPLS_LEGACY", "2000b42b 000c0101 05dd1001 03e81101", 0),
        ("TE6_MPLS", "2000ca0d 00080101 03e81101", 16 << 24),
        ("TE6_MPLS_LEGACY", "2000ca0d 00080101 03e81101", 0),
    ],
)
def test_a_real_message_with_labels(name: str, extension: str, length: int) -> None:
    datagram = parse_ip(golden.DATAGRAMS[name], verify=True)
    message = parse_icmp(
        datagram.version, datagram.payload, pseudo=(datagram.source, datagram.destination), verify=True
    )
    assert isinstance(message, IcmpError)
    assert message.extension == bytes.fromhex(extension)
    assert internet_checksum(message.extension) == 0
    assert message.rest == length
    quote = QUOTES[datagram.version]
    header = HEADERS[datagram.version]
    assert message.quoted == parse_quoted(datagram.version, padded(datagram.version, 128))
    assert message.quoted.transport[: len(quote) - header] == quote[header:]


@pytest.mark.parametrize("name", ["TE4_MPLS", "TE6_MPLS"])
def test_a_real_message_is_rebuilt_to_the_bit(name: str) -> None:
    datagram = parse_ip(golden.DATAGRAMS[name])
    assert datagram.payload == build_icmp_error(
        datagram.version,
        type=TIME_EXCEEDED[datagram.version],
        code=0,
        quoted=QUOTES[datagram.version],
        extension=MPLS,
        source=datagram.source,
        destination=datagram.destination,
    )


# --- built and parsed --------------------------------------------------------------------------------


@given(versions, st.data(), bits8, payloads, st.binary(min_size=4, max_size=60))
def test_an_extension_comes_back_as_it_was_built(
    version: int, data: st.DataObject, code: int, payload: bytes, extension: bytes
) -> None:
    kind = data.draw(st.sampled_from(EXTENSIBLE[version]))
    quoted = QUOTES[version] + payload
    quoted = quoted[: data.draw(st.integers(HEADERS[version], len(quoted)))]
    built = build_icmp_error(version, type=kind, code=code, quoted=quoted, extension=extension)
    message = parsed(version, built)
    assert (message.type, message.code) == (kind, code)
    assert message.extension == extension
    size = len(built) - 8 - len(extension)
    assert size >= 128
    assert size % UNITS[version] == 0
    assert message.rest >> SHIFTS[version] & 0xFF == size // UNITS[version]
    assert message.quoted == parse_quoted(version, quoted.ljust(size, b"\0"))


@EVERY_EXTENSIBLE
def test_the_length_field_stands_beside_the_others(version: int, kind: int) -> None:
    rest = 0xFFFFFFFF
    message = parsed(
        version,
        build_icmp_error(version, type=kind, code=0, rest=rest, quoted=QUOTES[version], extension=MPLS),
    )
    others = ~(0xFF << SHIFTS[version]) & 0xFFFFFFFF
    assert message.rest & others == others
    assert message.rest >> SHIFTS[version] & 0xFF == 128 // UNITS[version]
    assert message.extension == MPLS


def test_mtu_and_pointer_live_beside_a_length() -> None:
    fragmentation = build_icmp_error(4, type=3, code=4, rest=1400, quoted=golden.UDP4, extension=MPLS)
    assert parsed(4, fragmentation).mtu == 1400
    problem = build_icmp_error(4, type=12, code=0, rest=20 << 24, quoted=golden.UDP4, extension=MPLS)
    assert parsed(4, problem).pointer == 20


@BOTH
def test_checksums_cover_the_extension(version: int) -> None:
    pair = PAIR if version == 6 else (IPv4Address(1), IPv4Address(2))
    built = build_icmp_error(
        version,
        type=TIME_EXCEEDED[version],
        code=0,
        quoted=QUOTES[version],
        extension=MPLS,
        source=pair[0],
        destination=pair[1],
    )
    parse_icmp(version, built, pseudo=pair, verify=True)
    with pytest.raises(PacketError, match="checksum"):
        parse_icmp(version, built[:-1] + b"\x02", pseudo=pair, verify=True)


@BOTH
def test_quotes_too_long_for_the_length_field(version: int) -> None:
    most = 255 * UNITS[version]
    build_icmp_error(
        version, type=TIME_EXCEEDED[version], code=0, quoted=padded(version, most), extension=MPLS
    )
    with pytest.raises(PacketError, match="length of the quote") as caught:
        build_icmp_error(
            version, type=TIME_EXCEEDED[version], code=0, quoted=padded(version, most + 1), extension=MPLS
        )
    assert caught.value.offset == {4: 5, 6: 4}[version]


@BOTH
def test_other_types_have_no_extension(version: int) -> None:
    for kind in INEXTENSIBLE[version]:
        with pytest.raises(PacketError, match="can have no extension"):
            build_icmp_error(version, type=kind, code=0, quoted=QUOTES[version], extension=MPLS)
        body = padded(version, 128) + MPLS
        for length in (0, 128 // UNITS[version]):
            message = parsed(version, raw(version, kind, length, body))
            assert not message.extension
            assert len(message.quoted.transport) == len(body) - HEADERS[version]


# --- the length field --------------------------------------------------------------------------------


@EVERY_EXTENSIBLE
@pytest.mark.parametrize("size", [128, 136, 256, 1016])
def test_the_quote_is_cut_at_the_length(version: int, kind: int, size: int) -> None:
    message = parsed(version, raw(version, kind, size // UNITS[version], padded(version, size) + MPLS))
    assert len(message.quoted.transport) == size - HEADERS[version]
    assert message.extension == MPLS


@BOTH
@pytest.mark.parametrize(
    "extension",
    [
        pytest.param(extension_structure(LABEL, checksum=False), id="no checksum"),
        pytest.param(b"\x20\x00\xba\xd0" + LABEL, id="wrong checksum"),
        pytest.param(extension_structure(LABEL, version=1), id="other version"),
        pytest.param(b"\x20\x00\xdf\xff", id="no objects"),
        pytest.param(bytes(range(64)), id="anything"),
    ],
)
def test_what_stands_behind_a_right_length_is_no_quote_whatever_it_is(version: int, extension: bytes) -> None:
    message = parsed(
        version,
        raw(version, TIME_EXCEEDED[version], 128 // UNITS[version], padded(version, 128) + extension),
    )
    assert message.extension == extension
    assert len(message.quoted.transport) == 128 - HEADERS[version]


@BOTH
@pytest.mark.parametrize("left", [0, 1, 2, 3])
def test_too_little_behind_the_length_is_no_extension(version: int, left: int) -> None:
    message = parsed(
        version,
        raw(version, TIME_EXCEEDED[version], 128 // UNITS[version], padded(version, 128) + bytes(left)),
    )
    assert not message.extension
    assert len(message.quoted.transport) == 128 - HEADERS[version]


@BOTH
def test_a_length_beyond_the_message_is_none(version: int) -> None:
    # Routers that know nothing of RFC 4884 may leave anything in a byte that used to be unused.
    quote = QUOTES[version]
    message = parsed(version, raw(version, TIME_EXCEEDED[version], 255, quote))
    assert message.quoted == parse_quoted(version, quote)
    assert not message.extension
    message = parsed(version, raw(version, TIME_EXCEEDED[version], 255, padded(version, 128) + MPLS))
    assert len(message.quoted.transport) == 128 - HEADERS[version]
    assert message.extension == MPLS


@BOTH
def test_a_length_below_the_padding_is_believed_with_a_right_checksum_only(version: int) -> None:
    length = 64 // UNITS[version]
    quote = padded(version, 80)[:64]
    message = parsed(version, raw(version, TIME_EXCEEDED[version], length, quote + MPLS))
    assert message.quoted == parse_quoted(version, quote)
    assert message.extension == MPLS
    for other in (b"\x20\x00\xba\xd0" + LABEL, extension_structure(LABEL, checksum=False), bytes(12)):
        message = parsed(version, raw(version, TIME_EXCEEDED[version], length, quote + other))
        assert message.quoted == parse_quoted(version, quote + other)
        assert not message.extension


@BOTH
def test_a_length_may_leave_no_more_than_the_header(version: int) -> None:
    header = QUOTES[version][: HEADERS[version]]
    message = parsed(
        version, raw(version, TIME_EXCEEDED[version], len(header) // UNITS[version], header + MPLS)
    )
    assert message.quoted == parse_quoted(version, header)
    assert message.extension == MPLS


@BOTH
def test_no_length_cuts_into_the_quoted_header(version: int) -> None:
    # Bytes 8 to 16 of the quote are made an extension structure with a right checksum.
    body = bytearray(QUOTES[version])
    body[8:] = b"\x20\x00\x00\x00" + body[12:]
    body[10:12] = internet_checksum(body[8:]).to_bytes(2, "big")
    message = parsed(version, raw(version, TIME_EXCEEDED[version], 8 // UNITS[version], bytes(body)))
    assert not message.extension
    assert message.quoted == parse_quoted(version, bytes(body))


@given(versions, bits8, st.data())
def test_any_length_leaves_a_quote_to_match(version: int, length: int, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(EXTENSIBLE[version]))
    body = QUOTES[version] + data.draw(st.binary(max_size=300))
    message = parsed(version, raw(version, kind, length, body))
    quoted = message.quoted
    assert quoted.destination == parse_quoted(version, body).destination
    cut = len(quoted.transport) + HEADERS[version]
    assert quoted.transport == body[HEADERS[version] : cut]
    assert message.extension == body[cut:] or (not message.extension and len(body) - cut < 4)


# --- the old form ------------------------------------------------------------------------------------


@EVERY_EXTENSIBLE
def test_the_old_form_has_its_extension_at_a_fixed_place(version: int, kind: int) -> None:
    message = parsed(version, raw(version, kind, 0, padded(version, 128) + MPLS))
    assert message.extension == MPLS
    assert message.quoted == parse_quoted(version, padded(version, 128))


@BOTH
@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(b"\x20\x00\xba\xd0" + LABEL, id="wrong checksum"),
        pytest.param(extension_structure(LABEL, checksum=False), id="no checksum"),
        pytest.param(extension_structure(LABEL, version=1), id="version 1"),
        pytest.param(extension_structure(LABEL, version=3), id="version 3"),
        pytest.param(MPLS + b"\x01", id="something behind it"),
        pytest.param(MPLS[:3], id="cut short"),
        pytest.param(bytes(64), id="a longer quote"),
    ],
)
def test_what_is_no_extension_belongs_to_the_quote(version: int, tail: bytes) -> None:
    body = padded(version, 128) + tail
    message = parsed(version, raw(version, TIME_EXCEEDED[version], 0, body))
    assert not message.extension
    assert message.quoted == parse_quoted(version, body)


@BOTH
@pytest.mark.parametrize(
    ("objects", "checksum"),
    [
        pytest.param(b"", "dfff", id="no objects"),
        pytest.param(bytes.fromhex("0008 0101 03e8 db0e"), "0000", id="sums up to all ones"),
        pytest.param(bytes.fromhex("0008 0101 03e8 fd0d"), "de00", id="low byte 0"),
        pytest.param(bytes.fromhex("0008 0101 03e8 da0f"), "00ff", id="high byte 0"),
    ],
)
def test_checksums_with_zeros_in_them(version: int, objects: bytes, checksum: str) -> None:
    extension = extension_structure(objects)
    assert extension[2:4] == bytes.fromhex(checksum)
    body = padded(version, 128) + extension
    message = parsed(version, raw(version, TIME_EXCEEDED[version], 0, body))
    # All zeros say that there is no checksum (RFC 4884 section 7), so nothing tells it from a quote.
    assert message.extension == (b"" if checksum == "0000" else extension)


@BOTH
@pytest.mark.parametrize("place", [124, 132])
def test_the_old_form_has_no_other_place(version: int, place: int) -> None:
    body = padded(version, place) + MPLS
    message = parsed(version, raw(version, TIME_EXCEEDED[version], 0, body))
    assert not message.extension
    assert message.quoted == parse_quoted(version, body)


def test_the_extension_is_a_view_and_not_a_copy() -> None:
    buffer = bytearray(golden.TE4_MPLS[20:])
    message = parse_icmp(4, buffer)
    assert isinstance(message, IcmpError)
    buffer[-1] = 0xEE
    assert message.extension[-1] == 0xEE
