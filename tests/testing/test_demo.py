"""The internet of the demo: only reserved addresses and names, and something of everything to see."""

from __future__ import annotations

import json
import re
from ipaddress import ip_address, ip_network

import pytest

import traceprobe
from traceprobe.testing import Topology, demo_network
from traceprobe.testing.demo import demo_topology

DOCUMENTATION = [
    ip_network(block) for block in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]


def test_every_address_and_name_is_a_reserved_one() -> None:
    text = json.dumps(demo_topology().to_dict())
    found = re.findall(r'"((?:\d+\.){3}\d+|[0-9a-f]+:[0-9a-f:]+)"', text)
    assert len(found) > 40
    for address in found:
        assert any(ip_address(address) in block for block in DOCUMENTATION), address
    names = [*demo_topology().hostnames.values(), *demo_topology().names]
    assert all(name == "example.com" or name.endswith(".example") for name in names)


def test_it_travels_as_json() -> None:
    assert Topology.from_dict(json.loads(json.dumps(demo_topology().to_dict()))) == demo_topology()


@pytest.mark.parametrize("family", [4, 6])
async def test_the_path_shows_something_of_everything(family: int) -> None:
    network = demo_network()
    result = await traceprobe.trace_async(
        "example.com", socket_factory=network, resolver=network.resolver, family=family
    )
    assert result.reached
    assert len(result) == 12
    assert [hop.ttl for hop in result if hop.address is None] == [5]
    assert [hop.ttl for hop in result if len(hop.addresses) == 2] == [6]
    assert [hop.ttl for hop in result if 0 < hop.received < 3] == [9]
    assert all(hop.hostname for hop in result if hop.address is not None)
    assert result.hops[-1].hostname == "example.com"
    rtts = [hop.rtt for hop in result if hop.rtt is not None]
    assert 0.0005 < rtts[0] < 0.001
    assert 0.08 < rtts[-1] < 0.09


async def test_the_other_targets_can_not_be_reached() -> None:
    network = demo_network()
    refused = await traceprobe.trace_async("unreachable.example", socket_factory=network)
    assert refused.stop_reason == "unreachable"
    silent = await traceprobe.trace_async("silent.example", socket_factory=network)
    assert silent.stop_reason == "max_ttl"


def test_it_is_the_same_every_time() -> None:
    first, second = demo_network(), demo_network()
    for network in (first, second):
        traceprobe.trace("example.com", socket_factory=network, resolver=network.resolver)
    assert first.transcript() == second.transcript()
