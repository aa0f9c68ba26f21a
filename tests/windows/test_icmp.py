"""ICMP traces without privileges: every hop is right on every event loop, and silence ends."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import anyio
import pytest

import traceprobe
from traceprobe import ProbeStatus, ReplyKind, StopReason, TimestampSource

if TYPE_CHECKING:
    from tests.windows.conftest import Lab, Target
    from traceprobe import TraceOptions, TraceResult
    from traceprobe.sockets.windows._reactor import ReactorHolder

MODE = "windows_icmp"
QUICK: TraceOptions = {"mode": MODE, "queries": 2, "probe_timeout": 0.4, "tail_floor": 0.4}


def addresses(result: TraceResult) -> list[str | None]:
    return [None if hop.address is None else str(hop.address) for hop in result.hops]


def check(result: TraceResult, target: Target) -> None:
    """Every hop is right, and so is all that is said of it."""
    assert addresses(result) == list(target.hops)
    assert result.reached
    assert result.stop_reason is StopReason.DESTINATION_REACHED
    assert (result.mode, result.protocol) == ("windows_icmp", traceprobe.Protocol.ICMP)
    for hop in result.hops:
        last = hop.ttl == len(target.hops)
        for probe in hop.probes:
            assert probe.status is ProbeStatus.REPLY
            assert probe.reply is (ReplyKind.ECHO_REPLY if last else ReplyKind.TIME_EXCEEDED)
            assert probe.timestamp_source is TimestampSource.QPC
            assert probe.rtt_ns is not None
            assert probe.rtt_ns > 0


async def test_every_hop_is_right(target: Target) -> None:
    check(await traceprobe.trace_async(target.address, mode=MODE), target)


async def test_it_is_the_first_choice(target: Target) -> None:
    check(await traceprobe.trace_async(target.address, queries=1), target)


def test_every_hop_is_right_without_an_event_loop(target: Target) -> None:
    check(traceprobe.trace(target.address, mode=MODE), target)


async def test_a_blocking_trace_works_inside_a_running_loop(target: Target) -> None:
    check(traceprobe.trace(target.address, mode=MODE), target)


async def test_hops_come_one_by_one(target: Target) -> None:
    async with traceprobe.open_trace(target.address, mode=MODE) as trace:
        streamed = [hop async for hop in trace]
        result = await trace.wait()
    check(result, target)
    assert sorted(hop.ttl for hop in streamed) == list(range(1, len(target.hops) + 1))
    async with traceprobe.open_trace(target.address, mode=MODE) as trace:
        assert [str(hop.address) async for hop in trace.in_order()] == list(target.hops)


async def test_ninety_probes_are_sent_at_once(target: Target) -> None:
    result = await traceprobe.trace_async(target.address, max_ttl=30, queries=3, mode=MODE)
    check(result, target)
    assert result.timings.probes_sent == 90


async def test_many_traces_share_a_socket(target: Target) -> None:
    results: list[TraceResult] = []
    async with traceprobe.Tracer(max_ttl=15, queries=2, mode=MODE) as tracer:

        async def trace() -> None:
            results.append(await tracer.trace(target.address))

        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(trace)
    assert len(results) == 6
    for result in results:
        check(result, target)


@pytest.mark.parametrize("size", [28, 60, 1500])
async def test_probes_have_the_size_asked_for(target: Target, size: int) -> None:
    check(await traceprobe.trace_async(target.address, packet_size=size, queries=1, mode=MODE), target)


async def test_options_of_the_header_go_through(target: Target) -> None:
    result = await traceprobe.trace_async(target.address, dscp=46, dont_fragment=True, queries=1, mode=MODE)
    check(result, target)


async def test_a_silent_target_ends_by_time_out(lab: Lab) -> None:
    options: TraceOptions = {**QUICK, "max_ttl": 8}
    result = await traceprobe.trace_async(lab.silent, **options)
    assert addresses(result) == [*lab.target.hops[: lab.silent_after], *[None] * (8 - lab.silent_after)]
    assert (result.reached, result.stop_reason) == (False, StopReason.MAX_TTL)
    for hop in result.hops:
        silent = hop.ttl > lab.silent_after
        assert {probe.status for probe in hop.probes} == {
            ProbeStatus.TIMEOUT if silent else ProbeStatus.REPLY
        }
        assert hop.loss == float(silent)


async def test_an_unreachable_host_ends_the_trace(lab: Lab) -> None:
    result = await traceprobe.trace_async(lab.unreachable, **QUICK)
    assert addresses(result) == list(lab.target.hops[: lab.unreachable_at])
    assert (result.reached, result.stop_reason) == (False, StopReason.UNREACHABLE)
    for probe in result.hops[-1].probes:
        assert probe.reply is ReplyKind.UNREACHABLE
        # Windows has one word for several codes.
        assert (probe.icmp_type, probe.icmp_code) == (3, None)


async def test_replies_name_their_ttl(lab: Lab) -> None:
    result = await traceprobe.trace_async(lab.target.address, **QUICK)
    # Each router on the way back takes one off what Linux begins with.
    for hop in result.hops:
        assert {probe.reply_ttl for probe in hop.probes} == {64 - (hop.ttl - 1)}


async def test_names_are_looked_up_by_the_system(target: Target) -> None:
    found = await traceprobe.ProbeSocketFactory().lookup("localhost", traceprobe.AddressFamily.IPV4)
    assert ip_address("127.0.0.1") in found
    result = await traceprobe.trace_async("localhost", family=4, queries=1, mode=MODE)
    assert (result.target, addresses(result)) == ("localhost", ["127.0.0.1"])


async def test_nothing_is_left_behind(target: Target, reactor: ReactorHolder) -> None:
    check(await traceprobe.trace_async(target.address, mode=MODE, probe_timeout=1.0), target)
    # Beyond the target there is nothing to wait for, but Windows may still be waiting.
    await anyio.to_thread.run_sync(reactor.join)
    assert (reactor.counters.pending, reactor.counters.buffers) == (0, 0)
