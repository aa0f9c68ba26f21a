"""Networks by Team Cymru's format: what is asked, what is read out of the answers, what is remembered."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceprobe import Asn, EnrichmentConfig, EnrichmentError, Knowledge, ResolverError, TextAnswer
from traceprobe.enrich._cymru import announcements, as_name, name_in, origin_name
from traceprobe.enrich._memory import TtlCache
from traceprobe.enrich._networks import NetworkEnricher
from traceprobe.model import NOTHING_KNOWN

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from tests.enrich.test_resolver import MakeResolver
    from tests.rigs.dns_server import DnsServer

CONFIG = EnrichmentConfig(
    asn=True, asn_zone="v4.example", asn_zone_ipv6="v6.example", asn_name_zone="names.example"
)
SIX = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.8.4.1.0.0.2.v6.example"


class Texts:
    """A resolver that answers out of a table, and counts."""

    def __init__(self, table: dict[str, list[str]], *, ttl: float = 60.0) -> None:
        self.table = table
        self.ttl = ttl
        self.asked: Counter[str] = Counter()
        self.failing: set[str] = set()

    async def reverse(self, address: IPv4Address | IPv6Address) -> str | None:
        raise AssertionError("nobody wants names")

    async def text(self, name: str) -> TextAnswer:
        await anyio.lowlevel.checkpoint()
        self.asked[name] += 1
        if name in self.failing:
            raise ResolverError(name, "SERVFAIL")
        return TextAnswer(tuple(text.encode() for text in self.table.get(name, [])), self.ttl)


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def enricher(texts: Texts, clock: Clock | None = None) -> NetworkEnricher:
    return NetworkEnricher(texts, CONFIG, clock or Clock())


NAMES = {
    "AS3561.names.example": ["3561 | US | arin | 1994-10-25 | CENTURYLINK-LEGACY-SAVVIS - Savvis, US"],
    "AS15169.names.example": ["15169 | US | arin | 2000-03-30 | GOOGLE - Google LLC, US"],
    "AS64500.names.example": ["64500 |||| EXAMPLE"],
    "AS4200000000.names.example": [],
}


# --- what is asked --------------------------------------------------------------------------------------


def test_an_address_is_asked_for_backwards() -> None:
    zones = {"zone": "origin.asn.example", "zone_ipv6": "origin6.asn.example"}
    assert origin_name(ip_address("216.90.108.31"), **zones) == "31.108.90.216.origin.asn.example"
    nibbles = "8.8.8.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.8.4.0.6.8.4.1.0.0.2"
    assert origin_name(ip_address("2001:4860:4860::8888"), **zones) == f"{nibbles}.origin6.asn.example"
    assert as_name(3561, zone="asn.example") == "AS3561.asn.example"


# --- what is read ---------------------------------------------------------------------------------------

HOST = ip_address("216.90.108.31")


@pytest.mark.parametrize(
    ("text", "origins", "prefix", "country", "registry"),
    [
        ("3561 | 216.88.0.0/14 | US | arin | 1998-09-25", (3561,), "216.88.0.0/14", "US", "arin"),
        ("3561 3356 3561 | 216.88.0.0/14 | US | arin |", (3561, 3356), "216.88.0.0/14", "US", "arin"),
        ("3561|216.90.108.0/24||arin|", (3561,), "216.90.108.0/24", None, "arin"),
        ("3561 | 216.90.108.31/32", (3561,), "216.90.108.31/32", None, None),
        ("3561 | 216.90.108.31/24 |  |  | ", (3561,), "216.90.108.0/24", None, None),
        (
            "4294967295 | 216.88.0.0/14 | US | arin | 1998 | more | still more",
            (4294967295,),
            "216.88.0.0/14",
            "US",
            "arin",
        ),
    ],
)
def test_an_announcement_is_read_liberally(
    text: str, origins: tuple[int, ...], prefix: str, country: str | None, registry: str | None
) -> None:
    (found,) = announcements([text.encode()], HOST)
    assert (found.origins, str(found.prefix)) == (origins, prefix)
    assert (found.country, found.registry) == (country, registry)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"|",
        b"NA | 216.88.0.0/14 | US | arin | 1998-09-25",
        b"4294967296 | 216.88.0.0/14 | US | arin | 1998-09-25",
        b"3561 | US | arin | 1994-10-25 | NAME",
        b"3561 | 216.88.0.0/33",
        b"3561 | 10.0.0.0/8 | US | arin |",
        b"3561 | 2001:db8::/32 | US | arin |",
        b"\xff\xfe\x00",
        "\u0663\u0665 | 216.88.0.0/14".encode(),
    ],
)
def test_what_says_nothing_of_the_address_is_passed_over(text: bytes) -> None:
    assert announcements([text], HOST) == ()


def test_the_longest_prefix_comes_first_and_none_is_lost() -> None:
    texts = [b"1 | 216.0.0.0/8", b"2 3 | 216.90.108.0/24", b"4 | 216.88.0.0/14"]
    found = announcements(texts, HOST)
    assert [entry.origins for entry in found] == [(2, 3), (4,), (1,)]


def test_networks_that_announce_one_prefix_may_have_a_string_each() -> None:
    texts = [b"64502 | 216.90.0.0/16 ||", b"64501 64503 | 216.90.0.0/16 | US | arin |", b"1 | 216.0.0.0/8"]
    for order in (texts, texts[::-1]):
        best, other = announcements(order, HOST)
        assert best.origins == (64501, 64503, 64502)
        assert (best.country, best.registry) == ("US", "arin")
        assert other.origins == (1,)


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_no_text_is_too_strange(strings: list[bytes]) -> None:
    for address in (HOST, ip_address("2001:4860::1")):
        for entry in announcements(strings, address):
            assert address in entry.prefix
    name_in(strings)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("3561 | US | arin | 1994-10-25 | CENTURYLINK - Savvis, US", "CENTURYLINK - Savvis"),
        ("1 | | | | Level 3, Parent, LLC, US", "Level 3, Parent, LLC"),
        ("1 | DE | ripencc | | A | B", "A | B"),
        ("1 | DE | ripencc | | T\u00dcRK, TR", "T\u00dcRK"),
        ("1 | DE | ripencc | | , DE", None),
        ("1 | DE | ripencc | | ", None),
        ("1 | DE", None),
        ("", None),
    ],
)
def test_the_name_loses_the_country_at_its_end(text: str, name: str | None) -> None:
    assert name_in([text.encode()]) == name


# --- what becomes known ---------------------------------------------------------------------------------


async def test_a_network_takes_two_questions() -> None:
    texts = Texts(
        {"31.108.90.216.v4.example": ["3561 3356 | 216.88.0.0/14 | US | arin | 1998-09-25"]} | NAMES
    )
    assert await enricher(texts).enrich(HOST) == Knowledge(
        asn=Asn(
            3561,
            prefix="216.88.0.0/14",
            country="US",
            registry="arin",
            name="CENTURYLINK-LEGACY-SAVVIS - Savvis",
            origins=(3356,),
        ),
        announced=True,
    )
    assert texts.asked == {"31.108.90.216.v4.example": 1, "AS3561.names.example": 1}


async def test_ipv6_has_a_zone_of_its_own() -> None:
    texts = Texts({SIX: ["15169 | 2001:4860::/32 | US | arin | 2005-03-14"]} | NAMES)
    knowledge = await enricher(texts).enrich(ip_address("2001:4860::1"))
    assert knowledge.asn is not None
    assert (knowledge.asn.number, knowledge.asn.name) == (15169, "GOOGLE - Google LLC")


async def test_no_answer_means_unannounced() -> None:
    texts = Texts({})
    assert await enricher(texts).enrich(HOST) == Knowledge(announced=False)
    assert set(texts.asked) == {"31.108.90.216.v4.example"}


async def test_a_network_without_a_name_is_a_network() -> None:
    texts = Texts({"31.108.90.216.v4.example": ["4200000000 | 216.88.0.0/14"]} | NAMES)
    knowledge = await enricher(texts).enrich(HOST)
    assert knowledge == Knowledge(asn=Asn(4200000000, prefix="216.88.0.0/14"), announced=True)


async def test_a_failure_is_raised_and_not_remembered() -> None:
    texts = Texts({"31.108.90.216.v4.example": ["64500 | 216.88.0.0/14"]} | NAMES)
    asked = enricher(texts)
    texts.failing = {"31.108.90.216.v4.example"}
    with pytest.raises(ResolverError, match="SERVFAIL"):
        await asked.enrich(HOST)
    texts.failing = {"AS64500.names.example"}
    knowledge = await asked.enrich(HOST)
    assert knowledge.asn == Asn(64500, prefix="216.88.0.0/14")
    assert knowledge.errors == (EnrichmentError("asn", "SERVFAIL"),)
    texts.failing = set()
    knowledge = await asked.enrich(HOST)
    assert (knowledge.asn, knowledge.errors) == (Asn(64500, prefix="216.88.0.0/14", name="EXAMPLE"), ())


async def test_an_answer_without_sense_is_a_failure_and_not_silence() -> None:
    texts = Texts({"31.108.90.216.v4.example": ["please say hello to us"]})
    with pytest.raises(ResolverError, match="no sense"):
        await enricher(texts).enrich(HOST)


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.1.1",
        "172.16.0.1",
        "192.168.1.1",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "255.255.255.255",
        "0.0.0.0",
        "192.0.0.9",
        "192.88.99.1",
        "240.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd12:3456::1",
        "ff02::1",
        "2001:db8::1",
        "3fff::1",
        "2002:c000:201::1",
        "2001::1",
        "5f00::1",
        "100::1",
        "64:ff9b:1::1",
        "64:ff9b::10.0.0.1",
        "::ffff:192.168.1.1",
    ],
)
async def test_nobody_is_asked_about_addresses_of_special_purpose(address: str) -> None:
    texts = Texts({})
    assert await enricher(texts).enrich(ip_address(address)) == NOTHING_KNOWN
    assert not texts.asked


@pytest.mark.parametrize("address", ["64:ff9b::216.90.108.31", "::ffff:216.90.108.31"])
async def test_what_is_embedded_is_asked_for(address: str) -> None:
    texts = Texts({"31.108.90.216.v4.example": ["64500 | 216.88.0.0/14"]} | NAMES)
    knowledge = await enricher(texts).enrich(ip_address(address))
    assert knowledge.asn is not None
    assert knowledge.asn.number == 64500


# --- what is remembered ---------------------------------------------------------------------------------


async def test_an_answer_holds_for_its_neighbours_and_a_name_for_its_network() -> None:
    texts = Texts(
        {
            "31.108.90.216.v4.example": ["64500 | 216.88.0.0/14"],
            "1.109.90.216.v4.example": ["64500 | 216.88.0.0/14"],
        }
        | NAMES
    )
    asked = enricher(texts)
    for host in ("216.90.108.31", "216.90.108.1", "216.90.108.255", "216.90.109.1", "216.90.109.2"):
        knowledge = await asked.enrich(ip_address(host))
        assert knowledge.asn == Asn(64500, prefix="216.88.0.0/14", name="EXAMPLE")
    assert texts.asked == {
        "31.108.90.216.v4.example": 1,
        "1.109.90.216.v4.example": 1,
        "AS64500.names.example": 1,
    }


async def test_a_network_within_another_is_not_taken_for_it() -> None:
    # 8.8.8.0/24 is announced within 8.0.0.0/9 by somebody else: asked for in either order.
    table = {
        "1.2.1.8.v4.example": ["64500 | 8.0.0.0/9"],
        "8.8.8.8.v4.example": ["15169 | 8.8.8.0/24", "64500 | 8.0.0.0/9"],
    }
    for order in (("8.1.2.1", "8.8.8.8"), ("8.8.8.8", "8.1.2.1")):
        asked = enricher(Texts(table | NAMES))
        for host in order:
            knowledge = await asked.enrich(ip_address(host))
            assert knowledge.asn is not None
            assert knowledge.asn.number == {"8.1.2.1": 64500, "8.8.8.8": 15169}[host]


async def test_a_prefix_longer_than_usual_holds_for_itself_only() -> None:
    texts = Texts(
        {
            "1.2.1.8.v4.example": ["64500 | 8.1.2.0/25"],
            "129.2.1.8.v4.example": ["15169 | 8.1.2.128/25"],
        }
        | NAMES
    )
    asked = enricher(texts)
    numbers = []
    for host in ("8.1.2.1", "8.1.2.127", "8.1.2.129", "8.1.2.1"):
        knowledge = await asked.enrich(ip_address(host))
        assert knowledge.asn is not None
        numbers.append(knowledge.asn.number)
    assert numbers == [64500, 64500, 15169, 64500]
    assert texts.asked["1.2.1.8.v4.example"] == 1


async def test_ipv6_answers_hold_for_48_bits() -> None:
    texts = Texts({SIX: ["15169 | 2001:4860::/32"]} | NAMES)
    asked = enricher(texts)
    for host in ("2001:4860::1", "2001:4860::2", "2001:4860:0:ffff::1"):
        assert (await asked.enrich(ip_address(host))).asn is not None
    assert (await asked.enrich(ip_address("2001:4860:1::1"))).announced is False
    assert texts.asked[SIX] == 1


async def test_what_is_remembered_expires() -> None:
    texts = Texts({"31.108.90.216.v4.example": ["64500 | 216.88.0.0/14"]} | NAMES, ttl=10.0)
    clock = Clock()
    asked = enricher(texts, clock)
    await asked.enrich(HOST)
    clock.now_ns = 9_999_999_999
    await asked.enrich(HOST)
    assert set(texts.asked.values()) == {1}
    clock.now_ns = 10_000_000_000
    await asked.enrich(HOST)
    assert set(texts.asked.values()) == {2}


@given(
    st.lists(
        st.tuples(st.integers(0, 7), st.integers(0, 100), st.floats(0, 20), st.floats(0, 5)), max_size=60
    )
)
def test_memory_is_bounded_and_never_out_of_date(steps: list[tuple[int, int, float, float]]) -> None:
    clock = Clock()
    cache: TtlCache[int, int] = TtlCache(4, clock)
    truth: dict[int, tuple[int, float]] = {}
    for key, value, ttl, pause in steps:
        cache.put(key, value, ttl)
        truth[key] = value, clock.now_ns / 1e9 + ttl
        clock.now_ns += round(pause * 1e9)
        assert len(cache) <= 4
        for known in range(8):
            found = cache.get(known)
            if found is not None:
                assert found[0] == truth[known][0]
                assert clock.now_ns / 1e9 < truth[known][1] + 1e-6
                assert 0 < found[1] <= 20


# --- through a name server ------------------------------------------------------------------------------


async def test_with_a_name_server(server: DnsServer, resolver: MakeResolver) -> None:
    server.text(
        "31.108.90.216.v4.example", "64500 64501 | 216.88.0.0/14 | US | arin |", "1 | 216.0.0.0/8 |||"
    )
    server.text("AS64500.names.example", "64500 | US | arin | | EXAMPLE, US")
    async with resolver(server) as made:
        asked = NetworkEnricher(made, CONFIG, Clock())
        knowledge = await asked.enrich(HOST)
        assert knowledge.asn == Asn(64500, "216.88.0.0/14", "US", "arin", "EXAMPLE", (64501,))
        await asked.enrich(ip_address("216.90.108.7"))
        assert await asked.enrich(ip_address("216.1.1.1")) == Knowledge(announced=False)
    assert server.names("TXT") == [
        "31.108.90.216.v4.example",
        "as64500.names.example",
        "1.1.1.216.v4.example",
    ]


def test_prefixes_are_those_of_the_answer() -> None:
    (found,) = announcements([b"1 | 216.88.0.0/14"], HOST)
    assert found.prefix == ip_network("216.88.0.0/14")
