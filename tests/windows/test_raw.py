"""UDP and TCP traces with raw sockets, as an administrator: every hop is right on every event loop."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import anyio
import pytest

import traceprobe
from tests.rigs.require import require
from traceprobe import ProbeStatus, Protocol, ReplyKind, StopReason

if TYPE_CHECKING:
    from tests.windows.conftest import Lab
    from traceprobe import TraceOptions, TraceResult
    from traceprobe.sockets.windows._reactor import ReactorHolder

RAW: TraceOptions = {"mode": "windows_raw", "probe_timeout": 1.0, "tail_floor": 1.0, "max_ttl": 14}
ICMP: TraceOptions = {**RAW, "mode": "windows_icmp"}
UDP: TraceOptions = {**RAW, "protocol": "udp"}
TCP: TraceOptions = {**RAW, "protocol": "tcp"}
CLOSED: TraceOptions = {**TCP, "port": 81}
BOTH = pytest.mark.parametrize("options", [UDP, TCP], ids=["udp", "tcp"])


@pytest.fixture(scope="module", autouse=True)
def administrator() -> None:
    """Raw sockets are for administrators."""
    reason = None
    if sys.platform == "win32":
        import ctypes

        if not ctypes.windll.shell32.IsUserAnAdmin():
            reason = "this process has no rights of an administrator"
    require("administrator", reason)


def check(result: TraceResult, lab: Lab, last: ReplyKind) -> None:
    """Every hop is right, and the target has answered in its way."""
    assert [str(hop.address) for hop in result.hops] == list(lab.target.hops)
    assert (result.reached, result.mode) == (True, "windows_raw")
    assert result.stop_reason is StopReason.DESTINATION_REACHED
    for hop in result.hops:
        kind = last if hop.ttl == len(lab.target.hops) else ReplyKind.TIME_EXCEEDED
        for probe in hop.probes:
            assert (probe.status, probe.reply) == (ProbeStatus.REPLY, kind)
            assert probe.rtt_ns is not None
            assert probe.rtt_ns > 0


async def test_every_hop_is_right_by_udp(lab: Lab) -> None:
    result = await traceprobe.trace_async(lab.target.address, **UDP)
    check(result, lab, ReplyKind.PORT_UNREACHABLE)
    assert (result.protocol, result.port) == (Protocol.UDP, 33434)
    for hop in result.hops:
        assert {probe.icmp_type for probe in hop.probes} == {3 if hop is result.hops[-1] else 11}


async def test_every_hop_is_right_by_tcp_to_a_closed_port(lab: Lab) -> None:
    result = await traceprobe.trace_async(lab.target.address, **CLOSED)
    check(result, lab, ReplyKind.RST)
    assert (result.protocol, result.port) == (Protocol.TCP, 81)


async def test_every_hop_is_right_by_tcp_to_an_open_port(lab: Lab) -> None:
    options: TraceOptions = {**TCP, "port": lab.open_port}
    result = await traceprobe.trace_async(lab.target.address, **options)
    check(result, lab, ReplyKind.SYN_ACK)


def test_every_hop_is_right_without_an_event_loop(lab: Lab) -> None:
    check(traceprobe.trace(lab.target.address, **UDP), lab, ReplyKind.PORT_UNREACHABLE)
    check(traceprobe.trace(lab.target.address, **CLOSED), lab, ReplyKind.RST)


@BOTH
async def test_hops_come_one_by_one(lab: Lab, options: TraceOptions) -> None:
    async with traceprobe.open_trace(lab.target.address, **options) as trace:
        assert [str(hop.address) async for hop in trace.in_order()] == list(lab.target.hops)


@BOTH
async def test_a_silent_target_ends_by_time_out(lab: Lab, options: TraceOptions) -> None:
    quick: TraceOptions = {**options, "max_ttl": 7, "queries": 1, "probe_timeout": 0.4, "tail_floor": 0.4}
    result = await traceprobe.trace_async(lab.silent, **quick)
    answered = lab.silent_after
    assert [str(hop.address) for hop in result.hops[:answered]] == list(lab.target.hops[:answered])
    assert {probe.status for hop in result.hops[answered:] for probe in hop.probes} == {ProbeStatus.TIMEOUT}
    assert (result.reached, result.stop_reason) == (False, StopReason.MAX_TTL)


@BOTH
async def test_an_unreachable_host_ends_the_trace(lab: Lab, options: TraceOptions) -> None:
    result = await traceprobe.trace_async(lab.unreachable, **options)
    assert [str(hop.address) for hop in result.hops] == list(lab.target.hops[: lab.unreachable_at])
    assert (result.reached, result.stop_reason) == (False, StopReason.UNREACHABLE)
    for probe in result.hops[-1].probes:
        assert probe.reply is ReplyKind.UNREACHABLE
        assert (probe.icmp_type, probe.icmp_code) == (3, 1)


async def test_protocols_trace_side_by_side(lab: Lab, reactor: ReactorHolder) -> None:
    results: dict[str, TraceResult] = {}

    async def trace(name: str, options: TraceOptions) -> None:
        results[name] = await traceprobe.trace_async(lab.target.address, **options)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(trace, "icmp", ICMP)
        tasks.start_soon(trace, "udp", UDP)
        tasks.start_soon(trace, "tcp", TCP)
    for result in results.values():
        assert [str(hop.address) for hop in result.hops] == list(lab.target.hops)
    assert set(results) == {"icmp", "udp", "tcp"}
    await anyio.to_thread.run_sync(reactor.join)
    assert (reactor.counters.pending, reactor.counters.buffers) == (0, 0)


@BOTH
async def test_leaving_early_gives_everything_back(
    lab: Lab, options: TraceOptions, reactor: ReactorHolder
) -> None:
    for _ in range(5):
        async with traceprobe.open_trace(lab.silent, **options) as trace:
            async for hop in trace:
                assert hop.address is not None
                break
    await anyio.to_thread.run_sync(reactor.join)
    assert (reactor.counters.pending, reactor.counters.buffers) == (0, 0)
