"""Paths that lose, double, delay, hold back and change: every mode's result against the rig's log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.kernel import hostile
from tests.kernel.hostile import HOPS, MAX_TTL, QUERIES, ROUTERS, TARGETS, judge, probes_to
from tests.rigs.tun import Manner
from traceprobe.testing.topology import Fault, Path, RateLimit, RouteChange, Router, Target, Topology

if TYPE_CHECKING:
    from tests.rigs.tun import SimulatedInternet

pytestmark = pytest.mark.tun

MODES = [
    ("linux_raw", "icmp", "paris"),
    ("linux_ping", "icmp", "paris"),
    ("linux_raw", "udp", "paris"),
    ("linux_udp", "udp", "classic"),
    ("linux_raw", "tcp", "paris"),
    ("linux_tcp", "tcp", "classic"),
]
every_mode = pytest.mark.parametrize(("mode", "protocol", "flow"), MODES)
both_versions = pytest.mark.parametrize("version", [4, 6])

_FLIPS = [round(0.015 * number, 3) for number in range(1, 600)]
"""When the route changes, seconds since the network began: all the time, for nine seconds."""


@pytest.fixture(scope="module", autouse=True)
def _open_ping_sockets(internet: SimulatedInternet) -> None:
    internet.namespace.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")


def router(version: int, number: int, **behaviour: Any) -> Router:
    return Router(ROUTERS[version].format(number), **behaviour)


def path(version: int, number: int, *others: Router, **behaviour: Any) -> Path:
    """A path of four routers, some of them replaced by others in their order."""
    target = Target(TARGETS[version].format(number), **behaviour)
    plain = [router(version, place) for place in range(len(others) + 1, HOPS)]
    return Path(target, [*others, *plain])


def load(internet: SimulatedInternet, version: int, paths: list[Path], **manners: Manner) -> list[str]:
    targets = [str(one.target.address(version)) for one in paths]
    open_ports = {target: Manner(tcp={80: "open"}) for target in targets}
    internet.load(Topology(paths=paths), seed=7, manners={**open_ports, **manners})
    return targets


def options_of(mode: str, protocol: str, flow: str, **more: Any) -> dict[str, Any]:
    options = {"mode": mode, "protocol": protocol, "flow": flow, "queries": QUERIES, "max_ttl": MAX_TTL}
    return {**options, **more}


@both_versions
@every_mode
def test_loss_doubles_and_overtaking_change_nothing_of_what_arrives(
    internet: SimulatedInternet, mode: str, protocol: str, flow: str, version: int
) -> None:
    doubles = [Fault("duplicate", share=0.7, delay=delay) for delay in (0.0, 0.0003, 0.003)]
    losing = [router(version, number, loss=0.4) for number in range(11, 14)]
    doubling = [router(version, number, faults=doubles) for number in range(21, 25)]
    overtaking = [router(version, number, jitter=0.008) for number in range(31, 35)]
    dropping = [router(version, 41, forwarding_loss=0.3), router(version, 42)]
    targets = load(
        internet,
        version,
        [
            path(version, 1, *losing),
            path(version, 2, *doubling, faults=doubles),
            path(version, 3, *overtaking, jitter=0.004),
            path(version, 4, *dropping),
        ],
    )
    options = options_of(mode, protocol, flow, queries=QUERIES)
    documents = internet.call(hostile.trace_each, targets, options, backend="asyncio")
    log = internet.log()
    lasts: list[int | None] = [HOPS, HOPS, HOPS, None]
    found = {
        target: str(verdict)
        for target, last, document in zip(targets, lasts, documents, strict=True)
        if (verdict := judge(document, probes_to(log, target), version, last=last))
    }
    assert found == {}
    assert any(probe.outcome.name.startswith("LOST") for probe in log.probes)
    assert any(len(probe.replies) > 1 for probe in log.probes)


@both_versions
@pytest.mark.parametrize("weakness", [None, "repeats"])
def test_doubles_that_do_not_name_their_probe_become_no_hops(
    internet: SimulatedInternet, version: int, weakness: str | None
) -> None:
    doubles = [Fault("duplicate", share=1.0, delay=delay) for delay in (0.0005, 0.001, 0.002, 0.004)]
    routers = [router(version, number, quote=8, faults=doubles) for number in range(1, HOPS)]
    (target,) = load(internet, version, [path(version, 1, *routers, quote=8, faults=doubles)])
    options = options_of("linux_udp", "udp", "paris", queries=1, max_in_flight=1)
    if weakness is None:
        (document,) = internet.call(hostile.trace_each, [target], options, backend="asyncio")
        probes = probes_to(internet.log(), target)
        assert not judge(document, probes, version)
        assert document["discarded"].keys() <= {"ambiguous", "unmatched"}
        assert document["discarded"]["ambiguous"]
    else:
        (document,) = internet.call(hostile.trace_each_weakly, weakness, [target], options, backend="asyncio")
        assert judge(document, probes_to(internet.log(), target), version, last=None).false_hops


@both_versions
@every_mode
def test_what_comes_after_it_was_given_up_is_late_and_not_lost(
    internet: SimulatedInternet, mode: str, protocol: str, flow: str, version: int
) -> None:
    late = router(version, 2, faults=[Fault("late", delay=0.15)])
    (target,) = load(internet, version, [path(version, 1, router(version, 1), late, rtt=0.3)])
    impatience = {"interior_floor": 0.005, "interior_factor": 1.0, "interior_jitter_factor": 0.0}
    options = options_of(mode, protocol, flow, **impatience)
    (document,) = internet.call(hostile.trace_each, [target], options, backend="asyncio")
    assert not judge(document, probes_to(internet.log(), target), version)
    assert {probe["late"] for probe in document["hops"][1]["probes"]} == {True}
    assert not any(probe["late"] for hop in document["hops"] if hop["ttl"] != 2 for probe in hop["probes"])


@both_versions
@every_mode
def test_a_router_that_limits_its_rate_shows_what_it_answered(
    internet: SimulatedInternet, mode: str, protocol: str, flow: str, version: int
) -> None:
    limited = router(version, 2, rate_limit=RateLimit(0.0, 1))
    mute = router(version, 3, rate_limit=RateLimit(0.0, 1), loss=1.0)
    (target,) = load(internet, version, [path(version, 1, router(version, 1), limited, mute)])
    options = options_of(mode, protocol, flow)
    (document,) = internet.call(hostile.trace_each, [target], options, backend="asyncio")
    log = internet.log()
    assert not judge(document, probes_to(log, target), version)
    assert [hop["received"] for hop in document["hops"]] == [QUERIES, 1, 0, QUERIES, QUERIES]
    assert {probe.outcome.name for probe in log.probes if probe.ttl == 2} == {"ANSWERED", "RATE_LIMITED"}


@both_versions
@pytest.mark.parametrize("mtu", [1280, 0])
@pytest.mark.parametrize(("mode", "protocol", "flow"), [one for one in MODES if one[0] != "linux_tcp"])
def test_what_is_too_big_is_told_with_the_mtu_or_without(
    internet: SimulatedInternet, mode: str, protocol: str, flow: str, version: int, mtu: int
) -> None:
    # The kernel keeps what it learns of an MTU to itself where probes are its own connections.
    refusal = (3, 4, mtu) if version == 4 else (2, 0, mtu)
    hole = {ROUTERS[version].format(2): Manner(refusal=refusal)}
    (target,) = load(internet, version, [path(version, 1)], **hole)
    options = options_of(mode, protocol, flow)
    (document,) = internet.call(hostile.trace_each, [target], options, backend="asyncio")
    assert not judge(document, probes_to(internet.log(), target), version, last=None)
    third = document["hops"][2]
    assert third["address"] == ROUTERS[version].format(2)
    assert {(probe["reply"], probe["mtu"]) for probe in third["probes"]} == {("packet_too_big", mtu or None)}
    assert not document["reached"]


@both_versions
@every_mode
def test_a_hole_that_says_nothing_is_silence_behind_the_last_that_answers(
    internet: SimulatedInternet, mode: str, protocol: str, flow: str, version: int
) -> None:
    hole = router(version, 2, forwarding_loss=1.0)
    (target,) = load(internet, version, [path(version, 1, router(version, 1), hole)])
    options = options_of(mode, protocol, flow, tail_floor=0.1)
    (document,) = internet.call(hostile.trace_each, [target], options, backend="asyncio")
    assert not judge(document, probes_to(internet.log(), target), version, last=None)
    assert [hop["received"] for hop in document["hops"]] == [QUERIES] * 2 + [0] * (MAX_TTL - 2)
    assert (document["reached"], document["stop_reason"]) == (False, "max_ttl")


@both_versions
@every_mode
def test_a_path_that_changes_under_way_is_told_as_it_was(
    internet: SimulatedInternet, mode: str, protocol: str, flow: str, version: int
) -> None:
    first = [router(version, number) for number in range(1, HOPS)]
    second = [router(version, number) for number in range(101, 101 + HOPS)]
    routes = [second if number % 2 == 0 else first for number in range(len(_FLIPS))]
    changes = [RouteChange(at, hops) for at, hops in zip(_FLIPS, routes, strict=True)]
    target = TARGETS[version].format(1)
    internet.load(
        Topology(paths=[Path(Target(target), first, changes=changes)]),
        manners={target: Manner(tcp={80: "open"})},
    )
    options = options_of(mode, protocol, flow, queries=5, send_interval=0.003)
    (document,) = internet.call(hostile.trace_each, [target], options, backend="asyncio")
    log = internet.log()
    verdict = judge(document, probes_to(log, target), version, last=None)
    assert not verdict.false_hops
    assert not verdict.missed
    assert not verdict.wrong
    seen = {address for hop in document["hops"] for address in hop["addresses"]}
    assert seen & {str(one.address(version)) for one in first}
    assert seen & {str(one.address(version)) for one in second}
    assert document["reached"]
