"""Constant flows through load balancers: one trace, one path, in every mode that promises it.

The kernel balances in the diamond (``tests.rigs.diamond``): by ports, which ICMP has none of, or by
addresses and flow label. The simulated internet balances by all that routers look at, the checksum of
ICMP included. In both a trace shows by who answers at two neighbouring TTLs whether it kept to one path.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from tests.kernel import inside
from tests.rigs.diamond import Diamond
from traceprobe.config import FlowStrategy
from traceprobe.sockets._catalogue import LINUX
from traceprobe.testing.topology import Balanced, Path, Router, Target, Topology

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.rigs.tun import ProbeRecord, SimulatedInternet

TRACES = 200

both_versions = pytest.mark.parametrize("version", [4, 6])


def ways(*flows: FlowStrategy) -> pytest.MarkDecorator:
    """Every way of probing on Linux that can hold one of these flow strategies."""
    cases = [
        pytest.param(
            facts.mode.value, facts.protocol.value, flow.value, id=f"{facts.mode}-{facts.protocol}-{flow}"
        )
        for facts in LINUX
        for flow in flows
        if flow in facts.flows
    ]
    return pytest.mark.parametrize(("mode", "protocol", "flow"), cases)


def ported_ways(*flows: FlowStrategy) -> pytest.MarkDecorator:
    """The same, of the protocols that have ports."""
    mark = ways(*flows)
    names, cases = mark.args
    return pytest.mark.parametrize(names, [case for case in cases if case.values[1] != "icmp"])


# --- the kernel's own balancing ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def diamond() -> Iterator[Diamond]:
    """Three parallel paths, between which the ports decide."""
    with Diamond(3, hash_policy=1) as built:
        built.source.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")
        yield built


@pytest.fixture(scope="module")
def labelled_diamond() -> Iterator[Diamond]:
    """Three parallel paths, between which the flow label decides where there is one."""
    with Diamond(3, hash_policy=0) as built:
        built.source.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")
        yield built


def branches(diamond: Diamond, version: int, document: Mapping[str, Any]) -> set[int | None]:
    """The branches that a trace went through."""
    return {
        diamond.branch_of(version, hop["ttl"], probe["address"])
        for hop in document["hops"]
        for probe in hop["probes"]
    }


def trace_all(
    diamond: Diamond, version: int, count: int, mode: str, protocol: str, flow: str
) -> list[set[int | None]]:
    options = {"mode": mode, "protocol": protocol, "flow": flow, "first_ttl": 2, "max_ttl": 3, "queries": 2}
    documents = diamond.call(inside.trace_all, diamond.targets(version, count), options)
    assert len(documents) == count
    for document in documents:
        assert (document["mode"], document["protocol"], document["flow"]) == (mode, protocol, flow)
        assert [hop["received"] for hop in document["hops"]] == [2, 2]
    return [branches(diamond, version, document) for document in documents]


@pytest.mark.netns
@both_versions
@ways(FlowStrategy.PARIS)
def test_a_constant_flow_never_mixes_branches(
    diamond: Diamond, version: int, mode: str, protocol: str, flow: str
) -> None:
    found = trace_all(diamond, version, TRACES, mode, protocol, flow)
    assert [one for one in found if len(one) != 1] == []
    # All of them would prove nothing if there were but one way.
    assert set.union(*found) == {0, 1, 2}


@pytest.mark.netns
@both_versions
@ported_ways(FlowStrategy.CLASSIC, FlowStrategy.DUBLIN)
def test_varying_ports_do_mix_them(
    diamond: Diamond, version: int, mode: str, protocol: str, flow: str
) -> None:
    found = trace_all(diamond, version, 40, mode, protocol, flow)
    assert sum(len(one) > 1 for one in found) >= 10


@pytest.mark.netns
@ways(FlowStrategy.PARIS)
def test_a_constant_flow_label_never_mixes_branches(
    labelled_diamond: Diamond, mode: str, protocol: str, flow: str
) -> None:
    found = trace_all(labelled_diamond, 6, TRACES, mode, protocol, flow)
    assert [one for one in found if len(one) != 1] == []
    assert set.union(*found) == {0, 1, 2}


@pytest.mark.netns
@ways(FlowStrategy.CLASSIC, FlowStrategy.DUBLIN)
def test_varying_flow_labels_do_mix_them(
    labelled_diamond: Diamond, mode: str, protocol: str, flow: str
) -> None:
    found = trace_all(labelled_diamond, 6, 40, mode, protocol, flow)
    assert sum(len(one) > 1 for one in found) >= 10


# --- balancing by all that routers look at -----------------------------------------------------------------

TARGET4, TARGET6 = "203.0.113.9", "2001:db8:9::9"
BRANCHES = 4


def _branch(number: int, place: int) -> Router:
    host = 10 * (number + 1) + place
    return Router([f"198.51.100.{host}", f"2001:db8:1::{host:x}"])


TOPOLOGY = Topology(
    paths=[
        Path(
            Target([TARGET4, TARGET6]),
            [
                Router(["198.51.100.1", "2001:db8:1::1"]),
                Balanced([[_branch(number, place) for place in (0, 1)] for number in range(BRANCHES)]),
                Router(["198.51.100.2", "2001:db8:1::2"]),
            ],
        )
    ]
)


@pytest.fixture(scope="module")
def balanced_internet(internet: SimulatedInternet) -> SimulatedInternet:
    """The simulated internet with a balancer of four branches, two routers each."""
    internet.namespace.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")
    internet.load(TOPOLOGY)
    return internet


def _flow_key(probe: ProbeRecord) -> tuple[object, ...]:
    """What routers look at: ports, or identifier and checksum of ICMP; and the flow label."""
    key = (
        (probe.checksum, probe.identifier)
        if probe.protocol in {1, 58}
        else (probe.identifier, probe.sequence)
    )
    return (*key, probe.label if probe.version == 6 else None)


def _branch_at(address: str) -> int:
    host = int(address.rsplit(".", 1)[1]) if "." in address else int(address.rsplit(":", 1)[1], 16)
    return host // 10


@pytest.mark.tun
@both_versions
@ways(FlowStrategy.PARIS, FlowStrategy.CLASSIC, FlowStrategy.DUBLIN)
def test_flow_identifiers_are_what_the_strategy_says(
    balanced_internet: SimulatedInternet, version: int, mode: str, protocol: str, flow: str
) -> None:
    """One flow identifier in a trace, one for each probe, or one for each flow number."""
    balanced_internet.reset()
    options = {"mode": mode, "protocol": protocol, "flow": flow, "max_ttl": 3, "queries": 8}
    document = balanced_internet.call(inside.trace, TARGET4 if version == 4 else TARGET6, options)
    assert document["flow"] == flow
    results = [probe for hop in document["hops"] for probe in hop["probes"]]
    probes = balanced_internet.log().probes
    assert len(results) == len(probes) == 24
    keys: dict[int, set[tuple[object, ...]]] = defaultdict(set)
    for result, probe in zip(results, probes, strict=True):
        keys[result["flow"]].add(_flow_key(probe))
    every_key = set().union(*keys.values())
    taken = {_branch_at(probe["address"]) for hop in document["hops"][1:] for probe in hop["probes"]}
    if flow == "paris":
        assert (len(keys), len(every_key), len(taken)) == (1, 1, 1)
    elif flow == "classic":
        assert len(every_key) == 24
        assert len(taken) > 1
    else:
        assert [len(one) for one in keys.values()] == [1] * len(keys)
        assert len(every_key) == len(keys) > 1
        assert len(taken) > 1
        for number in keys:
            branches_of_flow = {
                _branch_at(probe["address"])
                for hop in document["hops"][1:]
                for probe in hop["probes"]
                if probe["flow"] == number
            }
            assert len(branches_of_flow) == 1


@pytest.mark.tun
@both_versions
@ways(FlowStrategy.PARIS)
def test_a_constant_flow_is_constant_for_every_trace(
    balanced_internet: SimulatedInternet, version: int, mode: str, protocol: str, flow: str
) -> None:
    balanced_internet.reset()
    target = TARGET4 if version == 4 else TARGET6
    options = {"mode": mode, "protocol": protocol, "flow": flow, "max_ttl": 3, "queries": 1}
    for document in balanced_internet.call(inside.trace_all, [target] * 50, options):
        assert len({_branch_at(hop["address"]) for hop in document["hops"][1:]}) == 1


@pytest.mark.tun
def test_all_that_answer_behind_a_balancer_per_packet_are_kept(internet: SimulatedInternet) -> None:
    routers = [[Router(f"198.51.100.{number}")] for number in (31, 32, 33)]
    internet.load(Topology(paths=[Path(TARGET4, ["198.51.100.1", Balanced(routers, per="packet")])]))
    document = internet.call(inside.trace, TARGET4, {"queries": 30})
    second = document["hops"][1]
    assert sorted(second["addresses"]) == ["198.51.100.31", "198.51.100.32", "198.51.100.33"]
    log = internet.log()
    truth = [str(probe.replies[0].address) for probe in log.probes if probe.ttl == 2]
    assert [probe["address"] for probe in second["probes"]] == truth
    counted = {one["address"]: one["replies"] for one in second["responders"]}
    assert counted == {address: truth.count(address) for address in set(truth)}
