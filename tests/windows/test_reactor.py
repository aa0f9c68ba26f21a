"""The reactor with real requests: giving up, waiting on silence, and the end of the process."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import anyio
import pytest

import traceprobe
from traceprobe import ProbeSent

if TYPE_CHECKING:
    from tests.windows.conftest import Lab
    from traceprobe import TraceOptions
    from traceprobe.sockets.windows._reactor import ReactorHolder

CANCELLATIONS = 100
WAITING = 90


def silence(lab: Lab, probes: int, seconds: float) -> TraceOptions:
    """Probes that get lost behind the last router that answers."""
    first = lab.silent_after + 1
    return {
        "mode": "windows_icmp",
        "first_ttl": first,
        "max_ttl": first + probes - 1,
        "queries": 1,
        "probe_timeout": seconds,
        "tail_floor": seconds,
    }


async def until_sent(trace: traceprobe.Trace, probes: int) -> None:
    """Wait until so many probes are on their way."""
    sent = 0
    async for event in trace.events():
        sent += isinstance(event, ProbeSent)
        if sent == probes:
            return


async def test_a_hundred_traces_given_up_in_mid_flight_leave_nothing(
    lab: Lab, reactor: ReactorHolder
) -> None:
    # Two requests each: Wine has room for 256 in all.
    options = silence(lab, probes=2, seconds=2.0)

    async def wait_in_vain(sent: anyio.Event) -> None:
        async with traceprobe.open_trace(lab.silent, **options) as trace:
            await until_sent(trace, 2)
            sent.set()
            await trace.wait()
        raise AssertionError("nobody cancelled it")

    for _ in range(CANCELLATIONS):
        async with anyio.create_task_group() as tasks:
            sent = anyio.Event()
            tasks.start_soon(wait_in_vain, sent)
            await sent.wait()
            tasks.cancel_scope.cancel()
    # Whoever gave up is back before Windows lets go of the requests.
    assert reactor.counters.pending >= 2
    assert reactor.counters.buffers > 0
    await anyio.to_thread.run_sync(reactor.join)
    assert (reactor.counters.pending, reactor.counters.buffers) == (0, 0)


async def test_nothing_wakes_the_reactor_while_ninety_requests_wait(lab: Lab, reactor: ReactorHolder) -> None:
    options = silence(lab, probes=WAITING, seconds=4.0)
    async with traceprobe.open_trace(lab.silent, **options) as trace:
        await until_sent(trace, WAITING)
        before = reactor.counters
        await anyio.sleep(1)
        assert reactor.counters == before
        assert before.pending == WAITING
        result = await trace.wait()
    assert {probe.status.value for hop in result.hops for probe in hop.probes} == {"timeout"}
    await anyio.to_thread.run_sync(reactor.join)
    assert (reactor.counters.pending, reactor.counters.buffers) == (0, 0)


async def test_leaving_early_gives_everything_back(lab: Lab, reactor: ReactorHolder) -> None:
    async with traceprobe.open_trace(lab.target.address, mode="windows_icmp", probe_timeout=1) as trace:
        async for hop in trace:
            assert str(hop.address) in lab.target.hops
            break
    await anyio.to_thread.run_sync(reactor.join)
    assert (reactor.counters.pending, reactor.counters.buffers) == (0, 0)


ENDING = """
import atexit, sys

@atexit.register  # called after the reactor's, which is registered later
def tell():
    from traceprobe.sockets.windows._reactor import process_reactor
    pending, buffers, _ = process_reactor().counters
    print(f"left: {pending} {buffers}", flush=True)

import anyio, traceprobe
from traceprobe import ProbeSent
from traceprobe.sockets.windows._reactor import process_reactor

async def main(how, target, first):
    options = dict(mode="windows_icmp", first_ttl=first, max_ttl=first + 4, queries=1)
    async with traceprobe.open_trace(target, **options, probe_timeout=1.5, tail_floor=1.5) as trace:
        sent = 0
        async for event in trace.events():
            sent += isinstance(event, ProbeSent)
            if sent == 5:
                break
        print(f"on their way: {process_reactor().counters.pending}", flush=True)
        if how == "raise":
            raise SystemExit(7)
        if how == "interrupt":
            raise KeyboardInterrupt
    sys.exit(7)

anyio.run(main, sys.argv[1], sys.argv[2], int(sys.argv[3]))
"""


@pytest.mark.parametrize(("how", "status"), [("leave", 7), ("raise", 7), ("interrupt", None)])
def test_a_process_ends_cleanly_with_requests_on_their_way(lab: Lab, how: str, status: int | None) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDING, how, lab.silent, str(lab.silent_after + 1)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["on their way: 5", "left: 0 0"], done.stderr
    if status is None:
        assert "KeyboardInterrupt" in done.stderr
        assert done.returncode != 0
    else:
        assert (done.returncode, done.stderr) == (status, "")


async def test_the_next_trace_after_the_reactor_has_ended_finds_a_new_one(
    lab: Lab, reactor: ReactorHolder
) -> None:
    for _ in range(3):
        result = await traceprobe.trace_async(lab.target.address, max_ttl=2, queries=1)
        assert [str(hop.address) for hop in result.hops] == list(lab.target.hops[:2])
        await anyio.to_thread.run_sync(reactor.join)
