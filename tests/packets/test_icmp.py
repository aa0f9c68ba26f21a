"""ICMP and ICMPv6 messages, built and parsed; extension structures have tests of their own."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.packets import golden
from tests.packets.reference import pseudo_header, slow_checksum
from tests.packets.strategies import bits8, bits16, bits32, payloads, versions
from traceprobe.errors import PacketError, UsageError
from traceprobe.packets import (
    EchoMessage,
    IcmpError,
    IcmpOther,
    IcmpType,
    Icmpv6Type,
    IPAddress,
    build_icmp_echo,
    build_icmp_error,
    build_ipv4,
    build_ipv6,
    parse_icmp,
    parse_ip,
    parse_quoted,
)

PAIRS: dict[int, tuple[IPAddress, IPAddress]] = {
    4: (IPv4Address("198.51.100.1"), IPv4Address("192.0.2.77")),
    6: (IPv6Address("2001:db8:0:ff::1"), IPv6Address("2001:db8:0:1::77")),
}
ERRORS = {4: (3, 4, 5, 11, 12), 6: (1, 2, 3, 4)}
ECHOES = {4: (0, 8), 6: (128, 129)}


def is_valid(version: int, message: bytes) -> bool:
    """What a receiver computes over the message, and for ICMPv6 over a pseudo-header in front of it."""
    front = pseudo_header(*PAIRS[version], 58, len(message)) if version == 6 else b""
    return slow_checksum(front + message) == 0


def parsed(name: str) -> EchoMessage | IcmpError | IcmpOther:
    datagram = parse_ip(golden.DATAGRAMS[name], verify=True)
    pseudo = datagram.source, datagram.destination
    return parse_icmp(datagram.version, datagram.payload, pseudo=pseudo, verify=True)


def error(name: str) -> IcmpError:
    message = parsed(name)
    assert isinstance(message, IcmpError)
    return message


MESSAGES = [name for name in sorted(golden.DATAGRAMS) if parse_ip(golden.DATAGRAMS[name]).protocol in {1, 58}]
ERROR_MESSAGES = [name for name in MESSAGES if isinstance(parsed(name), IcmpError)]


# --- echoes ------------------------------------------------------------------------------------------


@given(versions, bits16, bits16, payloads, st.booleans())
def test_an_echo_comes_back_as_it_was_built(
    version: int, identifier: int, sequence: int, payload: bytes, request: bool
) -> None:
    source, destination = PAIRS[version]
    data = build_icmp_echo(
        version,
        identifier=identifier,
        sequence=sequence,
        payload=payload,
        request=request,
        source=source,
        destination=destination,
    )
    message = parse_icmp(version, data, pseudo=(source, destination), verify=True)
    assert message == EchoMessage(request, identifier, sequence, memoryview(payload))
    assert is_valid(version, data)


@pytest.mark.parametrize(
    ("name", "is_request"), [("ECHO4", True), ("REPLY4", False), ("ECHO6", True), ("REPLY6", False)]
)
def test_a_real_echo(name: str, is_request: bool) -> None:
    assert parsed(name) == EchoMessage(is_request, 1234, 7, memoryview(b"traceprobe"))
    datagram = parse_ip(golden.DATAGRAMS[name])
    assert datagram.payload == build_icmp_echo(
        datagram.version,
        identifier=1234,
        sequence=7,
        payload=b"traceprobe",
        request=is_request,
        source=datagram.source,
        destination=datagram.destination,
    )


def test_an_icmpv6_echo_without_addresses_leaves_the_checksum_to_the_kernel() -> None:
    data = build_icmp_echo(6, identifier=1, sequence=2, payload=b"x")
    assert data == bytes.fromhex("80 00 0000 0001 0002 78")
    source, destination = PAIRS[6]
    assert data == build_icmp_echo(6, identifier=1, sequence=2, payload=b"x", source=source)
    assert data == build_icmp_echo(6, identifier=1, sequence=2, payload=b"x", destination=destination)


def test_an_icmp_echo_needs_no_addresses() -> None:
    assert is_valid(4, build_icmp_echo(4, identifier=1, sequence=2, payload=b"odd"))


def test_an_empty_echo() -> None:
    message = parse_icmp(4, bytes.fromhex("0800 f7fc 0001 0002"), verify=True)
    assert message == EchoMessage(True, 1, 2, memoryview(b""))


@pytest.mark.parametrize(("field", "offset"), [("identifier", 4), ("sequence", 6)])
@pytest.mark.parametrize("value", [-1, 65536])
def test_echo_fields_that_do_not_fit(field: str, offset: int, value: int) -> None:
    fields: dict[str, Any] = {"identifier": 1, "sequence": 1} | {field: value}
    with pytest.raises(PacketError, match=field) as caught:
        build_icmp_echo(4, **fields)
    assert caught.value.offset == offset


# --- errors ------------------------------------------------------------------------------------------


@given(versions, st.data(), bits8, bits32, payloads)
def test_an_error_comes_back_as_it_was_built(
    version: int, data: st.DataObject, code: int, rest: int, payload: bytes
) -> None:
    kind = data.draw(st.sampled_from(ERRORS[version]))
    source, destination = PAIRS[version]
    build = (
        build_ipv4(payload, source=destination, destination=source, protocol=17)
        if version == 4
        else build_ipv6(payload, source=destination, destination=source, next_header=17)
    )
    # With a length field of 0 there is no extension; what it does otherwise is tested elsewhere.
    rest &= 0xFF00FFFF if version == 4 else 0x00FFFFFF
    quoted = build[: data.draw(st.integers(20 if version == 4 else 40, len(build)))]
    message = build_icmp_error(
        version, type=kind, code=code, rest=rest, quoted=quoted, source=source, destination=destination
    )
    assert is_valid(version, message)
    parsed_message = parse_icmp(version, message, pseudo=(source, destination), verify=True)
    assert parsed_message == IcmpError(kind, code, rest, parse_quoted(version, quoted), memoryview(b""))


@pytest.mark.parametrize(
    ("name", "kind", "code", "rest"),
    [
        ("TE4_RFC792", 11, 0, 0),
        ("TE4_RFC1812", 11, 0, 0),
        ("PORT4", 3, 3, 0),
        ("FRAG4", 3, 4, 1400),
        ("PARAM4", 12, 0, 20 << 24),
        ("REDIR4", 5, 1, 0xC00002FE),
        ("TE4_ALERT", 11, 0, 0),
        ("TE6", 3, 0, 0),
        ("PORT6", 1, 4, 0),
        ("TOOBIG6", 2, 0, 1280),
        ("PARAM6", 4, 1, 40),
    ],
)
def test_a_real_error(name: str, kind: int, code: int, rest: int) -> None:
    message = error(name)
    assert (message.type, message.code, message.rest) == (kind, code, rest)
    assert not message.extension
    datagram = parse_ip(golden.DATAGRAMS[name])
    assert datagram.payload == build_icmp_error(
        datagram.version,
        type=kind,
        code=code,
        rest=rest,
        quoted=datagram.payload[8:],
        source=datagram.source,
        destination=datagram.destination,
    )


@pytest.mark.parametrize(
    ("name", "mtu", "pointer"),
    [
        ("FRAG4", 1400, None),
        ("TOOBIG6", 1280, None),
        ("PARAM4", None, 20),
        ("PARAM6", None, 40),
        ("TE4_RFC792", None, None),
        ("PORT4", None, None),
        ("TE6", None, None),
        ("PORT6", None, None),
    ],
)
def test_mtu_and_pointer(name: str, mtu: int | None, pointer: int | None) -> None:
    message = error(name)
    assert (message.mtu, message.pointer) == (mtu, pointer)


@pytest.mark.parametrize(
    ("version", "kind", "code", "rest", "mtu", "pointer"),
    [
        (4, 3, 4, 0, None, None),  # a router older than RFC 1191
        (4, 3, 4, 0x00000044, 68, None),
        (4, 3, 4, 0xFF00FFFF, 65535, None),
        (4, 3, 3, 1400, None, None),
        (4, 12, 0, 0, None, 0),
        (4, 12, 1, 9 << 24, None, None),
        (4, 11, 4, 1400, None, None),
        (6, 2, 9, 0xFFFFFFFF, 0xFFFFFFFF, None),  # the code is to be ignored, RFC 4443 section 3.2
        (6, 2, 0, 0, None, None),
        (6, 4, 0, 0, None, 0),
        (6, 4, 3, 0xFFFFFFFF, None, 0xFFFFFFFF),
        (6, 3, 4, 1400, None, None),
    ],
)
def test_what_the_rest_of_the_header_means(
    version: int, kind: int, code: int, rest: int, mtu: int | None, pointer: int | None
) -> None:
    quoted = golden.UDP4 if version == 4 else golden.UDP6
    message = parse_icmp(version, build_icmp_error(version, type=kind, code=code, rest=rest, quoted=quoted))
    assert isinstance(message, IcmpError)
    assert (message.mtu, message.pointer) == (mtu, pointer)


def test_a_quote_with_options() -> None:
    quoted = error("TE4_ALERT").quoted
    assert quoted.transport == golden.ALERT4[24:32]
    assert quoted.ttl == 2


def test_a_quote_with_extension_headers() -> None:
    quoted = error("PARAM6").quoted
    assert quoted.protocol == 17
    assert quoted.transport == golden.CHAIN6[64:]
    assert (quoted.fragment_offset, quoted.flags) == (0, 1)


def test_errors_name_offsets_of_the_message() -> None:
    message = golden.TE4_RFC792[20:]
    with pytest.raises(PacketError, match="quoted IPv4 header cut short") as caught:
        parse_icmp(4, message[:20])
    assert caught.value.offset == 20
    with pytest.raises(PacketError, match="IP version 5") as caught:
        parse_icmp(4, message[:8] + b"\x55" + message[9:])
    assert caught.value.offset == 8
    chain = golden.PARAM6[40:]
    with pytest.raises(PacketError, match="hop-by-hop") as caught:
        parse_icmp(6, chain[:48] + b"\x00" + chain[49:])
    assert caught.value.offset == 56


@pytest.mark.parametrize("name", ERROR_MESSAGES)
def test_every_truncation_of_an_error(name: str) -> None:
    datagram = parse_ip(golden.DATAGRAMS[name])
    message = bytes(datagram.payload)
    whole = error(name)
    least = 8 + (20 if datagram.version == 4 else 40)
    for length in range(len(message) + 1):
        if length < least:
            with pytest.raises(PacketError) as caught:
                parse_icmp(datagram.version, message[:length])
            assert caught.value.offset == length
        else:
            cut = parse_icmp(datagram.version, message[:length])
            assert isinstance(cut, IcmpError)
            assert cut.quoted.destination == whole.quoted.destination
            common = min(len(cut.quoted.transport), len(whole.quoted.transport))
            assert cut.quoted.transport[:common] == whole.quoted.transport[:common]


@pytest.mark.parametrize("name", ["ECHO4", "REPLY4", "ECHO6", "REPLY6"])
def test_every_truncation_of_an_echo(name: str) -> None:
    datagram = parse_ip(golden.DATAGRAMS[name])
    for length in range(len(datagram.payload) + 1):
        if length < 8:
            with pytest.raises(PacketError) as caught:
                parse_icmp(datagram.version, datagram.payload[:length])
            assert caught.value.offset == length
        else:
            message = parse_icmp(datagram.version, datagram.payload[:length])
            assert isinstance(message, EchoMessage)
            assert message.payload == datagram.payload[8:length]


# --- everything else ---------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [4, 6])
def test_types_are_told_apart(version: int) -> None:
    quote = golden.UDP4 if version == 4 else golden.UDP6
    for kind in range(256):
        message = parse_icmp(version, bytes([kind, 7]) + bytes(6) + quote)
        if kind in ERRORS[version]:
            assert isinstance(message, IcmpError)
            assert (message.type, message.code) == (kind, 7)
        elif kind in ECHOES[version]:
            assert isinstance(message, EchoMessage)
        else:
            assert message == IcmpOther(kind, 7)


@pytest.mark.parametrize("length", range(4))
def test_less_than_every_message_has(length: int) -> None:
    with pytest.raises(PacketError, match="cut short") as caught:
        parse_icmp(4, bytes(length))
    assert caught.value.offset == length


def test_other_messages_may_be_short() -> None:
    assert parse_icmp(6, bytes([Icmpv6Type.ROUTER_SOLICITATION, 0, 0, 0])) == IcmpOther(133, 0)
    assert parse_icmp(4, bytes([IcmpType.TIMESTAMP, 0, 0, 0])) == IcmpOther(13, 0)


@pytest.mark.parametrize("name", MESSAGES)
def test_a_wrong_checksum_is_found_on_request_only(name: str) -> None:
    datagram = parse_ip(golden.DATAGRAMS[name])
    pseudo = datagram.source, datagram.destination
    for place in (1, 2, 3, len(datagram.payload) - 1):
        message = bytearray(datagram.payload)
        message[place] ^= 0x40
        parse_icmp(datagram.version, message)
        with pytest.raises(PacketError, match="checksum") as caught:
            parse_icmp(datagram.version, message, pseudo=pseudo, verify=True)
        assert caught.value.offset == 2


def test_an_icmpv6_checksum_covers_the_addresses() -> None:
    datagram = parse_ip(golden.ECHO6)
    with pytest.raises(PacketError, match="checksum"):
        parse_icmp(6, datagram.payload, pseudo=(datagram.source, datagram.source), verify=True)
    with pytest.raises(UsageError, match="addresses"):
        parse_icmp(6, datagram.payload, verify=True)


def test_all_zeros_are_no_echo_reply() -> None:
    parse_icmp(4, bytes(8))
    with pytest.raises(PacketError, match="checksum"):
        parse_icmp(4, bytes(8), verify=True)


def test_payloads_are_views_and_not_copies() -> None:
    buffer = bytearray(golden.ECHO4[20:])
    message = parse_icmp(4, buffer)
    assert isinstance(message, EchoMessage)
    buffer[8] = 0xEE
    assert message.payload[0] == 0xEE


@pytest.mark.parametrize(
    ("field", "value", "offset"), [("type", 256, 0), ("code", 256, 1), ("code", -1, 1), ("rest", 1 << 32, 4)]
)
def test_error_fields_that_do_not_fit(field: str, value: int, offset: int) -> None:
    fields: dict[str, Any] = {"type": 11, "code": 0, "rest": 0} | {field: value}
    with pytest.raises(PacketError, match=field) as caught:
        build_icmp_error(4, quoted=golden.UDP4, **fields)
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    ("source", "destination"),
    [("192.0.2.1", "192.0.2.2"), ("192.0.2.1", "2001:db8::1"), ("2001:db8::1", "192.0.2.1")],
)
def test_icmpv6_goes_between_ipv6_addresses(source: str, destination: str) -> None:
    with pytest.raises(PacketError, match="is no IPv6 address"):
        build_icmp_echo(
            6, identifier=1, sequence=1, source=ip_address(source), destination=ip_address(destination)
        )


@pytest.mark.parametrize("version", [0, 5, 7])
def test_there_are_two_versions(version: int) -> None:
    with pytest.raises(UsageError, match="must be 4 or 6"):
        parse_icmp(version, golden.ECHO4[20:])
    with pytest.raises(UsageError, match="must be 4 or 6"):
        build_icmp_echo(version, identifier=1, sequence=1)
    with pytest.raises(UsageError, match="must be 4 or 6"):
        build_icmp_error(version, type=11, code=0, quoted=golden.UDP4)
