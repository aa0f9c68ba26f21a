"""TCP probes, raw and as connections: ports told apart, sockets closed in time, windows kept."""

from __future__ import annotations

import errno
import resource
import socket
import struct
import sys
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING

import anyio
import attrs
import pytest

from traceprobe.config import FlowStrategy, Mode, Protocol
from traceprobe.errors import ConfigError, UsageError
from traceprobe.model import Probe, ReplyKind, TimestampSource, make_probe_id
from traceprobe.packets import TcpFlag, build_tcp, build_udp, parse_tcp

if sys.platform != "linux":
    pytest.skip("sockets of Linux", allow_module_level=True)

from tests.sockets.linux import (
    LOOPBACK,
    SILENT,
    both_versions,
    collect,
    descriptors,
    open_socket,
    probes_to,
    reply_of,
)
from tests.sockets.network import SOURCE4, SOURCE6, Wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.sockets.network import OwnNetwork
    from traceprobe.sockets import ProbeSocketFactory

pytestmark = [pytest.mark.tun, pytest.mark.usefixtures("network")]

HEADER = {4: 20, 6: 40}
HERE = {4: SOURCE4, 6: SOURCE6}
both_modes = pytest.mark.parametrize("mode", [Mode.LINUX_RAW, Mode.LINUX_TCP])


@contextmanager
def service(version: int) -> Iterator[int]:
    """An open port on the loopback address."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.bind((LOOPBACK[version], 0))
        listening.listen(64)
        yield listening.getsockname()[1]


def waiting(probes: Sequence[Probe], seconds: float) -> list[Probe]:
    return [attrs.evolve(probe, timeout=seconds) for probe in probes]


# --- what a port is --------------------------------------------------------------------------------------


@both_modes
@both_versions
async def test_an_open_port_is_told_from_a_closed_one(
    factory: ProbeSocketFactory, mode: Mode, version: int
) -> None:
    with service(version) as open_port:
        for port, kind in ((open_port, ReplyKind.SYN_ACK), (9, ReplyKind.RST)):
            opened = await open_socket(factory, mode, Protocol.TCP, version)
            probes = probes_to(LOOPBACK[version], 5, port=port)
            reports = await opened.send_probes(probes)
            replies = await collect(opened, 5)
            await opened.aclose()
            assert {reply.probe_id for reply in replies} == {probe.id for probe in probes}
            sent = {report.probe_id: report for report in reports}
            for reply in replies:
                assert reply.kind is kind
                assert reply.address == ip_address(LOOPBACK[version])
                assert (reply.icmp_type, reply.quoted_ttl, reply.changes) == (None, None, ())
                stamped = mode is Mode.LINUX_RAW or kind is ReplyKind.SYN_ACK
                wanted = TimestampSource.KERNEL_TX_RX if stamped else TimestampSource.USER
                assert reply.timestamp_source is wanted
                assert reply.rtt_ns > 0
                assert sent[reply.probe_id].sent_ns <= reply.received_ns


@both_modes
@both_versions
async def test_a_filtered_port_is_told_by_whoever_filters(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, version: int
) -> None:
    opened = await open_socket(factory, mode, Protocol.TCP, version)
    wire = Wire(network, version)
    probes = probes_to(SILENT[version], 2, port=443)
    await opened.send_probes(probes)
    prohibited = (3, 13) if version == 4 else (1, 1)
    wire.inject_error(wire.sent()[0], icmp_type=prohibited[0], code=prohibited[1])
    reply = reply_of(await collect(opened, 1))
    silent = opened.receive_nowait()
    await opened.aclose()
    assert (reply.kind, reply.icmp_type, reply.icmp_code) == (ReplyKind.UNREACHABLE, *prohibited)
    assert reply.probe_id == probes[0].id
    assert not silent, "the other one is answered by nobody"


@both_modes
@both_versions
async def test_answers_from_the_wire(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, version: int
) -> None:
    opened = await open_socket(factory, mode, Protocol.TCP, version)
    wire = Wire(network, version)
    probes = probes_to(SILENT[version], 3, port=443)
    await opened.send_probes(probes)
    sent = wire.parsed()
    kinds = (TcpFlag.SYN | TcpFlag.ACK, TcpFlag.RST | TcpFlag.ACK)
    for datagram, flags in zip(sent, kinds, strict=False):
        syn = parse_tcp(datagram.payload)
        assert (syn.destination_port, syn.flags) == (443, TcpFlag.SYN)
        answer = build_tcp(
            datagram.destination,
            datagram.source,
            443,
            syn.source_port,
            sequence=77,
            acknowledgement=syn.sequence + 1 & 0xFFFFFFFF,
            flags=flags,
            window=1000,
        )
        wire.inject(answer, protocol=6, sender=SILENT[version], to=HERE[version], ttl=55)
    replies = await collect(opened, 2)
    await opened.aclose()
    assert {(reply.probe_id, reply.kind) for reply in replies} == {
        (probes[0].id, ReplyKind.SYN_ACK),
        (probes[1].id, ReplyKind.RST),
    }
    if mode is Mode.LINUX_RAW:
        assert {reply.reply_ttl for reply in replies} == {55}
        # The kernel resets what it knows no connection of.
        (reset,) = [parse_tcp(datagram.payload) for datagram in wire.parsed()]
        assert reset.flags & TcpFlag.RST


async def test_segments_that_answer_nothing(factory: ProbeSocketFactory, network: OwnNetwork) -> None:
    opened = await open_socket(factory, Mode.LINUX_RAW, Protocol.TCP, 4)
    wire = Wire(network, 4)
    (probe,) = probes_to(SILENT[4], 1, port=443)
    await opened.send_probes([probe])
    (datagram,) = wire.parsed()
    syn = parse_tcp(datagram.payload)

    def segment(flags: int, *, ahead: int = 1, port: int = 443, sender: str = SILENT[4]) -> None:
        data = build_tcp(
            ip_address(sender),
            datagram.source,
            port,
            syn.source_port,
            sequence=1,
            acknowledgement=syn.sequence + ahead & 0xFFFFFFFF,
            flags=flags,
            window=1,
        )
        wire.inject(data, protocol=6, sender=sender, to=SOURCE4)

    syn_ack = TcpFlag.SYN | TcpFlag.ACK
    woken = False

    async def receive() -> None:
        nonlocal woken
        await opened.receive()
        woken = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive)
        await anyio.wait_all_tasks_blocked()
        segment(TcpFlag.ACK)  # a challenge (RFC 9293 section 3.10.7.4)
        segment(TcpFlag.SYN)
        segment(TcpFlag.PSH | TcpFlag.ACK)
        await anyio.wait_all_tasks_blocked()
        assert not woken
        assert not opened.discarded
        tasks.cancel_scope.cancel()
    segment(syn_ack, ahead=2)
    segment(syn_ack, port=444)
    segment(syn_ack, sender="192.0.2.10")
    assert not opened.receive_nowait()
    assert dict(opened.discarded) == {"unmatched": 1, "rewritten": 2}
    segment(syn_ack)
    assert reply_of(await collect(opened, 1)).probe_id == probe.id
    await opened.aclose()


async def test_other_tcp_traffic_wakes_nobody(factory: ProbeSocketFactory) -> None:
    opened = await open_socket(factory, Mode.LINUX_RAW, Protocol.TCP, 4)
    woken = False

    async def receive() -> None:
        nonlocal woken
        await opened.receive()
        woken = True

    with service(4) as port:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(receive)
            await anyio.wait_all_tasks_blocked()
            for _ in range(20):
                async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                    await stream.send(b"x" * 1000)
            await anyio.wait_all_tasks_blocked()
            assert not woken
            tasks.cancel_scope.cancel()
    assert not opened.discarded
    await opened.aclose()


async def test_a_refusal_acknowledges_the_data_of_a_large_probe(factory: ProbeSocketFactory) -> None:
    opened = await open_socket(factory, Mode.LINUX_RAW, Protocol.TCP, 4)
    with service(4) as port:
        for number, (size, target) in enumerate(((400, 9), (400, port), (401, 9), (40, 9), (44, port)), 1):
            probes = probes_to("127.0.0.1", 2, trace=number, size=size, port=target)
            await opened.send_probes(probes)
            replies = await collect(opened, 2)
            assert {reply.probe_id for reply in replies} == {probe.id for probe in probes}
            kind = ReplyKind.RST if target == 9 else ReplyKind.SYN_ACK
            assert {reply.kind for reply in replies} == {kind}
    await opened.aclose()
    assert not opened.discarded


# --- connections -----------------------------------------------------------------------------------------


@both_versions
async def test_each_connection_has_the_ttl_of_its_probe(
    factory: ProbeSocketFactory, network: OwnNetwork, version: int
) -> None:
    opened = await open_socket(factory, Mode.LINUX_TCP, Protocol.TCP, version)
    wire = Wire(network, version)
    (first, second) = probes_to(SILENT[version], 2)
    await opened.send_probes([attrs.evolve(first, ttl=250), attrs.evolve(second, ttl=3)])
    sent = wire.sent()
    await opened.aclose()
    assert [data[8 if version == 4 else 7] for data in sent] == [250, 3]
    assert len({data[HEADER[version] : HEADER[version] + 2] for data in sent}) == 2


async def test_dont_fragment_is_obeyed_by_connections(
    factory: ProbeSocketFactory, network: OwnNetwork
) -> None:
    for wanted in (True, False):
        opened = await open_socket(factory, Mode.LINUX_TCP, Protocol.TCP, 4, dont_fragment=wanted)
        wire = Wire(network, 4)
        await opened.send_probes(probes_to(SILENT[4], 1))
        (data,) = wire.sent()
        await opened.aclose()
        assert bool(data[6] & 0x40) is wanted


@both_versions
async def test_answered_and_released_connections_are_closed(
    factory: ProbeSocketFactory, network: OwnNetwork, version: int
) -> None:
    opened = await open_socket(factory, Mode.LINUX_TCP, Protocol.TCP, version)
    empty = descriptors()
    wire = Wire(network, version)
    probes = probes_to(SILENT[version], 4)
    await opened.send_probes(probes)
    assert descriptors() == empty + 4
    opened.release([probes[0].id])
    opened.release([probes[0].id])
    assert descriptors() == empty + 3
    sent = wire.sent()
    for quote in sent[:2]:
        wire.inject_error(quote)
    reply = reply_of(await collect(opened, 1))
    assert reply.probe_id == probes[1].id
    assert descriptors() == empty + 2
    await opened.aclose()
    assert descriptors() == empty - 1


async def test_a_connection_past_its_deadline_is_closed(
    factory: ProbeSocketFactory, network: OwnNetwork
) -> None:
    # The kernel would send its SYN again and again.
    opened = await open_socket(factory, Mode.LINUX_TCP, Protocol.TCP, 4)
    empty = descriptors()
    first, second = probes_to(SILENT[4], 2)
    await opened.send_probes([attrs.evolve(first, timeout=1e-6), attrs.evolve(second, timeout=60.0)])
    assert not opened.receive_nowait()
    assert descriptors() == empty + 1
    await opened.aclose()


async def test_an_error_that_says_nothing_ends_a_connection_quietly(
    factory: ProbeSocketFactory, network: OwnNetwork
) -> None:
    opened = await open_socket(factory, Mode.LINUX_TCP, Protocol.TCP, 6)
    empty = descriptors()
    wire = Wire(network, 6)
    await opened.send_probes(probes_to(SILENT[6], 1))
    wire.inject_error(wire.sent()[0], code=1)  # reassembly timed out; the kernel gives up all the same
    assert not opened.receive_nowait()
    assert dict(opened.discarded) == {"unexpected": 1}
    assert descriptors() == empty, "a dead connection would keep its descriptor ready for ever"
    await opened.aclose()


async def test_both_families_can_have_the_same_source_port(factory: ProbeSocketFactory) -> None:
    sockets = [
        await open_socket(factory, Mode.LINUX_RAW, Protocol.TCP, version, source_port=40321)
        for version in (6, 4)
    ]
    with pytest.raises(ConfigError, match="source_port=40321: must be a port that no other"):
        await open_socket(factory, Mode.LINUX_RAW, Protocol.TCP, 6, source_port=40321)
    for opened in sockets:
        await opened.aclose()


async def test_a_service_that_hangs_up_at_once_was_there(factory: ProbeSocketFactory) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)
        opened = await open_socket(factory, Mode.LINUX_TCP, Protocol.TCP, 4)
        for trace, rude in enumerate((False, True), 1):
            await opened.send_probes(probes_to("127.0.0.1", 1, trace=trace, port=listening.getsockname()[1]))
            taken, _ = listening.accept()
            if rude:
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
            taken.close()
            assert reply_of(await collect(opened, 1)).kind is ReplyKind.SYN_ACK
        await opened.aclose()


async def test_a_probe_that_is_sent_again_is_another_connection(
    factory: ProbeSocketFactory, network: OwnNetwork
) -> None:
    opened = await open_socket(factory, Mode.LINUX_TCP, Protocol.TCP, 4)
    empty = descriptors()
    wire = Wire(network, 4)
    probes = probes_to(SILENT[4], 1)
    await opened.send_probes(probes)
    await opened.send_probes(probes)
    assert descriptors() == empty + 1
    old, new = wire.sent()
    wire.inject_error(old)
    assert not opened.receive_nowait()
    wire.inject_error(new)
    assert reply_of(await collect(opened, 1)).probe_id == probes[0].id
    await opened.aclose()


async def test_the_window_is_what_the_descriptor_limit_leaves(
    factory: ProbeSocketFactory, network: OwnNetwork
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = descriptors()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 40, limits[1]))
        opened = await open_socket(factory, Mode.LINUX_TCP, Protocol.TCP, 4)
        room = opened.capabilities.max_in_flight
        assert opened.capabilities.descriptors == "per_probe"
        assert 15 <= room <= 24
        # Whoever goes on has given up the first ones.
        probes = probes_to(SILENT[4], 3 * room)
        reports = await opened.send_probes(probes)
        assert all(report.error is None for report in reports)
        assert descriptors() <= used + 40
        # Somebody else has taken what was left.
        hoard = [socket.socket() for _ in range(used + 38 - descriptors())]
        opened.release([probe.id for probe in probes])
        hoard += [socket.socket() for _ in range(used + 38 - descriptors())]
        late = await opened.send_probes(probes_to(SILENT[4], 5, trace=2))
        for taken in hoard:
            taken.close()
        codes = [report.error and report.error.errno for report in late]
        assert codes[-1] is not None
        await opened.aclose()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@both_versions
async def test_a_size_is_refused_before_anything_is_sent(
    factory: ProbeSocketFactory, network: OwnNetwork, version: int
) -> None:
    opened = await open_socket(factory, Mode.LINUX_TCP, Protocol.TCP, version)
    wire = Wire(network, version)
    good, bad = probes_to(SILENT[version], 2)
    with pytest.raises(ConfigError, match="packet_size=99: must be None for mode 'linux_tcp'"):
        await opened.send_probes([good, attrs.evolve(bad, size=99)])
    with pytest.raises(ConfigError, match="port=65536: must be from 1 to 65535"):
        await opened.send_probes([good, attrs.evolve(bad, port=65536)])
    with pytest.raises(ConfigError, match="ttl=0: must be from 1 to 255"):
        await opened.send_probes([good, attrs.evolve(bad, ttl=0)])
    with pytest.raises(UsageError, match="is no IPv"):
        await opened.send_probes([good, *probes_to(SILENT[10 - version], 1, trace=2)])
    assert not wire.sent()
    await opened.aclose()


async def test_routes_that_refuse_are_told(factory: ProbeSocketFactory) -> None:
    opened = await open_socket(factory, Mode.LINUX_TCP, Protocol.TCP, 4)
    destinations = {
        "127.0.0.1": None,
        "198.51.100.1": errno.EINVAL,
        "198.51.100.65": errno.EHOSTUNREACH,
        "198.51.100.129": errno.EACCES,
        "203.0.113.200": errno.ENETUNREACH,
    }
    probes = [
        Probe(make_probe_id(1, n), ip_address(destination), 9, 1)
        for n, destination in enumerate(destinations)
    ]
    reports = await opened.send_probes(probes)
    replies = await collect(opened, 1)
    await opened.aclose()
    assert [report.error and report.error.errno for report in reports] == list(destinations.values())
    assert replies[0].probe_id == probes[0].id


async def test_zones_and_sources_of_connections(factory: ProbeSocketFactory) -> None:
    opened = await open_socket(factory, Mode.LINUX_TCP, Protocol.TCP, 6, source="fe80::1%sink")
    (report,) = await opened.send_probes(probes_to("fe80::1%sink", 1))
    reply = reply_of(await collect(opened, 1))
    (nowhere,) = await opened.send_probes(probes_to("fe80::1%nowhere", 1, trace=2))
    await opened.aclose()
    assert (reply.kind, report.source) == (ReplyKind.RST, ip_address("fe80::1%sink"))
    assert nowhere.error is not None


# --- flows of unprivileged UDP ---------------------------------------------------------------------------


@both_versions
async def test_unprivileged_udp_holds_its_flow_where_routers_quote_enough(
    factory: ProbeSocketFactory, network: OwnNetwork, version: int
) -> None:
    opened = await open_socket(factory, Mode.LINUX_UDP, Protocol.UDP, version, flow=FlowStrategy.PARIS)
    assert opened.capabilities.flow is FlowStrategy.PARIS
    wire = Wire(network, version)
    probes = probes_to(SILENT[version], 30)
    await opened.send_probes(probes)
    sent = wire.sent()
    start = HEADER[version]
    assert len({data[start : start + 4] for data in sent}) == 1
    for number, quote in enumerate(reversed(sent)):
        wire.inject_error(quote[: start + 8 + (2, 9, 40)[number % 3]] + bytes(number))
    replies = await collect(opened, 30)
    await opened.aclose()
    assert [reply.probe_id for reply in replies] == [probe.id for probe in reversed(probes)]
    assert not opened.discarded


@both_versions
@pytest.mark.parametrize("padding", [0, 72])
async def test_a_nameless_quote_counts_where_one_probe_alone_is_meant(
    factory: ProbeSocketFactory, network: OwnNetwork, version: int, padding: int
) -> None:
    opened = await open_socket(factory, Mode.LINUX_UDP, Protocol.UDP, version, flow=FlowStrategy.PARIS)
    wire = Wire(network, version)
    probes = waiting(probes_to(SILENT[version], 3), 60.0)
    short = HEADER[version] + 8
    await opened.send_probes(probes[:2])
    first, second = wire.sent()
    wire.inject_error(first[:short] + bytes(padding))
    assert not opened.receive_nowait()
    assert dict(opened.discarded) == {"ambiguous": 1}
    wire.inject_error(first)
    wire.inject_error(second[:short] + bytes(padding))
    replies = await collect(opened, 2)
    assert [reply.probe_id for reply in replies] == [probes[0].id, probes[1].id]
    # One at a time, every hop is found; but not where its answer may be that of another hop, once more.
    await opened.send_probes(probes[2:])
    third = wire.sent()[0][:short] + bytes(padding)
    wire.inject_error(third)
    assert not opened.receive_nowait()
    assert dict(opened.discarded) == {"ambiguous": 2}
    wire.inject_error(third, sender="203.0.113.8" if version == 4 else "2001:db8:7::8")
    assert reply_of(await collect(opened, 1)).probe_id == probes[2].id
    wire.inject_error(first[:short])
    assert not opened.receive_nowait()
    await opened.aclose()
    assert dict(opened.discarded) == {"ambiguous": 2, "unmatched": 1}


async def test_answers_by_udp_within_a_flow(factory: ProbeSocketFactory, network: OwnNetwork) -> None:
    opened = await open_socket(factory, Mode.LINUX_UDP, Protocol.UDP, 4, flow=FlowStrategy.DUBLIN)
    wire = Wire(network, 4)
    probes = probes_to(SILENT[4], 2, flow=5)
    await opened.send_probes(probes)
    for datagram in wire.parsed():
        source, destination = datagram.payload[0:2], datagram.payload[2:4]
        assert int.from_bytes(destination, "big") == 33434 + 5
        echo = build_udp(
            datagram.destination,
            datagram.source,
            int.from_bytes(destination, "big"),
            int.from_bytes(source, "big"),
            datagram.payload[8:],
        )
        wire.inject(echo, protocol=17, sender=SILENT[4], to=SOURCE4)
    replies = await collect(opened, 2)
    await opened.aclose()
    assert [reply.probe_id for reply in replies] == [probe.id for probe in probes]
    assert {reply.kind for reply in replies} == {ReplyKind.UDP_DATA}


@both_versions
async def test_whoever_is_cancelled_while_sending_leaves_no_connections(
    factory: ProbeSocketFactory, version: int
) -> None:
    opened = await open_socket(factory, Mode.LINUX_TCP, Protocol.TCP, version)
    before = descriptors()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await opened.send_probes(probes_to(SILENT[version], 5, port=443))
    assert scope.cancelled_caught
    assert descriptors() == before
    await opened.aclose()
