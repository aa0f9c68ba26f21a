"""Simulated routers that tell of themselves and change probes: what a trace makes of it, over everything."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

import traceprobe
from traceprobe import (
    Change,
    ChangedField,
    ExtensionObject,
    InterfaceInformation,
    InterfaceRole,
    MplsLabel,
    Protocol,
    ReplyKind,
    StopReason,
)
from traceprobe.packets import parse_ip
from traceprobe.render.text import result_to_text
from traceprobe.testing import Path, Router, SimulatedNetwork, Target, Topology, Unreachability

if TYPE_CHECKING:
    from traceprobe import TraceResult

V4, V6 = "192.0.2.9", "2001:db8::9"
FAMILIES = pytest.mark.parametrize("family", [4, 6])
PROTOCOLS = pytest.mark.parametrize("protocol", list(Protocol))

LABELS = (MplsLabel(16001, 1, 0, 1), MplsLabel(24005, 0, 1, 254))
INTERFACES = (
    InterfaceInformation(InterfaceRole.INCOMING, 530, ip_address("198.51.100.9"), "xe-0/0/3.530", 1500),
    InterfaceInformation(InterfaceRole.SUB_IP, 531),
    InterfaceInformation(InterfaceRole.OUTGOING, name="ae1", mtu=9000),
    InterfaceInformation(InterfaceRole.NEXT_HOP, address=ip_address("2001:db8::1")),
)
OBJECTS = (ExtensionObject(3, 2, b"\x00\x00\x00\x2a"), ExtensionObject(200, 1, b""))


def network(*hops: Any, **target: Any) -> SimulatedNetwork:
    """One path for both families."""
    return SimulatedNetwork(Topology(paths=[Path(Target([V4, V6], **target), hops)]))


def router(number: int, **options: Any) -> Router:
    return Router([f"198.51.100.{number}", f"2001:db8:1::{number}"], **options)


async def trace(
    simulated: SimulatedNetwork, family: int = 4, *, queries: int = 1, **options: Any
) -> TraceResult:
    result = await traceprobe.trace_async(
        V4 if family == 4 else V6, socket_factory=simulated, queries=queries, **options
    )
    assert traceprobe.TraceResult.from_json(result.to_json()) == result
    return result


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("quote", [None, 8, 200])
@PROTOCOLS
@FAMILIES
async def test_extension_structures_are_read_whatever_stands_before_them(
    family: int, protocol: Protocol, quote: int | None, legacy: bool
) -> None:
    told: dict[str, Any] = {"mpls": LABELS, "interfaces": INTERFACES, "extensions": OBJECTS}
    simulated = network(router(1, quote=quote, legacy_extensions=legacy, **told), router(2))
    result = await trace(simulated, family, protocol=protocol, packet_size=400)
    first, second, _ = (hop.probes[0] for hop in result)
    assert (first.mpls, first.interfaces, first.extensions) == (LABELS, INTERFACES, OBJECTS)
    assert (second.mpls, second.interfaces, second.extensions) == ((), (), ())
    assert not first.changes
    for packet in simulated.received:
        assert len(packet.datagram) <= {4: 576, 6: 1280}[family]


@pytest.mark.parametrize("legacy", [False, True])
@FAMILIES
async def test_structures_stand_where_their_form_has_them(family: int, legacy: bool) -> None:
    odd = ExtensionObject(200, 1, b"odd")
    simulated = network(router(1, mpls=LABELS, extensions=[odd], legacy_extensions=legacy))
    result = await trace(simulated, family, packet_size=1500, max_ttl=2)
    assert result.hops[0].probes[0].mpls == LABELS
    datagram = simulated.received[0].datagram
    message = parse_ip(datagram).payload
    length = message[5] * 4 if family == 4 else message[4] * 8
    assert bool(length) is not legacy
    # As much is quoted as fits besides.
    shortest = 128 if legacy else {4: 350, 6: 1000}[family]
    assert (length or 128) >= shortest
    assert len(datagram) <= {4: 576, 6: 1280}[family]


@PROTOCOLS
@FAMILIES
async def test_an_undisturbed_path_shows_no_changes(family: int, protocol: Protocol) -> None:
    result = await trace(
        network(router(1), router(2)), family, protocol=protocol, dscp=46, ecn=1, dont_fragment=True
    )
    assert result.stop_reason is StopReason.DESTINATION_REACHED
    assert [probe.changes for hop in result for probe in hop.probes] == [(), (), ()]
    assert [hop.nat for hop in result] == [False, False, False if protocol is Protocol.UDP else None]


@PROTOCOLS
@FAMILIES
async def test_who_rewrites_the_traffic_class_is_found(family: int, protocol: Protocol) -> None:
    simulated = network(router(1), router(2, dscp=0), router(3, ecn=3), router(4))
    result = await trace(simulated, family, protocol=protocol, dscp=46, ecn=1)
    dscp, ecn = Change(ChangedField.DSCP, 46, 0), Change(ChangedField.ECN, 1, 3)
    assert [hop.probes[0].changes for hop in result.hops[:4]] == [(), (), (dscp,), (dscp, ecn)]
    shown = [line for line in result_to_text(result).splitlines() if "->" in line]
    assert [line.split()[0] for line in shown] == ["3", "4"]


@FAMILIES
@pytest.mark.parametrize("protocol", [Protocol.ICMP, Protocol.TCP])
async def test_a_translator_is_found_behind_it(family: int, protocol: Protocol) -> None:
    simulated = network(router(1), router(2, nat=["203.0.113.77", "2001:db8:77::1"]), router(3), router(4))
    result = await trace(simulated, family, protocol=protocol)
    assert result.stop_reason is StopReason.DESTINATION_REACHED
    assert [hop.nat for hop in result] == [False, False, True, True, None]
    outside = {4: "203.0.113.77", 6: "2001:db8:77::1"}[family]
    own = str(simulated.topology.source(family))
    for hop in result.hops[2:4]:
        assert Change(ChangedField.SOURCE, own, outside) in hop.probes[0].changes
    assert f"NAT to {outside}" in result_to_text(result)


async def test_a_translator_s_packets_are_sound() -> None:
    for family in (4, 6):
        for protocol in Protocol:
            nat = router(1, nat=["203.0.113.77", "2001:db8:77::1"])
            result = await trace(network(nat), family, protocol=protocol, max_ttl=2, flow="classic")
            # The target refuses what has a wrong checksum, and so would hide.
            assert result.stop_reason is StopReason.DESTINATION_REACHED, (family, protocol)


@PROTOCOLS
@FAMILIES
async def test_routers_that_forward_ttl_zero_are_recognised(family: int, protocol: Protocol) -> None:
    simulated = network(router(1), router(2, ttl_zero_forwarding=True), router(3), router(4))
    result = await trace(simulated, family, protocol=protocol, queries=3)
    assert [hop.address for hop in result][1] == [hop.address for hop in result][2]
    assert [hop.ttl_zero_forwarding for hop in result] == [False, True, False, False, False]
    assert {probe.quoted_ttl for probe in result.hops[1].probes} == {0}
    text = result_to_text(result)
    assert text.count(str(result.hops[2].address)) == 1
    assert all(parse_ip(packet.datagram, verify=True) for packet in simulated.received)


async def test_nobody_forwards_less_than_nothing() -> None:
    zero = {"ttl_zero_forwarding": True}
    result = await trace(network(router(1), router(2, **zero), router(3, **zero), router(4)))
    # TTL 2 runs out at the third router, and so does TTL 3, if not at the fourth one.
    third, fourth = result.hops[1].address, result.hops[2].address
    assert str(third) == "198.51.100.3"
    assert str(fourth) == "198.51.100.4"
    assert [hop.ttl_zero_forwarding for hop in result] == [False, False, True, False, False]


async def test_the_destination_behind_a_router_that_forwards_ttl_zero() -> None:
    result = await trace(network(router(1), router(2, ttl_zero_forwarding=True)))
    assert len(result) == 2
    assert result.hops[1].probes[0].reply is ReplyKind.ECHO_REPLY


@pytest.mark.parametrize("reason", Unreachability)
@FAMILIES
async def test_every_reason_for_refusing_arrives(family: int, reason: Unreachability) -> None:
    result = await trace(network(router(1), router(2, refuses=reason)), family)
    assert result.stop_reason is StopReason.UNREACHABLE
    probe = result.hops[2].probes[0]
    assert (probe.icmp_type, probe.icmp_code) == reason.icmp(family)
    assert result.hops[2].forward_path_length == 2


@pytest.mark.parametrize(
    ("tcp", "kind"), [("open", ReplyKind.SYN_ACK), ("closed", ReplyKind.RST), ("silent", None)]
)
@FAMILIES
async def test_open_closed_and_filtered_ports(family: int, tcp: str, kind: ReplyKind | None) -> None:
    result = await trace(network(router(1), tcp=tcp), family, protocol="tcp", port=443, max_ttl=2)
    assert result.hops[1].probes[0].reply is kind
    assert result.reached == (kind is not None)


@FAMILIES
async def test_one_probe_tells_the_length_of_the_path(family: int) -> None:
    result = await trace(network(router(1), router(2)), family, protocol="udp", first_ttl=20, max_ttl=20)
    assert result.hops[0].forward_path_length == 3
    assert result.hops[0].probes[0].return_path_length == 3


async def test_the_flow_label_that_was_asked_for_is_sent() -> None:
    simulated = network(router(1))
    await trace(simulated, 6, flow_label=0xABCDE, protocol="udp")
    headers = [parse_ip(packet.datagram).header for packet in simulated.sent]
    assert {getattr(header, "flow_label", None) for header in headers} == {0xABCDE}


async def test_the_payload_pattern_that_was_asked_for_is_sent() -> None:
    simulated = network(router(1))
    await trace(simulated, payload_pattern=b"\xca\xfe", packet_size=100)
    assert all(b"\xca\xfe" * 20 in packet.datagram for packet in simulated.sent)
