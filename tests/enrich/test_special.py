"""Special-purpose addresses: the registries in full, the longest prefix, and what is embedded."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceprobe.enrich._special import announced_address, embedded_ipv4, special_purpose, special_purposes

addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))

# Both registries written down a second time: a file that loses a line must not go unnoticed.
BLOCKS = """
0.0.0.0/8 0.0.0.0/32 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
192.0.0.0/29 192.0.0.8/32 192.0.0.9/32 192.0.0.10/32 192.0.0.170/32 192.0.0.171/32 192.0.2.0/24
192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.88.99.2/32 192.168.0.0/16 192.175.48.0/24
198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 255.255.255.255/32
::1/128 ::/128 ::/96 ::ffff:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23
2001::/32 2001:1::1/128 2001:1::2/128 2001:1::3/128 2001:2::/48 2001:3::/32 2001:4:112::/48 2001:10::/28
2001:20::/28 2001:30::/28 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20 5f00::/16 fc00::/7
fe80::/10 fec0::/10 ff00::/8
"""


def test_the_registries_are_complete_and_nothing_else_is_in_them() -> None:
    assert {entry.prefix for entry in special_purposes()} == {ip_network(block) for block in BLOCKS.split()}
    assert len(special_purposes()) == len(BLOCKS.split())


@pytest.mark.parametrize(
    ("address", "prefix", "name", "reference", "reachable"),
    [
        ("10.255.255.255", "10.0.0.0/8", "Private-Use", "RFC1918", False),
        ("100.64.0.1", "100.64.0.0/10", "Shared Address Space", "RFC6598", False),
        ("127.0.0.1", "127.0.0.0/8", "Loopback", "RFC1122, Section 3.2.1.3", False),
        ("192.0.0.9", "192.0.0.9/32", "Port Control Protocol Anycast", "RFC7723", True),
        ("192.0.0.7", "192.0.0.0/29", "IPv4 Service Continuity Prefix", "RFC7335", False),
        ("192.0.0.77", "192.0.0.0/24", "IETF Protocol Assignments", "RFC6890, Section 2.1", False),
        ("192.0.0.171", "192.0.0.171/32", "NAT64/DNS64 Discovery", "RFC8880, RFC7050, Section 2.2", False),
        ("192.88.99.1", "192.88.99.0/24", "Deprecated (6to4 Relay Anycast)", "RFC7526", None),
        ("0.0.0.1", "0.0.0.0/8", "This network", "RFC791, Section 3.2", False),
        ("255.255.255.255", "255.255.255.255/32", "Limited Broadcast", "RFC8190, RFC919, Section 7", False),
        ("255.255.255.254", "240.0.0.0/4", "Reserved", "RFC1112, Section 4", False),
        ("224.0.0.1", "224.0.0.0/4", "Multicast", "RFC5771", False),
        ("2001::1", "2001::/32", "TEREDO", "RFC4380, RFC8190", None),
        ("2001:1ff::", "2001::/23", "IETF Protocol Assignments", "RFC2928", False),
        ("2001:4:112::7", "2001:4:112::/48", "AS112-v6", "RFC7535", True),
        ("fd00::1", "fc00::/7", "Unique-Local", "RFC4193, RFC8190", False),
        ("fe80::1%eth0", "fe80::/10", "Link-Local Unicast", "RFC4291", False),
        ("5f00:1::", "5f00::/16", "Segment Routing (SRv6) SIDs", "RFC9602", False),
        ("3fff:fff::1", "3fff::/20", "Documentation", "RFC9637", False),
    ],
)
def test_the_most_specific_entry_is_found(
    address: str, prefix: str, name: str, reference: str, reachable: bool | None
) -> None:
    entry = special_purpose(ip_address(address))
    assert entry is not None
    assert (str(entry.prefix), entry.name, entry.reference) == (prefix, name, reference)
    assert entry.globally_reachable is reachable


@pytest.mark.parametrize(
    "address",
    ["9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.32.0.0", "223.255.255.255",
     "192.0.1.0", "198.20.0.0", "8.8.8.8", "2001:200::", "2001:4860::1", "2000::", "2003::", "3ffe::1",
     "2620:4f:7fff::"],
)  # fmt: skip
def test_ordinary_addresses_next_to_special_ones_are_ordinary(address: str) -> None:
    assert special_purpose(ip_address(address)) is None
    assert announced_address(ip_address(address)) == ip_address(address)


def test_terminated_entries_say_when() -> None:
    orchid = special_purpose(ip_address("2001:10::1"))
    assert orchid is not None
    assert (orchid.allocated, orchid.terminated, orchid.forwardable) == ("2007-03", "2014-03", None)
    private = special_purpose(ip_address("10.0.0.1"))
    assert private is not None
    assert (private.allocated, private.terminated, private.reserved_by_protocol) == ("1996-02", None, False)


@given(addresses)
def test_the_entry_is_the_longest_prefix_that_holds_the_address(address: IPv4Address | IPv6Address) -> None:
    holding = [entry for entry in special_purposes() if address in entry.prefix]
    longest = max(holding, key=lambda entry: entry.prefix.prefixlen, default=None)
    assert special_purpose(address) == longest


@given(st.sampled_from(special_purposes()), st.data())
def test_every_block_is_special_from_its_first_address_to_its_last(
    entry: object, data: st.DataObject
) -> None:
    prefix = entry.prefix  # type: ignore[attr-defined]
    first, last = int(prefix.network_address), int(prefix.broadcast_address)
    kind = type(prefix.network_address)
    for value in (first, last, data.draw(st.integers(first, last))):
        found = special_purpose(kind(value))
        assert found is not None
        assert found.prefix.subnet_of(prefix)
        if (inside := embedded_ipv4(kind(value))) is None or special_purpose(inside) is not None:
            assert announced_address(kind(value)) is None


@given(st.ip_addresses(v=4))
def test_what_is_embedded_is_found_and_asked_about_instead(address: IPv4Address) -> None:
    mapped = IPv6Address(f"::ffff:{address}")
    translated = IPv6Address(f"64:ff9b::{address}")
    assert embedded_ipv4(mapped) == embedded_ipv4(translated) == address == mapped.ipv4_mapped
    assert announced_address(mapped) == announced_address(translated) == announced_address(address)


@given(addresses)
def test_nothing_is_found_where_nothing_is_embedded(address: IPv4Address | IPv6Address) -> None:
    embedding = [ipaddress.ip_network("::ffff:0:0/96"), ipaddress.ip_network("64:ff9b::/96")]
    assert (embedded_ipv4(address) is not None) == any(address in prefix for prefix in embedding)


@pytest.mark.parametrize("address", ["64:ff9b:1::808:808", "::8.8.8.8", "2002:808:808::1", "8.8.8.8"])
def test_other_formats_are_not_taken_for_embedded_addresses(address: str) -> None:
    assert embedded_ipv4(ip_address(address)) is None
