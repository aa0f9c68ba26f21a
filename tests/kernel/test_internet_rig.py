"""The simulated internet does what its topology says: proven with plain sockets and its own log."""

from __future__ import annotations

import os
import struct
import subprocess
from ipaddress import IPv4Address, ip_address
from typing import TYPE_CHECKING, Any

import pytest

from tests.kernel import plain
from tests.rigs.namespaces import RigError, existing_namespaces
from tests.rigs.programs import FLAGS, compiler
from tests.rigs.tun import Log, Outcome, ProbeRecord, SimulatedInternet
from tests.rigs.tun.scenario import compile_topology
from tests.rigs.tun.simulated import SCENARIOS, build_program, load_scenario, sources
from traceprobe.testing.topology import (
    Balanced,
    Fault,
    FaultKind,
    Loop,
    Path,
    RateLimit,
    RouteChange,
    Router,
    Station,
    Target,
    Topology,
    UdpAnswer,
    Unreachability,
    branch_of,
)

if TYPE_CHECKING:
    from traceprobe.testing.topology import HopLike

pytestmark = pytest.mark.tun

TARGET4, TARGET6 = "203.0.113.9", "2001:db8:9::9"
TIME_EXCEEDED = {4: (11, 0), 6: (3, 0)}
ECHO_REPLY = {4: (0, 0), 6: (129, 0)}
PORT_UNREACHABLE = {4: (3, 3), 6: (1, 4)}
TOO_BIG = {4: (3, 4), 6: (2, 0)}
QUIET = 0.1

both_versions = pytest.mark.parametrize("version", [4, 6])
both_protocols = pytest.mark.parametrize("protocol", ["icmp", "udp"])


def router(number: int, **behaviour: Any) -> Router:
    return Router([f"198.51.100.{number}", f"2001:db8:1::{number:x}"], **behaviour)


def line(*hops: HopLike, hop_rtt: float = 0.001, **target: Any) -> Topology:
    """One path over some hops to the target."""
    return Topology(paths=[Path(Target([TARGET4, TARGET6], **target), hops, hop_rtt=hop_rtt)])


def trace(
    internet: SimulatedInternet,
    version: int,
    protocol: str,
    max_ttl: int,
    queries: int = 1,
    *,
    size: int = 32,
    target: str | None = None,
) -> list[list[Any]]:
    destination = target or (TARGET4 if version == 4 else TARGET6)
    replies = internet.call(plain.trace, destination, protocol, max_ttl, queries, QUIET, size)
    assert isinstance(replies, list)
    return replies


def answers(replies: list[list[Any]]) -> dict[int, tuple[str, tuple[int, int]]]:
    """Who answered each probe with what."""
    return {reply[0]: (reply[1], (reply[2], reply[3])) for reply in replies}


def outcomes(log: Log) -> list[Outcome]:
    return [probe.outcome for probe in log.probes]


# --- paths and delays ------------------------------------------------------------------------------------


@both_versions
@both_protocols
def test_every_hop_answers_as_the_topology_says(
    internet: SimulatedInternet, version: int, protocol: str
) -> None:
    topology = load_scenario("thirty_hops")
    internet.load(topology)
    replies = trace(internet, version, protocol, 32, 3)
    stations = list(topology.paths[0].stations(0.0, lambda *_: 0))
    assert len(stations) == 30
    end = ECHO_REPLY if protocol == "icmp" else PORT_UNREACHABLE
    expected = {}
    for number in range(32 * 3):
        ttl = min(number // 3 + 1, 30)
        what = TIME_EXCEEDED if ttl < 30 else end
        expected[number] = (str(stations[ttl - 1].responder.address(version)), what[version])
    assert len(replies) == len(expected)
    assert answers(replies) == expected


@both_versions
@both_protocols
def test_each_reply_is_due_after_exactly_the_round_trip_of_its_station(
    internet: SimulatedInternet, version: int, protocol: str
) -> None:
    topology = load_scenario("thirty_hops")
    internet.load(topology)
    trace(internet, version, protocol, 30)
    log = internet.log()
    stations = list(topology.paths[0].stations(0.0, lambda *_: 0))
    assert [probe.ttl for probe in log.probes] == list(range(1, 31))
    for probe, station in zip(log.probes, stations, strict=True):
        (reply,) = probe.replies
        assert reply.due_ns - probe.monotonic_ns == round(station.rtt * 1e9)
        assert reply.monotonic_ns >= reply.due_ns
        assert reply.realtime_ns - probe.realtime_ns >= round(station.rtt * 1e9) - 1_000_000
        assert str(reply.address) == str(station.responder.address(version))


@both_versions
@both_protocols
def test_replies_arrive_with_the_ttl_that_the_way_back_leaves(
    internet: SimulatedInternet, version: int, protocol: str
) -> None:
    internet.load(line(router(1), router(2, reply_ttl=64), router(3, reply_ttl=2), reply_ttl=128))
    replies = trace(internet, version, protocol, 4)
    assert {reply[0] + 1: reply[4] for reply in replies} == {1: 255, 2: 63, 4: 125}
    assert outcomes(internet.log()) == [
        Outcome.ANSWERED,
        Outcome.ANSWERED,
        Outcome.LOST_REPLY,
        Outcome.ANSWERED,
    ]


@both_versions
def test_a_slow_router_is_slower_than_what_lies_behind_it(internet: SimulatedInternet, version: int) -> None:
    internet.load(line(router(1, rtt=0.03), router(2, rtt=0.01), rtt=0.02))
    assert [reply[0] for reply in trace(internet, version, "icmp", 3)] == [1, 2, 0]


@both_versions
def test_a_loop_goes_round_until_the_probe_expires(internet: SimulatedInternet, version: int) -> None:
    topology = line(router(1), Loop([router(2), router(3, rtt=0.005)]), hop_rtt=0.002)
    internet.load(topology)
    replies = trace(internet, version, "udp", 8)
    last = [int(ip_address(reply[1]).packed[-1]) for reply in sorted(replies)]
    assert last == [1, 2, 3, 2, 3, 2, 3, 2]
    stations = topology.paths[0].stations(0.0, lambda *_: 0)
    expected = [round(next(stations).rtt * 1e9) for _ in range(8)]
    assert [probe.replies[0].due_ns - probe.monotonic_ns for probe in internet.log().probes] == expected


def test_a_route_change_takes_effect_at_its_time(internet: SimulatedInternet) -> None:
    target = Target([TARGET4])
    changes = [RouteChange(0.0, [router(2)]), RouteChange(3600.0, [router(3)])]
    internet.load(Topology(paths=[Path(target, [router(1)], changes=changes)]))
    assert answers(trace(internet, 4, "icmp", 1)) == {0: ("198.51.100.2", (11, 0))}
    internet.load(Topology(paths=[Path(target, [router(1)], changes=changes[1:])]))
    assert answers(trace(internet, 4, "icmp", 1)) == {0: ("198.51.100.1", (11, 0))}


def test_hundreds_of_targets_are_each_at_the_end_of_their_own_path(internet: SimulatedInternet) -> None:
    topology = load_scenario("hundreds")
    assert len(topology.paths) == 300
    internet.load(topology)
    targets = [str(path.target.addresses[0]) for path in topology.paths]
    found = internet.call(plain.ping, targets, QUIET)
    assert found == sorted(targets)
    log = internet.log()
    lengths = {
        str(path.target.addresses[0]): len(list(path.stations(0.0, lambda *_: 0))) for path in topology.paths
    }
    assert {str(probe.destination): probe.station for probe in log.probes} == lengths


# --- who says nothing --------------------------------------------------------------------------------------


@both_versions
@both_protocols
def test_silent_stations_say_nothing_and_forward(
    internet: SimulatedInternet, version: int, protocol: str
) -> None:
    other_family = Router("2001:db8:1::2" if version == 4 else "198.51.100.2")
    internet.load(line(None, other_family, router(3)))
    replies = trace(internet, version, protocol, 4)
    assert [reply[0] for reply in replies] == [2, 3]
    assert outcomes(internet.log()) == [Outcome.SILENT, Outcome.SILENT, Outcome.ANSWERED, Outcome.ANSWERED]


@pytest.mark.parametrize(
    ("target", "protocol", "answered"),
    [
        ({"silent": True}, "icmp", False),
        ({"silent": True}, "udp", False),
        ({"echo": False}, "icmp", False),
        ({"echo": False}, "udp", True),
        ({"udp": UdpAnswer.SILENT}, "icmp", True),
        ({"udp": UdpAnswer.SILENT}, "udp", False),
    ],
)
@both_versions
def test_targets_answer_what_they_are_told_to(
    internet: SimulatedInternet, version: int, target: dict[str, Any], protocol: str, answered: bool
) -> None:
    internet.load(line(**target))
    assert bool(trace(internet, version, protocol, 1)) is answered
    assert outcomes(internet.log()) == [Outcome.ANSWERED if answered else Outcome.SILENT]


@both_versions
def test_a_udp_service_sends_the_payload_back(internet: SimulatedInternet, version: int) -> None:
    internet.load(line(router(1), udp=UdpAnswer.DATA))
    # They come by two sockets, of which the busy machine may show either first.
    expired, answer = sorted(trace(internet, version, "udp", 2), key=lambda reply: reply[0])
    assert expired[0] == 0
    assert answer[:4] == [1, TARGET4 if version == 4 else TARGET6, -1, -1]
    assert answer[5] == bytes(range(32)).hex()


@both_versions
def test_nothing_comes_back_from_where_no_path_leads(internet: SimulatedInternet, version: int) -> None:
    internet.load(line(router(1)))
    nowhere = "203.0.113.200" if version == 4 else "2001:db8:9::200"
    assert trace(internet, version, "icmp", 2, target=nowhere) == []
    assert outcomes(internet.log()) == [Outcome.NO_PATH] * 2


@both_versions
def test_a_black_hole_answers_for_itself_only(internet: SimulatedInternet, version: int) -> None:
    internet.load(line(router(1), router(2, forwarding_loss=1.0), router(3)))
    assert [reply[0] for reply in trace(internet, version, "udp", 4)] == [0, 1]
    log = internet.log()
    assert outcomes(log)[2:] == [Outcome.LOST_FORWARD] * 2
    assert [probe.station for probe in log.probes] == [1, 2, 2, 2]


@pytest.mark.parametrize("kind", list(Unreachability))
@both_versions
@both_protocols
def test_a_router_that_refuses_says_why(
    internet: SimulatedInternet, version: int, protocol: str, kind: Unreachability
) -> None:
    internet.load(line(router(1), router(2, refuses=kind), router(3)))
    found = {
        number + 1: (int(ip_address(address).packed[-1]), what)
        for number, (address, what) in answers(trace(internet, version, protocol, 4)).items()
    }
    refusal = kind.icmp(version)
    assert found == {
        1: (1, TIME_EXCEEDED[version]),
        2: (2, TIME_EXCEEDED[version]),
        3: (2, refusal),
        4: (2, refusal),
    }


@both_versions
@both_protocols
def test_what_is_too_big_is_refused_with_the_mtu(
    internet: SimulatedInternet, version: int, protocol: str
) -> None:
    internet.load(line(router(1), router(2, mtu=1280), router(3)))
    header = 28 if version == 4 else 48
    fits = answers(trace(internet, version, protocol, 3, size=1280 - header))
    assert fits[2][1] == TIME_EXCEEDED[version]
    replies = trace(internet, version, protocol, 3, size=1281 - header)
    assert [(reply[0], (reply[2], reply[3])) for reply in replies] == [
        (0, TIME_EXCEEDED[version]),
        (1, TIME_EXCEEDED[version]),
        (2, TOO_BIG[version]),
    ]
    assert int(replies[2][5][8:16], 16) == 1280


# --- chance ------------------------------------------------------------------------------------------------


def test_loss_follows_the_seed(internet: SimulatedInternet) -> None:
    topology = line(router(1, loss=0.5), router(2, forwarding_loss=0.5), router(3))
    runs = []
    for seed in (7, 7, 8):
        internet.load(topology, seed=seed)
        trace(internet, 4, "udp", 3, 40)
        runs.append(outcomes(internet.log()))
    assert runs[0] == runs[1] != runs[2]
    internet.reset(seed=8)
    trace(internet, 4, "udp", 3, 40)
    assert outcomes(internet.log()) == runs[2]
    for probes, outcome in ((runs[0][:40], Outcome.LOST_REPLY), (runs[0][80:], Outcome.LOST_FORWARD)):
        assert 8 <= probes.count(outcome) <= 32
    assert runs[0][40:80] == [Outcome.ANSWERED] * 40


@both_versions
def test_jitter_lengthens_round_trips_evenly(internet: SimulatedInternet, version: int) -> None:
    internet.load(line(router(1, rtt=0.002, jitter=0.01)))
    trace(internet, version, "icmp", 1, 100)
    held = [probe.replies[0].due_ns - probe.monotonic_ns for probe in internet.log().probes]
    assert min(held) >= 2_000_000
    assert max(held) < 12_000_000
    assert 5_000_000 < sum(held) / len(held) < 9_000_000
    assert len(set(held)) > 90


@both_versions
def test_a_rate_limit_holds_errors_back_but_no_echo_replies(
    internet: SimulatedInternet, version: int
) -> None:
    limit = RateLimit(0.0, 6)
    internet.load(line(router(1, rate_limit=limit), rate_limit=limit))
    trace(internet, version, "udp", 2, 20)
    log = internet.log()
    expected = [Outcome.ANSWERED] * 6 + [Outcome.RATE_LIMITED] * 14
    assert outcomes(log) == expected * 2
    trace(internet, version, "icmp", 2, 20)
    assert outcomes(internet.log())[40:] == [Outcome.RATE_LIMITED] * 20 + [Outcome.ANSWERED] * 20
    internet.reset()
    trace(internet, version, "udp", 1, 7)
    assert outcomes(internet.log()) == expected[:7]


def test_a_router_on_two_paths_has_one_rate_limit(internet: SimulatedInternet) -> None:
    near, far = (router(1, rate_limit=RateLimit(0.0, 3), rtt=rtt) for rtt in (0.001, 0.002))
    internet.load(Topology(paths=[Path("203.0.113.1", [near]), Path("203.0.113.2", [far])]))
    assert len(trace(internet, 4, "icmp", 1, 2, target="203.0.113.1")) == 2
    assert len(trace(internet, 4, "icmp", 1, 2, target="203.0.113.2")) == 1


def test_each_address_of_the_prober_has_its_own_rate_limit(internet: SimulatedInternet) -> None:
    internet.load(line(router(1, rate_limit=RateLimit(0.0, 3))))
    assert [len(trace(internet, version, "icmp", 1, 5)) for version in (4, 6, 4)] == [3, 3, 0]


def test_chance_does_not_depend_on_the_order_of_probes(internet: SimulatedInternet) -> None:
    paths = [Path(f"203.0.113.{number}", [router(number, loss=0.5)]) for number in (1, 2)]
    internet.load(Topology(paths=paths))
    fates: list[dict[str, list[Outcome]]] = []
    for order in (["203.0.113.1", "203.0.113.2"], ["203.0.113.2", "203.0.113.1"]):
        internet.reset(seed=3)
        for target in order:
            trace(internet, 4, "udp", 1, 20, target=target)
        probes = internet.log().probes
        fates.append({
            target: [probe.outcome for probe in probes if str(probe.destination) == target]
            for target in sorted(order)
        })
    assert fates[0] == fates[1]
    assert fates[0]["203.0.113.1"] != fates[0]["203.0.113.2"]


def test_tokens_come_back_with_time(internet: SimulatedInternet) -> None:
    # So fast that a token is always there again when the next probe comes, but never two at once.
    internet.load(line(router(1, rate_limit=RateLimit(1e9, 1))))
    assert len(trace(internet, 4, "icmp", 1, 20)) == 20


# --- load balancers ----------------------------------------------------------------------------------------


def flow_key(probe: ProbeRecord) -> bytes:
    """As the model defines it, from what the log says of the probe."""
    key = probe.source.packed + probe.destination.packed + bytes([probe.protocol])
    if probe.protocol == 17:
        key += struct.pack("!HH", probe.identifier, probe.sequence)
    else:
        kind = 8 if probe.version == 4 else 128
        key += struct.pack("!BBHH", kind, 0, probe.checksum, probe.identifier)
    return key + (struct.pack("!I", probe.label) if probe.version == 6 else b"")


@both_versions
@both_protocols
def test_a_flow_takes_the_branch_that_the_model_says(
    internet: SimulatedInternet, version: int, protocol: str
) -> None:
    topology = load_scenario("diamonds")
    internet.load(topology)
    trace(internet, version, protocol, 2 if version == 6 else 4, 30)
    (path,) = (path for path in topology.paths if str(path.target.addresses[0]) in {TARGET4, TARGET6}
               and path.target.address(version) is not None)  # fmt: skip
    taken = set()
    for probe in internet.log().probes:
        key = flow_key(probe)

        def choose(index: int, balanced: Balanced, key: bytes = key) -> int:
            return branch_of(key, index, len(balanced.branches))

        stations: list[Station] = list(path.stations(0.0, choose))
        expected = stations[probe.ttl - 1].responder.address(version)
        assert probe.replies[0].address == expected
        if probe.ttl == 2:
            taken.add(expected)
    assert len(taken) == (4 if version == 4 else 3)


def test_chance_chooses_the_branch_per_packet(internet: SimulatedInternet) -> None:
    internet.load(load_scenario("diamonds"))
    trace(internet, 4, "udp", 3, 30, target="203.0.113.10")
    log = internet.log()
    at = {ttl: {str(p.replies[0].address) for p in log.probes if p.ttl == ttl} for ttl in (1, 2, 3)}
    assert at[1] == {"198.51.100.1"}
    assert at[2] == {"198.51.100.31", "198.51.100.32"}
    assert at[3] == {"198.51.100.33", "198.51.100.4"}  # the branches differ in length


# --- quotes and faults -------------------------------------------------------------------------------------


@both_versions
@both_protocols
def test_quotes_show_the_probe_as_the_router_saw_it(
    internet: SimulatedInternet, version: int, protocol: str
) -> None:
    internet.load(line(router(1), router(2, refuses="admin")))
    replies = trace(internet, version, protocol, 5)
    for reply in replies:
        quoted = bytes.fromhex(reply[5])[8:]
        sent_ttl = reply[0] + 1
        if version == 4:
            assert plain.checksum(quoted[:20]) == 0
            assert quoted[8] == max(1, sent_ttl - 1)
            assert len(quoted) == 20 + 8 + 32 == int.from_bytes(quoted[2:4], "big")
            assert quoted[28:] == bytes(range(32))
        else:
            assert quoted[7] == max(1, sent_ttl - 1)
            assert len(quoted) == 40 + 8 + 32
            assert quoted[48:] == bytes(range(32))
    assert len(replies) == 5


@pytest.mark.parametrize("quote", [0, 8, 20, None])
@both_versions
@both_protocols
def test_quotes_are_as_long_as_asked_for(
    internet: SimulatedInternet, version: int, protocol: str, quote: int | None
) -> None:
    internet.load(line(router(1, quote=quote)))
    (reply,) = trace(internet, version, protocol, 1, size=1400)
    length = len(reply[5]) // 2
    header, longest = (20, 576) if version == 4 else (40, 1280)
    assert length == (longest - header if quote is None else 8 + header + quote)


@both_versions
def test_late_replies_come_later_by_their_delay(internet: SimulatedInternet, version: int) -> None:
    internet.load(line(router(1, faults=[Fault("late", delay=0.02)]), router(2)))
    assert [reply[0] for reply in trace(internet, version, "udp", 2)] == [1, 0]
    probe = internet.log().probes[0]
    assert probe.replies[0].due_ns - probe.monotonic_ns == 21_000_000


@both_versions
@both_protocols
def test_duplicates_come_twice(internet: SimulatedInternet, version: int, protocol: str) -> None:
    internet.load(line(router(1, faults=[Fault("duplicate", delay=0.005)]), faults=["duplicate"]))
    assert [reply[0] for reply in trace(internet, version, protocol, 2)] == [0, 1, 1, 0]
    assert [len(probe.replies) for probe in internet.log().probes] == [2, 2]


def test_a_fault_befalls_its_share_of_the_replies(internet: SimulatedInternet) -> None:
    internet.load(line(router(1, faults=[Fault("duplicate", share=0.3)])))
    trace(internet, 4, "udp", 1, 100)
    assert 15 <= sum(len(probe.replies) == 2 for probe in internet.log().probes) <= 45


def test_corrupt_replies_have_a_wrong_checksum(internet: SimulatedInternet) -> None:
    internet.load(line(router(1, faults=["corrupt"]), faults=["corrupt"]))
    assert [reply[0] for reply in trace(internet, 4, "icmp", 2)] == [-2, -2]
    assert trace(internet, 6, "icmp", 2) == []  # the kernel has checked already
    assert [probe.replies[0].fault for probe in internet.log().probes] == [FaultKind.CORRUPT] * 4


def test_truncated_replies_end_within_a_header(internet: SimulatedInternet) -> None:
    internet.load(line(router(1, faults=["truncated"]), faults=["truncated"]))
    (error,) = trace(internet, 4, "icmp", 2)  # the kernel keeps less than a header of ICMP to itself
    assert len(bytes.fromhex(error[5])) == 8 + 8
    assert plain.checksum(bytes.fromhex(error[5])) == 0
    assert [reply.length for reply in internet.log().replies] == [20 + 8 + 8, 20 + 6]


def transport_of(reply: list[Any], version: int) -> bytes:
    """The transport header and payload that an error quotes, or an echo reply itself."""
    message = bytes.fromhex(reply[5])
    return message if (reply[2], reply[3]) == ECHO_REPLY[version] else message[8 + (20, 40)[version == 6] :]


@both_versions
@both_protocols
@pytest.mark.parametrize("kind", ["wrong_identifier", "wrong_sequence", "wrong_token", "rewritten"])
def test_forged_replies_differ_where_they_should(
    internet: SimulatedInternet, version: int, protocol: str, kind: str
) -> None:
    internet.load(line(router(1, faults=[kind]), router(2), faults=[kind]))
    replies = trace(internet, version, protocol, 3)
    assert len(replies) == 3
    probes = internet.log().probes
    assert [probe.replies[0].fault for probe in probes] == [kind, None, kind]
    for reply, probe in zip(replies, probes, strict=True):
        transport = transport_of(reply, version)
        at = slice(0, 4) if protocol == "udp" else slice(4, 8)
        identifier, sequence = struct.unpack("!HH", transport[at])
        forged = probe.ttl != 2
        assert (identifier != probe.identifier) is (forged and kind in {"wrong_identifier", "rewritten"})
        assert (sequence != probe.sequence) is (forged and kind == "wrong_sequence")
        foreign = transport[8:] != bytes(range(32))
        assert foreign is (forged and kind != "rewritten")
        if protocol == "udp" or probe.ttl < 3:  # the reply is an error, which quotes
            assert (_transport_checksum(probe, transport) != 0) is (forged and kind == "wrong_token")


def _transport_checksum(probe: ProbeRecord, transport: bytes) -> int:
    """0 if the checksum of a quoted transport header is right."""
    pseudo = probe.source.packed + probe.destination.packed
    pseudo += struct.pack("!HH", probe.protocol, len(transport))
    return plain.checksum((b"" if probe.protocol == 1 else pseudo) + transport)


# --- the log and the program -------------------------------------------------------------------------------


@both_versions
@both_protocols
def test_the_log_has_every_probe_as_it_came(internet: SimulatedInternet, version: int, protocol: str) -> None:
    internet.load(line(router(1)))
    trace(internet, version, protocol, 3, 2)
    log = internet.log()
    assert [probe.number for probe in log.probes] == [0, 1, 2, 3, 4, 5]
    assert all(probe.checksum_right for probe in log.probes)
    for probe in log.probes:
        assert probe.version == version
        assert probe.protocol == (17 if protocol == "udp" else (1 if version == 4 else 58))
        assert str(probe.source) == ("192.0.2.77" if version == 4 else "2001:db8::77")
        assert str(probe.destination) == (TARGET4 if version == 4 else TARGET6)
        assert probe.length == (20 if version == 4 else 40) + 8 + 32
        assert probe.hold_ns >= 1_000_000
    if protocol == "icmp":
        assert {probe.identifier for probe in log.probes} == {plain.IDENTIFIER}
        assert [probe.sequence for probe in log.probes] == [0, 1, 2, 3, 4, 5]
    else:
        assert [probe.sequence - plain.PORT for probe in log.probes] == [0, 1, 2, 3, 4, 5]
    times = [probe.monotonic_ns for probe in log.probes]
    assert times == sorted(times)
    assert [reply.error for reply in log.replies] == [0] * 6


def test_the_target_refuses_a_wrong_checksum(internet: SimulatedInternet) -> None:
    internet.load(line(router(1)))
    internet.call(plain.send_corrupt, TARGET4)
    assert outcomes(internet.log()) == [Outcome.BAD_CHECKSUM]
    assert not internet.log().probes[0].checksum_right


@both_versions
def test_a_target_knows_no_other_protocols(internet: SimulatedInternet, version: int) -> None:
    internet.load(line())
    target = TARGET4 if version == 4 else TARGET6
    internet.call(plain.connect, target, 80)
    log = internet.log()
    refusal = Unreachability.PROTOCOL.icmp(version)
    assert [(probe.protocol, probe.sequence) for probe in log.probes] == [(6, 80)]
    assert [(reply.icmp_type, reply.icmp_code) for reply in log.replies] == [refusal]


def test_what_is_no_probe_is_logged_apart(internet: SimulatedInternet) -> None:
    internet.load(line(router(1)))
    internet.call(plain.send_echo_reply, TARGET4)
    log = internet.log()
    assert log.probes == []
    assert [(probe.protocol, str(probe.destination)) for probe in log.ignored] == [(1, TARGET4)]


def test_another_topology_may_have_other_sources(internet: SimulatedInternet) -> None:
    topology = Topology(paths=[Path(TARGET4, [router(1)])], sources=["192.0.2.5"])
    internet.load(topology)
    trace(internet, 4, "icmp", 2)
    assert {probe.source for probe in internet.log().probes} == {IPv4Address("192.0.2.5")}


@pytest.mark.parametrize("name", sorted(path.stem for path in SCENARIOS.glob("*.json")))
def test_every_scenario_file_can_be_followed(internet: SimulatedInternet, name: str) -> None:
    topology = load_scenario(name)
    assert Topology.from_dict(topology.to_dict()) == topology
    internet.load(topology)
    assert internet.topology == topology


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        ("", "ends too early"),
        ("internet 2", "2 is no whole number from 3 to 3"),
        ("internet 3 0 0 0 0 0 beginning", "beginning where end was expected"),
        ("internet 3 0 1 responder 0 nowhere", "nowhere is no address"),
        ("internet 3 0 0 1 path 0 0 1", "0 is no whole number from 0 to -1"),
        ("internet 3 0 0 0 0 1 forgery 1 0", "0 is no whole number from 0 to -1"),
    ],
)
def test_a_malformed_scenario_is_refused_and_the_old_one_kept(
    internet: SimulatedInternet, monkeypatch: pytest.MonkeyPatch, broken: str, complaint: str
) -> None:
    topology = line(router(1))
    internet.load(topology)
    with monkeypatch.context() as patch:
        patch.setattr("tests.rigs.tun.simulated.compile_topology", lambda *_: broken)
        with pytest.raises(RigError, match=complaint):
            internet.load(topology)
    assert len(trace(internet, 4, "icmp", 2)) == 2


def test_the_compiled_topology_names_each_router_once() -> None:
    shared = router(1)
    text = compile_topology(Topology(paths=[Path("203.0.113.1", [shared]), Path("203.0.113.2", [shared])]))
    assert text.count("responder") == 3


def test_the_program_compiles_without_a_warning() -> None:
    command = [str(compiler()), *FLAGS, "-Werror", "-fsyntax-only", *map(str, sources())]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_the_program_ends_and_the_namespace_goes_with_the_context() -> None:
    with SimulatedInternet(Topology()) as short:
        name = short.namespace.name
        assert name in existing_namespaces()
        (pid,) = subprocess.run(
            ["ip", "netns", "pids", name], check=True, capture_output=True, text=True
        ).stdout.split()
        assert os.readlink(f"/proc/{pid}/exe") == str(build_program())
    assert name not in existing_namespaces()
    assert not os.path.exists(f"/proc/{pid}")


def test_no_interface_leads_out_of_the_internet(internet: SimulatedInternet) -> None:
    links = internet.run(["ip", "-o", "link"]).stdout
    assert [text.split(":")[1].strip() for text in links.splitlines()] == ["lo", "tun0"]
