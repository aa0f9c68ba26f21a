"""TCP to an open port that is some time away: a host takes up one connection of a flow at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kernel import hostile, inside
from tests.kernel.inside import addresses, last_probes
from tests.rigs.chain import RouterChain
from tests.rigs.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.netns, pytest.mark.tun]

OPEN, CLOSED = 8080, 8081
DELAY = 0.02
BRIEF_DELAY = 0.0005
TRACES = 50
"""Where nobody sends again what met such a probe, one trace in a dozen shows it."""
ROUND_TRIP_MS = 2 * DELAY * 1000
UNHURRIED = {"probe_timeout": 30.0, "interior_floor": 30.0, "tail_floor": 30.0}
"""A busy machine delays what the link carries; only a probe that is never answered takes so long."""

both_versions = pytest.mark.parametrize("version", [4, 6])
every_loop = pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])


@pytest.fixture(scope="module")
def slow_chain() -> Iterator[RouterChain]:
    """Two routers, and a target behind a link on which all probes are under way before one arrives."""
    with (
        RouterChain(2, target_delay=DELAY) as built,
        Listener(built.target, [built.target4, built.target6], OPEN),
    ):
        yield built


@both_versions
@every_loop
def test_an_open_port_answers_every_probe(slow_chain: RouterChain, version: int, loop: str) -> None:
    expected = slow_chain.hops(version)
    options = {"protocol": "tcp", "mode": "linux_raw", "port": OPEN, **UNHURRIED}
    document = slow_chain.call(inside.trace, expected[-1], options, backend=loop)
    assert (document["flow"], document["stop_reason"]) == ("paris", "destination_reached")
    assert addresses(document) == expected
    assert [hop["received"] for hop in document["hops"]] == [3, 3, 3]
    for probe in last_probes(document):
        assert (probe["reply"], probe["late"], probe["timestamp_source"]) == (
            "syn_ack",
            False,
            "kernel_tx_rx",
        )
        assert probe["rtt_ms"] >= ROUND_TRIP_MS


@both_versions
def test_a_port_that_is_busy_with_probes_sent_beyond_it_answers_all_the_same(version: int) -> None:
    """The link is so quick that answers meet the last of the probes that go too far."""
    with (
        RouterChain(3, target_delay=BRIEF_DELAY) as chain,
        Listener(chain.target, [chain.target_address(version)], OPEN),
    ):
        expected = chain.hops(version)
        options = {"protocol": "tcp", "mode": "linux_raw", "port": OPEN, **UNHURRIED}
        documents = chain.call(hostile.trace_each, [expected[-1]] * TRACES, options)
    assert [addresses(document) for document in documents] == [expected] * TRACES
    received = [[hop["received"] for hop in document["hops"]] for document in documents]
    assert received == [[3] * len(expected)] * TRACES


@both_versions
def test_traces_of_the_same_open_port_are_not_in_each_others_way(
    slow_chain: RouterChain, version: int
) -> None:
    expected = slow_chain.hops(version)
    options = {"protocol": "tcp", "mode": "linux_raw", "port": OPEN, **UNHURRIED}
    for document in slow_chain.call(inside.trace_all, [expected[-1]] * 5, options):
        assert addresses(document) == expected
        assert [probe["reply"] for probe in last_probes(document)] == ["syn_ack"] * 3


@both_versions
def test_a_closed_port_answers_every_probe(slow_chain: RouterChain, version: int) -> None:
    expected = slow_chain.hops(version)
    options = {"protocol": "tcp", "mode": "linux_raw", "port": CLOSED, **UNHURRIED}
    document = slow_chain.call(inside.trace, expected[-1], options)
    assert addresses(document) == expected
    assert [probe["reply"] for probe in last_probes(document)] == ["rst"] * 3
    assert document["timings"]["replies"] == 9
