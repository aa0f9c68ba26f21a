"""The public functions, called in every way that programs call them."""

from __future__ import annotations

import _thread
import asyncio
import pickle
import signal
import sys
import threading
from typing import TYPE_CHECKING

import anyio
import pytest
import trio

import traceprobe
from tests.tracer.fakes import HeldNetwork, HeldSocket, path_of
from traceprobe import TimingConfig, TracerouteConfig

if TYPE_CHECKING:
    from types import FrameType


@pytest.fixture
def network() -> HeldNetwork:
    network = HeldNetwork()
    network.prepare = path_of(3)
    return network


def check(result: traceprobe.TraceResult, network: HeldNetwork) -> None:
    assert [str(hop.address) for hop in result] == ["10.0.0.1", "10.0.0.2", "192.0.2.9"]
    assert all(socket.closed and not socket.unreleased for socket in network.sockets)


def test_trace_blocks_and_returns_the_result(network: HeldNetwork) -> None:
    check(traceprobe.trace("example.com", socket_factory=network), network)


def test_asyncio_run(network: HeldNetwork) -> None:
    check(asyncio.run(traceprobe.trace_async("example.com", socket_factory=network)), network)


def test_asyncio_create_task(network: HeldNetwork) -> None:
    async def main() -> traceprobe.TraceResult:
        return await asyncio.create_task(traceprobe.trace_async("example.com", socket_factory=network))

    check(asyncio.run(main()), network)


def test_asyncio_task_group(network: HeldNetwork) -> None:
    async def main() -> list[traceprobe.TraceResult]:
        async with traceprobe.Tracer(socket_factory=network) as tracer, asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(tracer.trace(f"192.0.2.{last}")) for last in range(1, 6)]
        return [task.result() for task in running]

    results = asyncio.run(main())
    assert [str(result.address) for result in results] == [f"192.0.2.{last}" for last in range(1, 6)]
    assert len(network.sockets) == 1


def test_asyncio_gather(network: HeldNetwork) -> None:
    async def main() -> list[traceprobe.TraceResult]:
        return await asyncio.gather(
            *(traceprobe.trace_async("example.com", socket_factory=network) for _ in range(3))
        )

    for result in asyncio.run(main()):
        check(result, network)


def test_asyncio_wait_for_cancels_and_gives_back() -> None:
    network = HeldNetwork()

    async def main() -> None:
        async with asyncio.timeout(None) as scope:
            task = asyncio.current_task()
            assert task is not None

            def expire() -> None:
                if network.sockets and network.socket.sent:
                    scope.reschedule(asyncio.get_running_loop().time())
                else:
                    asyncio.get_running_loop().call_soon(expire)

            expire()
            await traceprobe.trace_async("example.com", socket_factory=network)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert network.socket.closed
    assert not network.socket.unreleased


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio_run(network: HeldNetwork, backend: str) -> None:
    async def main() -> traceprobe.TraceResult:
        return await traceprobe.trace_async("example.com", socket_factory=network)

    check(anyio.run(main, backend=backend), network)


def test_trio_start_soon(network: HeldNetwork) -> None:
    results: list[traceprobe.TraceResult] = []

    async def one() -> None:
        results.append(await traceprobe.trace_async("example.com", socket_factory=network))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one)
            nursery.start_soon(one)

    trio.run(main)
    assert len(results) == 2
    for result in results:
        check(result, network)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_trace_inside_a_running_loop(network: HeldNetwork, backend: str) -> None:
    """As in a notebook, where a loop runs in the thread already."""

    async def main() -> traceprobe.TraceResult:
        await anyio.lowlevel.checkpoint()
        return traceprobe.trace("example.com", socket_factory=network)

    check(anyio.run(main, backend=backend), network)


def test_trace_in_a_callback_of_a_running_loop(network: HeldNetwork) -> None:
    async def main() -> traceprobe.TraceResult:
        loop = asyncio.get_running_loop()
        result: asyncio.Future[traceprobe.TraceResult] = loop.create_future()
        loop.call_soon(lambda: result.set_result(traceprobe.trace("example.com", socket_factory=network)))
        return await result

    check(asyncio.run(main()), network)


def test_trace_in_a_thread(network: HeldNetwork) -> None:
    results: list[traceprobe.TraceResult] = []
    thread = threading.Thread(
        target=lambda: results.append(traceprobe.trace("example.com", socket_factory=network))
    )
    thread.start()
    thread.join()
    check(results[0], network)


@pytest.mark.parametrize("inside_a_loop", [False, True])
def test_ctrl_c_cancels_a_blocking_trace(inside_a_loop: bool) -> None:
    network = HeldNetwork()

    def interrupt() -> None:
        if sys.platform == "win32":
            # Runs what Ctrl-C runs; it does not end a system call, but there it would not either.
            _thread.interrupt_main(signal.SIGINT)
        else:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    # The signal comes once everything is sent: the trace waits for silence then.
    network.prepare = lambda socket: setattr(
        socket, "while_sending", lambda: threading.Timer(0.05, interrupt).start()
    )

    async def main() -> None:
        traceprobe.trace("example.com", socket_factory=network, probe_timeout=60, tail_floor=60)

    def handler(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if inside_a_loop:
        before = signal.signal(signal.SIGINT, handler)
        try:
            with pytest.raises(KeyboardInterrupt):
                trio.run(main)
        finally:
            signal.signal(signal.SIGINT, before)
    else:
        with pytest.raises(KeyboardInterrupt):
            traceprobe.trace("example.com", socket_factory=network, probe_timeout=60, tail_floor=60)
    assert network.socket.closed
    assert not network.socket.unreleased


def test_options_config_and_timing_meet(network: HeldNetwork) -> None:
    config = TracerouteConfig(max_ttl=9, timing=TimingConfig.fast())
    trace = traceprobe.open_trace(
        "example.com", config, socket_factory=network, queries=1, probe_timeout=0.25, protocol="icmp"
    )
    assert trace.config.max_ttl == 9
    assert trace.config.queries == 1
    assert trace.config.protocol is traceprobe.Protocol.ICMP
    assert trace.config.timing.probe_timeout == 0.25
    assert trace.config.timing.tail_floor == TimingConfig.fast().tail_floor


def test_results_travel(network: HeldNetwork) -> None:
    result = traceprobe.trace("example.com", socket_factory=network)
    assert pickle.loads(pickle.dumps(result)) == result
    assert traceprobe.TraceResult.from_json(result.to_json()) == result
    assert traceprobe.TraceResult.from_dict(result.to_dict()) == result
    assert str(result).startswith("example.com (192.0.2.9): reached in 3 hops")
    assert next(str(hop) for hop in result).startswith("1  10.0.0.1  1.000 ms")
    assert hash(result.hops[0]) == hash(pickle.loads(pickle.dumps(result.hops[0])))


def test_reached_means_that_the_destination_answered_whatever_ended_the_trace() -> None:
    """One attempt at the destination stays unanswered until the time for the whole trace is over."""
    network = HeldNetwork()
    answer_all = path_of(2)

    def prepare(socket: HeldSocket) -> None:
        answer_all(socket)
        answer = socket.answers
        socket.answers = lambda probe: None if probe.attempt == 3 and probe.ttl == 2 else answer(probe)

    network.prepare = prepare
    result = traceprobe.trace("192.0.2.9", socket_factory=network, overall_timeout=0.02, interior_floor=60)
    assert result.stop_reason is traceprobe.StopReason.TIMEOUT
    assert result.reached
    assert result.destination_hop is result.hops[-1]
    assert traceprobe.TraceResult.from_json(result.to_json()) == result
    assert str(result).startswith("192.0.2.9 (192.0.2.9): reached in 2 hops")
