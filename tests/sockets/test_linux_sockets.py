"""The three ways of probing on a real kernel keep the contract: replies, receiving, closing."""

from __future__ import annotations

import socket
import sys
from ipaddress import ip_address
from typing import TYPE_CHECKING

import anyio
import pytest

from traceprobe.config import FlowStrategy, Mode, Protocol
from traceprobe.errors import BusyError, ClosedError
from traceprobe.model import ChangedField, Reply, ReplyKind, TimestampSource
from traceprobe.testing import check_probe_socket

if sys.platform != "linux":
    pytest.skip("sockets of Linux", allow_module_level=True)

from tests.sockets.linux import (
    ECHO_REPLY,
    LOOPBACK,
    MODES,
    NO_ROUTE,
    PORT_UNREACHABLE,
    SILENT,
    all_modes,
    both_versions,
    collect,
    descriptors,
    every_mode,
    open_socket,
    probes_to,
)
from tests.sockets.network import SOURCE4, SOURCE6

if TYPE_CHECKING:
    from traceprobe.sockets import ProbeSocketFactory

pytestmark = [pytest.mark.tun, pytest.mark.usefixtures("network")]


# --- the contract ----------------------------------------------------------------------------------------


@all_modes
@both_versions
async def test_it_keeps_the_contract(
    factory: ProbeSocketFactory, mode: Mode, protocol: Protocol, version: int
) -> None:
    await check_probe_socket(
        lambda: open_socket(factory, mode, protocol, version),
        LOOPBACK[version],
        unroutable=NO_ROUTE[version],
    )


@pytest.mark.parametrize("flow", [FlowStrategy.PARIS, FlowStrategy.CLASSIC, FlowStrategy.DUBLIN])
@every_mode
async def test_it_keeps_the_contract_with_every_flow(
    factory: ProbeSocketFactory, mode: Mode, protocol: Protocol, flow: FlowStrategy
) -> None:
    await check_probe_socket(lambda: open_socket(factory, mode, protocol, 4, flow=flow), LOOPBACK[4])


@every_mode
@both_versions
async def test_replies_tell_what_happened(
    factory: ProbeSocketFactory, mode: Mode, protocol: Protocol, version: int
) -> None:
    opened = await open_socket(factory, mode, protocol, version)
    here = ip_address(LOOPBACK[version])
    probes = probes_to(LOOPBACK[version], 30)
    reports = await opened.send_probes(probes)
    replies = await collect(opened, 30)
    await opened.aclose()
    assert [report.probe_id for report in reports] == [probe.id for probe in probes]
    assert {report.source for report in reports} == {here}
    assert {reply.probe_id for reply in replies} == {probe.id for probe in probes}
    sent = {report.probe_id: report for report in reports}
    ttls = {probe.id: probe.ttl for probe in probes}
    for reply in replies:
        assert reply.address == here
        if protocol is Protocol.ICMP:
            assert reply.kind is ReplyKind.ECHO_REPLY
            assert (reply.icmp_type, reply.icmp_code) == ECHO_REPLY[version]
            assert reply.quoted_ttl is None
        elif protocol is Protocol.TCP:
            assert reply.kind is ReplyKind.RST
            assert (reply.icmp_type, reply.icmp_code, reply.quoted_ttl) == (None, None, None)
        else:
            assert reply.kind is ReplyKind.PORT_UNREACHABLE
            assert (reply.icmp_type, reply.icmp_code) == PORT_UNREACHABLE[version]
            quoted = ttls[reply.probe_id] if opened.capabilities.sees_quoted_ttl else None
            assert reply.quoted_ttl == quoted
        assert reply.reply_ttl == 64
        assert reply.timestamp_source is TimestampSource.KERNEL_TX_RX
        report = sent[reply.probe_id]
        assert reply.sent_at_ns is not None
        assert report.sent_at_ns <= reply.sent_at_ns
        assert report.sent_ns <= reply.received_ns
        assert 0 < reply.rtt_ns < reply.received_ns - report.sent_ns + 1_000_000
    assert not opened.discarded


@every_mode
@both_versions
async def test_capabilities_are_true(
    factory: ProbeSocketFactory, mode: Mode, protocol: Protocol, version: int
) -> None:
    opened = await open_socket(factory, mode, protocol, version)
    has = opened.capabilities
    await opened.aclose()
    assert (has.family, has.protocol, has.mode) == (version, protocol, mode.value)
    assert has.descriptors == "shared"
    assert has.timestamps is TimestampSource.KERNEL_TX_RX
    assert has.flow is (FlowStrategy.CLASSIC if mode is Mode.LINUX_UDP else FlowStrategy.PARIS)
    assert has.sees_quoted_ttl is (mode is Mode.LINUX_RAW)
    assert has.default_port == {Protocol.ICMP: None, Protocol.UDP: 33434, Protocol.TCP: 80}[protocol]
    assert has.sees_extensions
    assert (ChangedField.DSCP in has.sees_changes) is (mode is Mode.LINUX_RAW)
    assert (ChangedField.IDENTIFICATION in has.sees_changes) is (mode is Mode.LINUX_RAW and version == 4)
    assert (ChangedField.FLOW_LABEL in has.sees_changes) is (mode is Mode.LINUX_RAW and version == 6)


@every_mode
@both_versions
async def test_the_receive_buffer_bounds_what_is_in_flight(
    factory: ProbeSocketFactory, mode: Mode, protocol: Protocol, version: int
) -> None:
    bounds = []
    for size in (2048, 64 * 1024, 1024 * 1024):
        opened = await open_socket(factory, mode, protocol, version, receive_buffer=size)
        bounds.append(opened.capabilities.max_in_flight)
        await opened.aclose()
    assert 1 <= bounds[0] < 4
    assert 15 <= bounds[1] <= 31
    assert 240 <= bounds[2] <= 500


@every_mode
@both_versions
async def test_an_error_that_is_pending_keeps_no_probe_back(
    factory: ProbeSocketFactory, mode: Mode, protocol: Protocol, version: int
) -> None:
    # Over loopback every answer comes while the batch is still being sent.
    opened = await open_socket(factory, mode, protocol, version)
    probes = probes_to(LOOPBACK[version], 300)
    reports = await opened.send_probes(probes)
    assert [report.error for report in reports] == [None] * 300
    replies = await collect(opened, 300)
    more = opened.receive_nowait()
    await opened.aclose()
    assert sorted(reply.probe_id for reply in replies) == [probe.id for probe in probes]
    assert not more


# --- closing and receiving -------------------------------------------------------------------------------


@all_modes
@both_versions
async def test_a_cancelled_batch_leaves_nothing(
    factory: ProbeSocketFactory, mode: Mode, protocol: Protocol, version: int
) -> None:
    before = descriptors()
    opened = await open_socket(factory, mode, protocol, version)
    probes = probes_to(LOOPBACK[version], 5)
    replies: list[Reply] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        await opened.receive()
    assert scope.cancelled_caught
    await opened.send_probes(probes)
    with anyio.CancelScope() as scope:
        scope.cancel()
        # Some loops hand out what is there before they cancel.
        replies += await opened.receive()
    replies += await collect(opened, 5 - len(replies))
    assert sorted(reply.probe_id for reply in replies) == [probe.id for probe in probes]
    await opened.aclose()
    await opened.aclose()
    opened.release([probes[0].id])
    assert descriptors() == before


@all_modes
async def test_closing_wakes_the_receiver(
    factory: ProbeSocketFactory, mode: Mode, protocol: Protocol
) -> None:
    opened = await open_socket(factory, mode, protocol, 4)
    outcomes: list[str] = []

    async def receive(name: str) -> None:
        try:
            await opened.receive()
        except (BusyError, ClosedError) as error:
            outcomes.append(f"{name}: {type(error).__name__}")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive, "first")
        await anyio.wait_all_tasks_blocked()
        await receive("second")
        await opened.aclose()
    assert outcomes == ["second: BusyError", "first: ClosedError"]
    with pytest.raises(ClosedError):
        await opened.send_probes(probes_to("127.0.0.1", 1))
    with pytest.raises(ClosedError):
        opened.receive_nowait()


@all_modes
async def test_what_the_sender_takes_in_wakes_the_receiver(
    factory: ProbeSocketFactory, mode: Mode, protocol: Protocol
) -> None:
    # The error queue is read right after sending; what it held must not wait for the next packet.
    opened = await open_socket(factory, mode, protocol, 4)
    got: list[Reply] = []

    async def receive() -> None:
        while len(got) < 5:
            got.extend(await opened.receive())

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(receive)
            await anyio.wait_all_tasks_blocked()
            await opened.send_probes(probes_to("127.0.0.1", 5))
    await opened.aclose()
    assert len({reply.probe_id for reply in got}) == 5


async def test_sockets_do_not_see_each_others_replies(factory: ProbeSocketFactory) -> None:
    opened = {}
    for number in range(2):
        for mode, protocol in MODES:
            opened[mode, protocol, number] = await open_socket(factory, mode, protocol, 4)
    for trace, one in enumerate(opened.values(), 1):
        await one.send_probes(probes_to("127.0.0.1", 3, trace=trace))
    for trace, one in enumerate(opened.values(), 1):
        replies = await collect(one, 3)
        assert {reply.probe_id >> 20 for reply in replies} == {trace}
        assert not one.receive_nowait()
        assert not one.discarded
        await one.aclose()


@pytest.mark.parametrize(
    ("mode", "flow"),
    [
        (Mode.LINUX_RAW, FlowStrategy.PARIS),
        (Mode.LINUX_RAW, FlowStrategy.CLASSIC),
        (Mode.LINUX_UDP, FlowStrategy.CLASSIC),
    ],
)
@both_versions
async def test_udp_answers_are_told_from_errors(
    factory: ProbeSocketFactory, mode: Mode, flow: FlowStrategy, version: int
) -> None:
    opened = await open_socket(factory, mode, Protocol.UDP, version, flow=flow)
    with socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as service:
        service.bind((LOOPBACK[version], 0))
        port = service.getsockname()[1]
        probes = probes_to(LOOPBACK[version], 1 if flow is FlowStrategy.CLASSIC else 4, port=port)
        await opened.send_probes(probes)
        requests = [service.recvfrom(2048) for _ in probes]
        for payload, sender in requests:
            service.sendto(payload, sender)
        replies = await collect(opened, len(probes))
        service.sendto(b"something else", requests[0][1])
        more: list[Reply] = []
        if flow is FlowStrategy.CLASSIC:
            more = await collect(opened, 1)
        else:
            while not opened.discarded:
                more += opened.receive_nowait()
    await opened.aclose()
    assert {reply.probe_id for reply in replies} == {probe.id for probe in probes}
    for reply in (*replies, *more):
        assert reply.kind is ReplyKind.UDP_DATA
        assert reply.address == ip_address(LOOPBACK[version])
        assert (reply.icmp_type, reply.icmp_code, reply.reply_ttl) == (None, None, 64)
    assert dict(opened.discarded) == ({} if flow is FlowStrategy.CLASSIC else {"ambiguous": 1})


@both_versions
async def test_the_routing_table_is_asked_for_the_source(factory: ProbeSocketFactory, version: int) -> None:
    opened = await open_socket(factory, Mode.LINUX_RAW, Protocol.UDP, version)
    reports = await opened.send_probes([
        *probes_to(LOOPBACK[version], 2),
        *probes_to(SILENT[version], 2, trace=2),
    ])
    await opened.aclose()
    here, there = ip_address(LOOPBACK[version]), ip_address(SOURCE4 if version == 4 else SOURCE6)
    assert [report.source for report in reports] == [here, here, there, there]
