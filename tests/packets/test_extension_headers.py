"""IPv6 extension headers: walked over where they are whole, with bounds, and as far as they are quoted."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.packets import golden
from tests.packets.strategies import bits8, bits13, bits32
from traceprobe.errors import PacketError
from traceprobe.packets import IPDatagram, IpProtocol, IPv6Header, build_ipv6, parse_ip, parse_quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SOURCE, DESTINATION = IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2")
MOST = 16

Header = tuple[int, bytes]
"""Its number, and its bytes but for the first, which names the header behind it."""


def options(number: int, units: int) -> Header:
    """Hop-by-hop or destination options or a routing header of so many times eight bytes."""
    return number, bytes([units - 1]) + bytes(units * 8 - 2)


def authentication(words: int) -> Header:
    """An authentication header of so many 32-bit words; RFC 4302 counts them less two."""
    return IpProtocol.AUTHENTICATION_HEADER, bytes([words - 2]) + bytes(words * 4 - 2)


def fragment(offset: int, more: bool, identification: int = 1) -> Header:
    """A fragment header; its second byte is reserved and holds no length."""
    field = (offset << 3 | int(more)).to_bytes(2, "big")
    return IpProtocol.IPV6_FRAGMENT, b"\xff" + field + identification.to_bytes(4, "big")


def chained(headers: Sequence[Header], protocol: int, payload: bytes) -> tuple[int, bytes]:
    """The next-header value of the fixed header, and all that follows it."""
    numbers = [number for number, _ in headers] + [protocol]
    following = zip(headers, numbers[1:], strict=True)
    return numbers[0], b"".join(bytes([after]) + rest for (_, rest), after in following) + payload


def built(headers: Sequence[Header], protocol: int = 17, payload: bytes = b"transport") -> bytes:
    first, body = chained(headers, protocol, payload)
    return build_ipv6(body, source=SOURCE, destination=DESTINATION, next_header=first)


walked_over = st.one_of(
    st.builds(options, st.sampled_from([43, 60]), st.integers(1, 4)),
    st.builds(authentication, st.integers(3, 10)),
    st.builds(fragment, st.just(0), st.booleans(), bits32),
)
BOTH_PARSERS = pytest.mark.parametrize(
    "parse", [parse_ip, lambda data: parse_quoted(6, data)], ids=["whole", "quoted"]
)

upper_layers = bits8.filter(lambda number: number not in {0, 43, 44, 51, 60})


@given(st.booleans(), st.lists(walked_over, max_size=MOST - 1), upper_layers, st.binary(max_size=40))
def test_a_whole_chain_is_walked_over(
    hop_by_hop: bool, headers: list[Header], protocol: int, payload: bytes
) -> None:
    chain = [options(0, 1)] * hop_by_hop + headers
    data = built(chain, protocol, payload)
    datagram = parse_ip(data)
    assert isinstance(datagram.header, IPv6Header)
    assert datagram.header.next_header == (chain[0][0] if chain else protocol)
    assert datagram.protocol == protocol
    assert datagram.payload == payload
    quoted = parse_quoted(6, data)
    assert (quoted.protocol, bytes(quoted.transport)) == (protocol, payload)
    assert quoted.total_length == len(data)


@given(st.lists(walked_over, min_size=1, max_size=5), upper_layers)
def test_a_quote_may_end_anywhere_in_a_chain(headers: list[Header], protocol: int) -> None:
    data = built(headers, protocol, b"transport")
    numbers = [number for number, _ in headers] + [protocol]
    starts = [40]
    for _, rest in headers:
        starts.append(starts[-1] + 1 + len(rest))
    for end in range(40, len(data) + 1):
        quoted = parse_quoted(6, data[:end])
        # The first byte of each header names the one behind it.
        begun = sum(start < end for start in starts[:-1])
        assert quoted.protocol == numbers[begun]
        assert quoted.transport == data[starts[-1] : end]
        if end < len(data):
            with pytest.raises(PacketError):
                parse_ip(data[:end])


def test_a_real_chain() -> None:
    datagram = parse_ip(golden.CHAIN6)
    assert datagram.protocol == IpProtocol.UDP
    assert datagram.payload == golden.CHAIN6[64:]
    assert (datagram.fragment_offset, datagram.more_fragments) == (0, True)
    assert datagram.version == 6


@given(bits13.filter(bool), st.booleans(), bits8, st.binary(max_size=20))
def test_behind_a_later_fragment_nothing_is_a_header(
    offset: int, more: bool, protocol: int, payload: bytes
) -> None:
    data = built([options(60, 1), fragment(offset, more)], protocol, payload)
    datagram = parse_ip(data)
    assert datagram == IPDatagram(datagram.header, protocol, memoryview(payload), offset, more)
    quoted = parse_quoted(6, data)
    assert (quoted.protocol, bytes(quoted.transport)) == (protocol, payload)
    assert (quoted.fragment_offset, quoted.flags) == (offset, int(more))


def test_a_cut_fragment_header_still_tells_its_offset() -> None:
    data = built([fragment(185, True)])
    assert [parse_quoted(6, data[: 40 + n]).fragment_offset for n in range(9)] == [0] * 4 + [185] * 5


@BOTH_PARSERS
def test_longer_chains_are_not_followed(parse: Callable[[bytes], object]) -> None:
    parse(built([options(60, 1)] * MOST))
    for count in (MOST + 1, 8000):
        with pytest.raises(PacketError, match="more than 16 extension headers") as caught:
            parse(built([options(60, 1)] * count))
        assert caught.value.offset == 40 + 8 * (MOST + 1)


@BOTH_PARSERS
def test_hop_by_hop_options_come_first_or_never(parse: Callable[[bytes], object]) -> None:
    parse(built([options(0, 1), options(60, 1)]))
    with pytest.raises(PacketError, match="hop-by-hop") as caught:
        parse(built([options(60, 2), options(0, 1)]))
    assert caught.value.offset == 56


def test_a_header_that_reaches_beyond_the_payload() -> None:
    body = bytes([17, 200]) + bytes(14)
    data = build_ipv6(body, source=SOURCE, destination=DESTINATION, next_header=60)
    with pytest.raises(PacketError, match="beyond the payload") as caught:
        parse_ip(data)
    assert caught.value.offset == len(data)


def test_a_jumbogram_is_refused() -> None:
    # RFC 2675: payload length 0 and a hop-by-hop option with the real one.
    data = build_ipv6(source=SOURCE, destination=DESTINATION, next_header=0)
    with pytest.raises(PacketError):
        parse_ip(data + bytes.fromhex("11 00 c2 04 00 01 00 00"))


@pytest.mark.parametrize("number", [IpProtocol.ESP, IpProtocol.IPV6_NO_NEXT_HEADER])
def test_what_ends_a_chain(number: int) -> None:
    datagram = parse_ip(built([options(0, 1), options(60, 1)], number, b"opaque"))
    assert (datagram.protocol, bytes(datagram.payload)) == (number, b"opaque")
