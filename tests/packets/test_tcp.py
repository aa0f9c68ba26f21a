"""TCP segments, whole and quoted, and their options."""

from __future__ import annotations

from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.packets import golden
from tests.packets.reference import pseudo_header, slow_checksum
from tests.packets.strategies import address_pairs, bits16, bits32, payloads
from traceprobe.errors import PacketError
from traceprobe.packets import (
    IPAddress,
    QuotedTcp,
    TcpFlag,
    TcpOption,
    TcpOptionKind,
    TcpSegment,
    build_tcp,
    build_tcp_options,
    parse_ip,
    parse_quoted_tcp,
    parse_tcp,
    parse_tcp_options,
)

if TYPE_CHECKING:
    from collections.abc import Callable

A4, B4 = IPv4Address("192.0.2.77"), IPv4Address("203.0.113.9")
A6, B6 = IPv6Address("2001:db8:0:1::77"), IPv6Address("2001:db8:9::9")
MSS = TcpOption(TcpOptionKind.MAXIMUM_SEGMENT_SIZE, b"\x05\xb4")
SYN_OPTIONS = (MSS, TcpOption(TcpOptionKind.SACK_PERMITTED), TcpOption(TcpOptionKind.WINDOW_SCALE, b"\x07"))


def refused(parse: Callable[[bytes], object], data: bytes) -> PacketError | None:
    """How parsing refuses the bytes, if it does. Everything but PacketError gets through."""
    try:
        parse(data)
    except PacketError as error:
        return error
    return None


@given(address_pairs, bits16, bits16, bits32, bits32, st.integers(0, 0xFFF), bits16, payloads, st.data())
def test_a_segment_comes_back_as_it_was_built(
    pair: tuple[IPAddress, IPAddress],
    source_port: int,
    destination_port: int,
    sequence: int,
    acknowledgement: int,
    flags: int,
    window: int,
    payload: bytes,
    data: st.DataObject,
) -> None:
    options = data.draw(st.binary(max_size=40))
    built = build_tcp(
        *pair,
        source_port,
        destination_port,
        sequence=sequence,
        acknowledgement=acknowledgement,
        flags=flags,
        window=window,
        options=options,
        payload=payload,
    )
    assert slow_checksum(pseudo_header(*pair, 6, len(built)) + built) == 0
    segment = parse_tcp(built, pseudo=pair)
    assert segment == TcpSegment(
        source_port,
        destination_port,
        sequence,
        acknowledgement,
        flags,
        window,
        segment.checksum,
        options + bytes(-len(options) % 4),
        memoryview(payload),
    )


@pytest.mark.parametrize("data", [golden.SYN4, golden.SYN6], ids=["v4", "v6"])
def test_a_real_syn(data: bytes) -> None:
    outer = parse_ip(data)
    pair = outer.source, outer.destination
    segment = parse_tcp(outer.payload, pseudo=pair)
    assert segment[:6] == (45123, 443, 0xCAFE0001, 0, TcpFlag.SYN, 65535)
    assert segment.flags == TcpFlag.SYN
    assert parse_tcp_options(segment.options) == (MSS,)
    assert (
        build_tcp(*pair, 45123, 443, sequence=0xCAFE0001, window=65535, options=build_tcp_options([MSS]))
        == outer.payload
    )


def test_a_real_answer() -> None:
    outer = parse_ip(golden.SYNACK4, verify=True)
    segment = parse_tcp(outer.payload, pseudo=(outer.source, outer.destination))
    assert segment.flags == TcpFlag.SYN | TcpFlag.ACK
    assert segment.acknowledgement == 0xCAFE0002
    assert parse_tcp_options(segment.options) == SYN_OPTIONS


def test_a_quote_tells_as_much_as_there_is() -> None:
    segment = golden.SYN4[20:]
    whole = QuotedTcp(45123, 443, 0xCAFE0001, 0, TcpFlag.SYN, 65535, 0x1CD1, bytes.fromhex("020405b4"))
    assert parse_quoted_tcp(segment) == whole
    for length in range(len(segment)):
        if length < 8:
            with pytest.raises(PacketError, match="cut short") as caught:
                parse_quoted_tcp(segment[:length])
            assert caught.value.offset == length
            continue
        quoted = parse_quoted_tcp(segment[:length])
        ends = (2, 4, 8, 12, 14, 16, 18, 24)
        assert quoted == tuple(
            value if end <= length else None for value, end in zip(whole, ends, strict=True)
        )


def test_a_quote_with_padding_behind_its_options() -> None:
    assert parse_quoted_tcp(golden.SYN4[20:] + bytes(100)).options == bytes.fromhex("020405b4")


def test_a_quoted_data_offset_that_can_not_be() -> None:
    segment = bytearray(golden.SYN4[20:])
    segment[12] = 0x40
    assert parse_quoted_tcp(segment).options is None
    assert parse_quoted_tcp(segment).flags == TcpFlag.SYN


def test_every_truncation_is_refused() -> None:
    segment = golden.SYN4[20:]
    for length in range(len(segment)):
        with pytest.raises(PacketError) as caught:
            parse_tcp(segment[:length])
        assert 0 <= caught.value.offset <= length


@pytest.mark.parametrize("offset", [0, 4, 7, 15])
def test_a_header_length_that_can_not_be(offset: int) -> None:
    segment = bytearray(golden.SYN4[20:])
    segment[12] = offset << 4
    with pytest.raises(PacketError, match="TCP header") as caught:
        parse_tcp(segment)
    assert caught.value.offset == 12


@pytest.mark.parametrize("pair", [(A4, B4), (A6, B6)], ids=["v4", "v6"])
@pytest.mark.parametrize("place", [0, 5, 13, 17, 20, 26])
def test_a_wrong_checksum_is_found(pair: tuple[IPAddress, IPAddress], place: int) -> None:
    segment = bytearray(build_tcp(*pair, 1, 2, sequence=3, window=4, payload=b"payload"))
    segment[place] ^= 0x01
    parse_tcp(segment)
    with pytest.raises(PacketError, match="checksum") as caught:
        parse_tcp(segment, pseudo=pair)
    assert caught.value.offset == 16


@pytest.mark.parametrize(
    ("build", "offset"),
    [
        (partial(build_tcp, A4, B4, 65536, 2, sequence=3, window=4), 0),
        (partial(build_tcp, A4, B4, 1, -1, sequence=3, window=4), 2),
        (partial(build_tcp, A4, B4, 1, 2, sequence=1 << 32, window=4), 4),
        (partial(build_tcp, A4, B4, 1, 2, sequence=3, window=4, acknowledgement=-1), 8),
        (partial(build_tcp, A4, B4, 1, 2, sequence=3, window=4, flags=0x1000), 12),
        (partial(build_tcp, A4, B4, 1, 2, sequence=3, window=65536), 14),
        (partial(build_tcp, A4, B4, 1, 2, sequence=3, window=4, options=bytes(41)), 20),
    ],
)
def test_what_does_not_fit(build: Callable[[], bytes], offset: int) -> None:
    with pytest.raises(PacketError) as caught:
        build()
    assert caught.value.offset == offset


def test_addresses_of_one_family() -> None:
    with pytest.raises(PacketError, match="is no IPv"):
        build_tcp(ip_address("192.0.2.1"), B6, 1, 2, sequence=3, window=4)


# --- options -----------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(2, 255), st.binary(max_size=6)), max_size=5))
def test_options_come_back_as_they_were_built(items: list[tuple[int, bytes]]) -> None:
    options = tuple(TcpOption(*item) for item in items)
    encoded = build_tcp_options(options)
    assert len(encoded) % 4 == 0
    assert parse_tcp_options(encoded) == options


def test_no_operations_between_options_say_nothing() -> None:
    assert parse_tcp_options(bytes.fromhex("01 01 0402 01 030307 00 ffff")) == (
        TcpOption(TcpOptionKind.SACK_PERMITTED),
        TcpOption(TcpOptionKind.WINDOW_SCALE, b"\x07"),
    )
    nop = TcpOption(TcpOptionKind.NO_OPERATION)
    assert build_tcp_options([nop, nop, *SYN_OPTIONS]) == bytes.fromhex("0101 020405b4 0402 030307 00")


@pytest.mark.parametrize(("data", "offset"), [("0204 05", 0), ("0402 02", 2), ("0200", 0), ("01 0801", 1)])
def test_options_that_can_not_be(data: str, offset: int) -> None:
    with pytest.raises(PacketError, match="TCP option") as caught:
        parse_tcp_options(bytes.fromhex(data))
    assert caught.value.offset == offset


def test_options_that_do_not_fit() -> None:
    with pytest.raises(PacketError, match="at most 40"):
        build_tcp_options([TcpOption(254, bytes(39))])
    with pytest.raises(PacketError, match="kind"):
        build_tcp_options([TcpOption(256)])
    with pytest.raises(PacketError, match="length"):
        build_tcp_options([TcpOption(254, bytes(254))])


@given(st.binary(max_size=60))
def test_any_bytes_give_a_value_or_a_packet_error(data: bytes) -> None:
    for parse in (parse_tcp, parse_quoted_tcp, parse_tcp_options):
        refusal = refused(parse, data)
        assert refusal is None or 0 <= refusal.offset <= len(data)


@pytest.mark.parametrize("name", ["SYN4", "SYN6", "SYNACK4"])
def test_every_byte_spoilt(name: str) -> None:
    datagram = parse_ip(golden.DATAGRAMS[name])
    data = bytes(datagram.payload)
    pair = datagram.source, datagram.destination
    for place in range(len(data)):
        for value in {0x00, 0xFF, data[place] ^ 0x80, data[place] ^ 0x01} - {data[place]}:
            spoilt = data[:place] + bytes([value]) + data[place + 1 :]
            with pytest.raises(PacketError):
                parse_tcp(spoilt, pseudo=pair)
            refusal = refused(lambda data: parse_tcp_options(parse_tcp(data).options), spoilt)
            assert refusal is None or 0 <= refusal.offset <= len(data)
