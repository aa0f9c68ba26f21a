"""Hypothesis strategies for addresses, fields and bytes that are nearly packets."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.packets import golden

bits3 = st.integers(0, 7)
bits8 = st.integers(0, 0xFF)
bits13 = st.integers(0, 0x1FFF)
bits16 = st.integers(0, 0xFFFF)
bits20 = st.integers(0, 0xFFFFF)
bits32 = st.integers(0, 0xFFFFFFFF)

payloads = st.binary(max_size=300)
versions = st.sampled_from([4, 6])
ipv4_addresses = st.ip_addresses(v=4)
ipv6_addresses = st.ip_addresses(v=6)
address_pairs = st.one_of(
    st.tuples(ipv4_addresses, ipv4_addresses),
    st.tuples(ipv6_addresses, ipv6_addresses),
)


@st.composite
def nearly_packets(draw: st.DrawFn) -> bytes:
    """A real datagram, cut and spoilt in a few places."""
    data = bytearray(draw(st.sampled_from(sorted(golden.DATAGRAMS.values()))))
    for _ in range(draw(st.integers(0, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(bits8)
    start = draw(st.sampled_from([0, 0, 0, 8, 20, 28, 40, 48]))
    end = draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))
    return bytes(data[start:end]) + draw(st.binary(max_size=12))


any_bytes = st.one_of(st.binary(max_size=200), nearly_packets())
