"""Who connects this machine: what the user says, what a server says, what the source says by itself."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from tests.enrich.stun_server import SUCCESS, message, stun_server, xor_mapped
from traceprobe.config import EnrichmentConfig, TimingConfig
from traceprobe.enrich._ends import OwnNetworkEnricher
from traceprobe.enrich._public_address import PublicAddressError, PublicAddressFinder
from traceprobe.errors import ResolverError
from traceprobe.model import NOTHING_KNOWN, Asn, EnrichmentError, Knowledge

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    IPAddress = IPv4Address | IPv6Address

PRIVATE, PUBLIC = ip_address("192.168.1.7"), ip_address("5.1.0.7")


class Networks:
    """Knows one network, and who was asked about."""

    name = "networks"

    def __init__(self, knowledge: Knowledge, error: OSError | None = None) -> None:
        self.knowledge, self.error = knowledge, error
        self.asked: list[IPAddress] = []

    async def enrich(self, address: IPAddress) -> Knowledge:
        self.asked.append(address)
        if self.error is not None:
            raise self.error
        return self.knowledge


ISP = Knowledge(asn=Asn(64500), announced=True)


async def test_what_the_user_says_counts_and_the_first_of_the_family_does() -> None:
    networks = Networks(ISP)
    own = OwnNetworkEnricher(("2a00::1", "5.1.0.7", "5.1.0.8"), None, [networks])
    assert await own.enrich(PRIVATE) == ISP
    assert networks.asked == [PUBLIC] == [own.address_of(PRIVATE)]
    await own.enrich(ip_address("fd00::7"))
    assert networks.asked[-1] == ip_address("2a00::1")


async def test_a_public_source_tells_by_itself_and_a_private_one_tells_nothing() -> None:
    networks = Networks(ISP)
    own = OwnNetworkEnricher((), None, [networks])
    assert await own.enrich(PUBLIC) == ISP
    for source in (PRIVATE, ip_address("100.64.0.7"), ip_address("0.0.0.0"), ip_address("::")):
        assert await own.enrich(source) == NOTHING_KNOWN
        assert own.address_of(source) is None
    assert networks.asked == [PUBLIC]


@pytest.mark.parametrize("source", ["127.0.0.1", "0.0.0.0"])
async def test_a_server_tells_what_is_behind_a_translator(source: str) -> None:
    def answers(transaction_id: bytes, number: int) -> list[bytes]:
        return [message(SUCCESS, transaction_id, xor_mapped(str(PUBLIC), transaction_id))]

    networks = Networks(ISP)
    async with stun_server(answers) as server:
        config = EnrichmentConfig(public_address=True, stun_servers=(server.name,))
        finder = await PublicAddressFinder.open(config, TimingConfig(), lambda: 0)
        own = OwnNetworkEnricher((), finder, [networks])
        assert await own.enrich(ip_address(source)) == ISP
        assert own.address_of(ip_address(source)) == PUBLIC
        # Of a family that the user has named an address of, nobody is asked.
        named = OwnNetworkEnricher(("5.1.0.9",), finder, [networks])
        await named.enrich(ip_address("127.0.0.2"))
        assert len(server.requests) == 1
    assert networks.asked == [PUBLIC, ip_address("5.1.0.9")]


async def test_a_server_that_does_not_tell_is_a_failure_with_its_reason() -> None:
    async with stun_server(lambda *_: []) as server:
        config = EnrichmentConfig(public_address=True, stun_servers=(server.name,), stun_requests=1)
        timing = TimingConfig(stun_rto=0.001, stun_last_wait_factor=1.0)
        finder = await PublicAddressFinder.open(config, timing, lambda: 0)
        with pytest.raises(PublicAddressError, match="no answer"):
            await OwnNetworkEnricher((), finder, []).enrich(ip_address("127.0.0.1"))


async def test_all_who_know_networks_are_asked_and_a_failure_is_kept() -> None:
    failing = Networks(NOTHING_KNOWN, ResolverError("q.example", "refused"))
    own = OwnNetworkEnricher(("5.1.0.7",), None, [failing, Networks(ISP)])
    knowledge = await own.enrich(PRIVATE)
    assert knowledge.asn == ISP.asn
    assert knowledge.errors == (EnrichmentError("networks", "refused"),)
