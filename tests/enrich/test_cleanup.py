"""Cancelled in the middle of look-ups: no descriptor, task, thread or channel is left behind."""

from __future__ import annotations

import gc
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.rigs.dns_server import Manner
from tests.tracer.fakes import HeldNetwork, path_of
from traceprobe import EnrichmentConfig, HopSettled, Tracer, TracerouteConfig
from traceprobe.enrich import Lookups

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.rigs.dns_server import DnsServer

PATIENCE = 10.0
"""Seconds that a library gets to take its threads down; it takes milliseconds."""


def held(length: int) -> HeldNetwork:
    network = HeldNetwork()
    network.prepare = path_of(length)
    return network


def config(server: DnsServer) -> TracerouteConfig:
    enrichment = EnrichmentConfig(reverse_dns=True, asn=True, dns_servers=(server.address,))
    return TracerouteConfig(enrichment=enrichment).with_options({"dns_timeout": 60.0})


async def until(condition: Callable[[], bool]) -> None:
    """Go on once a condition holds; what the server's and the library's threads do can't be waited for."""
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:  # noqa: ASYNC110 - they tell no event loop
        await anyio.sleep(0.002)
    assert condition()


def channels() -> int:
    """Channels of c-ares that are open."""
    pycares = sys.modules.get("pycares")
    if pycares is None:
        return 0
    return sum(isinstance(each, pycares.Channel) and each._channel is not None for each in gc.get_objects())


def queries() -> int:
    """Questions that c-ares holds on to."""
    pycares: Any = sys.modules.get("pycares")
    return 0 if pycares is None else len(pycares._handle_to_channel)


def threads() -> int:
    """Threads of the process, those that Python knows nothing of included."""
    return len(os.listdir("/proc/self/task"))


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(sys.platform != "linux", reason="counts by /proc")
async def test_a_trace_cancelled_in_the_middle_of_look_ups_leaves_nothing(server: DnsServer) -> None:
    server.default = Manner(silent=-1)

    async def trace_and_cancel() -> None:
        asked_before = len(server.asked)
        async with Tracer(config(server), socket_factory=held(3)) as tracer:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(tracer.trace, "192.0.2.9")
                    await until(lambda: len(server.asked) > asked_before)
                    scope.cancel()
            assert scope.cancelled_caught

    await trace_and_cancel()  # loads libraries, and starts the threads that they keep for good
    await until(lambda: not channels() and not queries())
    tasks_before = {task.id for task in anyio.get_running_tasks()}
    threads_before, descriptors_before = threads(), descriptors()
    for _ in range(5):
        await trace_and_cancel()
    await until(lambda: not channels() and not queries())
    await until(lambda: threads() <= threads_before)
    await until(lambda: len(descriptors()) <= len(descriptors_before))
    assert {task.id for task in anyio.get_running_tasks()} == tasks_before


async def test_cancelling_a_tracer_from_outside_ends_its_look_ups(server: DnsServer) -> None:
    server.default = Manner(silent=-1)
    with anyio.CancelScope() as scope:
        async with (
            Tracer(config(server), socket_factory=held(3)) as tracer,
            tracer.open_trace("192.0.2.9") as trace,
        ):
            async for event in trace.events():
                if isinstance(event, HopSettled) and event.hop.ttl == 3:
                    await until(lambda: bool(server.asked))
                    scope.cancel()
                    await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    await until(lambda: not channels() and not queries())


async def test_a_tracer_that_looks_up_gives_names_and_closes_what_it_opened(server: DnsServer) -> None:
    for last in (1, 2):
        server.pointer(f"10.0.0.{last}", f"hop{last}.example.")
    server.pointer("192.0.2.9", "target.example.")
    async with Tracer(config(server), socket_factory=held(3)) as tracer:
        for _ in range(3):
            result = await tracer.trace("192.0.2.9")
            assert [hop.hostname for hop in result] == ["hop1.example", "hop2.example", "target.example"]
    # All three addresses are of special purpose: nobody is asked which network they belong to.
    assert [asked.kind for asked in server.asked] == ["PTR"] * 3
    await until(lambda: not channels() and not queries())


async def test_what_fails_to_close_keeps_nothing_else_open() -> None:
    class Opened:
        def __init__(self, error: OSError | None) -> None:
            self.error = error
            self.closed = False

        async def aclose(self) -> None:
            self.closed = True
            if self.error is not None:
                raise self.error

    lookups = Lookups(None, (), HeldNetwork())
    broken, sound = Opened(OSError("it is stuck")), Opened(None)
    held_open: dict[Any, Any] = {"broken": broken, "sound": sound}
    lookups._files.update(held_open)
    with pytest.raises(OSError, match="it is stuck"):
        await lookups.aclose()
    assert broken.closed
    assert sound.closed
    await lookups.aclose()
