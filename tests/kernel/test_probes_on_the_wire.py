"""What leaves by the interface: well formed by tshark's judgement, and as the options ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.kernel import inside, wire
from tests.rigs.capture import Capture
from tests.rigs.remote import RemoteError
from tests.rigs.require import require
from tests.rigs.tshark import dissect, missing_tshark
from tests.rigs.tun import Manner
from tests.rigs.tun.simulated import DEVICE
from traceprobe.config import FlowStrategy, Protocol
from traceprobe.sockets._catalogue import LINUX, OPTIONS, ModeFacts
from traceprobe.testing.topology import Path, Router, Target, Topology

if TYPE_CHECKING:
    from tests.rigs.tun import SimulatedInternet

pytestmark = pytest.mark.tun

TARGETS = {4: "203.0.113.9", 6: "2001:db8:9::9"}
OTHER_SOURCES = {4: "192.0.2.78", 6: "2001:db8::78"}
HOPS = 3
LAYERS = {
    (4, Protocol.ICMP): "icmp",
    (6, Protocol.ICMP): "icmpv6",
    (4, Protocol.UDP): "udp",
    (6, Protocol.UDP): "udp",
    (4, Protocol.TCP): "tcp",
    (6, Protocol.TCP): "tcp",
}

_ONLY_MARKED = """\
table inet marked {
  chain output {
    type filter hook output priority 0
    meta mark != 42 drop
  }
}
"""

both_versions = pytest.mark.parametrize("version", [4, 6])


def _name(facts: ModeFacts) -> str:
    return f"{facts.mode}-{facts.protocol}"


every_way = pytest.mark.parametrize("facts", LINUX, ids=_name)


def honouring(*options: str) -> pytest.MarkDecorator:
    """The ways of probing that say that they honour some options."""
    cases = [facts for facts in LINUX if facts.options.issuperset(options)]
    return pytest.mark.parametrize("facts", cases, ids=_name)


@pytest.fixture(scope="module", autouse=True)
def _network(internet: SimulatedInternet) -> None:
    """Three routers and a target that listens on every port that is asked for; a second source address."""
    internet.namespace.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")
    routers = [Router([f"198.51.100.{number}", f"2001:db8:1::{number}"]) for number in range(1, HOPS + 1)]
    target = Target(list(TARGETS.values()))
    manners = {address: Manner(tcp={80: "open", 4242: "open"}) for address in TARGETS.values()}
    internet.load(Topology(paths=[Path(target, routers)]), manners=manners)
    for version, bits in ((4, 32), (6, 128)):
        address = f"{OTHER_SOURCES[version]}/{bits}"
        nodad = ["nodad"] if version == 6 else []
        internet.run(["ip", "address", "replace", address, "dev", DEVICE, *nodad])


def _choice(facts: ModeFacts) -> dict[str, Any]:
    return {"mode": facts.mode.value, "protocol": facts.protocol.value, "max_ttl": HOPS + 2}


def send(
    internet: SimulatedInternet, version: int, facts: ModeFacts, **options: Any
) -> tuple[dict[str, Any], list[bytes]]:
    """Trace, and hand back the result's document and all that left by the interface meanwhile."""
    choice = {**_choice(facts), **options}
    with Capture(internet.namespace, DEVICE) as capture:
        document = internet.call(inside.trace, TARGETS[version], choice)
        return document, capture.sent()


def probes_with(
    internet: SimulatedInternet, version: int, facts: ModeFacts, **options: Any
) -> list[wire.Datagram]:
    """The probes of a trace that found its target."""
    document, sent = send(internet, version, facts, **options)
    assert document["reached"], document["hops"]
    assert [hop["received"] for hop in document["hops"]] == [3] * (HOPS + 1)
    found = wire.probes(sent)
    assert len(found) >= 3 * (HOPS + 1)
    return found


# --- well formed -------------------------------------------------------------------------------------------


@both_versions
@every_way
def test_tshark_has_no_objection(internet: SimulatedInternet, version: int, facts: ModeFacts) -> None:
    require("tshark", missing_tshark())
    sent: list[bytes] = []
    for flow in facts.flows:
        before = len(sent)
        for size in (None, 101, 1200) if "packet_size" in facts.options else (None,):
            sent += send(internet, version, facts, flow=flow.value, packet_size=size)[1]
        if "payload_pattern" in facts.options:
            sent += _with_pattern(internet, version, facts, flow)
        assert len(wire.probes(sent[before:])) >= 3 * (HOPS + 1)
    layer = LAYERS[version, facts.protocol]
    datagrams = [one.data for one in wire.probes(sent)]  # and not what the kernel answers to SYN-ACKs
    for datagram, one in zip(datagrams, dissect(datagrams), strict=True):
        assert one.objections == (), datagram.hex()
        assert one.protocols[1] == layer
        assert one.checksums == ({"ip": True} if version == 4 else {}) | {layer: True}, datagram.hex()


def _with_pattern(
    internet: SimulatedInternet, version: int, facts: ModeFacts, flow: FlowStrategy
) -> list[bytes]:
    choice = {**_choice(facts), "flow": flow.value}
    with Capture(internet.namespace, DEVICE) as capture:
        internet.call(inside.trace_with_pattern, TARGETS[version], choice, "cafe01", 200)
        return capture.sent()


@both_versions
@pytest.mark.parametrize("facts", [one for one in LINUX if one.protocol is Protocol.TCP], ids=_name)
def test_a_tcp_probe_is_an_ordinary_syn(internet: SimulatedInternet, version: int, facts: ModeFacts) -> None:
    for flow in facts.flows:
        for one in probes_with(internet, version, facts, flow=flow.value):
            assert one.transport[13] == 0x02
            assert one.transport[20:22] == b"\x02\x04"  # maximum segment size comes first
            assert len(one.transport) >= (one.transport[12] >> 4) * 4


# --- options -----------------------------------------------------------------------------------------------


@both_versions
@honouring("source")
def test_the_source_address_is_the_one_asked_for(
    internet: SimulatedInternet, version: int, facts: ModeFacts
) -> None:
    found = probes_with(internet, version, facts, source=OTHER_SOURCES[version])
    assert {one.source for one in found} == {OTHER_SOURCES[version]}


@both_versions
@honouring("interface")
def test_the_interface_is_the_one_asked_for(
    internet: SimulatedInternet, version: int, facts: ModeFacts
) -> None:
    """The routing table says otherwise: without the option, nothing comes by the device."""
    bits = {4: 32, 6: 128}[version]
    lines = [
        "link add aside type veth peer name elsewhere",
        "link set aside up",
        "link set elsewhere up",
        f"route add {TARGETS[version]}/{bits} dev aside",
    ]
    internet.run(["ip", "-batch", "-"], standard_input="\n".join(lines) + "\n")
    try:
        sent = send(internet, version, facts, max_ttl=2, tail_floor=0.05, source=OTHER_SOURCES[version])[1]
        assert wire.probes(sent) == []
        probes_with(internet, version, facts, interface=DEVICE, source=OTHER_SOURCES[version])
    finally:
        internet.run(["ip", "link", "delete", "aside"])


@both_versions
@honouring("mark")
def test_the_mark_is_the_one_asked_for(internet: SimulatedInternet, version: int, facts: ModeFacts) -> None:
    internet.run(["nft", "-f", "-"], standard_input=_ONLY_MARKED)
    try:
        probes_with(internet, version, facts, mark=42)
    finally:
        internet.run(["nft", "delete", "table", "inet", "marked"])


@both_versions
@honouring("dscp")
def test_the_code_point_is_the_one_asked_for(
    internet: SimulatedInternet, version: int, facts: ModeFacts
) -> None:
    assert {one.traffic_class for one in probes_with(internet, version, facts)} == {0}
    assert {one.traffic_class for one in probes_with(internet, version, facts, dscp=46)} == {46 << 2}


@both_versions
@honouring("ecn")
def test_the_congestion_bits_are_those_asked_for(
    internet: SimulatedInternet, version: int, facts: ModeFacts
) -> None:
    for dscp, ecn in ((None, 1), (46, 2)):
        found = probes_with(internet, version, facts, dscp=dscp, ecn=ecn)
        assert {one.traffic_class for one in found} == {(dscp or 0) << 2 | ecn}


@honouring("flow_label")
def test_the_flow_label_is_the_one_asked_for(internet: SimulatedInternet, facts: ModeFacts) -> None:
    found = probes_with(internet, 6, facts, flow_label=0xABCDE)
    labels = {one.label for one in found}
    if facts.flows[0] is FlowStrategy.PARIS:
        assert labels == {0xABCDE}
    else:
        assert 0xABCDE in labels


@pytest.mark.parametrize("wanted", [True, False])
@honouring("dont_fragment")
def test_the_dont_fragment_bit_is_as_asked_for(
    internet: SimulatedInternet, facts: ModeFacts, wanted: bool
) -> None:
    found = probes_with(internet, 4, facts, dont_fragment=wanted)
    assert {one.dont_fragment for one in found} == {wanted}


@both_versions
@honouring("dont_fragment", "packet_size")
def test_what_must_not_be_fragmented_is_not(
    internet: SimulatedInternet, version: int, facts: ModeFacts
) -> None:
    with pytest.raises(RemoteError, match=r"[Mm]essage too long"):
        send(internet, version, facts, packet_size=2000, dont_fragment=True, tail_floor=0.05)
    with Capture(internet.namespace, DEVICE) as capture:
        internet.call(
            inside.trace,
            TARGETS[version],
            {**_choice(facts), "packet_size": 2000, "dont_fragment": False, "max_ttl": 1, "tail_floor": 0.05},
        )
        sent = [wire.read(data) for data in capture.sent()]
    assert len(sent) == 6
    assert all(one.fragment and one.length <= 1500 for one in sent)


@both_versions
@honouring("packet_size")
def test_packets_are_as_large_as_asked_for(
    internet: SimulatedInternet, version: int, facts: ModeFacts
) -> None:
    for size in (100, 333, 1500):
        found = probes_with(internet, version, facts, packet_size=size)
        assert {one.length for one in found} == {size}
        assert {len(one.data) for one in found} == {size}


@both_versions
@honouring("payload_pattern")
def test_the_payload_is_filled_with_the_pattern(
    internet: SimulatedInternet, version: int, facts: ModeFacts
) -> None:
    for flow in facts.flows:
        found = wire.probes(_with_pattern(internet, version, facts, flow))
        assert len(found) >= 3 * (HOPS + 1)
        for one in found:
            repeated = bytes.fromhex("cafe01") * 100
            assert one.data[-90:] in repeated


@both_versions
@honouring("port")
def test_the_destination_port_is_the_one_asked_for(
    internet: SimulatedInternet, version: int, facts: ModeFacts
) -> None:
    for flow in facts.flows:
        found = probes_with(internet, version, facts, port=4242, flow=flow.value)
        ports = {one.ports[1] for one in found}
        if facts.protocol is Protocol.TCP or flow is FlowStrategy.PARIS:
            assert ports == {4242}
        else:
            assert min(ports) == 4242
            assert max(ports) < 4242 + 200


@both_versions
@honouring("source_port")
def test_the_source_port_is_the_one_asked_for(
    internet: SimulatedInternet, version: int, facts: ModeFacts
) -> None:
    for flow in facts.flows:
        found = probes_with(internet, version, facts, source_port=5000, flow=flow.value)
        ports = {one.ports[0] for one in found}
        if flow is FlowStrategy.PARIS:
            assert ports == {5000}
        else:
            assert min(ports) == 5000
            assert max(ports) < 5000 + 1024


@both_versions
@every_way
def test_what_a_mode_cant_honour_it_refuses(
    internet: SimulatedInternet, version: int, facts: ModeFacts
) -> None:
    values: dict[str, Any] = {
        "source": OTHER_SOURCES[version],
        "interface": DEVICE,
        "mark": 42,
        "dscp": 46,
        "ecn": 1,
        "flow_label": 0xABCDE,
        "dont_fragment": True,
        "packet_size": 100,
        "port": 4242,
        "source_port": 5000,
    }
    assert set(values) | {"payload_pattern"} == set(OPTIONS)
    for option, value in values.items():
        choice = {**_choice(facts), option: value}
        refusal = internet.call(inside.refusal, TARGETS[version], choice)
        supported = option in facts.options and (option != "flow_label" or version == 6)
        if facts.protocol is Protocol.ICMP and option in {"port", "source_port"}:
            assert refusal in {"UnsupportedOption", "ConfigError"}
        else:
            assert refusal == ("none" if supported else "UnsupportedOption"), option
