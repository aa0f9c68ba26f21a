"""Every option is on the wire as it was asked for, or refused by name; none is ignored."""

from __future__ import annotations

import errno
import socket
import struct
import sys
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from traceprobe.config import AddressFamily, FlowStrategy, Mode, Protocol, TracerouteConfig
from traceprobe.errors import NoUsableSocketError, UnsupportedOption
from traceprobe.packets import IPv6Header, parse_tcp, parse_udp

if sys.platform != "linux":
    pytest.skip("sockets of Linux", allow_module_level=True)

from tests.sockets.linux import (
    ALL_MODES,
    MODES,
    SILENT,
    all_modes,
    both_versions,
    every_mode,
    open_socket,
    probes_to,
)
from tests.sockets.network import SILENT6, OwnNetwork, Wire
from traceprobe.sockets import ProbeSocketFactory, SocketKey
from traceprobe.sockets._catalogue import OPTIONS, facts_of
from traceprobe.sockets.codec import SOURCE_PORTS

if TYPE_CHECKING:
    from traceprobe.packets import IPDatagram

pytestmark = [pytest.mark.tun, pytest.mark.usefixtures("network")]

HEADER = {4: 20, 6: 40}


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """One event loop: what is on the wire does not depend on it."""
    return "asyncio", {"use_uvloop": False}


async def leave(
    factory: ProbeSocketFactory,
    network: OwnNetwork,
    mode: Mode,
    protocol: Protocol,
    version: int,
    *,
    count: int = 2,
    fields: dict[str, int] | None = None,
    **options: object,
) -> list[IPDatagram]:
    """What is on the wire of a few probes."""
    opened = await open_socket(factory, mode, protocol, version, **options)
    wire = Wire(network, version)
    reports = await opened.send_probes(probes_to(SILENT[version], count, **(fields or {})))
    datagrams = wire.parsed()
    await opened.aclose()
    assert [report.error for report in reports] == [None] * count
    assert len(datagrams) == count
    return datagrams


VALUES: dict[str, object] = {
    "source": "192.0.2.1",
    "interface": "sink",
    "mark": 7,
    "dscp": 46,
    "ecn": 2,
    "flow_label": 0x12345,
    "dont_fragment": True,
    "packet_size": 200,
    "payload_pattern": b"\xca\xfe",
    "port": 4711,
    "source_port": 23456,
}


def test_all_options_are_looked_at() -> None:
    assert set(VALUES) == set(OPTIONS)
    of_a_probe = {"packet_size", "port"}  # those stand in each probe, not in the socket
    assert set(OPTIONS) - of_a_probe <= set(SocketKey._fields)


@pytest.mark.parametrize("option", OPTIONS)
@all_modes
async def test_an_option_is_honoured_or_refused(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, protocol: Protocol, option: str
) -> None:
    version = 6 if option == "flow_label" else 4
    opening: dict[str, Any] = {option: VALUES[option]}
    if option not in facts_of(mode, protocol).options:
        if protocol is Protocol.ICMP:  # the configuration itself refuses ports for explicit ICMP
            config = TracerouteConfig(mode=mode).with_options(opening)  # type: ignore[arg-type]
            config = attrs.evolve(config, protocol=None)
            entries = [m for m, p in ALL_MODES if m is mode and p is not Protocol.ICMP]
            if entries:
                return  # such a mode then probes by UDP
        else:
            config = TracerouteConfig(mode=mode, protocol=protocol).with_options(opening)  # type: ignore[arg-type]
        with pytest.raises(UnsupportedOption) as caught:
            await factory.open(config, AddressFamily(version))
        assert (caught.value.option, caught.value.mode) == (option, mode.value)
        assert "linux_raw" in caught.value.remedy or "ICMP has no ports" in caught.value.remedy
        return
    fields = {"packet_size": "size", "port": "port"}
    of_probe: dict[str, Any] = {fields[option]: VALUES[option]} if option in fields else {}
    (datagram, _) = await leave(
        factory,
        network,
        mode,
        protocol,
        version,
        fields=of_probe,
        **opening,
    )
    payload = bytes(datagram.payload)
    header = datagram.header
    match option:
        case "source":
            assert datagram.source == ip_address("192.0.2.1")
        case "dscp":
            assert header.traffic_class == 46 << 2
        case "ecn":
            assert header.traffic_class == 2
        case "flow_label":
            assert isinstance(header, IPv6Header)
            # As with ports: in the classic way the label varies with them.
            assert header.flow_label in ({0x12345, 0x12346} if mode is Mode.LINUX_UDP else {0x12345})
        case "dont_fragment":
            assert not isinstance(header, IPv6Header)
            assert header.flags == 2
        case "packet_size":
            assert len(payload) == 180
        case "payload_pattern":
            if protocol is not Protocol.TCP:  # whose probes are all header
                assert payload.endswith(b"\xca\xfe\xca\xfe\xca\xfe"[-(len(payload) - 24) :])
        case "port":
            ports = parse_tcp(payload) if protocol is Protocol.TCP else parse_udp(payload)
            # In the classic way, chance gives one of the two probes the next port.
            assert ports.destination_port in ({4711, 4712} if mode is Mode.LINUX_UDP else {4711})
        case "source_port":
            ports = parse_tcp(payload) if protocol is Protocol.TCP else parse_udp(payload)
            assert ports.source_port == 23456


@every_mode
@both_versions
async def test_a_pattern_fills_what_identifies_nothing(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, protocol: Protocol, version: int
) -> None:
    pattern = b"\x01\x02\x03"
    for flow in (FlowStrategy.PARIS, FlowStrategy.CLASSIC):
        datagrams = await leave(
            factory,
            network,
            mode,
            protocol,
            version,
            fields={"size": 301},
            flow=flow,
            payload_pattern=pattern,
        )
        for datagram in datagrams:
            word = 2 if flow is FlowStrategy.PARIS or protocol is Protocol.UDP else 0
            front = 40 if protocol is Protocol.TCP else 8 + word + 12
            rest = bytes(datagram.payload[front:])
            assert rest == (pattern * 100)[: len(rest)]
            assert len(rest) == 301 - HEADER[version] - front


@all_modes
async def test_dscp_and_ecn_share_a_byte(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, protocol: Protocol
) -> None:
    if mode is Mode.LINUX_TCP:
        with pytest.raises(UnsupportedOption, match=r"ecn=1.*choose mode 'linux_raw'"):
            await open_socket(factory, mode, protocol, 4, dscp=10, ecn=1)
        return
    for version in (4, 6):
        for datagram in await leave(factory, network, mode, protocol, version, dscp=10, ecn=1):
            assert datagram.header.traffic_class == 10 << 2 | 1


# --- flow labels -----------------------------------------------------------------------------------------


async def labels(
    factory: ProbeSocketFactory,
    network: OwnNetwork,
    mode: Mode,
    protocol: Protocol,
    *,
    count: int = 5,
    fields: dict[str, int] | None = None,
    **options: object,
) -> list[int]:
    found = []
    for datagram in await leave(factory, network, mode, protocol, 6, count=count, fields=fields, **options):
        assert isinstance(datagram.header, IPv6Header)
        found.append(datagram.header.flow_label)
    return found


@every_mode
async def test_a_flow_label_stays_or_varies_with_the_flow(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, protocol: Protocol
) -> None:
    paris, classic, dublin = FlowStrategy.PARIS, FlowStrategy.CLASSIC, FlowStrategy.DUBLIN
    given: dict[str, Any] = {"flow_label": 0xFFFFF}
    assert set(await labels(factory, network, mode, protocol, flow=paris, **given)) == {0xFFFFF}
    assert set(await labels(factory, network, mode, protocol, flow=paris, flow_label=0)) == {0}
    assert len(set(await labels(factory, network, mode, protocol, flow=paris))) == 1
    assert len(set(await labels(factory, network, mode, protocol, flow=classic))) == 5
    found = []
    for flow in range(3):
        one = await labels(factory, network, mode, protocol, flow=dublin, fields={"flow": flow}, **given)
        assert len(set(one)) == 1
        found += one[:1]
    assert found == [0xFFFFF, 0, 1]


@all_modes
async def test_an_exclusive_lease_is_no_obstacle(
    factory: ProbeSocketFactory, mode: Mode, protocol: Protocol
) -> None:
    # A network of its own: a lease lives on for a while after its socket.
    with OwnNetwork() as network, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as somebody:
        # struct in6_flowlabel_req: IPV6_FL_A_GET, IPV6_FL_S_EXCL, IPV6_FL_F_CREATE
        packed = socket.inet_pton(socket.AF_INET6, SILENT6)
        request = struct.pack("=16sIBBHHHI", packed, socket.htonl(0x4321), 0, 1, 1, 100, 100, 0)
        somebody.setsockopt(socket.IPPROTO_IPV6, 32, request)
        assert len(await labels(factory, network, mode, protocol)) == 5
        if mode is Mode.LINUX_UDP:  # whose flow varies by itself
            with pytest.raises(NoUsableSocketError, match="labels can't be varied"):
                await open_socket(factory, mode, protocol, 6, flow_label=0x2345)
            return
        assert set(await labels(factory, network, mode, protocol, flow_label=0x2345)) == {0x2345}


# --- flows -----------------------------------------------------------------------------------------------


@every_mode
@both_versions
async def test_dublin_flows_are_told_apart_by_what_routers_hash(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, protocol: Protocol, version: int
) -> None:
    hashed = slice(2, 6) if protocol is Protocol.ICMP else slice(0, 4)
    flows = set()
    opened = await open_socket(factory, mode, protocol, version, flow=FlowStrategy.DUBLIN)
    wire = Wire(network, version)
    for flow in range(8):
        await opened.send_probes(probes_to(SILENT[version], 4, trace=9, flow=flow))
        one = {bytes(datagram.payload[hashed]) for datagram in wire.parsed()}
        assert len(one) == 1
        flows |= one
    await opened.aclose()
    assert len(flows) == 8


def test_tcp_without_privileges_holds_no_flow() -> None:
    for flow in (FlowStrategy.PARIS, FlowStrategy.DUBLIN):
        config = TracerouteConfig(mode=Mode.LINUX_TCP, flow=flow)
        with pytest.raises(UnsupportedOption, match="choose 'classic', or mode 'linux_raw', which holds it"):
            facts_of(Mode.LINUX_TCP, Protocol.TCP).choose_flow(config)


async def test_two_raw_tcp_sockets_share_no_source_port(
    factory: ProbeSocketFactory, network: OwnNetwork
) -> None:
    sockets = [await open_socket(factory, Mode.LINUX_RAW, Protocol.TCP, 4) for _ in range(8)]
    blocks = set()
    for number, opened in enumerate(sockets):
        wire = Wire(network, 4)
        await opened.send_probes(probes_to(SILENT[4], 1, trace=1 + number))
        blocks.add(parse_tcp(wire.parsed()[0].payload).source_port // SOURCE_PORTS)
    for opened in sockets:
        await opened.aclose()
    assert len(blocks) == 8


async def test_no_descriptor_is_left_when_opening_fails(factory: ProbeSocketFactory) -> None:
    from tests.sockets.linux import descriptors

    before = descriptors()
    for mode, protocol in MODES:
        with pytest.raises((NoUsableSocketError, ValueError)):
            await open_socket(factory, mode, protocol, 4, source="203.0.113.77")
    assert descriptors() == before
    assert errno.EADDRNOTAVAIL
