"""What leaves the machine is what the options ask for, and what the kernel refuses is told."""

from __future__ import annotations

import errno
import socket
import sys
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

import pytest

from traceprobe.config import FlowStrategy, Mode, Protocol
from traceprobe.errors import ConfigError
from traceprobe.model import Probe, ReplyKind, make_probe_id
from traceprobe.packets import ones_complement_sum, parse_udp, pseudo_header_sum

if sys.platform != "linux":
    pytest.skip("sockets of Linux", allow_module_level=True)

from tests.sockets.linux import (
    LOOPBACK,
    MODES,
    NO_ROUTE,
    SILENT,
    both_versions,
    collect,
    every_mode,
    open_socket,
    probes_to,
    reply_of,
)
from tests.sockets.network import LINK_LOCAL, SILENT4, SOURCE4, Wire

if TYPE_CHECKING:
    from tests.sockets.network import OwnNetwork
    from traceprobe.sockets import ProbeSocketFactory

pytestmark = [pytest.mark.tun, pytest.mark.usefixtures("network")]


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """One event loop: what is on the wire does not depend on it."""
    return "asyncio", {"use_uvloop": False}


# --- what leaves -----------------------------------------------------------------------------------------


@every_mode
@both_versions
async def test_each_probe_leaves_with_its_ttl_and_size(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, protocol: Protocol, version: int
) -> None:
    opened = await open_socket(factory, mode, protocol, version)
    minimum = 30 + (20 if version == 6 else 0)  # with a word that makes the checksum come out right
    if protocol is Protocol.TCP:
        minimum += 10
    sizes = [minimum, minimum + 1, 60 if version == 4 else 80, 577, 1499]
    address = ip_address(SILENT[version])
    probes = [
        Probe(make_probe_id(1, n), address, ttl=250 - n, attempt=1, size=size) for n, size in enumerate(sizes)
    ]
    wire = Wire(network, version)
    reports = await opened.send_probes(probes)
    await opened.send_probes(probes_to(SILENT[version], 1, trace=2))
    datagrams = wire.sent()
    await opened.aclose()
    assert [report.error for report in reports] == [None] * len(sizes)
    assert [len(data) for data in datagrams] == [*sizes, 60 if version == 4 else 80]
    ttl_at = 8 if version == 4 else 7
    assert [data[ttl_at] for data in datagrams] == [250, 249, 248, 247, 246, 1]


def flow_of(version: int, data: bytes) -> bytes:
    """What a router that balances load may hash."""
    header = 20 if version == 4 else 40
    if version == 4:
        return data[1:2] + data[9:10] + data[12:20] + data[header : header + 4]
    return data[:4] + data[6:7] + data[8:40] + data[header : header + 4]


@every_mode
@both_versions
@pytest.mark.parametrize("flow", [None, FlowStrategy.CLASSIC])
async def test_the_flow_is_what_was_asked_for(
    factory: ProbeSocketFactory,
    network: OwnNetwork,
    mode: Mode,
    protocol: Protocol,
    version: int,
    flow: FlowStrategy | None,
) -> None:
    opened = await open_socket(factory, mode, protocol, version, flow=flow)
    wire = Wire(network, version)
    await opened.send_probes(probes_to(SILENT[version], 40))
    await opened.send_probes(probes_to(SILENT[version], 40, trace=1)[20:])
    flows = {flow_of(version, data) for data in wire.sent()}
    await opened.aclose()
    if opened.capabilities.flow is FlowStrategy.PARIS:
        assert len(flows) == 1
    else:
        assert len(flows) >= 40


@every_mode
@both_versions
async def test_every_checksum_on_the_wire_is_right(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, protocol: Protocol, version: int
) -> None:
    for flow in (None, FlowStrategy.CLASSIC):
        opened = await open_socket(factory, mode, protocol, version, flow=flow)
        wire = Wire(network, version)
        await opened.send_probes(probes_to(SILENT[version], 20))
        await opened.send_probes(probes_to(SILENT[version], 20, trace=2, size=101))
        datagrams = wire.parsed()
        await opened.aclose()
        assert len(datagrams) == 40
        for datagram in datagrams:
            initial = 0
            if protocol is not Protocol.ICMP or version == 6:
                initial = pseudo_header_sum(
                    datagram.source, datagram.destination, datagram.protocol, len(datagram.payload)
                )
            assert ones_complement_sum(datagram.payload, initial) == 0xFFFF


@pytest.mark.parametrize(("mode", "protocol"), [(m, p) for m, p in MODES if p is Protocol.UDP])
@both_versions
async def test_ports_are_those_asked_for(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, protocol: Protocol, version: int
) -> None:
    opened = await open_socket(factory, mode, protocol, version, source_port=40123)
    wire = Wire(network, version)
    await opened.send_probes(probes_to(SILENT[version], 3, port=5353))
    datagrams = [parse_udp(datagram.payload) for datagram in wire.parsed()]
    try:
        with pytest.raises(ConfigError, match="source_port=40123: must be a port that no other"):
            await open_socket(factory, mode, protocol, version, source_port=40123)
    finally:
        await opened.aclose()
    assert {datagram.source_port for datagram in datagrams} == {40123}
    wanted = [5353] * 3 if mode is Mode.LINUX_RAW else [5353, 5354, 5355]
    assert sorted(datagram.destination_port for datagram in datagrams) == wanted


@every_mode
@both_versions
async def test_dscp_reaches_the_header(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, protocol: Protocol, version: int
) -> None:
    opened = await open_socket(factory, mode, protocol, version, dscp=46)
    wire = Wire(network, version)
    await opened.send_probes(probes_to(SILENT[version], 2))
    classes = [datagram.header.traffic_class for datagram in wire.parsed()]
    await opened.aclose()
    assert classes == [46 << 2] * 2


@every_mode
@both_versions
async def test_dont_fragment_is_obeyed(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, protocol: Protocol, version: int
) -> None:
    outcomes = {}
    for wanted in (True, False):
        opened = await open_socket(factory, mode, protocol, version, dont_fragment=wanted)
        wire = Wire(network, version)
        too_big = probes_to(SILENT[version], 3)
        too_big[1] = probes_to(SILENT[version], 1, trace=2, size=1600)[0]
        reports = await opened.send_probes(too_big)
        outcomes[wanted] = (
            [None if report.error is None else report.error.errno for report in reports],
            [data[6] >> 5 for data in wire.sent()],
        )
        await opened.aclose()
    errors, flags = outcomes[True]
    assert errors == [None, errno.EMSGSIZE, None]
    if version == 4:
        assert flags == [2, 2]
    errors, flags = outcomes[False]
    assert errors == [None, None, None]
    assert len(flags) == 4, "the large one in two fragments"
    if version == 4:
        assert sorted(flags) == [0, 0, 0, 1]


@every_mode
@both_versions
async def test_source_interface_and_mark_are_the_sockets_state(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, protocol: Protocol, version: int
) -> None:
    second = "192.0.2.77" if version == 4 else "2001:db8::77"
    if version == 4:
        network.ip(f"address replace {second}/24 dev sink")
    else:
        network.ip(f"address replace {second}/64 dev sink nodad")
    opened = await open_socket(factory, mode, protocol, version, source=second, interface="sink", mark=1234)
    wire = Wire(network, version)
    (report,) = await opened.send_probes(probes_to(SILENT[version], 1))
    (datagram,) = wire.parsed()
    await opened.aclose()
    assert report.source == datagram.source == ip_address(second)


async def test_a_mark_decides_the_route(factory: ProbeSocketFactory, network: OwnNetwork) -> None:
    network.ip("rule add fwmark 99 lookup 99", "route replace blackhole default table 99")
    try:
        for mode, protocol in MODES:
            for mark, error in ((98, None), (99, errno.EINVAL)):
                opened = await open_socket(factory, mode, protocol, 4, mark=mark)
                (report,) = await opened.send_probes(probes_to(SILENT4, 1))
                await opened.aclose()
                assert (report.error and report.error.errno) == error
    finally:
        network.ip("rule del fwmark 99 lookup 99")


@every_mode
async def test_zones_of_link_local_addresses(
    factory: ProbeSocketFactory, mode: Mode, protocol: Protocol
) -> None:
    opened = await open_socket(factory, mode, protocol, 6)
    index = socket.if_nametoindex("sink")
    for trace, zone in enumerate(("sink", str(index)), 1):
        (report,) = await opened.send_probes(probes_to(f"{LINK_LOCAL}%{zone}", 1, trace=trace))
        assert report.error is None
        assert report.source == IPv6Address(f"{LINK_LOCAL}%{zone}")
        reply = reply_of(await collect(opened, 1))
        assert reply.address == IPv6Address(f"{LINK_LOCAL}%sink")
        assert reply.kind in {ReplyKind.ECHO_REPLY, ReplyKind.PORT_UNREACHABLE, ReplyKind.RST}
    (report,) = await opened.send_probes(probes_to(f"{LINK_LOCAL}%nowhere", 1, trace=3))
    await opened.aclose()
    assert report.error is not None
    assert "no interface for fe80::1%nowhere" in str(report.error)


@every_mode
async def test_the_source_can_be_link_local(
    factory: ProbeSocketFactory, mode: Mode, protocol: Protocol
) -> None:
    opened = await open_socket(factory, mode, protocol, 6, source=f"{LINK_LOCAL}%sink")
    (report,) = await opened.send_probes(probes_to(f"{LINK_LOCAL}%sink", 1))
    reply = reply_of(await collect(opened, 1))
    await opened.aclose()
    assert report.error is None
    assert reply.address == report.source == IPv6Address(f"{LINK_LOCAL}%sink")


# --- what the kernel refuses -----------------------------------------------------------------------------


@every_mode
@pytest.mark.parametrize(
    ("destination", "code"),
    [
        ("198.51.100.1", errno.EINVAL),
        ("198.51.100.65", errno.EHOSTUNREACH),
        ("198.51.100.129", errno.EACCES),
        ("203.0.113.200", errno.ENETUNREACH),
    ],
    ids=["blackhole", "unreachable", "prohibit", "no route"],
)
async def test_a_route_that_refuses_is_told_for_each_probe(
    factory: ProbeSocketFactory, mode: Mode, protocol: Protocol, destination: str, code: int
) -> None:
    opened = await open_socket(factory, mode, protocol, 4)
    good, bad = probes_to("127.0.0.1", 4), probes_to(destination, 2, trace=2)
    reports = await opened.send_probes([*good[:2], *bad, *good[2:]])
    replies = await collect(opened, 4)
    await opened.aclose()
    errors = [None if report.error is None else report.error.errno for report in reports]
    assert errors == [None, None, code, code, None, None]
    assert {reply.probe_id for reply in replies} == {probe.id for probe in good}


@every_mode
@both_versions
async def test_a_firewall_that_refuses_is_told_for_each_probe(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, protocol: Protocol, version: int
) -> None:
    network.nft(
        "add table inet refuse\n"
        "add chain inet refuse output { type filter hook output priority 0; }\n"
        "add rule inet refuse output ip ttl 5 drop\n"
        "add rule inet refuse output ip6 hoplimit 5 drop\n"
    )
    try:
        opened = await open_socket(factory, mode, protocol, version)
        reports = await opened.send_probes(probes_to(LOOPBACK[version], 10))
        replies = await collect(opened, 9)
        await opened.aclose()
    finally:
        network.nft("delete table inet refuse\n")
    errors = [None if report.error is None else report.error.errno for report in reports]
    # The kernel does not pass on what became of a datagram of an ICMPv6 ping socket (ping_v6_sendmsg).
    told = None if (mode, version) == (Mode.LINUX_PING, 6) else errno.EPERM
    assert errors == [None] * 4 + [told] + [None] * 5
    assert len({reply.probe_id for reply in replies}) == 9


@every_mode
async def test_an_impossible_ttl_is_told(factory: ProbeSocketFactory, mode: Mode, protocol: Protocol) -> None:
    opened = await open_socket(factory, mode, protocol, 4)
    probes = [Probe(make_probe_id(1, n), IPv4Address("127.0.0.1"), ttl, 1) for n, ttl in enumerate((1, 0))]
    reports = await opened.send_probes(probes)
    await opened.aclose()
    assert [report.error and report.error.errno for report in reports] == [None, errno.EINVAL]


@every_mode
@both_versions
async def test_a_probe_that_was_refused_can_be_sent_again(
    factory: ProbeSocketFactory, mode: Mode, protocol: Protocol, version: int
) -> None:
    opened = await open_socket(factory, mode, protocol, version, source_port=None)
    bad = probes_to(NO_ROUTE[version], 3)
    for _ in range(3):
        reports = await opened.send_probes(bad)
        assert all(report.error is not None for report in reports)
    good = probes_to(LOOPBACK[version], 3)
    await opened.send_probes(good)
    replies = await collect(opened, 3)
    await opened.aclose()
    assert {reply.probe_id for reply in replies} == {probe.id for probe in good}


@every_mode
async def test_an_interface_that_goes_away_is_told_for_each_probe(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, protocol: Protocol
) -> None:
    network.ip("tuntap add brief mode tun", "link set brief up", "address add 192.0.3.1/24 dev brief")
    opened = await open_socket(factory, mode, protocol, 4, interface="brief")
    network.ip("tuntap del brief mode tun")
    reports = await opened.send_probes(probes_to("192.0.3.9", 2))
    more = opened.receive_nowait()
    await opened.aclose()
    assert all(report.error is not None for report in reports)
    assert not more


@every_mode
async def test_a_route_that_comes_later_is_found(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, protocol: Protocol
) -> None:
    opened = await open_socket(factory, mode, protocol, 4)
    probes = probes_to("203.0.113.200", 2)
    (before,) = await opened.send_probes(probes[:1])
    network.ip("route add 203.0.113.200 dev sink")
    (after,) = await opened.send_probes(probes[1:])
    network.ip("route del 203.0.113.200 dev sink")
    await opened.aclose()
    assert before.error is not None
    assert (after.error, after.source) == (None, IPv4Address(SOURCE4))


async def test_a_config_error_sends_nothing(factory: ProbeSocketFactory, network: OwnNetwork) -> None:
    for mode, protocol in MODES:
        opened = await open_socket(factory, mode, protocol, 4)
        wire = Wire(network, 4)
        with pytest.raises(ConfigError, match="packet_size=20"):
            await opened.send_probes([*probes_to(SILENT4, 3), *probes_to(SILENT4, 1, trace=2, size=20)])
        assert not wire.sent()
        await opened.aclose()
