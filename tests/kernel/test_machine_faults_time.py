"""The clock is set, the event loop blocked, many threads trace at once: times and hops stay right.

Nobody may set the clock of the machine that the tests run on, and no namespace has a wall clock of its own.
So what the process reads of it is shifted, and so is each stamp of the kernel that was made after the moment;
packets, kernel and all else are real.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kernel import inside_time
from tests.kernel.holdings import check_given_back
from tests.kernel.inside import addresses
from tests.rigs.chain import RouterChain

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.netns

DELAY_MS = 20.0
"""One way to the target."""
HOUR_NS = 3600 * 10**9
MODES = [
    ("linux_raw", "icmp"),
    ("linux_raw", "udp"),
    ("linux_raw", "tcp"),
    ("linux_ping", "icmp"),
    ("linux_udp", "udp"),
    ("linux_tcp", "tcp"),
]

every_mode = pytest.mark.parametrize(("mode", "protocol"), MODES)
both_versions = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture(scope="module")
def slow() -> Iterator[RouterChain]:
    """A chain whose target is so far away that a clock can be set meanwhile."""
    with RouterChain(2, target_delay=DELAY_MS / 1000) as built:
        built.source.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")
        yield built


def target(slow: RouterChain, version: int) -> str:
    return slow.target4 if version == 4 else slow.target6


def right_path(slow: RouterChain, version: int) -> list[str | None]:
    return list(slow.hops4 if version == 4 else slow.hops6)


@pytest.mark.usefixtures("kernel_stamps")
@pytest.mark.parametrize("step_ns", [HOUR_NS, -HOUR_NS, 5_000_000], ids=["forward", "back", "a little"])
@both_versions
@every_mode
def test_round_trips_survive_a_clock_that_is_set(
    slow: RouterChain, version: int, mode: str, protocol: str, step_ns: int
) -> None:
    options = {"mode": mode, "protocol": protocol, "max_ttl": 5}
    told = slow.call(inside_time.trace_while_the_clock_is_set, target(slow, version), options, step_ns)
    for document, took in zip(told["documents"], told["took"], strict=True):
        assert addresses(document) == right_path(slow, version)
        assert [hop["received"] for hop in document["hops"]] == [3, 3, 3]
        for hop in document["hops"]:
            for probe in hop["probes"]:
                assert 0 < probe["rtt_ms"] < took
        for probe in document["hops"][-1]["probes"]:
            assert probe["rtt_ms"] >= 2 * DELAY_MS
    first, second = told["documents"]
    if mode != "linux_tcp":  # whose handshakes the kernel measures itself, by another clock
        assert {probe["timestamp_source"] for probe in first["hops"][-1]["probes"]} == {"user"}
        stamped = {probe["timestamp_source"] for hop in second["hops"] for probe in hop["probes"]}
        assert stamped == {"kernel_tx_rx"}


@pytest.mark.parametrize(
    ("mode", "protocol", "version", "loop"),
    [
        ("linux_raw", "icmp", 4, "asyncio"),
        ("linux_udp", "udp", 6, "trio"),
        ("linux_tcp", "tcp", 4, "asyncio"),
    ],
)
def test_a_blocked_event_loop_costs_no_reply(
    slow: RouterChain, mode: str, protocol: str, version: int, loop: str
) -> None:
    options = {"mode": mode, "protocol": protocol, "probe_timeout": 0.5, "max_ttl": 5}
    told = slow.call(inside_time.trace_on_a_blocked_loop, target(slow, version), options, 2.0, backend=loop)
    assert told["hops"] == [[address, 3, False] for address in right_path(slow, version)]
    check_given_back(told["before"], told["after"])


@both_versions
@every_mode
def test_threads_trace_side_by_side(slow: RouterChain, version: int, mode: str, protocol: str) -> None:
    options = {"mode": mode, "protocol": protocol, "max_ttl": 5}
    told = slow.call(inside_time.trace_from_threads, target(slow, version), options, 6)
    assert told["found"] == [right_path(slow, version)] * 6
    assert told["left"] == 0
