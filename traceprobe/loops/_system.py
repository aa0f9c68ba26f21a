"""The clock of the real network, on any event loop that anyio knows.

Event loops round their timers: uvloop to the nearest millisecond, so that a timer may fire before its
time; and asyncio counts by ``time.monotonic``, which Windows moves on only every 15.6 ms before Python 3.13.
An alarm never rings early: what is left is waited for again, rounded up to the loop's grain.
"""

from __future__ import annotations

import math
import sys
import time

import anyio
import anyio.lowlevel

if sys.platform == "win32":
    # QueryPerformanceCounter, on all versions of Python: as monotonic, and fine-grained.
    from time import perf_counter_ns as _now_ns
else:
    from time import monotonic_ns as _now_ns

_NS = 1_000_000_000
_GRAINS_PER_SECOND = 1000
"""Event loops count their timers in milliseconds (``epoll_wait(2)``)."""


class SystemAlarm:
    """One waiter's alarm on the running event loop; see :class:`~traceprobe.loops.Alarm`."""

    __slots__ = ("_event", "_rung")

    def __init__(self) -> None:
        self._event: anyio.Event | None = None
        self._rung = False

    async def wait(self, deadline_ns: int | None) -> None:
        """Wait until ``wake`` is called or the monotonic clock reaches ``deadline_ns``."""
        if self._rung:
            self._rung = False
            await anyio.lowlevel.checkpoint()
            return
        self._event = anyio.Event()
        try:
            if deadline_ns is None:
                await self._event.wait()
            else:
                await self._wait_until(self._event, deadline_ns)
        finally:
            self._event = None
        self._rung = False

    async def _wait_until(self, event: anyio.Event, deadline_ns: int) -> None:
        while not event.is_set():
            remaining_ns = deadline_ns - _now_ns()
            if remaining_ns <= 0:
                await anyio.lowlevel.checkpoint()
                return
            grains = math.ceil(remaining_ns * _GRAINS_PER_SECOND / _NS)
            with anyio.move_on_after(grains / _GRAINS_PER_SECOND):
                await event.wait()

    def wake(self) -> None:
        """Ring now."""
        self._rung = True
        if self._event is not None:
            self._event.set()

    def close(self) -> None:
        """Nothing to give back: an alarm that nobody waits on holds no timer."""


class SystemClock:
    """``CLOCK_MONOTONIC`` and ``CLOCK_REALTIME``; see :class:`~traceprobe.loops.Clock`.

    On Windows the performance counter stands for the former, as nanoseconds.
    """

    __slots__ = ()

    def monotonic_ns(self) -> int:
        """``CLOCK_MONOTONIC`` in nanoseconds (clock_gettime(2)); on Windows the performance counter."""
        return _now_ns()

    def realtime_ns(self) -> int:
        """``CLOCK_REALTIME`` in nanoseconds since the epoch (clock_gettime(2))."""
        return time.time_ns()

    def alarm(self) -> SystemAlarm:
        """Make an alarm for one waiter."""
        return SystemAlarm()
