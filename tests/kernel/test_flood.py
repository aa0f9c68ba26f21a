"""Traces while fifty thousand garbage ICMP messages a second come in: right, and what was dropped is told."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest

from tests.kernel import inside_flood
from tests.rigs.flood import Flood, aimed, garbage, missing_flood
from tests.rigs.require import require
from tests.rigs.tun.simulated import load_scenario
from traceprobe.sockets.codec import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rigs.tun import SimulatedInternet

pytestmark = pytest.mark.tun

TARGET = {4: "203.0.113.9", 6: "2001:db8:9::9"}
RATE = 50_000
"""What the traces have to withstand, a second."""
POURED_RATE = 56_000
AT_ONCE = 20_000
"""So many are poured in at least while traces run."""
KINDS = 5_000
"""Different datagrams."""
HOPS = 30
PORT = 40_000

both_versions = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture(scope="module")
def flood(internet: SimulatedInternet) -> Iterator[Flood]:
    require("tun", missing_flood())
    internet.namespace.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")
    internet.load(load_scenario("thirty_hops"))
    with Flood(internet.namespace) as running:
        yield running


@functools.cache
def garbage_of(version: int, here: str) -> list[bytes]:
    return garbage(here, TARGET[version], KINDS)


def here(internet: SimulatedInternet, version: int) -> str:
    return str(internet.topology.source(version))


def pour(
    internet: SimulatedInternet, flood: Flood, version: int, rate: int, options: dict[str, Any]
) -> dict[str, Any]:
    """Trace while the flood comes in; what came of it."""
    flood.start(rate)
    try:
        found: dict[str, Any] = internet.namespace.call(
            inside_flood.trace_in_a_flood, TARGET[version], options, str(flood.counts), AT_ONCE
        )
    finally:
        flood.stop()
    print(f"{len(found['paths'])} traces; discarded: {found['discarded']}")
    assert flood.refused() == 0
    assert found["poured"] >= AT_ONCE
    assert set(found["discarded"]) <= {reason.value for reason in Refusal} | {"duplicate", "beyond_end"}
    return found


def check_rate(found: dict[str, Any], wanted: int) -> None:
    """Say how much came in (``pytest -rP`` shows it); a machine that can't pour that much shows nothing."""
    rate = found["poured"] / found["seconds"]
    print(
        f"{rate:.0f} datagrams a second, {found['processor'] / found['seconds']:.1%} of a processor to trace"
    )
    print(f"{len(found['paths'])} traces; discarded: {found['discarded']}")
    if rate < wanted:
        require("flood", f"only {rate:.0f} datagrams a second could be poured in, of {wanted}")


def right_path(version: int) -> list[list[Any]]:
    """Who answers at each hop, who else does, and how many times."""
    routers = [f"198.51.100.{ttl}" if version == 4 else f"2001:db8:1::{ttl:x}" for ttl in range(1, HOPS)]
    return [[address, address, 3] for address in [*routers, TARGET[version]]]


def wrong_hops(found: dict[str, Any], version: int) -> dict[tuple[int, int], Any]:
    """Every hop that is not as it should be, by trace and TTL."""
    right = dict(enumerate(right_path(version), 1))
    return {
        (number, ttl): hop
        for number, path in enumerate(found["paths"])
        for ttl, hop in {**dict.fromkeys(right), **dict(enumerate(path, 1))}.items()
        if hop != right.get(ttl)
    }


@both_versions
@pytest.mark.parametrize(
    ("mode", "protocol"),
    [
        ("linux_raw", "icmp"),
        ("linux_raw", "udp"),
        ("linux_raw", "tcp"),
        ("linux_ping", "icmp"),
        ("linux_udp", "udp"),
        ("linux_tcp", "tcp"),
    ],
)
def test_garbage_changes_nothing(
    internet: SimulatedInternet,
    flood: Flood,
    version: int,
    mode: str,
    protocol: str,
) -> None:
    flood.load(garbage_of(version, here(internet, version)))
    found = pour(internet, flood, version, POURED_RATE, {"mode": mode, "protocol": protocol})
    assert wrong_hops(found, version) == {}
    # Hardly anything gets as far as the process: the kernel knows whose it is, or a filter does. Whether
    # there is something behind the extension headers of IPv6, only a closer look can tell.
    reached = sum(found["discarded"].values())
    assert reached <= found["poured"] * (0.03 if version == 4 or mode != "linux_raw" else 0.15)
    if mode == "linux_raw" and version == 6:
        assert found["discarded"]["foreign"] >= found["poured"] * 0.05
    check_rate(found, RATE)


def test_it_is_the_filter_that_keeps_garbage_away(internet: SimulatedInternet, flood: Flood) -> None:
    flood.load(garbage_of(4, here(internet, 4)))
    arguments = (TARGET[4], {"mode": "linux_raw", "protocol": "icmp"}, str(flood.counts), AT_ONCE)
    reached, shares = [], []
    for filtered in (True, False):
        flood.start(POURED_RATE)
        try:
            found = internet.namespace.call(inside_flood.trace_in_a_flood, *arguments, filtered)
        finally:
            flood.stop()
        reached.append(sum(found["discarded"].values()) / found["poured"])
        shares.append(found["processor"] / found["seconds"])
    print("share of a processor with the filter, and without:", shares)
    assert "failed" not in found["discarded"]  # transmit stamps find no room either, which says nothing
    with_filter, without_filter = reached
    assert without_filter > 0.3  # the process does not keep up, so that some of it is still on its way
    assert with_filter < 0.01


@both_versions
@pytest.mark.parametrize(("mode", "flow"), [("linux_raw", "paris"), ("linux_udp", "classic")])
def test_garbage_that_knows_our_port_is_told_by_its_token(
    internet: SimulatedInternet, flood: Flood, version: int, mode: str, flow: str
) -> None:
    """All of it gets as far as the process, which does not keep up with fifty thousand a second."""
    flood.load(aimed(here(internet, version), TARGET[version], PORT, KINDS))
    options = {"mode": mode, "protocol": "udp", "source_port": PORT, "flow": flow}
    found = pour(internet, flood, version, POURED_RATE, options)
    right = right_path(version)
    lost = 0
    for path in found["paths"]:
        for (address, *_), (shown, *others, received) in zip(right, path, strict=False):
            assert {shown, *others} <= {address, None}
            lost += 3 - received
    told = found["discarded"]
    assert told.get("bad_token", 0) + told.get("unmatched", 0) > 1_000
    if mode == "linux_raw" and lost:
        assert told["overflow"] > 0
    check_rate(found, RATE)


@both_versions
@pytest.mark.parametrize("mode", ["linux_raw", "linux_udp"])
def test_as_much_of_it_as_the_process_can_read_changes_nothing(
    internet: SimulatedInternet, flood: Flood, version: int, mode: str
) -> None:
    flood.load(aimed(here(internet, version), TARGET[version], PORT, KINDS))
    options = {"mode": mode, "protocol": "udp", "source_port": PORT}
    flood.start(RATE // 10)
    try:
        found = internet.namespace.call(
            inside_flood.trace_in_a_flood, TARGET[version], options, str(flood.counts), RATE // 20
        )
    finally:
        flood.stop()
    assert wrong_hops(found, version) == {}
    told = found["discarded"]
    assert told.get("bad_token", 0) + told.get("unmatched", 0) >= found["poured"] // 2
    assert "overflow" not in told
