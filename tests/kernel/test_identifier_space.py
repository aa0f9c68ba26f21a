"""Ten thousand probes at once, none of which can be mistaken for another; and identifiers used again."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.kernel import inside, wire
from tests.rigs.capture import Capture
from tests.rigs.tun.simulated import DEVICE
from traceprobe.config import FlowStrategy, Mode, Protocol
from traceprobe.sockets._catalogue import LINUX, ModeFacts
from traceprobe.testing.topology import Loop, Path, Router, Target, Topology

if TYPE_CHECKING:
    from tests.rigs.tun import SimulatedInternet

pytestmark = pytest.mark.tun

TARGETS = {4: "203.0.113.9", 6: "2001:db8:9::9"}
TRACES, TTLS, QUERIES = 100, 50, 2
UNHURRIED = {"probe_timeout": 100.0, "tail_floor": 100.0}

ways = pytest.mark.parametrize(
    ("facts", "flow", "version"),
    [
        pytest.param(facts, flow, version, id=f"{facts.mode}-{facts.protocol}-{flow}-{version}")
        for facts in LINUX
        for flow in facts.flows
        for version in (4, 6)
        if flow is not FlowStrategy.DUBLIN and (version == 4 or flow is facts.flows[0])
    ],
)
"""Every way over IPv4; over IPv6, whose packets differ in the header only, each with one flow strategy."""


@pytest.fixture(scope="module", autouse=True)
def _open_ping_sockets(internet: SimulatedInternet) -> None:
    internet.namespace.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")


def identity(facts: ModeFacts, flow: FlowStrategy, probe: wire.Datagram) -> bytes:
    """What a reply that quotes eight bytes would tell a probe by; the payload, where it takes more."""
    if facts.protocol is Protocol.ICMP:
        return probe.transport[4:8]
    if facts.protocol is Protocol.TCP:
        return probe.transport[:8]
    if facts.mode is Mode.LINUX_UDP and flow is FlowStrategy.PARIS:
        return probe.transport[8:]
    return probe.transport[:4] + probe.transport[6:8] * (flow is FlowStrategy.PARIS)


@ways
def test_ten_thousand_outstanding_probes_are_all_different(
    internet: SimulatedInternet, facts: ModeFacts, flow: FlowStrategy, version: int
) -> None:
    target = Target(list(TARGETS.values()), silent=True)
    internet.load(Topology(paths=[Path(target, [None] * (TTLS + 5))]))
    options = {
        "mode": facts.mode.value,
        "protocol": facts.protocol.value,
        "flow": flow.value,
        "max_ttl": TTLS,
        "queries": QUERIES,
        "receive_buffer": 2**28,
        **UNHURRIED,
    }
    with Capture(internet.namespace, DEVICE) as capture:
        sent = internet.call(inside.hold_outstanding, TARGETS[version], options, TRACES, TTLS * QUERIES)
        seen = wire.probes(capture.sent())
    if facts.mode is Mode.LINUX_TCP:  # the kernel sends a SYN again that is not answered within a second
        seen = list({one.transport[:8]: one for one in seen}.values())
    assert sent == len(seen) == TRACES * TTLS * QUERIES
    assert Counter(one.ttl for one in seen) == dict.fromkeys(range(1, TTLS + 1), TRACES * QUERIES)
    twice = [key for key, count in Counter(identity(facts, flow, one) for one in seen).items() if count > 1]
    assert twice == []


@pytest.mark.parametrize("protocol", ["icmp", "udp"])
def test_identifiers_that_are_used_again_find_their_new_probes(
    internet: SimulatedInternet, protocol: str
) -> None:
    """Of twenty thousand numbers of sixteen bits, drawn by chance, some thousands come again."""
    routers = [Router(f"198.51.100.{5 * number}") for number in (1, 2, 3)]
    looping = Loop([routers[1], routers[2], routers[0]])
    internet.load(Topology(paths=[Path(Target(TARGETS[4]), [looping], hop_rtt=0.0)]))
    options = {
        "mode": "linux_raw",
        "protocol": protocol,
        "max_ttl": 255,
        "queries": 10,
        "stop_on_loop": False,
        "identifier_quarantine": 0.0,
    }
    right = internet.call(inside.trace_on_and_on, TARGETS[4], options, 8)
    assert right == [2550] * 8
    probes = internet.log().probes
    used = {probe.checksum if protocol == "udp" else probe.sequence for probe in probes}
    assert len(probes) == 20400
    assert len(probes) - len(used) > 1000
