"""Who connects this machine: what the user says, what a server says, what the source says by itself."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.enrich.stun_server import SUCCESS, message, stun_server, xor_mapped
from traceprobe.config import EnrichmentConfig, TimingConfig
from traceprobe.enrich._ends import OwnNetworkEnricher, PathJudge
from traceprobe.enrich._public_address import PublicAddressError, PublicAddressFinder
from traceprobe.errors import ResolverError
from traceprobe.model import NOTHING_KNOWN, Asn, EnrichmentError, Knowledge, Segment

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


# --- the judge -------------------------------------------------------------------------------------------

TARGET = ip_address("9.9.9.9")


class Pipeline:
    """Writes requests down, and answers them when the test says so."""

    def __init__(self) -> None:
        self.requests: list[tuple[IPAddress, tuple[Any, ...], Any]] = []

    def request(self, address: IPAddress, enrichers: tuple[Any, ...], subscriber: Any) -> None:
        self.requests.append((address, tuple(enrichers), subscriber))

    def answer(self, index: int, knowledge: Knowledge) -> None:
        address, enrichers, subscriber = self.requests[index]
        for enricher in enrichers:
            subscriber(address, enricher, knowledge)


def judge_of(pipeline: Pipeline) -> tuple[PathJudge, list[bool]]:
    networks = Networks(ISP)
    judge = PathJudge(cast("Any", pipeline), OwnNetworkEnricher((), None, [networks]), [networks], TARGET)
    waiting: list[bool] = []
    judge.ends_known = lambda: waiting.append(judge.is_waiting)
    return judge, waiting


def segment_of(judge: PathJudge, asn: int) -> Segment | None:
    hop = ip_address("5.1.0.1")
    verdict = judge.verdicts([(3, [hop])], {hop: Knowledge(asn=Asn(asn))}, ()).get(hop)
    return None if verdict is None else verdict.segment


def test_both_ends_are_asked_about_once() -> None:
    pipeline = Pipeline()
    judge, waiting = judge_of(pipeline)
    judge.look_up_ends(PRIVATE)
    judge.look_up_ends(PUBLIC)
    assert [address for address, *_ in pipeline.requests] == [PRIVATE, TARGET]
    assert segment_of(judge, 64500) is None
    pipeline.answer(0, ISP)
    assert (segment_of(judge, 64500), segment_of(judge, 64510)) == (Segment.ISP, None)
    pipeline.answer(1, Knowledge(asn=Asn(64510)))
    assert (segment_of(judge, 64510), segment_of(judge, 64520)) == (Segment.DESTINATION, Segment.TRANSIT)
    assert waiting == [True, False]
    assert judge.isp == Asn(64500)


@pytest.mark.parametrize("source", [None, ip_address("fd00::7")])
def test_without_a_source_of_the_family_an_unspecified_one_is_asked_about(source: IPAddress | None) -> None:
    pipeline = Pipeline()
    judge, _ = judge_of(pipeline)
    judge.look_up_ends(source)
    assert pipeline.requests[0][0] == ip_address("0.0.0.0")


def test_what_comes_after_it_was_given_up_changes_nothing() -> None:
    pipeline = Pipeline()
    judge, waiting = judge_of(pipeline)
    judge.look_up_ends(PRIVATE)
    judge.give_up("too late")
    assert not judge.is_waiting
    assert [error.enricher for error in judge.errors] == ["public_address", "networks"]
    assert segment_of(judge, 64500) is Segment.UNKNOWN
    pipeline.answer(0, ISP)
    pipeline.answer(1, ISP)
    assert segment_of(judge, 64500) is Segment.UNKNOWN
    assert (waiting, judge.isp) == ([], None)
