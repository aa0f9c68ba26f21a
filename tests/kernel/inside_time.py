"""Traces during which time does what it should not, called through ``Namespace.call``; with plain values."""

from __future__ import annotations

import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

import traceprobe
from tests.kernel.holdings import holdings
from traceprobe import ProbeSent
from traceprobe.ffi.linux_arena import ReceiveArena
from traceprobe.loops import SystemClock
from traceprobe.sockets import ProbeSocketFactory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceprobe import TraceOptions
    from traceprobe.config import AddressFamily, TracerouteConfig
    from traceprobe.model import Probe, SentProbe
    from traceprobe.sockets import AsyncProbeSocket

_HEADER = struct.Struct("=Qii")
_TIMESPEC = struct.Struct("=qq")
_STAMPS = {35, 37}  # SO_TIMESTAMPNS, SO_TIMESTAMPING
_NS = 1_000_000_000


class WallClock:
    """The wall clock of the machine, as if somebody had set it: for the process and for the kernel.

    What the process reads, and what the kernel has stamped, from that moment on is shifted. The real clock
    is the machine's, and no namespace has one of its own, so it is left alone.

    Args:
        step_ns: How far it is set.
    """

    def __init__(self, step_ns: int) -> None:
        self._step_ns = step_ns
        self._set_at_ns: int | None = None

    def set(self) -> None:
        """Set the clock now; once."""
        if self._set_at_ns is None:
            self._set_at_ns = time.time_ns()

    def shown(self, real_ns: int) -> int:
        """What the clock showed at a moment."""
        return (
            real_ns + self._step_ns if self._set_at_ns is not None and real_ns >= self._set_at_ns else real_ns
        )

    def install(self) -> None:
        """Let this process see it, for good."""
        receive, shown = ReceiveArena.receive, self.shown

        def realtime_ns(clock: SystemClock) -> int:
            return shown(time.time_ns())

        def receive_stamped(
            arena: ReceiveArena, descriptor: int, flags: int = 0, most: int | None = None
        ) -> int:
            count = receive(arena, descriptor, flags, most)
            for slot in range(count):
                place = slot * arena.control_size
                end = place + arena.control_length(slot)
                while end - place >= _HEADER.size:
                    length, level, kind = _HEADER.unpack_from(arena.controls, place)
                    if level == socket.SOL_SOCKET and kind in _STAMPS:
                        stamp_ns = _read(arena.controls, place + _HEADER.size)
                        if stamp_ns:
                            new = divmod(shown(stamp_ns), _NS)
                            _TIMESPEC.pack_into(arena.controls, place + _HEADER.size, *new)
                    place += -(-length // 8) * 8
            return count

        SystemClock.realtime_ns = realtime_ns  # type: ignore[assignment]
        ReceiveArena.receive = receive_stamped  # type: ignore[method-assign,assignment]


def _read(controls: memoryview, place: int) -> int:
    seconds, nanoseconds = _TIMESPEC.unpack_from(controls, place)
    return int(seconds * _NS + nanoseconds)


class _SettingFactory(ProbeSocketFactory):
    """Sets the clock when the first probes have been sent, and nothing of theirs has been read yet."""

    def __init__(self, clock: WallClock) -> None:
        super().__init__()
        self._wall_clock = clock

    async def open(self, config: TracerouteConfig, family: AddressFamily) -> AsyncProbeSocket:
        opened: Any = await super().open(config, family)
        send = opened.send_probes

        async def send_probes(probes: Sequence[Probe]) -> Sequence[SentProbe]:
            reports: Sequence[SentProbe] = await send(probes)
            self._wall_clock.set()
            return reports

        opened.send_probes = send_probes
        result: AsyncProbeSocket = opened
        return result


async def trace_while_the_clock_is_set(target: str, options: TraceOptions, step_ns: int) -> dict[str, Any]:
    """Trace twice with one tracer; the clock is set while the first trace's probes are on their way.

    Returns:
        Both ``documents``, and how many milliseconds each trace really ``took``.
    """
    clock = WallClock(step_ns)
    clock.install()
    documents, took = [], []
    async with traceprobe.Tracer(socket_factory=_SettingFactory(clock), **options) as tracer:
        for _ in range(2):
            began = time.monotonic()
            documents.append((await tracer.trace(target)).to_dict())
            took.append((time.monotonic() - began) * 1000)
    return {"documents": documents, "took": took}


async def trace_on_a_blocked_loop(target: str, options: TraceOptions, seconds: float) -> dict[str, Any]:
    """Trace twice, and block the event loop as soon as the probes have been sent; the second time counts."""

    async def once(blocked: float) -> dict[str, Any]:
        async with traceprobe.open_trace(target, **options) as opened:
            async for event in opened.events():
                if isinstance(event, ProbeSent):
                    time.sleep(blocked)  # noqa: ASYNC251 - just that
                    break
            return dict((await opened.wait()).to_dict())

    holdings()  # memory is watched from here on
    await once(0)
    before = holdings()
    document = await once(seconds)
    hops = [
        [hop["address"], hop["received"], any(probe["late"] for probe in hop["probes"])]
        for hop in document["hops"]
    ]
    del document
    return {"hops": hops, "before": before, "after": holdings()}


def trace_from_threads(target: str, options: TraceOptions, count: int) -> dict[str, Any]:
    """Trace from many threads at the same time, with the function for programs without an event loop."""
    found: list[list[str | None]] = []

    def trace() -> None:
        result = traceprobe.trace(target, **options)
        found.append([None if hop.address is None else str(hop.address) for hop in result.hops])

    trace()
    before = threading.active_count()
    threads = [threading.Thread(target=trace) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"found": found[1:], "left": threading.active_count() - before}
