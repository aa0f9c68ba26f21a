"""What goes wrong on networks: late, doubled, damaged and forged replies, over every protocol and family."""

from __future__ import annotations

from typing import Any

import pytest

import traceprobe
from traceprobe import HopRevised, HopSettled, Protocol, TraceResult
from traceprobe.testing import Fault, FaultKind, Path, Router, SimulatedNetwork, Target, Topology

V4, V6 = "192.0.2.9", "2001:db8::9"


def faulty(*faults: Fault | str, at_target: bool = False, **options: Any) -> SimulatedNetwork:
    """A router and a target, one of which has faults."""
    router = Router(["198.51.100.1", "2001:db8:1::1"], faults=[] if at_target else faults, **options)
    target = Target([V4, V6], faults=faults if at_target else [])
    return SimulatedNetwork(Topology(paths=[Path(target, [router])]))


async def trace(network: SimulatedNetwork, family: int = 4, **options: Any) -> TraceResult:
    options = {"max_ttl": 2} | options
    return await traceprobe.trace_async(V4 if family == 4 else V6, socket_factory=network, **options)


REFUSED_AS = {
    FaultKind.CORRUPT: "bad_checksum",
    FaultKind.TRUNCATED: "malformed",
    FaultKind.WRONG_IDENTIFIER: "foreign",
    FaultKind.WRONG_SEQUENCE: "unmatched",
    FaultKind.WRONG_TOKEN: "bad_token",
    FaultKind.REWRITTEN: "rewritten",
}


@pytest.mark.parametrize("at_target", [False, True], ids=["router", "target"])
@pytest.mark.parametrize("kind", list(REFUSED_AS))
@pytest.mark.parametrize("protocol", [Protocol.ICMP, Protocol.UDP])
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("flow", ["paris", "classic"])
async def test_a_forged_or_damaged_reply_is_no_hop_and_is_counted_by_reason(
    flow: str, family: int, protocol: Protocol, kind: FaultKind, at_target: bool
) -> None:
    network = faulty(Fault(kind), at_target=at_target)
    result = await trace(network, family, protocol=protocol, flow=flow)
    good, bad = (0, 1) if at_target else (1, 0)
    assert result.hops[bad].address is None
    assert result.hops[good].received == 3
    discarded = dict(result.discarded)
    assert discarded.pop("unmatched") == (3 if kind is FaultKind.WRONG_SEQUENCE else 0)
    if kind is not FaultKind.WRONG_SEQUENCE:
        assert discarded == {REFUSED_AS[kind]: 3}
    assert sum("refused" in packet.remark for packet in network.received) == 3


@pytest.mark.parametrize("at_target", [False, True], ids=["router", "target"])
@pytest.mark.parametrize("kind", list(REFUSED_AS))
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("flow", ["paris", "classic"])
async def test_the_same_of_tcp_whose_answers_show_a_number_only(
    flow: str, family: int, kind: FaultKind, at_target: bool
) -> None:
    result = await trace(faulty(Fault(kind), at_target=at_target), family, protocol="tcp", flow=flow)
    good, bad = (0, 1) if at_target else (1, 0)
    assert result.hops[good].received == 3
    if kind is FaultKind.WRONG_TOKEN:  # an answer has nothing to hold it, and options may be changed
        assert result.hops[bad].received == 3
        return
    assert result.hops[bad].address is None
    rewritten = "foreign" if at_target else "rewritten"
    reason = {**REFUSED_AS, FaultKind.REWRITTEN: rewritten}[kind]
    assert dict(result.discarded) == {"unmatched": 0} | {reason: 3}


async def test_forgeries_are_like_the_probes_but_in_what_is_forged() -> None:
    for kind in REFUSED_AS:
        network = faulty(Fault(kind))
        await trace(network, queries=1)
        assert len(network.received) == 2
        sizes = [len(packet.datagram) for packet in network.received]
        assert (sizes[0] == 88) is (kind is not FaultKind.TRUNCATED)


async def test_only_a_share_of_the_replies_is_concerned() -> None:
    result = await trace(faulty(Fault("corrupt", share=0.25)), queries=100)
    assert 15 <= 100 - result.hops[0].received <= 35
    assert result.hops[1].received == 100


async def test_every_reply_may_come_twice() -> None:
    network = faulty(Fault("duplicate", delay=0.0002))
    result = await trace(network)
    assert result.hops[0].received == 3
    assert result.discarded["duplicate"] == 3
    assert [packet.at_ns for packet in network.received[:6]] == [1_000_000] * 3 + [1_200_000] * 3
    assert network.received[0].datagram == network.received[3].datagram


@pytest.mark.parametrize("protocol", [Protocol.ICMP, Protocol.UDP])
async def test_a_late_reply_revises_a_hop_that_was_given_up(protocol: Protocol) -> None:
    slow = Router("198.51.100.1", faults=Fault("late", delay=0.1))
    network = SimulatedNetwork.path(V4, [slow, "198.51.100.2", Target(V4, silent=True)])
    async with traceprobe.open_trace(
        V4, socket_factory=network, protocol=protocol, max_ttl=3, queries=1
    ) as opened:
        events = [event async for event in opened.events()]
        result = opened.result
    settled = [event.hop for event in events if isinstance(event, HopSettled) and event.hop.ttl == 1]
    revised = [event.hop for event in events if isinstance(event, HopRevised)]
    assert [hop.address for hop in settled] == [None]
    assert [hop.ttl for hop in revised] == [1]
    assert str(result.hops[0].address) == "198.51.100.1"
    assert (result.hops[0].probes[0].late, result.hops[0].probes[0].rtt_ns) == (True, 101_000_000)


async def test_a_late_reply_within_the_wait_is_but_a_slow_one() -> None:
    network = faulty(Fault("late", delay=0.01))
    result = await trace(network, interior_floor=0.5)
    assert [probe.rtt_ns for probe in result.hops[0].probes] == [11_000_000] * 3
    assert not any(probe.late for probe in result.hops[0].probes)


async def test_late_and_doubled_go_together() -> None:
    faults = [Fault("late", delay=0.001), Fault("duplicate", delay=0.0005)]
    network = SimulatedNetwork.path(V4, [Router("198.51.100.1", faults=faults), Target(V4, rtt=0.02)])
    await trace(network, queries=1)
    times = [packet.at_ns for packet in network.received if str(packet).count("time exceeded")]
    assert times == [2_000_000, 2_500_000]


async def test_faults_are_the_same_for_the_same_seed() -> None:
    def build() -> SimulatedNetwork:
        return faulty(Fault("corrupt", share=0.5), Fault("wrong_token", share=0.5), jitter=0.001)

    first, second = build(), build()
    await trace(first, queries=20)
    await trace(second, queries=20)
    assert first.transcript() == second.transcript()
