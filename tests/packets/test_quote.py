"""Quoted datagrams of any legal length, and of some that aren't."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.packets import golden
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
from traceprobe.errors import PacketError, UsageError
from traceprobe.packets import QuotedDatagram, build_ipv4, build_ipv6, parse_ip, parse_quoted

A4, B4 = IPv4Address("192.0.2.77"), IPv4Address("203.0.113.9")
A6, B6 = IPv6Address("2001:db8:0:1::77"), IPv6Address("2001:db8:9::9")


def test_the_fields_of_a_quoted_ipv4_datagram() -> None:
    quote = golden.TE4_RFC792[28:]
    assert parse_quoted(4, quote) == QuotedDatagram(
        version=4,
        source=A4,
        destination=B4,
        ttl=1,
        traffic_class=0,
        protocol=17,
        total_length=60,
        identification=0xD431,
        flags=0,
        fragment_offset=0,
        header_checksum=0xE728,
        flow_label=None,
        transport=memoryview(quote[20:]),
    )
    assert len(quote) == 28


def test_the_fields_of_a_quoted_ipv6_datagram() -> None:
    quote = golden.TE6[48:]
    assert parse_quoted(6, quote) == QuotedDatagram(
        version=6,
        source=A6,
        destination=B6,
        ttl=1,
        traffic_class=0,
        protocol=17,
        total_length=80,
        identification=None,
        flags=0,
        fragment_offset=0,
        header_checksum=None,
        flow_label=0xABCDE,
        transport=memoryview(quote[40:]),
    )


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
    st.data(),
)
def test_ipv4_quoted_at_any_length(
    fields: dict[str, Any], options: bytes, payload: bytes, data: st.DataObject
) -> None:
    datagram = build_ipv4(payload, options=options, **fields)
    end = data.draw(st.integers(20, len(datagram)))
    quoted = parse_quoted(4, datagram[:end])
    assert {name: getattr(quoted, name) for name in fields} == fields
    assert quoted.version == 4
    assert quoted.total_length == len(datagram)
    assert quoted.header_checksum == int.from_bytes(datagram[10:12], "big")
    assert quoted.flow_label is None
    assert quoted.transport == datagram[len(datagram) - len(payload) : end]


@given(
    st.fixed_dictionaries({
        "source": ipv6_addresses,
        "destination": ipv6_addresses,
        "traffic_class": bits8,
        "flow_label": bits20,
    }),
    bits8,
    payloads,
    st.data(),
)
def test_ipv6_quoted_at_any_length(
    fields: dict[str, Any], hop_limit: int, payload: bytes, data: st.DataObject
) -> None:
    datagram = build_ipv6(payload, next_header=17, hop_limit=hop_limit, **fields)
    end = data.draw(st.integers(40, len(datagram)))
    quoted = parse_quoted(6, datagram[:end])
    assert {name: getattr(quoted, name) for name in fields} == fields
    assert (quoted.version, quoted.ttl, quoted.protocol) == (6, hop_limit, 17)
    assert quoted.total_length == len(datagram)
    assert (quoted.identification, quoted.header_checksum) == (None, None)
    assert quoted.transport == datagram[40:end]


@pytest.mark.parametrize("name", sorted(golden.DATAGRAMS))
def test_every_truncation_of_a_datagram_is_a_quote_once_its_header_is_there(name: str) -> None:
    datagram = golden.DATAGRAMS[name]
    whole = parse_ip(datagram)
    fixed = 20 if whole.version == 4 else 40
    for length in range(len(datagram) + 1):
        if length < fixed:
            with pytest.raises(PacketError, match="cut short") as caught:
                parse_quoted(whole.version, datagram[:length])
            assert caught.value.offset == length
        else:
            quoted = parse_quoted(whole.version, datagram[:length])
            start = len(datagram) - len(whole.payload)
            assert quoted.transport == datagram[start:length]
            assert quoted.destination == whole.destination


@pytest.mark.parametrize("total_length", [0, 19, 27, 1500, 65535])
def test_a_quoted_total_length_is_reported_and_not_believed(total_length: int) -> None:
    # macOS quotes it in host byte order, routers after having changed it.
    quote = golden.UDP4[:2] + total_length.to_bytes(2, "big") + golden.UDP4[4:28]
    quoted = parse_quoted(4, quote)
    assert quoted.total_length == total_length
    assert quoted.transport == golden.UDP4[20:28]


def test_a_quoted_checksum_and_ttl_are_reported_and_not_believed() -> None:
    quote = golden.UDP4[:8] + b"\x00" + golden.UDP4[9:10] + b"\xba\xd0" + golden.UDP4[12:28]
    quoted = parse_quoted(4, quote)
    assert (quoted.ttl, quoted.header_checksum) == (0, 0xBAD0)


@pytest.mark.parametrize(
    ("version", "quote", "reason"),
    [
        (4, golden.UDP6, "IP version 6 in an ICMPv4"),
        (6, golden.UDP4, "IP version 4 in an ICMPv6"),
        (4, bytes(28), "IP version 0"),
        (4, b"\x44" + golden.UDP4[1:], "header length of 16"),
        (4, b"\x40" + golden.UDP4[1:], "header length of 0"),
    ],
)
def test_impossible_headers_are_refused(version: int, quote: bytes, reason: str) -> None:
    with pytest.raises(PacketError, match=reason) as caught:
        parse_quoted(version, quote)
    assert caught.value.offset == 0


def test_a_header_of_which_the_options_are_cut() -> None:
    quoted = parse_quoted(4, golden.ALERT4[:22])
    assert not quoted.transport
    assert quoted.protocol == 1
    assert quoted.destination == B4


def test_the_transport_is_a_view_and_not_a_copy() -> None:
    buffer = bytearray(golden.UDP4)
    transport = parse_quoted(4, buffer).transport
    buffer[20] = 0xEE
    assert transport[0] == 0xEE


@pytest.mark.parametrize("version", [0, 5, 7])
def test_there_are_two_versions(version: int) -> None:
    with pytest.raises(UsageError, match="must be 4 or 6"):
        parse_quoted(version, golden.UDP4)
