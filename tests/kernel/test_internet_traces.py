"""Traces through the simulated internet: delays, silence, load balancers, faults, many targets at once."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from tests.kernel import inside
from tests.kernel.inside import addresses
from tests.rigs.tun.simulated import load_scenario
from traceprobe.testing.topology import Fault, Path, Router, Target, Topology, UdpAnswer

if TYPE_CHECKING:
    from tests.rigs.tun import SimulatedInternet

pytestmark = pytest.mark.tun

TARGET4, TARGET6 = "203.0.113.9", "2001:db8:9::9"

both_versions = pytest.mark.parametrize("version", [4, 6])
every_mode = pytest.mark.parametrize(
    ("mode", "protocol"),
    [("linux_raw", "icmp"), ("linux_raw", "udp"), ("linux_ping", "icmp"), ("linux_udp", "udp")],
)
every_loop = pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])


@pytest.fixture(scope="module", autouse=True)
def _open_ping_sockets(internet: SimulatedInternet) -> None:
    internet.namespace.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")


def target(version: int) -> str:
    return TARGET4 if version == 4 else TARGET6


def path_of(topology: Topology, version: int, index: int = 0) -> list[str | None]:
    """Who is to answer at each TTL; no load balancers."""
    stations = topology.paths[index].stations(0.0, lambda *_: 0)
    found = []
    for station in stations:
        address = None if station.responder.silent else station.responder.address(version)
        found.append(None if address is None else str(address))
    return found


def router(number: int, **behaviour: Any) -> Router:
    return Router([f"198.51.100.{number}", f"2001:db8:1::{number:x}"], **behaviour)


def line(*hops: Router | None, **behaviour: Any) -> Topology:
    return Topology(paths=[Path(Target([TARGET4, TARGET6], **behaviour), hops)])


# --- delays and silence ------------------------------------------------------------------------------------


@every_loop
@both_versions
@every_mode
def test_thirty_hops_are_right(
    internet: SimulatedInternet, version: int, mode: str, protocol: str, loop: str
) -> None:
    topology = load_scenario("thirty_hops")
    internet.load(topology)
    options = {"mode": mode, "protocol": protocol}
    document = internet.call(inside.trace, target(version), options, backend=loop)
    assert addresses(document) == path_of(topology, version)
    assert [hop["received"] for hop in document["hops"]] == [3] * 30
    assert document["timings"]["probes_sent"] == document["timings"]["replies"] == 90
    assert document["discarded"] == {} or set(document["discarded"].values()) == {0}
    log = internet.log()
    assert [probe.ttl for probe in log.probes] == [ttl for ttl in range(1, 31) for _ in range(3)]
    assert all(probe.checksum_right for probe in log.probes)


@pytest.mark.usefixtures("kernel_stamps")
@both_versions
@every_mode
def test_round_trips_are_never_shorter_than_they_were(
    internet: SimulatedInternet, version: int, mode: str, protocol: str
) -> None:
    internet.load(load_scenario("thirty_hops"))
    found = internet.call(inside.rtts, target(version), {"mode": mode, "protocol": protocol})
    probes = iter(internet.log().probes)
    for hop in found:
        for rtt_ns in hop:
            assert rtt_ns is not None
            # The kernel stamps by the wall clock, which may be slewed by a few millionths.
            assert rtt_ns >= next(probes).hold_ns * 0.9999


@every_loop
@every_mode
def test_three_silent_hops_of_ten_do_not_keep_the_others_back(
    internet: SimulatedInternet, mode: str, protocol: str, loop: str
) -> None:
    topology = load_scenario("three_silent")
    internet.load(topology)
    options = {"mode": mode, "protocol": protocol}
    document = internet.call(inside.trace, TARGET4, options, backend=loop)
    assert addresses(document) == path_of(topology, 4)
    assert addresses(document).count(None) == 3
    assert document["stop_reason"] == "destination_reached"
    assert not any(probe["late"] for hop in document["hops"] for probe in hop["probes"])


@every_loop
@both_versions
def test_a_target_that_is_forty_times_slower_than_its_hops_is_found(
    internet: SimulatedInternet, version: int, loop: str
) -> None:
    topology = load_scenario("slow_target")
    internet.load(topology)
    document = internet.call(inside.trace, target(version), {}, backend=loop)
    assert addresses(document) == path_of(topology, version)
    assert document["reached"]
    assert [hop["received"] for hop in document["hops"]] == [3] * 7


@every_mode
def test_eight_quoted_bytes_are_enough(internet: SimulatedInternet, mode: str, protocol: str) -> None:
    topology = line(*(router(number, quote=8) for number in range(1, 6)), quote=8)
    internet.load(topology)
    for version in (4, 6):
        document = internet.call(inside.trace, target(version), {"mode": mode, "protocol": protocol})
        assert addresses(document) == path_of(topology, version)
        assert [hop["received"] for hop in document["hops"]] == [3] * 6


@both_versions
def test_data_from_a_udp_service_is_an_answer(internet: SimulatedInternet, version: int) -> None:
    topology = line(router(1), router(2), udp=UdpAnswer.DATA)
    internet.load(topology)
    for mode in ("linux_raw", "linux_udp"):
        document = internet.call(inside.trace, target(version), {"mode": mode, "protocol": "udp"})
        assert document["reached"], mode
        assert addresses(document) == path_of(topology, version)
        assert {probe["reply"] for probe in document["hops"][-1]["probes"]} == {"udp_data"}


# --- load balancers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "protocol"), [("linux_raw", "icmp"), ("linux_raw", "udp"), ("linux_ping", "icmp")]
)
@both_versions
def test_a_constant_flow_takes_one_path(
    internet: SimulatedInternet, version: int, mode: str, protocol: str
) -> None:
    internet.load(load_scenario("diamonds"))
    options = {"mode": mode, "protocol": protocol, "queries": 10}
    document = internet.call(inside.trace, target(version), options)
    assert document["flow"] == "paris"
    assert document["reached"]
    assert [len(hop["addresses"]) for hop in document["hops"]] == [1] * len(document["hops"])
    probes = internet.log().probes
    assert len({(probe.identifier, probe.label if version == 6 else 0) for probe in probes}) == 1


def test_a_varying_flow_shows_the_branches(internet: SimulatedInternet) -> None:
    internet.load(load_scenario("diamonds"))
    options = {"mode": "linux_udp", "flow": "classic", "queries": 10}
    document = internet.call(inside.trace, TARGET4, options)
    assert document["flow"] == "classic"
    assert len(document["hops"][1]["addresses"]) > 1
    assert {str(ip_address(one)) for one in document["hops"][1]["addresses"]} <= {
        f"198.51.100.{number}" for number in (11, 12, 13, 14)
    }


# --- many targets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loop", "mode", "protocol"),
    [
        ("asyncio", "linux_raw", "icmp"),
        ("asyncio", "linux_udp", "udp"),
        ("uvloop", "linux_raw", "udp"),
        ("trio", "linux_ping", "icmp"),
        ("trio", "linux_raw", "icmp"),
    ],
)
def test_two_hundred_traces_share_a_handful_of_sockets(
    internet: SimulatedInternet, loop: str, mode: str, protocol: str
) -> None:
    topology = load_scenario("hundreds")
    internet.load(topology)
    chosen = range(200)
    targets = [str(topology.paths[index].target.addresses[0]) for index in chosen]
    options = {"mode": mode, "protocol": protocol}
    found = internet.call(inside.trace_many, targets, options, backend=loop)
    wrong = {}
    for index, name in zip(chosen, targets, strict=True):
        version = topology.paths[index].target.addresses[0].version
        expected = path_of(topology, version, index)
        document = found["documents"][name]
        received = [hop["received"] for hop in document["hops"]]
        if addresses(document) != expected or received != [0 if one is None else 3 for one in expected]:
            wrong[name] = (addresses(document), expected, received)
    assert wrong == {}
    before, during, after = found["sockets"]
    assert during - before <= 8
    assert after <= before
    before, during, after = found["descriptors"]
    assert during - before <= 11  # those, what waits for them, and the timer of all alarms
    assert after <= before


@both_versions
@every_mode
def test_answers_to_somebody_else_are_not_mistaken(
    internet: SimulatedInternet, version: int, mode: str, protocol: str
) -> None:
    topology = load_scenario("thirty_hops")
    internet.load(topology)
    options = {"mode": mode, "protocol": protocol}
    document = internet.call(inside.trace_among_strangers, target(version), options)
    assert addresses(document) == path_of(topology, version)
    assert document["timings"]["replies"] == 90
    assert [hop["received"] for hop in document["hops"]] == [3] * 30


# --- faults ------------------------------------------------------------------------------------------------


@both_versions
@pytest.mark.parametrize("kind", ["wrong_identifier", "wrong_sequence", "rewritten"])
@every_mode
def test_forged_replies_are_no_hops(
    internet: SimulatedInternet, version: int, mode: str, protocol: str, kind: str
) -> None:
    internet.load(line(router(1), router(2, faults=[kind]), router(3)))
    options = {"mode": mode, "protocol": protocol}
    document = internet.call(inside.trace, target(version), options)
    assert addresses(document)[1] is None
    assert document["hops"][1]["received"] == 0
    assert [hop["received"] for hop in document["hops"] if hop["ttl"] != 2] == [3, 3, 3]
    assert [probe.replies[0].fault for probe in internet.log().probes if probe.ttl == 2] == [kind] * 3


@both_versions
@pytest.mark.parametrize("protocol", ["icmp", "udp"])
def test_rewritten_replies_are_counted(internet: SimulatedInternet, version: int, protocol: str) -> None:
    internet.load(line(router(1), router(2, faults=["rewritten"]), router(3)))
    document = internet.call(inside.trace, target(version), {"mode": "linux_raw", "protocol": protocol})
    assert document["discarded"]["rewritten"] == 3


@both_versions
@every_mode
def test_duplicates_count_once(internet: SimulatedInternet, version: int, mode: str, protocol: str) -> None:
    internet.load(line(router(1, faults=["duplicate"]), router(2), faults=["duplicate"]))
    document = internet.call(inside.trace, target(version), {"mode": mode, "protocol": protocol})
    assert [hop["received"] for hop in document["hops"]] == [3, 3, 3]
    assert document["timings"]["replies"] == 9


def test_corrupt_replies_are_refused(internet: SimulatedInternet) -> None:
    internet.load(line(router(1), router(2, faults=["corrupt"]), router(3)))
    for mode, protocol in (("linux_raw", "icmp"), ("linux_raw", "udp"), ("linux_ping", "icmp")):
        document = internet.call(inside.trace, TARGET4, {"mode": mode, "protocol": protocol})
        assert addresses(document) == ["198.51.100.1", None, "198.51.100.3", TARGET4], mode


def test_a_late_reply_revises_its_hop(internet: SimulatedInternet) -> None:
    internet.load(line(router(1), router(2, faults=[Fault("late", delay=0.08)]), router(3), rtt=0.15))
    options = {"interior_floor": 0.005, "interior_factor": 1.0, "interior_jitter_factor": 0.0}
    document = internet.call(inside.trace, TARGET4, options)
    assert addresses(document) == ["198.51.100.1", "198.51.100.2", "198.51.100.3", TARGET4]
    assert {probe["late"] for probe in document["hops"][1]["probes"]} == {True}
    assert {probe["status"] for probe in document["hops"][1]["probes"]} == {"reply"}
